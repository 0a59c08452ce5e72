"""What a page is made of, whatever it is written to: HTML for the screen, PDF for the file cabinet.

Texts are plain; who renders them escapes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from usdlr.report.style import Drawing


@dataclass(frozen=True)
class PageTable:
    """One table of a page.

    Parameters
    ----------
    caption : str
        What it holds, with the marks of the cohort.
    head : tuple of str
        Column headings.
    rows : tuple of tuple of str
        Cells; the first names the row.
    notes : tuple of str
        Methods and n, printed underneath.
    texts : tuple of int
        Positions of the columns that hold words rather than figures; the first always does.
    """

    kind: ClassVar[str] = "table"
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    texts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Prose:
    """Paragraphs.

    Parameters
    ----------
    lines : tuple of str
        One per paragraph.
    """

    kind: ClassVar[str] = "prose"
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Points:
    """A list of short sentences.

    Parameters
    ----------
    lines : tuple of str
        One per point.
    """

    kind: ClassVar[str] = "points"
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Meanings:
    """Words and what they mean.

    Parameters
    ----------
    pairs : tuple of (str, str)
        Word and meaning.
    """

    kind: ClassVar[str] = "meanings"
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Figure:
    """A drawing among the blocks of a section; its number is given by whoever renders the page."""

    kind: ClassVar[str] = "figure"
    drawing: Drawing


@dataclass(frozen=True)
class Picture:
    """One picture of a gallery.

    Parameters
    ----------
    title : str
        Case number with the marks of the cohort.
    png : bytes
        The picture.
    alternative : str
        What it shows, for those who cannot see it.
    lines : tuple of (str, str)
        Label and value underneath.
    wide : bool
        Whether several pictures stand side by side in it.
    """

    title: str
    png: bytes
    alternative: str
    lines: tuple[tuple[str, str], ...]
    wide: bool


@dataclass(frozen=True)
class Gallery:
    """Pictures in a grid.

    Parameters
    ----------
    pictures : tuple of Picture
        In their order.
    wide : bool
        One picture to a row.
    """

    kind: ClassVar[str] = "gallery"
    pictures: tuple[Picture, ...]
    wide: bool = False


@dataclass(frozen=True)
class Links:
    """Items of a checklist, each with the place in the page that answers it.

    Parameters
    ----------
    caption : str
        Name of the checklist and how it is read.
    rows : tuple of LinkRow
        In the checklist's order.
    notes : tuple of str
        Printed underneath.
    """

    kind: ClassVar[str] = "links"
    caption: str
    rows: tuple[LinkRow, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LinkRow:
    """One item of a checklist.

    Parameters
    ----------
    number : str
        As the checklist counts, e.g. ``"12c"``.
    item : str
        What is to be reported.
    answer : str
        Where it stands, or what the author has to fill in.
    anchor : str
        Of the section that answers it; empty where none does.
    """

    number: str
    item: str
    answer: str
    anchor: str = ""


@dataclass(frozen=True)
class Listing:
    """Text as it is written in a file.

    Parameters
    ----------
    text : str
        With its line breaks.
    """

    kind: ClassVar[str] = "listing"
    text: str


@dataclass(frozen=True)
class Folded:
    """Blocks that stay folded on a screen until somebody asks for them; on paper they stand open.

    Parameters
    ----------
    title : str
        What unfolds.
    blocks : tuple of blocks
        What is inside.
    """

    kind: ClassVar[str] = "folded"
    title: str
    blocks: tuple[Block, ...]


Block = Prose | Points | Meanings | PageTable | Figure | Gallery | Links | Listing | Folded


@dataclass(frozen=True)
class Section:
    """A part of a page with a heading of its own.

    Parameters
    ----------
    anchor : str
        Where links lead, unique within the page.
    word : str
        Its word in the table of contents.
    title : str
        Heading.
    blocks : tuple of blocks
        In their order.
    """

    anchor: str
    word: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Tile:
    """One headline number.

    Parameters
    ----------
    label : str
        What was measured.
    value : str
        The number.
    detail : str
        Interval and n.
    """

    label: str
    value: str
    detail: str


@dataclass(frozen=True)
class Notice:
    """A warning in a box of its own.

    Parameters
    ----------
    kind : str
        ``device``, ``simulated``, ``proxy``, ``relative``, ``uncertified`` or ``conflict``; the page styles it by this
        word.
    title, text : str
        Heading and sentences.
    """

    kind: str
    title: str
    text: str


@dataclass(frozen=True)
class Document:
    """A whole page: its first printed page is head, tiles, notices and opening; every section follows.

    Parameters
    ----------
    kind : str
        Word above the title, e.g. ``"Study report"``.
    title : str
        Name of the experiment, with the marks of the cohort.
    question : str
        The question that it answers.
    summary : str
        All of it in one paragraph, main numbers first.
    tiles : tuple of Tile
        Headline numbers.
    notices : tuple of Notice
        Warnings, the gravest first.
    opening : tuple of blocks
        What else the first page says.
    sections : tuple of Section
        In their order; empty ones are not among them.
    footer : str
        The last line of every page.
    """

    kind: str
    title: str
    question: str
    summary: str
    tiles: tuple[Tile, ...]
    notices: tuple[Notice, ...]
    opening: tuple[Block, ...]
    sections: tuple[Section, ...]
    footer: str

    def blocks(self) -> Iterator[Block]:
        """Every block of the page, those inside folded ones too."""
        yield from _unfolded(self.opening)
        for section in self.sections:
            yield from _unfolded(section.blocks)


def _unfolded(blocks: tuple[Block, ...]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Folded):
            yield from _unfolded(block.blocks)
