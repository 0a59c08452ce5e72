"""What a sweep leaves behind for its reader: ``sweep.csv``, ``sweep.html``, and a few lines for the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from usdlr.core.files import write_atomic, write_text
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.runs import run_state
from usdlr.experiment.sweep.engine import SweepResult
from usdlr.experiment.sweep.outcomes import FINISHED
from usdlr.experiment.sweep.page import NOT_NESTED, SELECTION, nested_lines, point_cells, sweep_page
from usdlr.experiment.sweep.settings import GRID, SweepSettings
from usdlr.experiment.sweep.table import over_seeds, sweep_table


@dataclass(frozen=True)
class Written:
    """What was written.

    Parameters
    ----------
    summary : DataFrame
        One row of texts per point.
    lines : list of str
        What has to be said about it, and where the files are.
    finished : int
        Number of finished points.
    """

    summary: pd.DataFrame
    lines: list[str]
    finished: int


def write_results(settings: SweepSettings, base: ExperimentConfig, result: SweepResult, out: Path) -> Written:
    """Write ``sweep.csv``, ``sweep.html`` and, with several seeds, ``sweep_seeds.csv``.

    Parameters
    ----------
    settings : SweepSettings
        The sweep.
    base : ExperimentConfig
        Its experiment.
    result : SweepResult
        What it came to.
    out : Path
        Its folder.
    """
    table = sweep_table(settings, result.outcomes, out)
    write_atomic(out / "sweep.csv", lambda path: table.to_csv(path, index=False))
    seeds = over_seeds(table) if len(settings.seeds) > 1 else None
    if seeds is not None:
        write_atomic(out / "sweep_seeds.csv", lambda path: seeds.to_csv(path, index=False))
    simulated = any(run_state(out / "points" / outcome.point)[1].get("simulated") for outcome in result.outcomes)
    page = sweep_page(
        settings,
        table,
        title=base.name,
        question=base.question,
        simulated=simulated,
        nested=result.nested,
        chosen=result.chosen,
        seeds=seeds,
    )
    write_text(out / "sweep.html", page)
    lines = [SELECTION if settings.method == GRID else NOT_NESTED]
    if result.chosen is not None:
        lines.append(f"chosen by {settings.objective}: {result.chosen}")
    lines += nested_lines(settings, result.nested)
    if len({outcome.versions for outcome in result.outcomes if outcome.state == FINISHED}) > 1:
        lines.append(
            "The points were run with different versions of packages, which may move last digits; the provenance "
            "of each says which."
        )
    names = ["sweep.csv", *(["sweep_seeds.csv"] if seeds is not None else []), "sweep.html"]
    lines += [f"wrote {out / name}" for name in names]
    finished = sum(outcome.state == FINISHED for outcome in result.outcomes)
    return Written(point_cells(table), lines, finished)
