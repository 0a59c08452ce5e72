"""Lengths relative to the lesion, for images whose millimetres nobody knows.

One unit is a fixed share of the lesion's equivalent diameter, the diameter of the disc of its area. Rings, crops and
pixels then grow with the lesion, and nothing says how large it is.
"""

from __future__ import annotations

import math

from usdlr.core.units import Spacing
from usdlr.imaging.image import require_spacing
from usdlr.imaging.mask import LesionMask


def equivalent_diameter(mask: LesionMask) -> float:
    """Diameter of the disc of a lesion's area, in the unit of its spacing.

    Raises
    ------
    CaseError
        If the mask has no spacing.

    Examples
    --------
    >>> import numpy as np
    >>> round(equivalent_diameter(LesionMask(np.ones((20, 10), dtype=bool), Spacing(0.5, 1.0))), 3)
    11.284
    """
    spacing = require_spacing(mask.spacing, "the lesion's equivalent diameter")
    return math.sqrt(4.0 * int(mask.pixels.sum()) * spacing.pixel_area_mm2 / math.pi)


def relative_spacing(mask: LesionMask, diameter: float) -> Spacing:
    """The spacing at which a lesion's equivalent diameter is ``diameter`` units.

    Parameters
    ----------
    mask : LesionMask
        The lesion. Where its spacing is known, the proportions of its pixels are kept; otherwise they count as square.
    diameter : float
        In units, above 0.

    Returns
    -------
    Spacing
        Units, not millimetres, per pixel.

    Examples
    --------
    >>> import numpy as np
    >>> pixels = np.ones((20, 10), dtype=bool)
    >>> unknown = relative_spacing(LesionMask(pixels, None), 20.0)
    >>> unknown.row_mm == unknown.col_mm, round(unknown.row_mm, 4)
    (True, 1.2533)
    >>> known = relative_spacing(LesionMask(pixels, Spacing(0.05, 0.1)), 20.0)
    >>> round(known.col_mm / known.row_mm, 12), round(equivalent_diameter(LesionMask(pixels, known)), 12)
    (2.0, 20.0)
    """
    known = mask.spacing or Spacing(1.0, 1.0)  # proportions alone count: the size of a pixel drops out
    scale = diameter / equivalent_diameter(LesionMask(mask.pixels, known, mask.source))
    return Spacing(known.row_mm * scale, known.col_mm * scale)
