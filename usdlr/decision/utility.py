"""Thresholds that cost least, by stated costs. They promise nothing about misses and are never a contract.

References
----------
Pauker and Kassirer, Therapeutic decision making: a cost-benefit analysis, New England Journal of Medicine 293 (1975),
doi:10.1056/NEJM197507312930505.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import ConfigError
from usdlr.core.leak import Rows, require_split
from usdlr.core.types import Split
from usdlr.decision.arrays import FloatArray
from usdlr.decision.chain import BoolArray
from usdlr.decision.path import two_stages


@dataclass(frozen=True)
class Costs:
    """What mistakes cost, in any one unit.

    Parameters
    ----------
    missed_sln, missed_nsln : float
        Of a positive node that is left behind, by stage.
    needless_sln, needless_nsln : float
        Of a sentinel biopsy of a negative axilla, and of a dissection of an NSLN-negative one.

    Raises
    ------
    ConfigError
        If a cost is not positive.
    """

    missed_sln: float
    needless_sln: float
    missed_nsln: float
    needless_nsln: float

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ConfigError(f"found the cost {name} = {value!r}, expected a positive number, e.g. 20")

    @property
    def break_even(self) -> tuple[float, float]:
        """Probabilities at which both mistakes cost the same, if probabilities were exact.

        Examples
        --------
        >>> Costs(19, 1, 9, 1).break_even
        (0.05, 0.1)
        """
        return (
            self.needless_sln / (self.needless_sln + self.missed_sln),
            self.needless_nsln / (self.needless_nsln + self.missed_nsln),
        )


@dataclass(frozen=True)
class UtilityThresholds:
    """Thresholds that cost least among tuning patients. No rate is promised.

    Parameters
    ----------
    costs : Costs
        By which they were chosen.
    t_sln, t_nsln : float
        An axilla is released below them.
    cost_sln, cost_nsln : float
        Mean cost per tuning axilla with known status, by stage; NaN-free: 0 where there is none.
    treat_all_sln, treat_all_nsln : float
        The same with everybody treated.
    n_sln, n_nsln : int
        Axillae behind them.
    fitted_patients : frozenset of str
        Tuning patients.
    """

    costs: Costs
    t_sln: float
    t_nsln: float
    cost_sln: float
    cost_nsln: float
    treat_all_sln: float
    treat_all_nsln: float
    n_sln: int
    n_nsln: int
    fitted_patients: frozenset[str] = field(default=frozenset(), repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain data without patients."""
        plain = asdict(self)
        del plain["fitted_patients"]
        return {"kind": "utility"} | plain


def fit_utility(
    p_sln: npt.ArrayLike,
    y_sln: npt.ArrayLike,
    p_nsln: npt.ArrayLike,
    y_nsln: npt.ArrayLike,
    *,
    rows: Rows,
    costs: Costs,
) -> UtilityThresholds:
    """Thresholds of least mean cost on tuning patients; of several, the lowest, which releases fewest.

    Each stage pays for its own mistakes: stage 1 among axillae of known SLN status, stage 2 among SLN-positive axillae
    of known NSLN status that stage 1 keeps.

    Parameters
    ----------
    p_sln, y_sln, p_nsln, y_nsln : (n,) array_like
        As for :func:`usdlr.decision.path.build_path`.
    rows : Rows
        Whose rows these are; all of the tuning split.
    costs : Costs
        Of mistakes.

    Raises
    ------
    LeakError
        If a row is not of the tuning split.
    InputError
        If arrays do not fit together.
    """
    require_split(rows, [Split.TUNING], "utility thresholds")
    (first, second), (negative, spare) = two_stages(p_sln, y_sln, p_nsln, y_nsln, rows=rows)
    t_sln, cost_sln, all_sln, n_sln = _cheapest(
        first.low, first.positive, negative, costs.missed_sln, costs.needless_sln
    )
    kept = first.low >= t_sln
    t_nsln, cost_nsln, all_nsln, n_nsln = _cheapest(
        second.low, second.positive & kept, spare & kept, costs.missed_nsln, costs.needless_nsln
    )
    return UtilityThresholds(costs, t_sln, t_nsln, cost_sln, cost_nsln, all_sln, all_nsln, n_sln, n_nsln, rows.patients)


def _cheapest(
    p: FloatArray, positive: BoolArray, negative: BoolArray, missed: float, needless: float
) -> tuple[float, float, float, int]:
    """Threshold, its mean cost, that of treating everybody, and the number of axillae."""
    n = int(positive.sum() + negative.sum())
    if n == 0:
        return 0.0, 0.0, 0.0, 0
    use = positive | negative
    scores, place = np.unique(p[use], return_inverse=True)
    misses = np.bincount(place, weights=positive[use], minlength=len(scores))
    spared = np.bincount(place, weights=negative[use], minlength=len(scores))
    everybody = needless * float(negative.sum())
    # Threshold k releases the scores before it; a threshold of 1 keeps whoever scores 1.
    cost = everybody + np.concatenate([[0.0], np.cumsum(missed * misses - needless * spared)])
    thresholds = np.concatenate([scores, [1.0]])
    thresholds[0] = 0.0
    if scores[-1] >= 1.0:
        cost, thresholds = cost[:-1], thresholds[:-1]
    best = int(np.argmin(np.round(cost, 9)))
    # Between two scores any threshold costs the same; the middle does not sit on an axilla.
    t = float(thresholds[best]) if best in (0, len(scores)) else float((scores[best - 1] + scores[best]) / 2)
    return t, float(cost[best] / n), everybody / n, n
