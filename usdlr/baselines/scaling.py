"""Feature tables on a common scale, fitted on training rows and kept as plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.errors import ConfigError, DataError

Array = npt.NDArray[np.float64]

LINEAR, ASINH = "linear", "asinh"
SCALINGS = (LINEAR, ASINH)
CLIP = 5.0  # standard deviations; a score must not run away along one feature
_IQR = 1.3489795003921634  # of a standard normal distribution


@dataclass(frozen=True, eq=False)
class Scaling:
    """How columns are imputed and standardised.

    Parameters
    ----------
    kind : str
        ``linear``, or ``asinh``: the inverse hyperbolic sine of the distance from the median in robust standard
        deviations, linear near the median and logarithmic in the tails that many texture features have.
    columns : tuple of str
        Columns.
    median, spread, mean, scale : ndarray, (columns,)
        Median, which also replaces missing values, and robust standard deviation of the training rows; mean and
        standard deviation after ``kind``.
    """

    kind: str
    columns: tuple[str, ...]
    median: Array
    spread: Array
    mean: Array
    scale: Array

    @classmethod
    def fit(cls, X: pd.DataFrame, kind: str) -> Self:
        """From training rows; a column that does not vary becomes 0.

        Raises
        ------
        ConfigError
            If ``kind`` is unknown.
        """
        if kind not in SCALINGS:
            raise ConfigError(f"found scaling {kind!r}, expected one of {', '.join(SCALINGS)}")
        values = finite(X.to_numpy(np.float64))
        empty = np.isnan(values).all(axis=0)
        values[:, empty] = 0.0
        low, median, high = np.nanpercentile(values, [25, 50, 75], axis=0)
        values = np.where(np.isnan(values), median, values)
        deviation = values.std(axis=0)
        flat = deviation <= 1e-9 * (1.0 + np.abs(values).mean(axis=0))
        robust = (high - low) / _IQR
        # Counts that are mostly one value have no interquartile range.
        spread = np.where(robust > 1e-6 * deviation, robust, deviation)
        spread = np.where(flat, 1.0, spread)
        bent = _bend(values, kind, median, spread)
        scale = np.where(flat, np.inf, bent.std(axis=0))  # divided by infinity, a flat column says nothing
        return cls(kind, tuple(map(str, X.columns)), median, spread, bent.mean(axis=0), scale)

    def bent(self, X: pd.DataFrame) -> Array:
        """Imputed and bent, not yet standardised, (rows, columns)."""
        missing = [name for name in self.columns if name not in X.columns]
        if missing:
            raise DataError(
                f"found no feature {missing[0]!r} (and {len(missing) - 1} more), expected the features of the fit; "
                "extract them with the same settings"
            )
        values = finite(X[list(self.columns)].to_numpy(np.float64))
        return _bend(np.where(np.isnan(values), self.median, values), self.kind, self.median, self.spread)

    def transform(self, X: pd.DataFrame) -> Array:
        """Standardised by the training rows and clipped at ±5, (rows, columns)."""
        return np.asarray(np.clip((self.bent(X) - self.mean) / self.scale, -CLIP, CLIP), dtype=np.float64)

    def only(self, columns: tuple[str, ...]) -> Scaling:
        """The same for some of the columns."""
        at = [self.columns.index(name) for name in columns]
        return Scaling(self.kind, columns, self.median[at], self.spread[at], self.mean[at], self.scale[at])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; columns that vary only, since JSON has no infinity."""
        return {
            "kind": self.kind,
            "columns": list(self.columns),
            **{name: getattr(self, name).tolist() for name in ("median", "spread", "mean", "scale")},
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Restore what :meth:`to_dict` gave."""
        numbers = [np.array(state[name], dtype=np.float64) for name in ("median", "spread", "mean", "scale")]
        return cls(state["kind"], tuple(state["columns"]), *numbers)


def finite(values: npt.NDArray[np.float64]) -> Array:
    """A copy with not-a-number for everything that is not finite."""
    return np.where(np.isfinite(values), values, np.nan)


def _bend(values: Array, kind: str, median: Array, spread: Array) -> Array:
    return values if kind == LINEAR else np.asarray(np.arcsinh((values - median) / spread), dtype=np.float64)
