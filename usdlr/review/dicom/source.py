"""The image that a report speaks of: the scanner's own DICOM image, or one made from the canonical picture.

A report on the wrong image is a report on the wrong patient. A DICOM file is therefore taken as an axilla's source
only when its pixels are those that the model read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage

from usdlr.core.errors import DataError
from usdlr.core.hashing import bytes_hash
from usdlr.core.types import ExclusionCode, Side, SpacingSource
from usdlr.core.units import MM_PER_CM, Spacing
from usdlr.imaging.image import to_grey
from usdlr.imaging.store import read_png
from usdlr.ingest.readers.dicom_file import open_dataset, quiet
from usdlr.ingest.readers.dicom_header import frame_count, read_header
from usdlr.ingest.readers.reading import read_frame
from usdlr.review.dicom import codes
from usdlr.review.records import AxillaRecord, ImageRecord

GreyArray = npt.NDArray[np.uint8]

# A clip of a minute is a thousand nearly equal pictures; which one is meant, the caller has to say.
MAX_FRAMES = 64
# Ingest may blank letters and fill calipers, and converts colours with a rounding; tissue stays what it was.
SAME_SHARE, SAME_LEVELS, FEWEST_PIXELS = 0.95, 2, 400
ISSUER = "usdlr"
# What a report inherits from its image, so that the archive files it with the patient and the study.
INHERITED = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
    "SeriesInstanceUID",
    "SOPClassUID",
    "SOPInstanceUID",
    "LossyImageCompression",
    "Modality",
)
IDENTIFIERS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
# Elements that must be there, if only empty.
TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)


@dataclass(frozen=True)
class SourceImage:
    """The image that reports and segmentations refer to.

    Parameters
    ----------
    dataset : pydicom Dataset
        Its header, patient and study included; with pixels only when it was made here.
    frame : int
        Number of the frame that is meant, from 1.
    row, col : int
        Pixel of the frame at which the canonical picture starts.
    made_here : bool
        Whether the archive does not know it yet: it has to be sent with what refers to it.
    """

    dataset: Dataset
    frame: int = 1
    row: int = 0
    col: int = 0
    made_here: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """``(rows, columns)`` of a frame."""
        return int(self.dataset.Rows), int(self.dataset.Columns)

    @property
    def frames(self) -> int:
        """Number of frames."""
        return int(self.dataset.get("NumberOfFrames") or 1)

    @property
    def referenced_frames(self) -> list[int] | None:
        """What a reference names: nothing for an image of one frame."""
        return [self.frame] if self.frames > 1 else None


@dataclass(frozen=True)
class Picture:
    """What a file has to show to be an axilla's source.

    Parameters
    ----------
    grey : ndarray
        The picture that the model read, uint8 array (rows, columns).
    row, col : int
        Pixel of the scanner's frame at which it starts.
    """

    grey: GreyArray
    row: int
    col: int


class Shown(NamedTuple):
    """Where a file shows a picture: number of the frame, from 1, and the frame's shape (rows, columns)."""

    frame: int
    shape: tuple[int, int]


def spacing_in_mm(image: ImageRecord) -> Spacing | None:
    """Millimetres per pixel, ``None`` without calibration and where lengths are shares of the lesion."""
    if image.row_mm is None or image.col_mm is None:
        return None
    if image.spacing_source in (SpacingSource.NONE, SpacingSource.LESION_RELATIVE):
        return None
    return Spacing(image.row_mm, image.col_mm)


def canonical_grey(image: ImageRecord) -> GreyArray:
    """The picture that the model read, uint8 array (rows, columns).

    Raises
    ------
    CaseError
        If the file is missing or unreadable.
    DataError
        If it is not on the record's grid.
    """
    path = Path(image.root) / image.paths["bmode"]
    pixels = read_png(path, ExclusionCode.IMAGE_MISSING, ExclusionCode.IMAGE_UNREADABLE)
    if pixels.shape != (image.rows, image.columns) or pixels.dtype != np.uint8:
        raise DataError(
            f"found a picture of shape {pixels.shape}, expected 8-bit grey of {image.rows} x {image.columns} pixels "
            "(rows x columns); load the list again"
        )
    return np.asarray(pixels)


def image_of_row(record: AxillaRecord) -> ImageRecord:
    """The image that the record's row of ``cases`` speaks of: the tumour's first.

    Raises
    ------
    DataError
        If the axilla has none.
    """
    name = str(record.row.get("image_id", ""))
    for image in record.images:
        if image.image_id == name or not name:
            return image
    raise DataError("found no image that the row of cases names, expected one; load the list again")


def read_source(path: Path, record: AxillaRecord, *, frame: int | None = None) -> SourceImage:
    """A scanner's DICOM file as the source of an axilla's first tumour image, after comparing the pixels.

    Parameters
    ----------
    path : Path
        The file, as hostile as any.
    record : AxillaRecord
        The axilla; its row tells where in the frame the canonical picture starts.
    frame : int, optional
        Number of the frame, from 1; by default the one whose pixels fit.

    Returns
    -------
    SourceImage
        With patient and study of the file.

    Raises
    ------
    CaseError
        If the file cannot be read.
    DataError
        If its pixels are not those that the model read, it names another side, or its identifiers are damaged.
    """
    picture = picture_of(record)
    numbers = range(1, read_header(path).frames + 1) if frame is None else [frame]
    shown = frame_showing(path, picture, numbers)
    if shown is None:
        raise DataError(
            "found a DICOM image whose pixels are not those that the model read, expected the source of this axilla's "
            "first tumour image; choose the image that was ingested"
        )
    return source_at(path, record, picture, shown)


def picture_of(record: AxillaRecord) -> Picture:
    """The picture of an axilla's first tumour image, and where in the scanner's frame it starts.

    Raises
    ------
    CaseError
        If its file is missing or unreadable.
    DataError
        If the axilla has no image, or its file is not on the record's grid.
    """
    row, col = (_offset(record.row, name) for name in ("source_row", "source_col"))
    return Picture(canonical_grey(image_of_row(record)), row, col)


def frame_showing(path: Path, picture: Picture, numbers: Sequence[int]) -> Shown | None:
    """The first frame of a file that shows the picture; ``None`` if none of them does.

    Parameters
    ----------
    path : Path
        The file, as hostile as any.
    picture : Picture
        What is looked for.
    numbers : sequence of int
        Of the frames, from 1; of a long clip the first 64 are looked at.

    Raises
    ------
    CaseError
        If the file cannot be read.
    """
    for number in numbers[:MAX_FRAMES]:
        frame = to_grey(read_frame(path, number).pixels_8_bit())[0]
        if _same_picture(frame, picture.grey, picture.row, picture.col):
            return Shown(number, (frame.shape[0], frame.shape[1]))
    return None


def source_at(path: Path, record: AxillaRecord, picture: Picture, shown: Shown) -> SourceImage:
    """A file whose frame shows an axilla's picture as its source: what its header says must not contradict the list.

    Parameters
    ----------
    path : Path
        The file.
    record : AxillaRecord
        The axilla.
    picture : Picture
        Of the axilla.
    shown : Shown
        Where the file shows it.

    Raises
    ------
    CaseError
        If the file cannot be read.
    DataError
        If it names another side, or its identifiers are damaged.
    """
    header = read_header(path)
    if Side.UNKNOWN not in (header.laterality, record.side) and header.laterality is not record.side:
        raise DataError(
            f"found a DICOM image with the pixels of this case, of the {header.laterality} side for a case of the "
            f"{record.side} side, expected one side; find out which is right, and correct the list or the image"
        )
    with quiet(), open_dataset(path) as opened:
        return SourceImage(_inherited(opened.dataset, shown.shape), shown.frame, picture.row, picture.col)


def make_source(record: AxillaRecord, image: ImageRecord) -> SourceImage:
    """A DICOM image from the canonical picture, for cases that did not come as DICOM.

    An Ultrasound Image of one grey frame whose calibrated region is the whole picture. Patient and study are those
    of the list: PatientID is the list's own, as its issuer says, and neither name nor date is invented.
    Equal arguments give equal bytes.

    Parameters
    ----------
    record : AxillaRecord
        The axilla.
    image : ImageRecord
        One of its images.

    Raises
    ------
    CaseError
        If the picture is missing or unreadable.

    References
    ----------
    DICOM PS3.3, A.6 (Ultrasound Image IOD), C.8.5.5 (US Region Calibration: centimetres per pixel).
    """
    grey = canonical_grey(image)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = UltrasoundImageStorage
    # Tokens are random: unlike a hash of the patient's id, nobody can search for whom an identifier stands.
    dataset.SOPInstanceUID = codes.uid_from("source", record.token, image.token, bytes_hash(grey.tobytes()))
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.StudyInstanceUID = codes.uid_from("study", record.token)
    dataset.SeriesInstanceUID = codes.uid_from("source series", record.token)
    dataset.ImageType = ["DERIVED", "SECONDARY", "BREAST", "0001"]
    for keyword in TYPE_2:
        setattr(dataset, keyword, "")
    dataset.PatientID = record.patient_id
    # No hospital gave this number: an archive must not file it with a patient of its own who has the same.
    dataset.IssuerOfPatientID = ISSUER
    dataset.PatientOrientation = ""
    dataset.Modality = "US"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, image.number
    dataset.SeriesDescription = "Picture read by usdlr"
    dataset.DerivationDescription = "Canonical B-mode picture of usdlr; not a scanner's original"
    dataset.BodyPartExamined = "BREAST"
    if record.side in codes.LATERALITY:
        dataset.Laterality = codes.LATERALITY[record.side]
    dataset.LossyImageCompression = "00"
    dataset.BurnedInAnnotation = "NO"
    dataset.Rows, dataset.Columns = grey.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelData = grey.tobytes() + b"\0" * (grey.size % 2)
    dataset["PixelData"].VR = "OB"
    spacing = spacing_in_mm(image)
    if spacing is not None:
        dataset.SequenceOfUltrasoundRegions = [_whole_region(grey.shape, spacing)]
    codes.stamp(dataset, None, coded=False)
    return SourceImage(dataset, made_here=True)


def _whole_region(shape: tuple[int, ...], spacing: Spacing) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, 1, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = 0, 0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = shape[1] - 1, shape[0] - 1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX, item.PhysicalDeltaY = spacing.col_mm / MM_PER_CM, spacing.row_mm / MM_PER_CM
    return item


def _offset(row: Mapping[str, Any], name: str) -> int:
    """A pixel of the frame; a table without the column, or a null, means the frame's first."""
    value = row.get(name)
    number = 0 if value is None or value != value else int(value)
    if number < 0:
        raise DataError(f"found {name} = {number}, expected a pixel of the frame; load the list again")
    return number


def _same_picture(frame: GreyArray, grey: GreyArray, row: int, col: int) -> bool:
    """Whether the canonical picture is this part of the frame."""
    part = frame[row : row + grey.shape[0], col : col + grey.shape[1]]
    if part.shape != grey.shape:
        return False
    # What ingest made black (outside the sector, letters) tells nothing.
    shown = grey > 0
    if np.count_nonzero(shown) < FEWEST_PIXELS or np.ptp(grey[shown]) == 0:
        return False
    equal = np.abs(part[shown].astype(np.int16) - grey[shown].astype(np.int16)) <= SAME_LEVELS
    return bool(equal.mean() >= SAME_SHARE)


def _inherited(dataset: Dataset, shape: tuple[int, int]) -> Dataset:
    """Patient, study and identifiers of a header, as plain text in one character set; nothing else is taken over.

    Elements are asked for one by one: pydicom's walk through a hostile, deep header does not come back.
    """
    kept = Dataset()
    kept.SpecificCharacterSet = codes.CHARACTERS
    for keyword in INHERITED:
        text = codes.text_of(dataset, keyword)
        if text:
            setattr(kept, keyword, text)
    for keyword in IDENTIFIERS:
        if not codes.is_uid(codes.text_of(kept, keyword)):
            raise DataError(f"found a DICOM image without a valid {keyword}, expected one; export the image again")
    for keyword in TYPE_2:
        if keyword not in kept:
            setattr(kept, keyword, "")
    if "NumberOfFrames" in dataset:
        kept.NumberOfFrames = frame_count(dataset)
    kept.Rows, kept.Columns = shape
    return kept
