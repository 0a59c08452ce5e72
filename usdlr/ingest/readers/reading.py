"""One frame of any file, whatever its name ends in."""

from __future__ import annotations

from pathlib import Path

from usdlr.core.errors import CaseError, UsdlrError
from usdlr.core.types import ExclusionCode
from usdlr.ingest.readers.bounded import BoundedFile, RefusedFile, WrongFrame, inflate
from usdlr.ingest.readers.dicom import read_dicom
from usdlr.ingest.readers.dicom_file import has_preamble, is_bare_dataset
from usdlr.ingest.readers.frame import SourceFrame
from usdlr.ingest.readers.nifti import read_nifti
from usdlr.ingest.readers.nrrd import read_nrrd
from usdlr.ingest.readers.raster import read_raster

GZIP = b"\x1f\x8b"
# The NIfTI-1 magic ends at byte 348; the DICOM prefix at 132.
HEAD = 352
RASTER_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}


def read_frame(
    path: Path,
    frame: int | None = None,
    *,
    missing: ExclusionCode = ExclusionCode.IMAGE_MISSING,
    unreadable: ExclusionCode = ExclusionCode.IMAGE_UNREADABLE,
) -> SourceFrame:
    """One frame of a DICOM, PNG, JPEG, BMP, TIFF, NIfTI or NRRD file, with the calibration that the file carries.

    The format is found by the file's first bytes, never by its name.

    Parameters
    ----------
    path : Path
        The file.
    frame : int or None
        Number of the frame (page, slice), from 1; a file with one frame needs none.
    missing, unreadable : ExclusionCode
        Codes for a file that is not there and for one that cannot be used.

    Raises
    ------
    CaseError
        With the code ``missing``, ``unreadable``, or ``frame_unstated`` when the file has several frames and none is
        stated. A frame that is not there is ``unreadable``.
    DataError
        If a library for the format is not installed.
    """
    if not path.is_file():
        raise CaseError(
            missing, f"found no file {path.name}, expected it beside the others; restore it or remove its row"
        )
    try:
        return _read(path, frame)
    except UsdlrError:
        raise
    except WrongFrame as error:
        code = ExclusionCode.FRAME_UNSTATED if error.asked is None else unreadable
        raise CaseError(code, error.sentence(path.name)) from error
    except RefusedFile as error:
        raise CaseError(unreadable, error.sentence(path.name)) from error
    except Exception as error:
        # Whatever a library raises on damaged bytes. Its message may quote the header, hence the patient.
        raise CaseError(
            unreadable,
            f"found {path.name} cannot be decoded ({type(error).__name__}), expected a whole image; export it again",
        ) from None


def _read(path: Path, frame: int | None) -> SourceFrame:
    kind = sniff(path)
    if kind == "DICOM":
        return read_dicom(path, frame)
    if kind == "NIfTI":
        return read_nifti(path, frame)
    if kind == "NRRD":
        return read_nrrd(path, frame)
    return read_raster(path, kind, frame)


def sniff(path: Path) -> str:
    """Name of a file's format by its first bytes.

    Returns
    -------
    str
        ``DICOM``, ``PNG``, ``JPEG``, ``BMP``, ``TIFF``, ``NIfTI`` or ``NRRD``.

    Raises
    ------
    RefusedFile
        If the format is none of these, or a header whose pixels are in another file.
    """
    with BoundedFile(path) as stream:
        head = stream.read(HEAD)
        if head.startswith(GZIP):
            stream.seek(0)
            head = inflate(stream, "gzip", skip=0, size=HEAD)
            if _is_nifti(head):
                return "NIfTI"
            raise RefusedFile("compressed", "a picture, DICOM, NRRD or NIfTI file", "decompress it")
    # First: a preamble may look like a TIFF file, for programs that know no DICOM (PS3.10, section 7.1).
    if has_preamble(head):
        return "DICOM"
    for magic, kind in RASTER_MAGIC.items():
        if head.startswith(magic):
            return kind
    if is_bare_dataset(head):
        return "DICOM"
    if head.startswith(b"NRRD"):
        return "NRRD"
    if _is_nifti(head):
        return "NIfTI"
    raise RefusedFile("of an unknown format", "PNG, JPEG, BMP, TIFF, DICOM, NIfTI or NRRD")


def _is_nifti(head: bytes) -> bool:
    first, second = head[344:348], head[4:8]
    if first == b"ni1\0" or second == b"ni2\0":
        raise RefusedFile(
            "that is a NIfTI header with its pixels in another file", "both in one file", "save it as .nii or .nii.gz"
        )
    return first == b"n+1\0" or second == b"n+2\0"
