"""The smooth calibration curve against R's and statsmodels' smoothers, and against curves that were planted."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray

from usdlr.core.errors import InputError
from usdlr.evaluation.calibration_smooth import (
    FEWEST_SMOOTH,
    calibration_indices,
    loess,
    no_curve,
    smooth_calibration,
)

Array = NDArray[np.float64]

# R's data set `cars`: speed (mph) and stopping distance (ft); Ezekiel, Methods of Correlation Analysis, 1930.
SPEED = [4] * 2 + [7] * 2 + [8, 9] + [10] * 3 + [11] * 2 + [12] * 4 + [13] * 4 + [14] * 4 + [15] * 3 + [16] * 2
SPEED += [17] * 3 + [18] * 4 + [19] * 3 + [20] * 5 + [22, 23] + [24] * 4 + [25]
DISTANCE = [2, 10, 4, 22, 16, 10, 18, 26, 34, 17, 28, 14, 20, 24, 28, 26, 34, 34, 46, 26, 36, 60, 80, 20, 26]
DISTANCE += [54, 32, 40, 32, 40, 50, 42, 56, 76, 84, 36, 46, 68, 32, 48, 52, 56, 64, 66, 54, 70, 92, 93, 120, 85]


def sample(n: int, seed: int = 0, power: float = 1.0) -> tuple[Array, Array]:
    draw = np.random.default_rng(seed)
    p = draw.uniform(0.02, 0.98, n)
    return (draw.random(n) < p**power).astype(float), p


def test_loess_is_rs_on_rs_own_example() -> None:
    """The example of R's help page predict.loess, `loess(dist ~ speed, cars, control = loess.control(surface =
    "direct"))`, with the default span 0.75 and degree 2, as R prints it for speeds of 5 to 30.
    """
    printed = [7.741006, 9.926596, 12.442424, 15.281082, 18.425712, 21.865315, 25.713413, 29.350386, 33.230660]
    printed += [37.167935, 41.205226, 45.781544, 48.355889, 50.067148, 51.986702, 56.445263, 62.025404, 68.569313]
    printed += [76.193111, 85.053364, 95.300523, 106.974661, 120.092581, 134.665851, 150.698545, 168.190283]
    found = loess(SPEED, DISTANCE, np.arange(5.0, 31.0))
    np.testing.assert_allclose(found, printed, atol=6e-7)


@pytest.mark.parametrize("span", [0.3, 2 / 3, 0.75, 1.0])
def test_loess_of_degree_1_is_statsmodels_lowess(span: float) -> None:
    y, p = sample(200)
    at = np.linspace(0.05, 0.95, 31)
    truth = sm.nonparametric.lowess(y, p, frac=span, it=0, xvals=at)
    np.testing.assert_allclose(loess(p, y, at, span=span, degree=1), truth, atol=1e-6)


def test_indices_are_those_of_statsmodels_smooth() -> None:
    y, p = sample(180, 2, 1.6)
    apart = np.abs(np.clip(sm.nonparametric.lowess(y, p, frac=0.75, it=0, xvals=p), 0, 1) - p)
    found = smooth_calibration(y, p, degree=1)
    assert found is not None
    truth = (apart.mean(), *np.quantile(apart, [0.5, 0.9], method="inverted_cdf"), apart.max())
    assert tuple(each.value for each in (found.ici, found.e50, found.e90, found.emax)) == pytest.approx(truth, abs=1e-6)


@pytest.mark.parametrize("n", [1_500, 6_000])
def test_nodes_and_joined_neighbours_change_nothing_that_is_seen(n: int) -> None:
    y, p = sample(n, 3, 1.5)
    curve = np.clip(sm.nonparametric.lowess(y, p, frac=0.75, it=0, xvals=p), 0, 1)
    found = smooth_calibration(y, p, degree=1, replicates=100)
    assert found is not None
    np.testing.assert_allclose(np.interp(p, found.predicted, found.observed), curve, atol=5e-4)
    assert found.ici.value == pytest.approx(np.abs(curve - p).mean(), abs=1e-4)


def test_a_planted_miscalibration_has_its_known_index() -> None:
    """Risks uniform on [0, 1], true risk p squared: E|p - p^2| = 1/6, median and 90th percentile of p(1 - p)."""
    draw = np.random.default_rng(4)
    p = draw.uniform(0, 1, 60_000)
    y = (draw.random(len(p)) < p**2).astype(float)
    found = smooth_calibration(y, p)
    assert found is not None
    spread = 0.25 - (np.array([0.5, 0.1]) / 2) ** 2  # p(1 - p) exceeds this for half, a tenth of the axillae
    assert found.ici.value == pytest.approx(1 / 6, abs=0.005)
    assert (found.e50.value, found.e90.value, found.emax.value) == pytest.approx((*spread, 0.25), abs=0.01)
    np.testing.assert_allclose(found.observed, found.predicted**2, atol=0.02)


def test_the_index_of_a_shift_is_the_shift() -> None:
    draw = np.random.default_rng(5)
    risk = draw.uniform(0.05, 0.7, 40_000)
    y = (draw.random(len(risk)) < risk).astype(float)
    found = calibration_indices(y, risk + 0.2)
    assert found["ici"].value == pytest.approx(0.2, abs=0.01)
    assert found["e90"].value == pytest.approx(0.2, abs=0.02)


def test_the_band_covers_a_perfect_models_diagonal_about_as_often_as_it_says() -> None:
    """Pointwise, at three probabilities, over 60 cohorts of 100 axillae."""
    at, inside = np.array([0.25, 0.5, 0.75]), []
    for seed in range(60):
        y, p = sample(100, 100 + seed)
        found = smooth_calibration(y, p, replicates=100)
        assert found is not None
        low, high = (np.interp(at, found.predicted, end) for end in (found.low, found.high))
        inside.append((low <= at) & (at <= high))
    assert 0.87 <= np.mean(inside) <= 0.99


def test_the_band_draws_patients_and_repeats() -> None:
    y, p = sample(120, 6)
    names = [f"p{i}" for i in range(120)]
    once = smooth_calibration(y, p, patients=names)
    twice = smooth_calibration(np.tile(y, 2), np.tile(p, 2), patients=names * 2)
    apart = smooth_calibration(np.tile(y, 2), np.tile(p, 2))
    other = smooth_calibration(y, p, patients=names, seed=1)
    assert once is not None
    assert twice is not None
    assert apart is not None
    assert other is not None
    np.testing.assert_allclose(twice.observed, once.observed, atol=1e-9)
    np.testing.assert_allclose(twice.high - twice.low, once.high - once.low, atol=1e-9)
    assert (apart.high - apart.low).mean() == pytest.approx((once.high - once.low).mean() / np.sqrt(2), rel=0.12)
    assert "bootstrap of patients, 200 replicates" in once.method
    assert "bootstrap of axillae, 200 replicates" in apart.method
    assert not np.array_equal(once.low, other.low)
    again = smooth_calibration(y, p, patients=names)
    assert again is not None
    np.testing.assert_array_equal(once.low, again.low)


@pytest.mark.parametrize(
    ("y", "p", "why"),
    [
        ([], [], "fewer than"),
        ([0, 1, 1], [0.1, 0.2, 0.3], "fewer than"),
        ([1] * 12, np.linspace(0, 1, 12), "all 12 axillae are positive"),
        ([0, 1] * 6, [0.5] * 12, "constant"),
        ([np.nan] * 8 + [0, 1] * 4, np.linspace(0, 1, 16), "fewer than"),
    ],
)
def test_without_enough_there_is_no_curve_and_the_reason_is_told(y: list[float], p: list[float], why: str) -> None:
    assert smooth_calibration(y, p) is None
    assert why in no_curve(y, p)
    found = calibration_indices(y, p)
    assert set(found) == {"ici", "e50", "e90", "emax"}
    assert all(each.value is None and why in each.method for each in found.values())


@pytest.mark.parametrize("levels", [2, 3, 5])
@pytest.mark.parametrize("n", [FEWEST_SMOOTH, 40, 4000])
def test_ties_everywhere_give_shares(levels: int, n: int) -> None:
    """With so many ties a window holds as many values as coefficients or fewer, or has no width at all."""
    draw = np.random.default_rng(levels)
    p = np.linspace(0.2, 0.8, levels)[np.arange(n) % levels]
    y = (draw.random(n) < p).astype(float)
    y[:2] = 0, 1
    found = smooth_calibration(y, p)
    assert found is not None
    assert len(found.predicted) == levels
    for curve in (found.observed, found.low, found.high):
        assert np.isfinite(curve).all()
        assert ((curve >= 0) & (curve <= 1)).all()
    if levels <= 3:
        shares = [y[p == value].mean() for value in np.unique(p)]
        np.testing.assert_allclose(found.observed, shares, atol=1e-6)


def test_one_value_in_every_window_gives_its_mean() -> None:
    x = np.repeat([0.1, 0.9], [50, 2])
    y = np.tile([0.0, 1.0], 26)
    np.testing.assert_allclose(loess(x, y, [0.1], span=0.5), [0.5])


def test_options_are_checked() -> None:
    y, p = sample(30)
    for options in ({"span": 0.0}, {"span": 1.5}, {"degree": 3}, {"replicates": 1}):
        with pytest.raises(InputError, match=next(iter(options))):
            smooth_calibration(y, p, **options)
    with pytest.raises(InputError, match="at least one"):
        loess([], [], [0.5])
    with pytest.raises(InputError, match="expected a probability"):
        smooth_calibration(y, p + 1)
