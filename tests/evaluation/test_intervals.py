from __future__ import annotations

import pytest
from statsmodels.stats.proportion import proportion_confint

from usdlr.evaluation.intervals import Estimate, clopper_pearson, rate, undefined, wilson

CASES = [(0, 1), (1, 1), (0, 20), (20, 20), (3, 7), (7, 32), (12, 200), (999, 1000)]


@pytest.mark.parametrize(("events", "n"), CASES)
@pytest.mark.parametrize("level", [0.95, 0.9])
def test_clopper_pearson_is_that_of_statsmodels(events: int, n: int, level: float) -> None:
    assert clopper_pearson(events, n, level) == pytest.approx(proportion_confint(events, n, 1 - level, method="beta"))


@pytest.mark.parametrize(("events", "n"), CASES)
@pytest.mark.parametrize("level", [0.95, 0.9])
def test_wilson_is_that_of_statsmodels(events: int, n: int, level: float) -> None:
    truth = proportion_confint(events, n, 1 - level, method="wilson")
    assert wilson(events, n, level) == pytest.approx(truth, abs=1e-12)


def test_published_interval() -> None:
    # Newcombe, Stat Med 17 (1998), table I: 81 of 263.
    assert clopper_pearson(81, 263) == pytest.approx((0.2527, 0.3676), abs=5e-5)
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_rate_counts_events() -> None:
    assert rate(7, 32).as_dict() == {
        "value": 7 / 32,
        "low": clopper_pearson(7, 32)[0],
        "high": clopper_pearson(7, 32)[1],
        "n": 32,
        "method": "proportion, Clopper-Pearson interval",
        "events": 7,
    }


def test_nothing_in_the_denominator_is_undefined() -> None:
    assert (rate(0, 0).value, rate(0, 0).n, rate(0, 0).events) == (None, 0, 0)
    assert undefined(2, "too few") == Estimate(None, None, None, 2, "undefined: too few")
    assert "events" not in undefined(2, "too few").as_dict()


@pytest.mark.parametrize(("events", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_counts_are_defects(events: int, n: int) -> None:
    for interval in (clopper_pearson, wilson):
        with pytest.raises(ValueError, match="found"):
            interval(events, n)
