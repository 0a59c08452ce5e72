"""The canonical files that ingest writes and everybody else reads.

A B-mode image is an 8-bit grey PNG; a stiffness map is a 16-bit PNG in steps of 0.01 of its unit, where 65535 means
that the scanner gave no value; masks are 8-bit PNG with 0 or 255. All files of one case share one grid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.errors import CaseError
from usdlr.core.files import write_bytes
from usdlr.core.modalities import BMODE, MODALITIES
from usdlr.core.types import ExclusionCode, MaskSource
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray, FloatArray, UltrasoundImage, require_same_grid
from usdlr.imaging.mask import LesionMask

STIFFNESS_STEP = 0.01
STIFFNESS_NO_VALUE = 65535
# The frames of a clip beside the one that is used: name of the image, column of ``cases``.
NEIGHBOURS = {f"{BMODE}@-1": "bmode_before_path", f"{BMODE}@+1": "bmode_after_path"}
# A breast ultrasound frame has about a million pixels; a header that claims far more is an error or an attack.
MAX_PIXELS = 64_000_000


@dataclass(frozen=True)
class CaseImages:
    """Everything that one row of ``cases`` points at.

    Parameters
    ----------
    images : mapping of str to UltrasoundImage
        By modality; an absent optional modality has no entry.
    mask : LesionMask
        The lesion.
    fov : bool array, (rows, columns), or None
        Field of view, ``None`` when it is the whole image.
    frames : mapping of str to UltrasoundImage
        The clip's frames beside the image, ``bmode@-1`` before and ``bmode@+1`` after it, on the same grid; a still
        has none.
    """

    images: Mapping[str, UltrasoundImage]
    mask: LesionMask
    fov: BoolArray | None
    frames: Mapping[str, UltrasoundImage] = field(default_factory=dict)


def read_png(path: Path, missing: ExclusionCode, unreadable: ExclusionCode) -> npt.NDArray[Any]:
    """Read an image file as it is: (rows, columns) or (rows, columns, channels) in the order red, green, blue, alpha.

    Raises
    ------
    CaseError
        With the code ``missing`` or ``unreadable``.
    """
    if not path.is_file():
        raise CaseError(
            missing, f"found no file {path.name}, expected it beside the others; restore it or remove its row"
        )
    content = path.read_bytes()
    claimed = _claimed_pixels(content)
    if claimed is not None and claimed > MAX_PIXELS:
        raise CaseError(
            unreadable, f"found {path.name} claims {claimed} pixels, expected at most {MAX_PIXELS}; export it again"
        )
    try:
        decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    except cv2.error:  # another format whose header claims an impossible size
        decoded = None
    if decoded is None:
        raise CaseError(unreadable, f"found {path.name} cannot be decoded, expected a PNG image; export it again")
    if decoded.ndim == 3:
        decoded = cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGBA if decoded.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    return np.asarray(decoded)


def _claimed_pixels(content: bytes) -> int | None:
    """Pixels that a PNG header announces, read before anything is allocated."""
    if content[:8] != b"\x89PNG\r\n\x1a\n" or len(content) < 24:
        return None
    return int.from_bytes(content[16:20], "big") * int.from_bytes(content[20:24], "big")


def write_png(path: Path, pixels: npt.NDArray[Any]) -> None:
    """Write an 8- or 16-bit grey PNG atomically; equal pixels give equal bytes."""
    # The encoder would turn any other type into 8 bits without a word.
    if pixels.ndim != 2 or pixels.size == 0 or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"found an array of {pixels.dtype} with shape {pixels.shape}, expected 8- or 16-bit grey")
    _, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 4])
    write_bytes(path, encoded.tobytes())


def mask_to_png(mask: BoolArray) -> npt.NDArray[np.uint8]:
    """0 and 255."""
    return np.where(mask, 255, 0).astype(np.uint8)


def stiffness_to_png(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint16]:
    """Stiffness as 16-bit steps of 0.01 of its unit; not-a-number becomes "no value".

    Examples
    --------
    >>> stiffness_to_png(np.array([[1.234, np.nan]])).tolist()
    [[123, 65535]]
    """
    steps = np.clip(np.rint(np.nan_to_num(values, nan=0.0) / STIFFNESS_STEP), 0, STIFFNESS_NO_VALUE - 1)
    return np.where(np.isfinite(values), steps, STIFFNESS_NO_VALUE).astype(np.uint16)


# Gives the stored pixels of a path of ``cases``, or fails with the first code if it is missing, the second if damaged.
Fetch = Callable[[str, ExclusionCode, ExclusionCode], npt.NDArray[Any]]


def from_folder(root: Path) -> Fetch:
    """Reads files below ``root``."""
    return lambda name, missing, unreadable: read_png(root / name, missing, unreadable)


def _read_grey(name: str, fetch: Fetch) -> FloatArray:
    pixels = fetch(name, ExclusionCode.IMAGE_MISSING, ExclusionCode.IMAGE_UNREADABLE)
    if pixels.ndim != 2 or pixels.dtype != np.uint8:
        raise CaseError(
            ExclusionCode.IMAGE_UNREADABLE,
            f"found {Path(name).name} with {pixels.dtype} and shape {pixels.shape}, expected 8-bit grey; "
            "ingest the source again",
        )
    return pixels.astype(np.float32)


def _read_stiffness(name: str, fetch: Fetch) -> FloatArray:
    code = ExclusionCode.ELASTOGRAPHY_UNREADABLE
    pixels = fetch(name, code, code)
    if pixels.ndim != 2 or pixels.dtype != np.uint16:
        raise CaseError(
            code,
            f"found {Path(name).name} with {pixels.dtype} and shape {pixels.shape}, expected 16-bit grey; "
            "ingest the source again",
        )
    values = pixels.astype(np.float32) * np.float32(STIFFNESS_STEP)
    return np.where(pixels == STIFFNESS_NO_VALUE, np.float32(np.nan), values)


READERS: dict[str, Callable[[str, Fetch], FloatArray]] = {"grey": _read_grey, "stiffness": _read_stiffness}


def read_mask(path: Path) -> BoolArray:
    """Read a mask: any non-zero value in a colour channel, where not transparent, is lesion.

    Raises
    ------
    CaseError
        If the file is missing or unreadable.
    """
    return _lesion(read_png(path, ExclusionCode.MASK_MISSING, ExclusionCode.MASK_UNREADABLE))


def _lesion(pixels: npt.NDArray[Any]) -> BoolArray:
    if pixels.ndim == 2:
        return np.asarray(pixels > 0)
    inside = (pixels[..., :3] > 0).any(axis=2)
    return np.asarray(inside & (pixels[..., 3] > 0)) if pixels.shape[2] == 4 else np.asarray(inside)


def read_case(row: Mapping[str, Any], root: Path) -> CaseImages:
    """Read the canonical files of one row of ``cases``.

    Parameters
    ----------
    row : mapping
        A row of the ``cases`` table.
    root : Path
        Folder that the row's paths are relative to.

    Raises
    ------
    CaseError
        If a file is missing, unreadable or of another size.
    """
    return _case(row, from_folder(root))


def case_in_memory(row: Mapping[str, Any], files: Mapping[str, npt.NDArray[Any]]) -> CaseImages:
    """The same as :func:`read_case` gives once the files are written.

    Parameters
    ----------
    row : mapping
        A row of the ``cases`` table.
    files : mapping of str to array
        What its paths point at, as :func:`write_png` would write it.

    Raises
    ------
    CaseError
        If there is no mask, or sizes differ.
    """
    return _case(row, lambda name, missing, unreadable: files[name])


def _case(row: Mapping[str, Any], fetch: Fetch) -> CaseImages:
    def mask_of(name: str) -> BoolArray:
        return _lesion(fetch(name, ExclusionCode.MASK_MISSING, ExclusionCode.MASK_UNREADABLE))

    spacing = None
    if not (pd.isna(row["row_mm"]) or pd.isna(row["col_mm"])):
        spacing = Spacing(float(row["row_mm"]), float(row["col_mm"]))
    fov = None if pd.isna(row["fov_path"]) else mask_of(str(row["fov_path"]))
    if pd.isna(row["mask_path"]):
        raise CaseError(ExclusionCode.MASK_MISSING, "found no mask, expected the lesion's outline; draw one")
    if pd.isna(row["mask_source"]):
        raise CaseError(
            ExclusionCode.MASK_UNREADABLE,
            f"found a mask without mask_source, expected {' or '.join(MaskSource)}; state who drew it",
        )
    mask = LesionMask(mask_of(str(row["mask_path"])), spacing, MaskSource(row["mask_source"]))
    images: dict[str, UltrasoundImage] = {}
    for modality in MODALITIES.values():
        path = row[modality.path_column]
        if pd.isna(path):
            continue
        pixels = READERS[modality.reader](str(path), fetch)
        require_same_grid((pixels.shape[0], pixels.shape[1]), mask.shape, "mask")
        if fov is not None:
            require_same_grid((pixels.shape[0], pixels.shape[1]), (fov.shape[0], fov.shape[1]), "field of view")
        images[modality.name] = UltrasoundImage(pixels, spacing, modality.name, fov)
    frames: dict[str, UltrasoundImage] = {}
    for name, column in NEIGHBOURS.items():
        path = row.get(column)  # a table written before clips were known has no such column
        if pd.isna(path):
            continue
        pixels = READERS[MODALITIES[BMODE].reader](str(path), fetch)
        require_same_grid(mask.shape, (pixels.shape[0], pixels.shape[1]), "neighbouring frame")
        frames[name] = UltrasoundImage(pixels, spacing, BMODE, fov)
    return CaseImages(images, mask, fov, frames)
