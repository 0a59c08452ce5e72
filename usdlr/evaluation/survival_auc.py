"""How well a score tells who has an event by a given time: the cumulative/dynamic AUC, corrected for censoring.

Cases at a time t are patients with an event by t, controls those still under observation without one after t. Patients
censored by t are neither; each case is weighted by the inverse chance of having been observed as long (Kaplan-Meier of
the censoring, just before the event), which stands for the censored ones if censoring tells nothing about the event.

References
----------
Uno et al., Evaluating prediction rules for t-year survivors with censored regression models, J Am Stat Assoc 102
(2007) 527, doi:10.1198/016214507000000149. Hung and Chiang, Can J Stat 38 (2010) 8, doi:10.1002/cjs.10046. Heagerty,
Lumley and Pepe, Biometrics 56 (2000) 337, doi:10.1111/j.0006-341X.2000.00337.x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import DataError
from usdlr.decision.arrays import FloatArray, labels, same_length, scores
from usdlr.evaluation.intervals import Estimate, undefined
from usdlr.evaluation.resampling import REPLICATES, patient_bootstraps, patients

FEWEST_EVENTS = 5
"""With fewer events by a time, a few patients decide about the AUC."""


def time_dependent_auc(
    months: npt.ArrayLike,
    event: npt.ArrayLike,
    score: npt.ArrayLike,
    times: Sequence[float],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[float, Estimate]:
    """AUC at each time, with bootstrap intervals in which the censoring is estimated anew.

    Parameters
    ----------
    months : (n,) array_like
        Time to the event or to the end of observation, one row per patient.
    event : (n,) array_like
        1 event, 0 end of observation.
    score : (n,) array_like
        Higher means an earlier event.
    times : sequence of float
        In months.
    replicates, seed : int
        Of the bootstrap over patients.

    Returns
    -------
    dict of float to Estimate
        ``n`` counts all patients, ``events`` those with an event by the time. Undefined with fewer than
        :data:`FEWEST_EVENTS` cases, or without a control.

    Raises
    ------
    DataError
        If an event is neither 0 nor 1, or a time is negative.

    Examples
    --------
    >>> found = time_dependent_auc([1, 2, 3, 4] * 3, [1, 1, 0, 0] * 3, [4, 2, 3, 1] * 3, [2.5])
    >>> found[2.5].value
    0.75
    """
    at, value, happened = scores(months, "months"), scores(score, "score"), labels(event, "event")
    same_length(len(at), score=value, event=happened)
    if np.isnan(happened).any() or (at < 0).any():
        raise DataError("found an unknown event or a negative time, expected follow-up of every row; leave others out")
    n, wanted = len(at), [float(time) for time in times]
    cases = {time: int(((at <= time) & (happened == 1)).sum()) for time in wanted}
    known = [time for time in wanted if cases[time] >= FEWEST_EVENTS and (at > time).any()]
    out = {time: replace(undefined(n, _why(time, cases[time])), events=cases[time]) for time in wanted}
    if not known:
        return out
    kernel = _Kernel(at, happened, value, known)
    names = [f"AUC by {time:g} months (cumulative/dynamic, censoring-weighted)" for time in known]
    found = patient_bootstraps(kernel, patients(np.arange(n)), names, replicates=replicates, seed=seed)
    for time, estimate in zip(known, found, strict=True):
        out[time] = Estimate(estimate.value, estimate.low, estimate.high, n, estimate.method, cases[time])
    return out


def _why(time: float, events: int) -> str:
    if events >= FEWEST_EVENTS:
        return f"nobody observed beyond {time:g} months"
    held = {0: "no event", 1: "only 1 event"}.get(events, f"only {events} events")
    return f"{held} by {time:g} months, expected at least {FEWEST_EVENTS}"


class _Kernel:
    """The AUCs under many sets of weights at once; everything that does not depend on the weights is sorted once."""

    def __init__(self, months: FloatArray, event: FloatArray, score: FloatArray, times: Sequence[float]) -> None:
        # Only what happens up to the last time bears on the censoring before it.
        distinct, position = np.unique(months, return_inverse=True)
        self.steps = int(np.searchsorted(distinct, max(times), side="right"))
        self.early = np.argsort(months, kind="stable")[: int((months <= max(times)).sum())]
        self.starts = np.searchsorted(months[self.early], distinct[: self.steps], side="left")
        self.happened = event[self.early]
        self.parts = [_Time(months, event, score, position, time) for time in times]

    def __call__(self, weight: FloatArray) -> FloatArray:
        """AUCs, shape (replicates, times)."""
        before = self._chance(weight)
        return np.column_stack([part.auc(weight, before) for part in self.parts])

    def _chance(self, weight: FloatArray) -> FloatArray:
        """Chance of being observed up to just before each distinct time, shape (replicates, steps)."""
        ordered = weight[:, self.early]
        leaving = np.add.reduceat(ordered, self.starts, axis=1)
        events = np.add.reduceat(ordered * self.happened, self.starts, axis=1)
        total = weight.sum(axis=1, keepdims=True)
        # At equal times events come first: who has one is no longer at risk of being censored.
        at_risk = total - np.cumsum(leaving, axis=1) + leaving - events
        stay = 1 - (leaving - events) / np.maximum(at_risk, 1e-9)
        before = np.ones((len(weight), self.steps))
        np.cumprod(stay[:, :-1], axis=1, out=before[:, 1:])
        return before


class _Time:
    """Cases and controls of one time."""

    def __init__(
        self, months: FloatArray, event: FloatArray, score: FloatArray, position: npt.NDArray[np.int64], time: float
    ) -> None:
        self.case = np.flatnonzero((months <= time) & (event == 1))
        self.step = position[self.case]
        late = np.flatnonzero(months > time)
        self.control = late[np.argsort(score[late], kind="stable")]
        ranked = score[self.control]
        self.lower = np.searchsorted(ranked, score[self.case], side="left")
        self.not_higher = np.searchsorted(ranked, score[self.case], side="right")

    def auc(self, weight: FloatArray, before: FloatArray) -> FloatArray:
        mine = weight[:, self.case]
        # A case that was not drawn may stand where nobody is left under observation.
        case = np.where(mine > 0, mine / np.maximum(before[:, self.step], 1e-12), 0.0)
        below = np.zeros((len(weight), len(self.control) + 1))
        np.cumsum(weight[:, self.control], axis=1, out=below[:, 1:])
        won = (case * (below[:, self.lower] + below[:, self.not_higher])).sum(axis=1) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(won / (case.sum(axis=1) * below[:, -1]), dtype=np.float64)
