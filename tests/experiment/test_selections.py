"""Stability decides which features a fold may choose from; nobody who is judged has a say in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.experiment.test_readout import Unfitted
from tests.tiny import tiny_config
from usdlr.core import tables
from usdlr.core.errors import ConfigError
from usdlr.core.files import read_json
from usdlr.core.hashing import file_hash
from usdlr.core.provenance import Provenance
from usdlr.core.types import Stage
from usdlr.experiment import fit
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.layout import Layout
from usdlr.experiment.run import compare_baselines
from usdlr.experiment.selections import chosen_features
from usdlr.radiomics.stability.repeats import REPEATS, feature_names


def measured_twice(run: Path, target: Path, config: ExperimentConfig, noisy: str, stable_for: set[str]) -> Path:
    """Every case measured twice alike, but for features with ``noisy`` in their name: those only of some patients."""
    features = tables.FEATURES.read(run / "features.parquet")
    owner = tables.CASES.read(run / "cases.parquet").set_index("image_id")["patient_id"]
    again = features.copy()
    rng = np.random.default_rng(0)
    wrong = ~features["image_id"].map(owner).isin(stable_for).to_numpy()
    for name in feature_names(features):
        if noisy in name:
            again.loc[wrong, name] = rng.permutation(features.loc[wrong, name].to_numpy())
    repeats = pd.concat([features.assign(rater="first"), again.assign(rater="second")], ignore_index=True)
    settings = {"radiomics": config.radiomics.as_dict(), "engine": config.engine}
    REPEATS.write(repeats, target, Provenance("test", {}, settings))
    return target


def chosen(run: Path, config: ExperimentConfig, fold: str) -> dict[str, Any]:
    job = fit.FitJob(config, run, fold, Stage.SLN)
    fit.run_fit(job)
    found: dict[str, Any] = read_json(job.folder / "selector.json")
    return found


def test_only_features_that_are_stable_among_the_training_patients_are_chosen(
    cohort: Path, run_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tiny_config(cohort)
    splits = tables.SPLITS.read(run_copy / "splits.csv").query("fold == '0'")
    train = set(splits.loc[splits["split"] == "train", "patient_id"])
    monkeypatch.setattr(fit, "fit_network", Unfitted())
    before = chosen(run_copy, plain, "0")["columns"]
    family = next(name.split(".")[3] for name in before if name.startswith("bmode."))
    # Noise in the training patients' repeats: the family goes. In everybody else's: nothing changes.
    for stable_for, stays in ((set[str](), False), (train, True)):
        path = measured_twice(run_copy, tmp_path / f"{stays}.parquet", plain, f".{family}.", stable_for)
        words = ("--selection.stability", str(path), "--selection.min_icc", "0.9")
        state = chosen(run_copy, tiny_config(cohort, *words), "0")
        assert any(f".{family}." in name for name in state["columns"]) == stays
        assert (state["columns"] == before) == stays
        assert state["min_icc"] == 0.9
        assert state["selection"][1]["step"] == "stability"
        assert (state["selection"][1]["dropped"]["below min_icc"] > 0) != stays
    # The report's bootstraps choose among the same features.
    config = tiny_config(cohort, "--selection.stability", str(tmp_path / "False.parquet"))
    cases = tables.CASES.read(run_copy / "cases.parquet")
    drawn = chosen_features(config, Layout(run_copy), cases)["bootstraps-sln"]
    assert drawn.counts
    assert not any(f".{family}." in name for name in drawn.counts)


def test_the_table_is_an_input_by_its_content_and_other_features_are_refused_before_any_work(
    cohort: Path, run_copy: Path, tmp_path: Path
) -> None:
    plain = tiny_config(cohort)
    path = measured_twice(run_copy, tmp_path / "repeats.parquet", plain, ".glcm.", set())
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match=r"made with radiomics\.margin_mm = 5\.0, expected 3\.0 as in the experiment"):
        compare_baselines(tiny_config(cohort, "--selection.stability", str(path), "--radiomics.margin_mm", "3"), out)
    assert not out.exists()
    config = tiny_config(cohort, "--selection.stability", str(path))
    compare_baselines(config, out)
    origin = read_json(out / "cases.provenance.json")
    assert origin["inputs"]["stability"] == file_hash(path)
    assert str(path) not in (out / "cases.provenance.json").read_text(encoding="utf-8")
    assert str(path) not in str(config.identity())
    moved = path.rename(tmp_path / "moved.parquet")
    path.with_name("repeats.provenance.json").rename(tmp_path / "moved.provenance.json")
    compare_baselines(tiny_config(cohort, "--selection.stability", str(moved)), out)  # the same content elsewhere
    with pytest.raises(ConfigError, match=r"found a run with selection\.stability = .*expected the same configuration"):
        compare_baselines(plain, out)
