"""What a search may see of a run: how well it ranks the tuning axillae of its folds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from usdlr.core import tables
from usdlr.core.errors import DataError
from usdlr.core.types import Split, Stage
from usdlr.evaluation.alignment import by_axilla
from usdlr.evaluation.delong import placements
from usdlr.experiment.cohort import axilla_labels, stage_labels
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.layout import Layout
from usdlr.ingest.splits import BUNDLE_FOLD

TuningAucs = dict[str, dict[str, float]]


def tuning_aucs(config: ExperimentConfig, out: Path) -> TuningAucs:
    """AUC on the tuning axillae of every fold that tests somebody, by stage and fold.

    Test rows are not read. A fold whose tuning axillae are all of one class has no entry. Ties count one half, so that
    a constant score is 0.5. The bundle's fold, which tests nobody, does not count.

    Parameters
    ----------
    config : ExperimentConfig
        The run's configuration, which names the endpoints.
    out : Path
        Folder of the finished run.
    """
    layout = Layout(out)
    predictions = tables.PREDICTIONS.read(layout.predictions)
    tuning = predictions[(predictions["split"] == str(Split.TUNING)) & (predictions["fold"] != BUNDLE_FOLD)]
    labels = axilla_labels(tables.CASES.read(layout.cases), config.data)
    found: TuningAucs = {str(stage): {} for stage in Stage}
    for stage in Stage:
        truth = by_axilla(labels.assign(label=stage_labels(labels, stage)), ("label",), "labels")["label"]
        of_stage = tuning[tuning["stage"] == str(stage)]
        for fold, rows in of_stage.groupby("fold", sort=False):
            scored = by_axilla(rows, ("probability",), f"tuning predictions of fold {fold}")
            label = truth.reindex(scored.index).to_numpy(np.float64)
            known = np.isfinite(label)
            if 0 < label[known].sum() < known.sum():
                score = scored["probability"].to_numpy(np.float64)[known]
                found[str(stage)][str(fold)] = float(placements(label[known], score).auc[0])
    return found


def fold_values(aucs: Mapping[str, Mapping[str, float]], objective: str) -> dict[str, float]:
    """The objective in every fold that has it.

    Examples
    --------
    >>> fold_values({"sln": {"0": 0.8, "1": 0.6}, "nsln": {"0": 0.5}}, "tuning.mean.auc")
    {'0': 0.65}
    """
    stage = objective.split(".")[1]
    parts = [aucs[str(stage)]] if stage in aucs else [aucs[str(each)] for each in Stage]
    folds = [fold for fold in parts[0] if all(fold in part for part in parts)]
    return {fold: float(np.mean([part[fold] for part in parts])) for fold in folds}


def objective_value(aucs: Mapping[str, Mapping[str, float]], objective: str) -> float:
    """The mean over folds.

    Raises
    ------
    DataError
        If no fold has both classes among its tuning axillae.
    """
    values = list(fold_values(aucs, objective).values())
    if not values:
        raise DataError(
            f"found no fold with both classes among its tuning axillae, expected at least one for {objective}; "
            "raise splits.tuning or take the other stage"
        )
    return float(np.mean(values))
