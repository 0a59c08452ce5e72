"""Steps from a plain configuration, in order, never dropping what is always kept."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.base import clone

from tests.radiomics.selector_data import column, fitted, people, planted
from usdlr.core.errors import ConfigError, DataError, LeakError
from usdlr.core.leak import Rows
from usdlr.radiomics.selection.chain import STEPS, SelectionChain, check_steps
from usdlr.radiomics.selection.filter_methods import CorrelationSelector, VarianceSelector
from usdlr.radiomics.selection.mrmr import MRMRSelector

SIZE = "clinical.tumour_size_mm"
CONFIG = yaml.safe_load("""
- variance
- correlation: {max_correlation: 0.8, linkage: average}
- univariate: {max_fdr: 0.2}
- mrmr:
    max_features: 3
""")


def table() -> tuple[pd.DataFrame, Any]:
    X, y = planted(160, noise=15, strong=5, seed=2)
    X[column("Flat")] = 1.0
    X[column("Twin")] = 2 * X[column("Strong0")] + 1
    X[SIZE] = np.random.default_rng(0).uniform(5, 40, len(X))
    return X, y


def test_a_chain_is_its_steps_run_by_hand() -> None:
    X, y = table()
    chain = fitted(SelectionChain(["variance", {"correlation": {"max_correlation": 0.8}}, "mrmr"]), X, y)
    one = fitted(VarianceSelector(), X, y)
    two = fitted(CorrelationSelector(0.8), one.transform(X), y)
    three = fitted(MRMRSelector(), two.transform(one.transform(X)), y)
    assert chain.columns_ == three.columns_
    pd.testing.assert_frame_equal(chain.transform(X), X[three.columns_])


def test_order_matters_and_every_dropped_column_has_its_step() -> None:
    X, y = table()
    chain = fitted(SelectionChain(CONFIG, always=(SIZE,)), X, y)
    assert chain.columns_[0] == SIZE
    assert len(chain.columns_) == 4
    assert set(chain.dropped_) == set(X.columns) - set(chain.columns_)
    assert chain.dropped_[column("Flat")] == "variance: constant"
    assert "correlation: redundant" in {chain.dropped_.get(column(name)) for name in ("Twin", "Strong0")}
    summary = chain.summary()
    assert [one["step"] for one in summary] == ["variance", "correlation", "univariate", "mrmr"]
    left = X.shape[1]
    for one in summary:
        left -= sum(one["dropped"].values())
        assert one["kept"] == left
    assert left == 4


@pytest.mark.parametrize("name", sorted(STEPS))
def test_no_step_drops_what_is_always_kept(name: str) -> None:
    X, y = table()
    forced = (column("Flat"), SIZE)
    options = {"boruta": {"rounds": 8, "trees": 10}}.get(name, {})
    chain = fitted(SelectionChain([{name: options}], always=forced), X, y)
    assert tuple(chain.columns_[:2]) == forced


def test_state_survives_json_exactly() -> None:
    X, y = table()
    steps = [*CONFIG, {"lasso": None}, {"boruta": {"rounds": 6, "trees": 10}}, {"elastic_net": {"folds": 3}}]
    chain = fitted(SelectionChain(steps, (SIZE,), stability={column("Strong0"): 0.9}), X, y)
    text = json.dumps(chain.to_dict(), allow_nan=False)
    assert "person-" not in text
    restored = SelectionChain.from_dict(json.loads(text))
    assert json.dumps(restored.to_dict()) == text
    assert restored.summary() == chain.summary()
    pd.testing.assert_frame_equal(restored.transform(X), chain.transform(X))
    assert json.dumps(fitted(clone(chain), X, y).to_dict()) == text


def test_stability_reaches_the_clusters() -> None:
    X, y = table()
    for stable in ("Twin", "Strong0"):
        chain = fitted(SelectionChain(["variance", "correlation"], stability={column(stable): 0.9}), X, y)
        assert column(stable) in chain.columns_
        assert len({column("Twin"), column("Strong0")} & set(chain.columns_)) == 1


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "expected a list of some of variance, correlation"),
        ("variance", "expected a list of some of"),
        (["mrrm"], r"found selection\.steps = 'mrrm'.*did you mean 'mrmr'"),
        ([{"mrmr": {"max_feature": 3}}], r"found the option 'max_feature' of selection\.steps = mrmr.*'max_features'"),
        ([{"mrmr": {"always": ["a"]}}], "found the option 'always'"),
        ([{"lasso": {"l1_ratio": 0.5}}], r"found the option 'l1_ratio' of selection\.steps = lasso"),
        ([{"mrmr": {"method": "FQC"}}], r"mrmr\.method = 'FQC'.*did you mean 'FCQ'"),
        ([{"univariate": {"max_fdr": "low"}}], r"univariate\.max_fdr = 'low', expected a number from 0 to 1"),
        ([{"boruta": {"rounds": True}}], r"boruta\.rounds = True, expected a whole number"),
        ([{"mrmr": 3}], r"found selection\.steps = \{mrmr: 3\}, expected a table of its options"),
        ([{"mrmr": {}, "lasso": {}}], "expected a name, or one name with a table of its options"),
        ([3], "expected a name, or one name with a table of its options"),
    ],
)
def test_a_wrong_configuration_is_refused_before_anything_is_read(steps: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_steps(steps)
    X, y = table()
    with pytest.raises(ConfigError, match=message):
        fitted(SelectionChain(steps), X, y)


def test_a_step_that_leaves_nothing_is_named() -> None:
    X, y = planted(60, noise=8, strong=0, seed=4)
    strict: list[Any] = [{"univariate": {"max_fdr": 1e-6, "at_least": 0}}, "mrmr"]
    with pytest.raises(DataError, match=r"no column left after the selection step 'univariate' \(8 not significant\)"):
        fitted(SelectionChain(strict), X, y)
    assert fitted(SelectionChain(strict, always=(column("Noise2"),)), X, y).columns_ == [column("Noise2")]


def test_other_rows_are_refused() -> None:
    X, y = table()
    mixed = Rows.of([f"p{i}" for i in range(len(X))], ["train"] * (len(X) - 1) + ["test"])
    with pytest.raises(LeakError, match="found 1 test rows in the fit of the selection chain"):
        SelectionChain(["variance"]).fit(X, y, rows=mixed)
    assert fitted(SelectionChain(["variance"]), X, y).fitted_patients_ == people(len(X)).patients


def test_a_stored_step_that_this_version_does_not_know() -> None:
    X, y = table()
    state = fitted(SelectionChain(["variance"]), X, y).to_dict()
    state["steps"][0]["step"] = "relief"
    with pytest.raises(ConfigError, match="found the selection step 'relief' in a stored model"):
        SelectionChain.from_dict(state)
    with pytest.raises(ConfigError, match="found the state of the selection step 'relief', expected 'variance'"):
        VarianceSelector.from_dict(state["steps"][0])
