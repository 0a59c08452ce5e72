"""Pages of a document: the summary first, then contents with page numbers, then every section."""

from __future__ import annotations

import io
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

from reportlab import rl_config  # type: ignore[import-untyped]  # reportlab publishes no types
from reportlab.lib.colors import HexColor  # type: ignore[import-untyped]
from reportlab.lib.pagesizes import A4  # type: ignore[import-untyped]
from reportlab.pdfbase.pdfmetrics import stringWidth  # type: ignore[import-untyped]
from reportlab.platypus import (  # type: ignore[import-untyped]
    Frame,
    HRFlowable,
    PageBreak,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
)

from usdlr.report.document import Document, Notice, Tile
from usdlr.report.pdf_blocks import OWN, Place, Setter
from usdlr.report.pdf_figures import Pages
from usdlr.report.pdf_text import SANS, UNKNOWN, clean, height_of, linked, markup, paragraph, style, table_look
from usdlr.report.style import BLUE, PALE, QUIET, RULE, Drawing

LANGUAGE = "en-GB"
MM = A4[0] / 210
_SIDE, _TOP, _BOTTOM = 17 * MM, 18 * MM, 9 * MM
_GAP = 4 * MM  # between text and footer
_NUMBER = 22 * MM  # room for "page x of y"
_MOST_FOOTER = 0.2  # of the page
# Letters of the first page shrink to these shares, so that it stays one page where it can.
_SHRINK = (1.0, 0.94, 0.88, 0.82)
_PASSES = 5
_TYPICAL_PAGE = 10  # takes as much room as most of the numbers that follow
_TILES = 5
_RED, _AMBER = "#a63603", "#b37400"
# Width of the rule on the left in points, its colour, that of the box: by kind of notice, as on the screen.
_NOTICES = {
    "device": (4.0, QUIET, PALE),
    **dict.fromkeys(("simulated", "proxy", "relative"), (4.0, _AMBER, "#fdf8ec")),
    **dict.fromkeys(("uncertified", "conflict"), (6.0, _RED, "#fdf3ec")),
}
_NOTICE = (4.0, BLUE, "#ffffff")
_GRAVE = ("uncertified", "conflict")
_UNKNOWN_NOTE = f"{UNKNOWN} stands for a character that the fonts of this file do not hold; report.html shows it."


def lay_out(document: Document) -> tuple[bytes, dict[str, Drawing]]:
    """A PDF whose figures are still empty forms, and the drawings that belong into them by the forms' names.

    Page numbers in the contents and at the foot of every page are those of the pass before; it is made again until
    they agree, which is the second time.
    """
    pages: dict[str, int] = {}
    total = 0
    content = b""
    drawings: dict[str, Drawing] = {}
    for _ in range(_PASSES):
        content, found, count, drawings = _once(document, pages, total)
        if (found, count) == (pages, total):
            break
        pages, total = found, count
    return content, drawings


def _once(
    document: Document, pages: Mapping[str, int], total: int
) -> tuple[bytes, dict[str, int], int, dict[str, Drawing]]:
    furniture = _Furniture(document, total)
    found: dict[str, int] = {}
    anchors = [section.anchor for section in document.sections]
    # The first pass is never the last one where pages have numbers.
    guess = {anchor: pages.get(anchor, _TYPICAL_PAGE) for anchor in anchors}
    setter = Setter(furniture.width, furniture.height, guess, found.__setitem__, draft=total == 0)
    story = _front(document, setter)
    if document.sections:
        story += [PageBreak(), *_contents(document, setter)]
    for section in document.sections:
        story += setter.section(section.anchor, section.title, section.blocks)
    if any(UNKNOWN in clean(text) for text in _texts(document)):
        story += [Spacer(1, 12), paragraph(_UNKNOWN_NOTE, "note")]
    stream = io.BytesIO()
    template = Pages(
        stream,
        pagesize=A4,
        pageTemplates=[PageTemplate("page", [furniture.frame()], onPage=furniture.draw)],
        initialFontName=SANS,  # or every page would refer to a font that is not embedded
        lang=LANGUAGE,
        invariant=1,
    )
    with _binary():
        template.build(story)
    return stream.getvalue(), found, template.page, setter.drawings


@contextmanager
def _binary() -> Iterator[None]:
    """Streams as they are, rather than written out in letters, which takes room and most of the time."""
    before = rl_config.useA85
    rl_config.useA85 = 0
    try:
        yield
    finally:
        rl_config.useA85 = before


class _Furniture:
    """What stands on every page around the text."""

    def __init__(self, document: Document, total: int) -> None:
        self.document, self.total = document, total
        self.width = A4[0] - 2 * _SIDE
        self.footer = paragraph(document.footer, "furniture")
        _, self.foot = self.footer.wrap(self.width - _NUMBER, _MOST_FOOTER * A4[1])
        if self.foot > _MOST_FOOTER * A4[1]:
            # The end of it stands on no page then: a page that is all footer would hold nothing else.
            self.footer = self.footer.split(self.width - _NUMBER, _MOST_FOOTER * A4[1])[0]
            _, self.foot = self.footer.wrap(self.width - _NUMBER, _MOST_FOOTER * A4[1])
        self.low = _BOTTOM + self.foot + _GAP
        self.height = A4[1] - _TOP - self.low

    def frame(self) -> Any:
        return Frame(
            _SIDE, self.low, self.width, self.height, leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0
        )

    def draw(self, canvas: Any, template: Any) -> None:
        look, page = style("furniture"), canvas.getPageNumber()
        canvas.saveState()
        canvas.setStrokeColor(HexColor(RULE))
        canvas.setLineWidth(0.5)
        canvas.line(_SIDE, self.low - _GAP / 2, A4[0] - _SIDE, self.low - _GAP / 2)
        self.footer.drawOn(canvas, _SIDE, _BOTTOM)
        canvas.setFont(SANS, look.fontSize)
        canvas.setFillColor(HexColor(QUIET))
        number = f"page {page} of {self.total}"
        canvas.drawRightString(A4[0] - _SIDE, _BOTTOM + self.foot - look.fontSize, number)
        if page > 1:
            head = f"{clean(self.document.kind)}: {clean(self.document.title)}"
            canvas.drawString(_SIDE, A4[1] - 0.62 * _TOP, _fitting(head, look.fontSize, self.width))
        canvas.restoreState()


def _fitting(text: str, size: float, width: float) -> str:
    """As much of a text as one line holds."""
    if stringWidth(text, SANS, size) <= width:
        return text
    fits = bisect_left(range(len(text)), True, key=lambda end: stringWidth(f"{text[:end]} …", SANS, size) > width)
    return f"{text[: max(fits - 1, 0)].rstrip()} …"


def _front(document: Document, setter: Setter) -> list[Any]:
    """The first page, as large as it may be to stay one page; else at its natural size, and on to the next."""
    made = []
    for scale in (*_SHRINK, _SHRINK[0]):
        setter.tables = setter.figures = 0
        setter.drawings.clear()
        made = _front_at(document, setter, scale)
        if height_of(made, setter.width) <= setter.height:
            break
    return made


def _front_at(document: Document, setter: Setter, scale: float) -> list[Any]:
    width = setter.width
    made = [
        Place(f"{OWN}summary", "Summary", 0, setter.place),
        paragraph(document.kind.upper(), "kind", scale=scale),
        paragraph(document.title, "title", scale=scale),
        paragraph(document.question, "question", scale=scale),
        Spacer(1, 5),
        HRFlowable("100%", 0.6, color=HexColor(RULE), spaceBefore=0, spaceAfter=0),
        paragraph(document.summary, "lead", scale=scale),
    ]
    made += [
        part
        for first in range(0, len(document.tiles), _TILES)
        for part in _tiles(document.tiles[first : first + _TILES], width, scale)
    ]
    for notice in document.notices:
        made += [Spacer(1, 5 * scale), _notice(notice, width, scale)]
    made.append(Spacer(1, 6 * scale))
    made += [one for piece in setter.blocks(document.opening, scale) for one in piece.flowables]
    return made


def _tiles(tiles: tuple[Tile, ...], width: float, scale: float) -> list[Any]:
    gap = 5.0
    unit = (width - (_TILES - 1) * gap) / _TILES
    rows: list[list[Any]] = [[], [], []]
    for place, tile in enumerate(tiles):
        words = ((tile.label, "tile label"), (tile.value, "tile value"), (tile.detail, "tile detail"))
        for row, (text, kind) in zip(rows, words, strict=True):
            row += [*([""] if place else []), paragraph(text, kind, scale=scale)]
    widths = [gap if at % 2 else unit for at in range(len(rows[0]))]
    look: list[tuple[Any, ...]] = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 5),
        ("RIGHTPADDING", (0, 0), (-1, -1), 4),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("TOPPADDING", (0, 0), (-1, 0), 5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
        ("BOTTOMPADDING", (0, -1), (-1, -1), 5),
    ]
    for at in range(0, len(widths), 2):
        look += [("BACKGROUND", (at, 0), (at, -1), HexColor(PALE)), ("LINEABOVE", (at, 0), (at, 0), 2, HexColor(BLUE))]
    return [Spacer(1, 7 * scale), Table(rows, widths, style=table_look(look), hAlign="LEFT", splitInRow=1)]


def _notice(notice: Notice, width: float, scale: float) -> Any:
    wide, colour, ground = _NOTICES.get(notice.kind, _NOTICE)
    title = style("notice title", scale=scale)
    if notice.kind in _GRAVE:
        title.textColor = HexColor(_RED)
    words = [Paragraph(markup(notice.title), title), paragraph(notice.text, "notice", scale=scale)]
    weight, line = (1.0, _RED) if notice.kind in _GRAVE else (0.5, RULE)
    look = [
        ("BACKGROUND", (0, 0), (0, -1), HexColor(colour)),
        ("BACKGROUND", (1, 0), (1, -1), HexColor(ground)),
        ("BOX", (0, 0), (-1, -1), weight, HexColor(line)),
        ("LEFTPADDING", (0, 0), (-1, -1), 7),
        ("RIGHTPADDING", (0, 0), (-1, -1), 7),
        ("TOPPADDING", (0, 0), (-1, 0), 4 * scale),
        ("TOPPADDING", (0, 1), (-1, -1), 1),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 0),
        ("BOTTOMPADDING", (0, -1), (-1, -1), 5 * scale),
    ]
    return Table(
        [["", one] for one in words], [wide, width - wide], style=table_look(look), hAlign="LEFT", splitInRow=1
    )


def _contents(document: Document, setter: Setter) -> list[Any]:
    look, number = style("prose"), style("prose", right=True)
    rows = [
        [
            Paragraph(linked(section.title, section.anchor), look),
            Paragraph(str(setter.pages[section.anchor]), number),
        ]
        for section in document.sections
    ]
    across = [setter.width - 40, 40]
    table = table_look(
        [
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("RIGHTPADDING", (0, 0), (-1, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 0),
            ("LINEBELOW", (0, 0), (-1, -1), 0.4, HexColor(RULE)),
        ]
    )
    return [
        Place(f"{OWN}contents", "Contents", 0, setter.place),
        paragraph("Contents", "section"),
        Table(rows, across, style=table, hAlign="LEFT", splitInRow=1),
        Spacer(1, 12),
    ]


def _texts(part: object) -> Iterator[str]:
    """Every text of a document, without the insides of its figures."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, Drawing):
        yield from (part.title, part.caption)
    elif isinstance(part, tuple):
        for one in part:
            yield from _texts(one)
    elif is_dataclass(part):
        for one in fields(part):
            yield from _texts(getattr(part, one.name))
