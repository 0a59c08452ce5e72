"""Variance, correlation clusters and false-discovery control, and what every selector promises."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.stats import mannwhitneyu, spearmanr
from sklearn.base import clone
from statsmodels.stats.multitest import multipletests

from tests.radiomics.selector_data import column, correlated, fitted, people, planted
from usdlr.core.errors import ConfigError, DataError, LeakError
from usdlr.core.leak import Rows
from usdlr.radiomics.selection.chain import STEPS
from usdlr.radiomics.selection.filter_methods import CorrelationSelector, UnivariateSelector, VarianceSelector

QUICK: dict[str, dict[str, Any]] = {"boruta": {"rounds": 12, "trees": 15}, "mrmr": {"max_features": 4}}
NAMES = sorted(STEPS)


def make(name: str, **options: Any) -> Any:
    return STEPS[name](**QUICK.get(name, {}), **options)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("split", ["tuning", "calibration", "test", "external"])
def test_a_single_row_of_another_split_is_refused(name: str, split: str) -> None:
    X, y = planted()
    mixed = Rows.of([f"p{i}" for i in range(len(X))], ["train"] * (len(X) - 1) + [split])
    with pytest.raises(LeakError, match=f"found 1 {split} rows in the fit of the selection step {name}"):
        make(name).fit(X, y, rows=mixed)


@pytest.mark.parametrize("name", NAMES)
def test_the_contract_of_every_step(name: str) -> None:
    """Same fit twice, JSON and back, clone, always kept, no patient in the state, values untouched."""
    X, y = planted()
    X = X.mask(np.random.default_rng(4).uniform(size=X.shape) < 0.05)
    X[column("Flat")] = 7.0
    selector = fitted(make(name, always=(column("Flat"), column("Noise3"))), X, y)
    assert selector.columns_[:2] == [column("Flat"), column("Noise3")]
    assert len(set(selector.columns_)) == len(selector.columns_)
    assert set(selector.columns_) | set(selector.dropped_) == set(X.columns)
    assert not set(selector.columns_) & set(selector.dropped_)
    assert sum(selector.counts_.values()) == len(X.columns) - len(selector.columns_)
    assert list(selector.get_feature_names_out()) == selector.columns_
    pd.testing.assert_frame_equal(selector.transform(X), X[selector.columns_])
    assert selector.fitted_patients_ == people(len(X)).patients
    text = json.dumps(selector.to_dict(), allow_nan=False)
    assert "person-" not in text
    assert json.dumps(fitted(clone(selector), X, y).to_dict()) == text
    restored = type(selector).from_dict(json.loads(text))
    assert json.dumps(restored.to_dict()) == text
    pd.testing.assert_frame_equal(restored.transform(X), selector.transform(X))
    with pytest.raises(DataError, match=r"found no feature .* \(and 0 more\)"):
        restored.transform(X.drop(columns=[selector.columns_[-1]]))


@pytest.mark.parametrize("name", NAMES)
def test_patients_that_were_not_seen_change_nothing(name: str) -> None:
    """What is told apart only among other patients must not enter: the fit on half the rows knows that half alone."""
    X, y = planted(160)
    X.loc[80:, column("Noise0")] += 50 * y[80:]
    half = fitted(make(name), X.iloc[:80], y[:80])
    again = fitted(make(name), X.iloc[:80].copy(), y[:80].copy())
    assert half.columns_ == again.columns_
    if name not in ("variance", "correlation"):
        assert fitted(make(name), X, y).columns_ != half.columns_


@pytest.mark.parametrize("name", NAMES)
def test_tables_that_cannot_be_read(name: str) -> None:
    X, y = planted(40)
    with pytest.raises(DataError, match=r"found no column 'clinical\.size'"):
        fitted(make(name, always=("clinical.size",)), X, y)
    with pytest.raises(DataError, match="found 40 rows of features, 39 labels and 40 patients"):
        fitted(make(name), X, y[:-1])
    with pytest.raises(DataError, match=r"found the label 2"):
        fitted(make(name), X, y + 1)
    with pytest.raises(DataError, match="twice, expected every name once"):
        fitted(make(name), X.set_axis([column("Same")] * X.shape[1], axis=1), y)
    with pytest.raises(DataError, match="found a column of words"):
        fitted(make(name), X.assign(words="round"), y)
    if name != "variance":
        with pytest.raises(DataError, match="found one class only"):
            fitted(make(name), X, np.zeros(40))


def test_steps_that_read_no_label_need_none() -> None:
    X, _ = planted(40)
    unknown = np.full(40, np.nan)
    assert fitted(VarianceSelector(), X, unknown).columns_ == list(X.columns)
    assert fitted(CorrelationSelector(prefer="first"), X, unknown).columns_ == list(X.columns)


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        (VarianceSelector(max_share=1.5), r"variance\.max_share = 1\.5, expected a number from 0 to 1"),
        (CorrelationSelector(max_correlation=-1), r"correlation\.max_correlation = -1"),
        (CorrelationSelector(linkage="ward"), r"correlation\.linkage = 'ward', expected one of average, complete"),  # type: ignore[arg-type]  # a wrong word on purpose
        (UnivariateSelector(correction="by2"), r"univariate\.correction = 'by2'.*did you mean 'by'"),  # type: ignore[arg-type]  # a wrong word on purpose
        (UnivariateSelector(max_features=0), r"univariate\.max_features = 0, expected a whole number from 1"),
    ],
)
def test_options_out_of_range_are_named(selector: Any, message: str) -> None:
    X, y = planted(40)
    with pytest.raises(ConfigError, match=message):
        fitted(selector, X, y)


# ---------------------------------------------------------------------------------------------------------- variance


def test_columns_that_hardly_vary_or_are_missing_go_with_their_reason() -> None:
    X, y = planted(100)
    X[column("Flat")] = 3.3
    X[column("Rounding")] = 1e6 + 1e-6 * y
    X[column("Empty")] = np.nan
    X[column("Endless")] = np.inf
    X[column("Lone")] = np.r_[np.zeros(96), [1.0, 2.0, 3.0, 4.0]]  # 96 % the same
    X[column("Few")] = np.r_[np.zeros(94), np.arange(6) + 1.0]  # 94 % the same
    X[column("Gaps")] = X[column("Noise0")].where(np.arange(100) >= 30)
    selector = fitted(VarianceSelector(), X, y)
    assert selector.dropped_ == {
        column("Flat"): "constant",
        column("Rounding"): "constant",
        column("Empty"): "missing",
        column("Endless"): "missing",
        column("Lone"): "near-constant",
        column("Gaps"): "missing",
    }
    assert selector.counts_ == {"constant": 2, "missing": 3, "near-constant": 1}


def test_an_optional_modality_is_judged_among_those_who_had_it() -> None:
    X, y = planted(100)
    had = np.arange(100) < 30
    X[column("Mean", "elasto")] = np.where(had, X[column("Noise0")], np.nan)
    X[column("Holes", "elasto")] = np.where(np.arange(100) < 20, X[column("Noise1")], np.nan)  # a third of them lack it
    assert fitted(VarianceSelector(), X, y).dropped_ == {column("Holes", "elasto"): "missing"}
    assert column("Mean", "elasto") in fitted(VarianceSelector(min_measured=0.31), X, y).dropped_


# ------------------------------------------------------------------------------------------------------- correlation


def families() -> tuple[pd.DataFrame, np.ndarray[Any, np.dtype[np.float64]]]:
    """Three families of columns that bend differently, and one on its own; the clearest member is not the first."""
    rng = np.random.default_rng(5)
    y = np.tile([0.0, 1.0], 100)
    columns = {}
    for family in range(3):
        base = 0.8 * y + rng.normal(size=200)
        for member, blur in enumerate((0.25, 0.05, 0.15)):
            values = base + blur * rng.normal(size=200)
            columns[column(f"{'ABC'[family]}{member}")] = np.exp(values) if member == 2 else -values * (1 + member)
    columns[column("Alone")] = rng.normal(size=200)
    return pd.DataFrame(columns), y


@pytest.mark.parametrize("method", ["complete", "average"])
def test_clusters_are_scipys(method: Any) -> None:
    X, y = correlated(200, 30, seed=3)
    bound = 0.6
    selector = fitted(CorrelationSelector(bound, linkage=method, prefer="first"), X, y)
    distance = 1 - np.abs(spearmanr(X).statistic)
    np.fill_diagonal(distance, 0)
    label = fcluster(linkage(squareform(distance, checks=False), method), 1 - bound, "distance")
    together = {frozenset(X.columns[label == one]) for one in set(label)}
    found = {frozenset([name, *selector.clusters_.get(name, [])]) for name in selector.columns_}
    assert 1 < len(together) < X.shape[1]
    # Clusters may be joined further, never torn apart.
    assert all(any(cluster <= group for group in found) for cluster in together)
    left = np.abs(spearmanr(X[selector.columns_]).statistic) - np.eye(len(selector.columns_))
    assert left.max() <= bound


def test_each_family_keeps_one_member_and_remembers_the_others() -> None:
    X, y = families()
    selector = fitted(CorrelationSelector(0.9, prefer="first"), X, y)
    assert selector.columns_ == [column("A0"), column("B0"), column("C0"), column("Alone")]
    assert selector.clusters_ == {column(f"{f}0"): [column(f"{f}1"), column(f"{f}2")] for f in "ABC"}
    assert selector.counts_ == {"redundant": 6}


def test_the_most_stable_member_stays_otherwise_the_most_informative() -> None:
    from sklearn.metrics import roc_auc_score

    X, y = families()
    gain = {name: abs(roc_auc_score(y, X[name]) - 0.5) for name in X.columns}
    best = [max((column(f"{f}{i}") for i in range(3)), key=gain.__getitem__) for f in "ABC"]
    assert fitted(CorrelationSelector(), X, y).columns_ == [*best, column("Alone")]
    worst = min((column(f"A{i}") for i in range(3)), key=gain.__getitem__)
    stability = {name: 0.6 for name in X.columns if re.search(r"A\d$", name)} | {worst: 0.9, column("B2"): 0.1}
    selector = fitted(CorrelationSelector(stability=stability), X, y)
    # A: by stability. B: the only member with a known stability. C: none has one, so by information.
    assert selector.columns_ == [worst, column("B2"), best[2], column("Alone")]
    kept = selector.to_dict()["options"]["stability"]
    assert kept == {worst: 0.9, column("B2"): 0.1}


def test_always_stays_whatever_lies_near_it() -> None:
    X, y = families()
    forced = (column("A0"), column("A2"))
    selector = fitted(CorrelationSelector(always=forced), X, y)
    assert selector.columns_[:2] == list(forced)
    assert column("A1") in [*selector.clusters_.get(forced[0], []), *selector.clusters_.get(forced[1], [])]
    assert len(selector.columns_) == 5


def test_equal_columns_keep_the_first_of_the_table() -> None:
    X, y = planted()
    twins = pd.DataFrame({column(f"T{i}"): X[column("Strong0")] * (1 + i) for i in (3, 1, 2)})
    assert fitted(CorrelationSelector(), pd.concat([twins, X], axis=1), y).columns_[0] == column("T3")


# -------------------------------------------------------------------------------------------------------- univariate


@pytest.mark.parametrize(("correction", "method"), [("bh", "fdr_bh"), ("by", "fdr_by")])
def test_tests_and_their_correction_are_those_of_scipy_and_statsmodels(correction: Any, method: str) -> None:
    X, y = correlated(80, 60, seed=7)
    selector = fitted(UnivariateSelector(0.1, correction), X, y)
    p = [mannwhitneyu(X.loc[y == 1, name], X.loc[y == 0, name], method="asymptotic").pvalue for name in X.columns]
    rejected, adjusted, *_ = multipletests(p, 0.1, method)
    assert 3 < rejected.sum() < 57
    assert set(selector.columns_) == set(X.columns[rejected])
    assert selector.columns_ == [X.columns[i] for i in np.argsort(np.round(p, 12), kind="stable") if rejected[i]]
    expected = dict(zip(X.columns, adjusted, strict=True))
    assert selector.adjusted_ == pytest.approx({name: expected[name] for name in selector.columns_})


def test_false_discoveries_stay_below_the_rate() -> None:
    """Half of 60 columns are planted; over 40 tables the mean share of noise among the kept is at most the rate."""
    shares = []
    for seed in range(40):
        X, y = planted(100, noise=30, strong=0, seed=seed)
        rng = np.random.default_rng(1000 + seed)
        for i in range(30):
            X[column(f"Real{i}")] = 0.8 * y + rng.normal(size=100)
        kept = fitted(UnivariateSelector(0.2), X, y).columns_
        shares.append(np.mean(["Noise" in name for name in kept]))
    # Benjamini and Hochberg promise rate × share of true nulls = 0.1.
    assert 0.03 < np.mean(shares) < 0.14


def test_images_of_one_patient_are_not_independent() -> None:
    """Twenty copies of every row would make noise significant, were rows counted."""
    X, y = planted(40, noise=20, strong=0, seed=2)
    many = X.loc[np.repeat(np.arange(40), 20)].reset_index(drop=True)
    labels = np.repeat(y, 20)
    assert fitted(UnivariateSelector(at_least=0), many, labels, images=20).columns_ == []
    assert len(fitted(UnivariateSelector(by_patient=False), many, labels, images=20).columns_) > 5
    one = fitted(UnivariateSelector(1.0), X, y)
    assert fitted(UnivariateSelector(1.0), many, labels, images=20).p_values_ == pytest.approx(one.p_values_)


def test_at_least_and_at_most() -> None:
    X, y = planted(60, noise=10, strong=0, seed=3)
    none = fitted(UnivariateSelector(1e-6), X, y)
    assert (none.passed_, len(none.columns_)) == (0, 1)
    assert len(fitted(UnivariateSelector(1e-6, always=(column("Noise5"),)), X, y).columns_) == 1
    X, y = planted()
    limited = fitted(UnivariateSelector(max_features=2, always=(column("Noise0"),)), X, y)
    assert limited.columns_[0] == column("Noise0")
    assert len(limited.columns_) == 3
    assert limited.counts_["beyond max_features"] >= 1


def test_rows_without_a_label_do_not_test() -> None:
    X, y = planted()
    more = pd.concat([X, X + 1000], ignore_index=True)
    labels = np.concatenate([y, np.full(len(y), np.nan)])
    assert fitted(UnivariateSelector(), more, labels).p_values_ == pytest.approx(
        fitted(UnivariateSelector(), X, y).p_values_
    )
