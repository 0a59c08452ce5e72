from __future__ import annotations

import time
from pathlib import Path

import pytest

from usdlr.core.journal import Journal


class Step:
    """An action that counts its runs and writes one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs = 0

    def __call__(self) -> None:
        self.runs += 1
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(f"result {self.runs}", encoding="utf-8")


@pytest.fixture
def step(tmp_path: Path) -> Step:
    return Step(tmp_path / "features" / "table.txt")


def test_a_finished_step_is_not_run_again(tmp_path: Path, step: Step) -> None:
    assert Journal(tmp_path).step("features", {"bins": 32}, [step.path], step)
    assert not Journal(tmp_path).step("features", {"bins": 32}, [step.path], step)
    assert step.runs == 1


def test_other_inputs_run_it_again(tmp_path: Path, step: Step) -> None:
    journal = Journal(tmp_path)
    journal.step("features", {"bins": 32}, [step.path], step)
    assert journal.step("features", {"bins": 64}, [step.path], step)
    assert not journal.is_done("features", {"bins": 32})


def test_an_altered_or_missing_output_runs_it_again(tmp_path: Path, step: Step) -> None:
    journal = Journal(tmp_path)
    journal.step("features", 1, [step.path], step)
    step.path.write_text("edited by hand", encoding="utf-8")
    assert not journal.is_done("features", 1)
    assert journal.step("features", 1, [step.path], step)
    step.path.unlink()
    assert journal.step("features", 1, [step.path], step)
    assert step.runs == 3


def test_a_touched_output_with_the_same_bytes_is_still_done(tmp_path: Path, step: Step) -> None:
    journal = Journal(tmp_path)
    journal.step("features", 1, [step.path], step)
    step.path.write_bytes(step.path.read_bytes())
    assert journal.is_done("features", 1)


def test_steps_have_records_of_their_own(tmp_path: Path, step: Step) -> None:
    journal = Journal(tmp_path)
    journal.step("features", 1, [step.path], step)
    assert not journal.is_done("fit", 1)


def test_an_interrupted_step_is_not_done(tmp_path: Path, step: Step) -> None:
    def interrupted() -> None:
        step()
        raise KeyboardInterrupt

    journal = Journal(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        journal.step("features", 1, [step.path], interrupted)
    assert not journal.is_done("features", 1)


def test_the_whole_folder_may_move(tmp_path: Path) -> None:
    here = tmp_path / "here"
    step = Step(here / "out.txt")
    Journal(here).step("features", 1, [step.path], step)
    here.rename(tmp_path / "there")
    assert Journal(tmp_path / "there").is_done("features", 1)


def test_how_long_every_step_took(tmp_path: Path, step: Step) -> None:
    journal = Journal(tmp_path)
    before = time.time()

    def slowly() -> None:
        time.sleep(0.2)
        step()

    journal.step("slow", 1, [step.path], slowly)
    journal.mark_done("untimed", 1, [step.path])
    journal.mark_done("earlier", 1, [step.path], (1.0, 4.0))
    (tmp_path / ".journal" / "damaged.json").write_text("{", encoding="utf-8")
    times = journal.times()
    assert list(times) == ["earlier", "slow"]
    began, ended = times["slow"]
    assert before - 0.01 <= began <= ended - 0.19
    assert ended <= time.time() + 0.01
    assert journal.is_done("slow", 1)
