"""What every column selector shares: the guard, imputation, and a record of what went and why."""

from __future__ import annotations

import difflib
from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

from usdlr.core.errors import ConfigError, DataError
from usdlr.core.leak import Rows, require_split
from usdlr.core.types import Split
from usdlr.radiomics.selection.column_statistics import DIGITS, Array, auc, imputed, medians


@dataclass(frozen=True)
class Training:
    """The training rows as numbers.

    Parameters
    ----------
    names : list of str
        Columns, in the table's order.
    measured : ndarray of bool, (rows, columns)
        Where a value was there and finite.
    raw : ndarray, (rows, columns)
        Values; not-a-number where none was measured.
    values : ndarray, (rows, columns)
        The same, imputed by the column's median; 0 where a column has no value at all.
    labels : ndarray, (rows,)
        1 positive, 0 negative, not-a-number unknown.
    patients : ndarray of int, (rows,)
        Which rows belong to one patient: a number per patient, in the order of their appearance.
    """

    names: list[str]
    measured: npt.NDArray[np.bool_]
    raw: Array
    values: Array
    labels: Array
    patients: npt.NDArray[np.intp]

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Rows with a known label."""
        return np.isfinite(self.labels)

    def by_patient(self) -> tuple[Array, Array]:
        """One row per patient and class: the mean of that patient's rows of that class, and the class.

        Several images of one patient are not independent, and a test that counts rows would be too sure.
        """
        known = self.known
        pairs = np.stack([self.patients[known], self.labels[known].astype(np.intp)], axis=1)
        unique, place = np.unique(pairs, axis=0, return_inverse=True)
        place = place.reshape(-1)
        if len(unique) == len(pairs):
            return self.values[known], self.labels[known]
        sums = np.zeros((len(unique), self.values.shape[1]))
        np.add.at(sums, place, self.values[known])
        return sums / np.bincount(place)[:, None], unique[:, 1].astype(np.float64)


@dataclass(frozen=True)
class Choice:
    """What a selector decided.

    Parameters
    ----------
    keep : list of int
        Positions of the kept columns, in the order of the output.
    reasons : dict of int to str
        Why each other column went, one short word.
    """

    keep: list[int]
    reasons: dict[int, str]


def check_range(name: str, value: float, low: float, high: float, *, whole: bool = False) -> None:
    """Refuse an option outside its range.

    Raises
    ------
    ConfigError
        Naming the option, the value and the range.

    Examples
    --------
    >>> check_range("correlation.max_correlation", 0.9, 0, 1)
    """
    kind = "a whole number" if whole else "a number"
    right = isinstance(value, (int, np.integer) if whole else (int, float, np.number)) and not isinstance(value, bool)
    if not right or not low <= float(value) <= high:
        raise ConfigError(f"found {name} = {value!r}, expected {kind} from {low:g} to {high:g}")


def check_choice(name: str, value: object, allowed: Collection[str]) -> None:
    """Refuse a word that is not among ``allowed``.

    Raises
    ------
    ConfigError
        Naming the nearest word.
    """
    if value not in allowed:
        near = difflib.get_close_matches(str(value), sorted(allowed), 1, 0.0)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"found {name} = {value!r}, expected one of {', '.join(sorted(allowed))}{hint}")


def training_table(X: pd.DataFrame, y: npt.ArrayLike, rows: Rows, what: str) -> Training:
    """Check and impute the training rows of a selector.

    Raises
    ------
    LeakError
        If a row is not of the training split.
    DataError
        If lengths differ, a column's name repeats, a column is not numeric, or a label is neither 0, 1 nor unknown.
    """
    require_split(rows, [Split.TRAIN], what)
    labels = np.asarray(y, dtype=np.float64)
    if not len(X) == len(labels) == len(rows):
        raise DataError(
            f"found {len(X)} rows of features, {labels.size} labels and {len(rows)} patients for the {what}, expected "
            "as many of each; pass the rows of the same table"
        )
    if len(X) == 0:
        raise DataError(f"found no training row for the {what}, expected some; use fewer folds or more patients")
    names = [str(name) for name in X.columns]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise DataError(f"found the column {repeated[0]!r} twice, expected every name once; drop one of them")
    known = labels[np.isfinite(labels)]
    if not np.isin(known, (0.0, 1.0)).all():
        odd = known[~np.isin(known, (0.0, 1.0))][0]
        raise DataError(f"found the label {odd:g} for the {what}, expected 0, 1 or unknown; pass a binary endpoint")
    try:
        raw = X.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    except (TypeError, ValueError) as error:
        raise DataError(f"found a column of words ({error}), expected numbers; encode it before the {what}") from error
    measured = np.isfinite(raw)
    raw[~measured] = np.nan
    codes = pd.factorize(np.array(rows.patient_id, dtype=object))[0].astype(np.intp)
    return Training(names, measured, raw, imputed(raw, medians(raw)), labels, codes)


def information(table: Training) -> Array:
    """Distance of every column's AUC from chance, (columns,), 0 to 0.5, over rows with a known label."""
    known = table.known
    return np.asarray(np.round(np.abs(auc(table.values[known], table.labels[known]) - 0.5), DIGITS), dtype=np.float64)


class ColumnSelector(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # sklearn publishes no types
    """Keep some columns of a table, chosen on training rows only.

    Attributes
    ----------
    columns_ : list of str
        Kept columns in the order of the output.
    dropped_ : dict of str to str
        Why each other column went, one short word; empty after :meth:`from_dict`.
    counts_ : dict of str to int
        How many columns went for each reason.
    fitted_patients_ : frozenset of str
        Who was seen; empty after :meth:`from_dict`.
    """

    step: ClassVar[str] = ""
    supervised: ClassVar[bool] = True
    always: tuple[str, ...]

    def fit(self, X: pd.DataFrame, y: npt.ArrayLike, *, rows: Rows) -> Self:
        """Choose on training rows.

        Parameters
        ----------
        X : DataFrame, (rows, columns)
            Features; not-a-number where something could not be measured.
        y : array, (rows,)
            1 positive, 0 negative, not-a-number unknown (such rows never count where the label does).
        rows : Rows
            Whose rows they are.

        Raises
        ------
        LeakError
            If a row is not of the training split.
        ConfigError
            If an option is out of its range.
        DataError
            If the table cannot be read, a column of ``always`` is missing, or one class only is known.
        """
        self.check()
        table = training_table(X, y, rows, f"selection step {self.step}")
        absent = [name for name in self.always if name not in table.names]
        if absent:
            raise DataError(f"found no column {absent[0]!r}, expected it in the design table, since it is always kept")
        if self.supervised and len(set(table.labels[table.known].tolist())) < 2:
            raise DataError(
                f"found one class only among the training rows of the selection step {self.step}, expected both; "
                "use fewer folds or more patients"
            )
        choice = self._choose(table)
        kept = set(choice.keep)
        # What is always kept stands first, in the order given, as the model's table has it.
        forced = [table.names.index(name) for name in self.always]
        order = [*forced, *(place for place in choice.keep if place not in set(forced))]
        kept.update(forced)
        self.columns_ = [table.names[place] for place in order]
        self.dropped_ = {name: choice.reasons[place] for place, name in enumerate(table.names) if place not in kept}
        self.counts_ = dict(sorted(Counter(self.dropped_.values()).items()))
        self.fitted_patients_ = rows.patients
        return self

    def check(self) -> None:
        """Refuse options out of their range.

        Raises
        ------
        ConfigError
            Naming the option.
        """

    @abstractmethod
    def _choose(self, table: Training) -> Choice:
        """Decide which columns stay; those of ``always`` are added afterwards."""

    def _record(self) -> dict[str, Any]:
        """What else was learnt, as plain data."""
        return {}

    def _restore(self, record: dict[str, Any]) -> None:
        """Take back what :meth:`_record` gave."""

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """The kept columns of any rows, in the order of ``columns_``, values as they are.

        Raises
        ------
        DataError
            If a kept column is missing.
        """
        missing = [name for name in self.columns_ if name not in X.columns]
        if missing:
            raise DataError(
                f"found no feature {missing[0]!r} (and {len(missing) - 1} more), expected the features that the "
                f"selection step {self.step} kept; extract them with the same settings"
            )
        return X[self.columns_]

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:
        """Names of the output columns."""
        return np.array(self.columns_, dtype=object)

    def options(self) -> dict[str, Any]:
        """The constructor's arguments without ``always``, as plain data."""
        return {name: value for name, value in self.get_params(deep=False).items() if name != "always"}

    def to_dict(self) -> dict[str, Any]:
        """The fitted state as plain data, without patients."""
        return {
            "step": self.step,
            "options": self.options(),
            "always": list(self.always),
            "columns": list(self.columns_),
            "dropped": dict(self.counts_),
            "record": self._record(),
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Restore what :meth:`to_dict` gave.

        Raises
        ------
        ConfigError
            If the state is of another step.
        """
        if state["step"] != cls.step:
            raise ConfigError(f"found the state of the selection step {state['step']!r}, expected {cls.step!r}")
        selector = cls(**state["options"], always=tuple(state["always"]))
        selector.columns_ = list(state["columns"])
        selector.dropped_ = {}
        selector.counts_ = dict(state["dropped"])
        selector.fitted_patients_ = frozenset()
        selector._restore(state["record"])
        return selector

    def _forced(self, table: Training) -> list[int]:
        return [table.names.index(name) for name in self.always]


def topped_up(keep: Iterable[int], order: Sequence[int], at_least: int, forced: Sequence[int]) -> list[int]:
    """``keep``, filled from ``order`` until ``at_least`` columns stay, those always kept included."""
    out = list(keep)
    for place in order:
        if len(set(out) | set(forced)) >= at_least:
            break
        if place not in out:
            out.append(place)
    return out


def prefix_of(column: str) -> str:
    """The modality of a feature column, ``clinical`` for a clinical one.

    Examples
    --------
    >>> prefix_of("bmode.peritumoral.original.glcm.Contrast")
    'bmode'
    """
    return column.split(".", 1)[0]
