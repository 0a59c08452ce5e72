"""Everything that ``metrics.json`` holds, from out-of-fold predictions and decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core.errors import InputError, LeakError
from usdlr.core.tables import DECISIONS, PREDICTIONS
from usdlr.core.types import Split, Stage
from usdlr.evaluation.alignment import by_axilla, endpoint_counts, label_table, same_axillae
from usdlr.evaluation.balance import study_balance
from usdlr.evaluation.cascade import cascade_rates, predictive_values
from usdlr.evaluation.ceiling import LIMIT, CeilingScores, ceiling_estimates, shares_of_limit
from usdlr.evaluation.model_against import adjust_calls, calls_and_risks
from usdlr.evaluation.needle import needle_rates
from usdlr.evaluation.net_benefit import study_decision_curves
from usdlr.evaluation.pathways import pathways
from usdlr.evaluation.stage_metrics import adjust, baseline_estimates, stage_estimates
from usdlr.evaluation.subgroups import study_subgroups
from usdlr.evaluation.survival_summary import study_survival
from usdlr.evaluation.threshold_shift import threshold_shift
from usdlr.evaluation.verified import verified_nsln

HEADER: tuple[str, ...] = ("experiment", "question", "simulated", "proxies", "endpoints")
REFERENCES: Mapping[str, float] = {"sentinel_biopsy_fnr": 0.10, "axillary_dissection_fnr": 0.05}
"""What surgery itself misses, to print beside the result."""

_AGREE = 1e-9  # probabilities and thresholds that are one number in two tables


@dataclass(frozen=True, eq=False)
class BaselineScores:
    """Out-of-fold scores of something that the model must beat.

    Parameters
    ----------
    title : str
        Name for readers.
    predictions : DataFrame
        ``patient_id side stage fold score``: the model's axillae at both stages; higher means more likely positive.
    """

    title: str
    predictions: pd.DataFrame


def study_metrics(
    *,
    predictions: pd.DataFrame,
    decisions: pd.DataFrame,
    labels: pd.DataFrame,
    contract: dict[str, Any],
    fold_contracts: dict[str, dict[str, Any]],
    baselines: dict[str, BaselineScores],
    header: dict[str, Any],
    cohort: dict[str, Any],
    ceilings: Mapping[str, CeilingScores] | None = None,
    axillae: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """The content of ``metrics.json``.

    Parameters
    ----------
    predictions : DataFrame
        The ``predictions`` table; only rows of the test split are used, each axilla once per stage.
    decisions : DataFrame
        The out-of-fold ``decisions`` table of the same axillae.
    labels : DataFrame
        ``patient_id side sln nsln`` of the same axillae: 1 positive, 0 negative, NaN unknown.
    contract : dict
        The bundle's contract, as plain data.
    fold_contracts : dict of str to dict
        Each test fold's contract, as plain data.
    baselines : dict of str to BaselineScores
        By name.
    header : dict
        ``experiment question simulated proxies endpoints``.
    cohort : dict
        Counts for readers; the endpoint counts are made here from ``labels``.
    ceilings : mapping of str to CeilingScores, optional
        Of a simulated cohort: the ``oracle`` and the ``limit``.
    axillae : DataFrame, optional
        ``patient_id side`` and what describes each axilla, of the same axillae and perhaps more; subgroups, balance,
        survival and the rule of Z0011 are left out as far as it does not hold what they need.

    Returns
    -------
    dict
        Plain data.

    Raises
    ------
    LeakError
        If a patient is in two splits of one fold, or is tested in two folds.
    InputError
        If the tables do not hold the same axillae once each, or disagree about a probability, fold or threshold.
    """
    missing = [name for name in HEADER if name not in header]
    if missing:
        raise InputError(f"found no {missing[0]!r} in the header of the metrics, expected {', '.join(HEADER)}; add it")
    truth = label_table(labels)
    test = _test_rows(predictions)
    tested = {stage: _stage_rows(test, stage, truth) for stage in Stage}
    decided = _checked_decisions(decisions, tested, fold_contracts)
    status = {stage: _stage_labels(truth, stage) for stage in Stage}
    stages = {str(stage): stage_estimates(tested[stage], decided[f"t_{stage}"], status[stage]) for stage in Stage}
    known = dict(ceilings or {})
    known_of = pd.DataFrame() if axillae is None else axillae
    if LIMIT in known:
        for name, share in shares_of_limit(known[LIMIT], tested, status).items():
            stages[name]["share_of_limit"] = share
    best = {name: ceiling_estimates(name, scores, tested, status) for name, scores in known.items()}
    compared = {name: _baseline(name, scores, tested, truth, decided) for name, scores in baselines.items()}
    adjust(compared)
    adjust_calls(compared)
    return {
        **header,
        "cohort": _checked_cohort(cohort, labels, truth),
        "stages": stages,
        "cascade": {
            **cascade_rates(decisions, labels),
            "contract": contract,
            "folds": fold_contracts,
            **_cascade_in_depth(decisions, labels, known_of, contract),
        },
        "baselines": compared,
        "references": dict(REFERENCES),
        "decision_curves": study_decision_curves(tested, labels),
        **_described(tested, decisions, labels, known_of),
        **{name: {"auc": parts[str(Stage.SLN)]["auc"], "stages": parts} for name, parts in best.items()},
    }


def _cascade_in_depth(
    decisions: pd.DataFrame, labels: pd.DataFrame, axillae: pd.DataFrame, contract: Mapping[str, Any]
) -> dict[str, Any]:
    """What the cascade's answers are worth, what they do to patients, and how much hangs on the thresholds."""
    found = {
        "predictive": predictive_values(decisions, labels),
        "pathways": pathways(decisions, labels, axillae, contract=contract),
        "threshold_shift": threshold_shift(decisions, labels),
    }
    if len(axillae.columns):
        found["verification"] = verified_nsln(decisions, labels, axillae)
        needle = needle_rates(decisions, labels, axillae)
        found |= {"needle": needle} if needle is not None else {}
    return found


def _described(
    tested: Mapping[Stage, pd.DataFrame], decisions: pd.DataFrame, labels: pd.DataFrame, axillae: pd.DataFrame
) -> dict[str, Any]:
    """What takes more than labels: subgroups, the make-up of the cohort, survival."""
    if not len(axillae.columns):
        return {}
    found: dict[str, Any] = {
        "subgroups": study_subgroups(tested, decisions, labels, axillae),
        "balance": study_balance(labels, axillae),
    }
    survival = study_survival(decisions, axillae, decisions["p_sln"])
    return found | ({"survival": survival} if survival is not None else {})


def _test_rows(predictions: pd.DataFrame) -> pd.DataFrame:
    table = PREDICTIONS.conform(predictions)
    # Over both stages: whoever trained either stage of a fold cannot test its cascade.
    splits = table.groupby(["fold", "patient_id"])["split"].nunique()
    if (splits > 1).any():
        raise LeakError(
            f"found {int((splits > 1).sum())} patients in two splits of one fold, expected exactly one; "
            "make the splits again"
        )
    test = table[table["split"] == str(Split.TEST)]
    folds = test.groupby("patient_id")["fold"].nunique()
    if (folds > 1).any():
        raise LeakError(
            f"found {int((folds > 1).sum())} patients tested in more than one fold, expected one fold each; both sides "
            "and both stages of a patient travel together"
        )
    return test


def _stage_rows(test: pd.DataFrame, stage: Stage, truth: pd.DataFrame) -> pd.DataFrame:
    what = f"test predictions of stage {stage}"
    rows = by_axilla(test[test["stage"] == str(stage)], ("fold", "logit", "probability"), what)
    same_axillae(rows, truth, what, "labels")
    return rows


def _checked_decisions(
    decisions: pd.DataFrame, tested: Mapping[Stage, pd.DataFrame], fold_contracts: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    decided = by_axilla(DECISIONS.conform(decisions), ("p_sln", "t_sln", "p_nsln", "t_nsln"), "decisions")
    for stage, rows in tested.items():
        same_axillae(decided, rows, "decisions", "test predictions")
        differ = np.abs(decided[f"p_{stage}"].to_numpy() - rows["probability"].to_numpy()) > _AGREE
        if differ.any():
            raise InputError(
                f"found {int(differ.sum())} of {len(rows)} decisions whose p_{stage} is not the test prediction's, "
                "expected out-of-fold decisions; decide again on the test rows"
            )
        unknown = sorted(set(rows["fold"]) - set(fold_contracts))
        if unknown:
            raise InputError(f"found no contract of fold {unknown[0]!r}, expected one per test fold; pass it")
    wrong = _other_thresholds(decided, tested[Stage.SLN]["fold"], fold_contracts)
    if wrong:
        raise InputError(
            f"found {wrong} of {len(decided)} decisions whose t_sln or t_nsln is not their test fold's, expected each "
            "axilla to be judged by its own fold's contract, or that of its stratum there; decide again"
        )
    return decided


def _other_thresholds(decided: pd.DataFrame, fold: pd.Series, fold_contracts: Mapping[str, Mapping[str, Any]]) -> int:
    """How many axillae were decided with thresholds that no contract of their fold has for anybody."""
    wrong = 0
    taken = decided[[f"t_{stage}" for stage in Stage]].to_numpy(dtype=np.float64)
    for name, contract in fold_contracts.items():
        own = taken[(fold == name).to_numpy()]
        allowed = [[float(part[f"t_{stage}"]) for stage in Stage] for part in _deciding(contract)]
        far = np.abs(own[:, None, :] - np.array(allowed)[None, :, :]).max(axis=2)
        wrong += int((far.min(axis=1) > _AGREE).sum())
    return wrong


def _deciding(contract: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The contracts that decide axillae: the strata's, and of an unknown stratum thresholds that spare nobody."""
    if not contract.get("strata"):
        return [contract]
    return [*contract["by_stratum"].values(), {f"t_{stage}": 0.0 for stage in Stage}]


def _checked_cohort(cohort: Mapping[str, Any], labels: pd.DataFrame, truth: pd.DataFrame) -> dict[str, Any]:
    counted: dict[str, Any] = endpoint_counts(labels)
    counted |= {"axillae": len(truth), "patients": truth.index.get_level_values("patient_id").nunique()}
    for name, value in counted.items():
        if name in cohort and cohort[name] != value:
            raise InputError(
                f"found {name} = {cohort[name]} in the cohort but {value} in the labels, expected the same; every "
                "axilla of the cohort needs an out-of-fold prediction"
            )
    return {**cohort, **counted}


def _stage_labels(truth: pd.DataFrame, stage: Stage) -> pd.Series:
    """Status by axilla; at the NSLN stage it counts only on SLN-positive axillae."""
    return truth["sln"] if stage is Stage.SLN else truth["nsln"].where(truth["sln"] == 1)


def _baseline(
    name: str,
    baseline: BaselineScores,
    tested: Mapping[Stage, pd.DataFrame],
    truth: pd.DataFrame,
    decided: pd.DataFrame,
) -> dict[str, Any]:
    stages: dict[str, dict[str, Any]] = {}
    for stage, rows in tested.items():
        chosen = baseline.predictions[baseline.predictions["stage"].astype(str) == str(stage)]
        what = f"predictions of the baseline {name} at stage {stage}"
        theirs = by_axilla(chosen, ("fold", "score"), what)
        same_axillae(theirs, rows, what, "model's test predictions")
        if (theirs["fold"].astype(str).to_numpy() != rows["fold"].astype(str).to_numpy()).any():
            raise InputError(f"found other test folds in the {what}, expected the model's; fit it on the same folds")
        y = _stage_labels(truth, stage)
        stages[str(stage)] = baseline_estimates(rows, theirs["score"], y)
        stages[str(stage)]["against"] = calls_and_risks(y, rows, decided[f"t_{stage}"], theirs["score"])
    return {"title": baseline.title, "auc": stages[str(Stage.SLN)]["auc"], "stages": stages}
