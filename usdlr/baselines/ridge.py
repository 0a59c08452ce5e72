"""A ridge logistic score of every column: the strongest plain use of a table with more columns than patients."""

from __future__ import annotations

from collections.abc import Mapping
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
from usdlr.radiomics.design import with_columns
from usdlr.radiomics.selection.column_statistics import weighted_medians

# Inverse strengths of the penalty that compete; the best log-likelihood on held-out training patients wins.
STRENGTHS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
FOLDS = 5
# Standard deviations beyond which a value counts no further: one extreme texture must not decide a patient.
CLIP = 5.0

Values = npt.NDArray[np.float64]


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
        Median for missing values, mean and standard deviation, weights.
    intercept_ : float
        Log-odds at the mean.
    strength_ : float
        The chosen inverse strength of the penalty.
    cross_fitted_ : float array, (rows,)
        Scores of the training rows by models that did not see their patients; empty after :meth:`from_dict`. What
        learns on top of the score must learn on these: the model's own scores of its training rows are too good.
    fitted_patients_ : frozenset of str
        Who was seen; empty after :meth:`from_dict`.

    References
    ----------
    Breiman, Stacked regressions, Machine Learning 1996, 10.1007/BF00117832 (why the scores are cross-fitted).
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, design: pd.DataFrame, label: npt.ArrayLike, *, rows: Rows) -> Self:
        """Fit on training rows.

        Parameters
        ----------
        design : DataFrame, (rows, columns)
            Features and clinical variables; missing values are filled in with the training median.
        label : array, (rows,)
            1 positive, 0 negative.
        rows : Rows
            Whose rows they are. Every patient weighs the same, however many rows there are.

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
        held_out = self._cross_fit(values, known, group, weight, min(FOLDS, fewest))
        losses = {
            strength: log_loss(known, expit(scores), sample_weight=weight, labels=[0, 1])
            for strength, scores in held_out.items()
        }
        self.strength_ = min(losses, key=lambda strength: (round(losses[strength], 9), strength))
        self.cross_fitted_ = held_out[self.strength_]
        self.fill_, self.center_, self.scale_ = _standard(values, weight)
        self.coef_, self.intercept_ = _logistic(self._standardised(values), known, weight, self.strength_)
        self.fitted_patients_ = rows.patients
        return self

    def _cross_fit(
        self, values: Values, label: Values, group: npt.NDArray[np.intp], weight: Values, folds: int
    ) -> dict[float, Values]:
        """Scores of every row by models without its patient, by strength.

        A score counts from the mean of the rows it was fitted on, and all of them from the same log-odds: a fold that
        holds many positives leaves few to its model, whose own intercept would be low, so that intercepts run against
        the labels held out.
        """
        share = float(np.average(label, weights=weight))
        out = {strength: np.full(len(label), logit(share)) for strength in STRENGTHS}
        division = StratifiedGroupKFold(folds, shuffle=True, random_state=self.seed)
        for seen, held in division.split(values, label, group):
            fill, center, scale = _standard(values[seen], weight[seen])
            inside, outside = (_scaled(values[part], fill, center, scale) for part in (seen, held))
            if len(set(label[seen].tolist())) < 2:  # a division that leaves one class tells nothing
                continue
            for strength in STRENGTHS:
                coef, _ = _logistic(inside, label[seen], weight[seen], strength)
                out[strength][held] += (outside - np.average(inside, axis=0, weights=weight[seen])) @ coef
        return out

    def _standardised(self, values: Values) -> Values:
        return _scaled(values, self.fill_, self.center_, self.scale_)

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
        score.cross_fitted_, score.fitted_patients_ = np.zeros(0), frozenset()
        return score


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


def _logistic(values: Values, label: Values, weight: Values, strength: float) -> tuple[Values, float]:
    model = LogisticRegression(C=strength, max_iter=2000)
    model.fit(values, label.astype(np.int64), sample_weight=weight)
    return np.asarray(model.coef_[0], dtype=np.float64), float(model.intercept_[0])
