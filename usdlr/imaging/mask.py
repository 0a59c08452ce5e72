"""The lesion's contour as a mask, and its measures in millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode, MaskSource
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray, require_spacing

# A breast lesion outside this range means a wrong unit or a wrong mask, not an unusual patient.
PLAUSIBLE_MM = (1.0, 150.0)


@dataclass(frozen=True)
class LesionMask:
    """A lesion on its image's grid.

    Parameters
    ----------
    pixels : bool array, (rows, columns)
        True inside the lesion; never empty.
    spacing : Spacing or None
        The image's spacing.
    source : MaskSource
        Who drew it.

    Raises
    ------
    CaseError
        If no pixel is set.
    """

    pixels: BoolArray
    spacing: Spacing | None
    source: MaskSource = MaskSource.READER

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2:
            raise ValueError(f"found a mask with shape {self.pixels.shape}, expected (rows, columns)")
        if not self.pixels.any():
            raise CaseError(
                ExclusionCode.MASK_EMPTY,
                "found a mask without a single pixel, expected the lesion's outline filled; draw it again",
            )

    @property
    def shape(self) -> tuple[int, int]:
        """``(rows, columns)``."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def bounding_box(self) -> tuple[int, int, int, int]:
        """``(row, column, rows, columns)`` of the smallest box that holds every lesion pixel."""
        row_hits = np.flatnonzero(self.pixels.any(axis=1))
        col_hits = np.flatnonzero(self.pixels.any(axis=0))
        return (
            int(row_hits[0]),
            int(col_hits[0]),
            int(row_hits[-1] - row_hits[0] + 1),
            int(col_hits[-1] - col_hits[0] + 1),
        )


@dataclass(frozen=True)
class LesionSize:
    """Measures of one lesion.

    Parameters
    ----------
    box_height_mm, box_width_mm : float
        Sides of the bounding box, along rows and along columns.
    longest_diameter_mm : float
        Largest distance between two corners of lesion pixels (maximum Feret diameter).
    area_mm2 : float
        Area of the lesion's pixels.
    """

    box_height_mm: float
    box_width_mm: float
    longest_diameter_mm: float
    area_mm2: float

    @property
    def longest_side_mm(self) -> float:
        """Longer side of the bounding box."""
        return max(self.box_height_mm, self.box_width_mm)


def measure(mask: LesionMask) -> LesionSize:
    """Measure a lesion in millimetres.

    Raises
    ------
    CaseError
        If the mask has no spacing.

    Examples
    --------
    >>> pixels = np.zeros((10, 10), dtype=bool)
    >>> pixels[2:5, 2:6] = True
    >>> measure(LesionMask(pixels, Spacing(1.0, 1.0))).longest_diameter_mm
    5.0
    """
    spacing = require_spacing(mask.spacing, "the lesion's size")
    _, _, rows, cols = mask.bounding_box()
    return LesionSize(
        box_height_mm=rows * spacing.row_mm,
        box_width_mm=cols * spacing.col_mm,
        longest_diameter_mm=float(pdist(hull_corners(mask)).max()),
        area_mm2=float(mask.pixels.sum()) * spacing.pixel_area_mm2,
    )


def require_plausible(size: LesionSize) -> None:
    """Refuse a lesion whose size betrays a wrong spacing.

    Raises
    ------
    CaseError
        With the code ``spacing_absurd``.
    """
    low, high = PLAUSIBLE_MM
    if not low <= size.longest_side_mm <= high:
        raise CaseError(
            ExclusionCode.SPACING_ABSURD,
            f"found a lesion {size.longest_side_mm:.2f} mm long, expected {low:g} to {high:g} mm; "
            "check the unit of the spacing (centimetres read as millimetres are ten times too small)",
        )


def hull_corners(mask: LesionMask) -> npt.NDArray[np.float64]:
    """The pixel corners of a lesion that its diameters are measured between.

    Parameters
    ----------
    mask : LesionMask
        The lesion, with spacing.

    Returns
    -------
    float64 array, (corners, 2)
        Row and column in mm, those of the convex hull; the outer corner of the image's first pixel is at (0, 0).

    Raises
    ------
    CaseError
        If the mask has no spacing.

    Examples
    --------
    >>> pixels = np.zeros((4, 4), dtype=bool)
    >>> pixels[1, 1:3] = True
    >>> sorted(map(tuple, hull_corners(LesionMask(pixels, Spacing(0.5, 1.0))).tolist()))
    [(0.5, 1.0), (0.5, 3.0), (1.0, 1.0), (1.0, 3.0)]
    """
    spacing = require_spacing(mask.spacing, "the lesion's size")
    pixels = mask.pixels
    # The farthest pair of corners lies on the convex hull; only a row's first and last pixel can reach it.
    row_hits = np.flatnonzero(pixels.any(axis=1))
    first = pixels[row_hits].argmax(axis=1)
    last = pixels.shape[1] - pixels[row_hits][:, ::-1].argmax(axis=1)
    corners = np.concatenate(
        [np.column_stack([row_hits + edge, side]) for edge in (0, 1) for side in (first, last)]
    ) * np.array(spacing.as_tuple())
    try:
        return np.asarray(corners[ConvexHull(corners).vertices])
    except QhullError:  # cannot happen for pixels with an area, but corners may round to a line
        return np.asarray(np.unique(corners, axis=0))
