"""Agreement of repeated measurements: intraclass correlations with intervals, and repeatability, for many features.

A subject is measured once by every rater. A rater is a reader, a view, or a perturbed outline: whatever was repeated.

References
----------
Shrout and Fleiss, Psychological Bulletin 86 (1979) 420, doi:10.1037/0033-2909.86.2.420.
McGraw and Wong, Psychological Methods 1 (1996) 30, doi:10.1037/1082-989X.1.1.30, with the correction in 1 (1996) 390.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import f as f_distribution

from usdlr.core.errors import ConfigError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

LEVEL = 0.95
# Values that agree to nine digits differ by rounding, not by anything that was measured.
SAME = 1e-9
# Features worked on at a time: what is needed beside the input stays small however many there are.
BLOCK = 256
# Two measurements of one subject differ by less than this many within-subject standard deviations in 95 of 100 pairs.
REPEATABILITY = 1.96 * 2.0**0.5


class Form(StrEnum):
    """Which intraclass correlation: single rater, subjects drawn at random."""

    AGREEMENT = "ICC(2,1)"
    CONSISTENCY = "ICC(3,1)"


METHODS = {
    Form.AGREEMENT: "two-way random effects, absolute agreement, single rater; interval of McGraw and Wong",
    Form.CONSISTENCY: "two-way mixed effects, consistency, single rater; interval from the F distribution",
}


@dataclass(frozen=True)
class Agreement:
    """One intraclass correlation.

    Parameters
    ----------
    value : float or None
        The estimate, at most 1 and negative where raters disagree more than subjects differ; None where not
        estimable, and ``method`` says why.
    low, high : float or None
        Ends of the interval; None where not estimable.
    subjects : int
        Subjects that every rater measured: those that count.
    left_out : int
        Subjects that some rater did not measure.
    raters : int
        Measurements per subject.
    method : str
        Form and interval, or the reason why there is no estimate.
    """

    value: float | None
    low: float | None
    high: float | None
    subjects: int
    left_out: int
    raters: int
    method: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, in the keys that every estimate has; ``n`` is the number of subjects."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "n": self.subjects,
            "method": self.method,
            "left_out": self.left_out,
            "raters": self.raters,
        }


@dataclass(frozen=True, eq=False)
class Agreements:
    """Intraclass correlations of many features.

    Parameters
    ----------
    form : Form
        Which one.
    level : float
        Confidence level of the intervals.
    value, low, high : float array, (features,)
        Estimates and ends of their intervals; not-a-number exactly where ``reason`` is not empty.
    subjects, left_out : int array, (features,)
        Subjects that every rater measured, and those that some rater did not.
    raters : int
        Measurements per subject.
    reason : tuple of str
        Per feature, why there is no estimate; empty where there is one.
    """

    form: Form
    level: float
    value: Floats
    low: Floats
    high: Floats
    subjects: Integers
    left_out: Integers
    raters: int
    reason: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, position: int) -> Agreement:
        """The estimate of one feature."""
        counts = int(self.subjects[position]), int(self.left_out[position]), self.raters
        if self.reason[position]:
            return Agreement(None, None, None, *counts, f"not estimable: {self.reason[position]}")
        value, low, high = (float(values[position]) for values in (self.value, self.low, self.high))
        return Agreement(value, low, high, *counts, f"{self.form}, {METHODS[self.form]}, {100 * self.level:g} %")

    def __iter__(self) -> Iterator[Agreement]:
        return (self[position] for position in range(len(self)))


def intraclass_correlation(values: npt.ArrayLike, form: Form, *, level: float = LEVEL) -> Agreements:
    """Intraclass correlation of every feature, with its interval.

    A subject counts for a feature when every rater's value is finite; the others are counted in ``left_out``. Raters
    who agree to the last digit have the correlation 1 with the interval from 1 to 1, as the formulae have it.

    Parameters
    ----------
    values : array, (subjects, raters) or (subjects, raters, features)
        Measurements.
    form : Form
        ``ICC(2,1)``: raters stand for others like them, and a rater who measures more than the rest disagrees;
        ``ICC(3,1)``: these raters alone, their constant differences forgiven.
    level : float
        Confidence level, between 0 and 1.

    Returns
    -------
    Agreements
        One per feature. A feature that does not vary, or that fewer than 2 subjects and 2 raters measured, has no
        estimate but a reason.

    Raises
    ------
    ConfigError
        If the level is not between 0 and 1.
    ValueError
        If the array has another number of axes.

    References
    ----------
    Shrout and Fleiss (1979), doi:10.1037/0033-2909.86.2.420; McGraw and Wong (1996), doi:10.1037/1082-989X.1.1.30.

    Examples
    --------
    >>> judges = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    >>> [round(float(intraclass_correlation(judges, form).value[0]), 2) for form in Form]
    [0.29, 0.71]
    """
    if not 0 < level < 1:
        raise ConfigError(f"found a confidence level of {level}, expected a number between 0 and 1, such as 0.95")
    cells = _cells(values)
    total, raters, features = cells.shape
    value, low, high = (np.full(features, np.nan) for _ in range(3))
    subjects = np.zeros(features, dtype=np.int64)
    reasons: list[str] = []
    for start in range(0, features, BLOCK):
        block = slice(start, start + BLOCK)
        squares = _mean_squares(cells[..., block])
        subjects[block] = squares.subjects
        estimate = _agreement if form == Form.AGREEMENT else _consistency
        found = estimate(squares, raters, 1 - level)
        reason = _reasons(squares, raters, found[0])
        for target, source in zip((value, low, high), found, strict=True):
            # Rounding can lift what is 1 by a last digit.
            target[block] = np.where([bool(why) for why in reason], np.nan, np.minimum(source, 1.0))
        reasons += reason
    return Agreements(form, level, value, low, high, subjects, total - subjects, raters, tuple(reasons))


@dataclass(frozen=True, eq=False)
class Repeatability:
    """How far repeated measurements of one subject scatter, for many features.

    Parameters
    ----------
    within_sd : float array, (features,)
        Within-subject standard deviation in the feature's unit; not-a-number where fewer than 2 subjects or 2 raters.
    coefficient : float array, (features,)
        Repeatability coefficient: 95 of 100 pairs of measurements of one subject differ by less.
    within_cv : float array, (features,)
        Within-subject coefficient of variation, as a share; not-a-number also where a value is not positive, since a
        share of a number that may be zero means nothing.
    subjects : int array, (features,)
        Subjects that every rater measured.
    """

    within_sd: Floats
    coefficient: Floats
    within_cv: Floats
    subjects: Integers


def repeatability(values: npt.ArrayLike) -> Repeatability:
    """Within-subject scatter of every feature; differences between raters count as scatter.

    Parameters
    ----------
    values : array, (subjects, raters) or (subjects, raters, features)
        Measurements; a subject counts where every rater's value is finite.

    References
    ----------
    Bland and Altman, BMJ 313 (1996) 744, doi:10.1136/bmj.313.7059.744; Raunig et al., Statistical Methods in Medical
    Research 24 (2015) 27, doi:10.1177/0962280214537344.
    """
    cells = _cells(values)
    complete = _complete(cells)
    subjects = complete.sum(axis=0).astype(np.int64)
    enough = (subjects >= 2) & (cells.shape[1] >= 2)
    kept = np.where(complete[:, None], cells, 0.0)
    mean = kept.sum(axis=1) / max(cells.shape[1], 1)
    variance = ((kept - mean[:, None]) ** 2).sum(axis=1) / max(cells.shape[1] - 1, 1)
    count = np.where(enough, subjects, 1)
    within_sd = np.where(enough, np.sqrt(variance.sum(axis=0) / count), np.nan)
    positive = np.where(complete[:, None], cells > 0, True).all(axis=(0, 1))
    ratio = np.divide(variance, mean**2, out=np.zeros_like(mean), where=complete & (mean != 0))
    within_cv = np.where(enough & positive, np.sqrt(ratio.sum(axis=0) / count), np.nan)
    return Repeatability(within_sd, REPEATABILITY * within_sd, within_cv, subjects)


@dataclass(frozen=True, eq=False)
class _MeanSquares:
    """Mean squares of a two-way layout without replication, each (features,)."""

    between_subjects: Floats
    between_raters: Floats
    residual: Floats
    subjects: Integers
    constant: npt.NDArray[np.bool_]


def _cells(values: npt.ArrayLike) -> Floats:
    cells = np.asarray(values, dtype=np.float64)
    if cells.ndim == 2:
        cells = cells[..., None]
    if cells.ndim != 3:
        raise ValueError(f"found an array of shape {cells.shape}, expected (subjects, raters[, features])")
    return cells


def _complete(cells: Floats) -> npt.NDArray[np.bool_]:
    """Whether every rater measured a subject, (subjects, features)."""
    return np.asarray(np.isfinite(cells).all(axis=1))


def _mean_squares(cells: Floats) -> _MeanSquares:
    complete = _complete(cells)
    subjects = complete.sum(axis=0).astype(np.int64)
    n, k = np.maximum(subjects, 1), max(cells.shape[1], 1)
    weight = complete[:, None].astype(np.float64)
    kept = np.where(complete[:, None], cells, 0.0)
    largest = np.abs(kept).max(axis=(0, 1), initial=0.0)
    # In units of the largest value and about the grand mean: neither overflow nor a large offset costs digits.
    unit = np.where(largest > 0, largest, 1.0)
    kept = kept / unit
    kept = (kept - kept.sum(axis=(0, 1)) / (n * k)) * weight
    by_subject = kept.sum(axis=1) / k
    by_rater = kept.sum(axis=0) / n
    residual = (kept - by_subject[:, None] - by_rater[None]) * weight
    squares = [
        k * (by_subject**2).sum(axis=0) / np.maximum(n - 1, 1),
        n * (by_rater**2).sum(axis=0) / max(k - 1, 1),
        (residual**2).sum(axis=(0, 1)) / (np.maximum(n - 1, 1) * max(k - 1, 1)),
    ]
    # What rounding leaves of a mean square that should be zero is zero.
    between, raters, error = (np.where(square < SAME**2, 0.0, square) for square in squares)
    constant = np.abs(kept).max(axis=(0, 1), initial=0.0) <= SAME
    return _MeanSquares(between, raters, error, subjects, constant)


def _reasons(squares: _MeanSquares, raters: int, value: Floats) -> list[str]:
    reasons = []
    for count, constant, found in zip(squares.subjects, squares.constant, value, strict=True):
        if raters < 2:
            reasons.append(f"found {_count(raters, 'rater')}, expected at least 2")
        elif count < 2:
            reasons.append(f"found {_count(count, 'subject')} that every rater measured, expected at least 2")
        elif constant:
            reasons.append(f"found the same value in all {count} subjects, expected some difference")
        elif not np.isfinite(found):
            reasons.append(f"found no variance to compare in {count} subjects, expected more of them")
        else:
            reasons.append("")
    return reasons


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _consistency(squares: _MeanSquares, raters: int, alpha: float) -> tuple[Floats, Floats, Floats]:
    between, error = squares.between_subjects, squares.residual
    first, second = _degrees(squares, raters)
    low = f_distribution.isf(alpha / 2, first, second)
    high = f_distribution.isf(alpha / 2, second, first)
    return (
        _divide(between - error, between + (raters - 1) * error),
        # Multiplied out: raters who agree perfectly have no residual to divide by.
        _divide(between - low * error, between + (raters - 1) * low * error),
        _divide(between * high - error, between * high + (raters - 1) * error),
    )


def _agreement(squares: _MeanSquares, raters: int, alpha: float) -> tuple[Floats, Floats, Floats]:
    n, k = np.maximum(squares.subjects, 2).astype(np.float64), raters
    between, columns, error = squares.between_subjects, squares.between_raters, squares.residual
    value = _divide(between - error, between + (k - 1) * error + k * (columns - error) / n)
    # Satterthwaite's degrees of freedom. A negative estimate stands for a correlation of zero there: with itself the
    # weights could cancel and leave no degrees of freedom at all.
    rho = np.clip(np.nan_to_num(value), 0.0, 1.0)
    of_columns, of_error = k * rho * columns, (n * (1 + (k - 1) * rho) - k * rho) * error
    first, second = _degrees(squares, k)
    weights = of_columns**2 / max(k - 1, 1) + of_error**2 / second
    freedom = np.where(weights > 0, _divide((of_columns + of_error) ** 2, weights), second)
    low = f_distribution.isf(alpha / 2, first, freedom)
    high = f_distribution.isf(alpha / 2, freedom, first)
    rest = k * columns + (k * n - k - n) * error
    return (
        value,
        _divide(n * (between - low * error), low * rest + n * between),
        _divide(n * (high * between - error), rest + n * high * between),
    )


def _degrees(squares: _MeanSquares, raters: int) -> tuple[Floats, Floats]:
    first = np.maximum(squares.subjects - 1, 1).astype(np.float64)
    return first, first * max(raters - 1, 1)


def _divide(over: Floats, under: Floats) -> Floats:
    return np.asarray(np.divide(over, under, out=np.full(len(over), np.nan), where=under > 0), dtype=np.float64)
