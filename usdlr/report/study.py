"""The study report: one self-contained page and its figures as vector files."""

from __future__ import annotations

from pathlib import Path

from usdlr.core.files import write_text
from usdlr.report.figures import draw_all
from usdlr.report.inputs import StudyInputs
from usdlr.report.page import render, study_page

__all__ = ["StudyInputs", "write_report"]


def write_report(inputs: StudyInputs, folder: Path) -> list[Path]:
    """Write ``report.html`` and ``figures/*.svg``.

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
        The page first, then the figures in the order of the page.

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
    return written
