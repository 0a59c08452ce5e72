"""How well probabilities agree with outcomes: Brier score, calibration slope, intercept, ratio and binned curve.

More is in :mod:`usdlr.evaluation.proper_scores` (log loss, scaled Brier score and its decomposition),
:mod:`usdlr.evaluation.calibration_error` (expected calibration errors) and
:mod:`usdlr.evaluation.calibration_smooth` (smooth curve, ICI, E50, E90).

There is no Hosmer-Lemeshow test: its P value depends on how patients are grouped, with few patients it misses gross
miscalibration and with many it rejects any model, and it tells neither direction nor size of what is wrong; TRIPOD+AI
and Van Calster et al., BMC Med 17 (2019), doi:10.1186/s12916-019-1466-7, ask for slope, intercept and curve instead.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from usdlr.decision.arrays import FloatArray, IntArray, scores
from usdlr.evaluation.intervals import Estimate, Z, undefined, wilson
from usdlr.evaluation.metrics import FEWEST, known_rows, no_classes, no_ranking
from usdlr.evaluation.resampling import FEWEST_PATIENTS, Patients, known_patients, patient_bootstrap

_NEWTON_STEPS = 100
_CONVERGED, _SMALLEST_STEP, _NO_INFORMATION = 1e-10, 1e-8, 1e-9
_EXTREME = "the probabilities are so close to 0 and 1 that the fit has no finite standard error"


def brier(
    y: npt.ArrayLike, probability: npt.ArrayLike, *, patients: npt.ArrayLike | None = None, seed: int = 0
) -> Estimate:
    """Mean squared difference between probability and outcome, with a percentile bootstrap interval.

    Parameters
    ----------
    y : (n,) array_like
        1 positive, 0 negative, NaN unknown.
    probability : (n,) array_like
        Probability of the positive class.
    patients : (n,) array_like, optional
        Whose axillae they are; the bootstrap draws patients. Without it, it draws axillae.
    seed : int
        Of the bootstrap; the same seed gives the same interval.

    References
    ----------
    Brier, Mon Weather Rev 78 (1950), doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.
    """
    truth, (values,), who = known_patients(
        y, patients, probability=scores(probability, "probability", probability=True)
    )
    if len(truth) < FEWEST:
        return undefined(len(truth), f"fewer than {FEWEST} axillae of known status")
    errors = (values - truth) ** 2
    return patient_bootstrap(lambda w: w @ errors / w.sum(axis=1), who, "mean squared error", seed=seed)


def calibration_slope(y: npt.ArrayLike, log_odds: npt.ArrayLike, *, patients: npt.ArrayLike | None = None) -> Estimate:
    """Slope of a logistic regression of the outcome on the log-odds; 1 is ideal, below 1 is overconfident.

    Parameters
    ----------
    y : (n,) array_like
        1 positive, 0 negative, NaN unknown.
    log_odds : (n,) array_like
        Predicted log-odds of the positive class, in nat.
    patients : (n,) array_like, optional
        Whose axillae they are; where a patient has several, the interval rests on the clustered sandwich variance.

    References
    ----------
    Cox, Biometrika 45 (1958), doi:10.1093/biomet/45.3-4.562. Van Calster et al., BMC Med 17 (2019),
    doi:10.1186/s12916-019-1466-7. Liang and Zeger, Biometrika 73 (1986) 13, doi:10.1093/biomet/73.1.13 (clusters).
    """
    truth, (values,), who = known_patients(y, patients, log_odds=log_odds)
    why = no_ranking(truth, values)
    if why:
        return undefined(len(truth), why)
    positive, negative = values[truth == 1], values[truth == 0]
    if positive.min() >= negative.max() or negative.min() >= positive.max():
        return undefined(len(truth), "the log-odds separate the classes completely")
    centre, scale = float(values.mean()), float(values.std())
    design = np.column_stack([(values - centre) / scale, np.ones_like(values)])
    at, error = _logistic(design, truth, np.zeros_like(values), who)
    if error is None:
        return undefined(len(truth), _EXTREME)
    slope, error = at / scale, error / scale
    method = f"logistic recalibration, Wald interval{_clustered(who)}"
    return Estimate(slope, slope - Z * error, slope + Z * error, len(truth), method)


def calibration_intercept(
    y: npt.ArrayLike, log_odds: npt.ArrayLike, *, patients: npt.ArrayLike | None = None
) -> Estimate:
    """Calibration-in-the-large: the shift of the log-odds, slope fixed at 1; 0 is ideal, below 0 risks are too high.

    Parameters
    ----------
    y, log_odds, patients : (n,) array_like
        As in :func:`calibration_slope`, which gives the references.
    """
    truth, (values,), who = known_patients(y, patients, log_odds=log_odds)
    why = no_classes(truth)
    if why:
        return undefined(len(truth), why)
    intercept, error = _logistic(np.ones((len(truth), 1)), truth, values, who)
    if error is None:
        return undefined(len(truth), _EXTREME)
    method = f"logistic recalibration with slope 1, Wald interval{_clustered(who)}"
    return Estimate(intercept, intercept - Z * error, intercept + Z * error, len(truth), method)


def observed_expected(y: npt.ArrayLike, probability: npt.ArrayLike) -> Estimate:
    """Positive axillae over the sum of the predicted risks; 1 is ideal, below 1 risks are too high on the whole.

    The interval is Wilson's of the share of positives, divided by the mean predicted risk.

    Parameters
    ----------
    y, probability : (n,) array_like
        As in :func:`brier`.

    Examples
    --------
    >>> observed_expected([0, 0, 0, 1], [0.5, 0.5, 0.5, 0.5]).value
    0.5
    """
    truth, (values,) = known_rows(y, probability=scores(probability, "probability", probability=True))
    if len(truth) < FEWEST:
        return undefined(len(truth), f"fewer than {FEWEST} axillae of known status")
    expected = float(values.mean())
    if expected == 0:
        return undefined(len(truth), "every predicted risk is 0")
    events = int(truth.sum())
    low, high = (end / expected for end in wilson(events, len(truth)))
    method = "observed over expected, Wilson interval of the observed share, predictions taken as fixed"
    return Estimate(events / len(truth) / expected, low, high, len(truth), method)


def calibration_curve(y: npt.ArrayLike, probability: npt.ArrayLike, *, bins: int = 10) -> pd.DataFrame:
    """Observed against predicted risk in bins of equal size.

    Parameters
    ----------
    y, probability : (n,) array_like
        As in :func:`brier`.
    bins : int
        Wanted number of bins; equal probabilities stay together, so there may be fewer.

    Returns
    -------
    DataFrame
        One row per bin: ``predicted`` (mean), ``observed`` (share positive), ``low high`` (95 % Wilson), ``events n``.

    Examples
    --------
    >>> calibration_curve([0, 1, 1, 1], [0.125, 0.25, 0.75, 0.875], bins=2)[["predicted", "observed", "n"]]
       predicted  observed  n
    0     0.1875       0.5  2
    1     0.8125       1.0  2
    """
    truth, (values,) = known_rows(y, probability=scores(probability, "probability", probability=True))
    rows = []
    if len(truth):
        member = groups_of(values, bins)
        for index in np.unique(member):
            chosen = member == index
            events, n = int(truth[chosen].sum()), int(chosen.sum())
            rows.append((float(values[chosen].mean()), events / n, *wilson(events, n), events, n))
    return pd.DataFrame(rows, columns=["predicted", "observed", "low", "high", "events", "n"])


def groups_of(values: FloatArray, bins: int) -> IntArray:
    """Group of every value: up to ``bins`` groups of equal size, equal values together; numbers rise with the values.

    Examples
    --------
    >>> groups_of(np.array([0.1, 0.2, 0.2, 0.9]), 2).tolist()
    [0, 0, 0, 1]
    """
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, values, side="left").astype(np.int64)


def _clustered(who: Patients) -> str:
    """What to add to a method whose interval takes a patient's axillae together; empty with one axilla each."""
    rows = len(who.of_row)
    return "" if who.count == rows else f", clustered by patient: {rows} axillae of {who.count} patients"


def _logistic(design: FloatArray, y: FloatArray, offset: FloatArray, who: Patients) -> tuple[float, float | None]:
    """First coefficient at maximum likelihood by damped Newton steps, and its standard error; both must exist.

    The error is None where the information vanishes, or where patients have several axillae and there are no three of
    them.
    """
    at = np.zeros(design.shape[1])

    def loss(beta: FloatArray) -> float:
        z = offset + design @ beta
        return float(np.logaddexp(0.0, z).sum() - (y * z).sum())

    def information(p: FloatArray) -> FloatArray:
        return np.asarray((design * (p * (1 - p))[:, None]).T @ design, dtype=np.float64)

    value = loss(at)
    for _ in range(_NEWTON_STEPS):
        p = expit(offset + design @ at)
        step = np.linalg.solve(information(p) + 1e-12 * np.eye(len(at)), design.T @ (p - y))
        size = 1.0
        while loss(at - size * step) > value and size > _SMALLEST_STEP:
            size /= 2
        at = at - size * step
        value = loss(at)
        if np.abs(step).max() < _CONVERGED:
            break
    final = information(expit(offset + design @ at))
    if np.linalg.eigvalsh(final)[0] < _NO_INFORMATION:
        return float(at[0]), None
    inverse = np.linalg.inv(final)
    if who.count == len(y):
        return float(at[0]), float(np.sqrt(inverse[0, 0]))
    if who.count < FEWEST_PATIENTS:
        return float(at[0]), None
    left = (y - expit(offset + design @ at))[:, None] * design
    pull = np.stack([who.total(column) for column in left.T])
    middle = pull @ pull.T * who.count / (who.count - 1)
    return float(at[0]), float(np.sqrt((inverse @ middle @ inverse)[0, 0]))
