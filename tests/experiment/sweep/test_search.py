"""Proposals: each follows from the finished trials, the seed and its number."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

from usdlr.core.errors import ConfigError, DataError
from usdlr.experiment.sweep.search import Study, extremes
from usdlr.experiment.sweep.settings import SweepSettings

SETTINGS = SweepSettings(
    "x",
    method="optuna",
    search={
        "fit.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "model.dropout": {"low": 0.0, "high": 0.5, "step": 0.1},
        "fit.epochs": {"low": 2, "high": 9},
        "model.fusion": {"choices": ["gated", {"film": {"hidden": 4}}, ["a"]]},
    },
)


def value(settings: dict[str, Any]) -> float:
    """A landscape with one best place."""
    return float(-((settings["model.dropout"] - 0.3) ** 2) - 0.01 * settings["fit.epochs"])


def go_on(path: Path, trials: int, seed: int = 0) -> list[dict[str, Any]]:
    """Trials up to a number, each with a study of its own, as if every one were a new process."""
    settings = SweepSettings("x", method="optuna", search=SETTINGS.search, seed=seed)
    done: list[dict[str, Any]] = []
    for number in range(trials):
        study = Study(path, settings)
        if number < len(study.finished):
            continue
        done.append(study.propose())
        study.add(done[-1], None if number == 3 else value(done[-1]))
    return done


def test_an_interrupted_search_proposes_what_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = go_on(tmp_path / "whole.db", 14)
    parts = go_on(tmp_path / "parts.db", 5)
    Study(tmp_path / "parts.db", SETTINGS).propose()  # proposed, then killed
    parts += go_on(tmp_path / "parts.db", 14)
    assert parts == whole
    assert go_on(tmp_path / "other.db", 3, seed=1) != whole[:3]


def test_optunas_own_tools_read_the_study(tmp_path: Path) -> None:
    done = go_on(tmp_path / "study.db", 6)
    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{tmp_path / 'study.db'}")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 3 + ["FAIL"] + ["COMPLETE"] * 2
    known = [settings for number, settings in enumerate(done) if number != 3]
    assert study.best_value == pytest.approx(max(map(value, known)))
    assert study.best_trial.user_attrs["point"].startswith("trial-000")


def test_settings_come_back_as_the_configuration_writes_them(tmp_path: Path) -> None:
    done = go_on(tmp_path / "study.db", 12)
    fusions = [settings["model.fusion"] for settings in done]
    assert all(fusion in SETTINGS.search["model.fusion"]["choices"] for fusion in fusions)
    assert {type(fusion) for fusion in fusions} == {str, dict, list}
    assert all(isinstance(settings["fit.epochs"], int) and 2 <= settings["fit.epochs"] <= 9 for settings in done)
    assert all(1e-4 <= settings["fit.learning_rate"] <= 1e-2 for settings in done)
    assert len({settings["fit.learning_rate"] for settings in done}) == len(done)


def test_every_end_and_choice_is_looked_at_before_the_search() -> None:
    looked = extremes(SETTINGS)
    for key, space in SETTINGS.search.items():
        found = [settings[key] for settings in looked]
        for wanted in space.get("choices", [space.get("low"), space.get("high")]):
            assert wanted in found


def test_a_file_that_is_no_study_and_a_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "study.db").write_text("not a database at all" * 100)
    with pytest.raises(DataError, match="cannot be read as a study"):
        Study(tmp_path / "study.db", SETTINGS)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigError, match=r"pip install usdlr\[search\]"):
        Study(tmp_path / "other.db", SETTINGS)
