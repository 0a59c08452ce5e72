"""Studies of an archive become a folder that ``usdlr ingest FOLDER --centre dicom`` reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from usdlr.core.errors import DataError
from usdlr.review.dicom.admission import Admission, Admitted, Outcome


class Archive(Protocol):
    """Anything that gives the instances of a study; :class:`usdlr.review.dicom.web.DicomWeb` does."""

    def fetch(self, study_uid: str) -> Iterator[bytes]:
        """The DICOM files of a study."""


@dataclass(frozen=True)
class Imported:
    """What became of an import.

    Parameters
    ----------
    folder : Path
        What to ingest.
    quarantine : Path
        Refused files, and ``not_taken.csv``.
    counts : mapping of Outcome to int
        Instances by what became of them.
    """

    folder: Path
    quarantine: Path
    counts: Counter[Outcome] = field(default_factory=Counter)

    @property
    def kept(self) -> int:
        """Images in the folder, also those that were there before."""
        return self.counts[Outcome.KEPT] + self.counts[Outcome.KNOWN]

    def sentence(self) -> str:
        """What became of the instances, in one line without patients.

        Examples
        --------
        >>> Imported(Path("a"), Path("b"), Counter({Outcome.KEPT: 2, Outcome.LEFT_OUT: 1})).sentence()
        "2 kept, 1 left out (no scanner's ultrasound image), 0 refused"
        """
        left, refused = self.counts[Outcome.LEFT_OUT], self.counts[Outcome.REFUSED]
        return f"{self.kept} kept, {left} left out (no scanner's ultrasound image), {refused} refused"


def import_studies(
    archive: Archive, studies: Sequence[str], folder: Path, *, admission: Admission | None = None
) -> Imported:
    """Fetch studies and keep their ultrasound images.

    Parameters
    ----------
    archive : Archive
        Where they are.
    studies : sequence of str
        StudyInstanceUIDs.
    folder : Path
        Where the images go; what is there already is not written again.
    admission : Admission, optional
        The gate, with limits of its own.

    Raises
    ------
    DataError
        If a study cannot be fetched to its end (images that came before stay, the same call continues), or nothing of
        all studies could be kept.
    """
    gate = admission or Admission(folder)
    outcomes: Counter[Outcome] = Counter()
    for study in studies:
        outcomes.update(admitted.outcome for admitted in admit_all(gate, archive.fetch(study)))
    imported = Imported(gate.folder, gate.quarantine, outcomes)
    if not imported.kept:
        raise DataError(
            f"found no ultrasound image to keep: {imported.sentence()}, expected at least one; choose other studies"
        )
    return imported


def admit_all(gate: Admission, contents: Iterable[bytes]) -> Iterator[Admitted]:
    """What becomes of each of several files."""
    return map(gate.admit, contents)
