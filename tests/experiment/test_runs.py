"""The table that compares runs: what it finds, what it shows, and what it never shows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tests.experiment.sweep.made import judged, made_config, made_run
from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError
from usdlr.experiment.runs import differing_settings, find_runs, runs_table, setting_text, short_keys, sort_runs


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs and one that was interrupted, at different depths."""
    folder = tmp_path_factory.mktemp("runs")
    made_run(made_config("--model.dropout=0.3"), folder / "a")
    made_run(made_config("--model.dropout=0.1", "--seed=1"), folder / "deep" / "er" / "b")
    shutil.copytree(folder / "a", folder / "c")
    for name in ("metrics.json", "provenance.json"):
        (folder / "c" / name).unlink()
    shutil.rmtree(folder / "c" / ".journal")
    (folder / "c" / ".journal").mkdir()
    (folder / "c" / ".journal" / "ingest.json").write_text("{}")
    return folder


def test_every_run_below_is_found_once_and_a_run_is_not_searched_further(two: Path) -> None:
    inner = two / "a" / "bundle"
    inner.mkdir(exist_ok=True)
    for name in ("config.yaml", "metrics.json"):
        (inner / name).write_text("{}")
    (two / "link").symlink_to(two / "a")
    try:
        assert find_runs([two, two / "a", two / "link"]) == [two / "a", two / "c", two / "deep" / "er" / "b"]
    finally:
        (two / "link").unlink()


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"found no folder .*nowhere"):
        find_runs([tmp_path / "nowhere"])
    with pytest.raises(DataError, match="found no run in"):
        find_runs([tmp_path])


def test_the_table_holds_what_the_run_predicts(two: Path) -> None:
    table = runs_table([two]).set_index("folder")
    row = table.loc[str(two / "a")]
    cases = tables.CASES.read(two / "a" / "cases.parquet").sort_values("patient_id").reset_index(drop=True)
    predictions = tables.PREDICTIONS.read(two / "a" / "predictions.parquet")
    for stage, known in (("sln", cases["sln_positive"].notna()), ("nsln", cases["sln_positive"])):
        truth = cases[f"{stage}_positive"][known].astype(int)
        scores = judged(predictions, stage)["probability"][known]
        assert row[f"{stage}_auc"] == pytest.approx(roc_auc_score(truth, scores))
        assert row[f"{stage}_n"] == known.sum()
        assert row[f"{stage}_auc_low"] < row[f"{stage}_auc"] < row[f"{stage}_auc_high"]
        assert (row[f"{stage}_best_baseline"], row[f"{stage}_best_baseline_auc"]) == ("radiomics", 0.64)
        assert row[f"{stage}_share_of_limit"] == 0.8
    assert (row["fnr_sln"], row["fnr_sln_misses"], row["fnr_sln_positives"]) == (0.125, 4, 32)
    assert (row["state"], row["cohort"], row["wall_s"], row["axillae"]) == ("finished", "simulated", 12.5, 64)
    steps = {"step_s.ingest": 2.5, "step_s.fits-sln": 14.0, "step_s.results": 2.0}
    assert {name: row[name] for name in map(str, table) if name.startswith("step_s.")} == steps
    assert table["contract"].tolist()[::2] == ["uncertified", "certified"]
    assert table["seed"].tolist() == [0, 0, 1]
    assert [name for name in table if str(name).startswith("setting.")] == ["setting.model.dropout"]


def test_an_unfinished_run_is_a_row_without_numbers(two: Path) -> None:
    row = runs_table([two]).set_index("folder").loc[str(two / "c")]
    assert row["state"] == "unfinished, 1 step done"
    assert row[["sln_auc", "contract"]].isna().all()


def test_a_damaged_run_says_so(two: Path, tmp_path: Path) -> None:
    shutil.copytree(two / "a", tmp_path / "a")
    (tmp_path / "a" / "metrics.json").write_text("{")
    assert runs_table([tmp_path])["state"].tolist() == ["damaged metrics.json"]
    (tmp_path / "a" / "config.yaml").write_text("[")
    with pytest.raises(DataError, match="not a readable configuration"):
        runs_table([tmp_path])


def test_no_patient_is_named(two: Path) -> None:
    text = runs_table([two]).to_csv()
    assert "secret" not in text
    assert "dropout" in text


def test_sorting(two: Path) -> None:
    table = runs_table([two])
    areas = sort_runs(table, "sln_auc")["sln_auc"].tolist()
    assert areas[0] > areas[1]
    assert pd.isna(areas[2])
    assert sort_runs(table, "model.dropout")["setting.model.dropout"].tolist() == ["0.1", "0.3", "0.3"]
    with pytest.raises(ConfigError, match=r"found --sort sln_acu, .*did you mean 'sln_auc'"):
        sort_runs(table, "sln_acu")


def test_only_what_differs() -> None:
    same = {"model": {"dropout": 0.1, "rois": ["a"]}, "name": "x", "seed": 1, "data": {"root": "/a", "centre": "c"}}
    other = {
        "model": {"dropout": 0.1, "rois": ["a", "b"]},
        "name": "y",
        "seed": 2,
        "data": {"root": "/b", "centre": "c"},
    }
    assert differing_settings([same, other]) == [{"model.rois": "a"}, {"model.rois": "a+b"}]
    assert differing_settings([same, same]) == [{}, {}]


def test_a_part_with_options_stays_in_one_piece() -> None:
    configs: list[dict[str, Any]] = [
        {"model": {"fusion": "gated", "pooling": {"attention": {"hidden": 8}}}},
        {"model": {"fusion": {"cross_attention": {"heads": 4}}, "pooling": {"attention": {"hidden": 16}}}},
        {"model": {"fusion": {"cross_attention": None}, "pooling": {"attention": {"hidden": 8}}}},
    ]
    assert differing_settings(configs) == [
        {"model.fusion": "gated", "model.pooling": "attention(hidden=8)"},
        {"model.fusion": "cross_attention(heads=4)", "model.pooling": "attention(hidden=16)"},
        {"model.fusion": "cross_attention", "model.pooling": "attention(hidden=8)"},
    ]


def test_a_setting_that_an_earlier_version_did_not_have_is_a_dash() -> None:
    configs: list[dict[str, Any]] = [{"splits": {"folds": 3}}, {"splits": {"folds": 3, "by": "centre"}}, {}]
    assert differing_settings(configs) == [
        {"splits.folds": "3", "splits.by": "–"},
        {"splits.folds": "3", "splits.by": "centre"},
        {"splits.folds": "–", "splits.by": "–"},
    ]


def test_words() -> None:
    assert setting_text([]) == "none"
    assert setting_text(None) == "null"
    assert setting_text(True) == "true"
    assert (
        setting_text([{"correlation": {"max_correlation": 0.8}}, "variance"])
        == "correlation(max_correlation=0.8)+variance"
    )
    assert short_keys(["a.c", "b.c", "b.d", "e"]) == {"a.c": "a.c", "b.c": "b.c", "b.d": "d", "e": "e"}
