"""What comes from elsewhere is looked at before it is kept: only sound ultrasound images get into a folder to ingest.

File names are hashes: neither a patient nor a path can be smuggled into them. Nothing is dropped without a word: what
is refused goes to quarantine, and every instance that was not taken has a row with the reason.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import tempfile
import threading
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from usdlr.core.errors import CaseError, DataError
from usdlr.core.files import write_atomic
from usdlr.core.types import ExclusionCode
from usdlr.ingest.readers.dicom_file import open_dataset, quiet
from usdlr.ingest.readers.dicom_header import DicomHeader, read_header
from usdlr.ingest.readers.reading import read_frame, sniff
from usdlr.review.dicom import codes

COLUMNS = ("file", "outcome", "sentence")
ULTRASOUND = "US"
DIGITS = 16
MOST_QUARANTINED = 1000


class Outcome(StrEnum):
    """What became of an instance."""

    KEPT = "kept"
    KNOWN = "known"
    """The very same bytes were kept before."""
    LEFT_OUT = "left_out"
    """Sound, but no ultrasound image of a scanner: reports, segmentations, captures."""
    REFUSED = "refused"
    """Damaged or hostile; it lies in quarantine."""


@dataclass(frozen=True)
class Admitted:
    """What became of an instance.

    Parameters
    ----------
    outcome : Outcome
        Kept, known, left out or refused.
    path : Path or None
        The file, in the folder or in quarantine; ``None``: nothing was written.
    sentence : str
        Why it was not taken; empty when it was. No patient, no path.
    """

    outcome: Outcome
    path: Path | None
    sentence: str = ""


class Admission:
    """The gate to a folder that ``usdlr ingest FOLDER --centre dicom`` reads; safe to use from several threads.

    Parameters
    ----------
    folder : Path
        Where sound images go: one subfolder per study.
    quarantine : Path, optional
        Where refused files go, and ``not_taken.csv`` with a row for each instance that was not taken; by default
        beside the folder, never in it.
    most_file, most_total : int
        Bytes of one instance, and of everything that is written here.
    """

    def __init__(
        self,
        folder: Path,
        *,
        quarantine: Path | None = None,
        most_file: int = 512 << 20,
        most_total: int = 50 << 30,
    ) -> None:
        self.folder = folder
        self.quarantine = quarantine or folder.with_name(f"{folder.name}-quarantine")
        self.most_file, self.most_total = most_file, most_total
        self._lock = threading.Lock()
        self._written = 0
        self._quarantined = 0

    def admit(self, content: bytes) -> Admitted:
        """Keep an instance, or say why not.

        Parameters
        ----------
        content : bytes
            A DICOM file, of unknown origin.

        Raises
        ------
        DataError
            If the limit of all files is reached: the sender has to know that nothing more is stored.
        """
        with self._lock:
            if self._written + len(content) > self.most_total:
                raise DataError(
                    f"found more than {self.most_total >> 20} MiB of images, expected less; make room, or raise the "
                    "limit"
                )
            self._written += len(content)
        digest = hashlib.sha256(content).hexdigest()
        if len(content) > self.most_file:
            return self._refuse(
                b"", digest, f"found an instance of {len(content) >> 20} MiB, expected at most {self.most_file >> 20}"
            )
        try:
            header, study = self._inspect(content)
        except CaseError as error:
            return self._refuse(content, digest, error.sentence)
        why = _not_wanted(header)
        if why:
            return self._note(Admitted(Outcome.LEFT_OUT, None, why), digest)
        folder = self.folder / _hashed(study)
        path = folder / f"{_hashed(header.sop_instance_uid)}-{digest[:DIGITS]}.dcm"
        # The content is part of the name: the same identifier with other bytes stays apart, and ingest reports it.
        if path.is_file():
            return Admitted(Outcome.KNOWN, path)
        _write(path, content)
        return Admitted(Outcome.KEPT, path)

    def _inspect(self, content: bytes) -> tuple[DicomHeader, str]:
        """Header and StudyInstanceUID of a file whose identifiers are valid and, for ultrasound, whose pixels decode.

        Raises
        ------
        CaseError
            If anything about it is damaged.
        """
        with tempfile.NamedTemporaryFile(suffix=".dcm", delete=False) as stream:
            stream.write(content)
        path = Path(stream.name)
        try:
            try:
                kind = sniff(path)
            except Exception:  # whatever it is, it is no DICOM
                kind = "unknown"
            if kind != "DICOM":
                raise _damaged("found a file that is not DICOM, expected a DICOM instance; look into the archive")
            header = read_header(path)
            study = _study(path)
            if not codes.is_uid(header.sop_instance_uid) or not codes.is_uid(study):
                raise _damaged("found an instance without valid identifiers, expected them; export it again")
            if header.is_image and header.modality == ULTRASOUND and not _not_wanted(header):
                # One frame is decoded within the readers' bounds: a bomb or a torn file shows itself here.
                try:
                    read_frame(path, 1)
                except CaseError as error:
                    raise _damaged(error.sentence.replace(path.name, "an instance")) from None
            return header, study
        finally:
            path.unlink(missing_ok=True)

    def _refuse(self, content: bytes, digest: str, sentence: str) -> Admitted:
        with self._lock:
            room = bool(content) and self._quarantined < MOST_QUARANTINED
            self._quarantined += room
        path = self.quarantine / f"{digest[:DIGITS]}.refused"
        if room:
            _write(path, content)
        return self._note(Admitted(Outcome.REFUSED, path if room else None, sentence), digest)

    def _note(self, admitted: Admitted, digest: str) -> Admitted:
        """Append a row for an instance that was not taken."""
        with self._lock:
            self.quarantine.mkdir(parents=True, exist_ok=True)
            path = self.quarantine / "not_taken.csv"
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            if not path.exists():
                writer.writerow(COLUMNS)
            writer.writerow([digest[:DIGITS], str(admitted.outcome), admitted.sentence])
            with path.open("a", encoding="utf-8") as stream:
                stream.write(text.getvalue())
                stream.flush()
                os.fsync(stream.fileno())
        return admitted


def _write(path: Path, content: bytes) -> None:
    # Images of patients: for the user alone.
    write_atomic(path, lambda target: target.write_bytes(content), private=True)


def _hashed(identifier: str) -> str:
    return hashlib.sha256(identifier.encode()).hexdigest()[:DIGITS]


def _damaged(sentence: str) -> CaseError:
    return CaseError(ExclusionCode.IMAGE_UNREADABLE, sentence)


def _study(path: Path) -> str:
    try:
        with quiet(), open_dataset(path) as opened:
            return codes.text_of(opened.dataset, "StudyInstanceUID")
    except Exception as error:  # the header was just read; what is left is a damaged value
        raise _damaged(
            f"found an instance whose header cannot be read ({type(error).__name__}), expected DICOM; export it again"
        ) from None


def _not_wanted(header: DicomHeader) -> str:
    """Why a sound instance is no image to ingest; empty when it is one."""
    if header.manufacturer == codes.MANUFACTURER:
        return "found an instance that usdlr wrote, expected a scanner's image; it is left out"
    if not header.is_image:
        return "found an instance without pixels, expected an ultrasound image; it is left out"
    if header.modality != ULTRASOUND:
        return "found an image of another modality, expected ultrasound (US); it is left out"
    return ""
