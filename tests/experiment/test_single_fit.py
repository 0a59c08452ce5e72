"""One fit: what it writes down, that a run goes on from it, that it continues and starts from a prepared run."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
from sklearn.metrics import log_loss, roc_auc_score

from tests.tiny import tiny_config
from usdlr.core import tables
from usdlr.core.errors import ConfigError
from usdlr.core.types import Stage
from usdlr.experiment import single_fit
from usdlr.experiment.course import training_course
from usdlr.experiment.layout import RAW, Layout
from usdlr.experiment.single_fit import fit_stage, taken_over
from usdlr.inference.stage_files import weights_name
from usdlr.tasks.loggers import ShowEpochs


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_the_course_joins_what_was_interrupted(tmp_path: Path) -> None:
    head = "epoch,step,train_loss,tuning_auc,tuning_loss\n"
    # Lightning writes a row for training and one for tuning; the second epoch was begun, lost and done again.
    write(tmp_path / "csv" / "metrics.part1.csv", f"{head}0,9,,0.5,0.9\n0,9,0.8,,\n1,19,,0.1,9.0\n")
    write(tmp_path / "csv" / "metrics.csv", f"{head}1,19,,0.6,0.7\n1,19,0.6,,\n2,29,,0.7,0.6\n2,29,0.5,,\n")
    expected = pd.read_csv(
        io.StringIO(
            "network,epoch,train_loss,tuning_auc,tuning_loss\n0,0,0.8,0.5,0.9\n0,1,0.6,0.6,0.7\n0,2,0.5,0.7,0.6\n"
        )
    )
    pd.testing.assert_frame_equal(training_course(tmp_path), expected)


def test_the_course_of_several_networks_and_of_none(tmp_path: Path) -> None:
    for member in (0, 1, 10):
        write(tmp_path / f"member_{member}" / "csv" / "metrics.csv", f"epoch,step,tuning_loss\n0,1,0.{member}\n")
    course = training_course(tmp_path)
    assert list(course["network"]) == [0, 1, 2]
    assert list(course["tuning_loss"]) == [0.0, 0.1, 0.10]
    assert training_course(tmp_path / "nothing").empty


def test_a_fit_of_a_finished_run_is_there_already_and_is_judged_as_the_tables_say(
    run_copy: Path, cohort: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (Layout(run_copy).stage("0", Stage.SLN) / weights_name(0)).read_bytes()
    found = fit_stage(tiny_config(cohort), run_copy, "0", Stage.SLN)
    assert "fitted already" in capsys.readouterr().err
    assert (found.folder / weights_name(0)).read_bytes() == before
    cases = tables.CASES.read(run_copy / "cases.parquet").drop_duplicates(["patient_id", "side"])
    splits = pd.read_csv(run_copy / "splits.csv", dtype="str")
    tuning = splits.loc[(splits["fold"] == "0") & (splits["split"] == "tuning"), "patient_id"]
    rows = pd.read_parquet(found.folder / RAW).merge(cases[["patient_id", "side", "sln_positive"]])
    rows = rows[rows["patient_id"].isin(tuning)].dropna(subset="sln_positive")
    truth = rows["sln_positive"].astype(bool)
    assert found.area == pytest.approx(roc_auc_score(truth, rows["logit"]))
    assert found.loss == pytest.approx(log_loss(truth, 1 / (1 + np.exp(-rows["logit"]))))
    assert (found.n, found.positives) == (len(rows), int(truth.sum()))
    course = pd.read_csv(found.course)
    assert list(course["epoch"]) == [0, 1]
    assert course["tuning_loss"].notna().all()


class Stop(pl.Callback):
    """Ends the fit in the middle of the second epoch, once."""

    stopped = False

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if trainer.current_epoch == 1 and batch_idx == 1 and not Stop.stopped:
            Stop.stopped = True
            raise KeyboardInterrupt


def test_from_a_prepared_run_with_other_settings_and_interrupted(
    run_folder: Path, cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config(cohort, "--fit.epochs", "3", "--fit.learning_rate", "0.002")
    whole = fit_stage(config, tmp_path / "whole", "0", Stage.SLN, prepared=run_folder)
    shown = capsys.readouterr().err
    assert "epoch 3 of at most 3: train loss" in shown
    assert "features" not in shown, "the prepared features are taken over"
    assert (whole.folder / weights_name(0)).read_bytes() != (
        Layout(run_folder).stage("0", Stage.SLN) / weights_name(0)
    ).read_bytes()
    # The same, interrupted.
    honest = ShowEpochs
    monkeypatch.setattr(single_fit, "ShowEpochs", Stop)
    with pytest.raises(KeyboardInterrupt):
        fit_stage(config, tmp_path / "halved", "0", Stage.SLN, prepared=run_folder)
    monkeypatch.setattr(single_fit, "ShowEpochs", honest)
    halved = fit_stage(config, tmp_path / "halved", "0", Stage.SLN, prepared=run_folder)
    assert (halved.folder / weights_name(0)).read_bytes() == (whole.folder / weights_name(0)).read_bytes()
    pd.testing.assert_frame_equal(pd.read_csv(halved.course), pd.read_csv(whole.course))


def test_a_cohort_that_was_moved_is_the_same_cohort(
    run_folder: Path, cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(cohort, tmp_path / "moved")
    config = tiny_config(tmp_path / "moved", "--fit.epochs", "1")
    assert taken_over(config, tmp_path / "out", run_folder).endswith(
        ": ingest, fingerprints, features, cohort, baselines"
    )
    fit_stage(config, tmp_path / "out", "0", Stage.SLN, prepared=run_folder)
    shown = capsys.readouterr().err
    assert "features" not in shown
    assert "ingest" not in shown
    # An export in which one file differs is another one, wherever it lies: the journal sees it.
    (tmp_path / "other").mkdir()
    shutil.copytree(cohort, tmp_path / "other" / "cohort")
    manifest = next((tmp_path / "other" / "cohort").glob("*.csv"))
    rows = pd.read_csv(manifest, dtype="str")
    rows.loc[0, "age_years"] = "99"
    rows.to_csv(manifest, index=False)
    other = tiny_config(tmp_path / "other" / "cohort", "--fit.epochs", "1")
    fit_stage(other, tmp_path / "third", "0", Stage.SLN, prepared=run_folder)
    assert "ingest" in capsys.readouterr().err
    assert (tables.CASES.read(tmp_path / "third" / "cases.parquet")["age_years"] == 99).any()


def test_what_is_taken_over_is_said(run_folder: Path, cohort: Path, tmp_path: Path) -> None:
    assert taken_over(tiny_config(cohort), run_folder, run_folder) == f"joining the run {run_folder}"
    coarser = tiny_config(cohort, "--radiomics.pixel_mm", "0.4")
    assert taken_over(coarser, tmp_path / "out", run_folder).endswith(": ingest, fingerprints")
    swapped = tiny_config(cohort, "--data.centre", "manifest")
    assert taken_over(swapped, tmp_path / "out", run_folder).startswith("nothing can be taken over from ")
    (tmp_path / "out" / "begun").mkdir(parents=True)
    assert taken_over(tiny_config(cohort), tmp_path / "out", run_folder).startswith("going on in ")


def test_stage_two_has_stage_one_fitted_first(run_folder: Path, cohort: Path, tmp_path: Path) -> None:
    config = tiny_config(cohort, "--fit.epochs", "1")
    (tmp_path / "out").mkdir()  # made by the user, and empty
    found = fit_stage(config, tmp_path / "out", "1", Stage.NSLN, prepared=run_folder)
    fits = Layout(tmp_path / "out").member("1")
    assert sorted(path.name for path in fits.iterdir()) == ["nsln", "sln"]
    assert found.folder == fits / "nsln"
    assert (fits / "sln" / "metrics.csv").is_file()


def test_stage_two_on_its_own_needs_no_stage_one(run_folder: Path, cohort: Path, tmp_path: Path) -> None:
    config = tiny_config(cohort, "--fit.epochs", "1", "--fit.warm_start", "false")
    found = fit_stage(config, tmp_path / "out", "1", Stage.NSLN, prepared=run_folder)
    assert [path.name for path in found.folder.parent.iterdir()] == ["nsln"]


def test_folds_and_runs_that_are_not_there_are_refused(run_copy: Path, cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"found the fold 'bundel', expected one of 0, 1, bundle; did you mean"):
        fit_stage(tiny_config(cohort), run_copy, "bundel", Stage.SLN)
    with pytest.raises(ConfigError, match=r"found no config.yaml in .*, expected the folder of a run; name one"):
        fit_stage(tiny_config(cohort), tmp_path / "out", "0", Stage.SLN, prepared=tmp_path / "nothing")
    assert not (tmp_path / "out").exists()
    shutil.rmtree(run_copy)
