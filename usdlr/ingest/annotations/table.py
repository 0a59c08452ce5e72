"""A plain CSV table of outline points, one point per row.

The header is required, so that x and y are never guessed:

- ``x`` and ``y``: pixels from the outer corner of the first pixel, columns to the right and rows downwards; or
- ``row`` and ``col`` (or ``column``): indices, where a whole number is the centre of a pixel, as array programs count;
- ``label``: name of the lesion; ``contour``: which outline of that name, where there are several;
- ``reader``: who drew it; ``image``: name of the image, where the table holds several; ``frame``: its frame, from 1.

Other columns are refused: one of them may tell outlines apart. Points are joined in the order of the rows, and the
last with the first. Rows of one reader, label and contour are one outline.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.ingest.annotations.contour import Candidate, Drawn, Part, Shape, missing, unreadable
from usdlr.ingest.annotations.raster import MAX_POINTS, fill_polygon
from usdlr.ingest.annotations.selection import ascii_safe
from usdlr.ingest.annotations.text import Document, rows_by
from usdlr.ingest.annotations.values import image_of, number, require_few_shapes

CENTRE = 0.5
COORDINATES = {("x", "y"): (0, 1, 0.0), ("row", "col"): (1, 0, CENTRE), ("row", "column"): (1, 0, CENTRE)}
WORDS = ("label", "contour", "reader", "image", "frame")

Row = list[str]


def is_point_table(document: Document) -> bool:
    """Whether a table has the columns of an outline."""
    return _coordinates(document) is not None


def read_point_table(document: Document, image_name: str | None, frame: int | None) -> list[Candidate]:
    """The contours of one image of a table of points.

    Parameters
    ----------
    document : Document
        The table.
    image_name : str or None
        Value of the column ``image``; ``None``: there is only one.
    frame : int or None
        Value of the column ``frame``; ``None``: there is only one.
    """
    names = _coordinates(document)
    assert names is not None
    strange = sorted({name.lower() for name in document.columns} - {*names, *WORDS})
    if strange:
        raise unreadable(
            f"a table of points with the columns {', '.join(map(ascii_safe, strange[:5]))}",
            f"{names[0]}, {names[1]} and any of {', '.join(WORDS)}",
            "remove or rename the others",
        )
    at = {name.lower(): position for position, name in enumerate(document.columns)}
    rows = _of_frame(_of_image(document, at, image_name), at, frame)

    def cell(row: Row, name: str) -> str:
        return row[at[name]].strip() if name in at else ""

    outlines: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        outlines.setdefault((cell(row, "reader"), cell(row, "label"), cell(row, "contour")), []).append(row)
    require_few_shapes(len(outlines))
    found = []
    for (reader, label, contour), points in outlines.items():
        aliases = frozenset({contour, f"contour={contour}"}) if contour else frozenset()
        part = _part(points, at, names)
        found.append(Candidate((part,), label or None, reader or None, aliases=aliases))
    return found


def _coordinates(document: Document) -> tuple[str, str] | None:
    columns = {name.lower() for name in document.columns}
    stated = [pair for pair in COORDINATES if set(pair) <= columns]
    if len(stated) > 1:
        raise unreadable("a table of points with two kinds of coordinates", "x and y, or row and col", "remove one")
    return stated[0] if stated else None


def _of_image(document: Document, at: dict[str, int], image_name: str | None) -> list[Row]:
    """Rows of the image that is meant."""
    if "image" not in at:
        rows: list[Row] = document.content
        return rows
    return image_of(rows_by(document, at["image"]), image_name)


def _of_frame(rows: list[Row], at: dict[str, int], frame: int | None) -> list[Row]:
    if "frame" not in at or not rows:
        return rows
    stated = {row[at["frame"]].strip() for row in rows}
    if frame is None:
        if len(stated) > 1:
            raise CaseError(
                ExclusionCode.FRAME_UNSTATED,
                f"found points of {len(stated)} frames, expected the frame that is meant; state it",
            )
        return rows
    chosen = {text for text in stated if number(text) == frame}
    if not chosen:
        raise missing(f"points of {len(stated)} other frames", f"frame {frame}", "correct the frame")
    return [row for row in rows if row[at["frame"]].strip() in chosen]


def _part(points: list[Row], at: dict[str, int], names: tuple[str, str]) -> Part:
    def draw(shape: Shape) -> Drawn:
        x, y, offset = COORDINATES[names]
        if len(points) > MAX_POINTS:
            raise unreadable(f"an outline of {len(points)} points", f"at most {MAX_POINTS}", "export it with fewer")
        across, down = at[names[x]], at[names[y]]
        corners: Any = [[number(row[across]) + offset, number(row[down]) + offset] for row in points]
        return fill_polygon(np.array(corners, dtype=np.float64), shape)

    return draw
