"""Outlines between a mask and a screen: closed polygons of pixels, what a reader may draw, and calipers.

A point is ``(row, column)`` in pixels, the centre of the first pixel at (0, 0). A pixel belongs to an outline when its
centre lies inside or on it. What an outline encloses is lesion: holes of a mask are left out, and a line that crosses
itself (a hand that overshoots its start, a loop) encloses all of its parts, as does the overlap of two outlines. An
outline drawn for a breast lesion has no holes, and leaving out the inside of a small loop would cut the lesion.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import pdist, squareform

from usdlr.core.errors import CaseError, DataError
from usdlr.core.types import ExclusionCode, MaskSource
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray, require_spacing
from usdlr.imaging.mask import LesionMask, hull_corners, measure, require_plausible
from usdlr.review.records import Point

Outlines = tuple[tuple[Point, ...], ...]
MOST_OUTLINES: Final = 8
MOST_POINTS: Final = 5000
"""Of all outlines of an image together."""
# No image has as many pixels on a side: a larger coordinate is an error or an attack.
FARTHEST: Final = 1e6


def outlines_of(pixels: BoolArray) -> Outlines:
    """The closed outlines of a mask, through the centres of its border pixels; the largest first.

    Parameters
    ----------
    pixels : bool array, (rows, columns)
        The mask; it may be empty.

    Returns
    -------
    tuple of tuple of Point
        One per connected part (diagonal neighbours are connected); a single pixel is one point. Holes are left out.

    Examples
    --------
    >>> pixels = np.zeros((5, 6), dtype=bool)
    >>> pixels[1:3, 2:5] = True
    >>> outlines_of(pixels)
    (((1.0, 2.0), (2.0, 2.0), (2.0, 4.0), (1.0, 4.0)),)
    """
    found, _ = cv2.findContours(pixels.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    ordered = sorted(found, key=lambda one: (-cv2.contourArea(one), *one[0, 0].tolist()))
    return tuple(tuple((float(row), float(col)) for col, row in one[:, 0].tolist()) for one in ordered)


def mask_of(outlines: Sequence[Sequence[Point]], shape: tuple[int, int]) -> BoolArray:
    """The pixels that outlines enclose; what lies beyond the grid is cut off.

    Parameters
    ----------
    outlines : sequence of sequence of Point
        Closed: the last point is joined to the first.
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    bool array, ``shape``

    Examples
    --------
    >>> mask_of([[(0.6, 0.6), (0.6, 3.2), (2.4, 3.2), (2.4, 0.6)]], (4, 5)).astype(int)
    array([[0, 0, 0, 0, 0],
           [0, 1, 1, 1, 0],
           [0, 1, 1, 1, 0],
           [0, 0, 0, 0, 0]])
    """
    out = np.zeros(shape, dtype=np.bool_)
    for outline in outlines:
        _fill(out, np.asarray(outline, dtype=np.float64).reshape(-1, 2))
    return out


def checked_outlines(raw: Iterable[Iterable[Iterable[Any]]]) -> Outlines:
    """Outlines that somebody sent, as numbers that can be trusted to be numbers.

    Parameters
    ----------
    raw : iterable of iterable of pairs
        Rows and columns in pixels.

    Raises
    ------
    DataError
        If there are none or too many, an outline has fewer than three points, or a point is no pair of finite numbers
        within a million pixels.

    Examples
    --------
    >>> checked_outlines([[(1, 2), (3, 4), (5, 0.5)]])
    (((1.0, 2.0), (3.0, 4.0), (5.0, 0.5)),)
    """
    out: list[tuple[Point, ...]] = []
    points = 0
    for outline in _listed(raw, "outlines", MOST_OUTLINES):
        kept = []
        for pair in _listed(outline, "points", MOST_POINTS - points):
            kept.append(_point(pair))
        points += len(kept)
        if len(set(kept)) < 3:
            raise DataError(f"found an outline of {len(kept)} points, expected at least 3 apart; draw it again")
        out.append(tuple(kept))
    if not out:
        raise DataError("found no outline, expected at least one; draw the lesion's contour")
    return tuple(out)


def drawn_mask(
    outlines: Sequence[Sequence[Point]], shape: tuple[int, int], spacing: Spacing | None, *, in_mm: bool = True
) -> LesionMask:
    """A reader's contour as a mask that can be measured.

    Parameters
    ----------
    outlines : sequence of sequence of Point
        From :func:`checked_outlines`.
    shape : tuple of int
        Rows and columns of the image.
    spacing : Spacing or None
        Of the image.
    in_mm : bool
        Whether the spacing counts millimetres, so that an implausible size is refused.

    Raises
    ------
    CaseError
        If no pixel of the image is inside, or the size is no breast lesion's.
    """
    pixels = mask_of(outlines, shape)
    if not pixels.any():
        raise CaseError(
            ExclusionCode.MASK_EMPTY,
            "found an outline that encloses no pixel of the image, expected the lesion; draw it on the image, not "
            "beside it",
        )
    mask = LesionMask(pixels, spacing, MaskSource.READER)
    if spacing is not None and in_mm:
        size = measure(mask)
        try:
            require_plausible(size)
        except CaseError as error:
            # The usual advice is about units, which were right for the contour before.
            raise CaseError(
                error.code,
                f"found an outline {size.longest_side_mm:.2f} mm long, expected that of a breast lesion, 1 to 150 mm; "
                "draw the whole lesion",
            ) from error
    return mask


def calipers(mask: LesionMask) -> tuple[tuple[Point, Point], tuple[Point, Point]]:
    """Where the longest diameter of a lesion is measured, and the extent across it.

    The first line joins the two corners of lesion pixels that are farthest apart in mm: its length is the
    ``longest_diameter_mm`` of :func:`usdlr.imaging.mask.measure`. The second stands at a right angle to it (in mm, not
    in pixels) and is as long as the lesion is wide in that direction (the Feret diameter across); it is drawn half-way
    between the places where the lesion is widest on either side.

    Parameters
    ----------
    mask : LesionMask
        The lesion, with spacing.

    Returns
    -------
    tuple of two pairs of Point
        Ends in pixels; a corner of a pixel is half a pixel from its centre.

    Raises
    ------
    CaseError
        If the mask has no spacing.

    Examples
    --------
    >>> pixels = np.zeros((10, 10), dtype=bool)
    >>> pixels[2:5, 2:8] = True
    >>> [round(length_mm(line, Spacing(1.0, 1.0)), 3) for line in calipers(LesionMask(pixels, Spacing(1.0, 1.0)))]
    [6.708, 5.367]
    """
    spacing = require_spacing(mask.spacing, "calipers")
    corners = hull_corners(mask)
    first, second = np.unravel_index(int(squareform(pdist(corners)).argmax()), (len(corners), len(corners)))
    start, end = corners[first], corners[second]
    along = (end - start) / math.hypot(*(end - start))
    across = np.array([-along[1], along[0]])
    beside, ahead = (corners - start) @ across, (corners - start) @ along
    low, high = int(beside.argmin()), int(beside.argmax())
    middle = start + along * (ahead[low] + ahead[high]) / 2
    return (
        (_pixel(start, spacing), _pixel(end, spacing)),
        (_pixel(middle + across * beside[low], spacing), _pixel(middle + across * beside[high], spacing)),
    )


def length_mm(line: Sequence[Point], spacing: Spacing) -> float:
    """Length of a line of two points in pixels, in mm.

    Examples
    --------
    >>> length_mm(((0.0, 0.0), (3.0, 2.0)), Spacing(1.0, 2.0))
    5.0
    """
    (top, left), (bottom, right) = line
    return math.hypot((bottom - top) * spacing.row_mm, (right - left) * spacing.col_mm)


def _pixel(corner: npt.NDArray[np.float64], spacing: Spacing) -> Point:
    """A corner in mm as a place among pixel centres."""
    return float(corner[0] / spacing.row_mm - 0.5), float(corner[1] / spacing.col_mm - 0.5)


def _listed(raw: Any, what: str, most: int) -> list[Any]:
    """The items of a list that somebody sent, no more than may be."""
    if isinstance(raw, str | bytes | Mapping) or not isinstance(raw, Iterable):
        raise DataError(f"found {what} that are no list, expected a list; send the contour again")
    out: list[Any] = []
    for item in raw:
        if len(out) == most:
            limit = MOST_OUTLINES if what == "outlines" else MOST_POINTS
            raise DataError(f"found more than {limit} {what}, expected at most {limit}; draw a simpler contour")
        out.append(item)
    return out


def _point(raw: Any) -> Point:
    pair = list(raw) if isinstance(raw, list | tuple) else []
    good = len(pair) == 2 and all(isinstance(one, int | float) and not isinstance(one, bool) for one in pair)
    if not good or not all(abs(one) <= FARTHEST for one in pair):  # not-a-number is not below it
        raise DataError("found a point that is no pair of numbers near the image, expected row and column in pixels")
    return float(pair[0]), float(pair[1])


def _fill(out: BoolArray, points: npt.NDArray[np.float64]) -> None:
    """Set the pixels whose centre one closed line encloses, or lies on."""
    rows, cols = out.shape
    ends = np.roll(points, -1, axis=0)
    (top, left), (bottom, right) = points.T, ends.T
    down = np.where(bottom > top, 1, -1)
    low, high = np.minimum(top, bottom), np.maximum(top, bottom)
    first, last = max(math.ceil(low.min()), 0), min(math.floor(high.max()), rows - 1)
    for row in range(first, last + 1):
        crosses = np.flatnonzero((low <= row) & (row < high))
        at = left[crosses] + (row - top[crosses]) * (right - left)[crosses] / (bottom - top)[crosses]
        order = at.argsort(kind="stable")
        turns = np.cumsum(down[crosses][order])
        at = at[order]
        for start, end, turn in zip(at[:-1], at[1:], turns[:-1], strict=True):
            if turn:
                out[row, max(math.ceil(start), 0) : max(math.floor(end) + 1, 0)] = True
    # A line's lowest points and its level parts lie on it, and no row above crosses there.
    for (row, col), (below, beside) in zip(points.tolist(), ends.tolist(), strict=True):
        if row == below and row == int(row) and 0 <= row < rows:
            out[int(row), max(math.ceil(min(col, beside)), 0) : max(math.floor(max(col, beside)) + 1, 0)] = True
        elif row == int(row) and col == int(col) and 0 <= row < rows and 0 <= col < cols:
            out[int(row), int(col)] = True
