"""Sentences about results that centres shared without patients."""

from __future__ import annotations

from collections.abc import Sequence

from usdlr.decision.numbers import rate_interval

WITHOUT_PATIENTS = (
    "Every number here was made from the centres' own result files. They hold counts, estimates and scores in bins, "
    "and no patient; counts of few patients were withheld by the centres."
)


def withheld_sentence(what: str, centres: Sequence[str], low: float | None, high: float | None) -> str:
    """What stays open because centres withheld a small count.

    Parameters
    ----------
    what : str
        Which rate.
    centres : sequence of str
        Who withheld it.
    low, high : float or None
        The pooled rate if the withheld counts were as small, and as large, as the files allow; as shares.

    Examples
    --------
    >>> withheld_sentence("SLN positives missed", ["North"], 0.02, 0.055)[:36]
    'SLN positives missed: withheld by No'
    """
    who = ", ".join(centres)
    if low is None or high is None:
        return f"{what}: withheld by {who}, so no rate can be given over all centres."
    return f"{what}: withheld by {who}; of all centres together the rate lies within {rate_interval(low, high)}."


def open_verdict_sentence(stage: str, alpha: float, words: Sequence[str]) -> str:
    """That withheld counts leave a verdict open.

    Examples
    --------
    >>> open_verdict_sentence("sln", 0.1, ["held", "undetermined"])
    'SLN target of 10 %: held or undetermined, depending on counts that centres withheld.'
    """
    return (
        f"{stage.upper()} target of {100 * alpha:g} %: {' or '.join(words)}, depending on counts that centres withheld."
    )
