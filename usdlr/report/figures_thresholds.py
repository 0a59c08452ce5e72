"""How steep the ground is around the thresholds: misses and spared surgery, were they a little lower or higher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from usdlr.core.types import Stage
from usdlr.decision.numbers import MINUS, PER, count, percent, promise
from usdlr.decision.wording_pathways import NO_CONTRACT
from usdlr.evaluation.threshold_shift import CURVES, MOVED
from usdlr.report.inputs import StudyInputs
from usdlr.report.style import (
    BLUE,
    GREEN,
    GRID,
    INK,
    PURPLE,
    QUIET,
    VERMILLION,
    WIDTH_IN,
    Drawing,
    draw,
    heading,
    panel_title,
)

MOVED_WORDS: Mapping[str, str] = {
    "both": "both moved",
    "sln": "SLN alone moved",
    "nsln": "NSLN alone moved",
}


@dataclass(frozen=True)
class _Line:
    name: str
    label: str
    colour: str
    dashes: Any
    marker: str
    size: float


_MISSED = (
    _Line("fnr_sln", "SLN positive", BLUE, "solid", "o", 8.0),
    _Line("fnr_nsln", "NSLN positive", VERMILLION, (0, (5, 2)), "s", 4.8),
)
_SPARED = (
    _Line("biopsies_spared", "sentinel biopsies", GREEN, "solid", "o", 8.0),
    _Line("dissections_spared", "dissections", PURPLE, (0, (5, 2)), "s", 4.8),
)


def draw_thresholds(inputs: StudyInputs) -> Drawing | None:
    """Miss rates and spared surgery against a common shift of all folds' thresholds."""
    found = inputs.metrics["cascade"].get("threshold_shift")
    if found is None:
        return None
    title = inputs.marks.title("If the thresholds were a little lower or higher")
    height = 4.45
    tops = {rows: _top(found, rows) for rows in (_MISSED, _SPARED)}

    def paint(figure: Figure) -> None:
        heading(figure, title)
        panels = figure.subplots(2, len(MOVED), sharex=True)
        figure.subplots_adjust(left=0.088, right=0.985, bottom=0.115, top=0.855, wspace=0.16, hspace=0.34)
        for column, (name, words) in enumerate(MOVED_WORDS.items()):
            for row, lines in enumerate((_MISSED, _SPARED)):
                axes = panels[row][column]
                panel_title(axes, "abcdef"[column + len(MOVED) * row], f"{'Spared' if row else 'Missed'}, {words}")
                _curves(axes, found, name, lines, 100 if row == 0 else PER)
                axes.set(ylim=(0, tops[lines]), xlim=(found["shifts"][0], found["shifts"][-1]))
                if column:
                    axes.tick_params(labelleft=False)
            _alpha(panels[0][column], inputs, tops[_MISSED], labelled=column == 0)
            panels[1][column].set_xlabel("Shift of the thresholds (log-odds)")
        panels[0][0].set_ylabel("Missed (% of positive axillae)")
        panels[1][0].set_ylabel("Spared (per 1,000 axillae)")
        for row in (0, 1):
            panels[row][0].legend(loc="upper left", handlelength=2.6, borderaxespad=0.2, labelspacing=0.3)

    return draw("thresholds", title, _caption(inputs, found), (WIDTH_IN, height), paint)


def thresholds_points(inputs: StudyInputs) -> pd.DataFrame | None:
    """The numbers behind the figure.

    Returns
    -------
    DataFrame or None
        One row per moved threshold, quantity and shift: ``moved quantity shift value low high events n method``;
        values are shares.
    """
    found = inputs.metrics["cascade"].get("threshold_shift")
    if found is None:
        return None
    parts = []
    for moved in MOVED:
        for name in CURVES:
            curve = found["moved"][moved][name]
            table = pd.DataFrame({key: curve[key] for key in ("value", "low", "high", "events")})
            table = table.assign(
                moved=moved, quantity=name, shift=found["shifts"], n=curve["n"], method=curve["method"]
            )
            parts.append(table)
    columns = ["moved", "quantity", "shift", "value", "low", "high", "events", "n", "method"]
    return pd.concat(parts, ignore_index=True)[columns]


def moved_threshold(threshold: float, shift: float) -> float:
    """A threshold after a shift in log-odds.

    Examples
    --------
    >>> round(moved_threshold(0.1, 1.0), 3), moved_threshold(0.0, 1.0)
    (0.232, 0.0)
    """
    odds = float(np.exp(shift)) * threshold
    return odds / (1 - threshold + odds)


def _caption(inputs: StudyInputs, found: Mapping[str, Any]) -> str:
    curves = found["moved"]["both"]
    counts = (
        f"n = {count(curves['fnr_sln']['n'])} SLN-positive and {count(curves['fnr_nsln']['n'])} NSLN-positive axillae"
    )
    whole = f"n = {count(curves['biopsies_spared']['n'])} with known SLN status"
    methods = dict.fromkeys(curve["method"] for curve in curves.values())
    example = " and ".join(percent(moved_threshold(0.10, shift), 0) for shift in (-1.0, 1.0))
    return (
        f"Upper row: missed, {counts} ({inputs.known_nsln}); lower row: spared against dissection if positive, "
        f"{whole}. All folds' {inputs.marks.adjective}thresholds moved by the same amount on the log-odds scale: a "
        f"threshold of {percent(0.10, 0)} becomes {example} at {MINUS}1 and +1. Shaded: pointwise 95 % intervals "
        f"({'; '.join(methods)}). Upright line and markers: the {inputs.marks.adjective}thresholds as set. Dotted: the "
        f"tolerated rate, alpha. {count(found['deferred'])} of {count(found['axillae'])} axillae are deferred and stay "
        f"so. {NO_CONTRACT}"
    )


def _array(values: list[float | None]) -> npt.NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _top(found: Mapping[str, Any], lines: tuple[_Line, ...]) -> float:
    scale = 100 if lines is _MISSED else PER
    ends = [_array(found["moved"][moved][line.name]["high"]) for moved in MOVED for line in lines]
    known = [end[np.isfinite(end)] for end in ends]
    highest = max((float(end.max()) for end in known if len(end)), default=0.1)
    return min(1.0, 1.04 * highest) * scale


def _curves(axes: Axes, found: Mapping[str, Any], moved: str, lines: tuple[_Line, ...], scale: int) -> None:
    shifts = np.array(found["shifts"])
    as_set = int(np.flatnonzero(shifts == 0)[0])
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.axvline(0, color=QUIET, linewidth=0.9, zorder=1)
    for line in lines:
        curve = found["moved"][moved][line.name]
        value, low, high = (scale * _array(curve[key]) for key in ("value", "low", "high"))
        if not np.isfinite(value).any():
            axes.plot([], [], color=line.colour, linestyle=line.dashes, label=f"{line.label}: not estimable")
            continue
        axes.fill_between(shifts, low, high, color=line.colour, alpha=0.16, linewidth=0, zorder=1)
        for end in (low, high):
            axes.plot(shifts, end, color=line.colour, linestyle=line.dashes, linewidth=0.5, zorder=2)
        axes.plot(
            shifts,
            value,
            color=line.colour,
            linestyle=line.dashes,
            linewidth=1.8,
            zorder=3,
            label=line.label,
        )
        # The smaller marker lies on the larger one: where both rates are alike, both are seen.
        axes.plot(
            [0],
            [value[as_set]],
            marker=line.marker,
            markersize=line.size,
            color=line.colour,
            markeredgecolor="white",
            markeredgewidth=0.8,
            linestyle="none",
            clip_on=False,
            zorder=4,
        )


def _alpha(axes: Axes, inputs: StudyInputs, top: float, *, labelled: bool) -> None:
    tolerated: dict[float, str] = {}
    for stage in Stage:
        rate = float(inputs.contract["alpha"][stage])
        tolerated[rate] = "alpha" if rate in tolerated else f"alpha {str(stage).upper()}"
    for rate, words in tolerated.items():
        if 100 * rate > top:
            continue
        axes.axhline(100 * rate, color=INK, linewidth=1.0, linestyle=(0, (1, 1.5)), zorder=2)
        if labelled:
            axes.annotate(
                f"{words} {promise(rate)}",
                (0, 100 * rate),
                (3, 2),
                xycoords=axes.get_yaxis_transform(),
                textcoords="offset points",
                ha="left",
                va="bottom",
                fontsize=6.8,
            )
