"""LASSO and elastic net for a binary endpoint, with the one-standard-error rule."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold

from usdlr.core.errors import DataError
from usdlr.radiomics.selection.base import (
    Choice,
    ColumnSelector,
    Training,
    check_choice,
    check_range,
    topped_up,
)
from usdlr.radiomics.selection.column_statistics import DIGITS, Array, constant, imputed, medians
from usdlr.radiomics.selection.logistic_path import Fits, deviance, logistic_path, logistic_steps, strongest_penalty
from usdlr.radiomics.selection.penalty_path import PenaltyPath

RULES = ("one_se", "best")
_LINES = 40  # coefficients that are kept for drawing
_PATIENCE = 5  # penalties


def grouped_folds(
    labels: Array, patients: npt.NDArray[np.intp], folds: int, seed: int, what: str
) -> list[npt.NDArray[np.intp]]:
    """Held-out rows of each fold: patients whole, classes in proportion, both classes in every rest.

    Parameters
    ----------
    labels : ndarray, (rows,)
        0 or 1.
    patients : ndarray of int, (rows,)
        A number per patient.
    folds : int
        Folds wanted; fewer where a class has fewer patients, or where a rest would hold one class only.

    Raises
    ------
    DataError
        If fewer than three patients hold one of the classes, or no division leaves both classes in every rest.
    """
    fewest = min(len(np.unique(patients[labels == label])) for label in (0.0, 1.0))
    if fewest < 3:
        raise DataError(
            f"found {fewest} training patients in the rarer class of the {what}, expected at least 3 to choose a "
            "penalty by cross-validation; use more patients, fewer outer folds, or the step 'univariate' or 'mrmr'"
        )
    for wanted in range(min(folds, fewest), 1, -1):
        splitter = StratifiedGroupKFold(wanted, shuffle=True, random_state=seed)
        held = [test for _, test in splitter.split(np.zeros((len(labels), 1)), labels.astype(np.intp), patients)]
        rests = [np.delete(labels, test) for test in held]
        if all(len(test) for test in held) and all(0 < rest.sum() < len(rest) for rest in rests):
            return held
    raise DataError(
        f"found no division of the training patients of the {what} that leaves both classes in every part, expected "
        "one of at least two folds; use more patients, fewer outer folds, or the step 'univariate'"
    )


def standardised(fit: Array, *others: Array) -> list[Array]:
    """Tables imputed by the median and standardised as ``fit`` says; a column constant there becomes 0."""
    centre = medians(fit)
    filled = imputed(fit, centre)
    flat = constant(filled)
    mean, scale = filled.mean(axis=0), np.where(flat, 1.0, filled.std(axis=0))
    return [np.where(flat, 0.0, (imputed(table, centre) - mean) / scale) for table in (fit, *others)]


class ElasticNetSelector(ColumnSelector):
    """Columns with a coefficient in the sparsest logistic elastic net within one standard error of the best.

    Parameters
    ----------
    l1_ratio : float
        Share of the L1 part of the penalty, above 0 and up to 1.
    rule : {"one_se", "best"}
        Which penalty: the sparsest model whose cross-validated deviance is within one standard error of the smallest,
        or the smallest itself.
    penalties : int
        Length of the path, even on a logarithmic scale.
    weakest : float
        The path's last penalty, as a share of the first, at which no column enters.
    folds : int
        Folds inside the training rows, patients whole; see :func:`grouped_folds`.
    max_features : int, optional
        At most this many beside ``always``, largest coefficient first.
    at_least : int
        Columns that stay even if the chosen model has none, in the order in which they enter the path.
    seed : int
        Of the division into folds.
    always : tuple of str
        Columns that are kept whatever they say; they are penalised like the others.

    Attributes
    ----------
    path_ : PenaltyPath
        Everything along the path, ready to draw.
    coefficients_ : dict of str to float
        Coefficients of the chosen model, per standard deviation, those of zero left out.
    intercept_ : float
        Its intercept.

    Notes
    -----
    Medians, means and scales are taken inside each fold from the rows that fit there. The path ends early once five
    penalties in a row were worse than one standard error above the best. Reasons: ``no coefficient``,
    ``beyond max_features``.

    References
    ----------
    Breiman et al. 1984, Classification and Regression Trees, section 3.4.3 (the rule); Zou and Hastie 2005,
    doi:10.1111/j.1467-9868.2005.00503.x.
    """

    step: ClassVar[str] = "elastic_net"

    def __init__(
        self,
        l1_ratio: float = 0.5,
        rule: Literal["one_se", "best"] = "one_se",
        penalties: int = 50,
        weakest: float = 0.02,
        folds: int = 5,
        max_features: int | None = None,
        at_least: int = 1,
        seed: int = 0,
        always: tuple[str, ...] = (),
    ) -> None:
        self.l1_ratio = l1_ratio
        self.rule = rule
        self.penalties = penalties
        self.weakest = weakest
        self.folds = folds
        self.max_features = max_features
        self.at_least = at_least
        self.seed = seed
        self.always = always

    def check(self) -> None:
        """Refuse shares and counts out of range."""
        check_range(f"{self.step}.l1_ratio", self.l1_ratio, 0.01, 1.0)
        check_choice(f"{self.step}.rule", self.rule, RULES)
        check_range(f"{self.step}.penalties", self.penalties, 2, 1000, whole=True)
        check_range(f"{self.step}.weakest", self.weakest, 1e-5, 0.9)
        check_range(f"{self.step}.folds", self.folds, 2, 1000, whole=True)
        check_range(f"{self.step}.at_least", self.at_least, 0, 1e6, whole=True)
        check_range(f"{self.step}.seed", self.seed, 0, 2**32 - 1, whole=True)
        if self.max_features is not None:
            check_range(f"{self.step}.max_features", self.max_features, 1, 1e6, whole=True)

    def _choose(self, table: Training) -> Choice:
        known = table.known
        raw, labels, patients = table.raw[known], table.labels[known], table.patients[known]
        held = grouped_folds(labels, patients, self.folds, self.seed, f"selection step {self.step}")
        (values,) = standardised(raw)
        first = strongest_penalty(values, labels, self.l1_ratio)
        if first <= 0:
            raise DataError(
                f"found no column that varies with the label in the selection step {self.step}, expected at least "
                "one; put the step 'variance' before it and check the features"
            )
        penalties = first * np.geomspace(1.0, self.weakest, self.penalties)
        mean, error = self._cross_validate(raw, labels, held, penalties)
        fits = logistic_path(values, labels, penalties[: len(mean)], self.l1_ratio)
        sizes = np.count_nonzero(fits.coefficients, axis=1)
        best = int(np.argmin(np.round(mean, DIGITS)))
        chosen = best
        if self.rule == "one_se":
            within = np.flatnonzero(mean <= mean[best] + error[best] + 10.0**-DIGITS)
            chosen = int(min(within, key=lambda place: (int(sizes[place]), int(place))))
        self.path_ = self._drawn(table.names, fits, mean, error, (best, chosen), len(held))
        final = fits.coefficients[chosen]
        self.intercept_ = float(fits.intercepts[chosen])
        entered = _entering(fits)
        forced = self._forced(table)
        strongest = np.lexsort((np.arange(len(final)), -np.round(np.abs(final), DIGITS)))
        inside = [int(place) for place in strongest if final[place] != 0]
        free = [place for place in inside if place not in forced][: self.max_features]
        keep = topped_up(free, entered, self.at_least, forced)
        self.coefficients_ = {table.names[place]: float(final[place]) for place in inside}
        beyond = set(inside) - set(keep)
        return Choice(
            keep,
            {
                place: "beyond max_features" if place in beyond else "no coefficient"
                for place in range(len(table.names))
                if place not in keep
            },
        )

    def _cross_validate(
        self, raw: Array, labels: Array, held: list[npt.NDArray[np.intp]], penalties: Array
    ) -> tuple[Array, Array]:
        """Mean deviance at each penalty and its standard error over folds, folds weighted by their rows."""
        weight = np.array([len(test) for test in held], dtype=np.float64)
        outer, truth, walks = [], [], []
        for test in held:
            rest = np.delete(np.arange(len(labels)), test)
            inner, judged = standardised(raw[rest], raw[test])
            walks.append(logistic_steps(inner, labels[rest], penalties, self.l1_ratio, tolerance=1e-4))
            outer.append(judged)
            truth.append(labels[test])
        mean: list[float] = []
        error: list[float] = []
        worse = 0
        for steps in zip(*walks, strict=True):
            found = np.array(
                [
                    deviance(table @ slope + level, known)
                    for (slope, level), table, known in zip(steps, outer, truth, strict=True)
                ]
            )
            mean.append(float(np.average(found, weights=weight)))
            spread = float(np.average((found - mean[-1]) ** 2, weights=weight))
            error.append(float(np.sqrt(spread / (len(held) - 1))))
            best = int(np.argmin(mean))
            # The weak end of the path is the slow one, and says nothing once the deviance has long been rising.
            worse = worse + 1 if mean[-1] > mean[best] + error[best] else 0
            if worse >= _PATIENCE:
                break
        return np.array(mean), np.array(error)

    def _drawn(
        self, names: list[str], fits: Fits, mean: Array, error: Array, taken: tuple[int, int], folds: int
    ) -> PenaltyPath:
        best, chosen = taken
        size = np.round(np.abs(fits.coefficients).max(axis=0), DIGITS)
        largest = np.lexsort((np.arange(len(size)), -size))
        lines = [int(place) for place in largest[:_LINES] if size[place] > 0]
        shown = sorted(set(lines) | {int(place) for place in np.flatnonzero(fits.coefficients[chosen])})
        return PenaltyPath(
            tuple(fits.penalties.tolist()),
            tuple(mean.tolist()),
            tuple(error.tolist()),
            tuple(np.count_nonzero(fits.coefficients, axis=1).tolist()),
            best,
            chosen,
            tuple(names[place] for place in shown),
            tuple(tuple(fits.coefficients[:, place].tolist()) for place in shown),
            folds,
            float(self.l1_ratio),
        )

    def _record(self) -> dict[str, Any]:
        return {"path": self.path_.to_dict(), "coefficients": self.coefficients_, "intercept": self.intercept_}

    def _restore(self, record: dict[str, Any]) -> None:
        self.path_ = PenaltyPath.from_dict(record["path"])
        self.coefficients_ = dict(record["coefficients"])
        self.intercept_ = float(record["intercept"])


class LassoSelector(ElasticNetSelector):
    """Columns with a coefficient in the sparsest logistic LASSO within one standard error of the best.

    The parameters are those of :class:`ElasticNetSelector` with ``l1_ratio`` 1.
    """

    step: ClassVar[str] = "lasso"

    def __init__(
        self,
        rule: Literal["one_se", "best"] = "one_se",
        penalties: int = 50,
        weakest: float = 0.02,
        folds: int = 5,
        max_features: int | None = None,
        at_least: int = 1,
        seed: int = 0,
        always: tuple[str, ...] = (),
    ) -> None:
        self.rule = rule
        self.penalties = penalties
        self.weakest = weakest
        self.folds = folds
        self.max_features = max_features
        self.at_least = at_least
        self.seed = seed
        self.always = always

    @property
    def l1_ratio(self) -> float:  # type: ignore[override]  # fixed here, an argument in the parent
        """All of the penalty is L1."""
        return 1.0


def _entering(fits: Fits) -> list[int]:
    """Columns in the order in which they enter the path; those that never do, last in the table's order."""
    there = fits.coefficients != 0
    first = np.where(there.any(axis=0), there.argmax(axis=0), len(fits.penalties))
    size = np.round(np.abs(fits.coefficients).max(axis=0), DIGITS)
    return [int(place) for place in np.lexsort((np.arange(len(first)), -size, first))]
