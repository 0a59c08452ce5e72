from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.ingest.readers.writers import dataset, picture, save, speckle
from usdlr.core.errors import CaseError, DataError
from usdlr.core.types import ExclusionCode
from usdlr.ingest.readers.frame import SourceFrame
from usdlr.ingest.readers.reading import read_frame


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_the_first_bytes_decide_not_the_name(kind: str, tmp_path: Path) -> None:
    pixels = speckle()
    path = tmp_path / "picture.jpg"
    path.write_bytes(picture(pixels, kind))
    frame = read_frame(path)
    assert frame.format == kind
    assert np.array_equal(frame.pixels, pixels)


def test_dicom_without_preamble_and_without_meta(tmp_path: Path, read_bytes: Callable[..., SourceFrame]) -> None:
    pixels = speckle()
    content = save(dataset(pixels), tmp_path / "a.dcm").read_bytes()
    assert np.array_equal(read_bytes(content[132:]).pixels, pixels)
    bare = tmp_path / "bare"
    for implicit, little in ((True, True), (False, True)):
        made = dataset(pixels)
        del made.file_meta
        made.save_as(bare, implicit_vr=implicit, little_endian=little, enforce_file_format=False)
        frame = read_bytes(bare.read_bytes())
        assert frame.format == "DICOM"
        assert np.array_equal(frame.pixels, pixels)


def test_a_dicom_whose_preamble_looks_like_tiff_is_dicom(tmp_path: Path) -> None:
    made = dataset(speckle())
    made.preamble = b"II*\0" + bytes(124)
    assert read_frame(save(made, tmp_path / "dual.tif")).format == "DICOM"


def test_a_missing_file_has_its_own_code(tmp_path: Path) -> None:
    with pytest.raises(CaseError) as caught:
        read_frame(tmp_path / "nowhere.png")
    assert caught.value.code is ExclusionCode.IMAGE_MISSING
    with pytest.raises(CaseError) as caught:
        read_frame(tmp_path / "nowhere.png", missing=ExclusionCode.MASK_MISSING)
    assert caught.value.code is ExclusionCode.MASK_MISSING
    assert str(tmp_path) not in caught.value.sentence


@pytest.mark.parametrize("content", [b"", b"\0", b"hello, this is a text file\n" * 20, b"PK\x03\x04" + bytes(500)])
def test_other_files_are_refused_with_the_code_asked_for(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(CaseError, match="unknown format") as caught:
        read_frame(path, unreadable=ExclusionCode.MASK_UNREADABLE)
    assert caught.value.code is ExclusionCode.MASK_UNREADABLE


def test_frames_are_counted_from_one(tmp_path: Path) -> None:
    stack = np.stack([speckle(seed=seed) for seed in range(3)])
    path = save(dataset(stack, frames=3), tmp_path / "cine.dcm")
    with pytest.raises(CaseError, match="with 3 frames") as caught:
        read_frame(path)
    assert caught.value.code is ExclusionCode.FRAME_UNSTATED
    for number in (1, 2, 3):
        frame = read_frame(path, number)
        assert (frame.frame, frame.frames) == (number, 3)
        assert np.array_equal(frame.pixels, stack[number - 1])
    for number in (0, -1, 4):
        with pytest.raises(CaseError, match="with 3 frames") as caught:
            read_frame(path, number)
        assert caught.value.code is ExclusionCode.IMAGE_UNREADABLE


def test_messages_never_quote_the_header(tmp_path: Path) -> None:
    made = dataset(speckle())
    made.PixelData = made.PixelData[:100]
    path = save(made, tmp_path / "short.dcm")
    with pytest.raises(CaseError) as caught:
        read_frame(path)
    chain = f"{caught.value} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert "SECRET" not in chain
    assert "Doe" not in chain
    assert "100 bytes of pixels, expected 3072" in caught.value.sentence


def test_eight_bits_without_transparency(tmp_path: Path) -> None:
    path = tmp_path / "a"
    colours = speckle(channels=4)
    path.write_bytes(picture(colours, "PNG"))
    assert np.array_equal(read_frame(path).pixels_8_bit(), colours[..., :3])
    deep = speckle(bits=12)
    frame = read_frame(save(dataset(deep, bits=12), path))
    assert np.array_equal(frame.pixels_8_bit(), np.rint(deep * (255 / 4095)))


@pytest.mark.parametrize(
    ("module", "content"),
    [
        ("pydicom", bytes(128) + b"DICM" + bytes(300)),
        ("nibabel", bytes(344) + b"n+1\0" + bytes(300)),
        ("nrrd", b"NRRD0004\n"),
    ],
)
def test_a_missing_library_is_named(
    module: str, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError, match=r"pip install usdlr\[dicom\]"):
        read_frame(path)
