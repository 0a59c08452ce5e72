from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from usdlr.core.endpoints import derived_endpoints
from usdlr.core.errors import DataError

# sln_positive, positive_nodes -> (n_positive, burden_ge3) without dissection, and with it. T true, F false, ? unknown,
# ! a contradiction.
RULES: list[tuple[bool | None, int | None, str, str]] = [
    (True, None, "T?", "T?"),
    (True, 0, "T?", "!!"),
    (True, 1, "T?", "TF"),
    (True, 2, "T?", "TF"),
    (True, 3, "TT", "TT"),
    (True, 12, "TT", "TT"),
    (False, None, "FF", "FF"),
    (False, 0, "FF", "FF"),
    (False, 1, "!!", "!!"),
    (False, 2, "!!", "!!"),
    (False, 3, "!!", "!!"),
    (None, None, "??", "??"),
    (None, 0, "??", "FF"),
    (None, 1, "T?", "TF"),
    (None, 2, "T?", "TF"),
    (None, 3, "TT", "TT"),
    (None, 12, "TT", "TT"),
]
COMBINATIONS = [
    (sln, count, surgery, with_it if surgery == "alnd" else without)
    for sln, count, without, with_it in RULES
    for surgery in (None, "none", "slnb", "alnd")
]
WORDS = {"T": True, "F": False, "?": None}


def cases(rows: list[tuple[Any, ...]], **further: Any) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["sln_positive", "positive_nodes", "axillary_surgery"], dtype=object)
    return table.astype({"sln_positive": "boolean", "positive_nodes": "Int64", "axillary_surgery": "str"}).assign(
        **further
    )


def plain(table: pd.DataFrame) -> list[list[Any]]:
    return [[None if value is pd.NA else value for value in row] for row in table.astype(object).to_numpy().tolist()]


@pytest.mark.parametrize(("sln", "count", "surgery", "expected"), COMBINATIONS)
def test_every_combination_alone(sln: bool | None, count: int | None, surgery: str | None, expected: str) -> None:
    table = cases([(sln, count, surgery)])
    if expected == "!!":
        with pytest.raises(DataError, match=r"in 1 of 1 rows \(the first is row 0\), expected .*; correct the table"):
            derived_endpoints(table)
        return
    derived = derived_endpoints(table)
    assert derived.dtypes.astype(str).to_dict() == {"n_positive": "boolean", "burden_ge3": "boolean"}
    assert plain(derived) == [[WORDS[letter] for letter in expected]]


def test_rows_of_one_table_do_not_touch_each_other() -> None:
    good = [combination for combination in COMBINATIONS if combination[3] != "!!"]
    table = cases([combination[:3] for combination in good])
    table.index = pd.Index([7] * len(table))  # a cohort's rows may keep the index of a larger table
    derived = derived_endpoints(table)
    assert derived.index.equals(table.index)
    assert plain(derived) == [[WORDS[letter] for letter in expected] for *_, expected in good]


def test_after_neoadjuvant_treatment_nothing_is_known() -> None:
    rows = [(True, 4, "alnd"), (False, 0, "slnb"), (False, 2, "alnd"), (True, 4, "alnd"), (True, 4, "alnd")]
    treated = pd.array([True, True, True, False, None], dtype="boolean")
    derived = derived_endpoints(cases(rows, neoadjuvant=treated))
    assert plain(derived) == [[None, None]] * 3 + [[True, True]] * 2


def test_isolated_tumour_cells_that_count_as_positive_are_no_contradiction() -> None:
    rows = [(True, 0, "alnd"), (True, 0, "alnd")]
    assert plain(derived_endpoints(cases(rows[:1], sln_deposit="itc"))) == [[True, False]]
    with pytest.raises(DataError, match=r"in 1 of 2 rows \(the first is row 1\)"):
        derived_endpoints(cases(rows, sln_deposit=["itc", "macro"]))


def test_a_contradiction_is_counted_and_placed_without_naming_a_patient() -> None:
    rows = [(True, 1, "slnb"), (False, 1, "slnb"), (False, 3, "alnd"), (None, None, None)]
    with pytest.raises(DataError, match="found sln_positive = false beside a positive node in 2 of 4 rows") as caught:
        derived_endpoints(cases(rows, patient_id=["ann", "bob", "eve", "joe"]))
    assert "the first is row 1" in str(caught.value)
    assert "bob" not in str(caught.value)


@pytest.mark.parametrize("missing", ["sln_positive", "positive_nodes", "axillary_surgery"])
def test_a_missing_column_is_named(missing: str) -> None:
    with pytest.raises(DataError, match=f"found no column '{missing}'"):
        derived_endpoints(cases([(True, 1, "alnd")]).drop(columns=missing))


def test_no_rows_give_no_rows() -> None:
    assert derived_endpoints(cases([])).shape == (0, 2)
