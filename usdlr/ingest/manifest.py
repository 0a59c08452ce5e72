"""A centre's own table of files, ``manifest.csv``: checked as a whole, every problem listed at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from usdlr.core.errors import DataError
from usdlr.ingest.manifest_cells import BadCell, Value, decimal_comma, read_cell
from usdlr.ingest.manifest_columns import COLUMNS, MANIFEST_FILE, Kind, ManifestColumn, definition, nearest
from usdlr.ingest.manifest_csv import CsvTable, read_csv_table
from usdlr.ingest.manifest_rows import check_rows, source_row
from usdlr.ingest.manifest_template import describe_columns, write_template
from usdlr.ingest.source import SourceRow

__all__ = ["MANIFEST_FILE", "Problem", "describe_columns", "read_manifest", "write_template"]

MAX_LISTED = 200
MAX_QUOTED = 40
# A cell of these names a patient or a file that may; a message says where it is, not what it holds.
UNQUOTED = frozenset({"centre_id", "patient_id", "image_id", "lesion_id"})


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the manifest.

    Parameters
    ----------
    row : int
        As a spreadsheet shows it: the header is row 1.
    column : str
        Column name; empty for the row as a whole.
    found, expected : str
        In words; ``found`` never quotes an id or a file's name.
    """

    row: int
    column: str
    found: str
    expected: str

    def __str__(self) -> str:
        where = f"row {self.row}, {self.column}" if self.column else f"row {self.row}"
        return f"{where}: found {self.found}, expected {self.expected}"


def read_manifest(path: Path) -> list[SourceRow]:
    """The rows of a manifest, in the order of the file.

    Whether the files it names exist is not looked at: a missing file costs its row, not the table.

    Parameters
    ----------
    path : Path
        The CSV file; paths in it are relative to its folder.

    Raises
    ------
    DataError
        If there is no table, or something in it cannot be understood; the message lists every problem (beyond
        200 their number) with row, column, what was found and what was expected.
    """
    if not path.is_file():
        raise DataError(
            f"found no {path.name} in the export's folder, expected the table of its files; write an example with: "
            "usdlr ingest --template DIR, and save a spreadsheet as CSV UTF-8"
        )
    table = read_csv_table(path, lambda name: definition(name) is not None)
    problems = list(_header_problems(table))
    if problems:  # a cell means nothing while its column is in doubt
        _refuse(path.name, problems)
    items = {name: item for name in table.header if (item := definition(name)) is not None}
    numbers = [i for i, name in enumerate(table.header) if name in items and items[name].column.dtype == "float64"]
    comma = decimal_comma((cells[i] for _, cells in table.rows for i in numbers if i < len(cells)), table.separator)
    records: list[tuple[int, dict[str, Value]]] = []
    for number, cells in table.rows:
        record, wrong = _record(number, cells, table.header, items, comma)
        problems += wrong
        records.append((number, record))
    problems += (Problem(*found) for found in check_rows(records))
    if problems:
        _refuse(path.name, sorted(problems, key=lambda problem: problem.row))
    return [source_row(record, number, path.parent) for number, record in records]


def _header_problems(table: CsvTable) -> Iterator[Problem]:
    for name in dict.fromkeys(table.header):
        if name and definition(name) is None:
            near = nearest(name)
            expected = "a documented column" if near is None else f"a documented column; did you mean {near}?"
            yield Problem(1, "", f"an unknown column {_quoted(name)}", expected)
        if name and table.header.count(name) > 1:
            yield Problem(1, name, f"{table.header.count(name)} columns of this name", "one")
    for item in COLUMNS:
        if item.required and item.name not in table.header:
            yield Problem(1, item.name, "no such column", "one, since every manifest needs it")
    for position, name in enumerate(table.header):
        filled = None if name else next((n for n, cells in table.rows if any(cells[position : position + 1])), None)
        if filled is not None:
            yield Problem(filled, "", f"a value in column {position + 1}, which has no name", "a name in row 1")


def _record(
    number: int, cells: tuple[str, ...], header: tuple[str, ...], items: Mapping[str, ManifestColumn], comma: bool
) -> tuple[dict[str, Value], list[Problem]]:
    """The values of one row by column name, and what is wrong with it."""
    record: dict[str, Value] = {}
    problems = []
    if any(cells[len(header) :]):
        problems.append(
            Problem(number, "", f"{len(cells)} cells", f"at most {len(header)}; put quotation marks around separators")
        )
    for name, text in zip(header, cells, strict=False):
        if not text:
            continue
        item = items[name]
        try:
            record[name] = read_cell(text, item, comma)
        except BadCell as error:
            found = "a value that cannot be used" if item.kind is Kind.FILE or name in UNQUOTED else _quoted(text)
            problems.append(Problem(number, name, found, str(error)))
    problems += [
        Problem(number, name, "nothing", "a value")
        for name, item in items.items()
        if not item.column.nullable and not dict(zip(header, cells, strict=False)).get(name)
    ]
    return record, problems


def _quoted(text: str) -> str:
    return repr(text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}...")


def _refuse(name: str, problems: list[Problem]) -> None:
    """Raise one error that lists every problem."""
    count = len(problems)
    lines = [f"  {problem}" for problem in problems[:MAX_LISTED]]
    if count > MAX_LISTED:
        lines.append(f"  and {count - MAX_LISTED} more")
    things = "1 problem" if count == 1 else f"{count} problems"
    raise DataError(
        "\n".join([f"found {things} in {name}, expected none; correct the table (row 1 is the header):", *lines])
    )
