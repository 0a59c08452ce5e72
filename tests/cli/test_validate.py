"""The command line of a validation: every mistake is one line and exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from usdlr.cli.main import WRONG_INPUT, main


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["validate", "lock", "--bundle", "B", "--plan", "P", "--data.manifest", "F"], "--data without --out"),
        (
            ["validate", "lock", "--bundle", "B", "--plan", "P", "--outcomes", "F", "--outcomes_later", "true"],
            "expected one of them",
        ),
        (["validate", "--bundle", "B", "--plan", "P", "--out", "O", "--galery", "3"], "unknown key 'galery'"),
        (["validate", "--bundle", "B", "--plan", "P", "--out", "O", "--cases", "C"], "usdlr validate plan"),
        (["validate", "--combine", "nothing.json", "--out", "O"], "nothing.json"),
        (
            ["validate", "--bundle", "B", "--plan", "P", "--out", "O", "--adaptation.recalibrate", "magic"],
            "recalibrate = 'magic'",
        ),
        (
            ["validate", "--bundle", "B", "--plan", "P", "--out", "O", "--adaptation.recalibrate", "isotonic"],
            "without --adapt true",
        ),
    ],
)
def test_mistakes(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == WRONG_INPUT
    told = capsys.readouterr().err.strip()
    assert told.startswith("error: ")
    assert message in told
    assert "\n" not in told
    assert not (tmp_path / "O").exists()


def test_a_plan_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("mine", encoding="utf-8")
    assert main(["validate", "plan", "--bundle", "B", "--out", str(plan)]) == WRONG_INPUT
    assert "expected a new file" in capsys.readouterr().err
    assert plan.read_text(encoding="utf-8") == "mine"
