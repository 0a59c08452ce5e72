"""How the model does in subgroups: centre, device, tumour size, age, BI-RADS, density, elastography.

Few patients stand behind a subgroup. Small levels keep their estimate and are marked; the tests leave them out. What
stands behind a difference is not told by a test: levels differ in the patients they hold, not only in how the model
treats them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit

from usdlr.core.errors import DataError
from usdlr.core.types import Stage
from usdlr.decision.arrays import labels, scores
from usdlr.decision.wording_subgroups import CAVEAT
from usdlr.evaluation import calibration, metrics
from usdlr.evaluation.clustered_rate import clustered_rate
from usdlr.evaluation.heterogeneity import (
    Heterogeneity,
    auc_heterogeneity,
    calibration_interaction,
    miss_heterogeneity,
)
from usdlr.evaluation.intervals import Estimate
from usdlr.evaluation.levels import UNKNOWN, VARIABLES, Variable, levels
from usdlr.evaluation.multiplicity import holm
from usdlr.evaluation.resampling import patients
from usdlr.evaluation.stage_rows import stage_rows

FEWEST_POSITIVES = 10
ALL = "all"
ESTIMATES = ("auc", "sensitivity", "fnr", "specificity", "calibration_slope", "calibration_intercept", "prevalence")
TESTS = ("auc", "calibration", "fnr")
# Probabilities of exactly 0 or 1 have no log-odds.
_EDGE = 1e-9


@dataclass(frozen=True, eq=False)
class Subgroups:
    """Subgroups of one stage.

    Parameters
    ----------
    table : DataFrame
        One row per level, all axillae first: ``variable title level n positives missed spared small``, and per
        estimate ``X X_low X_high X_method`` for X in ``auc sensitivity fnr specificity calibration_slope
        calibration_intercept prevalence``; undefined numbers are missing values and their method says why.
    tests : mapping of str to mapping of str to Heterogeneity
        By variable: ``auc``, ``calibration``, ``fnr``.
    absent : tuple of str
        Variables without a column.
    fewest : int
        Bound below which a level is small.
    same : mapping of str to str
        Variables that divide the axillae as an earlier one does, by that one's name; their tests are its tests.
    """

    table: pd.DataFrame
    tests: Mapping[str, Mapping[str, Heterogeneity]]
    absent: tuple[str, ...]
    fewest: int
    same: Mapping[str, str] = field(default_factory=dict)

    def adjusted(self) -> dict[str, dict[str, float | None]]:
        """p-values by variable and test after Holm's correction over all of them."""
        return _together({ALL: self})[ALL]

    def as_dict(self, adjusted: Mapping[str, Mapping[str, float | None]] | None = None) -> dict[str, Any]:
        """Plain data for ``metrics.json``: by variable its levels with their estimates, and its tests.

        Parameters
        ----------
        adjusted : mapping of str to mapping of str to float or None, optional
            p-values that allow for further tests beside these; otherwise those of :meth:`adjusted`.
        """
        adjusted = self.adjusted() if adjusted is None else adjusted
        variables: dict[str, Any] = {}
        for (variable, title), part in self.table.groupby(["variable", "title"], sort=False):
            rows = [_plain(row) for row in part.to_dict("records")]
            tests = {
                name: {**test.as_dict(), "p_holm": adjusted[str(variable)][name]}
                for name, test in self.tests.get(str(variable), {}).items()
            }
            like = {"same_as": self.same[str(variable)]} if str(variable) in self.same else {}
            variables[str(variable)] = {"title": title, "levels": rows, "tests": tests, **like}
        return {
            "variables": variables,
            "absent": list(self.absent),
            "fewest": self.fewest,
            "caveat": CAVEAT,
        }


def study_subgroups(
    predicted: Mapping[Stage, pd.DataFrame],
    decisions: pd.DataFrame,
    labels: pd.DataFrame,
    axillae: pd.DataFrame,
    *,
    variables: Sequence[Variable] = VARIABLES,
    fewest: int = FEWEST_POSITIVES,
) -> dict[str, Any]:
    """Subgroups of both stages as plain data, by stage; their tests are corrected for one another.

    Parameters
    ----------
    predicted : mapping of Stage to DataFrame
        Each stage's test predictions: ``probability`` by ``patient_id`` and ``side``.
    decisions, labels, axillae : DataFrame
        As in :func:`usdlr.evaluation.stage_rows.stage_rows`.
    variables : sequence of Variable
        What to divide by.
    fewest : int
        As in :func:`subgroups`.

    Returns
    -------
    dict
        ``sln`` and ``nsln``, each :meth:`Subgroups.as_dict` with ``comparisons`` (how many p-values Holm's correction
        allows for; variables that divide a stage's axillae alike count once, and the later one names the earlier as
        ``same_as``). The false-negative rate is the cascade's: a miss at either stage counts, DEFER is none.
    """
    parts = {
        str(stage): subgroups(
            stage_rows(stage, predicted[stage], labels, decisions, axillae), variables=variables, fewest=fewest
        )
        for stage in Stage
    }
    adjusted = _together(parts)
    made = sum(
        p is not None
        for stage, part in adjusted.items()
        for of, tests in part.items()
        for p in tests.values()
        if of not in parts[stage].same
    )
    return {stage: {**part.as_dict(adjusted[stage]), "comparisons": made} for stage, part in parts.items()}


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
    divided: dict[str, pd.Series] = {}
    same: dict[str, str] = {}
    for variable in present:
        level, order = levels(known[variable.name], variable)
        like = next((name for name, other in divided.items() if _divide_alike(level, other)), None)
        divided[variable.name] = level
        mine = [_row(known[(level == name).to_numpy()], name, fewest) for name in order]
        table += [{"variable": variable.name, "title": variable.title, **row} for row in mine]
        large = [row for row in mine if not row["small"] and row["level"] != UNKNOWN]
        if like is not None:
            same[variable.name] = like
            tests[variable.name] = _renamed(tests[like], divided[like], level)
        else:
            tests[variable.name] = _tests(known, level, large) if len(large) > 1 else _untested(large, fewest)
    absent = tuple(variable.name for variable in variables if variable not in present)
    return Subgroups(pd.DataFrame(table), tests, absent, fewest, same)


def _divide_alike(level: pd.Series, other: pd.Series) -> bool:
    """Whether two variables put the same axillae together, and there are several groups of them."""
    pairs = pd.DataFrame({"one": level.to_numpy(), "other": other.to_numpy()}).drop_duplicates()
    alike = len(pairs) == pairs["one"].nunique() == pairs["other"].nunique()
    return alike and len(pairs) > 1 and bool(((pairs["one"] == UNKNOWN) == (pairs["other"] == UNKNOWN)).all())


def _renamed(tests: Mapping[str, Heterogeneity], earlier: pd.Series, level: pd.Series) -> dict[str, Heterogeneity]:
    """Tests of an earlier variable in the levels of one that divides the axillae alike."""
    names = dict(zip(earlier, level, strict=True))
    return {key: replace(test, levels=tuple(names[one] for one in test.levels)) for key, test in tests.items()}


def _together(parts: Mapping[str, Subgroups]) -> dict[str, dict[str, dict[str, float | None]]]:
    """p-values by part, variable and test after Holm's correction over all of them; equal divisions count once."""
    keys = [
        (part, of, name)
        for part, found in parts.items()
        for of, tests in found.tests.items()
        for name in tests
        if of not in found.same
    ]
    plain = [parts[part].tests[of][name].p_value for part, of, name in keys]
    p = holm([np.nan if value is None else value for value in plain])
    out: dict[str, dict[str, dict[str, float | None]]] = {
        part: {of: {} for of in found.tests} for part, found in parts.items()
    }
    for (part, of, name), value in zip(keys, p, strict=True):
        out[part][of][name] = None if np.isnan(value) else float(value)
    for part, found in parts.items():
        out[part] |= {of: dict(out[part][like]) for of, like in found.same.items()}
    return out


def _row(part: pd.DataFrame, name: str, fewest: int) -> dict[str, Any]:
    y, probability = part["y"].astype(float), part["probability"].to_numpy(dtype=np.float64)
    truth, called = labels(y, "y"), labels(part["called"], "called")
    n, positives = len(truth), int(truth.sum())
    at = logit(np.clip(probability, _EDGE, 1 - _EDGE))
    positive, caught = truth == 1, called == 1
    missed, spared = int((positive & ~caught).sum()), int((~positive & ~caught).sum())
    who = patients(part["patient_id"])
    found: dict[str, Estimate] = {
        "auc": metrics.auc(truth, probability, patients=part["patient_id"]),
        "sensitivity": clustered_rate(caught, positive, who),
        "fnr": clustered_rate(~caught, positive, who),
        "specificity": clustered_rate(~caught, ~positive, who),
        "calibration_slope": calibration.calibration_slope(truth, at, patients=part["patient_id"]),
        "calibration_intercept": calibration.calibration_intercept(truth, at, patients=part["patient_id"]),
        "prevalence": clustered_rate(positive, np.ones(n, dtype=bool), who),
    }
    row: dict[str, Any] = {"level": name, "n": n, "positives": positives, "missed": missed, "spared": spared}
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
        "auc": auc_heterogeneity(part["y"], probability, of, patients=part["patient_id"]),
        "calibration": calibration_interaction(part["y"], at, of),
        "fnr": miss_heterogeneity([row["missed"] for row in large], [row["positives"] for row in large], names),
    }


def _untested(large: Sequence[Mapping[str, Any]], fewest: int) -> dict[str, Heterogeneity]:
    names = tuple(str(row["level"]) for row in large)
    holding = f"only {len(names)} level holds" if names else "no level holds"
    why = f"undefined: {holding} at least {fewest} positives and {fewest} negatives"
    return {name: Heterogeneity(None, None, None, names, why) for name in TESTS}


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {name: row[name] for name in ("level", "n", "positives", "missed", "spared", "small")}
    of = {"fnr": row["missed"], "specificity": row["spared"], "prevalence": row["positives"]}
    of["sensitivity"] = row["positives"] - row["missed"]
    below = {"fnr": row["positives"], "sensitivity": row["positives"], "specificity": row["n"] - row["positives"]}
    for key in ESTIMATES:
        ends = (row[name] for name in (key, f"{key}_low", f"{key}_high"))
        value, low, high = (None if pd.isna(end) else float(end) for end in ends)
        n, method = int(below.get(key, row["n"])), str(row[f"{key}_method"])
        out[key] = Estimate(value, low, high, n, method, of.get(key)).as_dict()
    return out
