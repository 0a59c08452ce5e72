from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, overload

import pytest

from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.pool import Outcome, default_jobs, run_all, run_each
from usdlr.core.types import ExclusionCode

HERE = Path(__file__).parent


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The functions of ``pool_jobs.py``, importable under the same name by workers."""
    monkeypatch.syspath_prepend(HERE)
    return importlib.import_module("pool_jobs")


def results(outcomes: Sequence[Outcome[Any]]) -> list[Any]:
    return [outcome.result for outcome in outcomes]


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_outcomes_come_back_in_the_order_of_the_items_whatever_the_number_of_processes(
    work: ModuleType, jobs: int
) -> None:
    outcomes = run_all(work.late_square, list(range(5)), jobs=jobs, label="squares")
    assert results(outcomes) == [0, 1, 4, 9, 16]
    assert [outcome.position for outcome in outcomes] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_case_error_costs_one_item_and_keeps_its_code(work: ModuleType, jobs: int) -> None:
    outcomes = run_all(work.refuse_three, list(range(6)), jobs=jobs, label="cases")
    assert results(outcomes) == [0, 1, 2, None, 4, 5]
    failure = outcomes[3].failure
    assert failure is not None
    assert (failure.code, failure.sentence) == (ExclusionCode.MASK_EMPTY, "found no pixel, expected some; draw it")
    assert all(outcome.failure is None for outcome in outcomes if outcome.position != 3)


def test_a_worker_that_dies_costs_one_item(work: ModuleType) -> None:
    outcomes = run_all(work.die_at_two, list(range(6)), jobs=2, label="cases")
    assert results(outcomes) == [0, 1, None, 3, 4, 5]
    failure = outcomes[2].failure
    assert failure is not None
    assert failure.code is ExclusionCode.WORKER_DIED


class SlowlyListed(Sequence[int]):
    """Items whose third takes so long to list that the worker of the first is dead by then."""

    @overload
    def __getitem__(self, position: int) -> int: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[int]: ...
    def __getitem__(self, position: int | slice) -> Any:
        if position == 2:
            time.sleep(1.5)
        return [2, 0, 1, 3][position]

    def __len__(self) -> int:
        return 4


def test_a_worker_that_dies_while_items_are_still_handed_in_costs_one_item(work: ModuleType) -> None:
    outcomes = run_all(work.die_at_two, SlowlyListed(), jobs=2, label="cases")
    assert results(outcomes) == [None, 0, 1, 3]


@pytest.mark.parametrize("jobs", [1, 2])
def test_any_other_exception_is_a_defect_and_propagates(work: ModuleType, jobs: int) -> None:
    with pytest.raises(ZeroDivisionError):
        run_all(work.divide, [1, 0, 2], jobs=jobs, label="defect")
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_on_outcome_sees_every_item_in_this_process(work: ModuleType, jobs: int) -> None:
    seen: list[int] = []
    run_all(work.refuse_three, list(range(5)), jobs=jobs, label="cases", on_outcome=lambda o: seen.append(o.position))
    assert sorted(seen) == [0, 1, 2, 3, 4]


def test_workers_run_one_thread_each_and_this_process_keeps_its_setting(
    work: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert results(run_all(work.threads, [0, 1], jobs=2, label="threads")) == ["1", "1"]
    assert "OMP_NUM_THREADS" not in os.environ
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert results(run_all(work.threads, [0, 1], jobs=2, label="threads")) == ["3", "3"]


def test_nothing_to_do_is_done(work: ModuleType) -> None:
    assert run_all(work.divide, [], jobs=4, label="nothing") == []


def test_an_interrupt_outside_the_workers_stops_them_at_once(work: ModuleType) -> None:
    def interrupt(_: Outcome[int]) -> None:
        raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt) as held:  # as a caller's traceback holds it
        run_all(work.sleep_unless_first, [0, 1, 2], jobs=2, label="sleep", on_outcome=interrupt)
    assert multiprocessing.active_children() == []
    assert held.tb is not None
    assert time.monotonic() - start < 30


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal to a process group")
def test_ctrl_c_leaves_no_process_behind(tmp_path: Path) -> None:
    script = (
        # A shell that starts work in the background lets it ignore Ctrl-C; a terminal does not.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import pool_jobs\n"
        "from usdlr.core.pool import run_all\n"
        "if __name__ == '__main__':\n"
        f"    run_all(pool_jobs.announce_and_sleep, [{str(tmp_path)!r}] * 4, jobs=2, label='sleep')\n"
    )
    program = tmp_path / "program.py"
    program.write_text(script, encoding="utf-8")
    paths = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    started = subprocess.Popen(
        [sys.executable, str(program)],
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 30
        while len(workers := [int(path.name) for path in tmp_path.iterdir() if path.name.isdigit()]) < 2:
            assert time.monotonic() < deadline, "the workers did not start"
            time.sleep(0.05)
        os.killpg(started.pid, signal.SIGINT)  # what a terminal does
        _, errors = started.communicate(timeout=30)
    finally:
        if started.poll() is None:
            started.kill()
    assert started.returncode != 0
    assert b"KeyboardInterrupt" in errors
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


def test_the_default_number_of_processes_is_what_this_process_may_use() -> None:
    assert 1 <= default_jobs() <= (os.cpu_count() or 1)


def test_a_failure_without_result_is_an_error_that_the_caller_can_raise(work: ModuleType) -> None:
    failure = run_all(work.refuse_three, [3], jobs=1, label="case")[0].failure
    assert failure is not None
    with pytest.raises(CaseError, match="found no pixel"):
        raise failure


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "from tests.core.pool_jobs import announce_and_sleep\n"
        "from usdlr.core.pool import run_all\n"
        "if __name__ == '__main__':\n"
        f"    run_all(announce_and_sleep, [{str(tmp_path)!r}] * 2, jobs=2, label='sleep')\n"
    )
    (tmp_path / "parent.py").write_text(code)
    root = Path(__file__).resolve().parents[2]
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py")],
        env={**os.environ, "PYTHONPATH": str(root)},
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while len(workers := [path.name for path in tmp_path.iterdir() if path.name.isdigit()]) < 2:
        assert time.monotonic() < until
        time.sleep(0.1)
    parent.kill()
    parent.wait()
    while any(running(int(pid)) for pid in workers):
        assert time.monotonic() < until, "a worker outlived its parent"
        time.sleep(0.1)


def running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("name", ["sleep_at_two", "ignore_signals_at_two"])
def test_a_stalled_item_costs_itself_alone(work: ModuleType, jobs: int, name: str) -> None:
    outcomes = run_all(getattr(work, name), list(range(5)), jobs=jobs, label="cases", stall_s=0.4)
    assert results(outcomes) == [0, 1, None, 3, 4]
    failure = outcomes[2].failure
    assert failure is not None
    assert failure.code is ExclusionCode.WORKER_STALLED
    assert failure.sentence.startswith("found no result of this case after 0.4 seconds, expected one;")
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_a_worker_that_stands_still_is_a_stall_too(work: ModuleType) -> None:
    outcomes = run_all(work.stand_still_at_two, [2, 0], jobs=1, label="cases", stall_s=0.4)
    assert results(outcomes) == [None, 0]


def test_time_that_this_process_spends_is_not_the_items(work: ModuleType) -> None:
    outcomes = run_all(
        work.late_square, list(range(4)), jobs=2, label="cases", stall_s=0.5, on_outcome=lambda _: time.sleep(0.7)
    )
    assert results(outcomes) == [0, 1, 4, 9]


def test_a_stall_limit_that_is_no_time_is_refused(work: ModuleType) -> None:
    with pytest.raises(ConfigError, match="found a stall limit of 0 s, expected more than 0"):
        run_all(work.process_id, [1], jobs=1, label="cases", stall_s=0)


def test_workers_serve_many_items_and_a_death_costs_only_the_process_that_died(work: ModuleType) -> None:
    items = list(range(1, 30))  # 10 and 20 kill: once beside others and once alone
    outcomes = run_all(work.die_at_tens, items, jobs=2, label="cases")
    lost = [item for item, outcome in zip(items, outcomes, strict=True) if outcome.failure is not None]
    assert lost == [10, 20]
    processes = set(results(outcomes)) - {None}
    assert len(processes) <= 4  # two at the start, one after each death


def test_what_dies_beside_others_gets_a_try_of_its_own(work: ModuleType, tmp_path: Path) -> None:
    outcomes = run_all(work.die_beside_others, [str(tmp_path)] * 2, jobs=2, label="cases")
    assert results(outcomes) == ["alone", "alone"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_outcomes_are_handed_over_without_being_kept(work: ModuleType, jobs: int) -> None:
    seen: list[int] = []
    run_each(work.large, [0, 1, 2], jobs=jobs, label="large", on_outcome=lambda o: seen.append(len(o.result or b"")))
    assert seen == [3_000_000] * 3


def test_a_defect_names_the_place_in_the_worker(work: ModuleType) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run_all(work.divide, [0, 0], jobs=2, label="defect")
    assert "in divide" in "".join(caught.value.__notes__)


def test_a_result_or_an_exception_that_cannot_travel_is_a_defect(work: ModuleType) -> None:
    with pytest.raises(Exception, match="pickle"):
        run_all(work.lambda_of, [0, 1], jobs=2, label="defect")
    with pytest.raises(RuntimeError, match="StubbornError"):
        run_all(work.raise_stubborn, [0, 1], jobs=2, label="defect")


def test_workers_that_cannot_start_are_a_defect_and_no_case_is_blamed(work: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="ended before they could begin"):
        run_all(CannotArrive(), [0, 1], jobs=2, label="defect")
    assert multiprocessing.active_children() == []


class CannotArrive:
    """A function that is not there on the other side."""

    def __call__(self, number: int) -> int:
        return number

    def __reduce__(self) -> tuple[Any, ...]:
        return importlib.import_module, ("a_module_that_is_not_there",)


THREADS = """
import json, sys
sys.path.insert(0, {here!r})
import numpy, scipy.linalg, pool_jobs
from usdlr.core.pool import run_all
if __name__ == "__main__":
    print(json.dumps([run_all(pool_jobs.arithmetic, [0, 1], jobs=jobs, label="x")[0].result for jobs in (1, 2)]))
    print(json.dumps(pool_jobs.arithmetic(0)))
"""


@pytest.mark.parametrize(("stated", "expected"), [(None, 1), ("2", 2)])
def test_this_process_computes_with_as_many_threads_as_a_worker(
    tmp_path: Path, stated: str | None, expected: int
) -> None:
    script = tmp_path / "program.py"
    script.write_text(THREADS.format(here=str(HERE)), encoding="utf-8")
    words = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    if stated is not None:
        words["OPENBLAS_NUM_THREADS"] = stated
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, env=words)
    both, after = (json.loads(line) for line in done.stdout.splitlines()[-2:])
    assert both[0], "no library was found"
    assert both[0] == both[1]
    assert set(both[0].values()) == {min(expected, default_jobs())}  # no more than there are processors
    if default_jobs() > 1 and stated is None:
        assert max(after.values()) > 1, "the limit ends with the work"
