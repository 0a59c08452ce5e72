"""Disease-free survival by risk group: Kaplan-Meier curves, numbers at risk, log-rank test.

Time to an event belongs to a patient, not to an axilla: :func:`by_patient` makes one row of both sides first. Needs the
extra ``survival`` (lifelines).

References
----------
Kaplan and Meier, J Am Stat Assoc 53 (1958) 457, doi:10.1080/01621459.1958.10501452. Kalbfleisch and Prentice, The
Statistical Analysis of Failure Time Data, 2nd ed. (2002), for the band on the scale of log(-log S). Schemper and Smith,
Control Clin Trials 17 (1996) 343 (median follow-up).
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core.errors import ConfigError, DataError
from usdlr.core.types import RiskGroup
from usdlr.decision.arrays import FloatArray, labels
from usdlr.evaluation.intervals import Estimate, undefined

# A side that is certain to be high-risk outranks one that is deferred, which may yet turn out so.
SEVERITY: dict[str, int] = {
    str(RiskGroup.LR_SLN): 0,
    str(RiskGroup.DEFER): 1,
    str(RiskGroup.HR_SLN_LR_NSLN): 2,
    str(RiskGroup.HR_SLN_HR_NSLN): 3,
}
COLUMNS = ("patient_id", "side", "risk_group", "dfs_months", "dfs_event")
MONTHS = (12.0, 36.0, 60.0)


@dataclass(frozen=True, eq=False)
class FollowUp:
    """One row per patient with known follow-up.

    Parameters
    ----------
    table : DataFrame
        ``patient_id risk_group dfs_months dfs_event`` and, where the input had one, ``score``; ``dfs_event`` is 1 for
        an event, 0 for the end of observation.
    unknown : int
        Patients whose time or event is not known; they are in no statistic.
    """

    table: pd.DataFrame
    unknown: int

    @property
    def groups(self) -> list[str]:
        """Groups with patients, the mildest first."""
        return sorted(self.table["risk_group"].unique(), key=SEVERITY.__getitem__)

    @property
    def months(self) -> FloatArray:
        """Time of each patient."""
        return self.table["dfs_months"].to_numpy(dtype=np.float64)

    @property
    def event(self) -> FloatArray:
        """1 event, 0 end of observation."""
        return self.table["dfs_event"].to_numpy(dtype=np.float64)


@dataclass(frozen=True, eq=False)
class SurvivalCurve:
    """The Kaplan-Meier curve of one group.

    Parameters
    ----------
    group : str
        Risk group.
    months : (k,) float64 array
        0, and every time at which something happened.
    survival, low, high : (k,) float64 array
        Share without an event beyond each time, with its pointwise 95 % band on the scale of log(-log S) (Greenwood's
        variance).
    at_risk : (k,) int64 array
        Patients still under observation just before each time.
    events, censored : (k,) int64 array
        At each time.
    median : Estimate
        Months at which survival falls to one half; undefined where it never does.
    """

    group: str
    months: FloatArray
    survival: FloatArray
    low: FloatArray
    high: FloatArray
    at_risk: Any
    events: Any
    censored: Any
    median: Estimate

    def at(self, months: float) -> Estimate:
        """Survival at a time, undefined beyond the last observation.

        Parameters
        ----------
        months : float
            Time, 0 or later.
        """
        n = int(self.at_risk[0])
        if months > self.months[-1] and self.survival[-1] > 0:
            return undefined(n, f"nobody was observed for {months:g} months")
        index = int(np.searchsorted(self.months, months, side="right")) - 1
        value, low, high = float(self.survival[index]), float(self.low[index]), float(self.high[index])
        method = f"Kaplan-Meier at {months:g} months"
        events = int(self.events[: index + 1].sum())
        if not 0 < value < 1:
            return Estimate(value, None, None, n, f"{method}, no interval: no spread was seen", events)
        return Estimate(value, low, high, n, f"{method}, log-log interval with Greenwood's variance", events)


def by_patient(table: pd.DataFrame) -> FollowUp:
    """One row per patient: the worse side's group, the patient's time and event.

    Parameters
    ----------
    table : DataFrame
        ``patient_id side risk_group dfs_months dfs_event``, one row per axilla; NaN where follow-up is unknown (it
        is enough if one side tells it). A column ``score``, if there is one, is taken at its highest.

    Raises
    ------
    DataError
        If a column is missing, an axilla appears twice, a group or a time is impossible, or the sides of a patient
        tell different times or events.
    """
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise DataError(f"found no column {missing[0]!r} in the follow-up, expected one; add it")
    keys = table[["patient_id", "side"]].astype(str)
    if keys.duplicated().any():
        raise DataError(f"found {int(keys.duplicated().sum())} axillae twice in the follow-up, expected each once")
    groups = table["risk_group"].astype(str)
    strange = sorted(set(groups) - set(SEVERITY))
    if strange:
        raise DataError(f"found the risk group {strange[0]!r}, expected one of {', '.join(SEVERITY)}; decide again")
    months = pd.to_numeric(table["dfs_months"], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    if (np.isinf(months) | (months < 0)).any():
        raise DataError("found a negative or infinite dfs_months, expected months from surgery, 0 or more; correct it")
    rows = pd.DataFrame(
        {
            "patient_id": keys["patient_id"].to_numpy(),
            "severity": groups.map(SEVERITY).to_numpy(),
            "dfs_months": months,
            "dfs_event": labels(table["dfs_event"], "dfs_event"),
        }
    )
    if "score" in table.columns:
        rows["score"] = pd.to_numeric(table["score"]).to_numpy(dtype=np.float64)
    told = rows.groupby("patient_id", sort=True)
    for name in ("dfs_months", "dfs_event"):
        different = int((told[name].nunique() > 1).sum())
        if different:
            raise DataError(
                f"found {different} patients whose sides tell different {name}, expected one per patient: it is the "
                "patient's, not the axilla's; correct it"
            )
    whole = told.max().reset_index()
    known = whole[["dfs_months", "dfs_event"]].notna().all(axis=1)
    names = {severity: name for name, severity in SEVERITY.items()}
    whole.insert(1, "risk_group", whole.pop("severity").map(names))
    return FollowUp(whole[known].reset_index(drop=True), int((~known).sum()))


def kaplan_meier(follow_up: FollowUp) -> list[SurvivalCurve]:
    """The curve of every group with patients, the mildest first.

    Raises
    ------
    ConfigError
        If lifelines is not installed.
    """
    return [
        _curve(group, follow_up.months[inside], follow_up.event[inside])
        for group in follow_up.groups
        for inside in [(follow_up.table["risk_group"] == group).to_numpy()]
    ]


def numbers_at_risk(follow_up: FollowUp, months: Sequence[float]) -> pd.DataFrame:
    """Patients under observation just before each time: one row per group, one column per time.

    Examples
    --------
    >>> rows = {"patient_id": ["a", "b"], "side": ["left"] * 2, "risk_group": ["LR-SLN"] * 2}
    >>> table = pd.DataFrame({**rows, "dfs_months": [6.0, 30.0], "dfs_event": [1, 0]})
    >>> numbers_at_risk(by_patient(table), [0, 12]).to_dict("index")
    {'LR-SLN': {0: 2, 12: 1}}
    """
    counts = {
        group: [
            int((follow_up.months[(follow_up.table["risk_group"] == group).to_numpy()] >= time).sum())
            for time in months
        ]
        for group in follow_up.groups
    }
    return pd.DataFrame.from_dict(counts, orient="index", columns=list(months))


def median_follow_up(follow_up: FollowUp) -> Estimate:
    """Months for which the median patient would have been observed had nothing happened.

    Kaplan-Meier of the end of observation, in which events count as censored.

    Raises
    ------
    ConfigError
        If lifelines is not installed.
    """
    n = len(follow_up.table)
    if n == 0:
        return undefined(0, "nobody's follow-up is known")
    found = _curve("", follow_up.months, 1 - follow_up.event).median
    if found.value is None:
        return undefined(n, "fewer than half of the patients would have reached an end of observation")
    return Estimate(found.value, found.low, found.high, n, "median follow-up in months, reverse Kaplan-Meier")


def log_rank(follow_up: FollowUp) -> dict[str, Any]:
    """Whether survival differs between the groups.

    Returns
    -------
    dict
        ``statistic degrees p_value n events groups method``; values are None where there are not two groups, or no
        event.
    """
    groups, n, events = follow_up.groups, len(follow_up.table), int(follow_up.event.sum())
    out: dict[str, Any] = {"statistic": None, "degrees": None, "p_value": None, "n": n, "events": events}
    out["groups"] = groups
    if len(groups) < 2 or events == 0:
        why = "fewer than two groups hold patients" if len(groups) < 2 else "no event was observed"
        return {**out, "method": f"undefined: {why}"}
    statistics = lifelines("statistics")
    with warnings.catch_warnings():
        # lifelines calls pandas in a way that a later pandas will not know; its release says so, not ours.
        warnings.simplefilter("ignore", DeprecationWarning)
        result = statistics.multivariate_logrank_test(
            follow_up.months, follow_up.table["risk_group"].to_numpy(dtype=object), follow_up.event
        )
    statistic, p_value = float(result.test_statistic), float(result.p_value)
    if not np.isfinite(statistic):
        return {**out, "method": "undefined: the groups were never under observation together"}
    return {
        **out,
        "statistic": statistic,
        "degrees": len(groups) - 1,
        "p_value": p_value,
        "method": f"log-rank test of {len(groups)} groups, one row per patient",
    }


def lifelines(part: str = "") -> Any:
    """The library, or a part of it.

    Raises
    ------
    ConfigError
        If it is not installed.
    """
    try:
        # A plain import would pull the library in wherever this module is read.
        return importlib.import_module("lifelines" + (f".{part}" if part else ""))
    except ImportError as error:
        raise ConfigError(
            "found no lifelines, expected it for survival statistics; pip install 'usdlr[survival]'"
        ) from error


def _curve(group: str, months: FloatArray, event: FloatArray) -> SurvivalCurve:
    fitter = lifelines().KaplanMeierFitter()
    fitter.fit(months, event)
    table = fitter.event_table
    times = table.index.to_numpy(dtype=np.float64)
    survival = fitter.survival_function_.iloc[:, 0].to_numpy(dtype=np.float64)
    band = fitter.confidence_interval_.to_numpy(dtype=np.float64)
    # Where survival is 1 or 0 the log-log scale has no band: the curve itself, never not-a-number.
    low, high = np.where(np.isnan(band), survival[:, None], band).T
    # lifelines adds an entry at 0, where everybody enters: the first row counts all of them.
    at_risk = np.array([(months >= time).sum() for time in times], dtype=np.int64)
    return SurvivalCurve(
        group,
        times,
        survival,
        np.asarray(low, dtype=np.float64),
        np.asarray(high, dtype=np.float64),
        at_risk,
        table["observed"].to_numpy(dtype=np.int64),
        table["censored"].to_numpy(dtype=np.int64),
        _median(times, survival, low, high, len(months), int(event.sum())),
    )


def _median(times: FloatArray, survival: FloatArray, low: Any, high: Any, n: int, events: int) -> Estimate:
    def first(values: Any) -> float | None:
        below = np.flatnonzero(np.round(values, 12) <= 0.5)
        return float(times[below[0]]) if len(below) else None

    value = first(survival)
    if value is None:
        return undefined(n, "survival does not fall to one half")
    method = "median months without an event, interval from the log-log band"
    # The upper end of the interval is open where the upper band stays above one half.
    return Estimate(value, first(low), first(high), n, method, events)
