"""Who belongs to a cohort: conditions on what is known before surgery.

A condition is checked when it is stated, and applied in one place for everybody: the development patients, external
sources, and the cases that a bundle is asked about. Whoever is outside gets a code and a sentence and is counted.

What describes the patient or the tumour (age, clinical stage, size, BI-RADS, ...) is one per axilla: an axilla is
outside as soon as one image set of its tumour states a value that is, and its value is missing only where none of them
states any. What describes an image or its examination (scanner, state of elastography, days to surgery, ...) is judged
image by image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.columns import (
    ACQUISITION,
    AXILLA_KEY,
    BOOLEAN,
    FLOAT,
    INTEGER,
    PREOPERATIVE,
    Column,
    known_too_late,
)
from usdlr.core.errors import ConfigError
from usdlr.core.named_parts import nearest
from usdlr.core.types import ExclusionCode, Site

KEY = "data.where"
# `site` has rules of its own, flags are several words in one cell, and the rest says nothing about who is examined.
_NOT_ASKED: Final = ("site", "quality_flags", "source_row", "source_col", "reader_id")
COHORT_COLUMNS: Final[dict[str, Column]] = {
    column.name: column for column in (*PREOPERATIVE, *ACQUISITION) if column.name not in _NOT_ASKED
}
# Pre-operative, and yet of one examination: an axilla may have been examined twice.
_OF_EXAMINATION: Final = ("days_us_to_surgery",)
_BOUNDS = ("min", "max")
Condition = list[Any] | dict[str, float]
Bool = npt.NDArray[np.bool_]


def checked_conditions(where: Mapping[str, Any]) -> dict[str, Condition]:
    """Conditions on columns as plain data.

    Parameters
    ----------
    where : mapping of str to list or mapping
        By column the values that are inside, or ``min`` and ``max`` of a number, both inclusive; all must hold.

    Raises
    ------
    ConfigError
        If a column is an outcome, known only after surgery, or not one that can be asked; or if a condition is empty,
        contradicts itself, or names a value that the column cannot have.

    Examples
    --------
    >>> checked_conditions({"cn_stage": ["cN0"], "age_years": {"min": 18}})
    {'cn_stage': ['cN0'], 'age_years': {'min': 18.0}}
    """
    return {str(name): _checked(str(name), condition) for name, condition in where.items()}


def condition_words(where: Mapping[str, Condition]) -> str:
    """The conditions in words; empty without any.

    Examples
    --------
    >>> condition_words({"cn_stage": ["cN0"], "age_years": {"min": 18.0, "max": 80.0}})
    'cn_stage one of cN0, age_years at least 18 and at most 80'
    """
    return ", ".join(f"{name} {_words(condition)}" for name, condition in where.items())


def outside(cases: pd.DataFrame, where: Mapping[str, Condition]) -> dict[str, tuple[str, str]]:
    """Code and sentence of every image set that a condition leaves out, by image id.

    Parameters
    ----------
    cases : DataFrame
        A ``cases`` table.
    where : mapping of str to list or mapping
        From :func:`checked_conditions`; the first that fails is named.

    Returns
    -------
    dict of str to tuple of str
        ``outside_cohort`` where a value is outside, ``cohort_unknown`` where it is not known.
    """
    reasons: dict[str, tuple[str, str]] = {}
    for name, condition in where.items():
        values = cases[name].reset_index(drop=True)
        known = values.notna().to_numpy(dtype=bool)
        out = known & ~_inside(values, COHORT_COLUMNS[name], condition)
        missing = ~known
        if COHORT_COLUMNS[name] in PREOPERATIVE and name not in _OF_EXAMINATION:
            # What a lymph node's row states of it is not said of the tumour.
            tumour = (cases["site"] == str(Site.TUMOUR)).to_numpy(dtype=bool)
            asked = tumour | ~_of_any(cases, tumour)
            out, missing = _of_any(cases, out & asked), ~_of_any(cases, known & asked)
        for image_id, is_out, is_missing in zip(cases["image_id"].astype("str"), out, missing, strict=True):
            if is_out:
                # No value of the patient's own: the sentence is shown as an example on the report's page.
                code, found = ExclusionCode.OUTSIDE_COHORT, f"{name} outside the cohort"
                mend = f"widen {KEY} if the axilla belongs to it"
            elif is_missing:
                code, found = ExclusionCode.COHORT_UNKNOWN, f"no {name}"
                mend = "add the value, or leave the case out"
            else:
                continue
            sentence = f"found {found}, expected {name} {_words(condition)} ({KEY}); {mend}"
            reasons.setdefault(image_id, (str(code), sentence))
    return reasons


def _checked(name: str, condition: Any) -> Condition:
    column = COHORT_COLUMNS.get(name)
    if column is None:
        why = known_too_late(name)
        if why is not None:
            raise ConfigError(
                f"found {KEY}.{name}, {why}: patients chosen by it cannot be told before surgery, expected some of "
                f"{', '.join(COHORT_COLUMNS)}"
            )
        raise ConfigError(
            f"found {KEY}.{name}, which is no column that a cohort can be chosen by, expected some of "
            f"{', '.join(COHORT_COLUMNS)}{nearest(name, COHORT_COLUMNS)}"
        )
    if isinstance(condition, Mapping):
        return _checked_bounds(column, condition)
    if isinstance(condition, list | tuple):
        return _checked_values(column, list(condition))
    raise ConfigError(f"found {KEY}.{name} = {condition!r}, expected a list of values or min and max{_example(column)}")


def _checked_bounds(column: Column, condition: Mapping[Any, Any]) -> dict[str, float]:
    key = f"{KEY}.{column.name}"
    if column.dtype not in (FLOAT, INTEGER):
        raise ConfigError(f"found {key} = {dict(condition)}, expected a list of values{_example(column)}")
    if not condition or not set(condition) <= set(_BOUNDS):
        raise ConfigError(f"found {key} = {dict(condition)}, expected min, max or both{_example(column)}")
    for value in condition.values():
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
            raise ConfigError(f"found {key} = {dict(condition)}, expected finite numbers{_example(column)}")
    bounds = {word: float(condition[word]) for word in _BOUNDS if word in condition}
    if len(bounds) == 2 and bounds["min"] > bounds["max"]:
        raise ConfigError(f"found {key} with min = {bounds['min']:g} above max = {bounds['max']:g}; exchange them")
    return bounds


def _checked_values(column: Column, values: list[Any]) -> list[Any]:
    key = f"{KEY}.{column.name}"
    if column.dtype == BOOLEAN:
        right = all(isinstance(value, bool) for value in values)
    elif column.dtype in (FLOAT, INTEGER):
        right = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    else:
        # YAML reads BI-RADS 4 as a number.
        right = all(isinstance(value, str | int) and not isinstance(value, bool) for value in values)
        values = [str(value) for value in values]
    if not values or not right or len(set(values)) != len(values):
        raise ConfigError(f"found {key} = {values}, expected one or more different values{_example(column)}")
    for value in values:
        if column.choices and value not in column.choices:
            raise ConfigError(
                f"found {key} = {value!r}, expected some of {', '.join(column.choices)}{nearest(value, column.choices)}"
            )
    return values


def _example(column: Column) -> str:
    if column.dtype in (FLOAT, INTEGER):
        return f", e.g. {{{column.name}: {{min: 1, max: 2}}}}"
    value = "true" if column.dtype == BOOLEAN else (column.choices or ("name",))[0]
    return f", e.g. {{{column.name}: [{value}]}}"


def _words(condition: Condition) -> str:
    if isinstance(condition, dict):
        words = {"min": "at least", "max": "at most"}
        return " and ".join(f"{words[bound]} {value:g}" for bound, value in condition.items())
    shown = [str(value).lower() if isinstance(value, bool) else str(value) for value in condition]
    return f"one of {', '.join(shown)}"


def _inside(values: pd.Series, column: Column, condition: Condition) -> Bool:
    """Whether known values meet a condition; nothing is said of unknown ones."""
    if isinstance(condition, dict):
        numbers = pd.to_numeric(values).astype("float64").to_numpy()
        low, high = condition.get("min", -np.inf), condition.get("max", np.inf)
        return np.asarray((numbers >= low) & (numbers <= high), dtype=np.bool_)
    if column.dtype in (FLOAT, INTEGER):
        numbers = pd.to_numeric(values).astype("float64").to_numpy()
        return np.asarray(np.isin(numbers, np.array(condition, dtype=np.float64)), dtype=np.bool_)
    return values.isin(condition).to_numpy(dtype=bool)


def _of_any(cases: pd.DataFrame, true: Bool) -> Bool:
    """Whether it is true of any image set of the same axilla."""
    keys = cases[AXILLA_KEY].reset_index(drop=True)
    found: pd.Series = keys.assign(true=true).groupby(AXILLA_KEY, sort=False)["true"].transform("any")
    return found.to_numpy(dtype=bool)
