"""The nested estimate: each outer fold chooses its settings on its tuning axillae and is judged on its test axillae."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from usdlr.core.errors import DataError
from usdlr.core.types import Stage
from usdlr.evaluation import metrics
from usdlr.experiment.paired import Judged, require_comparable
from usdlr.experiment.sweep.objective import TuningAucs, fold_values


@dataclass(frozen=True)
class Candidate:
    """A finished point: its name, the folder of its run, and its AUC on tuning axillae by stage and fold."""

    name: str
    folder: Path
    tuning: TuningAucs


def nested_estimate(candidates: Sequence[Candidate], objective: str) -> dict[str, Any]:
    """What the procedure "run all points, take the best on tuning axillae" is worth on patients it has not seen.

    Parameters
    ----------
    candidates : sequence of Candidate
        Finished points on the same cohort and splits.
    objective : str
        By what a fold chooses; of equal points the first.

    Returns
    -------
    dict
        ``objective``, ``points`` (how many there were to choose from), ``chosen`` (point by fold) and, by stage,
        ``auc`` (pooled) and ``auc_mean_over_folds`` of the test axillae, as in ``metrics.json``.

    Raises
    ------
    DataError
        If there is nothing to choose from, the points did not test the same axillae in the same splits, or a fold that
        tests somebody has no tuning AUC to choose by.
    """
    if not candidates:
        raise DataError("found no finished point, expected at least one; see the reasons in sweep.csv")
    values = {candidate.name: fold_values(candidate.tuning, objective) for candidate in candidates}
    judged = {candidate.name: Judged.read(candidate.folder) for candidate in candidates}
    first = judged[candidates[0].name]
    for candidate in candidates[1:]:
        require_comparable(judged[candidate.name], first)
    folds = [str(fold) for fold in first.axillae[Stage.SLN]["fold"].unique()]
    chosen = {fold: _choose(values, fold, objective) for fold in sorted(folds)}
    stages: dict[str, dict[str, Any]] = {}
    for stage in Stage:
        tables = {name: run.axillae[stage] for name, run in judged.items()}
        rows = pd.concat([tables[name][tables[name]["fold"] == fold] for fold, name in chosen.items()])
        stages[str(stage)] = {
            "auc": metrics.auc(rows["label"], rows["probability"]).as_dict(),
            "auc_mean_over_folds": metrics.auc_mean_over_folds(
                rows["label"], rows["probability"], rows["fold"].astype("str")
            ).as_dict(),
        }
    return {"objective": objective, "points": len(candidates), "chosen": chosen, "stages": stages}


def _choose(values: Mapping[str, Mapping[str, float]], fold: str, objective: str) -> str:
    known = {name: round(value[fold], 9) for name, value in values.items() if fold in value}
    if len(known) < len(values):
        raise DataError(
            f"found {len(known)} of {len(values)} points with {objective} in fold {fold}, expected all of them; "
            "raise splits.tuning"
        )
    return max(known, key=lambda name: known[name])  # the first of equals
