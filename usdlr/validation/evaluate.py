"""From predictions and outcomes to the numbers of a validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.types import Split, Stage
from usdlr.core.where import condition_words
from usdlr.evaluation.alignment import by_axilla, endpoint_counts, label_table
from usdlr.evaluation.intervals import Estimate
from usdlr.evaluation.label_shift import prevalence_difference, prevalence_from_predictions
from usdlr.evaluation.levels import VARIABLES
from usdlr.evaluation.stage_metrics import stage_estimates
from usdlr.evaluation.study import study_metrics
from usdlr.evaluation.subgroups import study_subgroups
from usdlr.inference.axillae import quality_counts
from usdlr.inference.bundle import Bundle
from usdlr.inference.reference import bundle_reference
from usdlr.simulate.centres import SIMULATED_PREFIX
from usdlr.validation.meta import Pooled, pool_areas, pool_plain
from usdlr.validation.meta_rates import pool_rates
from usdlr.validation.plan import Plan
from usdlr.validation.size import needed
from usdlr.validation.verdict import verdicts

SCHEMA = 1
FOLD = "bundle"
SLOPE, INTERCEPT = "calibration_slope", "calibration_intercept"


def validation_metrics(
    plan: Plan,
    bundle: Bundle,
    *,
    cases: pd.DataFrame,
    labels: pd.DataFrame,
    predictions: pd.DataFrame,
    decisions: pd.DataFrame,
    exclusions: pd.DataFrame,
    axillae: pd.DataFrame,
) -> dict[str, Any]:
    """The content of ``validation.json`` but for lock, shift and adaptation.

    Everything that ``metrics.json`` of a study holds, with one frozen model in place of folds, and beside it
    ``verdicts`` of all patients, ``centres`` (by centre: counts, estimates, verdicts), ``meta`` (over centres, where
    there are several), ``hypotheses`` and ``needed`` of the plan.

    Parameters
    ----------
    plan, bundle
        What was asked of whom.
    cases : DataFrame
        Cases that were predicted, of all sources.
    labels : DataFrame
        ``patient_id side centre_id sln nsln`` of their axillae: 1 positive, 0 negative, NaN unknown.
    predictions, decisions, exclusions : DataFrame
        The tables, of all sources.
    axillae : DataFrame
        From :func:`usdlr.inference.axillae.axilla_table`.
    """
    contract = bundle.member.contract
    reached = not set(labels["centre_id"].astype(str)) - set(plan.development_centres)
    stated = (contract if reached else contract.void()).to_dict()
    stated |= {"asked": dict(plan.hypotheses.alpha)}  # beside the alpha of the certificate, which is the bundle's own
    tested = predictions.assign(split=str(Split.TEST), fold=FOLD)
    counted = dict.fromkeys((FOLD,), stated)
    metrics = study_metrics(
        predictions=tested,
        decisions=decisions,
        labels=labels[[*AXILLA_KEY, "sln", "nsln"]],
        contract=stated,
        fold_contracts=counted,
        baselines={},
        header=_header(plan, bundle, labels),
        cohort={
            "centres": sorted(labels["centre_id"].astype(str).unique()),
            "image_sets": len(cases),
            "excluded": len(exclusions),
            "exclusions": {str(code): int(n) for code, n in exclusions["code"].value_counts().sort_index().items()},
            "quality": quality_counts(cases),
            "relative_diameter": bundle.preparation.relative_diameter,
            **({"where": condition_words(plan.where)} if plan.where else {}),
        },
        axillae=axillae,
    )
    for part in metrics["stages"].values():
        for estimate in (*part.values(), *part.get("by_patient", {}).values()):
            if "method" in estimate:  # there are no folds: one model answered
                estimate["method"] = str(estimate["method"]).removeprefix("pooled over folds: ")
    asked = tuple(one for one in VARIABLES if one.name in plan.subgroups)
    if "subgroups" in metrics and len(asked) < len(VARIABLES):
        rows = {stage: _rows(tested, stage) for stage in Stage}
        metrics["subgroups"] = study_subgroups(rows, decisions, labels, axillae, variables=asked)
    centres = {
        str(name): _centre(plan, part, tested, decisions)
        for name, part in labels.groupby(labels["centre_id"].astype(str), sort=True)
    }
    every = {str(stage): one.as_dict() for stage, one in verdicts(decisions, labels, plan.hypotheses.alpha).items()}
    return {
        "validation_schema": SCHEMA,
        **metrics,
        "label_shift": label_shift(bundle, predictions, labels),
        "verdicts": every,
        "centres": centres,
        "meta": pooled_over(centres) if len(centres) > 1 else {},
        "hypotheses": {
            "alpha": dict(plan.hypotheses.alpha),
            "auc": dict(plan.hypotheses.auc),
            "slope": plan.hypotheses.slope,
        },
        "needed": needed(plan),
        "development": {
            "experiment": bundle.card["experiment"],
            "bundle_id": bundle.bundle_id,
            "signed_by": bundle.signed_by,
            "cohort": bundle.card["cohort"],
            "contract": contract.to_dict(),
        },
    }


def _header(plan: Plan, bundle: Bundle, labels: pd.DataFrame) -> dict[str, Any]:
    simulated = bundle.card["simulated"] or labels["centre_id"].astype(str).str.startswith(SIMULATED_PREFIX).any()
    return {
        "experiment": plan.title,
        "question": plan.question,
        "simulated": bool(simulated),
        "proxies": {str(stage): plan.endpoints[str(stage)].proxy for stage in Stage},
        "endpoints": {
            str(stage): {"column": plan.column(stage), "positive": plan.endpoints[str(stage)].positive}
            for stage in Stage
        },
    }


def _rows(predictions: pd.DataFrame, stage: Stage) -> pd.DataFrame:
    chosen = predictions[predictions["stage"].astype(str) == str(stage)]
    return by_axilla(chosen, ("logit", "probability"), f"predictions of stage {stage}")


def _centre(plan: Plan, labels: pd.DataFrame, predictions: pd.DataFrame, decisions: pd.DataFrame) -> dict[str, Any]:
    """One centre's counts, estimates of both stages at the thresholds of each axilla, and verdicts."""
    truth = label_table(labels)
    # A contract by strata has thresholds of its own for each stratum, so that they are read from the decisions.
    limits = by_axilla(decisions, ("t_sln", "t_nsln"), "decisions").loc[truth.index]
    status = {Stage.SLN: truth["sln"], Stage.NSLN: truth["nsln"].where(truth["sln"] == 1)}
    stages = {
        str(stage): stage_estimates(_rows(predictions, stage).loc[truth.index], limits[f"t_{stage}"], status[stage])
        for stage in Stage
    }
    keys = pd.MultiIndex.from_frame(labels[AXILLA_KEY].astype(str))
    mine = decisions[pd.MultiIndex.from_frame(decisions[AXILLA_KEY].astype(str)).isin(keys)]
    found = verdicts(mine, labels, plan.hypotheses.alpha)
    return {
        "axillae": len(truth),
        "patients": int(labels["patient_id"].nunique()),
        **endpoint_counts(labels),
        "stages": stages,
        "verdicts": {str(stage): one.as_dict() for stage, one in found.items()},
        "development": str(labels["centre_id"].iloc[0]) in plan.development_centres,
    }


def pooled_over(centres: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Meta-analysis over centres by stage: ``auc fnr calibration_slope calibration_intercept``, each with the rows.

    Parameters
    ----------
    centres : mapping of str to mapping
        By centre ``stages.<stage>.<measure>`` and ``verdicts.<stage>.rate`` as estimates in plain data.
    """
    found: dict[str, Any] = {}
    for stage in map(str, Stage):
        areas = [_estimate(part["stages"][stage]["auc"]) for part in centres.values()]
        rates = [_estimate(part["verdicts"][stage]["rate"]) for part in centres.values()]
        told = [part["verdicts"][stage].get("effective") for part in centres.values()]
        worth = [float(one.n if own is None else own) for one, own in zip(rates, told, strict=True)]
        pooled: dict[str, Pooled | None] = {
            "auc": pool_areas(areas),
            "fnr": pool_rates([one.events or 0 for one in rates], [one.n for one in rates], worth),
        }
        for key, words in ((SLOPE, "the calibration slope"), (INTERCEPT, "the calibration intercept")):
            pooled[key] = pool_plain([_estimate(part["stages"][stage][key]) for part in centres.values()], scale=words)
        found[stage] = {name: None if one is None else one.as_dict() for name, one in pooled.items()}
    return found


def _estimate(plain: Mapping[str, Any]) -> Estimate:
    value, low, high = (None if plain[key] is None else float(plain[key]) for key in ("value", "low", "high"))
    events = None if plain.get("events") is None else int(plain["events"])
    return Estimate(value, low, high, int(plain["n"]), str(plain["method"]), events)


def label_shift(bundle: Bundle, predictions: pd.DataFrame, labels: pd.DataFrame) -> dict[str, Any]:
    """How the share of positives differs from the development's, by stage, and what the predictions expected.

    Parameters
    ----------
    bundle : Bundle
        Whose card counts the development patients.
    predictions, labels : DataFrame
        Of all sources.

    Returns
    -------
    dict
        By stage ``positives n expected`` (counts, and the sum of the predicted risks over axillae of known status),
        ``difference`` of the shares of positives (here minus development) and ``from_predictions``, the share that the
        predictions alone tell. NSLN: among SLN-positive axillae.
    """
    truth = label_table(labels)
    reference = bundle_reference(bundle)
    found: dict[str, Any] = {}
    for stage in Stage:
        y = truth["sln"] if stage is Stage.SLN else truth["nsln"].where(truth["sln"] == 1)
        known = y.notna()
        among = truth.index if stage is Stage.SLN else truth.index[truth["sln"] == 1]
        rows = _rows(predictions, stage).loc[truth.index, "probability"]
        there = bundle.card["cohort"][str(stage)]
        others = int(there["positive"]) + int(there["negative"])
        positives, n = int(y.sum()), int(known.sum())
        told = prevalence_from_predictions(
            rows.loc[among].to_numpy(np.float64),
            _calibrated_on(there, reference.endpoints.get(str(stage), {}) if reference is not None else {}),
            patient=among.get_level_values("patient_id").to_numpy(),
        )
        found[str(stage)] = {
            "positives": positives,
            "n": n,
            "expected": float(rows[known].sum()),
            "difference": prevalence_difference(int(there["positive"]), others, positives, n).as_dict(),
            "from_predictions": told.as_dict() | {"method": _read_of(stage, told.method)},
        }
    return found


def _calibrated_on(card: Mapping[str, Any], held: Mapping[str, Any]) -> float:
    """Share of positives among those the probabilities were calibrated on; of the whole development without them."""
    if held.get("held_n"):
        return int(held["held_positive"]) / int(held["held_n"])
    others = int(card["positive"]) + int(card["negative"])
    return int(card["positive"]) / others if others else 0.0


def _read_of(stage: Stage, method: str) -> str:
    """Of NSLN no outcome is read, but whose rows count is told by their SLN outcome."""
    return method.replace("no outcome read", "no NSLN outcome read") if stage is Stage.NSLN else method


def whole(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables of several sources as one."""
    return pd.concat(list(parts), ignore_index=True)
