"""Published scores: hand arithmetic from the published points, and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from usdlr.baselines.comparator_fields import Field
from usdlr.baselines.comparators import (
    AXILLARY_ULTRASOUND,
    COMPARATORS,
    UNAVAILABLE,
    comparator_fields,
    comparator_named,
    score_row,
    score_table,
)
from usdlr.core.columns import CASES, model_variables
from usdlr.core.errors import ConfigError, DataError

# Points by hand, 50 years: 34.5 - 17.25 = 17.25; 2 cm: 0.31544 - 3.3364 + 26.86 + 1.759 = 25.59804.
DUCTAL: dict[str, Any] = {
    "age_years": 50.0,
    "tumour_size_mm": 20.0,
    "histological_type": "ductal",
    "nuclear_grade": 2,
    "upper_inner": False,
    "lymphovascular_invasion": False,
    "multifocal": False,
    "er_positive": True,
    "pr_positive": True,
}
Z0011: dict[str, Any] = {
    "ct_stage": "cT1",
    "palpable_nodes": False,
    "sln_positive_count": 2,
    "breast_conservation": True,
    "whole_breast_irradiation": True,
}


@pytest.mark.parametrize(
    ("change", "points"),
    [
        # 17.25 + 25.59804 + 7.2 + 18.7 + 5.83 + 5.8 + 4.4
        ({}, 84.77804),
        # lobular: 10.5 in place of the grade, which is needless
        ({"histological_type": "lobular", "nuclear_grade": None}, 88.07804),
        # special type: 18.7 less
        ({"histological_type": "special"}, 66.07804),
        ({"nuclear_grade": 1}, 77.57804),
        ({"nuclear_grade": 3}, 86.57804),
        ({"upper_inner": True}, 78.94804),
        ({"er_positive": False, "pr_positive": False}, 74.57804),
        # 70 years: 34.5 - 24.15 = 10.35, 6.9 less; 1 cm: 0.03943 - 0.8341 + 13.43 + 1.759 = 14.39433, 11.20371 less
        ({"age_years": 70.0, "tumour_size_mm": 10.0}, 66.67433),
    ],
)
def test_mskcc_points_by_hand(change: dict[str, Any], points: float) -> None:
    result = score_row(DUCTAL | change, "mskcc_sln")
    assert result.points == pytest.approx(points, abs=1e-9)
    assert result.extrapolated is False
    assert result.reasons == ()


def test_mskcc_probability_by_hand() -> None:
    # logit = -5.63 + 0.0589 * 84.77804 = -0.636573...; exp = 0.52910; 0.52910 / 1.52910 = 0.34602
    assert score_row(DUCTAL, "mskcc_sln").probability == pytest.approx(0.34602, abs=5e-5)


def test_mskcc_beyond_its_curve_is_marked() -> None:
    # + 18.2 + 11.7 = 114.67804
    result = score_row(DUCTAL | {"lymphovascular_invasion": True, "multifocal": True}, "mskcc_sln")
    assert result.points == pytest.approx(114.67804, abs=1e-9)
    assert result.extrapolated is True
    assert "the published curve ends at 101" in result.reasons[0]
    # Age 110: 34.5 - 37.95 = -3.45 points.
    old = score_row(DUCTAL | {"age_years": 110.0}, "mskcc_sln")
    assert old.extrapolated is True
    assert old.points == pytest.approx(84.77804 - 20.7, abs=1e-9)


@pytest.mark.parametrize("name", [*DUCTAL])
def test_a_missing_field_refuses_and_is_never_negative(name: str) -> None:
    for gap in (None, np.nan, pd.NA):
        with pytest.raises(DataError, match=f"found no {name} for the MSKCC.*never read as negative"):
            score_row(DUCTAL | {name: gap}, "mskcc_sln")
    with pytest.raises(DataError, match=f"found no {name}"):
        score_row({key: value for key, value in DUCTAL.items() if key != name}, "mskcc_sln")


@pytest.mark.parametrize(
    "wrong",
    [
        {"age_years": 130},
        {"tumour_size_mm": -1},
        {"nuclear_grade": 4},
        {"nuclear_grade": 1.5},
        {"er_positive": "no"},
        {"er_positive": 2},
        {"histological_type": "mucinous"},
        {"age_years": "50"},
        {"tumour_size_mm": np.inf},
    ],
)
def test_an_impossible_value_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=f"found {next(iter(wrong))} = .* expected"):
        score_row(DUCTAL | wrong, "mskcc_sln")


def test_z0011_covers_one_and_two_nodes_and_says_why_not() -> None:
    assert score_row(Z0011, "acosog_z0011").eligible is True
    assert score_row(Z0011 | {"sln_positive_count": 1, "ct_stage": "cT2"}, "acosog_z0011").eligible is True
    for change, words in (
        ({"sln_positive_count": 3}, "3 positive sentinel nodes"),
        ({"sln_positive_count": 0}, "0 positive sentinel nodes"),
        ({"ct_stage": "cT3"}, "clinical stage cT3"),
        ({"palpable_nodes": True}, "palpable axillary nodes"),
        ({"breast_conservation": False}, "no breast conservation"),
        ({"whole_breast_irradiation": False}, "no whole-breast irradiation"),
    ):
        result = score_row(Z0011 | change, "acosog_z0011")
        assert result.eligible is False
        assert len(result.reasons) == 1
        assert words in result.reasons[0]
    both = score_row(Z0011 | {"palpable_nodes": True, "ct_stage": "cT4"}, "acosog_z0011")
    assert len(both.reasons) == 2


@pytest.mark.parametrize("name", [*Z0011])
def test_z0011_refuses_what_is_not_known(name: str) -> None:
    with pytest.raises(DataError, match=f"found no {name}"):
        score_row(Z0011 | {name: None}, "acosog_z0011")


def test_table_keeps_every_row_with_status_reason_and_fields() -> None:
    cases = pd.DataFrame([DUCTAL, DUCTAL | {"multifocal": None}, DUCTAL | {"multifocal": True}], index=["a", "b", "c"])
    cases["lymphovascular_invasion"] = pd.array([False, False, True], dtype="boolean")
    table = score_table(cases, "mskcc_sln")
    assert list(table.index) == ["a", "b", "c"]
    assert list(table["status"]) == ["ok", "refused", "ok"]
    assert "found no multifocal" in str(table.loc["b", "reason"])
    assert table.loc["b", ["points", "probability", "eligible", "extrapolated"]].isna().all()
    assert list(table["extrapolated"].dropna()) == [False, True]
    used = str(table.loc["a", "postoperative_fields"]).split()
    assert "lymphovascular_invasion" in used
    assert "nuclear_grade" in used
    assert "age_years" not in used
    assert "points [C, secondary digitisation" in str(table.loc["a", "provenance"])
    assert "probability [R" in str(table.loc["a", "provenance"])
    lobular = score_table(cases.assign(histological_type="lobular"), "mskcc_sln")
    assert "nuclear_grade" not in str(lobular.loc["a", "postoperative_fields"]).split()


def test_an_empty_table_and_one_of_refusals_keep_their_columns() -> None:
    for cases in (pd.DataFrame([DUCTAL]).iloc[:0], pd.DataFrame({"age_years": [50.0]})):
        table = score_table(cases, "acosog_z0011")
        assert len(table) == len(cases)
        assert str(table["eligible"].dtype) == "boolean"
        assert set(table["status"]) <= {"refused"}


def test_the_statement_prints_marks_validity_and_fields() -> None:
    words = COMPARATORS["mskcc_sln"].statement()
    for part in ("[C, secondary digitisation", "[R, smooth fit", "101 points", "AUC 0.754", "lymphovascular_invasion"):
        assert part in words
    assert "[M" not in words + COMPARATORS["acosog_z0011"].statement()


@pytest.mark.parametrize("name", ["tenon", "mskcc_nsln", "stanford", "md_anderson", "cambridge"])
def test_unconfirmed_scores_are_not_implemented(name: str) -> None:
    assert name in UNAVAILABLE
    assert name not in COMPARATORS
    with pytest.raises(ConfigError, match=f"found comparator '{name}', which is not available"):
        comparator_named(name)
    with pytest.raises(ConfigError, match="expected one of mskcc_sln, acosog_z0011"):
        comparator_named("nomogram")


def test_axillary_ultrasound_is_a_printed_reference() -> None:
    words = [rate.sentence() for rate in AXILLARY_ULTRASOUND]
    assert words[0].startswith("axillary ultrasound, sensitivity: 51 % (43-59) [C, ")
    assert [rate.value for rate in AXILLARY_ULTRASOUND] == [0.51, 1.0, 0.28, 0.96]
    assert all("PMC8038849" in sentence for sentence in words)


def test_fields_agree_with_the_cases_table_and_no_model_reads_a_guarded_one() -> None:
    known = {column.name: column for column in CASES}
    for comparator in COMPARATORS.values():
        for field in comparator.fields:
            if field.in_cases:
                assert field.preoperative == known[field.name].preoperative
                assert field.unit == known[field.name].unit
        assert not set(comparator.postoperative_fields) & set(model_variables())
        table = comparator_fields(comparator.name)
        assert list(table["field"]) == [field.name for field in comparator.fields]
    with pytest.raises(ValueError, match="preoperative"):
        Field("lymphovascular_invasion", "x", boolean=True, preoperative=True)
