"""Segmentations of 3D Slicer: NRRD files that name their segments (``Segment0_Name``, ``Segment0_LabelValue`` ...).

Segments that do not overlap share one layer. Overlapping ones lie in several layers, the fastest axis of the file.

References
----------
3D Slicer developer guide, MRML overview, "Segmentations": the ``.seg.nrrd`` file format.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import DataError
from usdlr.ingest.readers.bounded import BoundedFile, RefusedFile, choose_frame, inflate, require_size
from usdlr.ingest.readers.nrrd import MAX_HEADER, TYPES
from usdlr.ingest.readers.volumes import Layout, require_straight

FIELD = re.compile(rb"Segment(\d{1,5})_(Name|ID|LabelValue|Layer)\s*:=(.*)")
MAX_SEGMENTS = 1000


@dataclass(frozen=True)
class Segment:
    """One segment.

    Parameters
    ----------
    name, identity : str
        As shown to the user, and the segment's id; empty when not stated.
    value, layer : int
        Pixel value, and the layer it counts in.
    """

    name: str
    identity: str
    value: int
    layer: int


def segments_of(path: Path) -> tuple[Segment, ...]:
    """The segments that the header of an NRRD file names; none when it is a plain mask.

    Raises
    ------
    RefusedFile
        If the header has no end, or a segment no value.
    """
    stated: dict[int, dict[str, str]] = {}
    with BoundedFile(path) as stream:
        for line in _header(stream):
            match = FIELD.fullmatch(line.strip())
            if match is not None:
                text = match[3].decode("utf-8", "replace").strip()
                stated.setdefault(int(match[1]), {})[match[2].decode()] = text
    if len(stated) > MAX_SEGMENTS:
        raise RefusedFile(f"with {len(stated)} segments", f"at most {MAX_SEGMENTS}")
    segments = []
    for number, fields in sorted(stated.items()):
        value, layer = fields.get("LabelValue", "1" if len(stated) == 1 else ""), fields.get("Layer", "0")
        if not (re.fullmatch(r"[0-9]{1,6}", value) and int(value) and re.fullmatch(r"[0-9]{1,4}", layer)):
            raise RefusedFile("with a segment whose value or layer is no number", "Slicer's own segmentation file")
        name = fields.get("Name", "") or fields.get("ID", "") or f"segment {number}"
        segments.append(Segment(name, fields.get("ID", ""), int(value), int(layer)))
    return tuple(segments)


def read_layers(path: Path, frame: int | None) -> npt.NDArray[Any]:
    """One slice of all layers of a segmentation with overlapping segments.

    Parameters
    ----------
    path : Path
        The file.
    frame : int or None
        Slice along the last axis, from 1.

    Returns
    -------
    integer array, (rows, columns, layers)

    Raises
    ------
    RefusedFile
        If the file is not laid out as Slicer does.
    WrongFrame
        If there are several slices and none, or one that is not there, is asked for.
    """
    try:
        import nrrd
    except ImportError as error:
        raise DataError("found an NRRD file but no pynrrd, expected it; pip install usdlr[dicom]") from error

    with BoundedFile(path) as stream:
        fields: dict[str, Any] = dict(nrrd.read_header(_header(stream)))
        sizes = [int(size) for size in fields["sizes"]]
        kinds = [str(kind) for kind in fields.get("kinds") or []]
        type_name = TYPES.get(str(fields["type"]).lower(), "f4")
        if len(sizes) not in (3, 4) or not kinds or kinds[0] != "list" or min(sizes) < 1 or type_name[0] == "f":
            raise RefusedFile("with overlapping segments in an unknown layout", "layers first, as Slicer writes")
        layers, cols, rows = sizes[:3]
        require_size(rows, cols * layers)
        order = ">" if str(fields.get("endian", "little")).lower() == "big" else "<"
        layout = Layout(cols, rows, math.prod(sizes[3:]), layers, np.dtype(order + type_name))
        chosen = choose_frame(layout.frames, frame)
        if fields.get("space directions") is not None:
            steps = [np.asarray(row, dtype=float) for row in list(fields["space directions"])[1:3]]
            require_straight(np.stack(steps, axis=1)[:2], "NRRD")
        start = (chosen - 1) * layout.slice_bytes
        encoding = str(fields.get("encoding", "raw")).lower()
        if encoding in ("gz", "gzip"):
            raw = inflate(stream, "gzip", skip=start, size=layout.slice_bytes)
        elif encoding == "raw":
            stream.seek(start, 1)
            raw = stream.read(layout.slice_bytes)
        else:
            raise RefusedFile("with overlapping segments in a rare encoding", "raw or gzip, as Slicer writes")
        pixels = layout.pixels(raw)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _header(stream: BoundedFile) -> list[bytes]:
    """Lines up to the blank one; the stream then stands at the pixels."""
    lines: list[bytes] = []
    while line := stream.readline(MAX_HEADER):
        if not line.endswith(b"\n") or stream.tell() > MAX_HEADER:
            break
        if not line.strip():
            return lines
        lines.append(line)
    raise RefusedFile("with an NRRD header without an end", "a blank line before the pixels")
