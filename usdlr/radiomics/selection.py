"""From the feature table to the numbers a model reads: everything here is fitted on training rows only."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.metrics import roc_auc_score

from usdlr.core.errors import DataError
from usdlr.core.leak import Rows, require_split
from usdlr.core.modalities import MODALITIES
from usdlr.core.types import Split

# Standardised values beyond this are outliers of the fit; a network must not extrapolate along one feature.
CLIP = 5.0
PRESENT = "present."


class FeatureSelector(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # sklearn publishes no types
    """Impute, standardise, drop redundant columns, keep the most informative.

    Parameters
    ----------
    max_features : int
        Number of columns kept beside ``always``.
    max_correlation : float
        Of two columns whose absolute Spearman correlation exceeds this, the less informative one goes.
    always : tuple of str
        Columns that are kept however little they say, e.g. tumour size; one that does not vary says nothing and goes.

    Attributes
    ----------
    columns_ : list of str
        Kept columns in the order of the output.
    median_, mean_, scale_ : ndarray, (columns,)
        Imputation value, and mean and standard deviation after imputation, on the training rows.
    indicators_ : list of str
        Modalities that some training rows lack; each gets a column that is 1 where the modality is there.
    fitted_patients_ : frozenset of str
        Who was seen.
    """

    def __init__(self, max_features: int = 40, max_correlation: float = 0.9, always: tuple[str, ...] = ()) -> None:
        self.max_features = max_features
        self.max_correlation = max_correlation
        self.always = always

    def fit(self, X: pd.DataFrame, y: npt.ArrayLike, *, rows: Rows) -> Self:
        """Fit on training rows.

        Parameters
        ----------
        X : DataFrame, (rows, columns)
            Features; not-a-number where something could not be measured.
        y : array, (rows,)
            1 positive, 0 negative, not-a-number unknown (such rows count for scaling, not for choosing).
        rows : Rows
            Whose rows they are.

        Raises
        ------
        LeakError
            If a row is not of the training split.
        DataError
            If no column varies, a column of ``always`` is missing, or one class only is known.
        """
        require_split(rows, [Split.TRAIN], "feature selector")
        absent = [name for name in self.always if name not in X.columns]
        if absent:
            raise DataError(f"found no column {absent[0]!r}, expected it in the design table, since it is always kept")
        labels = np.asarray(y, dtype=np.float64)
        finite = X.replace([np.inf, -np.inf], np.nan)
        values = finite
        spread = values.std(axis=0, ddof=0)
        centre = values.abs().mean(axis=0)
        varies = (spread > 1e-9 * (1.0 + centre)) & (values.notna().mean(axis=0) >= 0.1)
        names = [str(name) for name in values.columns if bool(varies[name])]
        if not names:
            raise DataError(f"found no feature that varies over {len(values)} training rows; check the images")
        values = values[names]
        median = values.median(axis=0)
        filled = values.fillna(median)
        order = self._by_information(filled, labels)
        kept = self._uncorrelated(filled, order)
        self.columns_ = kept
        self.median_ = median[kept].to_numpy(np.float64)
        self.mean_ = filled[kept].mean(axis=0).to_numpy(np.float64)
        self.scale_ = filled[kept].std(axis=0, ddof=0).to_numpy(np.float64)
        self.indicators_ = [name for name in _prefixes(values) if not _is_present(finite, name).all()]
        self.fitted_patients_ = rows.patients
        return self

    def transform(self, X: pd.DataFrame) -> npt.NDArray[np.float32]:
        """Transform any rows to (rows, columns + indicators), standardised and clipped at ±5.

        Raises
        ------
        DataError
            If a kept column is missing, other than those of an optional modality that no row has.
        """
        X = X.replace([np.inf, -np.inf], np.nan)
        there = set(_prefixes(X))
        nowhere = {name for name, modality in MODALITIES.items() if not modality.required and name not in there}
        X = X.reindex(columns=[*X.columns, *(name for name in self.columns_ if _prefix(name) in nowhere)])
        missing = [name for name in self.columns_ if name not in X.columns]
        if missing:
            raise DataError(
                f"found no feature {missing[0]!r} (and {len(missing) - 1} more), expected the features the model was "
                "fitted with; extract them with the bundle's settings"
            )
        values = X[self.columns_].to_numpy(np.float64)
        values = np.where(np.isnan(values), self.median_, values)
        scaled = np.clip((values - self.mean_) / self.scale_, -CLIP, CLIP)
        present = [_is_present(X, name).to_numpy(np.float64)[:, None] for name in self.indicators_]
        return np.concatenate([scaled, *present], axis=1).astype(np.float32)

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:
        """Names of the output columns."""
        return np.array([*self.columns_, *(PRESENT + name for name in self.indicators_)], dtype=object)

    def to_dict(self) -> dict[str, Any]:
        """The fitted state as plain data, without patients."""
        return {
            "max_features": self.max_features,
            "max_correlation": self.max_correlation,
            "always": list(self.always),
            "columns": self.columns_,
            "median": self.median_.tolist(),
            "mean": self.mean_.tolist(),
            "scale": self.scale_.tolist(),
            "indicators": self.indicators_,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Restore what :meth:`to_dict` gave."""
        selector = cls(state["max_features"], state["max_correlation"], tuple(state["always"]))
        selector.columns_ = list(state["columns"])
        selector.median_, selector.mean_, selector.scale_ = (
            np.array(state[name], dtype=np.float64) for name in ("median", "mean", "scale")
        )
        selector.indicators_ = list(state["indicators"])
        selector.fitted_patients_ = frozenset()
        return selector

    def _by_information(self, filled: pd.DataFrame, labels: npt.NDArray[np.float64]) -> list[str]:
        """Columns by distance of their AUC from chance, those of ``always`` first."""
        known = np.isfinite(labels)
        if len(set(labels[known])) < 2:
            raise DataError(
                "found one class only among the training rows, expected both; use fewer folds or more patients"
            )
        auc = {name: roc_auc_score(labels[known], filled[name].to_numpy()[known]) for name in filled.columns}
        forced = [name for name in self.always if name in auc]
        # Rounded, so that columns which differ by floating-point noise keep the table's order.
        rest = sorted((n for n in auc if n not in forced), key=lambda name: -round(abs(auc[name] - 0.5), 9))
        return [*forced, *rest]

    def _uncorrelated(self, filled: pd.DataFrame, order: list[str]) -> list[str]:
        ranks = filled[order].rank().to_numpy(np.float64)
        correlation = np.abs(np.corrcoef(ranks, rowvar=False)) if len(order) > 1 else np.ones((1, 1))
        kept: list[int] = []
        free = 0
        for position, name in enumerate(order):
            forced = name in self.always
            if not forced and (
                free >= self.max_features or (kept and correlation[position, kept].max() > self.max_correlation)
            ):
                continue
            kept.append(position)
            free += not forced
        return [order[position] for position in kept]


def _prefix(column: str) -> str:
    """The modality of a feature column, ``clinical`` for a clinical one."""
    return column.split(".", 1)[0]


def _prefixes(values: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(_prefix(str(name)) for name in values.columns))


def _is_present(values: pd.DataFrame, prefix: str) -> pd.Series:
    columns = [name for name in values.columns if _prefix(str(name)) == prefix]
    return values[columns].notna().any(axis=1)
