"""Which positives every step of a path misses, for a cascade of any number of stages.

An axilla goes from stage to stage. At a stage with threshold ``t`` it is *released* if the upper end of its score lies
below ``t``, *kept* if the lower end does not, and *deferred* otherwise; only a kept axilla goes on. Without deferral
both ends are the score itself. A positive of stage *j* is missed if it is released at stage *j* or an earlier one.

Thresholds never fall along a path, so an axilla that stage *k* releases from step ``r`` on and keeps until step ``u``
is a miss of stage *k* on a run of steps that begins at ``r`` and ends where an earlier stage no longer keeps it. The
runs of one axilla do not overlap, so misses are counted at every step at once, by adding starts and taking ends away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usdlr.core.leak import Rows
from usdlr.decision.arrays import FloatArray

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class StageRows:
    """What one stage knows of every axilla; axillae in the same order at every stage.

    Parameters
    ----------
    positive : (n,) bool array
        Whether the axilla is known to be positive at this stage.
    low, high : (n,) float array
        Ends of the probability; both the probability itself where nobody is deferred for being unsure.
    """

    positive: BoolArray
    low: FloatArray
    high: FloatArray


def miss_counts(
    path: Sequence[FloatArray], stages: Sequence[StageRows], rows: Rows, *, never: BoolArray | None = None
) -> tuple[list[IntArray], list[int]]:
    """Misses at every step and number of positives, one entry per stage.

    Two axillae of one patient are not independent, and exact binomial counts need independent ones: positives of one
    patient count as one, missed if any of them is. For unilateral disease these are the axillae;
    :mod:`usdlr.decision.thresholds` says what it means for the others.

    Parameters
    ----------
    path : sequence of (k,) arrays
        Thresholds by stage; none falls.
    stages : sequence of StageRows
        In the order of the cascade.
    rows : Rows
        Whose axillae they are.
    never : (n,) bool array, optional
        Who is deferred at every step, e.g. for being out of distribution.
    """
    starts, ends = miss_runs(path, stages, never=never)
    steps = len(path[0])
    alone = len(rows.patients) == len(rows)
    codes = None if alone else np.unique(np.asarray(rows.patient_id, dtype=object), return_inverse=True)[1]
    counts, units = [], []
    for stage, rows_of in enumerate(stages):
        chosen = rows_of.positive
        runs = [(start[chosen], end[chosen]) for start, end in zip(starts[: stage + 1], ends[: stage + 1], strict=True)]
        if codes is None:
            counts.append(_at_each_step(runs, steps))
            units.append(int(chosen.sum()))
            continue
        patient = codes[chosen]
        _, first, size = np.unique(patient, return_index=True, return_counts=True)
        single = np.isin(patient, patient[first[size == 1]])
        count = _at_each_step([(start[single], end[single]) for start, end in runs], steps)
        for shared in np.unique(patient[~single]):
            here = patient == shared
            own = [(start[here], end[here]) for start, end in runs]
            count = count + (_at_each_step(own, steps) > 0)
        counts.append(count)
        units.append(len(first))
    return counts, units


def miss_runs(
    path: Sequence[FloatArray], stages: Sequence[StageRows], *, never: BoolArray | None = None
) -> tuple[list[IntArray], list[IntArray]]:
    """First step, and first step after the last one, at which every axilla is released by each stage: (n,) each."""
    steps = len(path[0])
    kept_until = np.full(len(stages[0].low), steps, dtype=np.int64)
    if never is not None:
        kept_until[never] = 0
    starts, ends = [], []
    for t, stage in zip(path, stages, strict=True):
        released = np.searchsorted(t, stage.high, side="right")
        starts.append(released)
        ends.append(np.maximum(kept_until, released))
        # From the first stage on: whom a stage is unsure of, or has released, no later stage sees.
        kept_until = np.minimum(kept_until, np.searchsorted(t, stage.low, side="right"))
    return starts, ends


def deferral_counts(
    path: Sequence[FloatArray], stages: Sequence[StageRows], *, never: BoolArray | None = None
) -> IntArray:
    """Number of axillae that are deferred at every step, (k,)."""
    steps = len(path[0])
    everyone = np.zeros(len(stages[0].low), dtype=bool) if never is None else never
    kept_until = np.where(everyone, 0, steps)
    runs = [(np.zeros(int(everyone.sum()), dtype=np.int64), np.full(int(everyone.sum()), steps, dtype=np.int64))]
    for t, stage in zip(path, stages, strict=True):
        unsure = np.searchsorted(t, stage.low, side="right")
        released = np.searchsorted(t, stage.high, side="right")
        runs.append((unsure, np.maximum(np.minimum(released, kept_until), unsure)))
        kept_until = np.minimum(kept_until, unsure)
    return _at_each_step(runs, steps)


def outcome(
    thresholds: Sequence[float], stages: Sequence[StageRows], *, never: BoolArray | None = None
) -> tuple[IntArray, BoolArray]:
    """Where every axilla leaves the cascade, and whether deferred: (n,) each.

    The first is the number of the stage that releases or defers it, from 0, and ``len(stages)`` where every stage
    keeps it.
    """
    place = np.full(len(stages[0].low), len(stages), dtype=np.int64)
    deferred = np.zeros(len(place), dtype=bool) if never is None else never.copy()
    place[deferred] = 0
    inside = ~deferred
    for number, (t, stage) in enumerate(zip(thresholds, stages, strict=True)):
        leaves = inside & (stage.low < t)
        place[leaves] = number
        deferred |= leaves & ~(stage.high < t)
        inside &= ~leaves
    return place, deferred


def _at_each_step(runs: Sequence[tuple[IntArray, IntArray]], steps: int) -> IntArray:
    change = np.zeros(steps + 1, dtype=np.int64)
    for start, end in runs:
        change += np.bincount(start, minlength=steps + 1) - np.bincount(end, minlength=steps + 1)
    return np.cumsum(change)[:steps]


def misses_so_far(
    path: Sequence[FloatArray], stages: Sequence[StageRows], rows: Rows, *, never: BoolArray | None = None
) -> list[IntArray]:
    """As the counts of :func:`miss_counts`, but who is missed at a step counts at every later one too."""
    starts, ends = miss_runs(path, stages, never=never)
    steps = len(path[0])
    firsts = [np.where(end > start, start, steps) for start, end in zip(starts, ends, strict=True)]
    patient = np.unique(np.asarray(rows.patient_id, dtype=object), return_inverse=True)[1]
    counts = []
    for number, stage in enumerate(stages):
        first = np.minimum.reduce(firsts[: number + 1])
        earliest = np.full(len(rows.patients), steps + 1)
        np.minimum.at(earliest, patient[stage.positive], first[stage.positive])
        counts.append(np.cumsum(np.bincount(earliest, minlength=steps + 2))[:steps])
    return counts
