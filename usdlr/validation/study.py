"""A validation as the inputs that the study page's figures and sections read, and its report on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from usdlr.core.columns import AXILLA_KEY
from usdlr.core.files import write_together
from usdlr.core.types import Split
from usdlr.report.curve_points import calibration_points, roc_points
from usdlr.report.figures_heatmap import HeatCase, heat_table, render_heat
from usdlr.report.figures_net_benefit import net_benefit_points
from usdlr.report.figures_pathways import pathways_points
from usdlr.report.figures_subgroups import subgroups_points
from usdlr.report.figures_survival import survival_points
from usdlr.report.gallery import GalleryCase
from usdlr.report.html import render
from usdlr.report.inputs import SCORE_COLUMNS, StudyInputs
from usdlr.report.markdown import to_markdown
from usdlr.report.pdf import pdf_or_say
from usdlr.validation.evaluate import FOLD
from usdlr.validation.page import validation_drawings, validation_page

PAGE, PDF, MARKDOWN = "report.html", "report.pdf", "report.md"


def study_inputs(
    *,
    metrics: Mapping[str, Any],
    predictions: pd.DataFrame,
    decisions: pd.DataFrame,
    labels: pd.DataFrame,
    exclusions: pd.DataFrame,
    axillae: pd.DataFrame,
    gallery: Sequence[GalleryCase],
    heat: Sequence[HeatCase],
    provenance: Mapping[str, Any],
    plan_yaml: str,
) -> StudyInputs:
    """What the page is made from: all patients are tested by one model, and there is no baseline beside it.

    Parameters
    ----------
    metrics : mapping
        The content of ``validation.json``.
    predictions, decisions, labels, exclusions, axillae : DataFrame
        Of all sources.
    gallery, heat : sequence
        Pictures.
    provenance : mapping
        As of :meth:`usdlr.core.provenance.Provenance.as_dict`.
    plan_yaml : str
        The plan.
    """
    return StudyInputs(
        metrics=metrics,
        predictions=predictions.assign(split=str(Split.TEST), fold=FOLD),
        decisions=decisions,
        labels=labels[[*AXILLA_KEY, "sln", "nsln"]],
        exclusions=exclusions,
        baselines=pd.DataFrame(columns=list(SCORE_COLUMNS)),
        gallery=gallery,
        provenance=provenance,
        config_yaml=plan_yaml,
        heat_maps=heat,
        axillae=axillae,
    )


def write_validation_report(inputs: StudyInputs, folder: Path) -> list[Path]:
    """Write the page as HTML, PDF and Markdown, and every figure with its numbers.

    Equal inputs give equal bytes; the only times in it are those of provenance and lock. No patient id is written.

    Parameters
    ----------
    inputs : StudyInputs
        From :func:`study_inputs`.
    folder : Path
        Made if absent.

    Returns
    -------
    list of Path
        The page first.
    """
    drawings = validation_drawings(inputs)
    document = validation_page(inputs, drawings)
    pdf = pdf_or_say(document)
    contents = {PAGE: render(document).encode(), **({PDF: pdf} if pdf is not None else {})}
    contents |= {
        MARKDOWN: to_markdown(document).encode(),
        **{f"figures/{name}.svg": drawing.file_text.encode() for name, drawing in drawings.items()},
        **{f"figures/{case.name}.png": render_heat(case) for case in inputs.heat_maps},
    }
    numbers = {
        "roc": roc_points(inputs),
        "calibration": calibration_points(inputs),
        "pathways": pathways_points(inputs),
        "subgroups": subgroups_points(inputs),
        "net_benefit": net_benefit_points(inputs),
        "survival": survival_points(inputs),
        "heatmaps": heat_table(inputs.heat_maps) if inputs.heat_maps else None,
    }
    for stem, table in numbers.items():
        if table is not None:
            contents[f"figures/{stem}.csv"] = table.to_csv(index=False, lineterminator="\n").encode()
    written = write_together(folder, contents)
    if pdf is None:
        (folder / PDF).unlink(missing_ok=True)
    return written
