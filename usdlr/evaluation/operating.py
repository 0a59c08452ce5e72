"""Operating points: the specificity that a sensitivity costs, and rates of a call with both usual intervals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.decision.arrays import FloatArray, scores
from usdlr.evaluation import weighted
from usdlr.evaluation.intervals import Estimate, Z, clopper_pearson, rate, undefined, wilson
from usdlr.evaluation.metrics import known_rows, no_ranking
from usdlr.evaluation.resampling import (
    REPLICATES,
    SAME,
    Kind,
    bootstrap_weights,
    check_replicates,
    known_patients,
    patient_bootstrap,
    patient_bootstraps,
    replicate,
)
from usdlr.evaluation.weighted import SENSITIVITY


@dataclass(frozen=True)
class SpecificityAtSensitivity:
    """What holding a sensitivity costs.

    Parameters
    ----------
    wanted : float
        The sensitivity asked for.
    threshold : float or None
        The highest score that reaches it when rows at or above are called positive; None where undefined.
    sensitivity : float or None
        What is reached there: more than wanted where positives share a score, or where the share falls between two.
    specificity : Estimate
        At that threshold, with a patient bootstrap interval; the threshold is found again in every replicate.
    adjusted : Estimate
        The same value with Zhou and Qin's interval, which is better with few axillae.
    """

    wanted: float
    threshold: float | None
    sensitivity: float | None
    specificity: Estimate
    adjusted: Estimate

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "wanted": self.wanted,
            "threshold": self.threshold,
            "sensitivity": self.sensitivity,
            "specificity": self.specificity.as_dict(),
            "adjusted": self.adjusted.as_dict(),
        }


def specificity_at_sensitivity(
    y: npt.ArrayLike,
    score: npt.ArrayLike,
    patient: npt.ArrayLike,
    *,
    sensitivity: float = SENSITIVITY,
    replicates: int = REPLICATES,
    seed: int = 0,
    interval: Kind = "percentile",
) -> SpecificityAtSensitivity:
    """Specificity at the highest threshold that reaches a sensitivity.

    A binomial interval would take that threshold as given and be too narrow: it is itself an estimate. Both intervals
    here count its variation. The point describes this sample; it is no threshold to use on others and promises no
    false-negative rate (:mod:`usdlr.decision.thresholds` does).

    Parameters
    ----------
    y : (n,) array_like
        1 positive, 0 negative, NaN unknown.
    score : (n,) array_like
        Higher means more likely positive.
    patient : (n,) array_like
        Whose axilla it is.
    sensitivity : float
        Wanted share of positives, in (0, 1].
    replicates, seed, interval
        As in :func:`usdlr.evaluation.resampling.patient_bootstraps`.

    Raises
    ------
    ConfigError
        If the sensitivity is none.

    References
    ----------
    Zhou and Qin, Stat Med 24 (2005) 465, doi:10.1002/sim.1563: their interval BTII, with the classes exchanged and
    patients drawn; its centre and width are the mean and standard deviation over replicates of (true negatives +
    z²/2) / (negatives + z²), with z² taken times the axillae per patient.

    Examples
    --------
    >>> found = specificity_at_sensitivity([0, 0, 1, 1], [1, 3, 2, 4], ["a", "b", "c", "d"], sensitivity=0.5)
    >>> found.threshold, found.sensitivity, found.specificity.value
    (4.0, 0.5, 1.0)
    """
    weighted.check_sensitivity(sensitivity)
    truth, (values,), who = known_patients(y, patient, score=score)
    n, why = len(truth), no_ranking(truth, values)
    if why:
        return SpecificityAtSensitivity(sensitivity, None, None, undefined(n, why), undefined(n, why))
    ranking = weighted.Ranking(truth, values)
    steps = ranking.steps(np.ones((1, n)))
    at = int(weighted.step_at(steps, sensitivity)[0])

    def statistic(weights: FloatArray) -> FloatArray:
        return weighted.specificity_of_steps(ranking.steps(weights), sensitivity)

    name = f"specificity at a sensitivity of {100 * sensitivity:g} %"
    plain = patient_bootstrap(statistic, who, name, replicates=replicates, seed=seed, interval=interval)
    adjusted = replace(plain, low=None, high=None)
    # Pseudo-observations count as patients do, so that repeated rows do not thin them out.
    pseudo = Z**2 * n / who.count
    if plain.low is not None or SAME in plain.method:

        def pulled(weights: FloatArray) -> FloatArray:
            found = ranking.steps(weights)
            right = weighted.specificity_of_steps(found, sensitivity) * found.negatives
            return np.asarray((right + pseudo / 2) / (found.negatives + pseudo), dtype=np.float64)

        draws = replicate(pulled, bootstrap_weights(who, replicates=replicates, seed=seed))[:, 0]
        kept = draws[np.isfinite(draws)]
        half = Z * float(kept.std(ddof=1))
        low, high = max(0.0, float(kept.mean()) - half), min(1.0, float(kept.mean()) + half)
        method = f"{name}, patient bootstrap, {replicates} replicates, Zhou and Qin's interval BTII"
        if half > 0:
            adjusted = Estimate(plain.value, low, high, n, method)
    reached = float(steps.positive[0, : at + 1].sum() / steps.positives[0])
    return SpecificityAtSensitivity(sensitivity, float(ranking.thresholds[at]), reached, plain, adjusted)


def predictive_values(
    y: npt.ArrayLike, probability: npt.ArrayLike, threshold: npt.ArrayLike
) -> dict[str, dict[str, Estimate]]:
    """PPV and NPV of the call ``probability >= threshold``, each with its exact and its score interval.

    Clopper and Pearson's coverage is never below 95 %, and so mostly above; Wilson's is near 95 % on average. Both
    hold at the prevalence of these axillae alone, and both take axillae as independent.

    Parameters
    ----------
    y, probability, threshold : (n,) array_like
        As in :func:`usdlr.evaluation.metrics.operating_point`.

    Returns
    -------
    dict
        ``ppv`` and ``npv``, each ``{"clopper_pearson": Estimate, "wilson": Estimate}``.

    Examples
    --------
    >>> found = predictive_values([1, 1, 0], [0.9, 0.1, 0.1], [0.5, 0.5, 0.5])
    >>> found["npv"]["wilson"].events, found["npv"]["wilson"].n
    (1, 2)
    """
    truth, called = _calls(y, probability, threshold)
    return {
        "ppv": both_intervals(int((called & (truth == 1)).sum()), int(called.sum())),
        "npv": both_intervals(int((~called & (truth == 0)).sum()), int((~called).sum())),
    }


def both_intervals(events: int, n: int) -> dict[str, Estimate]:
    """A rate with Clopper and Pearson's interval and with Wilson's; undefined where ``n`` is 0.

    Parameters
    ----------
    events, n : int
        Numerator and denominator.

    Examples
    --------
    >>> [round(estimate.high, 3) for estimate in both_intervals(0, 59).values()]
    [0.061, 0.061]
    """
    exact = rate(events, n)
    if not n:
        return {"clopper_pearson": exact, "wilson": exact}
    low, high = wilson(events, n)
    return {
        "clopper_pearson": exact,
        "wilson": Estimate(events / n, low, high, n, "proportion, Wilson interval", events),
    }


def rates_by_patient(
    y: npt.ArrayLike,
    probability: npt.ArrayLike,
    threshold: npt.ArrayLike,
    patient: npt.ArrayLike,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Sensitivity, specificity, PPV and NPV with patient bootstrap intervals, for patients with two axillae.

    Where no patient was called wrongly, every replicate is the same and the bootstrap sees no spread: the exact
    binomial interval stands in, over patients who have at least one axilla in the denominator.

    Parameters
    ----------
    y, probability, threshold : (n,) array_like
        As in :func:`usdlr.evaluation.metrics.operating_point`.
    patient : (n,) array_like
        Whose axilla it is.
    replicates, seed
        As in :func:`usdlr.evaluation.resampling.patient_bootstraps`.

    Returns
    -------
    dict of str to Estimate
        Keys ``sensitivity specificity ppv npv``; ``n`` is the denominator and events are the correct calls.
    """
    check_replicates(replicates)
    known, (values, limit), who = known_patients(
        y,
        patient,
        probability=scores(probability, "probability", probability=True),
        threshold=scores(threshold, "threshold", probability=True),
    )
    called, positive = values >= limit, known == 1
    pairs = {
        "sensitivity": (called & positive, positive),
        "specificity": (~called & ~positive, ~positive),
        "ppv": (called & positive, called),
        "npv": (~called & ~positive, ~called),
    }
    right = np.stack([part for part, _ in pairs.values()], axis=1).astype(np.float64)
    among = np.stack([whole for _, whole in pairs.values()], axis=1).astype(np.float64)
    found = patient_bootstraps(
        weighted.share(right, among), who, [f"proportion ({name})" for name in pairs], replicates=replicates, seed=seed
    )
    rates = {}
    for (name, (part, whole)), estimate in zip(pairs.items(), found, strict=True):
        events, n = int(part.sum()), int(whole.sum())
        if not n:
            rates[name] = rate(0, 0)
            continue
        estimate = replace(estimate, n=n, events=events)
        if events in (0, n):
            # As many independent observations as patients: their axillae all agree.
            people = int((who.total(whole) > 0).sum())
            low, high = clopper_pearson(people if events else 0, people)
            method = f"proportion, Clopper-Pearson interval over {people} patients (all axillae alike)"
            estimate = Estimate(events / n, low, high, n, method, events)
        rates[name] = estimate
    return rates


def _calls(
    y: npt.ArrayLike, probability: npt.ArrayLike, threshold: npt.ArrayLike
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    truth, (values, limit) = known_rows(
        y,
        probability=scores(probability, "probability", probability=True),
        threshold=scores(threshold, "threshold", probability=True),
    )
    return truth, values >= limit
