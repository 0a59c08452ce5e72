from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from tests.ingest.annotations.circles import SHAPE, disc, ref, square
from tests.ingest.annotations.dicom_writers import image, segmentation
from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.ingest.annotations.reading import read_contour, read_contours


def two() -> np.ndarray:
    return np.stack([disc(), square(5, 5, 10, 11)], axis=-1)[None]


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_segments_by_label_number_and_tracking_identifier(tmp_path: Path, kind: str) -> None:
    masks = two()
    masks[..., 1] &= ~masks[..., 0]  # a label map cannot hold overlaps
    options: dict[str, Any] = {"fractional_type": "PROBABILITY"} if kind == "FRACTIONAL" else {}
    path = segmentation(tmp_path / "seg.dcm", masks, ["tumour", "node"], kind, **options)
    for label in ("tumour", "1", "track 1"):
        np.testing.assert_array_equal(read_contour(ref(path, label), SHAPE).pixels, masks[0, ..., 0])
    for label in ("node", "2", "track 2"):
        np.testing.assert_array_equal(read_contour(ref(path, label), SHAPE).pixels, masks[0, ..., 1])
    assert [one.label for one in read_contours(ref(path), SHAPE)] == ["tumour", "node"]
    assert all(one.reader_id is None and not one.is_box for one in read_contours(ref(path), SHAPE))
    with pytest.raises(CaseError, match="'tumour', 'node'") as caught:
        read_contour(ref(path), SHAPE)
    assert caught.value.code is ExclusionCode.MASK_AMBIGUOUS
    with pytest.raises(CaseError) as caught:
        read_contour(ref(path, "cyst"), SHAPE)
    assert caught.value.code is ExclusionCode.MASK_MISSING


def test_frames_of_bits_that_do_not_fill_bytes(tmp_path: Path) -> None:
    shape = (37, 51)  # 1887 pixels: frames start within a byte
    rng = np.random.default_rng(2)
    masks = rng.random((5, *shape, 2)) > 0.5
    path = segmentation(tmp_path / "seg.dcm", masks, ["a", "b"], source=image(5, shape))
    for frame in range(1, 6):
        for number, label in enumerate(["a", "b"]):
            found = read_contour(ref(path, label, frame=frame), shape)
            np.testing.assert_array_equal(found.pixels, masks[frame - 1, ..., number])


def test_frames_are_those_of_the_image_also_where_empty_ones_are_left_out(tmp_path: Path) -> None:
    masks = np.zeros((4, *SHAPE, 1), dtype=np.bool_)
    masks[1, ..., 0], masks[3, ..., 0] = disc(), square()
    path = segmentation(tmp_path / "seg.dcm", masks, ["tumour"], omit_empty_frames=True)
    assert pydicom.dcmread(path).NumberOfFrames == 2
    np.testing.assert_array_equal(read_contour(ref(path, frame=2), SHAPE).pixels, disc())
    np.testing.assert_array_equal(read_contour(ref(path, frame=4), SHAPE).pixels, square())
    with pytest.raises(CaseError) as caught:
        read_contour(ref(path), SHAPE)
    assert caught.value.code is ExclusionCode.FRAME_UNSTATED
    with pytest.raises(CaseError) as caught:
        read_contour(ref(path, frame=3), SHAPE)
    assert caught.value.code is ExclusionCode.MASK_EMPTY


def test_frames_without_references_keep_their_number_in_the_file(tmp_path: Path) -> None:
    masks = np.stack([disc(), square()])[..., None]
    path = segmentation(tmp_path / "seg.dcm", masks, ["tumour"])
    dataset = pydicom.dcmread(path)
    for item in dataset.PerFrameFunctionalGroupsSequence:
        del item.DerivationImageSequence
    dataset.save_as(path)
    for frame in (1, 2):
        expected = dataset.pixel_array[frame - 1].astype(bool)
        np.testing.assert_array_equal(read_contour(ref(path, frame=frame), SHAPE).pixels, expected)
    with pytest.raises(CaseError) as caught:
        read_contour(ref(path), SHAPE)
    assert caught.value.code is ExclusionCode.FRAME_UNSTATED


def test_the_image_by_its_unique_id(tmp_path: Path) -> None:
    source = image()
    path = segmentation(tmp_path / "seg.dcm", disc()[None, ..., None], ["tumour"], source=source)
    assert read_contour(ref(path, image=source.SOPInstanceUID), SHAPE).label == "tumour"
    with pytest.raises(CaseError) as caught:
        read_contour(ref(path, image="1.2.3"), SHAPE)
    assert caught.value.code is ExclusionCode.MASK_MISSING
    assert source.SOPInstanceUID not in str(caught.value)


def test_fractions_count_from_one_half(tmp_path: Path) -> None:
    fractions = np.zeros(SHAPE, dtype=np.float32)
    fractions[10:20, 10:20], fractions[20:30, 10:20] = 0.5, 0.49
    path = segmentation(
        tmp_path / "seg.dcm",
        fractions[None, ..., None],
        ["tumour"],
        "FRACTIONAL",
        fractional_type="PROBABILITY",
        max_fractional_value=200,
    )
    np.testing.assert_array_equal(read_contour(ref(path), SHAPE).pixels, square(10, 10, 10, 10))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_compressed_label_maps(tmp_path: Path, syntax: str) -> None:
    path = segmentation(
        tmp_path / "seg.dcm", disc()[None, ..., None], ["tumour"], "LABELMAP", transfer_syntax_uid=syntax
    )
    np.testing.assert_array_equal(read_contour(ref(path), SHAPE).pixels, disc())


def test_another_size_is_refused_before_any_pixel_is_read(tmp_path: Path) -> None:
    path = segmentation(tmp_path / "seg.dcm", disc()[None, ..., None], ["tumour"])
    with pytest.raises(CaseError, match=r"120 x 160.*240 x 320") as caught:
        read_contour(ref(path), (240, 320))
    assert caught.value.code is ExclusionCode.MASK_SIZE_MISMATCH
    dataset = pydicom.dcmread(path)
    dataset.Rows = dataset.Columns = 60000
    dataset.save_as(path)
    with pytest.raises(CaseError) as caught:
        read_contour(ref(path), SHAPE)
    assert caught.value.code is ExclusionCode.MASK_UNREADABLE


def test_what_is_no_annotation_is_refused(tmp_path: Path) -> None:
    image().save_as(tmp_path / "image.dcm", enforce_file_format=True)
    with pytest.raises(CaseError, match="no segmentation") as caught:
        read_contour(ref(tmp_path / "image.dcm"), SHAPE)
    assert caught.value.code is ExclusionCode.MASK_UNREADABLE


def test_pixels_that_are_missing_are_refused(tmp_path: Path) -> None:
    path = segmentation(tmp_path / "seg.dcm", disc()[None, ..., None], ["tumour"])
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(CaseError) as caught:
        read_contour(ref(path), SHAPE)
    assert caught.value.code is ExclusionCode.MASK_UNREADABLE
