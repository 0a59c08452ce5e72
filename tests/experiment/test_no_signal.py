"""Where nothing can be known, nothing is found: labels drawn without regard to the images, from the folds on.

The whole pipeline from simulated images is measured by ``experiments/benchmarks/no_signal.py``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tests.tiny import tiny_config
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.provenance import Provenance
from usdlr.core.tables import CASES, SPLITS
from usdlr.core.types import Stage
from usdlr.experiment.baselines import BaselineJob, run_baselines
from usdlr.experiment.cohort import axilla_labels, cohort_splits, stage_labels
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.layout import Layout
from usdlr.simulate.centres import CENTRES
from usdlr.simulate.cohort import draw_cohort
from usdlr.simulate.scenario import SCENARIOS, Logit

SEEDS = 20
# Ninety patients have to fill every part of every fold with both classes.
EVEN = replace(SCENARIOS["no_signal"], sln=Logit(0.3), nsln=Logit(0.2))
MADE = Provenance("test", {}, {}, 0)


def redrawn(cases: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The same images with the outcomes of other patients, who have nothing to do with them."""
    patients = cases["patient_id"].drop_duplicates().to_numpy()
    others = draw_cohort(CENTRES["north"], len(patients), seed, EVEN).set_index(patients)
    known = ~others["neoadjuvant"]
    out = cases.copy()
    for name in ("sln_positive", "nsln_positive"):
        out[name] = others[name].where(known).loc[cases["patient_id"]].astype("boolean").to_numpy()
    return CASES.conform(out[out["sln_positive"].notna()])


def mean_over_folds(config: ExperimentConfig, out: Path, cases: pd.DataFrame, seed: int) -> dict[str, float]:
    layout = Layout(out)
    CASES.write(cases, layout.cases, MADE)
    prints = pd.read_parquet(layout.fingerprints)
    SPLITS.write(cohort_splits(cases, config.data, config.splits, seed, prints, out), layout.splits, MADE)
    scores = pd.concat([run_baselines(BaselineJob(config, out, fold)) for fold in layout.test_folds()])
    labels, found = axilla_labels(cases, config.data), {}
    for stage in Stage:
        known = labels[AXILLA_KEY].assign(y=stage_labels(labels, stage)).dropna()
        rows = scores[scores["stage"] == str(stage)].merge(known, on=AXILLA_KEY)
        for name, part in rows.groupby("name"):
            folds = [fold for _, fold in part.groupby("fold") if fold["y"].nunique() == 2]
            found[f"{stage} {name}"] = float(np.mean([roc_auc_score(fold["y"], fold["score"]) for fold in folds]))
    return found


def distances(config: ExperimentConfig, out: Path, whole: pd.DataFrame, seeds: int) -> pd.Series:
    """Distance of the mean AUC from 0.5, in standard errors over the seeds."""
    every = [mean_over_folds(replace(config, seed=seed), out, redrawn(whole, seed), seed) for seed in range(seeds)]
    aucs = pd.DataFrame(every)
    return pd.Series((aucs.mean() - 0.5) / (aucs.std(ddof=1) / np.sqrt(seeds)))


@pytest.fixture
def config(cohort: Path) -> ExperimentConfig:
    return tiny_config(cohort, "--baselines", "[size, radiomics_lasso, radiomics_boosting]")


def test_baselines_find_nothing_where_there_is_nothing(run_copy: Path, config: ExperimentConfig) -> None:
    whole = CASES.read(Layout(run_copy).cases)
    found = distances(config, run_copy, whole, SEEDS)
    assert len(found) == 6
    assert found.abs().max() < 2.5, found


def test_a_label_among_the_features_is_found_out(run_copy: Path, config: ExperimentConfig) -> None:
    """The leak that this is for, planted: one column of some hundred holds the outcome under a lot of noise."""
    layout, rng = Layout(run_copy), np.random.default_rng(0)
    whole, honest = CASES.read(layout.cases), pd.read_parquet(layout.design)
    every = []
    for seed in range(4):
        cases = redrawn(whole, seed)
        outcome = cases.set_index("image_id")["sln_positive"].astype(float).reindex(honest.index).fillna(0)
        leak = {honest.columns[7]: outcome + rng.normal(0, 0.7, len(honest))}
        honest.assign(**leak).to_parquet(layout.design)
        every.append(mean_over_folds(replace(config, seed=seed), run_copy, cases, seed))
    aucs = pd.DataFrame(every)
    assert aucs["sln radiomics_lasso"].mean() > 0.65
    assert (aucs.mean() - 0.5)["sln radiomics_lasso"] > 2.5 * aucs.std(ddof=1)["sln radiomics_lasso"] / 2
    assert aucs["sln size"].mean() < 0.6
