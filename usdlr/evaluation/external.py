"""A finished model judged on patients of another source, none of whom it was made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from usdlr.core.errors import InputError, LeakError
from usdlr.core.tables import PREDICTIONS
from usdlr.core.types import Split, Stage
from usdlr.evaluation.alignment import by_axilla, endpoint_counts, label_table, same_axillae
from usdlr.evaluation.stage_metrics import adjust, baseline_estimates, stage_estimates
from usdlr.evaluation.study import BaselineScores


def external_metrics(
    *,
    predictions: pd.DataFrame,
    labels: pd.DataFrame,
    thresholds: Mapping[Stage, float],
    baselines: Mapping[str, BaselineScores],
    cohort: Mapping[str, Any],
) -> dict[str, Any]:
    """What ``metrics.json`` holds under ``external.<source>``.

    Parameters
    ----------
    predictions : DataFrame
        The ``predictions`` table of one model on the source's axillae, each once per stage, all of the split
        ``external``.
    labels : DataFrame
        ``patient_id side sln nsln`` of the same axillae: 1 positive, 0 negative, NaN unknown.
    thresholds : mapping of Stage to float
        The model's own, for the operating points; what they promised elsewhere is void here.
    baselines : mapping of str to BaselineScores
        Scores of plain models that were fitted on the same training patients.
    cohort : mapping
        Counts for readers; those of the endpoints are made here.

    Returns
    -------
    dict
        ``cohort``, ``stages.<stage>`` of :func:`usdlr.evaluation.stage_metrics.stage_estimates` and
        ``baselines.<name>.stages.<stage>`` of :func:`usdlr.evaluation.stage_metrics.baseline_estimates`.

    Raises
    ------
    LeakError
        If a row is not of the split ``external``.
    InputError
        If the tables do not hold the same axillae once each.
    """
    table = PREDICTIONS.conform(predictions)
    known = table["split"] != str(Split.EXTERNAL)
    if known.any():
        raise LeakError(
            f"found {int(known.sum())} predictions of patients whom the model was made with among those of an external "
            "source, expected none; leave these patients out of the source"
        )
    truth = label_table(labels)
    tested = {}
    for stage in Stage:
        what = f"external predictions of stage {stage}"
        rows = by_axilla(table[table["stage"] == str(stage)], ("logit", "probability"), what)
        same_axillae(rows, truth, what, "labels")
        tested[stage] = rows
    status = {
        Stage.SLN: truth["sln"],
        # Stage 2 counts only axillae with a positive sentinel node.
        Stage.NSLN: truth["nsln"].where(truth["sln"] == 1),
    }
    patients = truth.index.get_level_values("patient_id").nunique()
    compared = {name: _baseline(name, scores, tested, status) for name, scores in baselines.items()}
    adjust(compared)
    return {
        "cohort": {**cohort, **endpoint_counts(labels), "axillae": len(truth), "patients": patients},
        "stages": {str(stage): stage_estimates(tested[stage], thresholds[stage], status[stage]) for stage in Stage},
        "baselines": compared,
    }


def _baseline(
    name: str, baseline: BaselineScores, tested: Mapping[Stage, pd.DataFrame], status: Mapping[Stage, pd.Series]
) -> dict[str, Any]:
    stages: dict[str, dict[str, Any]] = {}
    for stage, rows in tested.items():
        chosen = baseline.predictions[baseline.predictions["stage"].astype(str) == str(stage)]
        what = f"external scores of the baseline {name} at stage {stage}"
        theirs = by_axilla(chosen, ("score",), what)
        same_axillae(theirs, rows, what, "model's external predictions")
        if theirs["score"].isna().any():
            raise InputError(f"found {what} without a value, expected a number for every axilla; fit it again")
        stages[str(stage)] = baseline_estimates(rows, theirs["score"], status[stage])
    return {"title": baseline.title, "auc": stages[str(Stage.SLN)]["auc"], "stages": stages}
