"""What the cascade's decisions lost and deferred."""

from __future__ import annotations

from typing import Any

import pandas as pd

from usdlr.core.types import RiskGroup
from usdlr.evaluation.alignment import by_axilla, label_table, same_axillae
from usdlr.evaluation.intervals import rate

MISSED_SLN = frozenset({RiskGroup.LR_SLN.value})
MISSED_NSLN = frozenset({RiskGroup.LR_SLN.value, RiskGroup.HR_SLN_LR_NSLN.value})


def cascade_rates(decisions: pd.DataFrame, labels: pd.DataFrame) -> dict[str, Any]:
    """False-negative and deferral rates over axillae, and the make-up of every risk group.

    Parameters
    ----------
    decisions : DataFrame
        The ``decisions`` table.
    labels : DataFrame
        ``patient_id side sln nsln`` of the same axillae: 1 positive, 0 negative, NaN unknown.

    Returns
    -------
    dict
        ``fnr_sln``: of SLN-positive axillae, those called LR-SLN. ``fnr_nsln``: of NSLN-positive axillae, which are
        known among dissected ones only, those called LR-SLN or HR-SLN/LR-NSLN. ``defer_rate`` over all,
        ``defer_rate_sln_positive`` and ``defer_rate_nsln_positive``: DEFER is never a miss. ``verified_share``: of
        SLN-positive axillae, those with known NSLN status. ``groups``: counts for each of the four groups, where
        ``nsln_unknown`` counts SLN-positive axillae without NSLN status. Rates are estimates as plain data.

    Raises
    ------
    InputError
        If the two tables do not hold the same axillae once each, or a label is none of the three values.
    """
    decided, truth = by_axilla(decisions, ("risk_group",), "decisions"), label_table(labels)
    same_axillae(decided, truth, "decisions", "labels")
    group = decided["risk_group"]
    sln_positive, sln_unknown = truth["sln"] == 1, truth["sln"].isna()
    nsln_positive, nsln_unknown = truth["nsln"] == 1, truth["nsln"].isna()
    deferred = group == RiskGroup.DEFER.value

    def share(of: pd.Series, among: pd.Series) -> dict[str, Any]:
        return rate(int((of & among).sum()), int(among.sum())).as_dict()

    groups = {}
    for name in RiskGroup:
        inside = group == name.value
        groups[name.value] = {
            "n": int(inside.sum()),
            "sln_positive": int((inside & sln_positive).sum()),
            "sln_unknown": int((inside & sln_unknown).sum()),
            "nsln_positive": int((inside & nsln_positive).sum()),
            "nsln_unknown": int((inside & sln_positive & nsln_unknown).sum()),
        }
    return {
        "fnr_sln": share(group.isin(MISSED_SLN), sln_positive),
        "fnr_nsln": share(group.isin(MISSED_NSLN), nsln_positive),
        "defer_rate": share(deferred, pd.Series(True, index=group.index)),
        "defer_rate_sln_positive": share(deferred, sln_positive),
        "defer_rate_nsln_positive": share(deferred, nsln_positive),
        "verified_share": share(~nsln_unknown, sln_positive),
        "groups": groups,
    }
