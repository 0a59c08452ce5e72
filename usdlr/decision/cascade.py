"""From two probabilities and a contract to one risk group per axilla."""

from __future__ import annotations

import numpy as np
import pandas as pd

from usdlr.core.errors import TableError
from usdlr.core.tables import DECISIONS
from usdlr.core.types import OnUncertified, RiskGroup, Stage
from usdlr.decision.contract import Contract
from usdlr.decision.wording import decision_reason

SCORES: tuple[str, ...] = ("patient_id", "side", "p_sln", "p_nsln")


def decide(scores: pd.DataFrame, contract: Contract, *, on_uncertified: OnUncertified, note: str = "") -> pd.DataFrame:
    """Risk group of every axilla.

    ``LR-SLN`` if ``p_sln < t_sln``, strictly; otherwise ``HR-SLN/LR-NSLN`` if ``p_nsln < t_nsln``, otherwise
    ``HR-SLN/HR-NSLN``. Under a contract that is not certifiable every axilla is ``DEFER`` unless ``on_uncertified``
    asks for the zero-miss thresholds.

    Parameters
    ----------
    scores : DataFrame
        One row per axilla: ``patient_id side p_sln p_nsln``, calibrated probabilities of the positive class.
    contract : Contract
        Thresholds and their standing.
    on_uncertified : OnUncertified
        What an uncertified contract answers.
    note : str
        Goes before every reason, e.g. that the endpoint is a stand-in; see :func:`decision_note`.

    Returns
    -------
    DataFrame
        The ``decisions`` table, rows in the order of ``scores``.

    Raises
    ------
    TableError
        If a column is missing, a probability is null or outside [0, 1], or an axilla appears twice.
    """
    missing = [name for name in SCORES if name not in scores.columns]
    if missing:
        raise TableError(f"scores: found no column {missing[0]!r}, expected {', '.join(SCORES)}; predict both stages")
    table = scores.loc[:, list(SCORES)].reset_index(drop=True)
    low_sln = (table["p_sln"] < contract.t_sln).to_numpy(dtype=bool, na_value=False)
    low_nsln = (table["p_nsln"] < contract.t_nsln).to_numpy(dtype=bool, na_value=False)
    second = np.where(low_nsln, RiskGroup.HR_SLN_LR_NSLN.value, RiskGroup.HR_SLN_HR_NSLN.value)
    group = np.where(low_sln, RiskGroup.LR_SLN.value, second)
    deferred = not contract.certified and OnUncertified(on_uncertified) is OnUncertified.DEFER
    if deferred:
        group = np.full(len(table), RiskGroup.DEFER.value)
    # No stage's answer counts for DEFER; the first is named because the table must name one.
    reached = np.where(low_sln | deferred, Stage.SLN.value, Stage.NSLN.value)
    reasons = {str(name): decision_reason(name, contract.status) for name in RiskGroup}
    return DECISIONS.conform(
        table.assign(
            risk_group=group,
            stage_reached=reached,
            t_sln=contract.t_sln,
            t_nsln=contract.t_nsln,
            contract=str(contract.status),
            reason=[note + reasons[name] for name in group],
        )
    )
