"""The file of a sweep: what it may say, and the sentence for what it may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from usdlr.core.errors import ConfigError
from usdlr.experiment.sweep.points import Point, grid_points, readable_names
from usdlr.experiment.sweep.settings import SweepSettings, read_sweep

GRID = {"model.dropout": [0.1, 0.2]}
SEARCH = {"model.dropout": {"low": 0.0, "high": 0.5}}


def test_a_file_is_read_with_its_paths_and_numbers(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("name: x")
    (tmp_path / "part.yaml").write_text("{}")
    path = tmp_path / "sweep.yaml"
    path.write_text(
        "experiment: x.yaml\nmethod: optuna\nsearch:\n  fit.learning_rate: {low: 1e-4, high: 3E-3, log: true}\n"
        "  radiomics: {choices: [part.yaml]}\n  model.fusion: {choices: [gated, {film: {hidden: 4}}]}\n"
    )
    settings = read_sweep(path)
    assert settings.experiment == str(tmp_path / "x.yaml")
    assert settings.search["fit.learning_rate"] == {"low": 0.0001, "high": 0.003, "log": True}
    assert settings.search["radiomics"]["choices"] == [str(tmp_path / "part.yaml")]
    assert settings.search["model.fusion"]["choices"] == ["gated", {"film": {"hidden": 4}}]
    assert settings.objective == "tuning.sln.auc"
    assert settings.files == [tmp_path / "part.yaml"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("experiment: x.yaml\ngird: {}", r"unknown key 'gird' in .*sweep.yaml.*did you mean 'grid'\?"),
        ("grid: {a: [1]}", "found no experiment in"),
        ("experiment: y.yaml\ngrid: {a: [1]}", r"experiment = y.yaml in .*no file .*relative to the sweep's file"),
        ("- a", "found no keys in"),
        ("a: [", "not valid YAML"),
        ("experiment: x.yaml\ngrid: [1]", r"sweep.yaml: found grid = \[1\], expected keys with lists"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "x.yaml").write_text("name: x")
    (tmp_path / "sweep.yaml").write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        read_sweep(tmp_path / "sweep.yaml")
    with pytest.raises(ConfigError, match="found no file"):
        read_sweep(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("objective", ["stages.sln.auc", "cascade.fnr_sln", "baselines.size.auc", "limit.auc"])
def test_a_search_never_chooses_by_test_results(objective: str) -> None:
    with pytest.raises(ConfigError, match=r"counts test patients, and settings that were chosen by them") as caught:
        SweepSettings("x", method="optuna", search=SEARCH, objective=objective)
    assert "expected one of tuning.sln.auc" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"method": "gird", "grid": GRID}, r"expected grid or optuna; did you mean 'grid'\?"),
        ({"method": "optuna", "grid": GRID}, "found method = optuna with grid, expected search alone"),
        ({}, "with neither grid nor search, expected grid alone"),
        ({"grid": GRID, "search": SEARCH}, "with grid and search, expected grid alone"),
        ({"grid": {"a": []}}, r"found grid.a = \[\], expected a list of one or more"),
        ({"grid": {"a": [1, 2, 1]}}, "found 1 twice in grid.a"),
        ({"grid": {"data.root": ["x"]}}, "give it as --data.root"),
        ({"grid": {"jobs": [1]}}, "give it as --jobs"),
        ({"grid": {"model": ["a"], "model.dropout": [0.1]}}, "found both model and model.dropout in grid"),
        ({"grid": {"seed": [1]}, "seeds": [1]}, "found seed in grid and seeds beside it"),
        ({"grid": GRID, "seeds": [1, 1]}, "expected different whole numbers"),
        ({"grid": GRID, "trials": 0}, "found trials = 0, expected a whole number of at least 1"),
        ({"grid": GRID, "seed": "x"}, "found seed = 'x'"),
        ({"grid": GRID, "objective": "tuning.sln.aux"}, r"did you mean 'tuning.sln.auc'\?"),
        ({"method": "optuna", "search": {"a": [1]}}, r"found search.a = \[1\], expected \{low"),
        ({"method": "optuna", "search": {"a": {"low": 1}}}, "found low in search.a, expected low and high"),
        ({"method": "optuna", "search": {"a": {"low": 1, "hihg": 2}}}, "found the key 'hihg' in search.a"),
        ({"method": "optuna", "search": {"a": {"low": 2, "high": 1}}}, "from 2 to 1, expected two numbers"),
        ({"method": "optuna", "search": {"a": {"low": 0, "high": 1, "log": True}}}, "expected low above 0 and no step"),
        ({"method": "optuna", "search": {"a": {"low": 1, "high": 2, "step": 0}}}, "found log = None and step = 0"),
        ({"method": "optuna", "search": {"a": {"choices": []}}}, "found search.a.choices"),
    ],
)
def test_impossible_sweeps_are_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        SweepSettings("x.yaml", **changes)


def test_a_grid_is_every_combination_with_every_seed() -> None:
    grid: dict[str, list[Any]] = {
        "model.fusion": ["late", {"cross_attention": {"heads": 4}}],
        "radiomics.margin_mm": [3.0, 7.5],
    }
    points = grid_points(SweepSettings("x", grid=grid, seeds=[4, 5]))
    assert [point.name for point in points[:2]] == ["fusion=late,margin_mm=3,seed=4", "fusion=late,margin_mm=3,seed=5"]
    assert points[-1] == Point(
        "fusion=cross_attention-heads=4,margin_mm=7.5,seed=5",
        {"model.fusion": {"cross_attention": {"heads": 4}}, "radiomics.margin_mm": 7.5},
        5,
    )
    assert len(points) == 8
    assert points[-1].overrides["seed"] == 5


def test_names_are_fit_for_folders_different_and_stable() -> None:
    awkward: list[dict[str, Any]] = [
        {"data.sln.column": "a/b", "data.nsln.column": None},
        {"data.sln.column": "a b", "data.nsln.column": None},
        {"data.sln.column": ["x" * 200], "data.nsln.column": "/deep/part.yaml"},
        {"data.sln.column": "A", "data.nsln.column": True},
        {"data.sln.column": "a", "data.nsln.column": True},
    ]
    names = readable_names(awkward)
    assert names == readable_names(awkward)
    assert len({name.lower() for name in names}) == len(names)
    for name in names:
        assert len(name) <= 110
        assert not set(name) & set("/ ()*'\"\\")
    assert names[0].startswith("sln.column=a_b,nsln.column=null-")
