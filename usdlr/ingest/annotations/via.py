"""VGG Image Annotator, version 2 (and 1): regions of many images in a JSON or CSV file.

Read: ``polygon``, ``rect`` (a declared box), ``circle`` and ``ellipse``. A region is one lesion; its label and its
reader come from its attributes: ``reader`` or ``annotator`` names the reader, ``label``, ``name``, ``class``,
``category``, ``lesion`` or ``type`` the lesion, else the only attribute does. ``point`` marks something and is passed
over; an open ``polyline`` is refused when it is the region asked for. Projects of version 3 are refused.

Coordinates count from the outer corner of the first pixel; angles are radians clockwise. The files do not state the
image's size.
"""

from __future__ import annotations

from typing import Any

from usdlr.ingest.annotations.contour import Candidate, Drawn, Part, Shape, unreadable
from usdlr.ingest.annotations.raster import fill_ellipse, fill_polygon, rectangle
from usdlr.ingest.annotations.selection import ascii_safe
from usdlr.ingest.annotations.text import Document, parse_json, rows_by
from usdlr.ingest.annotations.values import (
    image_of,
    label_of,
    mapping,
    number,
    paired,
    reader_of,
    require_few_shapes,
    sequence,
)

PROJECT = "_via_img_metadata"
CSV_COLUMNS = ("filename", "region_shape_attributes", "region_attributes")
MARKS = ("point",)


def is_via_json(content: Any) -> bool:
    """Whether plain data has the structure of a VIA export or project."""
    if not isinstance(content, dict):
        return False
    if PROJECT in content or is_via_3(content):
        return True
    return bool(content) and all(
        isinstance(image, dict) and "filename" in image and "regions" in image for image in content.values()
    )


def is_via_3(content: dict[str, Any]) -> bool:
    """Whether plain data is a project of version 3, which is another format."""
    return {"project", "metadata", "view"} <= content.keys()


def is_via_csv(document: Document) -> bool:
    """Whether a table has the columns of a VIA export."""
    return set(CSV_COLUMNS) <= {name.lstrip("#") for name in document.columns}


def read_via_json(document: Document, image_name: str | None) -> list[Candidate]:
    """The contours of one image of a VIA export or project in JSON.

    Parameters
    ----------
    document : Document
        The file.
    image_name : str or None
        ``filename`` of the image; ``None``: the only one.
    """
    if is_via_3(document.content):
        raise unreadable("a project of VIA 3", "an export of VIA 2", "export the annotations as COCO or VIA 2 JSON")
    image = image_of(document.once(_images), image_name)
    regions = image.get("regions") or []
    # Version 1 counts the regions by name.
    regions = list(regions.values()) if isinstance(regions, dict) else sequence(regions)
    require_few_shapes(len(regions))
    return [
        one
        for region in map(mapping, regions)
        for one in _candidate(mapping(region.get("shape_attributes")), mapping(region.get("region_attributes") or {}))
    ]


def read_via_csv(document: Document, image_name: str | None) -> list[Candidate]:
    """The contours of one image of a VIA export in CSV.

    Parameters
    ----------
    document : Document
        The table.
    image_name : str or None
        ``filename`` of the image; ``None``: the only one.
    """
    columns = [name.lstrip("#") for name in document.columns]
    name, shape_at, attributes_at = (columns.index(column) for column in CSV_COLUMNS)
    rows = image_of(rows_by(document, name), image_name)
    require_few_shapes(len(rows))
    found = []
    for row in rows:
        shape = mapping(parse_json(row[shape_at]))
        if shape:  # an image without regions has one row that says so
            found += _candidate(shape, mapping(parse_json(row[attributes_at])))
    return found


def _images(content: dict[str, Any]) -> list[tuple[Any, dict[str, Any]]]:
    images = map(mapping, mapping(content.get(PROJECT, content)).values())
    return [(image.get("filename"), image) for image in images]


def _candidate(shape: dict[str, Any], attributes: dict[str, Any]) -> list[Candidate]:
    kind = shape.get("name")
    if kind in MARKS:
        return []
    return [Candidate((_part(kind, shape),), label_of(attributes), reader_of(attributes), kind == "rect")]


def _part(kind: Any, values: dict[str, Any]) -> Part:
    def numbers(*names: str) -> list[float]:
        return [number(values.get(name)) for name in names]

    def draw(shape: Shape) -> Drawn:
        if kind == "polygon":
            return fill_polygon(paired(values.get("all_points_x"), values.get("all_points_y")), shape)
        if kind == "rect":
            x, y, width, height = numbers("x", "y", "width", "height")
            return fill_polygon(rectangle(x, y, x + width, y + height), shape)
        if kind == "circle":
            x, y, radius = numbers("cx", "cy", "r")
            return fill_ellipse((x, y), (radius, radius), 0.0, shape)
        if kind == "ellipse":
            x, y, a, b = numbers("cx", "cy", "rx", "ry")
            return fill_ellipse((x, y), (a, b), number(values.get("theta", 0)), shape)
        raise unreadable(
            f"a region of the kind {ascii_safe(str(kind))}", "polygon, rect, circle or ellipse", "draw a closed outline"
        )

    return draw
