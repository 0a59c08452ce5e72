"""Measured rows, found again by everything that decides them: pixels, contour, spacing, settings, engine and code."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import usdlr
from usdlr.core.cache import ContentCache
from usdlr.core.errors import DataError
from usdlr.core.files import read_json, write_atomic, write_json
from usdlr.core.hashing import SHORT, bytes_hash, data_hash, file_hash
from usdlr.core.modalities import MODALITIES
from usdlr.radiomics.relative import is_relative
from usdlr.radiomics.rows import FeatureRow
from usdlr.radiomics.settings import RadiomicsSettings

# Files of a case that reading it looks at; a map that no feature is taken from does not count.
FILES = (*(modality.path_column for modality in MODALITIES.values()), "mask_path", "fov_path")
LIBRARIES = ("numpy", "scipy", "opencv-python-headless", "simpleitk", "pywavelets", "scikit-image", "numba")
REFERENCE = "pyradiomics"
PACKAGES = ("radiomics", "imaging")


@cache
def code_version() -> str:
    """Changes with every line of code and every library that a feature's value may depend on."""
    root = Path(usdlr.__file__).parent
    sources = [path for package in PACKAGES for path in sorted((root / package).glob("*.py"))]
    code = bytes_hash(*(part for path in sources for part in (path.name.encode(), path.read_bytes())))
    return data_hash([usdlr.__version__, code, {name: _installed(name) for name in (*LIBRARIES, REFERENCE)}])


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def content_key(row: Mapping[str, Any], root: Path, settings: RadiomicsSettings, engine: str) -> str:
    """Key of one case's features: its files' bytes, not their names, and never its ids.

    Parameters
    ----------
    row : mapping
        A row of ``cases``.
    root : Path
        Folder that its paths are relative to.
    settings : RadiomicsSettings
        What is measured.
    engine : str
        What measures.
    """
    files = {name: _content(root, row.get(name)) for name in FILES}
    geometry = [_plain(row.get(name)) for name in ("row_mm", "col_mm", "elasto_unit")]
    state = [bool(pd.isna(row["mask_source"])), is_relative(row)]
    return data_hash([files, geometry, state, settings.digest, engine, code_version()])


def _content(root: Path, name: Any) -> str | None:
    path = None if pd.isna(name) else root / str(name)
    return file_hash(path) if path is not None and path.is_file() else None


def _plain(value: Any) -> Any:
    return None if pd.isna(value) else value


class FeatureCache:
    """Rows kept by :func:`content_key` in a folder that any number of tables and experiments may share.

    Numbers lie in a NumPy file per case, names once per set of features. A damaged entry counts as absent.

    Parameters
    ----------
    folder : Path
        Where; created when the first row is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._records = ContentCache(folder / "records", folder)
        self._names: dict[str, tuple[str, ...]] = {}

    def get(self, key: str, image_id: str) -> FeatureRow | None:
        """The row under ``key`` as that of ``image_id``, or ``None``."""
        kept = self._records.get(key)
        try:
            if kept is None or kept["digest"] != data_hash(kept["words"]):
                return None
            names = self._read_names(str(kept["names"]))
            values = np.load(self.folder / _values(key), allow_pickle=False)
        except (DataError, OSError, ValueError, KeyError, TypeError):
            return None
        if values.dtype != np.float64 or values.shape != (len(names),):
            return None
        return FeatureRow({"image_id": image_id, **kept["words"]}, names, values)

    def put(self, key: str, row: FeatureRow) -> None:
        """Keep a row that was measured."""
        names = data_hash(list(row.names))[:SHORT]
        if self._names.get(names) != row.names or not (self.folder / _names(names)).is_file():
            # Once per process even where it exists: a damaged file must not vouch for what is written now.
            write_json(self.folder / _names(names), list(row.names))
            self._names[names] = row.names
        write_atomic(self.folder / _values(key), lambda path: np.save(path, row.values, allow_pickle=False))
        words = {name: value for name, value in row.words.items() if name != "image_id"}
        result = {"words": words, "digest": data_hash(words), "names": names}
        self._records.put(key, result, [_values(key), _names(names)])

    def _read_names(self, digest: str) -> tuple[str, ...]:
        if digest not in self._names:
            names = read_json(self.folder / _names(digest))
            if data_hash(names)[:SHORT] != digest:
                raise DataError(f"found {_names(digest)} altered, expected the names it was written with")
            self._names[digest] = tuple(names)
        return self._names[digest]


def _values(key: str) -> str:
    return f"values/{key[:2]}/{key}.npy"


def _names(digest: str) -> str:
    return f"names/{digest}.json"
