"""Tables on paper: inside the margins whatever they hold, and over as many pages as they need."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from reportlab.lib.colors import HexColor  # type: ignore[import-untyped]  # reportlab publishes no types
from reportlab.pdfbase.pdfmetrics import stringWidth  # type: ignore[import-untyped]
from reportlab.platypus import Paragraph, Spacer, Table  # type: ignore[import-untyped]

from usdlr.decision.numbers import NBSP
from usdlr.report.document import Links, PageTable
from usdlr.report.pdf_text import BOLD, SANS, clean, height_of, linked, markup, paragraph, style, table_look
from usdlr.report.style import INK

LINKS_HEAD = ("Item", "What is to be reported", "Where it stands")
# Letters in points, the size that is tried first before others. Below the last, words are broken instead.
SIZES = (7.2, 6.7, 6.2, 5.8, 5.4)
_READABLE = 3  # of the sizes: as small as letters get so that a number stands on one line with its interval
_SIDE, _TOP = 3.0, 2.6  # points between a cell's text and its borders
# A page holds no more columns of legible letters, the one that names the rows among them.
MOST_COLUMNS = 14
_BETWEEN = 6.0  # points between the parts of such a table
_ROW_RULE = "#e6e8eb"
# A column of words is not made wider on account of longer cells, nor on account of longer words, as shares of the page.
_MOST_NATURAL, _MOST_WORD = 0.5, 0.32
# A row that is higher than this share of the page is set as several.
_MOST_HEIGHT = 0.35
_BREAKS = re.compile(r"[^\S\u00a0]+")


def page_table(table: PageTable, width: float, height: float) -> tuple[list[Any], float]:
    """A table's head and rows as flowables, without its caption and notes.

    Parameters
    ----------
    table : PageTable
        Rows may be of different length; missing cells are empty. More columns than a page can hold are set as several
        tables, each with the column that names the rows.
    width, height : float
        Of the part of the page that holds text, in points.

    Returns
    -------
    list of flowables
        Tables, or a sentence where there is nothing to tabulate.
    float
        Points that the first of them needs on a page: head and first row.
    """
    columns = max([len(table.head), *(len(row) for row in table.rows)])
    head = _padded(table.head, columns)
    rows = [_padded(row, columns) for row in table.rows]
    found: list[Any] = []
    least = 0.0
    for first in range(1, max(columns, 2), MOST_COLUMNS - 1):
        band = [0, *range(first, min(first + MOST_COLUMNS - 1, columns))] if columns else []
        texts = {place for place, at in enumerate(band) if at == 0 or at in table.texts}
        part, need = _set([head[at] for at in band], [[row[at] for at in band] for row in rows], texts, width, height)
        least = least if found else need
        found += [*([Spacer(1, _BETWEEN)] if found else []), *part]
    return found, least


def links_table(links: Links, pages: Mapping[str, int], width: float, height: float) -> tuple[list[Any], float]:
    """As :func:`page_table`, for a checklist: an answer leads to the place that it names, and says its page.

    ``pages`` are those of the document's anchors; an answer without one stands there as it is.
    """
    targets = {(at, 2): row.anchor for at, row in enumerate(links.rows) if row.anchor in pages}
    rows = [
        [row.number, row.item, f"{row.answer} (page{NBSP}{pages[row.anchor]})" if row.anchor in pages else row.answer]
        for row in links.rows
    ]
    return _set(LINKS_HEAD, rows, {0, 1, 2}, width, height, targets)


def _padded(row: Sequence[str], columns: int) -> list[str]:
    return [*row, *[""] * (columns - len(row))]


def _set(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    texts: set[int],
    width: float,
    height: float,
    targets: Mapping[tuple[int, int], str] | None = None,
) -> tuple[list[Any], float]:
    """One table; ``targets`` are the anchors that cells lead to, by row and column."""
    nothing = paragraph("None.", "cell")
    if not head:
        return [nothing], height_of([nothing], width)
    size, widths = fit_columns(head, rows, texts, width)
    inside = [wide - _padding(at, len(widths)) for at, wide in enumerate(widths)]
    heads = [Paragraph(markup(cell), style("head", size=size, right=at not in texts)) for at, cell in enumerate(head)]
    cells: list[list[Any]] = [heads] if any(head) else []
    looks = [style("cell", size=size, right=at not in texts) for at in range(len(head))]
    ruled = []
    for number, row in enumerate(rows):
        words = [
            linked(cell, targets[number, at]) if targets and (number, at) in targets else markup(cell)
            for at, cell in enumerate(row)
        ]
        cells += _broken([Paragraph(word, look) for word, look in zip(words, looks, strict=True)], inside, height)
        ruled.append(len(cells) - 1)
    found: list[Any] = []
    if cells:
        repeated = int(any(head) and len(cells) > 1)
        found.append(Table(cells, widths, repeatRows=repeated, style=_look(any(head), ruled[:-1]), hAlign="LEFT"))
    if not rows:
        found.append(nothing)
    return found, sum(_row_height(row, inside) for row in cells[:2]) + (0 if rows else height_of([nothing], width))


def _padding(at: int, columns: int) -> float:
    """Points of a column that hold no text; the outermost ones end with the table's rules."""
    return 2 * _SIDE - _SIDE * (at == 0) - _SIDE * (at == columns - 1)


def _row_height(row: Sequence[Any], inside: Sequence[float]) -> float:
    return max(float(cell.wrap(wide, 1e6)[1]) for cell, wide in zip(row, inside, strict=True)) + 2 * _TOP


def _broken(row: list[Any], inside: Sequence[float], height: float) -> list[list[Any]]:
    """A row as several ones, none of them high: a page setter's row stays on one page, and a page may be too small."""
    most = _MOST_HEIGHT * height
    out = []
    while _row_height(row, inside) > most + 2 * _TOP:
        above, below = [], []
        for cell, wide in zip(row, inside, strict=True):
            parts = cell.split(wide, most)
            above.append(parts[0] if parts else cell)
            below.append(parts[1] if len(parts) > 1 else Paragraph("", cell.style))
        out.append(above)
        row = below
    return [*out, row]


def _look(headed: bool, ruled: Sequence[int]) -> Any:
    ink, thin = HexColor(INK), HexColor(_ROW_RULE)
    commands: list[tuple[Any, ...]] = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), _SIDE),
        ("RIGHTPADDING", (0, 0), (-1, -1), _SIDE),
        ("LEFTPADDING", (0, 0), (0, -1), 0),
        ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
        ("TOPPADDING", (0, 0), (-1, -1), _TOP),
        ("BOTTOMPADDING", (0, 0), (-1, -1), _TOP),
        *(("LINEBELOW", (0, row), (-1, row), 0.4, thin) for row in ruled),
        ("LINEABOVE", (0, 0), (-1, 0), 1.0, ink),
        ("LINEBELOW", (0, -1), (-1, -1), 1.0, ink),
        ("LINEBELOW", (0, "splitlast"), (-1, "splitlast"), 0.4, ink),
    ]
    if headed:
        commands += [("VALIGN", (0, 0), (-1, 0), "BOTTOM"), ("LINEBELOW", (0, 0), (-1, 0), 0.6, ink)]
    return table_look(commands)


def fit_columns(
    head: Sequence[str], rows: Sequence[Sequence[str]], texts: set[int], width: float
) -> tuple[float, list[float]]:
    """Size of the letters and widths of the columns, which together are as wide as the page.

    Numbers with their intervals stay on one line where letters of a readable size allow that; else lines break between
    words, letters become smaller, and where even that is not enough, words break.

    Parameters
    ----------
    head : sequence of str
        Column headings.
    rows : sequence of sequence of str
        Cells, as many in each row as there are headings.
    texts : set of int
        Columns of words.
    width : float
        Of the page, in points.

    Examples
    --------
    >>> size, widths = fit_columns(("", "n"), [("axillae", "260")], {0}, 300.0)
    >>> size, round(sum(widths), 6)
    (7.2, 300.0)
    """
    plain = [[clean(cell) for cell in row] for row in rows]
    titles = [clean(title) for title in head]
    for tidy, sizes in ((True, SIZES[:_READABLE]), (False, SIZES)):
        for size in sizes:
            least, natural = _needs(titles, plain, texts, size, width, tidy=tidy)
            if sum(least) <= width:
                return size, _shared(least, natural, width)
    return SIZES[-1], _cut(_needs(titles, plain, texts, SIZES[-1], width, tidy=False)[0], width)


def _needs(
    head: Sequence[str], rows: Sequence[Sequence[str]], texts: set[int], size: float, width: float, *, tidy: bool
) -> tuple[list[float], list[float]]:
    """Least and natural width of every column."""
    least, natural = [], []
    for at, title in enumerate(head):
        cells = [row[at] for row in rows]
        whole = max((stringWidth(cell, SANS, size) for cell in cells), default=0.0)
        words = max((stringWidth(word, SANS, size) for cell in cells for word in _BREAKS.split(cell)), default=0.0)
        heading = max(stringWidth(word, BOLD, size) for word in _BREAKS.split(title))
        # Two lines of a heading are as good as one.
        wanted = max(whole, heading, 0.55 * stringWidth(title, BOLD, size))
        narrow = max(min(words, _MOST_WORD * width), min(heading, _MOST_WORD * width))
        if tidy:
            narrow = max(narrow, min(whole, _MOST_WORD * width if at not in texts else 0.15 * width))
        wide = max(narrow, min(wanted, _MOST_NATURAL * width))
        # A hair more than measured, lest rounding breaks a line.
        least.append(narrow + _padding(at, len(head)) + 0.1)
        natural.append(wide + _padding(at, len(head)) + 0.1)
    return least, natural


def _shared(least: Sequence[float], natural: Sequence[float], width: float) -> list[float]:
    """What is left over beyond the least widths goes to the columns that want more, then to all."""
    room = width - sum(least)
    want = [wide - narrow for narrow, wide in zip(least, natural, strict=True)]
    given = min(1.0, room / sum(want)) if sum(want) > 0 else 0.0
    widths = [narrow + given * more for narrow, more in zip(least, want, strict=True)]
    rest = width / sum(widths)
    return [one * rest for one in widths]


def _cut(least: Sequence[float], width: float) -> list[float]:
    """Only the widest columns give way, all to the same width, until the page is wide enough."""
    left, widths = width, [0.0] * len(least)
    for done, at in enumerate(sorted(range(len(least)), key=lambda at: least[at])):
        widths[at] = min(least[at], left / (len(least) - done))
        left -= widths[at]
    return widths
