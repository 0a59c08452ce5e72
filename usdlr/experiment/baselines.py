"""Plain models on the experiment's own folds and training rows.

A plain model has no word for several images of one axilla: it learns from image rows, each with its axilla's outcome,
and an axilla is judged by the mean of its images' scores. Embeddings are therefore read of every image alone too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from usdlr.baselines.pipelines import baseline_named, fit_and_score
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.errors import ConfigError
from usdlr.core.hashing import derive_seed
from usdlr.core.leak import Rows
from usdlr.core.regions import AT
from usdlr.core.tables import CASES
from usdlr.core.types import Split, Stage
from usdlr.data.samples import SampleStore
from usdlr.experiment.cohort import axilla_labels, image_labels
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.layout import Layout
from usdlr.inference.reading import EMBEDDING
from usdlr.inference.sites import is_tumour
from usdlr.inference.stage import prepare_torch
from usdlr.inference.stage_files import STAGE, load_stage, weights_name

COLUMNS = (*AXILLA_KEY, "stage", "fold", "score", "name")


@dataclass(frozen=True)
class BaselineJob:
    """What a worker needs to know: the experiment, its folder, and one fold."""

    config: ExperimentConfig
    out: Path
    fold: str


def run_baselines(job: BaselineJob) -> pd.DataFrame:
    """Scores of every baseline and stage for the test axillae of one fold.

    The baselines see the rows that the network's weights are fitted on, no more: neither tuning nor calibration. One
    on embeddings reads them from the fold's fitted network, which learned from these very rows.

    Raises
    ------
    ConfigError
        If a baseline reads embeddings of a fold without fitted networks.
    """
    config, layout = job.config, Layout(job.out)
    cases = CASES.read(layout.cases)
    design = pd.read_parquet(layout.design).loc[list(cases["image_id"])]
    splits = layout.read_splits(cases["patient_id"].unique())
    fold = splits[splits["fold"] == job.fold].set_index("patient_id")["split"]
    split = fold.loc[list(cases["patient_id"])].to_numpy()
    labels = axilla_labels(cases, config.data)
    test = np.flatnonzero((split == str(Split.TEST)) & is_tumour(cases))
    baselines = [baseline_named(name) for name in config.baselines]
    parts = []
    for stage in Stage:
        label = image_labels(cases, labels, stage)
        train = np.flatnonzero(np.isfinite(label) & (split == str(Split.TRAIN)))
        rows = Rows.of(cases["patient_id"].iloc[train], split[train])
        embeddings = (
            image_embeddings(config, layout, job.fold, stage, cases, design)
            if any(baseline.reads_embeddings for baseline in baselines)
            else design
        )
        for baseline in baselines:
            table = embeddings if baseline.reads_embeddings else design
            score = fit_and_score(
                baseline,
                table.iloc[train],
                label[train],
                rows=rows,
                judged=table.iloc[test],
                seed=derive_seed(config.seed, "baseline", baseline.name, job.fold, stage),
            )
            part = cases[AXILLA_KEY].iloc[test].assign(score=score)
            part = part.groupby(AXILLA_KEY, sort=False)["score"].mean().reset_index()
            parts.append(part.assign(stage=str(stage), fold=job.fold, name=baseline.name))
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def image_embeddings(
    config: ExperimentConfig, layout: Layout, fold: str, stage: Stage, cases: pd.DataFrame, design: pd.DataFrame
) -> pd.DataFrame:
    """Embeddings of every image by the networks of one stage of one fold, indexed by image id, in the cases' order.

    Raises
    ------
    ConfigError
        If the stage is not fitted.
    """
    folder = layout.stage(fold, stage)
    if not (folder / STAGE).is_file():
        raise ConfigError(
            f"found a baseline on embeddings without a fitted network of stage {stage} of fold {fold}, expected one; "
            "fit the networks first (usdlr run), or leave the baseline out"
        )
    prepare_torch(config.threads)
    model = load_stage(folder, config.ensemble)
    store = SampleStore.load(layout.crops)
    table = model.embed(cases, store, design, config.fit.batch_size, by="image").set_index("image_id")
    # Plain models read tumours' images alone, which have no block of nodes.
    return table[[name for name in table if str(name).startswith(EMBEDDING) and AT not in str(name)]]


def networks_read(config: ExperimentConfig, layout: Layout) -> list[str]:
    """Files of the fitted networks whose embeddings a baseline reads, relative to the run's folder."""
    if not any(baseline_named(name).reads_embeddings for name in config.baselines):
        return []
    stages = [layout.stage(fold, stage) for fold in layout.test_folds() for stage in Stage]
    paths = [folder / weights_name(member) for folder in stages for member in range(config.networks)]
    return [str(path.relative_to(layout.out)) for path in paths]
