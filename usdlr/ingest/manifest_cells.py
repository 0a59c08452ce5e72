"""One cell of the manifest as a value, or what was expected in its place."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from usdlr.core import columns as c
from usdlr.core.columns import Column
from usdlr.ingest.adapter import FILE_STEM
from usdlr.ingest.manifest_columns import Kind, ManifestColumn

Value = str | float | int | bool | PurePosixPath | tuple[int, int, int, int]

MAX_NAME, MAX_TEXT, MAX_PATH, MAX_PATH_PART = 64, 200, 1000, 200
NUMBER = re.compile(r"[+-]?([0-9]{1,15}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?")
WITH_COMMA = re.compile(r"[+-]?[0-9]{0,15},[0-9]{1,30}([eE][+-]?[0-9]{1,3})?")
WITH_POINT = re.compile(r"[+-]?[0-9]{0,15}\.[0-9]{1,30}([eE][+-]?[0-9]{1,3})?")
LARGEST_WHOLE = 10**9
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
DRIVE = re.compile(r"[A-Za-z]:")


class BadCell(Exception):  # noqa: N818 - a verdict on the table, not a defect
    """A cell that cannot be read; the message says what was expected."""


def decimal_comma(cells: Iterable[str], separator: str) -> bool:
    """Whether numbers of a table are written with a decimal comma.

    Where cells are separated by commas, or some numbers have a decimal point, a comma may also part thousands: such
    a table is read with decimal points, and numbers with a comma are refused one by one.

    Parameters
    ----------
    cells : iterable of str
        All cells that hold decimal numbers.
    separator : str
        What stands between cells.
    """
    if separator == ",":
        return False
    cells = [cell for cell in cells if cell]
    return any(map(WITH_COMMA.fullmatch, cells)) and not any(map(WITH_POINT.fullmatch, cells))


def read_cell(text: str, item: ManifestColumn, comma: bool) -> Value:
    """The value of a cell that is not empty.

    Parameters
    ----------
    text : str
        The cell, without surrounding blanks.
    item : ManifestColumn
        Its column.
    comma : bool
        Whether the table's numbers have a decimal comma.

    Raises
    ------
    BadCell
        Saying what was expected.
    """
    if not text.isprintable():
        raise BadCell("one line of printable text")
    if item.kind is Kind.FILE:
        return _path(text)
    if item.kind is Kind.PANE:
        return _pane(text)
    if item.kind is Kind.NAME and FILE_STEM.fullmatch(text) is None:
        raise BadCell("letters, digits, spaces and . _ - only, and a letter or digit first")
    column = item.column
    if column.dtype == c.BOOLEAN:
        if text.lower() not in TRUTH:
            raise BadCell(expectation(column))
        return TRUTH[text.lower()]
    if column.dtype in (c.FLOAT, c.INTEGER):
        return _number(text, column, comma)
    if column.choices:
        # Spreadsheets capitalise what they take for the start of a sentence.
        words = {word.lower(): word for word in column.choices}
        if text.lower() not in words:
            raise BadCell(expectation(column))
        return words[text.lower()]
    longest = MAX_TEXT if column.nullable and item.kind is Kind.VALUE else MAX_NAME
    if len(text) > longest:
        raise BadCell(f"at most {longest} letters")
    return text


def expectation(column: Column) -> str:
    """What a column's cells may hold, in words."""
    kinds = {c.STRING: "text", c.FLOAT: "a number", c.INTEGER: "a whole number", c.BOOLEAN: "true or false"}
    parts = [" | ".join(column.choices) if column.choices else kinds[column.dtype]]
    if column.low is not None:
        parts.append(f"of at least {column.low:g}")
    if column.high is not None:
        parts.append(f"{'and ' if column.low is not None else 'of '}at most {column.high:g}")
    if column.unit and column.unit != "1":
        parts.append(f"in {column.unit}")
    return " ".join(parts)


def _number(text: str, column: Column, comma: bool) -> float | int:
    expected = expectation(column)
    if comma and "." in text:  # where a comma marks decimals, a point parts thousands
        raise BadCell(f"{expected}, with a decimal comma as in the rest of the table")
    if WITH_COMMA.fullmatch(text) is not None:
        if not comma:
            raise BadCell(f"{expected}, with a decimal point")
        text = text.replace(",", ".")
    if NUMBER.fullmatch(text) is None:
        raise BadCell(expected)
    value = float(text)
    low = -math.inf if column.low is None else column.low
    high = math.inf if column.high is None else column.high
    if not (math.isfinite(value) and low <= value <= high):
        raise BadCell(expected)
    if column.dtype == c.FLOAT:
        return value
    if value != int(value) or abs(value) > LARGEST_WHOLE:
        raise BadCell(expected)
    return int(value)


def _pane(text: str) -> tuple[int, int, int, int]:
    expected = "four whole numbers: first row, first column, rows, columns, such as 24 336 392 304"
    parts = re.split(r"[\s,;x]+", text.strip("()[] "))
    if len(parts) != 4 or not all(re.fullmatch(r"[0-9]{1,6}", part) for part in parts):
        raise BadCell(expected)
    row, col, rows, cols = map(int, parts)
    if rows < 1 or cols < 1:
        raise BadCell(expected)
    return row, col, rows, cols


def _path(text: str) -> PurePosixPath:
    """A relative path; spreadsheets made on Windows separate folders by backslashes."""
    name = text.replace("\\", "/")
    path = PurePosixPath(name)
    if name.startswith("/") or DRIVE.match(name) or ".." in path.parts:
        raise BadCell("a path relative to the manifest that stays in its folder")
    if not path.parts:
        raise BadCell("the name of a file")
    if len(name) > MAX_PATH or any(len(part.encode()) > MAX_PATH_PART for part in path.parts):
        raise BadCell(f"a path of at most {MAX_PATH} letters, and {MAX_PATH_PART} bytes between two separators")
    return path
