"""The pictures of an image set for a viewer: the B-mode image, the elastography map in colour, a small one for lists.

A record names files below one folder. Nothing else is read: no file outside it, through whatever link, and none that is
no PNG of the grid that the record states. What is sent is encoded anew, so that no text of a file travels along.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.colors import to_hex

from usdlr.core.errors import CaseError, DataError
from usdlr.core.hashing import bytes_hash
from usdlr.core.modalities import BMODE, ELASTO
from usdlr.core.types import ExclusionCode
from usdlr.imaging.image import BoolArray
from usdlr.imaging.store import MAX_PIXELS, STIFFNESS_NO_VALUE, STIFFNESS_STEP, read_mask, read_png
from usdlr.report.gallery import COLOUR_MAP
from usdlr.review.records import ImageRecord

LARGEST_FILE: Final = 256 * 1024 * 1024
SMALL_PX: Final = 160
"""Longest side of a thumbnail."""
_PNG = b"\x89PNG\r\n\x1a\n"


def bmode_png(image: ImageRecord) -> bytes:
    """The B-mode image as an 8-bit grey PNG on its own grid.

    Raises
    ------
    DataError
        If the record names a file that may not be read, or that is not what it claims to be.
    CaseError
        If the file is missing or damaged.
    """
    return encoded(bmode_pixels(image))


def bmode_pixels(image: ImageRecord) -> npt.NDArray[np.uint8]:
    """Grey levels of the B-mode image, (rows, columns).

    Raises
    ------
    DataError, CaseError
        As :func:`bmode_png`.
    """
    return _read(image, BMODE, np.dtype(np.uint8))


def elasto_png(image: ImageRecord) -> bytes | None:
    """The elastography map in colour on the image's grid: red, green, blue and alpha, 8 bits each.

    Colours run from 0 to the record's ``limit`` along :func:`colour_stops`; above it they stay at the end. Pixels
    without a value are fully transparent, all others fully opaque: how much of the B-mode image shows through is the
    viewer's choice. ``None`` where the image set has no map.

    Raises
    ------
    DataError, CaseError
        As :func:`bmode_png`.
    """
    if image.paths.get(ELASTO) is None or image.limit is None:
        return None
    steps = _read(image, ELASTO, np.dtype(np.uint16))
    known = steps != STIFFNESS_NO_VALUE
    if image.paths.get("fov") is not None:
        known &= field_of_view(image)
    places = np.clip(steps.astype(np.float64) * STIFFNESS_STEP / image.limit, 0.0, 1.0)
    colours = colormaps[COLOUR_MAP](places, bytes=True)
    colours[~known] = 0
    return encoded(colours)


def colour_stops(count: int = 16) -> tuple[str, ...]:
    """Colours from the lower to the upper end of an elastography map's bar, evenly spaced, as ``#rrggbb``.

    Parameters
    ----------
    count : int
        How many, at least 2.

    Examples
    --------
    >>> colour_stops(2)
    ('#440154', '#fde725')
    """
    shades = colormaps[COLOUR_MAP](np.linspace(0.0, 1.0, count))
    return tuple(to_hex(shade) for shade in shades)


def thumbnail(image: ImageRecord) -> bytes:
    """The B-mode image as a small grey PNG in the true proportions of the tissue.

    Raises
    ------
    DataError, CaseError
        As :func:`bmode_png`.
    """
    pixels = bmode_pixels(image)
    high, wide = pixels.shape[0] * (image.row_mm or 1.0), pixels.shape[1] * (image.col_mm or 1.0)
    scale = SMALL_PX / max(high, wide)
    size = max(1, round(wide * scale)), max(1, round(high * scale))
    return encoded(np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)))


def field_of_view(image: ImageRecord) -> BoolArray:
    """Where the image shows tissue, (rows, columns).

    Raises
    ------
    DataError, CaseError
        As :func:`bmode_png`.
    """
    if image.paths.get("fov") is None:
        return np.ones((image.rows, image.columns), dtype=np.bool_)
    found = read_mask(safe_path(image, "fov"))
    _require_grid(image, found.shape)
    return found


def encoded(pixels: npt.NDArray[Any]) -> bytes:
    """A PNG without a word in it.

    Parameters
    ----------
    pixels : uint8 array, (rows, columns) or (rows, columns, 4)
        Grey, or red, green, blue and alpha; equal pixels give equal bytes.
    """
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA)
    _, content = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 4])
    return content.tobytes()


def picture_hash(content: bytes) -> str:
    """What names the content of a picture, for an ETag: equal for equal bytes, and it tells nothing else.

    Examples
    --------
    >>> len(picture_hash(b"abc")), picture_hash(b"abc") == picture_hash(b"abc")
    (32, True)
    """
    return bytes_hash(content)[:32]


def safe_path(image: ImageRecord, kind: str) -> Path:
    """The file of a kind, if it may be read.

    Parameters
    ----------
    image : ImageRecord
        Whose file.
    kind : str
        ``bmode``, ``elasto``, ``mask`` or ``fov``.

    Raises
    ------
    DataError
        If the record has none, it lies outside the record's folder, is no ordinary file, no PNG, or far too large.
    """
    name = image.paths.get(kind)
    if name is None:
        raise DataError(f"found no {kind} file of this image set, expected one; load the cases again")
    root = Path(image.root).resolve()
    path = (root / name).resolve()
    # No name in the message: it may hold what it should not.
    if Path(name).is_absolute() or ".." in Path(name).parts or not path.is_relative_to(root) or path == root:
        raise DataError(f"found a {kind} file outside the folder of the cases, expected one inside it; load them again")
    if path.exists():
        if not path.is_file() or path.stat().st_size > LARGEST_FILE:
            raise DataError(f"found a {kind} file that is no file of a picture's size, expected a PNG; ingest it again")
        with path.open("rb") as stream:
            if stream.read(len(_PNG)) != _PNG:
                raise DataError(f"found a {kind} file that is no PNG, expected one that usdlr wrote; ingest it again")
    return path


def _read(image: ImageRecord, kind: str, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if image.rows * image.columns > MAX_PIXELS:
        raise DataError(f"found an image of {image.rows} x {image.columns}, expected at most {MAX_PIXELS} pixels")
    path = safe_path(image, kind)
    try:
        pixels = read_png(path, ExclusionCode.IMAGE_MISSING, ExclusionCode.IMAGE_UNREADABLE)
    except CaseError as error:  # a file's name may hold a patient's
        raise CaseError(error.code, error.sentence.replace(path.name, f"the {kind} file")) from None
    if pixels.dtype != dtype or pixels.ndim != 2:
        raise DataError(
            f"found a {kind} file of {pixels.dtype} with {pixels.ndim} axes, expected grey {dtype}; ingest it again"
        )
    _require_grid(image, pixels.shape)
    return pixels


def _require_grid(image: ImageRecord, shape: tuple[int, ...]) -> None:
    if shape != (image.rows, image.columns):
        raise DataError(
            f"found a file of {shape[0]} x {shape[1]} pixels, expected {image.rows} x {image.columns} as "
            "when it was loaded; load the cases again"
        )
