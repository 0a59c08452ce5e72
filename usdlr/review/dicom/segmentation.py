"""The lesion's contour and its peritumoral ring as a DICOM segmentation on the grid of the source image."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard
from pydicom.uid import UltrasoundImageStorage

import usdlr
from usdlr.core.errors import CaseError, DataError
from usdlr.core.hashing import bytes_hash
from usdlr.core.types import ExclusionCode, MaskSource, SpacingSource
from usdlr.imaging.image import BoolArray
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.rings import peritumoral_ring
from usdlr.imaging.store import read_mask
from usdlr.ingest.readers.dicom_file import quiet
from usdlr.review.acts import AxillaState
from usdlr.review.dicom import codes
from usdlr.review.dicom.source import SourceImage, spacing_in_mm
from usdlr.review.outlines import mask_of
from usdlr.review.records import AxillaRecord, ImageRecord
from usdlr.review.ring_spacing import ring_spacing

TUMOUR, RING = 1, 2
RELATIVE_MARGIN = "a fixed share of the lesion's diameter"
MANUAL, SEMIAUTOMATIC, AUTOMATIC = "MANUAL", "SEMIAUTOMATIC", "AUTOMATIC"


@dataclass(frozen=True)
class Regions:
    """What the model measured, on the canonical picture's grid.

    Parameters
    ----------
    tumour : bool array, (rows, columns)
        The lesion.
    ring : bool array, (rows, columns), or None
        The peritumoral ring inside the field of view; ``None`` without a scale, or where nothing of it is inside.
    drawn : str
        Who drew the lesion, a SegmentAlgorithmType: ``MANUAL``, ``AUTOMATIC``, or ``SEMIAUTOMATIC`` for an automatic
        contour that a reader redrew.
    margin_mm : float
        Width of the ring.
    """

    tumour: BoolArray
    ring: BoolArray | None
    drawn: str
    margin_mm: float


def regions_of(image: ImageRecord, state: AxillaState, *, margin_mm: float) -> Regions:
    """The regions of one image as they count now: a redrawn contour comes before the loaded one.

    Parameters
    ----------
    image : ImageRecord
        The image.
    state : AxillaState
        Its axilla's.
    margin_mm : float
        Width of the model's ring, in mm.

    Raises
    ------
    CaseError
        If there is no contour, or a file is missing or unreadable.
    """
    outlines = state.outlines.get(image.token)
    shape = (image.rows, image.columns)
    tumour = mask_of(outlines, shape) if outlines else _stored(image, "mask")
    if tumour.shape != shape:
        raise DataError(
            f"found a contour on {tumour.shape[0]} x {tumour.shape[1]} pixels (rows x columns), expected the image's "
            f"{shape[0]} x {shape[1]}; load the list again"
        )
    fov = _stored(image, "fov") if image.paths.get("fov") else None
    ring = None
    # Also where the unit is a share of the lesion: the ring is that of the model all the same.
    spacing = ring_spacing(image, tumour, redrawn=bool(outlines))
    if spacing is not None and tumour.any():
        with suppress(CaseError):  # nothing of it is inside the field of view
            ring = peritumoral_ring(LesionMask(tumour, spacing), margin_mm, fov).pixels
    return Regions(tumour, ring, drawn_by(image, state), margin_mm)


def is_used(image: ImageRecord, state: AxillaState) -> bool:
    """Whether the answer that counts was made with this image; readers may leave images out."""
    return not state.used or image.token in state.used


def drawn_by(image: ImageRecord, state: AxillaState) -> str:
    """Who drew the contour that counts: ``MANUAL``, ``AUTOMATIC``, or ``SEMIAUTOMATIC`` for a redrawn automatic one."""
    if image.mask_source is not MaskSource.AUTOMATIC:
        return MANUAL
    return SEMIAUTOMATIC if state.outlines.get(image.token) else AUTOMATIC


def seg_dataset(
    record: AxillaRecord,
    image: ImageRecord,
    source: SourceImage,
    regions: Regions,
    *,
    made: datetime | None = None,
) -> Dataset:
    """A segmentation with the tumour as segment 1 and the peritumoral ring as segment 2.

    Parameters
    ----------
    record : AxillaRecord
        The axilla.
    image : ImageRecord
        The image whose regions they are.
    source : SourceImage
        What it refers to; patient and study are taken over from it, and the masks lie on its whole grid.
    regions : Regions
        On the canonical picture's grid.
    made : datetime, optional
        When; equal arguments give equal bytes. By default now.

    Returns
    -------
    pydicom Dataset
        A Segmentation Storage instance of type BINARY. It states PixelSpacing only where the image has millimetres.

    Raises
    ------
    CaseError
        If the lesion is empty.
    DataError
        If the regions do not fit into the source.

    References
    ----------
    DICOM PS3.3, A.51 (Segmentation IOD), C.8.20; PS3.16, CID 7150 and 7151 (segmented property categories and types).
    """
    made = made or datetime.now(UTC)
    if not regions.tumour.any():
        raise CaseError(ExclusionCode.MASK_EMPTY, "found a contour without a pixel, expected the lesion; draw it again")
    parts = [regions.tumour] + ([] if regions.ring is None else [regions.ring])
    grid = np.stack([on_source(part, source) for part in parts], axis=-1)
    content = bytes_hash(*(np.packbits(part).tobytes() for part in parts))
    origin = str(source.dataset.SOPInstanceUID), str(source.frame)
    uid = codes.uid_from("seg", *origin, record.digest, content, str(made))
    with quiet():
        dataset = hd.seg.Segmentation(
            source_images=[_plain_source(source)],
            pixel_array=grid.astype(np.uint8)[np.newaxis],
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=_descriptions(record, image, regions),
            series_instance_uid=codes.uid_from("seg series", str(source.dataset.SeriesInstanceUID), record.digest),
            series_number=801,
            sop_instance_uid=uid,
            instance_number=image.number,
            manufacturer=codes.MANUFACTURER,
            manufacturer_model_name=codes.MANUFACTURER,
            software_versions=usdlr.__version__,
            device_serial_number=usdlr.__version__,
            content_label="USDLR",
            content_description="Tumour and peritumoral ring",
            content_creator_name="usdlr^",
            pixel_measures=_measures(image),
            specific_character_set=codes.CHARACTERS,
        )
    _finish(dataset, source, made)
    return dataset


def on_source(mask: BoolArray, source: SourceImage) -> BoolArray:
    """A mask of the canonical picture on the whole grid of its source, bool array (rows, columns).

    Raises
    ------
    DataError
        If it does not fit.
    """
    whole = np.zeros(source.shape, dtype=np.bool_)
    part = whole[source.row : source.row + mask.shape[0], source.col : source.col + mask.shape[1]]
    if part.shape != mask.shape:
        raise DataError(
            f"found a contour of {mask.shape[0]} x {mask.shape[1]} pixels at row {source.row}, column {source.col} of "
            f"an image of {source.shape[0]} x {source.shape[1]}, expected it inside; choose the image that was ingested"
        )
    part[...] = mask
    return whole


def _stored(image: ImageRecord, kind: str) -> BoolArray:
    if not image.paths.get(kind):
        raise CaseError(ExclusionCode.MASK_MISSING, "found no contour, expected the lesion's outline; draw one")
    return read_mask(Path(image.root) / image.paths[kind])


def _descriptions(record: AxillaRecord, image: ImageRecord, regions: Regions) -> list[Any]:
    side = codes.SIDES.get(record.side)
    algorithm = hd.AlgorithmIdentificationSequence(
        name="usdlr",
        family=standard.DCM.ArtificialIntelligence,
        version=usdlr.__version__,
        source="usdlr",
        parameters={"margin": RELATIVE_MARGIN} if is_relative(image) else {"margin_mm": f"{regions.margin_mm:g}"},
    )

    def description(number: int, label: str, category: Any, kind: Any, drawn: str) -> Any:
        found = hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=category,
            segmented_property_type=kind,
            algorithm_type=drawn,
            algorithm_identification=None if drawn == MANUAL else algorithm,
            tracking_uid=tracking(image, number)[0],
            tracking_id=tracking(image, number)[1],
            anatomic_regions=[standard.SCT.Breast],
        )
        if side is not None:
            # Which breast: a modifier of the region, PS3.3 10.5.
            found.AnatomicRegionSequence[0].AnatomicRegionModifierSequence = [hd.sr.CodedConcept.from_code(side)]
        return found

    described = [
        description(
            TUMOUR,
            "Tumour",
            standard.SCT.MorphologicallyAbnormalStructure,
            standard.SCT.Neoplasm,
            regions.drawn,
        )
    ]
    if regions.ring is not None:
        described.append(
            description(RING, "Peritumoral ring", standard.SCT.SpatialAndRelationalConcept, codes.RING, AUTOMATIC)
        )
    return described


def tracking(image: ImageRecord, number: int) -> tuple[str, str]:
    """What follows a region through contours and reports: its unique identifier, and a name that says no patient.

    Parameters
    ----------
    image : ImageRecord
        The image.
    number : int
        :data:`TUMOUR` or :data:`RING`.
    """
    name = "tumour" if number == TUMOUR else "peritumoral ring"
    return codes.uid_from("tracking", image.token, name), f"{name}, image {image.number}"


def is_relative(image: ImageRecord) -> bool:
    """Whether lengths on an image, the ring's width among them, are shares of its lesion and no millimetres."""
    return image.spacing_source is SpacingSource.LESION_RELATIVE


def _measures(image: ImageRecord) -> Any:
    spacing = spacing_in_mm(image)
    if spacing is None:
        return None
    # A plane has no thickness, but readers insist on the element and validators on a positive one: a pixel's.
    return hd.PixelMeasuresSequence(pixel_spacing=spacing.as_tuple(), slice_thickness=spacing.row_mm)


def _plain_source(source: SourceImage) -> Dataset:
    """The source's header as that of one frame; :func:`_finish` writes down what it really is.

    highdicom looks for functional groups in every image of several frames, which an ultrasound clip does not have.
    """
    plain = Dataset()
    for element in source.dataset:
        if element.keyword not in ("PixelData", "NumberOfFrames", "SequenceOfUltrasoundRegions"):
            plain.add(element)
    plain.SOPClassUID = UltrasoundImageStorage
    return plain


def _finish(dataset: Dataset, source: SourceImage, made: datetime) -> None:
    organisation = codes.uid_from("dimensions", str(dataset.SOPInstanceUID))
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = organisation
    for item in _references(dataset, str(source.dataset.SOPInstanceUID)):
        item.ReferencedSOPClassUID = source.dataset.SOPClassUID
        if source.referenced_frames is not None and "PurposeOfReferenceCodeSequence" in item:
            item.ReferencedFrameNumber = source.referenced_frames
    dataset.PatientOrientation = ""
    codes.stamp(dataset, made)


def _references(dataset: Dataset, uid: str) -> list[Dataset]:
    """Every reference to an instance."""
    found = [dataset] if str(dataset.get("ReferencedSOPInstanceUID", "")) == uid else []
    for element in dataset:
        if element.VR == "SQ":
            found += [reference for item in element.value for reference in _references(item, uid)]
    return found
