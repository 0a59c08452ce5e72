"""How many axillae raise the alarm that they are unlike the training patients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from usdlr.core.types import Split
from usdlr.evaluation.clustered_rate import clustered_rate
from usdlr.evaluation.intervals import Estimate, undefined
from usdlr.evaluation.resampling import patients


def alarm_rate(strange: pd.DataFrame) -> Estimate:
    """Share of axillae that raise an alarm, with an interval that holds where patients have two.

    Parameters
    ----------
    strange : DataFrame
        ``patient_id ood_alarm``; an alarm that is null was not checked and does not count.

    Examples
    --------
    >>> alarm_rate(pd.DataFrame({"patient_id": ["a", "b"], "ood_alarm": [True, False]})).value
    0.5
    """
    checked = strange["ood_alarm"].notna().to_numpy(dtype=bool)
    if not checked.any():
        return undefined(0, "no axilla was checked")
    raised = strange["ood_alarm"].fillna(False).to_numpy(dtype=bool)
    return clustered_rate(raised, checked, patients(strange["patient_id"]))


def alarm_metrics(strange: pd.DataFrame, rate: float, *, folds: list[str]) -> dict[str, Any]:
    """What ``metrics.json`` holds under ``ood``.

    Parameters
    ----------
    strange : DataFrame
        ``patient_id side fold split ood_score ood_limit ood_alarm``, a row per axilla and fold.
    rate : float
        Stated share of false alarms.
    folds : list of str
        Those that test somebody.

    Returns
    -------
    dict
        ``rate``, ``test`` (alarms among test axillae, each by the fold that tests it: false ones, since they come from
        the same patients as the others) and ``folds`` (``limit n alarms``; a limit is null with too few tuning
        patients).
    """
    test = strange[(strange["split"] == str(Split.TEST)) & strange["fold"].isin(folds)]
    by_fold = {}
    for fold in folds:
        own = test[test["fold"] == fold]
        limit = own["ood_limit"].to_numpy(np.float64)
        by_fold[fold] = {
            "limit": float(limit[0]) if len(limit) and np.isfinite(limit[0]) else None,
            "n": int(own["ood_alarm"].notna().sum()),
            "alarms": int(own["ood_alarm"].fillna(False).sum()),
        }
    return {"rate": rate, "test": alarm_rate(test).as_dict(), "folds": by_fold}
