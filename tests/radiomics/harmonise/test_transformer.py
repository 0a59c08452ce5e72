"""Harmonisation takes the centre's effect out, leaves the patient's in, and sees training rows only."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from tests.radiomics.combat_data import (
    Centres,
    centres,
    deviation,
    fitted,
    sample_of,
    transformed,
    where,
)
from usdlr.core.errors import DataError, LeakError
from usdlr.core.leak import Rows
from usdlr.radiomics.harmonise.centre_policy import Policy
from usdlr.radiomics.harmonise.transformer import ComBat


def planted(seed: int = 0, count: int = 400) -> tuple[Centres, Any]:
    """Age drives every feature, patients of B are 15 years older, and B shifts by 3 and doubles the spread."""
    rng = np.random.default_rng(seed)
    batch = np.repeat([0, 1], count)
    age = 50 + 15.0 * batch + rng.normal(0, 8, 2 * count)
    slope = rng.uniform(0.02, 0.1, 25)
    X = 10 + age[:, None] * slope + np.where(batch == 1, 2.0, 1.0)[:, None] * rng.normal(size=(2 * count, 25))
    X[batch == 1] += 3.0
    names = ["A" if b == 0 else "B" for b in batch]
    return Centres(X, names, pd.DataFrame({"age_years": age})), slope


def slopes(X: Any, age: Any) -> Any:
    return np.polyfit(age, X, 1)[0]


def test_planted_effects_of_centres_go_and_the_covariates_effect_stays() -> None:
    data, slope = planted()
    age = data.covariates["age_years"].to_numpy()
    found = transformed(fitted(data, continuous=("age_years",)), data)
    residual = found - age[:, None] * slope
    a, b = residual[where(data, "A")], residual[where(data, "B")]
    # 400 patients per centre: a mean has a standard error of 0.08 at a spread of 1.6, a slope one of 0.01.
    assert np.abs(a.mean(axis=0) - b.mean(axis=0)).max() < 0.5 < 3.0
    assert np.abs(np.log(a.std(axis=0) / b.std(axis=0))).max() < 0.05 < np.log(2)
    assert np.abs(slopes(found, age) - slope).max() < 0.03
    # Without the covariate, the older centre's age goes with the scanner.
    bare = transformed(fitted(data), data)
    assert (slopes(bare, age) < 0.75 * slope).all()
    assert np.mean(slopes(data.X, age) - slope) > 0.05  # and before harmonisation, the scanner's shift looked like age


@pytest.mark.parametrize("mean_only", [True, False])
def test_without_shrinkage_means_and_variances_agree_exactly(mean_only: bool) -> None:
    data = centres()
    found = transformed(fitted(data, eb=False, mean_only=mean_only), data)
    sizes = [int(where(data, name).sum()) for name in "ABC"]
    within = sum(((data.X[where(data, n)] - data.X[where(data, n)].mean(axis=0)) ** 2).sum(axis=0) for n in "ABC")
    for name in "ABC":
        part = found[where(data, name)]
        np.testing.assert_allclose(part.mean(axis=0), data.X.mean(axis=0), rtol=1e-9)
        if not mean_only:
            np.testing.assert_allclose(part.var(axis=0, ddof=1), within / sum(sizes), rtol=1e-9)


def test_a_reference_centre_stays_as_measured_to_the_last_bit() -> None:
    data = centres()
    model = fitted(data, reference="B", continuous=("age_years",))
    np.testing.assert_array_equal(transformed(model, data)[where(data, "B")], data.X[where(data, "B")])
    assert model.policy_of(["B", "A"]) == [Policy.REFERENCE, Policy.FITTED]


def test_a_row_is_transformed_alike_alone_and_in_any_order() -> None:
    data, new = centres(), centres(seed=3)
    model = fitted(data, continuous=("age_years",), categorical=("cn_stage",))
    whole = transformed(model, new)
    order = np.random.default_rng(0).permutation(len(new.X))
    np.testing.assert_array_equal(transformed(model, new.take(order)), whole[order])
    one = new.take(np.array([40]))
    np.testing.assert_array_equal(transformed(model, one), whole[[40]])


def test_the_order_of_training_rows_does_not_matter() -> None:
    data, new = centres(), centres(seed=3)
    order = np.random.default_rng(0).permutation(len(data.X))
    first, second = fitted(data), fitted(data.take(order))
    assert deviation(transformed(second, new), transformed(first, new), data.X) < 1e-11


@pytest.mark.parametrize("split", ["tuning", "calibration", "test", "external"])
def test_a_single_row_of_another_split_is_refused(split: str) -> None:
    data = centres()
    count = len(data.X)
    mixed = Rows.of(data.rows.patient_id, ["train"] * (count - 1) + [split])
    with pytest.raises(LeakError, match=f"found 1 {split} rows in the fit of the harmonisation"):
        fitted(data, mixed)


def test_who_was_seen_is_remembered_but_never_written() -> None:
    data = centres()
    model = fitted(data, continuous=("age_years",), categorical=("cn_stage",))
    assert model.fitted_patients_ == data.rows.patients
    assert "patient-" not in json.dumps(model.to_dict())


def test_the_state_travels_as_plain_json() -> None:
    data, north = centres((23, 31, 17), features=12), centres((40,), seed=6, features=12, names=("North",))
    data.X[where(data, "B"), 3] = 1.0
    model = fitted(data, continuous=("age_years",), categorical=("cn_stage",), unseen="local")
    model = model.adapt(north.X, "North", rows=sample_of(north.X), covariates=north.covariates)
    text = json.dumps(model.to_dict(), allow_nan=False)
    restored = ComBat.from_dict(json.loads(text))
    np.testing.assert_array_equal(transformed(restored, data), transformed(model, data))
    np.testing.assert_array_equal(transformed(restored, north), transformed(model, north))
    assert restored.passed_through_ == model.passed_through_
    assert restored.get_params() == model.get_params()
    assert json.dumps(restored.to_dict(), allow_nan=False) == text
    bare = fitted(data)
    np.testing.assert_array_equal(
        transformed(ComBat.from_dict(json.loads(json.dumps(bare.to_dict()))), data), transformed(bare, data)
    )


def test_it_keeps_the_contract_of_scikit_learn() -> None:
    data = centres()
    model = ComBat(parametric=False, continuous=("age_years",), unseen="none")
    assert clone(model).get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        transformed(model, data)
    found = model.fit_transform(data.X, rows=data.rows, centre=data.centre, covariates=data.covariates)
    np.testing.assert_array_equal(found, transformed(model, data))
    assert not hasattr(clone(model), "scale_")
    np.testing.assert_array_equal(
        transformed(clone(model).fit(data.X, rows=data.rows, centre=data.centre, covariates=data.covariates), data),
        found,
    )


def test_columns_are_found_by_name() -> None:
    data = centres(features=5)
    table = pd.DataFrame(data.X, columns=list("vwxyz"))
    model = ComBat().fit(table, rows=data.rows, centre=data.centre)
    found = model.transform(table[list("zyxwv")].assign(more=1.0), centre=data.centre)
    np.testing.assert_array_equal(found, transformed(fitted(data), data))
    assert list(model.get_feature_names_out()) == list("vwxyz")
    framed = model.set_output(transform="pandas").transform(table, centre=data.centre)
    assert list(framed.columns) == list("vwxyz")
    with pytest.raises(DataError, match=r"found no feature 'w' \(and 1 more\)"):
        model.transform(table.drop(columns=["w", "y"]), centre=data.centre)
    with pytest.raises(DataError, match="found 4 columns, expected 5"):
        fitted(data).transform(data.X[:, :4], centre=data.centre)
    with pytest.raises(DataError, match="found the feature 'v' twice"):
        ComBat().fit(table[["v", "v"]], rows=data.rows, centre=data.centre)


def test_the_input_is_not_changed() -> None:
    data = centres()
    kept = data.X.copy()
    transformed(fitted(data), data)
    np.testing.assert_array_equal(data.X, kept)
