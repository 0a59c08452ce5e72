"""The blocks of a page on paper: each becomes flowables that the page setter places one under the other."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from textwrap import shorten
from typing import Any

from PIL import Image as Pixels
from reportlab.lib.colors import HexColor  # type: ignore[import-untyped]  # reportlab publishes no types
from reportlab.pdfbase.pdfmetrics import stringWidth  # type: ignore[import-untyped]
from reportlab.platypus import (  # type: ignore[import-untyped]
    CondPageBreak,
    Flowable,
    Image,
    Paragraph,
    Preformatted,
    Spacer,
    Table,
)

from usdlr.report.document import (
    Block,
    Figure,
    Folded,
    Gallery,
    Links,
    Listing,
    Meanings,
    PageTable,
    Picture,
    Points,
    Prose,
)
from usdlr.report.pdf_figures import LEAST_SCALE, Floating, Placeholder, Whole
from usdlr.report.pdf_tables import links_table, page_table
from usdlr.report.pdf_text import BOLD, MONO, clean, height_of, markup, paragraph, style, table_look
from usdlr.report.style import RULE, Drawing

# Names of places that no section's anchor can have.
OWN = "usdlr:"
_OUTLINE_LETTERS = 110
_COLUMNS, _GUTTER = 3, 8.0
_PICTURE_HEIGHT, _WIDE_PICTURE_HEIGHT = 170.0, 260.0
_APART = 9.0  # points around tables and figures
_WHOLE_SHARE = 0.5  # of a page: a lower table stays on one page
_LEGEND_SHARE = 0.45  # of a page: a longer caption goes on on the next one


@dataclass(frozen=True)
class Piece:
    """Flowables that belong together.

    Parameters
    ----------
    flowables : list
        In their order.
    least : float
        Points that their beginning needs on a page.
    floats : bool
        Whether what follows may go before it where it does not fit.
    """

    flowables: list[Any]
    least: float
    floats: bool = False


@dataclass
class Setter:
    """Makes flowables of blocks, and counts tables and figures as it goes.

    Parameters
    ----------
    width, height : float
        Of the part of a page that holds text, in points.
    pages : mapping of str to int
        Page of each of the document's sections, by its anchor.
    place : callable
        Called with the name of a place and its page number as pages are made.
    draft : bool
        Leave pictures empty: only the places of things are asked for.
    tables, figures : int
        How many were set so far.
    drawings : dict of str to Drawing
        By the name under which the page refers to them.
    """

    width: float
    height: float
    pages: Mapping[str, int]
    place: Callable[[str, int], None]
    draft: bool = False
    tables: int = 0
    figures: int = 0
    drawings: dict[str, Drawing] = field(default_factory=dict)

    def blocks(self, blocks: Iterable[Block], scale: float = 1.0) -> Iterator[Piece]:
        """Every block as a piece; ``scale`` is that of running text."""
        for block in blocks:
            yield from self._block(block, scale)

    def section(self, anchor: str, title: str, blocks: Iterable[Block]) -> list[Any]:
        """A heading, never alone at the foot of a page, and what follows it."""
        return self._headed(Place(anchor, title, 0, self.place), paragraph(title, "section"), blocks)

    def _headed(self, place: Place, heading: Any, blocks: Iterable[Block], scale: float = 1.0) -> list[Any]:
        pieces = list(self.blocks(blocks, scale))
        least = pieces[0].least if pieces else 0.0
        if len(pieces) > 1 and pieces[0].floats:
            least = min(least, pieces[1].least + 3 * _APART)  # the space around both
        least += height_of([heading], self.width)
        flowables = [one for piece in pieces for one in piece.flowables]
        return [CondPageBreak(min(least, self.height)), place, heading, *flowables]

    def _block(self, block: Block, scale: float) -> Iterator[Piece]:
        if isinstance(block, Prose):
            yield from (self._lines(paragraph(line, "prose", scale=scale)) for line in block.lines)
        elif isinstance(block, Points):
            yield from (self._lines(point) for point in _points(block, scale))
        elif isinstance(block, Meanings):
            yield from self._meanings(block)
        elif isinstance(block, PageTable | Links):
            yield self._table(block)
        elif isinstance(block, Figure):
            yield self._figure(block.drawing)
        elif isinstance(block, Gallery):
            yield from self._gallery(block)
        elif isinstance(block, Listing):
            yield self._lines(_listing(block, self.width))
        else:
            yield self._folded(block, scale)

    def _lines(self, text: Any) -> Piece:
        """Something that a page may end within, but not within its first three lines."""
        return Piece([text], min(height_of([text], self.width), 3 * text.style.leading + text.getSpaceBefore()))

    def _folded(self, block: Folded, scale: float) -> Piece:
        place = Place("", block.title, 1, self.place)
        flowables = self._headed(place, paragraph(block.title, "folded", scale=scale), block.blocks, scale)
        return Piece(flowables, flowables[0].height)

    def _meanings(self, block: Meanings) -> Iterator[Piece]:
        if not block.pairs:
            return
        size = style("prose").fontSize
        words = max(stringWidth(clean(word), BOLD, size) for word, _ in block.pairs)
        wide = min(words + 10, 0.35 * self.width)
        cells = []
        for word, meaning in block.pairs:
            cells.append([Paragraph(f"<b>{markup(word)}</b>", style("prose")), paragraph(meaning, "prose")])
        look = table_look(
            [
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (-1, -1), 0),
                ("RIGHTPADDING", (0, 0), (0, -1), 8),
                ("RIGHTPADDING", (1, 0), (1, -1), 0),
                ("TOPPADDING", (0, 0), (-1, -1), 0),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
            ]
        )
        for place, row in enumerate(cells):
            table = Table([row], [wide, self.width - wide], style=look, hAlign="LEFT", splitInRow=1)
            table.spaceBefore = 4 if place == 0 else 0
            yield Piece([table], min(height_of([table], self.width), self.height))

    def _table(self, block: PageTable | Links) -> Piece:
        self.tables += 1
        label = f"Table {self.tables}"
        caption = Paragraph(f"<b>{label}.</b> {markup(block.caption)}", style("caption"))
        caption.spaceBefore = _APART
        if isinstance(block, Links):
            rows, least = links_table(block, self.pages, self.width, self.height)
        else:
            rows, least = page_table(block, self.width, self.height)
        least = min(least + height_of([caption], self.width), self.height)
        place = Place(f"{OWN}table-{self.tables}", f"{label}. {block.caption}", 1, self.place)
        notes = " ".join(note if note.endswith(".") else f"{note}." for note in block.notes)
        parts = [place, caption, *rows, *([paragraph(notes, "note")] if notes else [])]
        if height_of(parts, self.width) < _WHOLE_SHARE * self.height:
            least = height_of(parts, self.width)
            parts = [Whole(parts)]
        return Piece([CondPageBreak(least), *parts, Spacer(1, _APART)], least)

    def _figure(self, drawing: Drawing) -> Piece:
        self.figures += 1
        label = f"Figure {self.figures}"
        name = f"figure-{self.figures}"
        self.drawings[name] = drawing
        words = f"<b>{label}. {markup(drawing.title)}.</b> {markup(drawing.caption)}"
        legend = Paragraph(words, style("legend"))
        under = min(height_of([legend], self.width), _LEGEND_SHARE * self.height)
        across, down = (72.0 * inches for inches in drawing.size_in)
        scale = min(self.width / across, (self.height - under - 2 * _APART - 2) / down, 1.0)
        painted = Placeholder(name, across, down, scale)
        place = Place(f"{OWN}{name}", f"{label}. {drawing.title}", 1, self.place)
        whole = Floating(place, painted, legend)
        if whole.needed(self.width) < self.height - _APART:
            least = whole.needed(self.width, LEAST_SCALE) + 2 * _APART
            return Piece([Spacer(1, _APART), whole, Spacer(1, _APART)], least, floats=True)
        least = min(painted.height + under + _APART, self.height)
        return Piece([CondPageBreak(least), place, painted, legend, Spacer(1, _APART)], least)

    def _gallery(self, block: Gallery) -> Iterator[Piece]:
        columns = 1 if block.wide else _COLUMNS
        rows: list[list[tuple[Picture, int]]] = []
        room = 0
        for picture in block.pictures:
            taken = 2 if picture.wide and not block.wide else 1
            if taken > room:
                rows.append([])
                room = columns
            rows[-1].append((picture, taken))
            room -= taken
        unit = (self.width - (columns - 1) * _GUTTER) / columns
        for row in rows:
            widths = [taken * unit + (taken - 1) * _GUTTER for _, taken in row]
            most = _WIDE_PICTURE_HEIGHT if block.wide else _PICTURE_HEIGHT
            cells = [
                _picture(picture, wide, most, draft=self.draft) for (picture, _), wide in zip(row, widths, strict=True)
            ]
            table = _side_by_side(cells, widths)
            height = height_of([table], self.width)
            # More words under a picture than a page holds: one under the other, and broken where the page ends.
            flowables = [table] if height < self.height else [one for cell in cells for one in cell]
            yield Piece([*flowables, Spacer(1, _APART)], min(height, self.height))


class Place(Flowable):  # type: ignore[misc]  # reportlab publishes no types
    """Something of no height that links and the outline lead to.

    Parameters
    ----------
    name : str
        Of the place; empty: made from the page and the height on it.
    title : str
        Its line in the outline.
    level : int
        0 for a section, 1 for what stands in one.
    seen : callable
        Called with name and page number when the place has got its page.
    """

    def __init__(self, name: str, title: str, level: int, seen: Callable[[str, int], None]) -> None:
        super().__init__()
        self.name, self.title, self.level, self.seen = name, title, level, seen
        self.width = self.height = 0.0

    def wrap(self, _width: float, _height: float) -> tuple[float, float]:
        """No size."""
        return 0.0, 0.0

    def draw(self) -> None:
        """Set the mark."""
        page = self.canv.getPageNumber()
        top = self.canv.absolutePosition(0, 0)[1]
        name = self.name or f"{OWN}{page}-{top:.1f}"
        self.canv.bookmarkPage(name, fit="XYZ", left=0, top=top + 6)
        words = shorten(clean(self.title), _OUTLINE_LETTERS, placeholder=" …")
        self.canv.addOutlineEntry(words, name, self.level, closed=self.level == 0)
        self.seen(name, page)


def _points(block: Points, scale: float) -> Iterator[Any]:
    look = style("point", scale=scale)
    look.leftIndent, look.bulletIndent = 12, 2
    look.bulletFontName, look.bulletFontSize = look.fontName, look.fontSize
    for line in block.lines:
        yield Paragraph(markup(line), look, bulletText="\N{BULLET}")


def _listing(block: Listing, width: float) -> Any:
    look = style("listing")
    letters = int(width / stringWidth("0", MONO, look.fontSize))
    return Preformatted(clean(block.text, lines=True), look, maxLineLength=letters, newLineChars="")


def _picture(picture: Picture, width: float, most: float, *, draft: bool) -> list[Any]:
    with Pixels.open(io.BytesIO(picture.png)) as opened:
        scale = min((width - 10) / opened.width, most / opened.height)
        size = scale * opened.width, scale * opened.height
        image = Spacer(*size) if draft else Image(_opaque(opened), *size, hAlign="CENTER")
    lines = [Paragraph(f"{markup(label)}: <b>{markup(value)}</b>", style("picture")) for label, value in picture.lines]
    return [image, paragraph(picture.title, "picture title"), *lines]


def _opaque(picture: Pixels.Image) -> io.BytesIO:
    flat = Pixels.new("RGB", picture.size, "white")
    flat.paste(picture, mask=picture.getchannel("A") if picture.mode == "RGBA" else None)
    stream = io.BytesIO()
    flat.save(stream, format="png")
    return stream


def _side_by_side(cells: list[list[Any]], widths: list[float]) -> Any:
    row: list[Any] = []
    across: list[float] = []
    for cell, wide in zip(cells, widths, strict=True):
        row += [*([""] if row else []), cell]
        across += [*([_GUTTER] if across else []), wide]
    framed = range(0, len(row), 2)
    look = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 5),
        ("RIGHTPADDING", (0, 0), (-1, -1), 5),
        ("TOPPADDING", (0, 0), (-1, -1), 5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 5),
        *(("BOX", (at, 0), (at, 0), 0.5, HexColor(RULE)) for at in framed),
    ]
    return Table([row], across, style=table_look(look), hAlign="LEFT")
