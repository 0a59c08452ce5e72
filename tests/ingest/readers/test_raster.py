from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.ingest.readers.writers import jpeg, picture, speckle
from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.ingest.readers.frame import SourceFrame

Read = Callable[..., SourceFrame]
GREY, RGB, RGBA = speckle(), speckle(channels=3), speckle(channels=4)
LOSSLESS = ["PNG", "TIFF", "BMP"]


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_eight_bits_come_back_exactly(kind: str, pixels: Any, read_bytes: Read) -> None:
    frame = read_bytes(picture(pixels, kind))
    assert np.array_equal(frame.pixels, pixels)
    assert (frame.format, frame.bits, frame.frames, frame.lossy) == (kind, 8, 1, False)
    assert frame.pixel_spacing is None


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_alpha_is_kept_and_grey_with_alpha_becomes_rgba(kind: str, read_bytes: Read) -> None:
    assert np.array_equal(read_bytes(picture(RGBA, kind)).pixels, RGBA)
    grey_alpha = RGBA[..., [0, 3]].copy()
    assert np.array_equal(read_bytes(picture(grey_alpha, kind)).pixels, RGBA[..., [0, 0, 0, 3]])


def test_a_bitmap_with_an_unused_fourth_byte_is_opaque(read_bytes: Read) -> None:
    # 32 bits per pixel without a mask for alpha: the fourth byte means nothing, and is mostly zero.
    header = struct.pack("<IiiHHIIiiII", 40, 3, -2, 1, 32, 0, 0, 0, 0, 0, 0)
    rows = bytes(range(1, 4)) + b"\0"
    content = b"BM" + struct.pack("<IHHI", 54 + 24, 0, 0, 54) + header + rows * 6
    frame = read_bytes(content)
    assert frame.pixels.tolist() == [[[3, 2, 1]] * 3] * 2


@pytest.mark.parametrize("kind", LOSSLESS)
def test_palettes_become_their_colours(kind: str, read_bytes: Read) -> None:
    image = Image.fromarray(RGB).quantize(31)
    assert np.array_equal(read_bytes(picture(image, kind)).pixels, np.asarray(image.convert("RGB")))


def test_transparent_colours_become_alpha(read_bytes: Read) -> None:
    grey = read_bytes(picture(GREY, "PNG", transparency=int(GREY[3, 3]))).pixels
    assert np.array_equal(grey[..., 3] == 0, GREY[3, 3] == GREY)
    assert np.array_equal(grey[..., 0], GREY)
    colour = read_bytes(picture(RGB, "PNG", transparency=tuple(int(v) for v in RGB[5, 6]))).pixels
    assert np.array_equal(colour[..., 3] == 0, (RGB[5, 6] == RGB).all(axis=2))
    image = Image.fromarray(RGB).quantize(9)
    assert np.array_equal(read_bytes(picture(image, "PNG", transparency=4)).pixels[..., 3] == 0, np.asarray(image) == 4)


@pytest.mark.parametrize("kind", LOSSLESS)
def test_single_bits_become_black_and_white(kind: str, read_bytes: Read) -> None:
    bits = GREY > 120
    frame = read_bytes(picture(bits, kind))
    assert frame.pixels.dtype == np.uint8
    assert np.array_equal(frame.pixels, bits * 255)


@pytest.mark.parametrize("extension", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_come_back_exactly(extension: str, channels: int, read_bytes: Read) -> None:
    pixels = speckle(channels=channels, bits=16)
    order = [2, 1, 0, 3][:channels]
    written = pixels if channels == 1 else np.ascontiguousarray(pixels[..., order])
    frame = read_bytes(cv2.imencode(extension, written)[1].tobytes())
    assert (frame.bits, frame.pixels.dtype.name) == (16, "uint16")
    assert np.array_equal(frame.pixels, pixels)


def _png(depth: int, colour: int, width: int, rows: list[bytes], extra: bytes = b"") -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_png_of_two_and_four_bits_is_spread(read_bytes: Read) -> None:
    assert read_bytes(_png(2, 0, 4, [b"\x1b"])).pixels.tolist() == [[0, 85, 170, 255]]
    assert read_bytes(_png(4, 0, 2, [b"\x0f"])).pixels.tolist() == [[0, 255]]


def test_png_of_sixteen_bit_grey_with_alpha(read_bytes: Read) -> None:
    frame = read_bytes(_png(16, 4, 2, [struct.pack(">HHHH", 1000, 65535, 2000, 5)]))
    assert frame.pixels.tolist() == [[[1000, 1000, 1000, 65535], [2000, 2000, 2000, 5]]]
    assert frame.bits == 16


@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_what_opencv_decodes_and_lossy(pixels: Any, progressive: bool, read_bytes: Read) -> None:
    content = jpeg(pixels, progressive=progressive)
    frame = read_bytes(content)
    assert frame.lossy
    other = np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED))
    assert np.array_equal(frame.pixels, other if other.ndim == 2 else other[..., ::-1])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_turned_pictures_are_refused(kind: str, read_bytes: Read) -> None:
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[274] = orientation
        options: dict[str, Any] = {"tiffinfo": {274: orientation}} if kind == "TIFF" else {"exif": exif}
        content = picture(GREY, kind, **options)
        if orientation == 1:
            assert read_bytes(content).shape == GREY.shape
        else:
            with pytest.raises(CaseError, match=f"orientation {orientation}"):
                read_bytes(content)


def test_pages_of_a_tiff(read_bytes: Read) -> None:
    pages = [Image.fromarray(speckle(20 + number, 30, seed=number)) for number in range(3)]
    content = picture(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    with pytest.raises(CaseError, match="3 frames") as caught:
        read_bytes(content)
    assert caught.value.code is ExclusionCode.FRAME_UNSTATED
    for number in (1, 2, 3):
        frame = read_bytes(content, number)
        assert np.array_equal(frame.pixels, np.asarray(pages[number - 1]))
        assert (frame.frame, frame.frames) == (number, 3)
    with pytest.raises(CaseError):
        read_bytes(content, 4)


def test_sixteen_bit_colour_pages(read_bytes: Read) -> None:
    pages = [speckle(channels=3, bits=16, seed=seed) for seed in range(2)]
    content: bytes = cv2.imencodemulti(".tiff", [np.ascontiguousarray(page[..., ::-1]) for page in pages])[1].tobytes()
    for number in (1, 2):
        assert np.array_equal(read_bytes(content, number).pixels, pages[number - 1])


@pytest.mark.parametrize(
    ("compression", "big"),
    [("tiff_lzw", False), ("tiff_adobe_deflate", False), ("packbits", False), ("raw", False), ("raw", True)],
)
def test_compressed_and_big_tiff(compression: str, big: bool, read_bytes: Read) -> None:
    content = picture(RGB, "TIFF", compression=compression, big_tiff=big)
    assert (content[2] == 43) == big
    assert np.array_equal(read_bytes(content).pixels, RGB)


def test_jpeg_inside_tiff_is_lossy(read_bytes: Read) -> None:
    frame = read_bytes(picture(GREY, "TIFF", compression="jpeg"))
    assert frame.lossy
    assert np.abs(frame.pixels.astype(int) - GREY).mean() < 8


def _tiff(pixels: Any, photometric: int, bits: int) -> bytes:
    """The plainest TIFF there is, by hand."""
    raw: bytes = pixels.tobytes()
    tags = [
        (256, 4, pixels.shape[1]),
        (257, 4, pixels.shape[0]),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, pixels.shape[0]),
        (279, 4, len(raw)),
    ]
    directory: bytes = struct.pack("<H", len(tags)) + b"".join(
        struct.pack("<HHII", tag, kind, 1, v) for tag, kind, v in tags
    )
    return b"II*\0" + struct.pack("<I", 8 + len(raw)) + raw + directory + bytes(4)


@pytest.mark.parametrize("bits", [8, 16])
def test_white_is_zero_is_inverted(bits: int, read_bytes: Read) -> None:
    pixels = speckle(bits=bits)
    assert np.array_equal(read_bytes(_tiff(pixels, 1, bits)).pixels, pixels)
    assert np.array_equal(read_bytes(_tiff(pixels, 0, bits)).pixels, 2**bits - 1 - pixels)


def test_twelve_bit_tiff_says_so(read_bytes: Read) -> None:
    packed = np.frombuffer(bytes([0x12, 0x3A, 0xBC] * 2), np.uint8).reshape(2, 3)
    content = _tiff(packed, 1, 12).replace(struct.pack("<HHII", 256, 4, 1, 3), struct.pack("<HHII", 256, 4, 1, 2))
    frame = read_bytes(content)
    assert frame.pixels.tolist() == [[0x123, 0xABC]] * 2
    assert frame.bits == 12


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (Image.fromarray(RGBA, "CMYK"), "JPEG"),
        (Image.fromarray(RGBA, "CMYK"), "TIFF"),
        (Image.fromarray(GREY.astype(np.float32)), "TIFF"),
        (Image.fromarray(GREY.astype(np.int32)), "TIFF"),
        (Image.fromarray(RGB, "LAB"), "TIFF"),
    ],
    ids=["cmyk jpeg", "cmyk", "float", "int32", "lab"],
)
def test_other_kinds_of_pixels_are_refused_in_words(image: Image.Image, kind: str, read_bytes: Read) -> None:
    with pytest.raises(CaseError, match="pixels of the kind"):
        read_bytes(picture(image, kind))


def test_an_animation_is_no_picture(read_bytes: Read) -> None:
    pages = [Image.fromarray(speckle(seed=seed)) for seed in range(3)]
    content = picture(pages[0], "PNG", save_all=True, append_images=pages[1:])
    with pytest.raises(CaseError, match="animated"):
        read_bytes(content)


def test_a_preview_inside_a_jpeg_is_no_frame(read_bytes: Read) -> None:
    buffer = io.BytesIO()
    Image.fromarray(GREY).save(buffer, "MPO", save_all=True, append_images=[Image.fromarray(GREY[::2, ::2].copy())])
    frame = read_bytes(buffer.getvalue())
    assert (frame.format, frame.frames, frame.shape) == ("JPEG", 1, GREY.shape)


def test_every_damaged_byte_of_a_png_is_noticed(read_bytes: Read) -> None:
    content = picture(GREY, "PNG")
    for at in range(0, len(content), 7):
        changed = bytearray(content)
        changed[at] ^= 1 << (at % 8)
        with pytest.raises(CaseError):
            read_bytes(bytes(changed))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_picture_that_ends_early_is_refused(kind: str, share: float, read_bytes: Read) -> None:
    content = picture(speckle(200, 300), kind)
    with pytest.raises(CaseError):
        read_bytes(content[: int(share * len(content))])
