"""How fast the simulator renders, and whether its memory depends on the cohort.

    OMP_NUM_THREADS=1 python experiments/benchmarks/simulate.py [--sets 40] [--rows 512 --cols 512] [--patients 40 160]

Renders image sets of the centre ``north`` on a grid of the given size on one core, with every file written, and prints
one JSON line: milliseconds per step (minimum and median over the sets) and image sets per second. Then simulates whole
cohorts of the given numbers of patients, each in a process of its own, and prints the peak resident memory of each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from usdlr.simulate.bmode import acquire_bmode
from usdlr.simulate.centres import CENTRES
from usdlr.simulate.elastogram import acquire_elastography
from usdlr.simulate.plan import ExportFormat, ImageSet, plan_cohort
from usdlr.simulate.reader import draw_contour
from usdlr.simulate.render import render
from usdlr.simulate.scenario import SCENARIOS
from usdlr.simulate.tissue import build_phantom

Result = TypeVar("Result")

COHORT = """
import resource, sys
from pathlib import Path
from usdlr.simulate.export import simulate
simulate(Path(sys.argv[1]), patients=int(sys.argv[2]), seed=1, centres=["north"], jobs=1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def timed(spent: list[float], work: Callable[[], Result]) -> Result:
    """The result of ``work``; its milliseconds are appended to ``spent``."""
    start = time.perf_counter()
    result = work()
    spent.append(1000 * (time.perf_counter() - start))
    return result


def steps(items: list[ImageSet]) -> dict[str, list[float]]:
    """Milliseconds of every step, and of rendering an image set as a whole with measurement and files."""
    spent: dict[str, list[float]] = {name: [] for name in ("phantom", "bmode", "elastography", "contour", "image_set")}
    for item in items:
        centre = item.centre
        shape = (centre.rows, centre.cols)
        phantom = timed(
            spent["phantom"], partial(build_phantom, item.latents, shape, item.spacing, item.random("tissue"))
        )
        timed(spent["bmode"], partial(acquire_bmode, phantom, centre, item.random("bmode")))
        timed(spent["elastography"], partial(acquire_elastography, phantom, centre, item.random("swe")))
        timed(spent["contour"], partial(draw_contour, phantom, centre.readers[0], item.random("reader")))
        timed(spent["image_set"], partial(render, item))
    return spent


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=40)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--cols", type=int, default=512)
    parser.add_argument("--format", choices=[str(name) for name in ExportFormat], default="png")
    parser.add_argument("--patients", type=int, nargs="*", default=[40, 160])
    options = parser.parse_args()
    cv2.setNumThreads(1)
    north = CENTRES["north"]
    # Every patient with elastography, one view, one lesion, one reader: an image set is the same work each time.
    plain = replace(
        north,
        rows=options.rows,
        cols=options.cols,
        shown_depth=(1.0, 1.0),
        second_view_rate=0.0,
        second_lesion_rate=0.0,
        second_reader_rate=0.0,
        elastography=replace(north.elastography, missing_rate=0.0),
    )
    with tempfile.TemporaryDirectory() as scratch:
        export = ExportFormat(options.format)
        plan = plan_cohort(Path(scratch), [plain], options.sets, 1, SCENARIOS["default"], export)
        spent = steps(list(plan.image_sets))
    whole = spent["image_set"]
    print(
        json.dumps(
            {
                "rows": options.rows,
                "cols": options.cols,
                "format": options.format,
                "image_sets": len(whole),
                "ms": {
                    name: {"min": round(min(values), 1), "median": round(float(np.median(values)), 1)}
                    for name, values in spent.items()
                },
                "image_sets_per_second": round(1000 * len(whole) / sum(whole), 2),
                "image_sets_per_second_best": round(1000 / min(whole), 2),
            }
        )
    )
    for patients in options.patients:
        with tempfile.TemporaryDirectory() as scratch:
            words = [sys.executable, "-c", COHORT, f"{scratch}/cohort", str(patients)]
            found = subprocess.run(words, capture_output=True, text=True, check=True)
        print(json.dumps({"patients": patients, "peak_mib": int(found.stdout.split()[-1])}))


if __name__ == "__main__":
    main()
