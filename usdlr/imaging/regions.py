"""The regions of a lesion that a network may look at, and how far every pixel is from its contour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import distance_transform_edt

from usdlr.core.regions import CONTEXT, Region
from usdlr.core.types import Roi
from usdlr.imaging.image import BoolArray, FloatArray, require_same_grid
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.rings import Ring, peritumoral_ring


def region_masks(
    mask: LesionMask, regions: Sequence[Region], *, margin_mm: float, fov: BoolArray | None
) -> dict[str, BoolArray]:
    """Every region as a mask on the image's grid, by the region's name, in the order asked for.

    ``intratumoral`` is the lesion, ``peritumoral`` its ring inside the field of view, ``combined`` both, ``context``
    everything inside the field of view.

    Parameters
    ----------
    mask : LesionMask
        The lesion; its spacing is needed by regions with a margin.
    regions : sequence of Region
        Each distinct margin is measured once.
    margin_mm : float
        Margin of the regions that state none of their own.
    fov : bool array, (rows, columns), or None
        Field of view; ``None`` when it is the whole image.

    Returns
    -------
    dict of str to bool array, (rows, columns)

    Raises
    ------
    CaseError
        For a ring without spacing, a field of view of another size, or when nothing of a ring is left.
    ConfigError
        If a margin that is needed is not a positive number.

    Examples
    --------
    >>> from usdlr.core.units import Spacing
    >>> pixels = np.zeros((5, 5), dtype=bool)
    >>> pixels[2, 2] = True
    >>> names = ["peritumoral", "combined-2mm"]
    >>> lesion = LesionMask(pixels, Spacing(1.0, 2.0))
    >>> found = region_masks(lesion, [Region.named(name) for name in names], margin_mm=1.0, fov=None)
    >>> {name: int(region.sum()) for name, region in found.items()}
    {'peritumoral': 2, 'combined-2mm': 7}
    """
    if fov is not None:
        require_same_grid(mask.shape, (fov.shape[0], fov.shape[1]), "field of view")
    rings: dict[float, Ring] = {}

    def pixels_of(region: Region) -> BoolArray:
        if region.kind == Roi.INTRATUMORAL:
            return mask.pixels
        if region.kind == CONTEXT:
            return np.ones(mask.shape, dtype=bool) if fov is None else fov
        margin = margin_mm if region.margin_mm is None else region.margin_mm
        if margin not in rings:
            rings[margin] = peritumoral_ring(mask, margin, fov)
        ring = rings[margin].pixels
        return ring if region.kind == Roi.PERITUMORAL else mask.pixels | ring

    return {region.name: pixels_of(region) for region in regions}


def distance_map(lesion: BoolArray, pixel_mm: float) -> FloatArray:
    """Signed distance of every pixel's centre to the lesion's contour in mm, negative inside.

    The contour runs between lesion pixels and their neighbours, half a pixel from either's centre: no pixel is at 0,
    pixels on both sides of a straight edge are at plus and minus half a pixel, and the map of what is not lesion is
    the negative of the lesion's map. Where the contour is not in sight, because no pixel or every pixel is lesion, all
    are taken to be one diagonal of the array away from it.

    Parameters
    ----------
    lesion : bool array, (rows, columns)
        True inside the lesion.
    pixel_mm : float
        Side of the square pixels in mm, above 0.

    Returns
    -------
    float32 array, (rows, columns)

    Examples
    --------
    >>> distance_map(np.array([[False, False, True, True, True, True]]), 2.0)
    array([[ 3.,  1., -1., -3., -5., -7.]], dtype=float32)
    """
    if not (np.isfinite(pixel_mm) and pixel_mm > 0):
        raise ValueError(f"found pixels of {pixel_mm} mm, expected a positive number")
    if lesion.all() or not lesion.any():
        far = float(np.hypot(*lesion.shape)) * pixel_mm
        return np.where(lesion, -far, far).astype(np.float32)
    outside, inside = distance_transform_edt(~lesion), distance_transform_edt(lesion)
    signed = np.where(lesion, 0.5 - inside, outside - 0.5) * pixel_mm
    return np.asarray(signed, dtype=np.float32)
