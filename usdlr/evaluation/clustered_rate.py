"""A proportion of axillae with an interval that holds also where patients have two of them.

Exact binomial intervals need independent axillae. A bootstrap of patients needs none, but gives no interval where
nothing happened, and one too narrow where little did: the numbers of missed nodes are such. So the exact interval is
kept and its sample shrunk to what it would be worth if the axillae of one patient were wholly alike. With one axilla
each it is the Clopper-Pearson interval to the last digit, and rows given twice under one patient change nothing.

References
----------
Clopper and Pearson, Biometrika 26 (1934), doi:10.1093/biomet/26.4.404. Kish, Survey Sampling, 1965 (effective sample
size). Korn and Graubard, Confidence intervals for proportions with small expected number of positive counts estimated
from survey data, Survey Methodology 24 (1998) 193-201.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from usdlr.decision.arrays import FloatArray
from usdlr.evaluation.intervals import LEVEL, Estimate, rate
from usdlr.evaluation.resampling import Patients

BoolArray = npt.NDArray[np.bool_]


def effective_number(among: BoolArray, who: Patients) -> float:
    """Independent axillae that would say as much as these, were both axillae of a patient wholly alike.

    Parameters
    ----------
    among : (n,) bool array
        Whom the proportion is about.
    who : Patients
        Of the n rows.

    Examples
    --------
    >>> from usdlr.evaluation.resampling import patients
    >>> effective_number(np.ones(4, dtype=bool), patients(["a", "a", "b", "b"]))
    2.0
    """
    held = who.total(among.astype(np.float64))
    many = float(held.sum())
    return many**2 / float((held**2).sum()) if many else 0.0


def exact_ends(events: npt.ArrayLike, n: npt.ArrayLike, effective: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Ends of the Clopper-Pearson intervals of several counts, shape of ``events`` each.

    Parameters
    ----------
    events : array_like of int
        Counts, 0 to ``n``.
    n : int or array_like of int
        Denominators, above 0; one for all, or one each.
    effective : float or array_like of float
        Independent axillae that the n are worth; ``n`` for the usual interval.

    Examples
    --------
    >>> low, high = exact_ends([7], 32, 32)
    >>> round(float(low[0]), 3), round(float(high[0]), 3)
    (0.093, 0.4)
    """
    counts, total = np.asarray(events, dtype=np.float64), np.asarray(n, dtype=np.float64)
    share = np.asarray(effective, dtype=np.float64) / total
    hit, rest = counts * share, (total - counts) * share
    tail = (1 - LEVEL) / 2
    # Where nothing or everything happened one end is certain, and the distribution has no such parameter.
    low = np.where(counts == 0, 0.0, beta.ppf(tail, np.where(counts == 0, 1.0, hit), rest + 1))
    high = np.where(counts == total, 1.0, beta.ppf(1 - tail, hit + 1, np.where(counts == total, 1.0, rest)))
    return low, high


def interval_method(n: int, effective: float) -> str:
    """How a proportion and its interval were made.

    Examples
    --------
    >>> interval_method(40, 40.0)
    'proportion, Clopper-Pearson interval'
    """
    if effective == n:
        return rate(0, 1).method
    return (
        f"proportion, Clopper-Pearson interval of {effective:.1f} independent axillae: those of one patient taken as "
        "wholly alike"
    )


def clustered_rate(events: BoolArray, among: BoolArray, who: Patients) -> Estimate:
    """A proportion of axillae with its 95 % interval; undefined where there are none.

    Parameters
    ----------
    events : (n,) bool array
        To whom it happened; rows outside ``among`` do not count.
    among : (n,) bool array
        Whom the proportion is about.
    who : Patients
        Of the n rows.

    Examples
    --------
    >>> from usdlr.evaluation.resampling import patients
    >>> everyone, none = np.ones(3, dtype=bool), np.zeros(3, dtype=bool)
    >>> one = clustered_rate(none, everyone, patients(["a", "b", "c"]))
    >>> one.events, one.n, one.low, round(one.high, 3)
    (0, 3, 0.0, 0.708)
    """
    n, hit = int(among.sum()), int((events & among).sum())
    effective = effective_number(among, who)
    if n == 0 or effective == n:
        return rate(hit, n)
    low, high = exact_ends([hit], n, effective)
    return Estimate(hit / n, float(low[0]), float(high[0]), n, interval_method(n, effective), hit)
