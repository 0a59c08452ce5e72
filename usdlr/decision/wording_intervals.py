"""Sentences on how far a probability is open: the conformal interval, and contours as other readers might draw them."""

from __future__ import annotations

import math

from usdlr.core.types import Stage
from usdlr.decision.numbers import rate_interval
from usdlr.decision.wording import P_NSLN, P_SLN

NAMES = {Stage.SLN: P_SLN, Stage.NSLN: P_NSLN}


def conformal_sentence(stage: Stage, low: float, high: float) -> str:
    """What the conformal interval of a probability says, its ends rounded outward.

    Parameters
    ----------
    stage : Stage
        Whose probability.
    low, high : float
        Ends, 0 to 1; not-a-number where the model has no such interval.

    Examples
    --------
    >>> from usdlr.decision.numbers import NBSP
    >>> conformal_sentence(Stage.SLN, 0.3101, 0.4519)[:71].replace(NBSP, " ")
    'P(SLN positive | x) lies within 31.0–45.2 %: if this axilla is exchange'
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{NAMES[Stage(stage)]} has no conformal interval: the model was made without one."
    return (
        f"{NAMES[Stage(stage)]} lies within {rate_interval(low, high)}: if this axilla is exchangeable with the "
        "axillae that the model was calibrated on, this range holds a calibrated probability, one that is right on "
        "average over the axillae that are given it. It does not bound this patient's own risk."
    )


def contour_sentence(
    stage: Stage, low: float, high: float, *, same: int, n: int, asked: int, mean_abs_mm: float
) -> str:
    """What redrawing the contour changes.

    Parameters
    ----------
    stage : Stage
        Whose probability.
    low, high : float
        5 % and 95 % quantiles of the probability over the redrawn contours.
    same : int
        Redrawn contours whose group is the one that is stated.
    n, asked : int
        Redrawn contours that could be predicted, and all.
    mean_abs_mm : float
        Mean absolute displacement of the contour in mm.

    Examples
    --------
    >>> from usdlr.decision.numbers import NBSP
    >>> contour_sentence(Stage.SLN, 0.08, 0.171, same=7, n=12, asked=12, mean_abs_mm=1.0)[:88].replace(NBSP, " ")
    'With the contour redrawn 12 times, by 1 mm on average, P(SLN positive | x) is 8.0–17.1 %'
    """
    if n == 0:
        return (
            f"None of {asked} redrawn contours (by {mean_abs_mm:g} mm on average) could be measured: how far the "
            "answer depends on the contour is unknown."
        )
    lost = "" if n == asked else f" {asked - n} further contours could not be measured."
    return (
        f"With the contour redrawn {n} times, by {mean_abs_mm:g} mm on average, {NAMES[Stage(stage)]} is "
        f"{rate_interval(low, high)} (5 % to 95 % quantile), and {same} of {n} answers are the same.{lost} This is "
        "about the contour alone, not about other errors."
    )
