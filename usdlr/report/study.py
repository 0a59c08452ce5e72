"""The study report: one self-contained page and its figures as vector files."""

from __future__ import annotations

from pathlib import Path

from usdlr.core.files import write_bytes, write_text
from usdlr.report.curve_points import calibration_points, roc_points
from usdlr.report.figures import draw_all
from usdlr.report.figures_heatmap import heat_table, render_heat
from usdlr.report.inputs import StudyInputs
from usdlr.report.page import render, study_page

__all__ = ["StudyInputs", "write_report"]


def write_report(inputs: StudyInputs, folder: Path) -> list[Path]:
    """Write ``report.html`` and ``figures``: drawings as SVG, heat maps as PNG, the numbers of curves and maps as CSV.

    The page asks the network for nothing. Equal inputs give equal bytes; the only times in it are those of
    ``inputs.provenance``. No patient id is written.

    Parameters
    ----------
    inputs : StudyInputs
        The study.
    folder : Path
        Made if absent.

    Returns
    -------
    list of Path
        The page first, then the figures in the order of the page, then the tables.

    Raises
    ------
    InputError
        If the tables contradict each other in a way that no page can show.
    """
    figures = draw_all(inputs)
    page = folder / "report.html"
    write_text(page, render(study_page(inputs, figures)))
    written = [page]
    for name, drawing in figures.items():
        path = folder / "figures" / f"{name}.svg"
        write_text(path, drawing.file_text)
        written.append(path)
    for case in inputs.heat_maps:
        path = folder / "figures" / f"{case.name}.png"
        write_bytes(path, render_heat(case))
        written.append(path)
    numbers = {"roc": roc_points(inputs), "calibration": calibration_points(inputs)}
    numbers |= {"heatmaps": heat_table(inputs.heat_maps)} if inputs.heat_maps else {}
    for stem, table in numbers.items():
        path = folder / "figures" / f"{stem}.csv"
        write_text(path, table.to_csv(index=False, lineterminator="\n"))
        written.append(path)
    return written
