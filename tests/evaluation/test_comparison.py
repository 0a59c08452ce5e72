from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from tests.evaluation.cohorts import doubled, random_cohort
from usdlr.core.errors import ConfigError
from usdlr.evaluation import comparison, metrics, weighted
from usdlr.evaluation.resampling import Kind


def test_paired_interval_is_near_delongs_where_patients_have_one_axilla() -> None:
    made = random_cohort(400, 1, bilateral=0.0)
    ours = comparison.paired_difference(weighted.auc, "AUC", made.y, made.score, made.other, made.patient)
    theirs = metrics.delong_difference(made.y, made.score, made.other)
    assert ours.value == pytest.approx(theirs.value)
    assert ours.low == pytest.approx(theirs.low, abs=0.006)
    assert ours.high == pytest.approx(theirs.high, abs=0.006)
    assert "paired difference, patient bootstrap, 2000 replicates" in ours.method


@pytest.mark.parametrize("interval", ["percentile", "bca"])
@pytest.mark.parametrize("metric", [weighted.auc, weighted.partial_auc, weighted.average_precision, weighted.brier])
def test_rows_given_twice_change_nothing(metric: weighted.Metric, interval: Kind) -> None:
    made = random_cohort(120, 2, ties=True)
    columns = [made.y, made.score, made.other, made.patient]
    one = comparison.paired_difference(metric, "m", *columns, replicates=300, interval=interval)
    two = comparison.paired_difference(metric, "m", *map(doubled, columns), replicates=300, interval=interval)
    assert one.low is not None
    assert (two.value, two.low, two.high) == pytest.approx((one.value, one.low, one.high), abs=1e-12)


def test_models_that_agree_and_models_that_separate() -> None:
    made = random_cohort(100, 2)
    same = comparison.paired_difference(weighted.auc, "AUC", made.y, made.score, 3 * made.score, made.patient)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    y = np.repeat([0.0, 1.0], 10)
    both = comparison.paired_difference(weighted.auc, "AUC", y, np.arange(20), y, np.arange(20))
    assert (both.value, both.low) == (0.0, None)
    none = comparison.paired_difference(weighted.auc, "AUC", [1, 1, 1], [1, 2, 3], [1, 2, 3], list("abc"))
    assert none.value is None


def test_swap_test_of_a_mean_is_scipys_paired_permutation_test() -> None:
    made = random_cohort(60, 4, bilateral=0.0)
    ours = comparison.swap_test(
        weighted.brier, "Brier", made.y, made.score, made.other, made.patient, ranks=False, replicates=20_000
    )
    losses = (made.score - made.y) ** 2, (made.other - made.y) ** 2
    theirs = scipy.stats.permutation_test(
        losses,
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        n_resamples=20_000,
        vectorized=True,
        rng=np.random.default_rng(1),
    )
    assert ours.value == pytest.approx(theirs.pvalue, abs=0.01)
    assert 0.0 < theirs.pvalue < 0.9


def test_label_test_of_an_auc_is_the_rank_sum_test() -> None:
    random = np.random.default_rng(3)
    y = np.repeat([0.0, 1.0], [9, 8])
    score = random.normal(0.8 * y, 1.0)
    ours = comparison.label_test(weighted.auc, "AUC", y, score, np.arange(17), replicates=20_000)
    theirs = scipy.stats.mannwhitneyu(score[y == 1], score[y == 0], method="exact").pvalue
    assert ours.value == pytest.approx(theirs, abs=0.01)
    assert theirs < 0.6


def test_label_test_of_average_precision_by_dealing_every_hand() -> None:
    """Positives at both ends: the precision is high at the top, which no measure that is fair to both classes sees."""
    y, score = np.array([1.0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1]), -np.arange(11.0)
    ours = comparison.label_test(weighted.average_precision, "AP", y, score, np.arange(11), replicates=20_000)
    hands = [np.isin(np.arange(11), list(held)).astype(float) for held in itertools.combinations(range(11), 4)]
    every = np.array([sklearn.metrics.average_precision_score(hand, score) for hand in hands])
    seen = sklearn.metrics.average_precision_score(y, score)
    exact = 2 * min((every >= seen - 1e-9).mean(), (every <= seen + 1e-9).mean())
    assert ours.value == pytest.approx(exact, abs=0.006)
    assert exact < 0.1


def test_a_patients_axillae_are_dealt_and_swapped_together() -> None:
    """Rows given twice are no evidence: p-values of whole patients stay, those of rows shrink."""
    made = random_cohort(60, 4, bilateral=0.4)
    columns = [made.y, made.score, made.other, made.patient]
    found = [comparison.swap_test(weighted.auc, "AUC", *rows) for rows in (columns, [doubled(c) for c in columns])]
    assert found[0].value == pytest.approx(found[1].value, abs=0.03)
    y, score, other = (doubled(column) for column in columns[:3])
    alone = comparison.swap_test(weighted.auc, "AUC", y, score, other, np.arange(len(y)))
    assert alone.value is not None
    assert found[0].value is not None
    assert alone.value < 0.7 * found[0].value
    score = np.array([0.1, 0.5, 0.2, 0.7, 0.3, 0.55, 0.6, 0.4, 0.8, 0.9, 0.35, 0.65])
    truth, who = np.repeat([0.0, 1.0], 6), np.arange(12)
    one = comparison.label_test(weighted.auc, "AUC", truth, score, who, replicates=10_000)
    two = comparison.label_test(weighted.auc, "AUC", doubled(truth), doubled(score), doubled(who), replicates=10_000)
    assert one.value == pytest.approx(two.value, abs=0.015)


def test_tests_keep_their_level_under_the_null() -> None:
    random, swapped, dealt = np.random.default_rng(8), [], []
    for _ in range(200):
        side = np.repeat(np.arange(30), 2)
        y = (random.random(60) < 0.4).astype(float)
        common = (random.normal(size=30)[side] + y).astype(float)
        pair = random.normal(common, 0.6), np.exp(random.normal(common, 0.6))
        p = comparison.swap_test(weighted.auc, "AUC", y, *pair, side, replicates=199).value
        q = comparison.label_test(weighted.auc, "AUC", y, random.normal(size=30)[side], side, replicates=199).value
        assert p is not None
        assert q is not None
        swapped.append(p)
        dealt.append(q)
    for values in (swapped, dealt):
        below = int((np.array(values) <= 0.1).sum())
        assert scipy.stats.binomtest(below, 200, 0.1, alternative="two-sided").pvalue > 0.01


def test_power_and_the_smallest_p_value() -> None:
    made = random_cohort(400, 5, gain=2.0)
    found = comparison.label_test(weighted.auc, "AUC", made.y, made.score, made.patient, replicates=999)
    assert found.value == pytest.approx(2 / 1000)
    noise = np.random.default_rng(0).normal(size=len(made.y))
    swap = comparison.swap_test(weighted.auc, "AUC", made.y, made.score, noise, made.patient, replicates=999)
    assert swap.value == pytest.approx(1 / 1000)
    metric = functools.partial(weighted.specificity, sensitivity=0.9)
    assert comparison.swap_test(metric, "specificity", made.y, made.score, noise, made.patient).value is not None


def test_degenerate_input() -> None:
    cases: list[tuple[list[float], list[float]]] = [
        ([1, 1, 1], [1, 2, 3]),
        ([0, 1, 1], [2, 2, 2]),
        ([np.nan] * 3, [1, 2, 3]),
    ]
    for y, score in cases:
        assert comparison.label_test(weighted.auc, "AUC", y, score, list("abc")).value is None
        found = comparison.swap_test(weighted.auc, "AUC", y, score, score, list("abc"))
        assert found.value is None
        assert found.as_dict()["method"].startswith("undefined")
    same = comparison.swap_test(weighted.auc, "AUC", [0, 1, 1], [1, 2, 1], [1, 2, 1], list("abc"))
    assert same.value == 1.0
    with pytest.raises(ConfigError, match="10 replicates"):
        comparison.swap_test(weighted.auc, "AUC", [0, 1, 1], [1, 2, 1], [1, 2, 1], list("abc"), replicates=10)
