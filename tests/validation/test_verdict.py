"""Verdicts and what would settle them, against an exact interval of another library."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from usdlr.core.types import Stage
from usdlr.decision.wording_validation import Standing
from usdlr.evaluation.intervals import rate
from usdlr.validation.verdict import further, judge, verdicts


def ends(misses: int, n: int) -> tuple[float, float]:
    found = binomtest(misses, n).proportion_ci(0.95, "exact")
    return float(found.low), float(found.high)


def test_published_hospital() -> None:
    """7 of 32 missed against 10 %, interval 9 to 40 %: not settled by so few."""
    found = judge(Stage.SLN, rate(7, 32), 0.1, 32)
    assert found.standing is Standing.UNDETERMINED
    assert found.towards is Standing.BROKEN


@pytest.mark.parametrize(
    ("misses", "n", "standing"),
    [(0, 36, "held"), (0, 35, "undetermined"), (20, 60, "broken"), (10, 100, "undetermined"), (0, 1, "undetermined")],
)
def test_standing_follows_the_exact_interval(misses: int, n: int, standing: str) -> None:
    found = judge(Stage.SLN, rate(misses, n), 0.1, n)
    low, high = ends(misses, n)
    assert found.standing == standing
    assert (high <= 0.1) is (standing == "held")
    assert (low > 0.1) is (standing == "broken")


@pytest.mark.parametrize(("misses", "n"), [(0, 0), (0, 20), (1, 30), (3, 40), (4, 25)])
def test_positives_still_needed_without_a_miss(misses: int, n: int) -> None:
    more = further(misses, n, float(n), 0.1, 0.0)
    assert more is not None
    assert ends(misses, n + more)[1] <= 0.1
    assert more == 1 or ends(misses, n + more - 1)[1] > 0.1


@pytest.mark.parametrize(("misses", "n"), [(1, 30), (2, 40), (8, 30), (7, 32)])
def test_positives_still_needed_at_the_observed_rate(misses: int, n: int) -> None:
    observed = misses / n
    more = further(misses, n, float(n), 0.1, observed)
    assert more is not None
    settled = []
    for m in range(1, more + 1):
        hits = misses + int(np.ceil(round(observed * m, 9)) if observed < 0.1 else np.floor(round(observed * m, 9)))
        low, high = ends(hits, n + m)
        settled.append(high <= 0.1 if observed < 0.1 else low > 0.1)
    assert settled.index(True) == more - 1


def test_at_the_target_or_next_to_it_nothing_settles() -> None:
    assert judge(Stage.SLN, rate(10, 100), 0.1, 100).further_same is None
    assert further(1001, 10000, 10000.0, 0.1, 0.1001) is None


def table(
    groups: list[str], sln: list[float], nsln: list[float], patients: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    key = {
        "patient_id": patients,
        "side": ["left" if patients.index(p) == i else "right" for i, p in enumerate(patients)],
    }
    return pd.DataFrame({**key, "risk_group": groups}), pd.DataFrame({**key, "sln": sln, "nsln": nsln})


def test_misses_at_either_stage_count_and_deferred_ones_do_not() -> None:
    groups = ["LR-SLN", "HR-SLN/LR-NSLN", "HR-SLN/HR-NSLN", "DEFER", "LR-SLN"]
    decisions, labels = table(groups, [1, 1, 1, 1, 0], [1, 1, 1, 1, np.nan], list("abcde"))
    found = verdicts(decisions, labels, {"sln": 0.1, "nsln": 0.2})
    assert (found[Stage.SLN].rate.events, found[Stage.SLN].rate.n) == (1, 4)
    assert (found[Stage.NSLN].rate.events, found[Stage.NSLN].rate.n) == (2, 4)
    assert found[Stage.NSLN].alpha == 0.2


def test_both_axillae_of_a_patient_are_worth_one() -> None:
    n = 36
    groups, sln = ["HR-SLN/HR-NSLN"] * (2 * n), [1.0] * (2 * n)
    twice = [f"p{i // 2}" for i in range(2 * n)]
    once = [f"p{i}" for i in range(2 * n)]
    both, alone = (
        verdicts(*table(groups, sln, [np.nan] * (2 * n), who), {"sln": 0.1, "nsln": 0.1})[Stage.SLN]
        for who in (twice, once)
    )
    assert both.rate.high == pytest.approx(ends(0, n)[1])
    assert alone.rate.high == pytest.approx(ends(0, 2 * n)[1])
    assert both.standing is Standing.HELD


def test_nobody_positive() -> None:
    decisions, labels = table(["LR-SLN"] * 3, [0, 0, np.nan], [np.nan] * 3, list("abc"))
    found = verdicts(decisions, labels, {"sln": 0.1, "nsln": 0.1})
    assert found[Stage.SLN].standing is Standing.UNDETERMINED
    assert found[Stage.SLN].further_clean == 36
    assert found[Stage.SLN].rate.value is None
