from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy.special import expit
from statsmodels.stats.proportion import proportion_confint

from usdlr.core.errors import InputError
from usdlr.evaluation import calibration, metrics

Array = NDArray[np.float64]


def sample(n: int = 150, seed: int = 0) -> tuple[Array, Array]:
    """Overconfident log-odds: the true slope is 0.5, the true shift -0.4."""
    random = np.random.default_rng(seed)
    log_odds = random.normal(0.3, 1.8, n)
    return (random.random(n) < expit(0.5 * log_odds - 0.4)).astype(float), log_odds


def with_unknown(y: Array, x: Array) -> tuple[Array, Array]:
    """The same rows with axillae of unknown status among them, whose scores are extreme."""
    return np.concatenate([[np.nan] * 5, y, [np.nan] * 5]), np.concatenate([[9.0] * 5, x, [-9.0] * 5])


def test_slope_and_intercept_are_those_of_statsmodels() -> None:
    y, x = sample()
    family = sm.families.Binomial()
    joint = sm.GLM(y, sm.add_constant(x), family=family).fit(tol=1e-12)
    slope = calibration.calibration_slope(y, x)
    assert (slope.low, slope.value, slope.high) == pytest.approx(
        (joint.conf_int()[1][0], joint.params[1], joint.conf_int()[1][1]), abs=1e-6
    )
    shift = sm.GLM(y, np.ones_like(x), family=family, offset=x).fit(tol=1e-12)
    intercept = calibration.calibration_intercept(y, x)
    assert (intercept.low, intercept.value, intercept.high) == pytest.approx(
        (shift.conf_int()[0][0], shift.params[0], shift.conf_int()[0][1]), abs=1e-6
    )


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_slope_does_not_depend_on_the_scale_of_the_log_odds(scale: float) -> None:
    y, x = sample()
    found, plain = calibration.calibration_slope(y, x * scale).value, calibration.calibration_slope(y, x).value
    assert found is not None
    assert plain is not None
    assert found * scale == pytest.approx(plain, rel=1e-6)


def test_slope_under_separation_is_undefined() -> None:
    for y in ([0, 0, 1, 1], [1, 1, 0, 0]):
        found = calibration.calibration_slope(y, [-2.0, -1.0, -1.0, 2.0])
        assert found.value is None
        assert "separate" in found.method


def test_certainty_beyond_the_machine_is_undefined_not_a_crash() -> None:
    found = calibration.calibration_intercept([0, 1, 0, 1], [800.0, -800.0, -800.0, 800.0])
    assert found.value is None
    assert "close to 0 and 1" in found.method


def test_brier_is_that_of_sklearn_and_its_interval_repeats() -> None:
    y, x = sample()
    p = expit(x)
    found = calibration.brier(y, p, seed=3)
    assert found.value == pytest.approx(sklearn.metrics.brier_score_loss(y, p))
    assert found == calibration.brier(y, p, seed=3)
    assert found != calibration.brier(y, p, seed=4)
    error = np.std((y - p) ** 2) / np.sqrt(len(y))
    assert found.low == pytest.approx(np.mean((y - p) ** 2) - 1.96 * error, abs=error / 3)
    assert found.high == pytest.approx(np.mean((y - p) ** 2) + 1.96 * error, abs=error / 3)


def test_unknown_status_is_left_out_everywhere() -> None:
    y, x = sample()
    more_y, more_x = with_unknown(y, x)
    for metric in (metrics.auc, calibration.calibration_slope, calibration.calibration_intercept):
        assert metric(more_y, more_x) == metric(y, x)
        assert metric(more_y, more_x).n == len(y)
    assert calibration.brier(more_y, expit(more_x)) == calibration.brier(y, expit(x))
    assert metrics.delong_difference(more_y, more_x, -more_x) == metrics.delong_difference(y, x, -x)
    half, more_half = np.full(len(y), 0.5), np.full(len(more_y), 0.5)
    assert metrics.operating_point(more_y, expit(more_x), more_half) == metrics.operating_point(y, expit(x), half)
    folds, more_folds = np.arange(len(y)) % 3, np.concatenate([[0] * 5, np.arange(len(y)) % 3, [1] * 5])
    assert metrics.auc_mean_over_folds(more_y, more_x, more_folds) == metrics.auc_mean_over_folds(y, x, folds)
    assert calibration.calibration_curve(more_y, expit(more_x)).equals(calibration.calibration_curve(y, expit(x)))


@pytest.mark.parametrize(
    ("y", "score", "why"),
    [
        ([], [], "fewer than 3"),
        ([0, 1], [0.1, 0.9], "fewer than 3"),
        ([np.nan] * 4, [0.1] * 4, "fewer than 3"),
        ([1, 1, 1], [0.1, 0.2, 0.3], "all 3 axillae are positive"),
        ([0, 0, 0], [0.1, 0.2, 0.3], "are negative"),
        ([0, 1, 1], [0.4, 0.4, 0.4], "constant"),
    ],
)
def test_degenerate_input_is_undefined_with_a_reason(y: list[float], score: list[float], why: str) -> None:
    for metric in (metrics.auc, calibration.calibration_slope):
        found = metric(y, score)
        assert (found.value, found.low, found.high) == (None, None, None)
        assert why in found.method
    assert metrics.auc_mean_over_folds(y, score, ["0"] * len(y)).value is None
    assert metrics.roc_curve(y, score) is None
    if why != "constant":
        assert calibration.calibration_intercept(y, score).value is None
    if "fewer" in why:
        assert calibration.brier(y, score).value is None
    assert set(metrics.operating_point(y, score, [0.5] * len(y))) == {"sensitivity", "specificity", "ppv", "npv"}


def test_mean_over_folds() -> None:
    y, x = sample(90)
    folds = np.repeat(["a", "b", "c"], 30)
    found = metrics.auc_mean_over_folds(y, x, folds)
    parts = [metrics.auc(y[folds == f], x[folds == f]) for f in "abc"]
    areas = [sklearn.metrics.roc_auc_score(y[folds == f], x[folds == f]) for f in "abc"]
    assert found.value == pytest.approx(np.mean(areas))
    assert found.low is not None
    assert found.high is not None
    widths = [part.high - part.low for part in parts if part.high is not None and part.low is not None]
    assert found.high - found.low < min(widths)
    assert found.method.startswith("mean of 3 of 3 folds")


def test_one_fold_is_that_fold() -> None:
    y, x = sample(60)
    whole, mean = metrics.auc(y, x), metrics.auc_mean_over_folds(y, x, ["0"] * 60)
    assert (mean.value, mean.low, mean.high) == pytest.approx((whole.value, whole.low, whole.high))


def test_folds_without_both_classes_are_named_and_perfect_ones_keep_their_width() -> None:
    y = np.array([0.0, 1, 0, 1, 0, 1, 1, 1, 1, 0, 0, 0])
    score = np.array([0.1, 0.8, 0.2, 0.9, 0.3, 0.7, 0.5, 0.6, 0.4, 0.1, 0.2, 0.3])
    found = metrics.auc_mean_over_folds(y, score, np.repeat(["a", "b", "c"], [6, 3, 3]))
    assert "mean of 1 of 3 folds" in found.method
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low is not None
    assert found.low < 0.9


def test_roc_curve_is_that_of_sklearn_with_a_binomial_band() -> None:
    y, x = sample()
    x = np.round(x)
    curve = metrics.roc_curve(y, x)
    assert curve is not None
    fpr, tpr, thresholds = sklearn.metrics.roc_curve(y, x, drop_intermediate=False)
    np.testing.assert_allclose(curve.fpr, fpr)
    np.testing.assert_allclose(curve.tpr, tpr)
    np.testing.assert_array_equal(curve.thresholds, thresholds)
    positives = int(y.sum())
    low, high = proportion_confint(np.round(curve.tpr * positives), positives, method="beta")
    np.testing.assert_allclose(curve.tpr_low, np.nan_to_num(low, nan=0.0), atol=1e-9)
    np.testing.assert_allclose(curve.tpr_high, np.nan_to_num(high, nan=1.0), atol=1e-9)


def test_operating_point_against_sklearn_with_thresholds_by_row() -> None:
    y, x = sample()
    p, t = expit(x), np.where(np.arange(len(y)) % 2 == 0, 0.3, 0.6)
    tn, fp, fn, tp = sklearn.metrics.confusion_matrix(y, p >= t).ravel()
    found = metrics.operating_point(y, p, t)
    assert (found["sensitivity"].events, found["sensitivity"].n) == (tp, tp + fn)
    assert (found["specificity"].events, found["specificity"].n) == (tn, tn + fp)
    assert (found["ppv"].events, found["ppv"].n) == (tp, tp + fp)
    assert (found["npv"].events, found["npv"].n) == (tn, tn + fn)


def test_a_probability_at_its_threshold_is_a_positive_call() -> None:
    assert metrics.operating_point([1.0], [0.5], [0.5])["sensitivity"].events == 1
    assert metrics.operating_point([1.0], [0.5], [0.5])["npv"].value is None


def test_calibration_curve_covers_every_axilla_once() -> None:
    y, x = sample()
    p = expit(x)
    curve = calibration.calibration_curve(y, p, bins=10)
    assert len(curve) == 10
    assert (curve["n"] == 15).all()
    assert curve["events"].sum() == y.sum()
    order = np.argsort(p)
    assert curve["predicted"].iloc[0] == pytest.approx(p[order[:15]].mean())
    assert curve["observed"].iloc[0] == pytest.approx(y[order[:15]].mean())
    assert (curve["low"].iloc[0], curve["high"].iloc[0]) == pytest.approx(
        proportion_confint(y[order[:15]].sum(), 15, method="wilson")
    )


def test_calibration_curve_of_ties_and_of_nothing() -> None:
    assert calibration.calibration_curve([0, 1, 1], [0.4, 0.4, 0.4])["n"].tolist() == [3]
    assert len(calibration.calibration_curve([np.nan], [0.4])) == 0


def test_unusable_scores_are_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        metrics.auc([0, 1, 1], [0.1, np.nan, 0.3])
    with pytest.raises(InputError, match="2 values of score for 3 rows"):
        metrics.auc([0, 1, 1], [0.1, 0.3])
    with pytest.raises(InputError, match="probability"):
        calibration.brier([0, 1, 1], [0.1, 1.4, 0.3])
    with pytest.raises(InputError, match="folds for 3 rows"):
        metrics.auc_mean_over_folds([0, 1, 1], [0.1, 0.4, 0.3], ["a"])
    with pytest.raises(InputError, match="label"):
        metrics.auc([0, 2, 1], [0.1, 0.4, 0.3])
