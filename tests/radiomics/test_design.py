"""The design table: what a model may read, and how tables join."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from usdlr.core.columns import CASES as COLUMNS
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.tables import CASES, FEATURES
from usdlr.radiomics.design import design_table, require_preoperative, unmeasured

MEAN = "bmode.intratumoral.original.firstorder.Mean"


def cases() -> pd.DataFrame:
    return CASES.conform(
        pd.DataFrame(
            {
                "centre_id": "a",
                "patient_id": ["p0", "p1", "p2"],
                "side": "left",
                "lesion_id": "1",
                "image_id": ["i0", "i1", "i2"],
                "site": "tumour",
                "spacing_source": "manifest",
                "bmode_path": "x.png",
                "tumour_size_mm": [10.0, None, 30.0],
                "grade_core_biopsy": [1, 2, None],
            }
        )
    )


def features() -> pd.DataFrame:
    return FEATURES.conform(
        pd.DataFrame(
            {
                "image_id": ["i2", "i0", "i9", "i1"],
                "status": "ok",
                "peritumoral_lost_fraction": 0.1,
                MEAN: [2.0, 0.0, 9.0, 1.0],
            }
        )
    )


@pytest.mark.parametrize(
    ("variable", "why"),
    [
        ("grade_surgical", "known only after surgery"),
        ("lymphovascular_invasion", "known only after surgery"),
        ("sln_positive", "an outcome"),
        ("positive_nodes", "an outcome"),
        ("dfs_months", "an outcome"),
        ("proxy_malignant", "an outcome"),
        ("n_positive", "an outcome"),
        ("neoadjuvant", "neither a numeric nor an ordered variable"),
        ("row_mm", "neither a numeric nor an ordered variable"),
        ("elasto_state", "neither a numeric nor an ordered variable"),
        ("image_id", "neither a numeric nor an ordered variable"),
        ("tumor_size", "neither a numeric nor an ordered variable"),
    ],
)
def test_guard_refuses(variable: str, why: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"data.clinical = '{variable}', which is {why}.* expected some of .*age_years"
    ):
        require_preoperative(["age_years", variable])
    with pytest.raises(ConfigError, match=why):
        design_table(features(), cases(), [variable])


def test_guard_lets_no_endpoint_and_nothing_postoperative_through() -> None:
    for column in COLUMNS:
        if column.endpoint or not column.preoperative:
            with pytest.raises(ConfigError):
                require_preoperative([column.name])


def test_rows_follow_cases_and_null_becomes_nan() -> None:
    table = design_table(features(), cases(), ["tumour_size_mm", "grade_core_biopsy"])
    assert list(table.index) == ["i0", "i1", "i2"]
    assert list(table.columns) == [MEAN, "clinical.tumour_size_mm", "clinical.grade_core_biopsy"]
    np.testing.assert_array_equal(table.to_numpy(), [[0, 10, 1], [1, np.nan, 2], [2, 30, np.nan]])
    assert set(map(str, table.dtypes)) == {"float64"}


def test_words_in_an_order_are_ranks_and_what_grades_nothing_is_missing() -> None:
    rows = cases().assign(cn_stage=pd.Series(["cN2", "cNX", None]), birads=["4c", "5", "0"])
    table = design_table(features(), rows, ["cn_stage", "birads"])
    np.testing.assert_array_equal(table["clinical.cn_stage"], [2, np.nan, np.nan])
    np.testing.assert_array_equal(table["clinical.birads"], [4, 5, np.nan])
    assert set(map(str, table.dtypes)) == {"float64"}
    with pytest.raises(DataError, match="found cn_stage = 'N1' in row 1"):
        design_table(features(), cases().assign(cn_stage=["cN0", "N1", "cN0"]), ["cn_stage"])


def test_where_nothing_was_measured_clinical_variables_are_left() -> None:
    found = unmeasured(cases())
    assert list(found["image_id"]) == ["i0", "i1", "i2"]
    assert set(found["status"]) == {"ok"}
    assert list(design_table(found, cases(), ["tumour_size_mm"]).columns) == ["clinical.tumour_size_mm"]
    assert design_table(found, cases(), []).shape == (3, 0)


def test_without_clinical_variables() -> None:
    assert list(design_table(features(), cases(), []).columns) == [MEAN]


def test_case_without_features_is_refused() -> None:
    measured = features()
    short = measured[measured["image_id"] != "i1"]
    with pytest.raises(DataError, match="found 1 cases without features, first i1"):
        design_table(short, cases(), [])
