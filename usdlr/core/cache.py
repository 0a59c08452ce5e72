"""Finished work, found again by the content it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from usdlr.core.errors import DataError
from usdlr.core.files import read_json, write_json
from usdlr.core.hashing import file_hash


class ContentCache:
    """Results keyed by a hash of everything that decides them, with the files they wrote.

    A damaged record, or one whose files are gone or altered, counts as absent: the work is done again.

    Parameters
    ----------
    records : Path
        Folder of the records, one JSON file per key.
    base : Path
        Folder that the results' files lie in.
    """

    def __init__(self, records: Path, base: Path) -> None:
        self.records = records
        self.base = base

    def get(self, key: str) -> Any | None:
        """The result stored under ``key``, or ``None``; its files have been checked by content."""
        path = self._path(key)
        if not path.is_file():
            return None
        try:
            record = read_json(path)
            intact = all(file_hash(self.base / name) == digest for name, digest in record["files"].items())
            return record["result"] if intact else None
        except (DataError, OSError, KeyError, TypeError, AttributeError):
            return None

    def put(self, key: str, result: Any, files: Sequence[str]) -> None:
        """Store a result (what JSON can hold) and the names, relative to ``base``, of the files that belong to it."""
        hashes = {name: file_hash(self.base / name) for name in files}
        write_json(self._path(key), {"files": hashes, "result": result})

    def _path(self, key: str) -> Path:
        return self.records / key[:2] / f"{key}.json"
