"""What a study's page claims in answer to reporting checklists; every claim with its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from usdlr.core.types import Stage
from usdlr.decision.numbers import (
    Estimate,
    count,
    estimate_text,
    events_text,
    finite,
    number,
    percent,
    plural,
    rate_text,
)


def areas_claim(auc: Mapping[Stage, Estimate]) -> str:
    """The areas under the curve that were found."""
    return "; ".join(f"AUC {stage.upper()} {with_n(one)}" for stage, one in auc.items())


def misses_claim(rates: Mapping[Stage, Estimate], *, known_nsln: str) -> str:
    """How often the cascade misses a positive node."""
    return "; ".join(
        f"false-negative rate {stage.upper()} {rate_text(rate)}, {events_text(rate)}"
        + (f", {known_nsln}" if stage is Stage.NSLN else "")
        for stage, rate in rates.items()
    )


def counts_claim(known: Mapping[Stage, tuple[int, int]]) -> str:
    """How many axillae, and positives among them, stand behind each stage."""
    told = []
    for stage, (n, positive) in known.items():
        among = " with a positive sentinel node" if stage is Stage.NSLN else ""
        told.append(f"{stage.upper()}: {count(n)} axillae of known status{among}, {count(positive)} positive")
    return "; ".join(told)


def internal_claim(n: int) -> str:
    """On whom every number is counted."""
    return f"Every number is counted on {plural(n, 'axilla', 'axillae')} out of fold"


def external_claim(sources: Sequence[tuple[str, bool, Estimate]]) -> str:
    """How the model ranks patients of other sources.

    Parameters
    ----------
    sources : sequence of (str, bool, mapping)
        Name, whether its patients are simulated, and the AUC of the SLN stage.
    """
    return "; ".join(f"{name}{' (simulated)' if made else ''}: AUC SLN {with_n(auc)}" for name, made, auc in sources)


def failures_claim(low_sln: int, spared_nsln: int, *, adjective: str) -> str:
    """How many positive axillae the groups of low risk hold."""
    return (
        f"Missed: {count(low_sln)} SLN-positive axillae in the {adjective}group LR-SLN, {count(spared_nsln)} "
        "NSLN-positive ones in LR-SLN or HR-SLN/LR-NSLN"
    )


def limits_claim(n: int) -> str:
    """How many limitations were found; empty where none was."""
    return f"{plural(n, 'limitation')} found in the tables of the study" if n else ""


def robust_claim(*, adjective: str) -> str:
    """What was changed to see whether results hold."""
    return f"False-negative rates and surgery spared when the {adjective}thresholds are moved"


def score_lines(
    *, least: float, most: float, judged: float | None, weight: float, applicable: float, open_items: Sequence[int]
) -> tuple[str, ...]:
    """What a METRICS score says, the least first: open items never raise it.

    Parameters
    ----------
    least, most : float
        Share met with every open item as not met, and as met.
    judged : float or None
        Share met of what could be judged.
    weight, applicable : float
        Of what could be judged, and of what applies.
    open_items : sequence of int
        Numbers of the items that are the author's.
    """
    numbers = ", ".join(f"#{n}" for n in open_items) or "none"
    return (
        f"At least {percent(least)} of the weight that applies is met, with every open item counted as not met; the "
        f"author's open items can raise it to {percent(most)} at most.",
        "Nothing could be judged by the software."
        if judged is None
        else f"Of the weight that the software could judge ({number(weight, 4)} of {number(applicable, 4)}), "
        f"{percent(judged)} is met.",
        f"Open items, {count(len(open_items))}: {numbers}.",
    )


def with_n(estimate: Estimate) -> str:
    """An estimate with its interval and n, or why there is none."""
    if finite(estimate.get("value")) is None:
        return estimate_text(estimate)
    return f"{estimate_text(estimate)}, n = {count(estimate.get('n'))}"
