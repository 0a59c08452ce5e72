"""Two models on the same axillae: paired differences of any metric, and tests that swap or shuffle whole patients.

:func:`usdlr.evaluation.metrics.delong_difference` compares AUCs of independent axillae without resampling.

References
----------
Phipson and Smyth, Stat Appl Genet Mol Biol 9 (2010) 39, doi:10.2202/1544-6115.1585 (a permutation p-value is never 0).
Venkatraman and Begg, Biometrika 83 (1996) 835, doi:10.1093/biomet/83.4.835 (ranks are what is exchanged).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from usdlr.decision.arrays import FloatArray
from usdlr.evaluation.intervals import Estimate, undefined
from usdlr.evaluation.metrics import no_classes, no_ranking
from usdlr.evaluation.resampling import (
    REPLICATES,
    Kind,
    Patients,
    bootstrap_weights,
    check_replicates,
    interval_of,
    jackknife_weights,
    known_patients,
    once,
    replicate,
)
from usdlr.evaluation.weighted import Metric

_ROUNDING = 1e-9  # differences closer than this are the same
_CELLS = 2**19


@dataclass(frozen=True)
class PValue:
    """One test as it stands in a table.

    Parameters
    ----------
    value : float or None
        Two-sided; None where undefined, and ``method`` says why.
    n : int
        Axillae.
    method : str
        Which test, and its null hypothesis.
    """

    value: float | None
    n: int
    method: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"value": self.value, "n": self.n, "method": self.method}


def paired_difference(
    metric: Metric,
    name: str,
    y: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    patient: npt.ArrayLike,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    interval: Kind = "percentile",
) -> Estimate:
    """A metric of ``first`` minus that of ``second``, both from the same patients in every replicate.

    Parameters
    ----------
    metric : callable
        Of :mod:`usdlr.evaluation.weighted`, e.g. ``weighted.auc`` or ``weighted.brier``.
    name : str
        What it is, for ``method``.
    y : (n,) array_like
        1 positive, 0 negative, NaN unknown.
    first, second : (n,) array_like
        Two scores per axilla.
    patient : (n,) array_like
        Whose axilla it is.
    replicates, seed, interval
        As in :func:`usdlr.evaluation.resampling.patient_bootstraps`.

    Returns
    -------
    Estimate
        Two scores that are equal, or rank alike, differ by 0 with the interval from 0 to 0; two models that both
        separate the classes have no interval, since no replicate shows any spread.

    Examples
    --------
    >>> from usdlr.evaluation import weighted
    >>> who = ["a", "b", "c", "d", "e"]
    >>> found = paired_difference(weighted.auc, "AUC", [0, 0, 1, 1, 1], [1, 2, 3, 4, 2], [1, 3, 2, 4, 5], who)
    >>> round(found.value, 3)
    0.083
    """
    check_replicates(replicates)
    truth, (ours, theirs), who = known_patients(y, patient, first=first, second=second)
    n, why = len(truth), no_classes(truth)
    if why:
        return undefined(n, why)
    left, right = metric(truth, ours), metric(truth, theirs)

    def both(weights: FloatArray) -> FloatArray:
        return np.stack([left(weights), right(weights)], axis=1)

    values = once(both, n)
    draws = replicate(both, bootstrap_weights(who, replicates=replicates, seed=seed))
    left_out = None
    if interval == "bca":
        parts = replicate(both, jackknife_weights(who))
        left_out = parts[:, 0] - parts[:, 1]
    kept = draws[np.isfinite(draws).all(axis=1)]
    spread = len(kept) > 0 and bool((np.ptp(kept, axis=0) > 0).all())
    return interval_of(
        float(values[0] - values[1]),
        draws[:, 0] - draws[:, 1],
        f"{name}, paired difference",
        n=n,
        patients=who.count,
        left_out=left_out,
        constant=spread,
    )


def swap_test(
    metric: Metric,
    name: str,
    y: npt.ArrayLike,
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    patient: npt.ArrayLike,
    *,
    ranks: bool = True,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> PValue:
    """Whether two models differ in a metric: their scores are exchanged patient by patient.

    Null hypothesis: for every patient the two models' scores are exchangeable, which is more than that the metrics are
    equal. The difference of a permutation counts as at least as extreme when it differs from the observed one by
    rounding alone.

    Parameters
    ----------
    metric, name, y, first, second, patient
        As in :func:`paired_difference`.
    ranks : bool
        Whether scores are replaced by their ranks, so that models on different scales can be exchanged. False for
        metrics of probabilities, such as the Brier score.
    replicates : int
        Permutations, drawn at random; the smallest p-value is 1 / (replicates + 1).
    seed : int
        Same seed, same p-value.
    """
    check_replicates(replicates)
    truth, (ours, theirs), who = known_patients(y, patient, first=first, second=second)
    n, why = len(truth), no_classes(truth) or no_ranking(truth, ours) or no_ranking(truth, theirs)
    if why:
        return PValue(None, n, f"undefined: {why}")
    if ranks:
        ours, theirs = rankdata(ours).astype(np.float64), rankdata(theirs).astype(np.float64)
    # Every axilla stands in the table once per model; a weight of 1 or 0 says whose score a permutation takes.
    statistic = metric(np.concatenate([truth, truth]), np.concatenate([ours, theirs]))

    def difference(swapped: FloatArray) -> FloatArray:
        kept = 1 - swapped
        return statistic(np.hstack([kept, swapped])) - statistic(np.hstack([swapped, kept]))

    def swaps(random: np.random.Generator, height: int) -> FloatArray:
        return random.integers(0, 2, (height, who.count))[:, who.of_row].astype(np.float64)

    observed = float(difference(np.zeros((1, n)))[0])
    drawn = _permuted(difference, swaps, n, replicates, seed)
    extreme = int((np.abs(drawn) >= abs(observed) - _ROUNDING).sum())
    what = "ranks" if ranks else "scores"
    method = f"{name}, paired permutation of {what} by patient, {replicates} permutations, two-sided"
    return PValue((extreme + 1) / (replicates + 1), n, method)


def label_test(
    metric: Metric,
    name: str,
    y: npt.ArrayLike,
    score: npt.ArrayLike,
    patient: npt.ArrayLike,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> PValue:
    """Whether a score has anything to do with the outcome: outcomes are dealt anew among patients.

    A patient's outcomes stay together and go to a patient with as many axillae. Two-sided by doubling the smaller tail.

    Parameters
    ----------
    metric, name, y, patient, replicates, seed
        As in :func:`swap_test`.
    score : (n,) array_like
        Higher means more likely positive.
    """
    check_replicates(replicates)
    truth, (values,), who = known_patients(y, patient, score=score)
    n, why = len(truth), no_ranking(truth, values)
    if why:
        return PValue(None, n, f"undefined: {why}")
    # Every axilla stands in the table as a positive and as a negative; a weight of 1 or 0 says which it is.
    statistic = metric(np.concatenate([np.ones(n), np.zeros(n)]), np.concatenate([values, values]))
    order = np.argsort(who.of_row, kind="stable")
    per_patient = who.rows()
    starts = np.cumsum(per_patient) - per_patient
    slots = [
        order[starts[per_patient == size][:, None] + np.arange(size)] for size in np.unique(per_patient) if size > 0
    ]

    def value(dealt: FloatArray) -> FloatArray:
        return statistic(np.hstack([dealt, 1 - dealt]))

    def deals(random: np.random.Generator, height: int) -> FloatArray:
        dealt = np.empty((height, n))
        for row in dealt:
            for slot in slots:
                row[slot] = truth[slot[random.permutation(len(slot))]]
        return dealt

    observed = float(value(truth[None, :])[0])
    drawn = _permuted(value, deals, n, replicates, seed)
    above = int((drawn >= observed - _ROUNDING).sum()) + 1
    below = int((drawn <= observed + _ROUNDING).sum()) + 1
    method = f"{name}, permutation of outcomes by patient, {replicates} permutations, two-sided"
    return PValue(min(1.0, 2 * min(above, below) / (replicates + 1)), n, method)


def net_by_patient(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_], who: Patients) -> FloatArray:
    """Per patient, axillae that only ``first`` called rightly minus those that only ``second`` did."""
    return who.total(first.astype(np.float64) - second.astype(np.float64))


def _permuted(
    statistic: Callable[[FloatArray], FloatArray],
    draw: Callable[[np.random.Generator, int], FloatArray],
    rows: int,
    replicates: int,
    seed: int,
) -> FloatArray:
    height = max(1, _CELLS // (2 * rows))
    random = np.random.default_rng(seed)

    def blocks() -> Iterator[FloatArray]:
        for start in range(0, replicates, height):
            yield draw(random, min(height, replicates - start))

    return replicate(statistic, blocks())[:, 0]
