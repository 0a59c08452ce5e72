"""The order in which thresholds are tested, fixed on tuning patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import InputError
from usdlr.core.leak import Rows, require_split
from usdlr.core.types import Split
from usdlr.decision.arrays import FloatArray, labels, same_length, scores
from usdlr.decision.chain import BoolArray, StageRows, miss_runs
from usdlr.decision.settings import ContractSettings

# How much of its endpoint's target every stage but the last may lose; the rest is left for later stages.
SPENDING = (1.0, 0.85, 0.7, 0.55, 0.4, 0.25, 0.1)


@dataclass(frozen=True, eq=False)
class ThresholdPath:
    """Pairs of thresholds in the order in which they are tested.

    Parameters
    ----------
    t_sln, t_nsln : (k,) float64 array
        Probabilities; the first pair is (0, 0), neither array ever falls.
    fitted_patients : frozenset of str
        Tuning patients behind the path.

    Raises
    ------
    InputError
        If the pairs do not start at (0, 0), fall, or leave [0, 1].
    """

    t_sln: FloatArray
    t_nsln: FloatArray
    fitted_patients: frozenset[str] = field(default=frozenset(), repr=False)

    def __post_init__(self) -> None:
        for name in ("t_sln", "t_nsln"):
            object.__setattr__(self, name, checked_path(getattr(self, name), name))
        same_length(len(self.t_sln), t_nsln=self.t_nsln)

    @property
    def stages(self) -> tuple[FloatArray, FloatArray]:
        """Thresholds by stage."""
        return self.t_sln, self.t_nsln

    def __len__(self) -> int:
        return len(self.t_sln)


def checked_path(values: npt.ArrayLike, name: str) -> FloatArray:
    """One stage's thresholds along a path, read-only.

    Raises
    ------
    InputError
        If they do not start at 0, fall, or leave [0, 1].
    """
    path = scores(values, name, probability=True).copy()
    if len(path) == 0 or path[0] != 0 or (np.diff(path) < 0).any():
        raise InputError(f"found a threshold path whose {name} is empty, does not start at 0 or falls; use build_path")
    path.setflags(write=False)
    return path


MANY = 100
"""Steps from which on they lie closer together where walks end."""


def build_path(
    p_sln: npt.ArrayLike,
    y_sln: npt.ArrayLike,
    p_nsln: npt.ArrayLike,
    y_nsln: npt.ArrayLike,
    *,
    rows: Rows,
    settings: ContractSettings,
) -> ThresholdPath:
    """Fix the order in which pairs will be tested, on tuning patients.

    Every step aims at losing a share of the positives (:func:`shares`, scaled by the endpoint's target, so that both
    endpoints meet theirs together). The score below which that share of the tuning positives lies is
    interpolated between their sorted scores, with 0 below the lowest and 1 above the highest, so a handful of
    positives still gives a path of small steps. What stage 1 loses of the NSLN positives counts against stage 2; how
    much of its share stage 1 spends, so that stage 2 is left some, is what spares most tuning patients; see
    :func:`shaped_path`. Where tuning holds no positive of an endpoint, the scores of SLN-positive axillae, then of
    all, stand in: the promise does not depend on how good the path is.

    Parameters
    ----------
    p_sln, p_nsln : (n,) array_like
        Calibrated probabilities, one per axilla; ``p_nsln`` = P(NSLN positive | SLN positive, x).
    y_sln, y_nsln : (n,) array_like
        1 positive, 0 negative, NaN unknown.
    rows : Rows
        Whose rows these are; all of the tuning split.
    settings : ContractSettings
        Targets and number of steps.

    Raises
    ------
    LeakError
        If a row is not of the tuning split.
    InputError
        If arrays do not fit together.
    """
    require_split(rows, [Split.TUNING], "threshold path")
    stages, negative = two_stages(p_sln, y_sln, p_nsln, y_nsln, rows=rows)
    t_sln, t_nsln = shaped_path(stages, negative, list(settings.alpha.values()), settings.path_steps)
    return ThresholdPath(t_sln, t_nsln, rows.patients)


def two_stages(
    p_sln: npt.ArrayLike, y_sln: npt.ArrayLike, p_nsln: npt.ArrayLike, y_nsln: npt.ArrayLike, *, rows: Rows
) -> tuple[list[StageRows], list[BoolArray]]:
    """Both stages' scores and positives, and who is known to be negative; NSLN negatives are SLN positive.

    Raises
    ------
    InputError
        If arrays do not fit together.
    """
    sln, nsln = scores(p_sln, "p_sln", probability=True), scores(p_nsln, "p_nsln", probability=True)
    truth_sln, truth_nsln = labels(y_sln, "y_sln"), labels(y_nsln, "y_nsln")
    same_length(len(rows), p_sln=sln, p_nsln=nsln, y_sln=truth_sln, y_nsln=truth_nsln)
    stages = [StageRows(truth_sln == 1, sln, sln), StageRows(truth_nsln == 1, nsln, nsln)]
    return stages, [truth_sln == 0, (truth_nsln == 0) & (truth_sln == 1)]


def shaped_path(
    stages: Sequence[StageRows], negative: Sequence[BoolArray], alpha: Sequence[float], steps: int
) -> list[FloatArray]:
    """Thresholds by stage along the path that spares most tuning patients.

    Every stage but the last may spend a part of what its endpoint may lose. All in one stage is rarely best: the first
    misses buy most, at every stage, so each is given some. Of the parts in :data:`SPENDING`, the one ships whose path
    has the largest specificity, averaged over the stages and over the steps up to the targets. With no negatives to
    tell them apart it is the whole.

    Parameters
    ----------
    stages : sequence of StageRows
        In the order of the cascade.
    negative : sequence of (n,) bool arrays
        By stage, whom it would be right to release.
    alpha : sequence of float
        Targets by stage.
    steps : int
        Number of steps beyond treat-all.
    """
    shape, best = path_of(stages, alpha, steps, 1.0), -np.inf
    for part in SPENDING if len(stages) > 1 and any(who.any() for who in negative) else ():
        path = path_of(stages, alpha, steps, part)
        spared = spared_along(path, stages, negative)[shares(alpha, steps) <= max(alpha)].mean()
        if round(spared, 9) > best:
            shape, best = path, round(spared, 9)
    moved = np.concatenate([[True], np.any([np.diff(t) > 0 for t in shape], axis=0)])
    return [t[moved] for t in shape]


def path_of(stages: Sequence[StageRows], alpha: Sequence[float], steps: int, part: float) -> list[FloatArray]:
    """Thresholds by stage along one path, before steps that move nothing are left out."""
    share = shares(alpha, steps)
    everyone = np.ones(len(stages[0].high), dtype=bool)
    path: list[FloatArray] = []
    for number, (stage, target) in enumerate(zip(stages, alpha, strict=True)):
        ahead = np.logical_or.reduce([later.positive for later in stages[number:]])
        before = [earlier.positive for earlier in reversed(stages[:number])]
        use = next((mask for mask in (ahead, *before) if mask.any()), everyone)
        runs = miss_runs(path, [_of(earlier, use) for earlier in stages[:number]])[0] if number else []
        gone = np.minimum.reduce(runs) if runs else np.full(int(use.sum()), steps + 1)
        lost = np.cumsum(np.bincount(gone, minlength=steps + 2))[: steps + 1] / max(1, int(use.sum()))
        spend = 1.0 if number == len(stages) - 1 else part
        left = share * target / max(alpha) * spend - lost
        left = np.divide(left, 1 - lost, out=np.zeros_like(left), where=lost < 1).clip(0.0, 1.0)
        path.append(np.maximum.accumulate(_quantile(stage.high[use], left)))
    return path


def shares(alpha: Sequence[float], steps: int) -> FloatArray:
    """What every step aims at losing of the endpoint with the largest target, (steps + 1,).

    A path of many steps has half of them below twice that target, where walks end: steps cost no confidence, and
    coarse ones leave specificity behind. A path of few is even.
    """
    fine, end = steps // 2, 2 * max(alpha)
    if steps < MANY or end >= fine / steps:
        return np.arange(steps + 1) / steps
    return np.concatenate([np.arange(fine) / fine * end, np.linspace(end, 1.0, steps - fine + 1)])


def spared_along(path: Sequence[FloatArray], stages: Sequence[StageRows], negative: Sequence[BoolArray]) -> FloatArray:
    """Specificity at every step, averaged over the stages: of those whom a stage should release, how many are."""
    steps, found = len(path[0]), []
    starts = miss_runs(path, stages)[0]
    for number, who in enumerate(negative):
        if who.any():
            first = np.minimum.reduce([start[who] for start in starts[: number + 1]])
            found.append(np.cumsum(np.bincount(first, minlength=steps + 1))[:steps] / int(who.sum()))
    return np.asarray(np.mean(found, axis=0), dtype=np.float64) if found else np.zeros(steps)


def _of(stage: StageRows, use: BoolArray) -> StageRows:
    return StageRows(stage.positive[use], stage.low[use], stage.high[use])


def _quantile(values: FloatArray, share: FloatArray) -> FloatArray:
    """Scores below which the given shares lie: 0, the sorted values and 1 at equal distances."""
    knots = np.concatenate([[0.0], np.sort(values), [1.0]])
    return np.asarray(np.interp(share, np.linspace(0.0, 1.0, len(knots)), knots), dtype=np.float64)
