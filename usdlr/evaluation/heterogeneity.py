"""Whether a model does equally well in several groups of patients: discrimination, calibration, missed positives.

References
----------
Cochran, Biometrics 10 (1954) 101, doi:10.2307/3001666 (Q). Higgins and Thompson, Stat Med 21 (2002) 1539,
doi:10.1002/sim.1186 (I squared).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from scipy.stats import chi2

from usdlr.core.errors import InputError
from usdlr.decision.arrays import FloatArray, labels
from usdlr.evaluation.delong import clustered_variance, placements
from usdlr.evaluation.metrics import known_rows
from usdlr.evaluation.resampling import Patients, known_patients
from usdlr.evaluation.resampling import patients as numbered

DRAWS = 9999
_STEPS = 60
_SMALLEST_VARIANCE = 1e-12


@dataclass(frozen=True)
class Heterogeneity:
    """A test whether levels differ.

    Parameters
    ----------
    statistic, p_value : float or None
        None where undefined, and ``method`` says why.
    degrees : int or None
        Degrees of freedom; None for a test by simulation.
    levels : tuple of str
        Levels that take part.
    method : str
        Test and its assumptions.
    gap : float or None
        Largest minus smallest value among the levels that take part.
    """

    statistic: float | None
    degrees: int | None
    p_value: float | None
    levels: tuple[str, ...]
    method: str
    gap: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**self.__dict__, "levels": list(self.levels)}


def auc_heterogeneity(
    y: npt.ArrayLike,
    score: npt.ArrayLike,
    level: Sequence[str] | npt.ArrayLike,
    *,
    patients: npt.ArrayLike | None = None,
) -> Heterogeneity:
    """Cochran's Q of the levels' AUCs, weighted by DeLong's variances, clustered where patients have several axillae.

    Parameters
    ----------
    y, score : (n,) array_like
        As in :func:`usdlr.evaluation.metrics.auc`.
    level : (n,) sequence of str
        Level of each row.
    patients : (n,) array_like, optional
        Whose axillae they are; without it, every axilla stands for itself.

    Examples
    --------
    >>> auc_heterogeneity([0, 1, 0, 1], [1, 2, 3, 4], list("aabb")).method
    'undefined: fewer than two levels have an AUC with a variance'
    """
    truth, (values,), names = _rows(y, level, score=score)
    who = known_patients(y, patients, score=score)[2]
    areas, variances, kept = [], [], []
    for name in sorted(set(names)):
        mine = names == name
        positives = int(truth[mine].sum())
        if min(positives, int(mine.sum()) - positives) < 2:
            continue
        parts = placements(truth[mine], values[mine])
        own = numbered(who.of_row[mine])
        clustered = own.count < int(mine.sum())
        variance = clustered_variance(parts, truth[mine], own) if clustered else float(parts.covariance[0, 0])
        if variance > _SMALLEST_VARIANCE:
            areas.append(float(parts.auc[0]))
            variances.append(variance)
            kept.append(str(name))
    if len(kept) < 2:
        return Heterogeneity(
            None, None, None, tuple(kept), "undefined: fewer than two levels have an AUC with a variance"
        )
    weight, area = 1 / np.array(variances), np.array(areas)
    statistic = float((weight * (area - weight @ area / weight.sum()) ** 2).sum())
    degrees = len(kept) - 1
    return Heterogeneity(
        statistic,
        degrees,
        float(chi2.sf(statistic, degrees)),
        tuple(kept),
        f"Cochran's Q of AUCs with DeLong's variances{_by_patient(who)}; levels taken as independent",
        float(area.max() - area.min()),
    )


def calibration_interaction(
    y: npt.ArrayLike, log_odds: npt.ArrayLike, level: Sequence[str] | npt.ArrayLike
) -> Heterogeneity:
    """Likelihood-ratio test whether levels need calibration intercepts and slopes of their own.

    Parameters
    ----------
    y : (n,) array_like
        1 positive, 0 negative, NaN unknown.
    log_odds : (n,) array_like
        Predicted log-odds of the positive class.
    level : (n,) sequence of str
        Level of each row.
    """
    truth, (values,), names = _rows(y, level, log_odds=log_odds)
    kept = [
        str(name)
        for name in sorted(set(names))
        if 0 < truth[names == name].mean() < 1 and np.ptp(values[names == name]) > 0
    ]
    if len(kept) < 2:
        return Heterogeneity(
            None, None, None, tuple(kept), "undefined: fewer than two levels have both classes and a spread of risks"
        )
    inside = np.isin(names, kept)
    common = _log_likelihood(values[inside], truth[inside])
    own = sum(_log_likelihood(values[names == name], truth[names == name]) for name in kept)
    statistic, degrees = max(0.0, 2 * (own - common)), 2 * (len(kept) - 1)
    return Heterogeneity(
        statistic,
        degrees,
        float(chi2.sf(statistic, degrees)),
        tuple(kept),
        "likelihood ratio of calibration intercepts and slopes by level against common ones; axillae taken as "
        "independent",
    )


def miss_heterogeneity(
    missed: npt.ArrayLike, positives: npt.ArrayLike, names: Sequence[str], *, draws: int = DRAWS, seed: int = 0
) -> Heterogeneity:
    """Whether false-negative rates differ between levels, exact up to simulation however few the misses are.

    Given all misses and the positives of each level, the misses are dealt out at random; the p-value is the share of
    deals at least as uneven as what was seen.

    Parameters
    ----------
    missed, positives : (k,) array_like of int
        Per level.
    names : sequence of str
        Of the levels.
    draws : int
        Deals.
    seed : int
        Same seed, same p-value.

    Examples
    --------
    >>> found = miss_heterogeneity([0, 9], [100, 100], ["a", "b"])
    >>> found.p_value < 0.01, found.gap
    (True, 0.09)
    """
    events, n = np.asarray(missed, dtype=np.int64), np.asarray(positives, dtype=np.int64)
    if events.shape != n.shape or (events < 0).any() or (events > n).any():
        raise InputError("found misses that do not fit the positives, expected 0 <= missed <= positives of each level")
    some = n > 0
    kept = tuple(str(name) for name, has in zip(names, some, strict=True) if has)
    events, n = events[some], n[some]
    if len(kept) < 2:
        return Heterogeneity(None, None, None, kept, "undefined: fewer than two levels hold positives")
    rates = events / n
    gap = float(rates.max() - rates.min())
    total = int(events.sum())
    if total in (0, int(n.sum())):
        why = "undefined: no positive was missed" if total == 0 else "undefined: every positive was missed"
        return Heterogeneity(None, None, None, kept, why, gap)
    expected = total * n / n.sum()
    # Positives and misses both enter, as in Pearson's chi-squared.
    scale = 1 / (expected * (1 - total / n.sum()))
    statistic = float((scale * (events - expected) ** 2).sum())
    dealt = np.random.default_rng(seed).multivariate_hypergeometric(n, total, size=draws)
    as_uneven = int(((scale * (dealt - expected) ** 2).sum(axis=1) >= statistic * (1 - 1e-9)).sum())
    return Heterogeneity(
        statistic,
        None,
        (as_uneven + 1) / (draws + 1),
        kept,
        f"chi-squared of false-negative rates, {draws} random deals of the misses; positives taken as independent",
        gap,
    )


def _by_patient(who: Patients) -> str:
    return "" if who.count == len(who.of_row) else " clustered by patient (Obuchowski 1997)"


def _rows(
    y: npt.ArrayLike, level: Sequence[str] | npt.ArrayLike, **columns: npt.ArrayLike
) -> tuple[FloatArray, list[FloatArray], npt.NDArray[np.str_]]:
    names = np.asarray(level, dtype=object).astype(str)
    truth, arrays = known_rows(y, **columns)
    whole = np.asarray(y, dtype=object)
    if names.shape != whole.shape:
        raise InputError(f"found {names.size} levels for {whole.size} rows, expected one each; align them")
    known = ~np.isnan(labels(y, "y"))
    return truth, arrays, names[known]


def _log_likelihood(log_odds: FloatArray, truth: FloatArray) -> float:
    """Largest log-likelihood of an intercept and a slope; its limit where the classes are separated."""
    spread = float(log_odds.std()) or 1.0
    design = np.column_stack([(log_odds - log_odds.mean()) / spread, np.ones_like(log_odds)])

    def likelihood(at: FloatArray) -> float:
        z = design @ at
        return float((truth * z).sum() - np.logaddexp(0.0, z).sum())

    at = np.zeros(2)
    value = likelihood(at)
    for _ in range(_STEPS):
        p = expit(design @ at)
        information = (design * (p * (1 - p))[:, None]).T @ design
        step = np.linalg.solve(information + 1e-9 * np.eye(2), design.T @ (truth - p))
        size = 1.0
        while (after := likelihood(at + size * step)) < value and size > 1e-8:
            size /= 2
        at, gained = at + size * step, after - value
        value = max(value, after)
        if abs(gained) < 1e-12:
            break
    return value
