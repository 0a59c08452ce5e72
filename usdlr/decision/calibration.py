"""Log-odds that mean what they say: Platt and temperature scaling, fitted on tuning patients."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from usdlr.core.errors import BundleError, InputError
from usdlr.core.leak import Rows, require_split
from usdlr.core.named_parts import Part, build_part
from usdlr.core.types import Split
from usdlr.decision.arrays import FloatArray, labels, same_length, scores

# A model that ranks the tuning patients the wrong way round must not have its ranking turned by 20 to 60 of them.
SMALLEST_SLOPE = 0.01
# Tuning patients that are told apart without a fault set no upper bound of their own to a plain fit.
LARGEST_SLOPE = 100.0
_TOLERANCE = 1e-10
_MAX_STEPS = 200


class Calibrator(TransformerMixin, BaseEstimator, ABC):  # type: ignore[misc]  # scikit-learn publishes no types
    """Maps a model's log-odds to calibrated log-odds, ``slope * logit + intercept`` with a positive slope.

    The map is increasing, so it never changes a ranking. When the tuning rows hold one class only, or none, nothing
    can be learnt and the fit is the identity (``slope_ = 1``, ``intercept_ = 0``).

    Parameters
    ----------
    prior_strength : float
        Precision of the prior ``slope ~ Normal(1, 1 / prior_strength)``: tuning parts hold 20 to 60 patients, on which
        the plain fit can run off to an infinite slope. 0 is the plain maximum-likelihood fit. Positive class: label 1.

    Attributes
    ----------
    slope_ : float
        At least ``SMALLEST_SLOPE``.
    intercept_ : float
        In nat.
    fitted_patients_ : frozenset of str
        Patients the fit has seen.
    """

    kind: ClassVar[str]
    free_intercept: ClassVar[bool] = True

    def __init__(self, *, prior_strength: float = 1.0) -> None:
        self.prior_strength = prior_strength

    def fit(self, logit: npt.ArrayLike, y: npt.ArrayLike, *, rows: Rows) -> Self:
        """Fit on tuning rows.

        Parameters
        ----------
        logit : (n,) array_like
            The model's log-odds of the positive class, one per axilla.
        y : (n,) array_like
            1 positive, 0 negative. Rows of unknown status must be left out by the caller.
        rows : Rows
            Whose rows these are; all of the tuning split.

        Returns
        -------
        Calibrator
            Itself.

        Raises
        ------
        LeakError
            If a row is not of the tuning split.
        InputError
            If lengths differ, a log-odds is not finite, a label is unknown, or ``prior_strength`` is negative.
        """
        if not (math.isfinite(self.prior_strength) and self.prior_strength >= 0):
            raise InputError(f"found prior_strength = {self.prior_strength}, expected a number from 0 upward")
        require_split(rows, [Split.TUNING], "calibrator")
        x = scores(logit, "logit")
        target = labels(y, "y")
        same_length(len(rows), logit=x, y=target)
        if np.isnan(target).any():
            raise InputError(
                f"found {int(np.isnan(target).sum())} of {len(target)} rows of unknown status in the fit of the "
                "calibrator, expected none; leave these axillae out (unknown is not negative)"
            )
        self.slope_, self.intercept_ = 1.0, 0.0
        if 0 < target.sum() < len(target):
            self.slope_, self.intercept_ = self._solve(x, target, float(self.prior_strength))
        self.fitted_patients_ = rows.patients
        return self

    @abstractmethod
    def _solve(self, x: FloatArray, y: FloatArray, prior: float) -> tuple[float, float]:
        """Slope and intercept of the best fit; both classes are present."""

    def transform(self, logit: npt.ArrayLike) -> FloatArray:
        """Calibrated log-odds, shape (n,), in nat."""
        check_is_fitted(self, ("slope_", "intercept_"))
        return np.asarray(self.slope_ * scores(logit, "logit") + self.intercept_, dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """The kind and plain numbers for a bundle; patients stay behind."""
        check_is_fitted(self, ("slope_", "intercept_"))
        return {
            "kind": self.kind,
            "prior_strength": float(self.prior_strength),
            "slope": self.slope_,
            "intercept": self.intercept_,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Restore what :meth:`to_dict` wrote; ``fitted_patients_`` is empty.

        Raises
        ------
        BundleError
            If it is of another kind, or a number is missing or impossible.
        """
        kind = _kind(values)
        if kind != cls.kind:
            raise BundleError(
                f"found a calibrator of the kind {kind!r}, expected {cls.kind!r}; export the bundle again"
            )
        try:
            prior, slope, intercept = (float(values[key]) for key in ("prior_strength", "slope", "intercept"))
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f"found a calibrator {dict(values)!r}, expected the numbers prior_strength, slope and intercept; "
                "export the bundle again"
            ) from error
        if not (math.isfinite(slope) and slope > 0 and math.isfinite(intercept)):
            raise BundleError(
                f"found a calibrator with slope {slope} and intercept {intercept}, expected a positive slope and "
                "finite numbers; export the bundle again"
            )
        restored = cls(prior_strength=prior)
        restored.slope_, restored.intercept_, restored.fitted_patients_ = slope, intercept, frozenset()
        return restored


class PlattCalibrator(Calibrator):
    """Platt scaling: slope and intercept. Takes back what class weights in a loss added to the log-odds.

    The maximum a posteriori fit under the prior on the slope and a flat one on the intercept; parameters and
    attributes as in :class:`Calibrator`.

    References
    ----------
    Platt, Probabilistic outputs for support vector machines, 1999. Lin, Lin and Weng, A note on Platt's probabilistic
    outputs for support vector machines, Machine Learning 68 (2007), doi:10.1007/s10994-007-5018-6.

    Examples
    --------
    >>> rows = Rows.of("abcd", ["tuning"] * 4)
    >>> fitted = PlattCalibrator().fit([-2.0, 1.0, -1.0, 2.0], [0, 0, 1, 1], rows=rows)
    >>> 0 < fitted.slope_ < 1
    True
    """

    kind = "platt"

    def _solve(self, x: FloatArray, y: FloatArray, prior: float) -> tuple[float, float]:
        return _fit(x, y, prior)


class TemperatureCalibrator(Calibrator):
    """Temperature scaling: log-odds divided by one positive number, ``intercept_ = 0``.

    It cannot move log-odds that are too high or too low as a whole: after a loss with class weights (``balanced``,
    ``class_balanced``, ``asymmetric``) use Platt scaling. The maximum-likelihood fit of Guo et al. is
    ``prior_strength=0``, with the temperature held between 1 / ``LARGEST_SLOPE`` and 1 / ``SMALLEST_SLOPE``;
    parameters and attributes as in :class:`Calibrator`.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, ICML 2017, arXiv 1706.04599.

    Examples
    --------
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

    def _solve(self, x: FloatArray, y: FloatArray, prior: float) -> tuple[float, float]:
        if not x.any():
            return 1.0, 0.0

        def gradient(log_slope: float) -> float:
            slope = math.exp(log_slope)
            return float(x @ (expit(slope * x) - y)) + prior * (slope - 1.0)

        # The loss is convex in the slope: its gradient changes sign once, between the bounds or beyond one of them.
        low, high = math.log(SMALLEST_SLOPE), math.log(LARGEST_SLOPE)
        if gradient(low) >= 0:
            return SMALLEST_SLOPE, 0.0
        if gradient(high) <= 0:
            return LARGEST_SLOPE, 0.0
        return math.exp(brentq(gradient, low, high, xtol=1e-13)), 0.0


CALIBRATORS: Final[dict[str, type[Calibrator]]] = {
    calibrator.kind: calibrator for calibrator in (PlattCalibrator, TemperatureCalibrator)
}


def build_calibrator(part: Part) -> Calibrator:
    """The calibrator, not yet fitted, that a configuration names.

    Parameters
    ----------
    part : str or mapping
        A name of :data:`CALIBRATORS`, or that name with its options.

    Raises
    ------
    ConfigError
        If the name or an option is unknown.

    Examples
    --------
    >>> build_calibrator({"temperature": {"prior_strength": 0.0}}).kind
    'temperature'
    """
    calibrator: Calibrator = build_part(part, "calibrator", CALIBRATORS)
    return calibrator


def calibrator_from_dict(values: Mapping[str, Any]) -> Calibrator:
    """Restore a calibrator of any kind from what its ``to_dict`` wrote; without a kind it is Platt scaling.

    Raises
    ------
    BundleError
        If the kind is unknown, or a number is missing or impossible.
    """
    kind = _kind(values)
    if kind not in CALIBRATORS:
        raise BundleError(
            f"found a calibrator of the kind {kind!r}, expected one of {', '.join(CALIBRATORS)}; "
            "update usdlr or export the bundle again"
        )
    return CALIBRATORS[kind].from_dict(values)


def _kind(values: Mapping[str, Any]) -> str:
    # Bundles written before there was a choice do not say it.
    return str(values.get("kind", PlattCalibrator.kind))


def _fit(x: FloatArray, y: FloatArray, prior: float) -> tuple[float, float]:
    """Slope and intercept that minimise the penalised log loss, a convex problem; both classes are present."""
    prevalence = float(y.mean())
    start = np.array([1.0, math.log(prevalence / (1 - prevalence)) - float(x.mean())])
    slope, intercept = _newton(x, y, prior, start, free=np.array([True, True]))
    if slope >= SMALLEST_SLOPE:
        return slope, intercept
    # Convexity: when the free optimum lies below the bound, the best allowed slope is the bound.
    start = np.array([SMALLEST_SLOPE, math.log(prevalence / (1 - prevalence))])
    return _newton(x, y, prior, start, free=np.array([False, True]))


def _newton(
    x: FloatArray, y: FloatArray, prior: float, start: FloatArray, *, free: npt.NDArray[np.bool_]
) -> tuple[float, float]:
    design = np.column_stack([x, np.ones_like(x)])

    def loss(at: FloatArray) -> float:
        z = design @ at
        return float(np.logaddexp(0.0, z).sum() - (y * z).sum() + 0.5 * prior * (at[0] - 1.0) ** 2)

    at, value = start, loss(start)
    for _ in range(_MAX_STEPS):
        p = expit(design @ at)
        gradient = design.T @ (p - y) + np.array([prior * (at[0] - 1.0), 0.0])
        hessian = (design * (p * (1 - p))[:, None]).T @ design + np.diag([prior, 0.0])
        step = np.zeros(2)
        # The small ridge keeps the step finite where log-odds are constant or far out; it moves no optimum.
        curvature = hessian[np.ix_(free, free)]
        step[free] = np.linalg.solve(curvature + 1e-12 * np.trace(curvature) * np.eye(int(free.sum())), gradient[free])
        size = 1.0
        while (after := loss(at - size * step)) > value and size > _TOLERANCE:
            size /= 2
        if not after < value:
            break
        at, value, done = at - size * step, after, bool(np.abs(size * step).max() < _TOLERANCE)
        if done:
            break
    return float(at[0]), float(at[1])
