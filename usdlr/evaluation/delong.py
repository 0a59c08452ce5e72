"""The area under the ROC curve and its variance, without normality.

References
----------
DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988), doi:10.2307/2531595. Sun and Xu, Fast implementation of
DeLong's algorithm, IEEE Signal Process Lett 21 (2014), doi:10.1109/LSP.2014.2337313. Newcombe, Stat Med 25 (2006),
doi:10.1002/sim.2324, method 5. Obuchowski, Nonparametric analysis of clustered ROC curve data, Biometrics 53 (1997)
567, doi:10.2307/2533958.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.stats import rankdata

from usdlr.decision.arrays import FloatArray
from usdlr.evaluation.intervals import Z
from usdlr.evaluation.resampling import Patients

_INSIDE = 1e-9


@dataclass(frozen=True, eq=False)
class Placements:
    """The structural components of one or more AUCs over the same axillae.

    Parameters
    ----------
    auc : (k,) float64 array
        One per score.
    positive : (k, m) float64 array
        For each positive, the share of negatives that score lower (ties count one half).
    negative : (k, n) float64 array
        For each negative, the share of positives that score higher.
    """

    auc: FloatArray
    positive: FloatArray
    negative: FloatArray

    @property
    def covariance(self) -> FloatArray:
        """DeLong's covariance of the AUCs, shape (k, k); NaN with fewer than two positives or negatives."""
        m, n = self.positive.shape[1], self.negative.shape[1]
        k = len(self.auc)
        if min(m, n) < 2:
            return np.full((k, k), np.nan)
        between = np.cov(self.positive).reshape(k, k) / m + np.cov(self.negative).reshape(k, k) / n
        return np.asarray(between, dtype=np.float64)


def placements(truth: FloatArray, scores: npt.ArrayLike) -> Placements:
    """Structural components by mid-ranks, in O(n log n).

    Parameters
    ----------
    truth : (n,) float64 array
        1 positive, 0 negative; both present.
    scores : (k, n) array_like
        Higher means more likely positive.

    Examples
    --------
    >>> import numpy as np
    >>> placements(np.array([0.0, 0.0, 1.0, 1.0]), [[0.1, 0.4, 0.35, 0.8]]).auc
    array([0.75])
    """
    table = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    positive, negative = table[:, truth == 1], table[:, truth == 0]
    m, n = positive.shape[1], negative.shape[1]
    together = rankdata(np.concatenate([positive, negative], axis=1), axis=1)
    above = (together[:, :m] - rankdata(positive, axis=1)) / n
    below = 1 - (together[:, m:] - rankdata(negative, axis=1)) / m
    return Placements(above.mean(axis=1), above, below)


def clustered_variance(parts: Placements, truth: FloatArray, who: Patients) -> float:
    """Obuchowski's variance of the first AUC, for axillae of one patient that need not be independent.

    With one axilla per patient it is DeLong's variance; rows given twice under one patient change nothing.

    Parameters
    ----------
    parts : Placements
        Of the rows.
    truth : (n,) float64 array
        1 positive, 0 negative.
    who : Patients
        Of the same rows.

    Returns
    -------
    float
        NaN where fewer than two patients have a positive, or fewer than two a negative axilla.
    """
    positive, negative = truth == 1, truth == 0
    held = [np.bincount(who.of_row[use], minlength=who.count).astype(np.float64) for use in (positive, negative)]
    clusters = [int((many > 0).sum()) for many in held]
    if min(clusters) < 2:
        return float("nan")
    area, (m, n) = float(parts.auc[0]), (many.sum() for many in held)
    above, below = (
        np.bincount(who.of_row[use], weights=values[0], minlength=who.count) - area * many
        for use, values, many in zip((positive, negative), (parts.positive, parts.negative), held, strict=True)
    )
    own = sum(
        count / (count - 1) * float((part**2).sum()) / many**2
        for count, part, many in zip(clusters, (above, below), (m, n), strict=True)
    )
    shared = who.count / (who.count - 1) * float((above * below).sum()) / (m * n)
    return float(max(own + 2 * shared, 0.0))


def newcombe(auc: float, positives: float, negatives: float) -> tuple[float, float]:
    """A score-type interval that keeps its width where DeLong's variance is zero, e.g. at an AUC of 1.

    The ends solve ``|auc - theta| = z * se(theta)`` with Hanley and McNeil's variance at ``theta``; the numbers of
    positives and negatives may be effective ones, as of :func:`usdlr.evaluation.clustered_rate.effective_number`.

    Examples
    --------
    >>> low, high = newcombe(1.0, 10, 10)
    >>> 0.7 < low < 0.9 and high == 1.0
    True
    """
    half = (positives + negatives) / 2 - 1

    def standard_error(theta: float) -> float:
        spread = 1 + half * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return float(np.sqrt(max(0.0, theta * (1 - theta) * spread / (positives * negatives))))

    # The bracket ends just inside (0, 1), since 0 and 1 themselves solve the equation when they are the estimate.
    low, high = 0.0, 1.0
    if auc > 0:
        low = float(brentq(lambda theta: auc - theta - Z * standard_error(theta), 0.0, min(auc, 1 - _INSIDE)))
    if auc < 1:
        high = float(brentq(lambda theta: theta - auc - Z * standard_error(theta), max(auc, _INSIDE), 1.0))
    return low, high
