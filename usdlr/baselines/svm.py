"""A support vector machine whose every choice is made inside the training rows."""

from __future__ import annotations

from itertools import product
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.svm import SVC

from usdlr.baselines.scaling import ASINH, Array, Scaling
from usdlr.core.leak import Rows, require_split
from usdlr.core.types import Split
from usdlr.radiomics.selection.logistic_path import strongest_penalty
from usdlr.radiomics.selection.sparse import grouped_folds

# L1 screening, as a share of the penalty at which no column enters; then the machine's own two.
SHARES = (0.2, 0.08, 0.03)
PENALTIES = (1.0, 10.0)
WIDTHS = (0.1, 1.0)  # gamma, divided by the number of columns
_LEAST_SLOPE = 1e-3
_FOLDS = 5


class SupportVectors(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # sklearn publishes no types
    """Radial-basis support vector machine on the columns that an L1 logistic regression keeps.

    Screening penalty, ``C`` and gamma are those with the best AUC, averaged over folds inside the training rows,
    patients whole. The probability is Platt's: a logistic curve through the decision values that those folds gave
    their held-out rows, never falling.

    Parameters
    ----------
    seed : int
        Of the division into folds.

    Attributes
    ----------
    columns_ : tuple of str
        Columns that the machine reads.
    chosen_ : tuple of float
        Screening share, ``C`` and gamma times the number of columns.
    slope_, level_ : float
        Platt's curve.

    References
    ----------
    Platt 1999, Probabilistic outputs for support vector machines.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, X: pd.DataFrame, y: npt.ArrayLike, *, rows: Rows) -> Self:
        """Fit on training rows.

        Raises
        ------
        LeakError
            If a row is not of the training split.
        DataError
            If a class has fewer than three patients.
        """
        require_split(rows, [Split.TRAIN], "support vector machine")
        labels = np.asarray(y, dtype=np.float64)
        patients = pd.factorize(np.array(rows.patient_id, dtype=object))[0].astype(np.intp)
        held = grouped_folds(labels, patients, _FOLDS, self.seed, "support vector machine")
        grid = list(product(SHARES, PENALTIES, WIDTHS))
        decisions = np.zeros((len(grid), len(labels)))
        aucs: list[list[float]] = [[] for _ in grid]
        for test in held:
            rest = np.delete(np.arange(len(labels)), test)
            scaling = Scaling.fit(X.iloc[rest], ASINH)
            inner, judged = scaling.transform(X.iloc[rest]), scaling.transform(X.iloc[test])
            kept = {share: self._screen(inner, labels[rest], share) for share in SHARES}
            for place, (share, penalty, width) in enumerate(grid):
                machine = _machine(inner[:, kept[share]], labels[rest], penalty, width)
                decisions[place, test] = machine.decision_function(judged[:, kept[share]])
                if 0 < labels[test].sum() < len(test):
                    aucs[place].append(float(roc_auc_score(labels[test], decisions[place, test])))
        # Rounded: of equals the first, which has fewer columns and is smoother.
        best = int(np.argmax([round(float(np.mean(found)), 9) if found else 0.5 for found in aucs]))
        self.chosen_ = grid[best]
        scaling = Scaling.fit(X, ASINH)
        values = scaling.transform(X)
        columns = self._screen(values, labels, self.chosen_[0])
        self.columns_ = tuple(scaling.columns[place] for place in columns)
        self.scaling_ = scaling.only(self.columns_)
        self.machine_ = _machine(values[:, columns], labels, *self.chosen_[1:])
        curve = LogisticRegression(C=1.0).fit(decisions[best][:, None], labels)
        self.slope_ = max(float(curve.coef_[0, 0]), _LEAST_SLOPE)
        self.level_ = float(curve.intercept_[0])
        self.classes_ = np.array([0, 1])
        return self

    def _screen(self, values: Array, labels: Array, share: float) -> npt.NDArray[np.intp]:
        strongest = strongest_penalty(values, labels, 1.0)
        if strongest > 0:
            model = LogisticRegression(
                l1_ratio=1.0, C=1 / (len(labels) * strongest * share), solver="liblinear", random_state=self.seed
            ).fit(values, labels)
            kept = np.flatnonzero(model.coef_[0])
            if kept.size:
                return kept.astype(np.intp)
        return np.arange(values.shape[1], dtype=np.intp)

    def predict_proba(self, X: pd.DataFrame) -> Array:
        """Probabilities of 0 and 1, (rows, 2)."""
        decision = self.machine_.decision_function(self.scaling_.transform(X))
        positive = np.asarray(expit(self.slope_ * decision + self.level_), dtype=np.float64)
        return np.stack([1 - positive, positive], axis=1)


def _machine(values: Array, labels: Array, penalty: float, width: float) -> SVC:
    return SVC(C=penalty, gamma=width / values.shape[1]).fit(values, labels)
