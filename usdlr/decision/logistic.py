"""A logistic regression with few, never negative slopes under a prior, for calibrators."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from usdlr.decision.arrays import FloatArray

# A model that ranks the tuning patients the wrong way round must not have its ranking turned by 20 to 60 of them.
SMALLEST_SLOPE = 0.01
_TOLERANCE = 1e-10
_MAX_STEPS = 200


def fit_slopes(columns: FloatArray, y: FloatArray, weight: FloatArray, prior: float) -> tuple[tuple[float, ...], float]:
    """Slopes, each at least ``SMALLEST_SLOPE``, and the intercept that minimise the penalised log loss.

    Parameters
    ----------
    columns : (n, k) float64 array
        What each slope multiplies; their mean slope of 1 is the prior's centre.
    y, weight : (n,) float64 array
        Labels, both classes present, and how often a row counts.
    prior : float
        Precision of the prior ``slope ~ Normal(1, 1 / prior)`` of each slope; 0 for none.
    """
    slopes = columns.shape[1]
    prevalence = float((weight * y).sum() / weight.sum())
    level = math.log(prevalence / (1 - prevalence))
    best: tuple[float, FloatArray] | None = None
    # Convexity: where the free optimum lies below a bound, the best allowed point has some slopes on their bounds.
    for held in range(slopes + 1):
        for bound in combinations(range(slopes), held):
            free = np.array([*(place not in bound for place in range(slopes)), True])
            start = np.where(free[:slopes], 1.0, SMALLEST_SLOPE)
            shift = level - float((weight * (columns[:, free[:slopes]]).sum(axis=1)).sum() / weight.sum())
            at, loss = _newton(columns, y, weight, prior, np.append(start, shift), free)
            if (at[:slopes] >= SMALLEST_SLOPE).all() and (best is None or loss < best[0]):
                best = loss, at
        if best is not None and held == 0:
            break
    assert best is not None  # with every slope on its bound, the point is allowed
    return tuple(map(float, best[1][:slopes])), float(best[1][slopes])


def _newton(
    columns: FloatArray,
    y: FloatArray,
    weight: FloatArray,
    prior: float,
    start: FloatArray,
    free: npt.NDArray[np.bool_],
) -> tuple[FloatArray, float]:
    """Damped Newton steps in the free coordinates, to the minimum of a convex loss."""
    design = np.column_stack([columns, np.ones(len(columns))])
    penalty = np.append(np.full(columns.shape[1], prior), 0.0)
    centre = np.append(np.ones(columns.shape[1]), 0.0)

    def loss(at: FloatArray) -> float:
        z = design @ at
        fit = (weight * np.logaddexp(0.0, z)).sum() - (weight * y * z).sum()
        return float(fit + 0.5 * (penalty * (at - centre) ** 2).sum())

    at, value = start, loss(start)
    for _ in range(_MAX_STEPS):
        p = expit(design @ at)
        gradient = design.T @ (weight * (p - y)) + penalty * (at - centre)
        hessian = (design * (weight * p * (1 - p))[:, None]).T @ design + np.diag(penalty)
        step = np.zeros(len(at))
        # The small ridge keeps the step finite where log-odds are constant or far out; it moves no optimum.
        curvature = hessian[np.ix_(free, free)]
        ridge = (1e-12 * np.trace(curvature) + 1e-200) * np.eye(int(free.sum()))
        step[free] = np.linalg.solve(curvature + ridge, gradient[free])
        size = 1.0
        while (after := loss(at - size * step)) > value and size > _TOLERANCE:
            size /= 2
        if not after < value:
            break
        at, value, done = at - size * step, after, bool(np.abs(size * step).max() < _TOLERANCE)
        if done:
            break
    return at, value
