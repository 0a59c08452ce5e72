r"""Closed outlines as DICOM structured reports and presentation states write them.

Coordinates are (column, row) pairs from the outer corner of the first pixel: its centre is 0.5\\\\0.5.

References
----------
DICOM PS3.3, C.18.6.1 (spatial coordinates) and C.10.5.1 (graphic annotation).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from usdlr.ingest.annotations.contour import Drawn, Part, Shape, unreadable
from usdlr.ingest.annotations.raster import FloatPoints, fill_ellipse, fill_polygon
from usdlr.ingest.annotations.values import flat_pairs
from usdlr.ingest.readers.dicom_file import value_of

# Axes of an ellipse that do not halve each other at right angles, within this share of its size, are damaged.
TOLERANCE = 0.02
LINE = 2


def is_mark(kind: str | None, points: FloatPoints) -> bool:
    """Whether a graphic marks a place or a distance, and cannot be an outline."""
    return kind in ("POINT", "MULTIPOINT") or (kind in ("POLYLINE", "INTERPOLATED") and len(points) <= LINE)


def points_of(item: Any) -> FloatPoints:
    """The points of GraphicData; none when it is absent.

    Returns
    -------
    float array, (points, 2)
        As (x, y).
    """
    data = value_of(item, "GraphicData")
    if data is None:
        return np.empty((0, 2))
    return flat_pairs([float(value) for value in data] if not isinstance(data, float | int) else [data])


def outline(kind: str | None, points: FloatPoints) -> Part:
    """What draws a POLYLINE that ends where it begins, a CIRCLE or an ELLIPSE; anything else is refused when drawn."""

    def draw(shape: Shape) -> Drawn:
        if kind == "POLYLINE":
            if len(points) < 1 or not np.array_equal(points[0], points[-1]):
                raise unreadable(f"an open line of {len(points)} points", "one that ends where it begins", "close it")
            return fill_polygon(points[:-1], shape)
        if kind == "CIRCLE" and len(points) == 2:
            radius = math.dist(points[0], points[1])
            return fill_ellipse((float(points[0, 0]), float(points[0, 1])), (radius, radius), 0.0, shape)
        if kind == "ELLIPSE" and len(points) == 4:
            return _ellipse(points, shape)
        raise unreadable(
            "a graphic that is no polygon, circle or ellipse, or with the wrong number of points",
            "a closed POLYLINE, CIRCLE or ELLIPSE",
            "draw the outline as a polygon",
        )

    return draw


def _ellipse(points: FloatPoints, shape: Shape) -> Drawn:
    major, minor = points[1] - points[0], points[3] - points[2]
    centres = (points[0] + points[1]) / 2, (points[2] + points[3]) / 2
    a, b = math.hypot(*major) / 2, math.hypot(*minor) / 2
    apart = math.dist(*centres)
    skew = abs(float(major @ minor)) / max(math.hypot(*major) * math.hypot(*minor), 1e-12)
    # Written so that not-a-number fails.
    if not (apart <= max(TOLERANCE * a, 0.5) and skew <= TOLERANCE):
        raise unreadable("an ellipse whose axes do not halve each other at right angles", "one", "draw it again")
    return fill_ellipse((float(centres[0][0]), float(centres[0][1])), (a, b), math.atan2(major[1], major[0]), shape)
