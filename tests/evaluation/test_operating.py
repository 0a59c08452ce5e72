from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from statsmodels.stats.proportion import proportion_confint

from tests.evaluation.cohorts import doubled, given, random_cohort
from usdlr.evaluation import discrimination, operating


def test_threshold_is_the_highest_that_reaches_the_sensitivity() -> None:
    y = np.array([1.0] * 20 + [0.0] * 10)
    score = np.concatenate([np.arange(20.0, 0.0, -1.0), np.arange(10.0) - 5.5])
    found = operating.specificity_at_sensitivity(y, score, np.arange(30))
    # 19 of 20 positives are 95 %: the threshold is the second lowest positive's 2.0, below which 8 negatives lie.
    assert (found.threshold, found.sensitivity, found.specificity.value) == (2.0, 0.95, 0.8)
    assert found.adjusted.value == 0.8


def test_a_tie_of_positives_overshoots_the_sensitivity() -> None:
    y, score = np.array([1.0, 1, 1, 1, 0, 0, 0, 0]), np.array([3.0, 2, 2, 2, 2, 1, 1, 3])
    found = operating.specificity_at_sensitivity(y, score, np.arange(8), sensitivity=0.5)
    assert (found.threshold, found.sensitivity, found.specificity.value) == (2.0, 1.0, 0.5)
    plain = found.as_dict()
    assert plain["specificity"]["value"] == 0.5
    assert plain["wanted"] == 0.5


def test_it_is_the_point_of_sklearns_curve() -> None:
    made = random_cohort(150, 3, ties=True)
    found = operating.specificity_at_sensitivity(made.y, made.score, made.patient)
    fpr, tpr, thresholds = sklearn.metrics.roc_curve(made.y, made.score, drop_intermediate=False)
    at = int(np.argmax(tpr >= 0.95))
    assert found.threshold == thresholds[at]
    assert found.sensitivity == pytest.approx(tpr[at])
    assert found.specificity.value == pytest.approx(1 - fpr[at])
    assert (
        found.specificity
        == discrimination.discrimination(made.y, made.score, made.patient)["specificity_at_sensitivity"]
    )


def test_coverage_counts_the_threshold() -> None:
    """Binormal scores two deviations apart: at a sensitivity of 90 %, the specificity is Phi(2 - 1.2816)."""
    truth = float(scipy.stats.norm.cdf(2 + scipy.stats.norm.ppf(0.1)))
    random, hits, naive = np.random.default_rng(3), 0, 0
    for _ in range(200):
        y = np.repeat([1.0, 0.0], [40, 100])
        found = operating.specificity_at_sensitivity(
            y, random.normal(2 * y, 1.0), np.arange(140), sensitivity=0.9, replicates=300
        )
        low, value, high = given(found.adjusted)
        hits += low <= truth <= high
        low, high = proportion_confint(value * 100, 100, method="wilson")
        naive += low <= truth <= high
    assert hits >= 182
    assert naive <= 160


def test_both_intervals_are_those_of_statsmodels() -> None:
    for events, n in [(0, 20), (7, 32), (59, 59), (3, 8)]:
        found = operating.both_intervals(events, n)
        for name, method in [("clopper_pearson", "beta"), ("wilson", "wilson")]:
            low, high = proportion_confint(events, n, method=method)
            assert (found[name].low, found[name].high) == pytest.approx((low, high), abs=1e-9)
            assert (found[name].events, found[name].n) == (events, n)
    assert operating.both_intervals(0, 0)["wilson"].value is None


def test_predictive_values_count_calls() -> None:
    y = [1, 1, 0, 0, np.nan]
    found = operating.predictive_values(y, [0.9, 0.2, 0.5, 0.1, 0.9], [0.5] * 5)
    assert (found["ppv"]["wilson"].events, found["ppv"]["wilson"].n) == (1, 2)
    assert (found["npv"]["clopper_pearson"].events, found["npv"]["clopper_pearson"].n) == (1, 2)
    none = operating.predictive_values([1, 0, 1], [0.9, 0.9, 0.9], [0.5] * 3)
    assert none["npv"]["wilson"].value is None


def test_rates_by_patient_are_sklearns_and_do_not_narrow_when_rows_are_doubled() -> None:
    made = random_cohort(150, 9)
    limit = np.full(len(made.y), 0.4)
    found = operating.rates_by_patient(made.y, made.score, limit, made.patient)
    again = operating.rates_by_patient(doubled(made.y), doubled(made.score), doubled(limit), doubled(made.patient))
    called = made.score >= 0.4
    assert found["sensitivity"].value == pytest.approx(sklearn.metrics.recall_score(made.y, called))
    assert found["specificity"].value == pytest.approx(sklearn.metrics.recall_score(made.y, called, pos_label=0))
    assert found["ppv"].value == pytest.approx(sklearn.metrics.precision_score(made.y, called))
    assert found["npv"].value == pytest.approx(sklearn.metrics.precision_score(made.y, called, pos_label=0))
    for name, estimate in found.items():
        assert estimate.events is not None
        assert (again[name].events, again[name].n) == (2 * estimate.events, 2 * estimate.n)
        assert (again[name].low, again[name].high) == pytest.approx((estimate.low, estimate.high))
        assert "patient bootstrap, 2000 replicates" in estimate.method


def test_adjusted_interval_does_not_narrow_when_rows_are_doubled() -> None:
    made = random_cohort(80, 2)
    one = operating.specificity_at_sensitivity(made.y, made.score, made.patient).adjusted
    two = operating.specificity_at_sensitivity(doubled(made.y), doubled(made.score), doubled(made.patient)).adjusted
    assert one.low is not None
    assert (two.low, two.high) == pytest.approx((one.low, one.high))


def test_no_error_has_an_exact_interval_over_patients() -> None:
    # 12 positive axillae of 6 patients, none missed: 6 independent observations, upper bound of a miss 1 - 0.025^(1/6).
    y, risk = [1.0] * 12 + [0.0] * 4, [0.9] * 12 + [0.1, 0.6, 0.1, 0.2]
    who = [f"a{row // 2}" for row in range(12)] + ["b", "c", "d", "e"]
    found = operating.rates_by_patient(y, risk, [0.5] * 16, who)
    assert (found["sensitivity"].value, found["sensitivity"].n, found["sensitivity"].high) == (1.0, 12, 1.0)
    assert found["sensitivity"].low == pytest.approx(0.025 ** (1 / 6))
    assert "6 patients" in found["sensitivity"].method


def test_degenerate_input_is_undefined() -> None:
    cases: list[tuple[list[float], list[float]]] = [
        ([1, 1, 1], [1, 2, 3]),
        ([0, 1, 1], [2, 2, 2]),
        ([np.nan] * 3, [1, 2, 3]),
    ]
    for y, score in cases:
        found = operating.specificity_at_sensitivity(y, score, list("abc"))
        assert found.threshold is None
        assert found.specificity.value is None
        assert found.adjusted.value is None
    apart = operating.specificity_at_sensitivity([0] * 5 + [1] * 5, np.arange(10), np.arange(10))
    assert apart.specificity.low is None
    low, value, high = given(apart.adjusted)
    assert low < high <= value == 1.0
    for rate in operating.rates_by_patient([np.nan] * 3, [0.1] * 3, [0.5] * 3, list("abc")).values():
        assert rate.value is None
