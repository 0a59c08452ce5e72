"""Files of every format, written by other people's libraries."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    UltrasoundImageStorage,
    generate_uid,
)


def speckle(rows: int = 48, cols: int = 64, *, channels: int = 1, bits: int = 8, seed: int = 0) -> npt.NDArray[Any]:
    """Smooth structure with noise over the full range of ``bits``."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:cols]
    planes = []
    for number in range(channels):
        smooth = 0.5 + 0.3 * np.sin(x / (7 + number)) * np.cos(y / 5) + rng.normal(0, 0.04, (rows, cols))
        planes.append(np.clip(smooth, 0, 1))
    values = np.rint(np.stack(planes, -1) * (2**bits - 1)).astype(np.uint8 if bits <= 8 else np.uint16)
    values.flat[0], values.flat[-1] = 0, 2**bits - 1
    return np.asarray(values[..., 0] if channels == 1 else values)


def dataset(
    pixels: npt.NDArray[Any] | None,
    *,
    photometric: str = "MONOCHROME2",
    syntax: str = ExplicitVRLittleEndian,
    bits: int = 8,
    frames: int = 1,
    **elements: Any,
) -> FileDataset:
    """A small ultrasound data set; ``pixels`` is (rows, columns[, 3]) or starts with an axis of frames."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID = UltrasoundImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["readers"])
    made = FileDataset(
        "",
        {},
        file_meta=meta,
        preamble=b"\0" * 128,
        is_implicit_VR=meta.TransferSyntaxUID.is_implicit_VR,
        is_little_endian=meta.TransferSyntaxUID.is_little_endian,
    )
    made.SOPClassUID = meta.MediaStorageSOPClassUID
    made.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    made.Modality = "US"
    made.PatientID = "SECRET-7"
    made.PatientName = "Doe^Jane"
    if pixels is not None:
        one = pixels[0] if frames > 1 else pixels
        made.Rows, made.Columns = one.shape[:2]
        made.SamplesPerPixel = 1 if one.ndim == 2 else 3
        if one.ndim == 3:
            made.PlanarConfiguration = 0
        made.PhotometricInterpretation = photometric
        made.BitsAllocated = 8 * pixels.dtype.itemsize
        made.BitsStored = bits
        made.HighBit = bits - 1
        made.PixelRepresentation = int(pixels.dtype.kind == "i")
        if frames > 1:
            made.NumberOfFrames = frames
        raw = pixels.tobytes()
        made.PixelData = raw + b"\0" * (len(raw) % 2)
        made["PixelData"].VR = "OW" if made.BitsAllocated > 8 else "OB"
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def save(made: FileDataset, path: Path) -> Path:
    made.save_as(path, enforce_file_format=True)
    return path


def compressed(
    pixels: npt.NDArray[Any], syntax: str, *, photometric: str = "MONOCHROME2", bits: int = 8, frames: int = 1
) -> FileDataset:
    """The same image under a compressed transfer syntax; each frame is encoded by the library named in the code."""
    stack = pixels if frames > 1 else pixels[None]
    signed = pixels.dtype.kind == "i"
    coded = []
    for frame in stack:
        if syntax == JPEGBaseline8Bit:
            coded.append(jpeg(frame))
        elif syntax == JPEGLosslessSV1:
            coded.append(lossless_jpeg(frame, bits))
        else:
            coded.append(
                get_encoder(syntax).encode(
                    frame.tobytes(),
                    rows=frame.shape[0],
                    columns=frame.shape[1],
                    number_of_frames=1,
                    samples_per_pixel=1 if frame.ndim == 2 else 3,
                    bits_allocated=8 * frame.dtype.itemsize,
                    bits_stored=bits,
                    pixel_representation=int(signed),
                    photometric_interpretation="RGB" if photometric in ("YBR_RCT", "YBR_ICT") else photometric,
                    planar_configuration=0,
                )
            )
    made = dataset(pixels, photometric=photometric, syntax=syntax, bits=bits, frames=frames)
    made.PixelData = encapsulate(coded)
    made["PixelData"].VR = "OB"
    return made


def jpeg(pixels: npt.NDArray[Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


def lossless_jpeg(pixels: npt.NDArray[Any], bits: int) -> bytes:
    """Process 14, first-order prediction, by GDCM, whose objects may fail at exit: hence in a process of its own."""
    script = Path(__file__).with_name("lossless_jpeg.py")
    buffer = io.BytesIO()
    np.save(buffer, pixels)
    arguments = [sys.executable, "-P", str(script), str(bits)]
    return subprocess.run(arguments, input=buffer.getvalue(), stdout=subprocess.PIPE, check=True).stdout


def picture(pixels: npt.NDArray[Any] | Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as Pillow writes it."""
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


LOSSLESS = (RLELossless, JPEG2000Lossless, JPEGLSLossless, JPEGLosslessSV1)
