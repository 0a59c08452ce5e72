"""Values of annotation files, checked one by one: what is no finite number, no text, no list is refused."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, TypeVar

import numpy as np

from usdlr.imaging.image import require_same_grid
from usdlr.ingest.annotations.contour import Shape, ambiguous, missing, unreadable
from usdlr.ingest.annotations.raster import MAX_POINTS, FloatPoints

Item = TypeVar("Item")

MAX_SHAPES = 10_000
# Words by which formats without readers of their own say who drew a shape.
READER_KEYS = ("reader", "reader_id", "annotator", "annotator_id", "rater")
LABEL_KEYS = ("label", "name", "class", "category", "lesion", "type")


def number(value: Any) -> float:
    """A finite number, from a number or from text.

    Raises
    ------
    CaseError
        If it is anything else; truth values are no numbers.
    """
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            # Underscores between digits are Python's own and no notation of these files.
            result = float(value) if not isinstance(value, str) or "_" not in value else math.nan
        except (ValueError, OverflowError):
            result = math.nan
        if math.isfinite(result):
            return result
    raise unreadable("a coordinate that is no finite number", "pixels", "export the outline again")


def pairs(values: Any) -> FloatPoints:
    """Points from a list of [x, y].

    Returns
    -------
    float array, (points, 2)
    """
    points = sequence(values)
    _require_few(len(points))
    if not all(isinstance(point, Sequence) and not isinstance(point, str) and len(point) == 2 for point in points):
        raise unreadable("points without two coordinates", "x and y of each", "export the outline again")
    return np.array([[number(x), number(y)] for x, y in points], dtype=np.float64).reshape(-1, 2)


def flat_pairs(values: Any) -> FloatPoints:
    """Points from a list x, y, x, y ...

    Returns
    -------
    float array, (points, 2)
    """
    coordinates = sequence(values)
    _require_few(len(coordinates) // 2)
    if len(coordinates) % 2:
        raise unreadable(f"{len(coordinates)} coordinates", "pairs of x and y", "export the outline again")
    return np.array([number(value) for value in coordinates], dtype=np.float64).reshape(-1, 2)


def paired(xs: Any, ys: Any) -> FloatPoints:
    """Points from a list of x and one of y.

    Returns
    -------
    float array, (points, 2)
    """
    across, down = sequence(xs), sequence(ys)
    _require_few(len(across))
    if len(across) != len(down):
        raise unreadable(f"{len(across)} x and {len(down)} y", "as many of both", "export the outline again")
    return np.array([[number(x), number(y)] for x, y in zip(across, down, strict=True)]).reshape(-1, 2)


def _require_few(points: int) -> None:
    if points > MAX_POINTS:
        raise unreadable(f"an outline of {points} points", f"at most {MAX_POINTS}", "export it with fewer")


def sequence(value: Any) -> list[Any]:
    """A list, or the refusal of anything else."""
    if not isinstance(value, list):
        raise unreadable("a value that is no list", "a list, as the format says", "export the file again")
    return value


def require_few_shapes(count: int) -> None:
    """Refuse more shapes on one image than anybody draws.

    Raises
    ------
    CaseError
        With the code ``mask_unreadable``.
    """
    if count > MAX_SHAPES:
        raise unreadable(f"{count} shapes on one image", f"at most {MAX_SHAPES}", "give the file of the contours alone")


def mapping(value: Any) -> dict[str, Any]:
    """A JSON object, or the refusal of anything else."""
    if not isinstance(value, dict):
        raise unreadable("a value that is no object", "an object, as the format says", "export the file again")
    return value


def word(value: Any) -> str | None:
    """Text or a whole number as text; ``None`` where there is none."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    try:
        return str(value).strip() or None
    except ValueError:  # a whole number of thousands of digits
        return None


def reader_of(values: Mapping[str, Any]) -> str | None:
    """Who drew a shape, from its attributes."""
    lowered = {str(key).strip().lower(): value for key, value in values.items()}
    return next((name for key in READER_KEYS if (name := word(lowered.get(key))) is not None), None)


def label_of(values: Mapping[str, Any]) -> str | None:
    """A shape's label from free attributes: the first of the usual names, else the only attribute, else all of them."""
    texts = {str(key).strip(): text for key, value in values.items() if (text := choice(value)) is not None}
    texts = {key: text for key, text in texts.items() if key.lower() not in READER_KEYS}
    lowered = {key.lower(): text for key, text in texts.items()}
    usual = next((lowered[key] for key in LABEL_KEYS if key in lowered), None)
    if usual is not None or not texts:
        return usual
    if len(texts) == 1:
        return next(iter(texts.values()))
    return " ".join(f"{key}={text}" for key, text in sorted(texts.items()))


def choice(value: Any) -> str | None:
    """An attribute's text; of check boxes, those that are set."""
    if isinstance(value, dict):
        return "+".join(sorted(str(key) for key, chosen in value.items() if chosen in (True, "true"))) or None
    return word(value)


def same_name(name: Any, wanted: str) -> bool:
    """Whether two file names mean one file: folders before the name do not count, nor does the kind of slash."""
    return isinstance(name, str) and _bare(name) == _bare(wanted)


def _bare(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name


def image_of(images: Sequence[tuple[Any, Item]], wanted: str | None) -> Item:
    """The one image that is meant, of (file name, image) pairs.

    Raises
    ------
    CaseError
        ``mask_ambiguous`` when there are several and none is named, ``mask_missing`` when the one named is not there.
    """
    # An exact name comes before one that differs by its folders.
    chosen = [image for name, image in images if wanted is None or name == wanted]
    chosen = chosen or [image for name, image in images if wanted is not None and same_name(name, wanted)]
    if len(chosen) > 1:
        raise ambiguous(
            f"annotations of {len(chosen)} images {'in one file' if wanted is None else 'of the name stated'}",
            "the name of the one that is meant",
            "state the image's name, as the file writes it, in the export's table",
        )
    if not chosen:
        raise missing(
            f"annotations of {len(images)} other images",
            "the image stated",
            "state the image's name as the file writes it, or give the right file",
        )
    return chosen[0]


def require_stated_size(rows: Any, cols: Any, shape: Shape) -> None:
    """Refuse annotations of an image of another size, where the file states it.

    Raises
    ------
    CaseError
        ``mask_size_mismatch``, with both sizes.
    """
    if rows is None or cols is None:
        return
    height, width = number(rows), number(cols)
    if not (height.is_integer() and width.is_integer()):
        raise unreadable("an image size that is no whole number", "rows and columns", "export the file again")
    require_same_grid(shape, (int(height), int(width)), "contour grid")
