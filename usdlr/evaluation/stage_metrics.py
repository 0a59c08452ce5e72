"""Everything that is estimated of one stage: ranking, operating point, calibration; the model and its baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from usdlr.evaluation import calibration, metrics, weighted
from usdlr.evaluation.calibration_error import calibration_error
from usdlr.evaluation.calibration_smooth import calibration_indices
from usdlr.evaluation.comparison import paired_difference, swap_test
from usdlr.evaluation.discrimination import discrimination
from usdlr.evaluation.intervals import Estimate
from usdlr.evaluation.multiplicity import holm
from usdlr.evaluation.operating import rates_by_patient
from usdlr.evaluation.proper_scores import log_loss, scaled_brier

RATES = ("sensitivity", "specificity", "ppv", "npv")


def stage_estimates(rows: pd.DataFrame, threshold: pd.Series | float, y: pd.Series) -> dict[str, Any]:
    """What ``metrics.json`` holds of a stage.

    Parameters
    ----------
    rows : DataFrame
        ``logit probability`` by ``patient_id`` and ``side``, each axilla once; with a column ``fold``, whose scores are
        pooled, the mean over folds is given beside the pooled AUC.
    threshold : Series or float
        Of each axilla, or of all.
    y : Series
        In the order of ``rows``: 1 positive, 0 negative, NaN unknown or not of this stage.

    Returns
    -------
    dict
        Estimates as plain data. ``auc`` (DeLong; Obuchowski where patients have two axillae),
        ``auc_mean_over_folds``; from a bootstrap of patients ``auc_by_patient``, ``partial_auc`` (high sensitivity),
        ``average_precision``, ``specificity_at_sensitivity``; at the thresholds ``sensitivity specificity ppv npv``
        with exact intervals over axillae, and under ``by_patient`` with intervals over patients; ``brier scaled_brier
        log_loss``; ``calibration_slope calibration_intercept observed_expected calibration_error ici e50 e90 emax``.
    """
    probability, logit = rows["probability"], rows["logit"]
    who = rows.index.get_level_values("patient_id")
    limit = np.broadcast_to(np.asarray(threshold, dtype=np.float64), len(rows))
    areas = discrimination(y, probability, who)
    folds = "fold" in rows
    pooled = _pooled if folds else _plain
    found = {
        "auc": pooled(metrics.auc(y, probability, patients=who)),
        **({"auc_mean_over_folds": metrics.auc_mean_over_folds(y, probability, rows["fold"])} if folds else {}),
        "auc_by_patient": pooled(areas["auc"]),
        **{name: pooled(areas[name]) for name in ("partial_auc", "average_precision", "specificity_at_sensitivity")},
        **metrics.operating_point(y, probability, limit),
        "brier": calibration.brier(y, probability, patients=who),
        "scaled_brier": scaled_brier(y, probability, patients=who),
        "log_loss": log_loss(y, logit, patients=who),
        "calibration_slope": calibration.calibration_slope(y, logit),
        "calibration_intercept": calibration.calibration_intercept(y, logit),
        "observed_expected": calibration.observed_expected(y, probability),
        "calibration_error": calibration_error(y, probability),
        **calibration_indices(y, probability, patients=who),
    }
    out: dict[str, Any] = {name: estimate.as_dict() for name, estimate in found.items()}
    by_patient = rates_by_patient(y, probability, limit, who)
    return out | {"by_patient": {name: by_patient[name].as_dict() for name in RATES}}


def baseline_estimates(rows: pd.DataFrame, score: pd.Series, y: pd.Series) -> dict[str, Any]:
    """A baseline on the model's axillae, and how the model differs from it.

    Parameters
    ----------
    rows : DataFrame
        The model's, as in :func:`stage_estimates`.
    score : Series
        The baseline's, in the order of ``rows``; higher means more likely positive.
    y : Series
        As in :func:`stage_estimates`.

    Returns
    -------
    dict
        ``auc``, with folds ``auc_mean_over_folds``, ``difference`` of the AUC (model minus baseline, DeLong),
        ``difference_by_patient`` (bootstrap of patients) and ``p_value`` (scores exchanged patient by patient).
    """
    folds, who = "fold" in rows, rows.index.get_level_values("patient_id")
    pooled = _pooled if folds else _plain
    model = rows["probability"]
    found = {
        "auc": pooled(metrics.auc(y, score)),
        **({"auc_mean_over_folds": metrics.auc_mean_over_folds(y, score, rows["fold"])} if folds else {}),
        "difference": pooled(metrics.delong_difference(y, model, score)),
        "difference_by_patient": pooled(paired_difference(weighted.auc, "AUC difference", y, model, score, who)),
    }
    out: dict[str, Any] = {name: estimate.as_dict() for name, estimate in found.items()}
    return out | {"p_value": swap_test(weighted.auc, "AUC", y, model, score, who).as_dict()}


def adjust(baselines: Mapping[str, Mapping[str, Any]]) -> None:
    """Add ``p_holm`` to every test of a model against its baselines: it allows for all of them, over both stages."""
    tests = [stage["p_value"] for entry in baselines.values() for stage in entry["stages"].values()]
    plain = [np.nan if test["value"] is None else test["value"] for test in tests]
    for test, value in zip(tests, holm(plain), strict=True):
        test["p_holm"] = None if np.isnan(value) else float(value)


def _pooled(estimate: Estimate) -> Estimate:
    if estimate.value is None:
        return estimate
    return replace(estimate, method=f"pooled over folds: {estimate.method}")


def _plain(estimate: Estimate) -> Estimate:
    return estimate
