"""The scale on which a ring is drawn: millimetres, or units that are a share of the lesion and change with it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from usdlr.core.errors import InputError
from usdlr.core.types import SpacingSource
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.relative import equivalent_diameter, relative_spacing
from usdlr.imaging.store import read_mask
from usdlr.review.outlines import mask_of, outlines_of
from usdlr.review.records import ImageRecord


def ring_spacing(image: ImageRecord, lesion: BoolArray, *, redrawn: bool) -> Spacing | None:
    """What a pixel measures on the scale of the model's margin.

    Parameters
    ----------
    image : ImageRecord
        The image.
    lesion : bool array, (rows, columns)
        The contour that counts.
    redrawn : bool
        Whether a reader drew it.

    Returns
    -------
    Spacing or None
        Millimetres per pixel; units per pixel where lengths are shares of the lesion; ``None`` where there are neither.
    """
    if image.row_mm is not None and image.col_mm is not None:
        return Spacing(image.row_mm, image.col_mm)
    row, col = image.row.get("row_mm"), image.row.get("col_mm")
    if image.spacing_source is not SpacingSource.LESION_RELATIVE or row is None or col is None:
        return None
    loaded = Spacing(float(row), float(col))
    return of_redrawn(image, lesion, loaded) if redrawn else loaded


def of_redrawn(image: ImageRecord, lesion: BoolArray, loaded: Spacing) -> Spacing:
    """Units per pixel of a redrawn contour: a unit is a share of the lesion, so it changes with the contour.

    Parameters
    ----------
    image : ImageRecord
        With the contour that was loaded.
    lesion : bool array, (rows, columns)
        The redrawn one.
    loaded : Spacing
        Units per pixel of the loaded one.
    """
    before = mask_of(image.contour, lesion.shape)
    with suppress(InputError):  # outlines do not know holes; the file does, while it is the one that was loaded
        stored = read_mask(Path(image.root) / image.paths.get("mask", ""))
        before = stored if outlines_of(stored) == image.contour else before
    return relative_spacing(LesionMask(lesion, loaded), equivalent_diameter(LesionMask(before, loaded)))
