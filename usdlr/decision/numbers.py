"""Numbers as readers see them: counts, rates, intervals, P values; the same in sentences, tables and figures.

Ends of the intervals of rates are rounded outward, so that no rounding makes a result look more certain than it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

Estimate = Mapping[str, Any]
NBSP = "\u00a0"
MINUS = "\u2212"
EN_DASH = "\u2013"
PER = 1000


def finite(value: Any) -> float | None:
    """A number, or ``None`` for null, not-a-number and infinities."""
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def number(value: float, digits: int = 2) -> str:
    """A number with a true minus sign.

    Examples
    --------
    >>> number(-0.034), number(0.8149), number(-0.0001)
    ('−0.03', '0.81', '0.00')
    """
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", MINUS)


def percent(value: float, digits: int = 1) -> str:
    """A share as per cent.

    Examples
    --------
    >>> percent(0.0423).replace(NBSP, " ")
    '4.2 %'
    """
    return f"{number(100.0 * value, digits)}{NBSP}%"


def promise(value: Any) -> str:
    """A tolerated rate such as alpha or delta, without idle zeros.

    Examples
    --------
    >>> promise(0.1).replace(NBSP, " "), promise(0.025).replace(NBSP, " ")
    ('10 %', '2.5 %')
    """
    return f"{100.0 * float(value):.4g}{NBSP}%"


def count(value: Any) -> str:
    """A whole number with thousands set apart, or a dash for null.

    Examples
    --------
    >>> count(1234).replace(NBSP, " "), count(None)
    ('1 234', '–')
    """
    present = finite(value)
    return EN_DASH if present is None else f"{round(present):,}".replace(",", NBSP)


def plural(n: Any, singular: str, several: str = "") -> str:
    """A count with its noun.

    Examples
    --------
    >>> plural(1, "axilla", "axillae").replace(NBSP, " "), plural(2, "axilla", "axillae").replace(NBSP, " ")
    ('1 axilla', '2 axillae')
    """
    return f"{count(n)}{NBSP}{singular if finite(n) == 1 else several or singular + 's'}"


def not_estimable(estimate: Estimate) -> str:
    """Why an estimate has no value; its method says so, else its ``n`` does.

    Examples
    --------
    >>> not_estimable({"value": None, "n": 9, "method": "undefined: all 9 axillae are positive"})
    'not estimable (all 9 axillae are positive)'
    >>> not_estimable({"value": None, "n": 0, "method": ""})
    'not estimable (no axillae with known status)'
    """
    found = str(estimate.get("method") or "").removeprefix("undefined").removeprefix(": ")
    if not finite(estimate.get("n")):
        found = found or "no axillae with known status"
    return f"not estimable ({found or 'reason not stated'})"


def interval(low: Any, high: Any, digits: int = 2) -> str:
    """An interval's two ends; *to* replaces the dash where a minus sign would stand next to it.

    Examples
    --------
    >>> interval(0.741, 0.868), interval(-0.1, 0.04)
    ('0.74–0.87', '−0.10 to 0.04')
    """
    first, last = finite(low), finite(high)
    if first is None or last is None:
        return "interval not estimable"
    ends = number(first, digits), number(last, digits)
    return (" to " if MINUS in "".join(ends) else EN_DASH).join(ends)


def rate_interval(low: Any, high: Any) -> str:
    """A rate's interval in per cent, its ends rounded outward: rounding never makes a result look more certain.

    Examples
    --------
    >>> rate_interval(0.0928, 0.3991).replace(NBSP, " ")
    '9.2–40.0 %'
    """
    first, last = finite(low), finite(high)
    if first is None or last is None:
        return "interval not estimable"
    # Digits first: 0.07 * 1000 is 70.00000000000001 and must not become 7.1 %.
    outward = math.floor(round(1000 * first, 7)) / 10, math.ceil(round(1000 * last, 7)) / 10
    return f"{number(outward[0], 1)}{EN_DASH}{number(outward[1], 1)}{NBSP}%"


def estimate_text(estimate: Estimate, digits: int = 2) -> str:
    """An estimate with its interval.

    Examples
    --------
    >>> estimate_text({"value": 0.8123, "low": 0.741, "high": 0.868, "n": 212})
    '0.81 (0.74–0.87)'
    """
    value = finite(estimate.get("value"))
    if value is None:
        return not_estimable(estimate)
    return f"{number(value, digits)} ({interval(estimate.get('low'), estimate.get('high'), digits)})"


def rate_text(estimate: Estimate) -> str:
    """A rate with its interval, in per cent.

    Examples
    --------
    >>> rate_text({"value": 0.0423, "low": 0.0088, "high": 0.1186, "n": 71, "events": 3}).replace(NBSP, " ")
    '4.2 % (0.8–11.9 %)'
    """
    value = finite(estimate.get("value"))
    if value is None:
        return not_estimable(estimate)
    return f"{percent(value)} ({rate_interval(estimate.get('low'), estimate.get('high'))})"


def events_text(estimate: Estimate) -> str:
    """Numerator and denominator of a rate.

    Examples
    --------
    >>> events_text({"n": 71, "events": 3}).replace(NBSP, " "), events_text({"n": 71}).replace(NBSP, " ")
    ('3 of 71', 'n = 71')
    """
    if finite(estimate.get("events")) is None:
        return f"n{NBSP}={NBSP}{count(estimate.get('n'))}"
    return f"{count(estimate['events'])}{NBSP}of{NBSP}{count(estimate.get('n'))}"


def method_text(estimate: Estimate) -> str:
    """How an estimate and its interval were computed.

    Examples
    --------
    >>> method_text({"method": "AUC, DeLong interval"}), method_text({})
    ('AUC, DeLong interval', 'method not stated')
    """
    return str(estimate.get("method") or "method not stated")


def methods_of(estimates: Iterable[Estimate]) -> tuple[str, ...]:
    """The distinct methods of estimates that have a value, in the order they appear."""
    return tuple(dict.fromkeys(method_text(entry) for entry in estimates if finite(entry.get("value")) is not None))


def p_text(p_value: Any) -> str:
    """A p-value as it stands in a cell.

    Examples
    --------
    >>> p_text(0.0321), p_text(0.31), p_text(0.00004), p_text(None)
    ('0.032', '0.31', '<0.001', '–')
    """
    p = finite(p_value)
    if p is None:
        return EN_DASH
    return "<0.001" if p < 0.001 else number(p, 3 if p < 0.095 else 2)


def per_thousand(share: float) -> str:
    """A share as a whole number of 1,000; nothing that happened is rounded to nought.

    Examples
    --------
    >>> per_thousand(0.0123), per_thousand(0.0002), per_thousand(0.0), per_thousand(0.9999)
    ('12', '<1', '0', '>999')
    """
    value = round(PER * share)
    if value == 0 and share > 0:
        return "<1"
    if value == PER and share < 1:
        return ">999"
    return count(value)


def thousand_interval(low: Any, high: Any) -> str:
    """An interval of a share out of 1,000, its ends rounded outward.

    Examples
    --------
    >>> thousand_interval(0.0928, 0.3991)
    '92–400'
    """
    first, last = finite(low), finite(high)
    if first is None or last is None:
        return "interval not estimable"
    # Digits first: 0.07 * 1000 is 70.00000000000001 and must not become 71.
    return f"{count(math.floor(round(PER * first, 7)))}{EN_DASH}{count(math.ceil(round(PER * last, 7)))}"


def share_text(estimate: Estimate) -> str:
    """A share of 1,000 with its interval.

    Examples
    --------
    >>> share_text({"value": 0.0423, "low": 0.0088, "high": 0.1186, "n": 71, "events": 3})
    '42 (8–119)'
    """
    value = finite(estimate.get("value"))
    if value is None:
        return not_estimable(estimate)
    return f"{per_thousand(value)} ({thousand_interval(estimate.get('low'), estimate.get('high'))})"


def outcome_text(outcome: Mapping[str, Any]) -> str:
    """An outcome per 1,000; where it hangs on axillae of unknown status, from none to all of them.

    The interval then reaches from the lower end for none to the upper end for all.

    Examples
    --------
    >>> none = {"value": 0.01, "low": 0.002, "high": 0.03, "n": 500, "events": 5}
    >>> outcome_text({"least": none, "most": none | {"value": 0.04, "high": 0.0601}, "unknown": 15})
    '10 to 40 (2–61)'
    >>> outcome_text({"least": none, "most": none, "unknown": 0})
    '10 (2–30)'
    """
    least, most = outcome["least"], outcome["most"]
    first, last = finite(least.get("value")), finite(most.get("value"))
    if first is None or last is None or not outcome["unknown"]:
        return share_text(least)
    ends = thousand_interval(least.get("low"), most.get("high"))
    return f"{per_thousand(first)} to {per_thousand(last)} ({ends})"


def counted_rate(estimate: Estimate) -> str:
    """A rate with its interval, and the axillae that it rests on.

    Examples
    --------
    >>> found = {"value": 0.0423, "low": 0.0088, "high": 0.1186, "n": 71, "events": 3}
    >>> counted_rate(found).replace(NBSP, " ")
    '4.2 % (0.8–11.9 %); 3 of 71'
    """
    if finite(estimate.get("value")) is None:
        return rate_text(estimate)
    return f"{rate_text(estimate)}; {events_text(estimate)}"


def methods(estimates: Iterable[Estimate]) -> str:
    """The distinct methods of estimates that have a value, in the order they appear."""
    found = dict.fromkeys(method_text(entry) for entry in estimates if finite(entry.get("value")) is not None)
    return "; ".join(found) or "no estimate has a value"


def p_words(p_value: Any) -> str:
    """A p-value, or that there is none.

    Examples
    --------
    >>> p_words(0.0004), p_words(0.31), p_words(None)
    ('P < 0.001', 'P = 0.31', 'no test')
    """
    text = p_text(p_value)
    if text == EN_DASH:
        return "no test"
    return f"P < {text[1:]}" if text.startswith("<") else f"P = {text}"


def level_text(level: str) -> str:
    """A level's name in print.

    Examples
    --------
    >>> level_text("<=20 mm"), level_text("4b")
    ('≤ 20 mm', '4b')
    """
    return level.replace("<=", "\u2264 ", 1) if level.startswith("<=") else level.replace(">", "> ", 1)
