"""Work on many independent items: processes side by side, progress, isolation of the item that fails.

Results do not depend on the number of processes: items are independent, and come back in the order they were given.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, TypeVar

from usdlr.core.errors import CaseError
from usdlr.core.progress import Progress
from usdlr.core.types import ExclusionCode

Item = TypeVar("Item")
Result = TypeVar("Result")

# One thread per process: on shared cores two busy OpenMP teams slow each other down several times over.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

# Items handed to the workers at a time, per worker: one in work, one waiting.
IN_HAND = 2


@dataclass(frozen=True)
class Outcome(Generic[Result]):
    """What became of one item.

    Parameters
    ----------
    position : int
        Position of the item in the input.
    result : object or None
        What the function returned, ``None`` after a failure.
    failure : CaseError or None
        Why the item cannot be used.
    """

    position: int
    result: Result | None
    failure: CaseError | None


def default_jobs() -> int:
    """The number of processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    jobs: int,
    label: str,
    on_outcome: Callable[[Outcome[Result]], None] | None = None,
) -> list[Outcome[Result]]:
    """Apply ``function`` to every item.

    A :class:`CaseError` or the death of a worker costs one item its result; any other exception is a defect and
    propagates.

    Parameters
    ----------
    function : callable
        A picklable function of one item.
    items : sequence
        The items.
    jobs : int
        Number of processes; 1 works in this process.
    label : str
        Word for the progress line.
    on_outcome : callable, optional
        Called in this process as each item finishes, e.g. to save it for a later resume.

    Returns
    -------
    list of Outcome
        In the order of ``items``.
    """
    outcomes: dict[int, Outcome[Result]] = {}
    stream = _serial(function, items) if jobs <= 1 or len(items) <= 1 else _parallel(function, items, jobs)
    # Closed at once when anything fails out here: an interrupted caller must not wait for workers that nobody stopped.
    with Progress(label, len(items)) as progress, closing(stream):
        for outcome in stream:
            outcomes[outcome.position] = outcome
            if on_outcome is not None:
                on_outcome(outcome)
            progress.advance()
    return [outcomes[position] for position in range(len(items))]


def _serial(function: Callable[[Item], Result], items: Sequence[Item]) -> Generator[Outcome[Result], None, None]:
    for position, item in enumerate(items):
        try:
            yield Outcome(position, function(item), None)
        except CaseError as error:
            yield Outcome(position, None, error)


def _executor(jobs: int) -> ProcessPoolExecutor:
    # spawn: a forked child of a process that runs threads (OpenMP, torch) can hang.
    return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker)


def _start_worker() -> None:
    # Ctrl-C reaches the whole process group; the parent alone decides how to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """End this worker when its parent is gone: a parent that was killed could not say goodbye."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _parallel(
    function: Callable[[Item], Result], items: Sequence[Item], jobs: int
) -> Generator[Outcome[Result], None, None]:
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update({name: "1" for name in THREAD_VARIABLES if before[name] is None})
    try:
        remaining = list(range(len(items)))
        while remaining:
            # A worker that dies takes the pool with it. Only what was in its hands then goes on alone, so that the
            # item that kills its worker is lost and nothing else; the others go on in a new pool.
            remaining, suspects = yield from _pooled(function, items, remaining, jobs)
            for position in suspects:
                _, lost = yield from _pooled(function, items, [position], 1)
                if lost:
                    yield Outcome(
                        position,
                        None,
                        CaseError(
                            ExclusionCode.WORKER_DIED,
                            "found the worker process dead on this case, expected a result; check memory and the files",
                        ),
                    )
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


def _pooled(
    function: Callable[[Item], Result], items: Sequence[Item], positions: Sequence[int], jobs: int
) -> Generator[Outcome[Result], None, tuple[list[int], list[int]]]:
    """Yield outcomes; returns the positions never begun and those in hand when a worker died."""
    waiting = deque(positions)
    executor = _executor(min(jobs, len(positions)))
    futures: dict[Future[Result], int] = {}
    broken = False
    try:
        while (waiting or futures) and not broken:
            # Few items at a time: memory stays flat, and few fall under suspicion when a worker dies.
            while waiting and len(futures) < IN_HAND * jobs:
                try:
                    futures[executor.submit(function, items[waiting[0]])] = waiting[0]
                except BrokenProcessPool:
                    broken = True
                    break
                waiting.popleft()
            for future in wait(futures, return_when=FIRST_COMPLETED).done:
                try:
                    outcome = Outcome(futures[future], future.result(), None)
                except CaseError as error:
                    outcome = Outcome(futures[future], None, error)
                except BrokenProcessPool:
                    broken = True
                    continue
                del futures[future]
                yield outcome
    except BaseException:
        for process in list((executor._processes or {}).values()):
            process.terminate()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
    # What finished between the death and now is done again with the suspects: the result is the same.
    return sorted(waiting), sorted(futures.values())
