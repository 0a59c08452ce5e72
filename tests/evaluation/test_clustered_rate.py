from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from usdlr.evaluation.clustered_rate import clustered_rate, effective_number, exact_ends
from usdlr.evaluation.intervals import rate
from usdlr.evaluation.resampling import patients


def masks(events: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(n) < events, np.ones(n, dtype=bool)


@pytest.mark.parametrize(("events", "n"), [(0, 30), (1, 30), (7, 32), (30, 30), (1, 1)])
def test_one_axilla_each_is_clopper_pearson(events: int, n: int) -> None:
    found = clustered_rate(*masks(events, n), patients([f"p{i}" for i in range(n)]))
    low, high = proportion_confint(events, n, method="beta")
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
    assert found == rate(events, n)


def test_rows_given_twice_under_one_patient_change_no_interval() -> None:
    single = clustered_rate(*masks(4, 25), patients([f"p{i}" for i in range(25)]))
    hit, everyone = (np.repeat(mask, 2) for mask in masks(4, 25))
    double = clustered_rate(hit, everyone, patients([f"p{i // 2}" for i in range(50)]))
    assert (double.events, double.n, double.value) == (8, 50, single.value)
    assert (double.low, double.high) == pytest.approx((single.low, single.high), abs=1e-12)
    assert "25.0 independent axillae" in double.method


def test_a_mixture_lies_between_patients_and_axillae() -> None:
    # Ten patients with one axilla, five with two: 20² / (10 · 1² + 5 · 2²), counted by hand.
    who = patients([f"p{i}" for i in range(10)] + [f"q{i // 2}" for i in range(10)])
    assert effective_number(np.ones(20, dtype=bool), who) == pytest.approx(400 / 30)
    found = clustered_rate(*masks(3, 20), who)
    low, high = proportion_confint(2.0, 400 / 30, method="beta")  # 3 of 20 are 2 of 13.33
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


def test_only_the_rows_it_is_about_count() -> None:
    who = patients(["a", "a", "b", "c"])
    among = np.array([True, False, True, True])
    found = clustered_rate(np.array([True, True, False, False]), among, who)
    assert found == rate(1, 3)  # one axilla of each patient is left
    nothing = clustered_rate(~among, among & False, who)
    assert (nothing.value, nothing.n) == (None, 0)


def test_ends_of_many_counts_are_the_ends_of_each() -> None:
    low, high = exact_ends(np.arange(13), 12, 12.0)
    for count in range(13):
        assert (low[count], high[count]) == pytest.approx(proportion_confint(count, 12, method="beta"), abs=1e-12)


def test_the_interval_keeps_its_word_where_both_sides_are_alike() -> None:
    # 60 patients, most with both axillae, whose status is the same on both sides; 8 % positive.
    random, share, patients_drawn = np.random.default_rng(5), 0.08, 60
    sides = np.where(np.arange(patients_drawn) < 45, 2, 1)
    who = patients(np.repeat([f"p{i:02d}" for i in range(patients_drawn)], sides))
    kept = plain = 0
    for _ in range(1500):
        hit = np.repeat(random.random(patients_drawn) < share, sides)
        found, naive = clustered_rate(hit, np.ones(len(hit), dtype=bool), who), rate(int(hit.sum()), len(hit))
        kept += (found.low or 0) <= share <= (found.high or 0)
        plain += (naive.low or 0) <= share <= (naive.high or 0)
    assert kept / 1500 >= 0.95
    assert plain / 1500 < 0.93  # what the plain interval would promise and not keep
