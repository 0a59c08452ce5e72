"""CVAT for images, XML version 1.1: one file for many images.

Read: ``polygon``, ``box`` (a declared box; with its rotation), ``ellipse`` (with its rotation) and ``mask`` (run
lengths along the rows of a box). Shapes of one label and one ``group_id`` are parts of one lesion. ``points`` and
``tag`` mark something and are passed over, as are lines between two points; an open ``polyline``, ``cuboid`` or
``skeleton`` is refused when it is the shape asked for. CVAT for video (``track``) is refused.

Coordinates count from the outer corner of the first pixel; angles are degrees clockwise.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

from usdlr.ingest.annotations.contour import Candidate, Drawn, Part, Shape, unreadable
from usdlr.ingest.annotations.raster import FloatPoints, fill_ellipse, fill_polygon, place, rectangle
from usdlr.ingest.annotations.rle import decode_runs, whole_numbers
from usdlr.ingest.annotations.selection import merged
from usdlr.ingest.annotations.text import Document
from usdlr.ingest.annotations.values import image_of, number, pairs, reader_of, require_few_shapes, require_stated_size

OUTLINES = ("polygon", "box", "ellipse", "mask")
OPEN = ("polyline", "cuboid", "skeleton")
# A click with the line tool leaves two points.
LINE = 2


def is_cvat(root: ET.Element) -> bool:
    """Whether an XML file has the structure of a CVAT export."""
    return root.tag == "annotations"


def read_cvat(document: Document, image_name: str | None, shape: Shape) -> list[Candidate]:
    """The contours of one image of a CVAT file.

    Parameters
    ----------
    document : Document
        The file.
    image_name : str or None
        ``name`` of the image; ``None``: the only one.
    shape : tuple of int
        ``(rows, columns)`` of the image.
    """
    images = document.once(_images)
    if not images and document.content.find("track") is not None:
        raise unreadable("a CVAT file for video", "CVAT for images 1.1", "export the task in that format")
    image = image_of(images, image_name)
    require_stated_size(image.get("height"), image.get("width"), shape)
    return merged(_shapes(image))


def _images(root: ET.Element) -> list[tuple[Any, ET.Element]]:
    return [(image.get("name"), image) for image in root.findall("image")]


def _shapes(image: ET.Element) -> Iterator[tuple[object, Candidate]]:
    require_few_shapes(len(image))
    for item in image:
        if item.tag not in (*OUTLINES, *OPEN):
            continue
        if item.tag == "polyline" and item.get("points", "").count(";") < LINE:
            continue
        label = (item.get("label") or "").strip() or None
        reader = reader_of({one.get("name", ""): one.text for one in item.findall("attribute")})
        group = item.get("group_id")
        key = None if group in (None, "", "0") else (reader, label, group)
        yield key, Candidate((_part(item),), label, reader, item.tag == "box")


def _part(item: ET.Element) -> Part:
    def draw(shape: Shape) -> Drawn:
        if item.tag == "polygon":
            return fill_polygon(_points(item.get("points", "")), shape)
        if item.tag == "box":
            x0, y0, x1, y1 = (number(item.get(name)) for name in ("xtl", "ytl", "xbr", "ybr"))
            return fill_polygon(rectangle(x0, y0, x1, y1, _angle(item)), shape)
        if item.tag == "ellipse":
            x, y, a, b = (number(item.get(name)) for name in ("cx", "cy", "rx", "ry"))
            return fill_ellipse((x, y), (a, b), _angle(item), shape)
        if item.tag == "mask":
            return _mask(item, shape)
        raise unreadable(f"an open {item.tag}", "a closed polygon", "draw the outline as a polygon")

    return draw


def _mask(item: ET.Element, shape: Shape) -> Drawn:
    left, top, width, height = (_whole(item.get(name)) for name in ("left", "top", "width", "height"))
    # The box lies within the image, so that nothing larger than the image is ever decoded.
    if not (0 <= left < left + width <= shape[1] and 0 <= top < top + height <= shape[0]):
        raise unreadable("a mask whose box lies outside the image", "a box inside it", "export the mask again")
    texts = item.get("rle", "").split(",")
    runs = whole_numbers([_whole(text) for text in texts], most=width * height + 1)
    bitmap = decode_runs(runs, height, width, by_column=False)
    return place(bitmap, top, left, shape)


def _whole(text: str | None) -> int:
    value = number(text)
    if not value.is_integer():
        raise unreadable("a pixel count with a fraction", "whole numbers", "export the mask again")
    return int(value)


def _angle(item: ET.Element) -> float:
    return math.radians(number(item.get("rotation", "0")) % 360)


def _points(text: str) -> FloatPoints:
    return pairs([point.split(",") for point in text.split(";")] if text.strip() else [])
