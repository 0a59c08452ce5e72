"""Pooling over centres against published values, another package, and direct integration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import binom, norm
from statsmodels.stats.meta_analysis import combine_effects

from usdlr.core.errors import InputError
from usdlr.evaluation.intervals import Estimate, rate
from usdlr.validation.meta import Interval, area_on_logit, pool, pool_areas, pool_plain, standard_error
from usdlr.validation.meta_rates import log_likelihood, pool_rates

# Thirteen trials of the BCG vaccine: cases and others among vaccinated, cases and others among controls (Colditz 1994).
BCG = np.array(
    [
        [4, 119, 11, 128],
        [6, 300, 29, 274],
        [3, 228, 11, 209],
        [62, 13536, 248, 12619],
        [33, 5036, 47, 5761],
        [180, 1361, 372, 1079],
        [8, 2537, 10, 619],
        [505, 87886, 499, 87892],
        [29, 7470, 45, 7232],
        [17, 1699, 65, 1600],
        [186, 50448, 141, 27197],
        [5, 2493, 3, 2338],
        [27, 16886, 29, 17825],
    ],
    dtype=float,
)


def ends(of: Interval) -> tuple[float, float, float]:
    """Value, lower and upper end, all there."""
    assert of.value is not None
    assert of.low is not None
    assert of.high is not None
    return of.value, of.low, of.high


def risk_ratios() -> tuple[np.ndarray, np.ndarray]:
    a, b, c, d = BCG.T
    return np.log((a / (a + b)) / (c / (c + d))), 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)


def test_published_example() -> None:
    """The values that metafor's documentation gives for rma(yi, vi, test="knha") and confint."""
    found = pool(*risk_ratios())
    assert found.random.value == pytest.approx(-0.7145, abs=5e-5)
    assert (found.random.low, found.random.high) == pytest.approx((-1.1084, -0.3206), abs=5e-5)
    assert (found.tau2.value, found.tau2.low, found.tau2.high) == pytest.approx((0.3132, 0.1197, 1.1115), abs=5e-5)
    i2 = found.i2
    assert (i2.value, i2.low, i2.high) == pytest.approx((0.922214, 0.819177, 0.976781), abs=5e-5)
    assert found.q == pytest.approx(152.2330, abs=5e-5)


def test_another_package_agrees_on_the_fixed_effect() -> None:
    y, v = risk_ratios()
    theirs = combine_effects(y, v)
    found = pool(y, v)
    low, high = theirs.conf_int()[0]
    assert (found.fixed.value, found.fixed.low, found.fixed.high) == pytest.approx(
        (theirs.mean_effect_fe, low, high), abs=1e-10
    )
    assert found.q == pytest.approx(theirs.q, abs=1e-8)


def test_prediction_interval_is_wider_and_needs_three_centres() -> None:
    y, v = risk_ratios()
    found = pool(y, v)
    # t quantile of 12 degrees of freedom times the root of tau2 and the squared error, by hand from the values above.
    _, low, high = ends(found.random)
    error = (high - low) / 2 / 2.178813
    half = 2.178813 * np.sqrt(0.313243 + error**2)
    value, _, far = ends(found.prediction)
    assert far - value == pytest.approx(half, abs=1e-4)
    two = pool(y[:2], v[:2])
    assert two.random.low is not None
    assert two.prediction.low is None


def test_centres_alike_have_no_variance_between_them() -> None:
    found = pool([0.5, 0.5, 0.5], [0.1, 0.2, 0.3])
    assert found.tau2.value == 0
    assert found.i2.value == 0
    assert found.q == pytest.approx(0)


def test_one_centre_and_impossible_input() -> None:
    found = pool([0.4], [0.04])
    assert found.random.value is None
    assert found.fixed.value == 0.4
    for effects, variances in (([], []), ([np.nan], [1.0]), ([1.0], [0.0]), ([1.0, 2.0], [1.0])):
        with pytest.raises(InputError):
            pool(effects, variances)


def test_intervals_cover_the_mean_of_few_centres() -> None:
    """Five centres that differ: the Hartung-Knapp interval keeps its level, which the normal one does not."""
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(400):
        v = rng.uniform(0.02, 0.2, 5)
        found = pool(rng.normal(1.0, 0.4, 5) + rng.normal(0, np.sqrt(v)), v)
        _, low, high = ends(found.random)
        hits += low <= 1.0 <= high
    assert 0.92 <= hits / 400 <= 0.98


def test_similar_centres_give_no_narrower_interval_than_the_fixed_one() -> None:
    """Three centres that agree by chance: t(2) = 4.3027 times the fixed effect's own error 0.2 / sqrt(3)."""
    found = pool([0.500, 0.501, 0.499], [0.04] * 3)
    value, low, high = ends(found.random)
    assert high - value == pytest.approx(4.3027 * 0.2 / np.sqrt(3), rel=1e-4)
    assert value - low == pytest.approx(high - value)
    assert high >= ends(found.fixed)[2]
    assert ends(found.prediction)[2] >= high - 1e-12
    assert "never below" in found.method


def test_the_error_of_an_area_is_that_of_its_interval() -> None:
    """An area of 0.968 with a logit error of 0.559, whose interval is made here; and a perfect one's Newcombe."""
    low, high = expit(np.log(0.968 / 0.032) + np.array([-1, 1]) * norm.ppf(0.975) * 0.559)
    found = area_on_logit(0.968, float(low), float(high))
    assert found == pytest.approx((np.log(0.968 / 0.032), 0.559), abs=1e-9)
    perfect = area_on_logit(1.0, 0.85, 1.0)
    assert perfect is not None
    assert expit(perfect[0]) == pytest.approx(0.925)
    assert 0.3 < perfect[1] < 1.5
    mirror = area_on_logit(0.0, 0.0, 0.15)
    assert mirror == pytest.approx((-perfect[0], perfect[1]))
    assert area_on_logit(1.0, 1.0, 1.0) is None


def test_a_perfect_centre_counts_in_the_pool() -> None:
    """It must draw the fixed effect up; all centres perfect pool without division by zero."""
    plain, perfect = Estimate(0.8, 0.7, 0.87, 80, ""), Estimate(1.0, 0.85, 1.0, 20, "")
    alone, both, all_ = pool_areas([plain, plain]), pool_areas([plain, plain, perfect]), pool_areas([perfect] * 3)
    assert alone is not None
    assert both is not None
    assert all_ is not None
    assert both.centres == 3
    assert ends(both.fixed)[0] > ends(alone.fixed)[0] + 0.005
    assert np.isfinite(ends(all_.random)).all()


def test_areas_are_pooled_on_the_log_odds_scale() -> None:
    areas = [Estimate(0.8, 0.741, 0.859, 100, ""), Estimate(0.7, 0.6, 0.8, 80, ""), Estimate(None, None, None, 0, "")]
    found = pool_areas(areas)
    assert found is not None
    assert found.centres == 2
    assert 0.7 < ends(found.fixed)[0] < 0.8
    _, low, high = ends(found.random)
    assert 0 < low < high < 1
    assert pool_areas([Estimate(None, None, None, 0, "")]) is None
    assert pool_plain([], scale="slope") is None
    assert standard_error(Estimate(1.0, 1.0, 1.0, 3, "")) is None


def integrand(z: float, k: float, n: float, centre: float, tau: float) -> float:
    return float(binom.pmf(k, n, expit(centre + tau * z)) * norm.pdf(z))


def test_likelihood_against_direct_integration() -> None:
    k, n = np.array([1.0, 4.0, 0.0]), np.array([30.0, 41.0, 200.0])
    for centre, tau in ((-2.5, 0.7), (-4.0, 2.0)):
        parts = [quad(integrand, -12, 12, args=(a, b, centre, tau), epsabs=1e-13)[0] for a, b in zip(k, n, strict=True)]
        assert log_likelihood(k, n, centre, tau) == pytest.approx(np.log(parts).sum(), abs=1e-7)


def test_rates_reach_the_largest_likelihood() -> None:
    k, n = [1, 2, 9, 5, 3], [30, 41, 22, 20, 60]

    def loss(values: np.ndarray) -> float:
        total = 0.0
        for a, b in zip(k, n, strict=True):
            nodes = np.linspace(-8, 8, 4001)
            density = binom.pmf(a, b, expit(values[0] + abs(values[1]) * nodes)) * norm.pdf(nodes)
            total -= float(np.log(np.trapezoid(density, nodes)))
        return total

    best = minimize(loss, [-2.0, 1.0], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10})
    found = pool_rates(k, n)
    assert found is not None
    assert found.random.value == pytest.approx(float(expit(best.x[0])), abs=1e-5)
    assert found.tau2.value == pytest.approx(best.x[1] ** 2, abs=1e-4)
    value, low, high = ends(found.tau2)
    assert low < value < high


def test_rates_alike_are_one_rate() -> None:
    found = pool_rates([3, 6, 9], [30, 60, 90])
    assert found is not None
    assert found.tau2.value == 0
    assert found.random.value == pytest.approx(0.1)
    assert found.q == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("events", "totals"), [([0, 0], [30, 41]), ([5, 7], [5, 7])])
def test_without_a_miss_no_random_effect_is_made_up(events: list[int], totals: list[int]) -> None:
    found = pool_rates(events, totals)
    assert found is not None
    assert found.random.value is None
    assert "no random effects" in found.method
    one = rate(sum(events), sum(totals))
    assert (found.fixed.low, found.fixed.high) == (one.low, one.high)


def test_degenerate_rates() -> None:
    assert pool_rates([], []) is None
    assert pool_rates([0], [0]) is None
    alone = pool_rates([1], [10])
    assert alone is not None
    assert alone.centres == 1
    assert alone.random.value is None
    for events, totals in (([2], [1]), ([-1], [3]), ([0.5], [3]), ([1, 2], [3])):
        with pytest.raises(InputError):
            pool_rates(events, totals)
