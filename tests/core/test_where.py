"""Who belongs to a cohort: nobody leaves it without a code, and nothing after surgery decides it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from usdlr.core import tables
from usdlr.core.columns import CASES
from usdlr.core.errors import ConfigError
from usdlr.core.where import COHORT_COLUMNS, checked_conditions, outside


def cases(*rows: dict[str, Any]) -> pd.DataFrame:
    base = {
        "centre_id": "north", "side": "left", "lesion_id": "1", "site": "tumour", "spacing_source": "manifest",
        "bmode_path": "a.png",
    }  # fmt: skip
    filled = [{**base, "image_id": f"i{n}", "patient_id": f"p{n}", **row} for n, row in enumerate(rows)]
    return tables.CASES.conform(pd.DataFrame(filled))


def codes(table: pd.DataFrame, where: dict[str, Any]) -> dict[str, str]:
    return {name: code for name, (code, _) in outside(table, checked_conditions(where)).items()}


def test_values_inside_outside_and_unknown() -> None:
    table = cases({"cn_stage": "cN0"}, {"cn_stage": "cN1"}, {"cn_stage": None}, {"cn_stage": "cNX"})
    found = codes(table, {"cn_stage": ["cN0"]})
    assert found == {"i1": "outside_cohort", "i2": "cohort_unknown", "i3": "outside_cohort"}


@pytest.mark.parametrize(
    ("condition", "left_out"),
    [
        ({"min": 18}, ["i0"]),
        ({"max": 80}, ["i3"]),
        ({"min": 18, "max": 80}, ["i0", "i3"]),
        ([18, 80], ["i0", "i3"]),
        ({"min": 18, "max": 18}, ["i0", "i2", "i3"]),
    ],
)
def test_both_bounds_belong_to_the_cohort(condition: Any, left_out: list[str]) -> None:
    table = cases({"age_years": 17.9}, {"age_years": 18}, {"age_years": 80}, {"age_years": 80.1})
    assert sorted(codes(table, {"age_years": condition})) == left_out


def test_a_truth_value_is_a_condition() -> None:
    table = cases({"neoadjuvant": False}, {"neoadjuvant": True}, {"neoadjuvant": None})
    assert codes(table, {"neoadjuvant": [False]}) == {"i1": "outside_cohort", "i2": "cohort_unknown"}


def test_all_conditions_must_hold_and_the_first_that_fails_is_told() -> None:
    table = cases({"cn_stage": "cN1", "age_years": 90}, {"cn_stage": "cN0"}, {"cn_stage": "cN0", "age_years": 50})
    where = checked_conditions({"cn_stage": ["cN0"], "age_years": {"max": 80}})
    found = outside(table, where)
    assert {name: code for name, (code, _) in found.items()} == {"i0": "outside_cohort", "i1": "cohort_unknown"}
    assert "cn_stage outside the cohort, expected cn_stage one of cN0 (data.where)" in found["i0"][1]
    assert "no age_years, expected age_years at most 80 (data.where); add the value" in found["i1"][1]


def test_the_sentence_does_not_tell_the_patients_value() -> None:
    (_, sentence), *_ = outside(cases({"age_years": 93.0}), checked_conditions({"age_years": {"max": 80}})).values()
    assert "93" not in sentence


def test_a_patients_value_holds_for_the_axilla_and_an_images_for_the_image() -> None:
    same = {"patient_id": "p"}
    table = cases(
        {**same, "cn_stage": "cN0", "vendor": "a"}, {**same, "cn_stage": None, "vendor": "b"},
        {**same, "cn_stage": "cN1", "side": "right"}, {**same, "cn_stage": "cN0", "side": "right"},
    )  # fmt: skip
    # Known on one image of the left side; contradicted on one of the right.
    assert codes(table, {"cn_stage": ["cN0"]}) == {"i2": "outside_cohort", "i3": "outside_cohort"}
    assert codes(table, {"vendor": ["a"]}) == {"i1": "outside_cohort", "i2": "cohort_unknown", "i3": "cohort_unknown"}


def test_what_belongs_to_one_examination_leaves_out_that_examination() -> None:
    table = cases({"days_us_to_surgery": 60}, {"patient_id": "p0", "days_us_to_surgery": 5})
    assert codes(table, {"days_us_to_surgery": {"max": 30}}) == {"i0": "outside_cohort"}


def test_what_is_said_of_a_lymph_node_is_not_said_of_the_tumour() -> None:
    table = cases(
        {"birads": "5"},
        {"patient_id": "p0", "site": "axilla", "birads": "2"},
        {"birads": None},
        {"patient_id": "p2", "site": "axilla", "birads": "5"},
    )
    assert codes(table, {"birads": ["4a", "4b", "4c", "5"]}) == {"i2": "cohort_unknown", "i3": "cohort_unknown"}


def test_without_conditions_nobody_is_left_out() -> None:
    assert outside(cases({}, {}), {}) == {}


def test_no_outcome_and_nothing_postoperative_chooses_patients() -> None:
    for column in CASES:
        if column.endpoint or not column.preoperative:
            assert column.name not in COHORT_COLUMNS
            name = "proxy_malignant" if column.pattern else column.name
            with pytest.raises(ConfigError, match=r"which is an outcome|only after surgery"):
                checked_conditions({name: [True]})
    with pytest.raises(ConfigError, match="burden_ge3, which is an outcome: patients chosen by it"):
        checked_conditions({"burden_ge3": [True]})


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"cn_stag": ["cN0"]}, "no column that a cohort can be chosen by, .* did you mean 'cn_stage'"),
        ({"patient_id": ["p1"]}, "no column that a cohort can be chosen by"),
        ({"site": ["axilla"]}, "no column that a cohort can be chosen by"),
        ({"cn_stage": ["cn0"]}, "expected some of cN0, .* did you mean 'cN0'"),
        ({"cn_stage": "cN0"}, r"expected a list of values or min and max, e\.g\. \{cn_stage: \[cN0\]\}"),
        ({"cn_stage": {"min": 0}}, "expected a list of values"),
        ({"cn_stage": []}, "expected one or more different values"),
        ({"cn_stage": ["cN0", "cN0"]}, "expected one or more different values"),
        ({"age_years": {}}, "expected min, max or both"),
        ({"age_years": {"minimum": 3}}, "expected min, max or both"),
        ({"age_years": {"min": 80, "max": 18}}, "min = 80 above max = 18"),
        ({"age_years": {"min": float("nan")}}, "expected finite numbers"),
        ({"age_years": {"min": "18"}}, "expected finite numbers"),
        ({"age_years": {"min": True}}, "expected finite numbers"),
        ({"age_years": ["18"]}, "expected one or more different values"),
        ({"neoadjuvant": ["no"]}, r"e\.g\. \{neoadjuvant: \[true\]\}"),
    ],
)
def test_refused_when_stated(where: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        checked_conditions(where)


def test_checked_conditions_are_plain_and_stay_as_they_are() -> None:
    # YAML reads category 3 as a number, and a tuple may come from code.
    found = checked_conditions({"birads": (3, "4a"), "age_years": {"max": 80, "min": 18}})
    assert found == {"birads": ["3", "4a"], "age_years": {"min": 18.0, "max": 80.0}}
    assert checked_conditions(found) == found
