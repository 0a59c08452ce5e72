"""Before and after an adaptation, on local patients whom it never touched: differences with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.leak import require_disjoint
from usdlr.core.types import RiskGroup, Stage
from usdlr.decision.arrays import FloatArray
from usdlr.evaluation import calibration, metrics, weighted
from usdlr.evaluation.alignment import by_axilla, label_table, same_axillae
from usdlr.evaluation.calibration_smooth import calibration_indices
from usdlr.evaluation.cascade import MISSED_NSLN, MISSED_SLN
from usdlr.evaluation.clustered_rate import clustered_rate
from usdlr.evaluation.comparison import paired_difference
from usdlr.evaluation.intervals import Estimate, undefined
from usdlr.evaluation.proper_scores import log_loss
from usdlr.evaluation.resampling import Statistic, patient_bootstrap, patients

BEFORE, AFTER, DIFFERENCE = "before", "after", "difference"
_EDGE = 1e-12  # a probability of 0 or 1 has no log loss


def before_and_after(
    before: tuple[pd.DataFrame, pd.DataFrame],
    after: tuple[pd.DataFrame, pd.DataFrame],
    labels: pd.DataFrame,
    *,
    fitted_on: frozenset[str],
) -> dict[str, Any]:
    """What an adaptation changed, counted on the untouched part.

    Parameters
    ----------
    before, after : (DataFrame, DataFrame)
        Rows of ``predictions`` and of ``decisions`` of the untouched axillae, by the old and by the adapted model.
        Decisions are what the thresholds would do, whether or not they are certified.
    labels : DataFrame
        ``patient_id side sln nsln`` of the same axillae: 1 positive, 0 negative, NaN unknown.
    fitted_on : frozenset of str
        Everybody whom the adaptation or its contract has seen.

    Returns
    -------
    dict
        ``axillae patients``; ``stages.<stage>`` with ``before`` and ``after`` (``auc brier log_loss calibration_slope
        calibration_intercept ici``) and ``difference`` (after minus before, patients drawn together: ``auc brier
        log_loss``); ``cascade`` with ``fnr_sln fnr_nsln spared_sln deferred`` before, after and their difference.

    Raises
    ------
    LeakError
        If a patient was seen.
    InputError
        If the tables do not hold the same axillae once each.
    """
    require_disjoint(fitted_on, set(labels["patient_id"].astype(str)), "adaptation")
    truth = label_table(labels)
    stages = {str(stage): _stage(stage, before[0], after[0], truth) for stage in Stage}
    who = truth.index.get_level_values("patient_id")
    return {
        "axillae": len(truth),
        "patients": int(who.nunique()),
        "stages": stages,
        "cascade": _cascade(before[1], after[1], truth),
    }


def _stage(stage: Stage, before: pd.DataFrame, after: pd.DataFrame, truth: pd.DataFrame) -> dict[str, Any]:
    y = truth["sln"] if stage is Stage.SLN else truth["nsln"].where(truth["sln"] == 1)
    who = truth.index.get_level_values("patient_id")
    rows = {}
    for name, table in ((BEFORE, before), (AFTER, after)):
        what = f"predictions {name} the adaptation at stage {stage}"
        rows[name] = by_axilla(table[table["stage"] == str(stage)], ("logit", "probability"), what)
        same_axillae(rows[name], truth, what, "labels")
    found: dict[str, Any] = {name: _estimates(y, part, who) for name, part in rows.items()}
    old, new = rows[BEFORE]["probability"], rows[AFTER]["probability"]
    measures = {
        "auc": (weighted.auc, "AUC"),
        "brier": (weighted.brier, "Brier score"),
        "log_loss": (_log_loss, "log loss"),
    }
    found[DIFFERENCE] = {
        key: paired_difference(metric, f"{name}, after minus before", y, new, old, who).as_dict()
        for key, (metric, name) in measures.items()
    }
    return found


def _estimates(y: pd.Series, rows: pd.DataFrame, who: pd.Index) -> dict[str, Any]:
    probability, logit = rows["probability"], rows["logit"]
    found = {
        "auc": metrics.auc(y, probability),
        "brier": calibration.brier(y, probability, patients=who),
        "log_loss": log_loss(y, logit, patients=who),
        "calibration_slope": calibration.calibration_slope(y, logit),
        "calibration_intercept": calibration.calibration_intercept(y, logit),
        "observed_expected": calibration.observed_expected(y, probability),
        "ici": calibration_indices(y, probability, patients=who)["ici"],
    }
    return {name: estimate.as_dict() for name, estimate in found.items()}


def _log_loss(truth: FloatArray, probability: FloatArray) -> Statistic:
    """Metric: mean negative log likelihood in nat."""
    p = np.clip(probability, _EDGE, 1 - _EDGE)
    each = -(truth * np.log(p) + (1 - truth) * np.log1p(-p))
    return lambda weights: np.asarray(weights @ each / weights.sum(axis=1), dtype=np.float64)


def _cascade(before: pd.DataFrame, after: pd.DataFrame, truth: pd.DataFrame) -> dict[str, Any]:
    groups = {}
    for name, table in ((BEFORE, before), (AFTER, after)):
        decided = by_axilla(table, ("risk_group",), f"decisions {name} the adaptation")
        same_axillae(decided, truth, f"decisions {name} the adaptation", "labels")
        groups[name] = decided["risk_group"].astype(str)
    everybody = pd.Series(True, index=truth.index)
    spared, deferred = {RiskGroup.LR_SLN.value}, {RiskGroup.DEFER.value}
    asked: Mapping[str, tuple[set[str], pd.Series]] = {
        "fnr_sln": (set(MISSED_SLN), truth["sln"] == 1),
        "fnr_nsln": (set(MISSED_NSLN), truth["nsln"] == 1),
        "spared_sln": (spared, everybody),
        "deferred": (deferred, everybody),
    }
    who = truth.index.get_level_values("patient_id")
    out: dict[str, Any] = {BEFORE: {}, AFTER: {}, DIFFERENCE: {}}
    for key, (names, among) in asked.items():
        inside = among.to_numpy(dtype=np.bool_)
        events = {name: group.isin(names).to_numpy(dtype=np.bool_) for name, group in groups.items()}
        for name, hit in events.items():
            out[name][key] = clustered_rate(hit, inside, patients(who)).as_dict()
        out[DIFFERENCE][key] = _rate_difference(events[AFTER], events[BEFORE], inside, who).as_dict()
    return out


def _rate_difference(
    new: npt.NDArray[np.bool_], old: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_], who: pd.Index
) -> Estimate:
    if not among.any():
        return undefined(0, "no axillae in the denominator")
    change = (new.astype(np.float64) - old.astype(np.float64))[among]
    return patient_bootstrap(
        lambda weights: np.asarray(weights @ change / weights.sum(axis=1), dtype=np.float64),
        patients(np.asarray(who, dtype=object)[among]),
        "difference of proportions on the same axillae, after minus before",
    )


def untouched(table: pd.DataFrame, keys: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table about some axillae, in their order."""
    return keys[AXILLA_KEY].merge(table, on=AXILLA_KEY, how="inner", validate="one_to_many")
