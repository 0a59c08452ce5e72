"""One slice of an NRRD file."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import DataError
from usdlr.core.units import Spacing
from usdlr.ingest.readers.bounded import BoundedFile, RefusedFile, choose_frame, inflate, require_size
from usdlr.ingest.readers.frame import SourceFrame
from usdlr.ingest.readers.volumes import MM_PER_UNIT, Layout, narrow, require_straight, spacing_mm

MAX_HEADER = 1 << 20
# Anatomical spaces are in millimetres by the convention of every program that writes them.
MILLIMETRE_SPACES = ("left", "right", "scanner", "lps", "ras", "las")
TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"), "i8"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), "u8"),
    "float": "f4",
    "double": "f8",
}
COLOUR_KINDS = {"RGB-color": 3, "RGBA-color": 4, "3-color": 3, "4-color": 4}
VECTOR_KINDS = frozenset({"vector", "list", "covariant-vector", "3-vector", "4-vector"})
MAX_TEXT_BYTES_PER_VALUE = 32


def read_nrrd(path: Path, frame: int | None) -> SourceFrame:
    """One slice of an NRRD file with attached pixels (raw, gzip, bzip2 or text).

    Parameters
    ----------
    path : Path
        The file.
    frame : int or None
        Number of the slice along the third axis (then the fourth ...), from 1.

    Raises
    ------
    RefusedFile
        If the pixels are in another file, the header is damaged, or axes or pixels are of a kind that is not read.
    WrongFrame
        If there are several slices and none, or one that is not there, is asked for.
    DataError
        If pynrrd is not installed.
    """
    try:
        import nrrd
    except ImportError as error:
        raise DataError("found an NRRD file but no pynrrd, expected it; pip install usdlr[dicom]") from error

    with BoundedFile(path) as stream:
        lines = _lines(stream)
        fields: dict[str, Any] = dict(nrrd.read_header(lines))
        layout, axes = _layout(fields)
        chosen = choose_frame(layout.frames, frame)
        directions = _directions(fields, axes)
        raw = _slice(stream, fields, layout, chosen)
    pixels, bits = narrow(layout.pixels(raw))
    return SourceFrame(
        pixels=pixels,
        format="NRRD",
        bits=bits,
        frame=chosen,
        frames=layout.frames,
        pixel_spacing=_spacing(fields, axes, directions),
    )


def _lines(stream: BoundedFile) -> list[bytes]:
    """The header up to its blank line; the stream stands at the first byte of pixels after it."""
    lines: list[bytes] = []
    while True:
        line = stream.readline(MAX_HEADER)
        if not line.endswith(b"\n") or stream.tell() > MAX_HEADER:
            raise RefusedFile("with an NRRD header without an end", "a blank line before the pixels")
        if not line.strip():
            return lines
        name = line.partition(b":")[0].strip().lower()
        if name in (b"data file", b"datafile"):
            raise RefusedFile(
                "that is an NRRD header with its pixels in another file", "both in one file", "save it as .nrrd"
            )
        lines.append(line)


def _layout(fields: dict[str, Any]) -> tuple[Layout, int]:
    """The layout, and the number of axes before x (one where channels come first)."""
    sizes = [int(size) for size in fields["sizes"]]
    if any(size < 1 for size in sizes) or len(sizes) != int(fields["dimension"]):
        raise RefusedFile("with damaged sizes", "one positive size per axis")
    kinds = [str(kind) for kind in fields.get("kinds") or []]
    first = kinds[0] if kinds else ""
    channels, before = 1, 0
    if first in COLOUR_KINDS or (first in VECTOR_KINDS and sizes[0] in (3, 4)):
        channels, before = sizes[0], 1
        if channels != COLOUR_KINDS.get(first, channels):
            raise RefusedFile(f"with {channels} channels of the kind {first}", "three or four, as its kind says")
    elif first in VECTOR_KINDS:
        raise RefusedFile(f"with {sizes[0]} values per pixel", "one, or three or four of a colour")
    if len(sizes) - before < 2:
        raise RefusedFile(f"with {len(sizes) - before} axes", "at least two")
    name = TYPES.get(str(fields["type"]).lower())
    if name is None or (channels > 1 and name != "u1"):
        raise RefusedFile("with pixels that are no plain numbers", "integers or floating-point numbers, colours 8-bit")
    order = ">" if str(fields.get("endian", "little")).lower() == "big" else "<"
    cols, rows = sizes[before : before + 2]
    require_size(rows, cols)
    return Layout(cols, rows, math.prod(sizes[before + 2 :]), channels, np.dtype(order + name)), before


def _slice(stream: BoundedFile, fields: dict[str, Any], layout: Layout, frame: int) -> bytes:
    for _ in range(_skip(fields, "line skip", "lineskip")):
        stream.readline(MAX_HEADER)
    skip = _skip(fields, "byte skip", "byteskip")
    encoding = str(fields.get("encoding", "raw")).lower()
    start = (frame - 1) * layout.slice_bytes
    if encoding in ("gz", "gzip"):
        return inflate(stream, "gzip", skip=skip + start, size=layout.slice_bytes)
    if encoding in ("bz2", "bzip2"):
        return inflate(stream, "bzip2", skip=skip + start, size=layout.slice_bytes)
    stream.seek(skip, io.SEEK_CUR)
    if encoding == "raw":
        stream.seek(start, io.SEEK_CUR)
        return stream.read(layout.slice_bytes)
    if encoding in ("ascii", "text", "txt"):
        total = layout.rows * layout.cols * layout.channels * layout.frames
        if stream.size - stream.tell() > MAX_TEXT_BYTES_PER_VALUE * total + 2:
            raise RefusedFile("with more text than its pixels need", f"{total} numbers")
        numbers = stream.read().split()[(frame - 1) * (total // layout.frames) : frame * (total // layout.frames)]
        return np.array([float(number) for number in numbers]).astype(layout.dtype).tobytes()
    raise RefusedFile("in an encoding that is not read here", "raw, gzip, bzip2 or text")


def _skip(fields: dict[str, Any], *names: str) -> int:
    skip = next((int(fields[name]) for name in names if name in fields), 0)
    if not 0 <= skip <= MAX_HEADER:
        raise RefusedFile(f"that skips {skip} bytes or lines before its pixels", f"0 to {MAX_HEADER}")
    return skip


def _directions(fields: dict[str, Any], before: int) -> npt.NDArray[np.float64] | None:
    """Columns: how far one step along x and along y goes in space; ``None`` when the header does not say."""
    stated = fields.get("space directions")
    if stated is None:
        return None
    rows = [np.asarray(row, dtype=float) for row in list(stated)[before : before + 2]]
    if len(rows) != 2 or any(row.ndim != 1 or len(row) < 2 or not np.isfinite(row).all() for row in rows):
        raise RefusedFile("with damaged space directions", "one vector per axis")
    directions = np.stack(rows, axis=1)
    require_straight(directions[:2], "NRRD")
    return directions


def _spacing(fields: dict[str, Any], before: int, directions: npt.NDArray[np.float64] | None) -> Spacing | None:
    if directions is not None:
        units = [str(unit).strip('"') for unit in fields.get("space units") or []]
        anatomical = str(fields.get("space", "")).lower().startswith(MILLIMETRE_SPACES)
        factor = MM_PER_UNIT.get(units[0]) if units else (1.0 if anatomical else None)
        return spacing_mm(np.linalg.norm(directions, axis=0).tolist(), factor)
    spacings = [float(value) for value in fields.get("spacings", [])]
    units = [str(unit).strip('"') for unit in fields.get("units") or []]
    if len(spacings) < before + 2 or len(units) < before + 2 or units[before] != units[before + 1]:
        return None
    return spacing_mm(spacings[before : before + 2], MM_PER_UNIT.get(units[before]))
