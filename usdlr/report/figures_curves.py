"""ROC curves and calibration plots, one panel per stage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from usdlr.core.types import Stage
from usdlr.decision.numbers import Estimate, estimate_text, finite, not_estimable, plural
from usdlr.evaluation.calibration import calibration_curve
from usdlr.evaluation.calibration_smooth import smooth_calibration
from usdlr.evaluation.metrics import roc_curve
from usdlr.report.inputs import StudyInputs
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

_TICKS = np.arange(0, 101, 20)
MOST_BINS, SMALLEST_BIN = 10, 10
MOST_CURVES_INSIDE, _LEGEND_ROW_IN = 5, 0.17
# Characters of a name beside whose area a panel's width ends.
LONGEST_NAME_INSIDE = 36
_AREA = ", "  # between a curve's name and its area


def roc_figure(inputs: StudyInputs) -> Drawing:
    """ROC curves of the model, with a confidence band, and of every baseline."""
    title = inputs.marks.title("ROC curves of both stages")
    rows = {stage: inputs.stage_rows(stage) for stage in Stage}
    counts = "; ".join(f"{str(stage).upper()} stage n = {_classes(rows[stage])}" for stage in Stage)
    caption = (
        f"Out-of-fold predictions, pooled over folds; {counts}. The NSLN stage is judged on SLN-positive axillae, "
        f"{inputs.known_nsln}. Shaded: pointwise 95 % Clopper-Pearson band of the model's sensitivity. "
        "Broken lines: baselines on the same axillae. Circle: sensitivity and specificity at the "
        f"{inputs.marks.adjective}thresholds that each axilla was decided with; since every fold has its own, the "
        "circle need not lie on the pooled curve. Areas under the curve with 95 % intervals."
    )

    # Of a few curves the legend fits under the diagonal; more, or long names, would hide them: it stands below.
    names = [[name for name, _ in inputs.baseline_rows(stage)] for stage in Stage]
    curves = 1 + max(map(len, names))
    longest = max((len(inputs.baseline_title(name)) for each in names for name in each), default=0)
    inside = curves <= MOST_CURVES_INSIDE and longest <= LONGEST_NAME_INSIDE
    below = 0.0 if inside else _LEGEND_ROW_IN * (curves + 2)
    height = 4.35 + below

    def paint(figure: Figure) -> None:
        heading(figure, title)
        left, right = figure.subplots(1, 2)
        figure.subplots_adjust(
            left=0.075, right=0.985, bottom=(0.5 + below) / height, top=1 - 0.63 / height, wspace=0.22
        )
        for letter, axes, stage in (("a", left, Stage.SLN), ("b", right, Stage.NSLN)):
            _roc_panel(axes, letter, inputs, stage, rows[stage], inside=not below)
        if below:
            _common_legend(figure, (left, right))

    return draw("roc", title, caption, (WIDTH_IN, height), paint)


def _roc_panel(axes: Axes, letter: str, inputs: StudyInputs, stage: Stage, rows: pd.DataFrame, *, inside: bool) -> None:
    panel_title(axes, letter, f"{str(stage).upper()} stage, n = {len(rows)}")
    metrics = inputs.metrics["stages"][stage]
    curve = roc_curve(rows["truth"], rows["score"])
    if curve is None:
        note(axes, _short_reason(metrics["auc"]))
        return
    axes.plot([0, 100], [0, 100], color=RULE, linewidth=0.9, zorder=1)
    axes.fill_between(
        100 * curve.fpr, 100 * curve.tpr_low, 100 * curve.tpr_high, color=SKY, alpha=0.28, linewidth=0, zorder=1
    )
    axes.plot(
        100 * curve.fpr,
        100 * curve.tpr,
        color=MODEL_COLOUR,
        linewidth=2.0,
        zorder=3,
        label=f"Model{_AREA}{_short(metrics['auc'])}",
    )
    for position, (name, others) in enumerate(inputs.baseline_rows(stage)):
        other = roc_curve(others["truth"], others["score"])
        if other is None:
            continue
        look = baseline_series(position)
        auc = inputs.metrics["baselines"][name]["stages"][stage]["auc"]
        axes.plot(
            100 * other.fpr,
            100 * other.tpr,
            color=look.colour,
            linestyle=look.dashes,
            linewidth=1.2,
            zorder=2,
            label=f"{inputs.baseline_title(name)}{_AREA}{_short(auc)}",
        )
    _operating_point(axes, metrics, inputs.marks.adjective)
    _per_cent_axes(axes, "False-positive rate, 1 − specificity (%)", "Sensitivity (%)")
    if not inside:
        return
    legend = axes.legend(
        loc="lower right",
        handlelength=2.6,
        borderaxespad=0.3,
        labelspacing=0.35,
        alignment="left",
        title="Area under the curve (95 % interval)",
        title_fontsize=7.2,
    )
    legend.set_zorder(4)


def _common_legend(figure: Figure, panels: tuple[Axes, Axes]) -> None:
    """One line per curve below the panels, with its area at both stages; a curve that one stage lacks says so."""
    found: dict[str, list[str]] = {}
    handles: dict[str, Any] = {}
    for place, axes in enumerate(panels):
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            name, _, area = label.rpartition(_AREA)
            name = name or label
            handles.setdefault(name, handle)
            found.setdefault(name, ["not estimable", "not estimable"])[place] = area
    labels = [name if name == areas[0] else f"{name}: a {areas[0]}, b {areas[1]}" for name, areas in found.items()]
    figure.legend(
        list(handles.values()),
        labels,
        loc="lower left",
        bbox_to_anchor=(0.065, 0.0),
        handlelength=2.6,
        labelspacing=0.35,
        alignment="left",
        title="Area under the curve (95 % interval) in panels a and b",
        title_fontsize=7.2,
    )


def _operating_point(axes: Axes, metrics: dict[str, Any], adjective: str) -> None:
    sensitivity, specificity = finite(metrics["sensitivity"].get("value")), finite(metrics["specificity"].get("value"))
    if sensitivity is None or specificity is None:
        return
    axes.plot(
        [100 * (1 - specificity)],
        [100 * sensitivity],
        linestyle="none",
        marker="o",
        markersize=6.5,
        markerfacecolor="white",
        markeredgecolor=INK,
        markeredgewidth=1.4,
        clip_on=False,
        zorder=5,
        label=f"{adjective}operating point".capitalize(),
    )


def calibration_figure(inputs: StudyInputs) -> Drawing:
    """Observed against predicted risk, with the distribution of predicted risk underneath."""
    title = inputs.marks.title("Calibration of both stages")
    rows = {stage: inputs.stage_rows(stage) for stage in Stage}
    counts = "; ".join(f"{str(stage).upper()} stage n = {_classes(rows[stage])}" for stage in Stage)
    caption = (
        f"Out-of-fold predictions in up to {MOST_BINS} groups of equal size; {counts}. Points: observed share of "
        "positive axillae against the mean predicted probability, with 95 % Wilson intervals; on the diagonal a "
        "prediction means what it says. Line: loess of the outcome on the prediction; shaded: its pointwise 95 % "
        "interval over draws of the patients. ICI: mean distance of the line from the diagonal over the axillae, never "
        "0 even for a perfect model. Underneath: number of axillae per predicted probability, by the status found. "
        f"Slope 1 and intercept 0 are ideal. The NSLN stage shows P(NSLN positive | SLN positive), {inputs.known_nsln}."
    )

    def paint(figure: Figure) -> None:
        heading(figure, title)
        grid = figure.add_gridspec(
            2, 2, height_ratios=(3.2, 1.0), left=0.075, right=0.985, bottom=0.095, top=0.875, wspace=0.22, hspace=0.12
        )
        for column, (letter, stage) in enumerate((("a", Stage.SLN), ("b", Stage.NSLN))):
            upper = figure.add_subplot(grid[0, column])
            lower = figure.add_subplot(grid[1, column], sharex=upper)
            _calibration_panel(upper, lower, letter, inputs, stage, rows[stage])

    return draw("calibration", title, caption, (WIDTH_IN, 5.0), paint)


def _calibration_panel(
    upper: Axes, lower: Axes, letter: str, inputs: StudyInputs, stage: Stage, rows: pd.DataFrame
) -> None:
    panel_title(upper, letter, f"{str(stage).upper()} stage, n = {len(rows)}")
    if rows.empty:
        note(upper, _short_reason(inputs.metrics["stages"][stage]["brier"]))
        lower.set_axis_off()
        return
    truth, probability = rows["truth"].to_numpy(float), rows["score"].to_numpy(float)
    bins = 100 * calibration_curve(truth, probability, bins=max(1, min(MOST_BINS, len(rows) // SMALLEST_BIN)))
    upper.plot([0, 100], [0, 100], color=RULE, linewidth=0.9, zorder=1)
    smooth = smooth_calibration(truth, probability, patients=rows["patient_id"])
    if smooth is not None:
        across = 100 * smooth.predicted
        upper.fill_between(across, 100 * smooth.low, 100 * smooth.high, color=SKY, alpha=0.28, linewidth=0, zorder=1)
        upper.plot(across, 100 * smooth.observed, color=MODEL_COLOUR, linewidth=1.4, zorder=2)
    upper.vlines(bins["predicted"], bins["low"], bins["high"], color=MODEL_COLOUR, linewidth=1.1, zorder=2)
    upper.plot(
        bins["predicted"],
        bins["observed"],
        color=MODEL_COLOUR,
        linestyle="none",
        marker="o",
        markersize=4.8,
        zorder=3,
        markeredgecolor="white",
        markeredgewidth=0.7,
    )
    metrics = inputs.metrics["stages"][stage]
    lines = [
        f"{word} {estimate_text(metrics[key])}"
        for word, key in (
            ("Slope", "calibration_slope"),
            ("Intercept", "calibration_intercept"),
            ("Brier score", "brier"),
        )
    ]
    if smooth is not None:
        lines.append(f"ICI {estimate_text(smooth.ici.as_dict())}")
    upper.text(
        0.02,
        0.975,
        "\n".join(lines),
        transform=upper.transAxes,
        va="top",
        ha="left",
        fontsize=7.2,
        linespacing=1.5,
        bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1.5},
        zorder=4,
    )
    _per_cent_axes(upper, "", f"Observed {str(stage).upper()} positive (%)")
    upper.tick_params(labelbottom=False)
    edges = [5.0 * step for step in range(21)]
    lower.hist(
        [100 * probability[truth == 0], 100 * probability[truth == 1]],
        bins=edges,
        stacked=True,
        edgecolor="white",
        linewidth=0.5,
        color=[RULE, VERMILLION],
        label=["negative", "positive"],
    )
    lower.set_xlabel(f"Predicted probability, {str(stage).upper()} positive (%)")
    lower.set_ylabel("Axillae (n)")
    lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    lower.set_ylim(top=1.3 * lower.get_ylim()[1])  # the legend stands above the tallest bar
    lower.legend(loc="upper right", ncols=2, handlelength=1.0, handleheight=0.9, borderaxespad=0.0, columnspacing=1.0)


def _per_cent_axes(axes: Axes, x: str, y: str) -> None:
    axes.set(xlim=(-2, 102), ylim=(-2, 102), xticks=_TICKS, yticks=_TICKS, xlabel=x, ylabel=y)
    axes.grid(color=GRID, linewidth=0.6, zorder=0)
    axes.set_axisbelow(True)


def _classes(rows: pd.DataFrame) -> str:
    positive = int(rows["truth"].sum())
    return f"{plural(len(rows), 'axilla', 'axillae')} ({positive} positive, {len(rows) - positive} negative)"


def _short(estimate: Estimate) -> str:
    return "not estimable" if finite(estimate.get("value")) is None else estimate_text(estimate)


def _short_reason(estimate: Estimate) -> str:
    return (
        not_estimable(estimate) if finite(estimate.get("value")) is None else "not estimable (no predictions to draw)"
    )
