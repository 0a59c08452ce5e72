"""Files of unknown origin are read within bounds: nothing is allocated because a header says so."""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from pathlib import Path

from usdlr.imaging.store import MAX_PIXELS

# One frame is read at a time, but a cine loop of one minute is one file.
MAX_FILE_BYTES = 2 * 1024**3
# What a compressed file may grow to before the wanted frame is reached.
MAX_INFLATED_BYTES = 1024**3
# What a deflated DICOM file may grow to in memory.
MAX_DEFLATED_BYTES = 256 * 1024**2
CHUNK = 1 << 20


class RefusedFile(Exception):  # noqa: N818 - a verdict on the file, not a defect
    """A file that cannot be used.

    Parameters
    ----------
    found : str
        What was found: the words that follow "found FILE".
    expected : str
        What was expected.
    mend : str
        How to mend it.
    """

    def __init__(self, found: str, expected: str, mend: str = "export it again") -> None:
        super().__init__(found)
        self.found, self.expected, self.mend = found, expected, mend

    def sentence(self, name: str) -> str:
        """The whole sentence about the file ``name``."""
        return f"found {name} {self.found}, expected {self.expected}; {self.mend}"


class WrongFrame(Exception):  # noqa: N818 - a verdict on the request, not a defect
    """A file with several frames of which none, or one that is not there, was asked for.

    Parameters
    ----------
    frames : int
        Number of frames in the file.
    asked : int or None
        The frame that was asked for, from 1.
    """

    def __init__(self, frames: int, asked: int | None) -> None:
        super().__init__(f"{frames} frames")
        self.frames, self.asked = frames, asked

    def sentence(self, name: str) -> str:
        """The whole sentence about the file ``name``."""
        if self.asked is None:
            return (
                f"found {name} with {self.frames} frames, expected the number of the frame that is meant; "
                f"state a frame from 1 to {self.frames}"
            )
        return (
            f"found {name} with {self.frames} frame{'' if self.frames == 1 else 's'}, expected at least {self.asked} "
            "as the frame asked for; correct the frame, which counts from 1"
        )


def choose_frame(frames: int, asked: int | None) -> int:
    """The frame to read, counted from 1.

    Raises
    ------
    WrongFrame
        If the file has several and none is asked for, or the one asked for is not there.
    """
    if asked is None and frames == 1:
        return 1
    if asked is None or not 1 <= asked <= frames:
        raise WrongFrame(frames, asked)
    return asked


def require_size(rows: int, cols: int) -> None:
    """Refuse a size that no ultrasound frame has, before anything is allocated for it.

    Raises
    ------
    RefusedFile
        If there is no pixel, or more than :data:`usdlr.imaging.store.MAX_PIXELS`.
    """
    if rows < 1 or cols < 1 or rows * cols > MAX_PIXELS:
        raise RefusedFile(f"that claims {rows} x {cols} pixels (rows x columns)", f"1 to {MAX_PIXELS} pixels")


class BoundedFile(io.BufferedReader):
    """A file whose ``read`` never asks for more memory than the file has bytes left.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    RefusedFile
        If the file is larger than :data:`MAX_FILE_BYTES`.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.size = self.seek(0, io.SEEK_END)
        self.seek(0)
        if self.size > MAX_FILE_BYTES:
            self.close()
            raise RefusedFile(
                f"of {self.size >> 20} MiB", f"at most {MAX_FILE_BYTES >> 20} MiB", "export the one frame that is meant"
            )

    def read(self, size: int | None = -1, /) -> bytes:
        """At most ``size`` bytes."""
        left = max(self.size - self.tell(), 0)
        return super().read(left if size is None or size < 0 else min(size, left))


def read_content(path: Path) -> bytes:
    """All bytes of a file.

    Raises
    ------
    RefusedFile
        If the file is too large.
    """
    with BoundedFile(path) as stream:
        return stream.read()


def inflate(stream: io.BufferedIOBase, kind: str, *, skip: int, size: int) -> bytes:
    """``size`` bytes of a compressed stream after the first ``skip``, without ever holding more of it.

    Parameters
    ----------
    stream : binary file
        Positioned at the first compressed byte.
    kind : str
        ``gzip`` or ``bzip2``.
    skip, size : int
        Bytes of the decompressed content.

    Returns
    -------
    bytes
        Fewer than ``size`` when the content ends earlier.

    Raises
    ------
    RefusedFile
        If ``skip + size`` is more than :data:`MAX_INFLATED_BYTES`, or the stream is damaged.
    """
    require_inflated(skip + size, MAX_INFLATED_BYTES)
    kept = bytearray()
    try:
        with gzip.GzipFile(fileobj=stream) if kind == "gzip" else bz2.BZ2File(stream) as machine:
            while skip > 0 and (passed := len(machine.read(min(CHUNK, skip)))):
                skip -= passed
            while len(kept) < size and (piece := machine.read(min(CHUNK, size - len(kept)))):
                kept += piece
            # Past the last byte waits the checksum, which is compared only when it is reached.
            machine.read(1)
    except (zlib.error, OSError, EOFError, ValueError) as error:
        raise RefusedFile(f"with a damaged {kind} stream", "one that can be decompressed") from error
    return bytes(kept)


def inflate_deflated(content: bytes) -> bytes:
    """The content of a deflate stream without a header (DICOM PS3.5, annex A.5).

    Raises
    ------
    RefusedFile
        If it would grow beyond :data:`MAX_DEFLATED_BYTES`, ends early, or is damaged.
    """
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    pieces, length = [], 0
    try:
        while content and not machine.eof:
            pieces.append(machine.decompress(content, CHUNK))
            content = machine.unconsumed_tail
            length += len(pieces[-1])
            require_inflated(length, MAX_DEFLATED_BYTES)
    except zlib.error as error:
        raise RefusedFile("with a damaged deflate stream", "one that can be decompressed") from error
    if not machine.eof:
        raise RefusedFile("with a deflate stream that ends early", "a whole one")
    return b"".join(pieces)


def require_inflated(length: int, most: int) -> None:
    """Refuse a compressed file that grows too much.

    Raises
    ------
    RefusedFile
        With both sizes.
    """
    if length > most:
        raise RefusedFile(f"that needs {length >> 20} MiB decompressed", f"at most {most >> 20} MiB")
