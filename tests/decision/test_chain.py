"""Misses along a path, against walking every axilla through the stages one by one."""

from __future__ import annotations

import numpy as np
import pytest

from usdlr.core.leak import Rows
from usdlr.decision.chain import StageRows, deferral_counts, miss_counts, misses_so_far, outcome


def one_by_one(t: list[float], low: list[float], high: list[float], never: bool) -> tuple[int, bool]:
    """Stage at which an axilla leaves, from 0, and whether it is deferred there."""
    if never:
        return 0, True
    for stage, threshold in enumerate(t):
        if high[stage] < threshold:
            return stage, False
        if low[stage] < threshold:
            return stage, True
    return len(t), False


@pytest.mark.parametrize("stages", [1, 2, 4])
@pytest.mark.parametrize("bilateral", [False, True])
def test_counts_are_those_of_walking_every_axilla(stages: int, bilateral: bool) -> None:
    random = np.random.default_rng(stages)
    n, steps = 60, 25
    path = [np.concatenate([[0.0], np.sort(random.integers(0, 11, steps - 1) / 10)]) for _ in range(stages)]
    low = random.integers(0, 10, (stages, n)) / 10
    high = np.minimum(1.0, low + random.integers(0, 4, (stages, n)) / 10)
    positive = random.random((stages, n)) < 0.5
    never = random.random(n) < 0.1
    patients = [f"p{row // 2 if bilateral and row < 20 else 100 + row}" for row in range(n)]
    rows = Rows.of(patients, ["calibration"] * n)
    given = [StageRows(*one) for one in zip(positive, low, high, strict=True)]
    counts, units = miss_counts(path, given, rows, never=never)
    deferred = deferral_counts(path, given, never=never)
    so_far = misses_so_far(path, given, rows, never=never)
    seen: list[set[str]] = [set() for _ in range(stages)]
    for step in range(steps):
        t = [float(one[step]) for one in path]
        ends = [one_by_one(t, list(low[:, row]), list(high[:, row]), bool(never[row])) for row in range(n)]
        place, gone = outcome(t, given, never=never)
        assert list(zip(place.tolist(), gone.tolist(), strict=True)) == ends
        assert deferred[step] == sum(late for _, late in ends)
        for stage in range(stages):
            missed = {
                patients[row]
                for row, (at, late) in enumerate(ends)
                if positive[stage, row] and at <= stage and not late
            }
            seen[stage] |= missed
            assert counts[stage][step] == len(missed)
            assert so_far[stage][step] == len(seen[stage])
            assert units[stage] == len({patients[row] for row in range(n) if positive[stage, row]})
