"""DICOM annotations, written by highdicom and pydicom."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    UltrasoundImageStorage,
    generate_uid,
)

from tests.ingest.annotations.circles import SHAPE

PERSON = "Vesalius^Andreas"


def image(frames: int = 1, shape: tuple[int, int] = SHAPE) -> Dataset:
    """An ultrasound image to draw on."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    storage = UltrasoundImageStorage if frames == 1 else EnhancedMRImageStorage
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = storage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.PatientID, dataset.PatientName, dataset.PatientSex, dataset.PatientBirthDate = "P77", PERSON, "F", ""
    dataset.StudyID, dataset.AccessionNumber, dataset.StudyDate, dataset.StudyTime = "1", "", "20200102", "101010"
    dataset.ReferringPhysicianName, dataset.SeriesNumber, dataset.InstanceNumber = "", 1, 1
    dataset.Modality, dataset.ImageType = "US", ["ORIGINAL", "PRIMARY"]
    dataset.Manufacturer, dataset.PatientOrientation = "Maker", ""
    dataset.Rows, dataset.Columns = shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    if frames > 1:
        dataset.NumberOfFrames = frames
        _place_frames(dataset, frames)
    dataset.PixelData = bytes(frames * shape[0] * shape[1])
    return dataset


def _place_frames(dataset: Dataset, frames: int) -> None:
    """Places in space: highdicom writes segmentations of several frames only where there are such."""
    dataset.FrameOfReferenceUID = generate_uid()
    measures, orientation, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.1, 0.1], 1.0
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = []
    for number in range(frames):
        position, own = Dataset(), Dataset()
        position.ImagePositionPatient = [0.0, 0.0, float(number)]
        own.PlanePositionSequence = [position]
        dataset.PerFrameFunctionalGroupsSequence.append(own)


def _series(source: Dataset) -> dict[str, Any]:
    return {
        "series_instance_uid": generate_uid(),
        "series_number": 9,
        "sop_instance_uid": generate_uid(),
        "instance_number": 1,
        "manufacturer": "Maker",
    }


def segmentation(
    path: Path,
    masks: npt.NDArray[Any],
    labels: list[str],
    kind: str = "BINARY",
    source: Dataset | None = None,
    **options: Any,
) -> Path:
    """Write a segmentation; masks are (frames, rows, columns, segments), booleans, or fractions."""
    source = image(masks.shape[0]) if source is None else source
    descriptions = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Lesion,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
            tracking_id=f"track {number}",
            tracking_uid=generate_uid(),
        )
        for number, label in enumerate(labels, start=1)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seg = hd.seg.Segmentation(
            source_images=[source],
            pixel_array=masks,
            segmentation_type=kind,
            segment_descriptions=descriptions,
            manufacturer_model_name="Model",
            software_versions="1",
            device_serial_number="1",
            **{**_series(source), **options},
        )
    seg.save_as(path)
    return path


def report(path: Path, regions: list[tuple[str, str, npt.NDArray[np.float64]]], frames: list[int] | None = None) -> str:
    """Write a TID 1500 report with one planar region per (tracking identifier, graphic type, points).

    Returns
    -------
    str
        SOP Instance UID of the image.
    """
    source = image(1 if frames is None else max(frames))
    observer = hd.sr.ObserverContext(
        observer_type=codes.DCM.Person,
        observer_identifying_attributes=hd.sr.PersonObserverIdentifyingAttributes(PERSON),
    )
    groups = []
    for number, (name, kind, points) in enumerate(regions):
        place = hd.sr.SourceImageForRegion(
            source.SOPClassUID, source.SOPInstanceUID, None if frames is None else [frames[number]]
        )
        region = hd.sr.ImageRegion(graphic_type=kind, graphic_data=points, source_image=place)
        groups.append(
            hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=hd.sr.TrackingIdentifier(generate_uid(), name),
                referenced_region=region,
                finding_type=codes.SCT.Lesion,
            )
        )
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_person_context=observer),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=groups,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        document = hd.sr.Comprehensive3DSR(evidence=[source], content=content, **_series(source))
    document.save_as(path)
    return str(source.SOPInstanceUID)


def presentation(
    path: Path,
    objects: list[tuple[str, npt.NDArray[np.float64]]],
    *,
    units: str = "PIXEL",
    layer: str = "LESION",
    source: Dataset | None = None,
    **values: Any,
) -> str:
    """Write a presentation state with graphic objects of (graphic type, points).

    Returns
    -------
    str
        SOP Instance UID of the image.
    """
    source = image() if source is None else source
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = GrayscaleSoftcopyPresentationStateStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.PatientID, dataset.PatientName, dataset.ContentCreatorName = "P77", PERSON, PERSON
    reference, series, annotation = Dataset(), Dataset(), Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    series.SeriesInstanceUID, series.ReferencedImageSequence = source.SeriesInstanceUID, [reference]
    dataset.ReferencedSeriesSequence = [series]
    annotation.GraphicLayer = layer
    annotation.GraphicObjectSequence = []
    for kind, points in objects:
        item = Dataset()
        item.GraphicAnnotationUnits, item.GraphicDimensions, item.GraphicType = units, 2, kind
        item.NumberOfGraphicPoints, item.GraphicData = len(points), np.ravel(points).tolist()
        item.GraphicFilled = "N"
        annotation.GraphicObjectSequence.append(item)
    dataset.GraphicAnnotationSequence = [annotation]
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    return str(source.SOPInstanceUID)
