"""The points of the ROC and calibration curves as tables, for programs that draw them anew."""

from __future__ import annotations

import pandas as pd

from usdlr.core.types import Stage
from usdlr.evaluation.calibration import calibration_curve
from usdlr.evaluation.metrics import roc_curve
from usdlr.report.figures_curves import MOST_BINS, SMALLEST_BIN
from usdlr.report.inputs import StudyInputs

MODEL = "model"


def roc_points(inputs: StudyInputs) -> pd.DataFrame:
    """Every ROC curve: ``stage name false_positive_rate sensitivity``, shares from 0 to 1; the model is ``model``."""
    parts = [pd.DataFrame({"stage": [], "name": [], "false_positive_rate": [], "sensitivity": []})]
    for stage in Stage:
        for name, rows in ((MODEL, inputs.stage_rows(stage)), *inputs.baseline_rows(stage)):
            curve = roc_curve(rows["truth"], rows["score"])
            if curve is not None:
                points = {"false_positive_rate": curve.fpr, "sensitivity": curve.tpr}
                parts.append(pd.DataFrame({"stage": str(stage), "name": name, **points}))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def calibration_points(inputs: StudyInputs) -> pd.DataFrame:
    """The model's calibration: ``stage`` and the columns of :func:`usdlr.evaluation.calibration.calibration_curve`."""
    parts = []
    for stage in Stage:
        rows = inputs.stage_rows(stage)
        if len(rows):
            bins = max(1, min(MOST_BINS, len(rows) // SMALLEST_BIN))
            parts.append(calibration_curve(rows["truth"], rows["score"], bins=bins).assign(stage=str(stage)))
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"stage": []})
    return found[["stage", *(name for name in found if name != "stage")]]
