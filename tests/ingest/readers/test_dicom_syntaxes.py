"""Every transfer syntax that something here can write comes back exactly, or as close as its compression allows."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from tests.ingest.readers.writers import LOSSLESS, compressed, dataset, jpeg, save, speckle
from usdlr.core.errors import CaseError
from usdlr.ingest.readers.reading import read_frame

NATIVE = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)


@pytest.mark.parametrize("syntax", NATIVE, ids=lambda uid: uid.name)
@pytest.mark.parametrize(("channels", "bits"), [(1, 8), (1, 12), (1, 16), (3, 8)])
def test_uncompressed(syntax: Any, channels: int, bits: int, tmp_path: Path) -> None:
    pixels = speckle(31, 33, channels=channels, bits=bits)  # an odd number of bytes
    photometric = "RGB" if channels == 3 else "MONOCHROME2"
    written = pixels.byteswap() if syntax == ExplicitVRBigEndian else pixels
    made = dataset(written, photometric=photometric, syntax=syntax, bits=bits)
    frame = read_frame(save(made, tmp_path / "a"))
    assert np.array_equal(frame.pixels, pixels)
    assert (frame.bits, frame.lossy) == (bits, False)


def test_big_endian_bytes_in_words(tmp_path: Path) -> None:
    pixels = speckle(6, 7)
    made = dataset(pixels, syntax=ExplicitVRBigEndian)
    made.PixelData = np.frombuffer(pixels.tobytes(), "<u2").byteswap().tobytes()
    made["PixelData"].VR = "OW"
    assert np.array_equal(read_frame(save(made, tmp_path / "a")).pixels, pixels)


@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda uid: uid.name)
@pytest.mark.parametrize(("channels", "bits"), [(1, 8), (1, 12), (1, 16), (3, 8)])
def test_lossless_compression(syntax: Any, channels: int, bits: int, tmp_path: Path) -> None:
    pixels = speckle(channels=channels, bits=bits)
    photometric = "RGB" if channels == 3 else "MONOCHROME2"
    frame = read_frame(save(compressed(pixels, syntax, photometric=photometric, bits=bits), tmp_path / "a"))
    assert np.array_equal(frame.pixels, pixels)
    assert (frame.bits, frame.lossy) == (bits, False)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless], ids=lambda uid: uid.name)
def test_one_frame_of_a_compressed_cine_loop(syntax: Any, tmp_path: Path) -> None:
    stack = np.stack([speckle(seed=seed) for seed in range(4)])
    path = save(compressed(stack, syntax, frames=4), tmp_path / "a")
    for number in (1, 3, 4):
        assert np.array_equal(read_frame(path, number).pixels, stack[number - 1])


@pytest.mark.parametrize("photometric", ["YBR_RCT", "RGB"])
def test_reversible_colours_of_jpeg_2000(photometric: str, tmp_path: Path) -> None:
    pixels = speckle(channels=3)
    made = compressed(pixels, JPEG2000Lossless, photometric=photometric)
    assert np.array_equal(read_frame(save(made, tmp_path / "a")).pixels, pixels)


def test_irreversible_jpeg_2000_is_lossy(tmp_path: Path) -> None:
    pixels = speckle(channels=3)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG2000", irreversible=True, no_jp2=True, mct=1)
    made = dataset(pixels, photometric="YBR_ICT", syntax=JPEG2000)
    made.PixelData = encapsulate([buffer.getvalue()])
    frame = read_frame(save(made, tmp_path / "a"))
    assert frame.lossy
    other = np.asarray(Image.open(io.BytesIO(buffer.getvalue())))
    assert np.abs(frame.pixels.astype(int) - other).max() <= 1
    assert np.abs(frame.pixels.astype(int) - pixels).mean() < 2


def test_near_lossless_jpeg_ls_is_lossy(tmp_path: Path) -> None:
    import jpeg_ls

    pixels = speckle()
    made = dataset(pixels, syntax=JPEGLSNearLossless)
    made.PixelData = encapsulate([bytes(jpeg_ls.encode_array(pixels, lossy_error=2))])
    frame = read_frame(save(made, tmp_path / "a"))
    assert frame.lossy
    assert 0 < np.abs(frame.pixels.astype(int) - pixels).max() <= 2


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGExtended12Bit], ids=lambda uid: uid.name)
def test_grey_jpeg_is_what_opencv_decodes(syntax: Any, tmp_path: Path) -> None:
    pixels = speckle()
    code = jpeg(pixels)
    made = dataset(pixels, syntax=syntax)
    made.PixelData = encapsulate([code])
    frame = read_frame(save(made, tmp_path / "a"))
    assert frame.lossy
    assert np.array_equal(frame.pixels, np.asarray(cv2.imdecode(np.frombuffer(code, np.uint8), cv2.IMREAD_UNCHANGED)))


def _without_app(code: bytes) -> bytes:
    """The same JPEG without the markers that tell its colours."""
    while code[2] == 0xFF and code[3] >> 4 == 0xE:
        code = code[:2] + code[4 + int.from_bytes(code[4:6], "big") :]
    return code


def _with_plain_ids(code: bytes) -> bytes:
    """Components named 1, 2, 3 instead of R, G, B."""
    changed = bytearray(code)
    frame, scan = code.index(b"\xff\xc0") + 10, code.index(b"\xff\xda") + 5
    for number in range(3):
        assert code[frame + 3 * number] == code[scan + 2 * number] == b"RGB"[number]
        changed[frame + 3 * number] = changed[scan + 2 * number] = number + 1
    return bytes(changed)


@pytest.mark.parametrize("stated", ["YBR_FULL_422", "YBR_FULL", "RGB"])
@pytest.mark.parametrize("marker", ["jfif", "adobe 1", "adobe 0", "none"])
def test_the_codestream_tells_its_colours_where_it_can(stated: str, marker: str, tmp_path: Path) -> None:
    pixels = cv2.GaussianBlur(speckle(channels=3), (0, 0), 3)
    # What is inside is RGB for "adobe 0", and for "none" under a header that says RGB.
    rgb = marker == "adobe 0" or (marker == "none" and stated == "RGB")
    code = _without_app(jpeg(pixels, subsampling=0, keep_rgb=rgb))
    if rgb:
        code = _with_plain_ids(code)
    if marker == "jfif":
        code = code[:2] + b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0" + code[2:]
    elif marker != "none":
        code = code[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([int(marker[-1])]) + code[2:]
    made = dataset(pixels, photometric=stated, syntax=JPEGBaseline8Bit)
    made.PixelData = encapsulate([code])
    got = read_frame(save(made, tmp_path / "a")).pixels.astype(int)
    assert np.abs(got - pixels).mean() < 4, "colours were converted wrongly"


def test_native_chroma(tmp_path: Path) -> None:
    rgb = speckle(24, 32, channels=3)
    rgb[:, 1::2] = rgb[:, ::2]  # pairs of pixels share their chroma
    ybr = convert_color_space(rgb, "RGB", "YBR_FULL")
    expected = convert_color_space(ybr, "YBR_FULL", "RGB")
    full = dataset(ybr, photometric="YBR_FULL")
    assert np.array_equal(read_frame(save(full, tmp_path / "full")).pixels, expected)
    planar = dataset(ybr, photometric="YBR_FULL", PlanarConfiguration=1)
    planar.PixelData = ybr.transpose(2, 0, 1).tobytes()
    assert np.array_equal(read_frame(save(planar, tmp_path / "planar")).pixels, expected)
    packed = np.stack([ybr[:, ::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]], -1)
    half = dataset(ybr, photometric="YBR_FULL_422")
    half.PixelData = packed.tobytes()
    assert np.array_equal(read_frame(save(half, tmp_path / "half")).pixels, expected)


def test_partial_range_chroma(tmp_path: Path) -> None:
    # ITU-R BT.601 studio range: black, white and pure red are 16/128/128, 235/128/128 and 81/90/240.
    row = [(16, 128, 128), (16, 128, 128), (235, 128, 128), (235, 128, 128), (81, 90, 240), (81, 90, 240)]
    ybr = np.array([row] * 2, np.uint8)
    packed = np.stack([ybr[:, ::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]], -1)
    made = dataset(ybr, photometric="YBR_PARTIAL_422")
    made.PixelData = packed.tobytes()
    got = read_frame(save(made, tmp_path / "a")).pixels.astype(int)
    assert np.abs(got[0, ::2] - [(0, 0, 0), (255, 255, 255), (255, 0, 0)]).max() <= 1


def test_planes_of_rgb(tmp_path: Path) -> None:
    rgb = speckle(channels=3)
    stack = np.stack([rgb, rgb[::-1]])
    made = dataset(stack, photometric="RGB", frames=2, PlanarConfiguration=1)
    made.PixelData = stack.transpose(0, 3, 1, 2).tobytes()
    path = save(made, tmp_path / "a")
    assert np.array_equal(read_frame(path, 1).pixels, rgb)
    assert np.array_equal(read_frame(path, 2).pixels, rgb[::-1])


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.100"])
def test_video_is_refused_by_name(syntax: str, tmp_path: Path) -> None:
    made = dataset(speckle(), syntax=syntax)
    made.PixelData = encapsulate([b"\0\0\1\xb3" * 10])
    with pytest.raises(CaseError, match="video"):
        read_frame(save(made, tmp_path / "a"))


def test_a_decoder_process_that_dies_costs_one_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = speckle(bits=12)
    path = save(compressed(pixels, JPEGLosslessSV1, bits=12), tmp_path / "a")
    dead = subprocess.CompletedProcess([], -11, b"", b"")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: dead)
    with pytest.raises(CaseError, match="damaged lossless JPEG"):
        read_frame(path)
