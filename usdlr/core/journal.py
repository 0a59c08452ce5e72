"""Resume: a step is done when its record names the same inputs and its outputs still have the recorded bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from usdlr.core.files import read_json, write_json
from usdlr.core.hashing import data_hash, file_hash


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

    def mark_done(self, name: str, key: Any, outputs: Sequence[Path]) -> None:
        """Record that step ``name`` finished and wrote ``outputs`` (files below the folder)."""
        hashes = {str(path.relative_to(self.folder)): file_hash(path) for path in outputs}
        write_json(self.records / f"{name}.json", {"key": data_hash([self.base, key]), "outputs": hashes})

    def step(self, name: str, key: Any, outputs: Sequence[Path], action: Callable[[], object]) -> bool:
        """Run ``action`` unless the step is done; returns whether it ran."""
        if self.is_done(name, key):
            return False
        action()
        self.mark_done(name, key, outputs)
        return True
