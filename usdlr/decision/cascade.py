"""From two probabilities and a contract to one risk group per axilla."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from usdlr.core.errors import InputError, TableError
from usdlr.core.tables import DECISIONS
from usdlr.core.types import OnUncertified, RiskGroup, Stage
from usdlr.decision.chain import StageRows, outcome
from usdlr.decision.contract import Contract
from usdlr.decision.deferral import DeferralRule, Unsure
from usdlr.decision.wording import DeferCause, decision_reason, deferral_reason, stratum_reason

SCORES: tuple[str, ...] = ("patient_id", "side", "p_sln", "p_nsln")


def decide(
    scores: pd.DataFrame,
    contract: Contract,
    *,
    on_uncertified: OnUncertified,
    note: str = "",
    strata: Sequence[str | None] | None = None,
) -> pd.DataFrame:
    """Risk group of every axilla.

    ``LR-SLN`` if ``p_sln < t_sln``, strictly; otherwise ``HR-SLN/LR-NSLN`` if ``p_nsln < t_nsln``, otherwise
    ``HR-SLN/HR-NSLN``. Under a contract with a deferral rule, an axilla is ``DEFER`` where the rule says so. Under a
    contract that does not hold its promise every axilla is ``DEFER`` unless ``on_uncertified`` asks for the zero-miss
    thresholds.

    Parameters
    ----------
    scores : DataFrame
        One row per axilla: ``patient_id side p_sln p_nsln``, calibrated probabilities of the positive class; with a
        deferral rule also what :meth:`usdlr.decision.deferral.Unsure.of` reads.
    contract : Contract
        Thresholds and their standing.
    on_uncertified : OnUncertified
        What an uncertified contract answers.
    note : str
        Goes before every reason, e.g. that the endpoint is a stand-in; see :func:`decision_note`.
    strata : sequence of str or None, optional
        Stratum of every axilla, each of which is decided by its stratum's contract; one that is unknown, or that
        calibration never saw, is ``DEFER``. ``None``: the contract of all axillae together decides.

    Returns
    -------
    DataFrame
        The ``decisions`` table, rows in the order of ``scores``.

    Raises
    ------
    TableError
        If a column is missing, a probability is null or outside [0, 1], or an axilla appears twice.
    InputError
        If the deferral rule needs columns that are not there, or strata do not fit.
    """
    missing = [name for name in SCORES if name not in scores.columns]
    if missing:
        raise TableError(f"scores: found no column {missing[0]!r}, expected {', '.join(SCORES)}; predict both stages")
    table = scores.reset_index(drop=True)
    answer = OnUncertified(on_uncertified)
    if strata is None:
        return _table(table, _decided(table, contract, answer), note)
    if len(strata) != len(table) or contract.strata is None:
        raise InputError(
            f"found {len(strata)} strata for {len(table)} rows and a contract with {len(contract.by_stratum)} strata, "
            "expected one for each row and a contract for each stratum"
        )
    known = pd.Series([one if one in contract.by_stratum else None for one in strata], dtype=object)
    parts = []
    for name, part in contract.by_stratum.items():
        decided = _decided(table[known == name], part, answer)
        told = decided["reason"].astype(str) + stratum_reason(contract.strata.by, name)
        parts.append(decided.assign(reason=told))
    parts.append(_unknown(table[known.isna()], contract))
    return _table(table, pd.concat(parts).sort_index(), note)


def _decided(table: pd.DataFrame, contract: Contract, answer: OnUncertified) -> pd.DataFrame:
    """Group, stage reached, thresholds and reason of every row."""
    p = [table[f"p_{stage}"].to_numpy(np.float64, na_value=np.nan) for stage in Stage]
    nobody = np.zeros(len(table), dtype=bool)
    stages, never = [StageRows(nobody, one, one) for one in p], nobody
    if contract.deferral is not None:
        stages, never = contract.deferral.apply(stages, _unsure(table, contract.deferral))
    place, deferred = outcome((contract.t_sln, contract.t_nsln), stages, never=never)
    group = np.array([str(one) for one in (RiskGroup.LR_SLN, RiskGroup.HR_SLN_LR_NSLN, RiskGroup.HR_SLN_HR_NSLN)])[
        place
    ]
    near = [DeferCause.NEAR_SLN, DeferCause.NEAR_NSLN]
    reasons = {str(one): decision_reason(one, contract.status, marginal=contract.marginal_held) for one in RiskGroup}
    if not contract.answers and answer is OnUncertified.DEFER:
        # No stage's answer counts; the first is named because the table must name one.
        group, place = np.full(len(table), str(RiskGroup.DEFER)), np.zeros(len(table), dtype=np.int64)
        reason = [reasons[str(RiskGroup.DEFER)]] * len(table)
    else:
        group = np.where(deferred, str(RiskGroup.DEFER), group)
        reason = [
            deferral_reason(DeferCause.STRANGE if never[row] else near[place[row]]) if deferred[row] else reasons[name]
            for row, name in enumerate(group)
        ]
    return pd.DataFrame(
        {
            "risk_group": group,
            "stage_reached": np.where(place == 0, str(Stage.SLN), str(Stage.NSLN)),
            "t_sln": contract.t_sln,
            "t_nsln": contract.t_nsln,
            "contract": str(contract.status),
            "reason": reason,
        },
        index=table.index,
    )


def _unsure(table: pd.DataFrame, rule: DeferralRule) -> Unsure:
    if rule.width > 0:
        return Unsure.of(table)
    nothing = {str(stage): np.zeros(len(table)) for stage in Stage}
    return Unsure(nothing, nothing, table["ood"].to_numpy(np.float64) if "ood" in table else None)


def _unknown(table: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    deferred = _decided(table, contract.void(), OnUncertified.DEFER)
    return deferred.assign(t_sln=0.0, t_nsln=0.0, reason=deferral_reason(DeferCause.STRATUM))


def _table(table: pd.DataFrame, decided: pd.DataFrame, note: str) -> pd.DataFrame:
    out = pd.concat([table.loc[:, list(SCORES)], decided], axis=1)
    return DECISIONS.conform(out.assign(reason=note + decided["reason"].astype(str)))
