"""Slices of NIfTI and NRRD files: two-dimensional images, and single slices of volumes.

Both formats store the x axis first. Pixels come out as (row, column) = (y, x), in the order in which the file stores
them: what the header says about directions in space turns nothing. An image and its mask with the same geometry,
written by any program, hence come out on one grid. Directions are checked instead: the first axis has to run along the
header's x and the second along its y, both forwards or both backwards (the latter is how ITK's left-posterior system
looks in NIfTI). A file whose axes are swapped, mirrored or oblique is refused: its rows are no rows of the picture.

Integers become 8 bits where no value of the slice exceeds 255, else 16, since neither format says how many bits carry
values; floating-point and scaled values stay numbers (stiffness).

A spacing of exactly 1 x 1 is no calibration: it is what every writer puts there when it knows none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import CaseError
from usdlr.core.units import Spacing
from usdlr.ingest.readers.bounded import RefusedFile

MM_PER_UNIT = {
    "mm": 1.0,
    "millimeter": 1.0,
    "millimetre": 1.0,
    "millimeters": 1.0,
    "cm": 10.0,
    "m": 1000.0,
    "meter": 1000.0,
    "um": 0.001,
    "micron": 0.001,
    "microns": 0.001,
    "µm": 0.001,
}
ALIGNED = 1e-3


@dataclass(frozen=True)
class Layout:
    """Where the slices of a file are.

    Parameters
    ----------
    cols, rows, frames : int
        Sizes of the first, second and all further axes.
    channels : int
        Values per pixel, which vary fastest.
    dtype : numpy dtype
        Of one value, with its byte order.
    """

    cols: int
    rows: int
    frames: int
    channels: int
    dtype: np.dtype[Any]

    @property
    def slice_bytes(self) -> int:
        """Bytes of one slice."""
        return self.rows * self.cols * self.channels * self.dtype.itemsize

    def pixels(self, raw: bytes) -> npt.NDArray[Any]:
        """The slice as (row, column) or (row, column, channel): channels vary fastest, then columns."""
        if len(raw) < self.slice_bytes:
            raise RefusedFile(f"with {len(raw)} bytes of pixels", f"{self.slice_bytes}, as its header says")
        values = np.frombuffer(raw, self.dtype, self.rows * self.cols * self.channels)
        shape = (self.rows, self.cols) if self.channels == 1 else (self.rows, self.cols, self.channels)
        return values.reshape(shape)


def require_straight(directions: npt.NDArray[np.float64], kind: str) -> None:
    """Refuse axes that are swapped, mirrored or oblique in the plane of the first two directions of space.

    Parameters
    ----------
    directions : array, (2, 2)
        Columns: a step along x and along y.
    """
    scale = np.abs(directions).max()
    if not np.isfinite(scale) or scale == 0:
        raise RefusedFile(f"with damaged {kind} directions", "one vector per axis")
    across = max(abs(directions[0, 1]), abs(directions[1, 0]))
    along_x, along_y = directions[0, 0], directions[1, 1]
    if across > ALIGNED * scale or along_x * along_y <= 0:
        raise RefusedFile(
            f"with {kind} axes that are swapped, mirrored or oblique",
            "columns along x and rows along y",
            "save image and contour in the picture's own order, without a transformation",
        )


def spacing_mm(pair: list[float], mm_per_unit: float | None) -> Spacing | None:
    """(x, y) in the file's unit as (row, column) in mm; ``None`` where that would be a guess."""
    x, y = (abs(part) for part in pair)
    if mm_per_unit is None or (x, y) == (1.0, 1.0):
        return None
    try:
        return Spacing(y * mm_per_unit, x * mm_per_unit)
    except CaseError:
        return None


def narrow(pixels: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], int]:
    """8 or 16 bits for integers, float32 for other numbers; and the bits that carry values."""
    if pixels.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(pixels, dtype=np.float32), 16
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high > 65535:
        raise RefusedFile(f"with integers from {low} to {high}", "0 to 65535", "save it as floating-point numbers")
    return (pixels.astype(np.uint8), 8) if high <= 255 else (pixels.astype(np.uint16), 16)
