"""Progress: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

LINE_EVERY_S = 10.0


class Progress:
    """Counts finished items of a known total on standard error.

    Parameters
    ----------
    label : str
        What is being counted, e.g. ``"features"``.
    total : int
        Number of items.
    """

    def __init__(self, label: str, total: int) -> None:
        self.label = label
        self.total = total
        self.done = 0
        self._bar = tqdm(total=total, desc=label, unit="", file=sys.stderr) if sys.stderr.isatty() else None
        self._start = self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def advance(self, count: int = 1) -> None:
        """Count ``count`` more finished items."""
        self.done += count
        if self._bar is not None:
            self._bar.update(count)
            return
        now = time.monotonic()
        if self.done == self.total or now - self._last >= LINE_EVERY_S:
            self._last = now
            print(
                f"{self.label}: {self.done}/{self.total} after {now - self._start:.0f} s", file=sys.stderr, flush=True
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()


def say(message: str) -> None:
    """One plain line to standard error."""
    print(message, file=sys.stderr, flush=True)
