"""Shadow features: what is planted is confirmed, what is noise is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from tests.radiomics.selector_data import column, fitted, planted
from usdlr.radiomics.selection.forest import BorutaSelector

SMALL: dict[str, Any] = {"trees": 20, "rounds": 40, "depth": 4}


def test_strong_columns_are_confirmed_and_no_noise_over_seeds() -> None:
    """Six tables of ten noise columns; the docstring states what was counted over more and wider ones."""
    for seed in range(6):
        X, y = planted(100, noise=10, strong=3, seed=seed)
        selector = fitted(BorutaSelector(**SMALL, seed=seed), X, y)
        assert selector.confirmed_ == [column(f"Strong{i}") for i in range(3)]
        assert set(selector.columns_) == set(selector.confirmed_)
        assert set(selector.counts_) <= {"rejected", "tentative"}
        assert not set(selector.confirmed_) & set(selector.tentative_)


def test_noise_alone_keeps_at_least_one_unconfirmed() -> None:
    X, y = planted(100, noise=10, strong=0, seed=1)
    selector = fitted(BorutaSelector(**SMALL), X, y)
    assert selector.confirmed_ == []
    assert len(selector.columns_) == 1
    assert fitted(BorutaSelector(**SMALL, at_least=0), X, y).columns_ == []


def test_too_few_rounds_leave_everything_tentative() -> None:
    """Three hits of three have the probability 1/8: no test can be passed, corrected or not."""
    X, y = planted(80)
    selector = fitted(BorutaSelector(rounds=3, trees=10, at_least=0), X, y)
    assert (selector.confirmed_, selector.columns_, selector.rounds_) == ([], [], 3)
    assert selector.tentative_ == list(X.columns)
    assert selector.counts_ == {"tentative": X.shape[1]}
    assert fitted(BorutaSelector(rounds=3, trees=10, keep_tentative=True), X, y).columns_ == list(X.columns)


def test_confirming_needs_as_many_hits_as_the_binomial_test_says() -> None:
    """One column of 15 that always wins: 0.5^n × 15 < 0.05 first holds at n = 9."""
    X, y = planted(80, noise=14, strong=0)
    X[column("Perfect")] = y
    selector = fitted(BorutaSelector(rounds=8, trees=10), X, y)
    assert selector.confirmed_ == []
    assert selector.hits_[column("Perfect")] == 8
    assert fitted(BorutaSelector(rounds=9, trees=10), X, y).confirmed_ == [column("Perfect")]


def test_a_column_that_only_tells_patients_apart_is_not_confirmed() -> None:
    """Ten images per patient share a number: as rows they give the label away, as patients they are noise."""
    rng = np.random.default_rng(0)
    y = np.tile([0.0, 1.0], 15)
    X = pd.DataFrame({column(f"N{i}"): rng.normal(size=30) for i in range(6)})
    X = X.loc[np.repeat(np.arange(30), 10)].reset_index(drop=True)
    X[column("Blur")] = rng.normal(size=300)
    labels = np.repeat(y, 10)
    small: dict[str, Any] = {"trees": 15, "rounds": 25, "at_least": 0}
    assert fitted(BorutaSelector(**small), X, labels, images=10).confirmed_ == []
    assert len(fitted(BorutaSelector(**small), X, labels, images=1).confirmed_) >= 3


def test_the_seed_decides() -> None:
    X, y = planted(80)
    one = fitted(BorutaSelector(rounds=10, trees=10), X, y)
    assert fitted(BorutaSelector(rounds=10, trees=10), X, y).to_dict() == one.to_dict()
    assert fitted(BorutaSelector(rounds=10, trees=10, seed=1), X, y).hits_ != one.hits_


def test_constant_columns_never_compete() -> None:
    X, y = planted(60, noise=2, strong=1)
    X[column("Flat")] = 1.0
    X[column("Empty")] = np.nan
    selector = fitted(BorutaSelector(rounds=8, trees=10), X, y)
    assert selector.dropped_[column("Flat")] == selector.dropped_[column("Empty")] == "constant"
