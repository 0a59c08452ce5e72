"""Words on paper: embedded fonts, paragraph styles, and plain text as the page setter wants it.

Imported only when a PDF is written: reportlab belongs to the extra ``report``.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import matplotlib as mpl
from reportlab.lib.colors import HexColor  # type: ignore[import-untyped]  # reportlab publishes no types
from reportlab.lib.enums import TA_RIGHT  # type: ignore[import-untyped]
from reportlab.lib.styles import ParagraphStyle  # type: ignore[import-untyped]
from reportlab.pdfbase import pdfmetrics  # type: ignore[import-untyped]
from reportlab.pdfbase.ttfonts import TTFont  # type: ignore[import-untyped]
from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]
from reportlab.platypus import Paragraph, TableStyle  # type: ignore[import-untyped]

from usdlr.decision.numbers import NBSP
from usdlr.report.style import BLUE, INK, QUIET

SANS, BOLD, MONO = "usdlr-sans", "usdlr-sans-bold", "usdlr-mono"
# The fonts that figures are measured in; they travel with matplotlib, and hold every character of the reports.
_FILES = {SANS: "DejaVuSans.ttf", BOLD: "DejaVuSans-Bold.ttf", MONO: "DejaVuSansMono.ttf"}
# Stands for a character that the fonts do not hold, e.g. of a centre's name in Chinese.
UNKNOWN = "\N{WHITE VERTICAL RECTANGLE}"
# Spaces at which no line may break; the page setter would break at all but one of them.
_TIED_SPACES = re.compile("[\u2007\u2009\u202f]")
# Invisible, and of no use on paper.
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2028-\u202e\u2060\ufeff]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Kind:
    """How one kind of text is set; lengths in points.

    Parameters
    ----------
    size, leading : float
        Of the letters, and from line to line as a multiple of them.
    before, after : float
        Space above and below.
    font, colour : str
        One of the registered fonts; hexadecimal colour.
    """

    size: float
    leading: float = 1.35
    before: float = 0.0
    after: float = 0.0
    font: str = SANS
    colour: str = INK


KINDS = {
    "kind": Kind(7.6, after=2, font=BOLD, colour=BLUE),
    "title": Kind(16.0, 1.2, after=4, font=BOLD),
    "question": Kind(9.6, 1.3, colour=QUIET),
    "lead": Kind(9.0, 1.4, before=9, after=2),
    "section": Kind(12.5, 1.25, before=7, after=5, font=BOLD),
    "folded": Kind(9.4, 1.3, before=6, after=3, font=BOLD),
    "prose": Kind(8.5, 1.42, after=5),
    "point": Kind(8.5, 1.38, after=2.5),
    "caption": Kind(7.8, 1.35, after=3),
    "legend": Kind(7.2, 1.42, before=3, colour=QUIET),
    "note": Kind(6.8, 1.4, before=2.5, colour=QUIET),
    "notice title": Kind(8.6, 1.3, font=BOLD),
    "notice": Kind(8.0, 1.36),
    "tile label": Kind(6.6, 1.3, colour=QUIET),
    "tile value": Kind(14.0, 1.2, font=BOLD),
    "tile detail": Kind(6.2, 1.35, colour=QUIET),
    "picture title": Kind(7.6, 1.3, before=3, font=BOLD),
    "picture": Kind(6.8, 1.4),
    "cell": Kind(7.2, 1.3),
    "head": Kind(7.2, 1.25, font=BOLD),
    "listing": Kind(6.6, 1.4, font=MONO),
    "furniture": Kind(6.4, 1.35, colour=QUIET),
}


@cache
def register_fonts() -> None:
    """Make the embedded fonts known to the page setter."""
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    for name, file in _FILES.items():
        pdfmetrics.registerFont(TTFont(name, str(folder / file)))
    pdfmetrics.registerFontFamily(SANS, normal=SANS, bold=BOLD, italic=SANS, boldItalic=BOLD)
    pdfmetrics.registerFontFamily(BOLD, normal=BOLD, bold=BOLD, italic=BOLD, boldItalic=BOLD)


@cache
def _held() -> frozenset[int]:
    register_fonts()
    return frozenset.intersection(*(frozenset(pdfmetrics.getFont(name).face.charToGlyph) for name in _FILES))


def style(kind: str, *, scale: float = 1.0, size: float | None = None, right: bool = False) -> Any:
    """The page setter's style of one of :data:`KINDS`.

    Parameters
    ----------
    kind : str
        Its name.
    scale : float
        Of all its lengths.
    size : float, optional
        Points of its letters, in place of its own.
    right : bool
        Whether lines end, rather than begin, in one place.
    """
    register_fonts()
    made = KINDS[kind]
    points = (made.size if size is None else size) * scale
    return ParagraphStyle(
        kind,
        fontName=made.font,
        fontSize=points,
        leading=points * made.leading,
        spaceBefore=made.before * scale,
        spaceAfter=made.after * scale,
        textColor=HexColor(made.colour),
        alignment=TA_RIGHT if right else 0,
        splitLongWords=1,
        allowWidows=0,
        allowOrphans=0,
    )


def clean(text: str, *, lines: bool = False) -> str:
    r"""Text that the fonts can show: what they do not hold becomes :data:`UNKNOWN`, per cent signs never begin a line.

    Parameters
    ----------
    text : str
        As somebody wrote it.
    lines : bool
        Keep line breaks; tabulators become four spaces.

    Examples
    --------
    >>> clean("10\u202f000 axillae, 5 %: a\tb")
    '10\xa0000 axillae, 5\xa0%: a b'
    """
    text = unicodedata.normalize("NFC", str(text).replace("\r\n", "\n").replace("\r", "\n"))
    text = text.replace("\t", "    ") if lines else re.sub(r"[\t\n]+", " ", text)
    text = _TIED_SPACES.sub(NBSP, _CONTROL.sub("", _UNSEEN.sub("", text)))
    if not lines:
        text = re.sub(r"(?<=\d) %", f"{NBSP}%", text)
    held = _held()
    return "".join(letter if ord(letter) in held or letter == "\n" else UNKNOWN for letter in text)


def markup(text: str) -> str:
    """Plain text with nothing in it that the page setter would read as a tag."""
    return escape(clean(text))


def linked(text: str, anchor: str) -> str:
    """Plain text as a link to a place in the document."""
    return f'<a href={quoteattr("#" + anchor)} color="{BLUE}">{markup(text)}</a>'


def paragraph(text: str, kind: str, *, scale: float = 1.0) -> Any:
    """Plain text, set."""
    return Paragraph(markup(text), style(kind, scale=scale))


def table_look(commands: Iterable[tuple[Any, ...]]) -> Any:
    """A table's style; without a font of ours it would name one that is not embedded."""
    return TableStyle([("FONTNAME", (0, 0), (-1, -1), SANS), *commands])


@cache
def _nowhere() -> Any:
    """A page that nothing is written on: some flowables want one to measure themselves."""
    return Canvas(io.BytesIO(), initialFontName=SANS)


def height_of(flowables: list[Any], width: float) -> float:
    """Points that flowables take, one under the other, with the space between them."""
    total, after = 0.0, 0.0
    for one in flowables:
        _, height = one.wrapOn(_nowhere(), width, 1e6)
        total += height + max(after, one.getSpaceBefore())
        after = one.getSpaceAfter()
    return total + after
