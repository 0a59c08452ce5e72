"""Stored DICOM values become grey levels or colours, each by one stated conversion.

- MONOCHROME2, MONOCHROME1: modality LUT or rescale, then the first VOI LUT or window (the LUT where there are both),
  then inversion for MONOCHROME1. All of it is a function of the stored value, made once for every value there can be.
  The result spans the full scale of ``bits``: those of the last LUT, else the stored ones; never fewer than 8.
- PALETTE COLOR: the three look-up tables, plain or segmented, 8 or 16 bits per entry. Writers store 8-bit colours in
  16-bit entries in three ways: in the low byte, in the high byte, or in both; where one way holds for every entry of
  the three tables, the result has 8 bits.
- YBR_FULL, YBR_FULL_422 (chroma repeated for the second pixel): the inverse of ITU-R BT.601 at full range, as JPEG has
  it. YBR_PARTIAL_422: the same with luma 16..235 and chroma 16..240. YBR_ICT and YBR_RCT: undone by the decoder.
- RGB: as it is, with the bits stored.

Windows and rescaling do not apply to colours. Overlays, presentation LUTs, colour profiles and alpha palettes are not
applied.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.ingest.readers.bounded import RefusedFile
from usdlr.ingest.readers.dicom_file import value_of
from usdlr.ingest.readers.dicom_header import functional_group
from usdlr.ingest.readers.dicom_pixels import PixelFormat, StoredFrame
from usdlr.ingest.readers.dicom_tables import descriptor, expand_segments, look_up, plain_entries

Table = npt.NDArray[np.float64]
ROWS_AT_ONCE = 256  # floating-point intermediates of a large frame would take gigabytes
COLOURS = ("Red", "Green", "Blue")
# ITU-R BT.601: what blue and red chroma add to each colour at full range (ITU-T T.871, section 7).
CB_TO_GREEN, CB_TO_BLUE, CR_TO_RED, CR_TO_GREEN = -0.344136, 1.772, 1.402, -0.714136


@dataclass(frozen=True)
class Levels:
    """Pixels as every reader returns them.

    Parameters
    ----------
    pixels : uint8 or uint16 array, (rows, columns) or (rows, columns, 3)
        Grey, or red, green and blue.
    bits : int
        Bits per channel that carry values, 8 to 16.
    """

    pixels: npt.NDArray[Any]
    bits: int


def to_levels(stored: StoredFrame, shape: PixelFormat, dataset: Any, frame: int, little_endian: bool) -> Levels:
    """Grey levels or colours of one frame.

    Parameters
    ----------
    stored : StoredFrame
        Values and what their channels are.
    shape : PixelFormat
        How they are stored.
    dataset : pydicom Dataset
        The header.
    frame : int
        Number of the frame, from 1, for per-frame windows.
    little_endian : bool
        Byte order of look-up tables.

    Raises
    ------
    RefusedFile
        If a table is missing or damaged, or the conversion is not one of those above.

    References
    ----------
    DICOM PS3.3, C.7.6.3.1.2 (photometric interpretation), C.7.9 (palettes), C.11.1, C.11.2; PS3.4, N.2 (their order).
    """
    if stored.photometric in ("MONOCHROME1", "MONOCHROME2"):
        if value_of(dataset, "PixelPresentation") in ("COLOR", "MIXED"):
            raise RefusedFile("with colours in a supplemental palette", "grey, RGB or PALETTE COLOR")
        table, bits = grey_table(shape, dataset, frame, little_endian)
        return Levels(table[stored.values], bits)
    if stored.photometric == "PALETTE COLOR":
        return _palette(stored.values, shape, dataset, little_endian)
    if stored.photometric == "RGB":
        return _scaled(stored.values, shape.stored)
    if stored.values.dtype != np.uint8 or shape.stored != 8:
        raise RefusedFile(f"with {stored.photometric} of {shape.stored} bits", "8 bits")
    return Levels(ybr_to_rgb(stored.values, partial=stored.photometric == "YBR_PARTIAL_422"), 8)


def _scaled(values: npt.NDArray[Any], bits: int) -> Levels:
    """Fewer than 8 bits become 8, linearly; more stay as they are."""
    if bits >= 8:
        return Levels(values.astype(np.uint8 if bits == 8 else np.uint16), bits)
    full = 2**bits - 1
    return Levels(np.rint(np.arange(full + 1) * (255 / full)).astype(np.uint8)[values], 8)


def ybr_to_rgb(ybr: npt.NDArray[np.uint8], *, partial: bool = False) -> npt.NDArray[np.uint8]:
    """Red, green and blue of luma and chroma, rounded half up and clipped.

    Parameters
    ----------
    ybr : uint8 array, (rows, columns, 3)
        Luma, blue chroma, red chroma.
    partial : bool
        Luma 16..235 and chroma 16..240 instead of 0..255.

    References
    ----------
    ITU-R BT.601; ITU-T T.871, section 7; DICOM PS3.3, C.7.6.3.1.2.

    Examples
    --------
    >>> ybr_to_rgb(np.array([[[76, 85, 255]]], dtype=np.uint8)).tolist()
    [[[254, 0, 0]]]
    """
    out = np.empty_like(ybr)
    for top in range(0, len(ybr), ROWS_AT_ONCE):
        out[top : top + ROWS_AT_ONCE] = _rows_to_rgb(ybr[top : top + ROWS_AT_ONCE], partial)
    return out


def _rows_to_rgb(ybr: npt.NDArray[np.uint8], partial: bool) -> npt.NDArray[np.uint8]:
    luma = ybr[..., 0].astype(np.float32)
    blue, red = ybr[..., 1].astype(np.float32) - 128, ybr[..., 2].astype(np.float32) - 128
    if partial:
        luma, blue, red = (luma - 16) * np.float32(255 / 219), blue * np.float32(255 / 224), red * np.float32(255 / 224)
    rgb = np.stack(
        [luma + CR_TO_RED * red, luma + CB_TO_GREEN * blue + CR_TO_GREEN * red, luma + CB_TO_BLUE * blue], -1
    )
    return np.clip(np.floor(rgb + 0.5), 0, 255).astype(np.uint8)


def grey_table(shape: PixelFormat, dataset: Any, frame: int, little_endian: bool) -> tuple[npt.NDArray[Any], int]:
    """The grey level of every value that can be stored, and its bits.

    Returns
    -------
    table : uint8 or uint16 array, (2 ** stored,)
        Indexed by the stored bits, in two's complement where signed.
    bits : int
        8 to 16.
    """
    codes = np.arange(2**shape.stored, dtype=np.float64)
    values = np.where(codes >= 2 ** (shape.stored - 1), codes - 2**shape.stored, codes) if shape.signed else codes
    low, high, bits = values.min(), values.max(), shape.stored

    transformation = functional_group(dataset, frame, "PixelValueTransformationSequence") or dataset
    modality = value_of(dataset, "ModalityLUTSequence")
    slope, intercept = (value_of(transformation, name) for name in ("RescaleSlope", "RescaleIntercept"))
    if modality:
        values, bits = look_up(values, modality[0], little_endian)
        low, high = 0.0, 2.0**bits - 1
    elif slope is not None and intercept is not None:
        slope, intercept = _finite(slope, "RescaleSlope"), _finite(intercept, "RescaleIntercept")
        if slope == 0:
            raise RefusedFile("with a RescaleSlope of 0", "another number")
        values = values * slope + intercept
        low, high = sorted((low * slope + intercept, high * slope + intercept))

    voi = functional_group(dataset, frame, "FrameVOILUTSequence") or dataset
    luts = value_of(voi, "VOILUTSequence")
    window = [value_of(voi, name) for name in ("WindowCenter", "WindowWidth")]
    if luts:
        values, bits = look_up(values, luts[0], little_endian)
        share = values / (2.0**bits - 1)
    elif None not in window:
        centre, width = (_finite(_first(part), "window") for part in window)
        share = window_share(values, centre, width, str(value_of(voi, "VOILUTFunction") or "LINEAR"))
    else:
        share = (values - low) / (high - low)
    if shape.photometric == "MONOCHROME1":
        share = 1 - share
    bits = min(max(bits, 8), 16)
    return np.rint(np.clip(share, 0, 1) * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16), bits


def window_share(values: Table, centre: float, width: float, function: str) -> Table:
    """Where values lie in a window, from 0 to 1.

    Raises
    ------
    RefusedFile
        If the width is too small or the function unknown.

    References
    ----------
    DICOM PS3.3, C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID), C.11.2.1.3.2 (LINEAR_EXACT).
    """
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise RefusedFile("with an unknown VOI LUT function", "LINEAR, LINEAR_EXACT or SIGMOID")
    if (width < 1 and function == "LINEAR") or width <= 0:
        raise RefusedFile(f"with a window of width {width:g}", "a positive width, for LINEAR at least 1")
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700))))
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return np.asarray(values > centre, dtype=np.float64)
    return np.clip((values - centre) / width + 0.5, 0, 1)


def _palette(values: npt.NDArray[Any], shape: PixelFormat, dataset: Any, little_endian: bool) -> Levels:
    tables = []
    for colour in COLOURS:
        count, first, bits = descriptor(dataset, f"{colour}PaletteColorLookupTableDescriptor")
        if bits not in (8, 16):
            raise RefusedFile(f"with a palette of {bits} bits", "8 or 16")
        plain = value_of(dataset, f"{colour}PaletteColorLookupTableData")
        if plain is not None:
            entries = plain_entries(plain, count, little_endian)
        else:
            data = value_of(dataset, f"Segmented{colour}PaletteColorLookupTableData")
            entries = expand_segments(data, bits, count, little_endian)
        tables.append((entries, first, count))
    index = np.arange(2**shape.stored, dtype=np.int64)
    if shape.signed:
        index = np.where(index >= 2 ** (shape.stored - 1), index - 2**shape.stored, index)
    shift, bits = _depth(np.concatenate([entries for entries, _, _ in tables]))
    dtype = np.uint16 if bits == 16 else np.uint8
    channels = [
        (entries >> shift).astype(dtype)[np.clip(index - first, 0, count - 1)] for entries, first, count in tables
    ]
    return Levels(np.stack(channels, axis=-1)[values], bits)


def _depth(entries: npt.NDArray[np.int64]) -> tuple[int, int]:
    """How far to shift palette entries down, and the bits they then have."""
    low, high = entries & 255, entries >> 8
    if not high.any():
        return 0, 8
    return (8, 8) if not low.any() or bool((low == high).all()) else (0, 16)


def _first(value: Any) -> Any:
    """The first view where a header offers several."""
    return value if isinstance(value, (int, float, str)) else value[0]


def _finite(value: Any, what: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise RefusedFile(f"with a damaged {what}", "a number")
    return number
