"""The last step of a run: decisions, certificates, figures, the report, the bundle."""

from __future__ import annotations

import pandas as pd
import yaml

from usdlr.core import tables
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.files import read_json, write_json
from usdlr.core.hashing import SHORT, file_hash
from usdlr.core.progress import say
from usdlr.core.provenance import Provenance
from usdlr.core.types import Split
from usdlr.evaluation.alarms import alarm_metrics
from usdlr.experiment.cohort import axilla_labels
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.course import run_losses
from usdlr.experiment.decide import decide_all
from usdlr.experiment.external_steps import ExternalSteps
from usdlr.experiment.heat import heat_cases
from usdlr.experiment.layout import Layout
from usdlr.experiment.media import log_run_media
from usdlr.experiment.neighbours import training_neighbours
from usdlr.experiment.ood_fit import fold_seen, write_reference
from usdlr.experiment.results import run_metrics
from usdlr.experiment.selections import chosen_features, fitted_nomograms, readout_nomograms
from usdlr.experiment.size_alone import size_alone
from usdlr.experiment.truth import run_ceilings, run_scenario
from usdlr.inference.axillae import axilla_table
from usdlr.inference.bundle_files import write_bundle
from usdlr.inference.ood import RATE
from usdlr.inference.reference import FOLDER as REFERENCE
from usdlr.inference.sites import tumours
from usdlr.ingest.splits import BUNDLE_FOLD
from usdlr.report.example_cases import choose, gallery_cases
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
    strange = alarm_metrics(decided.strange, config.contract.ood_share or RATE, folds=layout.test_folds())
    metrics |= {"ood": strange}
    reference = layout.out / "work" / REFERENCE
    own = decided.predictions[decided.predictions["fold"] == BUNDLE_FOLD]
    write_reference(
        reference, cases, axilla_labels(cases, config.data), own, *fold_seen(config, layout, cases, BUNDLE_FOLD)
    )
    near = training_neighbours(
        config.bundle,
        layout,
        cases,
        axilla_labels(cases, config.data),
        ensemble=config.ensemble,
        batch_size=config.fit.batch_size,
        threads=config.threads,
    )
    manifest = write_bundle(
        layout.bundle,
        members={name: layout.member(name) for name in [BUNDLE_FOLD, *layout.test_folds()]},
        preparation=config.preparation,
        on_uncertified=config.on_uncertified,
        card={key: metrics[key] for key in ("experiment", "question", "simulated", "proxies", "endpoints", "cohort")}
        | {"ingest": config.data.ingest.as_dict()},
        extras={REFERENCE: reference} | near | size_alone(layout, cases, axilla_labels(cases, config.data)),
    )
    origin = provenance.as_dict() | {"bundle": file_hash(manifest)[:SHORT]}
    predictions, metrics = external.judge(predictions, metrics, provenance)
    write_json(layout.metrics, metrics)
    gallery = gallery_cases(
        tumours(cases),
        layout.out,
        decisions,
        labels,
        choose(decisions, labels, config.gallery),
        margin_mm=config.radiomics.margin_mm,
    )
    inputs = StudyInputs(
        metrics=read_json(layout.metrics),
        predictions=predictions,
        decisions=decisions,
        labels=labels,
        exclusions=exclusions,
        baselines=pd.read_parquet(layout.baselines),
        gallery=gallery,
        provenance=origin,
        config_yaml=yaml.safe_dump(config.identity(), sort_keys=False, allow_unicode=True),
        selection=chosen_features(config, layout, cases),
        nomograms=fitted_nomograms(config, layout, cases),
        readouts=readout_nomograms(config, layout),
        heat_maps=heat_cases(config, layout, cases, decided.predictions, axilla_labels(cases, config.data)),
        axillae=described,
        losses=run_losses(layout),
    )
    # The report shows what was kept, so that `usdlr report` writes the same bytes.
    inputs = keep(inputs, layout.out)
    write_report(inputs, layout.out)
    write_json(layout.provenance, origin)
    log_run_media(config, layout, inputs)
