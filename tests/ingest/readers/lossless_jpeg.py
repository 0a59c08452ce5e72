"""Writes one lossless JPEG: an array in NumPy's format comes in on standard input, the codestream goes out."""

from __future__ import annotations

import io
import os
import sys


def main() -> None:
    # Not at the top: whoever collects this folder must not load it.
    import gdcm
    import numpy as np

    pixels = np.load(io.BytesIO(sys.stdin.buffer.read()))
    bits = int(sys.argv[1])
    colour = pixels.ndim == 3
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((pixels.shape[1], pixels.shape[0], 1))
    allocated = 8 * pixels.dtype.itemsize
    image.SetPixelFormat(gdcm.PixelFormat(3 if colour else 1, allocated, bits, bits - 1, 0))
    space = gdcm.PhotometricInterpretation.RGB if colour else gdcm.PhotometricInterpretation.MONOCHROME2
    photometric = gdcm.PhotometricInterpretation(space)
    image.SetPhotometricInterpretation(photometric)
    native = gdcm.TransferSyntax(gdcm.TransferSyntax.ExplicitVRLittleEndian)
    image.SetTransferSyntax(native)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetByteStringValue(pixels.tobytes())
    image.SetDataElement(element)
    target = gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1)
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(target)
    change.SetInput(image)
    assert change.Change()
    output = change.GetOutput()
    result = output.GetDataElement()
    sequence = result.GetSequenceOfFragments()
    fragment = sequence.GetFragment(0)
    value = fragment.GetByteValue()
    text = value.GetBuffer()
    code = text if isinstance(text, bytes) else str(text).encode("utf-8", "surrogateescape")
    sys.stdout.buffer.write(code)
    sys.stdout.buffer.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
