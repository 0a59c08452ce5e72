from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from PIL import Image

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode, MaskSource
from usdlr.core.units import Spacing
from usdlr.imaging.store import (
    STIFFNESS_NO_VALUE,
    mask_to_png,
    read_case,
    read_mask,
    read_png,
    stiffness_to_png,
    write_png,
)

MISSING, UNREADABLE = ExclusionCode.IMAGE_MISSING, ExclusionCode.IMAGE_UNREADABLE


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_claiming(width: int, height: int) -> bytes:
    """A small, well-formed PNG file whose header announces any size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\x00" * 100))
        + chunk(b"IEND", b"")
    )


def noise(shape: tuple[int, ...], dtype: Any = np.uint8) -> npt.NDArray[Any]:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_round_trip_is_exact(tmp_path: Path, dtype: Any) -> None:
    pixels = noise((37, 53), dtype)
    path = tmp_path / "new" / "a.png"
    write_png(path, pixels)
    back = read_png(path, MISSING, UNREADABLE)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, pixels)
    first = path.read_bytes()
    write_png(path, pixels)
    assert path.read_bytes() == first
    np.testing.assert_array_equal(np.asarray(Image.open(path)), pixels)  # other software reads the same


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((0, 5), np.uint8),
        np.full((4, 5), 0.7),
        np.zeros((4, 5), np.int32),
        np.zeros((4, 5, 3), np.uint8),
        np.ones((4, 5), bool),
    ],
)
def test_only_grey_of_8_or_16_bits_is_written(tmp_path: Path, pixels: npt.NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="expected 8- or 16-bit grey"):
        write_png(tmp_path / "a.png", pixels)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_colours_come_in_the_order_red_green_blue_alpha(tmp_path: Path, mode: str) -> None:
    pixels = noise((9, 7) if mode == "L" else (9, 7, len(mode)))
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_png(tmp_path / "a.png", MISSING, UNREADABLE), pixels)


def test_a_palette_is_read_as_its_colours(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    image.save(tmp_path / "a.png")
    pixels = read_png(tmp_path / "a.png", MISSING, UNREADABLE)
    assert pixels[..., :3].tolist() == [[[10, 20, 30], [200, 100, 50]]]


@pytest.mark.parametrize("size", [(60_000, 60_000), (8_001, 8_000), (2**31 - 1, 1), (1, 2**31 - 1)])
def test_a_header_that_claims_too_much_is_refused_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_claiming(*size))

    def decode(*_: object) -> None:
        raise AssertionError("the decoder was called")

    monkeypatch.setattr(cv2, "imdecode", decode)
    with pytest.raises(CaseError, match=rf"bomb\.png claims {size[0] * size[1]} pixels, expected at most") as caught:
        read_png(path, MISSING, UNREADABLE)
    assert caught.value.code is UNREADABLE


def test_another_format_that_claims_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    bitmap = struct.pack("<IiiHHIIiiII", 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0)
    path.write_bytes(b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + bitmap)
    with pytest.raises(CaseError, match="cannot be decoded") as caught:
        read_png(path, MISSING, UNREADABLE)
    assert caught.value.code is UNREADABLE


def damaged(kind: str) -> bytes:
    done, encoded = cv2.imencode(".png", noise((60, 60)))
    assert done
    whole = encoded.tobytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    return {
        "empty": b"",
        "text": b"case,diagnosis\n1,benign\n",
        "garbage": bytes(noise((500,))),
        "header only": whole[:20],
        "half": whole[: len(whole) // 2],
        "last byte missing": whole[:-1],
        "flipped byte": bytes(flipped),
        "wrong data": png_claiming(50, 50),
    }[kind]


@pytest.mark.parametrize(
    "kind", ["empty", "text", "garbage", "header only", "half", "last byte missing", "flipped byte", "wrong data"]
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "case001.png"
    path.write_bytes(damaged(kind))
    with pytest.raises(CaseError, match=r"found case001\.png cannot be decoded, expected a PNG image") as caught:
        read_png(path, MISSING, UNREADABLE)
    assert caught.value.code is UNREADABLE


def test_a_missing_file_is_refused_by_name_without_the_machines_path(tmp_path: Path) -> None:
    for path in (tmp_path / "case002.png", tmp_path):
        with pytest.raises(CaseError, match="found no file") as caught:
            read_png(path, MISSING, UNREADABLE)
        assert caught.value.code is MISSING
        assert str(tmp_path.parent) not in str(caught.value)


@pytest.mark.parametrize("value", [1, 38, 255])
def test_any_value_above_zero_is_lesion(tmp_path: Path, value: int) -> None:
    pixels = np.zeros((6, 6), dtype=np.uint8)
    pixels[2:4, 1:5] = value
    write_png(tmp_path / "mask.png", pixels)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), pixels > 0)
    Image.fromarray(np.stack([pixels * 0, pixels, pixels * 0], axis=2)).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), pixels > 0)


def test_a_coloured_mask_with_transparency(tmp_path: Path) -> None:
    pixels = np.zeros((1, 4, 4), dtype=np.uint8)
    pixels[0] = [[255, 255, 255, 255], [0, 0, 0, 255], [255, 0, 0, 0], [0, 0, 9, 1]]
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    assert read_mask(tmp_path / "mask.png").tolist() == [[True, False, False, True]]


def test_masks_have_codes_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(CaseError) as missing:
        read_mask(tmp_path / "mask.png")
    (tmp_path / "mask.png").write_text("not a mask", encoding="utf-8")
    with pytest.raises(CaseError) as unreadable:
        read_mask(tmp_path / "mask.png")
    assert missing.value.code is ExclusionCode.MASK_MISSING
    assert unreadable.value.code is ExclusionCode.MASK_UNREADABLE


def test_stiffness_steps_and_its_missing_values() -> None:
    values = np.array([[0.0, 0.004, 0.006, 300.0], [655.34, 9999.0, -3.0, np.nan]])
    assert stiffness_to_png(values).tolist() == [[0, 0, 1, 30_000], [65_534, 65_534, 0, 65_535]]
    assert STIFFNESS_NO_VALUE == 65_535
    assert stiffness_to_png(values).dtype == np.uint16


def test_a_mask_becomes_black_and_white() -> None:
    assert mask_to_png(np.array([[True, False]])).tolist() == [[255, 0]]


@pytest.fixture
def case(tmp_path: Path) -> dict[str, Any]:
    """A row of ``cases`` with all of its canonical files."""
    lesion = np.zeros((20, 30), dtype=bool)
    lesion[5:12, 8:20] = True
    fov = np.ones((20, 30), dtype=bool)
    fov[:, 28:] = False
    stiffness = np.linspace(0, 299, 600).reshape(20, 30)
    stiffness[0, 0] = np.nan
    write_png(tmp_path / "bmode.png", noise((20, 30)))
    write_png(tmp_path / "mask.png", mask_to_png(lesion))
    write_png(tmp_path / "fov.png", mask_to_png(fov))
    write_png(tmp_path / "elasto.png", stiffness_to_png(stiffness))
    return {
        "bmode_path": "bmode.png",
        "elasto_path": "elasto.png",
        "mask_path": "mask.png",
        "fov_path": "fov.png",
        "mask_source": "automatic",
        "row_mm": 0.1,
        "col_mm": 0.2,
    }


def test_a_case_with_everything(case: dict[str, Any], tmp_path: Path) -> None:
    images = read_case(case, tmp_path)
    assert set(images.images) == {"bmode", "elasto"}
    bmode, elasto = images.images["bmode"], images.images["elasto"]
    np.testing.assert_array_equal(bmode.pixels, noise((20, 30)).astype(np.float32))
    np.testing.assert_allclose(elasto.pixels.ravel()[1:], np.linspace(0, 299, 600)[1:], atol=0.0051)
    assert np.isnan(elasto.pixels[0, 0])
    assert np.isfinite(elasto.pixels).sum() == 599
    assert bmode.spacing == elasto.spacing == images.mask.spacing == Spacing(0.1, 0.2)
    assert images.mask.source is MaskSource.AUTOMATIC
    assert images.mask.bounding_box() == (5, 8, 7, 12)
    assert images.fov is not None
    assert images.fov.sum() == 20 * 28
    assert bmode.fov is images.fov
    assert bmode.pixels.dtype == elasto.pixels.dtype == np.float32


@pytest.mark.parametrize("null", [None, float("nan")])
def test_what_may_be_absent_is_absent(case: dict[str, Any], tmp_path: Path, null: object) -> None:
    images = read_case({**case, "elasto_path": null, "fov_path": null, "row_mm": null}, tmp_path)
    assert set(images.images) == {"bmode"}
    assert images.fov is None
    assert images.mask.spacing is None


def test_a_case_without_mask_is_refused(case: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="found no mask") as caught:
        read_case({**case, "mask_path": None}, tmp_path)
    assert caught.value.code is ExclusionCode.MASK_MISSING


def test_a_mask_that_nobody_drew_is_refused(case: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CaseError, match="mask without mask_source, expected reader or automatic"):
        read_case({**case, "mask_source": None}, tmp_path)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("bmode", ExclusionCode.IMAGE_MISSING),
        ("elasto", ExclusionCode.ELASTOGRAPHY_UNREADABLE),
        ("mask", ExclusionCode.MASK_MISSING),
        ("fov", ExclusionCode.MASK_MISSING),
    ],
)
def test_a_file_that_is_gone(case: dict[str, Any], tmp_path: Path, name: str, code: ExclusionCode) -> None:
    (tmp_path / f"{name}.png").unlink()
    with pytest.raises(CaseError, match=rf"found no file {name}\.png") as caught:
        read_case(case, tmp_path)
    assert caught.value.code is code


@pytest.mark.parametrize("name", ["bmode", "elasto", "mask", "fov"])
def test_a_file_of_another_size(case: dict[str, Any], tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.png"
    write_png(path, read_png(path, MISSING, UNREADABLE)[:, :-1].copy())
    with pytest.raises(CaseError, match="20 x 29") as caught:
        read_case(case, tmp_path)
    assert "20 x 30" in str(caught.value)
    assert caught.value.code is ExclusionCode.MASK_SIZE_MISMATCH


@pytest.mark.parametrize(
    ("name", "pixels", "code"),
    [
        ("bmode", noise((20, 30), np.uint16), ExclusionCode.IMAGE_UNREADABLE),
        ("bmode", noise((20, 30, 3)), ExclusionCode.IMAGE_UNREADABLE),
        ("elasto", noise((20, 30)), ExclusionCode.ELASTOGRAPHY_UNREADABLE),
        ("elasto", noise((20, 30, 3), np.uint16), ExclusionCode.ELASTOGRAPHY_UNREADABLE),
    ],
)
def test_canonical_files_have_one_form(
    case: dict[str, Any], tmp_path: Path, name: str, pixels: npt.NDArray[Any], code: ExclusionCode
) -> None:
    assert cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
    with pytest.raises(CaseError, match="ingest the source again") as caught:
        read_case(case, tmp_path)
    assert caught.value.code is code


def test_the_frames_of_a_clip_are_read_beside_the_image(case: dict[str, Any], tmp_path: Path) -> None:
    first, last = noise((20, 30)) // 2, 255 - noise((20, 30))
    write_png(tmp_path / "first.png", first)
    write_png(tmp_path / "last.png", last)
    assert read_case(case, tmp_path).frames == {}  # a table without such columns
    images = read_case({**case, "bmode_before_path": "first.png", "bmode_after_path": "last.png"}, tmp_path)
    assert list(images.frames) == ["bmode@-1", "bmode@+1"]
    for name, pixels in (("bmode@-1", first), ("bmode@+1", last)):
        frame = images.frames[name]
        np.testing.assert_array_equal(frame.pixels, pixels.astype(np.float32))
        assert (frame.spacing, frame.modality, frame.fov is images.fov) == (Spacing(0.1, 0.2), "bmode", True)
    assert set(images.images) == {"bmode", "elasto"}


@pytest.mark.parametrize("null", [None, float("nan"), pd.NA])
def test_a_frame_that_is_not_there_is_absent(case: dict[str, Any], tmp_path: Path, null: object) -> None:
    write_png(tmp_path / "last.png", noise((20, 30)))
    images = read_case({**case, "bmode_before_path": null, "bmode_after_path": "last.png"}, tmp_path)
    assert set(images.frames) == {"bmode@+1"}


@pytest.mark.parametrize(
    ("pixels", "code", "message"),
    [
        (None, ExclusionCode.IMAGE_MISSING, r"found no file last\.png"),
        (noise((20, 29)), ExclusionCode.MASK_SIZE_MISMATCH, "neighbouring frame of 20 x 29 pixels on .* 20 x 30"),
        (noise((20, 30), np.uint16), ExclusionCode.IMAGE_UNREADABLE, "ingest the source again"),
    ],
)
def test_a_frame_that_cannot_be_used_excludes_the_case(
    case: dict[str, Any], tmp_path: Path, pixels: npt.NDArray[Any] | None, code: ExclusionCode, message: str
) -> None:
    if pixels is not None:
        write_png(tmp_path / "last.png", pixels)
    with pytest.raises(CaseError, match=message) as caught:
        read_case({**case, "bmode_after_path": "last.png"}, tmp_path)
    assert caught.value.code is code
