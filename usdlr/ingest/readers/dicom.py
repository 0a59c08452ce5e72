"""One frame of a DICOM file, with its calibration."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from usdlr.ingest.readers.bounded import RefusedFile, choose_frame
from usdlr.ingest.readers.dicom_file import open_dataset, quiet, value_of
from usdlr.ingest.readers.dicom_header import frame_count, pixel_spacing_of, spacing_of
from usdlr.ingest.readers.dicom_pixels import LOSSY, pixel_format, read_stored
from usdlr.ingest.readers.dicom_values import to_levels
from usdlr.ingest.readers.frame import SourceFrame


def read_dicom(path: Path, frame: int | None) -> SourceFrame:
    """One frame of a DICOM file: grey with brighter as the stronger echo, or red, green and blue.

    Decompression is described in :mod:`usdlr.ingest.readers.dicom_pixels`, conversion to grey levels and colours in
    :mod:`usdlr.ingest.readers.dicom_values`. Calibration is read and kept apart by kind: ultrasound regions,
    PixelSpacing (of the frame's functional groups where there are any) and ImagerPixelSpacing; malformed values count
    as absent, and NominalScannedPixelSpacing, which measures paper, is not used.

    Parameters
    ----------
    path : Path
        The file, with or without preamble.
    frame : int or None
        Number of the frame, from 1.

    Raises
    ------
    RefusedFile
        If the pixels cannot be decoded as the header says.
    WrongFrame
        If there are several frames and none, or one that is not there, is asked for.
    DataError
        If pydicom or a decoder is not installed.
    """
    from usdlr.ingest.regions import parse_regions

    with quiet(), open_dataset(path) as opened:
        if opened.keyword is None:
            raise RefusedFile("without pixels", "an image", "leave it out of the export")
        if opened.keyword != "PixelData":
            raise RefusedFile("with floating-point pixels", "8 or 16 bits per sample")
        shape = pixel_format(opened.dataset)
        frames = frame_count(opened.dataset)
        chosen = choose_frame(frames, frame)
        stored = read_stored(opened, shape, chosen, frames)
        levels = to_levels(stored, shape, opened.dataset, chosen, opened.little_endian)
        reading = parse_regions(opened.dataset, shape=(shape.rows, shape.cols), frame=chosen)
        return SourceFrame(
            pixels=np.ascontiguousarray(levels.pixels),
            format="DICOM",
            bits=levels.bits,
            frame=chosen,
            frames=frames,
            lossy=opened.syntax in LOSSY or str(value_of(opened.dataset, "LossyImageCompression")) == "01",
            regions=reading.regions,
            refused=reading.refused,
            pixel_spacing=pixel_spacing_of(opened.dataset, chosen),
            imager_pixel_spacing=spacing_of(opened.dataset, "ImagerPixelSpacing"),
        )
