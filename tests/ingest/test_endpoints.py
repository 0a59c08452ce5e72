from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.ingest.endpoints import normalise_endpoints

Case = tuple[str, dict[str, Any], dict[str, Any]]

NEGATIVE = {"sln_positive": False, "nsln_positive": False}

# What is stated, and what has to come out of it (every other value stays).
RULES: list[Case] = [
    ("isolated tumour cells are negative", {"sln_deposit": "itc", "sln_positive": None}, NEGATIVE),
    ("even if stated positive", {"sln_deposit": "itc", "sln_positive": True}, NEGATIVE),
    ("no deposit is negative", {"sln_deposit": "none", "sln_positive": None}, NEGATIVE),
    ("micrometastases are positive", {"sln_deposit": "micro", "sln_positive": None}, {"sln_positive": True}),
    ("macrometastases are positive", {"sln_deposit": "macro", "sln_positive": True}, {"sln_positive": True}),
    ("an unknown deposit changes nothing", {"sln_deposit": None, "sln_positive": True}, {}),
    ("unknown stays unknown", {"sln_positive": None, "nsln_positive": None, "axillary_surgery": None}, {}),
    (
        "a negative sentinel node makes the others structurally negative",
        {"sln_positive": False, "nsln_positive": None},
        NEGATIVE,
    ),
    (
        "without dissection the others are unknown",
        {"sln_positive": True, "nsln_positive": False, "axillary_surgery": "slnb"},
        {"nsln_positive": None},
    ),
    (
        "without any surgery too",
        {"sln_positive": True, "nsln_positive": False, "axillary_surgery": "none", "sln_reference": "needle"},
        {"nsln_positive": None},
    ),
    (
        "dissection tells",
        {"sln_positive": True, "nsln_positive": False, "axillary_surgery": "alnd"},
        {},
    ),
    (
        "an unknown operation is taken at its word",
        {"sln_positive": True, "nsln_positive": True, "axillary_surgery": None},
        {},
    ),
    (
        "a lower bound without dissection stays",
        {"sln_positive": True, "nsln_positive": None, "axillary_surgery": "slnb", "positive_nodes": 2},
        {},
    ),
    (
        "an unknown sentinel node says nothing about the others",
        {"sln_positive": None, "nsln_positive": True, "axillary_surgery": "alnd"},
        {},
    ),
    (
        "neoadjuvant treatment blurs every node",
        {
            "neoadjuvant": True,
            "sln_positive": False,
            "nsln_positive": False,
            "positive_nodes": 0,
            "removed_nodes": 12,
            "sln_positive_count": 0,
            "sln_removed_count": 2,
            "age_years": 61.0,
            "dfs_event": False,
        },
        {
            "sln_positive": None,
            "nsln_positive": None,
            "positive_nodes": None,
            "removed_nodes": None,
            "sln_positive_count": None,
            "sln_removed_count": None,
        },
    ),
    (
        "no neoadjuvant treatment blurs nothing",
        {"neoadjuvant": False, "sln_positive": True, "nsln_positive": True, "axillary_surgery": "alnd"},
        {},
    ),
]


@pytest.mark.parametrize(("stated", "changed"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES])
@pytest.mark.parametrize("numpy_truth", [False, True])
def test_rules(stated: dict[str, Any], changed: dict[str, Any], numpy_truth: bool) -> None:
    given = {
        name: np.bool_(value) if numpy_truth and isinstance(value, bool) else value for name, value in stated.items()
    }
    before = dict(given)
    assert normalise_endpoints(given) == {**stated, **changed}
    assert given == before


@pytest.mark.parametrize("null", [None, float("nan"), pd.NA, np.nan, pd.NaT])
def test_null_is_never_negative(null: object) -> None:
    out = normalise_endpoints({"sln_positive": null, "nsln_positive": null, "sln_deposit": null, "neoadjuvant": null})
    assert out == {"sln_positive": None, "nsln_positive": None, "sln_deposit": None, "neoadjuvant": None}


def test_isolated_tumour_cells_may_be_counted_as_positive() -> None:
    row = {"sln_deposit": "itc", "sln_positive": None, "nsln_positive": None, "axillary_surgery": "alnd"}
    assert normalise_endpoints(row, itc_positive=True)["sln_positive"] is True
    assert normalise_endpoints(row, itc_positive=True)["nsln_positive"] is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"sln_deposit": "macro", "sln_positive": False}, "sln_positive = False beside sln_deposit = macro"),
        ({"sln_deposit": "micro", "sln_positive": np.False_}, "sln_positive = False beside sln_deposit = micro"),
        ({"sln_deposit": "none", "sln_positive": True}, "sln_positive = True beside sln_deposit = none"),
        ({"sln_positive": False, "nsln_positive": True}, "positive non-sentinel node beside a negative sentinel"),
        ({"sln_deposit": "itc", "nsln_positive": True}, "positive non-sentinel node beside a negative sentinel"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(row: dict[str, Any], message: str) -> None:
    with pytest.raises(CaseError, match=message) as caught:
        normalise_endpoints(row)
    assert caught.value.code is ExclusionCode.ENDPOINT_MISSING


def test_what_is_no_endpoint_passes_through() -> None:
    assert normalise_endpoints({"age_years": 50, "birads": "4a", "proxy_malignant": True}) == {
        "age_years": 50,
        "birads": "4a",
        "proxy_malignant": True,
    }
    assert normalise_endpoints({}) == {}
