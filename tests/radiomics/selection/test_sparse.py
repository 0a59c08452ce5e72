"""LASSO and elastic net: scikit-learn's coefficients, its cross-validated losses, and the one-standard-error rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.radiomics.selector_data import column, correlated, fitted, people, planted
from usdlr.core.errors import DataError
from usdlr.radiomics.selection.logistic_path import logistic_path, strongest_penalty
from usdlr.radiomics.selection.sparse import ElasticNetSelector, LassoSelector, grouped_folds

Array = npt.NDArray[np.float64]


def peer(count: int, penalty: float, l1_ratio: float) -> LogisticRegression:
    return LogisticRegression(
        C=1 / (count * penalty), l1_ratio=l1_ratio, solver="saga", tol=1e-9, max_iter=200_000, random_state=0
    )


@pytest.mark.parametrize("l1_ratio", [1.0, 0.6, 0.1])
def test_the_path_is_scikit_learns_at_every_penalty(l1_ratio: float) -> None:
    X, y = correlated(90, 30)
    values = StandardScaler().fit_transform(X)
    first = strongest_penalty(values, y, l1_ratio)
    penalties = first * np.array([1.001, 0.5, 0.2, 0.05, 0.02])
    fits = logistic_path(values, y, penalties, l1_ratio)
    assert not fits.coefficients[0].any()
    assert logistic_path(values, y, np.array([0.98 * first]), l1_ratio).coefficients.any()
    for place, penalty in enumerate(penalties):
        expected = peer(len(y), penalty, l1_ratio).fit(values, y)
        np.testing.assert_allclose(fits.coefficients[place], expected.coef_[0], rtol=0, atol=2e-5)
        if place:  # saga stops before the intercept has settled where no coefficient moves
            assert fits.intercepts[place] == pytest.approx(expected.intercept_[0], abs=2e-5)
    assert fits.intercepts[0] == pytest.approx(np.log(y.mean() / (1 - y.mean())))


@pytest.mark.parametrize("seed", range(15, 21))
def test_every_penalty_meets_the_conditions_of_the_minimum(seed: int) -> None:
    """More columns than rows, all alike: with seed 19 a column enters that screening had set aside."""
    rng = np.random.default_rng(seed)
    parts = rng.normal(size=(30, 5))
    values = StandardScaler().fit_transform(parts @ rng.normal(size=(5, 60)) + 0.3 * rng.normal(size=(30, 60)))
    y = (parts[:, 0] + rng.normal(size=30) > 0).astype(float)
    penalties = strongest_penalty(values, y, 1.0) * np.geomspace(1, 0.02, 12)
    fits = logistic_path(values, y, penalties, 1.0)
    for penalty, slope, level in zip(penalties, fits.coefficients, fits.intercepts, strict=True):
        gradient = values.T @ (y - 1 / (1 + np.exp(-(values @ slope + level)))) / 30
        np.testing.assert_array_less(np.abs(gradient), penalty * (1 + 1e-4))
        np.testing.assert_allclose(gradient[slope != 0], penalty * np.sign(slope[slope != 0]), rtol=1e-3)


def test_classes_that_can_be_parted_perfectly_end_the_path_in_finite_numbers() -> None:
    X, y = planted(40, noise=60, strong=2)
    X[column("Perfect")] = y
    fits = logistic_path(StandardScaler().fit_transform(X), y, np.geomspace(0.3, 1e-3, 20), 1.0)
    assert np.isfinite(fits.coefficients).all()
    assert fits.coefficients[-1][X.columns.get_loc(column("Perfect"))] > 2


@pytest.mark.parametrize("selector", [LassoSelector(folds=4), ElasticNetSelector(0.5, folds=4)])
def test_the_chosen_model_is_scikit_learns(selector: ElasticNetSelector) -> None:
    X, y = correlated(120, 40, seed=2)
    fitted(selector, X, y)
    penalty = selector.path_.penalties[selector.path_.chosen]
    expected = peer(len(y), penalty, selector.l1_ratio).fit(StandardScaler().fit_transform(X), y)
    names = X.columns[np.abs(expected.coef_[0]) > 1e-6]
    assert set(selector.columns_) == set(names)
    coefficients = dict(zip(X.columns, expected.coef_[0], strict=True))
    assert selector.coefficients_ == pytest.approx({name: coefficients[name] for name in names}, abs=1e-5)


def test_cross_validated_deviance_and_the_rule_are_those_of_a_plain_loop() -> None:
    """scikit-learn fits every fold at every penalty; mean, standard error and rule by their definitions."""
    X, y = correlated(120, 30, seed=4)
    rows = people(120, images=2)
    selector = LassoSelector(folds=4, penalties=12).fit(X, y, rows=rows)
    path = selector.path_
    codes = np.repeat(np.arange(60), 2)
    held = grouped_folds(y, codes, 4, 0, "test")
    losses = np.empty((4, len(path.penalties)))
    for fold, test in enumerate(held):
        rest = np.setdiff1d(np.arange(120), test)
        for place, penalty in enumerate(path.penalties):
            model = make_pipeline(StandardScaler(), peer(len(rest), penalty, 1.0)).fit(X.iloc[rest], y[rest])
            losses[fold, place] = 2 * log_loss(y[test], model.predict_proba(X.iloc[test])[:, 1])
    weight = np.array([len(test) for test in held])
    mean = (weight[:, None] * losses).sum(axis=0) / weight.sum()
    error = np.sqrt((weight[:, None] * (losses - mean) ** 2).sum(axis=0) / weight.sum() / 3)
    np.testing.assert_allclose(path.deviance, mean, rtol=0, atol=2e-3)
    np.testing.assert_allclose(path.error, error, rtol=0, atol=2e-3)
    assert path.best == mean.argmin()
    within = np.flatnonzero(mean <= mean.min() + error[mean.argmin()])
    assert path.chosen == within[0]
    assert path.sizes[path.chosen] == min(path.sizes[place] for place in within)
    assert 0 < path.chosen < path.best


def test_best_penalty_agrees_with_logistic_regression_cv() -> None:
    X, y = correlated(120, 30, seed=4)
    selector = fitted(LassoSelector("best", folds=4, penalties=12), X, y)
    codes = np.arange(120)
    cv = [(np.setdiff1d(codes, test), test) for test in grouped_folds(y, codes, 4, 0, "test")]
    # Its penalty counts rows of a fold, ours the mean over rows: the same grid with C = 1 / (rows of a fold × penalty).
    grid = 1 / (90 * np.array(selector.path_.penalties))
    values = StandardScaler().fit_transform(X)
    search = LogisticRegressionCV(
        Cs=grid, cv=cv, l1_ratios=(1.0,), solver="saga", scoring="neg_log_loss", tol=1e-6, max_iter=50_000,
        refit=False, use_legacy_attributes=False,
    ).fit(values, y)  # fmt: skip
    # Scaling once or inside each fold moves the minimum by a step of the grid at most.
    assert abs(int(np.argmin(np.abs(grid - search.C_))) - selector.path_.best) <= 1


def test_planted_columns_survive_the_rule_and_little_else() -> None:
    X, y = planted(160, noise=60, strong=3, seed=1)
    selector = fitted(LassoSelector(), X, y)
    assert {column(f"Strong{i}") for i in range(3)} <= set(selector.columns_)
    assert len(selector.columns_) < len(fitted(LassoSelector("best"), X, y).columns_)
    assert len(selector.columns_) <= 8


def test_noise_keeps_at_least_one_and_says_so() -> None:
    X, y = planted(60, noise=20, strong=0, seed=2)
    selector = fitted(LassoSelector(), X, y)
    assert selector.path_.sizes[selector.path_.chosen] == 0
    assert selector.coefficients_ == {}
    assert len(selector.columns_) == 1
    entered = [line[1:].index(next(value for value in line if value)) for line in selector.path_.coefficients]
    assert selector.columns_[0] == selector.path_.names[int(np.argmin(entered))]
    assert fitted(LassoSelector(at_least=0), X, y).columns_ == []


@pytest.mark.parametrize("seed", range(5))
def test_folds_keep_patients_whole_and_both_classes_in_every_rest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    patients = np.sort(rng.integers(0, 14, 30))
    y = (patients < 4).astype(float)
    held = grouped_folds(y, patients, 5, seed, "test")
    assert sorted(np.concatenate(held).tolist()) == list(range(30))
    for test in held:
        rest = np.setdiff1d(np.arange(30), test)
        assert not set(patients[test]) & set(patients[rest])
        assert set(y[rest]) == {0.0, 1.0}


def test_thirty_rows_work_and_two_patients_of_a_class_are_refused_with_advice() -> None:
    X, y = planted(30, noise=40, strong=1, seed=3)
    assert 1 <= len(fitted(LassoSelector(), X, y).columns_) <= 15
    few = np.zeros(30)
    few[:6] = 1  # six images, two patients
    with pytest.raises(DataError, match=r"found 2 training patients in the rarer class .* the step 'univariate'"):
        fitted(LassoSelector(), X, few, images=3)
    few[6:9] = 1
    assert fitted(LassoSelector(), X, few, images=3).path_.folds <= 3


def test_copies_of_a_patient_do_not_flatter_the_penalty() -> None:
    """Were images divided instead of patients, copies would lie on both sides and noise would look predictive."""
    X, y = planted(60, noise=40, strong=0, seed=5)
    many = X.loc[np.repeat(np.arange(60), 6)].reset_index(drop=True)
    labels = np.repeat(y, 6)
    honest = fitted(LassoSelector(), many, labels, images=6).path_
    flattered = fitted(LassoSelector(), many, labels, images=1).path_
    assert min(honest.deviance) > 1.3  # 1.386 is a coin
    assert min(flattered.deviance) < 1.0


def test_missing_values_take_the_median_of_the_rows_that_fit() -> None:
    X, y = planted(100, seed=6)
    holes = X.mask(np.random.default_rng(0).uniform(size=X.shape) < 0.1)
    values = holes.fillna(holes.median())
    a, b = fitted(LassoSelector(), holes, y), fitted(LassoSelector(), values, y)
    penalty = a.path_.penalties[a.path_.chosen]
    expected = peer(100, penalty, 1.0).fit(StandardScaler().fit_transform(values), y)
    assert set(a.columns_) == set(X.columns[np.abs(expected.coef_[0]) > 1e-6])
    assert a.path_.penalties == pytest.approx(b.path_.penalties)


def test_nothing_varies() -> None:
    X = pd.DataFrame({column("A"): np.ones(20), column("B"): np.full(20, np.nan)})
    with pytest.raises(DataError, match="found no column that varies with the label"):
        fitted(LassoSelector(), X, np.tile([0.0, 1.0], 10))


def test_largest_coefficients_first_and_at_most() -> None:
    X, y = planted(160, seed=1)
    selector: Any = fitted(LassoSelector(max_features=2, always=(column("Noise1"),)), X, y)
    sizes = [abs(value) for value in selector.coefficients_.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert selector.columns_[0] == column("Noise1")
    assert len(selector.columns_) == 3
