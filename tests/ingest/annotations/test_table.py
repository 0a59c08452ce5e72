from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.ingest.annotations import text_writers as write
from tests.ingest.annotations.circles import SHAPE, circle, disc, overlap, ref, square
from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.ingest.annotations import text
from usdlr.ingest.annotations.raster import rectangle
from usdlr.ingest.annotations.reading import read_contour, read_contours
from usdlr.ingest.source import MaskRef

SQUARE = rectangle(40, 20, 90, 50).tolist()


def refused(path: Path, code: ExclusionCode, label: str | None = None, **values: Any) -> str:
    with pytest.raises(CaseError) as caught:
        read_contour(ref(path, label, **values), SHAPE)
    assert caught.value.code is code, caught.value.sentence
    return caught.value.sentence


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_x_and_y_count_from_the_corner(tmp_path: Path, delimiter: str) -> None:
    path = write.table(tmp_path / "a.csv", "x,y", SQUARE, delimiter)
    np.testing.assert_array_equal(read_contour(ref(path), SHAPE).pixels, square())
    path = write.table(tmp_path / "a.csv", "y,X", [(y, x) for x, y in circle()], delimiter)
    assert overlap(read_contour(ref(path), SHAPE).pixels, disc()) > 0.995


@pytest.mark.parametrize("header", ["row,col", "Row,Column"])
def test_rows_and_columns_count_centres(tmp_path: Path, header: str) -> None:
    rows = [(y - 0.5, x - 0.5) for x, y in SQUARE]
    np.testing.assert_array_equal(
        read_contour(ref(write.table(tmp_path / "a.csv", header, rows)), SHAPE).pixels, square()
    )


def test_labels_contours_readers_images_and_frames(tmp_path: Path) -> None:
    rows: list[tuple[Any, ...]] = []
    for image in ("one.png", "two.png"):
        for frame in (1, 2):
            for reader in ("A", "B"):
                for label, contour in (("lesion", "1"), ("lesion", "2"), ("node", "1")):
                    left = 10 + 10 * len(rows) % 90
                    corners = rectangle(left, 20, left + 10 + len(rows) % 7, 40)
                    rows += [(image, frame, reader, label, contour, x, y) for x, y in corners]
    path = write.table(tmp_path / "a.csv", "image,frame,reader,label,contour,x,y", rows)
    wanted: dict[str, Any] = {"image": "two.png", "frame": 2}
    found = read_contours(ref(path, **wanted), SHAPE)
    assert [(one.reader_id, one.label) for one in found] == [
        (reader, label) for reader in ("A", "B") for label in ("lesion#1", "lesion#2", "node")
    ]
    one = read_contour(MaskRef(path, "B", "node", "two.png", frame=2), SHAPE)
    np.testing.assert_array_equal(one.pixels, found[5].pixels)
    refused(path, ExclusionCode.MASK_AMBIGUOUS)
    refused(path, ExclusionCode.FRAME_UNSTATED, image="two.png")
    refused(path, ExclusionCode.MASK_MISSING, image="two.png", frame=7)
    refused(path, ExclusionCode.MASK_AMBIGUOUS, "node", **wanted)


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("x,y", [(1, 2), (30, 2)]),
        ("x,y", [(1, 2), (30, 2), ("", 9)]),
        ("x,y", [(1, 2), (30, 2), ("12;5", 9)]),
        ("x,y", [(1, 2), (30, 2), (9,)]),
        ("x,y,lesion", [(1, 2, 1), (30, 2, 1), (9, 30, 2)]),
        ("x,y,x", [(1, 2, 3)]),
        ("x,y,row,col", [(1, 2, 3, 4)]),
        ("x_mm,y_mm", [(1, 2), (30, 2), (9, 30)]),
        ("1,2", [(1, 2), (30, 2), (9, 30)]),
        ("a", []),
        ('x,"y', [(1, 2)]),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, header: str, rows: list[tuple[Any, ...]]) -> None:
    refused(write.table(tmp_path / "a.csv", header, rows), ExclusionCode.MASK_UNREADABLE)


def test_a_table_without_points_is_empty(tmp_path: Path) -> None:
    refused(write.table(tmp_path / "a.csv", "x,y", []), ExclusionCode.MASK_EMPTY)


def test_a_mark_of_byte_order_is_no_part_of_the_header_and_latin_1_is_refused(tmp_path: Path) -> None:
    path = write.table(tmp_path / "a.csv", "x,y", SQUARE)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_contour(ref(path), SHAPE).pixels.sum() == 1500
    path.write_bytes("x,y,label\n1,2,L\xe4sion\n".encode("latin-1"))
    refused(path, ExclusionCode.MASK_UNREADABLE)


def test_a_missing_and_an_empty_file(tmp_path: Path) -> None:
    refused(tmp_path / "a.csv", ExclusionCode.MASK_MISSING)
    refused(tmp_path, ExclusionCode.MASK_MISSING)
    (tmp_path / "a.csv").write_bytes(b"")
    refused(tmp_path / "a.csv", ExclusionCode.MASK_UNREADABLE)


def test_a_file_of_many_images_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write.coco(tmp_path / "a.json", [{"segmentation": [rectangle(40, 20, 90, 50).ravel().tolist()]}])
    os.utime(path, (1, 1))
    assert read_contour(ref(path), SHAPE).pixels.sum() == 1500
    monkeypatch.setattr(text, "parse_json", None)
    assert read_contour(ref(path), SHAPE).pixels.sum() == 1500
    monkeypatch.undo()
    # Written anew, it is read anew, also within one tick of the clock.
    write.coco(tmp_path / "a.json", [{"segmentation": [rectangle(40, 20, 80, 50).ravel().tolist()]}])
    assert read_contour(ref(path), SHAPE).pixels.sum() == 1200


def test_text_beyond_the_bound_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write.table(tmp_path / "a.csv", "x,y", SQUARE)
    monkeypatch.setattr(text, "MAX_BYTES", 20)
    refused(path, ExclusionCode.MASK_UNREADABLE)
    monkeypatch.undo()
    monkeypatch.setattr(text, "MAX_CONTAINERS", 0)
    monkeypatch.setattr(text, "MAX_ROWS", 2)
    refused(path, ExclusionCode.MASK_UNREADABLE)
    refused(write.labelme(tmp_path / "a.json", []), ExclusionCode.MASK_UNREADABLE)
