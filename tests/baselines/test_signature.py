"""Radiomics signature and its nomogram; the support vector machine."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.svm import SVC

from usdlr.baselines.nomogram import Nomogram
from usdlr.baselines.scaling import ASINH, LINEAR, Scaling
from usdlr.baselines.signature import (
    SCORE,
    Signature,
    SignatureNomogram,
    fit_signature,
    held_out_scores,
    read_nomogram,
    words_of,
)
from usdlr.baselines.svm import SupportVectors
from usdlr.core.errors import ConfigError, DataError, LeakError
from usdlr.core.leak import Rows

SIZE = "clinical.tumour_size_mm"
PLANTED = ("f3", "f7")


def data(patients: int, seed: int, columns: int = 60) -> tuple[pd.DataFrame, npt.NDArray[np.float64], Rows]:
    """Two images per patient; two features, one of them with a heavy tail, and tumour size go with the label."""
    rng = np.random.default_rng(seed)
    y = np.repeat(rng.permutation(np.arange(patients) % 2), 2).astype(np.float64)
    X = pd.DataFrame(rng.normal(size=(2 * patients, columns)), columns=[f"f{i}" for i in range(columns)])
    X["f3"] += 1.3 * y
    X["f7"] = np.sinh(3 * (X["f7"] + 1.3 * y))
    X[SIZE] = rng.lognormal(2.7 + 0.4 * y, 0.4)
    who = [f"p{i // 2}" for i in range(2 * patients)]
    return X, y, Rows.of(who, ["train"] * len(who))


@pytest.fixture(scope="module")
def model() -> SignatureNomogram:
    X, y, rows = data(100, 0)
    return SignatureNomogram(seed=1).fit(X, y, rows=rows)


def test_finds_the_planted_features_and_orders_new_rows(model: SignatureNomogram) -> None:
    assert model.fit_ is not None
    assert set(PLANTED) <= set(model.fit_.signature.columns)
    assert set(model.fit_.signature.columns[:2]) == set(PLANTED)
    assert len(model.fit_.signature.columns) < 20
    X, y, _ = data(100, 1)
    assert roc_auc_score(y, model.predict_proba(X)[:, 1]) > 0.9


def test_the_heavy_tail_is_bent_by_choice_inside_the_training_rows(model: SignatureNomogram) -> None:
    assert model.fit_ is not None
    assert model.fit_.signature.scaling.kind == ASINH
    X, y, rows = data(100, 0)
    X["f7"] = np.arcsinh(X["f7"])
    features = X.drop(columns=[SIZE])
    assert fit_signature(features, y, rows=rows, scalings=(LINEAR,)).signature.scaling.kind == LINEAR


def test_score_is_the_l1_logistic_regression_at_that_penalty() -> None:
    """scikit-learn's own solver at C = 1 / (rows x penalty) gives the same score."""
    X, y, rows = data(60, 2, columns=20)
    features = X.drop(columns=[SIZE])
    fit = fit_signature(features, y, rows=rows, scalings=(LINEAR,))
    a = features.to_numpy()
    z = np.clip((a - a.mean(axis=0)) / a.std(axis=0), -5, 5)
    z = (z - z.mean(axis=0)) / z.std(axis=0)
    penalty = fit.path.penalties[fit.path.chosen]
    other = LogisticRegression(l1_ratio=1, C=1 / (len(y) * penalty), solver="saga", tol=1e-10, max_iter=100_000)
    expected = other.fit(z, y).decision_function(z)
    np.testing.assert_allclose(fit.signature.score(features), expected, atol=1e-4)


def test_the_rule_takes_the_sparsest_within_one_standard_error(model: SignatureNomogram) -> None:
    assert model.fit_ is not None
    path = model.fit_.path
    limit = min(path.deviance) + path.error[int(np.argmin(path.deviance))]
    assert path.deviance[path.chosen] <= limit + 1e-8
    within = [size for size, value in zip(path.sizes, path.deviance, strict=True) if value <= limit]
    assert path.sizes[path.chosen] == min(within)
    assert path.chosen <= path.best


def test_held_out_scores_did_not_see_their_patient() -> None:
    """Where nothing can be known, a fit with hardly any penalty knows its own rows by heart, twins included."""
    rng = np.random.default_rng(3)
    X = np.repeat(rng.normal(size=(60, 300)), 2, axis=0)
    y = np.repeat(np.tile([0.0, 1.0], 30), 2)
    rows = Rows.of([f"p{i // 2}" for i in range(120)], ["train"] * 120)
    assert (
        roc_auc_score(y, LogisticRegression(l1_ratio=1, C=1, solver="liblinear").fit(X, y).decision_function(X)) > 0.99
    )
    found = held_out_scores(X, y, rows, 1 / 120)
    assert abs(roc_auc_score(y, found) - 0.5) < 0.2


def test_a_model_of_nothing_has_one_score_for_all() -> None:
    """A penalty that leaves no feature leaves the log-odds of the share of positives, whatever fold a row is in."""
    rng = np.random.default_rng(4)
    y = (np.arange(50) < 17).astype(np.float64)
    rows = Rows.of(map(str, range(50)), ["train"] * 50)
    found = held_out_scores(rng.normal(size=(50, 30)), y, rows, 10.0)
    np.testing.assert_allclose(found, np.log(17 / 33))


def test_a_signature_of_noise_does_not_harm_the_clinical_variables() -> None:
    """Few patients, features that know nothing, a size that knows a lot: size must keep what it is worth."""
    alone, together = [], []
    for seed in range(6):
        (X, y), (T, t) = noise(50, seed), noise(1000, 100 + seed)
        fitted = SignatureNomogram(seed=1).fit(X, y, rows=Rows.of(map(str, range(50)), ["train"] * 50))
        slopes = {variable.name: variable.coefficient for variable in fitted.nomogram_.variables}
        assert slopes.get(SCORE, 0.0) >= 0
        assert fitted.score_used_ == (SCORE in slopes)
        together.append(roc_auc_score(t, fitted.predict_proba(T)[:, 1]))
        alone.append(roc_auc_score(t, T[SIZE]))
    assert np.mean(together) > np.mean(alone) - 0.05


def noise(patients: int, seed: int) -> tuple[pd.DataFrame, npt.NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    y = (rng.random(patients) < 0.4).astype(np.float64)
    X = pd.DataFrame(rng.normal(size=(patients, 100)), columns=[f"f{i}" for i in range(100)])
    X[SIZE] = rng.lognormal(2.7 + 0.5 * y, 0.4)
    return X, y


def test_nomogram_is_fitted_on_held_out_scores(model: SignatureNomogram) -> None:
    """scikit-learn on those scores and on size, standardised, gives the same slopes."""
    X, y, _ = data(100, 0)
    assert model.fit_ is not None
    table = np.column_stack([model.fit_.held_out, X[SIZE]])
    expected = LogisticRegression(C=1.0, tol=1e-8).fit((table - table.mean(axis=0)) / table.std(axis=0), y).coef_[0]
    found = [variable.coefficient for variable in model.nomogram_.variables]
    np.testing.assert_allclose(found, expected / table.std(axis=0), rtol=1e-6)
    assert np.ptp(model.fit_.held_out - model.fit_.signature.score(X)) > 0.1


def test_noise_keeps_one_feature_at_least() -> None:
    rng = np.random.default_rng(12)
    X = pd.DataFrame(rng.normal(size=(40, 50)), columns=[f"f{i}" for i in range(50)])
    rows = Rows.of(map(str, range(40)), ["train"] * 40)
    fit = fit_signature(X, np.tile([0.0, 1.0], 20), rows=rows)
    assert fit.path.sizes[fit.path.chosen] == 0  # the rule alone would leave none
    assert len(fit.signature.columns) == 1
    assert np.ptp(fit.signature.score(X)) > 0


def test_nomogram_and_probability_are_one_logistic_model(model: SignatureNomogram) -> None:
    assert model.fit_ is not None
    X, _, _ = data(30, 4)
    names = [variable.name for variable in model.nomogram_.variables]
    assert names == [SCORE, SIZE]
    slope = {variable.name: variable.coefficient for variable in model.nomogram_.variables}
    logit = model.nomogram_.intercept + slope[SCORE] * model.fit_.signature.score(X) + slope[SIZE] * X[SIZE].to_numpy()
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], 1 / (1 + np.exp(-logit)), rtol=0, atol=1e-12)
    assert slope[SCORE] > 0
    assert slope[SIZE] > 0


def test_json_and_back(model: SignatureNomogram) -> None:
    assert model.fit_ is not None
    state = json.loads(json.dumps(model.to_dict(), allow_nan=False))
    X, _, _ = data(20, 5)
    again = Signature.from_dict(state["signature"])
    np.testing.assert_array_equal(again.score(X), model.fit_.signature.score(X))
    assert read_nomogram(state) == model.nomogram_ == Nomogram.from_dict(state["nomogram"])
    assert not any(f"p{i}" in json.dumps(state) for i in range(100, 110))
    with pytest.raises(DataError, match="no nomogram"):
        read_nomogram({})


def test_features_alone_and_size_alone() -> None:
    X, y, rows = data(40, 6)
    without = SignatureNomogram().fit(X.drop(columns=[SIZE]), y, rows=rows)
    assert [variable.name for variable in without.nomogram_.variables] == [SCORE]
    alone = SignatureNomogram().fit(X[[SIZE]], y, rows=rows)
    assert alone.fit_ is None
    assert spearmanr(alone.predict_proba(X)[:, 1], X[SIZE]).statistic == pytest.approx(1)


def test_gaps_infinities_and_columns_without_a_value() -> None:
    X, y, rows = data(40, 7)
    X.iloc[0, 3], X.iloc[1, 7], X.iloc[2, 0] = np.nan, np.inf, -np.inf
    X["flat"], X["empty"] = 3.0, np.nan
    X.loc[4, SIZE] = np.nan
    for estimator in (SignatureNomogram(), SupportVectors()):
        found = estimator.fit(X, y, rows=rows).predict_proba(X)
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize("estimator", [SignatureNomogram(), SupportVectors()])
def test_other_splits_are_refused(estimator: Any) -> None:
    X, y, rows = data(20, 8)
    wrong = Rows.of(rows.patient_id, ["calibration"] * len(rows))
    with pytest.raises(LeakError, match="calibration rows in the fit"):
        estimator.fit(X, y, rows=wrong)


def test_svm_finds_what_no_line_can() -> None:
    """The label is whether two features have the same sign, each alone says a little."""
    rng = np.random.default_rng(9)
    y = np.tile([0.0, 1.0], 100)
    a = rng.normal(size=200)
    b = np.abs(rng.normal(size=200)) * np.sign(a) * np.where(y == 1, 1, -1)
    X = pd.DataFrame({"a": a + 0.3 * y, "b": b + 0.3 * y})
    rows = Rows.of(map(str, range(200)), ["train"] * 200)
    model = SupportVectors().fit(X, y, rows=rows)
    assert model.columns_ == ("a", "b")
    assert roc_auc_score(y, model.predict_proba(X)[:, 1]) > 0.9


def test_svm_is_scikit_learns_and_its_probability_never_falls() -> None:
    X, y, rows = data(50, 10)
    model = SupportVectors(seed=2).fit(X, y, rows=rows)
    assert {"f3"} <= set(model.columns_)
    scaling = Scaling.fit(X, ASINH).only(model.columns_)
    _, penalty, width = model.chosen_
    values = scaling.transform(X)
    decision = SVC(C=penalty, gamma=width / values.shape[1]).fit(values, y).decision_function(values)
    found = model.predict_proba(X)[:, 1]
    order = np.argsort(decision)
    assert (np.diff(found[order]) >= 0).all()
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-(model.slope_ * decision + model.level_))), atol=1e-12)
    # Platt's curve is calibrated on held-out rows: the mean probability is near the share of positives.
    fresh, truth, _ = data(200, 11)
    assert abs(model.predict_proba(fresh)[:, 1].mean() - truth.mean()) < 0.08


def test_scaling_by_hand() -> None:
    X = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0, 4.0], "flat": 2.0})
    linear = Scaling.fit(X, LINEAR)
    np.testing.assert_allclose(linear.transform(X)[:, 0], (np.arange(5) - 2) / np.sqrt(2))
    assert (linear.transform(X.assign(flat=9.0))[:, 1] == 0).all()
    assert linear.transform(X.assign(a=1e9))[0, 0] == 5.0
    bent = Scaling.fit(X, ASINH)
    expected = np.arcsinh((np.arange(5) - 2) / (2 / 1.3489795003921634))
    np.testing.assert_allclose(bent.transform(X)[:, 0], expected / expected.std())
    with pytest.raises(ConfigError, match="found scaling 'rank'"):
        Scaling.fit(X, "rank")
    with pytest.raises(DataError, match="found no feature 'flat'"):
        linear.transform(X[["a"]])


def test_words_of_the_nomograms_lines() -> None:
    assert words_of(SCORE) == ("Radiomics score", "log-odds")
    assert words_of(SIZE) == ("Tumour size", "mm")
    assert words_of("clinical.age_years") == ("Age", "years")
    assert words_of("clinical.grade_core_biopsy") == ("Grade core biopsy", "")
