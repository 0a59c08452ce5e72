"""Plain models of a run: the folds' own training rows, blocks alone, and embeddings of the folds' own networks."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.metrics import roc_auc_score

from tests.tiny import tiny_config
from usdlr.core import tables
from usdlr.core.errors import ConfigError
from usdlr.core.hashing import derive_seed
from usdlr.core.types import Stage
from usdlr.experiment import baselines
from usdlr.experiment.baselines import BaselineJob, image_embeddings, run_baselines
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.layout import Layout

RING = "radiomics_forest@bmode-peritumoral"
AXILLA = ["patient_id", "side"]


def config(cohort: Path, *names: str, **rest: str) -> ExperimentConfig:
    more = [word for key, value in rest.items() for word in (f"--{key.replace('__', '.')}", value)]
    return tiny_config(cohort, "--baselines", f"[{', '.join(names)}]", *more)


def split_of(out: Path, cases: pd.DataFrame, fold: str = "0") -> Any:
    splits = tables.SPLITS.read(out / "splits.csv").query("fold == @fold").set_index("patient_id")["split"]
    return splits.loc[list(cases["patient_id"])].to_numpy()


def test_a_block_is_judged_on_the_folds_rows_by_the_mean_of_an_axillas_images(cohort: Path, run_folder: Path) -> None:
    found = run_baselines(BaselineJob(config(cohort, "size", "radiomics_forest@bmode.peritumoral"), run_folder, "0"))
    assert set(found["name"]) == {"size", RING}
    cases = tables.CASES.read(run_folder / "cases.parquet")
    design = pd.read_parquet(run_folder / "work" / "design.parquet").loc[list(cases["image_id"])]
    split, label = split_of(run_folder, cases), cases["sln_positive"].astype(int).to_numpy()
    ring = design.filter(like="bmode.peritumoral.").replace([np.inf, -np.inf], np.nan).to_numpy()
    seed = derive_seed(0, "baseline", RING, "0", Stage.SLN)
    imputer = SimpleImputer(strategy="median").fit(ring[split == "train"])
    forest = RandomForestClassifier(500, min_samples_leaf=3, class_weight="balanced", random_state=seed)
    forest.fit(imputer.transform(ring[split == "train"]), label[split == "train"])
    test = cases[split == "test"]
    score = test[AXILLA].assign(score=forest.predict_proba(imputer.transform(ring[split == "test"]))[:, 1])
    expected = score.groupby(AXILLA)["score"].mean().reset_index()
    own = found[(found["name"] == RING) & (found["stage"] == "sln")]
    joined = own.merge(expected, on=AXILLA, validate="one_to_one", suffixes=("", "_by_hand"))
    assert len(joined) == len(expected) == len(own)
    assert len(test) > len(own), "some axilla must have several images"
    np.testing.assert_allclose(joined["score"], joined["score_by_hand"], atol=1e-12)


def test_embeddings_are_those_of_the_folds_and_stages_own_network(
    cohort: Path, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stage and fold reads its own network, whose places tell apart what was planted there."""
    asked = []

    def planted(
        config: Any, layout: Layout, fold: str, stage: Stage, cases: pd.DataFrame, design: pd.DataFrame
    ) -> pd.DataFrame:
        asked.append((fold, stage))
        label = cases[f"{stage}_positive"].astype("boolean").fillna(False).to_numpy(np.float64)
        names = ["embedding.bmode.peritumoral.000", "embedding.bmode.intratumoral.000"]
        return pd.DataFrame({names[0]: label, names[1]: 0.5 - label}, index=list(cases["image_id"]))

    monkeypatch.setattr(baselines, "image_embeddings", planted)
    name = "radiomics_lasso@embedding.bmode.peritumoral"
    found = run_baselines(BaselineJob(config(cohort, "size", name), run_folder, "1"))
    assert asked == [("1", Stage.SLN), ("1", Stage.NSLN)]
    cases = tables.CASES.read(run_folder / "cases.parquet").drop_duplicates(AXILLA)
    rows = found[(found["name"] == name.replace(".", "-")) & (found["stage"] == "sln")].merge(cases, on=AXILLA)
    assert roc_auc_score(rows["sln_positive"].astype(int), rows["score"]) == 1.0


def test_image_embeddings_stand_in_the_order_of_the_cases(cohort: Path, run_folder: Path) -> None:
    layout, settings = Layout(run_folder), config(cohort, "radiomics_ridge@embedding")
    cases = tables.CASES.read(layout.cases).iloc[::-1].reset_index(drop=True)
    design = pd.read_parquet(layout.design)
    found = image_embeddings(settings, layout, "0", Stage.SLN, cases, design)
    assert list(found.index) == list(cases["image_id"])
    without = cases["elasto_path"].isna().to_numpy()
    np.testing.assert_array_equal(found["embedding.elasto.intratumoral.000"].isna(), without)
    other = image_embeddings(settings, layout, "1", Stage.SLN, cases, design)
    assert (found["embedding.bmode.intratumoral.000"] != other["embedding.bmode.intratumoral.000"]).all()
    scores = run_baselines(BaselineJob(settings, run_folder, "0"))
    assert scores["score"].between(0, 1).all()
    assert scores["score"].nunique() > 10


def test_embeddings_without_a_fitted_network_are_refused(cohort: Path, run_copy: Path) -> None:
    shutil.rmtree(run_copy / "work" / "fits" / "0" / "sln")
    with pytest.raises(ConfigError, match="without a fitted network of stage sln of fold 0"):
        run_baselines(BaselineJob(config(cohort, "radiomics_ridge@embedding"), run_copy, "0"))


def test_configuration_keeps_safe_names_and_refuses_what_it_cannot_feed(cohort: Path) -> None:
    assert config(cohort, "size", "radiomics_forest@bmode.peritumoral").baselines == ["size", RING]
    for names, rest, message in (
        (["radiomics@bmode.peritumorl"], {}, "did you mean 'bmode.peritumoral'"),
        (["radiomics@bmode.combined"], {}, "radiomics.rois = intratumoral, peritumoral"),
        (["radiomics@embedding.elasto"], {"model__modalities": "[bmode]"}, "expected elasto among them"),
        (["radiomics@clinical"], {"data__clinical": "[]"}, "without data.clinical"),
        (["radiomics@embedding"], {"data__external": "{simulated: null}"}, "embeddings with data.external"),
    ):
        with pytest.raises(ConfigError) as error:
            config(cohort, *names, **rest)
        assert message in str(error.value)
