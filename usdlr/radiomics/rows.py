"""Finished rows of the ``features`` table, held so that ten thousand of them fit into memory."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.columns import FEATURE_PATTERN

_FEATURE = re.compile(FEATURE_PATTERN)


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """One row, its numbers apart from its words.

    Parameters
    ----------
    words : mapping
        Columns that are no features.
    names : tuple of str
        Feature columns; rows with the same features share one tuple.
    values : float64 array, (features,)
        NaN where a feature has no value.
    """

    words: Mapping[str, Any]
    names: tuple[str, ...]
    values: npt.NDArray[np.float64]


class Rows:
    """Rows by ``image_id``, given back in any order."""

    def __init__(self) -> None:
        self._rows: dict[str, FeatureRow] = {}
        self._shared: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._features: dict[tuple[str, ...], tuple[str, ...]] = {}

    def add(self, row: Mapping[str, Any]) -> FeatureRow:
        """Keep a row given as one mapping, with its ``image_id``; returns what is kept."""
        keys = tuple(row)
        if keys not in self._features:
            self._features[keys] = tuple(name for name in keys if _FEATURE.match(name))
        names = self._features[keys]
        values = np.array([_number(row[name]) for name in names], dtype=np.float64)
        numbers = set(names)
        return self.keep(FeatureRow({name: row[name] for name in keys if name not in numbers}, names, values))

    def keep(self, row: FeatureRow) -> FeatureRow:
        """Keep a row as it is."""
        kept = FeatureRow(row.words, self._shared.setdefault(row.names, row.names), row.values)
        self._rows[str(row.words["image_id"])] = kept
        return kept

    def take(self, image_ids: Sequence[str]) -> pd.DataFrame:
        """The rows of ``image_ids``, which are let go; feature columns in the order of their first appearance."""
        kinds = dict.fromkeys(self._rows[image_id].names for image_id in image_ids)
        columns = dict.fromkeys(name for names in kinds for name in names)
        position = {name: i for i, name in enumerate(columns)}
        places = {names: [position[name] for name in names] for names in kinds}
        matrix = np.full((len(image_ids), len(columns)), np.nan)
        words: list[dict[str, Any]] = []
        for i, image_id in enumerate(image_ids):
            row = self._rows.pop(image_id)
            matrix[i, places[row.names]] = row.values
            words.append(dict(row.words))
        numbers = pd.DataFrame(matrix, columns=list(columns), copy=False)
        return pd.concat([pd.DataFrame(words, index=numbers.index), numbers], axis=1)


def _number(value: Any) -> float:
    """JSON has null for not-a-number; infinity is no measurement."""
    return float(value) if value is not None and np.isfinite(value) else float("nan")
