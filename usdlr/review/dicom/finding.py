"""The scanner's DICOM image of an axilla, found in a folder by its pixels: the list keeps no name that leads to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from usdlr.core.errors import CaseError, DataError
from usdlr.ingest.readers.dicom_file import open_dataset, quiet
from usdlr.ingest.readers.dicom_header import frame_count
from usdlr.review.dicom.codes import text_of
from usdlr.review.dicom.source import Picture, frame_showing, picture_of, source_at
from usdlr.review.records import AxillaRecord

MOST_FILES = 50_000
IDENTITY = ("PatientID", "IssuerOfPatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
"""What tells one image from another: an archive that corrects a patient keeps the instance's own identifier."""


class _Grid(NamedTuple):
    """What a header says of its pixels; they take a hundred times as long to read."""

    rows: int
    columns: int
    frames: int


def find_source(folder: Path, record: AxillaRecord) -> Path | None:
    """The DICOM file whose pixels are those of an axilla's first tumour image.

    Parameters
    ----------
    folder : Path
        Searched with its subfolders; links are not followed. Its files are as hostile as any.
    record : AxillaRecord
        The axilla.

    Returns
    -------
    Path or None
        The first file, another copy with the same identifiers being the same image; ``None`` if no file has these
        pixels.

    Raises
    ------
    CaseError
        If the picture that the model read is missing or unreadable.
    DataError
        If a file has these pixels and names another side or no valid identifiers, or if several do that are not of one
        patient, study, series and instance: nobody could say into whose study the report belongs.
    """
    picture = picture_of(record)
    found: dict[tuple[str, ...], Path] = {}
    for path in _files(folder):
        try:
            stat = path.stat()
            grid = _grid(str(path), stat.st_size, stat.st_mtime_ns)
            if grid is None or not _large_enough(grid, picture):
                continue
            shown = frame_showing(path, picture, range(1, grid.frames + 1))
        except (OSError, CaseError):  # no image at all
            continue
        if shown is not None:
            # What such a file says otherwise is about this very image: nothing of it may be passed over.
            header = source_at(path, record, picture, shown).dataset
            found.setdefault(tuple(text_of(header, keyword) for keyword in IDENTITY), path)
    if len(found) > 1:
        raise DataError(
            f"found {len(found)} DICOM images with the pixels of this case that are not of one patient, study, series "
            "and instance, expected one: it cannot be told into which study the report belongs; keep the one that the "
            "archive has today in the folder of sources, and take the others out"
        )
    return next(iter(found.values()), None)


def _files(folder: Path) -> Iterator[Path]:
    count = 0
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place) / name
            if path.is_symlink() or not path.is_file():
                continue
            count += 1
            if count > MOST_FILES:
                raise DataError(
                    f"found more than {MOST_FILES} files in the folder of sources, expected fewer; keep this "
                    "reading's studies alone there"
                )
            yield path


@lru_cache(maxsize=MOST_FILES)
def _grid(path: str, size: int, modified: int) -> _Grid | None:
    """A file's grid, read once while size and time of change stay the same; ``None`` where it is no DICOM image."""
    try:
        with quiet(), open_dataset(Path(path)) as opened:
            dataset = opened.dataset
            return _Grid(int(dataset.Rows), int(dataset.Columns), frame_count(dataset))
    except OSError:  # not remembered: tomorrow it may be readable
        raise
    except Exception:  # whatever a hostile header makes pydicom say, this is not the image
        return None


def _large_enough(grid: _Grid, picture: Picture) -> bool:
    rows, columns = picture.grey.shape
    return bool(grid.rows >= picture.row + rows and grid.columns >= picture.col + columns)
