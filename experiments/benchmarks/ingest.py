"""How fast a second ingest is, and how much memory a large one takes.

    python experiments/benchmarks/ingest.py --images 1000 [--rows 480 --cols 640] [--jobs 2]

Writes synthetic exports in the manifest layout into a temporary folder, ingests them twice and prints one JSON line:
seconds of the first and the second ingest, their ratio, and the largest resident memory of this process and of any
worker.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from usdlr.ingest.pipeline import ingest


def write_export(folder: Path, images: int, shape: tuple[int, int]) -> None:
    """Speckle images with an elliptic lesion, no two alike."""
    rng = np.random.default_rng(0)
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    lesion = ((rows - shape[0] / 2) / (shape[0] / 6)) ** 2 + ((cols - shape[1] / 2) / (shape[1] / 6)) ** 2 <= 1
    mask = np.where(lesion, 255, 0).astype(np.uint8)
    folder.mkdir(parents=True)
    with (folder / "manifest.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["centre_id", "patient_id", "image_id", "bmode_file", "mask_file", "row_mm", "col_mm"])
        for number in range(images):
            # Another anatomy each: coarse layers under fresh speckle.
            layers = cv2.resize(rng.normal(0, 0.5, (6, 5)), shape[::-1], interpolation=cv2.INTER_CUBIC)
            picture = rng.rayleigh(40.0, shape) * np.exp(layers) * np.where(lesion, 0.5, 1.0)
            cv2.imwrite(str(folder / f"b{number}.png"), np.clip(picture, 0, 255).astype(np.uint8))
            cv2.imwrite(str(folder / f"m{number}.png"), mask)
            writer.writerow(["bench", f"p{number}", f"case{number}", f"b{number}.png", f"m{number}.png", 0.08, 0.08])


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=480)
    parser.add_argument("--cols", type=int, default=640)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        source, out = Path(scratch) / "source", Path(scratch) / "out"
        write_export(source, options.images, (options.rows, options.cols))
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            result = ingest(source, "manifest", out, jobs=options.jobs)
            seconds.append(time.perf_counter() - start)
    memory = {
        name: round(resource.getrusage(who).ru_maxrss / 2**10)
        for name, who in (("process_mib", resource.RUSAGE_SELF), ("largest_worker_mib", resource.RUSAGE_CHILDREN))
    }
    report = {"cases": len(result.cases), "first_s": round(seconds[0], 2), "second_s": round(seconds[1], 2)}
    print(json.dumps(report | {"ratio": round(seconds[0] / seconds[1], 1)} | memory))


if __name__ == "__main__":
    main()
