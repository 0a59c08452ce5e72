"""Fields that published scores read, and how a row's values are checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core.columns import CASES
from usdlr.core.errors import DataError

_KNOWN = {column.name: column for column in CASES}


@dataclass(frozen=True)
class Field:
    """One input of a published score.

    Parameters
    ----------
    name : str
        Column of ``cases``, or a further column of this name.
    meaning : str
        What it holds.
    unit : str
        Physical unit.
    choices : tuple of str
        Allowed words; empty for a number or a yes-or-no.
    boolean : bool
        Whether it is true or false.
    low, high : float or None
        Inclusive bounds of a number.
    whole : bool
        Whether the number is a count or a grade.
    preoperative : bool
        Whether it is known before surgery; the ``cases`` table decides for its own columns.
    unless : tuple of str
        ``(earlier field, its value)`` that makes this field needless.
    """

    name: str
    meaning: str
    unit: str = ""
    choices: tuple[str, ...] = ()
    boolean: bool = False
    low: float | None = None
    high: float | None = None
    whole: bool = False
    preoperative: bool = False
    unless: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if self.in_cases and self.preoperative != _KNOWN[self.name].preoperative:
            raise ValueError(f"{self.name}: the cases table says preoperative = {_KNOWN[self.name].preoperative}")

    @property
    def in_cases(self) -> bool:
        """Whether the ``cases`` table has the column."""
        return self.name in _KNOWN

    @property
    def expected(self) -> str:
        """What a value has to be, in words."""
        if self.boolean:
            return "true or false"
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        kind = "a whole number" if self.whole else "a number"
        bounds = [f"at least {self.low:g}"] if self.low is not None else []
        bounds += [f"at most {self.high:g}"] if self.high is not None else []
        return " ".join([kind, " and ".join(bounds), f"({self.unit})" if self.unit else ""]).replace("  ", " ").strip()

    def as_row(self) -> dict[str, Any]:
        """The field as a row of a table."""
        return {
            "field": self.name,
            "unit": self.unit,
            "values": self.expected,
            "meaning": self.meaning,
            "in_cases": self.in_cases,
            "preoperative": self.preoperative,
        }

    def read(self, found: object) -> Any:
        """The checked value; ``None`` where ``found`` is not one."""
        if self.boolean:
            if isinstance(found, bool | np.bool_):
                return bool(found)
            return {0.0: False, 1.0: True}.get(_number(found))
        if self.choices:
            return found if isinstance(found, str) and found in self.choices else None
        value = _number(found)
        fits = (
            math.isfinite(value)
            and (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (not self.whole or value == int(value))
        )
        return value if fits else None


def _number(found: object) -> float:
    if isinstance(found, str):  # "1" in a column of words is a reading error of the table, not a number
        return math.nan
    try:
        return float(found)  # type: ignore[arg-type]  # None and pandas' NA raise, as they should
    except (TypeError, ValueError):
        return math.nan


def _missing(found: object) -> bool:
    return found is None or bool(pd.isna(found))  # type: ignore[call-overload]  # a scalar of any type


def read_fields(row: Mapping[str, Any], fields: tuple[Field, ...], title: str) -> dict[str, Any]:
    """Checked values of a row; needless ones are left out.

    Raises
    ------
    DataError
        Naming every field that is missing, or the first that is impossible.
    """
    values: dict[str, Any] = {}
    absent: list[Field] = []
    for field in fields:
        if field.unless is not None and values.get(field.unless[0]) == field.unless[1]:
            continue
        found = row.get(field.name)
        if _missing(found):
            absent.append(field)
            continue
        value = field.read(found)
        if value is None:
            raise DataError(
                f"found {field.name} = {found!r} for the {title}, expected {field.expected}; mend the table"
            )
        values[field.name] = value
    if absent:
        raise DataError(
            f"found no {', '.join(field.name for field in absent)} for the {title}, expected "
            + "; ".join(f"{field.name}: {field.expected}" for field in absent)
            + "; a missing field is never read as negative: add it to the table"
        )
    return values
