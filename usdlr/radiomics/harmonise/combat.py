"""The arithmetic of ComBat on arrays: standardise, estimate each centre's shift and spread, shrink, adjust.

The model of feature *f* in row *i* of centre *c* is ``x = a_f + z_i b_f + s_f (g_cf + d_cf e)``: an overall level, the
covariates' effect, and per centre an additive (``g``) and a multiplicative (``d``) effect. Every function leaves out
what is missing, feature by feature, and needs nothing beyond count, mean and sum of squares of a centre.

References
----------
Johnson, Li, Rabinovic. Adjusting batch effects in microarray expression data using empirical Bayes methods.
Biostatistics 2007;8:118. doi:10.1093/biostatistics/kxj037
Fortin et al. Harmonization of multi-site diffusion tensor imaging data. NeuroImage 2017;161:149.
doi:10.1016/j.neuroimage.2017.08.047
Fortin et al. Harmonization of cortical thickness measurements across scanners and sites. NeuroImage 2018;167:104.
doi:10.1016/j.neuroimage.2017.11.024
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import DataError

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Integers: TypeAlias = npt.NDArray[np.intp]

# Spread below this share of a value's size is rounding, not variation.
ROUNDING = 1e-9
# Share of a covariate that has to be left once centre and earlier covariates are taken out of it.
INDEPENDENT = 1e-8
# Iterations after which the parametric estimate is given up; tens are usual.
PATIENCE = 10_000
# Largest block of the feature-by-feature likelihood, in numbers.
BLOCK = 4_000_000


@dataclass(frozen=True)
class Scale:
    """The scale on which centres are compared.

    Parameters
    ----------
    mean : ndarray, (features,)
        Overall level where all covariates are 0: mean over centres, weighted by their rows, or of the reference centre.
    variance : ndarray, (features,)
        Mean squared residual around centre and covariates, of all rows or of the reference centre.
    effects : ndarray, (covariates, features)
        Change of the feature per unit of each encoded covariate.
    """

    mean: Floats
    variance: Floats
    effects: Floats

    def expected(self, covariates: Floats) -> Floats:
        """What the model expects without any effect of the centre: (rows, features)."""
        expected: Floats = self.mean + covariates @ self.effects
        return expected

    def standardised(self, values: Floats, covariates: Floats) -> Floats:
        """Values in standard deviations from what the model expects: (rows, features)."""
        standardised: Floats = (values - self.expected(covariates)) / np.sqrt(self.variance)
        return standardised


@dataclass(frozen=True)
class Moments:
    """What one centre's standardised rows say about each feature, missing ones left out.

    Parameters
    ----------
    count, mean, squares : ndarray, (features,)
        Number of values, their mean, and their sum of squares around that mean.
    """

    count: Floats
    mean: Floats
    squares: Floats

    @classmethod
    def of(cls, standardised: Floats, used: Bools) -> Moments:
        """Moments of the rows where ``used`` holds; 0 where there is none."""
        count = used.sum(axis=0).astype(np.float64)
        mean = np.where(used, standardised, 0.0).sum(axis=0) / np.maximum(count, 1.0)
        squares = np.where(used, (np.where(used, standardised, 0.0) - mean) ** 2, 0.0).sum(axis=0)
        return cls(count, mean, squares)

    @property
    def variance(self) -> Floats:
        """Unbiased variance, (features,)."""
        variance: Floats = self.squares / np.maximum(self.count - 1.0, 1.0)
        return variance

    def take(self, features: Bools) -> Moments:
        """The moments of some features."""
        return Moments(self.count[features], self.mean[features], self.squares[features])


@dataclass(frozen=True)
class Prior:
    """How shifts and spreads are distributed over features: normal and inverse gamma, by their first two moments."""

    shift_mean: float
    shift_variance: float
    spread_mean: float
    spread_variance: float

    @classmethod
    def of(cls, shift: Floats, spread: Floats) -> Prior:
        """The moments of raw estimates; at least two of each."""
        return cls(float(shift.mean()), float(shift.var(ddof=1)), float(spread.mean()), float(spread.var(ddof=1)))


def dependent_covariate(covariates: Floats, batch: Integers) -> tuple[int, str] | None:
    """The first covariate that cannot be told from the centre, or from the covariates before it.

    Parameters
    ----------
    covariates : ndarray, (rows, covariates)
        Encoded covariates.
    batch : ndarray, (rows,)
        Number of each row's centre.

    Returns
    -------
    tuple of (int, str) or None
        Its position and ``constant``, ``centre`` or ``covariates``; None where each has an effect of its own.
    """
    within = _centred(covariates, batch)[0]
    whole = covariates - covariates.mean(axis=0)
    for position in range(covariates.shape[1]):
        size = float(np.linalg.norm(whole[:, position]))
        if size <= ROUNDING * float(np.linalg.norm(covariates[:, position])):
            return position, "constant"
        column, before = within[:, position], within[:, :position]
        if float(np.linalg.norm(column)) <= INDEPENDENT * size:
            return position, "centre"
        left = column - before @ np.linalg.lstsq(before, column, rcond=None)[0] if position else column
        if float(np.linalg.norm(left)) <= INDEPENDENT * size:
            return position, "covariates"
    return None


def fit_scale(
    values: Floats, used: Bools, batch: Integers, covariates: Floats, reference: int | None
) -> tuple[Scale, Bools]:
    """Least squares of every feature on centre and covariates, over the rows that have the feature.

    Parameters
    ----------
    values : ndarray, (rows, features)
        Measured values.
    used : ndarray of bool, (rows, features)
        Which of them count.
    batch : ndarray of int, (rows,)
        Number of each row's centre.
    covariates : ndarray, (rows, covariates)
        Encoded covariates; no column where none is kept.
    reference : int or None
        Centre whose level and spread the others are given.

    Returns
    -------
    Scale
        Mean 0, variance 1 and no effect where nothing could be estimated.
    ndarray of bool, (features,)
        Features whose rows do not tell a covariate from the centre.
    """
    features = values.shape[1]
    mean, variance = np.zeros(features), np.ones(features)
    effects = np.zeros((covariates.shape[1], features))
    confounded = np.zeros(features, dtype=bool)
    for rows, members in _patterns(used):
        block, groups, kept = values[np.ix_(rows, members)], batch[rows], covariates[rows]
        if kept.shape[1] and dependent_covariate(kept, groups) is not None:
            confounded[members] = True
            continue
        # Within centres the intercepts are gone: a small, well-conditioned problem with the same solution.
        within, levels = _centred(block, groups)
        residual = within
        if kept.shape[1]:
            free, shift = _centred(kept, groups)
            size = np.linalg.norm(free, axis=0)
            slope = np.linalg.lstsq(free / size, within, rcond=None)[0] / size[:, None]
            residual, levels = within - free @ slope, levels - shift @ slope
            effects[:, members] = slope
        present, counts = np.unique(groups, return_counts=True)
        if reference is None:
            mean[members] = (counts / len(rows)) @ levels
            variance[members] = (residual**2).mean(axis=0)
        else:
            mean[members] = levels[present == reference][0]
            variance[members] = (residual[groups == reference] ** 2).mean(axis=0)
    return Scale(mean, variance, effects), confounded


def shrink_parametric(moments: Moments, prior: Prior, *, mean_only: bool, tolerance: float) -> tuple[Floats, Floats]:
    """Posterior shift and spread under a normal and an inverse gamma prior.

    Parameters
    ----------
    moments : Moments
        One centre's.
    prior : Prior
        What the features of that centre have in common.
    mean_only : bool
        Estimate the shift alone.
    tolerance : float
        Relative change at which the two conditional modes, taken in turn, count as settled.

    Returns
    -------
    shift, spread : ndarray, (features,)
        ``spread`` is a variance.

    Raises
    ------
    DataError
        If they do not settle.
    """
    if mean_only:
        # As in the published programs: one observation of unit variance, however many rows there are.
        one = np.ones_like(moments.mean)
        return _posterior_shift(moments.mean, one, one, prior), one
    shift, spread = moments.mean, moments.variance
    for _ in range(PATIENCE):
        new_shift = _posterior_shift(moments.mean, moments.count, spread, prior)
        new_spread = _posterior_spread(
            moments.squares + moments.count * (moments.mean - new_shift) ** 2, moments, prior
        )
        change = max(_change(new_shift, shift), _change(new_spread, spread))
        shift, spread = new_shift, new_spread
        if not change > tolerance:
            return shift, spread
    raise DataError(
        f"found no stable shift and spread after {PATIENCE} iterations, expected tens; "
        "raise tolerance or choose parametric=False"
    )


def shrink_nonparametric(
    moments: Moments, shifts: Floats, spreads: Floats, *, leave_out: bool
) -> tuple[Floats, Floats]:
    """Posterior mean shift and spread when the prior is the cloud of raw estimates itself.

    Parameters
    ----------
    moments : Moments
        One centre's.
    shifts, spreads : ndarray, (points,)
        The cloud: raw estimates of features.
    leave_out : bool
        Whether point *i* is feature *i*, which then does not judge itself.

    Returns
    -------
    shift, spread : ndarray, (features,)
    """
    features, points = len(moments.mean), len(shifts)
    shift, spread = np.empty(features), np.empty(features)
    step = max(1, BLOCK // points)
    for start in range(0, features, step):
        own = np.arange(start, min(start + step, features))
        count, mean, squares = (part[own, None] for part in (moments.count, moments.mean, moments.squares))
        squared = squares + count * (mean - shifts) ** 2
        weight = -0.5 * count * np.log(2.0 * np.pi * spreads) - squared / (2.0 * spreads)
        if leave_out:
            weight[np.arange(len(own)), own] = -np.inf
        # In logarithms: with some hundred rows the likelihood itself is too small for a float.
        weight = np.exp(weight - weight.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        shift[own], spread[own] = weight @ shifts, weight @ spreads
    return shift, spread


def adjust(values: Floats, covariates: Floats, scale: Scale, shift: Floats, spread: Floats) -> Floats:
    """Take one centre's shift and spread out of its rows; missing values stay missing.

    Parameters
    ----------
    values : ndarray, (rows, features)
        Rows of one centre.
    covariates : ndarray, (rows, covariates)
        Encoded covariates, whose effect is put back unchanged.
    scale : Scale
        From training.
    shift, spread : ndarray, (features,)
        The centre's; ``spread`` is a variance.
    """
    expected = scale.expected(covariates)
    deviation = np.sqrt(scale.variance)
    adjusted: Floats = ((values - expected) / deviation - shift) / np.sqrt(spread) * deviation + expected
    return adjusted


def _centred(values: Floats, batch: Integers) -> tuple[Floats, Floats]:
    """Values less the mean of their centre, and those means in the order of the centres' numbers."""
    _, place = np.unique(batch, return_inverse=True)
    means = np.stack([values[place == k].mean(axis=0) for k in range(int(place.max()) + 1)])
    return values - means[place], means


def _patterns(used: Bools) -> Iterator[tuple[Integers, Integers]]:
    """Rows and features of each pattern of missing values: one regression serves all features that share it."""
    patterns, member = np.unique(used, axis=1, return_inverse=True)
    for number in range(patterns.shape[1]):
        rows = np.flatnonzero(patterns[:, number])
        if len(rows):
            yield rows, np.flatnonzero(member.reshape(-1) == number)


def _posterior_shift(mean: Floats, count: Floats, spread: Floats, prior: Prior) -> Floats:
    weight = prior.shift_variance * count
    shift: Floats = (weight * mean + spread * prior.shift_mean) / (weight + spread)
    return shift


def _posterior_spread(squares: Floats, moments: Moments, prior: Prior) -> Floats:
    m, v = prior.spread_mean, prior.spread_variance
    if v <= (ROUNDING * m) ** 2:  # all features alike: the prior's limit is a point
        return np.full_like(squares, m)
    shape, rate = (2.0 * v + m**2) / v, (m * v + m**3) / v
    spread: Floats = (0.5 * squares + rate) / (0.5 * moments.count + shape - 1.0)
    return spread


def _change(new: Floats, old: Floats) -> float:
    """Largest change relative to the signed old value.

    The published programs (sva, neuroCombat) leave out the sign's removal, so that negative shifts never delay the
    end; the same rule is needed to stop after the same number of iterations.
    """
    moved = np.abs(new - old)
    ratio = np.where(moved > 0, np.inf, 0.0)
    np.divide(moved, old, out=ratio, where=old != 0)
    return float(ratio.max())
