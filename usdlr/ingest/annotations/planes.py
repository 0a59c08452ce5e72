"""Which image, and which frame of it, a DICOM annotation refers to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.ingest.annotations.contour import ambiguous, empty, missing
from usdlr.ingest.readers.dicom_file import value_of

Item = TypeVar("Item")

MAX_REFERENCES = 100_000


@dataclass(frozen=True)
class Plane:
    """The image that something was drawn on.

    Parameters
    ----------
    images : frozenset of str
        SOP Instance UIDs; empty: not stated, or all.
    frames : frozenset of int
        Frame numbers, from 1; empty: not stated, or all.
    """

    images: frozenset[str] = field(default_factory=frozenset)
    frames: frozenset[int] = field(default_factory=frozenset)


def items_of(dataset: Any, keyword: str) -> list[Any]:
    """The items of a sequence; none when it is absent or malformed."""
    items = value_of(dataset, keyword)
    try:
        return list(items)[:MAX_REFERENCES] if items is not None else []
    except TypeError:
        return []


def text_of(dataset: Any, keyword: str) -> str | None:
    """Text of an element, ``None`` when it is absent or empty."""
    value = value_of(dataset, keyword)
    return None if value is None else str(value).strip() or None


def plane_of(references: Iterable[Any]) -> Plane:
    """The plane of items with ReferencedSOPInstanceUID and ReferencedFrameNumber."""
    images: set[str] = set()
    frames: set[int] = set()
    for item in references:
        uid = text_of(item, "ReferencedSOPInstanceUID")
        if uid is not None:
            images.add(uid)
        stated = value_of(item, "ReferencedFrameNumber")
        if stated is not None:
            numbers = [stated] if isinstance(stated, int | str) else list(stated)[:MAX_REFERENCES]
            frames.update(int(one) for one in numbers)
    return Plane(frozenset(images), frozenset(frames))


def on_image(items: Sequence[tuple[Plane, Item]], image: str | None, frame: int | None) -> list[Item]:
    """The items that were drawn on the image that is meant.

    Parameters
    ----------
    items : sequence of (Plane, item)
        What does not say where it was drawn belongs to every image.
    image : str or None
        SOP Instance UID; ``None``: there is only one.
    frame : int or None
        Frame of that image, from 1; ``None``: all are on one.

    Raises
    ------
    CaseError
        ``mask_ambiguous`` or ``frame_unstated`` when there are several and none is stated; ``mask_missing`` or
        ``mask_empty`` when the one stated has none.
    """
    images = frozenset[str]().union(*(plane.images for plane, _ in items))
    if image is None and len(images) > 1:
        raise ambiguous(
            f"annotations of {len(images)} DICOM images", "the image that is meant", "state its SOP Instance UID"
        )
    if image is not None and images and image not in images:
        raise missing(
            f"annotations of {len(images)} other DICOM image(s)",
            "the image stated",
            "state the image's SOP Instance UID as its name, or give the right file",
        )
    kept = [(plane, item) for plane, item in items if image is None or not plane.images or image in plane.images]
    frames = {number for plane, _ in kept for number in plane.frames}
    if frame is None:
        if len({plane.frames for plane, _ in kept if plane.frames}) > 1:
            raise CaseError(
                ExclusionCode.FRAME_UNSTATED,
                f"found annotations of {len(frames)} frames, expected the frame that is meant; state it",
            )
        return [item for _, item in kept]
    chosen = [item for plane, item in kept if not plane.frames or frame in plane.frames]
    if kept and not chosen:
        raise empty(
            f"annotations of {len(frames)} frame(s)", f"one of frame {frame}", "correct the frame, or draw the lesion"
        )
    return chosen
