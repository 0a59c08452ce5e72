from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import brentq
from sklearn.metrics import roc_auc_score

from usdlr.evaluation import metrics
from usdlr.evaluation.delong import newcombe, placements

Array = NDArray[np.float64]

# Hanley and McNeil, Radiology 143 (1982), table I: five ratings of 58 normal and 51 abnormal CT images.
NORMAL, ABNORMAL = (33, 6, 6, 11, 2), (3, 2, 2, 11, 33)


def ratings() -> tuple[Array, Array]:
    score = np.concatenate([np.repeat(np.arange(5.0), NORMAL), np.repeat(np.arange(5.0), ABNORMAL)])
    return np.concatenate([np.zeros(58), np.ones(51)]), score


def sample(n: int, seed: int, ties: bool) -> tuple[Array, Array, Array]:
    random = np.random.default_rng(seed)
    y = (random.random(n) < 0.4).astype(float)
    y[:4] = [0, 0, 1, 1]
    shared = random.normal(0, 1, n)
    first, second = y + shared + random.normal(0, 1, n), 0.5 * y + shared + random.normal(0, 1, n)
    return (y, np.round(first), np.round(second)) if ties else (y, first, second)


def pairwise(y: Array, *scores: Array) -> tuple[Array, Array]:
    """DeLong's paper as written: every positive against every negative, covariance of the kernel's means."""
    positives, negatives = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    m, n = len(positives), len(negatives)
    kernel = np.array(
        [[[1.0 if s[i] > s[j] else 0.5 if s[i] == s[j] else 0.0 for j in negatives] for i in positives] for s in scores]
    )
    auc = kernel.mean(axis=(1, 2))
    covariance = np.zeros((len(scores), len(scores)))
    for a, b in itertools.product(range(len(scores)), repeat=2):
        rows = sum((kernel[a, i].mean() - auc[a]) * (kernel[b, i].mean() - auc[b]) for i in range(m)) / (m - 1)
        columns = sum((kernel[a, :, j].mean() - auc[a]) * (kernel[b, :, j].mean() - auc[b]) for j in range(n)) / (n - 1)
        covariance[a, b] = rows / m + columns / n
    return auc, covariance


def test_published_area_and_standard_error() -> None:
    # The paper gives an area of 0.893. Stata's manual ([R] roctab, same data) gives DeLong's standard error 0.0307
    # and the Wald interval 0.83295 to 0.95339.
    y, score = ratings()
    parts = placements(y, [score])
    assert parts.auc[0] == pytest.approx(0.893, abs=5e-4)
    error = float(np.sqrt(parts.covariance[0, 0]))
    assert error == pytest.approx(0.0307, abs=5e-5)
    ends = parts.auc[0] + 1.959964 * error * np.array([-1, 1])
    assert ends == pytest.approx([0.83295, 0.95339], abs=5e-6)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_mid_ranks_give_the_pairwise_covariance(seed: int, ties: bool) -> None:
    y, first, second = sample(60, seed, ties)
    parts = placements(y, [first, second])
    auc, covariance = pairwise(y, first, second)
    np.testing.assert_allclose(parts.auc, auc, atol=1e-12)
    np.testing.assert_allclose(parts.covariance, covariance, atol=1e-12)
    assert parts.auc[0] == pytest.approx(roc_auc_score(y, first))


def test_variance_agrees_with_the_stratified_bootstrap() -> None:
    y, first, _ = sample(300, 3, False)
    positives, negatives = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    random = np.random.default_rng(0)
    areas = []
    for _ in range(500):
        rows = np.concatenate([random.choice(positives, len(positives)), random.choice(negatives, len(negatives))])
        areas.append(roc_auc_score(y[rows], first[rows]))
    assert np.sqrt(placements(y, [first]).covariance[0, 0]) == pytest.approx(np.std(areas), rel=0.1)


def test_the_interval_is_delongs_on_the_logit_scale() -> None:
    y, first, _ = sample(60, 1, False)
    (area, *_), covariance = pairwise(y, first)
    half = 1.959964 * np.sqrt(covariance[0, 0]) / (area * (1 - area))
    found = metrics.auc(y, first)
    ends = 1 / (1 + np.exp(-(np.log(area / (1 - area)) + np.array([-half, half]))))
    assert (found.value, found.low, found.high) == pytest.approx((area, *ends), abs=1e-6)
    assert "DeLong" in found.method


def test_coverage_at_a_high_area_and_few_positives() -> None:
    # Scores Normal(1.8, 1) against Normal(0, 1): the true area is Phi(1.8 / sqrt 2) = 0.8985.
    random, inside = np.random.default_rng(0), 0
    y = np.concatenate([np.ones(12), np.zeros(40)])
    for _ in range(400):
        found = metrics.auc(y, random.normal(1.8 * y, 1.0))
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 0.8985 <= found.high
    assert 0.92 <= inside / 400 <= 0.99


def test_a_perfect_area_keeps_an_interval() -> None:
    y = np.array([0.0] * 10 + [1.0] * 10)
    found = metrics.auc(y, np.arange(20.0))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low is not None
    assert 0.7 < found.low < 0.95
    assert "Newcombe" in found.method
    turned = metrics.auc(y, -np.arange(20.0))
    assert (turned.value, turned.low) == (0.0, 0.0)
    assert turned.high == pytest.approx(1 - found.low)


@pytest.mark.parametrize(("area", "m", "n"), [(0.8, 20, 30), (1.0, 5, 9), (0.5, 4, 4), (0.0, 7, 3)])
def test_newcombe_solves_hanley_and_mcneils_equation(area: float, m: int, n: int) -> None:
    def distance(theta: float) -> float:
        # Hanley and McNeil's variance, with both group sizes replaced by their mean (Newcombe's method 5).
        size = (m + n) / 2
        q1, q2 = theta / (2 - theta), 2 * theta**2 / (1 + theta)
        variance = (theta * (1 - theta) + (size - 1) * (q1 + q2 - 2 * theta**2)) / (m * n)
        return float((theta - area) ** 2 - 1.959964**2 * variance)

    low, high = newcombe(area, m, n)
    for end in (low, high):
        assert distance(end) == pytest.approx(0.0, abs=1e-6)
    if 0 < area < 1:
        assert low == pytest.approx(brentq(distance, 1e-6, area), abs=1e-5)
        assert low < area < high


def test_a_single_positive_has_an_area_and_an_interval() -> None:
    found = metrics.auc([1, 0, 0, 0], [3, 1, 2, 4])
    assert found.value == pytest.approx(2 / 3)
    assert "Newcombe" in found.method
    assert found.low is not None
    assert found.low < 0.3


@pytest.mark.parametrize("ties", [False, True])
def test_paired_difference(ties: bool) -> None:
    y, first, second = sample(80, 5, ties)
    auc, covariance = pairwise(y, first, second)
    error = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    found = metrics.delong_difference(y, first, second)
    assert found.value == pytest.approx(auc[0] - auc[1], abs=1e-12)
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low == pytest.approx(2 * 1.959964 * error, abs=1e-6)


def test_paired_difference_without_variance() -> None:
    y, first, _ = sample(40, 2, False)
    same = metrics.delong_difference(y, first, np.exp(first))
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    both_perfect = metrics.delong_difference([0, 0, 1, 1], [1, 2, 3, 4], [2, 1, 4, 3])
    assert (both_perfect.value, both_perfect.low, both_perfect.high) == (0.0, None, None)
    one_positive = metrics.delong_difference([0, 0, 1], [1, 2, 3], [2, 3, 1])
    assert (one_positive.value, one_positive.low) == (1.0, None)
    assert metrics.delong_difference([0, 0, 0], [1, 2, 3], [2, 3, 1]).value is None
    assert metrics.delong_difference([0, 0, 1], [1, 2, 3], [1, 1, 1]).value is None
