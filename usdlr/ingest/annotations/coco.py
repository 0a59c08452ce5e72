"""COCO: one JSON file for many images.

Read: polygons (their union; COCO knows no holes), run-length masks, compressed or not, and, where an annotation has no
segmentation, its ``bbox`` as a declared box. One annotation is one lesion. It is selected by the name or id of its
category (also ``category=3``) or by its own id (also ``annotation=17``). Keypoints are passed over.

Coordinates count from the outer corner of the first pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from usdlr.ingest.annotations.contour import Candidate, Drawn, Part, Shape, unreadable
from usdlr.ingest.annotations.raster import fill_polygon, rectangle
from usdlr.ingest.annotations.rle import decode_coco
from usdlr.ingest.annotations.text import Document
from usdlr.ingest.annotations.values import (
    flat_pairs,
    image_of,
    mapping,
    number,
    reader_of,
    require_few_shapes,
    require_stated_size,
    sequence,
    word,
)


def is_coco(content: Any) -> bool:
    """Whether plain data has the structure of a COCO file."""
    return isinstance(content, dict) and "images" in content and "annotations" in content


def read_coco(document: Document, image_name: str | None, shape: Shape) -> list[Candidate]:
    """The contours of one image of a COCO file.

    Parameters
    ----------
    document : Document
        The file.
    image_name : str or None
        ``file_name`` of the image; ``None``: the only one.
    shape : tuple of int
        ``(rows, columns)`` of the image.
    """
    content = mapping(document.content)
    image = image_of(document.once(_images), image_name)
    require_stated_size(image.get("height"), image.get("width"), shape)
    identity = word(image.get("id"))
    if identity is None:
        raise unreadable("an image without an id", "one id per image", "export the file again")
    names = {}
    for category in map(mapping, sequence(content.get("categories") or [])):
        names[word(category.get("id"))] = word(category.get("name"))
    found = []
    annotations = document.once(_by_image).get(identity, [])
    require_few_shapes(len(annotations))
    for annotation in annotations:
        category_id, own_id = word(annotation.get("category_id")), word(annotation.get("id"))
        aliases = set()
        for kind, alias in (("category", category_id), ("annotation", own_id)):
            if alias is not None:
                aliases |= {alias, f"{kind}={alias}"}
        attributes = annotation.get("attributes")
        reader = reader_of({**(attributes if isinstance(attributes, dict) else {}), **annotation})
        box = not annotation.get("segmentation")
        label = names.get(category_id) or category_id
        found.append(Candidate(_parts(annotation), label, reader, box, frozenset(aliases)))
    return found


def _images(content: dict[str, Any]) -> list[tuple[Any, dict[str, Any]]]:
    images = map(mapping, sequence(content["images"]))
    return [(image.get("file_name"), image) for image in images]


def _by_image(content: dict[str, Any]) -> dict[str | None, list[dict[str, Any]]]:
    """Annotations by the id of their image."""
    by_image: dict[str | None, list[dict[str, Any]]] = {}
    for annotation in map(mapping, sequence(content["annotations"])):
        by_image.setdefault(word(annotation.get("image_id")), []).append(annotation)
    return by_image


def _parts(annotation: dict[str, Any]) -> tuple[Part, ...]:
    segmentation = annotation.get("segmentation")
    if not segmentation:
        return (_box(annotation.get("bbox")),)
    if isinstance(segmentation, dict):
        return (_runs(segmentation),)
    return tuple(map(_polygon, sequence(segmentation)))


def _box(bbox: Any) -> Part:
    def draw(shape: Shape) -> Drawn:
        if not isinstance(bbox, list) or len(bbox) != 4:
            raise unreadable("an annotation without segmentation and box", "one of them", "draw the outline")
        x, y, width, height = (number(value) for value in bbox)
        return fill_polygon(rectangle(x, y, x + width, y + height), shape)

    return draw


def _runs(segmentation: dict[str, Any]) -> Part:
    def draw(shape: Shape) -> Drawn:
        pixels = decode_coco(segmentation, shape)
        return Drawn(pixels, int(np.count_nonzero(pixels)))

    return draw


def _polygon(outline: Any) -> Part:
    def draw(shape: Shape) -> Drawn:
        return fill_polygon(flat_pairs(outline), shape)

    return draw
