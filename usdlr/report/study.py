"""The study report: one self-contained page and its figures as vector files."""

from __future__ import annotations

from pathlib import Path

from usdlr.core.files import write_together
from usdlr.report.cards import data_card, model_card
from usdlr.report.curve_points import calibration_points, roc_points
from usdlr.report.figures import draw_all
from usdlr.report.figures_heatmap import heat_table, render_heat
from usdlr.report.figures_net_benefit import net_benefit_points
from usdlr.report.figures_pathways import pathways_points
from usdlr.report.figures_subgroups import subgroups_points
from usdlr.report.figures_survival import survival_points
from usdlr.report.figures_thresholds import thresholds_points
from usdlr.report.html import render
from usdlr.report.inputs import StudyInputs
from usdlr.report.markdown import to_markdown
from usdlr.report.page import study_page
from usdlr.report.pdf import pdf_or_say

__all__ = ["StudyInputs", "write_report"]

PAGE, PDF = "report.html", "report.pdf"


def write_report(inputs: StudyInputs, folder: Path) -> list[Path]:
    """Write the report as a page and as a PDF, the cards of model and data, and every figure with its numbers.

    ``report.html``, ``report.pdf`` (left out, which is said, where the library for it is missing), ``model_card.md``,
    ``data_card.md`` and ``figures``: drawings as SVG, heat maps as PNG, the numbers behind them as CSV. The page asks
    the network for nothing. Equal inputs give equal bytes; the only times in it are those of ``inputs.provenance``. No
    patient id is written.

    Parameters
    ----------
    inputs : StudyInputs
        The study.
    folder : Path
        Made if absent.

    Returns
    -------
    list of Path
        The page first, then PDF and cards, the figures in the order of the page, the tables.

    Raises
    ------
    InputError
        If the tables contradict each other in a way that no page can show.
    DataError
        If the files cannot be written there; then none is.
    """
    figures = draw_all(inputs)
    document = study_page(inputs, figures)
    pdf = pdf_or_say(document)
    contents = {PAGE: render(document).encode(), **({PDF: pdf} if pdf is not None else {})}
    contents |= {
        "model_card.md": to_markdown(model_card(inputs)).encode(),
        "data_card.md": to_markdown(data_card(inputs)).encode(),
        **{f"figures/{name}.svg": drawing.file_text.encode() for name, drawing in figures.items()},
        **{f"figures/{case.name}.png": render_heat(case) for case in inputs.heat_maps},
    }
    numbers = {
        "roc": roc_points(inputs),
        "calibration": calibration_points(inputs),
        "pathways": pathways_points(inputs),
        "thresholds": thresholds_points(inputs),
        "subgroups": subgroups_points(inputs),
        "net_benefit": net_benefit_points(inputs),
        "survival": survival_points(inputs),
        "losses": None if inputs.losses.empty else inputs.losses,
        "heatmaps": heat_table(inputs.heat_maps) if inputs.heat_maps else None,
    }
    for stem, table in numbers.items():
        if table is not None:
            contents[f"figures/{stem}.csv"] = table.to_csv(index=False, lineterminator="\n").encode()
    written = write_together(folder, contents)
    if pdf is None:  # that of an earlier report would stand beside a page that says something else
        (folder / PDF).unlink(missing_ok=True)
    return written
