"""Metrics of weighted axillae, worked out for many sets of weights at once from scores that are sorted once.

A *metric* is built from labels and values and gives a statistic: weights of shape (replicates, axillae) go in, one
number per replicate comes out, not-a-number where a class has no weight. What has parameters is fixed with
:func:`functools.partial`. Equal scores are one step of the curve, whatever the order of the rows.

References
----------
McClish, Med Decis Making 9 (1989) 190, doi:10.1177/0272989X8900900307 (partial area). Davis and Goadrich, ICML 2006,
doi:10.1145/1143844.1143874 (why precision is not interpolated linearly).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from usdlr.core.errors import ConfigError
from usdlr.decision.arrays import FloatArray
from usdlr.evaluation.resampling import Statistic

Metric = Callable[[FloatArray, FloatArray], Statistic]

HIGH_SENSITIVITY = (0.9, 1.0)
SENSITIVITY = 0.95
_ROUNDING = 1e-12  # a share of positives that falls short by no more than rounding is reached


@dataclass(frozen=True, eq=False)
class Steps:
    """An ROC curve per replicate, at the distinct scores of positives from the highest down.

    Parameters
    ----------
    positive : (b, k) float64 array
        Weight of the positives with that score.
    tied, above : (b, k) float64 array
        Weight of the negatives with the same score, and with a higher one.
    positives, negatives : (b,) float64 array
        Weight of each class.
    """

    positive: FloatArray
    tied: FloatArray
    above: FloatArray
    positives: FloatArray
    negatives: FloatArray


class Ranking:
    """Scores sorted once, for weights that change.

    Parameters
    ----------
    truth : (n,) float64 array
        1 positive, 0 negative.
    values : (n,) float64 array
        Higher means more likely positive.
    """

    def __init__(self, truth: FloatArray, values: FloatArray) -> None:
        positive, negative = np.flatnonzero(truth == 1), np.flatnonzero(truth == 0)
        self._positive = positive[np.argsort(-values[positive], kind="stable")]
        self._negative = negative[np.argsort(-values[negative], kind="stable")]
        falling, others = -values[self._positive], -values[self._negative]
        self._starts = np.flatnonzero(np.concatenate([[True], falling[1:] != falling[:-1]])[: len(falling)])
        distinct = falling[self._starts]
        self.thresholds: FloatArray = -distinct
        self._before = np.searchsorted(others, distinct, side="left")
        self._until = np.searchsorted(others, distinct, side="right")
        self._ties = bool((self._before != self._until).any())

    def steps(self, weights: FloatArray) -> Steps:
        """The curve under each row of ``weights``, shape (b, n)."""
        positive = np.take(weights, self._positive, axis=1)
        if len(self._starts) < len(self._positive):
            positive = np.add.reduceat(positive, self._starts, axis=1)
        passed = np.zeros((len(weights), len(self._negative) + 1))
        np.cumsum(np.take(weights, self._negative, axis=1), axis=1, out=passed[:, 1:])
        above = np.take(passed, self._before, axis=1)
        tied = np.take(passed, self._until, axis=1) - above if self._ties else np.zeros((len(weights), 1))
        return Steps(positive, tied, above, positive.sum(axis=1), passed[:, -1])


def auc_of_steps(steps: Steps) -> FloatArray:
    """Area under the curve; a tie counts one half."""
    wrong = np.einsum("ij,ij->i", steps.positive, steps.above + steps.tied / 2)
    return np.asarray(1 - wrong / (steps.positives * steps.negatives), dtype=np.float64)


def partial_auc_of_steps(steps: Steps, low: float, high: float, *, standardised: bool = True) -> FloatArray:
    """Area between the curve and a false-positive rate of 1, for sensitivities from ``low`` to ``high``.

    Between its points the curve is a straight line. Standardised as McClish has it: 1 is perfect and 0.5 is chance,
    whatever the range; else the area itself, at most ``high - low``.
    """
    reached = np.cumsum(steps.positive, axis=1) / steps.positives[:, None]
    before = reached - steps.positive / steps.positives[:, None]
    enter, leave = np.clip(before, low, high), np.clip(reached, low, high)
    # The part of a tie's slope that lies to the left of the middle of what is inside the range.
    width = reached - before
    share = np.divide((enter + leave) / 2 - before, width, out=np.zeros_like(width), where=width > 0)
    false = steps.above + steps.tied * share
    lost = np.einsum("ij,ij->i", leave - enter, false) / steps.negatives
    area = high - low - lost
    if not standardised:
        return np.asarray(area, dtype=np.float64)
    chance = high - low - (high**2 - low**2) / 2
    return np.asarray((1 + (area - chance) / (high - low - chance)) / 2, dtype=np.float64)


def average_precision_of_steps(steps: Steps) -> FloatArray:
    """Mean precision over the positives, each at the threshold that is its own score."""
    found = np.cumsum(steps.positive, axis=1)
    called = found + steps.above + steps.tied
    precision = np.divide(found, called, out=np.zeros_like(called), where=called > 0)
    return np.asarray(np.einsum("ij,ij->i", steps.positive, precision) / steps.positives, dtype=np.float64)


def step_at(steps: Steps, sensitivity: float) -> FloatArray:
    """Position of the highest threshold that reaches the sensitivity, as whole numbers."""
    wanted = (sensitivity * (1 - _ROUNDING)) * steps.positives
    return np.asarray((np.cumsum(steps.positive, axis=1) >= wanted[:, None]).argmax(axis=1))


def specificity_of_steps(steps: Steps, sensitivity: float) -> FloatArray:
    """Specificity at the highest threshold that reaches the sensitivity; that threshold is found in every replicate."""
    at, every = step_at(steps, sensitivity), np.arange(len(steps.above))
    tied = steps.tied[every, at if steps.tied.shape[1] > 1 else 0]
    found = 1 - (steps.above[every, at] + tied) / steps.negatives
    return np.where(steps.positives > 0, found, np.nan)


def auc(truth: FloatArray, values: FloatArray) -> Statistic:
    """Metric: area under the ROC curve."""
    ranking = Ranking(truth, values)
    return lambda weights: auc_of_steps(ranking.steps(weights))


def partial_auc(
    truth: FloatArray, values: FloatArray, *, low: float = HIGH_SENSITIVITY[0], high: float = HIGH_SENSITIVITY[1]
) -> Statistic:
    """Metric: standardised partial area under the ROC curve for a range of sensitivities."""
    check_range(low, high)
    ranking = Ranking(truth, values)
    return lambda weights: partial_auc_of_steps(ranking.steps(weights), low, high)


def average_precision(truth: FloatArray, values: FloatArray) -> Statistic:
    """Metric: area under the precision-recall curve, without interpolation."""
    ranking = Ranking(truth, values)
    return lambda weights: average_precision_of_steps(ranking.steps(weights))


def specificity(truth: FloatArray, values: FloatArray, *, sensitivity: float = SENSITIVITY) -> Statistic:
    """Metric: specificity at a sensitivity."""
    check_sensitivity(sensitivity)
    ranking = Ranking(truth, values)
    return lambda weights: specificity_of_steps(ranking.steps(weights), sensitivity)


def brier(truth: FloatArray, values: FloatArray) -> Statistic:
    """Metric: mean squared difference between probability and outcome."""
    errors = (values - truth) ** 2
    return lambda weights: np.asarray(weights @ errors / weights.sum(axis=1), dtype=np.float64)


def share(part: FloatArray, whole: FloatArray) -> Statistic:
    """Statistic: weight of ``part`` over weight of ``whole``, column by column.

    Parameters
    ----------
    part, whole : (n,) or (n, k) float64 array
        1 where a row counts in the numerator, in the denominator.
    """
    return lambda weights: np.asarray((weights @ part) / (weights @ whole), dtype=np.float64)


def check_range(low: float, high: float) -> None:
    """Refuse a range of sensitivities that is none.

    Raises
    ------
    ConfigError
        With the range.
    """
    if not 0 <= low < high <= 1:
        raise ConfigError(f"found sensitivities from {low} to {high}, expected 0 <= low < high <= 1, such as 0.9 to 1")


def check_sensitivity(sensitivity: float) -> None:
    """Refuse a sensitivity outside (0, 1].

    Raises
    ------
    ConfigError
        With the value.
    """
    if not 0 < sensitivity <= 1:
        raise ConfigError(f"found a sensitivity of {sensitivity}, expected a share above 0 and up to 1, such as 0.95")
