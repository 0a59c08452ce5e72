"""``multipart/related`` (RFC 2387) as DICOMweb uses it: written whole, read piece by piece within bounds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from usdlr.core.errors import DataError

BOUNDARY = re.compile(r"""boundary\s*=\s*(?:"([^"]{1,70})"|([^\s;,"]{1,70}))""", re.IGNORECASE)
# Headers of a part are a content type and perhaps a location.
MAX_HEADERS = 8192


@dataclass(frozen=True)
class Bounds:
    """What an answer may grow to.

    Parameters
    ----------
    part, total : int
        Bytes of one instance, and of the whole answer.
    parts : int
        Number of instances.
    """

    part: int = 512 << 20
    total: int = 4 << 30
    parts: int = 10_000


def boundary_of(content_type: str) -> bytes:
    """The boundary that a content type names.

    Raises
    ------
    DataError
        If it is not ``multipart/related`` or names none.

    Examples
    --------
    >>> boundary_of('multipart/related; type="application/dicom"; boundary=abc')
    b'abc'
    """
    found = BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/related") or found is None:
        raise DataError(
            f"found an answer of type {content_type[:60]!r}, expected multipart/related; check the archive's address"
        )
    return (found[1] or found[2]).encode("ascii", "replace")


def encode(parts: Iterable[bytes], boundary: str) -> Iterator[bytes]:
    r"""DICOM files as the body of a request, piece by piece.

    Examples
    --------
    >>> b"".join(encode([], "abc"))
    b'--abc--\r\n'
    """
    for part in parts:
        yield f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        yield part
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def decode(pieces: Iterable[bytes], boundary: bytes, bounds: Bounds) -> Iterator[bytes]:
    r"""The parts of a body, without their headers; never more than one of them in memory.

    Parameters
    ----------
    pieces : iterable of bytes
        The body as it arrives.
    boundary : bytes
        See :func:`boundary_of`.
    bounds : Bounds
        What is read at most.

    Raises
    ------
    DataError
        If the body is larger than the bounds, damaged, or ends early: what came before is then not the whole study.

    Examples
    --------
    >>> list(decode([b"--b\r\nA: 1\r\n\r\nfirst\r\n--b", b"\r\n\r\nsecond\r\n--b--"], b"b", Bounds()))
    [b'first', b'second']
    """
    mark = b"\r\n--" + boundary
    # The first boundary may stand without a line break before it.
    buffer = bytearray(b"\r\n")
    total = searched = count = 0
    inside = False
    for piece in pieces:
        total += len(piece)
        if total > bounds.total:
            raise _too_much(f"more than {bounds.total >> 20} MiB")
        buffer += piece
        while True:
            at = buffer.find(mark, searched)
            if at < 0 or len(buffer) < at + len(mark) + 2:
                # The mark may be split between two pieces.
                searched = max(len(buffer) - len(mark) - 2, 0) if at < 0 else at
                if searched > bounds.part + MAX_HEADERS:
                    raise _too_much(f"an instance of more than {bounds.part >> 20} MiB")
                break
            if inside:
                count += 1
                if count > bounds.parts:
                    raise _too_much(f"more than {bounds.parts} instances")
                yield _content(bytes(buffer[:at]), bounds)
            end = bytes(buffer[at + len(mark) : at + len(mark) + 2])
            del buffer[: at + len(mark)]
            searched, inside = 0, True
            if end == b"--":
                return
    raise DataError("found an answer that ends in the middle, expected a whole one; ask for the study again")


def _content(part: bytes, bounds: Bounds) -> bytes:
    """A part without its headers; it begins with the end of the boundary's line."""
    end = part.find(b"\r\n\r\n", 0, MAX_HEADERS)
    if end < 0:
        raise DataError("found a part of an answer without an end of its headers, expected one; check the archive")
    if len(part) - end - 4 > bounds.part:
        raise _too_much(f"an instance of more than {bounds.part >> 20} MiB")
    return part[end + 4 :]


def _too_much(what: str) -> DataError:
    return DataError(f"found {what} in an answer, expected less; fetch fewer studies, or raise the limit")
