"""What worker processes do in ``test_pool.py``: spawned processes must be able to import it."""

from __future__ import annotations

import os
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


def threads(_: int) -> str | None:
    return os.environ.get("OMP_NUM_THREADS")


def sleep_unless_first(number: int) -> int:
    if number:
        time.sleep(60)
    return number


def announce_and_sleep(folder: str) -> None:
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(60)
