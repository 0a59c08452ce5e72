"""A logistic model as clinicians read it: points per variable, total points, probability."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from usdlr.core.errors import DataError
from usdlr.core.leak import Rows, require_split
from usdlr.core.types import Split

LONGEST = 100.0  # points of the variable that moves the log-odds most over its training range
RIDGE_C = 1.0


@dataclass(frozen=True)
class Variable:
    """One line of a nomogram.

    Parameters
    ----------
    name : str
        Column of the design table, e.g. ``clinical.tumour_size_mm``.
    title : str
        Words on the line.
    unit : str
        Unit in the label; empty for a number without one.
    coefficient : float
        Log-odds per unit.
    low, high : float
        Smallest and largest value in the training rows, ``low < high``.
    """

    name: str
    title: str
    unit: str
    coefficient: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.coefficient, self.low, self.high))) or not self.low < self.high:
            raise DataError(
                f"found the nomogram's variable {self.name} with the coefficient {self.coefficient} from {self.low} to "
                f"{self.high}, expected finite numbers and a range that is not empty; leave the variable out"
            )

    @property
    def reference(self) -> float:
        """The end of the range that has 0 points."""
        return self.low if self.coefficient >= 0 else self.high

    @property
    def span(self) -> float:
        """Log-odds between the ends of the range."""
        return abs(self.coefficient) * (self.high - self.low)


@dataclass(frozen=True)
class Reading:
    """What a nomogram says about one row.

    Parameters
    ----------
    points : dict of str to float
        By variable; below 0 or above the line's length only where extrapolated.
    total : float
        Their sum.
    probability : float
        Of the outcome.
    extrapolated : tuple of str
        Variables outside the range of the training rows.
    """

    points: dict[str, float]
    total: float
    probability: float
    extrapolated: tuple[str, ...]


@dataclass(frozen=True)
class Nomogram:
    """A logistic model with one point scale.

    Parameters
    ----------
    outcome : str
        Words for the probability, e.g. ``"SLN positive"``.
    variables : tuple of Variable
        From the top line down.
    intercept : float
        Log-odds where every variable is 0.
    n, events : int
        Training rows, and how many of them are positive.

    Notes
    -----
    The variable whose log-odds differ most between the ends of its training range gets 100 points at its better end;
    all others share that scale. Points are 0 at the end of the range that speaks against the outcome. A value outside
    the training range is refused unless extrapolation is asked for, and is then named in the reading.

    Examples
    --------
    >>> size = Variable("clinical.tumour_size_mm", "Tumour size", "mm", 0.05, 5.0, 45.0)
    >>> nomogram = Nomogram("SLN positive", (size,), -2.0, 100, 30)
    >>> nomogram.points({"clinical.tumour_size_mm": 25.0})
    {'clinical.tumour_size_mm': 50.0}
    >>> round(nomogram.probability({"clinical.tumour_size_mm": 40.0}), 12)
    0.5
    """

    outcome: str
    variables: tuple[Variable, ...]
    intercept: float
    n: int
    events: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "variables", tuple(self.variables))
        names = [variable.name for variable in self.variables]
        if not names or len(set(names)) < len(names):
            raise DataError(f"found the nomogram's variables {names}, expected at least one and each once")
        if not math.isfinite(self.intercept):
            raise DataError(f"found the nomogram's intercept {self.intercept}, expected a finite number; fit it again")

    @property
    def log_odds_per_point(self) -> float:
        """Log-odds that one point stands for; 0 where no variable says anything."""
        return max(variable.span for variable in self.variables) / LONGEST

    @property
    def base(self) -> float:
        """Log-odds at 0 points."""
        return self.intercept + math.fsum(v.coefficient * v.reference for v in self.variables)

    @property
    def most_points(self) -> float:
        """Total points where every variable is at its worse end."""
        return math.fsum(self.points_of(v, v.low + v.high - v.reference) for v in self.variables)

    def points_of(self, variable: Variable, value: float) -> float:
        """Points of one variable at a value, inside its range or not."""
        scale = self.log_odds_per_point
        return variable.coefficient * (value - variable.reference) / scale if scale > 0 else 0.0

    def value_at(self, variable: Variable, points: float) -> float:
        """The value of a variable that has so many points; its reference where the variable says nothing."""
        if variable.coefficient == 0:
            return variable.reference
        return variable.reference + points * self.log_odds_per_point / variable.coefficient

    def probability_at(self, total: float) -> float:
        """Probability of the outcome at a total of points."""
        return float(expit(self.base + total * self.log_odds_per_point))

    def total_at(self, probability: float) -> float:
        """Total of points at a probability strictly between 0 and 1; not-a-number where no variable says anything."""
        scale = self.log_odds_per_point
        return (math.log(probability / (1 - probability)) - self.base) / scale if scale > 0 else math.nan

    def read(self, row: Mapping[str, Any], *, extrapolate: bool = False) -> Reading:
        """Points, total and probability of one row.

        Parameters
        ----------
        row : mapping of str to number
            Has every variable under its name; more is ignored.
        extrapolate : bool
            Go on beyond the range of the training rows, and name the variables.

        Raises
        ------
        DataError
            If a variable is missing or no finite number, or lies outside its range and ``extrapolate`` is off.
        """
        points: dict[str, float] = {}
        outside: list[str] = []
        for variable in self.variables:
            value = self._value(row, variable)
            if not variable.low <= value <= variable.high:
                if not extrapolate:
                    raise DataError(
                        f"found {variable.name} = {value:g}, expected {variable.low:g} to {variable.high:g}"
                        f"{' ' + variable.unit if variable.unit else ''}, the range of the training rows; "
                        "ask for extrapolation if it is meant"
                    )
                outside.append(variable.name)
            points[variable.name] = self.points_of(variable, value)
        total = math.fsum(points.values())
        return Reading(points, total, self.probability_at(total), tuple(outside))

    def points(self, row: Mapping[str, Any], *, extrapolate: bool = False) -> dict[str, float]:
        """Points by variable; see :meth:`read`."""
        return self.read(row, extrapolate=extrapolate).points

    def probability(self, row: Mapping[str, Any], *, extrapolate: bool = False) -> float:
        """Probability of the outcome; see :meth:`read`."""
        return self.read(row, extrapolate=extrapolate).probability

    def _value(self, row: Mapping[str, Any], variable: Variable) -> float:
        found = row.get(variable.name)
        try:
            value = float(found)  # type: ignore[arg-type]  # None and pandas' NA raise, as they should
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise DataError(
                f"found {variable.name} = {found}, expected a number; a missing value is never guessed: measure it, or "
                "use a nomogram without it"
            )
        return value

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "variables": [asdict(variable) for variable in self.variables]}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Restore what :meth:`to_dict` gave.

        Raises
        ------
        DataError
            If a key is missing or unknown.
        """
        try:
            variables = tuple(Variable(**variable) for variable in state["variables"])
            return cls(**{**state, "variables": variables})
        except (KeyError, TypeError) as error:
            raise DataError(f"found a nomogram's record that cannot be read ({error}); write it again") from error


def fit_nomogram(
    X: pd.DataFrame,
    y: npt.ArrayLike,
    *,
    rows: Rows,
    words: Mapping[str, tuple[str, str]],
    outcome: str,
    ranges: pd.DataFrame | None = None,
) -> Nomogram:
    """A nomogram of the columns of a table.

    The logistic regression has a weak ridge (C = 1 on standardised columns), so that a column which parts few rows
    without error keeps a finite coefficient.

    Parameters
    ----------
    X : DataFrame, (rows, variables)
        Finite numbers, one column per line of the nomogram.
    y : array, (rows,)
        1 positive, 0 negative.
    rows : Rows
        Whose rows they are.
    words : mapping of str to (str, str)
        Title and unit by column.
    outcome : str
        Words for the probability.
    ranges : DataFrame, (any rows, variables), optional
        Training rows whose extremes are the lines' ends, ``X`` itself by default.

    Raises
    ------
    LeakError
        If a row is not of the training split.
    DataError
        If a value is not finite, no column varies, or the labels are not 0 and 1. A column that does not vary is left
        out.
    """
    require_split(rows, [Split.TRAIN], "nomogram")
    labels = np.asarray(y, dtype=np.float64)
    if set(labels.tolist()) != {0.0, 1.0}:
        raise DataError("found labels other than both 0 and 1 in the training rows of the nomogram, expected both")
    values = X.to_numpy(np.float64)
    if not np.isfinite(values).all():
        raise DataError(
            "found a value that is no finite number in the fit of the nomogram; impute or leave the row out"
        )
    ends = X if ranges is None else ranges[list(X.columns)]
    names = [str(name) for name in X.columns if X[name].min() < X[name].max() and ends[name].min() < ends[name].max()]
    if not names:
        raise DataError("found no variable that varies over the training rows of the nomogram, expected at least one")
    values = X[names].to_numpy(np.float64)
    mean, scale = values.mean(axis=0), values.std(axis=0)
    model = LogisticRegression(C=RIDGE_C, tol=1e-8, max_iter=1000).fit((values - mean) / scale, labels)
    slopes = model.coef_[0] / scale
    return Nomogram(
        outcome,
        tuple(
            Variable(name, *words[name], float(slope), float(ends[name].min()), float(ends[name].max()))
            for name, slope in zip(names, slopes, strict=True)
        ),
        float(model.intercept_[0] - slopes @ mean),
        len(labels),
        int(labels.sum()),
    )


def worked_example(nomogram: Nomogram, row: Mapping[str, Any], *, extrapolate: bool = False) -> Sequence[str]:
    """The reading of one row in sentences, as beside a drawn nomogram."""
    reading = nomogram.read(row, extrapolate=extrapolate)
    lines = [
        f"{v.title} {float(row[v.name]):.3g}{' ' + v.unit if v.unit else ''}: {reading.points[v.name]:.0f} points"
        + (" (outside the training range)" if v.name in reading.extrapolated else "")
        for v in nomogram.variables
    ]
    return [
        *lines,
        f"total {reading.total:.0f} points: probability of {nomogram.outcome} {100 * reading.probability:.0f} %",
    ]
