"""De-identification of one DICOM file, from reading it to writing its clean twin."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from usdlr.core.errors import DataError
from usdlr.core.files import write_bytes
from usdlr.ingest.deidentify_header import Removed, deidentify_dataset
from usdlr.ingest.deidentify_pixels import CleanedPixels, clean_pixels
from usdlr.ingest.deidentify_rules import Refusal, RefusedError, quiet_pydicom
from usdlr.ingest.readers.bounded import RefusedFile
from usdlr.ingest.readers.dicom_file import has_preamble, is_bare_dataset, open_dataset

HEAD = 132


def deidentify_file(path: Path, out: Path, stem: str, key: bytes) -> tuple[str, Removed, CleanedPixels]:
    """Write the de-identified twin of one DICOM file.

    Parameters
    ----------
    path : Path
        The original.
    out : Path
        Folder of the export.
    stem : str
        Name of the new file, without suffix.
    key : bytes
        Secret key.

    Returns
    -------
    file : str
        The new file's path below ``out``.
    removed : Removed
        What was done to the header.
    cleaned : CleanedPixels
        What was done to the pixels.

    Raises
    ------
    RefusedError
        If it cannot be cleaned for certain; nothing is written then.
    """
    with path.open("rb") as stream:  # a file that may not be read is the user's problem, not this one's
        head = stream.read(HEAD)
    if not has_preamble(head) and not is_bare_dataset(head):
        raise RefusedError(
            Refusal.NOT_DICOM, "found a file that is not DICOM, expected DICOM files; leave it out of the folder"
        )
    with quiet_pydicom(), _verdicts(), open_dataset(path) as opened:
        cleaned = clean_pixels(opened)
        removed = deidentify_dataset(opened.dataset, key, pixels_cleaned=True)
        content = _encoded(_fresh(opened.dataset, swapped=not opened.little_endian))
    file = f"{removed.patient}/{stem}.dcm"
    write_bytes(out / file, content)
    return file, removed, cleaned


@contextmanager
def _verdicts() -> Iterator[None]:
    """Whatever a stranger's file makes a library raise is a verdict on that file, and is not quoted."""
    try:
        yield
    except (RefusedError, DataError, ImportError):  # an absent library is not the file's fault
        raise
    except RefusedFile as error:
        raise RefusedError(Refusal.UNREADABLE, error.sentence("a file")) from error
    except Exception as error:
        raise RefusedError(
            Refusal.UNREADABLE,
            f"found a file that cannot be read ({type(error).__name__}), expected an intact one; export it again",
        ) from error


def _fresh(dataset: Any, swapped: bool) -> Any:
    """The same elements in a dataset that remembers nothing of its file: neither byte order nor trailing bytes."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    fresh = Dataset()
    for element in dataset:
        fresh.add(element)
    if swapped:
        # pydicom leaves words as bytes; the pixels have been written in the new order already.
        for element in fresh.iterall():
            if element.VR == "OW" and element.keyword != "PixelData" and element.value:
                element.value = np.frombuffer(element.value, ">u2").astype("<u2").tobytes()
    fresh.file_meta = FileMetaDataset()
    fresh.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    fresh.preamble = bytes(128)
    return fresh


def _encoded(dataset: Any) -> bytes:
    from pydicom import dcmwrite

    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
