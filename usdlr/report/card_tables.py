"""Tables of the data card: the way of the axillae, and what is known of them."""

from __future__ import annotations

import pandas as pd

from usdlr.decision.numbers import EN_DASH, count
from usdlr.decision.wording_cards import COUNTS_TWICE, LEFT_OUT
from usdlr.report import facts
from usdlr.report.document import PageTable
from usdlr.report.flow import flow_rows
from usdlr.report.inputs import StudyInputs

_WORDS = ("centre_id", "vendor", "device", "birads", "cn_stage", "neoadjuvant", "sln_reference", "sln_deposit")
_NUMBERS = ("age_years", "tumour_size_mm", "days_us_to_surgery", "dfs_months", "images")
_UNITS = {"age_years": "years", "tumour_size_mm": "mm", "days_us_to_surgery": "days", "dfs_months": "months"}
_TITLES = {
    "birads": "BI-RADS",
    "cn_stage": "Clinical node stage (cN)",
    "neoadjuvant": "Treated before axillary surgery",
    "sln_reference": "SLN status found by",
    "sln_deposit": "Largest deposit in the SLN",
    "device": "Scanner",
    "dfs_event": "Recurrence or death seen",
    "dfs_months": "Disease-free survival",
    "days_us_to_surgery": "From ultrasound to surgery",
    "images": "Image sets",
    "elastography": "Stiffness measured",
    "sln_positive_count": "Positive sentinel nodes",
    "sln_removed_count": "Removed sentinel nodes",
    "positive_nodes": "Positive nodes",
    "removed_nodes": "Removed nodes",
}
_ORDER = (*_WORDS, "axillary_surgery", "elastography", "dfs_event", *_NUMBERS)
_COUNTS = ("sln_positive_count", "sln_removed_count", "positive_nodes", "removed_nodes")


def flow_table(inputs: StudyInputs) -> PageTable:
    """Every step from the exports to the tested axillae, and what it left out."""
    rows = tuple(
        (
            row.title,
            *(EN_DASH if n is None else count(n) for n in (row.rows, row.axillae, row.patients)),
            "; ".join(f"{why} ({count(n)})" for why, n in row.left) or EN_DASH,
        )
        for row in flow_rows(inputs)
    )
    return PageTable(
        inputs.marks.title("From the exports to the tested axillae"),
        ("", "Rows (image sets)", "Axillae", "Patients", "Left out before (n)"),
        rows,
        (LEFT_OUT,),
        texts=(4,),
    )


def known_table(inputs: StudyInputs) -> PageTable:
    """What is known of the tested axillae, variable by variable, with what is missing."""
    n, rows = len(inputs.axillae), []
    columns = [name for name in (*_ORDER, *_COUNTS) if name in inputs.axillae]
    for column in columns:
        values = facts.known(inputs, column)
        rows.append(
            (
                _TITLES.get(column) or facts.variable_words(column).capitalize(),
                count(len(values)),
                count(n - len(values)),
                _summary(column, values) if len(values) else EN_DASH,
            )
        )
    return PageTable(
        inputs.marks.title(f"What is known of {count(n)} tested axillae"),
        ("", "Known (n)", "Missing (n)", "Median (quartiles), or counts"),
        tuple(rows),
        (COUNTS_TWICE,),
        texts=(3,),
    )


def _summary(column: str, values: pd.Series) -> str:
    if column in _NUMBERS or column in _COUNTS:
        return facts.spread(values, _UNITS.get(column, ""), 0)
    words = {"True": "yes", "False": "no"}
    return facts.counted({words.get(name, name): n for name, n in facts.tally(values).items()}, most=12)
