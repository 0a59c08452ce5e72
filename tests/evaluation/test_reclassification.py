from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from tests.evaluation.cohorts import doubled, random_cohort
from usdlr.core.errors import ConfigError
from usdlr.decision import wording_models
from usdlr.evaluation import reclassification


def test_two_categories_are_changes_of_sensitivity_and_specificity() -> None:
    made = random_cohort(200, 1)
    found = reclassification.net_reclassification(made.y, made.score, made.other, made.patient, borders=[0.4])
    gains = [
        sklearn.metrics.recall_score(made.y, made.score >= 0.4, pos_label=label)
        - sklearn.metrics.recall_score(made.y, made.other >= 0.4, pos_label=label)
        for label in (1, 0)
    ]
    assert (found.positives.value, found.negatives.value) == pytest.approx(gains)
    assert found.total.value == pytest.approx(sum(gains))
    assert found.caveats == (wording_models.CAVEAT_NRI, wording_models.CAVEAT_CATEGORIES)


def test_a_table_by_hand() -> None:
    # Positives: two up, one down, one across two borders up, of 5. Negatives: one up, three down, of 6.
    old = [0.05, 0.15, 0.25, 0.05, 0.25, 0.05, 0.15, 0.25, 0.25, 0.05, 0.15]
    new = [0.15, 0.25, 0.15, 0.25, 0.26, 0.15, 0.05, 0.05, 0.15, 0.06, 0.16]
    y = [1] * 5 + [0] * 6
    found = reclassification.net_reclassification(y, new, old, np.arange(11), borders=[0.1, 0.2])
    assert (found.positives.value, found.negatives.value) == pytest.approx((2 / 5, 2 / 6))
    # Continuous: positives 4 up, 1 down; negatives 3 up, 3 down.
    found = reclassification.net_reclassification(y, new, old, np.arange(11))
    assert (found.positives.value, found.negatives.value) == pytest.approx((3 / 5, 0.0))
    assert found.caveats[1] is wording_models.CAVEAT_CONTINUOUS


def test_a_risk_at_a_border_is_in_the_upper_category() -> None:
    y, new, old = [1, 1, 0, 0], [0.5, 0.6, 0.5, 0.2], [0.4, 0.5, 0.6, 0.3]
    found = reclassification.net_reclassification(y, new, old, np.arange(4), borders=[0.5])
    assert (found.positives.value, found.negatives.value) == (0.5, 0.0)


def test_improvement_is_the_difference_of_discrimination_slopes() -> None:
    made = random_cohort(200, 2)
    found = reclassification.discrimination_improvement(made.y, made.score, made.other, made.patient)
    slope = [risk[made.y == 1].mean() - risk[made.y == 0].mean() for risk in (made.score, made.other)]
    assert found.total.value == pytest.approx(slope[0] - slope[1])
    assert found.caveats == (wording_models.CAVEAT_IDI,)


def test_an_overconfident_model_gains_what_the_caveats_warn_of() -> None:
    """The true risk against itself with doubled log-odds: ranks alike, worse calibrated, and yet both indices rise."""
    random = np.random.default_rng(0)
    odds = random.normal(0, 1.2, 4000)
    y = (random.random(4000) < 1 / (1 + np.exp(-odds))).astype(float)
    true, louder = 1 / (1 + np.exp(-odds)), 1 / (1 + np.exp(-2 * odds))
    who = np.arange(4000)
    for found in (
        reclassification.discrimination_improvement(y, louder, true, who, replicates=200),
        reclassification.net_reclassification(y, louder, true, who, replicates=200),
    ):
        assert found.total.low is not None
        assert found.total.low > 0
    assert sklearn.metrics.brier_score_loss(y, louder) > sklearn.metrics.brier_score_loss(y, true)


def test_rows_given_twice_change_nothing_and_the_seed_repeats() -> None:
    made = random_cohort(120, 3)
    columns = [made.y, made.score, made.other, made.patient]
    for function in (reclassification.net_reclassification, reclassification.discrimination_improvement):
        one, two = function(*columns), function(*[doubled(column) for column in columns])
        for part in ("total", "positives", "negatives"):
            first, second = getattr(one, part), getattr(two, part)
            assert (second.value, second.low, second.high) == pytest.approx((first.value, first.low, first.high))
        assert function(*columns) == one


def test_a_model_against_itself_and_degenerate_input() -> None:
    made = random_cohort(60, 3)
    same = reclassification.net_reclassification(made.y, made.score, made.score, made.patient)
    assert (same.total.value, same.total.low) == (0.0, None)
    none = reclassification.net_reclassification([1, 1, 1], [0.1] * 3, [0.2] * 3, list("abc"), borders=[0.5])
    assert none.total.value is None
    assert none.as_dict()["caveats"]
    assert reclassification.discrimination_improvement([0, 0, 0], [0.1] * 3, [0.2] * 3, list("abc")).total.value is None
    for borders in ([0.5, 0.5], [0.0], [1.0], [0.6, 0.4]):
        with pytest.raises(ConfigError, match="borders"):
            reclassification.net_reclassification([1, 0, 1], [0.1] * 3, [0.2] * 3, list("abc"), borders=borders)
