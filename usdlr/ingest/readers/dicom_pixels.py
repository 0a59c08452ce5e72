"""One frame of DICOM pixel data becomes stored values: decompressed, but not yet grey levels or colours."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from usdlr.core.errors import DataError
from usdlr.ingest.readers.bounded import RefusedFile, require_size
from usdlr.ingest.readers.codestream import Codestream, parse_codestream, require_enough
from usdlr.ingest.readers.deep_jpeg import decode_apart
from usdlr.ingest.readers.dicom_file import OpenDataset, value_of

NATIVE = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"})
RLE = "1.2.840.10008.1.2.5"
JPEG = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70))
JPEG_LS = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (80, 81))
JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 201, 202, 203))
# Syntaxes whose compression may alter pixels.
LOSSY = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 81, 91, 203))
KINDS = {
    syntax: kinds
    for syntaxes, kinds in ((JPEG, ("dct", "lossless")), (JPEG_LS, ("jpegls",)), (JPEG_2000, ("j2k",)))
    for syntax in syntaxes
}
# GDCM also decodes all of these, and ends the calling process on many damaged ones.
PLUGINS = {**dict.fromkeys(JPEG_LS, "pyjpegls"), **dict.fromkeys(JPEG_2000, "pylibjpeg"), RLE: "pydicom"}
HALF_CHROMA = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})
CHANNELS = {
    **dict.fromkeys(("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"), 1),
    **dict.fromkeys(("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_422"), 3),
}
# The longest legal RLE packet spends two bytes on two pixels' worth of one; more is padding or an attack.
RLE_SLACK = 2
ITEM, DELIMITER = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"


@dataclass(frozen=True)
class PixelFormat:
    """How one frame is stored, as its DICOM header says.

    Parameters
    ----------
    rows, cols, channels : int
        Size and samples per pixel.
    allocated, stored, high : int
        BitsAllocated, BitsStored and HighBit.
    signed : bool
        Whether stored values are in two's complement.
    photometric : str
        PhotometricInterpretation.
    planar : int
        PlanarConfiguration: 0 colour by pixel, 1 colour by plane.
    """

    rows: int
    cols: int
    channels: int
    allocated: int
    stored: int
    high: int
    signed: bool
    photometric: str
    planar: int

    @property
    def frame_bits(self) -> int:
        """Bits of one decompressed frame."""
        return self.rows * self.cols * self.channels * self.allocated

    @property
    def native_bits(self) -> int:
        """Bits of one frame that was never compressed; two pixels may share their chroma."""
        return self.frame_bits * 2 // 3 if self.photometric in HALF_CHROMA else self.frame_bits


@dataclass(frozen=True)
class StoredFrame:
    """Stored values of one frame.

    Parameters
    ----------
    values : uint8 or uint16 array, (rows, columns) or (rows, columns, 3)
        The stored bits, moved to the low end of each sample; two's complement where the format is signed.
    photometric : str
        What the channels are after decompression, which may differ from what the header says.
    """

    values: npt.NDArray[Any]
    photometric: str


def pixel_format(dataset: Any) -> PixelFormat:
    """How the pixels of a data set are stored.

    Raises
    ------
    RefusedFile
        If an element is missing, damaged, contradicts another, or describes pixels that are not read here.
    """

    def number(keyword: str, default: int | None = None) -> int:
        value = value_of(dataset, keyword)
        if value is None and default is not None:
            return default
        if not isinstance(value, int):
            raise RefusedFile(f"without a usable {keyword}", "one whole number")
        return int(value)

    photometric = str(value_of(dataset, "PhotometricInterpretation") or "").strip()
    if photometric not in CHANNELS:
        shown = photometric if photometric.replace("_", "").replace(" ", "").isalnum() else "none"
        raise RefusedFile(f"with the photometric interpretation {shown[:16]}", ", ".join(CHANNELS))
    rows, cols = number("Rows"), number("Columns")
    require_size(rows, cols)
    allocated = number("BitsAllocated")
    stored = number("BitsStored", allocated)
    result = PixelFormat(
        rows=rows,
        cols=cols,
        channels=number("SamplesPerPixel", 1),
        allocated=allocated,
        stored=stored,
        high=number("HighBit", stored - 1),
        signed=bool(number("PixelRepresentation", 0)),
        photometric=photometric,
        planar=number("PlanarConfiguration", 0),
    )
    if result.channels != CHANNELS[photometric]:
        raise RefusedFile(
            f"with {result.channels} samples per pixel in {photometric}", f"{CHANNELS[photometric]} of them"
        )
    if allocated not in (1, 8, 16) or not 1 <= stored <= allocated or not stored - 1 <= result.high < allocated:
        raise RefusedFile(
            f"with {stored} bits stored in {allocated}, the highest {result.high}", "1, 8 or 16 bits, stored inside"
        )
    if allocated == 1 and result.channels > 1:
        raise RefusedFile("with colours of one bit", "at least 8 bits per sample")
    if result.planar not in (0, 1) or (result.signed and result.channels > 1):
        raise RefusedFile("with signed colours or an unknown planar configuration", "unsigned colours")
    return result


def read_stored(opened: OpenDataset, shape: PixelFormat, frame: int, frames: int) -> StoredFrame:
    """Decompress one frame, and no other.

    JPEG is decoded by Pillow, JPEG-LS by pyjpegls, JPEG 2000 by OpenJPEG, RLE by pydicom; lossless JPEG of more than
    8 bits by GDCM in a process of its own. Where a JPEG codestream states its colour space (component names, an Adobe
    or a JFIF marker), it wins over the header. JPEG 2000 comes back as RGB, its own transformation undone.

    Parameters
    ----------
    opened : OpenDataset
        The stream is at the pixel data's value.
    shape : PixelFormat
        How it is stored.
    frame, frames : int
        The frame to read, from 1, and how many there are.

    Raises
    ------
    RefusedFile
        If the pixel data is shorter than the header says, the codestream contradicts the header, or it is damaged.
    DataError
        If the decoder is not installed.

    References
    ----------
    DICOM PS3.5, section 8 and annex A.
    """
    if opened.syntax in NATIVE:
        return _native(opened, shape, frame, frames)
    if opened.syntax != RLE and opened.syntax not in KINDS:
        raise RefusedFile(
            "in a transfer syntax that is not read here (video?)", "still images, uncompressed, JPEG or RLE"
        )
    if opened.length is not None:
        raise RefusedFile("with compressed pixel data of a stated length", "fragments, as compression requires")
    data = _encapsulated_frame(opened, frame, frames)
    if opened.syntax == RLE:
        most = RLE_SLACK * shape.frame_bits // 8 + 64
        if len(data) > most:
            raise RefusedFile(f"with {len(data)} bytes of RLE in one frame", f"at most {most}")
        return _shifted(shape, *_pydicom_array(io.BytesIO(_wrapped(data)), opened, shape, 0, 1))
    code = parse_codestream(data)
    _require_agreement(code, shape, KINDS[opened.syntax])
    require_enough(code, len(data))
    if opened.syntax in JPEG:
        return _jpeg(data, code, shape)
    values, photometric = _pydicom_array(io.BytesIO(_wrapped(data)), opened, shape, 0, 1)
    return _masked(shape, values, photometric)


def _native(opened: OpenDataset, shape: PixelFormat, frame: int, frames: int) -> StoredFrame:
    needed = -(-shape.native_bits * frames // 8)
    if opened.length is None or opened.length < needed or opened.left < needed:
        have = 0 if opened.length is None else min(opened.length, opened.left)
        raise RefusedFile(f"with {have} bytes of pixels", f"{needed}, as its size and frames say")
    if shape.allocated == 1:
        return StoredFrame(_single_bits(opened, shape, frame), shape.photometric)
    if shape.photometric == "YBR_PARTIAL_422":
        # pydicom does not know its subsampling; that of YBR_FULL_422 is the same.
        if shape.allocated != 8 or shape.planar != 0:
            raise RefusedFile("with YBR_PARTIAL_422 of another depth than 8 bits", "8 bits per sample")
        values, _ = _pydicom_array(opened.stream, opened, shape, frame - 1, frames, photometric="YBR_FULL_422")
        return _shifted(shape, values, shape.photometric)
    return _shifted(shape, *_pydicom_array(opened.stream, opened, shape, frame - 1, frames))


def _single_bits(opened: OpenDataset, shape: PixelFormat, frame: int) -> npt.NDArray[np.uint8]:
    """Frames of single bits follow each other without padding, so that one may start inside a byte.

    pydicom reads a byte too few where such a frame also ends inside one.
    """
    first = (frame - 1) * shape.frame_bits
    last = first + shape.frame_bits
    opened.stream.seek(first // 8, io.SEEK_CUR)
    packed = np.frombuffer(opened.stream.read(-(-last // 8) - first // 8), np.uint8)
    bits = np.unpackbits(packed, bitorder="little")[first % 8 :][: shape.frame_bits]
    return bits.reshape(shape.rows, shape.cols)


def _pydicom_array(
    source: Any, opened: OpenDataset, shape: PixelFormat, index: int, frames: int, photometric: str | None = None
) -> tuple[npt.NDArray[Any], str]:
    """Samples and their photometric interpretation, before any conversion of colours or unused bits."""
    from pydicom.pixels.decoders.base import get_decoder

    decoder = get_decoder(opened.syntax)
    plugin = PLUGINS.get(opened.syntax, "")
    if plugin and plugin not in decoder.available_plugins:
        raise DataError(f"found a DICOM file that needs the decoder {plugin}, expected it; pip install usdlr[dicom]")
    options: dict[str, Any] = {
        "rows": shape.rows,
        "columns": shape.cols,
        "samples_per_pixel": shape.channels,
        "bits_allocated": shape.allocated,
        "bits_stored": shape.stored,
        # Signs are applied later, by one rule for every syntax.
        "pixel_representation": 0,
        "photometric_interpretation": photometric or shape.photometric,
        "planar_configuration": shape.planar,
        "number_of_frames": frames,
        "pixel_keyword": "PixelData",
        "pixel_vr": opened.vr,
        "correct_unused_bits": False,
    }
    values, properties = decoder.as_array(source, index=index, raw=True, decoding_plugin=plugin, **options)
    return values, str(properties["photometric_interpretation"])


def _shifted(shape: PixelFormat, values: npt.NDArray[Any], photometric: str) -> StoredFrame:
    """Values at the place that HighBit says; what else shares the samples (old overlays) is dropped."""
    unsigned = values.view(f"u{values.dtype.itemsize}") if values.dtype.kind == "i" else values
    low = shape.high - shape.stored + 1
    if low or shape.stored < shape.allocated:
        unsigned = (unsigned >> low) & (2**shape.stored - 1)
    return StoredFrame(unsigned.astype(np.uint16 if shape.allocated > 8 else np.uint8), photometric)


def _masked(shape: PixelFormat, values: npt.NDArray[Any], photometric: str) -> StoredFrame:
    """Values of a codestream, which always start at the lowest bit."""
    unsigned = values.view(f"u{values.dtype.itemsize}") if values.dtype.kind == "i" else values
    if shape.signed:
        unsigned = unsigned & (2**shape.stored - 1)
    elif unsigned.size and int(unsigned.max()) >= 2**shape.stored:
        raise RefusedFile(f"with pixels above {2**shape.stored - 1}", f"{shape.stored} bits, as its header says")
    return StoredFrame(unsigned.astype(np.uint16 if shape.allocated > 8 else np.uint8), photometric)


def _require_agreement(code: Codestream, shape: PixelFormat, kinds: tuple[str, ...]) -> None:
    if code.kind not in kinds:
        raise RefusedFile(f"with a {code.kind} codestream", " or ".join(kinds) + ", as its transfer syntax says")
    if (code.rows, code.cols, code.channels) != (shape.rows, shape.cols, shape.channels):
        raise RefusedFile(
            f"with a codestream of {code.rows} x {code.cols} pixels and {code.channels} channels",
            f"{shape.rows} x {shape.cols} and {shape.channels}, as its header says",
        )
    if not shape.stored <= code.precision <= shape.allocated:
        raise RefusedFile(f"with a codestream of {code.precision} bits", f"{shape.stored} bits, as its header says")


def _jpeg(data: bytes, code: Codestream, shape: PixelFormat) -> StoredFrame:
    """Baseline, extended and progressive JPEG of 8 bits, and lossless JPEG."""
    space = code.colour_space or shape.photometric
    if shape.photometric == "YBR_PARTIAL_422":
        raise RefusedFile("with JPEG pixels in YBR_PARTIAL_422", "YBR_FULL_422 or RGB")
    if code.precision == 8:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            require_size(image.height, image.width)
            if code.libjpeg_converts:
                image.draft("YCbCr", image.size)  # as stored: the conversion follows, by one rule for every syntax
            values = np.asarray(image)
    elif code.kind == "lossless":
        values = decode_apart(data, code)
    else:
        raise RefusedFile(f"with JPEG of {code.precision} bits", "8 bits, or a lossless kind")
    expected = (code.rows, code.cols) if code.channels == 1 else (code.rows, code.cols, code.channels)
    if values.shape != expected:
        raise RefusedFile("with a JPEG frame that decodes to another size", "the size in its header")
    return _masked(shape, values, space)


def _encapsulated_frame(opened: OpenDataset, frame: int, frames: int) -> bytes:
    """The compressed bytes of one frame; every fragment has to be whole."""
    from pydicom.encaps import get_frame

    start = opened.stream.tell()
    position, end = start, start + opened.left
    while position + 8 <= end:
        opened.stream.seek(position)
        head = opened.stream.read(8)
        if head[:4] == DELIMITER:
            break
        position += 8 + int.from_bytes(head[4:], "little")
        if head[:4] != ITEM or position > end:
            raise RefusedFile("with compressed pixel data that ends early", "whole fragments")
    opened.stream.seek(start)
    tables = value_of(opened.dataset, "ExtendedOffsetTable"), value_of(opened.dataset, "ExtendedOffsetTableLengths")
    extended = tables if None not in tables else None
    try:
        return bytes(get_frame(opened.stream, frame - 1, number_of_frames=frames, extended_offsets=extended))
    except ValueError as error:
        raise RefusedFile(f"whose compressed pixel data lacks frame {frame}", f"{frames} of them") from error


def _wrapped(data: bytes) -> bytes:
    """One frame as encapsulated pixel data, for pydicom."""
    padded = data + b"\0" * (len(data) % 2)
    return ITEM + bytes(4) + ITEM + len(padded).to_bytes(4, "little") + padded + DELIMITER + bytes(4)
