"""Agreement of two raters' classes, of many raters' classes, and of two measurements of the same thing.

Intraclass correlations are in :mod:`usdlr.core.agreement`; :func:`measurement_agreement` puts them beside Bland and
Altman's limits.

References
----------
Cohen, Educ Psychol Meas 20 (1960) 37, doi:10.1177/001316446002000104, and Psychol Bull 70 (1968) 213,
doi:10.1037/h0026256. Fleiss, Cohen and Everitt, Psychol Bull 72 (1969) 323, doi:10.1037/h0028106. Fleiss, Psychol Bull
76 (1971) 378, doi:10.1037/h0031619. Bland and Altman, Lancet 327 (1986) 307, doi:10.1016/S0140-6736(86)90837-8, and
Stat Methods Med Res 8 (1999) 135, doi:10.1177/096228029900800204.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from usdlr.core.agreement import Agreement, Form, intraclass_correlation
from usdlr.core.errors import ConfigError, InputError
from usdlr.decision.arrays import FloatArray
from usdlr.evaluation.intervals import LEVEL, Estimate, Z, undefined
from usdlr.evaluation.resampling import REPLICATES, Patients, patient_bootstrap, patient_bootstraps, patients

Weights = Literal["none", "linear", "quadratic"]
_POWER = {"none": 0, "linear": 1, "quadratic": 2}
_CERTAIN = 1e-12


def cohen_kappa(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    classes: int,
    weights: Weights = "none",
    patient: npt.ArrayLike | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Estimate:
    """Cohen's kappa of two raters, with its interval.

    Parameters
    ----------
    first, second : (n,) array_like
        Classes as whole numbers from 0 to ``classes - 1``; NaN where a rater gave none, and the row is left out.
    classes : int
        At least 2; a class that nobody used changes the weights of an ordered scale.
    weights : {"none", "linear", "quadratic"}
        How a disagreement grows with the distance between classes: not at all, with it, with its square.
    patient : (n,) array_like or None
        Whose row it is, for a patient bootstrap interval; None for the large-sample interval of Fleiss, Cohen and
        Everitt, which takes rows as independent.
    replicates, seed
        As in :func:`usdlr.evaluation.resampling.patient_bootstraps`.

    Returns
    -------
    Estimate
        Undefined where both raters gave all rows one class: chance alone then agrees.

    Raises
    ------
    ConfigError
        If there are fewer than two classes, or the weights are of another kind.
    InputError
        If a value is no class.

    Examples
    --------
    >>> round(cohen_kappa([0, 0, 1, 1], [0, 1, 1, 1], classes=2).value, 3)
    0.5
    """
    agree = _agreement_weights(classes, weights)
    ours, theirs = ratings(first, classes, "first"), ratings(second, classes, "second")
    if len(ours) != len(theirs):
        raise InputError(f"found {len(ours)} and {len(theirs)} ratings, expected as many; align them")
    rated = ~(np.isnan(ours) | np.isnan(theirs))
    row, column = ours[rated].astype(np.int64), theirs[rated].astype(np.int64)
    n = len(row)
    name = {"none": "kappa"}.get(weights, f"kappa, {weights} weights")
    if not n:
        return undefined(0, "no rows with both ratings")
    cell = row * classes + column

    def statistic(drawn: FloatArray) -> FloatArray:
        tables = np.empty((len(drawn), classes**2))
        for counts, line in zip(tables, drawn, strict=True):
            counts[:] = np.bincount(cell, weights=line, minlength=classes**2)
        return _kappa(tables.reshape(-1, classes, classes), agree)

    value = float(statistic(np.ones((1, n)))[0])
    if not np.isfinite(value):
        return undefined(n, f"{name}: both raters gave one and the same class throughout")
    if patient is not None:
        who = _those(patient, rated)
        return patient_bootstrap(statistic, who, name, replicates=replicates, seed=seed)
    table = np.bincount(cell, minlength=classes**2).reshape(classes, classes) / n
    error = _kappa_error(table, agree, value, n)
    if error <= _CERTAIN:
        return Estimate(value, None, None, n, f"{name}, no interval: its large-sample variance is zero")
    method = f"{name}, large-sample interval (Fleiss, Cohen and Everitt)"
    return Estimate(value, max(-1.0, value - Z * error), min(1.0, value + Z * error), n, method)


def fleiss_kappa(
    classes_given: npt.ArrayLike,
    *,
    classes: int,
    patient: npt.ArrayLike | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Estimate:
    """Fleiss's kappa of several raters, who need not be the same for every row, with a patient bootstrap interval.

    Parameters
    ----------
    classes_given : (n, raters) array_like
        Classes as whole numbers from 0 to ``classes - 1``. Rows with a missing rating are left out.
    classes : int
        At least 2.
    patient : (n,) array_like or None
        Whose row it is; None: every row is a patient of its own.
    replicates, seed
        As in :func:`usdlr.evaluation.resampling.patient_bootstraps`.

    Raises
    ------
    ConfigError
        If there are fewer than two classes.
    InputError
        If there are fewer than two raters, or a value is no class.

    Examples
    --------
    >>> round(fleiss_kappa([[0, 0, 0], [1, 1, 1], [0, 0, 1], [1, 1, 0]], classes=2).value, 3)
    0.333
    """
    _agreement_weights(classes, "none")
    table = np.asarray(classes_given, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise InputError(f"found ratings of shape {table.shape}, expected (rows, raters) with at least 2 raters")
    rated = np.asarray(~np.isnan(ratings(table.ravel(), classes, "ratings").reshape(table.shape)).any(axis=1))
    given = table[rated].astype(np.int64)
    n, raters = given.shape
    if not n:
        return undefined(0, "no rows with all ratings")
    counts = np.stack([(given == name).sum(axis=1) for name in range(classes)], axis=1).astype(np.float64)
    agreed = (counts**2).sum(axis=1) - raters
    columns = np.column_stack([agreed / (raters * (raters - 1)), counts / raters])

    def statistic(weights: FloatArray) -> FloatArray:
        means = weights @ columns / weights.sum(axis=1)[:, None]
        chance = (means[:, 1:] ** 2).sum(axis=1)
        left = np.where(1 - chance > _CERTAIN, 1 - chance, np.nan)
        return np.asarray((means[:, 0] - chance) / left, dtype=np.float64)

    name = f"Fleiss's kappa of {raters} raters"
    if not np.isfinite(statistic(np.ones((1, n)))[0]):
        return undefined(n, f"{name}: all ratings are one class")
    who = patients(np.arange(n)) if patient is None else _those(patient, rated)
    return patient_bootstrap(statistic, who, name, replicates=replicates, seed=seed)


@dataclass(frozen=True)
class MeasurementAgreement:
    """Two measurements of the same things, in their own unit.

    Parameters
    ----------
    bias : Estimate
        Mean of first minus second.
    sd : float or None
        Standard deviation of the differences.
    lower, upper : Estimate
        Limits of agreement: 95 of 100 differences lie between them if differences are normal and do not grow with size.
    slope : float or None
        Change of the difference per unit of the pair's mean; far from 0, the limits are too wide at one end and too
        narrow at the other.
    absolute, consistency : Agreement
        Intraclass correlations ICC(2,1) and ICC(3,1).
    """

    bias: Estimate
    sd: float | None
    lower: Estimate
    upper: Estimate
    slope: float | None
    absolute: Agreement
    consistency: Agreement

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "bias": self.bias.as_dict(),
            "sd": self.sd,
            "lower": self.lower.as_dict(),
            "upper": self.upper.as_dict(),
            "slope": self.slope,
            "icc_absolute": self.absolute.as_dict(),
            "icc_consistency": self.consistency.as_dict(),
        }


def measurement_agreement(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    patient: npt.ArrayLike | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> MeasurementAgreement:
    """Bland and Altman's limits of agreement with intervals, and intraclass correlations.

    Parameters
    ----------
    first, second : (n,) array_like
        Measurements in one unit; a pair with a missing or infinite one is left out.
    patient : (n,) array_like or None
        Whose pair it is, for patient bootstrap intervals; None for those of independent normal differences.
    replicates, seed
        As in :func:`usdlr.evaluation.resampling.patient_bootstraps`.

    Examples
    --------
    >>> found = measurement_agreement([1.0, 2.0, 3.0, 4.0], [1.5, 1.5, 3.5, 3.5])
    >>> found.bias.value, round(found.upper.value, 3)
    (0.0, 1.132)
    """
    pairs = [np.asarray(values, dtype=np.float64) for values in (first, second)]
    if pairs[0].ndim != 1 or pairs[0].shape != pairs[1].shape:
        raise InputError(f"found shapes {pairs[0].shape} and {pairs[1].shape}, expected two columns of one length")
    measured = np.isfinite(pairs[0]) & np.isfinite(pairs[1])
    ours, theirs = (values[measured] for values in pairs)
    cells = np.stack([ours, theirs], axis=1)
    correlations = [intraclass_correlation(cells, form)[0] for form in (Form.AGREEMENT, Form.CONSISTENCY)]
    difference, mean, n = ours - theirs, (ours + theirs) / 2, len(ours)
    if n < 3:
        none = undefined(n, "fewer than 3 pairs")
        return MeasurementAgreement(none, None, none, none, None, *correlations)
    sd, centre = float(difference.std(ddof=1)), float(difference.mean())
    slope = float(np.polyfit(mean - mean.mean(), difference, 1)[0]) if np.ptp(mean) > 0 else None
    names = ["mean difference", "lower limit of agreement", "upper limit of agreement"]
    if patient is not None:
        columns = np.stack([difference - centre, (difference - centre) ** 2], axis=1)

        def statistic(weights: FloatArray) -> FloatArray:
            first_moment, second_moment = (weights @ columns / weights.sum(axis=1)[:, None]).T
            spread = Z * np.sqrt(np.maximum(second_moment - first_moment**2, 0) * n / (n - 1))
            at = centre + first_moment
            return np.stack([at, at - spread, at + spread], axis=1)

        who = _those(patient, measured)
        found = patient_bootstraps(statistic, who, names, replicates=replicates, seed=seed)
    else:
        quantile = float(student.ppf(0.5 + LEVEL / 2, n - 1))
        of_limit = sd * (1 / n + Z**2 / (2 * (n - 1))) ** 0.5
        errors = [sd / n**0.5, of_limit, of_limit]
        values = [centre, centre - Z * sd, centre + Z * sd]
        found = [
            Estimate(value, value - quantile * error, value + quantile * error, n, f"{name}, Student's t interval")
            for value, error, name in zip(values, errors, names, strict=True)
        ]
    return MeasurementAgreement(found[0], sd, found[1], found[2], slope, *correlations)


def ratings(values: npt.ArrayLike, classes: int, what: str) -> FloatArray:
    """A column of classes as numbers: whole, from 0 to ``classes - 1``, or NaN for none.

    Raises
    ------
    InputError
        If the array has another shape, or a value is no class.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise InputError(f"found {what} of shape {array.shape}, expected one class per row; pass one column")
    wrong = ~np.isnan(array) & ((array != np.rint(array)) | (array < 0) | (array >= classes))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"found {what} = {array[row]} in row {row}, expected a class from 0 to {classes - 1} or NaN")
    return array


def _those(patient: npt.ArrayLike, kept: npt.NDArray[np.bool_]) -> Patients:
    who = patients(patient)
    if len(who.of_row) != len(kept):
        raise InputError(f"found {len(who.of_row)} patients for {len(kept)} rows, expected one each; align them")
    names, of_row = np.unique(who.of_row[kept], return_inverse=True)
    return Patients(of_row.astype(np.int64), len(names))


def _agreement_weights(classes: int, weights: Weights) -> FloatArray:
    if classes < 2 or weights not in _POWER:
        raise ConfigError(
            f"found {classes} classes and {weights!r} weights, expected 2 or more and {', '.join(_POWER)}"
        )
    distance = np.abs(np.subtract.outer(np.arange(classes), np.arange(classes))) / (classes - 1)
    return np.asarray(1 - distance ** _POWER[weights] if weights != "none" else distance == 0, dtype=np.float64)


def _kappa(tables: FloatArray, agree: FloatArray) -> FloatArray:
    """Kappa of each table, shape (b, classes, classes), of counts."""
    total = tables.sum(axis=(1, 2))
    observed = (tables * agree).sum(axis=(1, 2)) / total
    chance = np.einsum("bi,ij,bj->b", tables.sum(axis=2), agree, tables.sum(axis=1)) / total**2
    left = np.where(1 - chance > _CERTAIN, 1 - chance, np.nan)
    return np.asarray((observed - chance) / left, dtype=np.float64)


def _kappa_error(table: FloatArray, agree: FloatArray, kappa: float, n: int) -> float:
    """Large-sample standard error for a table of shares."""
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    chance = float(rows @ agree @ columns)
    mean = np.add.outer(agree @ columns, rows @ agree)
    inside = float((table * (agree - mean * (1 - kappa)) ** 2).sum()) - (kappa - chance * (1 - kappa)) ** 2
    return float(np.sqrt(max(inside, 0.0) / n) / (1 - chance))
