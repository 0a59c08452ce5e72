"""From the tables of a run to its ``metrics.json``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from usdlr.baselines.pipelines import baseline_named
from usdlr.core.files import read_json
from usdlr.core.types import Stage
from usdlr.core.where import condition_words
from usdlr.data.samples import SampleStore
from usdlr.decision.calibration_choice import AUTO, calibrator_name
from usdlr.decision.contract import Contract
from usdlr.evaluation.ceiling import CeilingScores
from usdlr.evaluation.study import BaselineScores, study_metrics
from usdlr.experiment.cohort import is_simulated
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.decide import CALIBRATOR_CHOICE
from usdlr.experiment.layout import Layout
from usdlr.inference.axillae import quality_counts
from usdlr.ingest.splits import BUNDLE_FOLD


def run_metrics(
    config: ExperimentConfig,
    layout: Layout,
    *,
    cases: pd.DataFrame,
    labels: pd.DataFrame,
    exclusions: pd.DataFrame,
    predictions: pd.DataFrame,
    decisions: pd.DataFrame,
    contracts: Mapping[str, Contract],
    ceilings: Mapping[str, CeilingScores],
    scenario: Mapping[str, str],
    axillae: pd.DataFrame,
) -> dict[str, Any]:
    """The content of ``metrics.json``.

    Parameters
    ----------
    config, layout
        The experiment and its folder, which holds the baselines' scores.
    cases, labels, exclusions, predictions, decisions : DataFrame
        The run's tables; ``labels`` of the tested axillae.
    contracts : mapping of str to Contract
        By fold, the bundle's among them.
    ceilings : mapping of str to CeilingScores
        Oracle and limit of a simulated cohort; empty otherwise.
    scenario : mapping of str to str
        Name and meaning of the model behind a simulated cohort; empty otherwise.
    axillae : DataFrame
        From :func:`usdlr.inference.axillae.axilla_table`.
    """
    scores = pd.read_parquet(layout.baselines)
    plain = {name: contract.to_dict() for name, contract in contracts.items()}
    metrics = study_metrics(
        predictions=predictions,
        decisions=decisions,
        labels=labels,
        contract=plain.pop(BUNDLE_FOLD),
        fold_contracts=plain,
        baselines={
            name: BaselineScores(
                baseline_named(name).titled(config.data.clinical), scores[scores["name"] == name].drop(columns="name")
            )
            for name in config.baselines
        },
        header={
            "experiment": config.name,
            "question": config.question,
            "simulated": is_simulated(cases, config.data),
            "proxies": {str(stage): config.data.endpoint(stage).proxy for stage in Stage},
            "endpoints": {
                str(stage): {
                    "column": config.data.endpoint(stage).column,
                    "positive": config.data.endpoint(stage).positive,
                }
                for stage in Stage
            },
        },
        cohort=cohort_counts(config, layout, cases, labels, exclusions),
        ceilings=ceilings,
        axillae=axillae,
    )
    choices = calibrator_choices(layout) if calibrator_name(config.calibrator) == AUTO else {}
    return metrics | ({"calibrators": choices} if choices else {}) | ({"scenario": dict(scenario)} if scenario else {})


def cohort_counts(
    config: ExperimentConfig, layout: Layout, cases: pd.DataFrame, labels: pd.DataFrame, exclusions: pd.DataFrame
) -> dict[str, Any]:
    """Who stands behind the rates, in counts for readers.

    Parameters
    ----------
    config, layout, cases, labels, exclusions
        As for :func:`run_metrics`.
    """
    # Split by date, the earlier patients are never tested: what is counted beside a rate is who was.
    tested = cases[cases["patient_id"].isin(labels["patient_id"])]
    return {
        "centres": sorted(cases["centre_id"].unique()),
        "image_sets": len(tested),
        "image_sets_with_untested": len(cases),
        "excluded": len(exclusions),
        "exclusions": {str(code): int(n) for code, n in exclusions["code"].value_counts().sort_index().items()},
        "quality": quality_counts(tested) | {"crop": cut_lesions(layout, tested["image_id"])},
        "relative_diameter": config.data.ingest.relative_diameter,
        "itc_positive": config.data.ingest.itc_positive,
        **({"where": condition_words(config.data.where)} if config.data.where else {}),
    }


def calibrator_choices(layout: Layout) -> dict[str, dict[str, Any]]:
    """By fold and stage, which calibrator was chosen, why, and the held-out losses of the candidates."""
    return {
        fold: {str(stage): read_json(layout.stage(fold, stage) / CALIBRATOR_CHOICE) for stage in Stage}
        for fold in [*layout.test_folds(), BUNDLE_FOLD]
    }


def cut_lesions(layout: Layout, image_ids: Iterable[str]) -> dict[str, int]:
    """How many of the image sets show a lesion larger than their crop, which only a fixed crop lets happen."""
    lost = sum(share > 0 for share in SampleStore.load(layout.crops).select(image_ids).lost_fraction)
    return {"lesion cut": lost} if lost else {}
