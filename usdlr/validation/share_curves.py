"""ROC, calibration and decision curve from scores in bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from usdlr.core.types import Stage
from usdlr.decision.arrays import FloatArray
from usdlr.evaluation.intervals import wilson
from usdlr.report.style import (
    GRID,
    INK,
    MODEL_COLOUR,
    RULE,
    VERMILLION,
    WIDTH_IN,
    Drawing,
    draw,
    heading,
    note,
    panel_title,
)

HIGHEST = 0.5  # risk beyond which nobody would leave an axilla alone
_HEIGHT_IN = 5.6


def binned_curves(scores: Mapping[str, Any]) -> dict[str, FloatArray]:
    """Points of all three curves.

    Parameters
    ----------
    scores : mapping
        ``edges positive negative predicted`` of :func:`usdlr.validation.share_scores.binned_scores`.

    Returns
    -------
    dict of str to (k,) float64 array
        ``threshold`` (the lower edges, rising), at each of which ``tpr fpr net_benefit treat_all``; and of the bins
        that hold somebody ``predicted observed low high``.

    Examples
    --------
    >>> bins = {"edges": [0.0, 0.5, 1.0], "positive": [1, 3], "negative": [6, 2], "predicted": [0.2, 0.7]}
    >>> found = binned_curves(bins)
    >>> found["tpr"].tolist(), found["fpr"].tolist(), found["net_benefit"].round(3).tolist()
    ([1.0, 0.75], [1.0, 0.25], [0.333, 0.083])
    """
    positive, negative = (np.asarray(scores[name], dtype=np.float64) for name in ("positive", "negative"))
    threshold = np.asarray(scores["edges"][:-1], dtype=np.float64)
    hits, false = (np.cumsum(one[::-1])[::-1] for one in (positive, negative))
    total = hits[0] + false[0]
    odds = threshold / (1 - threshold)
    held = (positive + negative) > 0
    ends = np.array([wilson(int(a), int(a + b)) for a, b in zip(positive[held], negative[held], strict=True)])
    return {
        "threshold": threshold,
        "tpr": hits / max(hits[0], 1),
        "fpr": false / max(false[0], 1),
        "net_benefit": (hits - odds * false) / total,
        "treat_all": (hits[0] - odds * false[0]) / total,
        "predicted": np.array([value for value in scores["predicted"] if value is not None], dtype=np.float64),
        "observed": positive[held] / (positive + negative)[held],
        "low": ends[:, 0],
        "high": ends[:, 1],
    }


def curves_figure(
    stages: Mapping[str, Mapping[str, Any] | None], left_out: Mapping[str, Sequence[str]], *, simulated: bool
) -> Drawing:
    """Curves of both stages over all centres.

    Parameters
    ----------
    stages : mapping of str to mapping or None
        Pooled scores by stage.
    left_out : mapping of str to sequence of str
        By stage, centres whose bins are too coarse to be pooled, or that withheld them.
    simulated : bool
        Whether a centre is simulated.
    """
    title = "Curves of all centres together" + (" (simulated)" if simulated else "")
    caption = (
        "From scores in bins of predicted risk, the finest that the centres share. ROC: a point per bin edge. "
        "Calibration: observed share against mean predicted risk of a bin, with 95 % Wilson intervals. Decision curve: "
        "net benefit, positive axillae found per axilla, less needless operations weighed by the odds of the "
        "threshold; broken: operating on all; dotted: on none. Patients of all centres count alike."
        + "".join(
            f" Not among the {stage.upper()} curves, for want of patients: {', '.join(names)}."
            for stage, names in left_out.items()
            if names
        )
    )

    def paint(figure: Figure) -> None:
        heading(figure, title)
        grid = figure.subplots(2, 3, squeeze=False)
        figure.subplots_adjust(left=0.075, right=0.985, bottom=0.085, top=0.87, wspace=0.34, hspace=0.5)
        for row, stage in zip(grid, Stage, strict=True):
            _row(row, stage, stages[str(stage)], "abc" if stage is Stage.SLN else "def")

    return draw("curves", title, caption, (WIDTH_IN, _HEIGHT_IN), paint)


def _row(panels: Any, stage: Stage, scores: Mapping[str, Any] | None, letters: str) -> None:
    names = ("ROC", "calibration", "decision curve")
    for axes, letter, name in zip(panels, letters, names, strict=True):
        panel_title(axes, letter, f"{stage.upper()}, {name}")
    if scores is None:
        for axes in panels:
            note(axes, "withheld: too few patients")
        return
    found = binned_curves(scores)
    _roc(panels[0], found)
    _calibration(panels[1], found, stage)
    _benefit(panels[2], found)


def _roc(axes: Axes, found: Mapping[str, FloatArray]) -> None:
    fpr, tpr = (100 * np.append(found[name], 0.0) for name in ("fpr", "tpr"))
    axes.plot([0, 100], [0, 100], color=RULE, linewidth=0.9)
    axes.plot(fpr, tpr, color=MODEL_COLOUR, marker="o", markersize=3, linewidth=1.6, clip_on=False)
    _per_cent(axes, "False-positive rate (%)", "Sensitivity (%)")


def _calibration(axes: Axes, found: Mapping[str, FloatArray], stage: Stage) -> None:
    axes.plot([0, 100], [0, 100], color=RULE, linewidth=0.9)
    at = 100 * found["predicted"]
    axes.vlines(at, 100 * found["low"], 100 * found["high"], color=MODEL_COLOUR, linewidth=1.1)
    axes.plot(at, 100 * found["observed"], color=MODEL_COLOUR, linestyle="none", marker="o", markersize=4)
    _per_cent(axes, "Predicted probability (%)", f"Observed {stage.upper()} positive (%)")


def _benefit(axes: Axes, found: Mapping[str, FloatArray]) -> None:
    use = found["threshold"] <= HIGHEST
    at = 100 * found["threshold"][use]
    axes.plot(at, found["treat_all"][use], color=VERMILLION, linestyle=(0, (5, 2)), linewidth=1.3)
    axes.axhline(0.0, color=INK, linestyle=(0, (1.5, 1.5)), linewidth=1.1)
    axes.plot(at, found["net_benefit"][use], color=MODEL_COLOUR, marker="o", markersize=3, linewidth=1.8)
    top = float(max(found["net_benefit"][use].max(), found["treat_all"][use].max(), 0.01))
    axes.set_ylim(-0.3 * top, 1.1 * top)
    axes.set(xlabel="Threshold probability (%)", ylabel="Net benefit (per axilla)")
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def _per_cent(axes: Axes, x: str, y: str) -> None:
    axes.set(xlim=(-2, 102), ylim=(-2, 102), xlabel=x, ylabel=y, xticks=range(0, 101, 25), yticks=range(0, 101, 25))
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def curve_points(stages: Mapping[str, Mapping[str, Any] | None]) -> str:
    """The bins behind the curves as CSV: ``stage low high positive negative predicted``."""
    lines = ["stage,low,high,positive,negative,predicted"]
    for stage, scores in stages.items():
        if scores is None:
            continue
        ends = list(pairwise(scores["edges"]))
        cells = zip(ends, scores["positive"], scores["negative"], scores["predicted"], strict=True)
        lines += [f"{stage},{a:g},{b:g},{p},{n},{'' if m is None else f'{m:.4f}'}" for (a, b), p, n, m in cells]
    return "\n".join(lines) + "\n"
