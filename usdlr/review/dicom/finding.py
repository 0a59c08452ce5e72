"""The scanner's DICOM image of an axilla, found in a folder by its pixels: the list keeps no name that leads to it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from usdlr.core.errors import DataError, InputError
from usdlr.ingest.readers.dicom_file import open_dataset, quiet
from usdlr.review.dicom.source import image_of_row, read_source
from usdlr.review.records import AxillaRecord, ImageRecord

MOST_FILES = 50_000


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
        The first file, another copy of the same instance being the same image; ``None`` if no file has these pixels.

    Raises
    ------
    DataError
        If files of two different images have these pixels: nobody could say into whose study the report belongs.
    """
    image = image_of_row(record)
    found: dict[str, Path] = {}
    for path in _files(folder):
        try:
            if not _large_enough(path, image):
                continue
            uid = str(read_source(path, record).dataset.SOPInstanceUID)
        except InputError:  # another image, or no image at all
            continue
        found.setdefault(uid, path)
    if len(found) > 1:
        raise DataError(
            f"found {len(found)} DICOM images with the pixels of this case, expected one: it cannot be told into which "
            "study the report belongs; remove the others from the folder of sources"
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


def _large_enough(path: Path, image: ImageRecord) -> bool:
    """Whether a file's grid can hold the picture, told by its header: pixels take a hundred times as long."""
    try:
        with quiet(), open_dataset(path) as opened:
            rows, columns = int(opened.dataset.Rows), int(opened.dataset.Columns)
    except Exception:  # whatever a hostile header makes pydicom say, this is not the image
        return False
    return rows >= image.rows and columns >= image.columns
