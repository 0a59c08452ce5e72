"""What only processes of their own can show: two workers against one, the first start, memory over many regions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from usdlr.core.errors import ConfigError
from usdlr.core.modalities import BMODE
from usdlr.core.pool import THREAD_VARIABLES, Outcome, run_each
from usdlr.radiomics.benchmark import Sample, full_settings, measure_patient, one_thread, simulated_samples
from usdlr.radiomics.engines import Engine, build_engine

# A worker that gives no answer for so long is not slow but gone.
STALL_S = 1800.0
STATM = Path("/proc/self/statm")


@dataclass(frozen=True)
class Task:
    """Which simulated examination a worker measures.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    pixels : tuple of int
        Of lesion and ring.
    modalities : tuple of str
        Images of the examination.
    """

    shape: tuple[int, int]
    pixels: tuple[int, int]
    modalities: tuple[str, ...]


def rate(engine: str, task: Task, *, jobs: int, patients: int) -> float:
    """Examinations per second that ``jobs`` processes measure, once all of them have started."""
    ends: list[float] = []

    def note(outcome: Outcome[int]) -> None:
        if outcome.failure is not None:
            raise outcome.failure
        ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        work = partial(_measure, engine=engine, meeting=Path(folder), jobs=jobs)
        tasks = [task] * (patients + jobs)
        run_each(work, tasks, jobs=jobs, label=f"processes: {jobs}", on_outcome=note, stall_s=STALL_S)
    return patients / (ends[-1] - ends[jobs - 1])


def _measure(task: Task, engine: str, meeting: Path, jobs: int) -> int:
    one_thread()
    found = measure_patient(_engine(engine), _sample(task))
    # Each worker's first examination pays for imports, images and compilation; nobody goes on before all have come.
    (meeting / str(os.getpid())).touch()
    until = time.monotonic() + STALL_S
    while len(list(meeting.iterdir())) < jobs and time.monotonic() < until:
        time.sleep(0.002)
    return sum(len(regions) for regions in found.values())


@lru_cache(maxsize=2)
def _engine(name: str) -> Engine:
    return build_engine(name, full_settings())


@lru_cache(maxsize=2)
def _sample(task: Task) -> Sample:
    return simulated_samples(1, task.shape, task.pixels, task.modalities)[0]


@dataclass(frozen=True)
class Start:
    """A fresh process.

    Parameters
    ----------
    whole_s : float
        From the start of the process to its end, with imports and one examination.
    first_s : float
        Its first examination, compilation included.
    second_s : float
        The same examination again.
    """

    whole_s: float
    first_s: float
    second_s: float


def starts(engine: str, task: Task) -> tuple[Start, Start]:
    """The first start with an empty folder of compiled kernels, and the next, which finds them there."""
    with tempfile.TemporaryDirectory() as folder:
        return _start(engine, task, folder), _start(engine, task, folder)


def _start(engine: str, task: Task, folder: str) -> Start:
    begin = time.perf_counter()
    found = _program("start_program", [engine, task.shape, task.pixels, task.modalities], NUMBA_CACHE_DIR=folder)
    return Start(time.perf_counter() - begin, *found)


def start_program(engine: str, shape: list[int], pixels: list[int], modalities: list[str]) -> list[float]:
    """Seconds of the first and of the second examination in this process."""
    one_thread()
    sample = simulated_samples(1, (shape[0], shape[1]), (pixels[0], pixels[1]), modalities)[0]
    times = [time.perf_counter()]
    measurer = build_engine(engine, full_settings())
    for _ in range(2):
        measure_patient(measurer, sample)
        times.append(time.perf_counter())
    return [times[1] - times[0], times[2] - times[1]]


def memory(engine: str, regions: int) -> list[tuple[int, float]]:
    """Resident memory in MiB of one process after so many regions, at ten points.

    Raises
    ------
    ConfigError
        On a system that does not tell.
    """
    if not STATM.exists():
        raise ConfigError(f"found no {STATM}, expected Linux for --memory; leave the option out")
    return [(int(count), float(size)) for count, size in _program("memory_program", [engine, regions])]


def memory_program(engine: str, regions: int) -> list[tuple[int, float]]:
    """Measure small regions, two on each image, and look at this process's memory."""
    one_thread()
    measurer = build_engine(engine, full_settings())
    samples = simulated_samples(8, (72, 80), (400, 600), (BMODE,))
    steps = {round(regions * step / 10) for step in range(1, 11)}
    out: list[tuple[int, float]] = []
    for count in range(2, regions + 2, 2):
        measure_patient(measurer, samples[count // 2 % len(samples)])
        if count in steps or count - 1 in steps:
            pages = int(STATM.read_text().split()[1])
            out.append((count, pages * os.sysconf("SC_PAGE_SIZE") / 2**20))
    return out


def _program(name: str, arguments: list[Any], **environment: str) -> Any:
    """Run a function of this module in a fresh Python with one thread; its result comes back as JSON."""
    code = (
        "import json, sys; from usdlr.radiomics import benchmark_process as here; "
        "print(json.dumps(getattr(here, sys.argv[1])(*json.loads(sys.argv[2]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, name, json.dumps(arguments)],
        env={**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"found the process of {name} ended with {done.returncode}: {last}")
    return json.loads(done.stdout.strip().splitlines()[-1])
