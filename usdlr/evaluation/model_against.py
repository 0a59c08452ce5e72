"""A model against a baseline by calls and by risks: McNemar's test, net reclassification, discrimination improvement.

Baselines have no thresholds of their own. So that calls can be compared at all, a baseline calls as many axillae of
every test fold positive as the model does there, those with its highest scores. No outcome is read for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from usdlr.decision.arrays import FloatArray
from usdlr.evaluation.mcnemar import compare_calls
from usdlr.evaluation.multiplicity import holm
from usdlr.evaluation.reclassification import discrimination_improvement, net_reclassification
from usdlr.evaluation.resampling import REPLICATES

CALLS = ("sensitivity", "specificity")


def calls_and_risks(
    y: pd.Series,
    rows: pd.DataFrame,
    threshold: pd.Series,
    score: pd.Series,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, Any]:
    """How a model's calls and risks differ from a baseline's.

    Parameters
    ----------
    y : Series
        1 positive, 0 negative, NaN unknown or not of this stage.
    rows : DataFrame
        The model's ``probability`` and ``fold``, by ``patient_id`` and ``side``, in the order of ``y``.
    threshold : Series
        Of the model, for each axilla.
    score : Series
        The baseline's; higher means more likely positive.
    replicates, seed
        As in :func:`usdlr.evaluation.resampling.patient_bootstraps`.

    Returns
    -------
    dict
        ``sensitivity`` and ``specificity``: :meth:`usdlr.evaluation.mcnemar.McNemar.as_dict`, model minus baseline.
        Where every score lies between 0 and 1, ``nri`` (continuous) and ``idi``, as
        :meth:`usdlr.evaluation.reclassification.Reclassification.as_dict`.
    """
    who = rows.index.get_level_values("patient_id")
    known = y.notna().to_numpy()
    ours = (rows["probability"].to_numpy() >= threshold.to_numpy(dtype=np.float64)).astype(np.float64)
    values = score.to_numpy(dtype=np.float64)
    theirs = _as_many(values, ours, rows["fold"].astype(str).to_numpy(), known)
    found = compare_calls(y, ours, theirs, who, replicates=replicates, seed=seed)
    out: dict[str, Any] = {name: found[name].as_dict() for name in CALLS}
    if ((values >= 0) & (values <= 1)).all():
        risks = rows["probability"], score, who
        out["nri"] = net_reclassification(y, *risks, replicates=replicates, seed=seed).as_dict()
        out["idi"] = discrimination_improvement(y, *risks, replicates=replicates, seed=seed).as_dict()
    return out


def adjust_calls(baselines: Mapping[str, Mapping[str, Any]]) -> None:
    """Add ``p_holm`` to every exact test of calls, over all baselines and both stages."""
    tests = [
        stage["against"][name]["exact"]
        for entry in baselines.values()
        for stage in entry["stages"].values()
        if "against" in stage
        for name in CALLS
    ]
    plain = [np.nan if test["value"] is None else test["value"] for test in tests]
    for test, value in zip(tests, holm(plain), strict=True):
        test["p_holm"] = None if np.isnan(value) else float(value)


def _as_many(
    values: FloatArray,
    called: FloatArray,
    fold: np.ndarray[tuple[int], np.dtype[np.object_]],
    known: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> FloatArray:
    """Calls of the highest scores, as many among the known axillae of every fold as ``called`` holds there.

    Equal scores at the border are called positive together if that brings the number nearer to the wanted one.
    """
    out = np.zeros(len(values))
    for name in np.unique(fold):
        inside = (fold == name) & known
        wanted = int(called[inside].sum())
        if not inside.any():
            continue
        # Every border that scores allow, and how many it calls.
        borders = np.concatenate([[np.inf], np.unique(values[inside])[::-1]])
        counts = np.array([int((values[inside] >= border).sum()) for border in borders])
        out[inside] = values[inside] >= borders[int(np.abs(counts - wanted).argmin())]
    return out
