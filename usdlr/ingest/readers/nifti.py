"""One slice of a NIfTI file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from usdlr.core.errors import DataError
from usdlr.ingest.readers.bounded import BoundedFile, RefusedFile, choose_frame, inflate, require_size
from usdlr.ingest.readers.frame import SourceFrame
from usdlr.ingest.readers.volumes import MM_PER_UNIT, Layout, narrow, require_straight, spacing_mm

GZIP = b"\x1f\x8b"
HEADER_BYTES, SECOND_HEADER_BYTES = 348, 540  # NIfTI-1 and NIfTI-2
VECTOR = 1007
RGB_CODES = {128: 3, 2304: 4}


def read_nifti(path: Path, frame: int | None) -> SourceFrame:
    """One slice of a NIfTI file (``.nii`` or ``.nii.gz``, NIfTI-1 or -2).

    Parameters
    ----------
    path : Path
        The file.
    frame : int or None
        Number of the slice along the third axis (then the fourth ...), from 1.

    Raises
    ------
    RefusedFile
        If the header is damaged, or its axes or pixels are of a kind that is not read.
    WrongFrame
        If there are several slices and none, or one that is not there, is asked for.
    DataError
        If nibabel is not installed.
    """
    try:
        import nibabel
    except ImportError as error:
        raise DataError("found a NIfTI file but no nibabel, expected it; pip install usdlr[dicom]") from error

    with BoundedFile(path) as stream:
        packed = stream.read(2) == GZIP
        stream.seek(0)
        head = inflate(stream, "gzip", skip=0, size=SECOND_HEADER_BYTES) if packed else stream.read(SECOND_HEADER_BYTES)
        second = head[4:8] == b"n+2\0"
        kind: Any = nibabel.Nifti2Header if second else nibabel.Nifti1Header
        header: Any = kind(head[: SECOND_HEADER_BYTES if second else HEADER_BYTES], check=False)
        layout = _layout(header)
        chosen = choose_frame(layout.frames, frame)
        if int(header["qform_code"]) or int(header["sform_code"]):
            require_straight(np.asarray(header.get_best_affine(), dtype=float)[:2, :2], "NIfTI")
        offset = int(header["vox_offset"]) + (chosen - 1) * layout.slice_bytes
        if offset < HEADER_BYTES:
            raise RefusedFile("with a damaged header", "pixels after it")
        stream.seek(0 if packed else offset)
        raw = (
            inflate(stream, "gzip", skip=offset, size=layout.slice_bytes) if packed else stream.read(layout.slice_bytes)
        )
    pixels = layout.pixels(raw)
    slope, intercept = header.get_slope_inter()
    if layout.channels == 1 and slope is not None and (slope, intercept) != (1.0, 0.0):
        pixels = pixels.astype(np.float64) * slope + intercept
    pixels, bits = narrow(pixels)
    unit = str(header.get_xyzt_units()[0])
    zooms = [float(zoom) for zoom in header.get_zooms()[:2]]
    return SourceFrame(
        pixels=pixels,
        format="NIfTI",
        bits=bits,
        frame=chosen,
        frames=layout.frames,
        pixel_spacing=spacing_mm(zooms, MM_PER_UNIT.get(unit)),
    )


def _layout(header: Any) -> Layout:
    sizes = [int(size) for size in header.get_data_shape()]
    if len(sizes) < 2 or any(size < 1 for size in sizes):
        raise RefusedFile(f"with {len(sizes)} axes", "at least two, none of them empty")
    if int(header["intent_code"]) == VECTOR:
        raise RefusedFile("with several values per pixel", "grey, or NIfTI's own RGB", "save each channel apart")
    cols, rows = sizes[:2]
    require_size(rows, cols)
    code = int(header["datatype"])
    if code in RGB_CODES:
        return Layout(cols, rows, math.prod(sizes[2:]), RGB_CODES[code], np.dtype(np.uint8))
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise RefusedFile("with pixels that are no plain numbers", "integers or floating-point numbers")
    return Layout(cols, rows, math.prod(sizes[2:]), 1, dtype)
