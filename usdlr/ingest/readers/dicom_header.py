"""DICOM headers, read without pixels."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from usdlr.core.errors import CaseError, DataError
from usdlr.core.types import ExclusionCode, Side
from usdlr.core.units import Spacing
from usdlr.ingest.readers.bounded import RefusedFile
from usdlr.ingest.readers.dicom_file import OpenDataset, open_dataset, quiet, value_of

SIDES = {"L": Side.LEFT, "R": Side.RIGHT}
DAYS_PER_YEAR = 365.25
YEARS_PER_UNIT = {"Y": 1.0, "M": 1 / 12, "W": 7 / DAYS_PER_YEAR, "D": 1 / DAYS_PER_YEAR}


@dataclass(frozen=True)
class DicomHeader:
    """What a DICOM header says about one file; values that identify serve pseudonyms only, never output.

    Parameters
    ----------
    sop_instance_uid, patient_id, study_date : str
        Empty when the header has none.
    laterality : Side
        From Laterality or ImageLaterality, else unknown.
    patient_age_years : float or None
        From PatientAge.
    manufacturer, model, modality, sop_class_uid : str
        Empty when the header has none.
    frames : int
        Number of frames.
    image_type : tuple of str
        Values of ImageType, e.g. ``("ORIGINAL", "PRIMARY")``.
    view : str
        View or series description, for the table only after it is de-identified; empty when there is none.
    is_image : bool
        Whether the file has pixel data.
    """

    sop_instance_uid: str
    patient_id: str
    study_date: str
    laterality: Side
    patient_age_years: float | None
    manufacturer: str
    model: str
    modality: str
    sop_class_uid: str
    frames: int
    image_type: tuple[str, ...]
    view: str
    is_image: bool


def frame_count(dataset: Any) -> int:
    """Number of frames that a header states; absent or zero counts as one.

    Raises
    ------
    RefusedFile
        If it is negative or no number.
    """
    stated = value_of(dataset, "NumberOfFrames")
    try:
        frames = 1 if stated is None else int(stated)
    except (TypeError, ValueError) as error:
        raise RefusedFile("with a damaged number of frames", "a whole number") from error
    if frames < 0:
        raise RefusedFile(f"with {frames} frames", "at least one")
    return max(frames, 1)


def functional_group(dataset: Any, frame: int, keyword: str) -> Any:
    """The item of a functional group for one frame: the frame's own, else the shared one, else ``None``."""
    own = value_of(dataset, "PerFrameFunctionalGroupsSequence")
    shared = value_of(dataset, "SharedFunctionalGroupsSequence")
    for groups, number in ((own, frame - 1), (shared, 0)):
        if groups is not None and len(groups) > number:
            items = value_of(groups[number], keyword)
            if items:
                return items[0]
    return None


def spacing_of(dataset: Any, keyword: str) -> Spacing | None:
    """A pair of spacings, [between rows, between columns] in mm; ``None`` when absent or malformed.

    References
    ----------
    DICOM PS3.3, 10.7.1.3: the first value is the distance between rows.
    """
    pair = value_of(dataset, keyword)
    try:
        row_mm, col_mm = (float(part) for part in pair)
        return Spacing(row_mm, col_mm)
    except (TypeError, ValueError, OverflowError, CaseError):
        return None


def pixel_spacing_of(dataset: Any, frame: int) -> Spacing | None:
    """PixelSpacing of one frame: from its functional groups where the header has them, else from the top level."""
    measures = functional_group(dataset, frame, "PixelMeasuresSequence")
    return spacing_of(measures if measures is not None else dataset, "PixelSpacing")


def age_in_years(text: Any) -> float | None:
    """Years from a DICOM age such as ``045Y``, ``018M``, ``003W`` or ``010D``.

    Examples
    --------
    >>> age_in_years("045Y"), age_in_years("018M"), age_in_years("about 40")
    (45.0, 1.5, None)
    """
    match = re.fullmatch(r"(\d{1,3})([YMWD])", str(text).strip()) if text is not None else None
    return None if match is None else int(match[1]) * YEARS_PER_UNIT[match[2]]


def read_header(path: Path) -> DicomHeader:
    """The header of a DICOM file, without its pixels.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    CaseError
        With the code ``image_missing`` or ``image_unreadable``.
    DataError
        If pydicom is not installed.
    """
    if not path.is_file():
        raise CaseError(
            ExclusionCode.IMAGE_MISSING, "found no file, expected a DICOM file; restore it or remove its row"
        )
    try:
        with quiet(), open_dataset(path) as opened:
            return _header(opened)
    except DataError:
        raise
    except RefusedFile as error:
        raise CaseError(ExclusionCode.IMAGE_UNREADABLE, error.sentence("a file")) from error
    except Exception as error:
        raise CaseError(
            ExclusionCode.IMAGE_UNREADABLE,
            f"found a file whose header cannot be read ({type(error).__name__}), expected DICOM; export it again",
        ) from None


def _header(opened: OpenDataset) -> DicomHeader:
    dataset = opened.dataset

    def text(*keywords: str) -> str:
        for keyword in keywords:
            value = value_of(dataset, keyword)
            if value is not None and str(value).strip():
                return str(value).strip()
        return ""

    sides = {SIDES.get(text(keyword).upper(), Side.UNKNOWN) for keyword in ("ImageLaterality", "Laterality")}
    known = sides - {Side.UNKNOWN}
    image_type = value_of(dataset, "ImageType")
    parts = [image_type] if isinstance(image_type, str) else list(image_type or ())
    age = age_in_years(value_of(dataset, "PatientAge"))
    return DicomHeader(
        sop_instance_uid=text("SOPInstanceUID"),
        patient_id=text("PatientID"),
        study_date=text("StudyDate", "AcquisitionDate", "ContentDate"),
        # Two elements that contradict each other tell nothing.
        laterality=known.pop() if len(known) == 1 else Side.UNKNOWN,
        patient_age_years=age if age is None or math.isfinite(age) else None,
        manufacturer=text("Manufacturer"),
        model=text("ManufacturerModelName"),
        modality=text("Modality"),
        sop_class_uid=text("SOPClassUID"),
        frames=frame_count(dataset),
        image_type=tuple(str(part) for part in parts),
        view=text("ViewName", "ViewPosition", "SeriesDescription"),
        is_image=opened.keyword is not None,
    )
