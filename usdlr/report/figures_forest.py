"""Estimates with their intervals, one line each: areas under the curve and false-negative rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from usdlr.core.types import Stage
from usdlr.decision.numbers import (
    Estimate,
    estimate_text,
    events_text,
    finite,
    method_text,
    not_estimable,
    plural,
    promise,
    rate_text,
)
from usdlr.report.inputs import StudyInputs
from usdlr.report.style import (
    GREEN,
    INK,
    MODEL_COLOUR,
    PURPLE,
    QUIET,
    RULE,
    VERMILLION,
    WIDTH_IN,
    Drawing,
    baseline_series,
    draw,
    heading,
    panel_title,
)
from usdlr.report.tables import CEILINGS

_ROW_IN = 0.27
_LABEL_WIDTH = 22
_LINE_IN = 0.14


@dataclass(frozen=True)
class _Row:
    label: str
    estimate: Estimate
    colour: str
    marker: str


def auc_figure(inputs: StudyInputs) -> Drawing:
    """Area under the ROC curve of the model, of every baseline and, simulated, of limit and oracle, per stage."""
    title = inputs.marks.title("Area under the ROC curve, model and baselines")
    rows = {stage: _auc_rows(inputs, stage) for stage in Stage}
    aucs = {stage: inputs.metrics["stages"][stage]["auc"] for stage in Stage}
    counts = "; ".join(
        f"{str(stage).upper()} stage n = {plural(aucs[stage].get('n'), 'axilla', 'axillae')} "
        f"({method_text(aucs[stage])})"
        for stage in Stage
    )
    caption = (
        f"Pooled out-of-fold predictions with 95 % intervals; {counts}. Small diamonds: mean over folds. Dotted line: "
        f"0.5, no better than chance. The NSLN stage is judged on SLN-positive axillae, {inputs.known_nsln}."
        + "".join(f" {meaning}." for name, _, meaning in CEILINGS if name in inputs.metrics)
    )
    most = max(len(part) for part in rows.values())
    lowest = [finite(row.estimate.get(key)) for part in rows.values() for row in part for key in ("low", "value")]
    floor = max(0.0, min([0.45, *(end - 0.02 for end in lowest if end is not None)]))
    lines = max(fill(row.label, _LABEL_WIDTH).count("\n") + 1 for part in rows.values() for row in part)
    height = 1.25 + max(_ROW_IN, _LINE_IN * (lines + 1)) * most

    def paint(figure: Figure) -> None:
        heading(figure, title)
        # Labels stand once, at the left; both panels share their lines.
        axes = figure.subplots(1, 2)
        figure.subplots_adjust(left=0.175, right=0.845, bottom=0.48 / height, top=1 - 0.62 / height, wspace=0.62)
        for letter, panel, stage in (("a", axes[0], Stage.SLN), ("b", axes[1], Stage.NSLN)):
            n = finite(aucs[stage].get("n")) or 0
            panel_title(panel, letter, f"{str(stage).upper()} stage, n = {n:.0f}")
            _auc_panel(panel, rows[stage], (floor, most), labelled=letter == "a")
            _fold_means(panel, inputs, stage)

    return draw("auc", title, caption, (WIDTH_IN, height), paint)


def _auc_rows(inputs: StudyInputs, stage: Stage) -> list[_Row]:
    rows = [_Row("Model", inputs.metrics["stages"][stage]["auc"], MODEL_COLOUR, "o")]
    for position, (name, entry) in enumerate(inputs.metrics["baselines"].items()):
        look = baseline_series(position)
        rows.append(_Row(inputs.baseline_title(name), entry["stages"][stage]["auc"], look.colour, look.marker))
    for (label, best), marker in zip(inputs.ceilings(stage), ("d", "X"), strict=False):
        rows.append(_Row(label, best["auc"], QUIET, marker))
    return rows


def _auc_panel(axes: Axes, rows: Sequence[_Row], frame: tuple[float, int], labelled: bool) -> None:
    floor, slots = frame
    axes.set(xlim=(floor, 1.0), ylim=(slots - 0.4, -0.6), xlabel="Area under the curve (0 to 1)")
    axes.axvline(0.5, color=QUIET, linewidth=0.8, linestyle=(0, (1, 2)))
    _lines(axes, rows)
    for position, row in enumerate(rows):
        axes.text(1.03, position, _short(row.estimate), transform=axes.get_yaxis_transform(), va="center", fontsize=7.4)
    axes.set_yticks(range(len(rows)), [fill(row.label, _LABEL_WIDTH) if labelled else "" for row in rows])
    _quiet_y(axes)


def _fold_means(axes: Axes, inputs: StudyInputs, stage: Stage) -> None:
    means = [inputs.metrics["stages"][stage]["auc_mean_over_folds"]]
    means += [entry["stages"][stage]["auc_mean_over_folds"] for entry in inputs.metrics["baselines"].values()]
    means += [best["auc_mean_over_folds"] for _, best in inputs.ceilings(stage)]
    for position, mean in enumerate(means):
        value = finite(mean.get("value"))
        if value is not None:
            axes.plot(
                [value],
                [position + 0.24],
                marker="D",
                markersize=3.0,
                color=INK,
                markerfacecolor="white",
                markeredgewidth=0.8,
                linestyle="none",
                zorder=4,
            )


def _short(estimate: Estimate) -> str:
    return "not estimable" if finite(estimate.get("value")) is None else estimate_text(estimate)


def false_negative_figure(inputs: StudyInputs) -> Drawing:
    """False-negative rates beside what surgery misses and what was promised."""
    cascade, references = inputs.metrics["cascade"], inputs.metrics["references"]
    title = inputs.marks.title("False-negative rates of the cascade")
    rates = {stage: cascade[f"fnr_{stage}"] for stage in Stage}
    counts = "; ".join(
        f"{str(stage).upper()} {events_text(rates[stage])} positive axillae missed ({method_text(rates[stage])})"
        for stage in Stage
    )
    caption = (
        f"Points: {inputs.marks.adjective}cascade, out-of-fold; bars: 95 % intervals; {counts}. NSLN rate "
        f"{inputs.known_nsln}. Deferred axillae are not counted as missed. Triangles: the rate that the user "
        "tolerates, alpha. Vertical lines, for orientation: sentinel lymph node biopsy misses about "
        f"{promise(references['sentinel_biopsy_fnr'])} and axillary dissection about "
        f"{promise(references['axillary_dissection_fnr'])} of positive axillae."
    )
    height = 2.15

    def paint(figure: Figure) -> None:
        heading(figure, title)
        axes = figure.subplots()
        figure.subplots_adjust(left=0.205, right=0.735, bottom=0.225, top=0.70)
        _rate_panel(axes, inputs, rates)

    return draw("false_negative", title, caption, (WIDTH_IN, height), paint)


def _rate_panel(axes: Axes, inputs: StudyInputs, rates: dict[Stage, Estimate]) -> None:
    references, alpha = inputs.metrics["references"], inputs.contract["alpha"]
    ends = [finite(rate.get("high")) for rate in rates.values()] + [float(alpha[stage]) for stage in Stage]
    widest = max([0.15, *(1.08 * end for end in ends if end is not None)])
    axes.set(xlim=(0, min(100.0, 100 * widest)), ylim=(1.6, -0.6), xlabel="False-negative rate (% of positive axillae)")
    for key, words, dashes, colour, align in (
        ("axillary_dissection_fnr", "axillary\ndissection", (0, (1.5, 1.5)), GREEN, "right"),
        ("sentinel_biopsy_fnr", "sentinel\nbiopsy", (0, (5, 2)), PURPLE, "left"),
    ):
        place = 100 * float(references[key])
        axes.axvline(place, color=colour, linewidth=1.2, linestyle=dashes, zorder=1)
        axes.annotate(
            f"{words} ~{place:g} %",
            (place, 1),
            (0, 3),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            ha=align,
            va="bottom",
            fontsize=6.8,
            color=INK,
            linespacing=1.15,
        )
    rows = [_Row(str(stage), rates[stage], MODEL_COLOUR, "o") for stage in Stage]
    _lines(axes, rows, scale=100.0)
    for position, stage in enumerate(Stage):
        tolerated = 100 * float(alpha[stage])
        axes.plot(
            [tolerated],
            [position + 0.33],
            marker="^",
            markersize=6.0,
            color=VERMILLION,
            linestyle="none",
            zorder=4,
            clip_on=False,
        )
        rate = rates[stage]
        known = finite(rate.get("value")) is not None
        first = f"{events_text(rate)} missed" if known else not_estimable(rate)
        axes.text(1.04, position - 0.17, first, transform=axes.get_yaxis_transform(), va="center", fontsize=7.6)
        second = f"{rate_text(rate)}; " if known else ""
        axes.text(
            1.04,
            position + 0.19,
            f"{second}alpha {promise(alpha[stage])}",
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=7.6,
            color=QUIET,
        )
    axes.annotate(
        "alpha", (100 * float(alpha[Stage.SLN]), 0.33), (6, 0), textcoords="offset points", va="center", fontsize=6.8
    )
    axes.set_yticks([0, 1], ["SLN positive", fill(f"NSLN positive, {inputs.known_nsln}", _LABEL_WIDTH)])
    _quiet_y(axes)


def _lines(axes: Axes, rows: Sequence[_Row], scale: float = 1.0) -> None:
    for position, row in enumerate(rows):
        value, low, high = (finite(row.estimate.get(key)) for key in ("value", "low", "high"))
        axes.axhline(position, color=RULE, linewidth=0.5, zorder=0)
        if value is None:
            continue
        if low is not None and high is not None:
            axes.hlines(position, scale * low, scale * high, color=row.colour, linewidth=2.0, zorder=2)
            axes.vlines(
                [scale * low, scale * high], position - 0.12, position + 0.12, color=row.colour, linewidth=1.4, zorder=2
            )
        axes.plot(
            [scale * value],
            [position],
            marker=row.marker,
            markersize=6.5,
            color=row.colour,
            markeredgecolor="white",
            markeredgewidth=0.8,
            linestyle="none",
            zorder=3,
            clip_on=False,
        )


def _quiet_y(axes: Axes) -> None:
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
