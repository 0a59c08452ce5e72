from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as cocotools

from tests.ingest.annotations import text_writers as write
from tests.ingest.annotations.circles import CENTRE, RADIUS, SHAPE, circle, disc, overlap, ref, square
from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.ingest.annotations.raster import rectangle
from usdlr.ingest.annotations.reading import read_contour, read_contours
from usdlr.ingest.source import MaskRef

SQUARE = rectangle(40, 20, 90, 50)
CORNERS = SQUARE[[0, 2]]
X, Y = CENTRE


def refused(path: Path, code: ExclusionCode, label: str | None = None, image: str | None = None) -> str:
    with pytest.raises(CaseError) as caught:
        read_contour(ref(path, label, image), SHAPE)
    assert caught.value.code is code, caught.value.sentence
    return caught.value.sentence


def test_labelme_shapes(tmp_path: Path) -> None:
    path = write.labelme(
        tmp_path / "a.json",
        [
            write.labelme_shape(SQUARE, "polygon"),
            write.labelme_shape(CORNERS[::-1], "box", "rectangle"),
            write.labelme_shape(np.array([CENTRE, (X, Y + RADIUS)]), "round", "circle"),
            write.labelme_mask(np.ones((30, 50), dtype=np.bool_), 20, 40, "mask"),
            write.labelme_shape(SQUARE, "turned", "oriented_rectangle"),
            write.labelme_shape(CORNERS, "caliper", "line"),
            write.labelme_shape(CORNERS[:1], "seed", "point"),
        ],
    )
    found = {one.label: one for one in read_contours(ref(path), SHAPE)}
    assert set(found) == {"polygon", "box", "round", "mask", "turned"}
    for name in ("polygon", "box", "mask", "turned"):
        np.testing.assert_array_equal(found[name].pixels, square(), name)
    np.testing.assert_array_equal(found["round"].pixels, disc())
    assert {name for name, one in found.items() if one.is_box} == {"box", "turned"}


def test_shapes_of_one_name_are_lesions_of_their_own_unless_grouped(tmp_path: Path) -> None:
    small = write.labelme_shape(rectangle(5, 5, 15, 12))
    apart = write.labelme(tmp_path / "a.json", [write.labelme_shape(SQUARE), small])
    assert [one.label for one in read_contours(ref(apart), SHAPE)] == ["lesion#1", "lesion#2"]
    assert read_contour(ref(apart, "lesion#2"), SHAPE).pixels.sum() == 70
    for label in (None, "lesion"):
        assert "'lesion#1', 'lesion#2'" in refused(apart, ExclusionCode.MASK_AMBIGUOUS, label)
    grouped = [write.labelme_shape(SQUARE, group_id=3), {**small, "group_id": 3}]
    together = write.labelme(tmp_path / "b.json", grouped)
    assert read_contour(ref(together), SHAPE).pixels.sum() == 1570


def test_readers_are_kept_apart(tmp_path: Path) -> None:
    shapes = [
        write.labelme_shape(SQUARE, reader="A"),
        write.labelme_shape(rectangle(5, 5, 15, 12), reader="A"),
        write.labelme_shape(rectangle(42, 20, 90, 50), reader="B"),
    ]
    path = write.labelme(tmp_path / "a.json", shapes)
    found = [(one.reader_id, one.label) for one in read_contours(ref(path), SHAPE)]
    assert found == [("A", "lesion#1"), ("A", "lesion#2"), ("B", "lesion")]
    assert read_contour(MaskRef(path, "B"), SHAPE).pixels.sum() == 1440
    assert read_contour(MaskRef(path, "A", "lesion#1"), SHAPE).pixels.sum() == 1500
    assert "'A', 'B'" in refused(path, ExclusionCode.MASK_AMBIGUOUS, "lesion#1")
    with pytest.raises(CaseError) as caught:
        read_contour(MaskRef(path, "C"), SHAPE)
    assert caught.value.code is ExclusionCode.MASK_MISSING


def test_a_broken_shape_spoils_itself_only(tmp_path: Path) -> None:
    shapes = [write.labelme_shape(SQUARE, "good"), write.labelme_shape(SQUARE[:2], "bad")]
    path = write.labelme(tmp_path / "a.json", shapes)
    assert read_contour(ref(path, "good"), SHAPE).pixels.sum() == 1500
    assert "2 points" in refused(path, ExclusionCode.MASK_UNREADABLE, "bad")


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"imageHeight": 60}, ExclusionCode.MASK_SIZE_MISMATCH),
        ({"imageHeight": "tall"}, ExclusionCode.MASK_UNREADABLE),
        ({"imageHeight": 1e400}, ExclusionCode.MASK_UNREADABLE),
        ({"shapes": []}, ExclusionCode.MASK_EMPTY),
        ({"shapes": {}}, ExclusionCode.MASK_UNREADABLE),
        ({"shapes": [7]}, ExclusionCode.MASK_UNREADABLE),
        ({"shapes": [{}]}, ExclusionCode.MASK_UNREADABLE),
        ({"shapes": [{"points": [[1, 2], [3, 4, 5], [1, 1]]}]}, ExclusionCode.MASK_UNREADABLE),
        ({"shapes": [{"points": [[1, 2], [3, None], [1, 1]]}]}, ExclusionCode.MASK_UNREADABLE),
        ({"shapes": [{"points": [[1, 2], [3, True], [1, 1]]}]}, ExclusionCode.MASK_UNREADABLE),
        ({"shapes": [{"points": [[1, 2], [3, 10**400], [1, 1]]}]}, ExclusionCode.MASK_UNREADABLE),
        ({"shapes": [{"points": [[1, 2], [3, 1], [9, 9]], "shape_type": "spiral"}]}, ExclusionCode.MASK_UNREADABLE),
        ({"shapes": [{"points": [[1, 2], [3, 1], [9, 9]], "shape_type": "linestrip"}]}, ExclusionCode.MASK_UNREADABLE),
        ({"shapes": [{"points": [[1, 2], [3, 4]], "shape_type": "mask", "mask": "?"}]}, ExclusionCode.MASK_UNREADABLE),
        ({"shapes": [{"points": [[200, 2], [230, 4], [220, 30]]}]}, ExclusionCode.MASK_SIZE_MISMATCH),
    ],
)
def test_labelme_files_that_cannot_be_used(tmp_path: Path, values: dict[str, Any], code: ExclusionCode) -> None:
    refused(write.labelme(tmp_path / "a.json", [], **values), code)


def test_a_labelme_file_of_another_image_is_refused(tmp_path: Path) -> None:
    path = write.labelme(tmp_path / "a.json", [write.labelme_shape(SQUARE)])
    assert read_contour(ref(path, image="a.png"), SHAPE).label == "lesion"
    refused(path, ExclusionCode.MASK_MISSING, image="b.png")


def test_a_labelme_mask_of_another_size_than_its_corners_is_refused(tmp_path: Path) -> None:
    shape = write.labelme_mask(np.ones((30, 50), dtype=np.bool_), 20, 40)
    shape["points"][1][0] += 1
    refused(write.labelme(tmp_path / "a.json", [shape]), ExclusionCode.MASK_UNREADABLE)


def rle(pixels: np.ndarray) -> dict[str, Any]:
    encoded = cocotools.encode(np.asfortranarray(pixels.astype(np.uint8)))
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}


def test_coco_segmentations(tmp_path: Path) -> None:
    path = write.coco(
        tmp_path / "a.json",
        [
            {"segmentation": [circle().ravel().tolist()]},
            {"segmentation": rle(disc())},
            {"segmentation": {"size": list(SHAPE), "counts": [0, 100, SHAPE[0] * SHAPE[1] - 100]}},
            {"segmentation": [], "bbox": [40, 20, 50, 30]},
            {"segmentation": [SQUARE.ravel().tolist(), rectangle(5, 5, 15, 12).ravel().tolist()], "category_id": 2},
        ],
    )
    found = read_contours(ref(path), SHAPE)
    assert [one.label for one in found] == ["lesion#1", "lesion#2", "lesion#3", "lesion#4", "node"]
    # The COCO tools follow outlines on a grid five times as fine.
    theirs = cocotools.decode(cocotools.merge(cocotools.frPyObjects([circle().ravel().tolist()], *SHAPE))) > 0
    assert overlap(found[0].pixels, theirs) > 0.985
    np.testing.assert_array_equal(found[1].pixels, disc())
    assert found[2].pixels[:100, 0].all()
    assert found[2].pixels.sum() == 100
    np.testing.assert_array_equal(found[3].pixels, square())
    assert [one.is_box for one in found] == [False, False, False, True, False]
    assert found[4].pixels.sum() == 1570
    # By annotation, by category.
    assert read_contour(ref(path, "annotation=101"), SHAPE).label == "lesion#2"
    assert read_contour(ref(path, "103"), SHAPE).is_box
    for label in ("node", "2", "category=2", "104"):
        assert read_contour(ref(path, label), SHAPE).label == "node"
    for label in ("lesion", "1", "category=1"):
        refused(path, ExclusionCode.MASK_AMBIGUOUS, label)
    refused(path, ExclusionCode.MASK_MISSING, "cyst")


def test_coco_polygons_on_pixel_corners_agree_with_the_coco_tools(tmp_path: Path) -> None:
    polygon = SQUARE.ravel().tolist()
    path = write.coco(tmp_path / "a.json", [{"segmentation": [polygon]}])
    theirs = cocotools.decode(cocotools.merge(cocotools.frPyObjects([polygon], *SHAPE))) > 0
    np.testing.assert_array_equal(read_contour(ref(path), SHAPE).pixels, theirs)


def test_the_image_of_a_coco_file(tmp_path: Path) -> None:
    polygon = [SQUARE.ravel().tolist()]
    path = write.coco(tmp_path / "a.json", [{"segmentation": polygon}, {"segmentation": polygon, "image_id": 2}], 3)
    for name in ("set/a1.png", "a1.png", "other\\a1.png"):
        assert read_contour(ref(path, image=name), SHAPE).label == "lesion"
    refused(path, ExclusionCode.MASK_AMBIGUOUS)
    refused(path, ExclusionCode.MASK_EMPTY, image="a2.png")
    refused(path, ExclusionCode.MASK_MISSING, image="a7.png")


@pytest.mark.parametrize(
    ("annotation", "code"),
    [
        ({}, ExclusionCode.MASK_UNREADABLE),
        ({"segmentation": [[1, 2, 3, 4, 5]]}, ExclusionCode.MASK_UNREADABLE),
        ({"segmentation": [[1, 2, 3, 4]]}, ExclusionCode.MASK_UNREADABLE),
        ({"segmentation": [1, 2, 3, 4, 5, 6]}, ExclusionCode.MASK_UNREADABLE),
        ({"segmentation": "polygon"}, ExclusionCode.MASK_UNREADABLE),
        ({"segmentation": [[1, 2, 3, 4, float("nan"), 6]]}, ExclusionCode.MASK_UNREADABLE),
        ({"segmentation": [[5, 5, 9, 5, 9, 9]] * 300}, ExclusionCode.MASK_UNREADABLE),
        ({"segmentation": {"size": [10, 10], "counts": [100]}}, ExclusionCode.MASK_SIZE_MISMATCH),
        ({"bbox": [1, 2, 3]}, ExclusionCode.MASK_UNREADABLE),
        ({"bbox": [1, 2, 0, 5]}, ExclusionCode.MASK_EMPTY),
    ],
)
def test_coco_annotations_that_cannot_be_used(tmp_path: Path, annotation: dict[str, Any], code: ExclusionCode) -> None:
    refused(write.coco(tmp_path / "a.json", [annotation]), code)


VIA_REGIONS = [
    write.via_region(write.via_polygon(SQUARE), lesion="polygon", reader="A"),
    write.via_region({"name": "rect", "x": 40, "y": 20, "width": 50, "height": 30}, lesion="box", reader="A"),
    write.via_region({"name": "circle", "cx": X, "cy": Y, "r": RADIUS}, lesion="round", reader="A"),
    write.via_region(
        {"name": "ellipse", "cx": X, "cy": Y, "rx": 40, "ry": 20, "theta": 0.3}, lesion="oval", reader="A"
    ),
    write.via_region({"name": "point", "cx": X, "cy": Y}, lesion="seed", reader="B"),
]


@pytest.mark.parametrize("kind", ["json", "project", "csv"])
def test_via_regions(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    if kind == "csv":
        write.via_csv(path, VIA_REGIONS, [])
    else:
        write.via_json(path, VIA_REGIONS, [], project=kind == "project")
    refused(path, ExclusionCode.MASK_AMBIGUOUS)
    refused(path, ExclusionCode.MASK_EMPTY, image="a1.png")
    found = {one.label: one for one in read_contours(ref(path, image="a0.png"), SHAPE)}
    assert {one.reader_id for one in found.values()} == {"A"}
    np.testing.assert_array_equal(found["polygon"].pixels, square())
    np.testing.assert_array_equal(found["box"].pixels, square())
    np.testing.assert_array_equal(found["round"].pixels, disc())
    assert found["oval"].pixels.sum() == pytest.approx(math.pi * 40 * 20, rel=0.01)
    assert found["oval"].pixels[round(Y + 35 * math.sin(0.3)), round(X + 35 * math.cos(0.3))]
    assert {name for name, one in found.items() if one.is_box} == {"box"}


def test_via_polylines_and_version_3_are_refused(tmp_path: Path) -> None:
    line = {**write.via_polygon(SQUARE), "name": "polyline"}
    refused(write.via_json(tmp_path / "a.json", [write.via_region(line)]), ExclusionCode.MASK_UNREADABLE)
    path = tmp_path / "b.json"
    path.write_text(json.dumps({"project": {}, "config": {}, "metadata": {}, "view": {}, "file": {}}))
    assert "VIA 3" in refused(path, ExclusionCode.MASK_UNREADABLE)


def test_via_labels_from_free_attributes(tmp_path: Path) -> None:
    region = write.via_polygon(SQUARE)
    for attributes, label in (
        ({}, None),
        ({"finding": "cyst"}, "cyst"),
        ({"kind": "cyst", "label": "a"}, "a"),
        ({"one": "x", "two": "y"}, "one=x two=y"),
        ({"boxes": {"solid": True, "cystic": False}}, "solid"),
    ):
        path = write.via_json(tmp_path / "a.json", [write.via_region(region, **attributes)])
        assert read_contour(ref(path), SHAPE).label == label


@pytest.mark.parametrize("content", ["{}", "[]", "[1, 2", "null", '{"a": 1}', "[" * 100_000, '{"shapes": ' * 50_000])
def test_json_of_another_kind_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    refused(path, ExclusionCode.MASK_UNREADABLE)
