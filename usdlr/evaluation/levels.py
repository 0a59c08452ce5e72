"""What divides patients into groups: centre, device, tumour size, age, BI-RADS, density, elastography."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from usdlr.core.errors import ConfigError, DataError

UNKNOWN = "not known"


@dataclass(frozen=True)
class Variable:
    """What divides the patients.

    Parameters
    ----------
    name : str
        Column.
    title : str
        For readers.
    cuts : tuple of float
        For a numeric column: upper ends of all levels but the last, rising; an end belongs to the lower level, as
        20 mm belongs to T1. Empty for a column of words.
    unit : str
        Of the cuts.

    Raises
    ------
    ConfigError
        If the cuts do not rise.
    """

    name: str
    title: str
    cuts: tuple[float, ...] = ()
    unit: str = ""

    def __post_init__(self) -> None:
        if list(self.cuts) != sorted(set(self.cuts)) or not np.isfinite(self.cuts).all():
            raise ConfigError(f"found cuts {self.cuts} of {self.name}, expected finite numbers that rise; sort them")


# Tumour size at the borders of T1 and T2, age as in screening.
VARIABLES: tuple[Variable, ...] = (
    Variable("centre_id", "Centre"),
    Variable("device", "Scanner"),
    Variable("tumour_size_mm", "Tumour size", (20.0, 50.0), "mm"),
    Variable("age_years", "Age", (50.0, 70.0), "years"),
    Variable("birads", "BI-RADS"),
    Variable("density", "Breast density"),
    Variable("elastography", "Elastography"),
)


def levels(values: pd.Series, variable: Variable) -> tuple[pd.Series, list[str]]:
    """Level of each row, and the levels in the order in which they are shown.

    Parameters
    ----------
    values : Series
        The column; yes/no for bool, missing values become ``not known``, which is the last level.
    variable : Variable
        How it is divided.

    Raises
    ------
    DataError
        If a column with cuts holds something that is not a number.

    Examples
    --------
    >>> size = Variable("tumour_size_mm", "Size", (20.0, 50.0), "mm")
    >>> levels(pd.Series([20.0, 20.1, None]), size)[0].tolist()
    ['<=20 mm', '>20 to 50 mm', 'not known']
    """
    missing = values.isna().to_numpy(dtype=bool)
    if variable.cuts:
        numbers = known_numbers(values, variable.name)
        order = _ranges(variable)
        place = np.searchsorted(np.array(variable.cuts), numbers, side="left")
        named = np.where(missing, UNKNOWN, np.array(order, dtype=object)[np.where(missing, 0, place)])
    else:
        named = np.where(missing, UNKNOWN, _words(values).to_numpy(dtype=object))
        # Some centres write the words themselves.
        missing = missing | (named == UNKNOWN)
        order = sorted({str(name) for name in named[~missing]}, key=natural)
    present = set(named[~missing])
    shown = [name for name in order if name in present]
    return pd.Series(named.astype(str), index=values.index), shown + ([UNKNOWN] if missing.any() else [])


def known_numbers(values: pd.Series, name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A numeric column, not-a-number where nothing is known.

    Raises
    ------
    DataError
        If it holds something else than numbers.
    """
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    if (np.isnan(numbers) & ~values.isna().to_numpy(dtype=bool)).any() or np.isinf(numbers).any():
        raise DataError(f"found words or infinite values in {name}, expected numbers; correct the column")
    return numbers


def natural(name: str) -> tuple[tuple[float, str], ...]:
    """Sorting key by which numbers stand by size and before words: 4a after 3, Centre 10 after Centre 9.

    Examples
    --------
    >>> sorted(["Centre 10", "Centre 9", "10", "4a", "4"], key=natural)
    ['4', '4a', '10', 'Centre 9', 'Centre 10']
    """
    parts = re.findall(r"\d+(?:\.\d+)?|\D+", name)
    key = [(float(part), "") if part[0].isdecimal() else (float("inf"), part) for part in parts]
    return (*key, (-1.0, name))


def _ranges(variable: Variable) -> list[str]:
    unit = f" {variable.unit}" if variable.unit else ""
    inner = [f">{low:g} to {high:g}{unit}" for low, high in zip(variable.cuts, variable.cuts[1:], strict=False)]
    return [f"<={variable.cuts[0]:g}{unit}", *inner, f">{variable.cuts[-1]:g}{unit}"]


def _words(values: pd.Series) -> pd.Series:
    if _is_bool(values):
        return values.map({True: "yes", False: "no"})
    if pd.api.types.is_float_dtype(values.dtype):  # whole numbers become such where some are missing
        return values.map(lambda number: f"{number:g}", na_action="ignore").astype("string")
    return values.astype("string")


def _is_bool(values: pd.Series) -> bool:
    if pd.api.types.is_bool_dtype(values.dtype):
        return True
    told = values.dropna()
    return len(told) > 0 and all(isinstance(value, bool | np.bool_) for value in told)
