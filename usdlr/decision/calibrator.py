"""What every calibrator has in common: what it may see, what it promises, how it is stored."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from usdlr.core.errors import BundleError, InputError
from usdlr.core.leak import Rows, require_split
from usdlr.core.types import Split
from usdlr.decision.arrays import FloatArray, labels, same_length, scores

# Shares are multiplied by the slope of the map between the base and the log-odds; over less than this the slope of a
# step or a bend would be that of one tuning patient.
SHORTEST_CHORD = 1.0


class Calibrator(TransformerMixin, BaseEstimator, ABC):  # type: ignore[misc]  # scikit-learn publishes no types
    """Maps a model's log-odds to calibrated log-odds; a higher one never gets a lower one.

    It is fitted on tuning rows alone. When they hold one class only, or none, nothing can be learnt and the fit is the
    identity. Positive class: label 1.

    Attributes
    ----------
    fitted_patients_ : frozenset of str
        Patients the fit has seen.
    """

    kind: ClassVar[str]

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
            If lengths differ, a log-odds is not finite, a label is unknown, or an option is impossible.
        """
        self.check_options()
        x, target = tuning_data(logit, y, rows)
        self._learn(x, target, np.ones_like(x))
        self._look_around(x, target, rows)
        self.fitted_patients_ = rows.patients
        return self

    def map_of(self, logit: FloatArray, y: FloatArray, weight: FloatArray) -> Self:
        """A calibrator with the same options and another fit, for resampling within the tuning rows.

        It knows no patients and carries no variance. Call :meth:`fit` for a calibrator that is used.

        Parameters
        ----------
        logit, y, weight : (n,) float64 array
            Checked by :func:`tuning_data`; ``weight`` says how often a row counts, a whole number.
        """
        other = type(self)(**self.get_params())
        use = weight > 0
        other._learn(logit[use], y[use], weight[use])
        return other

    def divide(self, logit: npt.ArrayLike, base: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """What a prediction's shares are multiplied by, and its new base, so that they add up to :meth:`transform`.

        Raw log-odds are a base plus shares. The factor is the slope of the map's chord between the base and the
        log-odds, at least ``SHORTEST_CHORD`` long, and never negative: no share changes its sign. Where the map is a
        straight line, that is its slope, and the new base is the base's calibrated log-odds.

        Parameters
        ----------
        logit : (n,) array_like
            Raw log-odds.
        base : (n,) array_like
            The part of them that belongs to no share.

        Returns
        -------
        factor, base : (n,) float64 array
        """
        x, start = scores(logit, "logit"), scores(base, "base")
        factor = self.chord(start, x)
        return factor, self.transform(x) - factor * (x - start)

    def chord(self, start: npt.ArrayLike, end: npt.ArrayLike) -> FloatArray:
        """Slope of the map between two raw log-odds, at least ``SHORTEST_CHORD`` apart; never negative.

        Parameters
        ----------
        start, end : (n,) array_like
            Raw log-odds; nearer ones are moved apart about their middle.
        """
        a, b = scores(start, "start"), scores(end, "end")
        middle, half = (a + b) / 2, np.maximum(np.abs(b - a), SHORTEST_CHORD) / 2
        return (self.transform(middle + half) - self.transform(middle - half)) / (2 * half)

    def sampling_variance(self, logit: npt.ArrayLike) -> FloatArray:
        """Variance of the calibrated log-odds because few patients were fitted on, by a bootstrap over them.

        0 for a straight line, whose interval :class:`usdlr.decision.uncertainty.LogitInterval` takes from the
        covariance of slope and intercept.

        Parameters
        ----------
        logit : (n,) array_like
            Raw log-odds; beyond those of the tuning patients, the variance is that at the outermost.
        """
        return np.zeros_like(scores(logit, "logit"))

    @abstractmethod
    def transform(self, logit: npt.ArrayLike) -> FloatArray:
        """Calibrated log-odds, shape (n,), in nat."""

    @abstractmethod
    def _learn(self, x: FloatArray, y: FloatArray, weight: FloatArray) -> None:
        """Set the map; the identity where a class is missing. Weights are whole numbers from 1 upward."""

    @abstractmethod
    def _state(self) -> dict[str, Any]:
        """The map as plain data."""

    @abstractmethod
    def _restore(self, values: Mapping[str, Any]) -> None:
        """Set the map from what :meth:`_state` gave; ValueError, TypeError or KeyError where it is none."""

    def check_options(self) -> None:
        """Refuse options without meaning.

        Raises
        ------
        InputError
            If one is out of its range.
        """

    def _look_around(self, x: FloatArray, y: FloatArray, rows: Rows) -> None:
        """Measure what else the tuning patients tell."""

    def to_dict(self) -> dict[str, Any]:
        """The kind and plain numbers for a bundle; patients stay behind."""
        check_is_fitted(self)
        options = {name: float(value) for name, value in self.get_params().items()}
        return {"kind": self.kind, **options, **self._state()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Restore what :meth:`to_dict` wrote; ``fitted_patients_`` is empty.

        Raises
        ------
        BundleError
            If it is of another kind, or a number is missing or impossible.
        """
        # Bundles written before there was a choice do not say their kind.
        kind = values.get("kind", "platt")
        if kind != cls.kind:
            raise BundleError(
                f"found a calibrator of the kind {kind!r}, expected {cls.kind!r}; export the bundle again"
            )
        try:
            restored = cls(**{name: float(values[name]) for name in cls._get_param_names()})
            restored.check_options()
            restored._restore(values)
        except (InputError, KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f"found a damaged {cls.kind} calibrator ({error!r}), expected what a run has written; "
                "export the bundle again"
            ) from error
        restored.fitted_patients_ = frozenset()
        return restored


def tuning_data(logit: npt.ArrayLike, y: npt.ArrayLike, rows: Rows) -> tuple[FloatArray, FloatArray]:
    """Log-odds and labels of tuning rows, checked.

    Raises
    ------
    LeakError
        If a row is not of the tuning split.
    InputError
        If lengths differ, a log-odds is not finite, or a label is unknown.
    """
    require_split(rows, [Split.TUNING], "calibrator")
    x, target = scores(logit, "logit"), labels(y, "y")
    same_length(len(rows), logit=x, y=target)
    if np.isnan(target).any():
        raise InputError(
            f"found {int(np.isnan(target).sum())} of {len(target)} rows of unknown status in the fit of the "
            "calibrator, expected none; leave these axillae out (unknown is not negative)"
        )
    return x, target


def both_classes(y: FloatArray) -> bool:
    """Whether there is a positive and a negative row."""
    return bool((y == 1).any() and (y == 0).any())


def require_number(name: str, value: float, *, positive: bool = False) -> None:
    """Refuse an option that is no finite number from 0 upward, or above 0.

    Raises
    ------
    InputError
        If it is not.
    """
    if not (math.isfinite(value) and value >= 0 and (value > 0 or not positive)):
        raise InputError(f"found {name} = {value}, expected a number {'above 0' if positive else 'from 0 upward'}")


def increasing(values: Any, what: str, *, strictly: bool = False) -> FloatArray:
    """Finite numbers, each at least as large as the one before (or larger), from plain data.

    Raises
    ------
    ValueError
        If they are not.
    """
    array = np.asarray(values, dtype=np.float64)
    steps = np.diff(array) if array.ndim == 1 else np.array([-1.0])
    if not np.isfinite(array).all() or (steps < 0).any() or (strictly and (steps == 0).any()):
        raise ValueError(f"{what} do not increase")
    return array
