"""The command line as a user meets it: exit codes, one line per mistake, nothing half-written."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.tiny import AS_IN_A_TERMINAL, DEMO, tiny_words
from usdlr.cli.main import COMMANDS, main
from usdlr.core import tables
from usdlr.core.hashing import table_hash
from usdlr.core.types import ExclusionCode
from usdlr.imaging.store import read_png, write_png


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run a command that must be refused; returns its one line."""
    assert main([str(word) for word in words]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:") or "Traceback" in line]
    assert len(lines) == 1, lines
    return lines[0]


@pytest.fixture
def own_cohort(cohort: Path, tmp_path: Path) -> Path:
    """A copy of the cohort that a test may damage."""
    return Path(shutil.copytree(cohort, tmp_path / "cohort"))


def edit(cohort: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Change the manifest."""
    table = pd.read_csv(cohort / "manifest.csv", dtype="str", keep_default_na=False)
    change(table).to_csv(cohort / "manifest.csv", index=False)


def empty_mask(cohort: Path, row: dict[str, str]) -> None:
    """Wipe the lesion from its mask."""
    code = ExclusionCode.MASK_UNREADABLE
    write_png(cohort / row["mask_file"], np.zeros_like(read_png(cohort / row["mask_file"], code, code)))


@pytest.mark.parametrize("words", [[], ["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)])
def test_help_is_done(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert "usdlr" in capsys.readouterr().out


def test_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean features?" in refused(capsys, "featurs")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("--fit.epocs 3", "unknown key 'fit.epocs' on the command line"),
        ("--fit.epocs 3", "the nearest is 'fit.epochs'"),
        ("--splits.folds three", "wrong value of 'splits.folds'"),
        ("--splits.folds 1", "splits.folds = 1, expected at least 2"),
        ("--radiomics.margin_mm -5", "margin_mm"),
        ("--model.backbone resnet_does_not_exist", "expected a timm model name"),
        ("--model.modalities ['doppler']", "model.modalities"),
        ("--data.clinical ['grade_surgical']", "known only after surgery"),
        ("--data.sln.column birads", "different values"),
        ("--data.sln.column sln_positiv", "expected a column of the cases"),
        ("--baselines ['nomogram']", "found baseline 'nomogram'"),
        ("--engine mirp", "found engine 'mirp'"),
        ("--contract.alpha_sln 5", "alpha_sln"),
        ("--splits.folds 40", "use fewer folds"),
        ("--data.centre simulatd", "did you mean simulated?"),
        ("--data.root /nowhere/at/all", "no folder at /nowhere/at/all"),
    ],
)  # fmt: skip
def test_wrong_configuration_is_one_line_and_leaves_nothing(
    cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str, message: str
) -> None:
    line = refused(capsys, "run", *tiny_words(cohort, tmp_path / "out", *override.split(" ", 1)))
    assert message in line
    assert not (tmp_path / "out").exists()


def test_unknown_key_in_a_file_names_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text(DEMO.read_text().replace("patience:", "patienze:"))
    line = refused(capsys, "run", path, "--out", tmp_path / "out")
    assert str(path) in line
    assert "'fit.patienze'" in line
    assert "'fit.patience'" in line


def test_missing_configuration_and_missing_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nope.yaml" in refused(capsys, "run", tmp_path / "nope.yaml", "--out", tmp_path / "out")
    assert "--data.root" in refused(capsys, "run", DEMO, "--out", tmp_path / "out")
    assert "out" in refused(capsys, "run", DEMO)


def test_broken_yaml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.yaml").write_text("data: {centre: simulated\nname: x")
    refused(capsys, "run", tmp_path / "broken.yaml", "--out", tmp_path / "out")


def test_duplicate_ids_are_refused(own_cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(own_cohort, lambda table: pd.concat([table, table.iloc[[3]]]))
    assert main(["run", *tiny_words(own_cohort, tmp_path / "out")]) == 2
    assert "found the image_id and lesion_id of row 5, expected each pair in one row" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("code", "damage"),
    [
        ("image_unreadable", lambda at, row: (at / row["bmode_file"]).write_bytes(b"no image")),
        ("image_missing", lambda at, row: (at / row["bmode_file"]).unlink()),
        ("mask_size_mismatch", lambda at, row: write_png(at / row["mask_file"], np.full((9, 9), 255, np.uint8))),
        ("mask_empty", empty_mask),
        ("spacing_missing", lambda at, row: edit(at, lambda table: table.assign(row_mm="", col_mm=""))),
        ("spacing_absurd", lambda at, row: edit(at, lambda table: table.assign(row_mm="0.001", col_mm="0.001"))),
        ("spacing_absurd", lambda at, row: edit(at, lambda table: table.assign(row_mm="2", col_mm="2"))),
    ],
)  # fmt: skip
def test_bad_input_alone_is_refused_and_among_good_cases_excluded(
    own_cohort: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    code: str,
    damage: Callable[[Path, dict[str, str]], object],
) -> None:
    whole = pd.read_csv(own_cohort / "manifest.csv", dtype="str", keep_default_na=False)
    bad = {str(key): str(value) for key, value in whole.iloc[0].items()}
    edit(own_cohort, lambda table: table.iloc[[0]])
    damage(own_cohort, bad)
    damaged = pd.read_csv(own_cohort / "manifest.csv", dtype="str", keep_default_na=False).iloc[[0]]

    edit(own_cohort, lambda table: damaged)
    # Without spacing a case is a case, but nothing in millimetres can be done with it.
    line = (
        refused(capsys, "run", *tiny_words(own_cohort, tmp_path / "alone"))
        if code == "spacing_missing"
        else refused(capsys, "ingest", own_cohort, "--centre", "simulated", "--out", tmp_path / "alone", "--jobs", 1)
    )
    assert code in line
    assert code == "spacing_missing" or "first in row 1:" in line
    assert not (tmp_path / "alone").exists()

    edit(own_cohort, lambda table: pd.concat([damaged, whole.iloc[1:6]]))
    assert (
        main(["ingest", str(own_cohort), "--centre", "simulated", "--out", str(tmp_path / "some"), "--jobs", "1"]) == 0
    )
    excluded = tables.EXCLUSIONS.read(tmp_path / "some" / "exclusions.csv")
    # A missing spacing is a state of the case: only what needs millimetres refuses it.
    if code == "spacing_missing" and excluded.empty:
        kept = tables.CASES.read(tmp_path / "some" / "cases.parquet")
        assert kept.loc[kept["image_id"].str.startswith(bad["image_id"]), "spacing_source"].item() == "none"
    else:
        assert list(excluded["code"]) == [code]
        assert list(excluded["source_id"]) == [bad["image_id"]]
        assert len(tables.CASES.read(tmp_path / "some" / "cases.parquet")) == 5


def test_run_goes_on_without_the_bad_case(own_cohort: Path, tmp_path: Path) -> None:
    manifest = pd.read_csv(own_cohort / "manifest.csv", dtype="str")
    row = manifest.drop_duplicates(["centre_id", "patient_id"], keep=False).iloc[5]  # a patient of one image
    (own_cohort / row["bmode_file"]).write_bytes(b"")
    assert main(["run", *tiny_words(own_cohort, tmp_path / "out", "--fit.epochs", "1")]) == 0
    excluded = tables.EXCLUSIONS.read(tmp_path / "out" / "exclusions.csv").set_index("source_id")
    assert excluded.loc[row["image_id"], "code"] == "image_unreadable"
    patient = f"{row['centre_id']}-{row['patient_id']}"
    assert patient in set(excluded["patient_id"])
    assert patient not in set(tables.DECISIONS.read(tmp_path / "out" / "decisions.parquet")["patient_id"])


def test_no_positive_case_in_a_fold(own_cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def few(table: pd.DataFrame) -> pd.DataFrame:
        positive = table["nsln_positive"] == "true"
        return pd.concat([table[~positive], table[positive].iloc[:2]])

    edit(own_cohort, few)
    line = refused(capsys, "run", *tiny_words(own_cohort, tmp_path / "out"))
    assert "no positive case of stage nsln in the" in line
    assert not (tmp_path / "out").exists()


def test_features_command(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = run_folder / "ingest" / "cases.parquet"
    words = ["features", str(cases), "--out", str(tmp_path / "f.parquet"), "--jobs", "1", "--radiomics.pixel_mm", "0.4"]
    assert main([*words, "--radiomics.classes", "['firstorder']"]) == 0
    table = tables.FEATURES.read(tmp_path / "f.parquet")
    assert len(table) == len(tables.CASES.read(cases))
    assert "bmode.peritumoral.original.firstorder.Mean" in table
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.parquet", "f.provenance.json"]
    assert "expected a name that ends in .parquet" in refused(capsys, "features", cases, "--out", tmp_path / "f.csv")
    assert "found no file" in refused(capsys, "features", tmp_path / "no.parquet", "--out", tmp_path / "f.parquet")


def test_predict_member_reproduces_the_run(run_folder: Path, tmp_path: Path) -> None:
    words = ["predict", "--bundle", str(run_folder / "bundle"), "--cases", str(run_folder / "cases.parquet")]
    for fold in ("0", "1"):
        assert main([*words, "--out", str(tmp_path / fold), "--member", fold, "--on_uncertified", "zero_miss"]) == 0
        ours = tables.PREDICTIONS.read(run_folder / "predictions.parquet").query("fold == @fold and split == 'test'")
        theirs = tables.PREDICTIONS.read(tmp_path / fold / "predictions.parquet")
        joined = ours.merge(theirs, on=["patient_id", "side", "stage"], suffixes=("", "_again"), validate="one_to_one")
        assert len(joined) == len(ours) > 0
        assert (joined["probability"] == joined["probability_again"]).all()
        assert (joined["model_id"] == joined["model_id_again"]).all()
        decided = tables.DECISIONS.read(run_folder / "decisions.parquet").merge(
            tables.DECISIONS.read(tmp_path / fold / "decisions.parquet"),
            on=["patient_id", "side"],
            suffixes=("", "_again"),
        )
        tested = decided["patient_id"].isin(set(ours["patient_id"]))
        assert (decided["risk_group"] == decided["risk_group_again"])[tested].all()


def test_predict_defers_without_a_certified_contract(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", "--bundle", str(run_folder / "bundle"), "--cases", str(run_folder / "cases.parquet")]
    assert main([*words, "--out", str(tmp_path / "p")]) == 0
    assert set(tables.DECISIONS.read(tmp_path / "p" / "decisions.parquet")["risk_group"]) == {"DEFER"}
    assert "Uncertified" in capsys.readouterr().out
    assert "expected one of 0, 1" in refused(capsys, *words, "--out", tmp_path / "q", "--member", "7")
    assert "on_uncertified" in refused(capsys, *words, "--out", tmp_path / "q", "--on_uncertified", "guess")
    assert not (tmp_path / "q").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("seconds", "sent", "code"), [(9, signal.SIGINT, 130), (13, signal.SIGKILL, -9)])
def test_interrupted_process_continues_to_the_same_result(
    run_folder: Path, cohort: Path, tmp_path: Path, seconds: int, sent: signal.Signals, code: int
) -> None:
    words = [sys.executable, "-c", AS_IN_A_TERMINAL, "run", *tiny_words(cohort, tmp_path / "run", "--jobs", "2")]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    time.sleep(seconds)
    process.send_signal(sent)
    _, err = process.communicate(timeout=120)
    if process.returncode != 0:  # a quick machine may have finished
        assert process.returncode == code
        assert "Traceback" not in err or sent is signal.SIGKILL
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    for name, table in (("predictions.parquet", tables.PREDICTIONS), ("decisions.parquet", tables.DECISIONS)):
        assert table_hash(table.read(tmp_path / "run" / name)) == table_hash(table.read(run_folder / name))
