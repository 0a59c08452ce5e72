"""DICOM files, opened up to their pixels within bounds."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Literal

from usdlr.core.errors import DataError
from usdlr.ingest.readers.bounded import BoundedFile, RefusedFile, inflate_deflated

DEFLATED = b"1.2.840.10008.1.2.1.99"
# A data set without file meta information has no transfer syntax; the encoding that was found stands in for it.
IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
PREAMBLE = 132
EMPTY_DEFLATE = b"\x03\x00"
PIXEL_TAGS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
PIXEL_VRS = (b"OB", b"OW", b"OF", b"OD", b"UN")
UNDEFINED_LENGTH = 0xFFFFFFFF


# An explicit value representation, or a plausible 32-bit length, must follow the first tag of a bare DICOM data set.
BARE_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")
BARE_VRS = (b"UL", b"UI", b"CS", b"OB", b"DA", b"LO", b"SH")
LONGEST_FIRST_ELEMENT = 1024


@dataclass(frozen=True)
class OpenDataset:
    """A data set up to its pixels, and the stream that holds them.

    Parameters
    ----------
    dataset : pydicom Dataset
        Everything before the pixel data.
    syntax : str
        Transfer syntax UID.
    little_endian : bool
        Byte order of the data set.
    stream : binary file
        Positioned at the first byte of the pixel data's value.
    keyword : str or None
        ``PixelData``, ``FloatPixelData``, ``DoubleFloatPixelData``; ``None``: there is none.
    vr : str
        Value representation of the pixel data, ``OB`` or ``OW``.
    length : int or None
        Length of the value in bytes; ``None``: undefined, the pixel data is encapsulated.
    left : int
        Bytes from the value's start to the end of the stream.
    """

    dataset: Any
    syntax: str
    little_endian: bool
    stream: BinaryIO
    keyword: str | None
    vr: str
    length: int | None
    left: int


def has_preamble(head: bytes) -> bool:
    """Whether the first bytes of a file are a DICOM preamble and prefix."""
    return head[128:132] == b"DICM"


def is_bare_dataset(head: bytes) -> bool:
    """Whether the bytes look like the first element of a data set without preamble."""
    if len(head) < 8 or head[:2] not in BARE_GROUPS:
        return False
    if head[4:6] in BARE_VRS:
        return True
    return head[1] == 0 and int.from_bytes(head[4:8], "little") <= LONGEST_FIRST_ELEMENT


def require_pydicom() -> ModuleType:
    """The pydicom package.

    Raises
    ------
    DataError
        If it is not installed.
    """
    try:
        import pydicom
    except ImportError as error:
        raise DataError(
            "found a DICOM file but no pydicom, expected the DICOM libraries; pip install usdlr[dicom]"
        ) from error
    return pydicom


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom's warnings and log lines, which quote header values, off the screen and out of every log."""
    logger, silent = logging.getLogger("pydicom"), logging.NullHandler()
    propagate = logger.propagate
    handlers = list(logger.handlers)
    logger.handlers, logger.propagate = [silent], False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.handlers, logger.propagate = handlers, propagate


@contextmanager
def open_dataset(path: Path) -> Iterator[OpenDataset]:
    """Everything before the pixels of a DICOM file, with or without preamble, deflated or not.

    Raises
    ------
    RefusedFile
        If the header is damaged or the file too large.
    """
    pydicom = require_pydicom()
    with BoundedFile(path) as file:
        head = file.read(2048)
        file.seek(0)
        stream: Any = file
        if not has_preamble(head) and not is_bare_dataset(head):
            raise RefusedFile("that is not DICOM", "a DICOM file")
        if has_preamble(head) and DEFLATED in head:
            dataset, stream = _inflated(pydicom, file)
            syntax = DEFLATED.decode()
            little = True
        else:
            dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True)
            little = bool(dataset.original_encoding[1])
            syntax = _syntax(dataset, bool(dataset.original_encoding[0]), little)
        yield _at_pixels(dataset, syntax, little, stream)


def _inflated(pydicom: ModuleType, file: BoundedFile) -> tuple[Any, BinaryIO]:
    """A deflated data set, inflated within bounds (pydicom alone would inflate without)."""
    start = file.seek(PREAMBLE)
    group = file.read(12)
    if group[:6] != b"\x02\x00\x00\x00UL":
        raise RefusedFile("with a damaged header", "the length of its file meta information")
    start += 12 + int.from_bytes(group[8:12], "little")
    file.seek(0)
    head = file.read(start)
    stream = io.BytesIO(inflate_deflated(file.read()))
    meta = pydicom.dcmread(io.BytesIO(head + EMPTY_DEFLATE), force=True).file_meta
    dataset = pydicom.filereader.read_dataset(
        stream, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, vr, length: tag in PIXEL_TAGS
    )
    dataset.file_meta = meta
    return dataset, stream


def _syntax(dataset: Any, implicit: bool, little: bool) -> str:
    stated = value_of(getattr(dataset, "file_meta", None), "TransferSyntaxUID")
    if stated:
        return str(stated)
    if not little:
        return EXPLICIT_BIG
    return IMPLICIT_LITTLE if implicit else EXPLICIT_LITTLE


def _at_pixels(dataset: Any, syntax: str, little: bool, stream: Any) -> OpenDataset:
    """Step over the head of the pixel data element, where there is one."""
    order: Literal["little", "big"] = "little" if little else "big"
    start = stream.tell()
    size = stream.seek(0, io.SEEK_END)
    stream.seek(start)
    head = stream.read(8)
    tag = 0
    if len(head) == 8:
        tag = int.from_bytes(head[:2], order) << 16 | int.from_bytes(head[2:4], order)
    if tag not in PIXEL_TAGS:
        return OpenDataset(dataset, syntax, little, stream, None, "", 0, 0)
    explicit = head[4:6] in PIXEL_VRS and head[6:8] == b"\0\0"
    raw = stream.read(4) if explicit else head[4:8]
    vr = head[4:6].decode() if explicit else "OW"
    length = int.from_bytes(raw, order)
    return OpenDataset(
        dataset,
        syntax,
        little,
        stream,
        PIXEL_TAGS[tag],
        vr,
        None if length == UNDEFINED_LENGTH else length,
        size - stream.tell(),
    )


def value_of(dataset: Any, keyword: str) -> Any:
    """The value of an element, ``None`` when it is absent, empty or malformed."""
    if dataset is None:
        return None
    try:
        value = dataset.get(keyword)
    except Exception:  # pydicom converts lazily, and raises nearly anything on a damaged value
        return None
    return None if value is None or (hasattr(value, "__len__") and len(value) == 0) else value
