"""Numbers with their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import beta, norm

LEVEL = 0.95
Z = float(norm.ppf(0.5 + LEVEL / 2))


@dataclass(frozen=True)
class Estimate:
    """One estimate as it stands in ``metrics.json``.

    Parameters
    ----------
    value : float or None
        None where undefined; ``method`` then says why.
    low, high : float or None
        Ends of the 95 % interval; None where undefined.
    n : int
        Axillae that the estimate rests on, after rows of unknown status were left out.
    method : str
        How value and interval were made.
    events : int or None
        For rates: the count in the numerator.

    Examples
    --------
    >>> rate(1, 2).as_dict()["events"]
    1
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str
    events: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data; ``events`` only for rates."""
        plain: dict[str, Any] = {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "n": self.n,
            "method": self.method,
        }
        return plain if self.events is None else {**plain, "events": self.events}


def undefined(n: int, why: str) -> Estimate:
    """An estimate that cannot be given, and why."""
    return Estimate(None, None, None, n, f"undefined: {why}")


def clopper_pearson(events: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Exact binomial interval; its coverage is never below ``level``.

    Parameters
    ----------
    events, n : int
        Count and denominator, ``0 <= events <= n`` and ``n > 0``.
    level : float
        Confidence level.

    References
    ----------
    Clopper and Pearson, Biometrika 26 (1934), doi:10.1093/biomet/26.4.404.

    Examples
    --------
    >>> [round(end, 3) for end in clopper_pearson(7, 32)]
    [0.093, 0.4]
    """
    _check(events, n)
    tail = (1 - level) / 2
    low = 0.0 if events == 0 else float(beta.ppf(tail, events, n - events + 1))
    high = 1.0 if events == n else float(beta.ppf(1 - tail, events + 1, n - events))
    return low, high


def wilson(events: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Score interval; its mean coverage is close to ``level``.

    Parameters
    ----------
    events, n : int
        Count and denominator, ``0 <= events <= n`` and ``n > 0``.
    level : float
        Confidence level.

    References
    ----------
    Wilson, J Am Stat Assoc 22 (1927), doi:10.1080/01621459.1927.10502953.

    Examples
    --------
    >>> [round(end, 3) for end in wilson(0, 10)]
    [0.0, 0.278]
    """
    _check(events, n)
    z = float(norm.ppf(0.5 + level / 2))
    p, shrink = events / n, 1 + z**2 / n
    centre = (p + z**2 / (2 * n)) / shrink
    half = z / shrink * float(np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)))
    # Rounding must not push an end past the observed rate.
    return (0.0 if events == 0 else max(0.0, centre - half)), (1.0 if events == n else min(1.0, centre + half))


def rate(events: int, n: int) -> Estimate:
    """A rate with its Clopper-Pearson interval; undefined where ``n`` is 0."""
    if n == 0:
        return Estimate(None, None, None, 0, "undefined: no axillae in the denominator", 0)
    low, high = clopper_pearson(events, n)
    return Estimate(events / n, low, high, int(n), "proportion, Clopper-Pearson interval", int(events))


def _check(events: int, n: int) -> None:
    if not 0 <= events <= n or n == 0:
        raise ValueError(f"found {events} events of {n}, expected 0 <= events <= n and n > 0")
