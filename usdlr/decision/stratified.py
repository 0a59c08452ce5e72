"""A contract for each stratum, where its calibration positives suffice."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import InputError
from usdlr.core.leak import Rows, require_disjoint, require_split
from usdlr.core.types import Split
from usdlr.decision.chain import BoolArray, StageRows, miss_counts
from usdlr.decision.contract import Contract, FittedContract
from usdlr.decision.deferral import DeferralRule, Unsure
from usdlr.decision.path import ThresholdPath, two_stages
from usdlr.decision.settings import MARGINAL, ContractSettings
from usdlr.decision.strata import StratumRule
from usdlr.decision.thresholds import contract_of, exact_p_value, fit_contract


def fit_strata(
    path: ThresholdPath,
    p_sln: npt.ArrayLike,
    y_sln: npt.ArrayLike,
    p_nsln: npt.ArrayLike,
    y_nsln: npt.ArrayLike,
    *,
    stratum: Sequence[str | None],
    by: StratumRule,
    rows: Rows,
    settings: ContractSettings,
    rule: DeferralRule | None = None,
    unsure: Unsure | None = None,
    seen: Collection[str] = (),
) -> FittedContract:
    """Walk the path in every stratum by itself.

    Every stratum keeps its own false-negative rates, which is more than keeping them in the mean over strata. Where
    ``by.joint``, the chance that any stratum's statement is wrong is at most ``delta``: it is divided by the number of
    strata that are tested (Bonferroni). Those are chosen by their numbers of positives alone, before a score is read,
    so that strata without a chance cost the others nothing: as many as possible, the richest first. Holm's procedure
    would gain nothing, for a stratum hands its share on only when its whole path is rejected, down to treat-nobody.
    Otherwise each statement is wrong with a chance of ``delta`` by itself, and among several, one may well be.

    Parameters
    ----------
    stratum : (n,) sequence of str or None
        From :meth:`usdlr.decision.strata.StratumRule.labels`; ``None`` where unknown: such axillae count for no
        stratum, and are deferred at prediction.
    by : StratumRule
        How they were told apart.
    path, p_sln, y_sln, p_nsln, y_nsln, rows, settings, rule, unsure, seen
        As for :func:`usdlr.decision.thresholds.fit_contract`; the path and the rule are common to all strata.

    Returns
    -------
    FittedContract
        The contract of all axillae together, as :func:`usdlr.decision.thresholds.fit_contract` gives it at ``delta``
        of its own, with those of the strata.

    Raises
    ------
    LeakError
        As :func:`usdlr.decision.thresholds.fit_contract`.
    InputError
        If arrays do not fit together.
    """
    require_split(rows, [Split.CALIBRATION], "false-negative contract")
    require_disjoint(path.fitted_patients, rows.patients, "threshold path")
    if len(stratum) != len(rows):
        raise InputError(f"found {len(stratum)} strata for {len(rows)} rows, expected one each; align them")
    pooled = fit_contract(
        path, p_sln, y_sln, p_nsln, y_nsln, rows=rows, settings=settings, rule=rule, unsure=unsure, seen=seen
    )
    stages, _ = two_stages(p_sln, y_sln, p_nsln, y_nsln, rows=rows)
    never = np.zeros(len(rows), dtype=bool)
    if rule is not None and unsure is not None:
        stages, never = rule.apply(stages, unsure)
    places = {name: np.array([one == name for one in stratum]) for name in sorted({one for one in stratum if one})}
    chances = {name: _least(path, stages, rows, use, settings) for name, use in places.items()}
    delta = _shares(chances, settings, joint=by.joint)
    parts: dict[str, Contract] = {}
    for name, use in places.items():
        own = [StageRows(stage.positive[use], stage.low[use], stage.high[use]) for stage in stages]
        parts[name] = contract_of(path, own, rows.take(use), settings, delta[name], rule=rule, never=never[use])
    return replace(pooled, contract=replace(pooled.contract, strata=by, by_stratum=parts))


def _least(
    path: ThresholdPath, stages: Sequence[StageRows], rows: Rows, use: BoolArray, settings: ContractSettings
) -> float:
    """The p-value of a stratum whose thresholds miss nobody: a matter of its numbers of positives alone."""
    own = [StageRows(stage.positive[use], stage.low[use], stage.high[use]) for stage in stages]
    positives = miss_counts([t[:1] for t in path.stages], own, rows.take(use))[1]
    return max(exact_p_value(0, held, alpha) for held, alpha in zip(positives, settings.alpha.values(), strict=True))


def _shares(chances: dict[str, float], settings: ContractSettings, *, joint: bool) -> dict[str, float]:
    """Each stratum's own delta."""
    if not joint or settings.kind == MARGINAL:  # an expectation needs no sharing: it holds in every stratum
        return dict.fromkeys(chances, settings.delta)
    ordered = sorted(chances, key=lambda name: (chances[name], name))
    tested = max(
        (place for place, name in enumerate(ordered, start=1) if chances[name] <= settings.delta / place), default=0
    )
    # One that is not tested is told what it would need to be tested beside the others.
    return {
        name: settings.delta / (tested if place <= tested else tested + 1)
        for place, name in enumerate(ordered, start=1)
    }
