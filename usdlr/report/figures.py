"""All figures of a study report, in the order of the page."""

from __future__ import annotations

from usdlr.report.figures_curves import calibration_figure, roc_figure
from usdlr.report.figures_flow import cascade_figure, cohort_figure
from usdlr.report.figures_forest import auc_figure, false_negative_figure
from usdlr.report.inputs import StudyInputs
from usdlr.report.style import Drawing


def draw_all(inputs: StudyInputs) -> dict[str, Drawing]:
    """Every figure by name.

    Returns
    -------
    dict of str to Drawing
        ``false_negative, cascade, roc, auc, calibration, cohort``, each named like its file.
    """
    painters = (false_negative_figure, cascade_figure, roc_figure, auc_figure, calibration_figure, cohort_figure)
    return {drawing.name: drawing for drawing in (paint(inputs) for paint in painters)}
