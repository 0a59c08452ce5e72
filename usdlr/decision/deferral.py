"""Whom the cascade gives no answer: rules fixed on training and tuning patients, kept when thresholds are certified.

An axilla is deferred when the interval of a stage's log-odds crosses that stage's threshold, or when its
out-of-distribution score is too high or unknown. A deferred patient follows the usual pathway and is never missed.

The contract stays exact with it. The rule and the path are fixed before calibration, so at every step of the path
"missed" is a fixed function of what is known of one axilla. Given their number, misses among *all* calibration
positives, deferred ones in the denominator, are therefore binomial, and so is every exact p-value. Misses may fall
from one step to the next, when a rising stage-1 threshold defers whom stage 2 released; testing a fixed sequence up to
its first failure needs no monotone risk. What deferral costs is seen in its rates alone: deferring everybody keeps
every target.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, logit

from usdlr.core.errors import BundleError, InputError
from usdlr.core.leak import Rows, require_split
from usdlr.core.types import Split, Stage
from usdlr.decision.arrays import FloatArray, same_length, scores
from usdlr.decision.chain import BoolArray, StageRows, deferral_counts, miss_counts
from usdlr.decision.path import ThresholdPath

OOD = "ood"
WIDTHS = np.linspace(0.0, 1.0, 41)
"""Parts of the interval that are tried."""


@dataclass(frozen=True, eq=False)
class Unsure:
    """How unsure each row is.

    Parameters
    ----------
    below, above : mapping of str to (n,) float array
        By stage: how far the interval of the calibrated log-odds reaches below and above them, in nat, 0 or more.
    ood : (n,) float array, optional
        Out-of-distribution score, higher is stranger; NaN where unknown.

    Raises
    ------
    InputError
        If a stage is missing, or a reach is negative or no number.
    """

    below: Mapping[str, FloatArray]
    above: Mapping[str, FloatArray]
    ood: FloatArray | None = None

    def __post_init__(self) -> None:
        for side in ("below", "above"):
            given = getattr(self, side)
            for stage in Stage:
                if str(stage) not in given:
                    raise InputError(f"found no reach {side} the log-odds of stage {stage}, expected both stages")
                reach = scores(given[str(stage)], f"reach {side} the log-odds of stage {stage}")
                if (reach < 0).any():
                    raise InputError(f"found a negative reach {side} the log-odds of stage {stage}, expected 0 or more")

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """Columns that :meth:`of` reads beside ``ood``."""
        return tuple(f"{side}_{stage}" for stage in Stage for side in ("below", "above"))

    @classmethod
    def of(cls, table: pd.DataFrame) -> Self:
        """From the columns ``below_sln above_sln below_nsln above_nsln`` and, where there is one, ``ood``.

        Raises
        ------
        InputError
            If a column is missing or a reach impossible.
        """
        missing = [name for name in cls.columns() if name not in table]
        if missing:
            raise InputError(
                f"found no column {missing[0]!r} among the scores, expected {', '.join(cls.columns())}: the contract "
                "defers axillae near a threshold and must know how unsure their log-odds are"
            )
        reach = {
            side: {str(s): table[f"{side}_{s}"].to_numpy(np.float64) for s in Stage} for side in ("below", "above")
        }
        return cls(reach["below"], reach["above"], table[OOD].to_numpy(np.float64) if OOD in table else None)

    def take(self, use: BoolArray) -> Unsure:
        """The chosen rows."""
        return Unsure(
            {name: reach[use] for name, reach in self.below.items()},
            {name: reach[use] for name, reach in self.above.items()},
            None if self.ood is None else self.ood[use],
        )


@dataclass(frozen=True)
class DeferralRule:
    """Who is deferred, as a value that travels with the contract.

    Parameters
    ----------
    width : float
        Part of the interval that counts, 0 to 1: 0 defers nobody for being near a threshold.
    ood_above : float or None
        Scores above it are out of distribution; ``None``: nobody is.
    fitted_patients : frozenset of str
        Whom the rule was fitted on.
    """

    width: float = 0.0
    ood_above: float | None = None
    fitted_patients: frozenset[str] = field(default=frozenset(), repr=False, compare=False)

    def apply(self, stages: Sequence[StageRows], unsure: Unsure) -> tuple[list[StageRows], BoolArray]:
        """Rows with the ends of the interval that counts, and who is out of distribution.

        Raises
        ------
        InputError
            If lengths differ, or the rule needs an out-of-distribution score and there is none.
        """
        length = len(stages[0].low)
        widened = []
        for stage, name in zip(stages, map(str, Stage), strict=True):
            below, above = (
                self.width * np.asarray(part[name], dtype=np.float64) for part in (unsure.below, unsure.above)
            )
            same_length(length, below=below, above=above)
            middle = logit(stage.low)
            # A log-odds that nothing is unsure about keeps its probability to the last bit.
            low = np.where(below > 0, np.minimum(expit(middle - below), stage.low), stage.low)
            high = np.where(above > 0, np.maximum(expit(middle + above), stage.high), stage.high)
            widened.append(StageRows(stage.positive, low, high))
        return widened, self.strange(unsure.ood, length)

    def strange(self, ood: npt.ArrayLike | None, length: int) -> BoolArray:
        """Who is out of distribution, or whose score is unknown where the rule needs one, (n,)."""
        if self.ood_above is None:
            return np.zeros(length, dtype=bool)
        if ood is None:
            raise InputError(f"found no column {OOD!r} among the scores, expected it: the contract defers by it")
        score = np.asarray(ood, dtype=np.float64)
        same_length(length, ood=score)
        return ~(score <= self.ood_above)

    def to_dict(self) -> dict[str, Any]:
        """Plain data without patients."""
        return {"width": self.width, "ood_above": self.ood_above}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Restore what :meth:`to_dict` wrote.

        Raises
        ------
        BundleError
            If it is not one.
        """
        try:
            width, above = float(values["width"]), values["ood_above"]
            above = None if above is None else float(above)
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"found a damaged deferral rule ({error!r}); export the bundle again") from error
        if not 0 <= width <= 1 or (above is not None and not math.isfinite(above)):
            raise BundleError(
                f"found a deferral rule with width {width} and ood_above {above}; export the bundle again"
            )
        return cls(width, above)


def most_by_patient(score: FloatArray, patient: Sequence[str]) -> FloatArray:
    """The largest score of every patient, in the order of their names."""
    who, place = np.unique(np.asarray(patient, dtype=object).astype(str), return_inverse=True)
    out = np.full(len(who), -np.inf)
    np.maximum.at(out, place, score)
    return out


def share_limit(score: FloatArray, patient: Sequence[str], share: float) -> float | None:
    """The limit that a new patient's scores exceed with a chance of at most ``share``: split conformal prediction.

    Of n patients, each by the larger of two axillae, it is the score of rank ceil((n + 1) (1 - share)). It holds in
    finite samples for a patient exchangeable with them, whatever the scores' law.

    Parameters
    ----------
    score : (n,) float array
        Of their axillae, without gaps.
    patient : sequence of str
        Whose axillae they are.
    share : float
        Above 0, below 1.

    Returns
    -------
    float or None
        None where n is too small for the share: fewer than 1 / share - 1 patients.

    References
    ----------
    Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005), proposition 2.3.

    Examples
    --------
    >>> share_limit(np.arange(19.0), [f"p{place}" for place in range(19)], 0.05)
    18.0
    >>> share_limit(np.arange(18.0), [f"p{place}" for place in range(18)], 0.05) is None
    True
    """
    most = np.sort(most_by_patient(score, patient))
    rank = math.ceil((len(most) + 1) * (1 - share) - 1e-9)
    return float(most[rank - 1]) if 1 <= rank <= len(most) else None


def fit_deferral(
    path: ThresholdPath,
    stages: Sequence[StageRows],
    unsure: Unsure,
    *,
    rows: Rows,
    alpha: Sequence[float],
    at_most: float = 0.2,
    ood_share: float | None = None,
) -> DeferralRule:
    """Fix the rule on training or tuning patients.

    Parameters
    ----------
    path : ThresholdPath
        From the same patients.
    stages : sequence of StageRows
        Their scores, from :func:`usdlr.decision.path.two_stages`.
    unsure : Unsure
        How unsure they are.
    rows : Rows
        Whose rows these are.
    alpha : sequence of float
        Targets by stage.
    at_most : float
        Largest share of them that may be deferred for being near a threshold, at any step up to the last one that
        keeps both targets among them. The interval is narrowed until it is kept: at 0 nobody is deferred for it.
    ood_share : float, optional
        Share of patients like them who are out of distribution at most, see :func:`share_limit`; ``None``: no such
        rule.

    Raises
    ------
    LeakError
        If a row is of another split.
    InputError
        If ``ood_share`` is given without scores or is smaller than their number can state, or arrays do not fit
        together.
    """
    require_split(rows, [Split.TRAIN, Split.TUNING], "deferral rule")
    same_length(len(rows), p=stages[0].low)
    above = None
    if ood_share is not None:
        if unsure.ood is None or not np.isfinite(unsure.ood).any() or not 0 < ood_share < 1:
            raise InputError(
                f"found ood_share = {ood_share} with no out-of-distribution score, or beyond 0 to 1; give both or none"
            )
        known = np.isfinite(unsure.ood)
        above = share_limit(unsure.ood[known], rows.take(known).patient_id, ood_share)
        if above is None:
            raise InputError(
                f"found {len(rows.patients)} tuning patients, expected at least {math.ceil(1 / ood_share - 1e-9) - 1} "
                f"to defer {100 * ood_share:g} % as out of distribution; ask for a larger ood_share, or tune on more"
            )
    misses, positives = miss_counts(path.stages, stages, rows)
    kept = np.ones(len(path), dtype=bool)
    for count, units, target in zip(misses, positives, alpha, strict=True):
        kept &= count <= target * units
    reach = [t[: int(np.argmin(kept)) if not kept.all() else len(path)] for t in path.stages]
    chosen = 0.0
    for width in WIDTHS[1:] if len(rows) and len(reach[0]) else ():
        wide, _ = DeferralRule(float(width)).apply(stages, unsure)
        if deferral_counts(reach, wide).max() > at_most * len(rows):
            break
        chosen = float(width)
    return DeferralRule(chosen, above, rows.patients)
