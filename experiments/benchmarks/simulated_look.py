"""How close simulated B-mode images come to real ones: two contact sheets to look at, and simple statistics.

    python experiments/benchmarks/simulated_look.py --real BrEaST-Lesions-USG --out sheets [--cases 24] [--seed 0]

Writes into ``--out``, which must lie outside the repository since the real images do not belong in it:

``side_by_side.png``
    Real images on the left, simulated ones on the right, all at one scale in millimetres per pixel where it is known.
``blind.png`` and ``blind_key.csv``
    The same images shuffled under numbers, and what each number is.
``statistics.json``
    Median and quartiles of each statistic over the real and over the simulated images. Lengths only where the spacing
    is known. The same table is printed.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usdlr.core.errors import CaseError
from usdlr.core.modalities import BMODE
from usdlr.core.units import Spacing
from usdlr.imaging.fov import detect_fov
from usdlr.imaging.intensity import grey_of
from usdlr.ingest.annotations.reading import read_contour
from usdlr.ingest.centres.breast_lesions_usg import BreastLesionsUsg
from usdlr.ingest.readers.reading import read_frame
from usdlr.simulate.bmode import acquire_bmode
from usdlr.simulate.centres import CENTRES
from usdlr.simulate.latents import LATENTS
from usdlr.simulate.tissue import build_phantom

Grey = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

RENDERED = ("north", "south", "west", "east")
TILE = (200, 240)
CAPTION = 26
LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True)
class Picture:
    """One B-mode image with its lesion; ``name`` is the public number of the case or the centre of a simulated one."""

    kind: str
    name: str
    grey: Grey
    lesion: Flags
    spacing: Spacing | None


def real_pictures(folder: Path, count: int, rng: np.random.Generator) -> list[Picture]:
    """``count`` images of BrEaST-Lesions-USG drawn at random, cut to the box around their scan sector."""
    rows = BreastLesionsUsg().rows(folder)
    pictures: list[Picture] = []
    for number in rng.permutation(len(rows)):
        row = rows[number]
        if len(pictures) == count:
            break
        if row.refusal is not None:
            continue
        try:
            frame = read_frame(row.files[BMODE])
            lesion = read_contour(row.masks[0], frame.shape).pixels
        except CaseError:
            continue  # parts of the set may be kept elsewhere
        grey, opaque = grey_of(frame.pixels, frame.bits)
        sector = opaque if opaque is not None else detect_fov(frame.pixels_8_bit()).pixels
        box = np.ix_(sector.any(axis=1), sector.any(axis=0))
        spacing = None if row.spacing_mm is None else Spacing(*row.spacing_mm)
        pictures.append(Picture("real", row.source_id, grey[box], lesion[box], spacing))
    return pictures


def simulated_pictures(count: int, rng: np.random.Generator) -> Iterator[Picture]:
    """``count`` lesions drawn from the latents' own distribution, over the centres in turn."""
    for number in range(count):
        centre = CENTRES[RENDERED[number % len(RENDERED)]]
        common = rng.standard_normal()
        latents = {}
        for name, latent in LATENTS.items():
            score = latent.loading * common + math.sqrt(1 - latent.loading**2) * rng.standard_normal()
            latents[name] = float(latent.value(np.array(score)))
        spacing = centre.spacing_for(latents["size_mm"])
        phantom = build_phantom(latents, centre.shape_for(latents["size_mm"], rng.uniform()), spacing, rng)
        yield Picture("simulated", centre.name, acquire_bmode(phantom, centre, rng), phantom.lesion, spacing)


def statistics(picture: Picture) -> dict[str, float]:
    """What a picture's greys are like, by name; lengths in mm only where the spacing is known."""
    grey = picture.grey.astype(np.float32)
    values = {f"grey quantile {level:g}": float(np.quantile(grey, level)) for level in LEVELS}
    values["share of pixels below grey 4"] = float((grey < 4).mean())
    values["share of pixels above grey 250"] = float((grey > 250).mean())
    lesion = picture.lesion.astype(np.uint8)
    reach = max(3, round(0.15 * math.sqrt(float(lesion.sum()))))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    ring = (cv2.dilate(lesion, disc) > 0) & ~picture.lesion
    values["grey in the lesion"] = float(grey[picture.lesion].mean())
    values["grey around minus in the lesion"] = float(grey[ring].mean() - grey[picture.lesion].mean())
    # Speckle: the spread about a local mean, where nothing is clipped.
    mean = cv2.GaussianBlur(grey, (0, 0), 4)
    spread = np.sqrt(np.maximum(cv2.GaussianBlur((grey - mean) ** 2, (0, 0), 4), 0))
    middle = (mean > 40) & (mean < 200)
    values["local spread in greys"] = float(np.median(spread[middle])) if middle.any() else math.nan
    values["large-scale spread in greys"] = float(cv2.GaussianBlur(grey, (0, 0), 12).std())
    if picture.spacing is not None:
        detail = np.where(middle, (grey - mean) / np.maximum(spread, 1), 0)
        for name, axis, pixel in (("axial", 0, picture.spacing.row_mm), ("lateral", 1, picture.spacing.col_mm)):
            values[f"{name} autocorrelation half-length in mm"] = pixel * _half_length(detail, axis)
        depth = np.arange(grey.shape[0]) * picture.spacing.row_mm
        for low, high in ((0, 3), (3, 8), (8, 15), (15, 25), (25, 40)):
            band = grey[(depth >= low) & (depth < high)]
            values[f"mean grey at {low}-{high} mm depth"] = float(band.mean()) if band.size else math.nan
        values["depth of the image in mm"] = float(depth[-1])
        values["width of the image in mm"] = grey.shape[1] * picture.spacing.col_mm
    return values


def _half_length(detail: npt.NDArray[np.floating], axis: int) -> float:
    """Lag in pixels at which the autocorrelation along ``axis`` falls to one half."""
    previous = 1.0
    power = float((detail * detail).mean())
    for lag in range(1, 30):
        near, far = (np.take(detail, np.arange(start, detail.shape[axis] - lag + start), axis) for start in (0, lag))
        now = float((near * far).mean()) / power
        if now < 0.5:
            return lag - 1 + (previous - 0.5) / (previous - now)
        previous = now
    return math.nan


def tile(picture: Picture, caption: str) -> Grey:
    """The picture in a box of fixed size, with a caption under it."""
    rows, cols = picture.grey.shape
    pixel = picture.spacing or Spacing(0.1, 0.1)
    height, width = rows * pixel.row_mm, cols * pixel.col_mm
    scale = min(TILE[0] / height, TILE[1] / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    canvas = np.zeros((TILE[0] + CAPTION, TILE[1]), np.uint8)
    left = (TILE[1] - size[0]) // 2
    canvas[: size[1], left : left + size[0]] = cv2.resize(picture.grey, size, interpolation=cv2.INTER_AREA)
    cv2.putText(canvas, caption, (4, TILE[0] + 17), cv2.FONT_HERSHEY_SIMPLEX, 0.42, 200, 1, cv2.LINE_AA)
    return canvas


def described(picture: Picture) -> str:
    """Kind, name and size in millimetres."""
    if picture.spacing is None:
        return f"{picture.kind} {picture.name}, no spacing"
    rows, cols = picture.grey.shape
    depth, width = rows * picture.spacing.row_mm, cols * picture.spacing.col_mm
    return f"{picture.kind} {picture.name}, {depth:.0f} x {width:.0f} mm"


def sheet(tiles: list[Grey], columns: int) -> Grey:
    """Tiles row by row."""
    blank = np.zeros_like(tiles[0])
    tiles = tiles + [blank] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)])


def main() -> None:
    """Parse the command line, render, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    real = real_pictures(options.real, options.cases, rng)
    simulated = list(simulated_pictures(options.cases, rng))
    options.out.mkdir(parents=True, exist_ok=True)

    halves = [sheet([tile(picture, described(picture)) for picture in group], 4) for group in (real, simulated)]
    gap = np.full((halves[0].shape[0], 12), 255, np.uint8)
    cv2.imwrite(str(options.out / "side_by_side.png"), np.hstack([halves[0], gap, halves[1]]))

    both = real + simulated
    shuffled = [both[index] for index in rng.permutation(len(both))]
    numbered = [tile(picture, str(number)) for number, picture in enumerate(shuffled, start=1)]
    cv2.imwrite(str(options.out / "blind.png"), sheet(numbered, 8))
    with (options.out / "blind_key.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["number", "kind", "name"])
        writer.writerows([number, picture.kind, picture.name] for number, picture in enumerate(shuffled, start=1))

    measured = [[statistics(picture) for picture in group] for group in (real, simulated)]
    report = {
        name: [[round(float(q), 3) for q in np.nanquantile([v.get(name, np.nan) for v in group], (0.25, 0.5, 0.75))]
               for group in measured]
        for name in measured[0][0] | measured[1][0]
    }  # fmt: skip
    named = {name: {"real": real_, "simulated": simulated_} for name, (real_, simulated_) in report.items()}
    (options.out / "statistics.json").write_text(json.dumps(named, indent=1) + "\n")
    print(f"{'lower quartile, median, upper quartile':42} {'real':>26} {'simulated':>26}")
    for name, groups in report.items():
        print(f"{name:42}", *(" ".join(f"{value:8.2f}" for value in group) for group in groups))


if __name__ == "__main__":
    main()
