"""How sure a calibrated log-odds is: what the tuning patients, the networks and a missing image leave open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from usdlr.core.errors import BundleError
from usdlr.core.leak import Rows, require_split
from usdlr.core.types import Split
from usdlr.decision.arrays import FloatArray
from usdlr.decision.calibration import Calibrator, LineCalibrator, VennAbersCalibrator

LEVEL = 0.90
# Raw log-odds this close are taken to be equal: a forward pass in another batch gives other last digits, and a step of
# the Venn-Abers predictor would be taken or not by chance where an axilla has the score of a tuning axilla.
SAME = 1e-5


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
    venn_abers : VennAbersCalibrator or None
        Fitted on the tuning patients: of any axilla, two probabilities of which one is calibrated; ``None`` in what
        was fitted before there was one.
    """

    covariance: tuple[tuple[float, float], tuple[float, float]]
    missing: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    level: float = LEVEL
    venn_abers: VennAbersCalibrator | None = field(default=None, compare=False)

    @classmethod
    def fit(
        cls,
        logit: npt.ArrayLike,
        calibrator: Calibrator,
        changes: Mapping[str, npt.ArrayLike],
        *,
        rows: Rows,
        level: float = LEVEL,
        labels: npt.ArrayLike | None = None,
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
        labels : array, (axillae,), optional
            1 positive, 0 negative, of the same axillae: with them, :meth:`conformal` has an answer.

        Raises
        ------
        LeakError
            If a row is not of the tuning split.
        """
        require_split(rows, [Split.TUNING], "interval of the log-odds")
        covariance = np.zeros((2, 2))
        if isinstance(calibrator, LineCalibrator):
            covariance = calibrator.covariance(logit)
        tails = [(1 - level) / 2, (1 + level) / 2]
        known = {name: np.asarray(change, dtype=np.float64) for name, change in changes.items()}
        missing = {name: np.quantile(change, tails) for name, change in known.items() if change.size}
        return cls(
            ((float(covariance[0, 0]), float(covariance[0, 1])), (float(covariance[1, 0]), float(covariance[1, 1]))),
            {name: (float(low), float(high)) for name, (low, high) in missing.items()},
            level,
            None if labels is None else VennAbersCalibrator().fit(logit, labels, rows=rows),
        )

    def conformal(self, logit: npt.ArrayLike, probability: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Ends of an interval that holds a calibrated probability, (axillae,) each; not-a-number where it is unknown.

        The two probabilities of the inductive Venn-Abers predictor, and the stated one where it lies outside them. If
        an axilla is exchangeable with the tuning axillae, one of the two, namely that of the label it turns out to
        have, is calibrated: among axillae for which it has the same value, that share is positive. This holds whatever
        the model and for any number of tuning axillae. The interval says nothing about how far a patient's own risk
        may lie from that of others with such a score.

        The tuning patients also stopped the networks' fit, which is not accounted for.

        Parameters
        ----------
        logit : array, (axillae,)
            Raw log-odds.
        probability : array, (axillae,)
            The calibrated probability that is stated.

        References
        ----------
        Vovk and Petej, Venn-Abers predictors, UAI 2014, arXiv 1211.0025, theorem 1.
        """
        stated = np.asarray(probability, dtype=np.float64)
        if self.venn_abers is None:
            return np.full(stated.shape, np.nan), np.full(stated.shape, np.nan)
        x = np.asarray(logit, dtype=np.float64)
        low, high = self.venn_abers.interval(x - SAME)[0], self.venn_abers.interval(x + SAME)[1]
        return np.minimum(low, stated), np.maximum(high, stated)

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
        known = {} if self.venn_abers is None else {"venn_abers": self.venn_abers.to_dict()}
        return known | {
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
            pair = values.get("venn_abers")
            known = None if pair is None else VennAbersCalibrator.from_dict(pair)
            return cls(((float(a), float(b)), (float(c), float(d))), missing, float(values["level"]), known)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(
                f"found a damaged interval ({error!r}), expected covariance, missing and level"
            ) from error


def _moved(calibrator: Calibrator, x: FloatArray, step: FloatArray) -> FloatArray:
    """What a step of the raw log-odds moves in the calibrated ones."""
    return calibrator.chord(x, x + step) * step
