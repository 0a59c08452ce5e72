"""What stands where in a PDF, by pypdf and FreeType."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
from PIL import ImageFont
from pypdf import PageObject, PdfReader
from pypdf.generic import ArrayObject, DictionaryObject

A4_PT = (595.276, 841.890)
MARGIN_PT = 40.0


def squeezed(text: str) -> str:
    """Without white space: where lines break is the page setter's own affair."""
    return re.sub(r"\s+", "", text)


def text_of(reader: PdfReader) -> str:
    return squeezed("".join(page.extract_text() for page in reader.pages))


def dictionaries(node: Any, seen: set[int]) -> Iterator[dict[str, Any]]:
    """Every dictionary below a page's resources."""
    found = node.get_object() if hasattr(node, "get_object") else node
    if id(found) in seen:
        return
    seen.add(id(found))
    if isinstance(found, dict):
        yield found
        for value in found.values():
            yield from dictionaries(value, seen)
    elif isinstance(found, list):
        for value in found:
            yield from dictionaries(value, seen)


def resources(page: PageObject) -> list[dict[str, Any]]:
    return list(dictionaries(page["/Resources"], set()))


@cache
def measured(name: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", 100)


@dataclass
class Seen:
    """Text of a page, and where its lines and figures end, in points from the lower left corner."""

    text: str
    lines: list[tuple[str, float, float, float]]
    figures: list[tuple[float, float, float, float]]

    @property
    def inside(self) -> bool:
        return all(
            left >= MARGIN_PT and right <= A4_PT[0] - MARGIN_PT and 20 < y < A4_PT[1] - 20
            for _, left, right, y in self.lines
        )


def look(page: PageObject) -> Seen:
    """Reads a page; lines are measured with FreeType. Figures are forms with lines of their own, which do not count."""
    seen = Seen("", [], [])
    forms = cast(DictionaryObject, cast(DictionaryObject, page["/Resources"]).get("/XObject", DictionaryObject()))

    def visit(text: str, cm: list[float], tm: list[float], font: dict[str, Any] | None, size: float | None) -> None:
        if not text.strip() or font is None or size is None or font["/Subtype"] != "/TrueType":
            return
        name = str(font["/BaseFont"]).rpartition("+")[2]
        x, y = tm[4] * cm[0] + tm[5] * cm[2] + cm[4], tm[4] * cm[1] + tm[5] * cm[3] + cm[5]
        scale = (tm[0] ** 2 + tm[1] ** 2) ** 0.5 * (cm[0] ** 2 + cm[1] ** 2) ** 0.5
        for line in text.strip("\n").split("\n"):
            seen.lines.append((line, x, x + measured(name).getlength(line.strip()) * size * scale / 100, y))

    def operand(operator: bytes, operands: list[Any], cm: list[float], _tm: list[float]) -> None:
        if operator == b"Do" and str(operands[0]) in forms:
            form = cast(DictionaryObject, forms[operands[0]])
            if str(form["/Subtype"]) == "/Form":
                _, _, wide, high = map(float, cast(ArrayObject, form["/BBox"]))
                seen.figures.append((cm[4], cm[5], cm[4] + cm[0] * wide, cm[5] + cm[3] * high))

    seen.text = page.extract_text(visitor_text=visit, visitor_operand_before=operand)
    return seen
