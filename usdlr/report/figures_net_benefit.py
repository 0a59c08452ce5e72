"""Decision curves of both stages: what the model is worth against operating on all axillae and on none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from usdlr.core.types import Stage
from usdlr.decision.numbers import count, finite, not_estimable, percent, plural
from usdlr.decision.wording_net_benefit import OPERATION
from usdlr.evaluation.net_benefit import ALL, MODEL
from usdlr.report.inputs import StudyInputs
from usdlr.report.style import (
    GRID,
    INK,
    MODEL_COLOUR,
    QUIET,
    SKY,
    VERMILLION,
    WIDTH_IN,
    Drawing,
    draw,
    heading,
    note,
    panel_title,
)

_ALL: dict[str, Any] = {"color": VERMILLION, "linestyle": (0, (5, 2)), "linewidth": 1.3}
_NONE: dict[str, Any] = {"color": INK, "linestyle": (0, (1.5, 1.5)), "linewidth": 1.2}
_SHIPPED: dict[str, Any] = {"color": QUIET, "linestyle": (0, (1, 2)), "linewidth": 1.0}
_DEEPEST = 0.30  # how far below zero a panel reaches, as a share of its height above


def stage_curve(inputs: StudyInputs, stage: Stage) -> Mapping[str, Any] | None:
    """A stage's decision curve as it stands in the metrics; None where nobody drew one."""
    found: Mapping[str, Any] = inputs.metrics.get("decision_curves") or {}
    return found.get(str(stage))


def accepted(threshold: float) -> str:
    """Needless operations that one accepts for one positive axilla found, at a threshold.

    Examples
    --------
    >>> accepted(0.05), accepted(0.3), accepted(0.5)
    ('19', '2.3', '1')
    """
    odds = (1 - threshold) / threshold
    return f"{odds:.0f}" if odds >= 10 else f"{odds:.2g}"


def draw_net_benefit(inputs: StudyInputs) -> Drawing | None:
    """Net benefit over thresholds, one panel per stage; None where the metrics hold no curves."""
    curves = {stage: stage_curve(inputs, stage) for stage in Stage}
    known = {stage: curve for stage, curve in curves.items() if curve is not None}
    if not known:
        return None
    title = inputs.marks.title("Decision curves of both stages")
    counts = "; ".join(
        f"{stage.upper()} stage n = {plural(curve['n'], 'axilla', 'axillae')}, {count(curve['positives'])} positive "
        f"({curve['method']})"
        for stage, curve in known.items()
    )
    caption = (
        f"Out-of-fold predictions; {counts}. Net benefit: positive axillae found per axilla, less the needless "
        "operations, each weighed by the odds of the threshold; 0 is worth as much as operating on nobody. Treat all, "
        f"treat none: operating on every axilla, on none. Operation: {OPERATION[Stage.SLN]} at the SLN stage, "
        f"{OPERATION[Stage.NSLN]} at the NSLN stage, which is judged on SLN-positive axillae, {inputs.known_nsln}. "
        "Shaded: 95 % interval of the model at each single threshold, not of the curve. Second row under the axis: "
        "needless operations that one accepts for one positive axilla found. Dotted: the bundle's "
        f"{inputs.marks.adjective}threshold, where it lies in the range."
    )
    height = 3.60

    def paint(figure: Figure) -> None:
        heading(figure, title)
        left, right = figure.subplots(1, 2)
        figure.subplots_adjust(left=0.085, right=0.985, bottom=0.77 / height, top=1 - 0.80 / height, wspace=0.24)
        for letter, axes, stage in (("a", left, Stage.SLN), ("b", right, Stage.NSLN)):
            _panel(axes, letter, inputs, stage, curves[stage])
        lines = (
            ("Model", {"color": MODEL_COLOUR, "linewidth": 2.0}),
            ("Treat all", _ALL),
            ("Treat none", _NONE),
            (f"{inputs.marks.adjective}threshold of the bundle".capitalize(), _SHIPPED),
        )
        handles = [Line2D([], [], label=label, **look) for label, look in lines]
        top = 1 - 0.26 / height
        figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.075, top), ncols=4, handlelength=2.6)

    return draw("net_benefit", title, caption, (WIDTH_IN, height), paint)


def net_benefit_points(inputs: StudyInputs) -> pd.DataFrame | None:
    """The numbers behind the curves; None where there are none.

    Returns
    -------
    DataFrame or None
        ``stage quantity threshold value low high``: thresholds as probabilities, interval ends missing where none.
    """
    parts = []
    for stage in Stage:
        curve = stage_curve(inputs, stage) or {"quantities": {}}
        for name, ends in curve["quantities"].items():
            parts.append(
                pd.DataFrame({"threshold": curve["thresholds"], **ends}).assign(stage=str(stage), quantity=name)
            )
    if not parts:
        return None
    return pd.concat(parts, ignore_index=True)[["stage", "quantity", "threshold", "value", "low", "high"]]


def _panel(axes: Axes, letter: str, inputs: StudyInputs, stage: Stage, curve: Mapping[str, Any] | None) -> None:
    n = 0 if curve is None else int(curve["n"])
    shipped = finite(inputs.contract[f"t_{stage}"])
    panel_title(axes, letter, f"{stage.upper()} stage, n = {n}")
    if curve is None or not curve["quantities"]:
        note(axes, "not drawn" if curve is None else not_estimable({"method": curve["method"], "n": n}))
        return
    at = 100 * np.array(curve["thresholds"])
    model, everybody = (_ends(curve, name) for name in (MODEL, ALL))
    axes.fill_between(at, model["low"], model["high"], color=SKY, alpha=0.30, linewidth=0, zorder=1)
    axes.plot(at, everybody["value"], zorder=2, **_ALL)
    axes.axhline(0.0, zorder=2, **_NONE)
    axes.plot(at, model["value"], color=MODEL_COLOUR, linewidth=2.0, zorder=3)
    highest = float(np.nanmax([*model["value"], *model["high"], everybody["value"][0], 1e-3]))
    lowest = float(np.nanmin([*model["value"], *model["low"], 0.0]))
    axes.set_ylim(max(lowest, -_DEEPEST * highest) - 0.06 * highest, 1.04 * highest)
    _thresholds(axes, at)
    axes.set_ylabel("Net benefit (positive axillae per axilla)")
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    if shipped is not None and at[0] <= 100 * shipped <= at[-1]:
        axes.axvline(100 * shipped, zorder=1, **_SHIPPED)
        axes.set_title(f"{inputs.marks.adjective}threshold {percent(shipped)}", loc="right", fontsize=7.2, color=QUIET)


def _thresholds(axes: Axes, at: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    """Ticks in per cent with the needless operations that they accept."""
    first, last = float(at[0]), float(at[-1])
    inner = np.linspace(0, 100, 11) if last - first > 30 else np.linspace(0, 100, 21)
    ticks = sorted({round(first, 1), *(float(tick) for tick in inner if first + 2 < tick <= last + 1e-6)})
    axes.set_xlim(first - 0.01 * (last - first), last + 0.01 * (last - first))
    axes.set_xticks(ticks, [f"{tick:g}\n{accepted(tick / 100)}" for tick in ticks])
    axes.set_xlabel("Threshold probability (%)\nneedless operations accepted per positive axilla found")


def _ends(curve: Mapping[str, Any], name: str) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    quantity: Mapping[str, Any] = curve["quantities"][name]
    return {key: np.array(quantity[key], dtype=np.float64) for key in ("value", "low", "high")}
