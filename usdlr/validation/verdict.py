"""Whether a false-negative target was kept at a centre: held, broken or undetermined, and what would settle it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core.types import Stage
from usdlr.decision.wording_validation import Standing
from usdlr.evaluation.alignment import AXILLA, by_axilla, label_table, same_axillae
from usdlr.evaluation.cascade import MISSED_NSLN, MISSED_SLN
from usdlr.evaluation.clustered_rate import clustered_rate, effective_number, exact_ends
from usdlr.evaluation.intervals import Estimate
from usdlr.evaluation.resampling import patients

MOST = 100_000  # positives beyond which a rate lies too near to its target to be told from it
_SPARED = {Stage.SLN: MISSED_SLN, Stage.NSLN: MISSED_NSLN}


@dataclass(frozen=True)
class Verdict:
    """What the data of a centre say about one target.

    Parameters
    ----------
    stage : Stage
        Whose positives.
    rate : Estimate
        Positives missed, with the exact interval; both axillae of a patient taken as wholly alike.
    alpha : float
        The target.
    standing : Standing
        ``held``: the upper end is at most alpha; ``broken``: the lower end is above it; otherwise ``undetermined``.
    further_clean : int or None
        While undetermined: further positives, none of them missed, until it is held.
    further_same : int or None
        While undetermined: further positives, missed at the observed rate, until it is settled; ``None`` where the
        observed rate is the target or too near to it.
    towards : Standing or None
        What it would be settled as, at the observed rate.
    effective : float or None
        Independent positives that they are worth; ``None``: as many as there are.
    """

    stage: Stage
    rate: Estimate
    alpha: float
    standing: Standing
    further_clean: int | None = None
    further_same: int | None = None
    towards: Standing | None = None
    effective: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data for ``validation.json``."""
        return {
            "rate": self.rate.as_dict(),
            "alpha": self.alpha,
            "standing": str(self.standing),
            "further_clean": self.further_clean,
            "further_same": self.further_same,
            "towards": None if self.towards is None else str(self.towards),
            "effective": self.effective,
        }


def verdicts(decisions: pd.DataFrame, labels: pd.DataFrame, alpha: Mapping[str, float]) -> dict[Stage, Verdict]:
    """The verdict on both targets.

    Parameters
    ----------
    decisions : DataFrame
        The ``decisions`` table, by the bundle's thresholds. A deferred axilla is not missed.
    labels : DataFrame
        ``patient_id side sln nsln`` of the same axillae: 1 positive, 0 negative, NaN unknown.
    alpha : mapping of str to float
        The targets by stage.

    Raises
    ------
    InputError
        If the tables do not hold the same axillae once each.
    """
    decided, truth = by_axilla(decisions, ("risk_group",), "decisions"), label_table(labels)
    same_axillae(decided, truth, "decisions", "labels")
    who = patients(truth.index.get_level_values(AXILLA[0]).to_numpy())
    found = {}
    for stage in Stage:
        missed = decided["risk_group"].isin(_SPARED[stage]).to_numpy(bool)
        positive = (truth[str(stage)] == 1).to_numpy(bool)
        rate = clustered_rate(missed, positive, who)
        found[stage] = judge(stage, rate, alpha[str(stage)], effective_number(positive, who))
    return found


def judge(stage: Stage, rate: Estimate, alpha: float, effective: float) -> Verdict:
    """The verdict on one rate.

    Parameters
    ----------
    stage : Stage
        Whose positives.
    rate : Estimate
        Missed of positives.
    alpha : float
        The target.
    effective : float
        Independent positives that they are worth; further ones are taken as one to a patient.

    Examples
    --------
    >>> from usdlr.evaluation.intervals import rate
    >>> judge(Stage.SLN, rate(7, 32), 0.1, 32).standing, judge(Stage.SLN, rate(0, 36), 0.1, 36).standing
    (<Standing.UNDETERMINED: 'undetermined'>, <Standing.HELD: 'held'>)
    """
    open_ = Verdict(stage, rate, alpha, Standing.UNDETERMINED, effective=effective)
    if rate.value is None or rate.low is None or rate.high is None:
        return replace(open_, further_clean=further(0, 0, 0.0, alpha, 0.0))
    if rate.high <= alpha:
        return replace(open_, standing=Standing.HELD)
    if rate.low > alpha:
        return replace(open_, standing=Standing.BROKEN)
    misses, n = int(rate.events or 0), rate.n
    open_ = replace(open_, further_clean=further(misses, n, effective, alpha, 0.0))
    if abs(rate.value - alpha) < 1e-12:
        return open_
    same = further(misses, n, effective, alpha, rate.value)
    towards = Standing.HELD if rate.value < alpha else Standing.BROKEN
    return replace(open_, further_same=same, towards=towards if same is not None else None)


def further(misses: int, n: int, effective: float, alpha: float, rate: float) -> int | None:
    """Fewest further positives after which the exact interval leaves alpha on one side.

    Parameters
    ----------
    misses, n : int
        So far.
    effective : float
        What the n are worth.
    alpha : float
        The target.
    rate : float
        Share of the further positives that is missed; their number is rounded away from the verdict that is hoped for,
        up where the rate is below alpha and down where it is above.

    Returns
    -------
    int or None
        ``None`` beyond :data:`MOST`.

    Examples
    --------
    >>> further(0, 0, 0.0, 0.1, 0.0), further(1, 36, 36.0, 0.1, 0.0)
    (36, 18)
    """
    below = rate < alpha
    size = 256
    start = 1
    while start <= MOST:
        more = np.arange(start, min(start + size, MOST + 1))
        extra = np.round(rate * more, 9)
        hits = misses + (np.ceil(extra) if below else np.floor(extra))
        low, high = exact_ends(hits, n + more, effective + more)
        settled = high <= alpha if below else low > alpha
        if settled.any():
            return int(more[int(settled.argmax())])
        start, size = start + size, size * 2
    return None
