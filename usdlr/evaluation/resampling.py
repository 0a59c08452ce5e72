"""The patient bootstrap: intervals for any statistic of weighted axillae, where patients are drawn and not axillae.

A replicate draws as many patients as there are, with replacement, and gives every axilla the number of times its
patient was drawn as its weight. A patient's axillae, images or repeated rows thus travel together, and the same rows
given twice change nothing. Statistics take weights, shape (replicates, axillae), and are worked out block by block:
what is needed beside the input does not grow with the number of replicates.

References
----------
Efron, J Am Stat Assoc 82 (1987) 171, doi:10.1080/01621459.1987.10478410 (BCa). DiCiccio and Efron, Stat Sci 11 (1996)
189, doi:10.1214/ss/1032280214. Field and Welsh, J R Stat Soc B 69 (2007) 369, doi:10.1111/j.1467-9868.2007.00593.x
(clusters).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr, ndtri

from usdlr.core.errors import ConfigError, InputError
from usdlr.decision.arrays import FloatArray, labels, same_length, scores
from usdlr.evaluation.intervals import LEVEL, Estimate, undefined

Statistic = Callable[[FloatArray], FloatArray]
Kind = Literal["percentile", "bca"]

REPLICATES = 2000
FEWEST_REPLICATES = 100
FEWEST_PATIENTS = 3
MOST_LOST = 0.05  # share of replicates without a value beyond which there is no interval
GROUPS = 1000  # beyond so many patients the acceleration rests on leaving out groups of them
SAME = "no interval: the same value in all of them"
_CELLS = 2**19  # weights at once: small enough to stay in the processor's cache


@dataclass(frozen=True, eq=False)
class Patients:
    """Who the rows belong to.

    Parameters
    ----------
    of_row : (n,) int64 array
        Number of each row's patient, 0 to ``count - 1``, in the order of their names.
    count : int
        Patients.
    unit : str
        What is drawn: ``patients``, or ``axillae`` where nobody says whose they are and each stands for itself.
    """

    of_row: npt.NDArray[np.int64]
    count: int
    unit: str = "patients"

    def total(self, values: npt.NDArray[np.number]) -> FloatArray:
        """Sum over each patient's rows, shape (count,)."""
        return np.bincount(self.of_row, weights=values, minlength=self.count).astype(np.float64)

    def rows(self) -> npt.NDArray[np.int64]:
        """Rows of each patient, shape (count,)."""
        return np.bincount(self.of_row, minlength=self.count).astype(np.int64)


def patients(patient: npt.ArrayLike) -> Patients:
    """The rows' patients, numbered.

    Raises
    ------
    InputError
        If an identifier is missing, or there is more than one per row.

    Examples
    --------
    >>> patients(["b", "a", "b"]).of_row
    array([1, 0, 1])
    """
    array = np.asarray(patient, dtype=object)
    if array.ndim != 1:
        raise InputError(f"found patients of shape {array.shape}, expected one identifier per row; pass one column")
    missing = pd.isna(array)
    if missing.any():
        raise InputError(
            f"found {int(missing.sum())} rows without a patient, expected one each; a row of nobody cannot be resampled"
        )
    names, of_row = np.unique(array.astype(str), return_inverse=True)
    return Patients(of_row.astype(np.int64), len(names))


def known_patients(
    y: npt.ArrayLike, patient: npt.ArrayLike | None, **columns: npt.ArrayLike
) -> tuple[FloatArray, list[FloatArray], Patients]:
    """Rows of known status: their labels, each column's values, and their patients.

    Parameters
    ----------
    y : (n,) array_like
        1 positive, 0 negative, NaN unknown.
    patient : (n,) array_like or None
        Whose axilla it is; None: every axilla for itself.
    **columns : (n,) array_like
        Values without gaps.

    Raises
    ------
    InputError
        If the arrays do not have one value per row, or a patient is missing.
    """
    truth = labels(y, "y")
    arrays = {name: scores(values, name) for name, values in columns.items()}
    same_length(len(truth), **arrays)
    if patient is None:
        kept = ~np.isnan(truth)
        alone = Patients(np.arange(int(kept.sum())), int(kept.sum()), "axillae")
        return truth[kept], [array[kept] for array in arrays.values()], alone
    who = patients(patient)
    if len(who.of_row) != len(truth):
        raise InputError(f"found {len(who.of_row)} patients for {len(truth)} rows, expected one each; align them")
    known = ~np.isnan(truth)
    names, of_row = np.unique(who.of_row[known], return_inverse=True)
    return truth[known], [array[known] for array in arrays.values()], Patients(of_row.astype(np.int64), len(names))


def bootstrap_weights(who: Patients, *, replicates: int = REPLICATES, seed: int = 0) -> Iterator[FloatArray]:
    """How often each row is drawn in each replicate, in blocks of shape (some replicates, rows).

    The draws do not depend on how many replicates a block holds.

    Parameters
    ----------
    who : Patients
        All rows of a patient have the same weight.
    replicates : int
        In all blocks together.
    seed : int
        Same seed, same weights.
    """
    check_replicates(replicates)
    random = np.random.default_rng(seed)
    height = max(1, _CELLS // max(len(who.of_row), 1))
    for start in range(0, replicates, height):
        block = np.empty((min(height, replicates - start), len(who.of_row)))
        for row in block:
            drawn = np.bincount(random.integers(0, who.count, who.count), minlength=who.count)
            row[:] = drawn[who.of_row]
        yield block


def jackknife_weights(who: Patients, *, groups: int = GROUPS) -> Iterator[FloatArray]:
    """Weights that leave out one patient each, or one of ``groups`` groups of patients where there are more."""
    count = min(who.count, groups)
    # Names often sort by centre; groups drawn at random are alike.
    group = np.random.default_rng(0).permutation(who.count) % count
    of_row = group[who.of_row]
    height = max(1, _CELLS // max(len(of_row), 1))
    for start in range(0, count, height):
        left_out = np.arange(start, min(start + height, count))
        yield (of_row[None, :] != left_out[:, None]).astype(np.float64)


def replicate(statistic: Statistic, weights: Iterator[FloatArray]) -> FloatArray:
    """The statistic under each row of weights, shape (replicates, statistics); not-a-number where it has none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        blocks = [np.asarray(statistic(block), dtype=np.float64) for block in weights]
    return np.concatenate([block.reshape(len(block), -1) for block in blocks])


def once(statistic: Statistic, rows: int) -> FloatArray:
    """The statistic of the rows as they are, shape (statistics,)."""
    return np.asarray(replicate(statistic, iter([np.ones((1, rows))]))[0], dtype=np.float64)


def patient_bootstraps(
    statistic: Statistic,
    who: Patients,
    names: Sequence[str],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    interval: Kind = "percentile",
) -> list[Estimate]:
    """Estimates of several statistics from the same replicates.

    Parameters
    ----------
    statistic : callable
        Takes weights, shape (replicates, rows), and gives (replicates, len(names)) or, for one name, (replicates,);
        not-a-number where it is undefined, e.g. where a class was not drawn.
    who : Patients
        Of the rows.
    names : sequence of str
        What each number is, for ``method``.
    replicates : int
        At least 100.
    seed : int
        Same seed, same intervals.
    interval : {"percentile", "bca"}
        BCa corrects for bias and skewness. Where all replicates lie on one side of the estimate it does not exist, and
        the percentile interval is given, which the method says.

    Returns
    -------
    list of Estimate
        In the order of ``names``. No value where the statistic is undefined. No interval with fewer than 3 patients,
        where more than 5 % of the replicates are undefined, or where all are the same: no spread was seen, which is
        not the same as none.

    Raises
    ------
    ConfigError
        If there are too few replicates, or the interval is of another kind.
    """
    check_replicates(replicates)
    if interval not in ("percentile", "bca"):
        raise ConfigError(f"found an interval {interval!r}, expected percentile or bca")
    n = len(who.of_row)
    if not n:
        return [undefined(0, f"{name}: no axillae of known status") for name in names]
    values = once(statistic, n)
    if who.count < FEWEST_PATIENTS or not np.isfinite(values).any():
        why = f"no interval: {who.count} of at least {FEWEST_PATIENTS} {who.unit}"
        return [_without(value, n, name, why) for value, name in zip(values, names, strict=True)]
    draws = replicate(statistic, bootstrap_weights(who, replicates=replicates, seed=seed))
    left_out = replicate(statistic, jackknife_weights(who)) if interval == "bca" else None
    found = []
    for index, (value, name) in enumerate(zip(values, names, strict=True)):
        without = None if left_out is None else left_out[:, index]
        found.append(
            interval_of(float(value), draws[:, index], name, n=n, patients=who.count, unit=who.unit, left_out=without)
        )
    return found


def patient_bootstrap(
    statistic: Statistic,
    who: Patients,
    name: str,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    interval: Kind = "percentile",
) -> Estimate:
    """One statistic with its interval; see :func:`patient_bootstraps`.

    Examples
    --------
    >>> import numpy as np
    >>> lengths = np.array([2.0, 4.0, 6.0, 8.0])
    >>> mean = patient_bootstrap(lambda w: w @ lengths / w.sum(axis=1), patients(["a", "b", "c", "d"]), "mean")
    >>> mean.value, mean.low, mean.high
    (5.0, 3.0, 7.0)
    """
    return patient_bootstraps(statistic, who, [name], replicates=replicates, seed=seed, interval=interval)[0]


def interval_of(
    value: float,
    draws: FloatArray,
    name: str,
    *,
    n: int,
    patients: int,
    unit: str = "patients",
    left_out: FloatArray | None = None,
    constant: bool = False,
) -> Estimate:
    """An estimate from its replicates.

    Parameters
    ----------
    value : float
        Of the rows as they are.
    draws : (replicates,) float64 array
        Not-a-number where undefined.
    name : str
        What it is.
    n, patients : int
        Axillae and patients.
    unit : str
        Of :class:`Patients`.
    left_out : (groups,) float64 array or None
        Jackknife values, for a BCa interval; None for the percentile interval.
    constant : bool
        Whether replicates that are all the same are an interval of no width; else they are none.
    """
    if not np.isfinite(value):
        return undefined(n, f"{name} of these axillae")
    kept = draws[np.isfinite(draws)]
    method = f"{name}, {'patient bootstrap' if unit == 'patients' else 'bootstrap'}, {len(draws)} replicates"
    lost = len(draws) - len(kept)
    if lost > MOST_LOST * len(draws):
        why = "no interval: undefined, for want of positives or negatives"
        return Estimate(value, None, None, n, f"{method}, {why}, in {lost} of them")
    if lost:
        method += f" ({lost} undefined)"
    if np.ptp(kept) <= 1e-12 * max(1.0, abs(value)) and not constant:
        return Estimate(value, None, None, n, f"{method}, {SAME}")
    tails, kind = np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2]), "percentile interval"
    if left_out is not None:
        corrected = _bca_tails(value, kept, left_out, tails)
        kind = "percentile interval (BCa does not exist)" if corrected is None else "BCa interval"
        tails = tails if corrected is None else corrected
    low, high = np.quantile(kept, tails)
    return Estimate(value, float(low), float(high), n, f"{method}, {kind}, {patients} {unit}")


def check_replicates(replicates: int) -> None:
    """Refuse too few replicates for a 95 % interval.

    Raises
    ------
    ConfigError
        With the smallest number.
    """
    if replicates < FEWEST_REPLICATES:
        raise ConfigError(
            f"found {replicates} replicates, expected at least {FEWEST_REPLICATES}; {REPLICATES} are usual for 95 %"
        )


def _bca_tails(value: float, draws: FloatArray, left_out: FloatArray, tails: FloatArray) -> FloatArray | None:
    """Quantiles of the replicates that the BCa interval takes."""
    near = 1e-12 * max(1.0, abs(value))
    below = float((draws < value - near).mean())
    below += float((np.abs(draws - value) <= near).mean()) / 2
    kept = left_out[np.isfinite(left_out)]
    if not 0 < below < 1 or len(kept) < FEWEST_PATIENTS or len(kept) < (1 - MOST_LOST) * len(left_out):
        return None
    bias, pull = float(ndtri(below)), kept.mean() - kept
    spread = float((pull**2).sum())
    acceleration = float((pull**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    shifted = bias + np.asarray(ndtri(tails))
    if (1 - acceleration * shifted <= 0).any():
        return None
    return np.asarray(ndtr(bias + shifted / (1 - acceleration * shifted)), dtype=np.float64)


def _without(value: float, n: int, name: str, why: str) -> Estimate:
    if not np.isfinite(value):
        return undefined(n, f"{name} of these axillae")
    return Estimate(float(value), None, None, n, f"{name}, {why}")
