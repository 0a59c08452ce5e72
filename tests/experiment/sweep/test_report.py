"""The table, the differences over seeds, and the page."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from tests.experiment.sweep.made import build, made_run
from usdlr.core.errors import DataError
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.sweep.engine import run_sweep
from usdlr.experiment.sweep.objective import TuningAucs
from usdlr.experiment.sweep.report import Written, write_results
from usdlr.experiment.sweep.settings import SweepSettings
from usdlr.experiment.sweep.table import over_seeds

GRID = SweepSettings("x", grid={"model.dropout": [0.05, 0.3, 0.4]}, seeds=[0, 1])


def run(config: ExperimentConfig, out: Path) -> Path:
    """One point fails, the others are quick."""
    if config.model.dropout == 0.4:
        raise DataError("found <no> such thing")
    return made_run(config, out)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Written]:
    """A grid over two seeds with a point that fails."""
    out = tmp_path_factory.mktemp("grid") / "out"
    return out, write_results(GRID, build({}), run_sweep(GRID, build, out, run=run), out)


def test_every_point_is_a_row(grid: tuple[Path, Written]) -> None:
    out, written = grid
    table = pd.read_csv(out / "sweep.csv")
    names = [f"dropout={value},seed={seed}" for value in ("0.05", "0.3", "0.4") for seed in (0, 1)]
    assert table["point"].tolist() == names
    assert table["state"].tolist() == ["finished"] * 4 + ["failed"] * 2
    assert table["reason"].tolist()[4:] == ["found <no> such thing"] * 2
    assert table["setting.model.dropout"].tolist() == [0.05, 0.05, 0.3, 0.3, 0.4, 0.4]
    assert table["sln_auc"].notna().tolist() == [True] * 4 + [False] * 2
    assert table["objective"].equals(table["tuning_sln_auc"])
    assert (out / str(table["folder"][0]) / "metrics.json").is_file()
    assert (written.finished, len(written.summary)) == (4, 6)
    assert "secret" not in (out / "sweep.csv").read_text() + (out / "sweep.html").read_text()


class Page(HTMLParser):
    """Every tag that opens has to close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in ("meta", "path", "use", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        pass

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_says_what_was_not_chosen(grid: tuple[Path, Written]) -> None:
    out, written = grid
    page = Page()
    page.feed((out / "sweep.html").read_text())
    text = " ".join(page.text)
    assert page.open == []
    assert "selection on the test patients" in text
    assert "6 points, 4 finished, 2 failed" in text
    assert "failed: found <no> such thing" in text
    assert "(simulated)" in text
    assert "not a medical device" in text
    assert text.count("Nested estimate") == 2
    assert any("selection on the test patients" in line for line in written.lines)


def test_a_search_says_what_is_not_nested(tmp_path: Path) -> None:
    space = {"model.dropout": {"low": 0.0, "high": 0.4}}
    settings = SweepSettings("x", method="optuna", search=space, trials=2)
    result = run_sweep(settings, build, tmp_path, run=made_run)
    text = " ".join(write_results(settings, build({}), result, tmp_path).lines)
    assert f"chosen by tuning.sln.auc: {result.chosen}" in text
    assert "the test AUC of the chosen point is not nested" in text
    assert "which settings there were to choose from is not" in text
    assert str(result.chosen) in (tmp_path / "sweep.html").read_text()


def test_differences_over_seeds_against_scipy() -> None:
    draw = np.random.default_rng(3)
    rows = []
    for dropout in ("0.1", "0.2"):
        for seed in range(5):
            areas = {area: 0.7 + 0.05 * draw.normal() for area in ("sln_auc", "nsln_auc")}
            rows.append({"setting.model.dropout": dropout, "seed": seed, **areas})
    table = pd.DataFrame(rows)
    found = over_seeds(table)
    first, second = (table["sln_auc"][table["setting.model.dropout"] == value].to_numpy() for value in ("0.1", "0.2"))
    expected = ttest_rel(second, first).confidence_interval(0.95)
    assert found["sln_auc_difference"][0] == 0
    assert found["sln_auc_difference"][1] == pytest.approx((second - first).mean())
    assert found["sln_auc_difference_low"][1] == pytest.approx(expected.low)
    assert found["sln_auc_difference_high"][1] == pytest.approx(expected.high)
    assert found["sln_auc_sd"].tolist() == pytest.approx([first.std(ddof=1), second.std(ddof=1)])
    table.loc[7, "sln_auc"] = np.nan
    assert over_seeds(table)["seeds"].tolist() == [5, 4]


def test_nothing_finished_still_leaves_a_table(tmp_path: Path) -> None:
    def fails(config: ExperimentConfig, out: Path) -> Path:
        raise DataError("no")

    def measured(config: ExperimentConfig, out: Path) -> TuningAucs:
        return {}

    settings = SweepSettings("x", grid={"model.dropout": [0.1, 0.2]})
    result = run_sweep(settings, build, tmp_path, run=fails, measure=measured)
    written = write_results(settings, build({}), result, tmp_path)
    assert written.finished == 0
    assert pd.read_csv(tmp_path / "sweep.csv")["reason"].tolist() == ["no", "no"]
    assert "2 failed" in (tmp_path / "sweep.html").read_text()
