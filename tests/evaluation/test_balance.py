"""The cohort table against hand-worked numbers, scipy, and published output of other programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import mahalanobis
from scipy.stats import ttest_ind
from sklearn.datasets import load_iris

from usdlr.core.errors import DataError, InputError
from usdlr.evaluation.balance import (
    NO_SPREAD,
    NOTHING_SHARED,
    Described,
    number_difference,
    study_balance,
    words_difference,
)
from usdlr.evaluation.levels import UNKNOWN


def test_numbers_against_the_sas_macro() -> None:
    # github.com/josecaloca/standardised_difference, "results SAS.htm": output of Yang and Dalton's macro for the iris
    # data, divided at random by numpy's seed 42 into 109 and 41; sepal length 0.20356. The interval: its notebook.
    random = np.random.RandomState(42)
    group = random.choice(a=[0, 1], size=150, p=[0.725, 0.275])
    length = load_iris().data[:, 0]
    found = number_difference(length[group == 1], length[group == 0])
    assert (found.n, (group == 0).sum()) == (150, 109)
    assert found.value == pytest.approx(0.20356, abs=5e-6)
    assert found.high == pytest.approx(0.5633801718, abs=1e-4)  # they round z to 1.96
    assert found.low == 0.0  # theirs is -0.156 with a sign


def test_words_against_published_output() -> None:
    # The same source's notebook, species by group: 40, 33, 36 of 109 and 10, 17, 14 of 41. It follows the paper's
    # formula, as here; the macro itself printed 0.30459.
    found = words_difference([40, 33, 36], [10, 17, 14])
    assert found.value == pytest.approx(0.2944457152353158)
    assert found.high == pytest.approx(0.6550726666, abs=1e-4)


def test_numbers_against_students_t() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(0, 1, 60), random.normal(0.7, 3, 60)
    # Groups of one size share Student's pooled variance: t = d sqrt(n / 2).
    expected = abs(ttest_ind(a, b).statistic) * np.sqrt(2 / 60)
    assert number_difference(a, b).value == pytest.approx(expected)
    with_gaps = number_difference([*a, np.nan], b)
    assert with_gaps.value == pytest.approx(expected)
    assert with_gaps.n == 120
    assert number_difference(1000 * a + 5, 1000 * b + 5).value == pytest.approx(expected)


def test_words_are_mahalanobis_of_dummies() -> None:
    random = np.random.default_rng(1)
    a, b = random.integers(0, 4, 80), random.integers(0, 5, 50)
    dummies = [np.eye(5)[part] for part in (a, b)]
    expected = mahalanobis(
        dummies[0].mean(axis=0),
        dummies[1].mean(axis=0),
        np.linalg.pinv(sum(np.cov(part.T, bias=True) for part in dummies) / 2),
    )
    counts = [np.bincount(part, minlength=5) for part in (a, b)]
    found = words_difference(*counts)
    assert found.value == pytest.approx(expected)
    order = random.permutation(5)
    assert words_difference(counts[1][order], counts[0][order]).value == pytest.approx(expected)
    # Two levels, by hand: 0.2 / sqrt((0.25 + 0.21) / 2).
    assert words_difference([5, 5], [3, 7]).value == pytest.approx(0.2 / np.sqrt(0.23))


def test_differences_without_a_number() -> None:
    assert number_difference([1.0], [2.0, 3.0]).method.startswith("undefined: fewer than two")
    assert number_difference([1.0, 1.0], [2.0, 2.0]).method == f"undefined: {NO_SPREAD}"
    assert number_difference([0.1] * 3, [0.1] * 7).value == 0.0
    assert words_difference([0, 0], [1, 2]).method == "undefined: no known values in a group"
    assert words_difference([3, 0], [0, 2]).method == f"undefined: {NOTHING_SHARED}"
    assert words_difference([3, 0], [2, 0]).value == 0.0
    assert words_difference([3, 0], [2, 0]).low is None
    assert words_difference([9, 1], [9, 1]).value == 0.0


def cohort() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Eight axillae of seven patients at two centres; p0 has both sides."""
    key = pd.DataFrame(
        {"patient_id": ["p0", "p0", *(f"p{k}" for k in range(1, 7))], "side": ["left", "right", *["left"] * 6]}
    )
    labels = key.assign(sln=[1, 1, 1, 1, 0, 0, 0, np.nan], nsln=[1, 0, np.nan, 1, 0, 0, 0, np.nan])
    axillae = key.assign(
        centre_id=["A", "A", "A", "A", "B", "B", "B", "B"],
        age_years=[50, 50, 60, 70, 40, 40, 60, np.nan],
        device=["x", "x", "x", "x", "y", "y", "y", "y"],
        birads=pd.array(["5", "4a", None, "5", "4a", "4a", "5", "4a"], dtype="string"),
        axillary_surgery=["alnd"] * 4 + ["slnb"] * 4,
    )
    return labels, axillae


def found_of(table: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in table["variables"]}


def test_a_cohort_worked_by_hand() -> None:
    found = json.loads(json.dumps(study_balance(*cohort()), allow_nan=False))
    centre = found["centre"]
    assert [(group["name"], group["n"], group["patients"]) for group in centre["groups"]] == [("A", 4, 3), ("B", 4, 4)]
    age = found_of(centre)["age_years"]
    # Each axilla counts: 50, 50, 60, 70 and 40, 40, 60; variances 275/3 and 400/3.
    assert age["groups"][0] == {
        "n": 4,
        "mean": 57.5,
        "sd": pytest.approx(np.sqrt(275 / 3)),
        "median": 55,
        "q1": 50,
        "q3": 62.5,
    }
    assert age["groups"][1]["mean"] == pytest.approx(140 / 3)
    assert age["difference"]["value"] == pytest.approx((57.5 - 140 / 3) / np.sqrt((275 / 3 + 400 / 3) / 2))
    assert age["missing"]["counts"] == [0, 1]
    # Missing 0 of 4 and 1 of 4: 0.25 / sqrt(0.1875 / 2).
    assert age["missing"]["difference"]["value"] == pytest.approx(0.25 / np.sqrt(0.1875 / 2))
    birads = found_of(centre)["birads"]
    assert birads["levels"] == [{"level": "4a", "counts": [1, 3]}, {"level": "5", "counts": [2, 1]}]
    assert birads["missing"]["counts"] == [1, 0]
    assert found_of(centre)["device"]["difference"]["method"] == f"undefined: {NOTHING_SHARED}"
    assert found_of(centre)["nsln"]["levels"] == [
        {"level": "negative", "counts": [1, 0]},
        {"level": "positive", "counts": [2, 0]},
    ]
    assert found_of(centre)["nsln"]["missing"]["counts"] == [1, 0]
    assert found_of(centre)["sln"]["missing"]["counts"] == [0, 1]
    assert "Tumour size" in centre["absent"]


def test_outcomes_and_who_is_compared() -> None:
    found = study_balance(*cohort())
    sln, nsln = found["sln"], found["nsln"]
    assert [(group["name"], group["n"], group["compared"]) for group in sln["groups"]] == [
        ("positive", 4, True),
        ("negative", 3, True),
        (UNKNOWN, 1, False),
    ]
    assert [group["n"] for group in nsln["groups"]] == [2, 1, 1]
    assert found_of(sln)["centre_id"]["levels"][0] == {"level": "A", "counts": [4, 0, 0]}
    # Known after surgery only: the operation follows from the outcome.
    assert "axillary_surgery" not in found_of(sln)
    assert "axillary_surgery" in found_of(found["centre"])
    assert found_of(nsln)["age_years"]["difference"]["method"].startswith("undefined: fewer than two")


def many(centres: int, n: int = 600) -> tuple[pd.DataFrame, pd.DataFrame]:
    random = np.random.default_rng(2)
    key = pd.DataFrame({"patient_id": [f"p{place}" for place in range(n)], "side": "left"})
    place = np.arange(n) % centres
    age = random.normal(55, 10, n) + 30.0 * (place == 3)
    device = np.where(place == 5, "own", "common")
    labels = key.assign(sln=(random.random(n) < 0.4).astype(float), nsln=0.0)
    return labels, key.assign(centre_id=[f"Centre {1 + one}" for one in place], age_years=age, device=device)


def test_of_many_centres_the_farthest_pair_is_named() -> None:
    found = study_balance(*many(12))["centre"]
    assert [group["name"] for group in found["groups"]] == [f"Centre {one}" for one in range(1, 13)]
    age = found_of(found)["age_years"]
    assert "Centre 4" in age["pair"]
    assert age["difference"]["value"] > 2
    assert age["difference"]["low"] is None
    assert "largest of 66 pairs" in age["difference"]["method"]
    # No number is larger than a difference without any level in common.
    assert found_of(found)["device"]["pair"] == ["Centre 1", "Centre 6"]
    assert found_of(found)["device"]["difference"]["value"] is None


def test_cohorts_that_cannot_be_divided() -> None:
    labels, axillae = cohort()
    assert study_balance(labels, pd.DataFrame()) == {}
    one = study_balance(labels, axillae.assign(centre_id="A"))["centre"]
    assert found_of(one)["age_years"]["difference"]["method"] == "undefined: fewer than two groups"
    assert found_of(one)["age_years"]["groups"][0]["n"] == 7
    without = study_balance(labels, axillae.drop(columns="centre_id"))
    assert set(without) == {"sln", "nsln"}
    assert "Centre" in without["sln"]["absent"]
    nothing = study_balance(labels, axillae.assign(centre_id=None, age_years=np.nan, birads=None, device="x"))
    json.dumps(nothing, allow_nan=False)
    assert [group["name"] for group in nothing["centre"]["groups"]] == [UNKNOWN]
    assert found_of(nothing["sln"])["birads"]["missing"]["counts"] == [4, 3, 1]
    assert found_of(nothing["sln"])["birads"]["levels"] == []
    assert found_of(nothing["sln"])["device"]["difference"]["value"] == 0.0
    unknown = study_balance(labels.assign(sln=np.nan, nsln=np.nan), axillae)
    assert [group["n"] for group in unknown["sln"]["groups"]] == [0, 0, 8]
    assert [group["n"] for group in unknown["nsln"]["groups"]] == [0, 0]
    three = study_balance(labels.iloc[:3], axillae)
    json.dumps(three, allow_nan=False)
    assert sum(group["n"] for group in three["centre"]["groups"]) == 3


def test_the_order_of_rows_changes_nothing() -> None:
    labels, axillae = cohort()
    shuffled = study_balance(labels.sample(frac=1, random_state=0), axillae.sample(frac=1, random_state=1))
    assert shuffled == study_balance(labels, axillae)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda axillae: axillae.iloc[1:], InputError, "expected the same ones"),
        (lambda axillae: pd.concat([axillae, axillae]), InputError, "more than once"),
        (lambda axillae: axillae.assign(age_years="old"), DataError, "found words"),
        (lambda axillae: axillae.assign(age_years=np.inf), DataError, "infinite"),
    ],
)
def test_wrong_tables_are_refused(
    change: Callable[[pd.DataFrame], pd.DataFrame], error: type[Exception], words: str
) -> None:
    labels, axillae = cohort()
    with pytest.raises(error, match=words):
        study_balance(labels, change(axillae))


def test_a_column_of_ones_own() -> None:
    labels, axillae = cohort()
    found = study_balance(
        labels, axillae.assign(grade=[1, 2, 3, 3, 1, 1, 2, np.nan]), variables=[Described("grade", "Grade")]
    )
    assert [level["level"] for level in found["sln"]["variables"][0]["levels"]] == ["1", "2", "3"]
