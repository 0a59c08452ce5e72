"""Content hashes of files, tables and plain data, and seeds derived from names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SHORT = 12


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def files_state(files: Iterable[Path]) -> str:
    """Changes when one of the files is replaced: a hash of names, sizes and times, quick where content is hashed later.

    A file that is not there does not count.
    """
    stats = [(path.name, path.stat()) for path in files if path.is_file()]
    return data_hash([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])


def bytes_hash(*parts: bytes) -> str:
    """SHA-256 of several byte strings, each preceded by its length so that no two lists collide."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def data_hash(value: Any) -> str:
    """SHA-256 of plain data (what JSON can hold), independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def table_hash(table: pd.DataFrame) -> str:
    """SHA-256 of a table's columns, dtypes and values in their order; the index does not count.

    Examples
    --------
    >>> a = pd.DataFrame({"x": [1.0, 2.0]})
    >>> table_hash(a) == table_hash(a.copy()) != table_hash(a.iloc[::-1])
    True
    """
    header = json.dumps([(str(name), str(dtype)) for name, dtype in table.dtypes.items()])
    rows = pd.util.hash_pandas_object(table, index=False).to_numpy(np.uint64)
    return bytes_hash(header.encode(), rows.tobytes())


def derive_seed(*parts: object) -> int:
    """A 32-bit seed from any names and numbers: the same parts give the same seed on every machine.

    Examples
    --------
    >>> derive_seed(0, "fold", 1) == derive_seed(0, "fold", 1) != derive_seed(0, "fold", 2)
    True
    """
    return int(bytes_hash(*(str(part).encode() for part in parts))[:8], 16)
