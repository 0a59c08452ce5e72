"""Decision curves: what a model is worth against treating all and treating none, over the risks at which one would act.

*To treat* is whatever a call leads to, here axillary surgery. At a threshold probability p, one finds one node for
every (1 - p) / p needless operations just worth it, and the net benefit counts in nodes found per axilla.

References
----------
Vickers and Elkin, Med Decis Making 26 (2006) 565, doi:10.1177/0272989X06295361. Vickers et al., BMC Med Inform Decis
Mak 8 (2008) 53, doi:10.1186/1472-6947-8-53 (intervals, interventions avoided).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.errors import ConfigError
from usdlr.core.types import Stage
from usdlr.decision.arrays import FloatArray, scores
from usdlr.decision.wording_net_benefit import READING, WHY_ACTED_ON
from usdlr.evaluation.intervals import LEVEL
from usdlr.evaluation.metrics import no_classes
from usdlr.evaluation.resampling import (
    FEWEST_PATIENTS,
    REPLICATES,
    bootstrap_weights,
    check_replicates,
    known_patients,
    once,
    replicate,
)
from usdlr.evaluation.stage_rows import stage_rows

THRESHOLDS = tuple(round(0.01 * step, 2) for step in range(1, 100))
MODEL, ALL, NONE = "model", "treat all", "treat none"
OVER_ALL, OVER_NONE, OVER_BEST = "model minus treat all", "model minus treat none", "model minus the better of both"
AVOIDED = "interventions avoided per 1,000"
# Everything else follows: treating none is worth 0, and the gain over it is the model's own net benefit.
KEPT = (MODEL, ALL, OVER_ALL, OVER_BEST, AVOIDED)
ACTED_ON = tuple(round(0.01 * step, 2) for step in range(1, 51))
FEWEST_MISSED = 5
COLUMNS = ["quantity", "threshold", "value", "low", "high"]


@dataclass(frozen=True, eq=False)
class DecisionCurve:
    """A decision curve with pointwise 95 % intervals.

    Parameters
    ----------
    table : DataFrame
        One row per quantity and threshold: ``quantity threshold value low high``. Quantities: ``model``, ``treat all``
        and ``treat none`` (net benefit per axilla), the model's gain over each and over the better of both, and
        ``interventions avoided per 1,000`` axillae against treating all, at no loss of nodes found. Intervals are
        not-a-number where there are none.
    n, positives : int
        Axillae of known status, and positive ones.
    prevalence : float or None
        Of the population that the curve speaks of; None where undefined.
    method : str
        How it was made, or why there is none.
    missed : tuple of int
        Positive axillae below each threshold. With fewer than :data:`FEWEST_MISSED` the intervals are too narrow.
    """

    table: pd.DataFrame
    n: int
    positives: int
    prevalence: float | None
    method: str
    missed: tuple[int, ...] = ()

    def of(self, quantity: str) -> pd.DataFrame:
        """The rows of one quantity, by threshold."""
        return self.table[self.table["quantity"] == quantity].set_index("threshold")

    def as_dict(self) -> dict[str, Any]:
        """Plain data for ``metrics.json``.

        Returns
        -------
        dict
            ``n positives prevalence method``, ``thresholds``, ``missed`` (positive axillae below each) and
            ``quantities``: by name (of :data:`KEPT`) the lists ``value low high``, one number per threshold; all three
            are empty where the curve is undefined.
        """
        parts = {name: self.of(name) for name in KEPT if not self.table.empty}
        return {
            "n": self.n,
            "positives": self.positives,
            "prevalence": self.prevalence,
            "method": self.method,
            "thresholds": [float(threshold) for threshold in (parts[MODEL].index if parts else ())],
            "missed": list(self.missed),
            "quantities": {
                name: {end: [_plain(number) for number in part[end]] for end in COLUMNS[2:]}
                for name, part in parts.items()
            },
        }


def decision_curve(
    y: npt.ArrayLike,
    probability: npt.ArrayLike,
    patient: npt.ArrayLike,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    prevalence: float | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> DecisionCurve:
    """Net benefit of acting at ``probability >= threshold``.

    Parameters
    ----------
    y : (n,) array_like
        1 positive, 0 negative, NaN unknown.
    probability : (n,) array_like
        Probability of the positive class.
    patient : (n,) array_like
        Whose axilla it is: both are drawn together.
    thresholds : sequence of float
        Rising, within (0, 1).
    prevalence : float or None
        Of the population, where positives and negatives were sampled apart; the classes are weighted to it, and it is
        taken as known. None: that of these axillae, drawn anew in every replicate.
    replicates : int
        Patient bootstrap replicates for percentile intervals.
    seed : int
        Same seed, same intervals.

    Returns
    -------
    DecisionCurve
        Without rows where the status is known of fewer than 3 axillae, or of one class alone.

    Raises
    ------
    ConfigError
        If thresholds or prevalence are out of range.

    Examples
    --------
    >>> curve = decision_curve([1, 1, 0, 0], [0.8, 0.3, 0.6, 0.1], list("abcd"), thresholds=[0.25, 0.5])
    >>> curve.of("model")["value"].round(3).tolist(), curve.of("treat all")["value"].round(3).tolist()
    ([0.417, 0.0], [0.333, 0.0])
    """
    limits = _thresholds(thresholds)
    check_replicates(replicates)
    if prevalence is not None and not 0 < prevalence < 1:
        raise ConfigError(f"found a prevalence of {prevalence}, expected a share between 0 and 1")
    truth, (risk,), who = known_patients(y, patient, probability=scores(probability, "probability", probability=True))
    n, positives = len(truth), int(truth.sum())
    why = no_classes(truth)
    if why:
        return DecisionCurve(pd.DataFrame(columns=COLUMNS), n, positives, None, f"undefined: {why}")
    odds = limits / (1 - limits)
    positive, negative = _Tail(risk, truth == 1, limits), _Tail(risk, truth == 0, limits)

    def statistic(weights: FloatArray) -> FloatArray:
        found, every = positive.sums(weights)
        needless, others = negative.sums(weights)
        rate = every / (every + others) if prevalence is None else np.full(len(weights), prevalence)
        # With the axillae's own prevalence a class without weight contributes nothing, and no division by zero.
        true = np.divide(found, every[:, None], out=np.zeros_like(found), where=every[:, None] > 0) * rate[:, None]
        false = np.divide(needless, others[:, None], out=np.zeros_like(needless), where=others[:, None] > 0)
        model = true - false * (1 - rate)[:, None] * odds
        treat_all = rate[:, None] - (1 - rate)[:, None] * odds
        gain = model - treat_all
        parts = [model, treat_all, np.zeros_like(model), gain, model, model - np.maximum(treat_all, 0)]
        return np.concatenate([*parts, 1000 * gain / odds], axis=1)

    values = once(statistic, n)
    method = f"net benefit, patient bootstrap, {replicates} replicates, percentile interval, {who.count} patients"
    low = high = np.full(len(values), np.nan)
    if who.count < FEWEST_PATIENTS:
        method = f"net benefit, no interval: {who.count} of at least {FEWEST_PATIENTS} patients"
    else:
        draws = replicate(statistic, bootstrap_weights(who, replicates=replicates, seed=seed))
        low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    if prevalence is not None:
        method += f", classes weighted to a prevalence of {100 * prevalence:g} %"
    table = pd.DataFrame(
        {
            "quantity": np.repeat([MODEL, ALL, NONE, OVER_ALL, OVER_NONE, OVER_BEST, AVOIDED], len(limits)),
            "threshold": np.tile(limits, 7),
            "value": values,
            "low": low,
            "high": high,
        }
    )
    share = positives / n if prevalence is None else prevalence
    return DecisionCurve(table, n, positives, share, method, tuple(int(below) for below in positive.below()))


def study_decision_curves(
    predicted: Mapping[Stage, pd.DataFrame],
    labels: pd.DataFrame,
    *,
    thresholds: Sequence[float] = ACTED_ON,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, Any]:
    """The model's decision curve at each stage as plain data; scores that are no probabilities have none.

    Parameters
    ----------
    predicted : mapping of Stage to DataFrame
        Each stage's test predictions: ``probability`` by ``patient_id`` and ``side``.
    labels : DataFrame
        ``patient_id side sln nsln`` of the same axillae: 1 positive, 0 negative, NaN unknown. The NSLN stage is
        judged on SLN-positive axillae of known NSLN status.
    thresholds : sequence of float
        At which one would act; to be fixed before the curve is seen.
    replicates, seed : int
        Of the patient bootstrap.

    Returns
    -------
    dict
        ``sln`` and ``nsln``, each :meth:`DecisionCurve.as_dict` with ``reading`` (how to read it) and ``range`` (why
        these thresholds; empty for others than :data:`ACTED_ON`).
    """
    why = WHY_ACTED_ON if tuple(thresholds) == ACTED_ON else ""
    found: dict[str, Any] = {}
    for stage in Stage:
        rows = stage_rows(stage, predicted[stage], labels)
        curve = decision_curve(
            rows["y"],
            rows["probability"],
            rows["patient_id"],
            thresholds=thresholds,
            replicates=replicates,
            seed=seed,
        )
        found[str(stage)] = {**curve.as_dict(), "reading": READING, "range": why}
    return found


class _Tail:
    """Weight of one class's rows at or above each threshold, for weights that change."""

    def __init__(self, risk: FloatArray, member: npt.NDArray[np.bool_], thresholds: FloatArray) -> None:
        rows = np.flatnonzero(member)
        self._order = rows[np.argsort(-risk[rows], kind="stable")]
        self._counts = np.searchsorted(-risk[self._order], -thresholds, side="right")

    def below(self) -> npt.NDArray[np.int64]:
        """Rows of the class below each threshold."""
        return np.asarray(len(self._order) - self._counts, dtype=np.int64)

    def sums(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Shapes (b, thresholds) and (b,): at or above each threshold, and of the whole class."""
        passed = np.zeros((len(weights), len(self._order) + 1))
        np.cumsum(np.take(weights, self._order, axis=1), axis=1, out=passed[:, 1:])
        return passed[:, self._counts], passed[:, -1]


def _thresholds(thresholds: Sequence[float]) -> FloatArray:
    limits = np.asarray(thresholds, dtype=np.float64)
    inside = limits.ndim == 1 and len(limits) > 0 and bool(((limits > 0) & (limits < 1)).all())
    if not inside or (np.diff(limits) <= 0).any():
        raise ConfigError(f"found thresholds {list(thresholds)[:5]}, expected rising probabilities between 0 and 1")
    return limits


def _plain(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
