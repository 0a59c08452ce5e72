"""Plain models on the experiment's own folds and training rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from usdlr.baselines.pipelines import baseline_named, fit_and_score
from usdlr.core.hashing import derive_seed
from usdlr.core.leak import Rows
from usdlr.core.tables import CASES
from usdlr.core.types import Split, Stage
from usdlr.experiment.cohort import axilla_labels, image_labels
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.layout import Layout
from usdlr.inference.pooling import AXILLA

COLUMNS = (*AXILLA, "stage", "fold", "score", "name")


@dataclass(frozen=True)
class BaselineJob:
    """What a worker needs to know: the experiment, its folder, and one fold."""

    config: ExperimentConfig
    out: Path
    fold: str


def run_baselines(job: BaselineJob) -> pd.DataFrame:
    """Scores of every baseline and stage for the test axillae of one fold.

    The baselines see the rows that the network's weights are fitted on, no more: neither tuning nor calibration.
    """
    config, layout = job.config, Layout(job.out)
    cases = CASES.read(layout.cases)
    design = pd.read_parquet(layout.design).loc[list(cases["image_id"])]
    splits = layout.read_splits(cases["patient_id"].unique())
    fold = splits[splits["fold"] == job.fold].set_index("patient_id")["split"]
    split = fold.loc[list(cases["patient_id"])].to_numpy()
    labels = axilla_labels(cases, config.data)
    test = np.flatnonzero(split == str(Split.TEST))
    parts = []
    for stage in Stage:
        label = image_labels(cases, labels, stage)
        train = np.flatnonzero(np.isfinite(label) & (split == str(Split.TRAIN)))
        rows = Rows.of(cases["patient_id"].iloc[train], split[train])
        for name in config.baselines:
            score = fit_and_score(
                baseline_named(name),
                design.iloc[train],
                label[train],
                rows=rows,
                judged=design.iloc[test],
                seed=derive_seed(config.seed, "baseline", name, job.fold, stage),
            )
            part = cases[AXILLA].iloc[test].assign(score=score)
            part = part.groupby(AXILLA, sort=False)["score"].mean().reset_index()
            parts.append(part.assign(stage=str(stage), fold=job.fold, name=name))
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]
