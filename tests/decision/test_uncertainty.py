"""The interval of a log-odds, against the theory of maximum likelihood and against planted changes."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit

from usdlr.core.errors import BundleError, LeakError
from usdlr.core.leak import Rows
from usdlr.decision.calibration import (
    CALIBRATORS,
    PlattCalibrator,
    TemperatureCalibrator,
    calibrator_from_dict,
)
from usdlr.decision.uncertainty import LogitInterval

COUNT = 400


def tuning(count: int = COUNT, split: str = "tuning") -> Rows:
    return Rows.of([f"p{i}" for i in range(count)], [split] * count)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    x = rng.normal(size=COUNT)
    return x, (rng.random(COUNT) < expit(1.4 * x - 0.6)).astype(float)


def test_the_calibrators_share_is_the_covariance_of_a_logistic_regression(data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data
    calibrator = PlattCalibrator(prior_strength=0.0).fit(x, y, rows=tuning())
    interval = LogitInterval.fit(x, calibrator, {}, rows=tuning())
    fitted = sm.Logit(y, np.column_stack([x, np.ones(COUNT)])).fit(disp=0)
    np.testing.assert_allclose(interval.covariance, fitted.cov_params(), rtol=1e-5)
    at = np.array([-3.0, 0.0, 2.0])
    design = np.column_stack([at, np.ones(3)])
    error = np.sqrt(np.einsum("ij,jk,ik->i", design, fitted.cov_params(), design))
    low, high = interval.bounds(at, np.zeros(3), {}, calibrator)
    np.testing.assert_allclose(high - low, 2 * 1.6448536 * error, rtol=1e-5)
    np.testing.assert_allclose((high + low) / 2, calibrator.transform(at), rtol=1e-9)


def test_it_covers_the_true_log_odds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(300):
        x = rng.normal(size=150)
        y = (rng.random(150) < expit(1.2 * x + 0.3)).astype(float)
        calibrator = PlattCalibrator(prior_strength=0.0).fit(x, y, rows=tuning(150))
        low, high = LogitInterval.fit(x, calibrator, {}, rows=tuning(150)).bounds([1.0], [0.0], {}, calibrator)
        hits.append(low[0] <= 1.5 <= high[0])
    assert 0.86 < np.mean(hits) < 0.94


def test_a_missing_map_widens_by_what_taking_one_away_moves(data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data
    calibrator = PlattCalibrator().fit(x, y, rows=tuning())
    moved = np.linspace(-1.0, 3.0, 101)  # 5 % and 95 % quantiles: -0.8 and 2.8
    interval = LogitInterval.fit(x, calibrator, {"elasto": moved}, rows=tuning())
    gone = {"elasto": np.array([False, True])}
    low, high = interval.bounds([0.5, 0.5], [0.0, 0.0], gone, calibrator)
    middle = calibrator.transform([0.5])[0]
    assert (high - middle)[1] ** 2 - (high - middle)[0] ** 2 == pytest.approx((calibrator.slope_ * 2.8) ** 2)
    assert (middle - low)[1] ** 2 - (middle - low)[0] ** 2 == pytest.approx((calibrator.slope_ * 0.8) ** 2)


def test_networks_that_disagree_widen_it(data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data
    calibrator = PlattCalibrator().fit(x, y, rows=tuning())
    interval = LogitInterval.fit(x, calibrator, {}, rows=tuning())
    low, high = interval.bounds([0.0, 0.0], [0.0, 2.0], {}, calibrator)
    half = (high - low) / 2
    assert half[1] ** 2 - half[0] ** 2 == pytest.approx((1.6448536 * calibrator.slope_ * 2.0) ** 2, rel=1e-6)


def test_a_temperature_has_no_intercept_to_be_unsure_of(data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data
    calibrator = TemperatureCalibrator().fit(x, y, rows=tuning())
    low, high = LogitInterval.fit(x, calibrator, {}, rows=tuning()).bounds([0.0], [0.0], {}, calibrator)
    assert low[0] == high[0] == 0.0


def test_a_modality_nobody_has_is_left_out_and_all_comes_back(data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data
    calibrator = PlattCalibrator().fit(x, y, rows=tuning())
    changes = {"elasto": np.array([0.1, 0.2]), "doppler": np.array([])}
    interval = LogitInterval.fit(x, calibrator, changes, rows=tuning())
    assert set(interval.missing) == {"elasto"}
    assert LogitInterval.from_dict(interval.to_dict()) == interval
    with pytest.raises(BundleError, match="damaged interval"):
        LogitInterval.from_dict({"covariance": [[1.0]], "missing": {}, "level": 0.9})


def test_other_patients_are_refused(data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data
    calibrator = PlattCalibrator().fit(x, y, rows=tuning())
    with pytest.raises(LeakError, match="interval of the log-odds"):
        LogitInterval.fit(x, calibrator, {}, rows=tuning(split="calibration"))


@pytest.mark.parametrize("kind", ["beta", "isotonic", "venn_abers"])
def test_a_calibrator_that_bends_brings_its_own_variance(kind: str, data: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = data
    calibrator = CALIBRATORS[kind]().fit(x, y, rows=tuning())
    interval = LogitInterval.fit(x, calibrator, {"elasto": np.array([-1.0, 2.0])}, rows=tuning())
    assert interval.covariance == ((0.0, 0.0), (0.0, 0.0))
    at, none = np.linspace(-2, 2, 5), np.zeros(5)
    low, high = interval.bounds(at, none, {}, calibrator)
    half = 1.6448536 * np.sqrt(calibrator.sampling_variance(at))
    np.testing.assert_allclose(low, calibrator.transform(at) - half, rtol=1e-6)
    np.testing.assert_allclose(high, calibrator.transform(at) + half, rtol=1e-6)
    assert (half > 0).all()
    # A spread, or a missing image, is never narrower; LogitInterval's order holds on every step and bend.
    wide = interval.bounds(at, none + 1.5, {"elasto": np.ones(5, dtype=bool)}, calibrator)
    assert (wide[0] <= low + 1e-12).all()
    assert (wide[1] >= high - 1e-12).all()
    assert LogitInterval.from_dict(interval.to_dict()) == interval


def test_a_spread_moves_along_the_bend() -> None:
    """Slope 0.5 below even odds and 2 above: far out the two sides of a spread of 1 are moved by those slopes."""
    calibrator = calibrator_from_dict(
        {
            "kind": "beta",
            "prior_strength": 1.0,
            "a": 0.5,
            "b": 2.0,
            "c": 0.0,
            "variance": {"logit": [], "value": []},
        }
    )
    interval = LogitInterval(((0.0, 0.0), (0.0, 0.0)))
    at = np.array([-30.0, 30.0])
    low, high = interval.bounds(at, [1.0, 1.0], {}, calibrator)
    np.testing.assert_allclose(calibrator.transform(at) - low, 1.6448536 * np.array([0.5, 2.0]), rtol=1e-6)
    np.testing.assert_allclose(high - calibrator.transform(at), 1.6448536 * np.array([0.5, 2.0]), rtol=1e-6)
