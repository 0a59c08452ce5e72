"""What the picture viewer in the browser gets: sizes, millimetres, outlines and addresses of one axilla's images."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from usdlr.core.modalities import BMODE, ELASTO, MODALITIES
from usdlr.review.pictures import colour_stops
from usdlr.review.records import ImageRecord, Point
from usdlr.review.web.showing import scale_words
from usdlr.review.words import mm_text


def viewer_data(
    images: Sequence[ImageRecord], explanation: Mapping[str, Any] | None, token: str, version: int
) -> dict[str, Any]:
    """Plain data for ``viewer.js``.

    Parameters
    ----------
    images : sequence of ImageRecord
        With the outlines that count now.
    explanation : mapping or None
        As kept; ``None`` where its maps must not be seen or there are none.
    token : str
        Of the axilla.
    version : int
        Of the axilla, so that a map is never taken from an earlier answer.

    Returns
    -------
    dict
        ``images``, each with ``token number rows columns row_mm col_mm scale_words contour ring calipers
        caliper_words unit limit colours panes heat``; points are rows and columns in pixels.
    """
    maps = [] if explanation is None else list(explanation.get("maps", ()))
    return {"images": [_image(image, maps, token, version) for image in images]}


def viewer_json(data: Mapping[str, Any]) -> str:
    """The data as text for an attribute; numbers that are none are refused."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


def _image(image: ImageRecord, maps: Sequence[Mapping[str, Any]], token: str, version: int) -> dict[str, Any]:
    grey = f"/pictures/{image.token}/bmode"
    panes = [{"kind": BMODE, "title": _title(BMODE), "grey": grey, "overlay": None}]
    panes += [
        {
            "kind": kind,
            "title": f"{_title(kind)}{_unit(image)}",
            "grey": grey,
            "overlay": f"/pictures/{image.token}/{kind}",
        }
        for kind in image.modalities
        if kind == ELASTO and image.paths.get(kind) and image.limit is not None
    ]
    kinds = {pane["kind"] for pane in panes}
    heat = [
        {
            "title": f"{_title(one['modality'])}, {str(one['stage']).upper()}",
            "kind": one["modality"],
            "address": f"/axillae/{token}/maps/{one['picture']}?v={version}",
        }
        for one in maps
        if one["image"] == image.token and one["modality"] in kinds
    ]
    return {
        "token": image.token,
        "number": image.number,
        "rows": image.rows,
        "columns": image.columns,
        "row_mm": image.row_mm,
        "col_mm": image.col_mm,
        "scale_words": scale_words(image),
        "contour": _outlines(image.contour),
        "ring": _outlines(image.ring),
        "calipers": _outlines(image.calipers),
        "caliper_words": caliper_words(image),
        "unit": image.unit,
        "limit": image.limit,
        "colours": list(colour_stops()) if ELASTO in kinds else [],
        "panes": panes,
        "heat": heat,
    }


def caliper_words(image: ImageRecord) -> list[str]:
    """Lengths of an image's calipers, printed; empty texts without millimetres.

    Parameters
    ----------
    image : ImageRecord
        With its calipers.
    """
    words = []
    for line in image.calipers:
        if image.row_mm is None or image.col_mm is None or len(line) != 2:
            words.append("")
            continue
        (top, left), (bottom, right) = line
        words.append(mm_text(math.hypot((top - bottom) * image.row_mm, (left - right) * image.col_mm)))
    return words


def _title(kind: str) -> str:
    title = MODALITIES[kind].title
    return f"{title[:1].upper()}{title[1:]}"


def _unit(image: ImageRecord) -> str:
    return f" ({image.unit})" if image.unit else ""


def _outlines(lines: Sequence[Sequence[Point]]) -> list[list[list[float]]]:
    return [[[round(row, 3), round(col, 3)] for row, col in points] for points in lines]
