"""Keep the features that come out alike when a lesion is measured again; judged on training cases only."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

from usdlr.core.errors import ConfigError, DataError
from usdlr.core.leak import Rows, require_split
from usdlr.core.modalities import MODALITIES
from usdlr.core.types import Split
from usdlr.radiomics.stability.repeats import Source, agreement_table, feature_names

DEFAULT_BOUND = 0.75
JUDGES = ("icc21", "icc21_low", "icc31", "icc31_low")
# Correlations are compared after rounding: the last digits of a sum depend on how many features there are.
DIGITS = 9


class Unjudged(StrEnum):
    """What becomes of a feature without an intraclass correlation."""

    DROP = "drop"
    KEEP = "keep"


class StableFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # sklearn publishes no types
    """Keep features whose intraclass correlation is at least a bound.

    Columns that are no features, such as clinical variables, are always kept.

    Parameters
    ----------
    bound : float
        Smallest correlation; 0.75 is where Koo and Li (2016), doi:10.1016/j.jcm.2016.02.012, let good begin.
    judge : str
        ``icc21`` or ``icc31``, or the lower end of its 95 % interval: ``icc21_low`` or ``icc31_low``.
    unjudged : str
        ``drop`` or ``keep`` features without a correlation: never repeated, or constant, or in too few cases.

    Attributes
    ----------
    columns_ : list of str
        Kept columns in the order of the table.
    icc_ : dict of str to float
        The judged correlation of every feature that has one.
    unjudged_ : dict of str to str
        Features of the table without one, and why.
    cases_ : int
        Training cases with repeated measurements.
    fitted_patients_ : frozenset of str
        Who was seen.
    """

    def __init__(self, bound: float = DEFAULT_BOUND, judge: str = "icc21", unjudged: str = str(Unjudged.DROP)) -> None:
        self.bound = bound
        self.judge = judge
        self.unjudged = unjudged

    def fit(self, X: pd.DataFrame, y: object = None, *, rows: Rows, repeats: pd.DataFrame) -> Self:
        """Judge every feature on the repeated measurements of the training cases.

        Parameters
        ----------
        X : DataFrame, (rows, columns)
            Design table of the training rows, indexed by ``image_id``.
        y : object
            Not looked at: stability has nothing to do with the outcome.
        rows : Rows
            Whose rows they are.
        repeats : DataFrame
            Repeated measurements, see :mod:`usdlr.radiomics.stability.repeats`; those of other cases than the rows of
            ``X`` are not looked at.

        Raises
        ------
        ConfigError
            If a parameter is none of its choices.
        LeakError
            If a row is not of the training split.
        DataError
            If no training case was measured repeatedly, or nothing is kept.
        """
        self._require_parameters()
        require_split(rows, [Split.TRAIN], "stable features")
        if len(rows) != len(X):
            raise ValueError(f"{len(X)} rows of features but {len(rows)} of patients")
        mine = repeats[repeats["image_id"].isin(set(X.index))]
        self.cases_ = int(mine["image_id"].nunique())
        if self.cases_ < 2:
            raise DataError(
                f"found repeated measurements of {self.cases_} of {len(X)} training cases, expected at least 2; "
                "measure more of them again, and index the table by image_id"
            )
        # Which kind of repeats they are does not enter the numbers.
        table = agreement_table(mine, Source.PERTURBATION).set_index("feature")
        features = feature_names(X)
        judged = table[self.judge].dropna().round(DIGITS)
        self.icc_ = {name: float(judged[name]) for name in features if name in judged.index}
        self.unjudged_ = {name: _why(name, table) for name in features if name not in self.icc_}
        self.columns_ = [str(name) for name in X.columns if self._keeps(str(name), set(features))]
        if not self.columns_:
            raise DataError(
                f"found no feature with {self.judge} of at least {self.bound:g} among {len(features)}, expected some; "
                "lower the bound or perturb the outlines by less"
            )
        self.fitted_patients_ = rows.patients
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """The kept columns of any rows.

        Raises
        ------
        DataError
            If one is missing, other than those of an optional modality that no row has: they are not-a-number.
        """
        there = {str(name).partition(".")[0] for name in X.columns}
        nowhere = {name for name, modality in MODALITIES.items() if not modality.required and name not in there}
        missing = [name for name in self.columns_ if name not in X.columns and name.partition(".")[0] not in nowhere]
        if missing:
            raise DataError(
                f"found no feature {missing[0]!r} (and {len(missing) - 1} more), expected the features that were kept; "
                "extract them with the same settings"
            )
        return X.reindex(columns=self.columns_)

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:
        """Names of the kept columns."""
        return np.array(self.columns_, dtype=object)

    def to_dict(self) -> dict[str, Any]:
        """The fitted state as plain data, without patients."""
        return {
            "bound": self.bound,
            "judge": self.judge,
            "unjudged": str(self.unjudged),
            "columns": self.columns_,
            "icc": self.icc_,
            "unjudged_features": self.unjudged_,
            "cases": self.cases_,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Restore what :meth:`to_dict` gave."""
        stable = cls(state["bound"], state["judge"], state["unjudged"])
        stable.columns_ = list(state["columns"])
        stable.icc_ = {str(name): float(value) for name, value in state["icc"].items()}
        stable.unjudged_ = dict(state["unjudged_features"])
        stable.cases_ = int(state["cases"])
        stable.fitted_patients_ = frozenset()
        return stable

    def _keeps(self, name: str, features: set[str]) -> bool:
        if name in self.icc_:
            return self.icc_[name] >= round(self.bound, DIGITS)
        return name not in features or self.unjudged == Unjudged.KEEP

    def _require_parameters(self) -> None:
        if self.judge not in JUDGES:
            raise ConfigError(f"found judge = {self.judge!r}, expected one of {', '.join(JUDGES)}")
        if self.unjudged not in tuple(map(str, Unjudged)):
            raise ConfigError(f"found unjudged = {self.unjudged!r}, expected {' or '.join(Unjudged)}")
        if not -1 <= self.bound <= 1:
            raise ConfigError(f"found bound = {self.bound}, expected a correlation from -1 to 1")


def _why(name: str, table: pd.DataFrame) -> str:
    if name not in table.index:
        return "found no repeated measurement, expected some"
    return str(table.loc[name, "reason"])
