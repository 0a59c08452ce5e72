"""Two panes of one frame on one grid: calibrated translation, checked against the pixels.

A scanner draws the B-mode image and the elastography map side by side, at the same or another magnification. The
calibration says which pixels show the same tissue; the speckle, which shines through the colours, says whether that is
true.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.core.units import Spacing
from usdlr.imaging.image import FloatArray
from usdlr.imaging.stiffness import StiffnessMap

Box = tuple[int, int, int, int]
Point = tuple[float, float]

# A larger displacement moves the stiff rim out of the peritumoral ring: the map is not used.
MAX_SHIFT_MM = 1.0
# A smaller one than this is nothing to tell a reader.
NOTED_SHIFT_MM = 0.5
# Correlation of speckle above which two panes surely show the same tissue.
SURE_SCORE = 0.25
_SEARCH_MM = 8.0
_MIN_SIDE = 24


@dataclass(frozen=True)
class Pane:
    """One pane of a frame.

    Parameters
    ----------
    box : tuple of int
        ``(row, column, rows, columns)`` in pixels of the frame.
    spacing : Spacing or None
        Millimetres per pixel; ``None`` when the frame is not calibrated.
    reference : tuple of float or None
        ``(row, column)`` of the pane's physical reference point, in pixels of the frame; the panes' reference points
        show the same tissue. ``None``: the outer edge of the pane's first pixel.
    """

    box: Box
    spacing: Spacing | None
    reference: Point | None = None


@dataclass(frozen=True)
class Alignment:
    """Which pixel of the moving pane shows the tissue of a pixel of the fixed pane.

    ``moving = offset + scale * fixed``, for rows and for columns, in pixels from the centre of each pane's first.

    Parameters
    ----------
    row_scale, col_scale : float
        Moving pixels per fixed pixel.
    row_offset, col_offset : float
        In moving pixels.
    rows, cols : int
        Size of the fixed pane.
    """

    row_scale: float
    col_scale: float
    row_offset: float
    col_offset: float
    rows: int
    cols: int

    def apply(self, pixels: npt.NDArray[Any]) -> FloatArray:
        """A picture of the moving pane on the fixed grid, (rows, cols), float32; NaN where it has no value.

        Values are interpolated linearly between those neighbours that have one; whether a pixel has one is decided by
        the nearest pixel of the moving pane. Where the fixed grid is coarser, the moving pixels are averaged first.

        Parameters
        ----------
        pixels : array, (rows, columns)
            Of the moving pane; NaN where there is no value.
        """
        rows = self.row_offset + self.row_scale * np.arange(self.rows, dtype=np.float64)
        cols = self.col_offset + self.col_scale * np.arange(self.cols, dtype=np.float64)
        values = pixels.astype(np.float32)
        valid = np.isfinite(values)
        weight, total = valid.astype(np.float32), np.where(valid, values, np.float32(0))
        size = (_odd(self.col_scale), _odd(self.row_scale))
        if size != (1, 1):
            weight, total = _mean(weight, size), _mean(total, size)
        for axis, places in ((0, rows), (1, cols)):
            weight, total = _interpolate(weight, places, axis), _interpolate(total, places, axis)
        has = _nearest(_nearest(valid, rows, 0), cols, 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(has & (weight > 0), total / weight, np.nan).astype(np.float32)


@dataclass(frozen=True)
class Shift:
    """Displacement that the pixels show beyond the calibrated one.

    Parameters
    ----------
    row_mm, col_mm : float
        How far the moving pane's tissue lies below and to the right of where the calibration puts it.
    score : float
        Correlation of the speckle at the best displacement, -1 to 1.
    """

    row_mm: float
    col_mm: float
    score: float

    @property
    def distance_mm(self) -> float:
        """Length of the displacement."""
        return math.hypot(self.row_mm, self.col_mm)

    @property
    def sure(self) -> bool:
        """Whether the two panes show the same tissue clearly enough to measure by."""
        return self.score >= SURE_SCORE


def align_panes(moving: Pane, fixed: Pane) -> Alignment:
    """The calibrated translation from one pane's grid to another's.

    Parameters
    ----------
    moving, fixed : Pane
        The map's pane and the B-mode pane. Both reference points are used, or neither.

    Raises
    ------
    CaseError
        With the code ``elastography_unreadable``: only one pane is calibrated, or none is and their sizes differ.
    """
    _, _, rows, cols = fixed.box
    if moving.spacing is None or fixed.spacing is None:
        if moving.spacing is not fixed.spacing or moving.box[2:] != fixed.box[2:]:
            raise _unreadable(
                f"found a map's pane of {moving.box[2]} x {moving.box[3]} pixels and a B-mode pane of {rows} x {cols} "
                "without a common calibration, expected panes of one size or a spacing for both",
                "state the spacing in the source's table",
            )
        return Alignment(1.0, 1.0, 0.0, 0.0, rows, cols)
    scale = (fixed.spacing.row_mm / moving.spacing.row_mm, fixed.spacing.col_mm / moving.spacing.col_mm)
    if fixed.reference is None or moving.reference is None:
        # The panes' outer corners show the same tissue; a pixel's centre lies half a pixel inside.
        offset = (0.5 * scale[0] - 0.5, 0.5 * scale[1] - 0.5)
    else:
        inside_fixed = (fixed.reference[0] - fixed.box[0], fixed.reference[1] - fixed.box[1])
        inside_moving = (moving.reference[0] - moving.box[0], moving.reference[1] - moving.box[1])
        offset = (inside_moving[0] - scale[0] * inside_fixed[0], inside_moving[1] - scale[1] * inside_fixed[1])
    return Alignment(scale[0], scale[1], offset[0], offset[1], rows, cols)


def align(
    stiffness: StiffnessMap,
    map_box: Box,
    map_spacing: Spacing | None,
    fixed_box: Box,
    fixed_spacing: Spacing | None,
    *,
    map_reference: Point | None = None,
    fixed_reference: Point | None = None,
) -> StiffnessMap:
    """A stiffness map on the B-mode pane's grid, by calibrated translation.

    Parameters
    ----------
    stiffness : StiffnessMap
        On the grid of ``map_box``.
    map_box, fixed_box : tuple of int
        ``(row, column, rows, columns)`` of the map's and of the B-mode pane, in pixels of their frame.
    map_spacing, fixed_spacing : Spacing or None
        Of the panes.
    map_reference, fixed_reference : tuple of float or None
        Reference points of the panes; see :class:`Pane`.

    Returns
    -------
    StiffnessMap
        The shares of valid and saturated pixels stay those of the map as it was exported.

    Raises
    ------
    CaseError
        With the code ``elastography_unreadable``: no common calibration, a map of another size than its pane, or panes
        that show no common tissue.
    """
    if stiffness.values.shape != (map_box[2], map_box[3]):
        raise _unreadable(
            f"found a map of {stiffness.values.shape[0]} x {stiffness.values.shape[1]} pixels for a pane of "
            f"{map_box[2]} x {map_box[3]}, expected the same size",
            "correct the pane",
        )
    alignment = align_panes(Pane(map_box, map_spacing, map_reference), Pane(fixed_box, fixed_spacing, fixed_reference))
    values = alignment.apply(stiffness.values)
    if np.isfinite(stiffness.values).any() and not np.isfinite(values).any():
        raise _unreadable(
            "found a map that lies outside the B-mode pane, expected panes that show the same tissue",
            "correct the panes or their calibration",
        )
    return replace(stiffness, values=values)


def check_alignment(
    fixed_grey: npt.NDArray[Any], moving_grey: npt.NDArray[Any], spacing: Spacing, search_mm: float = _SEARCH_MM
) -> Shift:
    """How far the pixels disagree with the calibrated translation.

    Speckle and edges of the B-mode pane are looked for in the luma of the map's pane, which the colours change only
    slowly (normalised cross-correlation of high-passed grey, with its peak between pixels).

    Parameters
    ----------
    fixed_grey : array, (rows, columns)
        Grey levels of the B-mode pane.
    moving_grey : array, (rows, columns)
        Luma of the map's pane on the fixed grid (:meth:`Alignment.apply`); NaN where it has no value.
    spacing : Spacing
        Of the fixed grid.
    search_mm : float
        Largest displacement that is tried, in each direction.

    Returns
    -------
    Shift
        With a score of 0 where there is too little common area to compare, or no texture.
    """
    if fixed_grey.shape != moving_grey.shape:
        raise ValueError(f"found panes of {fixed_grey.shape} and {moving_grey.shape}, expected one grid")
    reach = (max(round(search_mm / spacing.row_mm), 2), max(round(search_mm / spacing.col_mm), 2))
    seen = np.isfinite(moving_grey)
    rows, cols = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if rows.size == 0:
        return Shift(0.0, 0.0, 0.0)
    if min(rows[-1] - rows[0], cols[-1] - cols[0]) + 1 < _MIN_SIDE:
        return Shift(0.0, 0.0, 0.0)
    texture = _texture(np.where(seen, moving_grey, np.float32(0)))
    # A border of half the filter's reach has the edge of what is seen in it.
    texture[~_erode(seen, 6)] = 0
    template = texture[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    padded = np.pad(_texture(fixed_grey), ((reach[0], reach[0]), (reach[1], reach[1])))
    image = padded[rows[0] : rows[-1] + 1 + 2 * reach[0], cols[0] : cols[-1] + 1 + 2 * reach[1]]
    if min(float(template.std()), float(image.std())) < 0.1:
        return Shift(0.0, 0.0, 0.0)
    match = cv2.matchTemplate(np.ascontiguousarray(image), np.ascontiguousarray(template), cv2.TM_CCOEFF_NORMED)
    scores = np.nan_to_num(np.asarray(match, dtype=np.float32), nan=-1.0, posinf=-1.0, neginf=-1.0)
    row, col = (int(index) for index in np.unravel_index(int(scores.argmax()), scores.shape))
    # The template was found at this place of the fixed pane; its own pixels lie that much the other way.
    down = reach[0] - row - _between(scores[:, col], row)
    right_by = reach[1] - col - _between(scores[row], col)
    return Shift(down * spacing.row_mm, right_by * spacing.col_mm, float(scores[row, col]))


def require_aligned(shift: Shift, limit_mm: float = MAX_SHIFT_MM) -> None:
    """Refuse panes that surely show the same tissue in another place than the calibration says.

    Raises
    ------
    CaseError
        With the code ``elastography_unreadable`` and both displacements.
    """
    if shift.sure and shift.distance_mm > limit_mm:
        raise _unreadable(
            f"found the map displaced by {shift.row_mm:+.2f} mm down and {shift.col_mm:+.2f} mm to the right "
            f"(correlation {shift.score:.2f}) against the calibrated 0 and 0 mm, expected at most {limit_mm:g} mm",
            "correct the panes or their calibration",
        )


def _mean(part: FloatArray, size: tuple[int, int]) -> FloatArray:
    return np.asarray(cv2.blur(part, size, borderType=cv2.BORDER_CONSTANT), dtype=np.float32)


def _odd(scale: float) -> int:
    """Width of the average that a coarser grid needs, in moving pixels."""
    return max(2 * round((scale - 1) / 2) + 1, 1)


def _interpolate(values: FloatArray, places: npt.NDArray[np.float64], axis: int) -> FloatArray:
    """Linear interpolation at places between pixel centres; outside the pane, zero beyond half a pixel."""
    last = values.shape[axis] - 1
    inside = (places >= -0.5) & (places <= last + 0.5)
    held = np.clip(places, 0, last)
    low = np.floor(held).astype(np.intp)
    part = (held - low).astype(np.float32)
    part = part[:, None] if axis == 0 else part[None, :]
    mixed = (1 - part) * values.take(low, axis) + part * values.take(np.minimum(low + 1, last), axis)
    return np.asarray(mixed * (inside[:, None] if axis == 0 else inside[None, :]), dtype=np.float32)


def _nearest(valid: npt.NDArray[np.bool_], places: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.bool_]:
    last = valid.shape[axis] - 1
    index = np.rint(places).astype(np.intp)
    inside = (places >= -0.5) & (places <= last + 0.5)
    taken = valid.take(np.clip(index, 0, last), axis)
    return np.asarray(taken & (inside[:, None] if axis == 0 else inside[None, :]))


def _erode(seen: npt.NDArray[np.bool_], radius: int) -> npt.NDArray[np.bool_]:
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), dtype=np.uint8)
    return np.asarray(cv2.erode(seen.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0)


def _texture(grey: npt.NDArray[Any]) -> FloatArray:
    """What changes within some pixels: speckle and edges, without echo level and colour."""
    values = grey.astype(np.float32)
    return np.asarray(cv2.GaussianBlur(values, (0, 0), 0.7) - cv2.GaussianBlur(values, (0, 0), 3.0), dtype=np.float32)


def _between(scores: npt.NDArray[np.floating[Any]], peak: int) -> float:
    """Place of the parabola's top through a peak and its neighbours, -0.5 to 0.5 pixels from the peak."""
    if peak in (0, len(scores) - 1):
        return 0.0
    before, top, after = (float(scores[peak + step]) for step in (-1, 0, 1))
    bend = before - 2 * top + after
    return 0.0 if bend >= 0 else float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5))


def _unreadable(found: str, mend: str) -> CaseError:
    return CaseError(ExclusionCode.ELASTOGRAPHY_UNREADABLE, f"{found}; {mend}")
