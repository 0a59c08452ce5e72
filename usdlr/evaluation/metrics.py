"""Discrimination and calibration over axillae.

Every function takes one row per axilla. Labels are 1 positive, 0 negative, NaN unknown: unknown rows are left out and
``n`` counts the rest. Where a number is not defined, the estimate's value is None and its method says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from usdlr.core.errors import InputError
from usdlr.decision.arrays import FloatArray, labels, same_length, scores
from usdlr.evaluation.clustered_rate import effective_number
from usdlr.evaluation.delong import clustered_variance, newcombe, placements
from usdlr.evaluation.intervals import Estimate, Z, clopper_pearson, rate, undefined
from usdlr.evaluation.resampling import Patients, known_patients

FEWEST = 3


@dataclass(frozen=True, eq=False)
class RocCurve:
    """An empirical ROC curve with a pointwise band.

    Parameters
    ----------
    fpr, tpr : (k,) float64 array
        False- and true-positive rate at each threshold, from (0, 0) to (1, 1).
    tpr_low, tpr_high : (k,) float64 array
        Exact 95 % binomial interval of the sensitivity at each threshold.
    thresholds : (k,) float64 array
        A row is called positive at or above it; the first is infinite.
    n : int
        Axillae.
    method : str
        How the band was made.
    """

    fpr: FloatArray
    tpr: FloatArray
    tpr_low: FloatArray
    tpr_high: FloatArray
    thresholds: FloatArray
    n: int
    method: str


def auc(y: npt.ArrayLike, score: npt.ArrayLike, *, patients: npt.ArrayLike | None = None) -> Estimate:
    """Area under the ROC curve with DeLong's variance, or Obuchowski's where patients have several axillae.

    The interval is symmetric on the logit scale, so that it stays within [0, 1]. Where the variance is zero or
    undefined (an AUC of 0 or 1, a single positive or negative), the interval is Newcombe's.

    Parameters
    ----------
    y : (n,) array_like
        1 positive, 0 negative, NaN unknown.
    score : (n,) array_like
        Higher means more likely positive.
    patients : (n,) array_like, optional
        Whose axillae they are; without it, every axilla stands for itself.

    References
    ----------
    See :mod:`usdlr.evaluation.delong`.

    Examples
    --------
    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).value
    0.75
    """
    truth, (values,), who = known_patients(y, patients, score=score)
    why = no_ranking(truth, values)
    if why:
        return undefined(len(truth), why)
    if who.count < len(truth):
        return _clustered_auc(truth, values, who)
    area, variance, how = _auc_variance(truth, values)
    low, high = _logit_interval(area, variance)
    if how:
        low, high = newcombe(area, int(truth.sum()), int((truth == 0).sum()))
        return Estimate(area, low, high, len(truth), f"AUC, Newcombe interval ({how})")
    return Estimate(area, low, high, len(truth), "AUC, DeLong interval on the logit scale")


def auc_mean_over_folds(y: npt.ArrayLike, score: npt.ArrayLike, fold: Sequence[str] | npt.ArrayLike) -> Estimate:
    """Unweighted mean of the folds' AUCs, each within one model's scores.

    The interval, on the logit scale, rests on the folds' DeLong variances (Newcombe's width where that is zero); it
    takes the folds as independent and so leaves out that their training patients overlap.

    Parameters
    ----------
    y, score : (n,) array_like
        As in :func:`auc`.
    fold : (n,) sequence of str
        Test fold of each row.
    """
    values = scores(score, "score")
    truth, names = labels(y, "y"), np.asarray(fold, dtype=object).astype(str)
    if names.shape != truth.shape:
        raise InputError(f"found {names.size} folds for {len(truth)} rows, expected one each; align them")
    same_length(len(truth), score=values)
    areas, variances, every = [], [], sorted(set(names))
    for name in every:
        known = (names == name) & ~np.isnan(truth)
        if no_ranking(truth[known], values[known]):
            continue
        area, variance, how = _auc_variance(truth[known], values[known])
        if how:
            low, high = newcombe(area, int((truth[known] == 1).sum()), int((truth[known] == 0).sum()))
            variance = ((high - low) / (2 * Z)) ** 2
        areas.append(area)
        variances.append(variance)
    n = int((~np.isnan(truth)).sum())
    if not areas:
        return undefined(n, f"no AUC in any of {len(every)} folds")
    mean, variance = float(np.mean(areas)), float(np.sum(variances)) / len(areas) ** 2
    low, high = _logit_interval(mean, variance)
    method = f"mean of {len(areas)} of {len(every)} folds' AUC, fold DeLong variances on the logit scale"
    return Estimate(mean, low, high, n, method)


def delong_difference(y: npt.ArrayLike, score: npt.ArrayLike, other: npt.ArrayLike) -> Estimate:
    """AUC of ``score`` minus AUC of ``other`` on the same axillae, with DeLong's paired interval.

    Parameters
    ----------
    y : (n,) array_like
        1 positive, 0 negative, NaN unknown.
    score, other : (n,) array_like
        Two scores per axilla; higher means more likely positive.

    Examples
    --------
    >>> round(delong_difference([0, 0, 1, 1, 1], [1, 2, 3, 4, 2], [1, 3, 2, 4, 5]).value, 3)
    0.083
    """
    truth, (first, second) = known_rows(y, score=score, other=other)
    why = no_ranking(truth, first) or no_ranking(truth, second)
    if why:
        return undefined(len(truth), why)
    parts = placements(truth, [first, second])
    covariance = parts.covariance
    difference = float(parts.auc[0] - parts.auc[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    same = np.array_equal(parts.positive[0], parts.positive[1]) and np.array_equal(parts.negative[0], parts.negative[1])
    separates = bool(np.isin(parts.auc, (0.0, 1.0)).any())
    if not np.isfinite(variance) or (variance <= 1e-15 and (separates or not same)):
        return Estimate(difference, None, None, len(truth), "AUC difference, no interval: DeLong's variance is zero")
    half = Z * float(np.sqrt(max(variance, 0.0)))
    low, high = max(-1.0, difference - half), min(1.0, difference + half)
    return Estimate(difference, low, high, len(truth), "AUC difference, paired DeLong interval")


def roc_curve(y: npt.ArrayLike, score: npt.ArrayLike) -> RocCurve | None:
    """The ROC curve with an exact binomial band on the sensitivity; None where there is no AUC.

    Parameters
    ----------
    y, score : (n,) array_like
        As in :func:`auc`.

    Examples
    --------
    >>> curve = roc_curve([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> curve.tpr.tolist(), curve.fpr.tolist()
    ([0.0, 0.5, 0.5, 1.0, 1.0], [0.0, 0.0, 0.5, 0.5, 1.0])
    """
    truth, (values,) = known_rows(y, score=score)
    if no_ranking(truth, values):
        return None
    thresholds = np.concatenate([[np.inf], np.unique(values)[::-1]])
    # Positives at or above each threshold, by bisection in the sorted scores.
    positive, negative = np.sort(values[truth == 1]), np.sort(values[truth == 0])
    hits = len(positive) - np.searchsorted(positive, thresholds, side="left")
    false = len(negative) - np.searchsorted(negative, thresholds, side="left")
    ends = np.array([clopper_pearson(int(count), len(positive)) for count in hits])
    return RocCurve(
        false / len(negative),
        hits / len(positive),
        ends[:, 0],
        ends[:, 1],
        thresholds,
        len(truth),
        "pointwise 95 % Clopper-Pearson interval of the sensitivity at each threshold",
    )


def operating_point(y: npt.ArrayLike, probability: npt.ArrayLike, threshold: npt.ArrayLike) -> dict[str, Estimate]:
    """Sensitivity, specificity, PPV and NPV of the call ``probability >= threshold``.

    Parameters
    ----------
    y, probability : (n,) array_like
        As in :func:`brier`.
    threshold : (n,) array_like
        Each row's own threshold.

    Returns
    -------
    dict of str to Estimate
        Keys ``sensitivity specificity ppv npv``; events are the correct calls.

    Examples
    --------
    >>> operating_point([1, 1, 0], [0.9, 0.1, 0.1], [0.5, 0.5, 0.1])["specificity"].value
    0.0
    """
    truth, (values, limit) = known_rows(
        y,
        probability=scores(probability, "probability", probability=True),
        threshold=scores(threshold, "threshold", probability=True),
    )
    called = values >= limit
    positive, negative = truth == 1, truth == 0
    return {
        "sensitivity": rate(int((called & positive).sum()), int(positive.sum())),
        "specificity": rate(int((~called & negative).sum()), int(negative.sum())),
        "ppv": rate(int((called & positive).sum()), int(called.sum())),
        "npv": rate(int((~called & negative).sum()), int((~called).sum())),
    }


def known_rows(y: npt.ArrayLike, **columns: npt.ArrayLike) -> tuple[FloatArray, list[FloatArray]]:
    """Rows of known status: their labels, and each column's values."""
    truth = labels(y, "y")
    arrays = {name: scores(values, name) for name, values in columns.items()}
    same_length(len(truth), **arrays)
    known = ~np.isnan(truth)
    return truth[known], [values[known] for values in arrays.values()]


def no_classes(truth: FloatArray) -> str:
    """Why the rows cannot be judged by class; empty if they can."""
    if len(truth) < FEWEST:
        return f"fewer than {FEWEST} axillae of known status"
    if truth.min() == truth.max():
        return f"all {len(truth)} axillae are {'positive' if truth[0] == 1 else 'negative'}"
    return ""


def no_ranking(truth: FloatArray, values: FloatArray) -> str:
    """Why the values do not rank the rows; empty if they do."""
    return no_classes(truth) or ("the score is constant" if values.min() == values.max() else "")


def _auc_variance(truth: FloatArray, values: FloatArray) -> tuple[float, float, str]:
    parts = placements(truth, values)
    variance = float(parts.covariance[0, 0])
    if not np.isfinite(variance):
        return float(parts.auc[0]), 0.0, "DeLong's variance needs two positives and two negatives"
    return float(parts.auc[0]), variance, "DeLong's variance is zero" if variance <= 1e-15 else ""


def _clustered_auc(truth: FloatArray, values: FloatArray, who: Patients) -> Estimate:
    parts = placements(truth, values)
    area, variance = float(parts.auc[0]), clustered_variance(parts, truth, who)
    held = f"{len(truth)} axillae of {who.count} patients"
    if np.isfinite(variance) and variance > 1e-15:
        low, high = _logit_interval(area, variance)
        method = f"AUC, DeLong interval on the logit scale, clustered by patient (Obuchowski 1997): {held}"
        return Estimate(area, low, high, len(truth), method)
    low, high = newcombe(area, *(effective_number(use, who) for use in (truth == 1, truth == 0)))
    how = "the clustered variance is zero" if variance == 0 else "it needs two patients of either status"
    return Estimate(area, low, high, len(truth), f"AUC, Newcombe interval ({how}; both sides as one): {held}")


def _logit_interval(area: float, variance: float) -> tuple[float, float]:
    error = float(np.sqrt(variance))
    if not 0 < area < 1:  # the mean of perfect folds: no logit, but a width from Newcombe
        return max(0.0, area - Z * error), min(1.0, area + Z * error)
    half = Z * error / (area * (1 - area))
    return float(expit(logit(area) - half)), float(expit(logit(area) + half))
