"""PNG, JPEG, BMP and TIFF pictures become frames.

Conversions, all of them: palettes are replaced by their colours; one bit per pixel becomes 0 and 255, two and four bits
are scaled to 8; a colour declared transparent becomes an alpha channel of 0; grey with alpha becomes RGBA; TIFF
"white is zero" is inverted. 16-bit channels are kept. Colour profiles and gamma are not applied, and a resolution in
dots per inch is no calibration: it says how large to print, not how large the tissue is.
"""

from __future__ import annotations

import io
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from usdlr.imaging.store import MAX_PIXELS
from usdlr.ingest.readers.bounded import RefusedFile, choose_frame, read_content, require_size
from usdlr.ingest.readers.codestream import parse_codestream, require_enough
from usdlr.ingest.readers.frame import SourceFrame

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
ORIENTATION = 274
BITS_PER_SAMPLE = 258
COMPRESSION = 259
PHOTOMETRIC = 262
WHITE_IS_ZERO = 0
UPRIGHT = (None, 0, 1)
# Old JPEG, JPEG, JPEG 2000 (three numbers in use) and WebP inside TIFF.
LOSSY_TIFF = frozenset({6, 7, 33003, 33005, 34712, 50001})
PNG_COLOURS = {2: 3, 4: 4, 6: 4}  # channels by colour type, with grey and alpha as RGBA


@dataclass(frozen=True)
class _Decoded:
    pixels: npt.NDArray[Any]
    bits: int = 8


def read_raster(path: Path, kind: str, frame: int | None) -> SourceFrame:
    """One picture of a raster file, in the order red, green, blue (alpha).

    Parameters
    ----------
    path : Path
        The file.
    kind : str
        ``PNG``, ``JPEG``, ``BMP`` or ``TIFF``.
    frame : int or None
        Page of a TIFF file, from 1.

    Raises
    ------
    RefusedFile
        If the picture is too large, damaged, rotated by its EXIF orientation, or of a kind without a stated conversion.
    WrongFrame
        If a TIFF file has several pages and none, or one that is not there, is asked for.
    """
    content = read_content(path)
    with warnings.catch_warnings():
        # Its limit is above ours, and damaged metadata beside sound pixels is not worth a line on the screen.
        warnings.simplefilter("ignore")
        try:
            opened = Image.open(io.BytesIO(content), formats=[kind])
        except Image.DecompressionBombError as error:
            raise RefusedFile("that claims far too many pixels", f"at most {MAX_PIXELS}") from error
        with opened as image:
            require_size(image.height, image.width)
            frames = _frames(image, kind)
            chosen = choose_frame(frames, frame)
            if chosen > 1:
                image.seek(chosen - 1)
                require_size(image.height, image.width)
            if kind == "PNG":
                _require_whole_png(content)
            if kind == "JPEG":
                require_enough(parse_codestream(content, whole=False), len(content))
            _require_upright(image)
            decoded = _decode(image, content, kind, chosen)
            lossy = kind == "JPEG" or (kind == "TIFF" and _tag(image, COMPRESSION) in LOSSY_TIFF)
    return SourceFrame(
        pixels=np.ascontiguousarray(decoded.pixels),
        format=kind,
        bits=decoded.bits,
        frame=chosen,
        frames=frames,
        lossy=lossy,
    )


def _frames(image: Image.Image, kind: str) -> int:
    """Pages of a TIFF. Further pictures in a JPEG are previews of the first; an animated PNG has no one picture."""
    frames = int(getattr(image, "n_frames", 1)) if kind in ("PNG", "TIFF") else 1
    if kind == "PNG" and frames > 1:
        raise RefusedFile("that is animated", "a still picture", "export the one frame that is meant")
    return frames


def _require_whole_png(content: bytes) -> None:
    """Refuse a PNG without its end or with a wrong checksum; Pillow stops looking once it has all rows."""
    position = len(PNG_MAGIC)
    while position + 12 <= len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        name = content[position + 4 : position + 8]
        end = position + 8 + length
        # Chunks whose name starts with a small letter do without: they hold no pixels.
        if name[:1].isupper() and zlib.crc32(content[position + 4 : end]).to_bytes(4, "big") != content[end : end + 4]:
            raise RefusedFile("with damaged pixels", "chunks that match their checksums")
        if name == b"IEND":
            return
        position = end + 4
    raise RefusedFile("that ends early", "a whole picture")


def _require_upright(image: Image.Image) -> None:
    orientation = image.getexif().get(ORIENTATION)
    if orientation not in UPRIGHT:
        raise RefusedFile(
            f"with EXIF orientation {orientation}",
            "an upright picture, since programs differ in whether contours follow the turn",
            "turn the pixels themselves and export again",
        )


def _decode(image: Image.Image, content: bytes, kind: str, page: int) -> _Decoded:
    if kind == "PNG" and content[24] == 16 and content[25] in PNG_COLOURS:
        # Pillow would drop the lower half of every 16-bit colour.
        return _decode_deep(content, page, PNG_COLOURS[content[25]])
    if kind == "TIFF":
        depths = _depths(image)
        if depths and len(depths) in (3, 4) and set(depths) == {16}:
            return _decode_deep(content, page, len(depths))
        if len(depths) > 1 and set(depths) != {8}:
            raise RefusedFile(f"with channels of {'/'.join(map(str, depths))} bits", "8 or 16 bits per channel")
    return _decode_shallow(image)


def _decode_deep(content: bytes, page: int, channels: int) -> _Decoded:
    """16-bit colours, by OpenCV."""
    found, pages = cv2.imdecodemulti(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED, range=(page - 1, page))
    pixels = pages[0] if found and len(pages) == 1 else None
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3 or pixels.shape[2] != channels:
        raise RefusedFile("that cannot be decoded", "16-bit colours", "export it again, with 8 bits per channel")
    return _Decoded(cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA if channels == 4 else cv2.COLOR_BGR2RGB), 16)


def _decode_shallow(image: Image.Image) -> _Decoded:
    """Everything else, by Pillow, which refuses a picture that ends early."""
    transparent = "transparency" in image.info
    if image.mode in ("I;16", "I;16L", "I;16B") and not transparent:
        # 12-bit TIFF also comes in this mode, unscaled.
        depths = _depths(image) if image.format == "TIFF" else ()
        bits = depths[0] if depths else 16
        pixels = np.asarray(image).astype(np.uint16)
        if image.format == "TIFF" and _tag(image, PHOTOMETRIC) == WHITE_IS_ZERO:
            pixels = (np.uint16(2**bits - 1) - pixels).astype(np.uint16)
        return _Decoded(pixels, bits)
    if image.mode in ("1", "L", "P", "RGB") and transparent:
        return _Decoded(np.asarray(image.convert("RGBA")))
    if image.mode in ("LA", "PA"):
        return _Decoded(np.asarray(image.convert("RGBA")))
    if image.mode == "P":
        return _Decoded(np.asarray(image.convert("RGBA" if image.palette and image.palette.mode == "RGBA" else "RGB")))
    if image.mode == "1":
        return _Decoded(np.asarray(image.convert("L")))
    if image.mode in ("L", "RGB", "RGBA"):
        return _Decoded(np.asarray(image))
    raise RefusedFile(
        f"with pixels of the kind {image.mode}", "grey, RGB or RGBA with 8 or 16 bits", "export it as 8-bit grey or RGB"
    )


def _tag(image: Image.Image, number: int) -> Any:
    tags = getattr(image, "tag_v2", None)
    return None if tags is None else tags.get(number)


def _depths(image: Image.Image) -> tuple[int, ...]:
    depths = _tag(image, BITS_PER_SAMPLE)
    if depths is None:
        return ()
    return tuple(depths) if isinstance(depths, tuple) else (int(depths),)
