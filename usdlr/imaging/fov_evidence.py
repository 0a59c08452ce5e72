"""Where a frame shows echoes at all: against its plain background, without banners, bars, text and rulers."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from usdlr.imaging.image import BoolArray

Byte = npt.NDArray[np.uint8]

# Difference from the background that counts as echo in any frame.
CLEAR = 5
# Flat pixels of the image's rim below this share: there is no background, the image is all tissue.
MIN_RIM = 0.03
# Brightest level of a background.
BRIGHTEST = 64
# Bright strokes on plain background, and how far compression spreads them.
STROKE = 70
STROKE_REACH = 9
PLAIN = 12
# Thickness, as a share of the image, and texture, as a share of the largest, of a further part of the sector.
THICK = 0.07
MIN_PART = 0.1
# Share of plain pixels in the rows of a banner, and in its margin; the share of the image's height that it may take.
BANNER = 0.4
MARGIN = 0.85
MAX_BANNER = 0.25


def local_span(grey: Byte) -> Byte:
    """Difference between the brightest and the darkest of each pixel's 3 x 3 neighbours."""
    kernel = np.ones((3, 3), np.uint8)
    return np.asarray(cv2.subtract(cv2.dilate(grey, kernel), cv2.erode(grey, kernel)), dtype=np.uint8)


def background_level(grey: Byte, span: Byte) -> int | None:
    """The level around the sector, or None when the image has no plain rim."""
    rim = _rim((grey.shape[0], grey.shape[1]))
    # Saturated skin is plain too, but nobody draws a sector on a bright screen.
    flat = grey[rim & (span <= 1) & (grey <= BRIGHTEST)]
    if flat.size < MIN_RIM * rim.sum():
        return None
    return int(np.bincount(flat, minlength=256).argmax())


def _rim(shape: tuple[int, int]) -> BoolArray:
    rim = np.ones(shape, dtype=bool)
    depth = max(3, round(0.015 * min(shape)))
    rim[depth:-depth, depth:-depth] = False
    return rim


def remove_plain(span: Byte, difference: Byte) -> None:
    """Clear plain boxes and banners with their letters; a sector that is one grey level above black stays."""
    kernel = np.ones((7, 7), np.uint8)
    calm = (span <= 2) & (difference > PLAIN)
    difference[cv2.morphologyEx(calm.astype(np.uint8), cv2.MORPH_OPEN, kernel) > 0] = 0
    # A banner spans the image at its upper or lower border, and one level fills most of some of its rows. Letters may
    # fill the others, but not the margin below them.
    share = calm.mean(axis=1)
    for rows in (slice(None), slice(None, None, -1)):
        filled = np.flatnonzero(share[rows][: round(MAX_BANNER * len(share))] > BANNER)
        if len(filled) and (filled[0] <= 2 or share[rows][filled[0]] > MARGIN):
            gaps = np.flatnonzero(np.diff(filled) > max(30, 0.06 * len(share)))
            end = int(filled[gaps[0]] if len(gaps) else filled[-1]) + 5
            # Its edge and the ripples of compression around it end where plain background begins.
            quiet = np.flatnonzero((difference[rows][end : end + 20] > CLEAR).mean(axis=1) < 0.02)
            difference[rows][: end + (int(quiet[0]) if len(quiet) else 0)] = 0
            below = difference[rows][end : end + 16]
            if len(quiet) and len(below) > 12 and (below[12:] > CLEAR).mean() < 0.1:
                below[:12] = 0


def core_of(echo: BoolArray, span: Byte) -> BoolArray | None:
    """The connected area that holds most texture, and others that are as thick as no bar or banner is."""
    share = cv2.boxFilter(echo.astype(np.float32), -1, (7, 7), borderType=cv2.BORDER_REPLICATE)
    dense = cv2.morphologyEx((share >= 0.6).astype(np.uint8), cv2.MORPH_OPEN, np.ones((7, 7), np.uint8))
    count, labels = cv2.connectedComponents(dense, connectivity=4)
    if count < 2:
        return None
    texture = np.bincount(labels.ravel(), weights=(span >= 3).ravel(), minlength=count)
    texture[0] = 0
    thick = max(25, round(THICK * min(echo.shape)))
    kept = cv2.erode(dense, np.ones((thick, thick), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0
    chosen = np.bincount(labels[kept], minlength=count) > 0
    chosen &= texture >= MIN_PART * texture.max()
    chosen[int(texture.argmax())] = True
    return np.asarray(chosen[labels])


def evidence_of(grey: Byte, echo: BoolArray, core: BoolArray) -> BoolArray:
    """Echo pixels of the core and the sparse faint ones that continue it; bright strokes beside it are graphics."""
    near_core = cv2.dilate(core.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    strokes = (echo & (grey > STROKE) & ~near_core).astype(np.uint8)
    reach = cv2.dilate(strokes, np.ones((STROKE_REACH, STROKE_REACH), np.uint8)) > 0
    weak = echo & (~reach | near_core)
    dense = cv2.boxFilter(weak.astype(np.float32), -1, (15, 15), borderType=cv2.BORDER_REPLICATE) > 0.04
    _, labels = cv2.connectedComponents((dense | core).astype(np.uint8), connectivity=4)
    joined = np.isin(labels, np.unique(labels[core])) & (labels > 0)
    return np.asarray(weak & joined)


def ruler_end(grey: Byte, others: BoolArray) -> float | None:
    """Row of the last tick of a depth ruler beside the sector: at least five marks in one column at one pitch."""
    bright = (others & (grey > STROKE)).astype(np.uint8)
    count, _, stats, centres = cv2.connectedComponentsWithStats(bright, connectivity=8)
    small = (stats[:, 2] >= 2) & (stats[:, 2] <= 20) & (stats[:, 3] <= 5) & (np.arange(count) > 0)
    best: tuple[int, float] | None = None
    for edge in (stats[:, 0], stats[:, 0] + stats[:, 2]):
        for column in np.unique(edge[small]):
            ticks = np.sort(centres[small & (np.abs(edge - column) <= 1), 1])
            if len(ticks) < 5:
                continue
            pitch = np.diff(ticks)
            steps = pitch / np.median(pitch)
            regular = np.abs(steps - np.rint(steps)) < 0.12
            if regular.mean() >= 0.8 and (best is None or len(ticks) > best[0]):
                best = len(ticks), float(ticks[-1]) + 0.5
    return None if best is None else best[1]
