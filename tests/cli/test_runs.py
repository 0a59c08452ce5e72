"""``usdlr runs``, as a user meets it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.experiment.sweep.made import made_config, made_run
from usdlr.cli.main import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs, one of them on other splits."""
    place = tmp_path_factory.mktemp("runs")
    made_run(made_config("--model.dropout=0.3"), place / "a")
    made_run(made_config("--model.dropout=0.05"), place / "b")
    made_run(made_config("--seed=1"), place / "c")
    return place


def test_the_table_is_aligned_and_marked(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "new" / "table.csv"
    words = ["runs", str(folder), "--against", str(folder / "a"), "--sort", "sln_auc", "--csv", str(target)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    head, *rows = printed.splitlines()
    assert [row[head.index("dropout") :].split()[0] for row in rows[:3]].count("0.05") == 1
    for word in ("SLN AUC (95 %)", "SLN difference (95 %)", "SLN of limit", "FNR NSLN", "contract", "wall", "folder"):
        assert word in head
        assert all(row[head.index(word) - 1] == " " for row in rows[:3])
    assert "12.5 % (4 of 32)" in printed
    assert printed.count("uncertified") == 3  # two rows, and what it means
    assert "not compared: found other splits in" in printed
    assert "80 %" in printed
    assert "not a medical device" in printed
    assert "secret" not in printed + target.read_text()
    table = pd.read_csv(target)
    assert table["sln_auc"].is_monotonic_decreasing
    assert table["sln_difference"].notna().sum() == 1


def test_how_long_every_step_took(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", str(folder), "--steps"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["fits-sln", "14.0", "14.0", "14.0"] in lines
    assert ["results", "2.0", "2.0", "2.0"] in lines
    start = next(place for place, words in enumerate(lines) if words[:2] == ["seconds", "of"])
    assert lines[start][2:] == [str(folder / name) for name in "abc"]  # the runs' names are the same


def test_mistakes(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, sentence in (
        ([tmp_path], "found no run in"),
        ([tmp_path / "none"], "found no folder"),
        ([folder, "--sort", "sln_acu"], "did you mean 'sln_auc'?"),
        ([folder, "--against", folder], "found several runs below"),
        ([folder / "c", folder / "a", "--against", folder / "a"], "found other splits in"),
        ([], "folders"),
    ):
        assert main(["runs", *map(str, words)]) == 2
        assert sentence in capsys.readouterr().err
