"""Calibrators that are a straight line on the log-odds scale: Platt and temperature scaling."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.utils.validation import check_is_fitted

from usdlr.decision.arrays import FloatArray, scores
from usdlr.decision.calibrator import Calibrator, both_classes, require_number
from usdlr.decision.logistic import SMALLEST_SLOPE, fit_slopes

# Tuning patients that are told apart without a fault set no upper bound of their own to a plain fit.
LARGEST_SLOPE = 100.0


class LineCalibrator(Calibrator):
    """``slope * logit + intercept`` with a positive slope: it never changes a ranking.

    Parameters
    ----------
    prior_strength : float
        Precision of the prior ``slope ~ Normal(1, 1 / prior_strength)``: tuning parts hold 20 to 60 patients, on which
        the plain fit can run off to an infinite slope. 0 is the plain maximum-likelihood fit.

    Attributes
    ----------
    slope_ : float
        At least ``SMALLEST_SLOPE``.
    intercept_ : float
        In nat.
    fitted_patients_ : frozenset of str
        Patients the fit has seen.
    """

    free_slope: ClassVar[bool] = True
    free_intercept: ClassVar[bool] = True

    def __init__(self, *, prior_strength: float = 1.0) -> None:
        self.prior_strength = prior_strength

    def transform(self, logit: npt.ArrayLike) -> FloatArray:
        """Calibrated log-odds, shape (n,), in nat."""
        check_is_fitted(self, ("slope_", "intercept_"))
        return np.asarray(self.slope_ * scores(logit, "logit") + self.intercept_, dtype=np.float64)

    def divide(self, logit: npt.ArrayLike, base: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """The slope for every share, and the calibrated base; see :meth:`Calibrator.divide`."""
        return np.full(len(scores(logit, "logit")), self.slope_), self.transform(base)

    def chord(self, start: npt.ArrayLike, end: npt.ArrayLike) -> FloatArray:
        """The slope, once per row."""
        check_is_fitted(self, ("slope_", "intercept_"))
        return np.full(len(scores(start, "start")), self.slope_)

    def covariance(self, logit: npt.ArrayLike) -> FloatArray:
        """Of slope and intercept, (2, 2), from the information in the rows of the fit; 0 for one that is not free.

        Parameters
        ----------
        logit : (n,) array_like
            Raw log-odds of these rows.
        """
        x = scores(logit, "logit")
        p = expit(self.transform(x))
        weight = p * (1 - p)
        corner = float((weight * x).sum())
        information = np.array([[float((weight * x * x).sum()) + self._precision, corner], [corner, weight.sum()]])
        free = np.array([self.free_slope, self.free_intercept])
        found = np.zeros((2, 2))
        if free.all():
            return np.asarray(np.linalg.pinv(information), dtype=np.float64)
        place = int(np.argmax(free))
        found[place, place] = 1 / max(information[place, place], np.finfo(float).tiny)
        return found

    @property
    def _precision(self) -> float:
        return float(self.prior_strength)

    @abstractmethod
    def _solve(self, x: FloatArray, y: FloatArray, weight: FloatArray, prior: float) -> tuple[float, float]:
        """Slope and intercept of the best fit; both classes are present."""

    def _learn(self, x: FloatArray, y: FloatArray, weight: FloatArray) -> None:
        self.slope_, self.intercept_ = 1.0, 0.0
        if both_classes(y):
            self.slope_, self.intercept_ = self._solve(x, y, weight, float(self.prior_strength))

    def check_options(self) -> None:
        """Refuse a negative prior strength."""
        require_number("prior_strength", self.prior_strength)

    def _state(self) -> dict[str, Any]:
        return {"slope": self.slope_, "intercept": self.intercept_}

    def _restore(self, values: Mapping[str, Any]) -> None:
        slope, intercept = float(values["slope"]), float(values["intercept"])
        if not (math.isfinite(slope) and slope > 0 and math.isfinite(intercept)):
            raise ValueError(f"slope {slope} and intercept {intercept}, not a positive slope and finite numbers")
        self.slope_, self.intercept_ = slope, intercept


class PlattCalibrator(LineCalibrator):
    """Platt scaling: slope and intercept. Takes back what class weights in a loss added to the log-odds.

    The maximum a posteriori fit under the prior on the slope and a flat one on the intercept; parameters and
    attributes as in :class:`LineCalibrator`.

    References
    ----------
    Platt, Probabilistic outputs for support vector machines, 1999. Lin, Lin and Weng, A note on Platt's probabilistic
    outputs for support vector machines, Machine Learning 68 (2007), doi:10.1007/s10994-007-5018-6.

    Examples
    --------
    >>> from usdlr.core.leak import Rows
    >>> rows = Rows.of("abcd", ["tuning"] * 4)
    >>> fitted = PlattCalibrator().fit([-2.0, 1.0, -1.0, 2.0], [0, 0, 1, 1], rows=rows)
    >>> 0 < fitted.slope_ < 1
    True
    """

    kind = "platt"

    def _solve(self, x: FloatArray, y: FloatArray, weight: FloatArray, prior: float) -> tuple[float, float]:
        (slope,), intercept = fit_slopes(x[:, None], y, weight, prior)
        return slope, intercept


class InterceptCalibrator(LineCalibrator):
    """A shift of all log-odds alike, ``slope_ = 1``: what another prevalence asks for, and the least that is learnt.

    ``prior_strength`` is of no account, since the slope is not fitted. It recalibrates a model that is calibrated but
    for its level; a run does not choose it. Attributes as in :class:`LineCalibrator`.

    References
    ----------
    Steyerberg et al., Validation and updating of predictive logistic regression models, Stat Med 23 (2004) 2567,
    doi:10.1002/sim.1844 (method 1, recalibration in the large).

    Examples
    --------
    >>> from usdlr.core.leak import Rows
    >>> rows = Rows.of("abcd", ["tuning"] * 4)
    >>> fitted = InterceptCalibrator().fit([0.0, 0.0, 0.0, 0.0], [0, 0, 0, 1], rows=rows)
    >>> fitted.slope_, round(fitted.intercept_, 6)  # log(1 / 3)
    (1.0, -1.098612)
    """

    kind = "intercept"
    free_slope = False

    def _solve(self, x: FloatArray, y: FloatArray, weight: FloatArray, prior: float) -> tuple[float, float]:
        def gradient(shift: float) -> float:
            return float(weight @ (expit(x + shift) - y))

        level = math.log(float(weight @ y) / float(weight @ (1 - y)))
        # The sum of the risks rises with the shift; it meets the positives between these two.
        return 1.0, float(brentq(gradient, level - float(x.max()) - 1e-9, level - float(x.min()) + 1e-9, xtol=1e-13))


class TemperatureCalibrator(LineCalibrator):
    """Temperature scaling: log-odds divided by one positive number, ``intercept_ = 0``.

    It cannot move log-odds that are too high or too low as a whole: after a loss with class weights (``balanced``,
    ``class_balanced``, ``asymmetric``) use Platt scaling. The maximum-likelihood fit of Guo et al. is
    ``prior_strength=0``, with the temperature held between 1 / ``LARGEST_SLOPE`` and 1 / ``SMALLEST_SLOPE``;
    parameters and attributes as in :class:`LineCalibrator`.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, ICML 2017, arXiv 1706.04599.

    Examples
    --------
    >>> from usdlr.core.leak import Rows
    >>> rows = Rows.of("abcd", ["tuning"] * 4)
    >>> fitted = TemperatureCalibrator().fit([-9.0, 8.0, -8.0, 9.0], [0, 0, 1, 1], rows=rows)
    >>> fitted.temperature_ > 1, fitted.intercept_
    (True, 0.0)
    """

    kind = "temperature"
    free_intercept = False

    @property
    def temperature_(self) -> float:
        """What log-odds are divided by."""
        check_is_fitted(self, ("slope_", "intercept_"))
        return 1.0 / self.slope_

    def _solve(self, x: FloatArray, y: FloatArray, weight: FloatArray, prior: float) -> tuple[float, float]:
        if not x.any():
            return 1.0, 0.0

        def gradient(log_slope: float) -> float:
            slope = math.exp(log_slope)
            return float((weight * x) @ (expit(slope * x) - y)) + prior * (slope - 1.0)

        # The loss is convex in the slope: its gradient changes sign once, between the bounds or beyond one of them.
        low, high = math.log(SMALLEST_SLOPE), math.log(LARGEST_SLOPE)
        if gradient(low) >= 0:
            return SMALLEST_SLOPE, 0.0
        if gradient(high) <= 0:
            return LARGEST_SLOPE, 0.0
        return math.exp(brentq(gradient, low, high, xtol=1e-13)), 0.0
