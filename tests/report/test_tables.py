from __future__ import annotations

import math

import pytest

from usdlr.core.types import ExclusionCode
from usdlr.decision.numbers import (
    MINUS,
    NBSP,
    count,
    estimate_text,
    events_text,
    finite,
    interval,
    method_text,
    not_estimable,
    number,
    percent,
    plural,
    rate_interval,
    rate_text,
)
from usdlr.report.tables import EXCLUSION_WORDS, Marks, exclusion_words


def plain(text: str) -> str:
    return text.replace(NBSP, " ").replace(MINUS, "-")


def test_a_published_rate_reads_as_published() -> None:
    # ACOSOG Z0010-style table entry: 7 of 32 with its exact interval, ends rounded outward.
    rate = {"value": 7 / 32, "low": 0.09276, "high": 0.39972, "n": 32, "events": 7, "method": "exact"}
    assert plain(rate_text(rate)) == "21.9 % (9.2–40.0 %)"
    assert plain(events_text(rate)) == "7 of 32"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.07, 0.07, "7.0–7.0 %"),  # 0.07 * 1000 is 70.00000000000001 in binary
        (0.0, 1.0, "0.0–100.0 %"),
        (0.10001, 0.19999, "10.0–20.0 %"),
        (None, 0.2, "interval not estimable"),
    ],
)
def test_rate_intervals_are_rounded_outward(low: float | None, high: float, expected: str) -> None:
    assert plain(rate_interval(low, high)) == expected


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_undefined_estimates_say_why(value: float | None) -> None:
    estimate = {"value": value, "low": None, "high": None, "n": 9, "method": "undefined: all 9 axillae are positive"}
    assert finite(value) is None
    assert estimate_text(estimate) == rate_text(estimate) == "not estimable (all 9 axillae are positive)"


def test_an_undefined_estimate_without_a_reason_admits_it() -> None:
    assert not_estimable({"value": None, "n": 4}) == "not estimable (reason not stated)"
    assert not_estimable({"value": None, "n": 0}) == "not estimable (no axillae with known status)"
    assert method_text({"method": None}) == "method not stated"


def test_a_missing_interval_is_said() -> None:
    assert estimate_text({"value": 0.5, "low": None, "high": None, "n": 3}) == "0.50 (interval not estimable)"


def test_negative_intervals_never_hang_a_dash_on_a_minus() -> None:
    assert plain(interval(-0.2, -0.1)) == "-0.20 to -0.10"
    assert plain(number(-0.0004)) == "0.00"


def test_counts_and_nouns() -> None:
    assert plain(count(1234567)) == "1 234 567"
    assert plain(plural(1, "row")) == "1 row"
    assert plain(plural(0, "row")) == "0 rows"
    assert plain(percent(0.5, 0)) == "50 %"


def test_every_exclusion_code_has_words() -> None:
    assert set(EXCLUSION_WORDS) == set(ExclusionCode)
    assert exclusion_words("neoadjuvant") == "treated before axillary surgery"


def test_marks_stand_in_a_fixed_order() -> None:
    assert Marks(True, True, True).title("T") == "T (simulated, proxy endpoint, uncertified)"
    assert Marks(False, False, True).adjective == "uncertified "
    assert Marks(False, False, False).adjective == ""
