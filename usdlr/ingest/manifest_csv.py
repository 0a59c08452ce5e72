"""A CSV file as spreadsheets write it: any usual separator and encoding, found and never guessed where it matters."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from usdlr.core.errors import DataError

SEPARATORS = (",", ";", "\t", "|")
MAX_BYTES = 1 << 24
MAX_COLUMNS = 500
MAX_ROWS = 200_000
# Excel's own first line, which it does not show.
SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)
SAVE_AGAIN = "save it as CSV UTF-8"


@dataclass(frozen=True)
class CsvTable:
    """Cells of a CSV file as text without surrounding blanks.

    Parameters
    ----------
    header : tuple of str
        Column names in lower case; empty for columns without a name.
    rows : tuple of (int, tuple of str)
        Row number as a spreadsheet shows it (the header is row 1), and one cell per column or more; rows without any
        content are left out.
    separator : str
        What stands between cells.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    separator: str


def read_csv_table(path: Path, known: Callable[[str], bool]) -> CsvTable:
    """Read a CSV file.

    The text is UTF-8 (with or without a byte-order mark), UTF-16 with one, or Windows-1252. The separator is the one
    under which the header holds the most known column names.

    Parameters
    ----------
    path : Path
        The file; it exists.
    known : callable
        Whether a column name is documented.

    Raises
    ------
    DataError
        If it is no text, no CSV, too large, or its first line holds no known column name.
    """
    name = path.name
    text = _decode(path)
    stated = SEPARATOR_LINE.match(text)
    if stated is not None:
        text = text[stated.end() :]
    separators = SEPARATORS if stated is None else (stated[1],)
    headers = [(_header(text, separator), separator) for separator in separators if _usable(separator)]
    counts = [sum(map(known, header)) for header, _ in headers]
    if not counts or max(counts) == 0:
        raise DataError(
            f"found no documented column in the first line of {name}, expected a header such as "
            "centre_id,patient_id,bmode_file,mask_file; write an example with: usdlr ingest --template DIR"
        )
    header, separator = headers[counts.index(max(counts))]
    if len(header) > MAX_COLUMNS:
        raise DataError(f"found {len(header)} columns in {name}, expected at most {MAX_COLUMNS}; remove empty ones")
    rows: list[tuple[int, tuple[str, ...]]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    number = 0
    try:
        for number, cells in enumerate(reader, start=1):
            if number == 1:
                continue
            stripped = tuple(map(_strip, cells))
            if any(stripped):
                rows.append((number, stripped))
            if len(rows) > MAX_ROWS:
                raise DataError(f"found more than {MAX_ROWS} rows in {name}, expected fewer; divide the manifest")
    except csv.Error as error:
        raise DataError(
            f"found row {number + 1} of {name} is not valid CSV ({error}), expected quotation marks in pairs and no "
            f"cell longer than {csv.field_size_limit()} letters; {SAVE_AGAIN}"
        ) from error
    return CsvTable(header, tuple(rows), separator)


def _usable(separator: str) -> bool:
    return separator not in '\r\n"\0 '


def _decode(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(
            f"found {path.name} cannot be read ({error.strerror}), expected a CSV file; check it"
        ) from error
    if len(content) > MAX_BYTES:
        raise DataError(
            f"found {path.name} larger than {MAX_BYTES >> 20} MiB, expected a table of file names and values"
        )
    encodings = ["utf-8-sig", "cp1252"]
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeError:
            continue
        if "\0" not in text:
            return text
    raise DataError(f"found {path.name} is not a text file, expected CSV; {SAVE_AGAIN}")


def _header(text: str, separator: str) -> tuple[str, ...]:
    try:
        first = next(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True), [])
    except csv.Error:
        return ()
    names = [_strip(cell).lower() for cell in first]
    while names and not names[-1]:
        names.pop()
    return tuple(names)


def _strip(cell: str) -> str:
    # str.strip also removes the no-break spaces that web pages and Excel leave; a zero-width one it does not know.
    return cell.strip().strip("\ufeff\u200b").strip()
