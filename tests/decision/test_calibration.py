from __future__ import annotations

import json

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from usdlr.core.errors import BundleError, ConfigError, InputError, LeakError
from usdlr.core.leak import Rows
from usdlr.decision.calibration import (
    CALIBRATORS,
    LARGEST_SLOPE,
    SMALLEST_SLOPE,
    Calibrator,
    PlattCalibrator,
    TemperatureCalibrator,
    build_calibrator,
    calibrator_from_dict,
)

Array = NDArray[np.float64]


def tuning(n: int, split: str = "tuning") -> Rows:
    return Rows.of([f"p{i}" for i in range(n)], [split] * n)


def sample(n: int = 50, seed: int = 0) -> tuple[Array, Array]:
    draw = np.random.default_rng(seed)
    x = draw.normal(0.5, 2.0, n)
    y = (draw.random(n) < expit(0.6 * x - 0.8)).astype(float)
    return x, y


def test_without_prior_it_is_the_logistic_regression_of_statsmodels() -> None:
    x, y = sample()
    fitted = PlattCalibrator(prior_strength=0.0).fit(x, y, rows=tuning(len(x)))
    truth = sm.GLM(y, sm.add_constant(x), family=sm.families.Binomial()).fit(tol=1e-12)
    assert [fitted.intercept_, fitted.slope_] == pytest.approx(truth.params, abs=1e-7)


def test_an_overwhelming_prior_leaves_only_the_intercept_of_statsmodels() -> None:
    x, y = sample()
    fitted = PlattCalibrator(prior_strength=1e9).fit(x, y, rows=tuning(len(x)))
    truth = sm.GLM(y, np.ones_like(x), family=sm.families.Binomial(), offset=x).fit(tol=1e-12)
    assert fitted.slope_ == pytest.approx(1.0, abs=1e-6)
    assert fitted.intercept_ == pytest.approx(truth.params[0], abs=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_the_fit_is_the_optimum_that_a_general_optimiser_finds(seed: int) -> None:
    x, y = sample(25, seed)

    def loss(at: Array) -> float:
        p = expit(at[0] * x + at[1])
        return float(-np.sum(y * np.log(p) + (1 - y) * np.log1p(-p)) + 0.5 * 1.0 * (at[0] - 1) ** 2)

    truth = minimize(loss, x0=np.array([0.5, 0.1]), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    fitted = PlattCalibrator().fit(x, y, rows=tuning(len(x)))
    assert [fitted.slope_, fitted.intercept_] == pytest.approx(truth.x, abs=1e-5)


def test_complete_separation_stays_finite() -> None:
    fitted = PlattCalibrator().fit([-3.0, -2.0, 2.0, 3.0], [0, 0, 1, 1], rows=tuning(4))
    assert 1.0 < fitted.slope_ < 3.0
    assert fitted.intercept_ == pytest.approx(0.0, abs=1e-8)


def test_a_reversed_ranking_is_flattened_but_not_turned() -> None:
    x = np.linspace(-4, 4, 40)
    y = (x < 0).astype(float)
    fitted = PlattCalibrator().fit(x, y, rows=tuning(40))
    assert fitted.slope_ == SMALLEST_SLOPE
    assert (np.diff(fitted.transform(x)) > 0).all()
    assert expit(fitted.transform(x)).mean() == pytest.approx(y.mean(), abs=1e-6)


@pytest.mark.parametrize("y", [[0, 0, 0], [1, 1, 1]])
def test_one_class_teaches_nothing(y: list[int]) -> None:
    fitted = PlattCalibrator().fit([-1.0, 0.0, 2.0], y, rows=tuning(3))
    assert fitted.transform([0.3]).tolist() == [0.3]
    assert fitted.fitted_patients_ == {"p0", "p1", "p2"}


def test_no_rows_teach_nothing() -> None:
    assert PlattCalibrator().fit([], [], rows=tuning(0)).transform([1.5]).tolist() == [1.5]


def test_constant_and_extreme_log_odds_are_survived() -> None:
    constant = PlattCalibrator().fit([2.0] * 6, [0, 0, 0, 0, 1, 1], rows=tuning(6))
    assert expit(constant.transform([2.0]))[0] == pytest.approx(1 / 3, abs=1e-6)
    extreme = PlattCalibrator().fit([-800.0, 900.0, -700.0, 700.0], [0, 1, 1, 0], rows=tuning(4))
    assert np.isfinite([extreme.slope_, extreme.intercept_]).all()


@pytest.mark.parametrize("split", ["train", "calibration", "test", "external"])
def test_other_splits_are_refused(split: str) -> None:
    with pytest.raises(LeakError, match=rf"found 4 {split} rows in the fit of the calibrator"):
        PlattCalibrator().fit([0.0, 1.0, 2.0, 3.0], [0, 1, 0, 1], rows=tuning(4, split))


def test_one_smuggled_row_is_refused() -> None:
    rows = Rows.of("abcd", ["tuning", "tuning", "train", "tuning"])
    with pytest.raises(LeakError, match="found 1 train rows"):
        PlattCalibrator().fit([0.0, 1.0, 2.0, 3.0], [0, 1, 0, 1], rows=rows)


def test_unusable_input_is_refused() -> None:
    with pytest.raises(InputError, match="unknown is not negative"):
        PlattCalibrator().fit([0.0, 1.0], [0, np.nan], rows=tuning(2))
    with pytest.raises(InputError, match="finite"):
        PlattCalibrator().fit([0.0, np.inf], [0, 1], rows=tuning(2))
    with pytest.raises(InputError, match="3 rows"):
        PlattCalibrator().fit([0.0, 1.0], [0, 1], rows=tuning(3))
    with pytest.raises(InputError, match="prior_strength"):
        PlattCalibrator(prior_strength=-1.0).fit([0.0, 1.0], [0, 1], rows=tuning(2))
    with pytest.raises(NotFittedError):
        PlattCalibrator().transform([0.0])


def test_scikit_learn_contract() -> None:
    copy = clone(PlattCalibrator(prior_strength=3.0))
    assert copy.get_params() == {"prior_strength": 3.0}
    assert not hasattr(copy, "slope_")


def test_json_keeps_the_map_exactly_and_no_patient() -> None:
    x, y = sample()
    fitted = PlattCalibrator().fit(x, y, rows=tuning(len(x)))
    text = json.dumps(fitted.to_dict())
    assert "p0" not in text
    restored = PlattCalibrator.from_dict(json.loads(text))
    np.testing.assert_array_equal(restored.transform(x), fitted.transform(x))
    assert restored.fitted_patients_ == frozenset()


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"prior_strength": 1, "slope": "x", "intercept": 0},
        {"prior_strength": 1, "slope": -1, "intercept": 0},
        {"prior_strength": 1, "slope": 1, "intercept": float("nan")},
    ],
)
def test_a_damaged_calibrator_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(BundleError, match="export the bundle again"):
        PlattCalibrator.from_dict(values)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("prior", [0.0, 1.0])
def test_the_temperature_is_the_optimum_that_a_general_optimiser_finds(seed: int, prior: float) -> None:
    draw = np.random.default_rng(seed)
    x = draw.normal(0.0, 2.0, 40)
    y = (draw.random(40) < expit(0.6 * x)).astype(float)

    def loss(temperature: float) -> float:
        p = expit(x / temperature)
        return float(-np.sum(y * np.log(p) + (1 - y) * np.log1p(-p)) + 0.5 * prior * (1 / temperature - 1) ** 2)

    truth = minimize_scalar(loss, bounds=(0.2, 50.0), method="bounded", options={"xatol": 1e-10})
    fitted = TemperatureCalibrator(prior_strength=prior).fit(x, y, rows=tuning(len(x)))
    assert fitted.temperature_ == pytest.approx(truth.x, abs=1e-5)
    assert fitted.intercept_ == 0.0


def test_without_prior_the_temperature_is_scikit_learns_regression_without_intercept() -> None:
    x, y = sample(200, 3)
    truth = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-12).fit(x[:, None], y).coef_.item()
    fitted = TemperatureCalibrator(prior_strength=0.0).fit(x, y, rows=tuning(len(x)))
    assert fitted.slope_ == pytest.approx(truth, abs=1e-6)


def test_the_temperature_of_overconfident_log_odds_is_found() -> None:
    draw = np.random.default_rng(0)
    honest = draw.normal(0.0, 2.0, 20_000)
    y = (draw.random(len(honest)) < expit(honest)).astype(float)
    fitted = TemperatureCalibrator().fit(3.0 * honest, y, rows=tuning(len(y)))
    assert fitted.temperature_ == pytest.approx(3.0, abs=0.1)
    np.testing.assert_allclose(fitted.transform(3.0 * honest), 3.0 * honest / fitted.temperature_)


def test_the_temperature_cannot_take_back_a_shift_and_platt_scaling_can() -> None:
    # What class weights in a loss do: all log-odds stand too high by the same amount.
    draw = np.random.default_rng(1)
    honest = draw.normal(-1.5, 1.0, 20_000)
    y = (draw.random(len(honest)) < expit(honest)).astype(float)
    found = {
        kind: float(expit(CALIBRATORS[kind]().fit(honest + 1.5, y, rows=tuning(len(y))).transform(honest + 1.5)).mean())
        for kind in ("platt", "temperature")
    }
    assert found["platt"] == pytest.approx(y.mean(), abs=1e-4)
    assert found["temperature"] > y.mean() + 0.1


def test_the_temperature_keeps_even_odds_and_the_ranking() -> None:
    x, y = sample()
    fitted = TemperatureCalibrator().fit(x, y, rows=tuning(len(x)))
    assert fitted.transform([0.0]).tolist() == [0.0]
    np.testing.assert_array_equal(np.argsort(fitted.transform(x)), np.argsort(x))


def test_the_temperature_stays_between_its_bounds() -> None:
    told_apart = ([-3.0, -2.0, 2.0, 3.0], [0, 0, 1, 1])
    turned = ([-3.0, -2.0, 2.0, 3.0], [1, 1, 0, 0])
    plain, prior = TemperatureCalibrator(prior_strength=0.0), TemperatureCalibrator()
    assert plain.fit(*told_apart, rows=tuning(4)).slope_ == LARGEST_SLOPE
    assert 1.0 < prior.fit(*told_apart, rows=tuning(4)).slope_ < 3.0
    assert plain.fit(*turned, rows=tuning(4)).slope_ == SMALLEST_SLOPE
    assert prior.fit(*turned, rows=tuning(4)).slope_ == SMALLEST_SLOPE
    assert plain.fit([0.0] * 4, [0, 1, 0, 1], rows=tuning(4)).slope_ == 1.0
    extreme = plain.fit([-800.0, 900.0, -700.0, 700.0], [0, 1, 1, 0], rows=tuning(4))
    assert SMALLEST_SLOPE <= extreme.slope_ <= LARGEST_SLOPE


@pytest.mark.parametrize("kind", CALIBRATORS)
def test_every_calibrator_keeps_the_contract(kind: str) -> None:
    fitted = CALIBRATORS[kind]
    with pytest.raises(LeakError, match="found 1 train rows"):
        fitted().fit([0.0, 1.0, 2.0, 3.0], [0, 1, 0, 1], rows=Rows.of("abcd", ["tuning", "tuning", "train", "tuning"]))
    with pytest.raises(InputError, match="unknown is not negative"):
        fitted().fit([0.0, 1.0], [0, np.nan], rows=tuning(2))
    for option in fitted().get_params():
        with pytest.raises(InputError, match=option):
            fitted(**{option: -1.0}).fit([0.0, 1.0], [0, 1], rows=tuning(2))
        assert clone(fitted(**{option: 3.0})).get_params() == {option: 3.0}
    with pytest.raises(NotFittedError):
        fitted().transform([0.0])
    with pytest.raises(NotFittedError):
        fitted().to_dict()
    for rows in ([0, 0, 0], [1, 1, 1], []):
        assert fitted().fit([-1.0, 0.0, 2.0][: len(rows)], rows, rows=tuning(len(rows))).transform([0.3]).tolist() == [
            0.3
        ]


@pytest.mark.parametrize("kind", CALIBRATORS)
def test_a_state_restores_its_own_kind(kind: str) -> None:
    x, y = sample()
    options = dict.fromkeys(CALIBRATORS[kind]().get_params(), 2.0)
    fitted = build_calibrator({kind: options}).fit(x, y, rows=tuning(len(x)))
    text = json.dumps(fitted.to_dict())
    assert "p17" not in text
    restored: Calibrator = calibrator_from_dict(json.loads(text))
    assert type(restored) is CALIBRATORS[kind]
    assert restored.get_params() == options
    assert restored.fitted_patients_ == frozenset()
    at = np.linspace(-20, 20, 101)
    np.testing.assert_array_equal(restored.transform(at), fitted.transform(at))
    np.testing.assert_array_equal(restored.sampling_variance(at), fitted.sampling_variance(at))
    other = next(name for name in CALIBRATORS if name != kind)
    with pytest.raises(BundleError, match=f"of the kind '{kind}', expected '{other}'"):
        CALIBRATORS[other].from_dict(json.loads(text))


def test_a_state_without_kind_is_platts() -> None:
    old = {"prior_strength": 1.0, "slope": 0.5, "intercept": -0.2}
    assert isinstance(calibrator_from_dict(old), PlattCalibrator)
    assert calibrator_from_dict(old).transform([2.0]).tolist() == [0.8]


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(BundleError, match="'spline', expected one of platt, temperature, beta, isotonic, venn_abers"):
        calibrator_from_dict({"kind": "spline"})
    with pytest.raises(ConfigError, match="did you mean 'temperature'"):
        build_calibrator("temprature")
    with pytest.raises(ConfigError, match="expected some of prior_strength"):
        build_calibrator({"platt": {"strength": 1}})


@pytest.mark.parametrize("kind", CALIBRATORS)
@settings(deadline=None, max_examples=60)
@given(
    data=st.lists(st.tuples(st.sampled_from(np.linspace(-6, 6, 25).tolist()), st.booleans()), min_size=1, max_size=40),
    at=st.lists(st.floats(-1000, 1000), min_size=2, max_size=20),
)
def test_a_higher_logit_never_gets_a_lower_probability_and_none_is_certain(
    kind: str, data: list[tuple[float, bool]], at: list[float]
) -> None:
    x, y = map(np.array, zip(*data, strict=True))
    fitted = CALIBRATORS[kind]().map_of(x.astype(float), y.astype(float), np.ones(len(x)))
    found = fitted.transform(np.sort([*at, *x]))
    assert np.isfinite(found).all()
    # Of a bend, the last digit of a logarithm may not be in order.
    assert (np.diff(found) >= (-1e-12 * np.abs(found).max() if kind == "beta" else 0.0)).all()


@pytest.mark.parametrize("kind", CALIBRATORS)
def test_shares_are_divided_so_that_they_add_up_and_keep_their_signs(kind: str) -> None:
    x, y = sample(80, 4)
    fitted = CALIBRATORS[kind]().fit(x, y, rows=tuning(len(x)))
    base = np.full_like(x, -0.3)
    factor, left = fitted.divide(x, base)
    assert (factor >= 0).all()
    np.testing.assert_allclose(factor * (x - base) + left, fitted.transform(x), atol=1e-12)
    far = np.abs(x - base) >= 1
    np.testing.assert_allclose(left[far], fitted.transform([-0.3])[0], atol=1e-12)


def test_a_line_divides_by_its_slope_exactly() -> None:
    x, y = sample()
    fitted = PlattCalibrator().fit(x, y, rows=tuning(len(x)))
    factor, base = fitted.divide(x, x / 2)
    assert set(factor) == {fitted.slope_}
    np.testing.assert_array_equal(base, fitted.transform(x / 2))
    assert not fitted.sampling_variance(x).any()


@pytest.mark.parametrize("kind", CALIBRATORS)
def test_a_row_that_counts_twice_is_the_same_row_twice(kind: str) -> None:
    x, y = sample(30, 7)
    weight = np.random.default_rng(1).integers(0, 4, len(x)).astype(float)
    calibrator, at = CALIBRATORS[kind](), np.linspace(-5, 5, 41)
    repeated = np.repeat(np.arange(len(x)), weight.astype(int))
    twice = calibrator.map_of(x[repeated], y[repeated], np.ones(len(repeated)))
    np.testing.assert_allclose(calibrator.map_of(x, y, weight).transform(at), twice.transform(at), atol=1e-7)
