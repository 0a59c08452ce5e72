"""Images and masks on a common physical grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray, FloatArray


@dataclass(frozen=True)
class Box:
    """A box of an image.

    Parameters
    ----------
    row, col : int
        First row and column; may be negative (outside the image).
    rows, cols : int
        Size in image pixels.
    """

    row: int
    col: int
    rows: int
    cols: int


@dataclass(frozen=True)
class Grid:
    """A box of an image and the size it is resampled to: the record from which it can be cut again.

    Parameters
    ----------
    box : Box
        The box in image pixels.
    rows, cols : int
        Size of the resampled array.
    spacing : Spacing
        Of the resampled array: the box's true extent divided by its size.
    """

    box: Box
    rows: int
    cols: int
    spacing: Spacing

    @classmethod
    def of(cls, box: Box, spacing: Spacing, rows: int, cols: int) -> Grid:
        """The grid of ``rows`` x ``cols`` over a box of an image with ``spacing``."""
        return cls(box, rows, cols, Spacing(spacing.row_mm * box.rows / rows, spacing.col_mm * box.cols / cols))


def grid_around(roi: BoolArray, spacing: Spacing, pixel_mm: float | None, pad_mm: float) -> Grid:
    """The grid that covers a region and a margin around it, with pixels of ``pixel_mm``.

    Parameters
    ----------
    roi : bool array, (rows, columns)
        Region to cover; not empty.
    spacing : Spacing
        Of the image.
    pixel_mm : float or None
        Side of the new pixels in mm; ``None`` keeps the image's own.
    pad_mm : float
        Margin around the region's bounding box in mm, clipped at the image's border.
    """
    row_hits, col_hits = np.flatnonzero(roi.any(axis=1)), np.flatnonzero(roi.any(axis=0))
    pad_rows, pad_cols = round(pad_mm / spacing.row_mm), round(pad_mm / spacing.col_mm)
    top, left = max(int(row_hits[0]) - pad_rows, 0), max(int(col_hits[0]) - pad_cols, 0)
    bottom = min(int(row_hits[-1]) + 1 + pad_rows, roi.shape[0])
    right = min(int(col_hits[-1]) + 1 + pad_cols, roi.shape[1])
    box = Box(top, left, bottom - top, right - left)
    if pixel_mm is None:
        return Grid(box, box.rows, box.cols, spacing)
    rows, cols = round(box.rows * spacing.row_mm / pixel_mm), round(box.cols * spacing.col_mm / pixel_mm)
    return Grid.of(box, spacing, max(rows, 1), max(cols, 1))


def cut(pixels: npt.NDArray[Any], box: Box, fill: float) -> npt.NDArray[Any]:
    """The box at image resolution, (box.rows, box.cols); what lies outside the image becomes ``fill``."""
    out = np.full((box.rows, box.cols), fill, dtype=pixels.dtype)
    top, left = max(box.row, 0), max(box.col, 0)
    bottom, right = min(box.row + box.rows, pixels.shape[0]), min(box.col + box.cols, pixels.shape[1])
    if top < bottom and left < right:
        target = (slice(top - box.row, bottom - box.row), slice(left - box.col, right - box.col))
        out[target] = pixels[top:bottom, left:right]
    return out


def resample_image(pixels: FloatArray, grid: Grid) -> FloatArray:
    """An image on the grid, (grid.rows, grid.cols); NaN where less than half of a new pixel has a value."""
    patch = cut(pixels, grid.box, float("nan"))
    # Normalised convolution: only pixels with a value count, so an edge does not bleed into the map.
    valid = np.isfinite(patch)
    weight = _resize(valid.astype(np.float64), grid)
    total = _resize(np.where(valid, patch, 0.0).astype(np.float64), grid)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(weight >= 0.5, total / weight, np.nan).astype(np.float32)


def resample_mask(pixels: BoolArray, grid: Grid) -> BoolArray:
    """A mask on the grid: True where it covers at least half of a new pixel."""
    return _resize(cut(pixels, grid.box, 0).astype(np.float64), grid) >= 0.5


def _resize(patch: npt.NDArray[np.float64], grid: Grid) -> npt.NDArray[np.float64]:
    # In double precision: rounded to single at the end, a plateau stays one. In single precision its last digits would
    # differ from pixel to pixel, and a texture would be made of rounding.
    # Area averaging keeps speckle from aliasing where pixels grow. One side at a time: between anisotropic pixels and
    # square ones, one side can shrink while the other grows, and cv2 averages only when both shrink.
    for rows, cols in ((grid.rows, patch.shape[1]), (grid.rows, grid.cols)):
        if patch.shape != (rows, cols):
            shrinks = patch.shape[0] >= rows and patch.shape[1] >= cols
            method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            patch = np.asarray(cv2.resize(patch, (cols, rows), interpolation=method), dtype=np.float64)
    return patch
