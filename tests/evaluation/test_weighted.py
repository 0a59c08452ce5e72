from __future__ import annotations

import functools

import numpy as np
import pytest
import sklearn.metrics

from tests.evaluation.cohorts import Array, random_cohort
from usdlr.core.errors import ConfigError
from usdlr.evaluation import discrimination, weighted


def some_weights(n: int, seed: int = 4) -> Array:
    random = np.random.default_rng(seed)
    return np.concatenate([np.ones((1, n)), random.poisson(1.0, (3, n)), random.random((2, n))]).astype(float)


@pytest.mark.parametrize("ties", [False, True])
def test_weighted_metrics_are_those_of_sklearn(ties: bool) -> None:
    made = random_cohort(120, 5, ties=ties)
    weights = some_weights(len(made.y))
    names = ["auc", "average_precision", "brier", "partial"]
    ours = {
        "auc": weighted.auc(made.y, made.score)(weights),
        "average_precision": weighted.average_precision(made.y, made.score)(weights),
        "brier": weighted.brier(made.y, made.score)(weights),
        # High sensitivity is a low false-positive rate once the classes change places.
        "partial": weighted.partial_auc(made.y, made.score)(weights),
    }
    for index, line in enumerate(weights):
        used = {"sample_weight": line}
        theirs = {
            "auc": sklearn.metrics.roc_auc_score(made.y, made.score, **used),
            "average_precision": sklearn.metrics.average_precision_score(made.y, made.score, **used),
            "brier": sklearn.metrics.brier_score_loss(made.y, made.score, **used),
            "partial": sklearn.metrics.roc_auc_score(1 - made.y, -made.score, max_fpr=0.1, **used),
        }
        for name in names:
            assert ours[name][index] == pytest.approx(theirs[name], abs=1e-12), name


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("sensitivity", [0.5, 0.95, 1.0])
def test_specificity_is_that_of_the_first_point_of_sklearns_curve(ties: bool, sensitivity: float) -> None:
    made = random_cohort(120, 6, ties=ties)
    weights = some_weights(len(made.y))[:4]
    ours = weighted.specificity(made.y, made.score, sensitivity=sensitivity)(weights)
    for value, line in zip(ours, weights, strict=True):
        fpr, tpr, _ = sklearn.metrics.roc_curve(made.y, made.score, sample_weight=line, drop_intermediate=False)
        assert value == pytest.approx(1 - fpr[np.argmax(tpr >= sensitivity - 1e-9)])


def test_the_order_of_equal_scores_does_not_matter() -> None:
    made = random_cohort(100, 8, ties=True)
    turned = slice(None, None, -1)
    for metric in (weighted.auc, weighted.partial_auc, weighted.average_precision, weighted.specificity):
        one = np.ones((1, len(made.y)))
        assert metric(made.y, made.score)(one) == pytest.approx(metric(made.y[turned], made.score[turned])(one))


def test_partial_area_of_known_curves() -> None:
    grid = (np.arange(20_000) + 0.5) / 20_000
    y = np.repeat([1.0, 0.0], len(grid))
    one = np.ones((1, len(y)))

    def area(positive: Array, low: float, high: float, *, standardised: bool) -> float:
        steps = weighted.Ranking(y, np.concatenate([positive, grid])).steps(one)
        return float(weighted.partial_auc_of_steps(steps, low, high, standardised=standardised)[0])

    # Both classes uniform: the curve is the diagonal, whose area from 0.9 to 1 is 0.1 - 0.095.
    assert area(grid + 1e-9, 0.9, 1.0, standardised=False) == pytest.approx(0.005, abs=1e-4)
    assert area(grid + 1e-9, 0.9, 1.0, standardised=True) == pytest.approx(0.5, abs=1e-3)
    assert area(grid + 1e-9, 0.2, 0.6, standardised=True) == pytest.approx(0.5, abs=1e-3)
    # Positives of density 2x: at the threshold c, sensitivity is 1 - c² and specificity c.
    assert area(np.sqrt(grid), 0.9, 1.0, standardised=False) == pytest.approx(2 / 3 * 0.1**1.5, abs=1e-4)
    assert area(np.sqrt(grid), 0.0, 1.0, standardised=False) == pytest.approx(2 / 3, abs=1e-4)
    assert area(grid + 1, 0.9, 1.0, standardised=True) == pytest.approx(1.0)
    # One tie holds everything: a straight line between the corners.
    assert area(np.zeros(len(grid)), 0.9, 1.0, standardised=True) < 0.5
    flat = weighted.Ranking(y, np.zeros(len(y))).steps(one)
    assert weighted.partial_auc_of_steps(flat, 0.9, 1.0)[0] == pytest.approx(0.5)


def test_hanley_and_mcneils_ratings() -> None:
    """109 CT images rated from 1 to 5: Hanley and McNeil, Radiology 143 (1982) 29, table 1: 0.893, error 0.032."""
    normal, abnormal = [33, 6, 6, 11, 2], [3, 2, 2, 11, 33]
    y = np.repeat([0, 1], [58, 51])
    rating = np.concatenate([np.repeat(np.arange(1, 6), counts) for counts in (normal, abnormal)])
    found = discrimination.auc(y, rating, np.arange(109))
    assert found.value == pytest.approx(0.893, abs=0.0005)
    assert found.low is not None
    assert found.high is not None
    assert (found.high - found.low) / (2 * 1.96) == pytest.approx(0.032, abs=0.002)


def test_precision_is_not_interpolated() -> None:
    # One positive at each end of nine negatives: a straight line between recall 0.5 and 1 would promise more.
    y, score = np.array([1.0] + [0.0] * 9 + [1.0]), np.arange(11.0)[::-1]
    assert discrimination.average_precision(y, score, np.arange(11)).value == pytest.approx((1 + 2 / 11) / 2)


def test_a_replicate_without_a_class_is_undefined() -> None:
    y, score = np.array([1.0, 0.0, 0.0]), np.array([3.0, 1.0, 2.0])
    weights = np.array([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]])
    metrics = [weighted.auc, weighted.partial_auc, weighted.specificity]
    with np.errstate(divide="ignore", invalid="ignore"):
        for metric in metrics:
            assert np.isnan(metric(y, score)(weights)).all()
        assert np.isnan(weighted.average_precision(y, score)(weights)[0])


def test_refusals() -> None:
    made = random_cohort(20)
    for low, high in [(0.9, 0.9), (0.9, 1.1), (-0.1, 0.5)]:
        with pytest.raises(ConfigError, match="sensitivities"):
            discrimination.partial_auc(made.y, made.score, made.patient, low=low, high=high)
    for sensitivity in (0.0, 1.1):
        with pytest.raises(ConfigError, match="sensitivity of"):
            functools.partial(weighted.specificity, sensitivity=sensitivity)(made.y, made.score)
