"""How the model does in subgroups: centre, device, tumour size, age, BI-RADS, density, elastography.

Few patients stand behind a subgroup. Small levels keep their estimate and are marked; the tests leave them out. What
stands behind a difference is not told by a test: levels differ in the patients they hold, not only in how the model
treats them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit

from usdlr.core.errors import ConfigError, DataError
from usdlr.decision.arrays import labels, scores
from usdlr.evaluation import calibration, metrics
from usdlr.evaluation.heterogeneity import (
    Heterogeneity,
    auc_heterogeneity,
    calibration_interaction,
    miss_heterogeneity,
)
from usdlr.evaluation.intervals import Estimate, rate
from usdlr.evaluation.multiplicity import holm

FEWEST_POSITIVES = 10
UNKNOWN = "not known"
ALL = "all"
ESTIMATES = ("auc", "sensitivity", "fnr", "specificity", "calibration_slope", "calibration_intercept", "prevalence")
CAVEAT = (
    "Subgroups are exploratory: with so many comparisons some differ by chance (p_holm allows for all of them), and "
    "wide intervals do not show that groups are alike."
)
# Probabilities of exactly 0 or 1 have no log-odds.
_EDGE = 1e-9


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


@dataclass(frozen=True, eq=False)
class Subgroups:
    """Subgroups of one stage.

    Parameters
    ----------
    table : DataFrame
        One row per level, all axillae first: ``variable title level n positives small``, and per estimate ``X X_low
        X_high X_method`` for X in ``auc sensitivity fnr specificity calibration_slope calibration_intercept
        prevalence``; undefined numbers are missing values and their method says why.
    tests : mapping of str to mapping of str to Heterogeneity
        By variable: ``auc``, ``calibration``, ``fnr``.
    absent : tuple of str
        Variables without a column.
    fewest : int
        Bound below which a level is small.
    """

    table: pd.DataFrame
    tests: Mapping[str, Mapping[str, Heterogeneity]]
    absent: tuple[str, ...]
    fewest: int

    def adjusted(self) -> dict[str, dict[str, float | None]]:
        """p-values by variable and test after Holm's correction over all of them."""
        keys = [(variable, name) for variable, tests in self.tests.items() for name in tests]
        plain = [self.tests[variable][name].p_value for variable, name in keys]
        p = holm([np.nan if value is None else value for value in plain])
        out: dict[str, dict[str, float | None]] = {variable: {} for variable in self.tests}
        for (variable, name), value in zip(keys, p, strict=True):
            out[variable][name] = None if np.isnan(value) else float(value)
        return out

    def as_dict(self) -> dict[str, Any]:
        """Plain data for ``metrics.json``: by variable its levels with their estimates, and its tests."""
        adjusted = self.adjusted()
        variables: dict[str, Any] = {}
        for (variable, title), part in self.table.groupby(["variable", "title"], sort=False):
            rows = [_plain(row) for row in part.to_dict("records")]
            tests = {
                name: {**test.as_dict(), "p_holm": adjusted[str(variable)][name]}
                for name, test in self.tests.get(str(variable), {}).items()
            }
            variables[str(variable)] = {"title": title, "levels": rows, "tests": tests}
        return {
            "variables": variables,
            "absent": list(self.absent),
            "fewest": self.fewest,
            "caveat": CAVEAT,
        }


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
    missing = values.isna().to_numpy()
    if variable.cuts:
        numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        if (np.isnan(numbers) & ~missing).any():
            raise DataError(f"found words in {variable.name}, expected numbers to cut at {variable.cuts}; correct it")
        order = _ranges(variable)
        place = np.searchsorted(np.array(variable.cuts), numbers, side="left")
        named = np.where(missing, UNKNOWN, np.array(order, dtype=object)[np.where(missing, 0, place)])
    else:
        words = values.map({True: "yes", False: "no"}) if _is_bool(values) else values.astype("string")
        named = np.where(missing, UNKNOWN, words.to_numpy(dtype=object))
        order = sorted({str(name) for name in named[~missing]}, key=_natural)
    shown = [name for name in order if (named == name).any()]
    return pd.Series(named.astype(str), index=values.index), shown + ([UNKNOWN] if missing.any() else [])


def subgroups(
    rows: pd.DataFrame, *, variables: Sequence[Variable] = VARIABLES, fewest: int = FEWEST_POSITIVES
) -> Subgroups:
    """Estimates for every level of every variable, with tests of interaction.

    Parameters
    ----------
    rows : DataFrame
        One row per axilla: ``patient_id side``, ``y`` (1 positive, 0 negative, NaN unknown), ``probability``,
        ``called`` (1 where the answer was high-risk or DEFER, 0 where a positive axilla would be missed), and the
        variables' columns (``elastography``: True where stiffness was measured); variables without a column are left
        out and named in the result.
    variables : sequence of Variable
        What to divide by.
    fewest : int
        Levels with fewer positives, or fewer negatives, are marked small and left out of the tests.

    Raises
    ------
    DataError
        If a column is missing or an axilla appears twice.
    """
    needed = ("patient_id", "side", "y", "probability", "called")
    missing = [name for name in needed if name not in rows.columns]
    if missing:
        raise DataError(f"found no column {missing[0]!r} among the rows, expected one; add it")
    if rows[["patient_id", "side"]].astype(str).duplicated().any():
        raise DataError("found axillae more than once among the rows, expected each once; remove the duplicates")
    y = labels(rows["y"], "y")
    scores(rows["probability"], "probability", probability=True)
    called = labels(rows["called"], "called")
    if np.isnan(called).any():
        raise DataError("found rows without an answer in 'called', expected 1 or 0; decide them first")
    known = rows[~np.isnan(y)].reset_index(drop=True)
    present = [variable for variable in variables if variable.name in known.columns]
    table = [{"variable": ALL, "title": "All axillae", **_row(known, ALL, fewest)}]
    tests: dict[str, dict[str, Heterogeneity]] = {}
    for variable in present:
        level, order = levels(known[variable.name], variable)
        mine = [_row(known[(level == name).to_numpy()], name, fewest) for name in order]
        table += [{"variable": variable.name, "title": variable.title, **row} for row in mine]
        large = [row for row in mine if not row["small"] and row["level"] != UNKNOWN]
        tests[variable.name] = _tests(known, level, large)
    absent = tuple(variable.name for variable in variables if variable not in present)
    return Subgroups(pd.DataFrame(table), tests, absent, fewest)


def _row(part: pd.DataFrame, name: str, fewest: int) -> dict[str, Any]:
    y, probability = part["y"].astype(float), part["probability"].to_numpy(dtype=np.float64)
    truth, called = labels(y, "y"), labels(part["called"], "called")
    n, positives = len(truth), int(truth.sum())
    at = logit(np.clip(probability, _EDGE, 1 - _EDGE))
    caught = int(((called == 1) & (truth == 1)).sum())
    spared = int(((called == 0) & (truth == 0)).sum())
    found: dict[str, Estimate] = {
        "auc": metrics.auc(truth, probability),
        "sensitivity": rate(caught, positives),
        "fnr": rate(positives - caught, positives),
        "specificity": rate(spared, n - positives),
        "calibration_slope": calibration.calibration_slope(truth, at),
        "calibration_intercept": calibration.calibration_intercept(truth, at),
        "prevalence": rate(positives, n),
    }
    row: dict[str, Any] = {"level": name, "n": n, "positives": positives, "missed": positives - caught}
    row["small"] = positives < fewest or n - positives < fewest
    for key in ESTIMATES:
        estimate = found[key]
        row |= {key: estimate.value, f"{key}_low": estimate.low, f"{key}_high": estimate.high}
        row[f"{key}_method"] = estimate.method
    return row


def _tests(known: pd.DataFrame, level: pd.Series, large: Sequence[Mapping[str, Any]]) -> dict[str, Heterogeneity]:
    names = [str(row["level"]) for row in large]
    inside = level.isin(names).to_numpy()
    part, of = known[inside], level[inside].to_numpy()
    probability = part["probability"].to_numpy(dtype=np.float64)
    at = logit(np.clip(probability, _EDGE, 1 - _EDGE))
    return {
        "auc": auc_heterogeneity(part["y"], probability, of),
        "calibration": calibration_interaction(part["y"], at, of),
        "fnr": miss_heterogeneity([row["missed"] for row in large], [row["positives"] for row in large], names),
    }


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {name: row[name] for name in ("level", "n", "positives", "missed", "small")}
    of = {"fnr": row["missed"], "sensitivity": row["positives"] - row["missed"], "prevalence": row["positives"]}
    below = {"fnr": row["positives"], "sensitivity": row["positives"], "specificity": row["n"] - row["positives"]}
    for key in ESTIMATES:
        ends = (row[name] for name in (key, f"{key}_low", f"{key}_high"))
        value, low, high = (None if pd.isna(end) else float(end) for end in ends)
        n, method = int(below.get(key, row["n"])), str(row[f"{key}_method"])
        out[key] = Estimate(value, low, high, n, method, of.get(key)).as_dict()
    return out


def _ranges(variable: Variable) -> list[str]:
    unit = f" {variable.unit}" if variable.unit else ""
    inner = [f">{low:g} to {high:g}{unit}" for low, high in zip(variable.cuts, variable.cuts[1:], strict=False)]
    return [f"<={variable.cuts[0]:g}{unit}", *inner, f">{variable.cuts[-1]:g}{unit}"]


def _is_bool(values: pd.Series) -> bool:
    if pd.api.types.is_bool_dtype(values.dtype):
        return True
    told = values.dropna()
    return len(told) > 0 and all(isinstance(value, bool | np.bool_) for value in told)


def _natural(name: str) -> tuple[float, str]:
    """Numbers by size, before words: BI-RADS 4a stands after 3 and before 5."""
    digits = ""
    for letter in name:
        if not (letter.isdigit() or letter == "."):
            break
        digits += letter
    return (float(digits) if digits.strip(".") else float("inf"), name)
