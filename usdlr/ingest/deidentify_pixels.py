"""De-identification of pixels: everything outside the scan is blanked, and so is text drawn inside it.

Scanners burn the patient's name into the picture. What lies outside the scan sectors is blanked: those that are made
out within the header's calibrated regions (a region whole where none is), or in the picture when the header has no
regions. Inside, text is looked for and blanked as whole boxes, since black letters on speckle could still be read.
Then text is looked for again, and a file in which any is left is refused. Every frame is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from usdlr.imaging.image import BoolArray
from usdlr.imaging.intensity import to_8_bit
from usdlr.ingest.deidentify_rules import Refusal, RefusedError, first_text
from usdlr.ingest.readers.bounded import RefusedFile
from usdlr.ingest.readers.dicom_file import OpenDataset
from usdlr.ingest.readers.dicom_header import frame_count
from usdlr.ingest.readers.dicom_pixels import LOSSY, PixelFormat, StoredFrame, pixel_format, read_stored
from usdlr.ingest.readers.dicom_values import to_levels, ybr_to_rgb
from usdlr.ingest.regions import Region

Box = tuple[int, int, int, int]

# RegionSpatialFormat of what shows tissue or flow: 2-D, M-mode, spectral. Waveforms and graphics are not needed.
TWO_D, SCAN_FORMATS = 1, frozenset({1, 2, 3})
# Every frame is held in memory until the file is written.
MAX_BYTES = 2 << 30
# The sector's outline is known to a few pixels.
SLACK = 3
AROUND = (31, 31)
# Fewer rows or columns than any scanner shows: the picture was scaled down.
SMALL = 260
# Blanking a box can bring out a neighbour that was missed beside it.
ROUNDS = 4
STALE = (
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "EncapsulatedPixelDataValueTotalLength",
)


@dataclass(frozen=True)
class CleanedPixels:
    """What was done to the pixels of one file.

    Parameters
    ----------
    frames : int
        Number of frames.
    blanked_fraction : float
        Share of all pixels that were blanked, 0 to 1.
    text_boxes : int
        Number of boxes blanked because they seemed to hold text, over all frames.
    """

    frames: int
    blanked_fraction: float
    text_boxes: int


def clean_pixels(opened: OpenDataset) -> CleanedPixels:
    """Blank what could tell who the patient is and give the header the new pixels, uncompressed.

    Colour becomes RGB, palettes and grey stay what they are; a pixel that is not blanked keeps its value. Bits beyond
    the stored ones, where old files keep overlays, become 0.

    Parameters
    ----------
    opened : OpenDataset
        The file, read up to its pixels. Its data set is changed in place, unless the file is refused.

    Raises
    ------
    RefusedError
        If there are no pixels that can be decoded, the field of view is uncertain, or text remains.
    RefusedFile
        If the pixels contradict the header.
    """
    shape, frames = _require_readable(opened)
    black = _black(opened, shape)
    start = opened.stream.tell()
    content = bytearray()
    photometric, boxes, blanked = "", 0, 0
    sectors: dict[Box | None, BoolArray | None] = {}
    for number in range(1, frames + 1):
        opened.stream.seek(start)
        stored = _plain(read_stored(opened, shape, number, frames), shape)
        photometric = stored.photometric
        scan = _scan(opened, shape, stored, number, sectors)
        count, kept = _clean_frame(opened, shape, stored, scan, black)
        boxes, blanked = boxes + count, blanked + int(kept.size - np.count_nonzero(kept))
        content += stored.values.astype(stored.values.dtype.newbyteorder("<")).tobytes()
    _replace_pixels(opened, shape, bytes(content), photometric)
    return CleanedPixels(frames, blanked / (frames * shape.rows * shape.cols), boxes)


def _clean_frame(
    opened: OpenDataset, shape: PixelFormat, stored: StoredFrame, scan: BoolArray, black: int
) -> tuple[int, BoolArray]:
    """Blank one frame in place; returns the number of text boxes and what was left standing."""
    shown = _display(opened, shape, stored)
    kept, boxes = scan.copy(), 0
    # First with all of the picture in sight, since a line of text may cross the edge of the scan.
    text = _text(shown, None) & kept
    for _ in range(ROUNDS):
        if not text.any():
            break
        boxes += cv2.connectedComponents(text.astype(np.uint8), connectivity=8)[0] - 1
        kept &= ~text
        text = _text(_smoothed(shown, kept), kept)
    if text.any():
        raise RefusedError(
            Refusal.TEXT_REMAINS,
            "found text in the picture after blanking, expected none; blank it with the archive's own tool, or export "
            "the image without annotations",
        )
    stored.values[~kept] = black
    return boxes, kept


def _smoothed(shown: npt.NDArray[np.uint8], kept: BoolArray) -> npt.NDArray[np.uint8]:
    """The picture with the blanked parts as bright as what is left around them: their edges are no strokes."""
    weight = cv2.blur(kept.astype(np.float32), AROUND)
    layers = shown if shown.ndim == 3 else shown[..., np.newaxis]
    out = layers.copy()
    for channel in range(layers.shape[2]):
        mean = cv2.blur(layers[..., channel].astype(np.float32) * kept, AROUND) / np.maximum(weight, 1e-3)
        out[..., channel][~kept] = mean[~kept].astype(np.uint8)
    return out.reshape(shown.shape)


def _scan(
    opened: OpenDataset,
    shape: PixelFormat,
    stored: StoredFrame,
    frame: int,
    sectors: dict[Box | None, BoolArray | None],
) -> BoolArray:
    """True where echoes are: the sectors within the header's regions, else the one that is seen.

    A sector stands still: that of the first frame holds for all, and nothing outside it is ever shown.
    """
    size = (shape.rows, shape.cols)

    def sector(box: Box | None) -> BoolArray | None:
        if box not in sectors:
            sectors[box] = _sector(_display(opened, shape, stored), box)
        return sectors[box]

    regions = [each for each in _regions(opened.dataset, size, frame) if each.spatial_format in SCAN_FORMATS]
    if not regions:
        seen = sector(None)
        if seen is None:
            raise RefusedError(
                Refusal.FIELD_OF_VIEW_UNCERTAIN,
                "found neither a calibrated region in the header nor a clear scan sector in the picture, expected one "
                "to know what to blank; export the image with its regions",
            )
        return seen
    mask = np.zeros(size, dtype=bool)
    for region in regions:
        inside = sector(region.box) if region.spatial_format == TWO_D else None
        if inside is None:
            row, col, rows, cols = region.box
            mask[row : row + rows, col : col + cols] = True
        else:
            mask |= inside
    return mask


def _regions(dataset: Any, shape: tuple[int, int], frame: int) -> tuple[Region, ...]:
    from usdlr.ingest.regions import parse_regions

    # A header that describes another picture has no region here: all are refused together.
    return parse_regions(dataset, shape, frame).regions


def _sector(pixels: npt.NDArray[np.uint8], box: Box | None) -> BoolArray | None:
    """The scan sector within a box or the whole picture; ``None`` when it was not made out."""
    from usdlr.imaging.fov import FovShape, detect_fov

    view = detect_fov(pixels, box)
    # A picture that seems to be all sector may as well be one whose banners were not recognised.
    if not view.certain or view.shape in (FovShape.FULL, FovShape.UNKNOWN) or not view.pixels.any():
        return None
    grown = np.asarray(cv2.dilate(view.pixels.astype(np.uint8), np.ones((2 * SLACK + 1, 2 * SLACK + 1), np.uint8)) > 0)
    if box is not None:
        row, col, rows, cols = box
        allowed = np.zeros_like(grown)
        allowed[row : row + rows, col : col + cols] = True
        grown &= allowed
    return grown


def _text(pixels: npt.NDArray[np.uint8], inside: BoolArray | None) -> BoolArray:
    from usdlr.imaging.burned_in import find_text

    found = np.array(find_text(pixels, inside), dtype=bool)
    rows, cols = found.shape
    if min(rows, cols) < SMALL:
        # A frame that was scaled down has letters of a few pixels.
        large = cv2.resize(pixels, (2 * cols, 2 * rows), interpolation=cv2.INTER_CUBIC)
        within = None if inside is None else np.repeat(np.repeat(inside, 2, axis=0), 2, axis=1)
        twice = find_text(np.asarray(large, dtype=np.uint8), within)
        found |= twice.reshape(rows, 2, cols, 2).any(axis=(1, 3))
    return found


def _display(opened: OpenDataset, shape: PixelFormat, stored: StoredFrame) -> npt.NDArray[np.uint8]:
    """What could be seen with any window: 8 bits, grey or red, green, blue, brighter is brighter.

    Where more than 8 bits are stored, the brightest value fills the scale: dim text is still text.
    """
    if stored.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        levels = to_levels(stored, shape, opened.dataset, 1, opened.little_endian)
        return to_8_bit(levels.pixels, levels.bits)
    if shape.stored > 8:
        top = max(int(stored.values.max()), 1)
        eight = (stored.values.astype(np.float32) * np.float32(255.0 / top)).astype(np.uint8)
    else:
        eight = (stored.values << (8 - shape.stored)).astype(np.uint8)
    return 255 - eight if stored.photometric == "MONOCHROME1" else eight


def _black(opened: OpenDataset, shape: PixelFormat) -> int:
    """The value that is shown as black, or as the darkest colour of a palette."""
    levels = 1 << shape.stored
    if shape.photometric == "MONOCHROME1":
        return levels - 1
    if shape.photometric != "PALETTE COLOR":
        return 0
    every = np.arange(levels, dtype=np.uint8 if levels <= 256 else np.uint16)[np.newaxis]
    shown = to_levels(StoredFrame(every, shape.photometric), shape, opened.dataset, 1, opened.little_endian)
    return int(shown.pixels[0].astype(np.int64).sum(axis=-1).argmin())


def _plain(stored: StoredFrame, shape: PixelFormat) -> StoredFrame:
    """The same frame, writable, in grey, a palette or RGB."""
    values, photometric = stored.values, stored.photometric
    if photometric.startswith("YBR"):
        if values.dtype != np.uint8 or shape.stored != 8:
            raise RefusedFile(f"with {photometric} of {shape.stored} bits", "8 bits")
        values, photometric = ybr_to_rgb(values, partial=photometric == "YBR_PARTIAL_422"), "RGB"
    return StoredFrame(np.array(values), photometric)


def _require_readable(opened: OpenDataset) -> tuple[PixelFormat, int]:
    """How the pixels are stored, and the number of frames, checked before anything is allocated."""
    if opened.keyword != "PixelData":
        raise RefusedError(
            Refusal.NO_IMAGE,
            "found a DICOM file without an image, expected ultrasound images; reports and directories name the patient "
            "in text that cannot be cleaned",
        )
    shape, frames = pixel_format(opened.dataset), frame_count(opened.dataset)
    if shape.allocated == 1 or shape.signed:
        raise RefusedError(
            Refusal.UNSUPPORTED,
            "found pixels of one bit or signed pixels, expected the grey levels or colours of an ultrasound image; "
            "leave the file out",
        )
    if shape.frame_bits // 8 * frames > MAX_BYTES:
        raise RefusedError(
            Refusal.TOO_LARGE,
            f"found a header that claims {frames} frames of {shape.rows} x {shape.cols} pixels, expected at most "
            f"{MAX_BYTES >> 20} MiB; split the file",
        )
    return shape, frames


def _replace_pixels(opened: OpenDataset, shape: PixelFormat, content: bytes, photometric: str) -> None:
    dataset = opened.dataset
    if opened.syntax in LOSSY and first_text(dataset, "LossyImageCompression") != "01":
        dataset.LossyImageCompression = "01"
    for keyword in STALE:
        if keyword in dataset:
            del dataset[keyword]
    dataset.add_new(0x7FE00010, "OB" if shape.allocated == 8 else "OW", content + bytes(len(content) % 2))
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = shape.allocated, shape.stored, shape.stored - 1
    dataset.SamplesPerPixel, dataset.PixelRepresentation = shape.channels, 0
    if shape.channels == 3:
        dataset.PlanarConfiguration = 0
