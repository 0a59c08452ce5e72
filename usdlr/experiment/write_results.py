"""The last step of a run: decisions, certificates, figures, the report, the bundle."""

from __future__ import annotations

import pandas as pd
import yaml

from usdlr.core import tables
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.files import read_json, write_json
from usdlr.core.progress import say
from usdlr.core.provenance import Provenance
from usdlr.core.types import Split
from usdlr.experiment.axillae import axilla_table
from usdlr.experiment.cohort import axilla_labels
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.decide import decide_all
from usdlr.experiment.external_steps import ExternalSteps
from usdlr.experiment.gallery import gallery_cases
from usdlr.experiment.heat import heat_cases
from usdlr.experiment.layout import Layout
from usdlr.experiment.media import log_run_media
from usdlr.experiment.results import run_metrics
from usdlr.experiment.selections import chosen_features, fitted_nomograms, readout_nomograms
from usdlr.experiment.truth import run_ceilings, run_scenario
from usdlr.inference.bundle import write_bundle
from usdlr.ingest.splits import BUNDLE_FOLD
from usdlr.report.inputs import StudyInputs
from usdlr.report.kept import keep
from usdlr.report.study import write_report


def write_results(config: ExperimentConfig, layout: Layout, external: ExternalSteps, provenance: Provenance) -> None:
    """Decide about the test axillae of a fitted run, and write its tables, metrics, bundle and report.

    Parameters
    ----------
    config : ExperimentConfig
        Its configuration.
    layout : Layout
        Its folder, with every fit and the baselines' scores.
    external : ExternalSteps
        Further sources, which the finished bundle judges.
    provenance : Provenance
        Of the tables.
    """
    say("deciding, certifying, writing the report")
    cases = tables.CASES.read(layout.cases)
    labels = axilla_labels(cases, config.data)
    splits = layout.read_splits(cases["patient_id"].unique())
    decided = decide_all(config, layout, cases, labels, splits)
    ceilings = run_ceilings(config.data, layout, labels, splits)
    # Split by date, the earlier patients are never tested: nobody decides about them.
    labels = labels[labels["patient_id"].isin(splits.loc[splits["split"] == str(Split.TEST), "patient_id"])]
    predictions = tables.PREDICTIONS.write(decided.predictions, layout.predictions, provenance)
    tested = decided.decisions.dropna(subset="risk_group")
    decisions = tables.DECISIONS.write(tested, layout.decisions, provenance)
    exclusions = tables.EXCLUSIONS.read(layout.exclusions)
    described = axilla_table(cases)
    described = labels[AXILLA_KEY].merge(described, on=AXILLA_KEY, how="left", validate="one_to_one")
    metrics = run_metrics(
        config,
        layout,
        cases=cases,
        labels=labels,
        exclusions=exclusions,
        predictions=predictions,
        decisions=decisions,
        contracts=decided.contracts,
        ceilings=ceilings,
        scenario=run_scenario(config.data),
        axillae=described,
    )
    write_bundle(
        layout.bundle,
        members={name: layout.member(name) for name in [BUNDLE_FOLD, *layout.test_folds()]},
        preparation=config.preparation,
        on_uncertified=config.on_uncertified,
        card={key: metrics[key] for key in ("experiment", "question", "simulated", "proxies", "endpoints", "cohort")},
    )
    predictions, metrics = external.judge(predictions, metrics, provenance)
    write_json(layout.metrics, metrics)
    gallery = gallery_cases(
        cases, layout.out, decisions, labels, margin_mm=config.radiomics.margin_mm, count=config.gallery
    )
    inputs = StudyInputs(
        metrics=read_json(layout.metrics),
        predictions=predictions,
        decisions=decisions,
        labels=labels,
        exclusions=exclusions,
        baselines=pd.read_parquet(layout.baselines),
        gallery=gallery,
        provenance=provenance.as_dict(),
        config_yaml=yaml.safe_dump(config.identity(), sort_keys=False, allow_unicode=True),
        selection=chosen_features(config, layout, cases),
        nomograms=fitted_nomograms(config, layout, cases),
        readouts=readout_nomograms(config, layout),
        heat_maps=heat_cases(config, layout, cases, decided.predictions, axilla_labels(cases, config.data)),
        axillae=described,
    )
    # The report shows what was kept, so that `usdlr report` writes the same bytes.
    inputs = keep(inputs, layout.out)
    write_report(inputs, layout.out)
    write_json(layout.provenance, provenance.as_dict())
    log_run_media(config, layout, inputs)
