"""Who was studied, by centre and by outcome, with standardised differences.

A standardised difference says how far two groups lie apart in units of their spread, whatever their size; it is no
test. Numbers: difference of the means over the root of the mean of both variances. Words: the Mahalanobis distance of
the shares of all levels, by their multinomial covariance.

References
----------
Yang and Dalton, A unified approach to measuring the effect size between two groups using SAS, SAS Global Forum 2012,
paper 335-2012. Austin, Stat Med 28 (2009) 3083, doi:10.1002/sim.3697. Hedges and Olkin, Statistical Methods for
Meta-Analysis (1985) (interval).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.types import Stage
from usdlr.decision.arrays import FloatArray
from usdlr.evaluation.alignment import AXILLA, by_axilla, label_table, same_axillae
from usdlr.evaluation.intervals import Estimate, Z, undefined
from usdlr.evaluation.levels import UNKNOWN, Variable, known_numbers, levels, natural

NUMBER, WORDS = "number", "words"
CENTRE = "centre"
POSITIVE, NEGATIVE = "positive", "negative"
NO_SPREAD = "neither group has any spread, and they differ"
NOTHING_SHARED = "the groups share no level"
_APART = (NO_SPREAD, NOTHING_SHARED)  # farther apart than any number says


@dataclass(frozen=True)
class Described:
    """A column of the cohort table.

    Parameters
    ----------
    name : str
        Column.
    title : str
        For readers.
    unit : str
        Of a number; with one, or with ``number``, mean and quartiles are given, otherwise counts of levels.
    number : bool
        Whether it is a number without a unit.
    late : bool
        Known after surgery only, so that it stands beside centres but not beside outcomes, which it follows from.
    """

    name: str
    title: str
    unit: str = ""
    number: bool = False
    late: bool = False

    @property
    def kind(self) -> str:
        """``number`` or ``words``."""
        return NUMBER if self.unit or self.number else WORDS


DESCRIBED: tuple[Described, ...] = (
    Described("age_years", "Age", "years"),
    Described("tumour_size_mm", "Tumour size", "mm"),
    Described("birads", "BI-RADS"),
    Described("cn_stage", "Clinical nodal stage"),
    Described("centre_id", "Centre"),
    Described("vendor", "Maker of the scanner"),
    Described("device", "Scanner"),
    Described("images", "Image sets of the axilla", number=True),
    Described("elastography", "Elastography measured"),
    Described("neoadjuvant", "Treated before axillary surgery"),
    Described("days_us_to_surgery", "Ultrasound to surgery", "days"),
    Described("sln_reference", "Sentinel status established by"),
    Described("axillary_surgery", "Axillary surgery", late=True),
    Described("sln_removed_count", "Sentinel nodes removed", number=True, late=True),
    Described("removed_nodes", "Nodes removed", number=True, late=True),
    Described("sln", "SLN status", late=True),
    Described("nsln", "NSLN status, of SLN-positive axillae", late=True),
)


def number_difference(first: npt.ArrayLike, second: npt.ArrayLike) -> Estimate:
    """How far two groups of numbers lie apart, without a sign.

    Parameters
    ----------
    first, second : (n,) array_like
        Values; not-a-number where unknown, which is left out.

    Returns
    -------
    Estimate
        Mean difference over the root of the mean of both sample variances; the interval takes axillae as independent.

    Examples
    --------
    >>> round(number_difference([1, 2, 3], [2, 4, 6]).value, 4)
    1.2649
    """
    groups = [np.asarray(values, dtype=np.float64) for values in (first, second)]
    a, b = (values[~np.isnan(values)] for values in groups)
    if min(len(a), len(b)) < 2:
        return undefined(len(a) + len(b), "fewer than two known values in a group")
    gap, spread = abs(float(a.mean() - b.mean())), float(np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2))
    # A constant column's mean may differ from it in the last digit.
    none = 1e-12 * max(1.0, float(np.abs(a).max()), float(np.abs(b).max()))
    if spread <= none:
        if gap > none:
            return undefined(len(a) + len(b), NO_SPREAD)
        return Estimate(0.0, None, None, len(a) + len(b), "standardised difference, one value throughout")
    return _estimate(gap / spread, len(a), len(b))


def words_difference(first: npt.ArrayLike, second: npt.ArrayLike) -> Estimate:
    """How far the shares of levels of two groups lie apart.

    Parameters
    ----------
    first, second : (k,) array_like of int
        Axillae at each level.

    Returns
    -------
    Estimate
        Yang and Dalton's distance; undefined where the groups share no level, which is farther than any number.

    Examples
    --------
    >>> round(words_difference([50, 50], [30, 70]).value, 4)
    0.417
    """
    counts = np.array([first, second], dtype=np.float64)
    n = counts.sum(axis=1)
    total = int(n.sum())
    if (n == 0).any():
        return undefined(total, "no known values in a group")
    shares = (counts / n[:, None])[:, counts.sum(axis=0) > 0]
    if not (shares > 0).all(axis=0).any():
        return undefined(total, NOTHING_SHARED)
    if shares.shape[1] == 1:
        return Estimate(0.0, None, None, total, "standardised difference, one level throughout")
    # The last share follows from the others.
    p = shares[:, :-1]
    covariance = sum(np.diag(own) - np.outer(own, own) for own in p) / 2
    gap = p[0] - p[1]
    return _estimate(float(np.sqrt(max(0.0, gap @ np.linalg.solve(covariance, gap)))), int(n[0]), int(n[1]))


def study_balance(
    labels: pd.DataFrame, axillae: pd.DataFrame, *, variables: Sequence[Described] = DESCRIBED
) -> dict[str, Any]:
    """The cohort by centre, and at each stage by outcome, as plain data.

    Parameters
    ----------
    labels : DataFrame
        ``patient_id side sln nsln``: 1 positive, 0 negative, NaN unknown. The NSLN table holds SLN-positive axillae.
    axillae : DataFrame
        ``patient_id side`` and the variables' columns, of the same axillae and perhaps more; may be empty.
    variables : sequence of Described
        What to describe; those without a column are named.

    Returns
    -------
    dict
        Empty without ``axillae``; else ``centre`` (absent without that column), ``sln``, ``nsln``, each with
        ``groups`` (``name n patients compared``), ``absent`` (titles), and ``variables``: ``name title unit kind``,
        ``groups`` of a number (``n mean sd median q1 q3``) or ``levels`` of words (``level counts``), ``missing``
        (``counts difference pair``), ``difference`` (the largest of all pairs of compared groups) and ``pair``.

    Raises
    ------
    InputError
        If an axilla has no row in ``axillae``, or one appears twice.
    DataError
        If a column of numbers holds something else.
    """
    if not len(axillae.columns):
        return {}
    truth = label_table(labels)
    described = by_axilla(axillae, [str(name) for name in axillae if name not in (*AXILLA, "sln", "nsln")], "axillae")
    rows = described.loc[described.index.isin(truth.index)]
    same_axillae(rows, truth, "description of the axillae", "labels")
    status = {
        "sln": _status(truth["sln"]),
        "nsln": _status(truth["nsln"].where(truth["sln"] == 1)),
    }
    rows = rows.assign(**status)
    found: dict[str, Any] = {}
    if "centre_id" in rows:
        centre, order = levels(rows["centre_id"], Variable("centre_id", "Centre"))
        wanted = [variable for variable in variables if variable.name != "centre_id"]
        compared = [name for name in order if name != UNKNOWN]
        found[CENTRE] = _table(rows, centre, order, compared, wanted)
    for stage in Stage:
        among = rows if stage is Stage.SLN else rows[truth["sln"] == 1]
        wanted = [variable for variable in variables if not variable.late]
        group = among[str(stage)].fillna(UNKNOWN)
        order = [POSITIVE, NEGATIVE, *([UNKNOWN] if (group == UNKNOWN).any() else [])]
        found[str(stage)] = _table(among, group, order, [POSITIVE, NEGATIVE], wanted)
    return found


def _table(
    rows: pd.DataFrame, group: pd.Series, order: Sequence[str], compared: Sequence[str], variables: Sequence[Described]
) -> dict[str, Any]:
    patient = rows.index.get_level_values(AXILLA[0])
    at_name = {name: at for at, name in enumerate(order)}
    place = np.array([at_name[name] for name in group], dtype=np.int64)
    groups = [
        {
            "name": name,
            "n": int((place == at).sum()),
            "patients": int(patient[place == at].nunique()),
            "compared": name in compared,
        }
        for at, name in enumerate(order)
    ]
    present = [variable for variable in variables if variable.name in rows]
    return {
        "groups": groups,
        "variables": [_variable(rows, variable, place, order, compared) for variable in present],
        "absent": [variable.title for variable in variables if variable.name not in rows],
    }


def _variable(
    rows: pd.DataFrame,
    variable: Described,
    place: npt.NDArray[np.int64],
    order: Sequence[str],
    compared: Sequence[str],
) -> dict[str, Any]:
    values = rows[variable.name]
    if variable.name == "nsln":  # of SLN-positive axillae alone
        values, place = values[rows["sln"] == POSITIVE], place[(rows["sln"] == POSITIVE).to_numpy()]
    members = [place == at for at in range(len(order))]
    pairs = [(order.index(a), order.index(b)) for a, b in combinations(compared, 2)]
    out: dict[str, Any] = {name: getattr(variable, name) for name in ("name", "title", "unit", "kind")}
    if variable.kind == NUMBER:
        numbers = known_numbers(values, variable.name)
        unknown = np.isnan(numbers)
        parts = [numbers[mine & ~unknown] for mine in members]
        out["groups"] = [_summary(part) for part in parts]
        largest = _largest(lambda a, b: number_difference(parts[a], parts[b]), pairs, order)
    else:
        level, names = levels(values, Variable(variable.name, variable.title))
        words = level.to_numpy(dtype=object)
        unknown = words == UNKNOWN
        shown = sorted((name for name in names if name != UNKNOWN), key=natural)
        counts = np.array([[int((words[mine] == name).sum()) for mine in members] for name in shown])
        counts = counts.reshape(len(shown), len(order))
        out["levels"] = [{"level": name, "counts": row.tolist()} for name, row in zip(shown, counts, strict=True)]
        largest = _largest(lambda a, b: words_difference(counts[:, a], counts[:, b]), pairs, order)
    gone = np.array([[int((~unknown[mine]).sum()), int(unknown[mine].sum())] for mine in members]).reshape(-1, 2)
    missing = _largest(lambda a, b: words_difference(gone[a], gone[b]), pairs, order)
    return {**out, **largest, "missing": {"counts": gone[:, 1].tolist(), **missing}}


def _largest(
    between: Callable[[int, int], Estimate], pairs: Sequence[tuple[int, int]], order: Sequence[str]
) -> dict[str, Any]:
    """The largest difference of all pairs, and which pair it is; groups that share nothing lie farthest apart."""
    found = [(between(a, b), [order[a], order[b]]) for a, b in pairs]
    if not found:
        return {"difference": undefined(0, "fewer than two groups").as_dict(), "pair": []}
    if len(found) == 1:
        return {"difference": found[0][0].as_dict(), "pair": found[0][1]}
    best, pair = max(found, key=lambda each: _rank(each[0]))  # the first of equals
    if best.value is None:
        return {"difference": best.as_dict(), "pair": pair if _rank(best) == np.inf else []}
    method = f"standardised difference, largest of {len(found)} pairs; no interval, for the pair was chosen by it"
    return {"difference": Estimate(best.value, None, None, best.n, method).as_dict(), "pair": pair}


def _rank(estimate: Estimate) -> float:
    if estimate.value is None:
        return np.inf if estimate.method.removeprefix("undefined: ") in _APART else -1.0
    return round(estimate.value, 9)


def _status(label: pd.Series) -> pd.Series:
    # Of objects, lest a column without any known status become one of numbers.
    return label.astype(object).map({1.0: POSITIVE, 0.0: NEGATIVE}).astype(object)


def _summary(values: FloatArray) -> dict[str, Any]:
    if not len(values):
        return {"n": 0, **dict.fromkeys(("mean", "sd", "median", "q1", "q3"))}
    q1, median, q3 = (float(end) for end in np.quantile(values, [0.25, 0.5, 0.75]))
    sd = float(values.std(ddof=1)) if len(values) > 1 else None
    return {"n": len(values), "mean": float(values.mean()), "sd": sd, "median": median, "q1": q1, "q3": q3}


def _estimate(value: float, first: int, second: int) -> Estimate:
    n = first + second
    half = Z * float(np.sqrt(n / (first * second) + value**2 / (2 * n)))
    method = "standardised difference, normal interval of Hedges and Olkin, axillae taken as independent"
    return Estimate(value, max(0.0, value - half), value + half, n, method)
