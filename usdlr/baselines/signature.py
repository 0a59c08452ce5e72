"""The radiomics signature: a linear score of a few features, and the nomogram of that score and clinical variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

from usdlr.baselines.nomogram import Nomogram, fit_nomogram
from usdlr.baselines.scaling import SCALINGS, Array, Scaling
from usdlr.core.columns import CASES
from usdlr.core.errors import DataError
from usdlr.core.leak import Rows, require_split
from usdlr.core.types import Split
from usdlr.radiomics.design import CLINICAL
from usdlr.radiomics.selection.logistic_path import logistic_path, strongest_penalty
from usdlr.radiomics.selection.penalty_path import PenaltyPath
from usdlr.radiomics.selection.sparse import ElasticNetSelector, grouped_folds

SCORE = "radiomics_score"
_UNITS = {column.name: column.unit for column in CASES}
FOLDS = 5
_STEPS = 8  # penalties on the way down to the chosen one, for a warm start


@dataclass(frozen=True, eq=False)
class Signature:
    """A linear score of standardised features.

    Parameters
    ----------
    scaling : Scaling
        How its columns are standardised.
    coefficients : ndarray, (columns,)
        Log-odds per standard deviation.
    intercept : float
        Log-odds where every standardised feature is 0.
    """

    scaling: Scaling
    coefficients: Array
    intercept: float

    @property
    def columns(self) -> tuple[str, ...]:
        """Features of the score, largest coefficient first."""
        return self.scaling.columns

    def score(self, X: pd.DataFrame) -> Array:
        """Radiomics score of any rows, (rows,), in log-odds; missing values count as the training median."""
        return np.asarray(self.scaling.transform(X) @ self.coefficients + self.intercept, dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, without patients."""
        return {
            "scaling": self.scaling.to_dict(),
            "coefficients": self.coefficients.tolist(),
            "intercept": self.intercept,
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Restore what :meth:`to_dict` gave."""
        coefficients = np.array(state["coefficients"], dtype=np.float64)
        return cls(Scaling.from_dict(state["scaling"]), coefficients, float(state["intercept"]))


@dataclass(frozen=True, eq=False)
class SignatureFit:
    """A fitted signature and how it was chosen.

    Parameters
    ----------
    signature : Signature
        The score.
    path : PenaltyPath
        The path it was taken from.
    held_out : ndarray, (rows,)
        Score of every training row by a fit, with the chosen penalty and scaling, that did not see its patient.
    """

    signature: Signature
    path: PenaltyPath
    held_out: Array


def fit_signature(
    X: pd.DataFrame,
    y: npt.ArrayLike,
    *,
    rows: Rows,
    seed: int = 0,
    l1_ratio: float = 1.0,
    scalings: tuple[str, ...] = SCALINGS,
) -> SignatureFit:
    """A sparse linear score by a logistic elastic-net path and the one-standard-error rule.

    The penalty and the scaling of the features are chosen by cross-validation inside the training rows, patients
    whole: of each scaling's path the sparsest model within one standard error of its smallest deviance, and of the
    scalings the one with the smallest deviance. A path whose rule leaves no feature keeps the first that enters.
    Medians, quartiles and clipping of a scaling, which no label enters, are taken over all training rows before the
    folds are made.

    Parameters
    ----------
    X : DataFrame, (rows, features)
        Features; not-a-number where something could not be measured.
    y : array, (rows,)
        1 positive, 0 negative.
    rows : Rows
        Whose rows they are.
    seed : int
        Of the division into folds.
    l1_ratio : float
        1 is the LASSO; less mixes in a ridge, which keeps correlated features together.
    scalings : tuple of str
        Scalings to choose from.

    Raises
    ------
    LeakError
        If a row is not of the training split.
    DataError
        If a class has fewer than three patients, or no feature varies.

    References
    ----------
    Friedman, Hastie and Tibshirani 2010, doi:10.18637/jss.v033.i01.
    """
    require_split(rows, [Split.TRAIN], "radiomics signature")
    labels = np.asarray(y, dtype=np.float64)
    best: tuple[float, Scaling, ElasticNetSelector] | None = None
    for kind in scalings:
        scaling = Scaling.fit(X, kind)
        selector = ElasticNetSelector(l1_ratio=l1_ratio, seed=seed)
        selector.fit(pd.DataFrame(scaling.transform(X), columns=list(scaling.columns)), labels, rows=rows)
        # Rounded: a tie goes to the scaling named first.
        smallest = round(selector.path_.deviance[selector.path_.best], 9)
        if best is None or smallest < best[0]:
            best = smallest, scaling, selector
    assert best is not None
    _, scaling, selector = best
    table = scaling.transform(X)
    chosen = selector.coefficients_
    if chosen:
        signature = _rescaled(scaling, table, chosen, selector.intercept_)
    else:
        (name,) = selector.columns_
        column = table[:, [scaling.columns.index(name)]]
        model = LogisticRegression(C=1.0).fit(column, labels)
        signature = Signature(scaling.only((name,)), model.coef_[0].astype(np.float64), float(model.intercept_[0]))
    penalty = selector.path_.penalties[selector.path_.chosen]
    return SignatureFit(
        signature, selector.path_, held_out_scores(table, labels, rows, penalty, l1_ratio=l1_ratio, seed=seed)
    )


def _rescaled(scaling: Scaling, table: Array, chosen: Mapping[str, float], intercept: float) -> Signature:
    """The selector's model, whose scale is that of the clipped table, on the signature's own scale."""
    at = [scaling.columns.index(name) for name in chosen]
    mean, scale = table[:, at].mean(axis=0), table[:, at].std(axis=0)
    coefficients = np.array(list(chosen.values())) / scale
    return Signature(scaling.only(tuple(chosen)), coefficients, float(intercept - coefficients @ mean))


def held_out_scores(
    table: Array, labels: Array, rows: Rows, penalty: float, *, l1_ratio: float = 1.0, seed: int = 0
) -> Array:
    """Score of every row by a penalised logistic regression that did not see its patient, (rows,).

    A fold's score counts from the mean of the rows that it was fitted on, and all folds from the same log-odds. Their
    own intercepts would give the labels away: a fold without its positives has a lower one, so that intercepts run
    against the labels of the rows held out, and a model that knows nothing would seem to know the opposite.

    Parameters
    ----------
    table : ndarray, (rows, columns)
        Standardised.
    labels : ndarray, (rows,)
        0 or 1.
    rows : Rows
        Whose rows they are; patients stay whole.
    penalty, l1_ratio : float
        See :func:`usdlr.radiomics.selection.logistic_path.logistic_steps`.
    seed : int
        Of the division into folds.
    """
    patients = pd.factorize(np.array(rows.patient_id, dtype=object))[0].astype(np.intp)
    share = float(labels.mean())
    scores = np.full(len(labels), np.log(share / (1 - share)))
    for test in grouped_folds(labels, patients, FOLDS, seed, "radiomics signature"):
        rest = np.delete(np.arange(len(labels)), test)
        first = max(strongest_penalty(table[rest], labels[rest], l1_ratio), penalty)
        fits = logistic_path(table[rest], labels[rest], np.geomspace(first, penalty, _STEPS), l1_ratio, tolerance=1e-4)
        scores[test] += (table[test] - table[rest].mean(axis=0)) @ fits.coefficients[-1]
    return scores


class SignatureNomogram(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # sklearn publishes no types
    """Radiomics signature, then a logistic nomogram of the score and the clinical variables.

    The nomogram is fitted on scores that held-out fits gave the training rows: scores of the rows that chose the
    features would look too good and crowd out the clinical variables. A score of no feature, or one that runs against
    the outcome in rows held out, knows nothing: it gets no line, and the clinical variables stand alone.

    Parameters
    ----------
    seed : int
        Of the division into folds.
    l1_ratio : float
        See :func:`fit_signature`.
    outcome : str
        Words for the nomogram's probability.

    Attributes
    ----------
    fit_ : SignatureFit or None
        ``None`` where the table has no features.
    nomogram_ : Nomogram
        Its variables are ``radiomics_score``, unless it knows nothing, and the table's ``clinical.`` columns.
    score_used_ : bool
        Whether the score has a line.
    median_ : dict of str to float
        What replaces a missing clinical value.
    """

    def __init__(self, seed: int = 0, l1_ratio: float = 1.0, outcome: str = "positive") -> None:
        self.seed = seed
        self.l1_ratio = l1_ratio
        self.outcome = outcome

    def fit(self, X: pd.DataFrame, y: npt.ArrayLike, *, rows: Rows) -> Self:
        """Fit on training rows; columns named ``clinical.`` are variables of the nomogram, all others features.

        Raises
        ------
        LeakError
            If a row is not of the training split.
        DataError
            If a class has fewer than three patients, or nothing varies.
        """
        require_split(rows, [Split.TRAIN], "radiomics signature")
        X = X.replace([np.inf, -np.inf], np.nan)
        features = X[[name for name in X.columns if not str(name).startswith(CLINICAL)]]
        clinical = X[[name for name in X.columns if str(name).startswith(CLINICAL)]]
        self.median_ = {str(name): float(clinical[name].median()) for name in clinical if clinical[name].notna().any()}
        self.fit_ = (
            fit_signature(features, y, rows=rows, seed=self.seed, l1_ratio=self.l1_ratio)
            if len(features.columns)
            else None
        )
        table = self._variables(X)
        clinical_alone = table.drop(columns=[SCORE], errors="ignore")
        if self.fit_ is None or (self._knows_nothing() and not clinical_alone.empty):
            self.nomogram_ = self._nomogram(clinical_alone, clinical_alone, y, rows)
        else:
            fitted = table.assign(**{SCORE: self.fit_.held_out})
            if clinical_alone.empty and fitted[SCORE].nunique() == 1:
                fitted = table  # nothing else is there: the score stands as its own rows see it
            self.nomogram_ = self._nomogram(fitted, table, y, rows)
            slopes = {variable.name: variable.coefficient for variable in self.nomogram_.variables}
            if slopes.get(SCORE, 0.0) < 0:
                rest = table if clinical_alone.empty else clinical_alone
                self.nomogram_ = self._nomogram(rest, rest, y, rows)
        self.score_used_ = any(variable.name == SCORE for variable in self.nomogram_.variables)
        self.classes_ = np.array([0, 1])
        return self

    def _knows_nothing(self) -> bool:
        """Whether the rule leaves no feature: the one that is kept all the same has no held-out scores of its size."""
        assert self.fit_ is not None
        path = self.fit_.path
        return path.sizes[path.chosen] == 0

    def _nomogram(self, fitted: pd.DataFrame, table: pd.DataFrame, y: npt.ArrayLike, rows: Rows) -> Nomogram:
        words = {str(name): words_of(str(name)) for name in table}
        return fit_nomogram(fitted, y, rows=rows, words=words, outcome=self.outcome, ranges=table)

    def _variables(self, X: pd.DataFrame) -> pd.DataFrame:
        table = pd.DataFrame(index=X.index)
        if self.fit_ is not None:
            table[SCORE] = self.fit_.signature.score(X)
        for name, median in self.median_.items():
            table[name] = X[name].astype("float64").replace([np.inf, -np.inf], np.nan).fillna(median)
        return table

    def predict_proba(self, X: pd.DataFrame) -> Array:
        """Probabilities of 0 and 1, (rows, 2).

        Unlike the nomogram itself, a missing clinical value counts as the training median, and a value outside the
        training range is extrapolated: a baseline answers for every row.
        """
        table = self._variables(X).rename(columns=str)
        positive = [
            self.nomogram_.probability(dict(zip(table.columns, row, strict=True)), extrapolate=True)
            for row in table.itertuples(index=False, name=None)
        ]
        second = np.array(positive, dtype=np.float64)
        return np.stack([1 - second, second], axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Signature, nomogram and medians as plain data for JSON, without patients."""
        return {
            "signature": None if self.fit_ is None else self.fit_.signature.to_dict(),
            "path": None if self.fit_ is None else self.fit_.path.to_dict(),
            "nomogram": self.nomogram_.to_dict(),
            "median": dict(self.median_),
        }


def words_of(name: str) -> tuple[str, str]:
    """Title and unit of a variable of the nomogram.

    Examples
    --------
    >>> words_of("clinical.tumour_size_mm")
    ('Tumour size', 'mm')
    """
    if name == SCORE:
        return "Radiomics score", "log-odds"
    column = name.removeprefix(CLINICAL)
    unit = _UNITS.get(column, "")
    title = column.removesuffix(f"_{unit}").replace("_", " ")
    return title[:1].upper() + title[1:], unit


def read_nomogram(state: Mapping[str, Any]) -> Nomogram:
    """The nomogram of what :meth:`SignatureNomogram.to_dict` gave.

    Raises
    ------
    DataError
        If it has none.
    """
    if "nomogram" not in state:
        raise DataError("found no nomogram in the record of a radiomics signature, expected one; fit it again")
    return Nomogram.from_dict(state["nomogram"])
