"""Headers of codestreams, written byte by byte after ITU-T T.81, T.87 and T.800."""

from __future__ import annotations

import struct

import pytest

from usdlr.ingest.readers.bounded import RefusedFile
from usdlr.ingest.readers.codestream import parse_codestream, require_enough

SCAN = b"\xff\xda\0\x02"
END = b"\xff\xd9"


def _frame(marker: int = 0xC0, rows: int = 5, cols: int = 7, ids: tuple[int, ...] = (1,), precision: int = 8) -> bytes:
    body = struct.pack(">BHHB", precision, rows, cols, len(ids)) + b"".join(bytes([name, 0x11, 0]) for name in ids)
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def _jpeg(*parts: bytes) -> bytes:
    return b"\xff\xd8" + b"".join(parts) + SCAN + bytes(20) + END


def _app(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


JFIF = _app(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")


def _adobe(transform: int) -> bytes:
    return _app(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))


@pytest.mark.parametrize(
    ("marker", "kind"), [(0xC0, "dct"), (0xC1, "dct"), (0xC2, "dct"), (0xC3, "lossless"), (0xF7, "jpegls")]
)
def test_jpeg_frames(marker: int, kind: str) -> None:
    code = parse_codestream(_jpeg(_frame(marker, precision=12)))
    assert (code.kind, code.rows, code.cols, code.channels, code.precision) == (kind, 5, 7, 1, 12)


def test_fill_bytes_comments_and_restarts_are_stepped_over() -> None:
    code = parse_codestream(_jpeg(b"\xff\xff", _app(0xFE, b"\xff\xc0 a comment"), b"\xff\x01", _frame()))
    assert (code.rows, code.cols) == (5, 7)


@pytest.mark.parametrize(
    ("parts", "space", "converts"),
    [
        ([JFIF], "YBR_FULL", True),
        ([_adobe(0)], "RGB", False),
        ([_adobe(1)], "YBR_FULL", True),
        ([_adobe(0), JFIF], "RGB", True),
        ([], None, True),
    ],
)
def test_what_a_jpeg_says_about_its_colours(parts: list[bytes], space: str | None, converts: bool) -> None:
    code = parse_codestream(_jpeg(*parts, _frame(ids=(1, 2, 3))))
    assert code.colour_space == space
    assert code.libjpeg_converts == converts


def test_names_of_components_spell_rgb() -> None:
    code = parse_codestream(_jpeg(_frame(ids=(82, 71, 66))))
    assert (code.colour_space, code.libjpeg_converts) == ("RGB", False)
    assert parse_codestream(_jpeg(_frame())).colour_space is None


def _j2k(
    size: tuple[int, ...] = (7, 5, 0, 0, 7, 5, 0, 0), components: tuple[tuple[int, int, int], ...] = ((7, 1, 1),)
) -> bytes:
    body = struct.pack(">H8IH", 0, *size, len(components)) + b"".join(bytes(part) for part in components)
    return b"\xff\x4f\xff\x51" + struct.pack(">H", len(body) + 2) + body + bytes(9) + END


def test_jpeg_2000() -> None:
    code = parse_codestream(_j2k((9, 6, 2, 1, 9, 6, 0, 0), ((11, 1, 1),) * 3))
    assert (code.kind, code.rows, code.cols, code.channels, code.precision) == ("j2k", 5, 7, 3, 12)
    wrapped = b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(30) + _j2k()
    assert parse_codestream(wrapped).rows == 5
    signed = parse_codestream(_j2k(components=((0x80 | 7, 1, 1),)))
    assert signed.precision == 8


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (_jpeg(_frame())[:-2], "ends early"),
        (b"", "ends early"),
        (b"GIF89a" + END, "unknown kind"),
        (_jpeg(), "damaged header"),
        (_jpeg(_frame(), _frame()), "damaged header"),
        (_jpeg(b"\0\0", _frame()), "damaged header"),
        (_jpeg(b"\xff\xe1\xff\xff"), "damaged header"),
        (_jpeg(_frame(0xC9)), "hierarchical or arithmetic"),
        (_j2k((7, 5, 0, 0, 1, 1, 0, 0), ((7, 2, 1),)), "subsampled"),
        (_j2k(components=((7, 1, 1), (8, 1, 1))), "different depths"),
        (_j2k((7, 5, 0, 0, 0, 5, 0, 0)), "damaged header"),
        (_j2k((7, 5, 9, 0, 7, 5, 0, 0)), "damaged header"),
        (_j2k((70000, 70000, 0, 0, 1, 1, 0, 0)), "tiles"),
        (_j2k(components=()), "damaged header"),
    ],
)
def test_other_headers_are_refused_in_words(data: bytes, found: str) -> None:
    with pytest.raises(RefusedFile) as caught:
        parse_codestream(data)
    assert found in caught.value.sentence("a file")


def test_the_least_that_pixels_take() -> None:
    grey = parse_codestream(_jpeg(_frame(rows=640, cols=512)))
    require_enough(grey, 640)
    with pytest.raises(RefusedFile, match="640 x 512"):
        require_enough(grey, 639)
    lossless = parse_codestream(_jpeg(_frame(0xC3, rows=640, cols=512)))
    require_enough(lossless, 640 * 64)
    with pytest.raises(RefusedFile, match="640 x 512"):
        require_enough(lossless, 640 * 64 - 1)
