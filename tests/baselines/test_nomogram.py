"""The nomogram is the logistic model, read with a ruler."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from usdlr.baselines.nomogram import Nomogram, Variable, fit_nomogram, worked_example
from usdlr.core.errors import DataError, LeakError
from usdlr.core.leak import Rows

WORDS = {"score": ("Radiomics score", "log-odds"), "size": ("Tumour size", "mm"), "age": ("Age", "years")}


def table(count: int = 200, seed: int = 0) -> tuple[pd.DataFrame, Any]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "score": rng.normal(size=count),
            "size": rng.lognormal(3, 0.4, count),
            "age": rng.uniform(30, 80, count),
        }
    )
    logit = X["score"] + 0.05 * (X["size"] - 20) - 0.03 * (X["age"] - 55)
    return X, np.asarray(rng.uniform(size=count) < 1 / (1 + np.exp(-logit)), dtype=np.float64)


def records(X: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in X.to_dict("records")]


def rows(count: int, split: str = "train") -> Rows:
    return Rows.of(map(str, range(count)), [split] * count)


def fitted(seed: int = 0) -> tuple[Nomogram, pd.DataFrame, Any]:
    X, y = table(seed=seed)
    return fit_nomogram(X, y, rows=rows(len(X)), words=WORDS, outcome="SLN positive"), X, y


@pytest.mark.parametrize("seed", range(3))
def test_probability_is_the_logistic_models(seed: int) -> None:
    nomogram, X, y = fitted(seed)
    scaler = StandardScaler().fit(X.to_numpy())
    model = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(scaler.transform(X.to_numpy()), y)
    expected = model.predict_proba(scaler.transform(X.to_numpy()))[:, 1]
    found = [nomogram.probability(row) for row in records(X)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_points_by_hand() -> None:
    """Size spans 0.05 * 40 = 2 log-odds and gets 100 points; age spans 1 and counts downward."""
    nomogram = Nomogram(
        "SLN positive",
        (Variable("size", "Tumour size", "mm", 0.05, 5, 45), Variable("age", "Age", "years", -0.02, 30, 80)),
        -1.0,
        100,
        30,
    )
    reading = nomogram.read({"size": 25, "age": 40})
    assert reading.points == {"size": pytest.approx(50), "age": pytest.approx(40)}
    assert reading.total == pytest.approx(90)
    # -1 + 0.05 * 25 - 0.02 * 40 = -0.55
    assert reading.probability == pytest.approx(1 / (1 + math.exp(0.55)), abs=1e-15)
    assert nomogram.most_points == pytest.approx(150)
    assert nomogram.value_at(nomogram.variables[1], 40) == pytest.approx(40)
    assert nomogram.total_at(reading.probability) == pytest.approx(90)
    assert worked_example(nomogram, {"size": 25, "age": 40}) == [
        "Tumour size 25 mm: 50 points",
        "Age 40 years: 40 points",
        "total 90 points: probability of SLN positive 37 %",
    ]


def test_points_stay_on_the_lines_and_the_longest_is_100() -> None:
    nomogram, X, _ = fitted()
    points = pd.DataFrame([nomogram.points(row) for row in records(X)])
    assert (points >= -1e-9).all(axis=None)
    assert points.max().max() == pytest.approx(100)
    assert points.min().max() == pytest.approx(0, abs=1e-9)


def test_outside_the_training_range() -> None:
    nomogram, X, _ = fitted()
    row = records(X)[0] | {"size": X["size"].max() + 1}
    with pytest.raises(DataError, match=r"found size = .* mm, the range of the training rows; ask for extrapolation"):
        nomogram.probability(row)
    reading = nomogram.read(row, extrapolate=True)
    assert reading.extrapolated == ("size",)
    assert nomogram.read(records(X)[0]).extrapolated == ()
    assert any("outside the training range" in line for line in worked_example(nomogram, row, extrapolate=True))


@pytest.mark.parametrize("gap", [None, np.nan, pd.NA, np.inf, "large"])
def test_a_missing_value_is_refused(gap: object) -> None:
    nomogram, X, _ = fitted()
    with pytest.raises(DataError, match="never guessed"):
        nomogram.probability(records(X)[0] | {"size": gap}, extrapolate=True)


def test_json_and_back() -> None:
    nomogram = fitted()[0]
    again = Nomogram.from_dict(json.loads(json.dumps(nomogram.to_dict())))
    assert again == nomogram
    with pytest.raises(DataError, match="cannot be read"):
        Nomogram.from_dict({"outcome": "x"})
    with pytest.raises(DataError, match="cannot be read"):
        Nomogram.from_dict(nomogram.to_dict() | {"patients": []})


def test_fit_refuses_other_splits_gaps_and_one_class() -> None:
    X, y = table()
    with pytest.raises(LeakError, match="nomogram"):
        fit_nomogram(X, y, rows=rows(len(X), "tuning"), words=WORDS, outcome="x")
    with pytest.raises(DataError, match="no finite number"):
        fit_nomogram(X.mask(X > 70), y, rows=rows(len(X)), words=WORDS, outcome="x")
    with pytest.raises(DataError, match="expected both"):
        fit_nomogram(X, np.ones(len(X)), rows=rows(len(X)), words=WORDS, outcome="x")
    flat = fit_nomogram(X.assign(size=7.0), y, rows=rows(len(X)), words=WORDS, outcome="x")
    assert [variable.name for variable in flat.variables] == ["score", "age"]
    with pytest.raises(DataError, match="no variable that varies"):
        fit_nomogram(X * 0, y, rows=rows(len(X)), words=WORDS, outcome="x")


def test_impossible_nomograms_are_refused() -> None:
    with pytest.raises(DataError, match="range that is not empty"):
        Variable("a", "A", "", 1.0, 2.0, 2.0)
    with pytest.raises(DataError, match="expected finite numbers"):
        Variable("a", "A", "", math.nan, 1.0, 2.0)
    one = Variable("a", "A", "", 1.0, 1.0, 2.0)
    with pytest.raises(DataError, match="each once"):
        Nomogram("x", (one, one), 0.0, 1, 1)
    with pytest.raises(DataError, match="intercept"):
        Nomogram("x", (one,), math.inf, 1, 1)
    silent = Nomogram("x", (Variable("a", "A", "", 0.0, 1.0, 2.0),), 0.0, 2, 1)
    assert silent.probability({"a": 1.5}) == 0.5
    assert math.isnan(silent.total_at(0.4))
