"""Scores from elsewhere, judged with the functions that judge usdlr's own predictions."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.types import RiskGroup, Stage
from usdlr.decision.wording_net_benefit import READING, WHY_ACTED_ON
from usdlr.evaluation import metrics, operating
from usdlr.evaluation.clustered_rate import clustered_rate, effective_number
from usdlr.evaluation.discrimination import discrimination
from usdlr.evaluation.levels import Variable, levels
from usdlr.evaluation.net_benefit import ACTED_ON, decision_curve
from usdlr.evaluation.resampling import patients
from usdlr.evaluation.stage_metrics import adjust, baseline_estimates, stage_estimates
from usdlr.evaluation.subgroups import subgroups
from usdlr.validation.scores_read import SCORE, ScoreTable
from usdlr.validation.verdict import judge

SCHEMA = 1
# What only a probability has.
_NEEDS_THRESHOLD = ("sensitivity", "specificity", "ppv", "npv", "by_patient")


def score_metrics(table: ScoreTable) -> dict[str, Any]:
    """The content of ``metrics.json``.

    Parameters
    ----------
    table : ScoreTable
        From :func:`usdlr.validation.scores_read.read_scores`.

    Returns
    -------
    dict
        ``schema scale rows patients``; per stage under ``stages``: ``outcome scores counts``, ``estimates`` of the
        first column (:func:`usdlr.evaluation.stage_metrics.stage_estimates`; of a mere score what its ranks tell),
        ``others`` (of every further column), ``decision_curve``, ``verdict`` where an alpha is given, ``subgroups``;
        and ``comparisons``: for every two columns of a stage their AUCs' paired difference (DeLong, and by a bootstrap
        of patients) and the permutation test with Holm's correction over all of them.
    """
    stages = {str(stage): _stage(table, stage) for stage in table.columns.stages}
    return {
        "schema": SCHEMA,
        "scale": table.columns.scale,
        "rows": len(table.keys),
        "patients": int(table.keys["patient_id"].nunique()),
        "stages": stages,
        "comparisons": _comparisons(table),
    }


def stage_truth(table: ScoreTable, stage: Stage) -> pd.Series:
    """The stage's outcome by row, sorted by patient and side; at the NSLN stage that of SLN-positive rows."""
    y = table.outcome[stage]
    if stage is Stage.NSLN and Stage.SLN in table.outcome:
        y = np.where(table.outcome[Stage.SLN] == 1, y, np.nan)
    return _sorted(table, pd.Series(y))


def _sorted(table: ScoreTable, values: pd.Series) -> pd.Series:
    index = pd.MultiIndex.from_frame(table.keys.astype(str))
    return pd.Series(values.to_numpy(), index=index).sort_index()


def stage_frame(table: ScoreTable, stage: Stage, column: str) -> pd.DataFrame:
    """One column's ``probability logit`` by patient and side, sorted; of a mere score both are the score."""
    rows = table.predicted(stage, column)
    if table.columns.scale == SCORE:
        raw = table.scores[stage][column]
        rows = rows.assign(probability=raw, logit=raw)
    keyed = rows.astype(dict.fromkeys(AXILLA_KEY, "str")).set_index(list(AXILLA_KEY))
    return keyed.sort_index()[["probability", "logit"]]


def _stage(table: ScoreTable, stage: Stage) -> dict[str, Any]:
    asked, y = table.columns.stages[stage], stage_truth(table, stage)
    first, *further = asked.scores
    found: dict[str, Any] = {
        "outcome": asked.outcome,
        "scores": list(asked.scores),
        "threshold": asked.threshold,
        "counts": {
            "positive": int((y == 1).sum()),
            "negative": int((y == 0).sum()),
            "unknown": int(y.isna().sum()),
        },
        "estimates": _estimates(table, stage, first, y),
        "others": {name: _estimates(table, stage, name, y) for name in further},
    }
    rows = stage_frame(table, stage, first)
    who = rows.index.get_level_values("patient_id")
    if table.columns.scale != SCORE:
        curve = decision_curve(y, rows["probability"], who, thresholds=ACTED_ON)
        found["decision_curve"] = {**curve.as_dict(), "reading": READING, "range": WHY_ACTED_ON}
    if asked.alpha is not None:
        found["verdict"] = _verdict(table, stage, y)
    if len(table.subgroups.columns) and table.columns.scale != SCORE:
        found["subgroups"] = _subgroups(table, stage, rows, y)
    return found


def _estimates(table: ScoreTable, stage: Stage, column: str, y: pd.Series) -> dict[str, Any]:
    limit, rows = _limit(table, stage), stage_frame(table, stage, column)
    who = rows.index.get_level_values("patient_id")
    if table.columns.scale == SCORE:
        areas = discrimination(y, rows["probability"], who)
        plain = {"auc": metrics.auc(y, rows["probability"]), "auc_by_patient": areas["auc"]}
        plain |= {name: areas[name] for name in ("partial_auc", "average_precision", "specificity_at_sensitivity")}
        if limit is not None:
            called = (rows["probability"].to_numpy() >= limit).astype(np.float64)
            plain |= metrics.operating_point(y, called, np.full(len(called), 0.5))
        found: dict[str, Any] = {name: estimate.as_dict() for name, estimate in plain.items()}
        if limit is not None:
            rates = operating.rates_by_patient(y, called, np.full(len(called), 0.5), who)
            found["by_patient"] = {name: one.as_dict() for name, one in rates.items()}
        return found
    every = stage_estimates(rows, 0.5 if limit is None else limit, y)
    return {name: value for name, value in every.items() if limit is not None or name not in _NEEDS_THRESHOLD}


def _limit(table: ScoreTable, stage: Stage) -> float | None:
    """The stage's threshold on the scale on which rows are compared with it."""
    limit = table.columns.stages[stage].threshold
    if limit is None or table.columns.scale != "log_odds":
        return limit
    return float(1 / (1 + np.exp(-limit)))


def _missed(table: ScoreTable, stage: Stage) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Rows below the stage's threshold, or an earlier stage's: whom the cascade would spare."""
    below = np.zeros(len(table.keys), dtype=bool)
    for one in (Stage.SLN, stage):
        if one not in table.columns.stages or (limit := _limit(table, one)) is None:
            continue
        rows = stage_frame(table, one, table.columns.stages[one].scores[0])
        below |= rows["probability"].to_numpy() < limit
    return below


def _verdict(table: ScoreTable, stage: Stage, y: pd.Series) -> dict[str, Any]:
    alpha = table.columns.stages[stage].alpha
    assert alpha is not None
    who = patients(y.index.get_level_values("patient_id").to_numpy())
    positive = (y == 1).to_numpy(dtype=np.bool_)
    rate = clustered_rate(_missed(table, stage), positive, who)
    return judge(stage, rate, alpha, effective_number(positive, who)).as_dict()


def cascade_groups(table: ScoreTable) -> pd.Series | None:
    """Risk group of every row, where both stages have a threshold; None otherwise."""
    limits = {stage: _limit(table, stage) for stage in table.columns.stages}
    if set(limits) != set(Stage) or any(limit is None for limit in limits.values()):
        return None
    first = _missed(table, Stage.SLN)
    both = _missed(table, Stage.NSLN)
    names = np.where(first, RiskGroup.LR_SLN.value, RiskGroup.HR_SLN_HR_NSLN.value)
    index = stage_truth(table, Stage.SLN).index
    return pd.Series(np.where(both & ~first, RiskGroup.HR_SLN_LR_NSLN.value, names), index=index)


def _subgroups(table: ScoreTable, stage: Stage, rows: pd.DataFrame, y: pd.Series) -> dict[str, Any]:
    """By column; numbers of many values are cut at their terciles, so that levels are not single patients."""
    called = np.ones(len(rows)) if _limit(table, stage) is None else (~_missed(table, stage)).astype(float)
    flat = pd.DataFrame({"y": y, "probability": rows["probability"], "called": called}).reset_index()
    variables = []
    for name in table.subgroups:
        column = _sorted(table, table.subgroups[name]).reset_index(drop=True)
        numbers = pd.to_numeric(column.str.replace(",", ".", regex=False), errors="coerce")
        if numbers.notna().sum() == column.notna().sum() and numbers.nunique() > 6:
            cuts = tuple(sorted({float(f"{cut:.3g}") for cut in numbers.quantile([1 / 3, 2 / 3])}))
            variables.append(Variable(str(name), str(name), cuts))
            flat[str(name)] = numbers
        else:
            variables.append(Variable(str(name), str(name)))
            flat[str(name)] = column
        levels(flat[str(name)], variables[-1])
    found = subgroups(flat, variables=variables).as_dict()
    if _limit(table, stage) is None:  # without a call there are no rates of calls
        for part in found["variables"].values():
            part["tests"].pop("fnr", None)
            for level in part["levels"]:
                for key in ("sensitivity", "fnr", "specificity", "missed", "spared"):
                    level.pop(key, None)
    return found


def _comparisons(table: ScoreTable) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for stage, asked in table.columns.stages.items():
        y = stage_truth(table, stage)
        for first, second in combinations(asked.scores, 2):
            rows, other = stage_frame(table, stage, first), stage_frame(table, stage, second)["probability"]
            name = f"{first} minus {second}"
            found[f"{stage}: {name}"] = {
                "title": name,
                "stage": str(stage),
                "stages": {str(stage): baseline_estimates(rows, other, y)},
            }
    adjust(found)
    return found


def flat_comparisons(found: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Stage, title and estimates of every comparison."""
    return [(one["stage"], one["title"], one["stages"][one["stage"]]) for one in found.values()]
