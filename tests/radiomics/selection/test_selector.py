"""The selector sees training rows only; its numbers are those of scikit-learn's imputer and scaler."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from usdlr.core.errors import ConfigError, DataError, LeakError
from usdlr.core.leak import Rows
from usdlr.radiomics.selection.axilla import axilla_means
from usdlr.radiomics.selection.selector import CLIP, FeatureSelector

SIZE = "clinical.tumour_size_mm"


def name(kind: str, modality: str = "bmode") -> str:
    return f"{modality}.intratumoral.original.firstorder.{kind}"


def rows(count: int, split: str = "train") -> Rows:
    return Rows.of([f"p{i}" for i in range(count)], [split] * count)


def table(count: int = 120, seed: int = 0) -> tuple[pd.DataFrame, npt.NDArray[np.float64]]:
    """Noise, one informative column, one tumour size, and labels."""
    rng = np.random.default_rng(seed)
    y = np.tile([0.0, 1.0], count // 2)
    columns: dict[str, npt.NDArray[np.float64]] = {name(f"Noise{i}"): rng.normal(i, 2 + i, count) for i in range(6)}
    columns[name("Planted")] = 100 + 5 * y + rng.normal(size=count)
    columns[SIZE] = rng.uniform(5, 40, count)
    return pd.DataFrame(columns), y


def fitted(X: pd.DataFrame, y: npt.ArrayLike, **settings: Any) -> FeatureSelector:
    return FeatureSelector(**settings).fit(X, y, rows=rows(len(X)))


@pytest.mark.parametrize("split", ["tuning", "calibration", "test", "external"])
def test_a_single_row_of_another_split_is_refused(split: str) -> None:
    X, y = table()
    mixed = Rows.of([f"p{i}" for i in range(len(X))], ["train"] * (len(X) - 1) + [split])
    with pytest.raises(LeakError, match=f"found 1 {split} rows in the fit of the feature selector"):
        FeatureSelector().fit(X, y, rows=mixed)


def test_who_was_seen_is_remembered() -> None:
    X, y = table()
    assert fitted(X, y).fitted_patients_ == {f"p{i}" for i in range(len(X))}


def test_planted_column_comes_first_and_always_before_it() -> None:
    X, y = table()
    assert fitted(X, y).columns_[0] == name("Planted")
    selector = fitted(X, y, always=(SIZE,), max_features=1)
    assert selector.columns_ == [SIZE, name("Planted")]
    assert list(selector.get_feature_names_out()) == selector.columns_


def test_a_column_that_falls_with_the_label_is_as_good_as_one_that_rises() -> None:
    X, y = table()
    X[name("Planted")] *= -1
    assert fitted(X, y).columns_[0] == name("Planted")


def test_redundant_columns_go_whichever_way_they_bend() -> None:
    X, y = table()
    X[name("Twin")] = X[name("Planted")]
    X[name("Mirrored")] = -2 * X[name("Planted")] + 7
    X[name("Monotone")] = np.exp(X[name("Planted")] / 10)  # Spearman 1, Pearson below it
    kept = fitted(X, y, max_features=40).columns_
    assert len({name("Twin"), name("Mirrored"), name("Monotone"), name("Planted")} & set(kept)) == 1
    correlation = np.abs(spearmanr(X[kept]).statistic)
    np.fill_diagonal(correlation, 0)
    assert correlation.max() <= 0.9


def test_less_informative_twin_goes() -> None:
    X, y = table()
    X.insert(0, name("Blurred"), X[name("Planted")] - 3 * y)  # the classes lie closer together
    kept = fitted(X, y).columns_
    assert name("Planted") in kept
    assert name("Blurred") not in kept


def test_always_is_kept_even_when_redundant_and_uninformative() -> None:
    X, y = table()
    X[name("Length")] = X[SIZE]
    X["clinical.age_years"] = X[SIZE] * 2
    kept = fitted(X, y, always=(SIZE, "clinical.age_years")).columns_
    assert kept[:2] == [SIZE, "clinical.age_years"]
    assert name("Length") not in kept


def test_always_must_be_in_the_table() -> None:
    X, y = table()
    with pytest.raises(DataError, match=r"found no column 'clinical.size'"):
        fitted(X, y, always=("clinical.size",))


def test_columns_that_say_nothing_go() -> None:
    X, y = table()
    X[name("Constant")] = 3.3
    X[name("Rounding")] = 1e6 + 1e-6 * y  # differs by less than a float can mean
    X[name("Empty")] = np.nan
    X[name("Endless")] = np.inf
    X[name("Rare")] = np.where(np.arange(len(X)) < 6, y + np.arange(len(X)), np.nan)  # known in 5 %
    X["clinical.age_years"] = 50.0
    kept = fitted(X, y, always=("clinical.age_years",)).columns_
    assert set(kept) == set(table()[0].columns)


def test_only_constants_is_an_error() -> None:
    with pytest.raises(DataError, match="found no feature that varies over 4 training rows"):
        fitted(pd.DataFrame({name("A"): [1.0] * 4}), [0, 1, 0, 1])


@pytest.mark.parametrize("y", [[1.0] * 4, [np.nan] * 4, [0.0, np.nan, 0.0, np.nan]])
def test_one_class_is_an_error(y: list[float]) -> None:
    with pytest.raises(DataError, match="found one class only"):
        fitted(pd.DataFrame({name("A"): [1.0, 2.0, 3.0, 5.0]}), y)


def test_rows_without_a_label_scale_but_do_not_choose() -> None:
    X, y = table()
    more = pd.concat([X, X + 1000], ignore_index=True)
    labels = np.concatenate([y, np.full(len(y), np.nan)])
    selector = fitted(more, labels)
    assert selector.columns_[0] == name("Planted")
    assert selector.mean_[0] == pytest.approx(more[name("Planted")].mean())


def test_one_column_alone() -> None:
    X, y = table()
    assert fitted(X[[SIZE]], y).columns_ == [SIZE]


def test_numbers_are_those_of_scikit_learn() -> None:
    X, y = table()
    rng = np.random.default_rng(3)
    X = X.mask(rng.uniform(size=X.shape) < 0.2)
    unseen = table(seed=5)[0]
    unseen.iloc[0] = np.nan
    unseen.iloc[1] = np.inf
    selector = fitted(X, y)
    imputer = SimpleImputer(strategy="median").fit(X[selector.columns_])
    scaler = StandardScaler().fit(imputer.transform(X[selector.columns_]))
    np.testing.assert_allclose(selector.median_, imputer.statistics_)
    np.testing.assert_allclose(selector.mean_, scaler.mean_)
    np.testing.assert_allclose(selector.scale_, scaler.scale_)
    finite = unseen[selector.columns_].replace(np.inf, np.nan)
    expected = np.clip(scaler.transform(imputer.transform(finite)), -CLIP, CLIP)
    found = selector.transform(unseen)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, : len(selector.columns_)], expected, atol=1e-6)
    # Somebody with nothing measured stands where the median training row stands.
    middle = (imputer.statistics_ - scaler.mean_) / scaler.scale_
    np.testing.assert_allclose(found[0, : len(selector.columns_)], middle, atol=1e-6)


def test_missing_values_take_the_training_median_not_that_of_the_judged_rows() -> None:
    X, y = table()
    judged = X + 1000
    judged.loc[0, name("Planted")] = np.nan
    selector = fitted(X, y, max_features=1)
    assert abs(selector.transform(judged)[0, 0]) < 1
    assert (selector.transform(judged)[1:, 0] == CLIP).all()


def test_a_scaler_that_had_seen_every_row_would_differ() -> None:
    """The planted leak shows in the numbers, so equality with a training-only fit means something."""
    X, y = table()
    train, judged = X.iloc[:60], X.iloc[60:] + 40
    honest = fitted(train, y[:60])
    everything = pd.concat([train, judged])
    leaking = fitted(everything, y)
    assert np.abs(honest.mean_ - leaking.mean_[[leaking.columns_.index(n) for n in honest.columns_]]).min() > 5
    again = fitted(train, y[:60])
    assert json.dumps(again.to_dict()) == json.dumps(honest.to_dict())


def test_values_are_clipped() -> None:
    X, y = table()
    extreme = X.iloc[:2].copy()
    extreme.iloc[0], extreme.iloc[1] = 1e9, -1e9
    found = fitted(X, y).transform(extreme)
    assert (found[0] == CLIP).all()
    assert (found[1] == -CLIP).all()


def elasto_table() -> tuple[pd.DataFrame, npt.NDArray[np.float64]]:
    X, y = table()
    X[name("Mean", "elasto")] = 50 + 10 * y + np.random.default_rng(1).normal(size=len(X))
    X.loc[: len(X) // 3, name("Mean", "elasto")] = np.nan
    return X, y


def test_presence_of_a_modality_is_a_column_of_its_own() -> None:
    X, y = elasto_table()
    selector = fitted(X, y)
    assert selector.indicators_ == ["elasto"]
    assert selector.get_feature_names_out()[-1] == "present.elasto"
    assert selector.transform(X).shape == (len(X), len(selector.columns_) + 1)
    np.testing.assert_array_equal(selector.transform(X)[:, -1], X[name("Mean", "elasto")].notna())
    assert fitted(*table()).indicators_ == []


def test_presence_means_the_same_in_fit_and_transform() -> None:
    """A column that does not vary, and so is not kept, still shows that the modality is there."""
    X, y = elasto_table()
    X[name("Constant", "elasto")] = 1.0
    assert fitted(X, y).indicators_ == []


def test_a_modality_that_no_training_row_has_gets_no_indicator() -> None:
    X, y = table()
    X[name("Mean", "elasto")] = np.nan
    assert fitted(X, y).indicators_ == []


def test_a_cohort_without_elastography_can_be_judged() -> None:
    """Where nobody had elastography, the feature table has no such columns at all."""
    X, y = elasto_table()
    selector = fitted(X, y)
    bare = X.drop(columns=[name("Mean", "elasto")])
    empty = X.assign(**{name("Mean", "elasto"): np.nan})
    np.testing.assert_array_equal(selector.transform(bare), selector.transform(empty))
    assert (selector.transform(bare)[:, -1] == 0).all()


def test_a_missing_column_is_named() -> None:
    X, y = elasto_table()
    X[name("Third", "elasto")] = np.random.default_rng(7).normal(size=len(X))
    selector = fitted(X, y)
    for column in (name("Planted"), name("Third", "elasto")):
        with pytest.raises(DataError, match=rf"found no feature '{column}' \(and 0 more\)"):
            selector.transform(X.drop(columns=[column]))
    with pytest.raises(DataError, match="found no feature 'bmode"):
        selector.transform(X[[SIZE]])


def test_order_of_columns_does_not_matter_to_transform() -> None:
    X, y = elasto_table()
    selector = fitted(X, y)
    np.testing.assert_array_equal(selector.transform(X[X.columns[::-1]]), selector.transform(X))


def test_state_survives_json_exactly() -> None:
    X, y = elasto_table()
    selector = fitted(X, y, max_features=5, always=(SIZE,))
    text = json.dumps(selector.to_dict())
    assert "p0" not in text  # no patient leaves with the model
    restored = FeatureSelector.from_dict(json.loads(text))
    assert json.dumps(restored.to_dict()) == text
    assert restored.get_params() == selector.get_params()
    np.testing.assert_array_equal(restored.transform(X), selector.transform(X))


def test_ties_keep_the_order_of_the_table() -> None:
    """Equal columns have equal AUC: which one stays must not depend on the sort or on rounding."""
    X, y = table()
    values = X[name("Planted")]
    tied = pd.DataFrame({name(f"T{i}"): values * (1 + i) for i in (3, 1, 4, 2)})
    first = fitted(pd.concat([tied, X], axis=1), y, max_correlation=1.0).columns_
    assert first[:4] == [name("T3"), name("T1"), name("T4"), name("T2")]
    assert fitted(pd.concat([tied, X], axis=1), y).columns_[0] == name("T3")


def test_scikit_learn_can_clone_it() -> None:
    from sklearn.base import clone

    selector = FeatureSelector(7, 0.5, (SIZE,), ["variance"])
    expected = {"max_features": 7, "max_correlation": 0.5, "always": (SIZE,), "steps": ["variance"]}
    assert clone(selector).get_params() == {**expected, "stability": None, "min_icc": None}


STEPS: list[Any] = ["variance", "correlation", {"univariate": {"max_fdr": 0.5}}, {"mrmr": {"max_features": 2}}]


def test_steps_choose_and_the_numbers_stay_those_of_scikit_learn() -> None:
    X, y = elasto_table()
    X[name("Twin")] = 2 * X[name("Planted")]
    X[name("Constant")] = 1.0
    X[name("Holes")] = (X[name("Planted")] + 3 * y).where(np.arange(len(X)) % 3 > 0)  # the best, where it is measured
    selector = fitted(X, y, steps=STEPS, always=(SIZE,))
    assert selector.columns_[0] == SIZE
    assert len(selector.columns_) == 3
    assert selector.indicators_ == ["elasto"]
    imputer = SimpleImputer(strategy="median").fit(X[selector.columns_])
    expected = StandardScaler().fit_transform(imputer.transform(X[selector.columns_]))
    np.testing.assert_allclose(selector.transform(X)[:, :3], np.clip(expected, -CLIP, CLIP), atol=1e-6)
    assert [one["step"] for one in selector.selection_] == ["varies", "variance", "correlation", "univariate", "mrmr"]
    assert selector.selection_[1]["dropped"] == {"missing": 1}
    dropped = sum(count for one in selector.selection_ for count in one["dropped"].values())
    assert dropped == X.shape[1] - 3
    assert selector.selection_[0]["dropped"] == {"constant or missing": 1}


def test_steps_survive_json_and_their_absence_adds_no_key() -> None:
    X, y = elasto_table()
    selector = fitted(X, y, steps=STEPS, always=(SIZE,), stability={name("Planted"): 0.9})
    text = json.dumps(selector.to_dict(), allow_nan=False)
    assert "p0" not in text
    restored = FeatureSelector.from_dict(json.loads(text))
    assert json.dumps(restored.to_dict()) == text
    assert restored.selection_ == selector.selection_
    np.testing.assert_array_equal(restored.transform(X), selector.transform(X))
    plain = fitted(X, y).to_dict()
    assert set(plain) == set(text_keys(text)) - {"steps", "selection"}
    assert FeatureSelector.from_dict(plain).selection_ == []


def text_keys(text: str) -> list[str]:
    return list(json.loads(text))


def test_steps_keep_the_guards() -> None:
    X, y = table()
    X["clinical.age_years"] = 50.0
    assert "clinical.age_years" not in fitted(X, y, steps=["variance"], always=("clinical.age_years",)).columns_
    with pytest.raises(DataError, match="found one class only"):
        fitted(X, np.ones(len(X)), steps=["variance"])
    with pytest.raises(ConfigError, match="did you mean 'lasso'"):
        fitted(X, y, steps=["laso"])
    mixed = Rows.of([f"p{i}" for i in range(len(X))], ["train"] * (len(X) - 1) + ["test"])
    with pytest.raises(LeakError):
        FeatureSelector(steps=["variance"]).fit(X, y, rows=mixed)


# Images and axillae


def shown(times: npt.NDArray[np.int64], seed: int = 0) -> tuple[pd.DataFrame, npt.NDArray[np.float64], Rows]:
    """A table in which the same image of axilla i stands ``times[i]`` times."""
    X, y = table(len(times), seed)
    place = np.repeat(np.arange(len(times)), times)
    who = Rows.of([f"p{i // 2}" for i in place], ["train"] * len(place), ["left" if i % 2 else "right" for i in place])
    return X.iloc[place].reset_index(drop=True), y[place], who


@pytest.mark.parametrize("steps", [None, ["variance", "correlation", {"mrmr": {"max_features": 3}}]])
def test_an_image_shown_forty_times_counts_once(steps: list[Any] | None) -> None:
    once = shown(np.ones(60, dtype=np.int64))
    often = shown(np.random.default_rng(1).choice([1, 2, 40], 60))
    a, b = (FeatureSelector(3, steps=steps).fit(X, y, rows=who) for X, y, who in (once, often))
    assert a.columns_ == b.columns_
    for part in ("median_", "mean_", "scale_"):
        np.testing.assert_allclose(getattr(a, part), getattr(b, part), rtol=1e-12)


def test_forty_views_of_one_patient_do_not_choose_a_column() -> None:
    X, y = table(40)
    flat = name("Flat")
    X[flat] = np.random.default_rng(2).normal(size=40)
    views = pd.concat([X, *[X.iloc[[1]].assign(**{flat: 50.0 + i, name("Planted"): 100.0}) for i in range(400)]])
    labels = np.concatenate([y, np.full(400, y[1])])  # one positive patient, whose flat column is high in all views
    who = Rows.of([*(f"p{i}" for i in range(40)), *["p1"] * 400], ["train"] * 440)
    assert FeatureSelector(1).fit(views, labels, rows=rows(440)).columns_ == [
        flat
    ]  # as 440 patients it would be chosen
    selector = FeatureSelector(1).fit(views, labels, rows=who)
    assert selector.columns_ == [name("Planted")]
    assert selector.median_[0] == pytest.approx(X[name("Planted")].median(), abs=1.0)


def test_images_of_an_axilla_are_averaged_and_what_one_lacks_another_gives() -> None:
    X = pd.DataFrame({name("A"): [1.0, 3.0, 5.0, np.nan, 9.0, 2.0], name("B"): [0.0, 0.0, 1.0, 1.0, 0.0, 1.0]})
    who = Rows.of(["p", "p", "q", "q", "r", "s"], ["train"] * 6)
    means, labels, owners = axilla_means(X, np.array([1.0, 1.0, 0.0, 0.0, 1.0, 0.0]), who)
    assert means[name("A")].tolist() == [2.0, 5.0, 9.0, 2.0]
    assert labels.tolist() == [1.0, 0.0, 1.0, 0.0]
    assert owners.patient_id == ("p", "q", "r", "s")


def test_both_sides_of_a_patient_are_two_axillae() -> None:
    X, y = table(8)
    sides = Rows.of(["p", "p"] * 4, ["train"] * 8, ["left", "right"] * 4)
    assert axilla_means(X, np.zeros(8), sides)[2].axillae == [("p", "left"), ("p", "right")]
    # Without sides the label still parts the two.
    assert axilla_means(X, y, Rows.of(["p"] * 8, ["train"] * 8))[1].tolist() == [0.0, 1.0]


# Stability


def test_unstable_features_go_first_and_clinical_variables_stay() -> None:
    X, y = table()
    icc = {str(column): 0.9 for column in X if str(column) != SIZE} | {name("Planted"): 0.74, name("Noise0"): 0.75}
    del icc[name("Noise5")]
    selector = fitted(X, y, stability=icc, min_icc=0.75)
    assert {name("Planted"), name("Noise5")}.isdisjoint(selector.columns_)
    assert {name("Noise0"), SIZE} <= set(selector.columns_)
    assert selector.selection_[1] == {
        "step": "stability",
        "kept": 6,
        "dropped": {"below min_icc": 1, "no intraclass correlation": 1},
    }
    again = FeatureSelector.from_dict(json.loads(json.dumps(selector.to_dict())))
    np.testing.assert_array_equal(again.transform(X), selector.transform(X))
    assert again.min_icc == 0.75


def test_a_bound_without_correlations_and_one_that_leaves_nothing_are_refused() -> None:
    X, y = table()
    with pytest.raises(ConfigError, match="found min_icc without stability"):
        fitted(X, y, min_icc=0.75)
    features = X.drop(columns=SIZE)
    with pytest.raises(DataError, match=r"found no feature with an intraclass correlation of at least 0\.75 among 7"):
        fitted(features, y, stability=dict.fromkeys(map(str, features), 0.5), min_icc=0.75)
