"""Feed damaged files to everything that reads somebody else's: ``make fuzz MINUTES=60``.

Each worker mutates files of a small corpus and hands them to one target. Allowed are a result and an
:class:`~usdlr.core.errors.InputError`. Anything else (another exception, a dead process, more than ``--seconds`` for
one file, more than ``--gigabytes`` of memory) is a finding: its input is kept, the worker is started again, and the
exit code is 1.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from tests.fuzz.corpus import write_corpus
from tests.fuzz.mutate import mutate
from tests.fuzz.targets import TARGETS
from usdlr.core.errors import InputError


class TooSlow(BaseException):
    """One input took too long; not an Exception, so that no handler in a library swallows it."""


def attempt(target: str, content: bytes, folder: Path, seconds: float) -> str | None:
    """Run one input; returns what went wrong, or ``None``."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise TooSlow

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        TARGETS[target](content, folder)
    except InputError:
        return None
    except TooSlow:
        return f"TooSlow: more than {seconds} s"
    except BaseException:
        return traceback.format_exc(limit=-6)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None


def work(options: argparse.Namespace) -> int:
    """One worker: mutate and run until the time is up; stops at the first finding."""
    size = int(options.gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    rng = np.random.default_rng(options.seed)
    corpus = {path: path.read_bytes() for path in sorted((options.corpus / options.target).iterdir())}
    paths = list(corpus)
    end = time.monotonic() + 60 * options.minutes
    done = 0
    with tempfile.TemporaryDirectory() as scratch:
        while time.monotonic() < end:
            first, second = (paths[int(rng.integers(0, len(paths)))] for _ in range(2))
            content = mutate(corpus[first], corpus[second], rng)
            options.current.write_bytes(content)  # found here if the process dies
            problem = attempt(options.target, content, Path(scratch), options.seconds)
            done += 1
            if done % 100 == 0:
                options.current.with_suffix(".count").write_text(str(done))
            if problem is not None:
                print(problem)
                return 1
    options.current.with_suffix(".count").write_text(str(done))
    return 0


def lead(options: argparse.Namespace) -> int:
    """Start a worker per target, start it again after each finding, and sum up."""
    options.findings.mkdir(parents=True, exist_ok=True)
    found: dict[str, int] = dict.fromkeys(options.targets, 0)
    runs: dict[str, int] = dict.fromkeys(options.targets, 0)
    with tempfile.TemporaryDirectory() as scratch:
        corpus = Path(scratch) / "corpus"
        write_corpus(corpus)
        for target in options.targets:
            end = time.monotonic() + 60 * options.minutes / len(options.targets)
            seed = options.seed
            while time.monotonic() < end:
                current = Path(scratch) / f"{target}.bin"
                left = (end - time.monotonic()) / 60
                words: list[Any] = ["--worker", "--targets", target, "--minutes", left, "--seed", seed]
                words += ["--corpus", corpus, "--current", current]
                words += ["--seconds", options.seconds, "--gigabytes", options.gigabytes]
                command = [sys.executable, "-m", "tests.fuzz.fuzz", *map(str, words)]
                try:
                    run = subprocess.run(command, capture_output=True, text=True, timeout=60 * left + 60)
                    code, said = run.returncode, run.stdout + run.stderr[-2000:]
                except subprocess.TimeoutExpired:
                    code, said = -1, "a hang that no signal ends"
                count = current.with_suffix(".count")
                runs[target] += int(count.read_text()) if count.exists() else 0
                count.unlink(missing_ok=True)
                seed += 1
                if code == 0:
                    continue
                content = current.read_bytes()
                name = f"{target}-{hashlib.sha256(content).hexdigest()[:12]}.bin"
                shutil.copy(current, options.findings / name)
                found[target] += 1
                print(f"{target}: exit {code}, input kept as {name}\n{said}", flush=True)
            print(f"{target}: about {runs[target]} inputs, {found[target]} findings", flush=True)
    return 1 if any(found.values()) else 0


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="time for all targets together")
    parser.add_argument("--targets", nargs="+", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10.0, help="longest time for one file")
    parser.add_argument("--gigabytes", type=float, default=4.0, help="address space of a worker")
    parser.add_argument("--findings", type=Path, default=Path("runs/fuzz"))
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--current", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        options.target = options.targets[0]
        return work(options)
    return lead(options)


if __name__ == "__main__":
    sys.exit(main())
