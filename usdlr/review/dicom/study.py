"""Everything that an archive gets about one axilla, in the order in which it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydicom.dataset import Dataset

from usdlr.review.acts import AxillaState
from usdlr.review.dicom.capture import sc_dataset
from usdlr.review.dicom.report import sr_dataset
from usdlr.review.dicom.segmentation import is_used, regions_of, seg_dataset
from usdlr.review.dicom.source import image_of_row, make_source, read_source
from usdlr.review.records import AxillaRecord, ModelRecord


def study_objects(
    model: ModelRecord,
    record: AxillaRecord,
    state: AxillaState,
    *,
    source_file: Path | None = None,
    pages: Sequence[bytes] = (),
    made: datetime | None = None,
) -> list[Dataset]:
    """An axilla as DICOM objects: its source image where the archive has none, segmentation, report and summary.

    Parameters
    ----------
    model : ModelRecord
        What the numbers come from.
    record : AxillaRecord
        The axilla.
    state : AxillaState
        What counts now.
    source_file : Path, optional
        The scanner's DICOM image of the first tumour image; without it, one is made from the canonical picture.
    pages : sequence of bytes
        The rendered pages of the summary as PNG, in their order; each becomes an object of its own.
    made : datetime, optional
        When; equal arguments give equal objects, so that sending twice stores once. By default now.

    Returns
    -------
    list of pydicom Dataset
        With file meta information; what is referred to comes before what refers to it.

    Raises
    ------
    CaseError
        If a file is missing or unreadable.
    DataError
        If the source file is not the image that the model read.
    """
    made = made or datetime.now(UTC)
    image = image_of_row(record)
    source = make_source(record, image) if source_file is None else read_source(source_file, record)
    objects = [source.dataset] if source.made_here else []
    segmentation = None
    if is_used(image, state) and (image.paths.get("mask") or state.outlines.get(image.token)):
        regions = regions_of(image, state, margin_mm=model.margin_mm)
        segmentation = seg_dataset(record, image, source, regions, made=made)
        objects.append(segmentation)
    objects.append(sr_dataset(model, record, state, source, segmentation=segmentation, made=made))
    objects += [sc_dataset(record, source, page, number=at, made=made) for at, page in enumerate(pages, start=1)]
    return objects
