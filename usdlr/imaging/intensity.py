"""Pixels of any depth and colour become 8-bit grey by one stated rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.imaging.image import BoolArray, to_grey

FULL_SCALE_8_BIT = 255
# The brightest pixel of a B-mode frame (a caliper, a specular reflection) comes near full scale. Where it stays below
# an eighth, the file most likely holds fewer bits than it declares, and 8-bit grey would keep 32 levels at best.
MIN_BRIGHTEST = 1 / 8


def to_8_bit(pixels: npt.NDArray[Any], bits: int = 8) -> npt.NDArray[np.uint8]:
    """Pixels with 8 bits per channel: full scale of the stored bits maps linearly to 0..255, halves to the even value.

    8-bit pixels come back as they are, without a copy.

    Parameters
    ----------
    pixels : uint8 or uint16 array, (rows, columns) or (rows, columns, channels)
        Values from 0 to ``2**bits - 1``; a larger one counts as full scale.
    bits : int
        Bits per channel that carry values, 1 to 16.

    Raises
    ------
    CaseError
        With the code ``image_unreadable``, for pixels that are not unsigned integers: numbers such as stiffness have no
        full scale.

    Examples
    --------
    >>> to_8_bit(np.array([0, 2048, 4095], dtype=np.uint16), bits=12).tolist()
    [0, 128, 255]
    """
    if not 1 <= bits <= 16:
        raise ValueError(f"found {bits} bits per channel, expected 1 to 16")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise CaseError(
            ExclusionCode.IMAGE_UNREADABLE,
            f"found pixels of type {pixels.dtype}, expected 8- or 16-bit grey or colour; export the image as a picture",
        )
    if bits == 8 and pixels.dtype == np.uint8:
        return pixels
    full = 2**bits - 1
    table = np.rint(np.arange(full + 1) * (FULL_SCALE_8_BIT / full)).astype(np.uint8)
    return np.asarray(table[np.minimum(pixels, full)])


def colourfulness(pixels: npt.NDArray[Any]) -> int:
    """The largest difference between two colour channels of one pixel, in the pixels' own levels; grey gives 0.

    Pixels that are fully transparent do not count.

    Parameters
    ----------
    pixels : array, (rows, columns) or (rows, columns, 3 or 4)
        Channels in the order red, green, blue, alpha.

    Examples
    --------
    >>> colourfulness(np.array([[[10, 12, 11], [90, 90, 90]]], dtype=np.uint8))
    2
    """
    if pixels.ndim == 2 or pixels.size == 0:
        return 0
    red, green, blue = (pixels[..., channel] for channel in range(3))
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    if pixels.shape[2] == 4:
        spread = np.where(pixels[..., 3] > 0, spread, 0)
    return int(spread.max())


def is_tinted(pixels: npt.NDArray[Any], threshold: int = 0) -> bool:
    """Whether some pixel is not grey, so that turning the image into grey changes more than its number of channels.

    Parameters
    ----------
    pixels : array, (rows, columns) or (rows, columns, 3 or 4)
        Channels in the order red, green, blue, alpha.
    threshold : int
        Differences between channels up to this many levels count as grey.
    """
    return colourfulness(pixels) > threshold


def grey_of(pixels: npt.NDArray[Any], bits: int = 8) -> tuple[npt.NDArray[np.uint8], BoolArray | None]:
    """8-bit grey levels and the field of view of pixels of any depth and colour.

    Each channel is scaled by :func:`to_8_bit`, colours become luma by :func:`usdlr.imaging.image.to_grey`, and pixels
    that are fully transparent lie outside the field of view.

    Parameters
    ----------
    pixels : uint8 or uint16 array, (rows, columns) or (rows, columns, 3 or 4)
        Channels in the order red, green, blue, alpha.
    bits : int
        Bits per channel that carry values, 1 to 16.

    Returns
    -------
    grey : uint8 array, (rows, columns)
    fov : bool array, (rows, columns), or None
        ``None`` when no pixel is transparent.

    Raises
    ------
    CaseError
        With the code ``image_unreadable``: pixels that are no picture, or of more than 8 bits whose brightest stays
        below an eighth of full scale.
    """
    eight = to_8_bit(pixels, bits)
    _require_full_scale(pixels, bits)
    grey, fov = to_grey(eight)
    if fov is not None and eight is not pixels:
        fov = np.asarray(pixels[..., 3] > 0)  # a faint 16-bit alpha would round to none
        fov = None if fov.all() else fov
    return grey, fov


def _require_full_scale(pixels: npt.NDArray[Any], bits: int) -> None:
    if bits <= 8 or pixels.size == 0:
        return
    colours = pixels[..., :3] if pixels.ndim == 3 else pixels
    brightest, full = int(colours.max()), 2**bits - 1
    if 0 < brightest < MIN_BRIGHTEST * full:
        raise CaseError(
            ExclusionCode.IMAGE_UNREADABLE,
            f"found {bits}-bit pixels whose brightest is {brightest}, expected values up to {full}; export the image "
            "with 8 bits, or scaled to its full range",
        )
