"""Selection frequencies and Nogueira's stability against its authors' program and Fleiss' kappa."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from statsmodels.stats.inter_rater import fleiss_kappa

from tests.radiomics.selector_data import column, people, planted
from usdlr.core.errors import DataError, LeakError
from usdlr.core.leak import Rows
from usdlr.radiomics.selection.chain import SelectionChain
from usdlr.radiomics.selection.frequency import (
    SelectionFrequency,
    bootstrap_frequencies,
    selection_frequencies,
    stability_index,
)
from usdlr.radiomics.selection.selector import FeatureSelector

SETS = ["1110100000", "1101100000", "1110010010", "1100100000", "1111000001", "0110100000"]


def test_stability_is_that_of_its_authors_program() -> None:
    """Values of github.com/nogueirs/JMLR2018, python/stability, for these six sets of ten features."""
    found = stability_index([[int(one) for one in row] for row in SETS])
    assert found.value == pytest.approx(0.38888888888888884, abs=1e-11)
    assert found.low == pytest.approx(0.2223690226591931, abs=1e-11)
    assert found.high == pytest.approx(0.5554087551185846, abs=1e-11)


@pytest.mark.parametrize("seed", range(4))
def test_stability_is_fleiss_kappa_of_sets_that_judge_features(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chosen = rng.uniform(size=(8, 40)) < rng.uniform(size=40)
    votes = chosen.sum(axis=0)
    assert stability_index(chosen).value == pytest.approx(fleiss_kappa(np.stack([votes, 8 - votes], axis=1)), abs=1e-11)


def test_random_sets_have_no_stability_and_the_interval_covers() -> None:
    rng = np.random.default_rng(0)

    def draw(chance: npt.NDArray[np.float64]) -> Any:
        return rng.uniform(size=(40, len(chance))) < chance

    assert abs(np.mean([stability_index(draw(np.full(60, 0.2))).value for _ in range(200)])) < 0.005
    # Features chosen independently with known chances: the index tends to 1 - mean p(1-p) / (mean p (1 - mean p)).
    chance = rng.beta(0.5, 1.5, 60)
    truth = 1 - (chance * (1 - chance)).mean() / (chance.mean() * (1 - chance.mean()))
    found = [stability_index(draw(chance)) for _ in range(400)]
    assert np.mean([one.value for one in found]) == pytest.approx(truth, abs=0.01)
    covered = np.mean([one.low <= truth <= one.high for one in found if one.low is not None and one.high is not None])
    assert 0.91 < covered < 0.98


@pytest.mark.parametrize("chosen", [[[1, 0, 1]], [[0, 0], [0, 0]], [[1, 1], [1, 1]]])
def test_where_stability_is_not_defined_it_is_none(chosen: Any) -> None:
    found = stability_index(chosen)
    assert (found.value, found.low, found.high) == (None, None, None)


def test_two_sets_have_a_stability_but_no_interval() -> None:
    """By hand: shares 1, 0.5, 0.5, 0, 0, so 1 - 2 * 0.1 / 0.24."""
    found = stability_index([[1, 1, 0, 0, 0], [1, 0, 1, 0, 0]])
    assert found.value == pytest.approx(1 - 2 * 0.1 / 0.24)
    assert (found.low, found.high) == (None, None)
    assert stability_index([[1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [1, 1, 0, 0, 0]]).low is not None


def test_frequencies_are_counted_by_hand() -> None:
    found = selection_frequencies({0: ["b", "a"], 1: ["b", "c"], "last": ["b", "a", "d"]}, ["a", "b", "c", "d", "e"])
    assert found.counts == {"b": 3, "a": 2, "c": 1, "d": 1}
    assert list(found.counts) == ["b", "a", "c", "d"]
    assert found.shares["a"] == pytest.approx(2 / 3)
    assert (found.sets, found.candidates) == (3, 5)
    rows = [[1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [1, 1, 0, 1, 0]]
    assert found.stability == stability_index(rows)
    assert selection_frequencies({0: ["a"], 1: ["a"]}, 5).stability.value == 1
    text = json.dumps(found.to_dict())
    assert SelectionFrequency.from_dict(json.loads(text)) == found


def test_frequencies_that_cannot_be() -> None:
    with pytest.raises(DataError, match="found no set of chosen features"):
        selection_frequencies({}, 5)
    with pytest.raises(DataError, match="found 3 chosen features but only 2 candidates"):
        selection_frequencies({0: ["a", "b", "c"]}, 2)
    with pytest.raises(DataError, match="found the chosen feature 'z', expected one of the 2 candidates"):
        selection_frequencies({0: ["a", "z"]}, ["a", "b"])


class Spy:
    """A selector that writes down what it was given."""

    seen: list[tuple[pd.DataFrame, Any, Rows]]

    def __init__(self, seen: list[tuple[pd.DataFrame, Any, Rows]]) -> None:
        self.seen = seen
        self.columns_: list[str] = []

    def fit(self, X: pd.DataFrame, y: npt.ArrayLike, *, rows: Rows) -> Spy:
        self.seen.append((X, np.asarray(y), rows))
        self.columns_ = [str(X.columns[0])]
        return self


def test_patients_are_drawn_whole_and_keep_their_name_and_both_classes() -> None:
    X, y = planted(40)
    y[:2] = y[2:4] = 1.0
    y[4:] = 0.0
    y[-2:] = np.nan
    seen: list[tuple[pd.DataFrame, Any, Rows]] = []
    bootstrap_frequencies(X, y, people(40, images=2), lambda: Spy(seen), n=30, seed=3)
    assert len(seen) == 30
    counts = []
    for table, labels, rows in seen:
        assert len(table) == len(labels) == len(rows) == 40
        assert (labels == 1).sum() == 4  # two positive patients, drawn among themselves
        place = {tuple(row): i for i, row in enumerate(X.to_numpy())}
        source = [place[tuple(row)] for row in table.to_numpy()]
        assert [f"person-{i // 2}" for i in source] == list(rows.patient_id)
        np.testing.assert_array_equal(labels, y[source])
        drawn = pd.Series(source).value_counts()
        assert all(drawn.get(i, 0) == drawn.get(i ^ 1, 0) for i in range(40))
        counts.append(len(rows.patients))
    assert 10 < np.mean(counts) < 15  # 20 patients drawn with replacement: 1 - 1/e of them


def test_bootstraps_find_what_is_planted_and_are_repeatable() -> None:
    X, y = planted(100, noise=20, strong=2)

    def make() -> SelectionChain:
        return SelectionChain(["variance", {"univariate": {"max_fdr": 1.0, "max_features": 2}}])

    found = bootstrap_frequencies(X, y, people(100), make, n=20, seed=1)
    assert set(list(found.counts)[:2]) == {column("Strong0"), column("Strong1")}
    assert min(list(found.shares.values())[:2]) > 0.9
    assert found.candidates == 22
    assert found.stability.value is not None
    assert found.stability.value > 0.8
    assert bootstrap_frequencies(X, y, people(100), make, n=20, seed=1) == found
    noise, _ = planted(100, noise=22, strong=0)
    none = bootstrap_frequencies(noise, y, people(100), make, n=20, seed=1)
    assert none.stability.value is not None
    assert none.stability.value < 0.6
    assert bootstrap_frequencies(X, y, people(100), lambda: FeatureSelector(3), n=3).sets == 3


def test_draws_that_fail_are_counted_with_their_reason() -> None:
    X, _ = planted(30, strong=1)
    few = np.zeros(30)
    few[:4] = 1  # four positive patients: draws with fewer than three of them cannot be divided
    found = bootstrap_frequencies(X, few, people(30), lambda: SelectionChain(["lasso"]), n=20, seed=0)
    assert 0 < found.failed < 20
    assert found.sets == 20 - found.failed
    assert "in the rarer class" in found.reason
    with pytest.raises(DataError, match="no bootstrap of 4 on which features could be chosen; the first said: found 1"):
        bootstrap_frequencies(X, (np.arange(30) == 0).astype(float), people(30), lambda: SelectionChain(["lasso"]), n=4)


def test_other_rows_are_refused() -> None:
    X, y = planted(30)
    with pytest.raises(LeakError, match="found 30 test rows in the fit of the bootstrap of the selection"):
        bootstrap_frequencies(X, y, people(30, "test"), FeatureSelector, n=2)
