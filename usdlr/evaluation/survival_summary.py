"""Everything about disease-free survival as plain data for ``metrics.json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from usdlr.evaluation.hazards import group_hazards, score_hazard
from usdlr.evaluation.resampling import REPLICATES
from usdlr.evaluation.survival import MONTHS, by_patient, kaplan_meier, log_rank, numbers_at_risk
from usdlr.evaluation.survival_auc import time_dependent_auc


def survival_metrics(
    table: pd.DataFrame, *, months: Sequence[float] = MONTHS, replicates: int = REPLICATES, seed: int = 0
) -> dict[str, Any]:
    """Survival by risk group, and by score if the table has one.

    Parameters
    ----------
    table : DataFrame
        As in :func:`usdlr.evaluation.survival.by_patient`.
    months : sequence of float
        Times at which survival, numbers at risk and the AUC are given.
    replicates, seed : int
        Of the bootstrap of the AUC.

    Returns
    -------
    dict
        ``patients unknown events``, ``groups.<risk_group>.{n, events, at_risk, survival, median}``, ``log_rank``,
        ``hazards``, and with a column ``score``: ``score.{hazard, auc}``.
    """
    follow_up = by_patient(table)
    at_risk = {str(group): list(row) for group, row in numbers_at_risk(follow_up, months).iterrows()}
    out: dict[str, Any] = {
        "patients": len(follow_up.table),
        "unknown": follow_up.unknown,
        "events": int(follow_up.event.sum()),
        "groups": {
            curve.group: {
                "n": int(curve.at_risk[0]),
                "events": int(curve.events.sum()),
                "at_risk": {f"{time:g}": int(n) for time, n in zip(months, at_risk[curve.group], strict=True)},
                "survival": {f"{time:g}": curve.at(time).as_dict() for time in months},
                "median": curve.median.as_dict(),
            }
            for curve in kaplan_meier(follow_up)
        },
        "log_rank": log_rank(follow_up),
        "hazards": group_hazards(follow_up).as_dict(),
    }
    if "score" in follow_up.table.columns:
        auc = time_dependent_auc(
            follow_up.months, follow_up.event, follow_up.table["score"], months, replicates=replicates, seed=seed
        )
        out["score"] = {
            "hazard": score_hazard(follow_up).as_dict(),
            "auc": {f"{time:g}": estimate.as_dict() for time, estimate in auc.items()},
        }
    return out
