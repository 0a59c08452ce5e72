"""Only what is known before surgery is kept, and only where it can be told from the centre."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.radiomics.combat_data import Centres, centres, fitted, transformed, where
from usdlr.core.errors import ConfigError, DataError
from usdlr.radiomics.harmonise.transformer import ComBat


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"categorical": ("sln_positive",)}, "'sln_positive', which is an outcome, so that keeping its effect would"),
        ({"continuous": ("positive_nodes",)}, "'positive_nodes', which is an outcome"),
        ({"categorical": ("proxy_malignant",)}, "'proxy_malignant', which is an outcome"),
        ({"categorical": ("lymphovascular_invasion",)}, "which is known only after surgery"),
        ({"categorical": ("vendor",)}, "which says how or where the patient was examined"),
        ({"categorical": ("centre_id",)}, "which says how or where the patient was examined"),
        ({"continuous": ("agee",)}, "'agee', which is not a variable of the cases table"),
        ({"continuous": ("cn_stage",)}, "which is not a number; name it in categorical"),
        ({"continuous": ("age_years",), "categorical": ("age_years",)}, "'age_years' twice"),
        ({"unseen": "ignore"}, "found unseen = 'ignore', expected one of refuse, none, local"),
        ({"local_prior": "none"}, "found local_prior = 'none', expected one of sample, training"),
        ({"min_local": 1}, "found min_local = 1, expected at least 2"),
        ({"tolerance": 0.0}, "found tolerance = 0.0, expected a positive number"),
    ],
)
def test_what_must_not_be_asked_for_is_refused(options: dict[str, Any], why: str) -> None:
    data = centres()
    table = data.covariates.assign(
        **{name: 1.0 for part in options.values() if isinstance(part, tuple) for name in part}
    )
    with pytest.raises(ConfigError, match=why):
        ComBat(**options).fit(data.X, rows=data.rows, centre=data.centre, covariates=table)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("age_years", lambda c: np.where(np.array(c) == "A", 50.0, 60.0), "age_years, which cannot be told from the"),
        ("age_years", lambda c: np.full(len(c), 50.0), "age_years, which does not vary over the training rows"),
        (
            "cn_stage",
            lambda c: [("cN0", "cN1")[i % 2] if n != "C" else "cN2" for i, n in enumerate(c)],
            r"cn_stage \(level cN2\), which cannot be told from the centre",
        ),
        (
            "tumour_size_mm",
            lambda c: np.arange(len(c)) * 1.5,
            "tumour_size_mm, which follows from the other covariates",
        ),
    ],
)
def test_a_covariate_confounded_with_the_centre_is_named(column: str, values: Any, message: str) -> None:
    data = centres()
    table = data.covariates.assign(age_years=np.arange(len(data.X)) * 2.0, cn_stage="cN0")
    table[column] = values(data.centre)
    numbers = ("age_years", "tumour_size_mm") if column == "tumour_size_mm" else ("age_years",)
    options: dict[str, Any] = {"categorical": ("cn_stage",)} if column == "cn_stage" else {"continuous": numbers}
    with pytest.raises(DataError, match=message):
        ComBat(**options).fit(data.X, rows=data.rows, centre=data.centre, covariates=table)


def test_a_covariate_must_be_known_in_every_row_that_is_changed() -> None:
    data = centres()
    model = fitted(data, continuous=("age_years",), categorical=("cn_stage",), unseen="none", reference="B")
    holes = data.covariates.assign(age_years=data.covariates["age_years"].where(~where(data, "B")))
    found = model.transform(data.X, centre=data.centre, covariates=holes)  # the reference centre needs none
    np.testing.assert_array_equal(found, transformed(model, data))
    holes.loc[0, "age_years"] = np.nan
    with pytest.raises(DataError, match="found 1 of 23 rows without age_years"):
        model.transform(data.X, centre=data.centre, covariates=holes)
    strange = data.covariates.assign(cn_stage=np.where(where(data, "C"), "cN3", "cN0"))
    with pytest.raises(
        DataError, match="found cn_stage = cN3 in 17 rows, expected one of cN0, cN1, cN2 as in training"
    ):
        model.transform(data.X, centre=data.centre, covariates=strange)
    with pytest.raises(DataError, match="found no covariate 'cn_stage'"):
        model.transform(data.X, centre=data.centre)
    with pytest.raises(DataError, match="found 3 rows of covariates, expected 71"):
        model.transform(data.X, centre=data.centre, covariates=data.covariates.iloc[:3])


def test_levels_mean_the_same_whatever_type_holds_them() -> None:
    data = centres()
    grade = np.random.default_rng(0).integers(1, 4, len(data.X))
    answers = []
    for values in (pd.Series(grade, dtype="Int64"), pd.Series(grade.astype(float)), pd.Series(grade.astype(object))):
        table = data.covariates.assign(grade_core_biopsy=values, neoadjuvant=pd.Series(grade > 2, dtype="boolean"))
        options: dict[str, Any] = {"categorical": ("grade_core_biopsy",)}
        model = ComBat(**options).fit(data.X, rows=data.rows, centre=data.centre, covariates=table)
        answers.append(model.transform(data.X, centre=data.centre, covariates=table))
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0], answers[2])
    two = fitted(Centres(data.X, data.centre, table), categorical=("neoadjuvant",))
    plain = table.assign(neoadjuvant=grade > 2)
    np.testing.assert_array_equal(
        two.transform(data.X, centre=data.centre, covariates=plain),
        transformed(two, Centres(data.X, data.centre, table)),
    )
