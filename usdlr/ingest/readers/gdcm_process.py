"""Decodes one lossless JPEG of more than 8 bits with GDCM, in a process of its own.

GDCM is the one decoder here for that format, and ends the process that calls it on some damaged codestreams. Run as a
script: one line of JSON and the codestream come in on standard input, little-endian pixels go out on standard output.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def decode(codestream: bytes, rows: int, cols: int, channels: int, bits: int) -> bytes:
    """Pixels, colour by pixel, 16 bits each, little-endian.

    Parameters
    ----------
    codestream : bytes
        A lossless JPEG (process 14).
    rows, cols, channels, bits : int
        As its header says.
    """
    import gdcm

    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(codestream)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((cols, rows, 1))
    image.SetDataElement(element)
    space = gdcm.PhotometricInterpretation.RGB if channels == 3 else gdcm.PhotometricInterpretation.MONOCHROME2
    photometric = gdcm.PhotometricInterpretation(space)
    image.SetPhotometricInterpretation(photometric)
    syntax = gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14)
    image.SetTransferSyntax(syntax)
    pixel_format = gdcm.PixelFormat(channels, 16, bits, bits - 1, 0)
    image.SetPixelFormat(pixel_format)
    buffer: Any = image.GetBuffer()
    # SWIG hands C bytes over as text.
    return bytes(buffer) if isinstance(buffer, bytes) else str(buffer).encode("utf-8", "surrogateescape")


def main() -> None:
    """Read the request, write the pixels."""
    try:
        import resource
    except ImportError:  # no such limits on this system
        pass
    else:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    request = json.loads(sys.stdin.buffer.readline())
    sys.stdout.buffer.write(decode(sys.stdin.buffer.read(), **request))
    sys.stdout.buffer.flush()
    os._exit(0)  # GDCM's objects may also fail while the interpreter takes them apart


if __name__ == "__main__":
    main()
