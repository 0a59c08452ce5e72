"""How often each feature is chosen, over folds and over bootstraps of patients, and how stable the choice is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm

from usdlr.core.errors import DataError
from usdlr.core.leak import Rows, require_split
from usdlr.core.types import Split
from usdlr.radiomics.selection.base import check_range


class Selecting(Protocol):
    """Anything fitted on training rows that ends with ``columns_``."""

    columns_: list[str]

    def fit(self, X: pd.DataFrame, y: npt.ArrayLike, *, rows: Rows) -> Any:
        """Choose on training rows."""
        ...


@dataclass(frozen=True)
class SelectionStability:
    """Nogueira's index: 1 when every set is the same, 0 on average when sets are drawn at random.

    Parameters
    ----------
    value : float or None
        None where it is not defined: fewer than two sets, or no column or every column chosen each time.
    low, high : float or None
        Interval by the normal approximation; ``high`` is cut at 1. It takes the sets to be independent: those of
        overlapping folds or of bootstraps are not, and theirs describes the spread among these sets, not among studies.
        None with fewer than three sets: of two, each agrees with the other alike, so that nothing is left to vary.
    level : float
        Of the interval.
    """

    value: float | None
    low: float | None
    high: float | None
    level: float = 0.95


@dataclass(frozen=True)
class SelectionFrequency:
    """How often each feature was chosen.

    Parameters
    ----------
    counts : dict of str to int
        Feature to the number of sets that hold it, most frequent first; ties by name. Features never chosen are left
        out.
    sets : int
        Sets compared: folds or bootstraps.
    candidates : int
        Features that could have been chosen.
    stability : SelectionStability
        The agreement of the sets as one number.
    failed : int
        Resamples on which the selection could not be made; not among ``sets``.
    reason : str
        What the first of them said; empty when there is none.
    """

    counts: dict[str, int]
    sets: int
    candidates: int
    stability: SelectionStability
    failed: int = 0
    reason: str = ""

    @property
    def shares(self) -> dict[str, float]:
        """Feature to the share of sets that hold it, 0 to 1, in the order of ``counts``."""
        return {name: count / self.sets for name, count in self.counts.items()}

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        index = self.stability
        return {
            "counts": self.counts,
            "sets": self.sets,
            "candidates": self.candidates,
            "stability": {"value": index.value, "low": index.low, "high": index.high, "level": index.level},
            "failed": self.failed,
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Restore what :meth:`to_dict` gave."""
        return cls(**state | {"counts": dict(state["counts"]), "stability": SelectionStability(**state["stability"])})


def stability_index(chosen: npt.ArrayLike, level: float = 0.95) -> SelectionStability:
    """Nogueira's stability of feature selection with its interval.

    Parameters
    ----------
    chosen : array of bool, (sets, features)
        Whether a set holds a feature; features that were never chosen count too.
    level : float
        Of the interval.

    References
    ----------
    Nogueira, Sechidis and Brown 2018, On the stability of feature selection algorithms, JMLR 18(174):1-54,
    Definition 4 and Corollary 9. Published without a DOI: https://jmlr.org/papers/v18/17-514.html.

    Examples
    --------
    >>> stability_index([[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]).value
    1.0
    """
    check_range("level", level, 0.0, 1.0)
    z = np.asarray(chosen, dtype=np.float64)
    sets, features = z.shape
    share = z.mean(axis=0)
    mean_size = float(share.sum()) / features
    if sets < 2 or not 0 < mean_size < 1:
        return SelectionStability(None, None, None, level)
    by_chance = mean_size * (1 - mean_size)
    value = 1 - sets / (sets - 1) * float((share * (1 - share)).mean()) / by_chance
    size = z.sum(axis=1) / features
    if sets < 3:
        return SelectionStability(round(value, 12), None, None, level)
    part = (
        z @ share / features - size * mean_size + value / 2 * (2 * size * mean_size - size - mean_size + 1)
    ) / by_chance
    error = float(np.sqrt(4 / sets**2 * ((part - part.mean()) ** 2).sum()))
    reach = float(norm.ppf(0.5 + level / 2)) * error
    return SelectionStability(round(value, 12), round(value - reach, 12), round(min(1.0, value + reach), 12), level)


def selection_frequencies(
    selected: Mapping[Hashable, Collection[str]], candidates: Collection[str] | int
) -> SelectionFrequency:
    """How often each feature was chosen over folds.

    Parameters
    ----------
    selected : mapping of fold to columns
        What each fold chose.
    candidates : collection of str, or int
        The features that could have been chosen, or their number: the index depends on it.

    Raises
    ------
    DataError
        If there is no fold, or a chosen feature is not among the candidates.

    Examples
    --------
    >>> found = selection_frequencies({0: ["a", "b"], 1: ["a", "c"]}, candidates=["a", "b", "c", "d"])
    >>> found.shares
    {'a': 1.0, 'b': 0.5, 'c': 0.5}
    """
    if not selected:
        raise DataError("found no set of chosen features, expected one per fold; run the folds first")
    sets = [set(columns) for columns in selected.values()]
    names = sorted(set().union(*sets))
    if isinstance(candidates, int):
        if candidates < len(names):
            raise DataError(
                f"found {len(names)} chosen features but only {candidates} candidates, expected at least as many; "
                "count every feature that could have been chosen"
            )
        total = candidates
    else:
        foreign = sorted(set(names) - set(candidates))
        if foreign:
            raise DataError(
                f"found the chosen feature {foreign[0]!r}, expected one of the {len(set(candidates))} candidates; "
                "pass the columns that the folds chose from"
            )
        total = len(set(candidates))
    counts = {name: sum(name in one for one in sets) for name in names}
    ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    chosen = np.zeros((len(sets), total), dtype=np.bool_)
    for place, name in enumerate(names):
        chosen[:, place] = [name in one for one in sets]
    return SelectionFrequency(ordered, len(sets), total, stability_index(chosen))


def bootstrap_frequencies(
    X: pd.DataFrame,
    y: npt.ArrayLike,
    rows: Rows,
    make_selector: Callable[[], Selecting],
    n: int = 50,
    seed: int = 0,
) -> SelectionFrequency:
    """How often each feature is chosen when the training patients are drawn again with replacement.

    Parameters
    ----------
    X : DataFrame, (rows, columns)
        Features of the training rows.
    y : array, (rows,)
        1 positive, 0 negative, not-a-number unknown.
    rows : Rows
        Whose rows they are; patients are drawn, each with all of their rows. A patient drawn twice keeps one name, so
        that folds inside the selector hold both copies on one side, and has all axillae twice.
    make_selector : callable
        Makes an unfitted selector: a step, a chain or a feature selector.
    n : int
        Bootstraps.
    seed : int
        Of the draws. Patients with and without a positive row are drawn apart, so that both classes stay.

    Raises
    ------
    LeakError
        If a row is not of the training split.
    DataError
        If no bootstrap gives a selection; the message carries the reason of the first.
    """
    require_split(rows, [Split.TRAIN], "bootstrap of the selection")
    check_range("bootstraps", n, 1, 1_000_000, whole=True)
    labels = np.asarray(y, dtype=np.float64)
    if not len(X) == len(labels) == len(rows):
        raise DataError(
            f"found {len(X)} rows of features, {len(labels)} labels and {len(rows)} patients, expected as many of each"
        )
    patient_id = np.array(rows.patient_id, dtype=object)
    codes, names = pd.factorize(patient_id)
    places = [np.flatnonzero(codes == code) for code in range(len(names))]
    strata: dict[str, list[int]] = {}
    for code, place in enumerate(places):
        there = labels[place]
        kind = "unknown" if not np.isfinite(there).any() else "positive" if (there == 1).any() else "negative"
        strata.setdefault(kind, []).append(code)
    sides = [side for _, side in rows.axillae]
    rng = np.random.default_rng(seed)
    selected: dict[Hashable, list[str]] = {}
    failed, reason = 0, ""
    for number in range(n):
        drawn = [rng.choice(strata[kind], len(strata[kind])) for kind in sorted(strata)]
        copies = [places[code] for code in np.concatenate(drawn)]
        take = np.concatenate(copies)
        # A patient drawn twice weighs twice: the axillae of either copy are axillae of their own.
        side = [f"{sides[place]} {copy}" for copy, own in enumerate(copies) for place in own]
        again = Rows.of(patient_id[take], [str(Split.TRAIN)] * len(take), side)
        selector = make_selector()
        try:
            selector.fit(X.iloc[take].reset_index(drop=True), labels[take], rows=again)
        except DataError as error:
            failed += 1
            reason = reason or str(error)
            continue
        selected[number] = list(selector.columns_)
    if not selected:
        raise DataError(f"found no bootstrap of {n} on which features could be chosen; the first said: {reason}")
    found = selection_frequencies(selected, [str(name) for name in X.columns])
    return SelectionFrequency(found.counts, found.sets, found.candidates, found.stability, failed, reason)
