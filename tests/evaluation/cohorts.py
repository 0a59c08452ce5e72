"""Cohorts made of numbers, for statistics of axillae whose patients have one or two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from usdlr.evaluation.intervals import Estimate

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cohort:
    """Labels, two scores in (0, 1) and the patient of each axilla."""

    y: Array
    score: Array
    other: Array
    patient: NDArray[np.str_]


def random_cohort(
    n: int = 200, seed: int = 0, *, ties: bool = False, bilateral: float = 0.3, gain: float = 1.2
) -> Cohort:
    """``n`` patients, a share of them with both axillae, whose sides resemble each other."""
    random = np.random.default_rng(seed)
    sides = 1 + (random.random(n) < bilateral)
    who = np.repeat(np.arange(n), sides)
    risk = random.normal(-0.6, 1.0, n)[who] + random.normal(0, 0.5, len(who))
    y = (random.random(len(who)) < 1 / (1 + np.exp(-risk))).astype(float)
    score = gain * risk + random.normal(0, 0.7, len(who))
    other = gain * risk + random.normal(0, 1.4, len(who))
    score, other = (1 / (1 + np.exp(-values)) for values in (score, other))
    if ties:
        score, other = np.round(score, 1), np.round(other, 1)
    return Cohort(y, score, other, np.array([f"p{number:05d}" for number in who]))


def doubled(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Every row twice, as if each patient's images had been entered again."""
    return np.concatenate([values, values])


def given(estimate: Estimate) -> tuple[float, float, float]:
    """Low end, value and high end of an estimate that has all three."""
    assert estimate.value is not None
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low, estimate.value, estimate.high
