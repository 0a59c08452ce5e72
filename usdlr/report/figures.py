"""All figures of a study report, in the order of the page."""

from __future__ import annotations

from usdlr.core.types import Stage
from usdlr.report.figures_curves import calibration_figure, roc_figure
from usdlr.report.figures_flow import cascade_figure, cohort_figure
from usdlr.report.figures_forest import auc_figure, false_negative_figure
from usdlr.report.figures_nomogram import nomogram_figure
from usdlr.report.figures_selection import frequency_figure
from usdlr.report.inputs import StudyInputs
from usdlr.report.style import Drawing


def draw_all(inputs: StudyInputs) -> dict[str, Drawing]:
    """Every figure by name.

    Returns
    -------
    dict of str to Drawing
        ``false_negative, cascade, roc, auc, calibration, cohort`` and, where the choice of features is known,
        ``selection_{stage}`` and ``nomogram_{stage}``, each named like its file.
    """
    painters = (false_negative_figure, cascade_figure, roc_figure, auc_figure, calibration_figure, cohort_figure)
    drawings = [paint(inputs) for paint in painters]
    for stage in Stage:
        folds, bootstraps = (inputs.selection.get(f"{kind}-{stage}") for kind in ("folds", "bootstraps"))
        if folds or bootstraps:
            drawings.append(
                frequency_figure(
                    folds, bootstraps, what=f"stage {stage.upper()}", name=f"selection_{stage}", marks=inputs.marks
                )
            )
        if stage in inputs.nomograms:
            drawings.append(
                nomogram_figure(inputs.nomograms[stage], name=f"nomogram_{stage}", cohort=", ".join(inputs.marks.words))
            )
    return {drawing.name: drawing for drawing in drawings}
