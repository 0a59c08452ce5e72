"""From the feature table to the numbers a model reads: everything here is fitted on training rows only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

from usdlr.core.columns import FEATURE_PATTERN
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.leak import Rows, require_split
from usdlr.core.types import Split
from usdlr.radiomics.design import with_columns
from usdlr.radiomics.selection.axilla import axilla_means, axilla_weights
from usdlr.radiomics.selection.base import prefix_of
from usdlr.radiomics.selection.chain import SelectionChain, Step, plain_steps
from usdlr.radiomics.selection.column_statistics import DIGITS, auc, imputed, weighted_medians

# Standardised values beyond this are outliers of the fit; a network must not extrapolate along one feature.
CLIP = 5.0
PRESENT = "present."


class FeatureSelector(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # sklearn publishes no types
    """Impute, standardise, drop redundant columns, keep the most informative.

    Every axilla counts once, however many images show it. What is kept is chosen on one row per axilla, the mean of
    what its images have. Medians, means and standard deviations are those of the images, since the model reads images,
    each weighing one over the number of its axilla's. Rows without a side (see :class:`~usdlr.core.leak.Rows`) take a
    patient for one axilla; rows of one axilla with different labels count as so many axillae.

    Parameters
    ----------
    max_features : int
        Number of columns kept beside ``always``.
    max_correlation : float
        Of two columns whose absolute Spearman correlation exceeds this, the less informative one goes.
    always : tuple of str
        Columns that are kept however little they say, e.g. tumour size; one that does not vary says nothing and goes.
    steps : sequence of str or mapping, optional
        Steps of a :class:`~usdlr.radiomics.selection.chain.SelectionChain`. Given, they alone choose among the columns
        that vary, and ``max_features`` and ``max_correlation`` are not read; imputing and standardising stay the same.
    stability : mapping of str to float, optional
        Column to intraclass correlation, measured on training cases, for the step ``correlation`` and ``min_icc``.
    min_icc : float, optional
        Features with a smaller intraclass correlation, or with none, go before anything is chosen; clinical variables
        and those of ``always`` stay. Needs ``stability``.

    Attributes
    ----------
    columns_ : list of str
        Kept columns in the order of the output.
    chain_ : SelectionChain or None
        The fitted steps; None without ``steps`` and after :meth:`from_dict`.
    selection_ : list of dict
        Per step ``step``, ``kept`` and ``dropped``, a count for each reason; empty without ``steps`` and ``min_icc``.
    median_, mean_, scale_ : ndarray, (columns,)
        Imputation value, and mean and standard deviation after imputation, on the training rows.
    indicators_ : list of str
        Modalities that some training rows lack; each gets a column that is 1 where the modality is there.
    fitted_patients_ : frozenset of str
        Who was seen.
    """

    def __init__(
        self,
        max_features: int = 40,
        max_correlation: float = 0.9,
        always: tuple[str, ...] = (),
        steps: Sequence[Step] | None = None,
        stability: Mapping[str, float] | None = None,
        min_icc: float | None = None,
    ) -> None:
        self.max_features = max_features
        self.max_correlation = max_correlation
        self.always = always
        self.steps = steps
        self.stability = stability
        self.min_icc = min_icc

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
            If no column varies, a column of ``always`` is missing, one class only is known, or a step leaves nothing.
        ConfigError
            If a step or one of its options is unknown or out of range.
        """
        require_split(rows, [Split.TRAIN], "feature selector")
        absent = [name for name in self.always if name not in X.columns]
        if absent:
            raise DataError(f"found no column {absent[0]!r}, expected it in the design table, since it is always kept")
        finite = X.replace([np.inf, -np.inf], np.nan)
        values, labels, rows_of_axillae = axilla_means(finite, np.asarray(y, dtype=np.float64), rows)
        spread = values.std(axis=0, ddof=0)
        centre = values.abs().mean(axis=0)
        varies = (spread > 1e-9 * (1.0 + centre)) & (values.notna().mean(axis=0) >= 0.1)
        names = [str(name) for name in values.columns if bool(varies[name])]
        if not names:
            raise DataError(f"found no feature that varies over {len(values)} training rows; check the images")
        self.indicators_ = [prefix for prefix in _prefixes(values[names]) if not _is_present(finite, prefix).all()]
        self.chain_: SelectionChain | None = None
        constant = {"step": "varies", "kept": len(names), "dropped": {"constant or missing": len(varies) - len(names)}}
        summary: list[dict[str, Any]] = [constant]
        if self.min_icc is not None:
            names, unstable = self._stable(names)
            summary.append({"step": "stability", "kept": len(names), "dropped": unstable})
        self._require_both_classes(labels)
        values = values[names]
        if self.steps is None:
            filled = values.fillna(values.median(axis=0))
            kept = self._uncorrelated(filled, self._by_information(filled, labels))
        else:
            forced = tuple(name for name in self.always if name in names)
            # The steps see what is missing; they impute for themselves.
            chain = SelectionChain(self.steps, forced, self.stability).fit(values, labels, rows=rows_of_axillae)
            self.chain_, kept = chain, chain.columns_
            summary += chain.summary()
        self.selection_ = [] if self.steps is None and self.min_icc is None else summary
        self.columns_ = kept
        self.median_, self.mean_, self.scale_ = _standard(finite[kept].to_numpy(np.float64), axilla_weights(rows))
        self.fitted_patients_ = rows.patients
        return self

    def transform(self, X: pd.DataFrame) -> npt.NDArray[np.float32]:
        """Transform any rows to (rows, columns + indicators), standardised and clipped at ±5.

        Raises
        ------
        DataError
            If a kept column is missing, other than those of an optional modality.
        """
        X = X.replace([np.inf, -np.inf], np.nan)
        values = with_columns(X, self.columns_, "the model").to_numpy(np.float64)
        values = np.where(np.isnan(values), self.median_, values)
        scaled = np.clip((values - self.mean_) / self.scale_, -CLIP, CLIP)
        present = [_is_present(X, name).to_numpy(np.float64)[:, None] for name in self.indicators_]
        return np.concatenate([scaled, *present], axis=1).astype(np.float32)

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:
        """Names of the output columns."""
        return np.array([*self.columns_, *(PRESENT + name for name in self.indicators_)], dtype=object)

    def to_dict(self) -> dict[str, Any]:
        """The fitted state as plain data, without patients."""
        chosen: dict[str, Any] = {} if self.steps is None else {"steps": plain_steps(self.steps)}
        chosen |= {} if self.min_icc is None else {"min_icc": self.min_icc}
        chosen |= {"selection": self.selection_} if self.selection_ else {}
        return {
            "max_features": self.max_features,
            "max_correlation": self.max_correlation,
            "always": list(self.always),
            "columns": self.columns_,
            "median": self.median_.tolist(),
            "mean": self.mean_.tolist(),
            "scale": self.scale_.tolist(),
            "indicators": self.indicators_,
            **chosen,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Restore what :meth:`to_dict` gave."""
        selector = cls(
            state["max_features"],
            state["max_correlation"],
            tuple(state["always"]),
            state.get("steps"),
            min_icc=state.get("min_icc"),
        )
        selector.chain_ = None
        selector.selection_ = list(state.get("selection", []))
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
        areas = auc(filled.to_numpy(np.float64)[known], labels[known])
        score = dict(zip(filled.columns, np.round(np.abs(areas - 0.5), 9).tolist(), strict=True))
        forced = [name for name in self.always if name in score]
        # Rounded, so that columns which differ by floating-point noise keep the table's order.
        rest = sorted((n for n in score if n not in forced), key=lambda name: -score[name])
        return [*forced, *rest]

    def _stable(self, names: list[str]) -> tuple[list[str], dict[str, int]]:
        """Those of the columns that are stable or no features, and how many others went for which reason."""
        if self.stability is None:
            raise ConfigError("found min_icc without stability, expected the intraclass correlation of every feature")
        assert self.min_icc is not None
        bound, judged = round(self.min_icc, DIGITS), self.stability
        exempt = {*self.always, *(name for name in names if not re.match(FEATURE_PATTERN, name))}
        unknown = [name for name in names if name not in exempt and name not in judged]
        low = [name for name in names if name not in exempt and round(judged.get(name, bound), DIGITS) < bound]
        gone = {*unknown, *low}
        kept = [name for name in names if name not in gone]
        if not kept:
            raise DataError(
                f"found no feature with an intraclass correlation of at least {self.min_icc:g} among {len(names)}, "
                "expected some; lower the bound, or measure the stability of these features"
            )
        return kept, {"below min_icc": len(low), "no intraclass correlation": len(unknown)}

    def _require_both_classes(self, labels: npt.NDArray[np.float64]) -> None:
        if len(set(labels[np.isfinite(labels)])) < 2:
            raise DataError(
                "found one class only among the training rows, expected both; use fewer folds or more patients"
            )

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


def _standard(
    values: npt.NDArray[np.float64], weight: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Weighted median, and weighted mean and standard deviation after imputation by it, each (columns,)."""
    median = weighted_medians(values, weight)
    filled = imputed(values, median)
    mean = np.average(filled, axis=0, weights=weight)
    return median, mean, np.sqrt(np.average((filled - mean) ** 2, axis=0, weights=weight))


def _prefixes(values: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(prefix_of(str(name)) for name in values.columns))


def _is_present(values: pd.DataFrame, prefix: str) -> pd.Series:
    columns = [name for name in values.columns if prefix_of(str(name)) == prefix]
    return values[columns].notna().any(axis=1)
