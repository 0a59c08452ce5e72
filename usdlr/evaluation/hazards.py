"""Hazard ratios between risk groups and per standard deviation of a score, with the check of their proportionality.

References
----------
Cox, J R Stat Soc B 34 (1972) 187, doi:10.1111/j.2517-6161.1972.tb00899.x. Efron, J Am Stat Assoc 72 (1977) 557,
doi:10.1080/01621459.1977.10480613 (ties). Grambsch and Therneau, Biometrika 81 (1994) 515, doi:10.1093/biomet/81.3.515
(scaled Schoenfeld residuals against time).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core.errors import DataError
from usdlr.core.types import RiskGroup
from usdlr.evaluation.intervals import Estimate, Z, undefined
from usdlr.evaluation.survival import FollowUp, lifelines

DOUBTFUL = 0.05
FEWEST_EVENTS = 2
_LARGEST_LOG = 20.0


@dataclass(frozen=True)
class Hazards:
    """Hazard ratios of one fit.

    Parameters
    ----------
    reference : str
        What the ratios compare with.
    ratios : dict of str to Estimate
        One per group, or per score.
    proportional : dict of str to float or None
        p-value of the trend of the scaled Schoenfeld residuals in the Kaplan-Meier transform of time; small where the
        ratio changes over time. None where there is no ratio.
    """

    reference: str
    ratios: dict[str, Estimate]
    proportional: dict[str, float | None]

    @property
    def doubtful(self) -> list[str]:
        """Ratios that change over time at the 5 % level: one number does not describe them."""
        return [name for name, p_value in self.proportional.items() if p_value is not None and p_value < DOUBTFUL]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "reference": self.reference,
            "ratios": {name: ratio.as_dict() for name, ratio in self.ratios.items()},
            "proportional_p": dict(self.proportional),
            "doubtful": self.doubtful,
        }


def group_hazards(follow_up: FollowUp, *, reference: str = str(RiskGroup.LR_SLN)) -> Hazards:
    """Hazard ratio of every group to the reference group, by one Cox model.

    A group without events has no finite ratio: it is undefined, and its patients leave the fit.

    Parameters
    ----------
    follow_up : FollowUp
        One row per patient.
    reference : str
        Risk group that the others are compared with.

    Raises
    ------
    ConfigError
        If lifelines is not installed.
    """
    group = follow_up.table["risk_group"].to_numpy(dtype=object)
    others = [name for name in follow_up.groups if name != reference]
    counts = {
        name: (int((group == name).sum()), int(follow_up.event[group == name].sum())) for name in follow_up.groups
    }
    if counts.get(reference, (0, 0))[1] == 0:
        why = "no event" if reference in counts else "no patient"
        nothing = {name: undefined(counts[name][0], f"{why} in the reference group {reference}") for name in others}
        return Hazards(reference, nothing, dict.fromkeys(others))
    fitted = [name for name in others if counts[name][1] > 0]
    frame = pd.DataFrame({name: (group == name).astype(np.float64) for name in fitted}, index=range(len(group)))
    kept = np.isin(group, [reference, *fitted])
    fit = _fit(frame[kept], follow_up, kept)
    ratios: dict[str, Estimate] = {}
    proportional: dict[str, float | None] = {}
    for name in others:
        n, events = counts[name]
        ratios[name], proportional[name] = _ratio(
            fit, name, n + counts[reference][0], f"hazard ratio to {reference}", events + counts[reference][1]
        )
        if name not in fitted:
            ratios[name] = undefined(n, f"no event in {name}")
    return Hazards(reference, ratios, proportional)


def score_hazard(follow_up: FollowUp) -> Hazards:
    """Hazard ratio per standard deviation of the column ``score``.

    Raises
    ------
    DataError
        If there is no such column, or it has gaps.
    """
    if "score" not in follow_up.table.columns or follow_up.table["score"].isna().any():
        raise DataError("found no score, or one with gaps, in the follow-up, expected one per patient; add it")
    values = follow_up.table["score"].to_numpy(dtype=np.float64)
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    n, events = len(values), int(follow_up.event.sum())
    name = "score"
    if spread < 1e-12:
        return Hazards("one standard deviation lower", {name: undefined(n, "the score is constant")}, {name: None})
    frame = pd.DataFrame({name: (values - values.mean()) / spread})
    fit = _fit(frame, follow_up, np.ones(n, dtype=bool))
    what = f"hazard ratio per standard deviation ({spread:.3g}) of the score"
    ratio, p_value = _ratio(fit, name, n, what, events)
    return Hazards("one standard deviation lower", {name: ratio}, {name: p_value})


@dataclass(frozen=True)
class _Fit:
    why: str
    log_ratio: dict[str, float]
    error: dict[str, float]
    proportional: dict[str, float | None]


def _fit(frame: pd.DataFrame, follow_up: FollowUp, kept: Any) -> _Fit:
    if frame.shape[1] == 0:
        return _Fit("no group to compare with", {}, {}, {})
    if follow_up.event[kept].sum() < FEWEST_EVENTS:
        return _Fit(f"fewer than {FEWEST_EVENTS} events", {}, {}, {})
    library, statistics = lifelines(), lifelines("statistics")
    names = {f"x{index}": str(name) for index, name in enumerate(frame.columns)}
    data = frame.set_axis(list(names), axis=1).assign(months=follow_up.months[kept], event=follow_up.event[kept])
    fitter = library.CoxPHFitter()
    try:
        with warnings.catch_warnings():
            # What it warns of, a coefficient that runs away, is judged below from the coefficient itself.
            warnings.simplefilter("ignore")
            fitter.fit(data.reset_index(drop=True), "months", "event")
            test = statistics.proportional_hazard_test(fitter, data.reset_index(drop=True), time_transform="km")
    except (lifelines("exceptions").ConvergenceError, np.linalg.LinAlgError, ZeroDivisionError) as error:
        return _Fit(f"the fit did not converge ({type(error).__name__})", {}, {}, {})
    p_values = np.atleast_1d(np.asarray(test.p_value, dtype=np.float64))
    tested = dict(zip(test.name, p_values, strict=True)) if isinstance(test.name, list) else {"x0": p_values[0]}
    return _Fit(
        "",
        {name: float(fitter.params_[key]) for key, name in names.items()},
        {name: float(fitter.standard_errors_[key]) for key, name in names.items()},
        {name: float(tested[key]) if np.isfinite(tested.get(key, np.nan)) else None for key, name in names.items()},
    )


def _ratio(fit: _Fit, name: str, n: int, what: str, events: int) -> tuple[Estimate, float | None]:
    if name not in fit.log_ratio:
        return undefined(n, fit.why or "it was not fitted"), None
    at, error = fit.log_ratio[name], fit.error[name]
    if not np.isfinite(error) or abs(at) > _LARGEST_LOG or error > _LARGEST_LOG:
        return undefined(n, "the events of the two are separated completely in time"), None
    low, high = np.exp(at - Z * error), np.exp(at + Z * error)
    method = f"{what}, Cox regression (Efron ties), Wald interval"
    return Estimate(float(np.exp(at)), float(low), float(high), n, method, events), fit.proportional[name]
