"""What a run shows in Weights & Biases: the very pictures and numbers that stand in its ``figures`` folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.layout import Layout
from usdlr.report.figures_heatmap import panel_words
from usdlr.report.inputs import StudyInputs
from usdlr.report.page_gallery import heat_title
from usdlr.tasks.loggers import Media, log_media

DRAWINGS = ("roc", "calibration")
TABLES = {"roc": "roc_points", "calibration": "calibration_points", "heatmaps": "heat_map_numbers"}


def log_run_media(config: ExperimentConfig, layout: Layout, inputs: StudyInputs) -> None:
    """Log ROC curves, calibration and heat maps of a run whose report is written.

    Parameters
    ----------
    config : ExperimentConfig
        ``fit.wandb`` says where to; ``disabled``: nowhere. ``online``: curves alone; patients' pictures and numbers
        leave the machine by nobody's default.
    layout : Layout
        The run.
    inputs : StudyInputs
        What its report was made from.
    """
    figures = layout.out / "figures"
    pictures = [
        ((figures / f"{case.name}.png").read_bytes(), f"{heat_title(inputs, case)}: {'; '.join(panel_words(case))}")
        for case in (inputs.heat_maps if config.fit.wandb == "offline" else [])
    ]
    media = Media(
        drawings={name: (figures / f"{name}.svg").read_text(encoding="utf-8") for name in DRAWINGS},
        pictures={"heat_maps": pictures} if pictures else {},
        tables=_tables(figures, pictures=bool(pictures)),
    )
    log_media(layout.out / "work" / "media", f"{config.name} report", config.fit.wandb, media)


def _tables(figures: Path, *, pictures: bool) -> Mapping[str, pd.DataFrame]:
    found = {name: figures / f"{stem}.csv" for stem, name in TABLES.items() if pictures or stem in DRAWINGS}
    return {name: pd.read_csv(path) for name, path in found.items() if path.is_file()}
