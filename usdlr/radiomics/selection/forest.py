"""Columns that a random forest finds more useful than shuffled copies of all columns."""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.stats import binom
from sklearn.ensemble import RandomForestClassifier

from usdlr.radiomics.selection.base import Choice, ColumnSelector, Training, check_range, topped_up
from usdlr.radiomics.selection.column_statistics import Array, constant

_LEAST_SHADOWS = 5  # with fewer columns left, each is shuffled several times


class BorutaSelector(ColumnSelector):
    """Keep columns that beat the best shuffled column in more rounds than chance allows.

    Every round shuffles each column left, grows a forest on columns and shuffled copies, and counts a hit for every
    column whose importance exceeds the largest of any copy in the last ``memory`` rounds. A column is confirmed when
    it has more hits than a fair coin explains, rejected when it has fewer (binomial tests, Bonferroni over all columns
    of the table), and tentative while neither holds.

    Parameters
    ----------
    rounds : int
        Most rounds; it ends earlier when no column is tentative.
    trees, depth : int
        Of each forest; impurity importance, classes weighted to equal size.
    alpha : float
        Level of both tests, after correction.
    memory : int
        Rounds whose copies a column must beat. 1 is the published procedure.
    keep_tentative : bool
        Whether what is still tentative after the last round stays.
    at_least : int
        Columns that stay even if none is confirmed, most hits first.
    seed : int
        Of the shuffles and forests.
    always : tuple of str
        Columns that are kept whatever they say; they take part in the forest.

    Attributes
    ----------
    confirmed_, tentative_ : list of str
        In the order of the table; every other column is rejected. ``confirmed_`` does not count what stays by
        ``always`` or ``at_least``.
    hits_ : dict of str to int
        Of kept and tentative columns.
    rounds_ : int
        Rounds that were run.

    Notes
    -----
    The published procedure compares a noise column, whose luck is the same in every round, with copies drawn anew
    each round, so that the luckiest of many noise columns often passes. Counted on tables of 150 patients with 40
    noise columns and four or no columns whose classes lie one standard deviation apart: noise was confirmed in 6 of
    24 tables with a memory of one round (50 trees), in 1 of 24 with five (50 trees) and 1 of 25 with five (60 trees,
    where 1 of 100 real columns was lost). Images of one patient enter as their mean, or a column that merely tells
    patients apart would beat every shuffled one. Reasons: ``constant``, ``rejected``, ``tentative``.

    References
    ----------
    Kursa and Rudnicki 2010, doi:10.18637/jss.v036.i11.
    """

    step: ClassVar[str] = "boruta"

    def __init__(
        self,
        rounds: int = 60,
        trees: int = 60,
        depth: int = 5,
        alpha: float = 0.05,
        memory: int = 5,
        keep_tentative: bool = False,
        at_least: int = 1,
        seed: int = 0,
        always: tuple[str, ...] = (),
    ) -> None:
        self.rounds = rounds
        self.trees = trees
        self.depth = depth
        self.alpha = alpha
        self.memory = memory
        self.keep_tentative = keep_tentative
        self.at_least = at_least
        self.seed = seed
        self.always = always

    def check(self) -> None:
        """Refuse counts below one and a level outside 0 to 1."""
        for name in ("rounds", "trees", "depth", "memory"):
            check_range(f"boruta.{name}", getattr(self, name), 1, 100_000, whole=True)
        check_range("boruta.alpha", self.alpha, 0.0, 1.0)
        check_range("boruta.at_least", self.at_least, 0, 1e6, whole=True)
        check_range("boruta.seed", self.seed, 0, 2**32 - 1, whole=True)

    def _choose(self, table: Training) -> Choice:
        values, labels = table.by_patient()
        flat = constant(values)
        hits, verdict = self._vote(values, labels, flat)
        forced = self._forced(table)
        kept = verdict >= (0 if self.keep_tentative else 1)
        order = [int(place) for place in np.argsort(-hits, kind="stable") if not flat[place]]
        keep = topped_up([int(place) for place in np.flatnonzero(kept)], order, self.at_least, forced)
        words = {1: "confirmed", 0: "tentative", -1: "rejected"}
        self.confirmed_ = [name for name, state in zip(table.names, verdict, strict=True) if state == 1]
        self.tentative_ = [name for name, state in zip(table.names, verdict, strict=True) if state == 0]
        told = sorted({*keep, *forced, *(int(place) for place in np.flatnonzero(verdict == 0))})
        self.hits_ = {table.names[place]: int(hits[place]) for place in told}
        return Choice(
            keep,
            {
                place: "constant" if flat[place] else words[int(verdict[place])]
                for place in range(len(table.names))
                if place not in keep
            },
        )

    def _vote(
        self, values: Array, labels: Array, flat: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Hits of every column, and 1 confirmed, 0 tentative, -1 rejected, both (columns,)."""
        count = int((~flat).sum())
        hits = np.zeros(values.shape[1], dtype=np.intp)
        verdict = np.where(flat, -1, 0).astype(np.intp)
        rng = np.random.default_rng(self.seed)
        best: deque[float] = deque(maxlen=self.memory)
        self.rounds_ = 0
        for done in range(1, self.rounds + 1):
            if not (verdict == 0).any():
                break
            live = np.flatnonzero(verdict >= 0)
            real = values[:, live]
            copies = [rng.permuted(real, axis=0) for _ in range(max(1, -(-_LEAST_SHADOWS // len(live))))]
            forest = RandomForestClassifier(
                self.trees,
                max_depth=self.depth,
                max_features="sqrt",
                class_weight="balanced",
                random_state=int(rng.integers(2**31)),
                n_jobs=1,
            )
            forest.fit(np.concatenate([real, *copies], axis=1), labels.astype(np.intp))
            importance = np.round(np.asarray(forest.feature_importances_, dtype=np.float64), 12)
            best.append(float(importance[len(live) :].max()))
            hits[live] += importance[: len(live)] > max(best)
            more = binom.sf(hits - 1, done, 0.5) * count < self.alpha
            fewer = binom.cdf(hits, done, 0.5) * count < self.alpha
            open_ = verdict == 0
            verdict[open_ & more] = 1
            verdict[open_ & fewer] = -1
            self.rounds_ = done
        return hits, verdict

    def _record(self) -> dict[str, Any]:
        return {
            "confirmed": self.confirmed_,
            "tentative": self.tentative_,
            "hits": self.hits_,
            "rounds": self.rounds_,
        }

    def _restore(self, record: dict[str, Any]) -> None:
        self.confirmed_ = list(record["confirmed"])
        self.tentative_ = list(record["tentative"])
        self.hits_ = dict(record["hits"])
        self.rounds_ = int(record["rounds"])
