"""Every point of a sweep as one line of a forest plot."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from usdlr.core.types import Stage
from usdlr.decision.numbers import finite
from usdlr.report.style import (
    INK,
    MODEL_COLOUR,
    QUIET,
    RULE,
    VERMILLION,
    WIDTH_IN,
    Drawing,
    draw,
    heading,
    panel_title,
)

_LABEL = 34
_LINE_IN = 0.19


def forest(table: pd.DataFrame, chosen: str | None = None) -> Drawing:
    """AUC of both stages with 95 % interval, one line per point that has results.

    Parameters
    ----------
    table : DataFrame
        From :func:`usdlr.experiment.sweep.table.sweep_table`.
    chosen : str, optional
        The point that a search chose; it is drawn in another colour and marker.
    """
    rows = table[table["sln_auc"].notna()].reset_index(drop=True)
    title = "Area under the ROC curve on test axillae, by point"
    caption = (
        "Pooled out-of-fold predictions, 95 % intervals; open diamonds: mean over folds on tuning axillae. Intervals "
        "that overlap say little about points on the same patients: their paired differences are far narrower, see "
        "`usdlr runs --against`."
    )
    height = 1.2 + _LINE_IN * max(len(rows), 1)

    def paint(figure: Figure) -> None:
        heading(figure, title)
        axes = figure.subplots(1, 2)
        figure.subplots_adjust(left=0.30, right=0.985, bottom=0.5 / height, top=1 - 0.6 / height, wspace=0.08)
        for letter, panel, stage in (("a", axes[0], Stage.SLN), ("b", axes[1], Stage.NSLN)):
            panel_title(panel, letter, f"{str(stage).upper()} stage")
            _panel(panel, rows, str(stage), chosen, labelled=letter == "a")

    return draw("sweep", title, caption, (WIDTH_IN, height), paint)


def _panel(axes: Axes, rows: pd.DataFrame, stage: str, chosen: str | None, *, labelled: bool) -> None:
    ends = rows[[f"{stage}_auc_low", f"tuning_{stage}_auc"]].astype("float64").to_numpy().ravel()
    lowest = min([0.45, *(end - 0.02 for end in ends if end == end)])
    axes.set(xlim=(max(0.0, lowest), 1.0), ylim=(len(rows) - 0.4, -0.6), xlabel="Area under the curve (0 to 1)")
    axes.axvline(0.5, color=QUIET, linewidth=0.8, linestyle=(0, (1, 2)))
    for position, row in rows.iterrows():
        place = int(str(position))
        special = row["point"] == chosen or str(row["point"]).startswith(f"{chosen},seed=")
        colour, marker = (VERMILLION, "s") if special else (MODEL_COLOUR, "o")
        axes.axhline(place, color=RULE, linewidth=0.5, zorder=0)
        value, low, high, tuning = (
            finite(row[name] if row[name] == row[name] else None)
            for name in (f"{stage}_auc", f"{stage}_auc_low", f"{stage}_auc_high", f"tuning_{stage}_auc")
        )
        if low is not None and high is not None:
            axes.hlines(place, low, high, color=colour, linewidth=1.6, zorder=2)
        if value is not None:
            axes.plot([value], [place], marker=marker, markersize=5, color=colour, linestyle="none", zorder=3)
        if tuning is not None:
            axes.plot(
                [tuning],
                [place],
                marker="D",
                markersize=3.4,
                color=INK,
                markerfacecolor="white",
                markeredgewidth=0.8,
                linestyle="none",
                zorder=4,
            )
    labels = [_label(str(name)) if labelled else "" for name in rows["point"]]
    axes.set_yticks(range(len(rows)), labels)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _label(name: str) -> str:
    return name if len(name) <= _LABEL else f"{name[: _LABEL - 1]}…"
