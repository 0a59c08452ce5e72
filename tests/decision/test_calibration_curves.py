"""Beta calibration, isotonic regression and Venn-Abers against other libraries and shapes that are known."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from mapie._venn_abers import calc_p0p1, calc_probs
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from usdlr.core.errors import BundleError
from usdlr.core.leak import Rows
from usdlr.decision.calibration import (
    SMALLEST_SLOPE,
    BetaCalibrator,
    IsotonicCalibrator,
    PlattCalibrator,
    VennAbersCalibrator,
    calibrator_from_dict,
)

Array = NDArray[np.float64]


def tuning(n: int) -> Rows:
    return Rows.of([f"p{i}" for i in range(n)], ["tuning"] * n)


def sample(n: int = 60, seed: int = 0, digits: int = 6) -> tuple[Array, Array]:
    draw = np.random.default_rng(seed)
    x = draw.normal(0.3, 2.0, n).round(digits)
    return x, (draw.random(n) < expit(0.7 * x - 0.6)).astype(float)


# Beta calibration


def test_beta_without_prior_is_the_logistic_regression_of_statsmodels() -> None:
    x, y = sample(400)
    s = expit(x)
    fitted = BetaCalibrator(prior_strength=0.0).fit(x, y, rows=tuning(len(x)))
    design = sm.add_constant(np.column_stack([np.log(s), -np.log1p(-s)]))
    truth = sm.GLM(y, design, family=sm.families.Binomial()).fit(tol=1e-12)
    assert min(truth.params[1:]) > SMALLEST_SLOPE
    assert [fitted.c_, fitted.a_, fitted.b_] == pytest.approx(truth.params, abs=1e-6)
    np.testing.assert_allclose(expit(fitted.transform(x)), truth.fittedvalues, atol=1e-8)


@pytest.mark.parametrize(("a", "b"), [(2.0, 0.5), (0.5, 1.5)])
def test_beta_finds_the_bend_that_was_planted_and_platt_cannot(a: float, b: float) -> None:
    draw = np.random.default_rng(1)
    s = draw.uniform(0.001, 0.999, 60_000)
    honest = expit(a * np.log(s) - b * np.log1p(-s) + 0.3)
    y = (draw.random(len(s)) < honest).astype(float)
    fitted = BetaCalibrator().map_of(logit(s), y, np.ones_like(s))
    assert (fitted.a_, fitted.b_, fitted.c_) == pytest.approx((a, b, 0.3), abs=0.08)
    line = PlattCalibrator().map_of(logit(s), y, np.ones_like(s))
    wrong = [np.abs(expit(each.transform(logit(s))) - honest).mean() for each in (fitted, line)]
    assert wrong[0] < 0.005 < wrong[1]


@pytest.mark.parametrize("seed", range(4))
def test_beta_is_the_best_allowed_point_that_a_general_optimiser_finds(seed: int) -> None:
    """Few rows whose high end ranks the wrong way round: there a slope is on its bound."""
    draw = np.random.default_rng(seed)
    x = draw.normal(0, 2, 30)
    y = np.where(x > 0.5, draw.random(30) < expit(1 - x), draw.random(30) < expit(x)).astype(float)

    def loss(at: Array) -> float:
        s = expit(x)
        z = at[0] * np.log(s) - at[1] * np.log1p(-s) + at[2]
        return float((np.logaddexp(0, z) - y * z).sum() + 0.5 * 0.2 * ((at[:2] - 1) ** 2).sum())

    bounds = [(SMALLEST_SLOPE, None), (SMALLEST_SLOPE, None), (None, None)]
    truth = minimize(loss, [1.0, 1.0, 0.0], method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-10})
    fitted = BetaCalibrator(prior_strength=0.2).fit(x, y, rows=tuning(30))
    assert loss(np.array([fitted.a_, fitted.b_, fitted.c_])) <= truth.fun + 1e-9
    assert [fitted.a_, fitted.b_, fitted.c_] == pytest.approx(truth.x, abs=1e-3)


def test_beta_of_a_reversed_ranking_is_flattened_but_not_turned() -> None:
    x = np.linspace(-4, 4, 40)
    fitted = BetaCalibrator(prior_strength=0.0).fit(x, (x < 0).astype(float), rows=tuning(40))
    assert (fitted.a_, fitted.b_) == (SMALLEST_SLOPE, SMALLEST_SLOPE)


def test_beta_survives_constant_and_extreme_log_odds() -> None:
    constant = BetaCalibrator().fit([2.0] * 6, [0, 0, 0, 0, 1, 1], rows=tuning(6))
    assert expit(constant.transform([2.0]))[0] == pytest.approx(1 / 3, abs=1e-6)
    extreme = BetaCalibrator().fit([-800.0, 900.0, -700.0, 700.0], [0, 1, 1, 0], rows=tuning(4))
    assert np.isfinite(extreme.transform([-1e6, 0.0, 1e6])).all()


# Isotonic regression


@pytest.mark.parametrize("digits", [6, 1, 0])
@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_isotonic_blocks_are_scikit_learns_with_a_pseudo_axilla_at_either_end(digits: int, weight: float) -> None:
    x, y = sample(80, digits=digits)
    fitted = IsotonicCalibrator(end_weight=weight).fit(x, y, rows=tuning(len(x)))
    more_x, more_y = np.append(x, [x.min(), x.max()]), np.append(y, [1, 0])
    more_weight = np.append(np.ones(len(x)), [weight, weight])
    truth = IsotonicRegression().fit(more_x, more_y, sample_weight=more_weight).predict(x).round(12)
    levels = np.unique(truth)
    np.testing.assert_allclose(expit(fitted.value_), levels, atol=1e-11)
    # Each block stands at the mean log-odds of its axillae.
    np.testing.assert_allclose(fitted.at_, [x[truth == level].mean() for level in levels])


def test_isotonic_with_light_ends_is_scikit_learns_calibrated_classifier_within_the_blocks() -> None:
    """Where blocks hold many axillae of one log-odds each, centring moves nothing and the two are one map."""
    draw = np.random.default_rng(3)
    x = draw.choice(np.array([-2.0, -1.0, 0.0, 1.0, 2.0]), 4000)
    y = (draw.random(len(x)) < expit(0.5 * x - 0.2)).astype(float)
    model = LogisticRegression().fit(x[:, None], y)
    truth = CalibratedClassifierCV(FrozenEstimator(model), method="isotonic").fit(x[:, None], y)
    fitted = IsotonicCalibrator(end_weight=1e-9).fit(x, y, rows=tuning(len(x)))
    at = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    np.testing.assert_allclose(expit(fitted.transform(at)), truth.predict_proba(at[:, None])[:, 1], atol=1e-6)


def test_isotonic_is_never_certain_at_the_ends_and_level_beyond_them() -> None:
    x = np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0])
    fitted = IsotonicCalibrator().fit(x, [0, 0, 0, 1, 1, 1], rows=tuning(6))
    found = expit(fitted.transform([-99.0, -2.0, 0.0, 2.0, 99.0]))
    np.testing.assert_allclose(found, [0.5 / 3.5, 0.5 / 3.5, 0.5, 3 / 3.5, 3 / 3.5])


def test_isotonic_ties_nobody_between_the_outermost_blocks() -> None:
    x, y = sample(300, 5)
    fitted = IsotonicCalibrator().fit(x, y, rows=tuning(len(x)))
    inside = np.linspace(fitted.at_[0], fitted.at_[-1], 500)
    assert (np.diff(fitted.transform(inside)) > 0).all()


def test_isotonic_of_constant_or_reversed_log_odds_is_one_block_at_the_prevalence() -> None:
    constant = IsotonicCalibrator(end_weight=1e-9).fit([2.0] * 6, [0, 0, 0, 0, 1, 1], rows=tuning(6))
    np.testing.assert_allclose(expit(constant.transform([-5.0, 2.0, 5.0])), 1 / 3, rtol=1e-6)
    x = np.arange(40.0)
    turned = IsotonicCalibrator(end_weight=1e-9).fit(x, (x < 10).astype(float), rows=tuning(40))
    np.testing.assert_allclose(expit(turned.transform([-5.0, 2.0, 99.0])), 0.25, rtol=1e-6)


# Venn-Abers


@pytest.mark.parametrize(("n", "digits"), [(3, 0), (12, 0), (40, 1), (60, 6), (150, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_venn_abers_is_scikit_learns_isotonic_regression_with_the_new_axilla_added(
    n: int, digits: int, seed: int
) -> None:
    x, y = sample(n, seed, digits)
    y[:2] = 0, 1
    fitted = VennAbersCalibrator().fit(x, y, rows=tuning(n))
    at = np.unique(np.concatenate([x, x + 0.0123, [x.min() - 9, x.max() + 9]]))
    for label, found in enumerate(fitted.interval(at)):
        truth = [IsotonicRegression().fit(np.append(x, s), np.append(y, label)).predict([s])[0] for s in at]
        np.testing.assert_allclose(found, truth, atol=1e-12)


def test_venn_abers_is_mapies() -> None:
    x, y = sample(500, 2)
    at = np.linspace(-7, 7, 301)
    p = expit(x)
    with np.errstate(invalid="ignore"):  # it divides nothing by nothing on its way
        tables = calc_p0p1(np.column_stack([1 - p, p]), y)
    merged, pair = calc_probs(*tables, np.column_stack([1 - expit(at), expit(at)]))
    fitted = VennAbersCalibrator().fit(x, y, rows=tuning(len(x)))
    p0, p1 = fitted.interval(at)
    np.testing.assert_allclose(p0, pair[:, 0], atol=1e-12)
    np.testing.assert_allclose(p1, pair[:, 1], atol=1e-12)
    np.testing.assert_allclose(expit(fitted.transform(at)), merged[:, 1], atol=1e-12)


def test_the_merged_probability_lies_between_the_two_and_they_close_with_more_patients() -> None:
    widths = []
    for n in (20, 200, 2000):
        x, y = sample(n, 8)
        fitted = VennAbersCalibrator().map_of(x, y, np.ones(n))
        p0, p1 = fitted.interval(x)
        merged = expit(fitted.transform(x))
        assert ((p0 <= merged + 1e-12) & (merged <= p1 + 1e-12)).all()
        widths.append((p1 - p0).mean())
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_the_venn_abers_interval_holds_the_truth_on_average() -> None:
    """Validity: over draws, the share of positives lies between the mean p0 and the mean p1."""
    draw = np.random.default_rng(11)
    outcomes, low, high = [], [], []
    for _ in range(400):
        x = draw.normal(0, 1, 41)
        y = (draw.random(41) < expit(3 * x - 1)).astype(float)  # raw log-odds are far from calibrated
        p0, p1 = VennAbersCalibrator().map_of(x[:40], y[:40], np.ones(40)).interval(x[40:])
        outcomes.append(y[40])
        low.append(p0[0])
        high.append(p1[0])
    assert np.mean(low) < np.mean(outcomes) < np.mean(high)


def test_without_a_class_nothing_is_known() -> None:
    low, high = VennAbersCalibrator().fit([0.0, 1.0], [1, 1], rows=tuning(2)).interval([0.5])
    assert (low.tolist(), high.tolist()) == ([0.0], [1.0])


# What they have in common


@pytest.mark.parametrize("maker", [BetaCalibrator, IsotonicCalibrator, VennAbersCalibrator])
def test_the_variance_is_that_of_new_draws_of_patients(maker: Any) -> None:
    """Against fits on fresh cohorts; a bootstrap of 300 patients is right within a factor of two."""
    draw = np.random.default_rng(5)
    at = np.array([-1.5, 0.0, 1.5])

    def cohort() -> tuple[Array, Array]:
        x = draw.normal(0, 2, 300)
        return x, (draw.random(300) < expit(0.6 * x)).astype(float)

    truth = np.var([maker().map_of(*cohort(), np.ones(300)).transform(at) for _ in range(300)], axis=0)
    found = np.mean([maker().fit(*cohort(), rows=tuning(300)).sampling_variance(at) for _ in range(4)], axis=0)
    assert ((found > truth / 2) & (found < truth * 2)).all(), (found, truth)


@pytest.mark.parametrize("maker", [BetaCalibrator, IsotonicCalibrator, VennAbersCalibrator])
def test_patients_are_drawn_not_axillae(maker: Any) -> None:
    x, y = sample(40, 6)
    names = [f"p{i}" for i in range(40)]
    at = np.linspace(-2, 2, 9)
    once = maker().fit(x, y, rows=Rows.of(names, ["tuning"] * 40))
    twice = maker().fit(np.tile(x, 2), np.tile(y, 2), rows=Rows.of(names * 2, ["tuning"] * 80))
    apart = maker().fit(np.tile(x, 2), np.tile(y, 2), rows=tuning(80))
    assert (twice.sampling_variance(at) > 1.2 * apart.sampling_variance(at)).mean() > 0.7
    # The order of rows is nobody's business.
    order = np.random.default_rng(0).permutation(40)
    shuffled = maker().fit(x[order], y[order], rows=Rows.of([names[i] for i in order], ["tuning"] * 40))
    np.testing.assert_allclose(shuffled.sampling_variance(at), once.sampling_variance(at), rtol=1e-6)
    np.testing.assert_allclose(shuffled.transform(at), once.transform(at), rtol=1e-9)


DAMAGES: dict[str, list[dict[str, Any]]] = {
    "beta": [{"a": -1.0}, {"c": float("nan")}, {"b": None}],
    "isotonic": [{"value": [2.0, 1.0]}, {"logit": [0.0, 0.0]}, {"logit": [0.0]}, {"end_weight": 0.0}],
    "venn_abers": [{"p0": [0.5, 0.2]}, {"p1": [0.1, 1.2]}, {"p0": [0.1, 1.0]}, {"logit": [[0.0, 1.0]]}],
}
SOUND: dict[str, dict[str, Any]] = {
    "beta": {"prior_strength": 1.0, "a": 1.0, "b": 2.0, "c": 0.0},
    "isotonic": {"end_weight": 0.5, "logit": [0.0, 1.0], "value": [-1.0, 1.0]},
    "venn_abers": {"logit": [0.0, 1.0], "p0": [0.0, 0.4], "p1": [0.5, 1.0]},
}


@pytest.mark.parametrize("kind", SOUND)
def test_a_damaged_curve_is_refused(kind: str) -> None:
    plain = {"kind": kind, **SOUND[kind], "variance": {"logit": [0.0, 1.0], "value": [0.1, 0.1]}}
    sound = json.dumps(plain)
    calibrator_from_dict(json.loads(sound))
    variances = [{"variance": {"logit": [0.0], "value": [-1.0]}}, {"variance": {"logit": [0.0], "value": []}}]
    for damage in [*DAMAGES[kind], *variances]:
        with pytest.raises(BundleError, match="export the bundle again"):
            calibrator_from_dict(copy.deepcopy(plain) | damage)
    for name in plain:
        if name != "kind":
            with pytest.raises(BundleError, match="export the bundle again"):
                calibrator_from_dict({key: value for key, value in plain.items() if key != name})
