"""Statistics of many columns at once: medians, AUC, rank correlation; no loop over columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Array = npt.NDArray[np.float64]
DIGITS = 9  # scores are rounded before they are ranked: ties keep the table's order, whatever the processor adds


def medians(values: Array) -> Array:
    """Median of what was measured, (columns,); 0 where nothing was."""
    out = np.zeros(values.shape[1])
    empty = np.isnan(values)
    whole = ~empty.any(axis=0)
    out[whole] = np.median(values[:, whole], axis=0)
    part = ~whole & ~empty.all(axis=0)
    out[part] = np.nanmedian(values[:, part], axis=0)
    return out


def weighted_medians(values: Array, weight: Array) -> Array:
    """The value of every column with half of the weight of what was measured on either side, (columns,).

    The plain median where all rows weigh the same; 0 where nothing was measured.

    Parameters
    ----------
    values : ndarray, (rows, columns)
        Not-a-number where nothing was measured.
    weight : ndarray, (rows,)
        Above 0.
    """
    return np.array([_weighted_median(column, weight) for column in values.T], dtype=np.float64)


def _weighted_median(column: Array, weight: Array) -> float:
    there = np.isfinite(column)
    if not there.any():
        return 0.0
    order = np.argsort(column[there], kind="stable")
    reached = np.cumsum(weight[there][order])
    half, slack = reached[-1] / 2, 1e-9 * reached[-1]
    low, high = (int(np.searchsorted(reached, bound)) for bound in (half - slack, half + slack))
    return float((column[there][order[low]] + column[there][order[high]]) / 2)


def imputed(values: Array, centre: Array) -> Array:
    """Values with ``centre`` where nothing was measured, (rows, columns)."""
    return np.where(np.isnan(values), centre, values)


def constant(values: Array) -> npt.NDArray[np.bool_]:
    """Columns that do not vary beyond rounding, (columns,); not-a-number is left out."""
    count = np.maximum(np.isfinite(values).sum(axis=0), 1)
    filled = np.where(np.isnan(values), 0.0, values)
    mean = filled.sum(axis=0) / count
    spread = np.sqrt((np.where(np.isnan(values), 0.0, values - mean) ** 2).sum(axis=0) / count)
    return np.asarray(spread <= 1e-9 * (1.0 + np.abs(filled).sum(axis=0) / count), dtype=np.bool_)


def auc(values: Array, labels: Array) -> Array:
    """Area under the ROC curve of every column alone, (columns,); ties count half.

    Parameters
    ----------
    values : ndarray, (rows, columns)
        No missing values.
    labels : ndarray, (rows,)
        0 or 1, both there.
    """
    positive = labels == 1
    n = int(positive.sum())
    ranks = np.asarray(rankdata(values, axis=0), dtype=np.float64)
    return np.asarray((ranks[positive].sum(axis=0) - n * (n + 1) / 2) / (n * (len(labels) - n)), dtype=np.float64)


def spearman(values: Array) -> Array:
    """Absolute Spearman correlation of every two columns, (columns, columns); 0 with a constant one.

    Parameters
    ----------
    values : ndarray, (rows, columns)
        No missing values.
    """
    return pearson(np.asarray(rankdata(values, axis=0), dtype=np.float64))


def pearson(values: Array) -> Array:
    """Absolute Pearson correlation of every two columns, (columns, columns); 0 with a constant one."""
    unit = unit_columns(values)
    out = np.clip(np.round(np.abs(unit.T @ unit), DIGITS), 0.0, 1.0)
    np.fill_diagonal(out, 1.0)
    return np.asarray(out, dtype=np.float64)


def unit_columns(values: Array) -> Array:
    """Columns centred and of length one, so that their products are correlations; zeros for a constant one."""
    centred = values - values.mean(axis=0)
    length = np.sqrt((centred**2).sum(axis=0))
    flat = constant(values)
    return np.asarray(np.where(flat, 0.0, centred / np.where(flat, 1.0, length)), dtype=np.float64)


def descending(score: Array) -> list[int]:
    """Positions from the largest score to the smallest; ties keep their order."""
    return [int(place) for place in np.argsort(-np.round(score, DIGITS), kind="stable")]
