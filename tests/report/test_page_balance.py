"""Cohort tables: counts that add up, missing values in rows of their own, and pairs named where there are several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from usdlr.decision.numbers import NBSP
from usdlr.evaluation.balance import study_balance
from usdlr.report.document import PageTable
from usdlr.report.inputs import StudyInputs
from usdlr.report.page_balance import balance_tables


def told(inputs: StudyInputs, **columns: Any) -> StudyInputs:
    axillae = inputs.axillae.assign(**columns)
    found = study_balance(inputs.labels, axillae)
    return replace(inputs, metrics={**inputs.metrics, "balance": found}, axillae=axillae)


def bare(inputs: StudyInputs) -> StudyInputs:
    """The study before anybody counted."""
    return replace(inputs, metrics={key: part for key, part in inputs.metrics.items() if key != "balance"})


def rows_of(table: PageTable) -> dict[str, tuple[str, ...]]:
    assert all(len(row) == len(table.head) for row in table.rows)
    return {row[0]: tuple(cell.replace(NBSP, " ") for cell in row[1:]) for row in table.rows}


@pytest.fixture(scope="module")
def plain(certified: StudyInputs) -> tuple[PageTable, ...]:
    return balance_tables(told(certified))


def test_three_tables_with_their_sizes(certified: StudyInputs, plain: tuple[PageTable, ...]) -> None:
    assert [table.caption for table in plain] == [
        "Axillae by centre",
        "Axillae by outcome, sentinel node positive",
        "SLN-positive axillae by outcome, non-sentinel node positive",
    ]
    sizes = certified.axillae["centre_id"].value_counts()
    assert plain[0].head[1:3] == tuple(f"{name}, n{NBSP}={NBSP}{sizes[name]}" for name in ("Coast", "Harbour"))
    assert "standardised difference" in plain[0].head[-1].lower()
    unknown = certified.labels["sln"].isna().sum()
    assert plain[1].head[3] == f"not known, n{NBSP}={NBSP}{unknown}"
    assert any("Not compared: not known." in note for note in plain[1].notes)


def test_numbers_are_those_of_pandas(certified: StudyInputs, plain: tuple[PageTable, ...]) -> None:
    rows = rows_of(plain[0])
    ages = certified.axillae.groupby("centre_id")["age_years"]
    for place, (mean, sd) in enumerate(zip(ages.mean(), ages.std(), strict=True)):
        assert rows["Age (years): mean (SD)"][place] == f"{mean:.1f} ({sd:.1f})"
    missing = certified.axillae["tumour_size_mm"].isna().groupby(certified.axillae["centre_id"]).sum()
    assert rows["Tumour size: not known"][:2] == tuple(str(n) for n in missing)
    assert "Age: not known" not in rows
    coast = certified.axillae[certified.axillae["centre_id"] == "Coast"]
    share = (coast["birads"] == "4b").mean()
    assert rows["BI-RADS: 4b"][0] == f"{(coast['birads'] == '4b').sum()} ({100 * share:.1f} %)"
    assert rows["BI-RADS"][:2] == ("", "")
    assert "sentinel biopsy (SLNB)" in " ".join(rows)
    assert rows["Age (years): mean (SD)"][-1].count("Coast") == 0  # two groups: nobody needs their names


def test_marks(uncertified: StudyInputs) -> None:
    assert all("uncertified)" in table.caption for table in balance_tables(told(uncertified)))


def test_many_centres_stand_in_several_tables(certified: StudyInputs) -> None:
    place = np.arange(len(certified.axillae))
    tables = balance_tables(told(certified, centre_id=[f"Centre {1 + one % 12}" for one in place]))
    assert [table.caption for table in tables[:3]] == [
        f"Axillae by centre, {part} of 12" for part in ("1 to 5", "6 to 10", "11 to 12")
    ]
    assert " and Centre " in rows_of(tables[0])["Age (years): mean (SD)"][-1]
    assert any("named" in note for note in tables[0].notes)
    assert sum(len(table.head) - 3 for table in tables[:3]) == 12


def test_scanners_that_no_two_centres_share(certified: StudyInputs) -> None:
    device = np.where(certified.axillae["centre_id"] == "Coast", "A", "B")
    assert rows_of(balance_tables(told(certified, device=device))[0])["Scanner"][-1] == (
        "not estimable (the groups share no level)"
    )


def test_patients_with_both_sides_are_told(certified: StudyInputs) -> None:
    assert "patients by group" not in balance_tables(told(certified))[0].notes[0]
    twice = [
        pd.concat([table, table.iloc[:20].assign(side=table["side"].iloc[:20].map({"left": "right", "right": "left"}))])
        for table in (certified.labels, certified.axillae)
    ]
    found = study_balance(*twice)
    note = balance_tables(replace(certified, metrics={**certified.metrics, "balance": found}))[0].notes[0]
    assert "280 axillae; patients by group" in note.replace(NBSP, " ")


def test_nothing_counted_and_little_known(certified: StudyInputs, study: Callable[..., StudyInputs]) -> None:
    assert balance_tables(bare(certified)) == ()
    alone = told(certified, centre_id="One", birads=None, tumour_size_mm=np.nan)
    first = rows_of(balance_tables(alone)[0])
    assert first["Age (years): mean (SD)"][-1] == "not estimable (fewer than two groups)"
    assert first["Tumour size (mm): mean (SD)"][0] == "–"
    assert first["BI-RADS: not known"][0] == str(len(certified.axillae))
    no_centre = certified.axillae.drop(columns="centre_id")
    found = study_balance(certified.labels, no_centre)
    tables = balance_tables(replace(certified, metrics={**certified.metrics, "balance": found}))
    assert len(tables) == 2
    assert any(note.startswith("No column: ") and "Centre" in note for note in tables[0].notes)
    assert len(balance_tables(told(study(patients=3, pictures=False)))) >= 3
