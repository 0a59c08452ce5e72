"""Calibrators that bend: beta calibration, isotonic regression and Venn-Abers, with the variance of each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression
from scipy.special import logit as log_odds
from sklearn.utils.validation import check_is_fitted

from usdlr.core.leak import Rows
from usdlr.decision.arrays import FloatArray, scores
from usdlr.decision.calibrator import Calibrator, both_classes, increasing, require_number
from usdlr.decision.logistic import fit_slopes
from usdlr.decision.venn_abers import multiprobabilities

REPLICATES, NODES = 100, 33
_SEED = 0


class CurveCalibrator(Calibrator):
    """A map that is no straight line. Its variance comes from a bootstrap over the tuning patients.

    Attributes
    ----------
    variance_ : tuple of (k,) float64 array
        Raw log-odds in increasing order, and the variance of their calibrated log-odds over ``REPLICATES`` draws of
        the patients; empty where a class is missing.
    fitted_patients_ : frozenset of str
        Patients the fit has seen.
    """

    def sampling_variance(self, logit: npt.ArrayLike) -> FloatArray:
        """Variance of the calibrated log-odds over draws of the tuning patients; see :class:`Calibrator`."""
        check_is_fitted(self, ("variance_",))
        x, (at, variance) = scores(logit, "logit"), self.variance_
        return np.interp(x, at, variance) if len(at) else np.zeros_like(x)

    def transform(self, logit: npt.ArrayLike) -> FloatArray:
        """Calibrated log-odds, shape (n,), in nat."""
        check_is_fitted(self)
        return self._map(scores(logit, "logit"))

    @abstractmethod
    def _map(self, x: FloatArray) -> FloatArray:
        """Calibrated log-odds of checked log-odds."""

    def _look_around(self, x: FloatArray, y: FloatArray, rows: Rows) -> None:
        self.variance_ = np.empty(0), np.empty(0)
        if not both_classes(y):
            return
        # Sorted, so that the draws do not depend on the order of the rows.
        names, patient = np.unique(np.asarray(rows.patient_id, dtype=object).astype(str), return_inverse=True)
        at = np.unique(np.quantile(x, np.linspace(0, 1, NODES)))
        random = np.random.default_rng(_SEED)
        found = []
        for _ in range(REPLICATES):
            weight = np.bincount(random.integers(0, len(names), len(names)), minlength=len(names))[patient]
            if both_classes(y[weight > 0]):
                found.append(self.map_of(x, y, weight.astype(np.float64)).transform(at))
        if len(found) > 1:
            self.variance_ = at, np.var(found, axis=0, ddof=1)

    def _state(self) -> dict[str, Any]:
        at, variance = self.variance_
        return {**self._curve(), "variance": {"logit": at.tolist(), "value": variance.tolist()}}

    def _restore(self, values: Mapping[str, Any]) -> None:
        self._set_curve(values)
        at = increasing(values["variance"]["logit"], "log-odds of the variance", strictly=True)
        variance = np.asarray(values["variance"]["value"], dtype=np.float64)
        if variance.shape != at.shape or not (np.isfinite(variance) & (variance >= 0)).all():
            raise ValueError("no variance, or a negative one, for a log-odds")
        self.variance_ = at, variance

    @abstractmethod
    def _curve(self) -> dict[str, Any]:
        """The map as plain data."""

    @abstractmethod
    def _set_curve(self, values: Mapping[str, Any]) -> None:
        """Set the map from what :meth:`_curve` gave; ValueError, TypeError or KeyError where it is none."""


class BetaCalibrator(CurveCalibrator):
    """Beta calibration: one slope for low probabilities, one for high ones, and a shift.

    Calibrated log-odds are ``a * log(s) - b * log(1 - s) + c`` of a raw probability ``s``: far below even odds a line
    of slope ``a``, far above one of slope ``b``. With ``a = b`` it is Platt scaling. Strictly increasing.

    Parameters
    ----------
    prior_strength : float
        Precision of the prior ``Normal(1, 1 / prior_strength)`` of ``a`` and of ``b``; 0 is the plain
        maximum-likelihood fit.

    Attributes
    ----------
    a_, b_ : float
        At least ``SMALLEST_SLOPE``.
    c_ : float
        In nat.
    variance_, fitted_patients_
        See :class:`CurveCalibrator`.

    References
    ----------
    Kull, Silva Filho and Flach, Beyond sigmoids, Electron J Stat 11 (2017), doi:10.1214/17-EJS1338SI.

    Examples
    --------
    >>> from usdlr.core.leak import Rows
    >>> rows = Rows.of("abcd", ["tuning"] * 4)
    >>> fitted = BetaCalibrator().fit([-2.0, 1.0, -1.0, 2.0], [0, 0, 1, 1], rows=rows)
    >>> bool(fitted.transform([-1.0])[0] < fitted.transform([1.0])[0])
    True
    """

    kind = "beta"

    def __init__(self, *, prior_strength: float = 1.0) -> None:
        self.prior_strength = prior_strength

    def _learn(self, x: FloatArray, y: FloatArray, weight: FloatArray) -> None:
        self.a_, self.b_, self.c_ = 1.0, 1.0, 0.0
        if both_classes(y):
            (self.a_, self.b_), self.c_ = fit_slopes(
                np.column_stack([-np.logaddexp(0.0, -x), np.logaddexp(0.0, x)]), y, weight, float(self.prior_strength)
            )

    def _map(self, x: FloatArray) -> FloatArray:
        # The same as a * log(s) - b * log(1 - s), in a form that leaves the identity exact.
        return self.a_ * x + (self.b_ - self.a_) * np.logaddexp(0.0, x) + self.c_

    def check_options(self) -> None:
        """Refuse an option that is no finite number in its range."""
        require_number("prior_strength", self.prior_strength)

    def _curve(self) -> dict[str, Any]:
        return {"a": self.a_, "b": self.b_, "c": self.c_}

    def _set_curve(self, values: Mapping[str, Any]) -> None:
        a, b, c = (float(values[name]) for name in "abc")
        if not (np.isfinite([a, b, c]).all() and min(a, b) > 0):
            raise ValueError(f"a {a}, b {b} and c {c}, not positive slopes and finite numbers")
        self.a_, self.b_, self.c_ = a, b, c


class IsotonicCalibrator(CurveCalibrator):
    """Centred isotonic regression: blocks of equal risk, joined by straight lines on the log-odds scale.

    Log-odds that are equal are one point. The regression pools neighbours that stand in the wrong order into a block;
    each block is set at its mean log-odds and the map runs straight from one to the next, so that between the outermost
    blocks nobody is tied who was not. Beyond them it is level: it promises no risk that no block has shown. Where the
    model ranks the wrong way round, one block is left and everybody has the same probability.

    No probability is ever 0 or 1: before the regression a pseudo-axilla is added at either end, a positive one at the
    lowest log-odds and a negative one at the highest. A lowest block of ``n`` negatives has the risk
    ``end_weight / (n + end_weight)``, and every other block at least that.

    Parameters
    ----------
    end_weight : float
        What each pseudo-axilla counts; above 0.

    Attributes
    ----------
    at_, value_ : (k,) float64 array
        The blocks' raw and calibrated log-odds; empty for the identity.
    variance_, fitted_patients_
        See :class:`CurveCalibrator`.

    References
    ----------
    Zadrozny and Elkan, Transforming classifier scores into accurate multiclass probability estimates, KDD 2002,
    doi:10.1145/775047.775151. Oron and Flournoy, Centered isotonic regression, Stat Biopharm Res 9 (2017),
    doi:10.1080/19466315.2017.1286256.

    Examples
    --------
    >>> from usdlr.core.leak import Rows
    >>> rows = Rows.of("abcd", ["tuning"] * 4)
    >>> fitted = IsotonicCalibrator().fit([-2.0, 1.0, -1.0, 2.0], [0, 0, 1, 1], rows=rows)
    >>> fitted.at_.tolist()
    [-2.0, 0.0, 2.0]
    """

    kind = "isotonic"

    def __init__(self, *, end_weight: float = 0.5) -> None:
        self.end_weight = end_weight

    def _learn(self, x: FloatArray, y: FloatArray, weight: FloatArray) -> None:
        self.at_, self.value_ = np.empty(0), np.empty(0)
        if not both_classes(y):
            return
        at, tied = np.unique(x, return_inverse=True)
        rows, positive = np.bincount(tied, weight), np.bincount(tied, weight * y)
        total = rows.copy()
        positive[0] += self.end_weight
        total[0] += self.end_weight
        total[-1] += self.end_weight
        fitted = isotonic_regression(positive / total, weights=total)
        first = fitted.blocks[:-1]
        self.at_ = np.add.reduceat(at * rows, first) / np.add.reduceat(rows, first)
        # One division per block: neighbours of one block share every digit.
        self.value_ = log_odds(np.add.reduceat(positive, first) / np.add.reduceat(total, first))

    def _map(self, x: FloatArray) -> FloatArray:
        if not len(self.at_):
            return x.copy()
        # Rounding must not carry a point past the next block.
        following = np.minimum(np.searchsorted(self.at_, x, side="left"), len(self.at_) - 1)
        return np.minimum(np.interp(x, self.at_, self.value_), self.value_[following])

    def check_options(self) -> None:
        """Refuse an option that is no finite number in its range."""
        require_number("end_weight", self.end_weight, positive=True)

    def _curve(self) -> dict[str, Any]:
        return {"logit": self.at_.tolist(), "value": self.value_.tolist()}

    def _set_curve(self, values: Mapping[str, Any]) -> None:
        at = increasing(values["logit"], "log-odds", strictly=True)
        value = increasing(values["value"], "calibrated log-odds")
        if at.shape != value.shape:
            raise ValueError(f"{len(at)} log-odds and {len(value)} calibrated ones")
        self.at_, self.value_ = at, value


class VennAbersCalibrator(CurveCalibrator):
    """The inductive Venn-Abers predictor: two probabilities, and one merged from them.

    For a log-odds, isotonic regression is run on the tuning rows with that log-odds added, once as a negative axilla
    and once as a positive one; what it says there is ``p0`` and ``p1``. Whatever the model, one of the two is
    calibrated if tuning and new patients are exchangeable, and :meth:`interval` gives both. The map merges them into
    ``p1 / (1 - p0 + p1)``, the choice whose log loss is at worst least larger than that of the better of the two. It is
    a staircase, which never falls and is never 0 or 1; patients on one of its steps are tied.

    Attributes
    ----------
    at_ : (k,) float64 array
        Raw log-odds at which ``p0`` or ``p1`` changes; empty for the identity.
    p0_, p1_ : (k,) float64 array
        Of a log-odds that equals one of ``at_``.
    variance_, fitted_patients_
        See :class:`CurveCalibrator`.

    References
    ----------
    Vovk and Petej, Venn-Abers predictors, UAI 2014, arXiv 1211.0025. Vovk, Petej and Fedorova, Large-scale
    probabilistic predictors with and without guarantees of validity, NIPS 2015, arXiv 1511.00213.

    Examples
    --------
    >>> from usdlr.core.leak import Rows
    >>> rows = Rows.of("abcd", ["tuning"] * 4)
    >>> fitted = VennAbersCalibrator().fit([-2.0, 1.0, -1.0, 2.0], [0, 0, 1, 1], rows=rows)
    >>> [ends.round(3).tolist() for ends in fitted.interval([0.0])]
    [[0.333], [0.667]]
    """

    kind = "venn_abers"

    def __init__(self) -> None:
        pass

    def interval(self, logit: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """The probability if the axilla counts as negative, and the one if it counts as positive; (n,) each.

        Where a class was missing in the tuning rows nothing is known: 0 and 1.

        Parameters
        ----------
        logit : (n,) array_like
            Raw log-odds.
        """
        check_is_fitted(self)
        x = scores(logit, "logit")
        if not len(self.at_):
            return np.zeros_like(x), np.ones_like(x)
        return self._pair(x)

    def _pair(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        # A negative axilla is pooled with what lies at or below it, a positive one with what lies at or above it.
        p0 = np.append(0.0, self.p0_)[np.searchsorted(self.at_, x, side="right")]
        p1 = np.append(self.p1_, 1.0)[np.searchsorted(self.at_, x, side="left")]
        return p0, p1

    def _learn(self, x: FloatArray, y: FloatArray, weight: FloatArray) -> None:
        self.at_, self.p0_, self.p1_ = np.empty(0), np.empty(0), np.empty(0)
        if not both_classes(y):
            return
        at, tied = np.unique(x, return_inverse=True)
        rows, positive = (np.bincount(tied, each).astype(np.float64) for each in (weight, weight * y))
        p0, p1 = multiprobabilities(rows, positive)
        keep = np.append(True, np.diff(p0) != 0) | np.append(np.diff(p1) != 0, True)
        self.at_, self.p0_, self.p1_ = at[keep], p0[keep], p1[keep]

    def _map(self, x: FloatArray) -> FloatArray:
        if not len(self.at_):
            return x.copy()
        p0, p1 = self._pair(x)
        return np.log(p1) - np.log1p(-p0)

    def _curve(self) -> dict[str, Any]:
        return {"logit": self.at_.tolist(), "p0": self.p0_.tolist(), "p1": self.p1_.tolist()}

    def _set_curve(self, values: Mapping[str, Any]) -> None:
        at = increasing(values["logit"], "log-odds", strictly=True)
        p0, p1 = (increasing(values[name], name) for name in ("p0", "p1"))
        if not (at.shape == p0.shape == p1.shape):
            raise ValueError(f"{len(at)} log-odds, {len(p0)} p0 and {len(p1)} p1")
        if not ((p0 >= 0) & (p0 < 1) & (p1 > 0) & (p1 <= 1)).all():
            raise ValueError("p0 or p1 that is no probability")
        self.at_, self.p0_, self.p1_ = at, p0, p1
