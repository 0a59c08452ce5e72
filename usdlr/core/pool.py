"""Work on many independent items: processes side by side, progress, isolation of the item that fails.

Results do not depend on the number of processes: items are independent, come back in the order they were given, and
their arithmetic has as many threads in this process as in a worker's.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Generic, TypeVar

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # publishes no types

from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.progress import Progress
from usdlr.core.types import ExclusionCode
from usdlr.core.worker import State, Worker

Item = TypeVar("Item")
Result = TypeVar("Result")

# One thread per process: on shared cores two busy OpenMP teams slow each other down several times over.
OPENMP = "OMP_NUM_THREADS"
THREAD_VARIABLES = (OPENMP, "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

# Workers in a row that end before they can begin: no case is to blame for that.
MOST_FAILED_STARTS = 3


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
    stall_s: float | None = None,
) -> list[Outcome[Result]]:
    """Apply ``function`` to every item and keep every outcome; see :func:`run_each`.

    Returns
    -------
    list of Outcome
        In the order of ``items``.
    """
    outcomes: dict[int, Outcome[Result]] = {}

    def keep(outcome: Outcome[Result]) -> None:
        outcomes[outcome.position] = outcome
        if on_outcome is not None:
            on_outcome(outcome)

    run_each(function, items, jobs=jobs, label=label, on_outcome=keep, stall_s=stall_s)
    return [outcomes[position] for position in range(len(items))]


def run_each(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    jobs: int,
    label: str,
    on_outcome: Callable[[Outcome[Result]], None],
    stall_s: float | None = None,
) -> None:
    """Apply ``function`` to every item and hand over each outcome; memory does not grow with their number.

    A :class:`CaseError`, the death of a worker and a stalled worker cost one item its result; any other exception is a
    defect and propagates.

    Parameters
    ----------
    function : callable
        A picklable function of one item.
    items : sequence
        The items.
    jobs : int
        Number of processes; 1 works in this process, unless ``stall_s`` is given.
    label : str
        Word for the progress line.
    on_outcome : callable
        Called in this process as each item finishes, in any order, e.g. to save it for a later resume.
    stall_s : float, optional
        Seconds that one item may take before its worker is killed; the start of a worker does not count.

    Raises
    ------
    ConfigError
        If ``stall_s`` is not positive.
    RuntimeError
        If workers cannot start at all.
    """
    if stall_s is not None and not stall_s > 0:
        raise ConfigError(f"found a stall limit of {stall_s:g} s, expected more than 0")
    guarded = stall_s is not None and len(items) > 0
    if guarded or (jobs > 1 and len(items) > 1):
        stream = _parallel(function, items, jobs, stall_s)
    else:
        stream = _serial(function, items)
    # Closed at once when anything fails out here: an interrupted caller must not wait for workers that nobody stopped.
    with Progress(label, len(items)) as progress, closing(stream):
        for outcome in stream:
            on_outcome(outcome)
            progress.advance()


def _serial(function: Callable[[Item], Result], items: Sequence[Item]) -> Generator[Outcome[Result], None, None]:
    with one_thread():
        for position, item in enumerate(items):
            try:
                yield Outcome(position, function(item), None)
            except CaseError as error:
                yield Outcome(position, None, error)


def _parallel(
    function: Callable[[Item], Result], items: Sequence[Item], jobs: int, stall_s: float | None
) -> Generator[Outcome[Result], None, None]:
    with _one_thread_each():
        suspects = yield from _pooled(function, items, range(len(items)), jobs, stall_s)
        # A worker may die of its neighbours' memory: what it had in hand gets a second try with nobody beside it.
        for position in (yield from _pooled(function, items, suspects, 1, stall_s)):
            sentence = "found the worker process dead on this case, expected a result; check memory and the files"
            yield Outcome(position, None, CaseError(ExclusionCode.WORKER_DIED, sentence))


@contextmanager
def one_thread() -> Iterator[None]:
    """Let the arithmetic of this process use as many threads as that of a worker process would.

    Sums come out differently with another number of threads, in the last digits. A worker gets one thread, or as many
    as the user's environment states.
    """
    with _one_thread_each():  # for libraries that are loaded later
        blas, openmp = (
            _stated(name for name in THREAD_VARIABLES if (name == OPENMP) is wanted) for wanted in (False, True)
        )
        with threadpool_limits({"blas": blas, "openmp": openmp}):
            yield


def _stated(names: Iterable[str]) -> int:
    """The largest number of threads that these variables state, 1 where none does."""
    words = [os.environ.get(name, "").split(",")[0].strip() for name in names]
    return max([int(word) for word in words if word.isdecimal() and int(word) > 0], default=1)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update({name: "1" for name in THREAD_VARIABLES if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


def _pooled(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    positions: Sequence[int],
    jobs: int,
    stall_s: float | None,
) -> Generator[Outcome[Result], None, list[int]]:
    """Yield outcomes; returns the positions that were in hand when their worker died."""
    waiting, lost = deque(positions), list[int]()
    workers: list[Worker[Item, Result]] = []
    failed_starts = 0
    try:
        while waiting or any(worker.position is not None for worker in workers):
            busy = sum(worker.position is not None for worker in workers)
            while len(workers) < min(max(jobs, 1), busy + len(waiting)):
                workers.append(Worker(function))
            handles = {handle: worker for worker in workers for handle in worker.handles}
            ready = {id(handles[handle]) for handle in wait(list(handles), _patience(workers, stall_s))}
            outcomes: list[Outcome[Result]] = []  # yielded after the look at the clock: the caller takes its time
            for worker in list(workers):
                position = worker.position
                if id(worker) in ready:
                    state, result, failure = worker.receive()
                elif stall_s is not None and worker.busy_s > stall_s:
                    state, result, failure = State.STALLED, None, _stalled(stall_s)
                else:
                    continue
                if state in (State.DEAD, State.STALLED):
                    worker.kill()
                    workers.remove(worker)
                elif waiting:
                    # Handed on before this process turns to the outcome, so that no worker waits for a disk.
                    worker.begin(waiting.popleft(), items)
                if position is not None and state is not State.DEAD:
                    outcomes.append(Outcome(position, result, failure))
                elif position is not None:
                    lost.append(position)
                failed_starts = failed_starts + 1 if position is None and state is State.DEAD else 0
            yield from outcomes
            if failed_starts > MOST_FAILED_STARTS:
                raise RuntimeError(
                    f"found {failed_starts} worker processes that ended before they could begin, expected them to "
                    "start; a script that starts workers needs `if __name__ == '__main__':`, and its function must be "
                    "importable"
                )
        for worker in workers:
            worker.dismiss()
        for worker in workers:
            worker.join()
    finally:
        for worker in workers:
            worker.kill()
    return sorted(lost)


def _patience(workers: Sequence[Worker[Item, Result]], stall_s: float | None) -> float | None:
    """Seconds until the first worker is out of time, ``None`` where there is no limit."""
    busy = [worker.busy_s for worker in workers if worker.position is not None]
    return None if stall_s is None or not busy else max(stall_s - max(busy), 0.0) + 0.01


def _stalled(stall_s: float) -> CaseError:
    limit = f"{stall_s / 60:.3g} minutes" if stall_s >= 60 else f"{stall_s:.3g} seconds"
    return CaseError(
        ExclusionCode.WORKER_STALLED,
        f"found no result of this case after {limit}, expected one; check the size of image and lesion, or allow more "
        "time",
    )
