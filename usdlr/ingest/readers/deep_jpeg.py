"""Lossless JPEG of more than 8 bits, decoded where a crash costs one image."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import DataError
from usdlr.ingest.readers.bounded import RefusedFile
from usdlr.ingest.readers.codestream import Codestream

GDCM_SECONDS = 60


def decode_apart(data: bytes, code: Codestream) -> npt.NDArray[np.uint16]:
    """Pixels of a lossless JPEG of more than 8 bits, decoded by GDCM in a process of its own.

    Parameters
    ----------
    data : bytes
        The codestream.
    code : Codestream
        Its header.

    Returns
    -------
    uint16 array, (rows, columns) or (rows, columns, channels)

    Raises
    ------
    RefusedFile
        If the decoder fails, dies, or does not finish within a minute.
    DataError
        If GDCM is not installed.
    """
    if importlib.util.find_spec("gdcm") is None:
        raise DataError("found a DICOM file that needs the decoder gdcm, expected it; pip install usdlr[dicom]")
    request = {"rows": code.rows, "cols": code.cols, "channels": code.channels, "bits": code.precision}
    script = Path(__file__).with_name("gdcm_process.py")
    failed = RefusedFile("with a damaged lossless JPEG frame", "one that can be decoded")
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(script)],
            input=json.dumps(request).encode() + b"\n" + data,
            capture_output=True,
            timeout=GDCM_SECONDS,
            check=False,
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        raise failed from error
    pixels = code.rows * code.cols * code.channels
    if done.returncode != 0 or len(done.stdout) != 2 * pixels:
        raise failed
    values = np.frombuffer(done.stdout, "<u2").astype(np.uint16)
    return values.reshape((code.rows, code.cols) if code.channels == 1 else (code.rows, code.cols, code.channels))
