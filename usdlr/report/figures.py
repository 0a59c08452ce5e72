"""All figures of a study report, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from usdlr.core.types import Stage
from usdlr.decision.wording_page import READOUT
from usdlr.report.facts import training_rows
from usdlr.report.figures_curves import calibration_figure, roc_figure
from usdlr.report.figures_flow import cascade_figure, cohort_figure
from usdlr.report.figures_forest import auc_figure, false_negative_figure
from usdlr.report.figures_losses import draw_losses
from usdlr.report.figures_net_benefit import draw_net_benefit
from usdlr.report.figures_nomogram import BASELINE, baseline_note, nomogram_figure
from usdlr.report.figures_pathways import draw_pathways
from usdlr.report.figures_selection import frequency_figure
from usdlr.report.figures_subgroups import draw_subgroups
from usdlr.report.figures_survival import draw_survival
from usdlr.report.figures_thresholds import draw_thresholds
from usdlr.report.inputs import StudyInputs
from usdlr.report.style import Drawing

SIGNATURE = "radiomics_signature"


def draw_all(inputs: StudyInputs) -> dict[str, Drawing]:
    """Every figure by name.

    Returns
    -------
    dict of str to Drawing
        ``false_negative, cascade, roc, auc, calibration, cohort``; as far as the metrics hold them ``pathways,
        thresholds, subgroups_{stage}, net_benefit, survival``; ``losses`` where fits were logged; where the choice of
        features is known
        ``selection_{stage}``, ``nomogram_{stage}`` of the baseline and ``readout_{stage}`` of the model's own
        signature, each named like its file.
    """
    painters = (false_negative_figure, cascade_figure, roc_figure, auc_figure, calibration_figure, cohort_figure)
    drawings = [paint(inputs) for paint in painters]
    optional: tuple[Callable[[StudyInputs], Drawing | None], ...] = (
        draw_pathways,
        draw_thresholds,
        *(partial(draw_subgroups, stage=stage) for stage in Stage),
        draw_net_benefit,
        draw_survival,
        draw_losses,
    )
    drawings += [drawing for drawing in (paint(inputs) for paint in optional) if drawing is not None]
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
                nomogram_figure(
                    inputs.nomograms[stage],
                    name=f"nomogram_{stage}",
                    cohort=", ".join([BASELINE, *inputs.marks.words]),
                    note=_about_baseline(inputs, stage),
                )
            )
        if stage in inputs.readouts:
            drawings.append(
                nomogram_figure(
                    inputs.readouts[stage],
                    name=f"readout_{stage}",
                    cohort=", ".join(["the model that ships", *inputs.marks.words]),
                    note=READOUT,
                )
            )
    return {drawing.name: drawing for drawing in drawings}


def _about_baseline(inputs: StudyInputs, stage: Stage) -> str:
    """Whose nomogram it is, of how many axillae, and how well its baseline does."""
    entry = inputs.metrics["baselines"].get(SIGNATURE)
    rows = training_rows(inputs, stage)
    return baseline_note(
        inputs.nomograms[stage],
        title=inputs.baseline_title(SIGNATURE) if entry else "radiomics signature",
        auc=entry["stages"][stage]["auc"] if entry else None,
        axillae=rows[0] if rows else None,
    )
