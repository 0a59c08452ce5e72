"""What the cascade's decisions lost and deferred, and what each of its groups predicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.errors import InputError
from usdlr.core.types import RiskGroup, Stage
from usdlr.evaluation.alignment import AXILLA, by_axilla, label_table, same_axillae
from usdlr.evaluation.clustered_rate import BoolArray, clustered_rate
from usdlr.evaluation.intervals import rate
from usdlr.evaluation.resampling import patients

MISSED_SLN = frozenset({RiskGroup.LR_SLN.value})
MISSED_NSLN = frozenset({RiskGroup.LR_SLN.value, RiskGroup.HR_SLN_LR_NSLN.value})
LR_EITHER, HR_SLN, EVERYBODY = "LR-SLN or HR-SLN/LR-NSLN", "HR-SLN", "all"
GROUPINGS: Mapping[str, frozenset[str]] = {
    **{str(group): frozenset({group.value}) for group in RiskGroup},
    LR_EITHER: MISSED_NSLN,
    HR_SLN: frozenset({RiskGroup.HR_SLN_LR_NSLN.value, RiskGroup.HR_SLN_HR_NSLN.value}),
    EVERYBODY: frozenset(group.value for group in RiskGroup),
}
"""The four groups, those spared dissection, those with a biopsy by the model's word, and all axillae to compare."""


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


def risk_groups(decided: pd.DataFrame) -> npt.NDArray[np.str_]:
    """The risk group of every row, (n,).

    Raises
    ------
    InputError
        If there is another word, or none, in place of one.
    """
    group = decided["risk_group"].to_numpy(dtype=object).astype(str)
    other = ~np.isin(group, list(RiskGroup))
    if other.any():
        raise InputError(
            f"found the risk group {group[other][0]!r} ({int(other.sum())} of {len(group)} decisions are in none), "
            f"expected one of {', '.join(RiskGroup)}; decide again"
        )
    return np.asarray(group, dtype=np.str_)


def predictive_values(decisions: pd.DataFrame, labels: pd.DataFrame) -> dict[str, Any]:
    """What a risk group says about its axillae: how many are free of tumour at each stage, and how many are not.

    Parameters
    ----------
    decisions : DataFrame
        The ``decisions`` table.
    labels : DataFrame
        ``patient_id side sln nsln`` of the same axillae: 1 positive, 0 negative, NaN unknown. ``nsln`` is read where
        ``sln`` is 1 only; an SLN-negative axilla is NSLN negative.

    Returns
    -------
    dict
        ``groups``: for each of :data:`GROUPINGS` the number ``n`` of its axillae, and by stage

        - ``negative`` and ``positive``: rates among its axillae with known status, and how many are ``unknown``;
        - ``negative_least`` and ``negative_most``, NSLN stage: the negative share of its axillae with known SLN status
          if all, and if none, of those with unknown NSLN status were positive. These are SLN positive, so that leaving
          them out flatters ``negative``;
        - ``negative_sln_positive``, NSLN stage: the rate among its SLN-positive axillae with known status.

        ``stage_reached``: by risk group, how many axillae were answered by which stage.

    Raises
    ------
    InputError
        If the two tables do not hold the same axillae once each, a label is none of the three values, or a decision is
        in no risk group.

    Examples
    --------
    >>> key = {"patient_id": ["a", "b"], "side": ["left"] * 2}
    >>> decided = pd.DataFrame({**key, "risk_group": "LR-SLN", "stage_reached": "sln"})
    >>> found = predictive_values(decided, pd.DataFrame({**key, "sln": [0, 1], "nsln": [0, None]}))["groups"]["LR-SLN"]
    >>> found["sln"]["negative"]["value"], found["nsln"]["negative"]["value"], found["nsln"]["negative_least"]["value"]
    (0.5, 1.0, 0.5)
    """
    decided, truth = by_axilla(decisions, ("risk_group", "stage_reached"), "decisions"), label_table(labels)
    same_axillae(decided, truth, "decisions", "labels")
    who = patients(truth.index.get_level_values(AXILLA[0]).to_numpy())
    group, reached = risk_groups(decided), decided["stage_reached"].to_numpy(dtype=object).astype(str)
    sln = truth["sln"].to_numpy()
    nsln = np.select([sln == 0, sln == 1], [0.0, truth["nsln"].to_numpy()], np.nan)
    sln_known, unknown = ~np.isnan(sln), (sln == 1) & np.isnan(nsln)

    def share(of: BoolArray, among: BoolArray) -> dict[str, Any]:
        return clustered_rate(of, among, who).as_dict()

    groups: dict[str, Any] = {}
    for name, members in GROUPINGS.items():
        inside = np.isin(group, list(members))
        stages = {
            str(stage): {
                "negative": share(y == 0, inside & ~np.isnan(y)),
                "positive": share(y == 1, inside & ~np.isnan(y)),
                "unknown": int((inside & np.isnan(y)).sum()),
            }
            for stage, y in ((Stage.SLN, sln), (Stage.NSLN, nsln))
        }
        stages[str(Stage.NSLN)] |= {
            "negative_least": share(nsln == 0, inside & sln_known),
            "negative_most": share((nsln == 0) | unknown, inside & sln_known),
            "negative_sln_positive": share(nsln == 0, inside & (sln == 1) & ~unknown),
        }
        groups[name] = {"n": int(inside.sum()), **stages}
    return {
        "groups": groups,
        "stage_reached": {
            str(one): {str(stage): int(((group == one) & (reached == stage)).sum()) for stage in Stage}
            for one in RiskGroup
        },
    }
