"""Subgroups as a forest: area under the curve and false-negative rate of every level, one figure per stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from usdlr.core.types import Stage
from usdlr.decision.numbers import (
    Estimate,
    count,
    estimate_text,
    finite,
    level_text,
    not_estimable,
    p_words,
    plural,
    promise,
    rate_text,
)
from usdlr.decision.wording_subgroups import OVERLAP
from usdlr.evaluation.levels import UNKNOWN
from usdlr.evaluation.subgroups import ALL, ESTIMATES
from usdlr.report.inputs import StudyInputs
from usdlr.report.style import (
    GRID,
    INK,
    MODEL_COLOUR,
    PALE,
    QUIET,
    VERMILLION,
    WIDTH_IN,
    Drawing,
    draw,
    heading,
)

MOST_LEVELS = 15  # of one variable; a centre or a scanner beyond them stands in the table
SMALL_MARK = "*"
_ROW_IN = 0.19
_TITLE_PAD = 17.0  # points: the headings of the columns stand between a panel and its title
_LONGEST_LABEL, _LONGEST_REASON = 24, 42
# Left and right ends of both panels, and right ends of the columns of counts, in shares of the width.
_AREA, _RATE, _N, _POSITIVES = (0.315, 0.475), (0.640, 0.790), 0.250, 0.300


@dataclass(frozen=True)
class _Line:
    """One line of the forest: a variable's name (``level`` empty) or one of its levels."""

    label: str
    level: Mapping[str, Any] | None = None
    tests: Mapping[str, Any] | None = None
    words: str = ""


def stage_subgroups(inputs: StudyInputs, stage: Stage) -> Mapping[str, Any] | None:
    """A stage's subgroups as they stand in the metrics; None where nobody counted them."""
    found: Mapping[str, Any] = inputs.metrics.get("subgroups") or {}
    return found.get(str(stage))


def draw_subgroups(inputs: StudyInputs, stage: Stage) -> Drawing | None:
    """A stage's forest; None where the metrics hold no subgroups, or no variable divides them.

    Parameters
    ----------
    inputs : StudyInputs
        With ``metrics["subgroups"][stage]`` as of :func:`usdlr.evaluation.subgroups.study_subgroups`.
    stage : Stage
        Which one; the drawing is named after it.
    """
    found = stage_subgroups(inputs, stage)
    if found is None or len(found["variables"]) < 2:
        return None
    every = found["variables"][ALL]["levels"][0]
    lines = _lines(found["variables"])
    title = inputs.marks.title(f"Subgroups, {stage.upper()} stage")
    among = "" if stage is Stage.SLN else f" Judged on SLN-positive axillae, {inputs.known_nsln}."
    caption = (
        f"n = {plural(every['n'], 'axilla', 'axillae')}, {count(every['positives'])} of them positive (pos.), "
        f"out-of-fold.{among} a: area under the ROC curve with its 95 % interval. b: false-negative rate of the "
        f"{inputs.marks.adjective}cascade, {_what(stage)}, with its exact 95 % interval; deferred axillae are not "
        "missed. Broken lines: all axillae. Dotted line: the rate that the user tolerates, alpha. P: test whether the "
        f"levels differ, after Holm's correction for all {count(found['comparisons'])} tests of both stages. "
        f"Hollow, {SMALL_MARK}: fewer than {found['fewest']} positive or {found['fewest']} negative axillae, left out "
        f"of the tests. {OVERLAP}"
    )
    height = 1.36 + _ROW_IN * len(lines)

    def paint(figure: Figure) -> None:
        heading(figure, title)
        bottom, top = 0.46 / height, 1 - 0.80 / height
        panels = [figure.add_axes((left, bottom, right - left, top - bottom)) for left, right in (_AREA, _RATE)]
        for axes in panels:
            axes.set_ylim(len(lines) - 0.4, -0.6)
            _quiet(axes)
        alpha = 100 * float(inputs.contract["alpha"][stage])
        _limits(panels, [line.level for line in lines if line.level is not None], alpha)
        for axes, letter, text in zip(panels, "ab", ("Area under the curve", "False-negative rate"), strict=True):
            axes.set_title(f"{letter}\u2002{text}", pad=_TITLE_PAD)
        panels[0].set_xlabel("AUC (0 to 1)")
        panels[1].set_xlabel("Positive axillae missed (%)")
        panels[1].axvline(alpha, color=VERMILLION, linewidth=1.2, linestyle=(0, (1, 1.6)), zorder=1)
        for axes, key, scale in zip(panels, ("auc", "fnr"), (1.0, 100.0), strict=True):
            pooled = finite(every[key]["value"])
            if pooled is not None:
                axes.axvline(scale * pooled, color=QUIET, linewidth=0.9, linestyle=(0, (5, 3)), zorder=1)
        _column_heads(panels, f"alpha {promise(alpha / 100)}", alpha)
        for place, line in enumerate(lines):
            _line(panels, place, line)

    return draw(f"subgroups_{stage}", title, caption, (WIDTH_IN, height), paint)


def subgroups_points(inputs: StudyInputs) -> pd.DataFrame | None:
    """The numbers behind the forests: one row per stage, variable and level; None where there are none.

    Returns
    -------
    DataFrame or None
        ``stage variable level n positives missed small`` and, per estimate, ``X X_low X_high``, missing where
        undefined.
    """
    rows = []
    for stage in Stage:
        found = stage_subgroups(inputs, stage)
        for name, variable in (found or {"variables": {}})["variables"].items():
            for level in variable["levels"]:
                row = {"stage": str(stage), "variable": name}
                row |= {key: level[key] for key in ("level", "n", "positives", "missed", "small")}
                for key in ESTIMATES:
                    row |= {f"{key}{end}": level[key][of] for end, of in _ENDS}
                rows.append(row)
    return pd.DataFrame(rows) if rows else None


_ENDS = (("", "value"), ("_low", "low"), ("_high", "high"))


def _what(stage: Stage) -> str:
    return "positive axillae called LR-SLN" if stage is Stage.SLN else "a miss at either stage counts"


def _lines(variables: Mapping[str, Any]) -> list[_Line]:
    lines = [_Line("All axillae", variables[ALL]["levels"][0])]
    for name, variable in variables.items():
        if name == ALL:
            continue
        levels: Sequence[Mapping[str, Any]] = variable["levels"]
        if len(levels) < 2:
            only = levels[0]["level"] if levels else UNKNOWN
            why = "not known of any axilla" if only == UNKNOWN else f"{level_text(only)} throughout: nothing to compare"
            lines.append(_Line(variable["title"], words=why))
            continue
        lines.append(_Line(variable["title"], tests=variable["tests"]))
        largest = sorted(levels, key=lambda level: -int(level["n"]))[:MOST_LEVELS]
        kept = [level for level in levels if level in largest]
        lines += [_Line(level_text(level["level"]), level) for level in kept]
        if len(kept) < len(levels):
            lines.append(_Line("", words=f"and {plural(len(levels) - len(kept), 'smaller level')}: see the table"))
    return lines


def _limits(panels: Sequence[Axes], levels: Sequence[Mapping[str, Any]], alpha: float) -> None:
    lows = [finite(level["auc"][end]) for level in levels for end in ("low", "value")]
    highs = [finite(level["fnr"][end]) for level in levels for end in ("high", "value")]
    floor = max(0.0, min([0.45, *(low - 0.02 for low in lows if low is not None)]))
    widest = max([0.15, 1.2 * alpha / 100, *(1.05 * high for high in highs if high is not None)])
    panels[0].set_xlim(floor, 1.0)
    panels[1].set_xlim(0.0, 100 * min(1.0, widest))
    for axes in panels:
        axes.locator_params(axis="x", nbins=4)
        axes.grid(axis="x", color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)


def _column_heads(panels: Sequence[Axes], tolerated: str, alpha: float) -> None:
    left, right = panels
    for axes, where, text, align in (
        (left, _share(left, _N), "n", "right"),
        (left, _share(left, _POSITIVES), "pos.", "right"),
        (left, 1.06, "AUC (95 % interval)", "left"),
        (right, 1.06, "missed: rate (95 % interval)", "left"),
    ):
        axes.annotate(
            text,
            (where, 1.0),
            (0, 2),
            xycoords="axes fraction",
            textcoords="offset points",
            ha=align,
            va="bottom",
            fontsize=6.6,
            color=QUIET,
        )
    # Above the panel: no row's interval runs there.
    leftward = alpha < sum(right.get_xlim()) / 2
    right.annotate(
        tolerated,
        (alpha, 1.0),
        (-1 if leftward else 1, 2),
        xycoords=right.get_xaxis_transform(),
        textcoords="offset points",
        ha="left" if leftward else "right",
        va="bottom",
        fontsize=5.8,
        color=VERMILLION,
    )


def _line(panels: Sequence[Axes], place: int, line: _Line) -> None:
    left, right = panels
    label_at = _share(left, 0.012)
    if line.level is None:
        if line.label:
            for axes, start in ((left, label_at), (right, 0.0)):
                axes.axhspan(place - 0.5, place + 0.5, start, 2.4, color=PALE, clip_on=False, zorder=0, linewidth=0)
        _text(left, label_at, place, line.label, weight="bold")
        _text(left, _share(left, 0.15), place, line.words, color=QUIET, ground=PALE if line.label else "white")
        if line.tests:
            for axes, key in ((left, "auc"), (right, "fnr")):
                _text(axes, 1.06, place, p_words(line.tests[key]["p_holm"]), weight="bold", size=6.6)
        return
    level, everybody = line.level, place == 0
    mark = SMALL_MARK if level["small"] else ""
    label = line.label if len(line.label) <= _LONGEST_LABEL else f"{line.label[: _LONGEST_LABEL - 1]}…"
    _text(left, label_at if everybody else _share(left, 0.026), place, label + mark, weight="bold" if everybody else "")
    for where, value in ((_N, level["n"]), (_POSITIVES, level["positives"])):
        _text(left, _share(left, where), place, count(value), align="right")
    _estimate(left, place, level["auc"], 1.0, level["small"], everybody)
    _estimate(right, place, level["fnr"], 100.0, level["small"], everybody)
    if finite(level["auc"]["value"]) is not None:
        _text(left, 1.06, place, estimate_text(level["auc"]), size=6.6)
    if finite(level["fnr"]["value"]) is not None:
        _text(right, 1.06, place, f"{count(level['missed'])}: {rate_text(level['fnr'])}", size=6.6)


def _estimate(axes: Axes, place: int, estimate: Estimate, scale: float, small: bool, everybody: bool) -> None:
    value, low, high = (finite(estimate[key]) for key in ("value", "low", "high"))
    if value is None:
        reason = not_estimable(estimate).removeprefix("not estimable (").removesuffix(")")
        reason = "no positive axilla" if reason == "no axillae in the denominator" else reason
        reason = reason if len(reason) <= _LONGEST_REASON else f"{reason[: _LONGEST_REASON - 1]}…"
        _text(axes, 0.0, place, reason, color=QUIET, size=6.4, ground="white")
        return
    colour = INK if everybody else MODEL_COLOUR
    if low is not None and high is not None:
        axes.hlines(place, scale * low, scale * high, color=colour, linewidth=0.9 if small else 1.7, zorder=2)
    axes.plot(
        [scale * value],
        [place],
        marker="D" if everybody else "o",
        markersize=5.2 if everybody else 5.0,
        color=colour,
        markerfacecolor="white" if small else colour,
        markeredgewidth=1.0,
        linestyle="none",
        zorder=3,
        clip_on=False,
    )


def _text(
    axes: Axes,
    x: float,
    y: float,
    text: str,
    *,
    align: Any = "left",
    weight: str = "",
    color: str = INK,
    size: float = 7.0,
    ground: str = "",
) -> None:
    if text:
        axes.text(
            x,
            y,
            text,
            transform=axes.get_yaxis_transform(),
            ha=align,
            va="center",
            fontsize=size,
            fontweight=weight or "normal",
            color=color,
            zorder=4,
            # Words stand on their own ground where lines would run through them.
            bbox={"facecolor": ground, "edgecolor": "none", "pad": 1.0} if ground else None,
        )


def _share(axes: Axes, of_figure: float) -> float:
    """A place across the figure in shares of a panel's width."""
    box = axes.get_position()
    return float((of_figure - box.x0) / box.width)


def _quiet(axes: Axes) -> None:
    axes.spines["left"].set_visible(False)
    axes.set_yticks([])
