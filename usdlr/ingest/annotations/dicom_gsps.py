"""Outlines in DICOM presentation states (grayscale and colour softcopy).

Read: graphic objects in PIXEL units; CIRCLE, ELLIPSE, and POLYLINE that ends where it begins. An object is one
lesion; its label is its tracking identifier, else its layer. Points, lines between two points and text mark something
and are passed over; other graphics, DISPLAY and MATRIX units are refused when they are the object asked for. A
presentation state that turns or mirrors the image is refused as a whole.

References
----------
DICOM PS3.3, A.33, C.10.5 (graphic annotation), C.10.6 (spatial transformation).
"""

from __future__ import annotations

from typing import Any

from usdlr.ingest.annotations.contour import Candidate, Drawn, Shape, unreadable
from usdlr.ingest.annotations.dicom_outline import is_mark, outline, points_of
from usdlr.ingest.annotations.planes import Plane, items_of, on_image, plane_of, text_of
from usdlr.ingest.annotations.values import require_few_shapes
from usdlr.ingest.readers.dicom_file import value_of

PLANAR = 2


def read_presentation(dataset: Any, image: str | None, frame: int | None) -> list[Candidate]:
    """The outlines of a presentation state on one image.

    Parameters
    ----------
    dataset : pydicom Dataset
        The presentation state.
    image : str or None
        SOP Instance UID of the image; ``None``: all outlines are on one.
    frame : int or None
        Frame of the image, from 1.
    """
    rotation = value_of(dataset, "ImageRotation")
    if rotation not in (None, 0) or text_of(dataset, "ImageHorizontalFlip") == "Y":
        raise unreadable(
            "a presentation state that turns or mirrors the image", "one that leaves it as it is", "export without"
        )
    everywhere = plane_of(
        reference
        for series in items_of(dataset, "ReferencedSeriesSequence")
        for reference in items_of(series, "ReferencedImageSequence")
    )
    found: list[tuple[Plane, Candidate]] = []
    for annotation in items_of(dataset, "GraphicAnnotationSequence"):
        own = plane_of(items_of(annotation, "ReferencedImageSequence"))
        layer = text_of(annotation, "GraphicLayer")
        for item in items_of(annotation, "GraphicObjectSequence"):
            candidate = _candidate(item, layer)
            if candidate is not None:
                found.append((own if own.images else everywhere, candidate))
            require_few_shapes(len(found))
    return on_image(found, image, frame)


def _candidate(item: Any, layer: str | None) -> Candidate | None:
    kind, points = text_of(item, "GraphicType"), points_of(item)
    if is_mark(kind, points):
        return None
    tracking, uid = text_of(item, "TrackingID"), text_of(item, "TrackingUID")
    aliases = frozenset(name for name in (tracking, layer, uid) if name is not None)
    planar = value_of(item, "GraphicDimensions") in (None, PLANAR)
    in_pixels = planar and text_of(item, "GraphicAnnotationUnits") == "PIXEL"
    part = outline(kind, points) if in_pixels else _elsewhere
    return Candidate((part,), tracking or layer, aliases=aliases)


def _elsewhere(shape: Shape) -> Drawn:
    raise unreadable("a graphic in units of the display or of a tiled matrix", "PIXEL", "save it attached to the image")
