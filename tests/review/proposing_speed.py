"""How long a reader waits for an outline, warm: ``python -m tests.review.proposing_speed BUNDLE [TIMES]``."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from tests.discs import Disc, disc_grey
from tests.review.store.made import axilla_record
from usdlr.core.types import Site
from usdlr.review.proposing import Pointed, Proposing

LIMIT_S = 0.7
SHAPE, DISC = (500, 700), (230.0, 330.0, 70.0)


def main(bundle: Path, times: int = 10) -> int:
    """Print the seconds that outlines take; 1 where the usual one is slower than it may be."""
    with TemporaryDirectory() as work:
        folder = Path(work)
        discs: list[Disc] = [DISC]
        image = replace(axilla_record(1).images[0], root=work, paths={"bmode": "discs.png"}, rows=SHAPE[0],
                        columns=SHAPE[1], site=Site.TUMOUR, row_mm=0.08, col_mm=0.08)  # fmt: skip
        cv2.imwrite(str(folder / "discs.png"), disc_grey(SHAPE, discs, 3))
        row, col, radius = DISC
        ways = {
            "box": Pointed(((row - radius, col - radius), (row + radius, col + radius))),
            "click": Pointed(inside=(((row, col),),)),
            "likeliest": Pointed(),
        }
        slowest = 0.0
        with Proposing(bundle) as proposing:
            start = time.monotonic()
            proposing.warm()
            sys.stdout.write(f"start and warm-up: {time.monotonic() - start:.1f} s\n")
            for name, pointed in ways.items():
                taken = []
                for _ in range(times):
                    start = time.monotonic()
                    proposing.propose(image, pointed)
                    taken.append(time.monotonic() - start)
                sys.stdout.write(f"{name}: median {np.median(taken):.2f} s, slowest {max(taken):.2f} s\n")
                slowest = max(slowest, float(np.median(taken))) if name != "likeliest" else slowest
    return int(slowest > LIMIT_S)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *map(int, sys.argv[2:3])))
