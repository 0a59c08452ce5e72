"""The part of an image that a step needs to look at."""

from __future__ import annotations

import math

import cv2
import numpy as np

from usdlr.core.units import Spacing
from usdlr.simulate.acquired import Flags


def window_around(lesion: Flags, spacing: Spacing, margin_mm: float) -> tuple[slice, slice]:
    """Rows and columns of the lesion's bounding box and ``margin_mm`` around it, cut at the image's border.

    Parameters
    ----------
    lesion : ndarray of bool, shape (rows, cols)
        At least one pixel is true.
    spacing : Spacing
        Millimetres per pixel.
    margin_mm : float
        At least this much on each side, up to the next whole pixel.

    Examples
    --------
    >>> lesion = np.zeros((9, 9), dtype=bool)
    >>> lesion[4:6, 1:3] = True
    >>> window_around(lesion, Spacing(1.0, 0.5), 2.0)
    (slice(2, 8, None), slice(0, 7, None))
    """
    left, top, width, height = cv2.boundingRect(lesion.astype(np.uint8))
    # Rounded first: 7.0 / 0.1 is not to become 71 pixels.
    down, across = (math.ceil(round(margin_mm / pixel, 6)) for pixel in spacing.as_tuple())
    return (
        slice(max(top - down, 0), min(top + height + down, lesion.shape[0])),
        slice(max(left - across, 0), min(left + width + across, lesion.shape[1])),
    )
