"""How sure a calibrated log-odds is: what the tuning patients, the networks and a missing image leave open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from scipy.stats import norm

from usdlr.core.errors import BundleError
from usdlr.core.leak import Rows, require_split
from usdlr.core.types import Split
from usdlr.decision.arrays import FloatArray
from usdlr.decision.calibration import Calibrator, LineCalibrator

LEVEL = 0.90


@dataclass(frozen=True)
class LogitInterval:
    """An interval around a calibrated log-odds. It is about the estimate, not about the patient's outcome.

    Three things are open, taken as independent: the calibrator was fitted on few patients (the covariance of a line;
    a calibrator that bends brings its own variance); networks and views disagree (their spread); and an image that
    the patient does not have might have moved the answer. What it might have moved is what taking the same kind of
    image away moves among tuning patients who have it.

    Parameters
    ----------
    covariance : tuple of tuple of float, (2, 2)
        Of slope and intercept; zeros where the calibrator is no straight line.
    missing : mapping of str to tuple of float
        By modality, the quantiles (1 - level) / 2 and (1 + level) / 2 of the raw log-odds with the image minus those
        without it.
    level : float
        Coverage of each part.
    """

    covariance: tuple[tuple[float, float], tuple[float, float]]
    missing: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    level: float = LEVEL

    @classmethod
    def fit(
        cls,
        logit: npt.ArrayLike,
        calibrator: Calibrator,
        changes: Mapping[str, npt.ArrayLike],
        *,
        rows: Rows,
        level: float = LEVEL,
    ) -> Self:
        """Measure on tuning patients.

        Parameters
        ----------
        logit : array, (axillae,)
            Raw log-odds of the axillae that the calibrator was fitted on.
        calibrator : Calibrator
            Fitted on them.
        changes : mapping of str to array
            By modality, raw log-odds with the image minus those without it, of tuning axillae that have it. A
            modality without any such axilla is left out: nothing is known of it.
        rows : Rows
            Whose axillae they are.
        level : float
            Coverage.

        Raises
        ------
        LeakError
            If a row is not of the tuning split.
        """
        require_split(rows, [Split.TUNING], "interval of the log-odds")
        covariance = np.zeros((2, 2))
        if isinstance(calibrator, LineCalibrator):
            covariance = _covariance(np.asarray(logit, dtype=np.float64), calibrator)
        tails = [(1 - level) / 2, (1 + level) / 2]
        known = {name: np.asarray(change, dtype=np.float64) for name, change in changes.items()}
        missing = {name: np.quantile(change, tails) for name, change in known.items() if change.size}
        return cls(
            ((float(covariance[0, 0]), float(covariance[0, 1])), (float(covariance[1, 0]), float(covariance[1, 1]))),
            {name: (float(low), float(high)) for name, (low, high) in missing.items()},
            level,
        )

    def bounds(
        self,
        logit: npt.ArrayLike,
        spread: npt.ArrayLike,
        absent: Mapping[str, npt.NDArray[np.bool_]],
        calibrator: Calibrator,
    ) -> tuple[FloatArray, FloatArray]:
        """Lower and upper end of the calibrated log-odds, (axillae,) each.

        Parameters
        ----------
        logit : array, (axillae,)
            Raw log-odds.
        spread : array, (axillae,)
            Standard deviation of the raw log-odds over networks and views; 0 for a single one.
        absent : mapping of str to bool array, (axillae,)
            By modality, who does not have it.
        calibrator : Calibrator
            The one of :meth:`fit`.
        """
        x = np.asarray(logit, dtype=np.float64)
        (slope_variance, shared), (_, intercept_variance) = self.covariance
        variance = slope_variance * x * x + 2 * shared * x + intercept_variance
        variance = np.maximum(variance, 0.0) + calibrator.sampling_variance(x)
        z = float(norm.ppf((1 + self.level) / 2))
        reach = z * np.asarray(spread, dtype=np.float64)
        # What moves the raw log-odds moves the calibrated ones along the map, which may be steeper on one side.
        below = z**2 * variance + _moved(calibrator, x, -reach) ** 2
        above = z**2 * variance + _moved(calibrator, x, reach) ** 2
        for name, (low, high) in self.missing.items():
            gone = absent.get(name, np.zeros(len(x), dtype=bool))
            below += np.where(gone, _moved(calibrator, x, np.full_like(x, min(low, 0.0))) ** 2, 0.0)
            above += np.where(gone, _moved(calibrator, x, np.full_like(x, max(high, 0.0))) ** 2, 0.0)
        middle = calibrator.transform(x)
        return middle - np.sqrt(below), middle + np.sqrt(above)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "covariance": [list(row) for row in self.covariance],
            "missing": {name: list(ends) for name, ends in self.missing.items()},
            "level": self.level,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Restore what :meth:`to_dict` gave.

        Raises
        ------
        BundleError
            If it is not one.
        """
        try:
            (a, b), (c, d) = values["covariance"]
            missing = {str(name): (float(low), float(high)) for name, (low, high) in values["missing"].items()}
            return cls(((float(a), float(b)), (float(c), float(d))), missing, float(values["level"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(
                f"found a damaged interval ({error!r}), expected covariance, missing and level"
            ) from error


def _covariance(x: FloatArray, calibrator: LineCalibrator) -> FloatArray:
    """Of slope and intercept, from the information in the rows of the fit."""
    p = expit(calibrator.transform(x))
    weight = p * (1 - p)
    information = np.array(
        [
            [(weight * x * x).sum() + calibrator.prior_strength, (weight * x).sum()],
            [(weight * x).sum(), weight.sum()],
        ]
    )
    if calibrator.free_intercept:
        return np.asarray(np.linalg.pinv(information), dtype=np.float64)
    return np.array([[1 / max(information[0, 0], np.finfo(float).tiny), 0.0], [0.0, 0.0]])


def _moved(calibrator: Calibrator, x: FloatArray, step: FloatArray) -> FloatArray:
    """What a step of the raw log-odds moves in the calibrated ones."""
    return calibrator.chord(x, x + step) * step
