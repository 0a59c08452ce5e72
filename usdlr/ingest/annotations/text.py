"""Annotation files that are text, read within bounds: JSON, XML and CSV."""

from __future__ import annotations

import csv
import io
import json
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from usdlr.ingest.annotations.contour import unreadable
from usdlr.ingest.readers.bounded import RefusedFile, read_content

Lookup = TypeVar("Lookup")

# An export of ten thousand outlines with a hundred points each has about 20 MiB.
MAX_BYTES = 64 << 20
# What a parser builds can be thirty times as large as its text; these bounds keep it below about 1 GiB.
MAX_CONTAINERS = 2_000_000
MAX_VALUES = 12_000_000
MAX_ELEMENTS = 500_000
MAX_ATTRIBUTES = 2_000_000
MAX_ROWS = 1_500_000
MAX_CELLS = 6_000_000
DELIMITERS = ",;\t"
# A file may be written twice within one tick of its clock, and would then be taken for unchanged.
SETTLED_SECONDS = 2.0


@dataclass(frozen=True)
class Document:
    """A parsed text file; shared by every row that names it, hence never to be changed.

    Parameters
    ----------
    kind : str
        ``JSON``, ``XML`` or ``CSV``.
    content : object
        Plain data, the root element, or the rows of a table without its header.
    columns : tuple of str
        Column names of a CSV file as the file writes them.
    index : dict
        What a format looked up once for all images: the one part that is filled in later.
    """

    kind: str
    content: Any
    columns: tuple[str, ...] = ()
    index: dict[str, Any] = field(default_factory=dict)

    def once(self, build: Callable[[Any], Lookup]) -> Lookup:
        """What a function makes of the content, made once for all images of the file."""
        key = f"{build.__module__}.{build.__qualname__}"
        if key not in self.index:
            self.index[key] = build(self.content)
        found: Lookup = self.index[key]
        return found


def is_text(head: bytes) -> bool:
    """Whether the first bytes of a file are UTF-8 text."""
    if not head or b"\0" in head:
        return False
    try:
        # The last character may be cut in two.
        head[:-4].decode("utf-8-sig") if len(head) > 4 else head.decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    return True


def load(path: Path) -> Document:
    """A parsed text file; the last one is kept, since one file may hold the contours of thousands of images.

    Raises
    ------
    CaseError
        If the file is too large, not UTF-8, damaged, or an XML file that declares entities.
    """
    stat = path.stat()
    if time.time() - stat.st_mtime < SETTLED_SECONDS:
        return _parse(path)
    return _kept(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1)
def _kept(path: Path, inode: int, size: int, mtime_ns: int) -> Document:
    return _parse(path)


def _parse(path: Path) -> Document:
    if path.stat().st_size > MAX_BYTES:
        raise unreadable(f"more than {MAX_BYTES >> 20} MiB of text", "less", "split the export into smaller files")
    try:
        text = read_content(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RefusedFile("that is not UTF-8", "text in UTF-8", "save it as UTF-8") from None
    start = text.lstrip()[:1]
    if start in ("{", "["):
        return Document("JSON", parse_json(text))
    if start == "<":
        return Document("XML", parse_xml(text))
    return _table(text)


def rows_by(document: Document, column: int) -> list[tuple[str, list[list[str]]]]:
    """Rows of a table by the value of one column, sorted out once for all images of the file."""
    key = f"rows by {column}"
    if key not in document.index:
        groups: dict[str, list[list[str]]] = {}
        for row in document.content:
            groups.setdefault(row[column].strip(), []).append(row)
        document.index[key] = list(groups.items())
    found: list[tuple[str, list[list[str]]]] = document.index[key]
    return found


def parse_json(text: str) -> Any:
    """Plain data from JSON.

    Raises
    ------
    CaseError
        If it is damaged, nested too deeply or too large.
    """
    if text.count("[") + text.count("{") > MAX_CONTAINERS or text.count(",") > MAX_VALUES:
        raise unreadable("a JSON file with millions of values", "one export", "split it into smaller files")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise unreadable("damaged JSON", "a whole file", "export it again") from None


def parse_xml(text: str) -> ET.Element:
    """The root element of an XML file that declares nothing of its own.

    Raises
    ------
    CaseError
        If it has a document type or entities (which can name other files, or grow without bound), or is damaged.
    """
    upper = text.upper()
    if "<!DOCTYPE" in upper or "<!ENTITY" in upper:
        raise unreadable("an XML file that declares a document type", "plain elements", "export it without one")
    if text.count("<") > MAX_ELEMENTS or text.count("=") > MAX_ATTRIBUTES:
        raise unreadable("an XML file with millions of elements", "one export", "split it into smaller files")
    try:
        # Entities are refused above, and the text is decoded already, so that no other encoding can hide them.
        return ET.fromstring(text)  # noqa: S314
    except (ET.ParseError, ValueError):
        raise unreadable("damaged XML", "a whole file", "export it again") from None


def _table(text: str) -> Document:
    header, _, _ = text.partition("\n")
    delimiter = max(DELIMITERS, key=header.count)
    if text.count(delimiter) > MAX_CELLS or text.count("\n") > MAX_ROWS:
        raise unreadable("a table with millions of values", "one export", "split it into smaller files")
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if line]
    except csv.Error:
        raise unreadable("a damaged table", "comma-separated values", "export it again") from None
    columns = tuple(name.strip() for name in lines[0]) if lines else ()
    if len(set(columns)) != len(columns):
        raise unreadable("a table with two columns of one name", "each name once", "rename one of them")
    ragged = next((number for number, line in enumerate(lines, start=1) if len(line) != len(columns)), None)
    if ragged is not None:
        raise unreadable(
            f"line {ragged} of a table with {len(lines[ragged - 1])} values",
            f"{len(columns)}, as the header has",
            "correct it",
        )
    return Document("CSV", lines[1:], columns)
