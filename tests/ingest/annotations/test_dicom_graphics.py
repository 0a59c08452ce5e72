from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.ingest.annotations.circles import CENTRE, RADIUS, SHAPE, disc, overlap, ref, square
from tests.ingest.annotations.dicom_writers import PERSON, image, presentation, report
from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.ingest.annotations.raster import rectangle
from usdlr.ingest.annotations.reading import read_contour, read_contours


def closed(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points, points[:1]])


SQUARE = closed(rectangle(40, 20, 90, 50))
ROUND = np.array([CENTRE, (CENTRE[0] + RADIUS, CENTRE[1])])
x, y = CENTRE
OVAL = np.array([[x - 40, y], [x + 40, y], [x, y - 20], [x, y + 20]])


def test_a_report_with_a_polygon_a_circle_and_an_ellipse(tmp_path: Path) -> None:
    path = tmp_path / "sr.dcm"
    report(path, [("square", "POLYLINE", SQUARE), ("round", "CIRCLE", ROUND), ("oval", "ELLIPSE", OVAL)])
    np.testing.assert_array_equal(read_contour(ref(path, "square"), SHAPE).pixels, square())
    # Graphic data are 32-bit numbers.
    assert overlap(read_contour(ref(path, "round"), SHAPE).pixels, disc()) > 0.999
    oval = read_contour(ref(path, "oval"), SHAPE)
    assert oval.pixels.sum() == pytest.approx(math.pi * 40 * 20, rel=0.01)
    assert [one.label for one in read_contours(ref(path), SHAPE)] == ["square", "round", "oval"]
    # Who drew it is a person's name, and stays in the file.
    assert {one.reader_id for one in read_contours(ref(path), SHAPE)} == {None}
    for label in (None, "Lesion"):
        with pytest.raises(CaseError, match="'square', 'round', 'oval'") as caught:
            read_contour(ref(path, label), SHAPE)
        assert caught.value.code is ExclusionCode.MASK_AMBIGUOUS
        assert PERSON.split("^")[0] not in str(caught.value)


def test_a_report_on_frames_of_a_cine_loop(tmp_path: Path) -> None:
    path = tmp_path / "sr.dcm"
    uid = report(path, [("a", "POLYLINE", SQUARE), ("b", "CIRCLE", ROUND)], frames=[2, 5])
    assert read_contour(ref(path, frame=2), SHAPE).label == "a"
    assert read_contour(ref(path, frame=5, image=uid), SHAPE).label == "b"
    with pytest.raises(CaseError) as caught:
        read_contour(ref(path), SHAPE)
    assert caught.value.code is ExclusionCode.FRAME_UNSTATED
    with pytest.raises(CaseError) as caught:
        read_contour(ref(path, frame=3), SHAPE)
    assert caught.value.code is ExclusionCode.MASK_EMPTY
    with pytest.raises(CaseError) as caught:
        read_contour(ref(path, frame=2, image="1.2.3"), SHAPE)
    assert caught.value.code is ExclusionCode.MASK_MISSING


def test_open_lines_in_a_report_are_refused_and_points_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "sr.dcm"
    report(path, [("open", "POLYLINE", SQUARE[:-1]), ("seed", "POINT", SQUARE[:1]), ("square", "POLYLINE", SQUARE)])
    assert read_contour(ref(path, "square"), SHAPE).pixels.sum() == 1500
    with pytest.raises(CaseError, match="open line of 4 points") as caught:
        read_contour(ref(path, "open"), SHAPE)
    assert caught.value.code is ExclusionCode.MASK_UNREADABLE
    with pytest.raises(CaseError) as caught:
        read_contour(ref(path, "seed"), SHAPE)
    assert caught.value.code is ExclusionCode.MASK_MISSING


def test_a_skewed_ellipse_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sr.dcm"
    report(path, [("oval", "ELLIPSE", OVAL + np.array([[0, 0], [0, 0], [12, 0], [-12, 0]]))])
    with pytest.raises(CaseError) as caught:
        read_contour(ref(path), SHAPE)
    assert caught.value.code is ExclusionCode.MASK_UNREADABLE


def test_a_report_without_regions_is_empty_and_a_deep_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sr.dcm"
    report(path, [("seed", "POINT", SQUARE[:1])])
    with pytest.raises(CaseError) as caught:
        read_contour(ref(path), SHAPE)
    assert caught.value.code is ExclusionCode.MASK_EMPTY
    dataset = pydicom.dcmread(path)
    inner = dataset.ContentSequence
    for _ in range(80):
        item = pydicom.Dataset()
        item.ValueType, item.ContentSequence = "CONTAINER", inner
        inner = [item]
    dataset.ContentSequence = inner
    dataset.save_as(path)
    with pytest.raises(CaseError) as caught:
        read_contour(ref(path), SHAPE)
    assert caught.value.code is ExclusionCode.MASK_UNREADABLE


def test_a_presentation_state(tmp_path: Path) -> None:
    path = tmp_path / "pr.dcm"
    arrow, cross = SQUARE[:2], SQUARE[:1]
    uid = presentation(path, [("POLYLINE", arrow), ("POINT", cross), ("POLYLINE", SQUARE)])
    found = read_contour(ref(path, image=uid), SHAPE)
    np.testing.assert_array_equal(found.pixels, square())
    assert (found.label, found.reader_id, found.is_box) == ("LESION", None, False)
    presentation(path, [("CIRCLE", ROUND), ("POLYLINE", SQUARE)])
    assert [one.label for one in read_contours(ref(path), SHAPE)] == ["LESION#1", "LESION#2"]
    assert overlap(read_contour(ref(path, "LESION#1"), SHAPE).pixels, disc()) > 0.999
    with pytest.raises(CaseError) as caught:
        read_contour(ref(path, "LESION"), SHAPE)
    assert caught.value.code is ExclusionCode.MASK_AMBIGUOUS


def test_presentation_states_that_need_more_than_pixels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pr.dcm"
    for objects, values in (
        ([("POLYLINE", SQUARE / 200)], {"units": "DISPLAY"}),
        ([("POLYLINE", SQUARE[:-1])], {}),
        ([("INTERPOLATED", SQUARE)], {}),
        ([("POLYLINE", SQUARE)], {"ImageRotation": 90, "ImageHorizontalFlip": "N"}),
        ([("POLYLINE", SQUARE)], {"ImageRotation": 0, "ImageHorizontalFlip": "Y"}),
    ):
        presentation(path, objects, **values)
        with pytest.raises(CaseError) as caught:
            read_contour(ref(path), SHAPE)
        assert caught.value.code is ExclusionCode.MASK_UNREADABLE, values
    presentation(path, [("POLYLINE", SQUARE)], ImageRotation=0, ImageHorizontalFlip="N")
    assert read_contour(ref(path), SHAPE).pixels.sum() == 1500


def test_a_presentation_state_of_several_images_needs_the_one_that_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "pr.dcm"
    uid = presentation(path, [("POLYLINE", SQUARE)])
    dataset = pydicom.dcmread(path)
    other = image()
    reference, annotation = pydicom.Dataset(), pydicom.Dataset()
    reference.ReferencedSOPInstanceUID = other.SOPInstanceUID
    annotation.ReferencedImageSequence, annotation.GraphicLayer = [reference], "OTHER"
    annotation.GraphicObjectSequence = dataset.GraphicAnnotationSequence[0].GraphicObjectSequence
    dataset.GraphicAnnotationSequence.append(annotation)
    dataset.save_as(path)
    assert read_contour(ref(path, image=uid), SHAPE).label == "LESION"
    assert read_contour(ref(path, image=other.SOPInstanceUID), SHAPE).label == "OTHER"
    with pytest.raises(CaseError) as caught:
        read_contour(ref(path), SHAPE)
    assert caught.value.code is ExclusionCode.MASK_AMBIGUOUS
