"""Outlines in DICOM structured reports (TID 1500, planar regions of interest).

Read: spatial coordinates (SCOORD) whose concept is *Image Region* (111030, DCM) or *Outline* (111041, DCM), wherever
in the report; CIRCLE, ELLIPSE, and POLYLINE that ends where it begins. A region is one lesion; its label is the
tracking identifier of its measurement group, else the finding, and the tracking UID selects it too. Coordinates in
space (SCOORD3D) or on a tiled image, and regions that are segmentation frames, are refused: give the segmentation
itself. Names of persons are not read: who drew a report is for the export's table to say.

References
----------
DICOM PS3.16, TID 1500, TID 1410; PS3.3, C.18.6.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from usdlr.ingest.annotations.contour import Candidate, Drawn, Shape, unreadable
from usdlr.ingest.annotations.dicom_outline import is_mark, outline, points_of
from usdlr.ingest.annotations.planes import Plane, items_of, on_image, plane_of, text_of
from usdlr.ingest.annotations.values import require_few_shapes

MEASUREMENT_GROUP = "125007"
TRACKING_IDENTIFIER, TRACKING_UID, FINDING = "112039", "112040", "121071"
REGIONS = ("111030", "111041")
SCHEME = "DCM"
MAX_ITEMS = 200_000
MAX_DEPTH = 50


@dataclass(frozen=True)
class _Group:
    """What a measurement group says about its region."""

    tracking: str | None = None
    tracking_uid: str | None = None
    finding: str | None = None


def read_report(dataset: Any, image: str | None, frame: int | None) -> list[Candidate]:
    """The outlines of a structured report on one image.

    Parameters
    ----------
    dataset : pydicom Dataset
        The report.
    image : str or None
        SOP Instance UID of the image; ``None``: all outlines are on one.
    frame : int or None
        Frame of the image, from 1.
    """
    found: list[tuple[Plane, Candidate]] = []
    spatial = False
    for item, group in _walk(dataset):
        kind = text_of(item, "ValueType")
        spatial |= kind == "SCOORD3D"
        if kind == "SCOORD" and _code(item) in REGIONS:
            candidate = _candidate(item, group)
            if candidate is not None:
                found.append((_plane(item), candidate))
                require_few_shapes(len(found))
    if not found and spatial:
        raise unreadable("outlines in millimetres of space", "in pixels of the image", "export them as SCOORD")
    return on_image(found, image, frame)


def _candidate(item: Any, group: _Group) -> Candidate | None:
    kind, points = text_of(item, "GraphicType"), points_of(item)
    if is_mark(kind, points):
        return None
    part = _tiled if text_of(item, "PixelOriginInterpretation") == "VOLUME" else outline(kind, points)
    names = (group.tracking, group.finding, group.tracking_uid)
    return Candidate(
        (part,), group.tracking or group.finding, aliases=frozenset(name for name in names if name is not None)
    )


def _tiled(shape: Shape) -> Drawn:
    raise unreadable("an outline on a tiled image", "one in pixels of a frame", "export it relative to the frame")


def _plane(item: Any) -> Plane:
    references = []
    for child in items_of(item, "ContentSequence"):
        if text_of(child, "ValueType") == "IMAGE":
            references += items_of(child, "ReferencedSOPSequence")
    return plane_of(references)


def _walk(dataset: Any) -> Iterator[tuple[Any, _Group]]:
    """Every content item, with the measurement group it is in; no recursion, since depth is the file's choice."""
    waiting = [(item, _Group(), 1) for item in reversed(items_of(dataset, "ContentSequence"))]
    seen = 0
    while waiting:
        item, group, depth = waiting.pop()
        seen += 1
        if seen > MAX_ITEMS or depth > MAX_DEPTH:
            raise unreadable("a report with too many or too deep items", f"at most {MAX_ITEMS}", "export it again")
        children = items_of(item, "ContentSequence")
        if _code(item) == MEASUREMENT_GROUP:
            group = _group(children)
        yield item, group
        waiting += [(child, group, depth + 1) for child in reversed(children)]


def _group(children: list[Any]) -> _Group:
    values: dict[str, str | None] = {}
    for child in children:
        code = _code(child)
        if code == TRACKING_IDENTIFIER:
            values["tracking"] = text_of(child, "TextValue")
        elif code == TRACKING_UID:
            values["tracking_uid"] = text_of(child, "UID")
        elif code == FINDING:
            meanings = items_of(child, "ConceptCodeSequence")
            values["finding"] = text_of(meanings[0], "CodeMeaning") if meanings else None
    return _Group(**values)


def _code(item: Any) -> str | None:
    """The item's concept, where it is one of DICOM's own."""
    names = items_of(item, "ConceptNameCodeSequence")
    if not names or text_of(names[0], "CodingSchemeDesignator") != SCHEME:
        return None
    return text_of(names[0], "CodeValue")
