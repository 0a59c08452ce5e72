"""How long a redrawn contour takes, warm: ``python -m tests.review.live_speed BUNDLE CASES [TIMES]``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from usdlr.core.pool import default_jobs
from usdlr.review.live import Live
from usdlr.review.load import read_list

LIMIT_S = 1.5


def main(bundle: Path, cases: Path, times: int = 10) -> int:
    """Print the seconds that redrawn contours take; 1 where the usual one is slower than it may be."""
    with TemporaryDirectory() as work:
        _, records, _ = read_list(bundle, cases, work=Path(work), jobs=default_jobs())
    taken = []
    with Live(bundle) as live:
        start = time.monotonic()
        live.warm()
        sys.stdout.write(f"start and warm-up: {time.monotonic() - start:.1f} s\n")
        for number in range(times):
            record = records[number % len(records)]
            image = next(one for one in record.images if one.contour)
            lower = tuple(tuple((row + 1 + number // len(records), col) for row, col in of) for of in image.contour)
            start = time.monotonic()
            live.predict(record, outlines={image.token: lower})
            taken.append(time.monotonic() - start)
    sys.stdout.write(
        f"redrawn contour: median {np.median(taken):.2f} s, first {taken[0]:.2f} s, slowest {max(taken):.2f} s\n"
    )
    return int(np.median(taken) > LIMIT_S)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:4])))
