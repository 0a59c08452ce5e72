"""The false-negative contract for a cascade of any number of stages; two have a front door of their own.

Stage *j* asks its question of those whom every earlier stage keeps. A positive of stage *j* is missed if stage *j* or
an earlier one releases it. One path of thresholds is fixed on tuning patients and walked on calibration patients; a
step's p-value is the largest of its stages' exact binomial ones, so ``delta`` is joint over all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import ConfigError, InputError
from usdlr.core.leak import Rows, require_disjoint, require_split
from usdlr.core.types import ContractStatus, Split
from usdlr.decision.arrays import FloatArray, labels, same_length, scores
from usdlr.decision.chain import StageRows, miss_counts, outcome
from usdlr.decision.path import shaped_path
from usdlr.decision.thresholds import required_positives, walk


@dataclass(frozen=True, eq=False)
class StagedScores:
    """Scores and labels of every stage, in the order of the cascade.

    Parameters
    ----------
    p : mapping of str to (n,) array
        Calibrated probability of a positive, by stage.
    y : mapping of str to (n,) array
        1 positive, 0 negative, NaN unknown, by stage. A negative of an earlier stage is none of a later one's.

    Raises
    ------
    InputError
        If stages differ, there is none, or arrays do not fit together.
    """

    p: Mapping[str, npt.ArrayLike]
    y: Mapping[str, npt.ArrayLike]

    def __post_init__(self) -> None:
        if not self.p or list(self.p) != list(self.y):
            raise InputError(f"found scores of {list(self.p)} and labels of {list(self.y)}, expected the same stages")

    def rows(self, length: int) -> tuple[list[StageRows], list[npt.NDArray[np.bool_]]]:
        """Stages, and who is known to be negative at each while positive at every earlier one."""
        stages, negative = [], []
        reached = np.ones(length, dtype=bool)
        for name in self.p:
            p, y = scores(self.p[name], f"p_{name}", probability=True), labels(self.y[name], f"y_{name}")
            same_length(length, **{f"p_{name}": p, f"y_{name}": y})
            stages.append(StageRows(y == 1, p, p))
            negative.append(reached & (y == 0))
            reached &= y == 1
        return stages, negative


@dataclass(frozen=True, eq=False)
class StagedPath:
    """Thresholds by stage in the order in which they are tested; the first step treats everybody."""

    t: Mapping[str, FloatArray]
    fitted_patients: frozenset[str] = field(default=frozenset(), repr=False)


@dataclass(frozen=True)
class StagedContract:
    """What calibration patients support; as :class:`usdlr.decision.contract.Contract`, by the names of the stages."""

    alpha: dict[str, float]
    delta: float
    status: ContractStatus
    required_positives: dict[str, int]
    t: dict[str, float]
    positives: dict[str, int]
    misses: dict[str, int]
    p_value: float | None

    @property
    def certified(self) -> bool:
        """Whether the rates are certified."""
        return self.status is ContractStatus.CERTIFIED


def build_staged_path(data: StagedScores, *, rows: Rows, alpha: Mapping[str, float], steps: int = 200) -> StagedPath:
    """Fix the order in which thresholds will be tested, on tuning patients; see :func:`usdlr.decision.path.build_path`.

    Raises
    ------
    LeakError
        If a row is not of the tuning split.
    ConfigError
        If targets are not those of the stages.
    InputError
        If arrays do not fit together.
    """
    require_split(rows, [Split.TUNING], "threshold path")
    targets = _targets(data, alpha)
    stages, negative = data.rows(len(rows))
    return StagedPath(dict(zip(data.p, shaped_path(stages, negative, targets, steps), strict=True)), rows.patients)


def fit_staged_contract(
    path: StagedPath, data: StagedScores, *, rows: Rows, alpha: Mapping[str, float], delta: float
) -> tuple[StagedContract, frozenset[str]]:
    """Walk the path on calibration patients; returns the contract and whom it has seen.

    A contract that is not certifiable has the largest thresholds that miss no calibration positive, and promises
    nothing.

    Raises
    ------
    LeakError
        If a row is not of the calibration split, or a patient helped to build the path.
    ConfigError
        If targets are not those of the stages, or a rate is not between 0 and 1.
    InputError
        If arrays do not fit together.
    """
    require_split(rows, [Split.CALIBRATION], "false-negative contract")
    require_disjoint(path.fitted_patients, rows.patients, "threshold path")
    targets = _targets(data, alpha)
    if not 0 < delta < 1 or list(path.t) != list(data.p):
        raise ConfigError(
            f"found delta = {delta} and a path of {list(path.t)}, expected a number between 0 and 1 and {list(data.p)}"
        )
    stages, _ = data.rows(len(rows))
    t = list(path.t.values())
    misses, positives = miss_counts(t, stages, rows)
    last, p_value = walk(misses, positives, targets, delta)
    held = last > 0
    if held:
        chosen = [float(one[last]) for one in t]
    else:
        ahead = [np.logical_or.reduce([one.positive for one in stages[place:]]) for place in range(len(stages))]
        chosen = [float(stage.low[use].min()) if use.any() else 0.0 for stage, use in zip(stages, ahead, strict=True)]
    at = miss_counts([np.array([one]) for one in chosen], stages, rows)[0]
    tried = [0 if held else int(count[min(last + 1, len(t[0]) - 1)]) for count in misses]
    required = []
    for target, have, lost in zip(targets, positives, tried, strict=True):
        fewest = required_positives(target, delta)
        required.append(fewest if have < fewest else max(fewest, required_positives(target, delta, lost)))
    names = list(data.p)
    contract = StagedContract(
        alpha=dict(zip(names, targets, strict=True)),
        delta=delta,
        status=ContractStatus.CERTIFIED if held else ContractStatus.NOT_CERTIFIABLE,
        required_positives=dict(zip(names, required, strict=True)),
        t=dict(zip(names, chosen, strict=True)),
        positives=dict(zip(names, positives, strict=True)),
        misses={name: int(count[0]) for name, count in zip(names, at, strict=True)},
        p_value=p_value if held else None,
    )
    return contract, rows.patients


def released_by(p: Mapping[str, npt.ArrayLike], contract: StagedContract) -> list[str | None]:
    """Name of the stage that releases each axilla, ``None`` where every stage keeps it.

    Raises
    ------
    InputError
        If the stages are not the contract's, or arrays do not fit together.
    """
    if list(p) != list(contract.t):
        raise InputError(f"found scores of the stages {list(p)}, expected {list(contract.t)} in this order")
    values = [scores(one, f"p_{name}", probability=True) for name, one in p.items()]
    for name, one in zip(p, values, strict=True):
        same_length(len(values[0]), **{f"p_{name}": one})
    nobody = np.zeros(len(values[0]), dtype=bool)
    place, _ = outcome(list(contract.t.values()), [StageRows(nobody, one, one) for one in values])
    names: Sequence[str | None] = [*p, None]
    return [names[one] for one in place]


def _targets(data: StagedScores, alpha: Mapping[str, float]) -> list[float]:
    if list(alpha) != list(data.p) or not all(0 < rate < 1 for rate in alpha.values()):
        raise ConfigError(
            f"found targets {dict(alpha)}, expected one between 0 and 1 for each of {', '.join(data.p)}, in this order"
        )
    return [float(rate) for rate in alpha.values()]
