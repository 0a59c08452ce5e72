"""An image that knows its modality and its millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import CaseError
from usdlr.core.modalities import MODALITIES
from usdlr.core.types import ExclusionCode
from usdlr.core.units import Spacing

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]

# ITU-R BT.601 luma, in the order red, green, blue: the stated rule for tinted and coloured B-mode.
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class UltrasoundImage:
    """One image of one modality.

    Parameters
    ----------
    pixels : float32 array, (rows, columns)
        Intensities in the modality's unit; NaN where there is no value.
    spacing : Spacing or None
        ``None`` when the image is not calibrated: everything in millimetres is then refused.
    modality : str
        Name in :data:`usdlr.core.modalities.MODALITIES`.
    fov : bool array, (rows, columns), or None
        True inside the field of view; ``None`` when the whole image is.
    """

    pixels: FloatArray
    spacing: Spacing | None
    modality: str
    fov: BoolArray | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2:
            raise ValueError(f"found an image with shape {self.pixels.shape}, expected (rows, columns)")
        if self.modality not in MODALITIES:
            raise ValueError(f"found modality {self.modality!r}, expected one of {', '.join(MODALITIES)}")
        if self.fov is not None and self.fov.shape != self.pixels.shape:
            raise ValueError(f"found a field of view of {self.fov.shape} on an image of {self.pixels.shape}")

    @property
    def shape(self) -> tuple[int, int]:
        """``(rows, columns)``."""
        return self.pixels.shape[0], self.pixels.shape[1]


def require_spacing(spacing: Spacing | None, what: str) -> Spacing:
    """Return the spacing, or refuse what needs it.

    Raises
    ------
    CaseError
        With the code ``spacing_missing``.
    """
    if spacing is None:
        raise CaseError(
            ExclusionCode.SPACING_MISSING,
            f"found no spacing, expected millimetres per pixel for {what}; state the spacing in the source's table",
        )
    return spacing


def require_same_grid(
    image: tuple[int, int], other: tuple[int, int], what: str, code: ExclusionCode = ExclusionCode.MASK_SIZE_MISMATCH
) -> None:
    """Refuse two arrays of different size.

    Parameters
    ----------
    image, other : tuple of int
        ``(rows, columns)``.
    what : str
        What ``other`` is, for the message.
    code : ExclusionCode
        Reason recorded for the case.

    Raises
    ------
    CaseError
        With both sizes in the message.
    """
    if image != other:
        raise CaseError(
            code,
            f"found a {what} of {other[0]} x {other[1]} pixels on an image of {image[0]} x {image[1]} (rows x "
            f"columns), expected the same size; export the {what} on the image's own grid",
        )


def to_grey(pixels: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], BoolArray | None]:
    """Turn a grey, RGB or RGBA image into grey levels and a field of view.

    Colour becomes ITU-R BT.601 luma; pixels that are fully transparent lie outside the field of view.

    Parameters
    ----------
    pixels : uint8 array, (rows, columns) or (rows, columns, 3 or 4)
        Channels in the order red, green, blue, alpha.

    Returns
    -------
    grey : uint8 array, (rows, columns)
    fov : bool array, (rows, columns), or None
        ``None`` when no pixel is transparent.

    Examples
    --------
    >>> grey, fov = to_grey(np.array([[[10, 10, 10, 255], [99, 99, 99, 0]]], dtype=np.uint8))
    >>> grey.tolist(), fov.tolist()
    ([[10, 99]], [[True, False]])
    """
    if pixels.ndim == 2:
        return pixels, None
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4):
        raise CaseError(
            ExclusionCode.IMAGE_UNREADABLE,
            f"found an image with shape {pixels.shape}, expected grey, RGB or RGBA; export it again",
        )
    grey = np.rint(pixels[..., :3].astype(np.float64) @ np.array(LUMA)).astype(np.uint8)
    fov = pixels[..., 3] > 0 if pixels.shape[2] == 4 else None
    return grey, None if fov is None or fov.all() else fov
