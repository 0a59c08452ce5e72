"""DICOM segmentations: binary, fractional and label maps.

One segment is one lesion, selected by its label, number, tracking identifier or tracking UID. Fractional segments
count where they are at least half of their maximum. A segmentation has to lie on the grid of its image; frames belong
to the image frames they refer to, or, where they do not say so, are counted per segment.

References
----------
DICOM PS3.3, A.51 and C.8.20 (Segmentation, Label Map Segmentation).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.imaging.image import require_same_grid
from usdlr.ingest.annotations.contour import Candidate, Drawn, Part, Shape, drawn_as, fixed, unreadable
from usdlr.ingest.annotations.planes import Plane, items_of, on_image, plane_of, text_of
from usdlr.ingest.readers.bounded import require_size
from usdlr.ingest.readers.dicom_file import OpenDataset, open_dataset, quiet, value_of
from usdlr.ingest.readers.dicom_header import frame_count, functional_group
from usdlr.ingest.readers.dicom_pixels import pixel_format, read_stored

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
KINDS = ("BINARY", "FRACTIONAL", "LABELMAP")
MAX_FRAMES = 100_000
MAX_SEGMENTS = 10_000
BACKGROUND = 0


@dataclass(frozen=True)
class _Frame:
    number: int
    segment: int | None  # None: every pixel names its own


def read_segmentation(
    path: Path, opened: OpenDataset, image: str | None, frame: int | None, shape: Shape
) -> list[Candidate]:
    """The segments of a DICOM segmentation on one image.

    Parameters
    ----------
    path : Path
        The file, from which a frame is read when its segment is drawn.
    opened : OpenDataset
        Its header.
    image : str or None
        SOP Instance UID of the image; ``None``: the segmentation refers to one.
    frame : int or None
        Frame of the image, from 1.
    shape : tuple of int
        ``(rows, columns)`` of the image.
    """
    dataset = opened.dataset
    rows, cols = value_of(dataset, "Rows"), value_of(dataset, "Columns")
    if not (isinstance(rows, int) and isinstance(cols, int)) or opened.keyword != "PixelData":
        raise unreadable("a DICOM segmentation without pixels", "rows, columns and pixels", "export it again")
    if value_of(dataset, "TotalPixelMatrixRows") is not None:
        raise unreadable("a tiled DICOM segmentation", "one whole frame per plane", "export it untiled")
    require_size(rows, cols)
    require_same_grid(shape, (rows, cols), "mask")
    kind = text_of(dataset, "SegmentationType")
    if kind not in KINDS:
        raise unreadable("a DICOM segmentation of an unknown type", ", ".join(KINDS), "export it again")
    by_segment: dict[int | None, list[int]] = defaultdict(list)
    for one in on_image(_planes(dataset, kind), image, frame):
        by_segment[one.segment].append(one.number)
    if any(len(numbers) > 1 for numbers in by_segment.values()):
        raise unreadable("several frames of one segment on one plane", "one", "export the segmentation again")
    segments = items_of(dataset, "SegmentSequence")
    if len(segments) > MAX_SEGMENTS:
        raise unreadable(f"a DICOM segmentation of {len(segments)} segments", f"at most {MAX_SEGMENTS}", "export fewer")
    if kind == "LABELMAP":
        return _label_map(path, dataset, segments, by_segment[None])
    return [_segment(path, dataset, kind, item, by_segment[number]) for number, item in _numbered(segments)]


def _planes(dataset: Any, kind: str) -> list[tuple[Plane, _Frame]]:
    """Every frame of the segmentation with the plane it was drawn on."""
    count = frame_count(dataset)
    if count > MAX_FRAMES:
        raise unreadable(f"a DICOM segmentation of {count} frames", f"at most {MAX_FRAMES}", "export fewer")
    found: list[tuple[Plane, _Frame]] = []
    for number in range(1, count + 1):
        segment = None
        if kind != "LABELMAP":
            group = functional_group(dataset, number, "SegmentIdentificationSequence")
            segment = value_of(group, "ReferencedSegmentNumber")
            if not isinstance(segment, int):
                raise unreadable("a frame that names no segment", "one segment per frame", "export it again")
        derivation = functional_group(dataset, number, "DerivationImageSequence")
        found.append((plane_of(items_of(derivation, "SourceImageSequence")), _Frame(number, segment)))
    # Several frames of a segment that do not say which frame of the image they show keep their number in this file:
    # their order here need not be that of the image.
    same = Counter((one.segment, plane.images) for plane, one in found if not plane.frames)
    if not same or max(same.values()) == 1:
        return found
    return [(plane if plane.frames else Plane(plane.images, frozenset({one.number})), one) for plane, one in found]


def _numbered(segments: list[Any]) -> list[tuple[int, Any]]:
    numbered = []
    for item in segments:
        number = value_of(item, "SegmentNumber")
        if not isinstance(number, int):
            raise unreadable("a segment without a number", "one per segment", "export the segmentation again")
        numbered.append((int(number), item))
    return numbered


def _segment(path: Path, dataset: Any, kind: str, item: Any, frames: list[int]) -> Candidate:
    parts = tuple(_part(path, kind, dataset, number) for number in frames)
    return Candidate(parts, *_names(item), empty=not frames)


def _label_map(path: Path, dataset: Any, segments: list[Any], frames: list[int]) -> list[Candidate]:
    if not frames:
        return []
    values = _stored(path, frames[0])
    # The background may be declared as a segment of its own (PS3.3, C.8.20.2).
    background = value_of(dataset, "PixelPaddingValue")
    background = BACKGROUND if background is None else background
    found = []
    for number, item in _numbered(segments):
        if number != background:
            pixels = np.asarray(values == number)
            label, reader, box, aliases = _names(item)
            found.append(Candidate((fixed(pixels),), label, reader, box, aliases, empty=not pixels.any()))
    return found


def _names(item: Any) -> tuple[str, None, bool, frozenset[str]]:
    """Label, reader, whether it is a box, and aliases. Names of persons in the header are not read."""
    number = str(value_of(item, "SegmentNumber"))
    label = text_of(item, "SegmentLabel")
    aliases = {number, text_of(item, "TrackingID"), text_of(item, "TrackingUID")}
    return label or number, None, False, frozenset(alias for alias in aliases if alias is not None)


def _part(path: Path, kind: str, dataset: Any, number: int) -> Part:
    full = value_of(dataset, "MaximumFractionalValue")

    def draw(shape: Shape) -> Drawn:
        values = _stored(path, number)
        if kind == "BINARY":
            return drawn_as(np.asarray(values > 0))
        if not isinstance(full, int) or full < 1:
            raise unreadable("fractions without a maximum", "MaximumFractionalValue", "export it again")
        return drawn_as(np.asarray(2 * values.astype(np.int64) >= full))

    return draw


def _stored(path: Path, number: int) -> npt.NDArray[Any]:
    with quiet(), open_dataset(path) as opened:
        form = pixel_format(opened.dataset)
        if form.channels != 1 or form.signed:
            raise unreadable("a DICOM segmentation in colours", "one value per pixel", "export it again")
        return read_stored(opened, form, number, frame_count(opened.dataset)).values
