"""The tables on disk: one pandera schema each, read and written with provenance and exact error messages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pandera.errors
import pandera.pandas as pa

from usdlr.core import columns as c
from usdlr.core.errors import DataError, TableError
from usdlr.core.files import read_json, write_atomic, write_json
from usdlr.core.hashing import table_hash
from usdlr.core.provenance import Provenance
from usdlr.core.reliability import RELIABILITY as RELIABILITY_COLUMNS
from usdlr.core.row_rules import known_of_software_alone


@dataclass(frozen=True)
class Table:
    """One kind of table.

    Parameters
    ----------
    name : str
        File stem and the word in messages.
    columns : tuple of Column
        In their order on disk.
    key : tuple of str
        Columns that together identify a row.
    rule : callable, optional
        What columns say of one another: of a checked table, the first row that breaks it in words, or ``None``.
    """

    name: str
    columns: tuple[c.Column, ...]
    key: tuple[str, ...]
    rule: Callable[[pd.DataFrame], str | None] | None = None

    @property
    def schema(self) -> pa.DataFrameSchema:
        """The pandera schema."""
        return pa.DataFrameSchema(
            {column.name: _pandera_column(column) for column in self.columns}, name=self.name, strict=True
        )

    def expected(self, name: str) -> c.Column | None:
        """The definition that the column ``name`` falls under."""
        for column in self.columns:
            if column.name == name or (column.pattern and re.match(column.name, name)):
                return column
        return None

    def conform(self, table: pd.DataFrame) -> pd.DataFrame:
        """Check a table and bring it into canonical form.

        Missing nullable columns are added as null, dtypes are made canonical and columns ordered; no value changes.

        Returns
        -------
        DataFrame
            A new table with a fresh index.

        Raises
        ------
        TableError
            Naming row, column, what was found and what was expected.
        """
        table = table.reset_index(drop=True)
        if table.columns.has_duplicates:
            twice = table.columns[table.columns.duplicated()][0]
            raise TableError(f"{self.name}: found the column {twice!r} twice, expected it once; remove one")
        for name in table.columns:
            if self.expected(str(name)) is None:
                raise TableError(f"{self.name}: found an unknown column {name!r}; remove it or use a documented name")
        for column in self.columns:
            if column.pattern or column.name in table.columns:
                continue
            if not column.nullable:
                raise TableError(f"{self.name}: found no column {column.name!r}, expected one: {column.meaning}")
            table[column.name] = pd.Series([None] * len(table), dtype=object)
        ordered = [
            name
            for column in self.columns
            for name in table.columns
            if (name == column.name if not column.pattern else self.expected(str(name)) is column)
        ]
        typed = pd.DataFrame({name: self._typed(table[name]) for name in ordered})
        if not all(_sound(typed[name], self.expected(str(name))) for name in typed.columns):
            try:
                self.schema.validate(typed, lazy=False)
            except pandera.errors.SchemaError as error:
                raise TableError(self._explain(error, typed)) from error
        repeated = typed.duplicated(list(self.key)) if self.key else np.zeros(0, dtype=bool)
        if repeated.any():
            row = int(np.asarray(repeated).argmax())
            found = ", ".join(f"{name} = {typed[name].iloc[row]}" for name in self.key)
            raise TableError(
                f"{self.name} row {row}: found {found} a second time, expected it once; remove the duplicate"
            )
        broken = None if self.rule is None else self.rule(typed)
        if broken is not None:
            raise TableError(f"{self.name} {broken}")
        return typed

    def _typed(self, values: pd.Series) -> pd.Series:
        column = self.expected(str(values.name))
        assert column is not None, values.name
        try:
            return _cast(values, column.dtype)
        except (ValueError, TypeError) as error:
            row, found = _first_that_fails(values, column.dtype)
            raise TableError(
                f"{self.name} row {row}: found {values.name} = {found!r}, expected {_expectation(column)}"
            ) from error

    def _explain(self, error: pandera.errors.SchemaError, table: pd.DataFrame) -> str:
        name = str(getattr(error.schema, "name", "?"))
        column = self.expected(name)
        cases = error.failure_cases
        row, found = "?", "?"
        if isinstance(cases, pd.DataFrame) and len(cases):
            position = cases["index"].iloc[0]
            row, value = str(position), cases["failure_case"].iloc[0]
            if position is not None and not pd.isna(position) and name in table:
                value = table[name].iloc[int(position)]
            found = repr(value.item() if isinstance(value, np.generic) else value)
        expected = _expectation(column) if column is not None else "a documented column"
        return f"{self.name} row {row}: found {name} = {found}, expected {expected}"

    def empty(self) -> pd.DataFrame:
        """A table without rows."""
        return _empty(self).copy()

    def write(self, table: pd.DataFrame, path: Path, provenance: Provenance) -> pd.DataFrame:
        """Check ``table`` and write it with its provenance beside it; returns what was written."""
        table = self.conform(table)
        if path.suffix == ".csv":
            write_atomic(path, lambda target: table.to_csv(target, index=False))
        else:
            write_atomic(path, lambda target: table.to_parquet(target, index=False))
        write_json(
            provenance_path(path),
            {
                "table": self.name,
                "rows": len(table),
                "content_hash": table_hash(table),
                **provenance.as_dict(),
            },
        )
        return table

    def read(self, path: Path) -> pd.DataFrame:
        """Read and check a table.

        Raises
        ------
        DataError
            If the file is missing, unreadable, or its content is not what its provenance file recorded.
        TableError
            If it breaks the schema.
        """
        if not path.is_file():
            raise DataError(f"found no file {path}, expected a {self.name} table; check the path")
        try:
            raw = _read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise DataError(f"found {path} is not a readable {self.name} table ({error}); write it again") from error
        table = self.conform(raw)
        beside = provenance_path(path)
        # Of the columns that the file holds: an older version's table lacks those that were added since.
        held = table[[name for name in table.columns if name in raw.columns]]
        if beside.exists() and read_json(beside).get("content_hash") != table_hash(held):
            raise DataError(
                f"found {path} was changed after it was written (content hash differs from {beside.name}); "
                "write it again with the command that made it"
            )
        return table


@cache
def _empty(table: Table) -> pd.DataFrame:
    return table.conform(pd.DataFrame({column.name: [] for column in table.columns if not column.pattern}))


def _read_csv(path: Path) -> pd.DataFrame:
    # Null is written as nothing, so that a patient called "NA" keeps the name.
    return pd.read_csv(path, dtype="str", keep_default_na=False, na_values=[""])


def provenance_path(path: Path) -> Path:
    """Where a table's provenance lies."""
    return path.with_name(f"{path.stem}.provenance.json")


def _expectation(column: c.Column) -> str:
    kinds = {c.STRING: "text", c.FLOAT: "a number", c.INTEGER: "a whole number", c.BOOLEAN: "true or false"}
    parts = [" | ".join(column.choices) if column.choices else kinds[column.dtype]]
    if column.low is not None:
        parts.append(f"of at least {column.low:g}")
    if column.high is not None:
        parts.append(f"of at most {column.high:g}")
    if column.unit:
        parts.append(f"in {column.unit}")
    parts.append("or null" if column.nullable else "not null")
    return f"{' '.join(parts)} ({column.meaning})"


def _sound(values: pd.Series, column: c.Column | None) -> bool:
    """Whether a column that has its dtype keeps its definition.

    The schema says the same and explains what is wrong; on a table of one row it takes twenty times as long.
    """
    if column is None:
        return False
    known = values.notna().to_numpy(dtype=bool)
    if not column.nullable and not known.all():
        return False
    if not (column.choices or column.low is not None or column.high is not None) or not known.any():
        return True
    if column.choices:
        return set(values[known]) <= set(column.choices)
    numbers = values[known].to_numpy(dtype=np.float64)
    within = column.low is None or numbers.min() >= column.low
    return bool(within and (column.high is None or numbers.max() <= column.high))


def _pandera_column(column: c.Column) -> pa.Column:
    checks = []
    if column.choices:
        checks.append(pa.Check.isin(column.choices))
    if column.low is not None:
        checks.append(pa.Check.ge(column.low))
    if column.high is not None:
        checks.append(pa.Check.le(column.high))
    return pa.Column(
        column.dtype,
        checks,
        nullable=column.nullable,
        regex=column.pattern,
        required=not column.pattern,
        description=column.meaning,
        metadata={"unit": column.unit, "preoperative": column.preoperative},
    )


def _cast(values: pd.Series, dtype: str) -> pd.Series:
    if str(values.dtype) == dtype:
        return values
    plain: Any = values.astype(object).where(values.notna(), None)
    if dtype == c.BOOLEAN:
        plain = plain.map(_truth)
    result = pd.to_numeric(plain, errors="raise").astype("float64") if dtype == c.FLOAT else plain.astype(dtype)
    return cast("pd.Series", result)


def _truth(value: object) -> object:
    """Read the words that CSV files hold for true and false; leave everything else for the cast to judge."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower(), value)
    return value


def _first_that_fails(values: Iterable[object], dtype: str) -> tuple[int, object]:
    for row, value in enumerate(values):
        if value is None or value is pd.NA or value != value:
            continue
        try:
            _cast(pd.Series([value], dtype=object), dtype)
        except (ValueError, TypeError):
            return row, value
    return 0, None


CASES = Table("cases", c.CASES, ("image_id",), known_of_software_alone)
FEATURES = Table("features", c.FEATURES, ("image_id",))
PREDICTIONS = Table("predictions", c.PREDICTIONS, ("patient_id", "side", "stage", "fold"))
DECISIONS = Table("decisions", c.DECISIONS, ("patient_id", "side"))
RELIABILITY = Table("reliability", RELIABILITY_COLUMNS, ("patient_id", "side"))
SPLITS = Table("splits", c.SPLITS, ("fold", "patient_id"))
EXCLUSIONS = Table("exclusions", c.EXCLUSIONS, ("centre_id", "source_id", "step", "code"))
NOTES = Table("notes", c.NOTES, ("image_id", "code"))
CONTOURS = Table("contours", c.CONTOURS, ("image_id", "lesion_id", "reader_id"))
