"""One number from several centres: fixed and random effects, how far centres differ, and what a further one may find.

A centre's estimate and variance stand on the scale on which they are near to normal: the log-odds of an area under the
curve, a calibration slope or intercept as it is. Heterogeneity is estimated by restricted maximum likelihood, and
the random-effects interval is that of Hartung, Knapp, Sidik and Jonkman, which keeps its level with few centres; its
variance is never taken below the one that the weights promise.
Proportions have a model of their own, :mod:`usdlr.validation.meta_rates`.

References
----------
Viechtbauer, J Educ Behav Stat 30 (2005) 261, doi:10.3102/10769986030003261 (REML). Hartung and Knapp, Stat Med 20
(2001) 3875, doi:10.1002/sim.1009. Roever, Knapp and Friede, BMC Med Res Methodol 15 (2015) 99,
doi:10.1186/s12874-015-0091-1 (floor of its variance). Viechtbauer, Stat Med 26 (2007) 37,
doi:10.1002/sim.2514 (Q-profile interval).
Higgins and Thompson, Stat Med 21 (2002) 1539, doi:10.1002/sim.1186 (I2). Higgins, Thompson and Spiegelhalter, J R Stat
Soc A 172 (2009) 137, doi:10.1111/j.1467-985X.2008.00552.x, and IntHout and others, BMJ Open 6 (2016) e010247,
doi:10.1136/bmjopen-2015-010247 (prediction interval). Debray and others, Stat Methods Med Res 28 (2019) 2768,
doi:10.1177/0962280218785504 (measures of prediction models).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import chi2, t

from usdlr.core.errors import InputError
from usdlr.decision.arrays import FloatArray
from usdlr.evaluation.intervals import LEVEL, Estimate, Z

FEWEST_FOR_PREDICTION = 3
_TOLERANCE, _MOST_STEPS = 1e-10, 1000
_TAIL = (1 - LEVEL) / 2


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its 95 % interval; ``None`` where it cannot be estimated."""

    value: float | None
    low: float | None
    high: float | None

    def as_dict(self) -> dict[str, float | None]:
        """Plain data."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Pooled:
    """Several centres taken together.

    Parameters
    ----------
    centres : int
        Centres with an estimate.
    fixed : Interval
        One effect common to all centres.
    random : Interval
        Mean of the centres' effects.
    prediction : Interval
        Where the effect of a further centre like these would lie; no ends with fewer than three centres.
    tau2 : Interval
        Variance between centres, on the scale that was pooled.
    i2 : Interval
        Share of the total variance that is between centres.
    q, q_p : float or None
        Cochran's Q and its p-value.
    method : str
        How it was made, in a sentence.
    scale : str
        What was pooled, e.g. ``log-odds of the AUC``.
    """

    centres: int
    fixed: Interval
    random: Interval
    prediction: Interval
    tau2: Interval
    i2: Interval
    q: float | None
    q_p: float | None
    method: str
    scale: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data for ``validation.json``."""
        parts = {name: getattr(self, name).as_dict() for name in ("fixed", "random", "prediction", "tau2", "i2")}
        rest = {name: getattr(self, name) for name in ("centres", "q", "q_p", "method", "scale")}
        return {**parts, **rest}

    def back(self, transform: Callable[[float], float]) -> Pooled:
        """The same with effects brought back from the scale they were pooled on; ``tau2`` stays on it."""

        def moved(of: Interval) -> Interval:
            return Interval(*(None if end is None else float(transform(end)) for end in (of.value, of.low, of.high)))

        return Pooled(
            self.centres,
            moved(self.fixed),
            moved(self.random),
            moved(self.prediction),
            self.tau2,
            self.i2,
            self.q,
            self.q_p,
            self.method,
            self.scale,
        )


def pool(effects: npt.ArrayLike, variances: npt.ArrayLike, *, scale: str = "the estimates") -> Pooled:
    """Fixed and random effects of several centres.

    Parameters
    ----------
    effects, variances : array_like of float, (centres,)
        Estimates and their sampling variances, above 0, on a scale on which they are near to normal.
    scale : str
        What they are, for readers.

    Raises
    ------
    InputError
        If there is no centre, or a value is not finite or a variance not above 0.

    Examples
    --------
    >>> found = pool([-0.9387, -0.2191, -1.6338], [0.3571, 0.0520, 0.2270])
    >>> round(found.fixed.value, 3), round(found.random.value, 3)
    (-0.531, -0.849)
    """
    y, v = (np.asarray(values, dtype=np.float64) for values in (effects, variances))
    if y.ndim != 1 or y.shape != v.shape or len(y) == 0:
        raise InputError(f"found effects of shape {y.shape} and variances of {v.shape}, expected one each per centre")
    if not (np.isfinite(y).all() and np.isfinite(v).all() and (v > 0).all()):
        raise InputError("found an effect that is not finite or a variance not above 0, expected both; leave it out")
    k = len(y)
    mean, error = _weighted(y, 1 / v)
    fixed = Interval(mean, mean - Z * error, mean + Z * error)
    if k == 1:
        nothing = Interval(None, None, None)
        alone = f"one centre alone: its own estimate and interval on the scale of {scale}"
        return Pooled(1, fixed, nothing, nothing, nothing, nothing, None, None, alone, scale)
    q = float(((y - mean) ** 2 / v).sum())
    tau2 = reml(y, v)
    low, high = q_profile(y, v)
    centre, _ = _weighted(y, 1 / (v + tau2))
    # The variance that the centres show about their mean, in place of the one that their sizes promise.
    weights = 1 / (v + tau2)
    # Never below the latter: centres alike by chance would else give an interval far narrower than the fixed one.
    shown = float((weights * (y - centre) ** 2).sum() / ((k - 1) * weights.sum()))
    spread = max(shown, float(1 / weights.sum()))
    reach = float(t.ppf(1 - _TAIL, k - 1))
    half = reach * np.sqrt(spread)
    random = Interval(centre, centre - half, centre + half)
    prediction = Interval(centre, None, None)
    if k >= FEWEST_FOR_PREDICTION:
        wide = reach * np.sqrt(tau2 + spread)
        prediction = Interval(centre, centre - wide, centre + wide)
    typical = _typical_variance(v)
    i2 = Interval(*(share / (share + typical) for share in (tau2, low, high)))
    return Pooled(
        k,
        fixed,
        Interval(*map(_plain, (random.value, random.low, random.high))),
        Interval(*map(_plain, (prediction.value, prediction.low, prediction.high))),
        Interval(tau2, low, high),
        i2,
        q,
        float(chi2.sf(q, k - 1)),
        f"inverse-variance weights on the scale of {scale}; fixed effect with a normal interval; random effects with "
        "REML heterogeneity (Q-profile interval) and a Hartung-Knapp-Sidik-Jonkman interval, its variance never below "
        f"that of the weights alone; prediction interval with the t distribution of {k - 1} degrees of freedom",
        scale,
    )


def _plain(value: float | None) -> float | None:
    return None if value is None else float(value)


def _weighted(y: FloatArray, weights: FloatArray) -> tuple[float, float]:
    total = float(weights.sum())
    return float((weights * y).sum() / total), float(np.sqrt(1 / total))


def _typical_variance(v: FloatArray) -> float:
    """Higgins and Thompson's within-centre variance, by which I2 compares."""
    weights = 1 / v
    return float((len(v) - 1) * weights.sum() / (weights.sum() ** 2 - (weights**2).sum()))


def reml(y: FloatArray, v: FloatArray) -> float:
    """Variance between centres by restricted maximum likelihood, not below 0; Fisher scoring.

    Parameters
    ----------
    y, v : float64 array, (centres,)
        Effects and sampling variances of at least two centres.
    """
    tau2 = max(0.0, float(np.var(y, ddof=1) - v.mean()))
    for _ in range(_MOST_STEPS):
        weights = 1 / (v + tau2)
        total = weights.sum()
        centre = (weights * y).sum() / total
        squares = (weights**2 * (y - centre) ** 2).sum()
        # P = W - W 1 1' W / sum(W): the score is (y'PPy - tr P) / 2, the information tr(PP) / 2.
        trace = total - (weights**2).sum() / total
        information = (weights**2).sum() - 2 * (weights**3).sum() / total + ((weights**2).sum() / total) ** 2
        step = float((squares - trace) / information)
        new = tau2 + step
        halved = 0
        while new < 0 and halved < 60 and tau2 > 0:
            step /= 2
            new, halved = tau2 + step, halved + 1
            if tau2 < _TOLERANCE:
                break
        new = max(0.0, new)
        if abs(new - tau2) < _TOLERANCE:
            return new if new > 1e-9 else 0.0
        tau2 = new
    return tau2 if tau2 > 1e-9 else 0.0


def q_profile(y: FloatArray, v: FloatArray) -> tuple[float, float]:
    """Ends of the 95 % interval of the variance between centres, by the generalised Q statistic.

    Parameters
    ----------
    y, v : float64 array, (centres,)
        Effects and sampling variances of at least two centres.
    """

    def q(tau2: float) -> float:
        weights = 1 / (v + tau2)
        centre = (weights * y).sum() / weights.sum()
        return float((weights * (y - centre) ** 2).sum())

    def root(target: float) -> float:
        if q(0.0) <= target:
            return 0.0
        high = max(1.0, float(v.max()))
        while q(high) > target:
            high *= 4
        return float(brentq(lambda value: q(value) - target, 0.0, high, xtol=1e-12))

    freedom = len(y) - 1
    return root(float(chi2.ppf(1 - _TAIL, freedom))), root(float(chi2.ppf(_TAIL, freedom)))


def pool_areas(areas: list[Estimate]) -> Pooled | None:
    """Areas under the ROC curve over centres, pooled on the log-odds scale.

    Parameters
    ----------
    areas : list of Estimate
        One per centre with its 95 % interval, see :func:`area_on_logit`; centres without one, or whose interval has
        no width, are left out.

    Returns
    -------
    Pooled or None
        On the area's own scale but for ``tau2``; ``None`` without a centre.
    """
    effects, variances = [], []
    for one in areas:
        found = area_on_logit(one.value, one.low, one.high)
        if found is not None:
            effects.append(found[0])
            variances.append(found[1] ** 2)
    if not effects:
        return None
    return pool(effects, variances, scale="the log-odds of the AUC").back(lambda value: float(expit(value)))


def area_on_logit(value: float | None, low: float | None, high: float | None) -> tuple[float, float] | None:
    """Log-odds of an area under the ROC curve and their standard error, from its 95 % interval.

    The interval is symmetric on the log-odds scale (:func:`usdlr.evaluation.metrics.auc`), so its width there is that
    of the normal interval. An area of 0 or 1, or an end there, has no log-odds: then the interval (Newcombe's) stands
    for both, its middle for the value and its half width, by the delta method, for the error.

    Parameters
    ----------
    value, low, high : float or None
        The area and the ends of its interval.

    Returns
    -------
    tuple of float or None
        Log-odds and standard error; ``None`` where there is no interval, or one without width.

    Examples
    --------
    >>> value, error = area_on_logit(0.968, 0.91, 0.98903)
    >>> round(value, 2), round(error, 2)
    (3.41, 0.56)
    """
    if value is None or low is None or high is None or not high > low:
        return None
    if low > 0 and high < 1 and 0 < value < 1:
        return float(logit(value)), float((logit(high) - logit(low)) / (2 * Z))
    middle = (low + high) / 2
    return float(logit(middle)), (high - low) / (2 * Z * middle * (1 - middle))


def pool_plain(estimates: list[Estimate], *, scale: str) -> Pooled | None:
    """Estimates that are near to normal as they are, such as a calibration slope; ``None`` without a centre."""
    pairs = [(one.value, error) for one in estimates if (error := standard_error(one)) is not None]
    if not pairs:
        return None
    effects, errors = zip(*pairs, strict=True)
    return pool(effects, np.square(errors), scale=scale)


def standard_error(estimate: Estimate) -> float | None:
    """Standard error behind a normal 95 % interval; ``None`` where there is none.

    An interval that was cut at the end of its scale tells its error by its longer half.

    Examples
    --------
    >>> round(standard_error(Estimate(0.8, 0.741, 0.859, 100, "AUC")), 3)
    0.03
    """
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    half = max(estimate.value - estimate.low, estimate.high - estimate.value)
    return half / Z if half > 0 else None
