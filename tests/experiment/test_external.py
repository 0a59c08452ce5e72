"""Patients of another source are judged, and leave no trace in what judges them."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import roc_auc_score

from tests.tiny import tiny_config
from usdlr.core import tables
from usdlr.core.errors import ConfigError, LeakError
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.run import compare_baselines, run_experiment
from usdlr.simulate.export import simulate


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("elsewhere") / "cohort"
    simulate(folder, patients=30, seed=77, centres=("overseas",), jobs=1)
    return folder


@pytest.fixture(scope="module")
def external_run(cohort: Path, elsewhere: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("external") / "run"
    run_experiment(tiny_config(cohort, "--data.external.simulated", str(elsewhere)), out)
    return out


def contents(folder: Path, pattern: str) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    }


def test_external_patients_leave_no_trace_in_the_model(run_folder: Path, external_run: Path) -> None:
    # Selectors, scores, calibrators, intervals, contracts: the bytes of a run that has never heard of them.
    for pattern in ("bundle/*/*.json", "bundle/contract.json", "bundle/used.json", "bundle/folds/**/*.json"):
        alone = contents(run_folder, pattern)
        assert alone
        assert contents(external_run, pattern) == alone, pattern
    weights = sorted(path.relative_to(run_folder) for path in run_folder.glob("bundle/**/*.safetensors"))
    # Networks of both stages of three members, what each finds strange, and the summary of the training patients.
    assert len(weights) == 10
    for file in weights:
        # Tensor by tensor: a file's header may list them in any order.
        ours, theirs = (load_file(folder / file) for folder in (external_run, run_folder))
        assert set(ours) == set(theirs)
        assert all(np.array_equal(ours[key], theirs[key]) for key in ours), file
    for name in ("cases.parquet", "splits.csv", "features.parquet", "work/design.parquet"):
        assert contents(external_run, name) == contents(run_folder, name), name
    metrics, alone = (json.loads((folder / "metrics.json").read_text()) for folder in (external_run, run_folder))
    assert "external" not in alone
    assert {name: value for name, value in metrics.items() if name != "external"} == alone


def test_external_rows_are_judged_by_the_bundle(external_run: Path, elsewhere: Path) -> None:
    every = tables.PREDICTIONS.read(external_run / "predictions.parquet")
    rows = every[every["split"] == "external"]
    known = set(tables.CASES.read(external_run / "cases.parquet")["patient_id"])
    assert set(rows["fold"]) == {"bundle"}
    assert not set(rows["patient_id"]) & known
    assert rows["patient_id"].nunique() >= 25
    part = json.loads((external_run / "metrics.json").read_text())["external"]["simulated"]
    labels = tables.CASES.read(external_run / "external" / "simulated" / "cases.parquet")
    truth = labels.drop_duplicates(["patient_id", "side"])[["patient_id", "side", "sln_positive"]]
    joined = rows[rows["stage"] == "sln"].merge(truth, on=["patient_id", "side"], validate="one_to_one")
    assert part["stages"]["sln"]["auc"]["value"] == pytest.approx(
        roc_auc_score(joined["sln_positive"].astype(bool), joined["probability"])
    )
    assert part["cohort"]["simulated"] is True
    assert part["cohort"]["axillae"] == len(joined)
    for baseline in part["baselines"].values():
        assert {"auc", "difference"} <= set(baseline["stages"]["nsln"])
    page = (external_run / "report.html").read_text()
    assert "External source simulated (simulated)" in page
    decisions = tables.DECISIONS.read(external_run / "external" / "simulated" / "decisions.parquet")
    assert set(decisions["contract"]) == {"not_certifiable"}


def test_an_unchanged_run_is_not_made_again(external_run: Path, cohort: Path, elsewhere: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(elsewhere, tmp_path / "moved", copy_function=shutil.copy2))
    stamp = (external_run / "metrics.json").stat().st_mtime_ns
    run_experiment(tiny_config(cohort, "--data.external.simulated", str(moved)), external_run)
    assert (external_run / "metrics.json").stat().st_mtime_ns == stamp


def test_patients_and_pictures_of_the_cohort_are_refused(cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(LeakError, match="patients both in the fit"):
        compare_baselines(tiny_config(cohort, "--data.external.simulated", str(cohort)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_source_without_a_folder_is_refused_before_any_work(cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--data\.external\.bus_bra FOLDER"):
        compare_baselines(tiny_config(cohort, "--data.external", "{bus_bra: null}"), tmp_path / "run")
    with pytest.raises(ConfigError, match="centre adapter 'nowhere'"):
        compare_baselines(tiny_config(cohort, "--data.external.nowhere", "x"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_paths_are_no_part_of_the_identity(cohort: Path) -> None:
    def identity(folder: str) -> dict[str, object]:
        config: ExperimentConfig = tiny_config(cohort, "--data.external.simulated", folder)
        return config.identity()

    assert identity("/here") == identity("/there")
    assert identity("/here") != tiny_config(cohort).identity()
    assert "/here" not in json.dumps(identity("/here"))
