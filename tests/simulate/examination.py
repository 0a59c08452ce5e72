"""A small examination made by hand: speckle-like noise, a dark ellipse, a stiffness map of known values."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from usdlr.core.types import ElastographyKind
from usdlr.core.units import Spacing
from usdlr.simulate.acquired import Acquired, Flags, Map
from usdlr.simulate.centres import Centre

HEIGHT_MM, WIDTH_MM = 10.0, 15.0
# Millimetres around the lesion in which stiffness is measured.
BOX_MM = 5.0


def ellipse(shape: tuple[int, int], spacing: Spacing, grown_mm: float = 0.0) -> Flags:
    """An ellipse of 10 x 15 mm a little left of the middle, tilted, grown on all sides."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    down = (rows - 0.42 * shape[0]) * spacing.row_mm
    across = (cols - 0.45 * shape[1]) * spacing.col_mm
    along, aside = across + 0.2 * down, down - 0.2 * across
    inside = (aside / (HEIGHT_MM / 2 + grown_mm)) ** 2 + (along / (WIDTH_MM / 2 + grown_mm)) ** 2 <= 1
    return np.asarray(inside)


def examination(
    centre: Centre, seed: int, kind: ElastographyKind | None, shape: tuple[int, int] | None = None
) -> Acquired:
    """The pictures of one examination; the first contour is the true ellipse, the second a larger one.

    Shear-wave maps rise from 15 kPa to 75 % of the colour bar, with one spot 20 kPa beyond the bar's end; strain maps
    run from 0.15 to 0.85. A hole without values lies in the lesion, and a corner of the box is missing.
    """
    rng = np.random.default_rng(seed)
    spacing = centre.spacing
    size = (centre.rows, centre.cols) if shape is None else shape
    lesion = ellipse(size, spacing)
    noise = cv2.GaussianBlur(rng.normal(0, 1, size).astype(np.float32), (0, 0), sigmaX=1.4, sigmaY=0.9)
    level = np.where(cv2.GaussianBlur(lesion.astype(np.float32), (0, 0), 2.0) > 0.5, 42.0, 95.0)
    bmode = np.clip(np.rint(level + 18 * noise / noise.std()), 0, 170).astype(np.uint8)
    contours = {centre.readers[0].name: lesion, centre.readers[1].name: ellipse(size, spacing, 0.8)}
    acquired = Acquired(bmode, None, None, contours, lesion, spacing)
    if kind is None:
        return acquired
    return replace(acquired, elastogram=_stiffness(centre, size, kind), elasto_kind=kind)


def _stiffness(centre: Centre, size: tuple[int, int], kind: ElastographyKind) -> Map:
    spacing, bar = centre.spacing, centre.elastography.bar_kpa
    lesion = ellipse(size, spacing)
    rows, cols = np.flatnonzero(lesion.any(axis=1)), np.flatnonzero(lesion.any(axis=0))
    down, across = round(BOX_MM / spacing.row_mm), round(BOX_MM / spacing.col_mm)
    box = np.zeros(size, dtype=bool)
    box[max(rows[0] - down, 0) : rows[-1] + down, max(cols[0] - across, 0) : cols[-1] + across] = True
    blurred = cv2.GaussianBlur(lesion.astype(np.float32), (0, 0), 14.0)
    wave = np.sin(np.arange(size[1]) / 23.0)[None, :] * np.cos(np.arange(size[0]) / 31.0)[:, None]
    part = np.clip(0.1 + 0.8 * blurred + 0.08 * wave, 0, 1)
    values = 0.15 + 0.7 * part if kind is ElastographyKind.STRAIN else 15 + (0.75 * bar - 15) * part
    if kind is ElastographyKind.SWE:
        values[rows[0] + 4 : rows[0] + 24, cols[0] + 70 : cols[0] + 95] = bar + 20
    hole = np.zeros(size, dtype=bool)
    hole[rows[-1] - 30 : rows[-1] - 16, cols[0] + 40 : cols[0] + 58] = True
    hole[: rows[0], : cols[0]] = True
    return np.where(box & ~hole, values, np.nan).astype(np.float32)
