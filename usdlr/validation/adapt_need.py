"""How many more local axillae a contract needs that could not be certified."""

from __future__ import annotations

from typing import Any

import pandas as pd

from usdlr.core.types import Stage
from usdlr.decision.contract import Contract
from usdlr.evaluation.sample_size import upward
from usdlr.evaluation.sample_size_contract import ASSURANCE, patients_for_positives


def positives_needed(contract: Contract, labels: pd.DataFrame, *, assurance: float = ASSURANCE) -> dict[str, Any]:
    """Positives and patients still needed in the calibration part, by stage.

    Parameters
    ----------
    contract : Contract
        Of the calibration part.
    labels : DataFrame
        ``patient_id side sln nsln`` of the local axillae, from which the share of positive patients is taken.
    assurance : float
        Chance that so many further patients bring so many positives.

    Returns
    -------
    dict
        By stage ``have``, ``required``, ``missing`` (positives), ``share`` (of local patients who have one whose status
        is known), ``patients_expected`` and ``patients`` (further ones, on average and with ``assurance``; null where
        the centre has no positive to go by), and ``assurance``. All zero where the contract is certified: the least
        that can certify, at the misses that calibration showed.

    Examples
    --------
    >>> from usdlr.core.types import ContractStatus
    >>> counts = {"sln": 20, "nsln": 29}
    >>> none = dict.fromkeys(counts, 0)
    >>> found = Contract(dict.fromkeys(counts, 0.1), 0.05, ContractStatus.NOT_CERTIFIABLE, dict.fromkeys(counts, 29),
    ...     0.1, 0.1, counts, none, None)
    >>> key = {"patient_id": list("abcd"), "side": "left"}
    >>> need = positives_needed(found, pd.DataFrame({**key, "sln": [1, 0, 1, 0], "nsln": [1, None, 0, None]}))["sln"]
    >>> need["missing"], need["patients_expected"]
    (9, 18)
    """
    out: dict[str, Any] = {}
    patients = labels["patient_id"].nunique()
    for stage in map(str, Stage):
        have, required = contract.positives[stage], contract.required_positives[stage]
        positive = labels["patient_id"][labels[stage] == 1].nunique()
        share = positive / patients if patients else 0.0
        missing = 0 if contract.certified else max(0, required - have)
        counted: dict[str, int | None] = {"patients_expected": 0, "patients": 0}
        if missing:
            counted = {
                "patients_expected": upward(missing / share) if share else None,
                "patients": patients_for_positives(missing, share, assurance) if share else None,
            }
        out[stage] = {"have": have, "required": required, "missing": missing, "share": share, **counted}
        out[stage]["assurance"] = assurance
    return out
