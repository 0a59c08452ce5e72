"""What a scale relative to the lesion does to features: two become constants and are left out, the others lose size.

At ``spacing_source = lesion_relative`` every lesion has the same area by construction. What is left to measure:

========================================================  ==========================================================
left out: fixed by the scale                              ``shape2D``: ``MeshSurface``, ``PixelSurface``
form alone, no longer size and form in one                ``shape2D``: ``Perimeter``, ``PerimeterSurfaceRatio``,
                                                          ``MaximumDiameter``, ``MajorAxisLength``,
                                                          ``MinorAxisLength``
sums over pixels, no longer counting the lesion's size    ``firstorder``: ``Energy``, ``TotalEnergy``; every
                                                          ``...NonUniformity`` that is not normalised
                                                          (``glrlm glszm gldm``); ``ngtdm``: ``Busyness``,
                                                          ``Coarseness``
texture per share of the lesion instead of per mm         every texture class, ``Wavelet``, ``LoG``, ``Gradient``
as at any scale                                           ``shape2D``: ``Sphericity``, ``SphericalDisproportion``,
                                                          ``Elongation``; ``firstorder`` but the energies
========================================================  ==========================================================

All of this needs one pixel for every lesion: on the image's own grid (``pixel_mm = null``) the number of pixels still
tells the lesion's size in the picture, and the configuration of an experiment refuses that pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usdlr.core.types import SpacingSource
from usdlr.radiomics.settings import SHAPE

# By construction the same for every lesion, up to the rounding of its outline to pixels.
FIXED_BY_SCALE = (f"{SHAPE}.MeshSurface", f"{SHAPE}.PixelSurface")


def is_relative(row: Mapping[str, Any]) -> bool:
    """Whether a row of ``cases`` states lengths relative to its lesion."""
    return str(row.get("spacing_source")) == str(SpacingSource.LESION_RELATIVE)


def without_fixed(measured: Mapping[str, Any]) -> dict[str, Any]:
    """A row of ``features`` without what the relative scale fixes, and with the reason.

    Examples
    --------
    >>> row = {"image_id": "a", "reason": None, "bmode.intratumoral.original.shape2D.PixelSurface": 314.2}
    >>> sorted(without_fixed(row))
    ['image_id', 'reason']
    """
    kept = {name: value for name, value in measured.items() if not name.endswith(FIXED_BY_SCALE)}
    if len(kept) < len(measured):
        names = ", ".join(FIXED_BY_SCALE)
        reason = f"{names} left out: the scale is relative to the lesion, which gives every lesion the same area"
        kept["reason"] = f"{kept['reason']}; {reason}" if kept.get("reason") else reason
    return kept
