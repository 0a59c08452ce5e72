"""What a reader points at: a box, and strokes inside and outside the lesion."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from usdlr.core.errors import ConfigError
from usdlr.imaging.image import BoolArray, FloatArray
from usdlr.imaging.window import Window

# Row and column in image pixels; the outer corner of the first pixel is at (0, 0).
Point = tuple[float, float]
Stroke = tuple[Point, ...]
# Radius of a stroke in pixels of a window: what a network is shown.
BRUSH_PX = 4
# What a stroke decides by itself, as a share of the image's longer side: about the width of the drawn line.
BRUSH_SHARE = 0.006


@dataclass(frozen=True)
class Prompt:
    """What a reader points at.

    Parameters
    ----------
    box : tuple of float, or None
        ``(row, column, rows, columns)`` in image pixels.
    inside, outside : tuple of strokes
        Lines drawn inside and outside the lesion; a click is a stroke of one point.

    Raises
    ------
    ConfigError
        If nothing is given, the box is empty, or a number is not finite.
    """

    box: tuple[float, float, float, float] | None = None
    inside: tuple[Stroke, ...] = ()
    outside: tuple[Stroke, ...] = ()

    def __post_init__(self) -> None:
        if self.box is None and not any(self.inside):
            raise ConfigError("found a prompt without a box and without a point inside, expected one of them; add it")
        numbers = [*(self.box or ())] + [
            number for stroke in (*self.inside, *self.outside) for point in stroke for number in point
        ]
        if not np.isfinite(numbers).all():
            raise ConfigError("found a prompt with a number that is not finite, expected pixels of the image")
        if self.box is not None and min(self.box[2:]) < 1:
            raise ConfigError(
                f"found a box of {self.box[2]:g} x {self.box[3]:g} pixels, expected at least 1 x 1; draw it larger"
            )

    def require_on(self, shape: tuple[int, int]) -> None:
        """Refuse a prompt that misses the image of (rows, columns).

        Raises
        ------
        ConfigError
            If the box does not meet the image, or a point lies outside it.
        """
        rows, cols = shape
        if self.box is not None:
            row, col, height, width = self.box
            if row >= rows or col >= cols or row + height <= 0 or col + width <= 0:
                raise ConfigError(f"found a box beside the image of {rows} x {cols} pixels, expected it on the image")
        for stroke in (*self.inside, *self.outside):
            for row, col in stroke:
                if not (0 <= row <= rows and 0 <= col <= cols):
                    raise ConfigError(
                        f"found a point at row {row:g}, column {col:g}, expected it on the image of {rows} x {cols}"
                    )

    def maps(self, window: Window, size_px: int) -> FloatArray:
        """The prompt as a network sees it in a window, (3, size, size): box, inside, outside; 0 or 1."""
        out = np.zeros((3, size_px, size_px), dtype=np.float32)
        matrix = window.matrix(size_px)
        if self.box is not None:
            row, col, rows, cols = self.box
            corners = np.array([[col, row], [col + cols, row], [col + cols, row + rows], [col, row + rows]]) - 0.5
            cv2.fillConvexPoly(out[0], np.rint(corners @ matrix[:, :2].T + matrix[:, 2]).astype(np.int32), 1.0)
        for channel, strokes in ((1, self.inside), (2, self.outside)):
            for stroke in strokes:
                points = _points(stroke)
                _stroke(out[channel], points @ matrix[:, :2].T + matrix[:, 2], BRUSH_PX)
        return out

    def decided(self, shape: tuple[int, int]) -> tuple[BoolArray, BoolArray]:
        """Pixels of an image of (rows, columns) that the strokes settle: inside, and outside where both cross."""
        brush = brush_px(shape)
        found = []
        for strokes in (self.inside, self.outside):
            drawn = np.zeros(shape, dtype=np.float32)
            for stroke in strokes:
                _stroke(drawn, _points(stroke), brush)
            found.append(drawn > 0)
        return found[0] & ~found[1], found[1]


def brush_px(shape: tuple[int, int]) -> int:
    """Half the width of a stroke on an image of (rows, columns), in its pixels."""
    return max(round(BRUSH_SHARE * max(shape)), 1)


def _points(stroke: Stroke) -> npt.NDArray[np.float64]:
    """A stroke as column and row between pixel centres, (points, 2); a stroke may have no point."""
    return np.array([[col, row] for row, col in stroke], dtype=np.float64).reshape(-1, 2) - 0.5


def _stroke(target: FloatArray, points: npt.NDArray[np.float64], radius: int) -> None:
    """Draw a line of round ends, (points, 2) as column and row."""
    whole = np.rint(points).astype(np.int32)
    for start, end in pairwise(whole):
        cv2.line(target, tuple(map(int, start)), tuple(map(int, end)), 1.0, 2 * radius + 1)
    for point in whole:
        cv2.circle(target, tuple(map(int, point)), radius, 1.0, -1)
