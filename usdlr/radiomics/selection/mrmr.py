"""Minimum redundancy, maximum relevance: what says much about the label and little about what is already chosen."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import digamma
from sklearn.feature_selection import f_classif

from usdlr.radiomics.selection.base import (
    Choice,
    ColumnSelector,
    Training,
    check_choice,
    check_range,
)
from usdlr.radiomics.selection.column_statistics import DIGITS, Array, constant, descending, unit_columns

METHODS = ("FCQ", "FCD", "MIQ", "MID")
# Below this, two redundancies are both nothing: the more relevant column then leads, instead of a division by zero.
NOTHING = 1e-6


class MRMRSelector(ColumnSelector):
    """Add columns one by one, each the best balance of relevance and redundancy.

    Parameters
    ----------
    max_features : int
        Columns kept beside ``always``.
    method : {"FCQ", "FCD", "MIQ", "MID"}
        Relevance and redundancy: F-statistic of the classes and mean absolute Pearson correlation with what is chosen
        (F), or mutual information for both (M, nearest neighbours). Score: their quotient (Q) or difference (D).
    n_neighbors : int
        Neighbours of the estimate of mutual information.
    pool : int, optional
        With mutual information, only so many of the most relevant columns are candidates; None looks at all.
    seed : int
        Of the noise, 1e-10 of a column's size, that parts equal values before neighbours are counted.
    always : tuple of str
        Columns that are chosen before the first; the others are judged against them too.

    Attributes
    ----------
    scores_ : dict of str to float
        Kept columns in the order of choice: their score when they were chosen.

    Notes
    -----
    The first column is the most relevant. The F-statistic takes a fraction of a second for 2,000 columns; mutual
    information takes about 1 ms per pair of columns, hence ``pool``. A quotient favours a column that by chance hardly
    correlates with what is chosen, however little it says: put ``univariate`` before it.

    Reasons: ``constant``, ``less relevant or redundant``.

    References
    ----------
    Peng, Long and Ding 2005, doi:10.1109/TPAMI.2005.159; Zhao, Anand and Wang 2019, arXiv:1908.05376 (the names of the
    methods); Kraskov, Stoegbauer and Grassberger 2004, doi:10.1103/PhysRevE.69.066138; Ross 2014,
    doi:10.1371/journal.pone.0087357.
    """

    step: ClassVar[str] = "mrmr"

    def __init__(
        self,
        max_features: int = 20,
        method: Literal["FCQ", "FCD", "MIQ", "MID"] = "FCQ",
        n_neighbors: int = 3,
        pool: int | None = 300,
        seed: int = 0,
        always: tuple[str, ...] = (),
    ) -> None:
        self.max_features = max_features
        self.method = method
        self.n_neighbors = n_neighbors
        self.pool = pool
        self.seed = seed
        self.always = always

    def check(self) -> None:
        """Refuse counts below one and unknown methods."""
        check_range("mrmr.max_features", self.max_features, 1, 1e6, whole=True)
        check_choice("mrmr.method", self.method, METHODS)
        check_range("mrmr.n_neighbors", self.n_neighbors, 1, 100, whole=True)
        if self.pool is not None:
            check_range("mrmr.pool", self.pool, self.max_features, 1e6, whole=True)
        check_range("mrmr.seed", self.seed, 0, 2**32 - 1, whole=True)

    def _choose(self, table: Training) -> Choice:
        known = table.known
        values, labels = table.values[known], table.labels[known]
        flat = constant(values)
        usable = [place for place in range(len(table.names)) if not flat[place]]
        forced = self._forced(table)
        if self.method.startswith("F"):
            pairs: _Correlation | _Information = _Correlation(values)
            relevance = np.zeros(len(table.names))
            if usable:
                with np.errstate(divide="ignore", invalid="ignore"):
                    relevance[usable] = f_classif(values[:, usable], labels)[0]
            # Classes that a column parts without any spread inside them: as relevant as can be, not infinitely.
            relevance = np.nan_to_num(relevance, nan=0.0, posinf=1e12)
        else:
            pairs = _Information(values, self.n_neighbors, self.seed)
            relevance = pairs.with_classes(labels, usable)
        free = [place for place in usable if place not in forced]
        if self.pool is not None and self.method.startswith("M"):
            lead = set(np.array(free, dtype=np.intp)[descending(relevance[free])[: self.pool]].tolist())
            free = [place for place in free if place in lead]
        chosen, scores = self._walk(pairs, relevance, free, forced)
        self.scores_ = {table.names[place]: score for place, score in zip(chosen, scores, strict=True)}
        kept = set(chosen)
        return Choice(
            chosen,
            {
                place: "constant" if flat[place] else "less relevant or redundant"
                for place in range(len(table.names))
                if place not in kept
            },
        )

    def _walk(
        self, pairs: _Correlation | _Information, relevance: Array, free: list[int], forced: list[int]
    ) -> tuple[list[int], list[float]]:
        """Choose from ``free``; a column's redundancy is measured only while it could still win the round."""
        chosen: list[int] = []
        scores: list[float] = []
        taken = list(forced)
        total = np.zeros(len(relevance))  # redundancy measured so far, summed
        seen = np.zeros(len(relevance), dtype=np.intp)  # with how many of `taken` that was
        while free and len(chosen) < self.max_features:
            best, best_score = -1, -np.inf
            if not taken:
                best = min(free, key=lambda place: (-round(float(relevance[place]), DIGITS), place))
                best_score = float(relevance[best])
            else:
                # What is not yet measured is at least nought, so this score can only fall.
                bound = np.array([self._score(relevance[place], total[place] / len(taken)) for place in free])
                for at in np.argsort(-bound, kind="stable").tolist():
                    if np.round(bound[at], DIGITS) < np.round(best_score, DIGITS):
                        break
                    place = free[at]
                    for other in taken[seen[place] :]:
                        total[place] += pairs.between(place, other)
                    seen[place] = len(taken)
                    score = round(self._score(relevance[place], total[place] / len(taken)), DIGITS)
                    if score > best_score or (score == best_score and place < best):
                        best, best_score = place, score
            chosen.append(best)
            scores.append(float(best_score))
            taken.append(best)
            free = [place for place in free if place != best]
        return chosen, scores

    def _score(self, relevance: float, redundancy: float) -> float:
        if self.method.endswith("D"):
            return float(relevance - redundancy)
        return float(relevance / max(redundancy, NOTHING))

    def _record(self) -> dict[str, Any]:
        return {"scores": self.scores_}

    def _restore(self, record: dict[str, Any]) -> None:
        self.scores_ = dict(record["scores"])


class _Correlation:
    """Absolute Pearson correlation, one chosen column against all at a time."""

    def __init__(self, values: Array) -> None:
        self._unit = unit_columns(values)
        self._columns: dict[int, Array] = {}

    def between(self, one: int, other: int) -> float:
        if other not in self._columns:
            found = np.round(np.abs(self._unit[:, other] @ self._unit), DIGITS)
            self._columns[other] = np.asarray(found, dtype=np.float64)
        return float(self._columns[other][one])


class _Information:
    """Mutual information in nats by nearest neighbours."""

    def __init__(self, values: Array, neighbours: int, seed: int) -> None:
        spread = values.std(axis=0)
        scaled = values / np.where(constant(values), 1.0, spread)
        noise = np.random.default_rng(seed).standard_normal(values.shape)
        self._values = scaled + 1e-10 * np.maximum(1.0, np.abs(scaled).mean(axis=0)) * noise
        self._ordered = np.sort(self._values, axis=0)
        self._neighbours = neighbours
        self._digamma = digamma(np.arange(len(values) + 1).clip(1))
        # A neighbour just outside must not come in by the rounding of a sum.
        self._slack = 8 * np.finfo(np.float64).eps * np.abs(self._values).max(axis=0, initial=0.0)

    def with_classes(self, labels: Array, usable: list[int]) -> Array:
        """Information about the class of every column, (columns,); 0 where it is not usable."""
        out = np.zeros(self._values.shape[1])
        # A class of one row has no neighbour inside it and says nothing.
        sizes = {label: int((labels == label).sum()) for label in (0.0, 1.0)}
        rows = np.isin(labels, [label for label, size in sizes.items() if size > 1])
        if not rows.all():
            return out
        count = len(labels)
        for place in usable:
            column = self._values[:, place]
            radius = np.empty(count)
            near = np.empty(count)
            for label, size in sizes.items():
                k = min(self._neighbours, size - 1)
                radius[labels == label] = _kth_distance(column[labels == label], k)
                near[labels == label] = k
            size_of = np.where(labels == 1, sizes[1.0], sizes[0.0])
            value = digamma(count) + digamma(near).mean() - digamma(size_of).mean() - self._crowd(place, radius)
            out[place] = round(max(0.0, float(value)), DIGITS)
        return out

    def between(self, one: int, other: int) -> float:
        """Information of two columns about each other."""
        count = len(self._values)
        k = min(self._neighbours, count - 1)
        pair = self._values[:, [one, other]]
        radius = np.asarray(cKDTree(pair).query(pair, k=[k + 1], p=np.inf)[0])[:, 0]
        value = digamma(count) + digamma(k) - self._crowd(one, radius) - self._crowd(other, radius)
        return round(max(0.0, float(value)), DIGITS)

    def _crowd(self, place: int, radius: Array) -> float:
        """Mean digamma of how many values lie nearer than ``radius`` to each value of a column, itself included."""
        values, ordered, inside = self._values[:, place], self._ordered[:, place], radius - self._slack[place]
        high = np.searchsorted(ordered, values + inside, side="right")
        low = np.searchsorted(ordered, values - inside, side="left")
        return float(self._digamma[np.maximum(high - low, 1)].mean())


def _kth_distance(values: Array, k: int) -> Array:
    """Distance of every value to its ``k``-th nearest other, (values,)."""
    order = np.argsort(values, kind="stable")
    ordered = np.concatenate([np.full(k, -np.inf), values[order], np.full(k, np.inf)])
    count = len(values)
    best = np.full(count, np.inf)
    for below in range(k + 1):
        left = values[order] - ordered[k - below : k - below + count]
        right = ordered[2 * k - below : 2 * k - below + count] - values[order]
        best = np.minimum(best, np.maximum(left, right))
    out = np.empty(count)
    out[order] = best
    return out
