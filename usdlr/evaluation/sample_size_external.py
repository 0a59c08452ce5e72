"""How many patients an external validation needs so that its figures are precise.

References
----------
Riley et al., Minimum sample size for external validation of a clinical prediction model with a binary outcome, Stat
Med 40 (2021) 4230, doi:10.1002/sim.9025. Newcombe, Stat Med 25 (2006) 559, doi:10.1002/sim.2324 (standard error
of the AUC). Clopper and Pearson, Biometrika 26 (1934), doi:10.1093/biomet/26.4.404.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from usdlr.core.errors import ConfigError
from usdlr.decision.arrays import FloatArray
from usdlr.evaluation.intervals import LEVEL, Z
from usdlr.evaluation.risk_distribution import RiskDistribution
from usdlr.evaluation.sample_size import Requirement, requirement, share

OE_WIDTH = 0.2
SLOPE_WIDTH = 0.2
AUC_WIDTH = 0.1
FNR_WIDTH = 0.1
_MOST = 10**7


def external_validation(
    *,
    prevalence: float,
    auc: float,
    risks: RiskDistribution | None = None,
    oe: float = 1.0,
    oe_width: float = OE_WIDTH,
    slope_width: float = SLOPE_WIDTH,
    auc_width: float = AUC_WIDTH,
) -> list[Requirement]:
    """Patients needed to validate a model: one requirement per measure; the largest counts.

    Parameters
    ----------
    prevalence : float
        Share of positives at the new centre.
    auc : float
        Anticipated area under the ROC curve there.
    risks : RiskDistribution or None
        Anticipated log-odds, for the calibration slope; None for :meth:`RiskDistribution.from_auc`.
    oe : float
        Anticipated ratio of observed to expected positives; 1 for a model that is right on average.
    oe_width, slope_width, auc_width : float
        Wanted widths of the 95 % intervals.

    Raises
    ------
    ConfigError
        If a value is out of range.

    Examples
    --------
    >>> [need.n for need in external_validation(prevalence=0.018, auc=0.8, oe_width=1.0)]
    [906, 17128, 4252]
    """
    share("prevalence", prevalence)
    for name, value in (("oe", oe), ("oe_width", oe_width), ("slope_width", slope_width), ("auc_width", auc_width)):
        if not (np.isfinite(value) and value > 0):
            raise ConfigError(f"found {name} = {value}, expected a number above 0; correct it")
    spread = RiskDistribution.from_auc(auc, prevalence) if risks is None else risks
    # The interval is symmetric on the log scale: its width is 2 O/E sinh(z se).
    log_error = math.asinh(oe_width / (2 * oe)) / Z
    return [
        requirement(
            "observed / expected",
            (1 - prevalence) / (prevalence * log_error**2),
            prevalence,
            f"95 % interval {oe_width:g} wide around {oe:g}",
        ),
        requirement(
            "calibration slope",
            spread.slope_variance() / (slope_width / (2 * Z)) ** 2,
            prevalence,
            f"95 % interval {slope_width:g} wide around 1; {spread.words}",
        ),
        requirement(
            "AUC",
            patients_for_auc(auc, prevalence, auc_width),
            prevalence,
            f"95 % interval {auc_width:g} wide around {auc:g}",
        ),
    ]


def patients_for_auc(auc: float, prevalence: float, width: float) -> int:
    """Smallest number of patients whose AUC has a 95 % interval of at most ``width``, by Newcombe's standard error.

    Examples
    --------
    >>> patients_for_auc(0.8, 0.018, 0.1)
    4252
    """
    share("prevalence", prevalence)
    share("auc", auc)

    def too_wide(n: int) -> bool:
        half = n / 2 - 1
        spread = 1 + half * ((1 - auc) / (2 - auc) + auc / (1 + auc))
        error = math.sqrt(max(0.0, auc * (1 - auc) * spread / (n * n * prevalence * (1 - prevalence))))
        return 2 * Z * error > width

    high = 2
    while too_wide(high):
        high *= 2
        if high > _MOST:
            raise ConfigError(
                f"found an AUC interval {width:g} wide, which needs more than {_MOST} patients; allow more"
            )
    low = 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if too_wide(middle) else (low, middle)
    return high


def positives_for_fnr(fnr: float, width: float, level: float = LEVEL) -> int:
    """Positives from which on the exact interval of a false-negative rate is at most ``width`` wide.

    Counts are whole, so the width does not fall steadily with the number of positives: the answer is the smallest
    number from which on it never exceeds ``width``, whether the expected misses are rounded down or up.

    Parameters
    ----------
    fnr : float
        Anticipated false-negative rate, 0 included.
    width : float
        Wanted width of the Clopper-Pearson interval.
    level : float
        Its confidence level.

    Examples
    --------
    >>> positives_for_fnr(0.0, 0.1)
    36
    """
    if not (np.isfinite(fnr) and 0 <= fnr < 1):
        raise ConfigError(f"found fnr = {fnr}, expected a share from 0 up and below 1 (not per cent); correct it")
    share("width", width)
    share("level", level)
    # A normal interval is too short at the ends, so the search starts well above its answer.
    most = 64 + int(8 * (Z / width) ** 2 * max(fnr * (1 - fnr), width / 4))
    if most > _MOST:
        raise ConfigError(f"found an FNR interval {width:g} wide, which needs more than {_MOST} positives; allow more")
    m = np.arange(1, most + 1)
    exact = np.round(fnr * m, 9)
    widest = np.maximum(_width(np.floor(exact), m, level), _width(np.ceil(exact), m, level))
    return int(m[np.flatnonzero(widest > width)[-1]]) + 1 if (widest > width).any() else 1


def _width(misses: npt.ArrayLike, positives: npt.ArrayLike, level: float) -> FloatArray:
    k, m = np.asarray(misses, dtype=np.float64), np.asarray(positives, dtype=np.float64)
    tail = (1 - level) / 2
    low = np.where(k == 0, 0.0, beta.ppf(tail, np.maximum(k, 1), m - k + 1))
    high = np.where(k == m, 1.0, beta.ppf(1 - tail, k + 1, np.maximum(m - k, 1)))
    return np.asarray(high - low, dtype=np.float64)
