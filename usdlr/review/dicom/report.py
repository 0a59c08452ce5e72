"""What the model and the readers say of an axilla as a DICOM structured report (TID 1500, Measurement Report).

Every number is the printed one: page, paper and report agree to the digit. The report of what no reader has judged is
preliminary, and none is ever marked as verified: that is a legal act, and usdlr is research software.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard

import usdlr
from usdlr.core.hashing import data_hash
from usdlr.core.types import ContractStatus, Site
from usdlr.ingest.readers.dicom_file import quiet
from usdlr.review import words
from usdlr.review.acts import AxillaState, Status
from usdlr.review.dicom import codes
from usdlr.review.dicom.report_text import qualitative_evaluations
from usdlr.review.dicom.segmentation import RELATIVE_MARGIN, RING, TUMOUR, drawn_by, is_relative, is_used, tracking
from usdlr.review.dicom.source import SourceImage, image_of_row
from usdlr.review.plain import to_plain
from usdlr.review.records import AxillaRecord, ImageRecord, ModelRecord, Point, StageValue

JUDGED = (Status.REVIEWED, Status.ADJUDICATED)


def sr_dataset(
    model: ModelRecord,
    record: AxillaRecord,
    state: AxillaState,
    source: SourceImage,
    *,
    segmentation: Dataset | None = None,
    made: datetime | None = None,
) -> Dataset:
    """A Comprehensive 3D SR of one axilla: probabilities, thresholds, risk group, diameters, verdicts.

    Parameters
    ----------
    model : ModelRecord
        What the numbers come from.
    record : AxillaRecord
        The axilla.
    state : AxillaState
        What counts now.
    source : SourceImage
        The image of the axilla's first tumour; patient and study are taken over from it.
    segmentation : pydicom Dataset, optional
        The segmentation of that image, to be referred to.
    made : datetime, optional
        When; equal arguments give equal bytes. By default now.

    Returns
    -------
    pydicom Dataset
        Probabilities, thresholds and ends of intervals are in per cent, diameters in mm. Readers are named as the
        page shows them; neither what they sign in with nor any number of theirs is in it.

    Raises
    ------
    DataError
        If the segmentation belongs to another study, or a time of the record is damaged.

    References
    ----------
    DICOM PS3.16, TID 1500 (Measurement Report), TID 1410 (Planar ROI Measurements), TID 1501 (Measurement Group).
    """
    made = made or datetime.now(UTC)
    image = image_of_row(record)
    evidence = [source.dataset] + ([] if segmentation is None else [segmentation])
    content = [to_plain(model), to_plain(record), to_plain(state), [str(item.SOPInstanceUID) for item in evidence]]
    uid = codes.uid_from("sr", data_hash(content), str(source.frame), usdlr.__version__, str(made))
    with quiet():
        report = _content(model, record, state, source, image, segmentation)
        dataset = hd.sr.Comprehensive3DSR(
            evidence=evidence,
            content=report,
            series_instance_uid=codes.uid_from("sr series", str(source.dataset.SeriesInstanceUID), record.digest),
            series_number=802,
            sop_instance_uid=uid,
            # The archive's newest has the highest number.
            instance_number=state.version + 1,
            manufacturer=codes.MANUFACTURER,
            is_complete=True,
            is_final=state.status in JUDGED,
            is_verified=False,
            specific_character_set=codes.CHARACTERS,
            series_description="usdlr report, research only",
        )
    codes.stamp(dataset, made)
    return dataset


def _content(
    model: ModelRecord,
    record: AxillaRecord,
    state: AxillaState,
    source: SourceImage,
    image: ImageRecord,
    segmentation: Dataset | None,
) -> Any:
    groups = [
        _axilla_group(model, record, state, source),
        *_tumour_groups(record, state, source, image),
        *_segment_groups(record, source, image, segmentation),
    ]
    report = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(
            observer_device_context=hd.sr.ObserverContext(
                observer_type=standard.DCM.Device,
                observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
                    uid=codes.uid_from("usdlr", "device", record.digest),
                    name="usdlr",
                    manufacturer_name=codes.MANUFACTURER,
                    model_name=f"usdlr {usdlr.__version__}",
                ),
            )
        ),
        procedure_reported=standard.SCT.UltrasonographyOfBreast,
        imaging_measurements=groups,
        title=standard.DCM.ImagingMeasurementReport,
        referenced_images=[source.dataset],
    )
    for item in _items(report[0]):
        # One of the two names the segment (PS3.3, table 10-3); the library writes both.
        if "ReferencedSOPSequence" in item and "ReferencedSegmentNumber" in item.ReferencedSOPSequence[0]:
            del item.ReferencedSOPSequence[0].ReferencedSegmentNumber
    report[0].ContentSequence.append(qualitative_evaluations(model, state))
    return report


def _items(item: Dataset) -> Iterator[Dataset]:
    yield item
    for child in item.get("ContentSequence", ()):
        yield from _items(child)


def _axilla_group(model: ModelRecord, record: AxillaRecord, state: AxillaState, source: SourceImage) -> Any:
    """Probabilities and what follows from them."""
    answer = state.answer
    measurements = [found for value in answer.stages for found in _stage_measurements(value)]
    evaluations = [
        hd.sr.QualitativeEvaluation(codes.RISK_GROUP, codes.GROUPS[answer.group]),
        hd.sr.QualitativeEvaluation(codes.CONTRACT, codes.CONTRACTS[ContractStatus(answer.contract)]),
        hd.sr.QualitativeEvaluation(codes.REVIEW_STATUS, codes.STATUSES[state.status]),
        *(
            hd.sr.QualitativeEvaluation(codes.REACHED[value.stage], codes.YES if value.reached else codes.NO)
            for value in answer.stages
        ),
    ]
    margin = RELATIVE_MARGIN if any(map(is_relative, record.images)) else f"{model.margin_mm:g} mm"
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=codes.uid_from("tracking", record.token, "axilla"), identifier=f"axilla, case {record.number}"
        ),
        finding_type=standard.SCT.AxillaryLymphNode,
        algorithm_id=hd.sr.AlgorithmIdentification(
            name="usdlr",
            version=usdlr.__version__,
            manufacturer=codes.MANUFACTURER,
            parameters=[
                codes.plain(f"bundle {model.bundle_id}"),
                codes.plain(f"bundle SHA-256 {model.digest}"),
                codes.plain(f"experiment {model.experiment}"),
                f"modalities {' '.join(model.modalities)}",
                f"margin {margin}",
            ],
        ),
        finding_sites=[_site(record, standard.SCT.Axilla)],
        measurements=measurements,
        qualitative_evaluations=evaluations,
        source_images=[
            hd.sr.SourceImageForMeasurementGroup(
                source.dataset.SOPClassUID, source.dataset.SOPInstanceUID, source.referenced_frames
            )
        ],
    )


def _stage_measurements(value: StageValue) -> Iterator[Any]:
    (probability,) = codes.printed_numbers(words.probability_text(value.probability))
    (threshold,) = codes.printed_numbers(words.threshold_text(value.threshold, value.probability))
    low, high = codes.printed_numbers(words.interval_text(value.low, value.high))
    for name, number in (
        (codes.PROBABILITY, probability),
        (codes.LOW, low),
        (codes.HIGH, high),
        (codes.THRESHOLD, threshold),
    ):
        yield hd.sr.Measurement(name=name[value.stage], value=number, unit=standard.UCUM.Percent)


def _tumour_groups(record: AxillaRecord, state: AxillaState, source: SourceImage, image: ImageRecord) -> Iterator[Any]:
    """The lesion's outline with its diameters; where they may be another image's, the two stand apart."""
    outlines = (state.outlines.get(image.token) or image.contour) if is_used(image, state) else ()
    diameters = list(_diameters(state))
    measured_here = bool(outlines) and _measured_on(record, state, image)
    uid, name = tracking(image, TUMOUR)
    if outlines:
        yield hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(uid=uid, identifier=name),
            referenced_region=hd.sr.ImageRegion(
                graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
                graphic_data=_graphic(_closed(_largest(outlines)), source),
                source_image=hd.sr.SourceImageForRegion(
                    source.dataset.SOPClassUID, source.dataset.SOPInstanceUID, source.referenced_frames
                ),
            ),
            finding_type=standard.SCT.Neoplasm,
            finding_sites=[_site(record, standard.SCT.Breast)],
            measurements=diameters if measured_here else None,
            qualitative_evaluations=[
                hd.sr.QualitativeEvaluation(codes.DRAWN, codes.DRAWN_BY[drawn_by(image, state)]),
            ],
        )
    if diameters and not measured_here:
        yield hd.sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(
                uid=codes.uid_from("tracking", record.token, "largest lesion"), identifier="largest lesion"
            ),
            finding_type=standard.SCT.Neoplasm,
            finding_sites=[_site(record, standard.SCT.Breast)],
            measurements=diameters,
        )


def _diameters(state: AxillaState) -> Iterator[Any]:
    answer = state.answer
    for name, length in ((standard.SCT.LongAxis, answer.diameter_mm), (standard.SCT.ShortAxis, answer.orthogonal_mm)):
        if length is not None:
            (value,) = codes.printed_numbers(words.mm_text(length))
            yield hd.sr.Measurement(name=name, value=value, unit=standard.UCUM.Millimeter)


def _measured_on(record: AxillaRecord, state: AxillaState, image: ImageRecord) -> bool:
    """Whether the diameters are those of this image's lesion: they are the largest lesion's."""
    outlined = [
        other
        for other in record.images
        if other.site is Site.TUMOUR and (other.contour or state.outlines.get(other.token)) and is_used(other, state)
    ]
    if [other.token for other in outlined] == [image.token]:
        return True
    length = state.answer.diameter_mm
    if state.outlines.get(image.token) or length is None or not image.calipers:
        return False
    return _length_text(image.calipers[0], image) == words.mm_text(length)


def _segment_groups(
    record: AxillaRecord, source: SourceImage, image: ImageRecord, segmentation: Dataset | None
) -> Iterator[Any]:
    if segmentation is None:
        return
    kinds = {TUMOUR: standard.SCT.Neoplasm, RING: codes.RING}
    for number, segment in enumerate(segmentation.SegmentSequence, start=1):
        kind = int(segment.SegmentNumber)
        uid, name = tracking(image, kind)
        yield hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(uid=uid, identifier=name),
            referenced_segment=hd.sr.ReferencedSegmentationFrame(
                sop_class_uid=segmentation.SOPClassUID,
                sop_instance_uid=segmentation.SOPInstanceUID,
                frame_number=number,
                segment_number=kind,
                source_image=hd.sr.SourceImageForSegmentation(
                    source.dataset.SOPClassUID, source.dataset.SOPInstanceUID, source.referenced_frames
                ),
            ),
            finding_type=kinds[kind],
            finding_sites=[_site(record, standard.SCT.Breast)],
        )


def _site(record: AxillaRecord, where: Any) -> Any:
    return hd.sr.FindingSite(anatomic_location=where, laterality=codes.SIDES.get(record.side))


def _largest(outlines: tuple[tuple[Point, ...], ...]) -> tuple[Point, ...]:
    """The outline around the largest area (shoelace formula)."""

    def area(outline: tuple[Point, ...]) -> float:
        points = np.asarray(outline, dtype=np.float64)
        row, col = points[:, 0], points[:, 1]
        return abs(float(row @ np.roll(col, -1) - col @ np.roll(row, -1)))

    return max(outlines, key=area)


def _closed(outline: tuple[Point, ...]) -> tuple[Point, ...]:
    return outline if outline[0] == outline[-1] else (*outline, outline[0])


def _graphic(points: tuple[Point, ...], source: SourceImage) -> Any:
    """Points as (column, row) of the source's frame, from the outer corner of its first pixel (PS3.3, C.18.6.1.2)."""
    pixels = np.asarray(points, dtype=np.float64)[:, ::-1] + 0.5 + np.array([source.col, source.row])
    rows, columns = source.shape
    return np.clip(pixels, 0.0, np.array([columns, rows], dtype=np.float64))


def _length_text(line: tuple[Point, ...], image: ImageRecord) -> str:
    """Length of a caliper's line, as printed; empty without millimetres."""
    if image.row_mm is None or image.col_mm is None or len(line) != 2:
        return ""
    (row, col), (other_row, other_col) = line
    return words.mm_text(math.hypot((other_row - row) * image.row_mm, (other_col - col) * image.col_mm))
