"""Ultrasound calibration regions of a DICOM header (SequenceOfUltrasoundRegions, 0018,6011; PS3.3 C.8.5.5).

Only a 2-D region of tissue or colour flow with both directions in centimetres shows space; the header knows no other
unit of length. PhysicalDeltaY is the distance between rows, PhysicalDeltaX the one between columns, in cm, and their
signs are directions. Bounds are inclusive pixels of the frame.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import MutableSequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from usdlr.core.units import MM_PER_CM, Spacing

# Millimetres per pixel of any ultrasound display: a 70 MHz skin probe on a large screen, a deep abdomen on a thumbnail.
PLAUSIBLE_SPACING_MM = (0.005, 2.0)
# Two statements about one picture that differ by more are not roundings of one value.
TOLERANCE = 0.01
MAX_REGIONS = 64
LARGEST = 2**32

KEYWORD = "SequenceOfUltrasoundRegions"
TWO_D, CENTIMETRES = 1, 3
TISSUE, COLOUR_FLOW = 1, 2
IMAGE_TYPES = (TISSUE, COLOUR_FLOW)
FORMATS = {0: "none", 2: "M-mode", 3: "spectral", 4: "waveform", 5: "graphics"}
DATA_TYPES = {0: "none", 10: "ECG trace", 13: "grey bar", 14: "colour bar"}


@dataclass(frozen=True)
class Region:
    """One calibrated rectangle of a frame.

    Parameters
    ----------
    row, col : int
        First row and column inside.
    rows, cols : int
        Height and width in pixels, clipped to the frame.
    spacing : Spacing or None
        Millimetres per pixel; ``None`` when the region does not show space (a trace, a spectrum, a colour bar).
    spatial_format : int
        RegionSpatialFormat: 0 none, 1 2-D, 2 M-mode, 3 spectral, 4 waveform, 5 graphics.
    data_type : int
        RegionDataType: 1 tissue, 2 colour flow, ..., see PS3.3.
    clipped : bool
        Whether the header's rectangle ended one pixel past the frame.
    reference_row, reference_col : float or None
        Pixel of the region's physical reference, in rows and columns of the frame.
    """

    row: int
    col: int
    rows: int
    cols: int
    spacing: Spacing | None
    spatial_format: int
    data_type: int
    clipped: bool = False
    reference_row: float | None = None
    reference_col: float | None = None

    @property
    def box(self) -> tuple[int, int, int, int]:
        """``(row, column, rows, columns)``."""
        return self.row, self.col, self.rows, self.cols


@dataclass(frozen=True)
class RegionReading:
    """What a header says about the regions of one frame.

    Parameters
    ----------
    regions : tuple of Region
        In the header's order, clipped to the frame; those that do not show space have no spacing. Empty when anything
        was refused: a header that says one thing that cannot be true is not believed in the others.
    refused : tuple of str
        One sentence for each region, or statement, that cannot be believed.
    ignored : tuple of str
        One sentence for each region that does not show space.
    """

    regions: tuple[Region, ...] = ()
    refused: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


def parse_regions(dataset: Any, shape: tuple[int, int], frame: int = 1) -> RegionReading:
    """The calibration regions of one frame; whatever the header holds, nothing is raised.

    The frame's own regions (per-frame functional groups) come before those of all frames (shared functional groups),
    and those before the image's. A region outside the frame is refused, whatever it shows, because then the image was
    cut or scaled after the header was written; one that ends a single pixel past it is clipped (some scanners write
    the end as exclusive). RegionFlags do not change distances: bit 0 says whose pixel values count where regions
    overlap, bit 1 that scaling spoils the region, bit 2 what a Doppler scale shows, bits 3 and 4 how a trace scrolls.

    Parameters
    ----------
    dataset : pydicom Dataset
        The header, with or without pixels.
    shape : tuple of int
        ``(rows, columns)`` of the frame.
    frame : int
        Number of the frame, from 1.

    References
    ----------
    DICOM PS3.3, C.8.5.5 (US Region Calibration Module), especially C.8.5.5.1.1 (spatial format), C.8.5.5.1.2 (data
    type), C.8.5.5.1.3 (flags), C.8.5.5.1.15 (units) and C.8.5.5.1.16 (the reference pixel counts from the region's
    corner).
    """
    try:
        items = _items_of_frame(dataset, frame)
    except _MalformedError as error:
        return RegionReading(refused=(f"found a header {error.what}, expected {error.expected}",))
    if len(items) > MAX_REGIONS:
        return RegionReading(refused=(f"found {len(items)} ultrasound regions, expected at most {MAX_REGIONS}",))
    regions: dict[int, Region] = {}
    refused: list[str] = []
    ignored: list[str] = []
    for number, item in enumerate(items, start=1):
        try:
            region, reason = _region(item, shape)
        except _MalformedError as error:
            refused.append(f"found ultrasound region {number} {error.what}, expected {error.expected}")
            continue
        regions[number] = region
        if reason:
            ignored.append(f"found ultrasound region {number} {reason}; it is not taken as space")
    refused.extend(_contradictions(regions))
    return RegionReading(() if refused else tuple(regions.values()), tuple(refused), tuple(ignored))


class _MalformedError(Exception):
    """A statement that cannot be believed; never leaves this module."""

    def __init__(self, what: str, expected: str = "a number that fits") -> None:
        super().__init__(what)
        self.what, self.expected = what, expected


def _items_of_frame(dataset: Any, frame: int) -> list[Any]:
    groups = _sequence(dataset, "PerFrameFunctionalGroupsSequence")
    if groups and 1 <= frame <= len(groups):
        own = _group_items(groups[frame - 1])
        if own is not None:
            return own
    shared = _sequence(dataset, "SharedFunctionalGroupsSequence")
    common = _group_items(shared[0]) if shared else None
    return common if common is not None else _sequence(dataset, KEYWORD) or []


def _group_items(group: Any) -> list[Any] | None:
    """The regions of a functional group: in the group itself or in one of its macros."""
    own = _sequence(group, KEYWORD)
    if own is not None:
        return own
    for name in _names(group):
        for item in (_sequence(group, name, strict=False) or [])[:MAX_REGIONS]:
            nested = _sequence(item, KEYWORD)
            if nested is not None:
                return nested
    return None


def _names(group: Any) -> list[str]:
    try:
        return [str(name) for name in group.dir("Sequence")]
    except Exception:  # a header may hold anything, and pydicom converts it only now
        return []


def _sequence(dataset: Any, keyword: str, strict: bool = True) -> list[Any] | None:
    """The items, ``None`` where there is no such sequence."""
    value = _value(dataset, keyword)
    if value is None or (isinstance(value, str | bytes) and not value):
        return None
    # pydicom's Sequence is a mutable sequence of datasets; text and numbers have no `get` inside.
    if isinstance(value, MutableSequence) and all(hasattr(item, "get") for item in value):
        return list(value)
    if strict:
        raise _MalformedError(f"with {keyword} that is no sequence", "a sequence of items")
    return None


def _value(dataset: Any, keyword: str) -> Any:
    try:
        return dataset.get(keyword)
    except Exception:  # a header may hold anything, and pydicom converts it only now
        raise _MalformedError(f"with a damaged {keyword}", "it as DICOM defines it") from None


def _number(item: Any, keyword: str) -> float | None:
    """A finite number, ``None`` where there is none."""
    value = _value(item, keyword)
    if value is None or (isinstance(value, str | bytes) and not value):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise _MalformedError(f"with {keyword} that is no single number")
    try:
        number = float(value)
    except (ArithmeticError, ValueError):
        number = math.inf
    if not math.isfinite(number):
        raise _MalformedError(f"with {keyword} that is not finite", "a finite number")
    return number


def _integer(item: Any, keyword: str) -> int | None:
    number = _number(item, keyword)
    if number is None:
        return None
    if not number.is_integer() or abs(number) > LARGEST:
        raise _MalformedError(f"with {keyword} that is no whole number below 2^32", "a whole number")
    return int(number)


def _required(item: Any, keyword: str) -> int:
    number = _integer(item, keyword)
    if number is None:
        raise _MalformedError(f"without {keyword}")
    return number


def _optional(item: Any, keyword: str) -> int | None:
    """A whole number that no distance depends on: a damaged one counts as none."""
    try:
        return _integer(item, keyword)
    except _MalformedError:
        return None


def _region(item: Any, shape: tuple[int, int]) -> tuple[Region, str]:
    """A region, and why it does not show space (empty when it does)."""
    row, col, rows, cols, clipped = _box(item, shape)
    spatial_format = _required(item, "RegionSpatialFormat")
    # What a trace or a bar leaves out calibrates nothing; a picture has to state it.
    required = _required if spatial_format == TWO_D else _optional
    data_type = required(item, "RegionDataType") or 0
    reason = _reason(item, spatial_format, data_type)
    x0, y0 = _optional(item, "ReferencePixelX0"), _optional(item, "ReferencePixelY0")
    region = Region(
        row=row,
        col=col,
        rows=rows,
        cols=cols,
        spacing=None if reason else _spacing(item),
        spatial_format=spatial_format,
        data_type=data_type,
        clipped=clipped,
        reference_row=None if y0 is None else float(row + y0),
        reference_col=None if x0 is None else float(col + x0),
    )
    return region, reason


def _box(item: Any, shape: tuple[int, int]) -> tuple[int, int, int, int, bool]:
    x0, y0, x1, y1 = (_required(item, f"RegionLocation{name}") for name in ("MinX0", "MinY0", "MaxX1", "MaxY1"))
    where = f"at x {x0} to {x1}, y {y0} to {y1}"
    if x1 < x0 or y1 < y0:
        raise _MalformedError(where, "ends that are not before their beginnings")
    rows, cols = shape
    if x0 < 0 or y0 < 0 or x0 >= cols or y0 >= rows or x1 > cols or y1 > rows:
        raise _MalformedError(
            f"{where} outside the image of {rows} x {cols} pixels (rows x columns)",
            "it inside; the image was cut or scaled after its header was written",
        )
    clipped = x1 == cols or y1 == rows
    x1, y1 = min(x1, cols - 1), min(y1, rows - 1)
    return y0, x0, y1 - y0 + 1, x1 - x0 + 1, clipped


def _reason(item: Any, spatial_format: int, data_type: int) -> str:
    """Why a region does not show space; empty when it does."""
    if spatial_format != TWO_D:
        return f"of spatial format {spatial_format} ({FORMATS.get(spatial_format, 'unknown')})"
    if data_type not in IMAGE_TYPES:
        return f"of data type {data_type} ({DATA_TYPES.get(data_type, 'neither tissue nor colour flow')})"
    along_x, along_y = (_required(item, f"PhysicalUnits{axis}Direction") for axis in "XY")
    if (along_x, along_y) != (CENTIMETRES, CENTIMETRES):
        return f"with unit codes {along_x} along x and {along_y} along y, of which only 3 (cm) is a length"
    return ""


def _spacing(item: Any) -> Spacing:
    cm = [_number(item, f"PhysicalDelta{axis}") for axis in "YX"]
    if cm[0] is None or cm[1] is None:
        raise _MalformedError("in centimetres without PhysicalDeltaX and PhysicalDeltaY", "both")
    # The sign tells which way the physical axis points; the distance between pixels is the size.
    row_cm, col_cm = abs(cm[0]), abs(cm[1])
    low, high = PLAUSIBLE_SPACING_MM
    if not all(low <= value * MM_PER_CM <= high for value in (row_cm, col_cm)):
        raise _MalformedError(
            f"with {row_cm * MM_PER_CM:.6g} mm between rows and {col_cm * MM_PER_CM:.6g} mm between columns",
            f"{low:g} to {high:g} mm per pixel",
        )
    return Spacing.from_cm(row_cm, col_cm)


def _contradictions(regions: dict[int, Region]) -> list[str]:
    sentences = []
    for (first, one), (second, other) in itertools.combinations(regions.items(), 2):
        if one.box == other.box and one.spacing and other.spacing and not agree(one.spacing, other.spacing):
            sentences.append(
                f"found ultrasound regions {first} and {second} at one place with {in_mm(one.spacing)} and "
                f"{in_mm(other.spacing)}, expected one calibration"
            )
    return sentences


def agree(one: Spacing, other: Spacing) -> bool:
    """Whether two spacings differ by at most :data:`TOLERANCE` in both directions.

    Examples
    --------
    >>> agree(Spacing(0.1, 0.1), Spacing(0.1005, 0.1)), agree(Spacing(0.1, 0.2), Spacing(0.2, 0.1))
    (True, False)
    """
    return all(abs(a - b) <= TOLERANCE * max(a, b) for a, b in zip(one.as_tuple(), other.as_tuple(), strict=True))


def in_mm(spacing: Spacing) -> str:
    """A spacing in words.

    Examples
    --------
    >>> in_mm(Spacing(0.0784, 0.1))
    '0.0784 x 0.1 mm per pixel (rows x columns)'
    """
    return f"{spacing.row_mm:.6g} x {spacing.col_mm:.6g} mm per pixel (rows x columns)"
