"""ROC, calibration and decision curve of scores from elsewhere, a row of panels per stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from usdlr.core.types import Stage
from usdlr.evaluation.calibration import calibration_curve
from usdlr.evaluation.calibration_smooth import smooth_calibration
from usdlr.evaluation.metrics import roc_curve
from usdlr.evaluation.net_benefit import ALL, MODEL
from usdlr.report.style import (
    GRID,
    INK,
    MODEL_COLOUR,
    RULE,
    SKY,
    VERMILLION,
    WIDTH_IN,
    Drawing,
    baseline_series,
    draw,
    heading,
    note,
    panel_title,
)
from usdlr.validation.scores import stage_frame, stage_truth
from usdlr.validation.scores_read import SCORE, ScoreTable

_ROW_IN, _HEAD_IN = 2.55, 0.75
_LONGEST = 24


def scores_figure(table: ScoreTable, metrics: Mapping[str, Any]) -> Drawing:
    """Panels of every stage of a file.

    Parameters
    ----------
    table : ScoreTable
        The file.
    metrics : mapping
        From :func:`usdlr.validation.scores.score_metrics`.
    """
    stages = list(table.columns.stages)
    title = "ROC, calibration and decision curves"
    counts = "; ".join(
        f"{stage.upper()} stage: {found['counts']['positive']} positive and {found['counts']['negative']} negative rows"
        for stage, found in ((one, metrics["stages"][str(one)]) for one in stages)
    )
    caption = (
        f"{counts}. ROC: shaded, pointwise 95 % Clopper-Pearson band of the first column's sensitivity; broken, "
        "further columns. Calibration of the first column: points with 95 % Wilson intervals, line by loess with its "
        "95 % band. Decision curve of the first column with its pointwise 95 % interval; broken: treat all; dotted: "
        "none."
    )
    height = _HEAD_IN + _ROW_IN * len(stages)

    def paint(figure: Figure) -> None:
        heading(figure, title)
        grid = figure.subplots(len(stages), 3, squeeze=False)
        figure.subplots_adjust(
            left=0.075, right=0.985, bottom=0.48 / height, top=1 - _HEAD_IN / height, wspace=0.34, hspace=0.5
        )
        for row, stage, letters in zip(grid, stages, ("abc", "def"), strict=False):
            for axes, letter, name in zip(row, letters, ("ROC", "calibration", "decision curve"), strict=True):
                panel_title(axes, letter, f"{stage.upper()}, {name}")
            _roc(row[0], table, stage)
            _calibration(row[1], table, stage)
            _benefit(row[2], metrics["stages"][str(stage)])

    return draw("scores", title, caption, (WIDTH_IN, height), paint)


def _roc(axes: Axes, table: ScoreTable, stage: Stage) -> None:
    y = stage_truth(table, stage)
    axes.plot([0, 100], [0, 100], color=RULE, linewidth=0.9)
    drawn = False
    for place, column in enumerate(table.columns.stages[stage].scores):
        curve = roc_curve(y, stage_frame(table, stage, column)["probability"])
        if curve is None:
            continue
        look = baseline_series(place - 1)
        colour, dashes = (MODEL_COLOUR, "-") if place == 0 else (look.colour, look.dashes)
        if place == 0:
            axes.fill_between(
                100 * curve.fpr, 100 * curve.tpr_low, 100 * curve.tpr_high, color=SKY, alpha=0.28, linewidth=0
            )
        name = column if len(column) <= _LONGEST else f"{column[: _LONGEST - 1]}…"
        axes.plot(100 * curve.fpr, 100 * curve.tpr, color=colour, linestyle=dashes, linewidth=1.6, label=name)
        drawn = True
    if not drawn:
        note(axes, "not estimable")
        return
    axes.legend(loc="lower right", fontsize=6.5, handlelength=2.2)
    _per_cent(axes, "False-positive rate (%)", "Sensitivity (%)")


def _calibration(axes: Axes, table: ScoreTable, stage: Stage) -> None:
    if table.columns.scale == SCORE:
        note(axes, "scores are no probabilities")
        return
    y = stage_truth(table, stage)
    rows = stage_frame(table, stage, table.columns.stages[stage].scores[0])
    known = y.notna()
    truth, p = y[known].to_numpy(float), rows["probability"][known].to_numpy(float)
    if not len(truth):
        note(axes, "not estimable")
        return
    bins = 100 * calibration_curve(truth, p, bins=max(1, min(10, len(truth) // 10)))
    axes.plot([0, 100], [0, 100], color=RULE, linewidth=0.9)
    smooth = smooth_calibration(truth, p, patients=y[known].index.get_level_values("patient_id"))
    if smooth is not None:
        across = 100 * smooth.predicted
        axes.fill_between(across, 100 * smooth.low, 100 * smooth.high, color=SKY, alpha=0.28, linewidth=0)
        axes.plot(across, 100 * smooth.observed, color=MODEL_COLOUR, linewidth=1.3)
    axes.vlines(bins["predicted"], bins["low"], bins["high"], color=MODEL_COLOUR, linewidth=1.1)
    axes.plot(bins["predicted"], bins["observed"], color=MODEL_COLOUR, linestyle="none", marker="o", markersize=4)
    _per_cent(axes, "Predicted probability (%)", f"Observed {stage.upper()} positive (%)")


def _benefit(axes: Axes, found: Mapping[str, Any]) -> None:
    curve = found.get("decision_curve")
    if curve is None or not curve["quantities"]:
        note(axes, "scores are no probabilities" if curve is None else "not estimable")
        return
    at = 100 * np.array(curve["thresholds"])
    model, everybody = (
        {key: np.array(curve["quantities"][name][key], dtype=np.float64) for key in ("value", "low", "high")}
        for name in (MODEL, ALL)
    )
    axes.fill_between(at, model["low"], model["high"], color=SKY, alpha=0.28, linewidth=0)
    axes.plot(at, everybody["value"], color=VERMILLION, linestyle=(0, (5, 2)), linewidth=1.3)
    axes.axhline(0.0, color=INK, linestyle=(0, (1.5, 1.5)), linewidth=1.1)
    axes.plot(at, model["value"], color=MODEL_COLOUR, linewidth=1.8)
    top = float(np.nanmax([*model["value"], everybody["value"][0], 0.01]))
    axes.set_ylim(-0.3 * top, 1.15 * top)
    axes.set(xlabel="Threshold probability (%)", ylabel="Net benefit (per row)")
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def _per_cent(axes: Axes, x: str, y: str) -> None:
    axes.set(xlim=(-2, 102), ylim=(-2, 102), xlabel=x, ylabel=y, xticks=range(0, 101, 25), yticks=range(0, 101, 25))
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
