"""The command line of a single fit: mistakes in one line, before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import DEMO
from usdlr.cli.main import main


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["fit", *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_mistakes_are_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    line = refused(capsys, "--config", str(DEMO), "--stage", "snl", "--out", out)
    assert line == "error: found --stage snl, expected sln or nsln; did you mean 'sln'?"
    line = refused(capsys, "--config", str(DEMO), "--fit.epoch", "3", "--out", out)
    assert "found the unknown key 'fit.epoch'" in line
    assert "'fit.epochs'" in line
    line = refused(capsys, "--from", str(tmp_path / "nothing"), "--out", out)
    assert line.startswith("error: found no config.yaml in ")
    assert "name one with --from, or give --config FILE" in line
    line = refused(capsys, "--config", str(DEMO), "--out", out)
    assert line == "error: found no data.root, expected the folder of the export; add --data.root FOLDER"
    assert not Path(out).exists()


def test_help_names_fold_stage_and_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--help"]) == 0
    text = capsys.readouterr().out
    for option in ("--fold", "--stage", "--from", "--fit.epochs", "--model.backbone"):
        assert option in text


def test_a_run_says_itself_what_is_fitted(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--from", str(run_folder), "--fold", "1", "--fit.epochs", "1", "--out", str(tmp_path / "out")]
    assert main(["fit", *words]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said.pop(0) == f"from {run_folder}: ingest, fingerprints, features, cohort, baselines"
    assert said[0].startswith("stage sln of fold 1, tuning: AUC ")
    assert said[0].endswith("; 1 epochs")
    assert Path(said[1].removeprefix("course: ")).is_file()
    assert Path(said[2].removeprefix("fitted: ")).is_dir()
