"""Thresholds for a false-negative target with a stated confidence, by Learn-then-Test.

A pair of thresholds (t_sln, t_nsln) is acceptable when two rates stay below their targets:

- ``fnr_sln``: share of SLN-positive axillae with ``p_sln < t_sln``;
- ``fnr_nsln``: share of NSLN-positive axillae with ``p_sln < t_sln`` or ``p_nsln < t_nsln``: a miss at either stage.

The axilla is the unit of decision; the patient is the unit that is independent, and exact binomial counts need
independent units. Therefore patients are counted: of those with a positive axilla, those of whom *any* positive axilla
is missed. Where nobody has two positive axillae, as almost everywhere, this is the rate of axillae itself. Otherwise,
with ``s`` the share of positive patients who are positive on both sides, ``m`` their rate as counted here, and ``b``
the chance that a patient of both sides is missed on both, the rate of axillae is ``(m + s b) / (1 + s)``: at most
``m`` whenever ``b <= m``, that is, unless patients with two positive axillae lose both more often than patients lose
any; and never more than ``s / (1 + s)`` above it. Counting axillae would go wrong far more easily: the two of a patient
are missed together, so 15 such patients would pass for 30 independent positives and certify 10 %, which takes 29.

Pairs lie on one path, fixed on tuning patients, that starts at treat-all (0, 0) and only goes up. On the calibration
patients, which no other fit has seen, it is walked while the larger of the two exact binomial p-values is at most
``delta``; the last such pair ships. Taking the larger p-value is an intersection-union test, and walking one fixed
sequence is a closed test, so ``delta`` is split neither between endpoints nor between pairs.

References
----------
Angelopoulos, Bates, Candès, Jordan and Lei, Learn then Test: calibrating predictive algorithms to achieve risk control,
arXiv:2110.01052, doi:10.48550/arXiv.2110.01052. Berger, Multiparameter hypothesis testing and acceptance sampling,
Technometrics 24 (1982), doi:10.1080/00401706.1982.10487790 (intersection-union test).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.stats import binom

from usdlr.core.errors import InputError
from usdlr.core.leak import Rows, require_disjoint, require_split
from usdlr.core.types import ContractStatus, Split
from usdlr.decision.arrays import FloatArray
from usdlr.decision.chain import BoolArray, IntArray, StageRows, miss_counts, misses_so_far, outcome
from usdlr.decision.contract import Contract, FittedContract
from usdlr.decision.deferral import DeferralRule, Unsure
from usdlr.decision.path import ThresholdPath, build_path, two_stages
from usdlr.decision.risk_control import marginal_positives, marginal_step
from usdlr.decision.settings import MARGINAL, ContractSettings

__all__ = [
    "Contract",
    "ContractSettings",
    "FittedContract",
    "ThresholdPath",
    "build_path",
    "exact_p_value",
    "fit_contract",
    "required_positives",
]


def exact_p_value(misses: int, positives: int, alpha: float) -> float:
    """Chance of at most ``misses`` misses among ``positives`` if the true rate were ``alpha``.

    Valid for the hypothesis that the rate is ``alpha`` or more; 1 where there are no positives.

    Examples
    --------
    >>> round(exact_p_value(0, 59, 0.05), 4)
    0.0485
    """
    if positives == 0:
        return 1.0
    return float(binom.cdf(misses, positives, alpha))


@lru_cache(maxsize=4096)
def required_positives(alpha: float, delta: float, misses: int = 0) -> int:
    """Smallest number of positives that can certify ``alpha`` at ``delta`` with the given number of misses.

    Examples
    --------
    >>> required_positives(0.05, 0.05), required_positives(0.10, 0.05)
    (59, 29)
    """
    high = max(1, misses)
    while exact_p_value(misses, high, alpha) > delta:
        high *= 2
    low = 0  # the p-value falls as positives are added, so the answer lies in (low, high]
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if exact_p_value(misses, middle, alpha) > delta else (low, middle)
    return high


def fit_contract(
    path: ThresholdPath,
    p_sln: npt.ArrayLike,
    y_sln: npt.ArrayLike,
    p_nsln: npt.ArrayLike,
    y_nsln: npt.ArrayLike,
    *,
    rows: Rows,
    settings: ContractSettings,
    rule: DeferralRule | None = None,
    unsure: Unsure | None = None,
    seen: Collection[str] = (),
) -> FittedContract:
    """Walk the path on calibration patients and state what they support.

    Parameters
    ----------
    path : ThresholdPath
        From :func:`build_path`, on other patients.
    p_sln, y_sln, p_nsln, y_nsln : (n,) array_like
        As in :func:`build_path`, one value per calibration axilla.
    rows : Rows
        Whose rows these are; all of the calibration split.
    settings : ContractSettings
        Targets, and whether the promise is certified or marginal.
    rule, unsure : DeferralRule and Unsure, optional
        Who gets no answer, fitted on other patients, and how unsure these rows are. Thresholds are certified with the
        rule in force; see :mod:`usdlr.decision.deferral` for why that is exact.
    seen : collection of str
        Patients that made the scores: those who trained the model and fitted its calibrators.

    Returns
    -------
    FittedContract
        The contract, and the patients that it has seen. ``certified`` needs a pair beyond treat-all; otherwise the
        contract is ``not_certifiable`` and holds the largest thresholds that miss no calibration positive (0 where
        there is no positive), which promise nothing.

    Raises
    ------
    LeakError
        If a row is not of the calibration split, or a patient helped to build the path, the rule or the scores.
    InputError
        If arrays do not fit together.
    """
    require_split(rows, [Split.CALIBRATION], "false-negative contract")
    require_disjoint(path.fitted_patients, rows.patients, "threshold path")
    require_disjoint(seen, rows.patients, "model or calibrators whose scores a contract is to be made for")
    stages, _ = two_stages(p_sln, y_sln, p_nsln, y_nsln, rows=rows)
    never = None
    if rule is not None:
        require_disjoint(rule.fitted_patients, rows.patients, "deferral rule")
        if unsure is None:
            raise InputError("found a deferral rule and no word of how unsure the rows are, expected both")
        stages, never = rule.apply(stages, unsure)
    contract = contract_of(path, stages, rows, settings, settings.delta, rule=rule, never=never)
    return FittedContract(contract, rows.patients)


def contract_of(
    path: ThresholdPath,
    stages: Sequence[StageRows],
    rows: Rows,
    settings: ContractSettings,
    delta: float,
    *,
    rule: DeferralRule | None = None,
    never: BoolArray | None = None,
) -> Contract:
    """The contract that rows support at a chance ``delta`` of being wrong; :func:`fit_contract` guards the rows."""
    alpha = settings.alpha
    misses, units = miss_counts(path.stages, stages, rows, never=never)
    p_value: float | None = None
    if settings.kind == MARGINAL:
        misses = misses_so_far(path.stages, stages, rows, never=never)
        last = marginal_step(misses, units, list(alpha.values()))
    else:
        last, p_value = walk(misses, units, list(alpha.values()), delta)
    held = last > 0
    if held:
        t = [float(one[last]) for one in path.stages]
    else:
        # Whoever is positive at a later stage must not be lost at this one either, though its own status be unknown.
        t = [
            _lowest(stage.high[np.logical_or.reduce([later.positive for later in stages[number:]])])
            for number, stage in enumerate(stages)
        ]
    tried = [0 if held else int(count[min(last + 1, len(path) - 1)]) for count in misses]
    required = {
        name: _still_required(settings.kind, target, delta, have, lost)
        for (name, target), have, lost in zip(alpha.items(), units, tried, strict=True)
    }
    at = miss_counts([np.array([one]) for one in t], stages, rows, never=never)[0]
    deferred = outcome(t, stages, never=never)[1]
    several = _several(list(alpha), stages, rows)
    return Contract(
        alpha=alpha,
        delta=float(delta),
        status=ContractStatus(settings.kind) if held else ContractStatus.NOT_CERTIFIABLE,
        required_positives=required,
        t_sln=t[0],
        t_nsln=t[1],
        positives=dict(zip(alpha, units, strict=True)),
        misses={name: int(count[0]) for name, count in zip(alpha, at, strict=True)},
        p_value=p_value if held else None,
        kind=settings.kind,
        deferral=rule,
        deferred=None
        if rule is None
        else {
            "axillae": len(rows),
            "all": int(deferred.sum()),
            **{name: int((deferred & stage.positive).sum()) for name, stage in zip(alpha, stages, strict=True)},
            # Axillae, where the positives above are fewer because they are patients.
            **(
                {f"{name}_positive": int(stage.positive.sum()) for name, stage in zip(alpha, stages, strict=True)}
                if several
                else {}
            ),
        },
        several=several,
    )


def walk(
    misses: Sequence[IntArray], positives: Sequence[int], alpha: Sequence[float], delta: float
) -> tuple[int, float | None]:
    """Last step before the first whose p-value exceeds ``delta``, and its p-value; -1 and None where the first does.

    The p-value of a step is the largest of its endpoints' exact binomial ones.
    """
    p = np.max(
        [
            binom.cdf(count, held, target) if held else np.ones(len(count))
            for count, held, target in zip(misses, positives, alpha, strict=True)
        ],
        axis=0,
    )
    failed = p > delta
    last = int(np.argmax(failed)) - 1 if failed.any() else len(p) - 1
    return last, float(p[last]) if last >= 0 else None


def _several(names: Sequence[str], stages: Sequence[StageRows], rows: Rows) -> dict[str, int]:
    """Patients with several positive axillae by stage; empty where there is none."""
    if len(rows.patients) == len(rows):
        return {}
    patient = np.asarray(rows.patient_id, dtype=object)
    found = {
        name: int((np.unique(patient[stage.positive], return_counts=True)[1] > 1).sum())
        for name, stage in zip(names, stages, strict=True)
    }
    return found if any(found.values()) else {}


def _lowest(values: FloatArray) -> float:
    return float(values.min()) if len(values) else 0.0


def _still_required(kind: str, alpha: float, delta: float, positives: int, misses: int) -> int:
    if kind == MARGINAL:
        fewest = marginal_positives(alpha)
        return fewest if positives < fewest else max(fewest, marginal_positives(alpha, misses))
    fewest = required_positives(alpha, delta)
    return fewest if positives < fewest else max(fewest, required_positives(alpha, delta, misses))
