"""Discrimination and calibration over axillae.

Every function takes one row per axilla. Labels are 1 positive, 0 negative, NaN unknown: unknown rows are left out and
``n`` counts the rest. Where a number is not defined, the estimate's value is None and its method says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, logit

from usdlr.core.errors import InputError
from usdlr.decision.arrays import FloatArray, labels, same_length, scores
from usdlr.evaluation.delong import newcombe, placements
from usdlr.evaluation.intervals import Estimate, Z, clopper_pearson, rate, undefined, wilson

FEWEST = 3
RESAMPLES = 2000
_NEWTON_STEPS = 100
_CONVERGED, _SMALLEST_STEP, _NO_INFORMATION = 1e-10, 1e-8, 1e-9
_EXTREME = "the probabilities are so close to 0 and 1 that the fit has no finite standard error"


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


def auc(y: npt.ArrayLike, score: npt.ArrayLike) -> Estimate:
    """Area under the ROC curve with DeLong's variance.

    The interval is symmetric on the logit scale, so that it stays within [0, 1]. Where DeLong's variance is zero or
    undefined (an AUC of 0 or 1, a single positive or negative), the interval is Newcombe's.

    Parameters
    ----------
    y : (n,) array_like
        1 positive, 0 negative, NaN unknown.
    score : (n,) array_like
        Higher means more likely positive.

    References
    ----------
    See :mod:`usdlr.evaluation.delong`.

    Examples
    --------
    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).value
    0.75
    """
    truth, (values,) = _known(y, score=score)
    why = _no_ranking(truth, values)
    if why:
        return undefined(len(truth), why)
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
        if _no_ranking(truth[known], values[known]):
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
    truth, (first, second) = _known(y, score=score, other=other)
    why = _no_ranking(truth, first) or _no_ranking(truth, second)
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
    truth, (values,) = _known(y, score=score)
    if _no_ranking(truth, values):
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


def brier(y: npt.ArrayLike, probability: npt.ArrayLike, *, seed: int = 0) -> Estimate:
    """Mean squared difference between probability and outcome, with a percentile bootstrap interval over axillae.

    Parameters
    ----------
    y : (n,) array_like
        1 positive, 0 negative, NaN unknown.
    probability : (n,) array_like
        Probability of the positive class.
    seed : int
        Of the bootstrap; the same seed gives the same interval.

    References
    ----------
    Brier, Mon Weather Rev 78 (1950), doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.
    """
    truth, (values,) = _known(y, probability=scores(probability, "probability", probability=True))
    if len(truth) < FEWEST:
        return undefined(len(truth), f"fewer than {FEWEST} axillae of known status")
    errors = (values - truth) ** 2
    random = np.random.default_rng(seed)
    means = [errors[random.integers(0, len(errors), len(errors))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    method = f"mean squared error, percentile bootstrap over axillae ({RESAMPLES} resamples)"
    return Estimate(float(errors.mean()), float(low), float(high), len(truth), method)


def calibration_slope(y: npt.ArrayLike, log_odds: npt.ArrayLike) -> Estimate:
    """Slope of a logistic regression of the outcome on the log-odds; 1 is ideal, below 1 is overconfident.

    Parameters
    ----------
    y : (n,) array_like
        1 positive, 0 negative, NaN unknown.
    log_odds : (n,) array_like
        Predicted log-odds of the positive class, in nat.

    References
    ----------
    Cox, Biometrika 45 (1958), doi:10.1093/biomet/45.3-4.562. Van Calster et al., BMC Med 17 (2019),
    doi:10.1186/s12916-019-1466-7.
    """
    truth, (values,) = _known(y, log_odds=log_odds)
    why = _no_ranking(truth, values)
    if why:
        return undefined(len(truth), why)
    positive, negative = values[truth == 1], values[truth == 0]
    if positive.min() >= negative.max() or negative.min() >= positive.max():
        return undefined(len(truth), "the log-odds separate the classes completely")
    centre, scale = float(values.mean()), float(values.std())
    design = np.column_stack([(values - centre) / scale, np.ones_like(values)])
    at, error = _logistic(design, truth, np.zeros_like(values))
    if error is None:
        return undefined(len(truth), _EXTREME)
    slope, error = at / scale, error / scale
    return Estimate(slope, slope - Z * error, slope + Z * error, len(truth), "logistic recalibration, Wald interval")


def calibration_intercept(y: npt.ArrayLike, log_odds: npt.ArrayLike) -> Estimate:
    """Calibration-in-the-large: the shift of the log-odds, slope fixed at 1; 0 is ideal, below 0 risks are too high.

    Parameters
    ----------
    y, log_odds : (n,) array_like
        As in :func:`calibration_slope`, which gives the references.
    """
    truth, (values,) = _known(y, log_odds=log_odds)
    why = _no_classes(truth)
    if why:
        return undefined(len(truth), why)
    intercept, error = _logistic(np.ones((len(truth), 1)), truth, values)
    if error is None:
        return undefined(len(truth), _EXTREME)
    method = "logistic recalibration with slope 1, Wald interval"
    return Estimate(intercept, intercept - Z * error, intercept + Z * error, len(truth), method)


def calibration_curve(y: npt.ArrayLike, probability: npt.ArrayLike, *, bins: int = 10) -> pd.DataFrame:
    """Observed against predicted risk in bins of equal size.

    Parameters
    ----------
    y, probability : (n,) array_like
        As in :func:`brier`.
    bins : int
        Wanted number of bins; equal probabilities stay together, so there may be fewer.

    Returns
    -------
    DataFrame
        One row per bin: ``predicted`` (mean), ``observed`` (share positive), ``low high`` (95 % Wilson), ``events n``.

    Examples
    --------
    >>> calibration_curve([0, 1, 1, 1], [0.125, 0.25, 0.75, 0.875], bins=2)[["predicted", "observed", "n"]]
       predicted  observed  n
    0     0.1875       0.5  2
    1     0.8125       1.0  2
    """
    truth, (values,) = _known(y, probability=scores(probability, "probability", probability=True))
    rows = []
    if len(truth):
        edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
        member = np.searchsorted(edges, values, side="left")
        for index in np.unique(member):
            chosen = member == index
            events, n = int(truth[chosen].sum()), int(chosen.sum())
            rows.append((float(values[chosen].mean()), events / n, *wilson(events, n), events, n))
    return pd.DataFrame(rows, columns=["predicted", "observed", "low", "high", "events", "n"])


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
    truth, (values, limit) = _known(
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


def _known(y: npt.ArrayLike, **columns: npt.ArrayLike) -> tuple[FloatArray, list[FloatArray]]:
    truth = labels(y, "y")
    arrays = {name: scores(values, name) for name, values in columns.items()}
    same_length(len(truth), **arrays)
    known = ~np.isnan(truth)
    return truth[known], [values[known] for values in arrays.values()]


def _no_classes(truth: FloatArray) -> str:
    if len(truth) < FEWEST:
        return f"fewer than {FEWEST} axillae of known status"
    if truth.min() == truth.max():
        return f"all {len(truth)} axillae are {'positive' if truth[0] == 1 else 'negative'}"
    return ""


def _no_ranking(truth: FloatArray, values: FloatArray) -> str:
    return _no_classes(truth) or ("the score is constant" if values.min() == values.max() else "")


def _auc_variance(truth: FloatArray, values: FloatArray) -> tuple[float, float, str]:
    parts = placements(truth, values)
    variance = float(parts.covariance[0, 0])
    if not np.isfinite(variance):
        return float(parts.auc[0]), 0.0, "DeLong's variance needs two positives and two negatives"
    return float(parts.auc[0]), variance, "DeLong's variance is zero" if variance <= 1e-15 else ""


def _logit_interval(area: float, variance: float) -> tuple[float, float]:
    error = float(np.sqrt(variance))
    if not 0 < area < 1:  # the mean of perfect folds: no logit, but a width from Newcombe
        return max(0.0, area - Z * error), min(1.0, area + Z * error)
    half = Z * error / (area * (1 - area))
    return float(expit(logit(area) - half)), float(expit(logit(area) + half))


def _logistic(design: FloatArray, y: FloatArray, offset: FloatArray) -> tuple[float, float | None]:
    """First coefficient at maximum likelihood by damped Newton steps, and its standard error; both must exist.

    The error is None where the information vanishes.
    """
    at = np.zeros(design.shape[1])

    def loss(beta: FloatArray) -> float:
        z = offset + design @ beta
        return float(np.logaddexp(0.0, z).sum() - (y * z).sum())

    def information(p: FloatArray) -> FloatArray:
        return np.asarray((design * (p * (1 - p))[:, None]).T @ design, dtype=np.float64)

    value = loss(at)
    for _ in range(_NEWTON_STEPS):
        p = expit(offset + design @ at)
        step = np.linalg.solve(information(p) + 1e-12 * np.eye(len(at)), design.T @ (p - y))
        size = 1.0
        while loss(at - size * step) > value and size > _SMALLEST_STEP:
            size /= 2
        at = at - size * step
        value = loss(at)
        if np.abs(step).max() < _CONVERGED:
            break
    final = information(expit(offset + design @ at))
    if np.linalg.eigvalsh(final)[0] < _NO_INFORMATION:
        return float(at[0]), None
    return float(at[0]), float(np.sqrt(np.linalg.inv(final)[0, 0]))
