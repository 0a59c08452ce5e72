"""What worker processes do in ``test_pool.py``: spawned processes must be able to import it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode


def late_square(number: int) -> int:
    """Square a number; the first items finish last."""
    time.sleep(0.2 / (1 + number))
    return number**2


def refuse_three(number: int) -> int:
    if number == 3:
        raise CaseError(ExclusionCode.MASK_EMPTY, "found no pixel, expected some; draw it")
    return number


def die_at_two(number: int) -> int:
    if number == 2:
        os._exit(9)
    return number


def divide(number: int) -> float:
    return 1 / number


def arithmetic(_: int) -> dict[str, int]:
    """How many threads the libraries that are loaded here use."""
    import numpy as np
    import scipy.linalg
    from threadpoolctl import threadpool_info  # type: ignore[import-untyped]  # publishes no types

    np.ones((8, 8)) @ np.ones((8, 8))
    scipy.linalg.lu(np.eye(8))
    return {str(one["filepath"]): int(one["num_threads"]) for one in threadpool_info() if one["user_api"] == "blas"}


def threads(_: int) -> str | None:
    return os.environ.get("OMP_NUM_THREADS")


def sleep_unless_first(number: int) -> int:
    if number:
        time.sleep(60)
    return number


def announce_and_sleep(folder: str) -> None:
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(60)


def die_at_tens(number: int) -> int:
    """Every tenth item kills its worker."""
    if number % 10 == 0:
        os._exit(9)
    return os.getpid()


def die_beside_others(folder: str) -> str:
    """Dies unless nobody else is at work, as where memory suffices for one."""
    mine = Path(folder) / str(os.getpid())
    mine.touch()
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        if any(_lives(int(other.name)) for other in Path(folder).iterdir() if other != mine):
            time.sleep(0.5)  # the other must see this one too
            os._exit(9)
        time.sleep(0.05)
    return "alone"


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def sleep_at_two(number: int) -> int:
    if number == 2:
        time.sleep(600)
    return number


def ignore_signals_at_two(number: int) -> int:
    """Compiled code in a loop: no signal handler of Python's ever runs."""
    if number == 2:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    return number


def stand_still_at_two(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGSTOP)
    return number


def process_id(number: int) -> int:
    return os.getpid()


def lambda_of(number: int) -> object:
    return lambda: number


class StubbornError(Exception):
    """Cannot be rebuilt from its arguments."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(first)


def raise_stubborn(number: int) -> None:
    raise StubbornError(number, 7)


def large(number: int) -> bytes:
    """More than a pipe's buffer holds."""
    return bytes(3_000_000)
