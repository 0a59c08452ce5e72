"""A ridge logistic score of every column: the strongest plain use of a table with more columns than patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, logit
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold

from usdlr.core.errors import DataError
from usdlr.core.leak import Rows, require_split
from usdlr.core.types import Split
from usdlr.radiomics.design import CLINICAL, with_columns
from usdlr.radiomics.selection.column_statistics import weighted_medians

# Inverse strengths of the penalty that compete; the best log-likelihood on held-out training patients wins.
STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
FOLDS = 5
# Standard deviations beyond which a value counts no further: one extreme texture must not decide a patient.
CLIP = 5.0
# Factor on standardised clinical variables. They are few, chosen by hand, and often told again by a hundred correlated
# textures; held back like any one of these, a patient's age or tumour size would be read from the textures instead.
FAVOURED = 10.0
# Standard deviations of the earlier question's score when it stands beside the columns: many, so that the penalty
# hardly holds it back and what it says is taken over before any single column adds to it.
LENT = 30.0

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class EarlierQuestion:
    """Rows that answer a related question which more patients have an answer to.

    Parameters
    ----------
    design : DataFrame, (rows, columns)
        The same columns.
    label : float array, (rows,)
        1 positive, 0 negative.
    rows : Rows
        Whose rows they are: training patients.
    """

    design: pd.DataFrame
    label: npt.NDArray[np.floating[Any]]
    rows: Rows


class RidgeScore(BaseEstimator):  # type: ignore[misc]  # sklearn publishes no types
    """Log-odds of a ridge logistic regression on every column, its penalty chosen on held-out training patients.

    Parameters
    ----------
    seed : int
        Of the division of the training patients.

    Attributes
    ----------
    columns_ : list of str
        Columns that vary among the training rows.
    fill_, center_, scale_, coef_ : float array, (columns,)
        Median for missing values, mean and standard deviation, weights of the standardised columns; those of clinical
        variables are held back a hundred times less by the penalty.
    intercept_ : float
        Log-odds at the mean.
    strength_ : float
        The chosen inverse strength of the penalty.
    cross_fitted_ : float array, (rows,)
        Scores of the training rows by models that did not see their patients; empty after :meth:`from_dict`. What
        learns on top of the score must learn on these: the model's own scores of its training rows are too good.
    cross_fitted_terms_ : float array, (rows, groups)
        What every group of columns adds to them, above the same log-odds for every row.
    fitted_patients_ : frozenset of str
        Who was seen; empty after :meth:`from_dict`.

    References
    ----------
    Breiman, Stacked regressions, Machine Learning 1996, 10.1007/BF00117832 (why the scores are cross-fitted);
    Li, Cai and Li, Transfer learning for high-dimensional linear regression, JRSS-B 2022, 10.1111/rssb.12479
    (weights shrunk towards those of a related question).
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(
        self,
        design: pd.DataFrame,
        label: npt.ArrayLike,
        *,
        rows: Rows,
        groups: Mapping[str, Sequence[str]] | None = None,
        earlier: EarlierQuestion | None = None,
    ) -> Self:
        """Fit on training rows.

        Parameters
        ----------
        design : DataFrame, (rows, columns)
            Features and clinical variables; missing values are filled in with the training median.
        label : array, (rows,)
            1 positive, 0 negative.
        rows : Rows
            Whose rows they are. Every patient weighs the same, however many rows there are.
        groups : mapping of str to sequence of str, optional
            Columns whose share of the cross-fitted scores is told; by default all are one group.
        earlier : EarlierQuestion, optional
            A related question. Weights are then drawn towards a multiple of its model's, not towards zero. Wherever a
            patient is held out, that patient's rows teach the earlier question nothing either.

        Raises
        ------
        LeakError
            If a row is not of the training split.
        DataError
            If no column varies, the labels are not 0 and 1, or a class has fewer than two patients.
        """
        require_split(rows, [Split.TRAIN], "the ridge score")
        known = np.asarray(label, dtype=np.float64)
        if set(known.tolist()) != {0.0, 1.0}:
            raise DataError(
                f"found the labels {', '.join(map(str, sorted(set(known.tolist()))))} in the training rows of the "
                "ridge score, expected 0 and 1; use fewer folds or more patients"
            )
        values = _finite(design)
        patients = np.asarray(rows.patient_id)
        fewest = min(len(set(patients[known == value])) for value in (0.0, 1.0))
        if fewest < 2:
            raise DataError(
                f"found {fewest} training patient in the rarer class of the ridge score, expected at least 2; "
                "use fewer folds or more patients"
            )
        varies = varying(values)
        if not varies.any():
            raise DataError("found no column that varies in the training rows of the ridge score, expected some")
        self.columns_ = [str(name) for name, use in zip(design.columns, varies, strict=True) if use]
        values = values[:, varies]
        _, group, count = np.unique(patients, return_inverse=True, return_counts=True)
        weight = 1.0 / count[group]
        member = self._membership({"all": self.columns_} if groups is None else groups)
        guide = None if earlier is None else _Guide.of(earlier, self.columns_, self.seed)
        terms = self._cross_fit(values, known, patients, weight, min(FOLDS, fewest), member, guide)
        share = logit(float(np.average(known, weights=weight)))
        held_out = {strength: share + each.sum(axis=1) for strength, each in terms.items()}
        losses = {
            strength: log_loss(known, expit(scores), sample_weight=weight, labels=[0, 1])
            for strength, scores in held_out.items()
        }
        self.strength_ = min(losses, key=lambda strength: (round(losses[strength], 9), strength))
        self.cross_fitted_, self.cross_fitted_terms_ = held_out[self.strength_], terms[self.strength_]
        self.fill_, self.center_, self.scale_ = standard = _standard(values, weight)
        lent = None if guide is None else guide.weights(standard)
        self.coef_, self.intercept_ = _logistic(self._standardised(values), known, weight, self.strength_, lent)
        self.fitted_patients_ = rows.patients | (frozenset() if earlier is None else earlier.rows.patients)
        return self

    def _cross_fit(
        self,
        values: Values,
        label: Values,
        patients: npt.NDArray[Any],
        weight: Values,
        folds: int,
        member: Values,
        guide: _Guide | None,
    ) -> dict[float, Values]:
        """What every group adds to the scores of every row by models without its patient, by strength.

        A score counts from the mean of the rows it was fitted on, and all of them from the same log-odds: a fold that
        holds many positives leaves few to its model, whose own intercept would be low, so that intercepts run against
        the labels held out.
        """
        out = {strength: np.zeros((len(label), member.shape[1])) for strength in STRENGTHS}
        division = StratifiedGroupKFold(folds, shuffle=True, random_state=self.seed)
        for seen, held in division.split(values, label, patients):
            standard = _standard(values[seen], weight[seen])
            inside, outside = (self._scaled(values[part], standard) for part in (seen, held))
            if len(set(label[seen].tolist())) < 2:  # a division that leaves one class tells nothing
                continue
            lent = None if guide is None else guide.weights(standard, without=patients[held])
            above = outside - np.average(inside, axis=0, weights=weight[seen])
            for strength in STRENGTHS:
                coef, _ = _logistic(inside, label[seen], weight[seen], strength, lent)
                out[strength][held] = above @ (coef[:, None] * member)
        return out

    def _membership(self, groups: Mapping[str, Sequence[str]]) -> Values:
        """1 where a column belongs to a group, (columns, groups)."""
        return np.stack([np.isin(self.columns_, list(names)) for names in groups.values()], axis=1).astype(np.float64)

    def terms(self, design: pd.DataFrame, groups: Mapping[str, Sequence[str]]) -> Values:
        """What every group of columns adds to the log-odds of other rows, above those at the mean, (rows, groups)."""
        values = self._standardised(_finite(with_columns(design, self.columns_, "the ridge score")))
        added: Values = values @ (self.coef_[:, None] * self._membership(groups))
        return added

    def _standardised(self, values: Values) -> Values:
        return self._scaled(values, (self.fill_, self.center_, self.scale_))

    def _scaled(self, values: Values, standard: tuple[Values, Values, Values]) -> Values:
        return _scaled(values, *standard) * _favour(self.columns_)

    def decision_function(self, design: pd.DataFrame) -> Values:
        """Log-odds of other rows, (rows,).

        Raises
        ------
        DataError
            If a column is missing, other than those of an optional modality.
        """
        values = self._standardised(_finite(with_columns(design, self.columns_, "the ridge score")))
        scores: Values = values @ self.coef_ + self.intercept_
        return scores

    def predict_proba(self, design: pd.DataFrame) -> Values:
        """Probability of either class, (rows, 2)."""
        positive = expit(self.decision_function(design))
        return np.column_stack([1 - positive, positive])

    def to_dict(self) -> dict[str, Any]:
        """The fitted state as JSON types, without patients."""
        arrays = {name: getattr(self, name).tolist() for name in ("fill_", "center_", "scale_", "coef_")}
        return {
            "seed": self.seed,
            "columns": list(self.columns_),
            "intercept": self.intercept_,
            "strength": self.strength_,
        } | {name.rstrip("_"): value for name, value in arrays.items()}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Restore what :meth:`to_dict` gave."""
        score = cls(int(state["seed"]))
        score.columns_ = [str(name) for name in state["columns"]]
        for name in ("fill", "center", "scale", "coef"):
            setattr(score, f"{name}_", np.asarray(state[name], dtype=np.float64))
        score.intercept_, score.strength_ = float(state["intercept"]), float(state["strength"])
        score.cross_fitted_, score.cross_fitted_terms_ = np.zeros(0), np.zeros((0, 1))
        score.fitted_patients_ = frozenset()
        return score


@dataclass(frozen=True)
class _Guide:
    """The earlier question's rows and the strength of its penalty.

    Parameters
    ----------
    values : float array, (rows, columns)
        Of the columns of the question at hand.
    label, weight : float array, (rows,)
        Its labels, and what a row counts.
    patients : array, (rows,)
        Whose rows they are.
    strength : float
        Chosen on its own held-out patients.
    favour : float array, (columns,)
        Factor on every standardised column.
    """

    values: Values
    label: Values
    weight: Values
    patients: npt.NDArray[Any]
    strength: float
    favour: Values

    @classmethod
    def of(cls, earlier: EarlierQuestion, columns: Sequence[str], seed: int) -> _Guide:
        design = earlier.design[list(columns)]
        alone = RidgeScore(seed).fit(design, earlier.label, rows=earlier.rows)
        patients = np.asarray(earlier.rows.patient_id)
        _, group, count = np.unique(patients, return_inverse=True, return_counts=True)
        return cls(
            _finite(design),
            np.asarray(earlier.label, dtype=np.float64),
            1.0 / count[group],
            patients,
            alone.strength_,
            _favour(columns),
        )

    def weights(self, standard: tuple[Values, Values, Values], without: npt.ArrayLike = ()) -> Values | None:
        """Its model's weights of standardised columns, (columns,); None where the patients left have one class."""
        use = ~np.isin(self.patients, np.asarray(without, dtype=self.patients.dtype))
        if len(set(self.label[use].tolist())) < 2:
            return None
        return _logistic(
            _scaled(self.values[use], *standard) * self.favour, self.label[use], self.weight[use], self.strength
        )[0]


def _favour(columns: Sequence[str]) -> Values:
    return np.array([FAVOURED if name.startswith(CLINICAL) else 1.0 for name in columns], dtype=np.float64)


def varying(values: Values) -> npt.NDArray[np.bool_]:
    """Which columns hold more than one finite value, (columns,)."""
    return np.array([np.unique(column[np.isfinite(column)]).size > 1 for column in values.T], dtype=np.bool_)


def _finite(design: pd.DataFrame) -> Values:
    values = design.to_numpy(np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _standard(values: Values, weight: Values) -> tuple[Values, Values, Values]:
    """Median, mean and standard deviation of every column; 0 and 1 where nothing is known or nothing varies."""
    known = np.isfinite(values)
    fill = weighted_medians(values, weight)
    full = np.where(known, values, fill)
    center = np.average(full, axis=0, weights=weight)
    scale = np.sqrt(np.average((full - center) ** 2, axis=0, weights=weight))
    return fill, center, np.where(scale > 1e-12 * (1 + np.abs(center)), scale, 1.0)


def _scaled(values: Values, fill: Values, center: Values, scale: Values) -> Values:
    full = np.where(np.isfinite(values), values, fill)
    return np.clip((full - center) / scale, -CLIP, CLIP)


def _logistic(
    values: Values, label: Values, weight: Values, strength: float, lent: Values | None = None
) -> tuple[Values, float]:
    """Weights and intercept; lent weights enter as one further column, the score that they give."""
    columns, step, middle = values, 0.0, 0.0
    if lent is not None:
        score = values @ lent
        middle = float(np.average(score, weights=weight))
        spread = float(np.sqrt(np.average((score - middle) ** 2, weights=weight)))
        if spread > 0:
            step = LENT / spread
            columns = np.column_stack([values, step * (score - middle)])
    model = LogisticRegression(C=strength, max_iter=2000)
    model.fit(columns, label.astype(np.int64), sample_weight=weight)
    coef, intercept = np.asarray(model.coef_[0], dtype=np.float64), float(model.intercept_[0])
    if lent is None or step == 0:
        return coef[: values.shape[1]], intercept
    factor = float(coef[-1]) * step
    return coef[:-1] + factor * lent, intercept - factor * middle
