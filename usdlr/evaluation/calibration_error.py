"""Expected calibration errors: how far observed shares lie from predicted risks, over groups of axillae.

Groups are a choice, and each number here names its own. Even a perfect model has an error above 0, the more so the
fewer axillae a group holds; the debiased squared error has not. A bootstrap would add the same bias once more, so there
are no intervals. :mod:`usdlr.evaluation.calibration_smooth` needs no groups.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import InputError
from usdlr.decision.arrays import FloatArray, scores
from usdlr.evaluation.calibration import groups_of
from usdlr.evaluation.intervals import Estimate, undefined
from usdlr.evaluation.metrics import FEWEST, known_rows

Groups = Literal["mass", "width"]
Norm = Literal["l1", "l2", "max"]
_WORDS = {"mass": "of equal size", "width": "of equal width"}
_NAMES = {"l1": "expected calibration error", "l2": "root mean squared calibration error", "max": "largest error"}


def calibration_error(
    y: npt.ArrayLike,
    probability: npt.ArrayLike,
    *,
    bins: int = 10,
    groups: Groups = "mass",
    norm: Norm = "l1",
    debiased: bool = False,
) -> Estimate:
    """Difference between the mean predicted risk and the observed share of positives, over groups of axillae.

    Parameters
    ----------
    y : (n,) array_like
        1 positive, 0 negative, NaN unknown.
    probability : (n,) array_like
        Probability of the positive class.
    bins : int
        Groups: at most that many.
    groups : str
        ``mass``: groups of equal size, equal probabilities together. ``width``: probabilities are cut at multiples of
        ``1 / bins``, a probability on a cut belongs above it.
    norm : str
        ``l1``: mean absolute difference, the usual ECE, each group weighted by its axillae; ``l2``: root of the mean
        squared difference; ``max``: the largest.
    debiased : bool
        With ``l2`` alone: the root of :func:`squared_calibration_error`, or 0 where that is negative.

    Raises
    ------
    InputError
        If an option is unknown, or ``debiased`` stands with another norm.

    References
    ----------
    Naeini, Cooper and Hauskrecht, AAAI 2015, doi:10.1609/aaai.v29i1.9602 (l1, max). Kumar, Liang and Ma, NeurIPS 2019,
    arXiv 1909.10155 (l2, debiased).

    Examples
    --------
    >>> calibration_error([0, 1, 1, 1], [0.25, 0.25, 0.75, 0.75], bins=2).value
    0.25
    """
    if norm not in _NAMES or (debiased and norm != "l2"):
        raise InputError(f"found norm = {norm!r} and debiased = {debiased}, expected l1, l2 or max; debiased needs l2")
    if debiased:
        squared = squared_calibration_error(y, probability, bins=bins, groups=groups)
        if squared.value is None:
            return squared
        method = squared.method.replace("debiased squared", "root of the debiased squared")
        return Estimate(max(squared.value, 0.0) ** 0.5, None, None, squared.n, method)
    n, gaps, counts, _ = _gaps(y, probability, bins, groups)
    if n < FEWEST:
        return undefined(n, f"fewer than {FEWEST} axillae of known status")
    share = counts / n
    value = {"l1": (share * np.abs(gaps)).sum(), "l2": (share * gaps**2).sum() ** 0.5, "max": np.abs(gaps).max()}[norm]
    return Estimate(
        float(value), None, None, n, f"{_NAMES[norm]} over {len(gaps)} groups {_WORDS[groups]}, no interval"
    )


def squared_calibration_error(
    y: npt.ArrayLike, probability: npt.ArrayLike, *, bins: int = 10, groups: Groups = "mass", debiased: bool = True
) -> Estimate:
    """Mean squared difference between the mean predicted risk and the share of positives of a group.

    Debiased, each group's squared difference has the estimated variance of its share taken off. Its expectation is the
    true error of the grouped risks then, and it may be negative.

    Parameters
    ----------
    y, probability, bins, groups
        As in :func:`calibration_error`.
    debiased : bool
        Whether to take the variance off; every group needs two axillae for it.
    """
    n, gaps, counts, observed = _gaps(y, probability, bins, groups)
    if n < FEWEST:
        return undefined(n, f"fewer than {FEWEST} axillae of known status")
    if debiased and counts.min() < 2:
        return undefined(n, "a group of a single axilla has no variance")
    excess = observed * (1 - observed) / (counts - 1) if debiased else 0.0
    value = float((counts * (gaps**2 - excess)).sum() / n)
    word = "debiased squared" if debiased else "squared"
    method = f"{word} calibration error over {len(gaps)} groups {_WORDS[groups]}, no interval"
    return Estimate(value, None, None, n, method)


def _gaps(
    y: npt.ArrayLike, probability: npt.ArrayLike, bins: int, groups: str
) -> tuple[int, FloatArray, FloatArray, FloatArray]:
    """Axillae; and per group: predicted minus observed, axillae, observed."""
    if groups not in _WORDS or bins < 1:
        raise InputError(f"found groups = {groups!r} and bins = {bins}, expected mass or width and at least 1 bin")
    truth, (values,) = known_rows(y, probability=scores(probability, "probability", probability=True))
    if not len(truth):
        return 0, np.empty(0), np.empty(0), np.empty(0)
    edges = np.arange(1, bins) / bins
    member = groups_of(values, bins) if groups == "mass" else np.searchsorted(edges, values, side="right")
    _, place, counts = np.unique(member, return_inverse=True, return_counts=True)
    observed = np.bincount(place, truth) / counts
    return len(truth), np.bincount(place, values) / counts - observed, counts.astype(np.float64), observed
