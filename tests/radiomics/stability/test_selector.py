"""Stable features are chosen on the repeated measurements of training cases, and of nobody else."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.radiomics.repeated import name, planted
from usdlr.core.errors import ConfigError, DataError, LeakError
from usdlr.core.leak import Rows
from usdlr.radiomics.stability.repeats import Source, agreement_table
from usdlr.radiomics.stability.selector import StableFeatures

SIZE = "clinical.tumour_size_mm"
NEVER = name("NeverRepeated")


def design(count: int = 40) -> pd.DataFrame:
    """A design table of the planted cases, with a clinical column and one feature that was never repeated."""
    rng = np.random.default_rng(1)
    repeats = planted(cases=count)
    features = repeats.drop_duplicates("image_id").set_index("image_id").iloc[:, 5:]
    return features.assign(**{NEVER: rng.normal(size=count), SIZE: rng.uniform(5, 40, count)})


def rows(count: int = 40, split: str = "train") -> Rows:
    return Rows.of([f"p{i}" for i in range(count)], [split] * count)


def fitted(repeats: pd.DataFrame | None = None, **settings: Any) -> StableFeatures:
    return StableFeatures(**settings).fit(design(), rows=rows(), repeats=planted() if repeats is None else repeats)


def test_features_above_the_bound_and_columns_that_are_none_are_kept() -> None:
    stable = fitted()
    assert stable.columns_ == [name("Share98"), name("Share90"), SIZE]
    assert list(stable.icc_) == [name(f"Share{percent}") for percent in (98, 90, 50, 10)]
    assert stable.cases_ == 40
    assert stable.fitted_patients_ == {f"p{i}" for i in range(40)}
    found = stable.transform(design())
    assert list(found.columns) == list(stable.get_feature_names_out()) == stable.columns_
    pd.testing.assert_frame_equal(found, design()[stable.columns_])


def test_features_without_a_correlation_are_listed_and_dropped_or_kept() -> None:
    stable = fitted()
    assert stable.unjudged_ == {
        name("Constant"): "found the same value in all 40 subjects, expected some difference",
        name("Absent", "elasto"): "found 0 subjects that every rater measured, expected at least 2",
        NEVER: "found no repeated measurement, expected some",
    }
    kept = fitted(unjudged="keep")
    assert kept.unjudged_ == stable.unjudged_
    assert set(kept.columns_) == {*stable.columns_, *stable.unjudged_}
    assert [c for c in design().columns if c in kept.columns_] == kept.columns_


@pytest.mark.parametrize("judge", ["icc21", "icc21_low", "icc31", "icc31_low"])
def test_the_judge_and_the_bound_decide(judge: str) -> None:
    table = agreement_table(planted(), Source.PERTURBATION).set_index("feature")
    stable = fitted(judge=judge, bound=0.4)
    expected = [feature for feature in table.index if table.loc[feature, judge] >= 0.4]
    assert [column for column in stable.columns_ if column != SIZE] == expected
    # Exactly on the bound is above it, whatever the last digits of a sum.
    on = fitted(judge=judge, bound=float(table[judge].loc[name("Share90")]) + 1e-13)
    assert name("Share90") in on.columns_


def test_the_lower_end_is_stricter() -> None:
    few = planted(cases=12)
    value, low = (
        StableFeatures(judge=judge, bound=0.85).fit(design(12), rows=rows(12), repeats=few)
        for judge in ("icc21", "icc21_low")
    )
    assert set(low.columns_) < set(value.columns_)


@pytest.mark.parametrize("split", ["tuning", "calibration", "test", "external"])
def test_a_single_row_of_another_split_is_refused(split: str) -> None:
    mixed = Rows.of([f"p{i}" for i in range(40)], ["train"] * 39 + [split])
    with pytest.raises(LeakError, match=f"found 1 {split} rows in the fit of the stable features"):
        StableFeatures().fit(design(), rows=mixed, repeats=planted())


def test_repeats_of_other_cases_change_nothing() -> None:
    """The planted leak: on the test cases Share10 repeats to the digit, and Share98 not at all."""
    repeats = planted()
    train, test = repeats.iloc[: 25 * 5], repeats.iloc[25 * 5 :].copy()
    test[name("Share10")] = np.repeat(np.arange(15.0) * 50, 5)
    test[name("Share98")] = 30 * np.random.default_rng(9).normal(size=75)
    both = pd.concat([train, test])
    honest = StableFeatures().fit(design().iloc[:25], rows=rows(25), repeats=both)
    alone = StableFeatures().fit(design().iloc[:25], rows=rows(25), repeats=train)
    assert honest.to_dict() == alone.to_dict()
    assert honest.cases_ == 25
    # The leak would have shown.
    leaking = StableFeatures().fit(design(), rows=rows(40), repeats=both)
    assert name("Share10") in leaking.columns_
    assert name("Share98") not in leaking.columns_
    assert name("Share10") not in honest.columns_


def test_outcome_is_not_looked_at() -> None:
    first = StableFeatures().fit(design(), np.zeros(40), rows=rows(), repeats=planted())
    assert first.to_dict() == fitted().to_dict()


def test_state_survives_json_and_holds_no_patient() -> None:
    stable = fitted(judge="icc31_low", bound=0.8, unjudged="keep")
    text = json.dumps(stable.to_dict())
    assert "p1" not in text
    assert "case1" not in text
    restored = StableFeatures.from_dict(json.loads(text))
    assert json.dumps(restored.to_dict()) == text
    assert restored.get_params() == stable.get_params()
    pd.testing.assert_frame_equal(restored.transform(design()), stable.transform(design()))


def test_a_missing_column_is_named_but_an_absent_optional_modality_is_not_a_number() -> None:
    stable = fitted(unjudged="keep")
    with pytest.raises(DataError, match=r"found no feature 'bmode.*Share98' \(and 0 more\)"):
        stable.transform(design().drop(columns=[name("Share98")]))
    bare = stable.transform(design().drop(columns=[name("Absent", "elasto")]))
    assert bare[name("Absent", "elasto")].isna().all()


def test_nothing_to_judge_or_nothing_left_is_an_error() -> None:
    with pytest.raises(DataError, match="found repeated measurements of 0 of 40 training cases"):
        StableFeatures().fit(design().reset_index(drop=True), rows=rows(), repeats=planted())
    noisy = planted()[["image_id", "rater", "status", "code", "reason", name("Share10")]]
    with pytest.raises(DataError, match=r"found no feature with icc21 of at least 0\.75 among 1"):
        StableFeatures().fit(design()[[name("Share10")]], rows=rows(), repeats=noisy)
    with pytest.raises(ValueError, match="40 rows of features but 39 of patients"):
        StableFeatures().fit(design(), rows=rows(39), repeats=planted())


@pytest.mark.parametrize("setting", [{"judge": "icc"}, {"unjudged": "maybe"}, {"bound": 75}])
def test_parameters_that_cannot_be_meant_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"found {next(iter(setting))} = "):
        fitted(**setting)


def test_scikit_learn_can_clone_it() -> None:
    from sklearn.base import clone

    assert clone(StableFeatures(0.9, "icc31", "keep")).get_params() == {
        "bound": 0.9,
        "judge": "icc31",
        "unjudged": "keep",
    }
