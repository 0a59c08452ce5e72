"""Contours of any format, found by what a file holds, never by its name.

====================  ==============================================================================================
Mask pictures         PNG, BMP, TIFF, NIfTI, NRRD, Slicer segmentations: :mod:`~usdlr.ingest.annotations.pictures`
DICOM                 segmentations, reports, presentation states: ``dicom_seg``, ``dicom_sr``, ``dicom_gsps``
JSON                  LabelMe, COCO, VGG Image Annotator: ``labelme``, ``coco``, ``via``
XML                   CVAT for images 1.1: ``cvat``
CSV                   VGG Image Annotator, plain tables of points: ``via``, ``table``
====================  ==============================================================================================

Which contour is meant, and when a file is refused as ambiguous, is said in :mod:`usdlr.ingest.annotations.selection`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from usdlr.core.errors import CaseError, UsdlrError
from usdlr.core.types import ExclusionCode
from usdlr.ingest.annotations.coco import is_coco, read_coco
from usdlr.ingest.annotations.contour import Candidate, Contour, Shape, empty, missing, unreadable
from usdlr.ingest.annotations.cvat import is_cvat, read_cvat
from usdlr.ingest.annotations.dicom_gsps import read_presentation
from usdlr.ingest.annotations.dicom_seg import LABEL_MAP, SEGMENTATION, read_segmentation
from usdlr.ingest.annotations.dicom_sr import read_report
from usdlr.ingest.annotations.labelme import is_labelme, read_labelme
from usdlr.ingest.annotations.pictures import read_picture
from usdlr.ingest.annotations.selection import choose, numbered
from usdlr.ingest.annotations.table import is_point_table, read_point_table
from usdlr.ingest.annotations.text import Document, is_text, load
from usdlr.ingest.annotations.via import is_via_csv, is_via_json, read_via_csv, read_via_json
from usdlr.ingest.readers.bounded import BoundedFile, RefusedFile, WrongFrame
from usdlr.ingest.readers.dicom_file import open_dataset, quiet
from usdlr.ingest.readers.reading import sniff
from usdlr.ingest.source import MaskRef

HEAD = 4096
NRRD = b"NRRD"
REPORTS = "1.2.840.10008.5.1.4.1.1.88."
PRESENTATIONS = "1.2.840.10008.5.1.4.1.1.11."
# All contours of one file at once, in bytes.
MAX_TOGETHER = 1 << 30


def read_contour(ref: MaskRef, shape: Shape) -> Contour:
    """The one contour that a reference means.

    Parameters
    ----------
    ref : MaskRef
        The file, and what is meant in it: label, reader, image, frame.
    shape : tuple of int
        ``(rows, columns)`` of the image; a contour that was drawn on another grid is refused, never fitted.

    Raises
    ------
    CaseError
        ``mask_missing``: no such file, image, label or reader. ``mask_unreadable``: damaged, or of a kind that is not
        read. ``mask_empty``: no pixel. ``mask_size_mismatch``: drawn on an image of another size. ``mask_ambiguous``:
        several contours answer. ``frame_unstated``: several frames, and none is stated.
    DataError
        If a library for the format is not installed.
    """
    with _guarded(ref.path):
        return choose(_candidates(ref, shape), ref.label, ref.reader_id).draw(shape)


def read_contours(ref: MaskRef, shape: Shape) -> tuple[Contour, ...]:
    """Every contour that a file holds of one image, by whatever reader: label and reader of the reference do not count.

    Parameters
    ----------
    ref : MaskRef
        The file, and the image and frame that are meant.
    shape : tuple of int
        ``(rows, columns)`` of the image.

    Returns
    -------
    tuple of Contour
        In the order of the file; labels are unique per reader. Never empty.

    Raises
    ------
    CaseError
        As :func:`read_contour`; also when only one of the contours cannot be used.
    DataError
        If a library for the format is not installed.
    """
    with _guarded(ref.path):
        candidates = [one for one in _candidates(ref, shape) if not one.empty]
        if not candidates:
            raise empty("no contour of this image", "the lesion's outline", "draw it, or give the file that holds it")
        if len(candidates) * shape[0] * shape[1] > MAX_TOGETHER:
            raise unreadable(f"{len(candidates)} contours of one image", "fewer", "read them one by one, by label")
        return tuple(one.draw(shape) for one in candidates)


def _candidates(ref: MaskRef, shape: Shape) -> tuple[Candidate, ...]:
    if not ref.path.is_file():
        raise missing(
            f"no file {ref.path.name}", "the contour beside the image", "restore it or correct the export's table"
        )
    with BoundedFile(ref.path) as stream:
        head = stream.read(HEAD)
    if not head:
        raise RefusedFile("that is empty", "a mask or an annotation file")
    if is_text(head) and not head.startswith(NRRD):
        return numbered(_from_text(load(ref.path), ref, shape))
    kind = sniff(ref.path)
    if kind == "DICOM":
        return numbered(_from_dicom(ref, shape))
    return numbered(read_picture(ref.path, kind, ref.frame, shape))


def _from_text(document: Document, ref: MaskRef, shape: Shape) -> list[Candidate]:
    content: Any = document.content
    if document.kind == "XML":
        if is_cvat(content):
            return read_cvat(document, ref.image_name, shape)
    elif document.kind == "CSV":
        if is_via_csv(document):
            return read_via_csv(document, ref.image_name)
        if is_point_table(document):
            return read_point_table(document, ref.image_name, ref.frame)
    elif is_labelme(content):
        return read_labelme(content, ref.image_name, shape)
    elif is_coco(content):
        return read_coco(document, ref.image_name, shape)
    elif is_via_json(content):
        return read_via_json(document, ref.image_name)
    raise unreadable(
        f"a {document.kind} file of an unknown structure",
        "LabelMe, COCO, VIA, CVAT for images, or a table of points with a header",
        "export the contours in one of these formats",
    )


def _from_dicom(ref: MaskRef, shape: Shape) -> list[Candidate]:
    with quiet(), open_dataset(ref.path) as opened:
        kind = str(opened.dataset.get("SOPClassUID", ""))
        if kind in (SEGMENTATION, LABEL_MAP):
            return read_segmentation(ref.path, opened, ref.image_name, ref.frame, shape)
        if kind.startswith(REPORTS):
            return read_report(opened.dataset, ref.image_name, ref.frame)
        if kind.startswith(PRESENTATIONS):
            return read_presentation(opened.dataset, ref.image_name, ref.frame)
    raise unreadable(
        "a DICOM file that is no segmentation, structured report or presentation state",
        "one of these",
        "export the contour as a segmentation",
    )


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file makes a library raise into a refusal, which never quotes the file."""
    try:
        yield
    except UsdlrError:
        raise
    except WrongFrame as error:
        code = ExclusionCode.FRAME_UNSTATED if error.asked is None else ExclusionCode.MASK_UNREADABLE
        raise CaseError(code, error.sentence(path.name)) from error
    except RefusedFile as error:
        raise CaseError(ExclusionCode.MASK_UNREADABLE, error.sentence(path.name)) from error
    except Exception as error:
        raise CaseError(
            ExclusionCode.MASK_UNREADABLE,
            f"found {path.name} cannot be read ({type(error).__name__}), expected a whole mask or annotation file; "
            "export it again",
        ) from None
