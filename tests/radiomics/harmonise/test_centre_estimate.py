"""Missing values count nowhere; what cannot be estimated is left as measured and listed with its reason."""

from __future__ import annotations

import numpy as np
import pytest

from tests.radiomics.combat_data import Centres, centres, deviation, fitted, neurocombat, train, transformed, where
from usdlr.core.errors import DataError
from usdlr.core.leak import Rows
from usdlr.radiomics.harmonise.centre_policy import SENTENCES, Policy, Reason, UnharmonisedWarning


def test_each_feature_is_fitted_on_the_rows_that_have_it() -> None:
    """Without shrinkage features do not know each other: each one's truth is neuroCombat on its own rows."""
    data = centres(features=8)
    rng = np.random.default_rng(4)
    holes = data.X.copy()
    holes[rng.random(holes.shape) < 0.25] = np.nan
    holes[:20, :3] = np.nan  # a modality that most of centre A lacks
    holes[5, 7] = np.inf
    given = Centres(holes, data.centre, data.covariates)
    model = fitted(given, eb=False, continuous=("age_years",), categorical=("cn_stage",))
    found = transformed(model, given)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(holes))
    assert np.isposinf(found[5, 7])
    for f in range(8):
        has = np.isfinite(holes[:, f])
        alone = Centres(
            holes[has][:, [f]], [n for n, h in zip(data.centre, has, strict=True) if h], data.covariates[has]
        )
        expected = neurocombat(alone, covariates=True, eb=False)["data"][0]
        np.testing.assert_allclose(found[has, f], expected, rtol=1e-9)


@pytest.mark.parametrize("parametric", [True, False])
def test_rows_without_any_value_do_not_count(parametric: bool) -> None:
    data = centres()
    empty = np.arange(len(data.X)) % 5 == 2
    holes = np.where(empty[:, None], np.nan, data.X)
    model = fitted(Centres(holes, data.centre, data.covariates), parametric=parametric)
    expected = neurocombat(data.take(~empty), parametric=parametric)["data"].T
    assert deviation(transformed(model, Centres(holes, data.centre, data.covariates))[~empty], expected, data.X) < 1e-11


def test_a_centre_of_one_patient_is_left_as_measured_and_bends_nobody_else() -> None:
    data = centres((23, 31, 1))
    model = fitted(data)
    with pytest.warns(UnharmonisedWarning, match=r"1 rows of centre C are not harmonised \(none of its features"):
        found = transformed(model, data)
    np.testing.assert_array_equal(found[-1], data.X[-1])
    two = data.take(where(data, "A", "B"))
    assert deviation(found[:-1], neurocombat(two)["data"].T, data.X) < 1e-11
    assert model.policy_of(["C"]) == [Policy.NONE]
    assert {(one.centre, one.reason) for one in model.passed_through_} == {("C", Reason.TOO_FEW)}
    assert len(model.passed_through_) == 30
    assert model.patients_ == [23, 31, 1]


def test_images_of_one_patient_are_not_a_centre() -> None:
    data = centres((23, 31, 6))
    rows = Rows.of([*data.rows.patient_id[:54], *["patient-last"] * 6], ["train"] * 60)
    with pytest.warns(UnharmonisedWarning):
        found = transformed(fitted(data, rows), data)
    np.testing.assert_array_equal(found[54:], data.X[54:])


def test_a_feature_that_cannot_be_estimated_is_listed_with_its_reason() -> None:
    data = centres(features=12)
    X = data.X.copy()
    a, b, c = (where(data, name) for name in "ABC")
    X[b, 0] = 4.25  # constant in one centre
    X[a, 1] = np.nan  # missing in one centre
    X[np.flatnonzero(c)[1:], 2] = np.nan  # a single patient has it
    X[a | b, 3] = np.nan  # one centre alone has it
    X[:, 4] = 7.0  # constant everywhere
    X[:, 5] = np.nan  # nowhere
    given = Centres(X, data.centre, data.covariates)
    model = fitted(given, eb=False)
    found = transformed(model, given)
    assert {(one.centre, one.feature): one.reason for one in model.passed_through_} == {
        ("B", "x0"): Reason.CONSTANT,
        ("A", "x1"): Reason.TOO_FEW,
        ("C", "x2"): Reason.TOO_FEW,
        ("A", "x3"): Reason.TOO_FEW,
        ("B", "x3"): Reason.TOO_FEW,
        ("C", "x3"): Reason.ONE_CENTRE,
        **{(n, "x4"): Reason.CONSTANT for n in "ABC"},
        **{(n, "x5"): Reason.TOO_FEW for n in "ABC"},
    }
    assert model.passed_through_[0].sentence.startswith("x1 of centre A is left as measured: too few patients")
    for f, left in ((0, b), (1, a), (2, c)):
        np.testing.assert_array_equal(found[left, f], X[left, f])
        rest = given.take(~left)
        expected = neurocombat(Centres(rest.X[:, [f]], rest.centre, rest.covariates), eb=False)["data"][0]
        np.testing.assert_allclose(found[~left, f], expected, rtol=1e-9)
    np.testing.assert_array_equal(found[:, 3:6], X[:, 3:6])
    assert np.isfinite(transformed(fitted(given), given)[:, 6:]).all()
    assert all(np.isfinite(part).all() for part in (model.shift_, model.spread_, model.scale_.mean))


def test_other_reasons() -> None:
    data = centres(features=6)
    X, table = data.X.copy(), data.covariates.copy()
    c = where(data, "C")
    old = np.arange(len(X)) % 3 == 0
    table["neoadjuvant"] = np.where(old, "yes", "no")
    X[old, 0] = np.nan  # the rows that have it are all "no"
    X[:, 1] = 3.0 * table["age_years"] + np.where(c, 10.0, 0.0)  # nothing but covariate and centre
    given = Centres(X, data.centre, table)
    model = fitted(given, eb=False, continuous=("age_years",), categorical=("neoadjuvant",))
    assert {(one.feature, one.reason) for one in model.passed_through_} == {
        ("x0", Reason.CONFOUNDED),
        ("x1", Reason.NO_VARIANCE),
    }
    np.testing.assert_array_equal(transformed(model, given)[:, :2], X[:, :2])

    X = data.X.copy()
    X[where(data, "B"), 2] = np.nan
    X[np.ix_(c, np.arange(1, 6))] = np.nan  # one feature has nothing to share a prior with
    given = Centres(X, data.centre, table)
    model = fitted(given, reference="B")
    found = {(one.centre, one.feature): one.reason for one in model.passed_through_}
    assert found["A", "x2"] == Reason.NO_REFERENCE
    assert found["C", "x0"] == Reason.NO_PRIOR
    assert set(SENTENCES) == set(Reason)


def test_nothing_to_compare_is_an_error() -> None:
    data = centres()
    single = data.take(where(data, "A"))
    with pytest.raises(DataError, match=r"found no feature that can be compared between the centres \(1 of them\)"):
        fitted(single)
    with pytest.raises(DataError, match="leave harmonisation out"):
        fitted(Centres(data.X[:, :1], data.centre, data.covariates))  # one feature has no prior
    with pytest.raises(DataError, match="found no row of the reference centre Z, expected it among A, B, C"):
        fitted(data, reference="Z")
    with pytest.raises(DataError, match="found 71 rows of features but 70 patients"):
        fitted(data, train(70))
    with pytest.raises(DataError, match="found 1 rows without a centre"):
        fitted(Centres(data.X, [*data.centre[:-1], None], data.covariates))  # type: ignore[list-item]  # the fault
    with pytest.raises(DataError, match="found 70 centres, expected 71"):
        fitted(Centres(data.X, data.centre[:-1], data.covariates))
    with pytest.raises(DataError, match="found no rows"):
        fitted(data.take(np.zeros(71, dtype=bool)), train(0))
