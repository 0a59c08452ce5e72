"""``usdlr simulate`` from the command line: what it makes, and what it refuses in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from usdlr.cli.main import main
from usdlr.core.files import read_json


def test_a_cohort_of_screens_by_a_scenario_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine.yaml"
    assert main(["simulate", "--scenario", "rare", "--template", str(mine)]) == 0
    stated = yaml.safe_load(mine.read_text())
    assert stated["nsln"]["intercept"] == -5.229
    mine.write_text(yaml.safe_dump(stated | {"name": "mine", "centre_effect": 0.0}))
    words = ["--patients", "2", "--seed", "1", "--centres", "overseas", "--format", "dicom", "--jobs", "1"]
    assert main(["simulate", "--out", str(tmp_path / "cohort"), *words, "--scenario", str(mine)]) == 0
    cohort = read_json(tmp_path / "cohort" / "cohort.json")
    assert (cohort["scenario"]["name"], cohort["format"], cohort["centres"]) == ("mine", "dicom", ["overseas"])
    assert list((tmp_path / "cohort").glob("images/overseas/*.dcm"))
    assert "simulated cohort" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--patients 3 --seed 1", "found no --out"),
        ("--out x --seed 1", "found no --patients"),
        ("--out x --patients 3", "found no --seed"),
        ("--out x --patients five --seed 1", "wrong value of 'patients'"),
        ("--out x --patients 1 --seed 1", "1 patients for 2 centres"),
        ("--out x --patients 5 --seed 1 --centres nort", "unknown centre 'nort'"),
        ("--out x --patients 5 --seed 1 --scenario rar", "did you mean rare?"),
        ("--out x --patients 5 --seed 1 --format dcm", "wrong value of 'format'"),
        ("--template mine.yaml", "found the file mine.yaml, expected a new one"),
    ],
)
def test_mistakes_cost_one_line_and_leave_nothing(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("name: mine\n")
    assert main(["simulate", *words.split()]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]
