"""Shape of a region in the plane, by marching squares between pixel centres: PyRadiomics' names and values."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from usdlr.core.units import Spacing

SHAPE2D = (
    "Elongation", "MajorAxisLength", "MaximumDiameter", "MeshSurface", "MinorAxisLength", "Perimeter",
    "PerimeterSurfaceRatio", "PixelSurface", "Sphericity",
)  # fmt: skip

# Of the square between four pixel centres, by which of them lie inside (1 up left, 2 up right, 4 down right,
# 8 down left): the part that is inside, and how many diagonal, horizontal and vertical pieces of contour cross it.
# Two opposite corners count as two corners apart.
_INSIDE = np.array([0, 1, 1, 4, 1, 2, 4, 7, 1, 4, 2, 7, 4, 7, 7, 8]) / 8
_DIAGONALS = np.array([0, 1, 1, 0, 1, 2, 0, 1, 1, 0, 2, 1, 0, 1, 1, 0])
_HORIZONTALS = np.array([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0])
_VERTICALS = np.array([0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0])


def shape2d(inside: npt.NDArray[np.bool_], spacing: Spacing) -> npt.NDArray[np.float64]:
    """Shape features, in the order of :data:`SHAPE2D`.

    Parameters
    ----------
    inside : bool array, (rows, columns)
        The region, at least one pixel.
    spacing : Spacing
        Of the region.

    Returns
    -------
    float64 array, (9,)
        Lengths in mm, areas in mm².
    """
    rows, cols = np.nonzero(inside)
    mask = np.pad(inside[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1], 1).astype(np.uint8)
    kinds = np.bincount(
        (mask[:-1, :-1] | mask[:-1, 1:] << 1 | mask[1:, 1:] << 2 | mask[1:, :-1] << 3).ravel(), minlength=16
    )
    row_mm, col_mm = spacing.row_mm, spacing.col_mm
    surface = float(kinds @ _INSIDE) * row_mm * col_mm
    perimeter = (
        float(kinds @ _DIAGONALS) * sqrt(row_mm**2 + col_mm**2) / 2
        + float(kinds @ _HORIZONTALS) * col_mm
        + float(kinds @ _VERTICALS) * row_mm
    )
    # Step by step as PyRadiomics, so that the rounding of a region without a width is the same too.
    points = np.argwhere(mask) * np.array([row_mm, col_mm])
    points -= points.mean(axis=0)
    points /= np.sqrt(len(points))
    minor, major = np.sort(np.maximum(np.linalg.eigvals(np.dot(points.T.copy(), points)).real, 0.0))
    return np.array(
        [
            sqrt(minor / major) if major > 0 else np.nan,
            4 * sqrt(major),
            _diameter(mask, row_mm, col_mm),
            surface,
            4 * sqrt(minor),
            perimeter,
            perimeter / surface,
            len(rows) * row_mm * col_mm,
            2 * sqrt(pi * surface) / perimeter,
        ]
    )


def _diameter(mask: npt.NDArray[np.uint8], row_mm: float, col_mm: float) -> float:
    """Largest distance between two crossings of the contour, which lie midway between pixel centres."""
    down, across = np.nonzero(mask[1:] != mask[:-1]), np.nonzero(mask[:, 1:] != mask[:, :-1])
    points = np.concatenate(
        [
            np.column_stack([(down[0] + 0.5) * row_mm, down[1] * col_mm]),
            np.column_stack([across[0] * row_mm, (across[1] + 0.5) * col_mm]),
        ]
    )
    return float(pdist(points[ConvexHull(points).vertices]).max())
