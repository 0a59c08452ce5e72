"""How well a nodal burden in ordered classes is predicted: none, one or two, three or more positive nodes.

References
----------
Epstein, J Appl Meteorol 8 (1969) 985, doi:10.1175/1520-0450(1969)008<0985:ASSFPF>2.0.CO;2 (ranked probability score).
Somers, Am Sociol Rev 27 (1962) 799, doi:10.2307/2090408.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import ConfigError, InputError
from usdlr.decision.arrays import FloatArray, scores
from usdlr.evaluation.agreement import cohen_kappa, ratings
from usdlr.evaluation.intervals import Estimate, undefined
from usdlr.evaluation.metrics import FEWEST
from usdlr.evaluation.resampling import REPLICATES, Kind, Patients, patient_bootstrap, patient_bootstraps, patients
from usdlr.evaluation.weighted import Ranking

BURDEN = ("0", "1-2", ">=3")
_FIRST_NODE_OF = (1, 3)
_SUM = 1e-6


def burden_class(positive_nodes: npt.ArrayLike, *, lower_bound: npt.ArrayLike | None = None) -> FloatArray:
    """Class of the number of positive nodes: 0 for none, 1 for one or two, 2 for three or more.

    Parameters
    ----------
    positive_nodes : (n,) array_like
        NaN unknown.
    lower_bound : (n,) array_like of bool or None
        Where the number is a lower bound, since the axilla was not dissected; below 3 the class is then unknown.

    Returns
    -------
    (n,) float64 array
        0, 1, 2 or NaN.

    Raises
    ------
    InputError
        If a number is negative or not whole.

    Examples
    --------
    >>> burden_class([0, 2, 3, 1], lower_bound=[False, False, True, True])
    array([ 0.,  1.,  2., nan])
    """
    nodes = ratings(positive_nodes, 10_000, "positive_nodes")
    found = np.where(np.isnan(nodes), np.nan, np.searchsorted(_FIRST_NODE_OF, nodes, side="right"))
    if lower_bound is not None:
        bound = np.asarray(lower_bound, dtype=np.bool_)
        if bound.shape != nodes.shape:
            raise InputError(f"found {bound.size} bounds for {len(nodes)} rows, expected one each; align them")
        found = np.where(bound & (found < len(BURDEN) - 1), np.nan, found)
    return np.asarray(found, dtype=np.float64)


def ordinal_kappa(
    truth: npt.ArrayLike,
    predicted: npt.ArrayLike,
    *,
    classes: int = len(BURDEN),
    weights: Literal["linear", "quadratic"] = "quadratic",
    patient: npt.ArrayLike | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Estimate:
    """Weighted kappa of the predicted and the true class; parameters as in :func:`~.agreement.cohen_kappa`.

    Quadratic weights forgive neighbours and grow with the number of classes and the spread of the truth; compare models
    on the same axillae only.

    Examples
    --------
    >>> ordinal_kappa([0, 1, 2, 2], [0, 1, 2, 1]).value
    0.8
    """
    return cohen_kappa(
        truth, predicted, classes=classes, weights=weights, patient=patient, replicates=replicates, seed=seed
    )


def ranked_probability_score(
    truth: npt.ArrayLike,
    probability: npt.ArrayLike,
    patient: npt.ArrayLike,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
    interval: Kind = "percentile",
) -> Estimate:
    """Mean squared distance between predicted and true cumulative probabilities: 0 is perfect, 1 the worst.

    A probability two classes away costs more than one next door. The score is divided by the number of borders, so that
    with two classes it is the Brier score.

    Parameters
    ----------
    truth : (n,) array_like
        Class from 0 to ``classes - 1``, NaN unknown.
    probability : (n, classes) array_like
        Probabilities of the classes; each row sums to 1.
    patient : (n,) array_like
        Whose axilla it is.
    replicates, seed, interval
        As in :func:`usdlr.evaluation.resampling.patient_bootstraps`.

    Raises
    ------
    InputError
        If a row is no distribution.

    Examples
    --------
    >>> ranked_probability_score([0, 2, 1], [[1, 0, 0], [0, 0, 1], [0.5, 0, 0.5]], ["a", "b", "c"]).value
    0.08333333333333333
    """
    table = np.asarray(probability, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise InputError(f"found probabilities of shape {table.shape}, expected (rows, classes) with 2 or more classes")
    classes = table.shape[1]
    scores(table.ravel(), "probability", probability=True)
    off = np.abs(table.sum(axis=1) - 1)
    if (off > _SUM).any():
        row = int(np.argmax(off > _SUM))
        raise InputError(f"found probabilities that sum to {table[row].sum():.6g} in row {row}, expected 1; scale them")
    actual, (rows,), who = _known(truth, classes, patient, table)
    if len(actual) < FEWEST:
        return undefined(len(actual), f"fewer than {FEWEST} axillae of known class")
    reached = actual[:, None] <= np.arange(classes - 1)
    costs = ((rows.cumsum(axis=1)[:, :-1] - reached) ** 2).mean(axis=1)

    def statistic(weights: FloatArray) -> FloatArray:
        return np.asarray(weights @ costs / weights.sum(axis=1), dtype=np.float64)

    return patient_bootstrap(
        statistic, who, "ranked probability score", replicates=replicates, seed=seed, interval=interval
    )


def ordinal_concordance(
    truth: npt.ArrayLike,
    score: npt.ArrayLike,
    patient: npt.ArrayLike,
    *,
    classes: int = len(BURDEN),
    replicates: int = REPLICATES,
    seed: int = 0,
    interval: Kind = "percentile",
) -> dict[str, Estimate]:
    """Of two axillae of different class, how often the higher one has the higher score.

    Parameters
    ----------
    truth : (n,) array_like
        Class from 0 to ``classes - 1``, NaN unknown.
    score : (n,) array_like
        Higher means more nodes, e.g. the expected class.
    patient : (n,) array_like
        Whose axilla it is.
    classes : int
        At least 2; with 2 the concordance is the AUC.
    replicates, seed, interval
        As in :func:`usdlr.evaluation.resampling.patient_bootstraps`.

    Returns
    -------
    dict of str to Estimate
        ``c_index``, from 0 to 1, equal scores count one half; and ``somers_d`` = 2 c - 1, the score's asymmetric
        association with the class.

    Examples
    --------
    >>> ordinal_concordance([0, 1, 2, 2], [0.1, 0.4, 0.3, 0.9], ["a", "b", "c", "d"])["c_index"].value
    0.8
    """
    if classes < 2:
        raise ConfigError(f"found {classes} classes, expected 2 or more")
    values = scores(score, "score")
    actual, (ranked,), who = _known(truth, classes, patient, values)
    names = {"c_index": "ordinal concordance", "somers_d": "Somers' D"}
    n, why = len(actual), ""
    if n < FEWEST:
        why = f"fewer than {FEWEST} axillae of known class"
    elif actual.min() == actual.max():
        why = f"all {n} axillae are of one class"
    elif ranked.min() == ranked.max():
        why = "the score is constant"
    if why:
        return {key: undefined(n, why) for key in names}
    # One ranking per border between classes: those above it against one class below it, so that each pair counts once.
    used = np.unique(actual)
    rankings = []
    for low in used[:-1]:
        rows = np.flatnonzero(actual >= low)
        rankings.append((rows, Ranking((actual[rows] > low).astype(np.float64), ranked[rows])))

    def statistic(weights: FloatArray) -> FloatArray:
        right, pairs = np.zeros(len(weights)), np.zeros(len(weights))
        for rows, ranking in rankings:
            steps = ranking.steps(weights[:, rows])
            each = steps.positives * steps.negatives
            right += each - np.einsum("ij,ij->i", steps.positive, steps.above + steps.tied / 2)
            pairs += each
        share = right / pairs
        return np.stack([share, 2 * share - 1], axis=1)

    found = patient_bootstraps(
        statistic, who, list(names.values()), replicates=replicates, seed=seed, interval=interval
    )
    return dict(zip(names, found, strict=True))


def _known(
    truth: npt.ArrayLike, classes: int, patient: npt.ArrayLike, *columns: FloatArray
) -> tuple[FloatArray, list[FloatArray], Patients]:
    actual, who = ratings(truth, classes, "truth"), patients(patient)
    for name, length in [("patients", len(who.of_row)), *[("values", len(column)) for column in columns]]:
        if length != len(actual):
            raise InputError(f"found {length} {name} for {len(actual)} rows, expected one each; align them")
    known = ~np.isnan(actual)
    names, of_row = np.unique(who.of_row[known], return_inverse=True)
    return actual[known], [column[known] for column in columns], Patients(of_row.astype(np.int64), len(names))
