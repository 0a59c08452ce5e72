"""The table of the published systems: made from finished runs, the same each time, and never from another run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments import results
from tests.tiny import ROOT
from usdlr.cli.run import read_config
from usdlr.core.errors import DataError

NAMES = ("guo2020", "zheng2020")


def planted(auc: float | None) -> dict[str, Any]:
    """The parts of ``metrics.json`` that are read, with known figures."""

    def estimate(value: float | None, n: int, **more: int) -> dict[str, Any]:
        low, high = (None, None) if value is None else (value - 0.05, value + 0.05)
        return {"value": value, "low": low, "high": high, "n": n, "method": "planted", **more}

    def stage(value: float | None, n: int) -> dict[str, Any]:
        return {"auc": estimate(value, n), "share_of_limit": estimate(0.84, n)}

    def baseline(first: float, second: float) -> dict[str, Any]:
        return {"stages": {"sln": {"auc": estimate(first, 977)}, "nsln": {"auc": estimate(second, 322)}}}

    return {
        "simulated": True,
        "endpoints": {"sln": {"positive": "any positive node"}, "nsln": {"positive": "three or more"}},
        "stages": {"sln": stage(auc, 977), "nsln": stage(0.73, 322)},
        "baselines": {"size": baseline(0.722, 0.751), "radiomics": baseline(0.792, 0.701)},
        "cascade": {
            "fnr_sln": {"value": 7 / 380, "low": 0.007, "high": 0.038, "n": 380, "events": 7},
            "fnr_nsln": {"value": 6 / 121, "low": 0.018, "high": 0.105, "n": 121, "events": 6},
            "contract": {"status": "certified", "alpha": {"sln": 0.1, "nsln": 0.1}},
            "folds": {"0": {"status": "certified"}, "1": {"status": "not_certifiable"}},
        },
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two experiments that nobody has run, and the page with the table."""
    out = tmp_path / "experiments"
    for name in NAMES:
        shutil.copytree(ROOT / "experiments" / name, out / name)
        path = out / name / "README.md"
        path.write_text(results.placed(path.read_text(), "result", results.NOT_RUN, path))
    (out / "README.md").write_text("before\n<!-- results: table -->\n<!-- /results -->\nafter\n")
    return out


@pytest.fixture
def finish(folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """Plants a finished run, by default of the experiment's own settings and with the folder given on the way."""

    def plant(name: str, auc: float | None = 0.798, *words: str) -> Path:
        run = tmp_path / "runs" / name
        run.mkdir(parents=True, exist_ok=True)
        line = [str(folder / name / "experiment.yaml"), "--data.root", "elsewhere", "--jobs", "7", *words]
        config, _ = read_config([*line, "--out", "unused"])
        (run / "config.yaml").write_text(yaml.safe_dump(config.as_dict(), sort_keys=False))
        (run / "metrics.json").write_text(json.dumps(planted(auc)))
        return run.parent

    return plant


def write(folder: Path, runs: Path) -> list[str]:
    texts, notes = results.rewritten(folder, runs)
    for path, text in texts.items():
        path.write_text(text)
    return notes


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def row(folder: Path, name: str) -> list[str]:
    lines = [line for line in (folder / "README.md").read_text().splitlines() if line.startswith(f"| [{name}]")]
    assert len(lines) == 1
    return [cell.strip() for cell in lines[0].strip("|").split("|")]


def test_a_command_over_several_lines_is_whole_in_the_table() -> None:
    lines = ["words", "", "    usdlr simulate --out a", "    usdlr run e.yaml --data.root a \\"]
    readme = "\n".join([*lines, "        --out b      # on a's", "    usdlr run c", ""])
    row = results.table_row("e", readme, None)
    assert row.endswith(" | `usdlr run e.yaml --data.root a --out b` |")
    assert "simulate" not in row


def test_a_planted_run_reaches_table_and_readme(folder: Path, finish: Callable[..., Path]) -> None:
    assert write(folder, finish("guo2020")) == []
    cells = row(folder, "guo2020")
    assert cells[:3] == ["[guo2020](guo2020/README.md) (simulated)", "0.80 (0.75–0.85)", "0.73 (0.68–0.78)"]
    assert cells[3] == "`radiomics` 0.79 (0.74–0.84) / `size` 0.75 (0.70–0.80)"
    assert cells[4] == "0.84 / 0.84"
    assert cells[5] == "7 of 380, 1.8 % (0.7 % to 3.8 %) / 6 of 121, 5 % (1.8 % to 10.5 %), certified"
    assert cells[6] == "977 / 322"
    assert cells[7].startswith("`usdlr run experiments/guo2020/experiment.yaml --data.root ")
    readme = (folder / "guo2020" / "README.md").read_text()
    assert "| any positive node, n = 977 | 0.80 (0.75–0.85) | `radiomics` 0.79 (0.74–0.84) |" in readme
    assert "simulated patients" in readme
    assert "1 of 2 are" in readme
    assert results.NOT_RUN not in readme
    assert (folder / "README.md").read_text().startswith("before\n")
    assert (folder / "README.md").read_text().endswith("\nafter\n")


def test_an_experiment_without_a_run_says_so(folder: Path, finish: Callable[..., Path]) -> None:
    write(folder, finish("guo2020"))
    assert row(folder, "zheng2020")[1:3] == ["not run", "not run"]
    assert results.NOT_RUN in (folder / "zheng2020" / "README.md").read_text()


def test_writing_again_changes_nothing(folder: Path, finish: Callable[..., Path], tmp_path: Path) -> None:
    runs = finish("guo2020")
    write(folder, runs)
    once = snapshot(folder)
    write(folder, runs)
    assert snapshot(folder) == once
    # Where the run does not lie, what is known of it stays.
    write(folder, tmp_path / "no such folder")
    assert snapshot(folder) == once


def test_a_new_run_replaces_the_old_figures(folder: Path, finish: Callable[..., Path]) -> None:
    write(folder, finish("guo2020"))
    write(folder, finish("guo2020", 0.9))
    assert row(folder, "guo2020")[1] == "0.90 (0.85–0.95)"


def test_a_run_of_other_settings_is_left_out(folder: Path, finish: Callable[..., Path]) -> None:
    runs = finish("guo2020", 0.99, "--config", str(folder / "guo2020" / "ci.yaml"))
    (note,) = write(folder, runs)
    assert note.startswith("guo2020: the run has other settings (")
    assert row(folder, "guo2020")[1] == "not run"
    assert "0.99" not in (folder / "README.md").read_text() + (folder / "guo2020" / "README.md").read_text()


def test_another_fusion_is_another_setting(folder: Path, finish: Callable[..., Path]) -> None:
    (note,) = write(folder, finish("guo2020", 0.99, "--model.fusion", "{cross_attention: {heads: 2}}"))
    assert "(model.fusion)" in note


def test_a_result_of_settings_that_changed_since_is_taken_out(folder: Path, finish: Callable[..., Path]) -> None:
    runs = finish("guo2020")
    write(folder, runs)
    path = folder / "guo2020" / "experiment.yaml"
    path.write_text(path.read_text().replace("fusion: gated", "fusion: late"))
    notes = write(folder, runs)
    assert [note for note in notes if "settings have changed" in note]
    assert row(folder, "guo2020")[1] == "not run"


def test_what_could_not_be_estimated_is_a_dash(folder: Path, finish: Callable[..., Path]) -> None:
    write(folder, finish("guo2020", None))
    assert row(folder, "guo2020")[1] == "–"


def test_a_damaged_run_is_named(folder: Path, finish: Callable[..., Path]) -> None:
    runs = finish("guo2020")
    (runs / "guo2020" / "metrics.json").write_text("{}")
    with pytest.raises(DataError, match=r"guo2020 without a whole config\.yaml and metrics\.json \(KeyError"):
        results.rewritten(folder, runs)


def test_a_readme_without_a_place_for_the_table_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "README.md").write_text("nothing\n")
    with pytest.raises(DataError, match="no single pair of <!-- results"):
        results.rewritten(folder, tmp_path)


def test_the_repository_is_up_to_date(tmp_path: Path) -> None:
    texts, _ = results.rewritten(ROOT / "experiments", tmp_path)
    for path, text in texts.items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: run python experiments/results.py"
