"""The peritumoral ring: outside the lesion, within a margin in millimetres, inside the field of view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.types import ExclusionCode, Roi
from usdlr.imaging.image import BoolArray, require_same_grid, require_spacing
from usdlr.imaging.mask import LesionMask

DEFAULT_MARGIN_MM = 5.0


@dataclass(frozen=True)
class Ring:
    """A peritumoral region.

    Parameters
    ----------
    pixels : bool array, (rows, columns)
        True in the ring, on the image's grid.
    margin_mm : float
        Width of the full ring.
    lost_fraction : float
        Share of the full ring's area that lies outside the image or the field of view, 0 to 1.
    """

    pixels: BoolArray
    margin_mm: float
    lost_fraction: float


def peritumoral_ring(mask: LesionMask, margin_mm: float = DEFAULT_MARGIN_MM, fov: BoolArray | None = None) -> Ring:
    """Build the ring around a lesion.

    A pixel belongs to the ring when it is outside the mask and the Euclidean distance in millimetres from its centre
    to the nearest lesion pixel's centre is at most ``margin_mm``.

    Parameters
    ----------
    mask : LesionMask
        The lesion, with spacing; rows and columns may differ in size.
    margin_mm : float
        Width in mm.
    fov : bool array, (rows, columns), optional
        Field of view; the image's border always clips.

    Returns
    -------
    Ring

    Raises
    ------
    CaseError
        Without spacing, with a field of view of another size, or when nothing of the ring is left.
    ConfigError
        If the margin is not a positive number.
    """
    if not (np.isfinite(margin_mm) and margin_mm > 0):
        raise ConfigError(f"found a margin of {margin_mm} mm, expected a positive number")
    spacing = require_spacing(mask.spacing, f"a {margin_mm:g} mm ring")
    if fov is not None:
        require_same_grid(mask.shape, (fov.shape[0], fov.shape[1]), "field of view")

    # Work on the lesion's box widened by the margin. The box may reach beyond the image: what lies there is ring that
    # was never imaged, and counts as lost.
    reach = (int(margin_mm / spacing.row_mm) + 1, int(margin_mm / spacing.col_mm) + 1)
    row, col, rows, cols = mask.bounding_box()
    top, left = row - reach[0], col - reach[1]
    height, width = rows + 2 * reach[0], cols + 2 * reach[1]
    padded = np.zeros((height, width), dtype=bool)
    padded[reach[0] : reach[0] + rows, reach[1] : reach[1] + cols] = mask.pixels[row : row + rows, col : col + cols]
    distance = distance_transform_edt(~padded, sampling=spacing.as_tuple())
    # The sum of squares is rounded: a pixel exactly on the margin stays in.
    full = ~padded & (distance <= margin_mm * (1 + 1e-9))

    pixels = np.zeros(mask.shape, dtype=bool)
    inside = (
        slice(max(top, 0), min(top + height, mask.shape[0])),
        slice(max(left, 0), min(left + width, mask.shape[1])),
    )
    pixels[inside] = full[inside[0].start - top : inside[0].stop - top, inside[1].start - left : inside[1].stop - left]
    if fov is not None:
        pixels &= fov
    kept, whole = int(pixels.sum()), int(full.sum())
    if kept == 0:
        raise CaseError(
            ExclusionCode.ROI_TOO_SMALL,
            f"found no pixel of the {margin_mm:g} mm ring inside the field of view, expected some; "
            "the lesion fills the image: use another image of it",
        )
    return Ring(pixels=pixels, margin_mm=margin_mm, lost_fraction=1.0 - kept / whole)


def regions(mask: LesionMask, ring: Ring) -> dict[Roi, BoolArray]:
    """Every region of interest of one image, as bool arrays (rows, columns)."""
    return {
        Roi.INTRATUMORAL: mask.pixels,
        Roi.PERITUMORAL: ring.pixels,
        Roi.COMBINED: mask.pixels | ring.pixels,
    }
