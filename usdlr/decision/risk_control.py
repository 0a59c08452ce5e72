"""Marginal conformal risk control: the weaker promise, on average over calibration samples and without a confidence.

``E[FNR] <= alpha``: the expectation runs over the calibration sample too. One sample's thresholds may lose more than
``alpha``, and with few positives they often do; nothing is said of how often. It needs fewer positives than the
certified contract (9 instead of 29 for 10 %), and it must never be shown without the word *marginal*.

References
----------
Angelopoulos, Bates, Fisch, Lei and Schuster, Conformal risk control, ICLR 2024, arXiv:2208.02814,
doi:10.48550/arXiv.2208.02814.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from usdlr.decision.chain import IntArray

_ROUNDING = 1e-9  # 0.29 * 100 is 28.999999999999996


def marginal_step(misses: Sequence[IntArray], positives: Sequence[int], alpha: Sequence[float]) -> int:
    """Last step of a path at which every endpoint's ``(misses + 1) / (positives + 1)`` is at most its target.

    Every endpoint by itself keeps its target in expectation at its own last step; at the earliest of them all do, for
    misses never fall along the path.

    Parameters
    ----------
    misses : sequence of (k,) int arrays
        By endpoint, how many positives are missed at or before each step.
    positives : sequence of int
        By endpoint.
    alpha : sequence of float
        Targets by endpoint.

    Returns
    -------
    int
        0 is treat-all; -1 where even that cannot be shown for want of positives.
    """
    last = len(misses[0]) - 1
    for count, held, target in zip(misses, positives, alpha, strict=True):
        last = min(last, int((count + 1 <= target * (held + 1) + _ROUNDING).sum()) - 1)
    return last


def marginal_positives(alpha: float, misses: int = 0) -> int:
    """Fewest positives with which the marginal target can be kept with so many misses.

    Examples
    --------
    >>> marginal_positives(0.10), marginal_positives(0.05), marginal_positives(0.05, 3)
    (9, 19, 79)
    """
    return max(1, math.ceil((misses + 1) / alpha - 1 - _ROUNDING))
