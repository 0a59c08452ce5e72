"""P-values adjusted for how many tests were made."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import InputError
from usdlr.decision.arrays import FloatArray


def holm(p: npt.ArrayLike) -> FloatArray:
    """Holm's adjusted p-values: below alpha, the chance of any false finding is at most alpha, whatever the dependence.

    Parameters
    ----------
    p : (m,) array_like
        Two-sided p-values; None or NaN where a test was undefined, which counts as no test.

    Returns
    -------
    (m,) float64 array
        In the same order; NaN where ``p`` is.

    Raises
    ------
    InputError
        If a value is no probability.

    References
    ----------
    Holm, Scand J Stat 6 (1979) 65.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    values, known = _known(p)
    order = np.argsort(known, kind="stable")
    stepped = np.maximum.accumulate(known[order] * np.arange(len(known), 0, -1))
    return _spread(values, order, stepped)


def benjamini_hochberg(p: npt.ArrayLike) -> FloatArray:
    """Benjamini and Hochberg's adjusted p-values: the expected share of false ones among findings below alpha.

    It holds for independent or positively dependent tests, such as overlapping subgroups mostly are.

    Parameters
    ----------
    p : (m,) array_like
        As in :func:`holm`.

    References
    ----------
    Benjamini and Hochberg, J R Stat Soc B 57 (1995) 289, doi:10.1111/j.2517-6161.1995.tb02031.x.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.04, 0.04]
    """
    values, known = _known(p)
    order = np.argsort(known, kind="stable")
    scaled = known[order] * len(known) / np.arange(1, len(known) + 1)
    return _spread(values, order, np.minimum.accumulate(scaled[::-1])[::-1])


def _known(p: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    values = np.asarray(p, dtype=np.float64)
    known = values[~np.isnan(values)]
    if values.ndim != 1 or ((known < 0) | (known > 1)).any():
        raise InputError("found p-values that are no column of numbers from 0 to 1; pass one per test, NaN for none")
    return values, known


def _spread(values: FloatArray, order: npt.NDArray[np.int64], adjusted: FloatArray) -> FloatArray:
    back = np.empty(len(order))
    back[order] = np.minimum(adjusted, 1.0)
    found = np.full(len(values), np.nan)
    found[~np.isnan(values)] = back
    return found
