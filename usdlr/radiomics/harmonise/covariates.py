"""Covariates whose effect harmonisation keeps: which may be named, and how they become numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.columns import CASES, FLOAT, INTEGER, PREOPERATIVE, PROXY_PREFIX
from usdlr.core.errors import ConfigError, DataError


def require_covariates(continuous: Sequence[str], categorical: Sequence[str]) -> None:
    """Refuse a covariate that must not be preserved.

    Harmonisation keeps a covariate's effect by taking it out of the features and putting it back. It has to know the
    covariate of every row that it transforms, so an outcome would either be unknown at prediction or, worse, be
    written into the features that predict it: the label itself would sit in the input. What is known only after
    surgery is no different. How an image was taken (vendor, device) is part of the centre's effect, which is to go.

    Raises
    ------
    ConfigError
        If a variable is an outcome, known only after surgery, not a clinical variable of the cases table, named twice,
        or continuous without being a number.

    Examples
    --------
    >>> require_covariates(["age_years"], ["cn_stage"])
    >>> require_covariates([], ["sln_positive"])
    Traceback (most recent call last):
    ...
    usdlr.core.errors.ConfigError: found the covariate 'sln_positive', which is an outcome, ...
    """
    allowed = {column.name: column for column in PREOPERATIVE}
    known = {column.name: column for column in CASES}
    names = [*continuous, *categorical]
    for name in names:
        column = known.get(name)
        if name in allowed:
            continue
        if name.startswith(PROXY_PREFIX) or (column is not None and column.endpoint):
            why = "which is an outcome, so that keeping its effect would write the label into the features"
        elif column is not None and not column.preoperative:
            why = "which is known only after surgery"
        elif column is not None:
            why = "which says how or where the patient was examined"
        else:
            why = "which is not a variable of the cases table"
        raise ConfigError(f"found the covariate {name!r}, {why}, expected some of {', '.join(allowed)}; leave it out")
    for name in continuous:
        if allowed[name].dtype not in (FLOAT, INTEGER):
            raise ConfigError(f"found the continuous covariate {name!r}, which is not a number; name it in categorical")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"found the covariate {twice[0]!r} twice, expected it once; remove one")


@dataclass(frozen=True)
class Coding:
    """How covariates become columns of numbers.

    Parameters
    ----------
    continuous : tuple of str
        Taken as they are.
    levels : tuple of (str, tuple of str)
        Categorical variables with their levels in training; each level but the first gets a column of 0 and 1.
    """

    continuous: tuple[str, ...] = ()
    levels: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def learn(cls, table: pd.DataFrame | None, continuous: Sequence[str], categorical: Sequence[str]) -> Self:
        """Read the levels off the training rows.

        Raises
        ------
        DataError
            If a variable is not in ``table`` or a row lacks it.
        """
        levels = tuple((name, tuple(sorted(set(_words(_column(table, name)))))) for name in categorical)
        return cls(tuple(continuous), levels)

    @property
    def names(self) -> list[tuple[str, str]]:
        """Variable and level of every column; the level is empty for a continuous one."""
        return [(name, level) for name, levels in self.levels for level in levels[1:]] + [
            (name, "") for name in self.continuous
        ]

    def encode(self, table: pd.DataFrame | None, rows: int) -> npt.NDArray[np.float64]:
        """Encoded covariates, (rows, columns); no column where no covariate is kept.

        Raises
        ------
        DataError
            If a variable is not in ``table``, a row lacks it, or it has a level that training did not have.
        """
        if table is not None and len(table) != rows:
            raise DataError(f"found {len(table)} rows of covariates, expected {rows}: one per row of features")
        parts: list[npt.NDArray[np.float64]] = [np.zeros((rows, 0))]
        for name, levels in self.levels:
            words = _words(_column(table, name))
            strange = sorted(set(words) - set(levels))
            if strange:
                raise DataError(
                    f"found {name} = {strange[0]} in {sum(word in strange for word in words)} rows, expected one of "
                    f"{', '.join(levels)} as in training; merge the levels before fitting, or leave the covariate out"
                )
            parts.append((np.array(words, dtype=object)[:, None] == np.array(levels[1:], dtype=object)).astype(float))
        for name in self.continuous:
            parts.append(_column(table, name).to_numpy(np.float64)[:, None])
        return np.concatenate(parts, axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"continuous": list(self.continuous), "levels": {name: list(levels) for name, levels in self.levels}}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """Restore what :meth:`to_dict` gave."""
        levels = tuple((name, tuple(levels)) for name, levels in state["levels"].items())
        return cls(tuple(state["continuous"]), levels)


def _column(table: pd.DataFrame | None, name: str) -> pd.Series:
    if table is None or name not in table.columns:
        raise DataError(f"found no covariate {name!r}, expected a column of that name; pass covariates=cases[[...]]")
    column = table[name]
    missing = int(column.isna().sum())
    if missing:
        raise DataError(
            f"found {missing} of {len(column)} rows without {name}, expected a value in each, since its effect is "
            "taken out and put back; fill it in, leave those rows out, or leave the covariate out"
        )
    return column


def _words(values: pd.Series) -> list[str]:
    """Levels as words: 1, 1.0 and the nullable integer 1 are one level."""
    return [_word(value) for value in values]


def _word(value: object) -> str:
    if isinstance(value, (bool, np.bool_, str)):
        return str(value)
    number = float(value) if isinstance(value, (int, float, np.number)) else np.nan
    return str(int(number)) if number.is_integer() else str(value)
