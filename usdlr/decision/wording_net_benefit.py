"""Sentences on what deciding by the model is worth: net benefit against operating on everybody and on nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from usdlr.core.types import Stage
from usdlr.decision.numbers import NBSP, Estimate, not_estimable

READING = (
    "Each interval is for one threshold, not for the curve. The range of thresholds must be fixed from what doctors "
    "and patients would act on, not from where the curve is highest."
)
WHY_ACTED_ON = (
    "The range of thresholds, 1 to 50 %, was fixed before any curve was drawn: below 1 % one would operate on 99 "
    "negative axillae or more to find one positive axilla, and above 50 % one would leave axillae that are more likely "
    "positive than not."
)
NO_CURVE_OF_SCORES = (
    "Baselines have no curve here: their scores rank axillae and are not all probabilities, and a curve of a score "
    "that is none says nothing about acting on risks."
)
OPERATION: Mapping[Stage, str] = {Stage.SLN: "sentinel biopsy", Stage.NSLN: "axillary dissection"}
_POLICIES = "the better of operating on all and on none"
_NEAR = 1e-9  # a gain of zero, but for rounding


def too_narrow(fewest: int) -> str:
    """Which intervals of a decision curve may not be used.

    Parameters
    ----------
    fewest : int
        Positive axillae that must lie below a threshold.
    """
    return (
        f"Where fewer than {fewest} positive axillae lie below a threshold, the intervals of the gain and of the "
        "interventions avoided are too narrow to be used: the bootstrap draws no miss that was not seen."
    )


def weighing_sentence(fewest: int) -> str:
    """How a decision curve weighs, and how to read it."""
    return (
        "Net benefit weighs positive axillae found against needless operations, by the risk at which one would "
        f"operate. {READING} {too_narrow(fewest)}"
    )


def gain_sentence(
    stage: Stage,
    thresholds: Sequence[float],
    gain: Mapping[str, Sequence[float | None]],
    missed: Sequence[int],
    *,
    method: str,
    fewest: int,
) -> str:
    """Where the pointwise intervals of the gain over both simple policies leave out zero.

    Parameters
    ----------
    stage : Stage
        Whose curve.
    thresholds : sequence of float
        Probabilities, rising.
    gain : mapping
        ``low`` and ``high`` at every threshold; None where there is no interval.
    missed : sequence of int
        Positive axillae below every threshold.
    method : str
        How the intervals were made, or why there are none.
    fewest : int
        Below so many missed, no gain can be shown: few misses make an interval too narrow towards a gain.
    """
    name = f"{stage.upper()} stage"
    if all(low is None for low in gain["low"]):
        return f"{name}: the curve has no intervals ({method}), so it shows no benefit."
    few = [many < fewest for many in missed]
    better = [low is not None and low > _NEAR and not rare for low, rare in zip(gain["low"], few, strict=True)]
    # Few misses make an interval too narrow towards a gain, not towards a loss.
    worse = [high is not None and high < -_NEAR for high in gain["high"]]
    silent = ""
    if any(few):
        silent = (
            f"at thresholds of {threshold_runs(thresholds, few)} fewer than {fewest} positive axillae lie below the "
            "threshold, and no gain can be shown. "
        )
    if not any(better) and not any(worse):
        nowhere = "At no other threshold" if any(few) else "at no threshold"
        return (
            f"{name}: {silent}{nowhere} of the range does the 95 % interval show that the model is worth more, or "
            f"less, than {_POLICIES}."
        )
    parts = []
    if any(better):
        parts.append(f"worth more than {_POLICIES} at thresholds of {threshold_runs(thresholds, better)}")
    if any(worse):
        parts.append(f"worth less than {_POLICIES} at thresholds of {threshold_runs(thresholds, worse)}")
    by = "By" if any(few) else "by"
    return f"{name}: {silent}{by} the 95 % interval of each single threshold, the model is {', and '.join(parts)}."


def no_curve_sentence(stage: Stage, why: Estimate) -> str:
    """Says that a stage has no decision curve, and why."""
    return f"{stage.upper()} stage: no curve, {not_estimable(why)}."


def threshold_runs(thresholds: Sequence[float], inside: Sequence[bool]) -> str:
    """Stretches of thresholds in words.

    Examples
    --------
    >>> threshold_runs([0.05, 0.1, 0.2, 0.3], [True, True, False, True]).replace(NBSP, " ")
    '5 to 10 % and 30 %'
    """
    runs: list[list[float]] = []
    for place, (threshold, holds) in enumerate(zip(thresholds, inside, strict=True)):
        if holds and place and inside[place - 1]:
            runs[-1][1] = threshold
        elif holds:
            runs.append([threshold, threshold])
    texts = [f"{100 * a:g}{NBSP}%" if a == b else f"{100 * a:g} to {100 * b:g}{NBSP}%" for a, b in runs]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def operations_note(stage: Stage, *, known_nsln: str) -> str:
    """What an operation is at a stage, and what the number of avoided ones means."""
    among = "" if stage is Stage.SLN else f" SLN-positive axillae, {known_nsln}."
    return (
        f"Operation: {OPERATION[stage]}.{among} Avoided, net: against operating on all, as if so many negative "
        "axillae were spared and no positive axilla more were missed; below 0, operating on all is worth more."
    )


def curve_note(method: str, fewest: int) -> str:
    """How a curve was made, and how to read it."""
    return f"{method[:1].upper()}{method[1:]}. {READING} {too_narrow(fewest)}"
