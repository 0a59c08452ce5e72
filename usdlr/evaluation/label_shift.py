"""How common the outcome is at a new centre: counted where it is known, estimated from predictions where it is not.

References
----------
Saerens, Latinne and Decaestecker, Neural Comput 14 (2002) 21, doi:10.1162/089976602753284446 (prevalence from
predictions). Newcombe, Stat Med 17 (1998) 873, method 10 (interval of a difference of proportions).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import InputError
from usdlr.decision.arrays import FloatArray, scores
from usdlr.evaluation.intervals import Estimate, undefined, wilson
from usdlr.evaluation.resampling import patient_bootstrap, patients

_STEPS = 400
FEWEST = 20
REPLICATES = 500


def prevalence_from_predictions(
    probability: npt.ArrayLike, prior: float, *, patient: npt.ArrayLike, seed: int = 0
) -> Estimate:
    """Share of positives at a new centre, from calibrated probabilities alone.

    It holds where the classes themselves look as they did where the model was calibrated, and only their shares differ
    (label shift). Where the images differ too, as after any alarm of shift, it says little.

    Parameters
    ----------
    probability : (n,) array_like
        Calibrated probabilities of the positive class.
    prior : float
        Share of positives among those whom the model was calibrated on, above 0 and below 1.
    patient : (n,) array_like
        Whose axillae they are; the bootstrap draws patients.
    seed : int
        Of the bootstrap.
    """
    p = scores(probability, "probability", probability=True)
    if not 0 < prior < 1:
        return undefined(len(p), "prevalence from predictions: one class only where the model was calibrated")
    if len(p) < FEWEST:
        return undefined(len(p), f"prevalence from predictions: fewer than {FEWEST} axillae")
    up, down = np.clip(p, 1e-9, 1 - 1e-9) / prior, np.clip(1 - p, 1e-9, 1 - 1e-9) / (1 - prior)
    found = patient_bootstrap(
        lambda weights: _expectation(weights, up, down, prior),
        patients(patient),
        "prevalence by expectation-maximisation from predictions (Saerens 2002), no outcome read",
        replicates=REPLICATES,
        seed=seed,
    )
    return found


def prevalence_difference(events: int, n: int, other_events: int, m: int) -> Estimate:
    """Share of positives at a new centre minus that of the reference, with Newcombe's interval.

    Examples
    --------
    >>> found = prevalence_difference(48, 80, 56, 70)
    >>> [round(end, 3) for end in (found.value, found.low, found.high)]
    [0.2, 0.052, 0.334]
    """
    for count, of in ((events, n), (other_events, m)):
        if not 0 <= count <= of:
            raise InputError(f"found {count} positives of {of}, expected no more than there are")
    if not n or not m:
        return undefined(n + m, "prevalence difference: a group without known outcomes")
    first, second = events / n, other_events / m
    (low, high), (other_low, other_high) = wilson(events, n), wilson(other_events, m)
    gap = second - first
    below = float(np.hypot(second - other_low, high - first))
    above = float(np.hypot(other_high - second, first - low))
    return Estimate(gap, gap - below, gap + above, n + m, "difference of proportions, Newcombe's hybrid score interval")


def _expectation(weights: FloatArray, up: FloatArray, down: FloatArray, prior: float) -> FloatArray:
    """The prevalence under each row of weights."""
    total = weights.sum(axis=1)
    share = np.full(len(weights), prior)
    for _ in range(_STEPS):
        odds = share[:, None] * up
        posterior = odds / (odds + (1 - share)[:, None] * down)
        now = (weights * posterior).sum(axis=1) / total
        if np.abs(now - share).max(initial=0.0) < 1e-7:
            return np.asarray(now, dtype=np.float64)
        share = now
    return np.asarray(share, dtype=np.float64)
