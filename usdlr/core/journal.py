"""Resume: a step is done when its record names the same inputs and its outputs still have the recorded bytes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from usdlr.core.errors import DataError
from usdlr.core.files import read_json, write_json
from usdlr.core.hashing import data_hash, file_hash

Result = TypeVar("Result")
STARTED = "started.json"


class Journal:
    """The finished steps of one output folder.

    Parameters
    ----------
    folder : Path
        The output folder; records lie in its ``.journal``.
    base : plain data, optional
        Part of every step's key, e.g. the versions of the packages: other versions do every step again.
    """

    def __init__(self, folder: Path, base: Any = None) -> None:
        self.folder = folder
        self.base = base
        self.records = folder / ".journal"

    def is_done(self, name: str, key: Any) -> bool:
        """Whether step ``name`` finished with the inputs ``key`` and left what it wrote untouched."""
        record = self.records / f"{name}.json"
        if not record.exists():
            return False
        content = read_json(record)
        if content["key"] != data_hash([self.base, key]):
            return False
        return all(
            (self.folder / relative).exists() and file_hash(self.folder / relative) == digest
            for relative, digest in content["outputs"].items()
        )

    def mark_done(
        self, name: str, key: Any, outputs: Sequence[Path], time_s: tuple[float, float] | None = None
    ) -> None:
        """Record that step ``name`` finished and wrote ``outputs`` (files below the folder).

        ``time_s`` is when it began and ended, in seconds since 1970.
        """
        hashes = {str(path.relative_to(self.folder)): file_hash(path) for path in outputs}
        record = {"key": data_hash([self.base, key]), "outputs": hashes}
        took = {} if time_s is None else {"time_s": [round(moment, 2) for moment in time_s]}
        write_json(self.records / f"{name}.json", record | took)

    def step(self, name: str, key: Any, outputs: Sequence[Path], action: Callable[[], object]) -> bool:
        """Run ``action`` unless the step is done; returns whether it ran."""
        if self.is_done(name, key):
            return False
        _, time_s = timed(action)
        self.mark_done(name, key, outputs, time_s)
        return True

    def times(self) -> dict[str, tuple[float, float]]:
        """When every finished step began and ended, in seconds since 1970, the first to begin first.

        Of a step that was interrupted, only the part that ended it is told. Steps whose time was not taken, and
        records that cannot be read, are left out.
        """
        found: dict[str, tuple[float, float]] = {}
        for path in self.records.glob("*.json"):
            try:
                began, ended = map(float, read_json(path)["time_s"])
            except (DataError, KeyError, TypeError, ValueError):
                continue
            found[path.stem] = (began, max(began, ended))
        return dict(sorted(found.items(), key=lambda item: (item[1], item[0])))


def forget_other_start(folder: Path, key: Any) -> None:
    """Remove what an interrupted fit left that began with other inputs: continuing would carry patients across splits.

    Parameters
    ----------
    folder : Path
        Of the fit; what is there stays if it was begun with the same key.
    key : plain data
        What the fit is made from.
    """
    mark, now = folder / STARTED, data_hash([key, str(folder.resolve())])
    if not mark.exists() or read_json(mark) != now:
        shutil.rmtree(folder, ignore_errors=True)
        write_json(mark, now)


def timed(action: Callable[[], Result]) -> tuple[Result, tuple[float, float]]:
    """What ``action`` returns, and when it began and ended, in seconds since 1970."""
    began, start = time.time(), time.monotonic()
    result = action()
    return result, (began, began + time.monotonic() - start)


def elapsed_s(times: Iterable[tuple[float, float]]) -> float:
    """Seconds in which anything was at work: what ran side by side counts once, and pauses do not count.

    Examples
    --------
    >>> elapsed_s([(0.0, 10.0), (2.0, 12.0), (100.0, 101.0)])
    13.0
    """
    total, reached = 0.0, float("-inf")
    for began, ended in sorted(times):
        total += max(0.0, ended - max(began, reached))
        reached = max(reached, ended)
    return total
