"""Shapes of known area, and references to files; the truth of these tests."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from usdlr.ingest.source import MaskRef

SHAPE = (120, 160)
CENTRE = (70.3, 55.8)  # x, y
RADIUS = 31.0


def circle(points: int = 400) -> npt.NDArray[np.float64]:
    """Corners of a circle as (x, y)."""
    turn = np.linspace(0, 2 * math.pi, points, endpoint=False)
    return np.column_stack([CENTRE[0] + RADIUS * np.cos(turn), CENTRE[1] + RADIUS * np.sin(turn)])


def disc() -> npt.NDArray[np.bool_]:
    """Pixels whose centres lie in that circle, when pixel (0, 0) covers 0 to 1."""
    rows, cols = np.indices(SHAPE)
    return np.asarray((cols + 0.5 - CENTRE[0]) ** 2 + (rows + 0.5 - CENTRE[1]) ** 2 <= RADIUS**2)


def square(row: int = 20, col: int = 40, rows: int = 30, cols: int = 50) -> npt.NDArray[np.bool_]:
    """A rectangle of pixels."""
    pixels = np.zeros(SHAPE, dtype=np.bool_)
    pixels[row : row + rows, col : col + cols] = True
    return pixels


def ref(path: Path, label: str | None = None, image: str | None = None, frame: int | None = None) -> MaskRef:
    """A reference to a file."""
    return MaskRef(path, label=label, image_name=image, frame=frame)


def overlap(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float((one & other).sum() / (one | other).sum())
