"""Whether single columns of a new group of patients are distributed as those of a reference that is kept as counts.

The test needs counts in the reference's steps alone. Location and spread are compared: the first two orthogonal
polynomials of the pooled mid-ranks (Neyman's smooth test, in the form of Best and Rayner for ordered categories), whose
variance under the hypothesis is that of a random division of the pooled patients into both groups. What differs in
neither is not found.

References
----------
Rayner and Best, A Contingency Table Approach to Nonparametric Testing (2001). Hedges and Olkin, Statistical Methods for
Meta-Analysis (1985) (interval of a standardised difference). Fisher, J R Stat Soc 85 (1922) 87, doi:10.2307/2340521.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2, fisher_exact

from usdlr.decision.arrays import FloatArray
from usdlr.evaluation.intervals import Z

IntArray = npt.NDArray[np.int64]

FEWEST = 10
"""Values on each side that a test needs."""
LEAST_EXPECTED = 5.0


def smooth_p(first: IntArray, second: IntArray) -> FloatArray:
    """P-values of many columns, (p,); not-a-number with fewer than ten values on a side or without any spread.

    Parameters
    ----------
    first, second : (p, k) int64 array
        Counts of both groups in the same ordered steps; steps that a column does not have hold 0.

    Examples
    --------
    >>> even = np.array([[20, 20, 20, 20]])
    >>> smooth_p(even, even).round(3).tolist(), bool(smooth_p(even, np.array([[0, 0, 10, 30]]))[0] < 1e-6)
    ([1.0], True)
    """
    n, m = (one.sum(axis=1).astype(np.float64) for one in (first, second))
    total = n + m
    pooled = (first + second).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = pooled / total[:, None]
        rank = np.cumsum(share, axis=1) - share / 2
        gap = second / m[:, None] - first / n[:, None]
        scale = (total - 1) / total / (1 / n + 1 / m)  # of a random division of the pooled patients
        line = rank - (share * rank).sum(axis=1, keepdims=True)
        line_2 = (share * line**2).sum(axis=1, keepdims=True)
        bend = line**2 - line_2 - line * ((share * line**3).sum(axis=1, keepdims=True) / line_2)
        bend_2 = (share * bend**2).sum(axis=1, keepdims=True)
        squares = [scale * (gap * one).sum(axis=1) ** 2 / two[:, 0] for one, two in ((line, line_2), (bend, bend_2))]
    levels = (pooled > 0).sum(axis=1)
    bent = (levels > 2) & (bend_2[:, 0] > 1e-9)
    statistic = squares[0] + np.where(bent, squares[1], 0.0)
    p = chi2.sf(statistic, np.where(bent, 2, 1))
    usable = (n >= FEWEST) & (m >= FEWEST) & (levels > 1) & (line_2[:, 0] > 1e-9)
    return np.where(usable, p, np.nan)


def share_p(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Fisher's exact p-value of two shares, each ``(with, without)``; not-a-number where a group is empty.

    Examples
    --------
    >>> round(share_p((8, 2), (1, 9)), 4)
    0.0055
    """
    if not sum(first) or not sum(second):
        return float("nan")
    return float(fisher_exact(np.array([first, second]))[1])


def words_p(first: Mapping[str, int], second: Mapping[str, int]) -> float:
    """P-value of the shares of levels of two groups, levels that hardly anybody has taken together.

    Chi-square where every expected count is five at least, after the rarest levels were joined; Fisher's exact test
    of the commonest level against all others otherwise. Not-a-number where one level is left or a group is too small.

    Examples
    --------
    >>> round(words_p({"a": 30, "b": 30}, {"a": 10, "b": 30}), 4)
    0.0137
    """
    names = sorted({*first, *second})
    table = np.array([[one.get(name, 0) for name in names] for one in (first, second)], dtype=np.float64)
    table = table[:, np.argsort(-table.sum(axis=0), kind="stable")]
    if min(table.sum(axis=1), default=0) < FEWEST:
        return float("nan")
    smallest = table.sum(axis=1).min() / table.sum()
    while table.shape[1] > 2 and table[:, -1].sum() * smallest < LEAST_EXPECTED:
        table = np.column_stack([table[:, :-2], table[:, -2:].sum(axis=1)])
    if table.shape[1] < 2 or (table.sum(axis=0) == 0).any():
        return float("nan")
    if table[:, -1].sum() * smallest < LEAST_EXPECTED or table.shape[1] == 2:
        whole = table.astype(np.int64)
        return share_p((int(whole[0, 0]), int(whole[0, 1:].sum())), (int(whole[1, 0]), int(whole[1, 1:].sum())))
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    return float(chi2.sf(((table - expected) ** 2 / expected).sum(), table.shape[1] - 1))


def standardised(
    mean: FloatArray, sd: FloatArray, n: IntArray, other_mean: FloatArray, other_sd: FloatArray, m: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Standardised differences of many columns with their 95 % intervals, (p,) each.

    Parameters
    ----------
    mean, sd, n
        Of the reference.
    other_mean, other_sd, m
        Of the new group; a difference above zero means that its values are larger.

    Returns
    -------
    tuple of (p,) float64 array
        Value, low, high; not-a-number where a group has fewer than five values or neither has any spread.

    Examples
    --------
    >>> one = np.ones(1)
    >>> ends = standardised(0 * one, one, np.array([50]), one, one, np.array([50]))
    >>> [round(float(end[0]), 3) for end in ends]
    [1.0, 0.584, 1.416]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt((sd**2 + other_sd**2) / 2)
        value = np.where(spread > 1e-12 * np.maximum(1.0, np.abs(mean)), (other_mean - mean) / spread, np.nan)
        half = Z * np.sqrt((n + m) / (n * m) + value**2 / (2 * (n + m)))
    return value, value - half, value + half
