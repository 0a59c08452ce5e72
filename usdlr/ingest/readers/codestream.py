"""What a compressed codestream says about itself, read from its header alone.

Decoders allocate by the codestream, not by the DICOM header around it; the two have to agree before one is called.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from usdlr.ingest.readers.bounded import RefusedFile

J2K_START = b"\xff\x4f\xff\x51"
JP2_START = b"\x00\x00\x00\x0cjP  "
END = b"\xff\xd9"  # EOI and EOC alike
# Encoders pad to an even length; some add a few bytes of their own.
TRAILER = 16
RGB_IDS = ((82, 71, 66), (114, 103, 98))
# Start-of-frame markers that libjpeg and GDCM decode: baseline, extended, progressive, lossless; 0xF7 is JPEG-LS.
FRAMES = {0xC0: "dct", 0xC1: "dct", 0xC2: "dct", 0xC3: "lossless", 0xF7: "jpegls"}
OTHER_FRAMES = frozenset({0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
SCAN = 0xDA
MAX_TILES = 65_535


@dataclass(frozen=True)
class Codestream:
    """Facts from the header of a JPEG, JPEG-LS or JPEG 2000 codestream.

    Parameters
    ----------
    kind : str
        ``dct``, ``lossless`` (process 14), ``jpegls`` or ``j2k``.
    rows, cols : int
        Size in pixels.
    channels : int
        Components per pixel.
    precision : int
        Bits per component.
    jfif : bool
        Whether a JFIF marker says that three components are luma and chroma.
    adobe : int or None
        Colour transformation of an Adobe marker: 0 none, 1 luma and chroma.
    ids : tuple of int
        Component identifiers; some writers spell RGB with them.
    """

    kind: str
    rows: int
    cols: int
    channels: int
    precision: int
    jfif: bool = False
    adobe: int | None = None
    ids: tuple[int, ...] = ()

    @property
    def colour_space(self) -> str | None:
        """``RGB`` or ``YBR_FULL`` where the codestream tells, else ``None``: the DICOM header decides."""
        if self.channels != 3 or self.kind == "j2k":
            return None
        if self.adobe is not None:
            return "RGB" if self.adobe == 0 else "YBR_FULL"
        if self.ids in RGB_IDS:
            return "RGB"
        return "YBR_FULL" if self.jfif else None

    @property
    def libjpeg_converts(self) -> bool:
        """Whether libjpeg, left alone, would take the three components for luma and chroma and convert them."""
        if self.channels != 3:
            return False
        if self.jfif:
            return True
        if self.adobe is not None:
            return self.adobe == 1
        return self.ids not in RGB_IDS and self.kind != "lossless"


def parse_codestream(data: bytes, *, whole: bool = True) -> Codestream:
    """Facts from the header of a codestream.

    Parameters
    ----------
    data : bytes
        One frame of encapsulated pixel data, or a JPEG file.
    whole : bool
        Refuse a codestream without an end marker. A file may hold more after its picture.

    Raises
    ------
    RefusedFile
        If the header is damaged, the codestream has no end, or it is of a kind that is not decoded here.

    References
    ----------
    ITU-T T.81 annex B (JPEG), T.87 annex C (JPEG-LS), T.800 annex A (JPEG 2000).
    """
    if whole and END not in data.rstrip(b"\0")[-TRAILER:]:
        raise RefusedFile("with a compressed frame that ends early", "a whole one")
    try:
        if data.startswith(J2K_START):
            return _parse_j2k(data, 0)
        if data.startswith(JP2_START):
            return _parse_j2k(data, data.index(J2K_START))
        if data.startswith(b"\xff\xd8"):
            return _parse_jpeg(data)
    except (struct.error, ValueError, IndexError) as error:
        raise RefusedFile("with a damaged header of a compressed frame", "a whole one") from error
    raise RefusedFile("with a compressed frame of an unknown kind", "JPEG, JPEG-LS, JPEG 2000 or RLE")


def require_enough(code: Codestream, length: int) -> None:
    """Refuse a JPEG whose pixels cannot all be in its bytes; libjpeg would fill the rest with grey without a word.

    Parameters
    ----------
    code : Codestream
        Its header.
    length : int
        Bytes of the codestream.

    Raises
    ------
    RefusedFile
        If a Huffman code of one bit for each block of 64 pixels (lossless: for each sample) takes more bytes.
    """
    pixels = code.rows * code.cols
    least = pixels * code.channels // 8 if code.kind == "lossless" else pixels // 512 if code.kind == "dct" else 0
    if length < least:
        raise RefusedFile(
            f"that claims {code.rows} x {code.cols} pixels in {length} bytes of JPEG", f"at least {least} bytes"
        )


def _parse_jpeg(data: bytes) -> Codestream:
    position, jfif, adobe = 2, False, None
    found: Codestream | None = None
    while True:
        if data[position] != 0xFF:
            raise ValueError("no marker")
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        position += 2
        if marker in STANDALONE:
            continue
        (length,) = struct.unpack_from(">H", data, position)
        if length < 2 or position + length > len(data):
            raise ValueError("segment beyond the end")
        body = data[position + 2 : position + length]
        if marker in OTHER_FRAMES:
            raise RefusedFile("with a hierarchical or arithmetic JPEG frame", "baseline, extended or lossless JPEG")
        if marker in FRAMES:
            if found is not None:
                raise ValueError("two frame headers")
            precision, rows, cols, channels = struct.unpack_from(">BHHB", body)
            ids = tuple(body[6 + 3 * number] for number in range(channels))
            found = Codestream(FRAMES[marker], rows, cols, channels, precision, ids=ids)
        elif marker == 0xE0 and body.startswith(b"JFIF\0"):
            jfif = True
        elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            adobe = body[11]
        elif marker == SCAN:
            if found is None:
                raise ValueError("a scan before its frame header")
            return Codestream(
                found.kind, found.rows, found.cols, found.channels, found.precision, jfif, adobe, found.ids
            )
        position += length


def _parse_j2k(data: bytes, start: int) -> Codestream:
    (_, _, width, height, left, top, tile_width, tile_height, tile_left, tile_top, channels) = struct.unpack_from(
        ">HHIIIIIIIIH", data, start + 4
    )
    components = [struct.unpack_from(">BBB", data, start + 42 + 3 * number) for number in range(channels)]
    if not components or tile_width < 1 or tile_height < 1:
        raise ValueError("no components or tiles")
    if any(horizontal != 1 or vertical != 1 for _, horizontal, vertical in components):
        raise RefusedFile("with subsampled JPEG 2000 components", "components of one size")
    depths = {depth for depth, _, _ in components}
    if len(depths) != 1:
        raise RefusedFile("with JPEG 2000 components of different depths", "one depth")
    if width <= left or height <= top or tile_left > left or tile_top > top:
        raise ValueError("an empty image")
    tiles = -(-(width - tile_left) // tile_width) * -(-(height - tile_top) // tile_height)
    if tiles > MAX_TILES:
        raise RefusedFile(f"with {tiles} JPEG 2000 tiles", f"at most {MAX_TILES}")
    return Codestream("j2k", height - top, width - left, channels, (depths.pop() & 0x7F) + 1)
