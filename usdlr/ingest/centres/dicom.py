"""A folder of DICOM files without a manifest: every image becomes a case with its calibration and without a contour.

- Every file of the folder is accounted for. What is no DICOM file, holds no picture, or a picture that is not
  ultrasound becomes an exclusion; no file is skipped.
- A file with several frames becomes one row per frame, up to :data:`MAX_FRAMES`; which frame of a longer clip is meant,
  a manifest has to say.
- A frame with several calibrated panes becomes one row per pane.
- An image's id is the SOPInstanceUID and a hash of the file: files that share an identifier stay apart.
- The patient is PatientID; where it is empty, the study, which belongs to one patient.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from usdlr.core.errors import CaseError
from usdlr.core.hashing import SHORT, file_hash
from usdlr.core.modalities import BMODE
from usdlr.core.progress import say
from usdlr.core.types import ExclusionCode, Side, SpacingSource
from usdlr.ingest.adapter import Adapter, register
from usdlr.ingest.readers.bounded import RefusedFile
from usdlr.ingest.readers.dicom_file import open_dataset, quiet, value_of
from usdlr.ingest.readers.dicom_header import DicomHeader, read_header
from usdlr.ingest.readers.reading import sniff
from usdlr.ingest.regions import parse_regions
from usdlr.ingest.source import SourceRow
from usdlr.ingest.spacing import panes

# A minute of ultrasound is a thousand nearly equal pictures; a stack of stills is a few.
MAX_FRAMES = 64
ULTRASOUND = ("US", "")
UID = re.compile(r"[0-9][0-9.]{0,63}")
MAX_AGE_YEARS = 120.0
MAX_TEXT = 64
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Picture:
    """What decides how many rows a file becomes, and whose they are."""

    header: DicomHeader
    patient_id: str
    boxes: tuple[tuple[Box, ...], ...]  # per frame: its calibrated panes


@register
class DicomFolder(Adapter):
    """DICOM files in any arrangement of folders; ids are replaced by pseudonyms."""

    name = "dicom"
    identifying = True

    def rows(self, source: Path) -> list[SourceRow]:
        """One row per picture, and one per file that holds none."""
        files = list(_files(source))
        rows: list[SourceRow] = []
        seen: Counter[str] = Counter()
        contents: dict[str, set[str]] = {}
        unnamed = 0
        for number, path in enumerate(files, start=1):
            digest = _digest(path)
            found = _examine(path, f"file {number} of {len(files)}")
            if isinstance(found, _Picture):
                if found.header.sop_instance_uid:
                    contents.setdefault(found.header.sop_instance_uid, set()).add(digest)
                unnamed += not found.header.patient_id
            for row in _rows_of(path, digest, found):
                seen[row.source_id] += 1
                copy = seen[row.source_id]
                rows.append(row if copy == 1 else replace(row, source_id=f"{row.source_id}-copy{copy}"))
        shared = sum(len(digests) for digests in contents.values() if len(digests) > 1)
        if shared:
            say(f"found {shared} DICOM files that share a SOPInstanceUID but not their content: all are kept, apart")
        if unnamed:
            say(f"found {unnamed} DICOM files without PatientID: the study of each stands for its patient")
        return rows


def _files(source: Path) -> Iterator[Path]:
    """Everything in the folder that is not a folder, in the order of the paths; links to folders are not followed."""
    for folder, folders, names in os.walk(source):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        folders[:] = sorted(set(folders) - set(links))
        yield from (Path(folder) / name for name in sorted([*names, *links]))


def _rows_of(path: Path, digest: str, picture: _Picture | CaseError) -> list[SourceRow]:
    if isinstance(picture, CaseError):
        unknown = f"file-{digest}"
        return [_row(path, unknown, unknown, refusal=picture)]
    header = picture.header
    uid = header.sop_instance_uid if UID.fullmatch(header.sop_instance_uid) else "file"
    rows = []
    for frame, boxes in enumerate(picture.boxes, start=1):
        several = len(boxes) > 1
        for pane, box in enumerate(boxes if several else (None,), start=1):
            parts = [uid, digest]
            parts += [f"f{frame:02d}"] if len(picture.boxes) > 1 else []
            parts += [f"p{pane}"] if several else []
            row = _row(path, "-".join(parts), picture.patient_id, side=header.laterality, values=_values(header))
            rows.append(replace(row, frame=frame if len(picture.boxes) > 1 else None, pane=box))
    return rows


def _row(
    path: Path,
    source_id: str,
    patient_id: str,
    *,
    side: Side = Side.UNKNOWN,
    values: dict[str, Any] | None = None,
    refusal: CaseError | None = None,
) -> SourceRow:
    return SourceRow(
        source_id=source_id,
        patient_id=patient_id,
        centre_id=DicomFolder.name,
        files={BMODE: path},
        spacing_mm=None,
        spacing_source=SpacingSource.NONE,
        side=side,
        mask_required=False,
        values=values or {},
        refusal=refusal,
    )


def _digest(path: Path) -> str:
    try:
        # A pipe or a device has no end.
        return file_hash(path)[:SHORT] if path.is_file() else "none"
    except OSError:
        return "unreadable"


def _examine(path: Path, which: str) -> _Picture | CaseError:
    """What a file holds; ``which`` tells it from the others without its name, which may be a patient's."""
    try:
        return _read(path, which)
    except CaseError as error:
        return error


def _read(path: Path, which: str) -> _Picture:
    """Read the header of one file.

    Raises
    ------
    CaseError
        If it is no ultrasound picture.
    DataError
        If pydicom is not installed.
    """
    if not path.is_file():
        raise _refusal(f"found {which} is a link or a device, expected a file; take it out of the folder")
    try:
        kind = sniff(path)
    except (RefusedFile, OSError):
        kind = "unknown"
    if kind != "DICOM":
        found = "of an unknown format" if kind == "unknown" else f"in {kind} format"
        raise _refusal(
            f"found {which} {found}, expected DICOM; take it out of the folder, or describe pictures in a manifest"
        )
    try:
        header = read_header(path)
    except CaseError as error:
        raise CaseError(error.code, error.sentence.replace("a file", which, 1)) from None
    if not header.is_image:
        raise _refusal(f"found {which} without pixels, expected a picture; take it out of the folder")
    if header.modality not in ULTRASOUND:
        raise _refusal(
            f"found {which} of modality {_plain(header.modality)}, expected US (ultrasound); take it out of the "
            "folder, or describe it in a manifest"
        )
    if header.frames > MAX_FRAMES:
        raise CaseError(
            ExclusionCode.FRAME_UNSTATED,
            f"found {which} with {header.frames} frames, expected at most {MAX_FRAMES} in a folder without a manifest; "
            "state in a manifest which frame is meant",
        )
    study, boxes = _study_and_panes(path, which, header.frames)
    patient_id = header.patient_id or (f"study {study}" if study else "")
    if not patient_id:
        raise CaseError(
            ExclusionCode.IDENTITY_MISSING,
            f"found {which} with neither PatientID nor StudyInstanceUID, expected one, to keep a patient's images "
            "together; state the patient in a manifest",
        )
    return _Picture(header, patient_id, boxes)


def _study_and_panes(path: Path, which: str, frames: int) -> tuple[str, tuple[tuple[Box, ...], ...]]:
    """StudyInstanceUID, and the boxes of every frame's calibrated panes."""
    try:
        with quiet(), open_dataset(path) as opened:
            dataset = opened.dataset
            study = str(value_of(dataset, "StudyInstanceUID") or "").strip()
            shape = (int(value_of(dataset, "Rows") or 0), int(value_of(dataset, "Columns") or 0))
            readings = [parse_regions(dataset, shape=shape, frame=frame) for frame in range(1, frames + 1)]
    except Exception as error:  # the header was just read; what is left is a damaged value
        raise _refusal(
            f"found {which} with a header that cannot be read ({type(error).__name__}), expected DICOM; export it again"
        ) from None
    return study, tuple(tuple(region.box for region in panes(reading.regions)) for reading in readings)


def _refusal(sentence: str) -> CaseError:
    return CaseError(ExclusionCode.IMAGE_UNREADABLE, sentence)


def _values(header: DicomHeader) -> dict[str, Any]:
    # View and series descriptions are free text, in which patients are named: they stay behind.
    age = header.patient_age_years
    return {
        "age_years": age if age is not None and age <= MAX_AGE_YEARS else None,
        "vendor": _plain(header.manufacturer) or None,
        "device": _plain(header.model) or None,
    }


def _plain(text: str) -> str:
    """Printable text of bounded length."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:MAX_TEXT]
