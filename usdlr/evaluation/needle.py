"""Axillae whose positive node was proven by needle, apart from those whose status surgery found.

A needle proves what ultrasound shows: such axillae are easier than those that surgery alone finds. They are positive in
every rate, and a rate that rests on them flatters the model among patients whom it is for.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from usdlr.core.types import RiskGroup
from usdlr.evaluation.alignment import AXILLA, by_axilla, label_table, same_axillae
from usdlr.evaluation.cascade import MISSED_NSLN, MISSED_SLN
from usdlr.evaluation.clustered_rate import clustered_rate
from usdlr.evaluation.resampling import patients

REFERENCE, NEEDLE = "sln_reference", "needle"
OTHERS = "others"


def needle_rates(decisions: pd.DataFrame, labels: pd.DataFrame, axillae: pd.DataFrame) -> dict[str, Any] | None:
    """What the cascade misses and defers of needle-proven axillae, and of the other SLN-positive ones.

    Parameters
    ----------
    decisions : DataFrame
        The ``decisions`` table.
    labels : DataFrame
        ``patient_id side sln nsln`` of the same axillae: 1 positive, 0 negative, NaN unknown.
    axillae : DataFrame
        ``patient_id side sln_reference`` of the same axillae and perhaps more.

    Returns
    -------
    dict or None
        ``positive`` (SLN-positive axillae), ``needle`` (of them, proven by needle), and for ``needle`` and ``others``
        under ``rates`` the estimates ``fnr_sln``, ``fnr_nsln`` and ``defer_rate`` among their SLN-positive, their
        NSLN-positive and their SLN-positive axillae, with intervals over patients. None where no table says how the
        status was found, or no positive axilla was proven by needle.

    Raises
    ------
    InputError
        If decisions and labels do not hold the same axillae once each.
    """
    if REFERENCE not in axillae:
        return None
    decided, truth = by_axilla(decisions, ("risk_group",), "decisions"), label_table(labels)
    same_axillae(decided, truth, "decisions", "labels")
    found = by_axilla(axillae, (REFERENCE,), "description of the axillae").reindex(truth.index)[REFERENCE]
    group = decided["risk_group"].astype(str)
    positive = (truth["sln"] == 1).to_numpy()
    by_needle = positive & (found.astype(object) == NEEDLE).to_numpy(dtype=bool)
    if not by_needle.any():
        return None
    who = patients(truth.index.get_level_values(AXILLA[0]).to_numpy())
    nsln_positive = (truth["nsln"] == 1).to_numpy()
    events = {
        "fnr_sln": (group.isin(MISSED_SLN).to_numpy(), positive),
        "fnr_nsln": (group.isin(MISSED_NSLN).to_numpy(), nsln_positive),
        "defer_rate": ((group == RiskGroup.DEFER.value).to_numpy(), positive),
    }
    return {
        "positive": int(positive.sum()),
        "needle": int(by_needle.sum()),
        "rates": {
            name: {key: clustered_rate(hit, among & inside, who).as_dict() for key, (hit, among) in events.items()}
            for name, inside in ((NEEDLE, by_needle), (OTHERS, positive & ~by_needle))
        },
    }
