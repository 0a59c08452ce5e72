"""A square window on an image, as a network sees it: where it lies, what is in it, and the way back.

Everything is measured in columns of the image, so that an image without millimetres has windows too; where the rows
are known to be closer together or farther apart than the columns, the window undoes it, and a circle in the body is
one in the window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from usdlr.imaging.image import BoolArray, FloatArray

# A window that shows an image this much smaller is averaged first: interpolation alone would skip pixels.
SHRINK = 1.5
# What a window shows around a box: this many times its longer side.
AROUND = 1.6


@dataclass(frozen=True)
class Window:
    """Where a window lies.

    Parameters
    ----------
    row, col : float
        Its middle, in pixels of the image; the outer corner of the first pixel is at (0, 0).
    side : float
        Its side in columns of the image.
    aspect : float
        Height of an image pixel divided by its width.
    angle_deg : float
        How far the image is turned in it.
    stretch : float
        Its width is stretched by this factor, its height left alone.
    flip : bool
        Left to right.
    """

    row: float
    col: float
    side: float
    aspect: float = 1.0
    angle_deg: float = 0.0
    stretch: float = 1.0
    flip: bool = False

    @classmethod
    def whole(cls, shape: tuple[int, int], aspect: float = 1.0) -> Window:
        """The window that just holds an image of (rows, columns).

        Examples
        --------
        >>> Window.whole((100, 200)).side
        200.0
        """
        rows, cols = shape
        return cls(rows / 2, cols / 2, float(max(rows * aspect, cols)), aspect)

    @classmethod
    def around(cls, box: tuple[float, float, float, float], aspect: float = 1.0, *, wider: float = AROUND) -> Window:
        """The window around a box ``(row, column, rows, columns)``, ``wider`` times its longer side.

        Examples
        --------
        >>> Window.around((10, 20, 10, 5)).row, Window.around((10, 20, 10, 5)).side
        (15.0, 16.0)
        """
        row, col, rows, cols = box
        return cls(row + rows / 2, col + cols / 2, float(max(rows * aspect, cols, 1.0)) * wider, aspect)

    def matrix(self, size_px: int) -> npt.NDArray[np.float64]:
        """The affine map from image to window of ``size_px``, (2, 3): of (column, row) between pixel centres."""
        scale = size_px / self.side
        turn = math.radians(self.angle_deg)
        across = self.stretch * (-1.0 if self.flip else 1.0)
        linear = scale * np.array(
            [
                [across * math.cos(turn), -across * math.sin(turn) * self.aspect],
                [math.sin(turn), math.cos(turn) * self.aspect],
            ]
        )
        middle = np.array([self.col - 0.5, self.row - 0.5])
        shift = np.full(2, size_px / 2 - 0.5) - linear @ middle
        return np.column_stack([linear, shift])


def look(pixels: npt.NDArray[Any], window: Window, size_px: int) -> FloatArray:
    """What is in the window, (size, size): averaged where it shrinks, interpolated otherwise, 0 outside the image."""
    matrix = window.matrix(size_px)
    source = np.asarray(pixels, dtype=np.float32 if pixels.dtype == np.float64 else pixels.dtype)
    if source.dtype == np.bool_:
        source = source.astype(np.float32)
    factor = window.side / size_px
    if factor > SHRINK:
        rows, cols = max(round(source.shape[0] / factor), 1), max(round(source.shape[1] / factor), 1)
        down, right = source.shape[0] / rows, source.shape[1] / cols
        source = cv2.resize(source, (cols, rows), interpolation=cv2.INTER_AREA)
        # From centres of the small pixels to those of the image's own, then into the window.
        up = np.array([[right, 0.0, right / 2 - 0.5], [0.0, down, down / 2 - 0.5], [0.0, 0.0, 1.0]])
        matrix = matrix @ up
    return np.asarray(cv2.warpAffine(source.astype(np.float32), matrix, (size_px, size_px), flags=cv2.INTER_LINEAR))


def paste(values: FloatArray, window: Window, shape: tuple[int, int]) -> FloatArray:
    """A window's values on the image's grid, (rows, columns); 0 where the window does not reach."""
    matrix = window.matrix(values.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    pasted = cv2.warpAffine(np.asarray(values, dtype=np.float32), matrix, shape[::-1], flags=flags)
    return np.asarray(pasted, dtype=np.float32)


def reach(window: Window, shape: tuple[int, int]) -> BoolArray:
    """Which pixels of an image of (rows, columns) have their centre in an unturned window."""
    rows = np.abs(np.arange(shape[0]) + 0.5 - window.row) * window.aspect <= window.side / 2
    cols = np.abs(np.arange(shape[1]) + 0.5 - window.col) <= window.side / (2 * window.stretch)
    return np.asarray(rows[:, None] & cols[None, :])


def grey_share(pixels: FloatArray, valid: BoolArray | None = None) -> npt.NDArray[np.uint8]:
    """A B-mode image as a network sees it: grey levels, 0 outside the field of view and where there is no value."""
    known = np.isfinite(pixels) if valid is None else np.isfinite(pixels) & valid
    return np.where(known, np.clip(np.rint(np.nan_to_num(pixels)), 0, 255), 0).astype(np.uint8)
