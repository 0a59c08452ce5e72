"""Sentences on how patients of each risk group fared, and what cannot be concluded from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usdlr.decision.numbers import EN_DASH, Estimate, finite, method_text, number, plural

SMALLEST_P = 0.001
FEWEST_THIN = 10  # under observation, below which a curve is drawn thin
CHANGES = "The hazard ratio changes over time: one number does not describe it."


def not_worked_out(why: str) -> str:
    """Says that survival could not be worked out."""
    return f"Follow-up is in the tables, but survival was not worked out: {why}."


def follow_up_sentence(patients: int, events: int, unknown: int, follow_up: Estimate, *, adjective: str) -> str:
    """Whose follow-up is known, how long it is, and how patients with two axillae are counted.

    Parameters
    ----------
    patients, events, unknown : int
        Patients with known follow-up, their events, and tested patients without.
    follow_up : mapping
        Median in months, reverse Kaplan-Meier.
    adjective : str
        ``"uncertified "`` or nothing.
    """
    median = (
        f"Median follow-up: {months_text(follow_up)} (reverse Kaplan-Meier)"
        if finite(follow_up.get("value")) is not None
        else f"Median follow-up: {why_not(follow_up)}"
    )
    lost = (
        f" The follow-up of {plural(unknown, 'further tested patient')} is not known; they are in no figure here, "
        "which is harmless only if that has nothing to do with how they fared."
        if unknown
        else ""
    )
    return (
        f"{plural(patients, 'patient')} with known follow-up, {plural(events, 'event')} (return of disease or death). "
        f"{median}.{lost} Time belongs to a patient: both sides count once, in the {adjective}risk group of the worse "
        "one, and a deferred side stands between low and high risk."
    )


def nothing_causal(*, adjective: str) -> str:
    """What curves of risk groups do not show."""
    return (
        "These curves do not show what the model would have changed. Surgery and treatment followed the nodes that "
        f"were found, as far as known, and not the model, so the {adjective}groups differ in treatment as well as in "
        "disease, and nothing causal follows. They show how patients fare whom the model puts apart, and nothing more."
    )


def caption_causal(*, adjective: str) -> str:
    """The same for a figure's caption."""
    return (
        f"Treatment followed the nodes and not the model: the {adjective}groups differ in treatment too, and nothing "
        "causal follows from the distance of the curves."
    )


def log_rank_text(test: Mapping[str, Any]) -> str:
    """The result of a log-rank test, or why there is none.

    Examples
    --------
    >>> log_rank_text({"p_value": 0.00004, "statistic": 16.79, "degrees": 1})
    'log-rank p < 0.001'
    >>> log_rank_text({"p_value": None, "method": "undefined: no event was observed"})
    'no log-rank test: no event was observed'
    """
    p_value = finite(test.get("p_value"))
    if p_value is None:
        return f"no log-rank test: {str(test.get('method', '')).removeprefix('undefined: ') or 'reason not stated'}"
    return f"log-rank p < {SMALLEST_P:g}" if p_value < SMALLEST_P else f"log-rank p = {number(p_value, 3)}"


def log_rank_sentence(test: Mapping[str, Any], adjective: str) -> str:
    """The log-rank test in a sentence; ``adjective`` stands before the groups, as of the study's marks."""
    text = log_rank_text(test)
    if finite(test.get("p_value")) is None:
        return f"{text[0].upper()}{text[1:]}."
    return f"{text[0].upper()}{text[1:]} between the {adjective}groups ({method_text(test)})."


def doubtful_sentence(p_values: Mapping[str, float], *, adjective: str) -> str:
    """Which hazard ratios change over time; empty where none does.

    Parameters
    ----------
    p_values : mapping of str to float
        By risk group, of the test of scaled Schoenfeld residuals; only of groups whose ratio changes.
    adjective : str
        ``"uncertified "`` or nothing.
    """
    if not p_values:
        return ""
    told = ", ".join(f"p = {number(p, 3)}" for p in p_values.values())
    return (
        f" The hazard ratio of the {adjective}group {' and '.join(p_values)} changes over time (test of scaled "
        f"Schoenfeld residuals: {told}): one number does not describe it."
    )


def score_note(name: str, methods: str) -> str:
    """What a score that was made for nodes says of survival."""
    return f"{name}: the higher value of both sides, made for lymph nodes and not for survival. {methods}."


def few_at_risk(held: int, *, words: str) -> str:
    """Why no survival is given at a time.

    Examples
    --------
    >>> few_at_risk(0, words="0"), few_at_risk(3, words="3")
    ('undefined: nobody still at risk', 'undefined: only 3 still at risk')
    """
    return f"undefined: {f'only {words}' if held else 'nobody'} still at risk"


def months_text(estimate: Estimate, *, unit: bool = True) -> str:
    """A time in months with its interval, whose upper end may lie beyond what was observed.

    Examples
    --------
    >>> months_text({"value": 61.2, "low": 55.0, "high": None})
    '61.2 months (55.0 to beyond follow-up)'
    """
    low, high = finite(estimate.get("low")), finite(estimate.get("high"))
    ends = [EN_DASH if end is None else number(end, 1) for end in (low, high)]
    text = f"{number(float(estimate['value']), 1)}{' months' if unit else ''}"
    if low is None and high is None:
        return f"{text} (interval not estimable)"
    return f"{text} ({ends[0]} to {ends[1] if high is not None else 'beyond follow-up'})"


def why_not(estimate: Estimate) -> str:
    """Why an estimate of survival has no value."""
    return f"not estimable ({str(estimate.get('method', '')).removeprefix('undefined: ')})"
