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

READOUT_NOTE = (
    "The signature score is what the networks' images and radiomics make of an axilla. The probability is the "
    "nomogram's own; calibration follows it before any threshold."
)


def draw_all(inputs: StudyInputs) -> dict[str, Drawing]:
    """Every figure by name.

    Returns
    -------
    dict of str to Drawing
        ``false_negative, cascade, roc, auc, calibration, cohort`` and, where the choice of features is known,
        ``selection_{stage}``, ``nomogram_{stage}`` of the baseline and ``readout_{stage}`` of the model's own
        signature, each named like its file.
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
        if stage in inputs.readouts:
            drawings.append(
                nomogram_figure(
                    inputs.readouts[stage],
                    name=f"readout_{stage}",
                    cohort=", ".join(["the model that ships", *inputs.marks.words]),
                    note=READOUT_NOTE,
                )
            )
    return {drawing.name: drawing for drawing in drawings}
