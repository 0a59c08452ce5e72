"""Outcomes from a file of their own: one row per axilla, opened after the predictions are written."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.columns import AXILLA_KEY, CASES
from usdlr.core.errors import CaseError, DataError
from usdlr.core.types import Side
from usdlr.ingest.endpoints import NODE_ENDPOINTS, normalise_endpoints
from usdlr.validation.lock import is_outcome

_TRUE, _FALSE = ("true", "1", "yes", "positive"), ("false", "0", "no", "negative")


def read_outcomes(path: Path) -> pd.DataFrame:
    """A table of outcomes, comma or semicolon.

    Parameters
    ----------
    path : Path
        CSV with ``patient_id``, ``side`` and columns of ``cases`` that are known after surgery.

    Returns
    -------
    DataFrame
        Text as it stands, null where a cell is empty; ``side`` of the vocabulary.

    Raises
    ------
    DataError
        If it cannot be read, a column is unknown, not an outcome or there twice, a row names no patient, or an axilla
        stands in it twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"found {path}, which is no text in UTF-8 ({error}), expected a CSV of outcomes") from error
    first = text.split("\n", 1)[0]
    rows = list(csv.reader(text.splitlines(), delimiter=";" if first.count(";") > first.count(",") else ","))
    if not rows or not set(AXILLA_KEY) <= set(rows[0]):
        raise DataError(f"found no columns patient_id and side in {path}, expected them beside the outcomes; add them")
    head = [name.strip() for name in rows[0]]
    again = sorted({name for name in head if head.count(name) > 1})
    if again:
        raise DataError(f"found the column {again[0]!r} more than once in {path}, expected it once; remove the others")
    wrong = [name for name in head if name not in AXILLA_KEY and not is_outcome(name)]
    if wrong:
        raise DataError(
            f"found the column {wrong[0]!r} in {path}, which is known before surgery, expected outcomes alone; the "
            "lock seals it with the cases"
        )
    for number, row in enumerate(rows[1:], start=2):
        if row and len(row) != len(head):
            raise DataError(f"found {len(row)} cells in row {number} of {path}, expected {len(head)}; correct the row")
    table = pd.DataFrame([row for row in rows[1:] if row], columns=head).map(lambda cell: cell.strip() or None)
    for number, patient in enumerate(table["patient_id"], start=2):
        if patient is None:
            raise DataError(f"found no patient_id in row {number} of {path}, expected one; correct the row")
    for number, side in enumerate(table["side"], start=2):
        if side not in set(map(str, Side)):
            raise DataError(f"found side = {side!r} in row {number} of {path}, expected {', '.join(Side)}")
    twice = table.duplicated(AXILLA_KEY)
    if twice.any():
        raise DataError(
            f"found an axilla for the second time in row {int(twice.to_numpy().argmax()) + 2} of {path}, expected each "
            "once; remove one"
        )
    return table


def with_outcomes(
    cases: pd.DataFrame, outcomes: pd.DataFrame, columns: Mapping[str, str], *, itc_positive: bool = False
) -> tuple[pd.DataFrame, int]:
    """Cases with the outcomes of a file, by the rules of :func:`usdlr.ingest.endpoints.normalise_endpoints`.

    Parameters
    ----------
    cases : DataFrame
        The ``cases`` table; what it holds of the file's columns must be empty.
    outcomes : DataFrame
        From :func:`read_outcomes`.
    columns : mapping of str to str
        Data type of columns that are no columns of ``cases``, such as ``{"proxy_x": "boolean"}``.
    itc_positive : bool
        Whether isolated tumour cells count as positive, as where raw exports are read.

    Returns
    -------
    DataFrame
        With the columns of the file; null where the file does not name the axilla.
    int
        Rows of the file that belong to no case.

    Raises
    ------
    DataError
        If the cases hold such an outcome already, a value cannot be read, or an axilla's endpoints contradict.
    """
    kinds = {column.name: column.dtype for column in CASES} | dict(columns)
    out = cases.copy()
    keyed = outcomes.set_index(AXILLA_KEY)
    keys = pd.MultiIndex.from_frame(cases[AXILLA_KEY].astype("str"))
    for name in keyed.columns:
        if name in out and out[name].notna().any():
            raise DataError(
                f"found {name} both in the cases and in the file of outcomes, expected it in one of them; leave one out"
            )
        kind = kinds.get(str(name), "boolean")
        values = [_value(value, kind, str(name)) for value in keyed[name]]
        out[name] = pd.Series(values, index=keyed.index, dtype=object).reindex(keys).to_numpy()
    strangers = len(keyed.index.difference(keys))
    return _by_the_rules(out, keyed.index.get_indexer(keys), itc_positive), strangers


def _by_the_rules(cases: pd.DataFrame, rows: npt.NDArray[np.intp], itc_positive: bool) -> pd.DataFrame:
    """The endpoints of every case that the file names, made of what its table and the file say together.

    ``rows`` is each case's row of the file, -1 for none.
    """
    asked = [name for name in (*NODE_ENDPOINTS, "sln_deposit", "axillary_surgery", "neoadjuvant") if name in cases]
    before = cases[asked].astype(object)
    made: dict[str, list[object]] = {}
    for at, (row, values) in enumerate(zip(rows, before.to_dict("records"), strict=True)):
        if row < 0:
            continue
        try:
            found = normalise_endpoints({str(name): value for name, value in values.items()}, itc_positive=itc_positive)
        except CaseError as error:
            raise DataError(f"row {int(row) + 2} of the outcomes: {error.sentence}") from error
        for name in NODE_ENDPOINTS:
            if name in cases or found.get(name) is not None:
                old = list(before[name]) if name in before else [None] * len(cases)
                made.setdefault(name, old)[at] = found.get(name)
    return cases.assign(**{name: pd.Series(values, cases.index, dtype=object) for name, values in made.items()})


def _value(value: object, kind: str, name: str) -> object:
    if value is None or pd.isna(value):  # type: ignore[call-overload]  # a cell
        return None
    text = str(value).strip()
    if kind == "boolean":
        if text.lower() in _TRUE:
            return True
        if text.lower() in _FALSE:
            return False
        raise DataError(f"found {name} = {text!r} among the outcomes, expected true or false, or nothing")
    if kind in ("float64", "Int64"):
        try:
            return float(text.replace(",", "."))
        except ValueError as error:
            raise DataError(f"found {name} = {text!r} among the outcomes, expected a number") from error
    return text
