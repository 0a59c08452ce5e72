"""Everything about disease-free survival as plain data for ``metrics.json``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.errors import ConfigError, DataError, InputError
from usdlr.evaluation.alignment import AXILLA, by_axilla
from usdlr.evaluation.hazards import group_hazards, score_hazard
from usdlr.evaluation.resampling import REPLICATES
from usdlr.evaluation.survival import (
    MONTHS,
    FollowUp,
    SurvivalCurve,
    by_patient,
    kaplan_meier,
    lifelines,
    log_rank,
    median_follow_up,
    numbers_at_risk,
)
from usdlr.evaluation.survival_auc import time_dependent_auc

UNAVAILABLE = "unavailable"
FEW_AT_RISK = 10
"""Below so many patients under observation a curve says little; a figure draws it thin."""
_CELLS = 240  # points of a curve: one for every 2 pixels or so of a figure
_TICKS = (3, 6, 12, 24, 60, 120, 240)
_MOST_TICKS = 9


def study_survival(
    decisions: pd.DataFrame,
    axillae: pd.DataFrame,
    score: npt.ArrayLike | None = None,
    *,
    months: Sequence[float] = MONTHS,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, Any] | None:
    """Survival by the risk group that each patient was given, for the path ``survival`` of ``metrics.json``.

    One row per patient: the worse side's group, as :func:`usdlr.evaluation.survival.by_patient` says. What a run of
    hours would otherwise end with, a library that is not installed or sides that contradict each other, is told in
    words instead.

    Parameters
    ----------
    decisions : DataFrame
        The ``decisions`` table.
    axillae : DataFrame
        ``patient_id side dfs_months dfs_event``; columns and values may be missing, other axillae are ignored.
    score : (n,) array_like, optional
        One value per row of ``decisions``, e.g. its column ``p_sln``; the name of a Series is kept.
    months : sequence of float
        Times at which survival, numbers at risk and the AUC are given.
    replicates, seed : int
        Of the bootstrap of the AUC.

    Returns
    -------
    dict or None
        What :func:`survival_metrics` gives with ``curves``, and ``score.name``; ``{"unavailable": why}`` where it
        cannot be worked out; None where nobody's follow-up is known.

    Raises
    ------
    InputError
        If an axilla appears twice, or there is not one score per decision.
    """
    names = ("dfs_months", "dfs_event")
    if not {*AXILLA, *names} <= set(axillae.columns) or len(decisions) == 0:
        return None
    table = decisions[[*AXILLA, "risk_group"]].reset_index(drop=True)
    if score is not None:
        values = np.asarray(score, dtype=np.float64)
        if values.shape != (len(table),):
            raise InputError(
                f"found scores of shape {values.shape} for {len(table)} decisions, expected one each; align them"
            )
        table["score"] = values
    known = by_axilla(axillae, names, "table of axillae")
    keys = pd.MultiIndex.from_frame(table[list(AXILLA)].astype("str"))
    table = table.assign(**{name: known[name].reindex(keys).to_numpy() for name in names})
    if not (table["dfs_months"].notna() & table["dfs_event"].notna()).any():
        return None
    try:
        lifelines()
        found = survival_metrics(table, months=months, replicates=replicates, seed=seed)
        follow_up = by_patient(table)
        if follow_up.table.empty:
            return None
        found |= {"curves": curve_points(follow_up)}
    except (ConfigError, DataError) as error:
        return {UNAVAILABLE: str(error)}
    if "score" in found:
        found["score"]["name"] = str(getattr(score, "name", None) or "score")
    return found


def curve_points(follow_up: FollowUp) -> dict[str, Any]:
    """What a figure of the survival of each group is drawn from, thinned to what it can show.

    Returns
    -------
    dict
        ``ticks`` (months of the table underneath), and by group under ``groups``: ``months survival low high at_risk``
        (each step of the curve, with the patients under observation just before it; of many steps within a 240th of
        the time the last one), ``end`` (last month under observation), ``few_from`` (month from which fewer than 10
        are under observation, or None), ``censored`` (``months survival`` of those who left) and ``at_risk_at_ticks``.
    """
    longest = float(follow_up.months.max()) if len(follow_up.table) else 0.0
    ticks = _ticks(longest)
    at_risk = {str(group): list(row) for group, row in numbers_at_risk(follow_up, ticks).iterrows()}
    groups = {
        curve.group: _points(curve, longest) | {"at_risk_at_ticks": [int(n) for n in at_risk[curve.group]]}
        for curve in kaplan_meier(follow_up)
    }
    return {"ticks": ticks, "groups": groups}


def _ticks(longest: float) -> list[float]:
    step = next((one for one in _TICKS if longest / one < _MOST_TICKS), _TICKS[-1])
    return [float(tick) for tick in range(0, int(longest) + 1, step)]


def _points(curve: SurvivalCurve, longest: float) -> dict[str, Any]:
    cell = np.ceil(curve.months / longest * _CELLS) if longest > 0 else np.zeros(len(curve.months))
    steps = np.flatnonzero((curve.events > 0) | (np.arange(len(curve.months)) == 0))
    left = np.flatnonzero(curve.censored > 0)
    kept, gone = steps[_last(cell[steps])], left[_last(cell[left])]
    few = np.flatnonzero(curve.at_risk < FEW_AT_RISK)
    return {
        "n": int(curve.at_risk[0]),
        "months": curve.months[kept].tolist(),
        "survival": curve.survival[kept].tolist(),
        "low": curve.low[kept].tolist(),
        "high": curve.high[kept].tolist(),
        "at_risk": [int(n) for n in curve.at_risk[kept]],
        "end": float(curve.months[-1]),
        # The number falls just after the time before.
        "few_from": float(curve.months[max(0, few[0] - 1)]) if len(few) else None,
        "censored": {"months": curve.months[gone].tolist(), "survival": curve.survival[gone].tolist()},
    }


def _last(cell: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which entries are the last of their cell; cells do not fall."""
    return np.append(cell[1:] != cell[:-1], True) if len(cell) else np.zeros(0, dtype=bool)


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
        ``patients unknown events follow_up``, ``groups.<risk_group>.{n, events, at_risk, survival, median}``,
        ``log_rank``, ``hazards``, and with a column ``score``: ``score.{hazard, auc}``.
    """
    follow_up = by_patient(table)
    at_risk = {str(group): list(row) for group, row in numbers_at_risk(follow_up, months).iterrows()}
    out: dict[str, Any] = {
        "patients": len(follow_up.table),
        "unknown": follow_up.unknown,
        "events": int(follow_up.event.sum()),
        "follow_up": median_follow_up(follow_up).as_dict(),
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
