"""One centre's shift and spread of every feature, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import DataError
from usdlr.radiomics.harmonise.centre_policy import Reason
from usdlr.radiomics.harmonise.combat import (
    ROUNDING,
    Bools,
    Floats,
    Integers,
    Moments,
    Prior,
    Scale,
    fit_scale,
    shrink_nonparametric,
    shrink_parametric,
)

Reasons: TypeAlias = npt.NDArray[np.str_]

# A spread cannot be had from fewer, be it patients of a centre, centres of a feature or features of a prior.
FEWEST = 2


@dataclass(frozen=True)
class Shrinkage:
    """How raw estimates are shrunk; the options of :class:`~usdlr.radiomics.harmonise.transformer.ComBat`."""

    parametric: bool
    eb: bool
    mean_only: bool
    tolerance: float


@dataclass(frozen=True)
class CentreEstimate:
    """What is taken out of one centre's rows.

    Parameters
    ----------
    shift, spread : ndarray, (features,)
        On the standardised scale; spread is a variance. 0 and 1 where a reason is given.
    raw_shift, raw_spread : ndarray, (features,)
        The same before shrinkage.
    reasons : ndarray of str, (features,)
        Why a feature is left as measured, empty where it is harmonised.
    """

    shift: Floats
    spread: Floats
    raw_shift: Floats
    raw_spread: Floats
    reasons: Reasons


def fit_centres(
    values: Floats,
    covariates: Floats,
    batch: Integers,
    person: Integers,
    shrinkage: Shrinkage,
    *,
    reference: int | None,
    least: int,
) -> tuple[Scale, list[CentreEstimate]]:
    """Fit the common scale, and every centre against it.

    Parameters
    ----------
    values, covariates : ndarray, (rows, features) and (rows, covariates)
        Training rows; a value that is not finite is missing.
    batch, person : ndarray of int, (rows,)
        Number of each row's centre, from 0 without gaps, and of its patient.
    shrinkage : Shrinkage
        How to shrink.
    reference : int or None
        Centre whose level and spread the others are given.
    least : int
        Centres that a feature must be estimated in.

    Raises
    ------
    DataError
        If no feature can be compared.
    """
    largest = largest_of(values)
    here = [np.flatnonzero(batch == c) for c in range(int(batch.max()) + 1)]
    reasons = np.stack([why_not(values[rows], person[rows], FEWEST, largest) for rows in here])
    if reference is not None:
        mark(reasons, reasons[reference] != "", Reason.NO_REFERENCE)
    mark(reasons, (reasons == "").sum(axis=0) < least, Reason.ONE_CENTRE)
    used = np.isfinite(values) & (reasons[batch] == "")
    scale, confounded = fit_scale(values, used, batch, covariates, reference)
    flat = used.any(axis=0) & ~confounded & (np.sqrt(scale.variance) <= ROUNDING * largest)
    mark(reasons, confounded, Reason.CONFOUNDED)
    mark(reasons, flat, Reason.NO_VARIANCE)
    scale = Scale(scale.mean, np.where(flat, 1.0, scale.variance), scale.effects)
    estimates = [
        estimate_centre(values[rows], covariates[rows], scale, reasons[c], shrinkage, reference=c == reference)
        for c, rows in enumerate(here)
    ]
    if not any((one.reasons == "").any() for c, one in enumerate(estimates) if c != reference or least == 1):
        raise DataError(
            f"found no feature that can be compared between the centres ({len(here)} of them), expected some with "
            f"values of at least {FEWEST} patients in two centres; leave harmonisation out"
        )
    return scale, estimates


def estimate_centre(
    values: Floats,
    covariates: Floats,
    scale: Scale,
    reasons: Reasons,
    shrinkage: Shrinkage,
    *,
    reference: bool = False,
    cloud: tuple[Floats, Floats] | None = None,
) -> CentreEstimate:
    """Estimate one centre against a given scale.

    Parameters
    ----------
    values, covariates : ndarray, (rows, features) and (rows, covariates)
        The centre's rows.
    scale : Scale
        Level, variance and covariates' effects to compare with.
    reasons : ndarray of str, (features,)
        What is already known not to be estimated.
    shrinkage : Shrinkage
        How to shrink.
    reference : bool
        Whether the centre is the reference, from which nothing is taken.
    cloud : tuple of ndarray, optional
        Raw shifts and spreads of other centres as a fixed prior; without it the centre's own features are the prior.
    """
    reasons = reasons.copy()
    moments = Moments.of(scale.standardised(values, covariates), np.isfinite(values) & (reasons == ""))
    mark(reasons, moments.variance <= ROUNDING**2, Reason.CONSTANT)
    if shrinkage.eb and cloud is None and not reference and (reasons == "").sum() < FEWEST:
        mark(reasons, np.ones(len(reasons), dtype=bool), Reason.NO_PRIOR)
    good = reasons == ""
    moments = moments.take(good)
    features = len(reasons)
    shift, spread, raw_shift, raw_spread = np.zeros(features), np.ones(features), np.zeros(features), np.ones(features)
    raw_shift[good] = moments.mean
    raw_spread[good] = 1.0 if shrinkage.mean_only else moments.variance
    if good.any() and not reference:
        shifts, spreads = raw_shift[good], raw_spread[good]
        if not shrinkage.eb:
            shift[good], spread[good] = shifts, spreads
        elif shrinkage.parametric:
            shift[good], spread[good] = shrink_parametric(
                moments,
                Prior.of(*(cloud or (shifts, spreads))),
                mean_only=shrinkage.mean_only,
                tolerance=shrinkage.tolerance,
            )
        else:
            shift[good], spread[good] = shrink_nonparametric(
                moments, *(cloud or (shifts, spreads)), leave_out=cloud is None
            )
    return CentreEstimate(shift, spread, raw_shift, raw_spread, reasons)


def adapt_centre(
    values: Floats,
    covariates: Floats,
    person: Integers,
    scale: Scale,
    trained: Bools,
    shrinkage: Shrinkage,
    *,
    fewest: int,
    cloud: tuple[Floats, Floats] | None,
) -> CentreEstimate:
    """Estimate a centre that training did not have against the scale of training.

    Parameters
    ----------
    values, covariates, person : ndarray
        Its sample, as in :func:`fit_centres`.
    scale : Scale
        Of training.
    trained : ndarray of bool, (features,)
        Which features were harmonised in training.
    shrinkage : Shrinkage
        How to shrink.
    fewest : int
        Patients with a value that are needed.
    cloud : tuple of ndarray or None
        As in :func:`estimate_centre`.
    """
    reasons = no_reasons((len(trained),))
    mark(reasons, ~trained, Reason.NOT_TRAINED)
    reasons = np.where(reasons == "", why_not(values, person, fewest, largest_of(values)), reasons)
    return estimate_centre(values, covariates, scale, reasons, shrinkage, cloud=cloud)


def why_not(values: Floats, person: Integers, fewest: int, largest: Floats) -> Reasons:
    """Why each feature of one centre cannot be estimated, empty where it can: (features,).

    Parameters
    ----------
    values : ndarray, (rows, features)
        The centre's rows.
    person : ndarray of int, (rows,)
        Whose rows they are: several images of one patient say nothing about the spread between patients.
    fewest : int
        Patients with a value that are needed.
    largest : ndarray, (features,)
        Size of the feature's values, to judge rounding by.
    """
    finite = np.isfinite(values)
    own = np.unique(person, return_inverse=True)[1]
    has = np.zeros((int(own.max(initial=0)) + 1, values.shape[1]), dtype=bool)
    np.logical_or.at(has, own, finite)
    low = np.where(finite, values, np.inf).min(axis=0, initial=np.inf)
    high = np.where(finite, values, -np.inf).max(axis=0, initial=-np.inf)
    reasons = no_reasons((values.shape[1],))
    mark(reasons, has.sum(axis=0) < fewest, Reason.TOO_FEW)
    mark(reasons, high - low <= ROUNDING * largest, Reason.CONSTANT)
    return reasons


def largest_of(values: Floats) -> Floats:
    """Largest finite absolute value of each feature, (features,)."""
    largest: Floats = np.where(np.isfinite(values), np.abs(values), 0.0).max(axis=0, initial=0.0)
    return largest


def no_reasons(shape: tuple[int, ...]) -> Reasons:
    """An empty table of reasons."""
    return np.full(shape, "", dtype=f"<U{max(map(len, Reason))}")


def mark(reasons: Reasons, features: Bools, reason: Reason) -> None:
    """Give a reason, in place, where there is none yet."""
    reasons[(reasons == "") & features] = str(reason)
