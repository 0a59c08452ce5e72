"""A page as Markdown: figures and pictures are named, not embedded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from usdlr.report.document import (
    Block,
    Document,
    Figure,
    Folded,
    Gallery,
    Links,
    Listing,
    Meanings,
    PageTable,
    Points,
    Prose,
)

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~&$])")
# What would make a list, a heading, a quotation or a rule of a paragraph's first characters.
_OPENING = re.compile(r"^(\d+)([.)])|^([-+#=])")


def to_markdown(document: Document) -> str:
    """A page as CommonMark with tables; equal documents give equal text.

    Parameters
    ----------
    document : Document
        The page.

    Returns
    -------
    str
        Every text of the page, its special characters escaped; figures by title, caption and file.
    """
    lines = [f"# {plain(document.title)}", f"*{plain(document.kind)}*"]
    lines += [_paragraph(text) for text in (document.question, document.summary) if text]
    lines += [_list(f"**{plain(tile.label)}**: {plain(tile.value)} ({plain(tile.detail)})" for tile in document.tiles)]
    lines += [f"> **{plain(notice.title)}.** {plain(notice.text)}" for notice in document.notices]
    lines += _blocks(document.opening)
    for section in document.sections:
        lines += [f'<a id="{section.anchor}"></a>', f"## {plain(section.title)}", *_blocks(section.blocks)]
    lines += ["---", _paragraph(document.footer)]
    return "\n\n".join(line for line in lines if line) + "\n"


def plain(text: str) -> str:
    r"""A text on one line, as it is read and not as marks of Markdown.

    Examples
    --------
    >>> plain("a|b *c* <d>")
    'a\\|b \\*c\\* \\<d\\>'
    """
    return _SPECIAL.sub(r"\\\1", re.sub(r"[\t\r\n]+", " ", text)).strip(" ")


def _paragraph(text: str) -> str:
    return _OPENING.sub(lambda found: rf"{found[1]}\{found[2]}" if found[1] else rf"\{found[3]}", plain(text))


def _list(lines: Iterator[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]) -> Iterator[str]:
    yield f"**{plain(caption)}**"
    lines = [tuple(map(plain, head)), ("---",) * len(head), *(tuple(map(plain, row)) for row in rows)]
    yield "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    yield from ([] if rows else ["None."])
    yield from (_paragraph(note) for note in notes)


def _links(block: Links) -> Iterator[str]:
    yield f"**{plain(block.caption)}**"
    lines = ["| Item | What is to be reported | Where it stands |", "| --- | --- | --- |"]
    for row in block.rows:
        answer = f"[{plain(row.answer)}](#{row.anchor})" if row.anchor else plain(row.answer)
        lines.append(f"| {plain(row.number)} | {plain(row.item)} | {answer} |")
    yield "\n".join(lines)
    yield from (_paragraph(note) for note in block.notes)


def _fenced(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text.rstrip()}\n{fence}"


def _blocks(blocks: Sequence[Block]) -> list[str]:
    lines: list[str] = []
    for block in blocks:
        match block:
            case Prose():
                lines += [_paragraph(line) for line in block.lines]
            case Points():
                lines.append(_list(_paragraph(line) for line in block.lines))
            case Meanings():
                lines.append(_list(f"**{plain(word)}**: {plain(meaning)}" for word, meaning in block.pairs))
            case PageTable():
                lines += _table(block.caption, block.head, block.rows, block.notes)
            case Figure():
                drawing = block.drawing
                name = plain(f"figures/{drawing.name}.svg")
                lines.append(f"**{plain(drawing.title)}.** {plain(drawing.caption)} (file {name})")
            case Gallery():
                lines.append(
                    _list(f"**{plain(picture.title)}**: {plain(picture.alternative)}" for picture in block.pictures)
                )
            case Links():
                lines += _links(block)
            case Listing():
                lines.append(_fenced(block.text))
            case Folded():
                lines += [f"**{plain(block.title)}**", *_blocks(block.blocks)]
    return lines
