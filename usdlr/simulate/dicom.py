"""A simulated screen as a DICOM ultrasound image with its calibration, and the cells of the manifest beside it."""

from __future__ import annotations

import io
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from usdlr.core.errors import DataError
from usdlr.core.files import write_bytes
from usdlr.core.hashing import bytes_hash
from usdlr.core.types import ElastographyKind, Side
from usdlr.core.units import MM_PER_CM
from usdlr.imaging.store import mask_to_png, write_png
from usdlr.simulate.acquired import Acquired
from usdlr.simulate.centres import Centre
from usdlr.simulate.screen import Box, Screen, ScreenPane, compose_screen, scale_end

# PS3.3, C.8.5.5: region spatial formats, data types and units.
TWO_D, GRAPHICS = 1, 5
TISSUE, COLOUR_BAR = 1, 14
NO_UNIT, CENTIMETRES = 0, 3
KHZ_PER_MHZ = 1000
LATERALITY = {Side.LEFT: "L", Side.RIGHT: "R"}
VERSION_NAME = "USDLR_SIMULATE"
CELLS = (
    "bmode_file",
    "row_mm",
    "col_mm",
    "mask_file",
    "reader_id",
    "mask_file_2",
    "reader_id_2",
    "elasto_file",
    "elasto_layout",
    "elasto_kind",
    "elasto_unit",
    "elasto_pane",
    "elasto_palette",
    "elasto_low",
    "elasto_high",
)
NOBODY = "simulated: there is no patient"


def deterministic_uid(*parts: str) -> str:
    """A UID below 2.25 that depends on nothing but its parts.

    References
    ----------
    DICOM PS3.5, B.2 (a UUID as an integer below 2.25). The 128 bits come from a hash here, which is as unlikely to
    repeat.

    Examples
    --------
    >>> deterministic_uid("study", "a") == deterministic_uid("study", "a") != deterministic_uid("study", "b")
    True
    """
    return f"2.25.{int(bytes_hash(*(part.encode() for part in parts))[:32], 16)}"


def write_dicom(
    path: Path, screen: Screen, centre: Centre, *, patient: str, image: str, side: Side, view: str, number: int = 1
) -> None:
    """Write a screen as one Ultrasound Image (single frame), lossless; equal arguments give equal bytes.

    The header holds the panes' calibration and the scanner. It holds no name, no birth date, no date or time of any
    kind, and no id but the pseudonyms.

    Parameters
    ----------
    path : Path
        The file.
    screen : Screen
        What it shows.
    centre : Centre
        Scanner and transducer.
    patient, image : str
        Pseudonyms; the patient's becomes PatientID, both make the UIDs.
    side : Side
        Of the body.
    view : str
        Plane, e.g. ``radial``.
    number : int
        InstanceNumber within the patient's study.

    Raises
    ------
    DataError
        If the DICOM libraries are not installed.

    References
    ----------
    DICOM PS3.3, A.6 (Ultrasound Image IOD), C.8.5.5 (US Region Calibration) and C.8.5.6 (US Image); PS3.5, A.4.3
    (JPEG-LS).
    """
    pydicom = _require_pydicom()
    from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless

    dataset = _header(pydicom, screen, centre, patient, image, side, view, number)
    dataset.SequenceOfUltrasoundRegions = _regions(pydicom, screen, centre)
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = deterministic_uid("usdlr", "simulate")
    meta.ImplementationVersionName = VERSION_NAME
    dataset.file_meta = meta
    dataset.PixelData = screen.pixels.tobytes() + b"\0" * (screen.pixels.nbytes % 2)
    dataset["PixelData"].VR = "OB"
    try:
        dataset.compress(JPEGLSLossless, encoding_plugin="pyjpegls", generate_instance_uid=False)
    except (RuntimeError, ValueError) as error:
        if "plugin" not in str(error):
            raise
        raise DataError("found no pyjpegls to write DICOM with, expected it; pip install usdlr[dicom]") from error
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    write_bytes(path, stream.getvalue())


def export_dicom(
    acquired: Acquired,
    centre: Centre,
    folder: Path,
    stem: str,
    rng: np.random.Generator,
    *,
    side: Side,
    view: str,
    patient: str,
    root: Path | None = None,
    clock_hour: int | None = None,
    number: int = 1,
) -> dict[str, str]:
    """Write one image set as a scanner and its readers would hand it over.

    Writes ``{stem}.dcm`` and, on the whole screen's grid, one mask per reader: ``{stem}_mask.png``,
    ``{stem}_mask2.png``.

    Parameters
    ----------
    acquired : Acquired
        The image set.
    centre : Centre
        Scanner, screen and readers.
    folder : Path
        Where to write.
    stem : str
        Pseudonym of the image, and stem of its files' names.
    rng : Generator
        Decides what the operator left on the screen.
    side : Side
        Of the body.
    view : str
        Plane, e.g. ``radial``.
    patient : str
        Pseudonym of the patient.
    root : Path or None
        Folder of the manifest, above ``folder``; ``None``: ``folder`` itself.
    clock_hour : int or None
        Where the lesion lies, for the annotation.
    number : int
        InstanceNumber within the patient's study.

    Returns
    -------
    dict of str to str
        Cells of ``manifest.csv`` about the files, empty where there is nothing to say. ``row_mm`` and ``col_mm`` are
        empty because the header calibrates, ``elasto_palette`` because the screen shows the colour bar.

    Raises
    ------
    DataError
        If the DICOM libraries are not installed.
    """
    screen = compose_screen(acquired, centre, rng, side=side, view=view, label=patient, clock_hour=clock_hour)
    base = folder if root is None else root
    image = folder / f"{stem}.dcm"
    write_dicom(image, screen, centre, patient=patient, image=stem, side=side, view=view, number=number)
    cells = dict.fromkeys(CELLS, "")
    cells["bmode_file"] = image.relative_to(base).as_posix()
    for reader, (name, contour) in enumerate(acquired.contours.items(), start=1):
        suffix = "" if reader == 1 else str(reader)
        mask = folder / f"{stem}_mask{suffix}.png"
        write_png(mask, mask_to_png(screen.on_screen(contour)))
        column = "" if reader == 1 else f"_{reader}"
        cells[f"mask_file{column}"] = mask.relative_to(base).as_posix()
        cells[f"reader_id{column}"] = name
    if screen.bar is not None and acquired.elasto_kind is not None:
        cells |= {
            "elasto_file": cells["bmode_file"],
            "elasto_layout": "overlay",
            "elasto_kind": str(acquired.elasto_kind),
            "elasto_unit": "relative" if acquired.elasto_kind is ElastographyKind.STRAIN else "kPa",
            "elasto_low": "0",
            "elasto_high": f"{scale_end(centre.elastography, acquired.elasto_kind):g}",
        }
    return cells


def _require_pydicom() -> ModuleType:
    try:
        import pydicom
    except ImportError as error:
        raise DataError(
            "found no pydicom to write DICOM with, expected the DICOM libraries; pip install usdlr[dicom]"
        ) from error
    return pydicom


def _header(
    pydicom: ModuleType, screen: Screen, centre: Centre, patient: str, image: str, side: Side, view: str, number: int
) -> Any:
    from pydicom.uid import UltrasoundImageStorage

    dataset = pydicom.dataset.Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "BREAST", "0001"]
    dataset.SOPClassUID = UltrasoundImageStorage
    # The content is part of the id: another picture under the same name is another instance.
    dataset.SOPInstanceUID = deterministic_uid(
        "instance", centre.name, patient, image, bytes_hash(screen.pixels.tobytes())
    )
    dataset.StudyInstanceUID = deterministic_uid("study", centre.name, patient)
    dataset.SeriesInstanceUID = deterministic_uid("series", centre.name, patient, str(side))
    # Type 2 elements that would tell who and when stay empty.
    for keyword in ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID"):
        setattr(dataset, keyword, "")
    for keyword in ("PatientName", "PatientBirthDate", "PatientSex", "PatientOrientation"):
        setattr(dataset, keyword, "")
    dataset.PatientID = patient
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = NOBODY
    dataset.Modality = "US"
    dataset.Manufacturer = centre.vendor
    dataset.ManufacturerModelName = centre.device
    dataset.SeriesDescription = "simulated breast ultrasound"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, number
    dataset.BodyPartExamined = "BREAST"
    if side in LATERALITY:
        dataset.Laterality = LATERALITY[side]
    dataset.ViewName = view
    dataset.TransducerType = "LINEAR"
    dataset.TransducerData = [f"L{centre.frequency_mhz:g}", f"{centre.frequency_mhz:g} MHz", "linear"]
    # PS3.3, C.7.6.1: YES would say that the picture tells the patient and the date. It shows a pseudonym and no date.
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    dataset.UltrasoundColorDataPresent = int(len(screen.panes) > 1)
    dataset.Rows, dataset.Columns = screen.pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    return dataset


def _regions(pydicom: ModuleType, screen: Screen, centre: Centre) -> Any:
    items = [_pane_region(pydicom, pane, centre) for pane in screen.panes]
    if screen.bar is not None:
        items.append(_region(pydicom, screen.bar, GRAPHICS, COLOUR_BAR, NO_UNIT, (1.0, 1.0)))
    return pydicom.sequence.Sequence(items)


def _pane_region(pydicom: ModuleType, pane: ScreenPane, centre: Centre) -> Any:
    cm = (pane.spacing.row_mm / MM_PER_CM, pane.spacing.col_mm / MM_PER_CM)
    item = _region(pydicom, pane.box, TWO_D, TISSUE, CENTIMETRES, cm)
    # The middle of the transducer's face, counted from the region's corner (C.8.5.5.1.16).
    item.ReferencePixelX0, item.ReferencePixelY0 = pane.box[3] // 2, 0
    item.ReferencePixelPhysicalValueX = item.ReferencePixelPhysicalValueY = 0.0
    item.TransducerFrequency = round(centre.frequency_mhz * KHZ_PER_MHZ)
    return item


def _region(
    pydicom: ModuleType, box: Box, spatial_format: int, data_type: int, unit: int, delta: tuple[float, float]
) -> Any:
    row, col, rows, cols = box
    item = pydicom.dataset.Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = spatial_format, data_type, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = col, row
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = col + cols - 1, row + rows - 1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = unit
    item.PhysicalDeltaY, item.PhysicalDeltaX = delta
    return item
