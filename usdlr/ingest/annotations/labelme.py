"""LabelMe: one JSON file per image, with shapes.

Read: ``polygon`` (also shapes without a type), ``rectangle`` (two corners, or four as some programs write) and
``oriented_rectangle`` as boxes, ``circle`` (centre and a point on it) and ``mask`` (a small PNG between two corners).
Shapes of one label and one ``group_id`` are parts of one lesion. ``point``, ``points`` and ``line`` mark something
and are passed over; an open ``linestrip`` is refused when it is the shape asked for.

Coordinates count from the outer corner of the first pixel.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from usdlr.imaging.image import BoolArray
from usdlr.ingest.annotations.contour import Candidate, Drawn, Part, Shape, missing, unreadable
from usdlr.ingest.annotations.raster import fill_ellipse, fill_polygon, place, rectangle
from usdlr.ingest.annotations.selection import ascii_safe, merged
from usdlr.ingest.annotations.values import (
    mapping,
    number,
    pairs,
    reader_of,
    require_few_shapes,
    require_stated_size,
    same_name,
    sequence,
    word,
)
from usdlr.ingest.readers.bounded import require_size

MARKS = ("point", "points", "line")


def is_labelme(content: Any) -> bool:
    """Whether plain data has the structure of a LabelMe file."""
    return isinstance(content, dict) and "shapes" in content and "annotations" not in content


def read_labelme(content: dict[str, Any], image_name: str | None, shape: Shape) -> list[Candidate]:
    """The contours of a LabelMe file.

    Parameters
    ----------
    content : dict
        The file.
    image_name : str or None
        When given, the file has to be about that image.
    shape : tuple of int
        ``(rows, columns)`` of the image.
    """
    if image_name is not None and not same_name(content.get("imagePath"), image_name):
        raise missing("annotations of another image", "the image stated", "give the file that was drawn on it")
    require_stated_size(content.get("imageHeight"), content.get("imageWidth"), shape)
    return merged(_shapes(content))


def _shapes(content: dict[str, Any]) -> Iterator[tuple[object, Candidate]]:
    shapes = sequence(content["shapes"])
    require_few_shapes(len(shapes))
    for item in map(mapping, shapes):
        kind = item.get("shape_type") or "polygon"
        if kind in MARKS:
            continue
        label, reader, group = word(item.get("label")), reader_of(item), word(item.get("group_id"))
        key = None if group is None else (reader, label, group)
        box = kind in ("rectangle", "oriented_rectangle")
        yield key, Candidate((_part(kind, item),), label, reader, box)


def _part(kind: Any, item: dict[str, Any]) -> Part:
    def draw(shape: Shape) -> Drawn:
        points = pairs(item.get("points"))
        if kind == "polygon" or (kind in ("rectangle", "oriented_rectangle") and len(points) == 4):
            return fill_polygon(points, shape)
        if kind == "linestrip":
            raise unreadable(f"an open line of {len(points)} points", "a closed polygon", "close the outline")
        if kind not in ("rectangle", "circle", "mask"):
            raise unreadable(
                f"a shape of the type {ascii_safe(str(kind))}", "polygon, rectangle, circle or mask", "draw it as one"
            )
        if len(points) != 2:
            raise unreadable(f"a {kind} of {len(points)} points", "two", "draw it again")
        (x0, y0), (x1, y1) = points.tolist()
        if kind == "rectangle":
            return fill_polygon(rectangle(x0, y0, x1, y1), shape)
        if kind == "circle":
            radius = math.hypot(x1 - x0, y1 - y0)
            return fill_ellipse((x0, y0), (radius, radius), 0.0, shape)
        corners = [math.floor(number(value)) for value in (y0, x0, y1, x1)]
        return place(_bitmap(item.get("mask"), corners), corners[0], corners[1], shape)

    return draw


def _bitmap(encoded: Any, corners: list[int]) -> BoolArray:
    """The small mask; both corners count as inside it."""
    damaged = unreadable("a damaged mask shape", "a PNG in base64", "draw it again")
    if not isinstance(encoded, str):
        raise damaged
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise damaged from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            require_size(image.height, image.width)
            if image.mode not in ("1", "L"):
                raise damaged
            pixels = np.asarray(image) > 0
    top, left, bottom, right = corners
    expected = (bottom - top + 1, right - left + 1)
    if pixels.shape != expected:
        raise unreadable(
            f"a mask shape of {pixels.shape[0]} x {pixels.shape[1]} pixels between corners for {expected[0]} x "
            f"{expected[1]}",
            "the same size",
            "draw it again",
        )
    return np.asarray(pixels)
