"""Discrimination with intervals that count patients: AUC, partial AUC at high sensitivity, average precision.

The unit of every statistic is the axilla; both axillae of a patient are drawn together. :mod:`usdlr.evaluation.metrics`
has the AUC with DeLong's interval, which takes axillae as independent.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from usdlr.decision.arrays import FloatArray
from usdlr.evaluation import weighted
from usdlr.evaluation.intervals import Estimate, undefined
from usdlr.evaluation.metrics import no_ranking
from usdlr.evaluation.resampling import REPLICATES, Kind, known_patients, patient_bootstrap, patient_bootstraps
from usdlr.evaluation.weighted import HIGH_SENSITIVITY, SENSITIVITY, Metric


def discrimination(
    y: npt.ArrayLike,
    score: npt.ArrayLike,
    patient: npt.ArrayLike,
    *,
    sensitivities: tuple[float, float] = HIGH_SENSITIVITY,
    sensitivity: float = SENSITIVITY,
    replicates: int = REPLICATES,
    seed: int = 0,
    interval: Kind = "percentile",
) -> dict[str, Estimate]:
    """All four measures of a ranking from the same replicates.

    Parameters
    ----------
    y : (n,) array_like
        1 positive, 0 negative, NaN unknown.
    score : (n,) array_like
        Higher means more likely positive.
    patient : (n,) array_like
        Whose axilla it is.
    sensitivities : (low, high)
        Range of the partial area.
    sensitivity : float
        At which the specificity is taken.
    replicates, seed, interval
        As in :func:`usdlr.evaluation.resampling.patient_bootstraps`.

    Returns
    -------
    dict of str to Estimate
        Keys ``auc partial_auc average_precision specificity_at_sensitivity``; see the functions of these names.

    Examples
    --------
    >>> found = discrimination([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], ["a", "b", "c", "d"])
    >>> {name: round(estimate.value, 3) for name, estimate in found.items()}
    {'auc': 0.75, 'partial_auc': 0.737, 'average_precision': 0.833, 'specificity_at_sensitivity': 0.5}
    """
    weighted.check_range(*sensitivities)
    weighted.check_sensitivity(sensitivity)
    truth, (values,), who = known_patients(y, patient, score=score)
    names = {
        "auc": "AUC",
        "partial_auc": _partial(*sensitivities),
        "average_precision": "average precision",
        "specificity_at_sensitivity": f"specificity at a sensitivity of {100 * sensitivity:g} %",
    }
    why = no_ranking(truth, values)
    if why:
        return {key: undefined(len(truth), why) for key in names}
    ranking = weighted.Ranking(truth, values)

    def statistic(weights: FloatArray) -> FloatArray:
        steps = ranking.steps(weights)
        columns = (
            weighted.auc_of_steps(steps),
            weighted.partial_auc_of_steps(steps, *sensitivities),
            weighted.average_precision_of_steps(steps),
            weighted.specificity_of_steps(steps, sensitivity),
        )
        return np.stack(columns, axis=1)

    found = patient_bootstraps(
        statistic, who, list(names.values()), replicates=replicates, seed=seed, interval=interval
    )
    return dict(zip(names, found, strict=True))


def auc(
    y: npt.ArrayLike,
    score: npt.ArrayLike,
    patient: npt.ArrayLike,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    interval: Kind = "percentile",
) -> Estimate:
    """Area under the ROC curve with a patient bootstrap interval; parameters as in :func:`discrimination`.

    A model that separates the classes has no interval here, since every replicate is 1:
    :func:`usdlr.evaluation.metrics.auc` gives Newcombe's.
    """
    return estimate(weighted.auc, "AUC", y, score, patient, replicates=replicates, seed=seed, interval=interval)


def partial_auc(
    y: npt.ArrayLike,
    score: npt.ArrayLike,
    patient: npt.ArrayLike,
    *,
    low: float = HIGH_SENSITIVITY[0],
    high: float = HIGH_SENSITIVITY[1],
    replicates: int = REPLICATES,
    seed: int = 0,
    interval: Kind = "percentile",
) -> Estimate:
    """Partial area under the ROC curve for sensitivities from ``low`` to ``high``, standardised: 0.5 is chance, 1 best.

    Only thresholds that miss few positives count, as they do in a cascade with a false-negative target. Parameters as
    in :func:`discrimination`.

    Raises
    ------
    ConfigError
        If the range is none.

    References
    ----------
    McClish, Med Decis Making 9 (1989) 190, doi:10.1177/0272989X8900900307.
    """
    metric = functools.partial(weighted.partial_auc, low=low, high=high)
    weighted.check_range(low, high)
    name = _partial(low, high)
    return estimate(metric, name, y, score, patient, replicates=replicates, seed=seed, interval=interval)


def average_precision(
    y: npt.ArrayLike,
    score: npt.ArrayLike,
    patient: npt.ArrayLike,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    interval: Kind = "percentile",
) -> Estimate:
    """Area under the precision-recall curve as the mean precision over positives; chance is the prevalence, not 0.5.

    Precision is not interpolated between thresholds: a straight line there promises what no threshold gives. Parameters
    as in :func:`discrimination`.

    References
    ----------
    Davis and Goadrich, ICML 2006, doi:10.1145/1143844.1143874. Saito and Rehmsmeier, PLoS ONE 10 (2015) e0118432,
    doi:10.1371/journal.pone.0118432.
    """
    name = "average precision"
    return estimate(
        weighted.average_precision, name, y, score, patient, replicates=replicates, seed=seed, interval=interval
    )


def estimate(
    metric: Metric,
    name: str,
    y: npt.ArrayLike,
    score: npt.ArrayLike,
    patient: npt.ArrayLike,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    interval: Kind = "percentile",
) -> Estimate:
    """Any metric of a ranking with its patient bootstrap interval.

    Parameters
    ----------
    metric : callable
        Of :mod:`usdlr.evaluation.weighted`.
    name : str
        What it is, for ``method``.
    y, score, patient, replicates, seed, interval
        As in :func:`discrimination`.
    """
    truth, (values,), who = known_patients(y, patient, score=score)
    why = no_ranking(truth, values)
    if why:
        return undefined(len(truth), why)
    return patient_bootstrap(metric(truth, values), who, name, replicates=replicates, seed=seed, interval=interval)


def _partial(low: float, high: float) -> str:
    return f"partial AUC for sensitivities from {100 * low:g} to {100 * high:g} %, standardised (McClish)"
