"""A sweep that is interrupted, changed, or meets points that cannot be run."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.experiment.sweep.made import build, made_run
from usdlr.core.errors import ConfigError, DataError
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.sweep.engine import SweepResult, run_sweep
from usdlr.experiment.sweep.objective import TuningAucs, tuning_aucs
from usdlr.experiment.sweep.settings import SweepSettings

GRID = SweepSettings("x", grid={"model.dropout": [0.1, 0.3], "radiomics.margin_mm": [3.0, 5.0]})
SEARCH = SweepSettings(
    "x",
    method="optuna",
    search={"model.dropout": {"low": 0.0, "high": 0.6}, "radiomics.margin_mm": {"choices": [3.0, 5.0]}},
    trials=6,
)


def quick(overrides: Mapping[str, Any]) -> ExperimentConfig:
    """A point's configuration without the parser's time, where the keys are known."""
    config, parts = build({}), dict[str, dict[str, Any]]()
    for key, value in overrides.items():
        part, _, name = key.rpartition(".")
        if not hasattr(getattr(config, part) if part else config, name):
            return build(overrides)
        parts.setdefault(part, {})[name] = value
    own = parts.pop("", {})
    return replace(config, **own, **{part: replace(getattr(config, part), **values) for part, values in parts.items()})


def measured(config: ExperimentConfig, out: Path) -> TuningAucs:
    """AUC on tuning axillae, as a landscape with one best place."""
    assert (out / "done").is_file()
    value = 0.8 - (config.model.dropout - 0.3) ** 2 - 0.01 * config.radiomics.margin_mm + 0.001 * config.seed
    return {"sln": {"0": value, "1": value + 0.02}, "nsln": {"0": 0.5}}


class Runner:
    """Counts the runs; one of them can be made to fail."""

    def __init__(self, fail: int | None = None, error: BaseException | None = None) -> None:
        self.names: list[str] = []
        self.fail, self.error = fail, error

    def __call__(self, config: ExperimentConfig, out: Path) -> Path:
        self.names.append(out.name)
        if len(self.names) - 1 == self.fail and self.error is not None:
            raise self.error
        out.mkdir(parents=True, exist_ok=True)
        (out / "done").write_text(config.name)
        return out


def go(settings: SweepSettings, out: Path, runner: Runner) -> SweepResult:
    return run_sweep(settings, quick, out, run=runner, measure=measured)


def content(result: SweepResult) -> list[Any]:
    """Everything but times."""
    return [(one.point, one.settings, one.seed, one.state, one.reason, one.objective) for one in result.outcomes]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SweepResult]:
    """Both sweeps, uninterrupted."""
    folder = tmp_path_factory.mktemp("whole")
    return {name: go(one, folder / name, Runner()) for name, one in (("grid", GRID), ("search", SEARCH))}


@pytest.mark.parametrize(("name", "settings", "number"), [("grid", GRID, 2), ("search", SEARCH, 4)])
def test_an_interrupted_sweep_goes_on_and_runs_no_finished_point_twice(
    name: str, settings: SweepSettings, number: int, whole: dict[str, SweepResult], tmp_path: Path
) -> None:
    first, second, third = Runner(number, KeyboardInterrupt()), Runner(), Runner()
    with pytest.raises(KeyboardInterrupt):
        go(settings, tmp_path / "out", first)
    result = go(settings, tmp_path / "out", second)
    assert second.names[0] == first.names[-1]  # the point that was under way
    assert [*first.names[:-1], *second.names] == [one.point for one in whole[name].outcomes]
    assert content(result) == content(whole[name])
    assert result.chosen == whole[name].chosen
    go(settings, tmp_path / "out", third)
    assert third.names == []


def test_a_longer_search_begins_with_the_shorter_one(whole: dict[str, SweepResult], tmp_path: Path) -> None:
    shorter = SweepSettings("x", method="optuna", search=SEARCH.search, trials=4)
    go(shorter, tmp_path / "out", Runner())
    longer = Runner()
    assert content(go(SEARCH, tmp_path / "out", longer)) == content(whole["search"])
    assert longer.names == ["trial-0004", "trial-0005"]
    with pytest.raises(ConfigError, match=r"found a sweep of 6 trials in .*, asked for 4, expected as many or more"):
        go(shorter, tmp_path / "out", Runner())


def test_a_search_chooses_by_tuning_rows(whole: dict[str, SweepResult]) -> None:
    values = {one.point: one.objective for one in whole["search"].outcomes if one.objective is not None}
    assert whole["search"].chosen == max(values, key=lambda name: values[name])
    assert whole["grid"].chosen is None


def test_a_study_that_is_lost_is_made_again_from_the_outcomes(whole: dict[str, SweepResult], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        go(SEARCH, tmp_path / "out", Runner(4, KeyboardInterrupt()))
    (tmp_path / "out" / "study.db").unlink()
    again = Runner()
    assert content(go(SEARCH, tmp_path / "out", again)) == content(whole["search"])
    assert again.names == ["trial-0004", "trial-0005"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DataError("found one class in fold 1, expected two"), "found one class in fold 1, expected two"),
        (RuntimeError("a\ndefect"), "RuntimeError: a defect; the traceback is in failures/"),
        (MemoryError(), "MemoryError: ; the traceback is in failures/"),
    ],
)
def test_a_point_that_fails_is_a_row_and_the_sweep_goes_on(error: Exception, reason: str, tmp_path: Path) -> None:
    result = go(GRID, tmp_path / "out", Runner(1, error))
    assert [one.state for one in result.outcomes] == ["finished", "failed", "finished", "finished"]
    assert str(result.outcomes[1].reason).startswith(reason)
    traceback = tmp_path / "out" / "failures" / f"{result.outcomes[1].point}.txt"
    assert traceback.is_file() == (not isinstance(error, DataError))
    again = Runner()
    mended = go(GRID, tmp_path / "out", again)
    assert [one.state for one in mended.outcomes] == ["finished"] * 4
    assert again.names == [result.outcomes[1].point]


def test_a_failed_trial_is_kept_so_that_the_search_repeats(tmp_path: Path) -> None:
    error = DataError("no")
    result = go(SEARCH, tmp_path / "out", Runner(2, error))
    again = Runner()
    assert content(go(SEARCH, tmp_path / "out", again)) == content(result)
    assert (result.outcomes[2].state, again.names) == ("failed", [])
    interrupted = Runner(2, error)
    small = SweepSettings("x", method="optuna", search=SEARCH.search, trials=3)
    go(small, tmp_path / "other", interrupted)
    assert content(go(SEARCH, tmp_path / "other", Runner())) == content(result)


def test_a_search_whose_first_trial_fails_stops_and_tries_it_again(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the first trial failed: found no data.root; mend it"):
        go(SEARCH, tmp_path / "out", Runner(0, DataError("found no data.root")))
    again = Runner()
    go(SEARCH, tmp_path / "out", again)
    assert again.names[0] == "trial-0000"


def test_a_full_disk_stops_the_sweep(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full"):
        go(GRID, tmp_path / "out", Runner(1, OSError(errno.ENOSPC, "full")))
    again = Runner()
    go(GRID, tmp_path / "out", again)
    assert len(again.names) == 3


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"grid": {"model.dropout": [0.1, 0.3]}}, r"found a sweep with sweep.grid.radiomics.margin_mm = \[3.0, 5.0\]"),
        ({"seeds": [0, 1]}, r"sweep.seeds = \[\] in .*, asked for \[0, 1\] \(1 keys differ\)"),
        ({"objective": "tuning.nsln.auc"}, "sweep.objective = 'tuning.sln.auc'"),
    ],
)
def test_another_sweep_in_the_folder_is_refused(changes: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        go(GRID, tmp_path / "out", Runner(0, KeyboardInterrupt()))
    runner = Runner()
    with pytest.raises(ConfigError, match=sentence):
        go(SweepSettings("x", **({"grid": GRID.grid} | changes)), tmp_path / "out", runner)
    assert runner.names == []


def test_another_experiment_and_other_files_are_refused(tmp_path: Path) -> None:
    go(GRID, tmp_path / "out", Runner())

    def other(overrides: Mapping[str, Any]) -> ExperimentConfig:
        return quick({"fit.epochs": 3, **overrides})

    def elsewhere(overrides: Mapping[str, Any]) -> ExperimentConfig:
        return quick({"data.root": "elsewhere", "jobs": 7, **overrides})

    with pytest.raises(ConfigError, match=r"experiment.fit.epochs = \d+ in .*, asked for 3"):
        run_sweep(GRID, other, tmp_path / "out", run=Runner(), measure=measured)
    run_sweep(GRID, elsewhere, tmp_path / "out", run=Runner(), measure=measured)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"found the file .*, expected a folder"):
        go(GRID, tmp_path / "file", Runner())
    with pytest.raises(ConfigError, match=r"found other files in .*, expected an empty folder or a sweep"):
        go(GRID, tmp_path, Runner())


def test_what_works_in_no_point_is_refused_before_anything_runs(tmp_path: Path) -> None:
    runner = Runner()
    for grid, sentence in (
        ({"model.dropuot": [0.1]}, "unknown key 'model.dropuot'.*nearest is 'model.dropout'"),
        ({"model.dropout": [0.1, 1.5]}, "found model.dropout = 1.5, expected a share"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            go(SweepSettings("x", grid=grid), tmp_path / "out", runner)
    ends = SweepSettings("x", method="optuna", search={"model.dropout": {"low": 0.1, "high": 1.5}})
    with pytest.raises(ConfigError, match=r"found model.dropout = 1.5"):
        go(ends, tmp_path / "out", runner)
    assert not (tmp_path / "out").exists()
    assert runner.names == []


def test_a_combination_that_cannot_work_is_a_failed_row(tmp_path: Path) -> None:
    grid = {"splits.tuning": [0.2, 0.6], "splits.calibration": [0.2, 0.5]}
    result = go(SweepSettings("x", grid=grid), tmp_path / "out", Runner())
    assert [one.state for one in result.outcomes] == ["finished", "finished", "finished", "failed"]
    assert "expected below 0.9" in str(result.outcomes[3].reason)


def test_a_trial_with_the_settings_of_an_earlier_one_is_not_run_again(tmp_path: Path) -> None:
    space = {"model.dropout": {"choices": [0.1, 0.3]}}
    runner = Runner()
    result = go(SweepSettings("x", method="optuna", search=space, trials=5), tmp_path / "out", runner)
    assert len(runner.names) == len({json.dumps(one.settings) for one in result.outcomes}) < 5
    assert "the same settings as trial-000" in " ".join(str(one.reason) for one in result.outcomes)
    again = Runner()
    settings = SweepSettings("x", method="optuna", search=space, trials=5)
    assert content(go(settings, tmp_path / "out", again)) == content(result)
    assert again.names == []


def test_seeds_repeat_every_point_and_a_trials_value_is_their_mean(tmp_path: Path) -> None:
    settings = SweepSettings("x", method="optuna", search=SEARCH.search, trials=2, seeds=[0, 1])
    result = go(settings, tmp_path / "out", Runner())
    assert [one.point for one in result.outcomes] == [
        f"trial-000{number},seed={seed}" for number in (0, 1) for seed in (0, 1)
    ]
    means = [sum(float(one.objective or 0) for one in result.outcomes[start : start + 2]) / 2 for start in (0, 2)]
    assert result.chosen == f"trial-000{means.index(max(means))}"
    assert [entry["seed"] for entry in result.nested] == [0, 1]


def test_a_finished_point_whose_folder_was_removed_is_run_again(tmp_path: Path) -> None:
    result = go(GRID, tmp_path / "out", Runner())
    shutil.rmtree(tmp_path / "out" / "points" / result.outcomes[1].point)
    again = Runner()
    go(GRID, tmp_path / "out", again)
    assert again.names == [result.outcomes[1].point]


def test_a_grid_with_real_tables(tmp_path: Path) -> None:
    settings = SweepSettings("x", grid={"model.dropout": [0.05, 0.3]})
    result = run_sweep(settings, quick, tmp_path / "out", run=made_run)
    for one, dropout in zip(result.outcomes, (0.05, 0.3), strict=True):
        assert one.tuning == tuning_aucs(quick({"model.dropout": dropout}), tmp_path / "out" / "points" / one.point)
    (nested,) = result.nested
    assert json.loads((tmp_path / "out" / "nested.json").read_text()) == [nested]
    assert set(nested["chosen"]) == {"0", "1", "2", "3"}
    assert nested["stages"]["sln"]["auc"]["n"] == 64
