"""What a centre adapter is: it lists the rows of an export, and the pipeline does the rest.

An adapter of your own is one class with a ``name`` and a method ``rows``, registered with :func:`register`::

    @register
    class OurHospital(Adapter):
        name = "our_hospital"

        def rows(self, source: Path) -> list[SourceRow]:
            table = pd.read_csv(source / "export.csv", dtype="str")
            return [SourceRow(...) for record in table.itertuples()]

``data_cards/manifest.md`` holds a complete example.
"""

from __future__ import annotations

import difflib
import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, TypeVar

from usdlr.core.errors import ConfigError, DataError
from usdlr.ingest.source import SourceRow


class Adapter(ABC):
    """Reads one kind of export.

    Attributes
    ----------
    name : str
        What ``--centre`` says.
    simulated : bool
        Whether the patients are simulated; every page about them says so.
    identifying : bool
        Whether the ids and file names identify patients; ingest then replaces the ids by keyed pseudonyms and keeps
        the names out of everything it writes.
    bare : bool
        Whether the images show nothing but tissue; neither a field of view nor drawn marks are then looked for.
    knows_patients : bool
        Whether ``patient_id`` is the source's own knowledge. Where it is not, and two rows show the same picture, their
        patients become one; where it is, the export is refused until somebody says which patient is right.
    """

    name: ClassVar[str]
    simulated: ClassVar[bool] = False
    identifying: ClassVar[bool] = False
    bare: ClassVar[bool] = False
    knows_patients: ClassVar[bool] = True

    @abstractmethod
    def rows(self, source: Path) -> list[SourceRow]:
        """List every row of the export, usable or not, in a fixed order.

        Parameters
        ----------
        source : Path
            The export's folder; it exists.

        Raises
        ------
        DataError
            If the export as a whole cannot be read.
        """

    def is_bare(self, source: Path) -> bool:
        """Whether this export's images show nothing but tissue; :attr:`bare` unless the export itself says more."""
        return self.bare

    def inputs(self, source: Path) -> dict[str, Path]:
        """The tables that define the export, by role, for the provenance record."""
        return {}


FILE_STEM = re.compile(r"\w[\w .-]*")

ADAPTERS: dict[str, type[Adapter]] = {}
AdapterType = TypeVar("AdapterType", bound=type[Adapter])


def register(adapter: AdapterType) -> AdapterType:
    """Class decorator: make an adapter available under its name."""
    if adapter.name in ADAPTERS:
        raise ValueError(f"an adapter named {adapter.name!r} is registered already")
    ADAPTERS[adapter.name] = adapter
    return adapter


def adapter_named(name: str) -> Adapter:
    """The adapter registered under ``name``.

    Raises
    ------
    ConfigError
        Naming the nearest registered adapter.
    """
    if name not in ADAPTERS:
        near = difflib.get_close_matches(name, ADAPTERS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"found centre adapter {name!r}, expected one of {', '.join(sorted(ADAPTERS))}{hint}")
    return ADAPTERS[name]()


def require_folder(path: Path) -> Path:
    """Return the folder, or say that it is not there.

    Raises
    ------
    DataError
        If it does not exist or is a file.
    """
    if not path.is_dir():
        kind = "a file" if path.exists() else "no folder"
        raise DataError(f"found {kind} at {path}, expected the folder of the export; check the path")
    return path


def require_usable_ids(rows: list[SourceRow]) -> None:
    """Refuse an export that uses one id twice (nobody can say which row is meant) or one that cannot name a file.

    Raises
    ------
    DataError
        Naming the first such id.
    """
    seen: dict[str, int] = {}
    for position, row in enumerate(rows):
        # The id becomes the stem of the canonical files, which must not land outside their folder.
        if not FILE_STEM.fullmatch(row.source_id):
            raise DataError(
                f"found the id {row.source_id!r} in row {position + 1} of the export, expected letters, digits, "
                "spaces and . _ - only, and a letter or digit first; correct the table"
            )
        first = seen.setdefault(row.source_id, position)
        if first != position:
            raise DataError(
                f"found the id {row.source_id!r} in rows {first + 1} and {position + 1} of the export, "
                "expected each id once; correct the table"
            )
