"""Minimum redundancy, maximum relevance: the same columns as feature_engine, the same information as scikit-learn."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

from tests.radiomics.selector_data import column, correlated, fitted, planted
from usdlr.core.errors import ConfigError
from usdlr.radiomics.selection.mrmr import MRMRSelector, _Information


def reference(X: pd.DataFrame, y: Any, method: str, count: int) -> set[str]:
    from feature_engine.selection import MRMR

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = MRMR(method=method, max_features=count, regression=False, random_state=0).fit(X, y)
    return set(X.columns) - set(peer.features_to_drop_)


@pytest.mark.parametrize("method", ["FCQ", "FCD", "MIQ", "MID"])
@pytest.mark.parametrize("seed", [0, 1])
def test_chooses_what_feature_engine_chooses(method: Any, seed: int) -> None:
    """Its sets for growing sizes give the order of choice too. No redundancy is nought here: that divides by zero."""
    X, y = correlated(seed=seed, shared=4.0)
    ours = fitted(MRMRSelector(12, method), X, y).columns_
    for count in (2, 3, 5, 8, 12):
        assert set(ours[:count]) == reference(X, y, method, count)


def test_information_is_scikit_learns() -> None:
    X, y = correlated(120, 6)
    values = X.to_numpy() * 1000 + 5e5  # scale and offset must not matter
    found = _Information(values, 3, 0)
    expected = mutual_info_classif(values, y, discrete_features=False, random_state=0)
    np.testing.assert_allclose(found.with_classes(y, list(range(6))), expected, rtol=0, atol=2e-8)
    pairs = mutual_info_regression(values[:, 1:], values[:, 0], random_state=0)
    np.testing.assert_allclose([found.between(i, 0) for i in range(1, 6)], pairs, rtol=0, atol=2e-8)
    assert pairs.max() > 0.05


def test_a_twin_waits_until_there_is_nothing_else() -> None:
    X, y = planted(noise=0, strong=4)
    X[column("Twin")] = 3 * X[column("Strong0")] + 0.01 * np.random.default_rng(0).normal(size=len(X))
    for method in ("FCQ", "MIQ"):
        chosen = fitted(MRMRSelector(4, method), X, y).columns_
        assert len({column("Twin"), column("Strong0")} & set(chosen)) == 1


def test_columns_always_kept_count_as_chosen() -> None:
    X, y = planted(noise=6, strong=2)
    X["clinical.size"] = X[column("Strong0")] + 0.05 * np.random.default_rng(1).normal(size=len(X))
    chosen = fitted(MRMRSelector(1, always=("clinical.size",)), X, y).columns_
    assert chosen == ["clinical.size", column("Strong1")]


def test_redundancy_of_nothing_is_no_division_by_zero() -> None:
    y = np.tile([0.0, 1.0], 30)
    rng = np.random.default_rng(0)
    X = pd.DataFrame({column("A"): y + 0.1 * rng.normal(size=60), column("Same"): y, column("Flat"): 1.0})
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for method in ("FCQ", "FCD"):
            selector = fitted(MRMRSelector(3, method), X[[column("A"), column("Flat")]], y)
            assert selector.columns_ == [column("A")]
            assert selector.dropped_ == {column("Flat"): "constant"}
        assert fitted(MRMRSelector(2, "MID"), X, y).columns_[0] in {column("A"), column("Same")}


def test_a_column_that_parts_the_classes_without_spread_is_the_most_relevant() -> None:
    X, y = planted(60)
    X[column("Perfect")] = 3 * y
    assert fitted(MRMRSelector(2), X, y).columns_[0] == column("Perfect")


def test_the_pool_changes_nothing_while_it_holds_the_winners() -> None:
    X, y = correlated()
    whole = fitted(MRMRSelector(3, "MID", pool=None), X, y)
    assert fitted(MRMRSelector(3, "MID", pool=20), X, y).scores_ == whole.scores_
    small = fitted(MRMRSelector(5, "MID", pool=5), X, y)
    relevance = mutual_info_classif(X, y, discrete_features=False, random_state=0)
    assert set(small.columns_) == set(X.columns[np.argsort(-relevance)[:5]])
    with pytest.raises(ConfigError, match=r"mrmr\.pool = 2, expected a whole number from 5"):
        fitted(MRMRSelector(5, "MID", pool=2), X, y)


def test_one_row_of_a_class_gives_no_information_but_a_choice() -> None:
    X, _ = planted(12)
    y = np.r_[1.0, np.zeros(11)]
    assert len(fitted(MRMRSelector(3, "MIQ"), X, y).columns_) == 3
