"""Column selectors by plain statistics: variance, correlation clusters, tests with false-discovery control."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.stats import false_discovery_control, mannwhitneyu

from usdlr.radiomics.selection.base import (
    Choice,
    ColumnSelector,
    Training,
    check_choice,
    check_range,
    information,
    prefix_of,
    topped_up,
)
from usdlr.radiomics.selection.column_statistics import DIGITS, Array, constant, spearman

LINKAGES = ("complete", "average")
PREFERENCES = ("information", "first")
CORRECTIONS = ("bh", "by")


class VarianceSelector(ColumnSelector):
    """Drop columns that hardly vary and columns that are missing too often.

    Parameters
    ----------
    max_share : float
        Largest share of measured rows that may hold one and the same value; 1.0 drops constant columns only.
    max_missing : float
        Largest share of missing values among the rows that have the column's modality at all, so that an optional
        modality is not punished for the patients who were not examined with it.
    min_measured : float
        Smallest share of all training rows in which the column must be measured.
    always : tuple of str
        Columns that are kept whatever they say.

    Notes
    -----
    Reasons: ``missing``, ``constant``, ``near-constant``. Labels are not read.
    """

    step: ClassVar[str] = "variance"
    supervised: ClassVar[bool] = False

    def __init__(
        self,
        max_share: float = 0.95,
        max_missing: float = 0.2,
        min_measured: float = 0.1,
        always: tuple[str, ...] = (),
    ) -> None:
        self.max_share = max_share
        self.max_missing = max_missing
        self.min_measured = min_measured
        self.always = always

    def check(self) -> None:
        """Refuse shares outside 0 to 1."""
        for name in ("max_share", "max_missing", "min_measured"):
            check_range(f"variance.{name}", getattr(self, name), 0.0, 1.0)

    def _choose(self, table: Training) -> Choice:
        count = table.measured.sum(axis=0)
        there = np.empty(len(table.names), dtype=np.int64)
        prefixes = np.array([prefix_of(name) for name in table.names], dtype=object)
        for prefix in dict.fromkeys(prefixes.tolist()):
            columns = prefixes == prefix
            there[columns] = table.measured[:, columns].any(axis=1).sum()
        missing = (count == 0) | (count < self.min_measured * len(table.raw))
        missing |= (there - count) > self.max_missing * there
        flat = constant(table.raw)
        tied = _largest_run(table.raw) > self.max_share * np.maximum(count, 1)
        reasons = {}
        for place in range(len(table.names)):
            if missing[place]:
                reasons[place] = "missing"
            elif flat[place]:
                reasons[place] = "constant"
            elif tied[place]:
                reasons[place] = "near-constant"
        return Choice([place for place in range(len(table.names)) if place not in reasons], reasons)


def _largest_run(raw: Array) -> Array:
    """How many rows hold the commonest value of each column, (columns,)."""
    ordered = np.sort(raw, axis=0)  # what is missing goes last, and differs from itself
    best = np.isfinite(ordered).any(axis=0).astype(np.float64)
    run = np.ones(raw.shape[1])
    for row in range(1, len(ordered)):
        run = np.where(ordered[row] == ordered[row - 1], run + 1.0, 1.0)
        best = np.maximum(best, np.where(np.isfinite(ordered[row]), run, 0.0))
    return np.asarray(best, dtype=np.float64)


class CorrelationSelector(ColumnSelector):
    """Of columns that say the same, keep one: the most stable, otherwise the most informative.

    Parameters
    ----------
    max_correlation : float
        Columns are clustered where their absolute Spearman correlation exceeds this.
    linkage : {"complete", "average"}
        Complete: any two columns of a cluster exceed the bound. Average: their mean does.
    prefer : {"information", "first"}
        Which column stands for its cluster where stability does not tell: the one whose AUC is farthest from chance,
        or the first of the table (labels are then not read).
    stability : mapping of str to float, optional
        Column to intraclass correlation, measured on training cases; columns it lacks count as least stable.
    always : tuple of str
        Columns that are kept, whatever lies near them; each first takes in the columns that exceed the bound with it.

    Attributes
    ----------
    clusters_ : dict of str to list of str
        Kept column to the columns it stands for, for clusters of several.

    Notes
    -----
    Distance is one minus the absolute correlation; missing values take the median. Representatives of different
    clusters can still exceed the bound, so they are clustered again until no two kept columns do, those of ``always``
    aside. Reason: ``redundant``.
    """

    step: ClassVar[str] = "correlation"

    def __init__(
        self,
        max_correlation: float = 0.9,
        linkage: Literal["complete", "average"] = "complete",
        prefer: Literal["information", "first"] = "information",
        stability: Mapping[str, float] | None = None,
        always: tuple[str, ...] = (),
    ) -> None:
        self.max_correlation = max_correlation
        self.linkage = linkage
        self.prefer = prefer
        self.stability = stability
        self.always = always

    @property
    def supervised(self) -> bool:  # type: ignore[override]  # here it depends on an option
        """Whether labels are read."""
        return self.prefer == "information"

    def check(self) -> None:
        """Refuse a bound outside 0 to 1 and unknown words."""
        check_range("correlation.max_correlation", self.max_correlation, 0.0, 1.0)
        check_choice("correlation.linkage", self.linkage, LINKAGES)
        check_choice("correlation.prefer", self.prefer, PREFERENCES)

    def _choose(self, table: Training) -> Choice:
        count = len(table.names)
        known = dict(self.stability) if self.stability is not None else {}
        stable = np.array([round(float(known.get(name, -np.inf)), DIGITS) for name in table.names])
        stable = np.where(np.isnan(stable), -np.inf, stable)
        telling = information(table) if self.supervised else np.zeros(count)
        forced = self._forced(table)
        # One rank per column, best first: stability, information, order of the table.
        order = np.lexsort((np.arange(count), -telling, -stable))
        rank = np.empty(count, dtype=np.intp)
        rank[order] = np.arange(count)
        correlation = spearman(table.values)
        members = {place: [place] for place in forced}
        free: dict[int, list[int]] = {}
        for place in range(count):
            if place in members:
                continue
            nearest = max(forced, key=lambda one: float(correlation[place, one]), default=None)
            if nearest is not None and correlation[place, nearest] > self.max_correlation:
                members[nearest].append(place)
            else:
                free[place] = [place]
        while True:
            places = sorted(free)
            merged: dict[int, list[int]] = {}
            for group in self._groups(correlation[np.ix_(places, places)]):
                cluster = [places[one] for one in group]
                best = min(cluster, key=lambda place: int(rank[place]))
                merged[best] = sorted(member for place in cluster for member in free[place])
            apart = len(merged) == len(free)
            free = merged
            if apart:
                break
        members |= free
        self.clusters_ = {
            table.names[best]: [table.names[place] for place in group if place != best]
            for best, group in sorted(members.items())
            if len(group) > 1
        }
        keep = sorted(members)
        return Choice(keep, {place: "redundant" for place in range(count) if place not in members})

    def _groups(self, correlation: Array) -> list[list[int]]:
        """Clusters of columns, by position."""
        count = len(correlation)
        if count < 2:
            return [[place] for place in range(count)]
        distance = np.round(1.0 - correlation, DIGITS)
        np.fill_diagonal(distance, 0.0)
        tree = linkage(squareform(distance, checks=False), method=self.linkage)
        # Strictly below the bound's distance: exactly at the bound two columns both stay, as the name says.
        label = fcluster(tree, t=round(1.0 - self.max_correlation, DIGITS) - 0.5 * 10.0**-DIGITS, criterion="distance")
        groups: dict[int, list[int]] = {}
        for place, cluster in enumerate(label.tolist()):
            groups.setdefault(int(cluster), []).append(place)
        return list(groups.values())

    def options(self) -> dict[str, Any]:
        """As in the base; of stability only what concerns kept columns, since that is what the model stands on."""
        options = super().options()
        if self.stability is not None and hasattr(self, "columns_"):
            options["stability"] = {
                name: float(self.stability[name]) for name in self.columns_ if name in self.stability
            }
        return options

    def _record(self) -> dict[str, Any]:
        return {"clusters": self.clusters_}

    def _restore(self, record: dict[str, Any]) -> None:
        self.clusters_ = {name: list(group) for name, group in record["clusters"].items()}


class UnivariateSelector(ColumnSelector):
    """Keep columns that differ between the classes, with the false-discovery rate controlled.

    Parameters
    ----------
    max_fdr : float
        Largest adjusted p-value kept.
    correction : {"bh", "by"}
        Benjamini and Hochberg (independent or positively dependent tests, as texture features mostly are), or
        Benjamini and Yekutieli (any dependence, stricter).
    max_features : int, optional
        Of those that pass, at most this many beside ``always``, smallest p-value first.
    at_least : int
        Columns that stay even if none passes, smallest p-value first; ``counts_`` and ``passed_`` tell.
    by_patient : bool
        Test one value per patient and class (the mean of that patient's images); otherwise every row counts.
    always : tuple of str
        Columns that are kept whatever they say.

    Attributes
    ----------
    p_values_, adjusted_ : dict of str to float
        Of kept columns: two-sided Mann-Whitney U (normal approximation, ties and continuity corrected), and adjusted
        over all columns of the table.
    passed_ : int
        Columns whose adjusted p-value is at most ``max_fdr``.

    References
    ----------
    Benjamini and Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x; Benjamini and Yekutieli 2001,
    doi:10.1214/aos/1013699998.
    """

    step: ClassVar[str] = "univariate"

    def __init__(
        self,
        max_fdr: float = 0.05,
        correction: Literal["bh", "by"] = "bh",
        max_features: int | None = None,
        at_least: int = 1,
        by_patient: bool = True,
        always: tuple[str, ...] = (),
    ) -> None:
        self.max_fdr = max_fdr
        self.correction = correction
        self.max_features = max_features
        self.at_least = at_least
        self.by_patient = by_patient
        self.always = always

    def check(self) -> None:
        """Refuse a rate outside 0 to 1, an unknown correction, negative counts."""
        check_range("univariate.max_fdr", self.max_fdr, 0.0, 1.0)
        check_choice("univariate.correction", self.correction, CORRECTIONS)
        check_range("univariate.at_least", self.at_least, 0, 1e6, whole=True)
        if self.max_features is not None:
            check_range("univariate.max_features", self.max_features, 1, 1e6, whole=True)

    def _choose(self, table: Training) -> Choice:
        known = table.known
        values, labels = table.by_patient() if self.by_patient else (table.values[known], table.labels[known])
        p = np.ones(len(table.names))
        varies = ~constant(values)
        if varies.any():
            found = mannwhitneyu(
                values[labels == 1][:, varies], values[labels == 0][:, varies], axis=0, method="asymptotic"
            )
            p[varies] = np.where(np.isfinite(found.pvalue), found.pvalue, 1.0)
        adjusted = np.asarray(false_discovery_control(p, method=self.correction), dtype=np.float64)
        # The logarithm keeps digits of small p-values that rounding would make equal.
        order = [int(place) for place in np.argsort(np.round(np.log(np.maximum(p, 1e-300)), DIGITS), kind="stable")]
        passed = [place for place in order if adjusted[place] <= self.max_fdr]
        self.passed_ = len(passed)
        forced = self._forced(table)
        free = [place for place in passed if place not in forced][: self.max_features]
        keep = topped_up(free, order, self.at_least, forced)
        places = [*forced, *(place for place in keep if place not in forced)]
        self.p_values_ = {table.names[place]: float(p[place]) for place in places}
        self.adjusted_ = {table.names[place]: float(adjusted[place]) for place in places}
        beyond = set(passed) - set(keep)
        return Choice(
            keep,
            {
                place: "beyond max_features" if place in beyond else "not significant"
                for place in range(len(table.names))
                if place not in keep
            },
        )

    def _record(self) -> dict[str, Any]:
        return {"p_values": self.p_values_, "adjusted": self.adjusted_, "passed": self.passed_}

    def _restore(self, record: dict[str, Any]) -> None:
        self.p_values_ = dict(record["p_values"])
        self.adjusted_ = dict(record["adjusted"])
        self.passed_ = int(record["passed"])
