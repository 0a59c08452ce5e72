"""The field of view: the scan sector without rulers, logos, grey bars, text and black borders."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np

from usdlr.imaging.fov_evidence import CLEAR, Byte, background_level, core_of, evidence_of, local_span, remove_plain
from usdlr.imaging.fov_sector import SLANTED, Sector, fit_sector
from usdlr.imaging.image import BoolArray

# An image with more pixels is looked at in every second, third, ... row and column.
MAX_DETAIL = 1_600_000
# Share of the evidence that a fitted sector must hold.
MIN_HELD = 0.97
# Speckle that may lie beyond one edge, as a share of the evidence.
MAX_BEYOND = 0.01
# Side of the smallest image to look at, in pixels.
SMALLEST = 32
# Share of plain pixels in a screen that cannot be all sector.
MOSTLY = 0.6
# Ripples of compression, relative to the contrast nearby.
RIPPLE = 0.12
# Two fits of one edge differ by fewer pixels; ripples of compression reach this far.
SAME, BLOCK = 2.5, 16
# Share of the pixels beside the sector that are exactly background in a frame without compression.
EXACT = 0.9


class FovShape(StrEnum):
    """Outline of the scan sector."""

    LINEAR = "linear"
    CURVED = "curved"
    TRAPEZOID = "trapezoid"
    FULL = "full"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class FieldOfView:
    """Where a frame shows echoes.

    Parameters
    ----------
    pixels : bool array, (rows, columns)
        True inside the scan sector, shadows and anechoic parts included.
    shape : FovShape
        ``full``: the whole image (or box) is sector; ``unknown``: nothing was recognised.
    certain : bool
        False when no clear outline was found; ``pixels`` is then the whole image, or the whole box.
    coverage : float
        Share of the image inside.
    """

    pixels: BoolArray
    shape: FovShape
    certain: bool
    coverage: float


def detect_fov(pixels: Byte, box: tuple[int, int, int, int] | None = None) -> FieldOfView:
    """Field of view of a B-mode frame: a rectangle, a trapezoid or an annular sector fitted to where echoes end.

    Parameters
    ----------
    pixels : uint8 array, (rows, columns) or (rows, columns, 3)
        Grey, or red, green, blue.
    box : tuple of int or None
        ``(row, column, rows, columns)`` of the rectangle in which the sector lies, e.g. a DICOM region.

    Returns
    -------
    FieldOfView
        Parts that are merely black (cysts, shadows, a depth without echoes) stay inside, since a shape is fitted. When
        no shape agrees with the evidence, everything counts as field of view and ``certain`` is False: a ruler inside
        harms less than tissue outside.

    Raises
    ------
    ValueError
        If the array or the box has no such shape.
    """
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise ValueError(f"found {pixels.dtype} of shape {pixels.shape}, expected 8-bit grey or red, green, blue")
    rows, cols = pixels.shape[:2]
    row, col, height, width = box if box is not None else (0, 0, rows, cols)
    if not (0 <= row < row + height <= rows and 0 <= col < col + width <= cols):
        raise ValueError(f"found the box {box}, expected it inside {rows} x {cols} pixels")
    part = slice(row, row + height), slice(col, col + width)
    thin = math.ceil(math.sqrt(height * width / MAX_DETAIL))
    inside, shape, certain = _detect(np.ascontiguousarray(pixels[part][::thin, ::thin]))
    whole = np.zeros((rows, cols), dtype=bool)
    whole[part] = inside.repeat(thin, axis=0).repeat(thin, axis=1)[:height, :width]
    return FieldOfView(whole, shape, certain, float(whole.mean()))


def _detect(pixels: Byte) -> tuple[BoolArray, FovShape, bool]:
    # Compression smears colours over 16 pixels, but not luma.
    luma = pixels if pixels.ndim == 2 else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    shape = (luma.shape[0], luma.shape[1])
    everything = np.ones(shape, dtype=bool)
    if min(shape) < SMALLEST:
        return everything, FovShape.UNKNOWN, False
    frame = _against_background(luma)
    if frame is None:
        return everything, FovShape.FULL, True
    span, difference = frame
    # Compression spreads ripples of a few percent of the contrast around every edge.
    ripples = cv2.dilate(difference, np.ones((15, 15), np.uint8)) * np.float32(RIPPLE)
    sector = _fit(luma, span, (difference >= CLEAR) & (difference >= ripples))
    bare = sector is not None and not sector.edges()
    if sector is None or bare or _exact(difference, sector):
        # The darkest blue is an echo, and has no luma.
        brightest = luma if pixels.ndim == 2 else pixels.max(axis=2)
        finest = _against_background(brightest)
        faint = None if finest is None else _fit(brightest, finest[0], finest[1] >= 1)
        if faint is not None and (sector is None or (faint.sure() if bare else not _rippled(sector, faint))):
            sector = faint
    # A screen that is mostly plain shows a sector somewhere; not to have found its edges is no finding.
    if sector is None or (not sector.edges() and float((difference < CLEAR).mean()) > MOSTLY):
        return everything, FovShape.UNKNOWN, False
    return sector.pixels(shape), _shape(sector), True


def _against_background(grey: Byte) -> tuple[Byte, Byte] | None:
    """Local span and difference from the background, banners cleared; None where there is no background."""
    span = local_span(grey)
    background = background_level(grey, span)
    if background is None:
        return None
    difference = np.asarray(cv2.absdiff(grey, np.full_like(grey, background)), dtype=np.uint8)
    remove_plain(span, difference)
    return span, difference


def _exact(difference: Byte, sector: Sector) -> bool:
    """Whether the background begins right beside the sector: then the faintest echo counts, down to one grey level."""
    rows, cols = difference.shape
    beside = []
    for edge, outward in ((sector.left, -1), (sector.right, 1)):
        if edge is not None:
            at = np.arange(np.ceil(edge.span[0]), np.floor(edge.span[1])).astype(int)
            for step in (4, 6, 8):
                column = np.floor(edge.position(at + 0.5) + outward * step).astype(int)
                valid = (column >= 0) & (column < cols) & (at < rows)
                beside.append(difference[at[valid], column[valid]])
    values = np.concatenate(beside) if beside else np.zeros(0, np.uint8)
    return values.size > 30 and float((values == 0).mean()) > EXACT


def _rippled(clear: Sector, faint: Sector) -> bool:
    """Whether edges of the faint sector lie a little further out: those are ripples of compression, not echoes."""
    for a, b in ((clear.left, faint.left), (clear.right, faint.right), (clear.top, faint.top)):
        if a is not None and b is not None and a.straight == b.straight:
            ends = np.array(a.span)
            apart = float(np.abs(a.position(ends) - b.position(ends)).max())
            if SAME < apart <= BLOCK:
                return True
    return False


def _fit(grey: Byte, span: Byte, echo: BoolArray) -> Sector | None:
    """The sector, or None when no shape agrees with the evidence."""
    core = core_of(echo, span)
    if core is None:
        return None
    evidence = evidence_of(grey, echo, core)
    sector = fit_sector(evidence, grey, echo & ~core)
    shape, total = (grey.shape[0], grey.shape[1]), int(evidence.sum())
    # An edge through the middle of speckle is none, however straight. A grey bar does not vary along its rows.
    speckle = evidence & core
    speckle[:, 1:] &= cv2.absdiff(grey[:, 1:], grey[:, :-1]) >= 2
    for name in ("left", "right", "top", "bottom"):
        alone = Sector(**{name: getattr(sector, name)})
        if alone.edges() and (speckle & ~alone.pixels(shape)).sum() > MAX_BEYOND * total:
            return None
    return sector if (evidence & sector.pixels(shape)).sum() >= MIN_HELD * total else None


def _shape(sector: Sector) -> FovShape:
    if not sector.edges():
        return FovShape.FULL
    if not any(side is not None and abs(side.slope) > SLANTED for side in (sector.left, sector.right)):
        return FovShape.LINEAR
    return FovShape.CURVED if sector.top is not None and not sector.top.straight else FovShape.TRAPEZOID
