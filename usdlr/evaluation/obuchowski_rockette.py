"""The analysis of variance of Obuchowski and Rockette, for readers who score the same cases in several modalities.

References
----------
Obuchowski and Rockette, Commun Stat Simul Comput 24 (1995) 285, doi:10.1080/03610919508813243. Hillis, Obuchowski,
Schartz and Berbaum, Stat Med 24 (2005) 1579, doi:10.1002/sim.2024. Hillis, Stat Med 26 (2007) 596,
doi:10.1002/sim.2532 (degrees of freedom). Dorfman, Berbaum and Metz, Invest Radiol 27 (1992) 723.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from scipy.stats import chi2, norm, t
from scipy.stats import f as f_distribution

from usdlr.core.errors import DataError
from usdlr.decision.arrays import FloatArray
from usdlr.evaluation.delong import placements
from usdlr.evaluation.intervals import LEVEL, Estimate, undefined

_ZERO = 1e-15


class Generality(StrEnum):
    """Whom the statement is about."""

    READERS_AND_CASES = "random readers, random cases"
    CASES = "these readers, random cases"
    READERS = "random readers, these cases"


@dataclass(frozen=True)
class ModalityTest:
    """Whether the modalities' mean AUCs are equal.

    Parameters
    ----------
    statistic, df1, df2, p_value : float or None
        F statistic with its degrees of freedom; for fixed readers a chi-squared one, with ``df2`` None. None where
        undefined, and ``method`` says why.
    method : str
        Test, and whom it is about.
    differences : dict of str to Estimate
        By modality: its reader-averaged AUC minus that of the reference.
    """

    statistic: float | None
    df1: float | None
    df2: float | None
    p_value: float | None
    method: str
    differences: dict[str, Estimate]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        numbers = {name: getattr(self, name) for name in ("statistic", "df1", "df2", "p_value", "method")}
        return {**numbers, "differences": {name: found.as_dict() for name, found in self.differences.items()}}


def jackknife_covariance(y: FloatArray, scores: FloatArray, patient: Any) -> FloatArray:
    """Covariance of AUCs when patients are left out one at a time.

    Parameters
    ----------
    y : (n,) float64 array
        1 positive, 0 negative.
    scores : (k, n) float64 array
        One row per AUC.
    patient : (n,) array
        Whose axilla it is.

    Returns
    -------
    (k, k) float64 array
    """
    _, member = np.unique(patient, return_inverse=True)
    count = int(member.max()) + 1
    parts = placements(y, scores)
    positive, negative = y == 1, y == 0
    m, n = int(positive.sum()), int(negative.sum())
    of_positive, of_negative = member[positive], member[negative]
    lost_m = np.bincount(of_positive, minlength=count)
    lost_n = np.bincount(of_negative, minlength=count)
    left = (m - lost_m) * (n - lost_n)
    if (left == 0).any():
        raise DataError("found a patient who holds all positives or all negatives, expected several; nothing is left")
    without = np.empty((len(scores), count))
    for row, (above, below, value) in enumerate(zip(parts.positive, parts.negative, scores, strict=True)):
        won = above.sum() * n - np.bincount(of_positive, above * n, count) - np.bincount(of_negative, below * m, count)
        for who in np.flatnonzero((lost_m > 0) & (lost_n > 0)):
            # Pairs within this patient were taken away twice.
            own_positive, own_negative = value[positive][of_positive == who], value[negative][of_negative == who]
            margin = own_positive[:, None] - own_negative[None, :]
            won[who] += float(((np.sign(margin) + 1) / 2).sum())
        without[row] = won / left
    around = without - without.mean(axis=1, keepdims=True)
    return np.asarray((count - 1) / count * around @ around.T, dtype=np.float64)


def components(covariance: FloatArray) -> dict[str, float]:
    """Error variance, and the means of the three kinds of covariances: ``variance cov1 cov2 cov3``.

    Parameters
    ----------
    covariance : (modalities, readers, modalities, readers) float64 array
        Of the AUCs over the same cases.
    """
    k, r = covariance.shape[:2]
    same_modality = np.eye(k, dtype=bool)[:, None, :, None]
    same_reader = np.eye(r, dtype=bool)[None, :, None, :]

    def mean(chosen: Any) -> float:
        where = np.broadcast_to(chosen, covariance.shape)
        return float(covariance[where].mean()) if where.any() else float("nan")

    return {
        "variance": mean(same_modality & same_reader),
        "cov1": mean(~same_modality & same_reader),
        "cov2": mean(same_modality & ~same_reader),
        "cov3": mean(~same_modality & ~same_reader),
    }


def modality_test(
    whom: Generality, parts: dict[str, float], gaps: dict[str, float], shape: tuple[int, int], n: int
) -> ModalityTest:
    """Test of equal mean AUCs.

    Parameters
    ----------
    whom : Generality
        Whom the statement is about.
    parts : dict of str to float
        ``ms_modality ms_interaction`` and what :func:`components` gives.
    gaps : dict of str to float
        Difference of each modality's mean AUC to the reference.
    shape : tuple of int
        Modalities and readers.
    n : int
        Axillae.
    """
    k, r = shape
    df1, interaction = float(k - 1), parts["ms_interaction"]
    # With a single reader there is no covariance between readers, and nothing to say about other readers.
    between = max(parts["cov2"] - parts["cov3"], 0.0) if r > 1 else 0.0
    if whom is Generality.CASES:
        error = parts["variance"] - parts["cov1"] + (r - 1) * between
        df2 = float("inf")
    elif r == 1:
        why = "undefined: one reader tells nothing about other readers"
        return ModalityTest(None, None, None, None, why, {name: undefined(n, why[11:]) for name in gaps})
    else:
        error = interaction + (r * between if whom is Generality.READERS_AND_CASES else 0.0)
        df2 = (k - 1) * (r - 1) * (error / interaction) ** 2 if interaction > _ZERO else float("inf")
    what = f"reader-averaged AUC difference, {whom}"
    differences = {name: auc_difference(gap, 2 / r * error, df2, n, what) for name, gap in gaps.items()}
    if error <= _ZERO:
        return ModalityTest(None, None, None, None, "undefined: the error variance is zero", differences)
    if np.isinf(df2):
        statistic = df1 * parts["ms_modality"] / error
        p_value = float(chi2.sf(statistic, df1))
        return ModalityTest(statistic, df1, None, p_value, f"Obuchowski-Rockette chi-squared test, {whom}", differences)
    statistic = parts["ms_modality"] / error
    p_value = float(f_distribution.sf(statistic, df1, df2))
    return ModalityTest(
        statistic, df1, df2, p_value, f"Obuchowski-Rockette F test, Hillis degrees, {whom}", differences
    )


def modality_auc(auc: FloatArray, covariance: FloatArray, n: int) -> Estimate:
    """Reader-averaged AUC of one modality, from its own readings alone."""
    r, mean = len(auc), float(auc.mean())
    if r == 1:
        half = float(norm.ppf(0.5 + LEVEL / 2)) * float(np.sqrt(covariance[0, 0]))
        return Estimate(mean, max(0.0, mean - half), min(1.0, mean + half), n, "AUC of one reader, random cases")
    spread = float(auc.var(ddof=1))
    error = spread + r * max(float(covariance[~np.eye(r, dtype=bool)].mean()), 0.0)
    df = (r - 1) * (error / spread) ** 2 if spread > _ZERO else float("inf")
    method = f"mean AUC of {r} readers, {Generality.READERS_AND_CASES}, Hillis interval"
    if error <= _ZERO:
        return Estimate(mean, None, None, n, f"{method}, none: no spread was seen")
    half = float(t.ppf(0.5 + LEVEL / 2, df)) * float(np.sqrt(error / r))
    return Estimate(mean, max(0.0, mean - half), min(1.0, mean + half), n, method)


def auc_difference(gap: float, variance: float, df: float, n: int, method: str) -> Estimate:
    """A difference with its t interval, or a normal one for infinite ``df``; none where the variance is zero."""
    if variance <= _ZERO:
        return Estimate(gap, None, None, n, f"{method}, no interval: no spread was seen")
    quantile = float(norm.ppf(0.5 + LEVEL / 2)) if np.isinf(df) else float(t.ppf(0.5 + LEVEL / 2, df))
    half = quantile * float(np.sqrt(variance))
    return Estimate(gap, max(-1.0, gap - half), min(1.0, gap + half), n, f"{method}, 95 % interval")
