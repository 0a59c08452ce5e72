"""Labels per axilla: null is never negative, and what is left out says why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.types import Stage
from usdlr.experiment.cohort import axilla_labels, image_labels, is_simulated, select_cohort, stage_labels
from usdlr.experiment.data_settings import DataSettings, EndpointSettings

DATA = DataSettings(centre="simulated")


def cases(*rows: dict[str, Any]) -> pd.DataFrame:
    """A ``cases`` table with the given endpoints."""
    base = {
        "centre_id": "north", "side": "left", "lesion_id": "1", "site": "tumour", "spacing_source": "manifest",
        "bmode_path": "a.png", "row_mm": 0.1, "col_mm": 0.1,
    }  # fmt: skip
    filled = [{**base, "image_id": f"i{n}", "patient_id": f"p{n}", **row} for n, row in enumerate(rows)]
    return tables.CASES.conform(pd.DataFrame(filled))


def test_unknown_sentinel_status_is_excluded_with_its_own_code() -> None:
    table = cases(
        {"sln_positive": True, "nsln_positive": None, "neoadjuvant": False},
        {"sln_positive": None, "neoadjuvant": True},
        {"sln_positive": None, "neoadjuvant": None},
    )
    kept, excluded = select_cohort(table, DATA)
    assert list(kept["patient_id"]) == ["p0"]
    assert list(excluded["code"]) == ["neoadjuvant", "endpoint_missing"]
    assert set(excluded["step"]) == {"cohort"}


def test_null_is_not_negative() -> None:
    table = cases(
        {"sln_positive": True, "nsln_positive": None},
        {"sln_positive": True, "nsln_positive": True},
        {"sln_positive": False, "nsln_positive": False},
    )
    labels = axilla_labels(table, DATA)
    np.testing.assert_array_equal(labels["nsln"], [np.nan, 1.0, 0.0])
    # Stage 2 never trains on a sentinel-negative axilla, whose non-sentinel nodes are negative by definition.
    np.testing.assert_array_equal(stage_labels(labels, Stage.NSLN), [np.nan, 1.0, np.nan])


def test_images_of_one_axilla_share_its_label_and_both_sides_do_not() -> None:
    table = cases(
        {"patient_id": "p", "image_id": "a", "sln_positive": True},
        {"patient_id": "p", "image_id": "b", "sln_positive": True},
        {"patient_id": "p", "image_id": "c", "side": "right", "sln_positive": False},
    )
    labels = axilla_labels(table, DATA)
    assert len(labels) == 2
    np.testing.assert_array_equal(image_labels(table, labels, Stage.SLN), [1.0, 1.0, 0.0])


@pytest.mark.parametrize("other", [False, None])
def test_contradicting_images_of_one_axilla_are_refused(other: bool | None) -> None:
    table = cases(
        {"patient_id": "p", "image_id": "a", "sln_positive": True, "nsln_positive": True},
        {"patient_id": "p", "image_id": "b", "sln_positive": True, "nsln_positive": other},
    )
    with pytest.raises(DataError, match="different values of nsln_positive"):
        axilla_labels(table, DATA)


def test_label_with_three_values_is_refused() -> None:
    table = cases({"birads": "3"}, {"birads": "4a"}, {"birads": "5"})
    data = DataSettings(centre="simulated", sln=EndpointSettings("birads", "suspicious"))
    with pytest.raises(DataError, match=r"data\.sln\.column = 'birads' with 3 different values \(3, 4a, 5\)"):
        select_cohort(table, data)


def test_unknown_endpoint_column_names_the_candidates() -> None:
    data = DataSettings(centre="simulated", sln=EndpointSettings("sln_positiv", "x"))
    with pytest.raises(ConfigError, match=r"sln_positive"):
        select_cohort(cases({"sln_positive": True}), data)


def test_nobody_with_an_outcome_is_refused() -> None:
    with pytest.raises(DataError, match="no usable case among 1; the first is endpoint_missing"):
        select_cohort(cases({"sln_positive": None}), DATA)


@pytest.mark.parametrize("variable", ["grade_surgical", "lymphovascular_invasion", "sln_positive_count", "dfs_months"])
def test_model_that_reads_a_postoperative_variable_is_refused(variable: str) -> None:
    with pytest.raises(ConfigError, match=r"only after surgery|an outcome"):
        DataSettings(centre="simulated", clinical=["tumour_size_mm", variable])


def test_a_patient_outside_the_cohort_is_left_out_and_counted() -> None:
    table = cases(
        {"sln_positive": True, "cn_stage": "cN0"},
        {"sln_positive": True, "cn_stage": "cN1"},
        {"sln_positive": True, "cn_stage": None},
        {"sln_positive": None, "cn_stage": "cN2"},  # outside, whatever else is missing
        {"sln_positive": None, "cn_stage": "cN0"},
    )
    kept, excluded = select_cohort(table, DataSettings(centre="simulated", where={"cn_stage": ["cN0"]}))
    assert list(kept["patient_id"]) == ["p0"]
    assert dict(zip(excluded["patient_id"], excluded["code"], strict=True)) == {
        "p1": "outside_cohort",
        "p2": "cohort_unknown",
        "p3": "outside_cohort",
        "p4": "endpoint_missing",
    }
    assert set(excluded["step"]) == {"cohort"}
    assert len(select_cohort(table, DATA)[0]) == 3
    with pytest.raises(DataError, match="no usable case among 5; the first is"):
        select_cohort(table, DataSettings(centre="simulated", where={"cn_stage": ["cN3"]}))


def test_case_without_spacing_is_excluded_before_any_work() -> None:
    kept, excluded = select_cohort(cases({"sln_positive": True}, {"sln_positive": True, "row_mm": None}), DATA)
    assert list(kept["patient_id"]) == ["p0"]
    assert list(excluded["code"]) == ["spacing_missing"]


@pytest.mark.parametrize(
    ("adapter", "centre", "expected"),
    [
        ("simulated", "north", True),
        ("manifest", "simulated-north", True),  # the same folder, read as anybody's
        ("manifest", "north", False),
        ("breast_lesions_usg", "simulation-hospital", False),
    ],
)
def test_simulated_patients_are_told_by_adapter_or_centre(adapter: str, centre: str, expected: bool) -> None:
    assert is_simulated(cases({"centre_id": centre}), DataSettings(centre=adapter)) is expected


def test_an_endpoint_derived_from_node_counts_is_read_like_a_column() -> None:
    burden = DataSettings(
        centre="simulated",
        sln=EndpointSettings("n_positive", "any positive node"),
        nsln=EndpointSettings("burden_ge3", "three or more positive nodes"),
    )
    table = cases(
        {"sln_positive": True, "positive_nodes": 4, "axillary_surgery": "alnd"},
        {"sln_positive": True, "positive_nodes": 1, "axillary_surgery": "slnb"},
        {"sln_positive": True, "positive_nodes": 2, "axillary_surgery": "alnd"},
        {"sln_positive": False, "positive_nodes": 0, "axillary_surgery": "slnb"},
        {"sln_positive": None, "positive_nodes": None},
    )
    kept, excluded = select_cohort(table, burden)
    assert list(excluded["code"]) == ["endpoint_missing"]
    labels = axilla_labels(kept, burden)
    assert list(labels["sln"]) == [1.0, 1.0, 1.0, 0.0]
    # Without dissection one positive node is a lower bound: whether there are three is unknown, not "no".
    np.testing.assert_array_equal(stage_labels(labels, Stage.NSLN), [1.0, np.nan, 0.0, np.nan])


NODE = {"site": "axilla", "sln_positive": True}
BOTH = DataSettings(centre="simulated", sites=["tumour", "axilla"])


def test_lymph_nodes_are_read_where_asked_for_and_an_axilla_needs_its_tumour() -> None:
    table = cases(
        {"patient_id": "p", "sln_positive": True},
        {"patient_id": "p", **NODE},
        {"patient_id": "q", **NODE},
        {"patient_id": "r", "sln_positive": True, "row_mm": None},
        {"patient_id": "r", **NODE},
        {"patient_id": "s", "side": "right", "sln_positive": True},
        {"patient_id": "s", **NODE, "row_mm": None},
    )
    kept, excluded = select_cohort(table, BOTH)
    assert list(kept["image_id"]) == ["i0", "i1", "i5"]
    assert dict(zip(excluded["source_id"], excluded["code"], strict=True)) == {
        "i2": "tumour_missing", "i3": "spacing_missing", "i4": "tumour_missing", "i6": "spacing_missing",
    }  # fmt: skip
    kept, excluded = select_cohort(table, DATA)
    assert list(kept["image_id"]) == ["i0", "i5"]
    assert excluded["code"].value_counts().to_dict() == {"not_tumour": 4, "spacing_missing": 1}
    with pytest.raises(DataError, match="tumour_missing"):
        select_cohort(cases(NODE), BOTH)


def test_tables_train_on_no_image_of_a_node() -> None:
    table = cases({"patient_id": "p", "sln_positive": True}, {"patient_id": "p", **NODE})
    labels = axilla_labels(table, BOTH)
    assert len(labels) == 1
    np.testing.assert_array_equal(image_labels(table, labels, Stage.SLN), [1.0, np.nan])
