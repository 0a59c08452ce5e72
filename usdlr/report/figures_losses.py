"""How the networks were fitted: training and tuning loss of every fit over the epochs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from usdlr.core.types import Stage
from usdlr.decision.numbers import plural
from usdlr.decision.wording_page import LOSSES
from usdlr.ingest.split_schemes import BUNDLE_FOLD
from usdlr.report.inputs import StudyInputs
from usdlr.report.style import BLUE, INK, QUIET, VERMILLION, WIDTH_IN, Drawing, draw, heading, note, panel_title

_PARTS: tuple[tuple[str, str, Any, str], ...] = (
    ("train", BLUE, (0, (4, 2)), "training axillae"),
    ("tuning", VERMILLION, "-", "tuning axillae"),
)


def draw_losses(inputs: StudyInputs) -> Drawing | None:
    """Losses over the epochs, one panel per stage; None where no log of a fit is there."""
    losses = inputs.losses
    if losses.empty:
        return None
    title = inputs.marks.title("Loss of every fit by epoch")
    fits = losses.drop_duplicates(["stage", "fold", "network"])
    counts = "; ".join(
        f"{stage.upper()} stage {plural(int((fits['stage'] == stage).sum()), 'network')}" for stage in Stage
    )
    caption = (
        f"{counts}: those of the folds, and thick the bundle's. Mean loss per axilla in nat, weighted as the "
        f"configuration's loss weighs. {LOSSES}"
    )
    height = 2.35

    def paint(figure: Figure) -> None:
        heading(figure, title)
        panels = figure.subplots(1, 2)
        figure.subplots_adjust(left=0.075, right=0.985, bottom=0.43 / height, top=1 - 0.63 / height, wspace=0.2)
        for letter, axes, stage in zip("ab", panels, Stage, strict=True):
            own = losses[losses["stage"] == str(stage)]
            panel_title(axes, letter, f"{stage.upper()} stage")
            _panel(axes, own)
        handles = [Line2D([], [], color=colour, linestyle=dashes, label=label) for _, colour, dashes, label in _PARTS]
        figure.legend(handles=handles, loc="upper right", ncols=2, handlelength=2.4, borderaxespad=0.4)
        panels[0].set_ylabel("Loss (nat per axilla)")

    return draw("losses", title, caption, (WIDTH_IN, height), paint)


def _panel(axes: Axes, own: pd.DataFrame) -> None:
    if own.empty:
        axes.set_axis_off()
        note(axes, "It took the networks of the other stage.")
        return
    for (fold, _), course in own.groupby(["fold", "network"], sort=False):
        shipped = fold == BUNDLE_FOLD
        for part, colour, dashes, _ in _PARTS:
            known = course[np.isfinite(course[part].astype(float))]
            axes.plot(
                known["epoch"] + 1,
                known[part],
                color=colour,
                linestyle=dashes,
                linewidth=1.9 if shipped else 0.8,
                alpha=1.0 if shipped else 0.65,
                marker="o" if len(known) == 1 else None,
                markersize=2.5,
                zorder=3 if shipped else 2,
            )
    axes.set_xlabel("Epoch")
    axes.set_xlim(left=0.5 if own["epoch"].max() < 2 else 1)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.tick_params(colors=QUIET, labelcolor=INK)
