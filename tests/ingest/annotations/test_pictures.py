from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import nrrd
import numpy as np
import pytest
from PIL import Image

from tests.ingest.annotations.circles import SHAPE, disc, ref, square
from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.imaging.store import read_mask
from usdlr.ingest.annotations.reading import read_contour, read_contours

SMALL = square(5, 5, 10, 11)


def refused(path: Path, code: ExclusionCode, label: str | None = None, frame: int | None = None) -> str:
    with pytest.raises(CaseError) as caught:
        read_contour(ref(path, label, frame=frame), SHAPE)
    assert caught.value.code is code, caught.value.sentence
    return caught.value.sentence


def save(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def nifti(path: Path, volume: np.ndarray) -> None:
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([0.1, 0.1, 1, 1])), path)  # type: ignore[no-untyped-call]  # nibabel is untyped


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
@pytest.mark.parametrize("value", [1, 128, 255])
def test_any_value_of_a_binary_mask(tmp_path: Path, suffix: str, value: int) -> None:
    path = save(tmp_path / f"mask.{suffix}", disc().astype(np.uint8) * np.uint8(value))
    for label in (None, str(value)):
        found = read_contour(ref(path, label), SHAPE)
        np.testing.assert_array_equal(found.pixels, disc())
        assert (found.label, found.reader_id, found.is_box, found.outside) == (str(value), None, False, 0)
    refused(path, ExclusionCode.MASK_MISSING, "7")


def test_names_do_not_matter_bytes_do(tmp_path: Path) -> None:
    path = save(tmp_path / "mask.png", disc())
    renamed = path.rename(tmp_path / "mask.json")
    np.testing.assert_array_equal(read_contour(ref(renamed), SHAPE).pixels, disc())


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_label_masks(tmp_path: Path, depth: type[np.unsignedinteger[Any]]) -> None:
    pixels = disc().astype(depth) * depth(2)
    pixels[SMALL] = 5 if depth is np.uint8 else 500
    path = save(tmp_path / "mask.png", pixels)
    labels = [one.label for one in read_contours(ref(path), SHAPE)]
    assert labels == ["2", "5" if depth is np.uint8 else "500"]
    np.testing.assert_array_equal(read_contour(ref(path, "2"), SHAPE).pixels, disc() & ~SMALL)
    np.testing.assert_array_equal(read_contour(ref(path, labels[1]), SHAPE).pixels, SMALL)
    assert "'2', " in refused(path, ExclusionCode.MASK_AMBIGUOUS)


def test_colours_are_labels_and_transparency_is_background(tmp_path: Path) -> None:
    pixels = np.zeros((*SHAPE, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[disc(), :3] = (255, 0, 0)
    pixels[SMALL, :3] = (0, 128, 7)
    pixels[:3] = (9, 9, 9, 0)
    path = save(tmp_path / "mask.png", pixels)
    assert [one.label for one in read_contours(ref(path), SHAPE)] == ["#008007", "#ff0000"]
    np.testing.assert_array_equal(read_contour(ref(path, "#008007"), SHAPE).pixels, SMALL)
    palette = tmp_path / "palette.png"
    image = Image.fromarray((disc() * 1 + SMALL * 2).clip(0, 2).astype(np.uint8), mode="L")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 128, 7])
    image.save(palette)
    np.testing.assert_array_equal(read_contour(ref(palette, "2"), SHAPE).pixels, SMALL)
    np.testing.assert_array_equal(read_contour(ref(palette, "#008007"), SHAPE).pixels, SMALL)


def test_white_on_transparent_and_tinted_masks_of_the_public_sets(tmp_path: Path) -> None:
    pixels = np.zeros((*SHAPE, 4), np.uint8)
    pixels[disc()] = 255
    pixels[40:45, 60:65, 3] = 75
    path = save(tmp_path / "mask.png", pixels)
    np.testing.assert_array_equal(read_contour(ref(path), SHAPE).pixels, read_mask(path))


def test_masks_without_a_pixel_and_of_another_size(tmp_path: Path) -> None:
    path = save(tmp_path / "mask.png", np.zeros(SHAPE, np.uint8))
    refused(path, ExclusionCode.MASK_EMPTY)
    with pytest.raises(CaseError) as caught:
        read_contours(ref(path), SHAPE)
    assert caught.value.code is ExclusionCode.MASK_EMPTY
    sentence = refused(save(path, np.ones((60, 80), np.uint8)), ExclusionCode.MASK_SIZE_MISMATCH)
    assert "60 x 80" in sentence
    assert "120 x 160" in sentence


def test_soft_edges_pictures_and_jpeg_are_no_masks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    soft = np.asarray(Image.fromarray(disc().astype(np.uint8) * 255).resize((80, 60)).resize((160, 120)))
    assert "threshold" in refused(save(tmp_path / "a.png", soft), ExclusionCode.MASK_UNREADABLE)
    refused(save(tmp_path / "a.png", rng.integers(0, 256, SHAPE, np.uint8)), ExclusionCode.MASK_UNREADABLE)
    assert "JPEG" in refused(save(tmp_path / "a.jpg", disc().astype(np.uint8) * 255), ExclusionCode.MASK_UNREADABLE)
    lossy = save(tmp_path / "a.tif", disc().astype(np.uint8) * 255, compression="jpeg")
    refused(lossy, ExclusionCode.MASK_UNREADABLE)


def test_pages_of_a_tiff(tmp_path: Path) -> None:
    pages = [Image.fromarray(mask.astype(np.uint8)) for mask in (disc(), SMALL)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(read_contour(ref(tmp_path / "a.tif", frame=2), SHAPE).pixels, SMALL)
    refused(tmp_path / "a.tif", ExclusionCode.FRAME_UNSTATED)
    refused(tmp_path / "a.tif", ExclusionCode.MASK_UNREADABLE, frame=3)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("depth", [np.uint8, np.int16, np.float32, np.float64])
def test_nifti_masks(tmp_path: Path, suffix: str, depth: type[np.number[Any]]) -> None:
    volume = np.stack([disc() * 1 + SMALL * 2, SMALL * 7], axis=-1).astype(depth)
    path = tmp_path / f"mask{suffix}"
    nifti(path, volume.transpose(1, 0, 2))
    np.testing.assert_array_equal(read_contour(ref(path, "1", frame=1), SHAPE).pixels, disc() & ~SMALL)
    np.testing.assert_array_equal(read_contour(ref(path, frame=2), SHAPE).pixels, SMALL)
    assert read_contour(ref(path, frame=2), SHAPE).label == "7"
    refused(path, ExclusionCode.FRAME_UNSTATED)


def test_probabilities_in_nifti_are_refused(tmp_path: Path) -> None:
    volume = (disc() * 0.7).astype(np.float32).T[..., None]
    nifti(tmp_path / "a.nii", volume)
    assert "fractions" in refused(tmp_path / "a.nii", ExclusionCode.MASK_UNREADABLE)
    volume[0, 0] = np.nan
    nifti(tmp_path / "a.nii", volume)
    refused(tmp_path / "a.nii", ExclusionCode.MASK_UNREADABLE)


def test_nrrd_masks(tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    nrrd.write(str(path), (disc() * 255).astype(np.uint8).T)
    np.testing.assert_array_equal(read_contour(ref(path), SHAPE).pixels, disc())


def slicer(path: Path, pixels: np.ndarray, segments: list[tuple[str, int, int]], **header: Any) -> Path:
    fields: dict[str, Any] = {"encoding": "gzip", "space": "left-posterior-superior", **header}
    for number, (name, value, layer) in enumerate(segments):
        prefix = f"Segment{number}_"
        fields |= {prefix + "ID": f"Segment_{number + 1}", prefix + "Name": name, prefix + "LabelValue": str(value)}
        fields |= {prefix + "Layer": str(layer), prefix + "Extent": "0 1 0 1 0 0"}
    nrrd.write(str(path), pixels, fields)
    return path


def test_slicer_segments_of_one_layer(tmp_path: Path) -> None:
    pixels = (disc() * 1 + SMALL * 2).astype(np.uint8).T[..., None]
    segments = [("tumour", 1, 0), ("lymph node", 2, 0), ("cyst", 9, 0)]
    directions = np.diag([-0.1, -0.1, 1.0])
    path = slicer(tmp_path / "a.seg.nrrd", pixels, segments, **{"space directions": directions})
    for label in ("lymph node", "Segment_2", "2"):
        np.testing.assert_array_equal(read_contour(ref(path, label), SHAPE).pixels, SMALL)
    assert [one.label for one in read_contours(ref(path), SHAPE)] == ["tumour", "lymph node"]
    assert "lymph node" in refused(path, ExclusionCode.MASK_AMBIGUOUS)
    refused(path, ExclusionCode.MASK_EMPTY, "cyst")
    refused(path, ExclusionCode.MASK_MISSING, "vessel")


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize("layers", [2, 3])
def test_slicer_segments_that_overlap(tmp_path: Path, encoding: str, layers: int) -> None:
    masks = [disc(), square(), SMALL][:layers]
    second = [np.roll(mask, 7, axis=1) for mask in masks]
    pixels = np.stack([np.stack([mask.T for mask in group]) for group in (masks, second)], axis=-1).astype(np.uint8)
    directions = np.array([[np.nan] * 3, [0.1, 0, 0], [0, 0.1, 0], [0, 0, 1.0]])
    path = slicer(
        tmp_path / "a.seg.nrrd",
        pixels,
        [(f"s{layer}", 1, layer) for layer in range(layers)],
        encoding=encoding,
        kinds=["list", "domain", "domain", "domain"],
        **{"space directions": directions},
    )
    for frame, group in enumerate((masks, second), start=1):
        found = read_contours(ref(path, frame=frame), SHAPE)
        assert [one.label for one in found] == [f"s{layer}" for layer in range(layers)]
        for one, expected in zip(found, group, strict=True):
            np.testing.assert_array_equal(one.pixels, expected)
    refused(path, ExclusionCode.FRAME_UNSTATED, "s1")


def test_a_header_that_claims_too_much_is_refused_before_it_is_allocated(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.ones((1, 1), np.uint8))
    content = bytearray(path.read_bytes())
    content[16:24] = (60_000).to_bytes(4, "big") * 2
    path.write_bytes(content)
    refused(path, ExclusionCode.MASK_UNREADABLE)
    head = "NRRD0004\ntype: uint8\ndimension: 4\nsizes: 2 60000 60000 1\nkinds: list domain domain domain\n"
    path.write_text(head + "encoding: raw\nSegment0_LabelValue:=1\nSegment0_Layer:=1\n\nx")
    refused(path, ExclusionCode.MASK_UNREADABLE)


def test_too_many_contours_at_once_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png", disc() + SMALL.astype(np.uint8) * 2)
    monkeypatch.setattr("usdlr.ingest.annotations.reading.MAX_TOGETHER", SHAPE[0] * SHAPE[1])
    with pytest.raises(CaseError) as caught:
        read_contours(ref(path), SHAPE)
    assert caught.value.code is ExclusionCode.MASK_UNREADABLE


def test_every_public_mask_is_one_lesion_as_before(shared_data: Path) -> None:
    paths = sorted((shared_data / "breast_lesions_usg").rglob("*_tumor.png"))[::4]
    paths += sorted((shared_data / "bus_bra" / "Masks").glob("*.png"))[::8]
    assert len(paths) > 100
    for path in paths:
        expected = read_mask(path)
        found = read_contours(ref(path), (expected.shape[0], expected.shape[1]))
        assert len(found) == 1
        np.testing.assert_array_equal(found[0].pixels, expected)
