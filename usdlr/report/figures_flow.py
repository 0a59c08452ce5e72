"""The way of the axillae: from the centres into the cohort, and through the cascade."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Polygon, Rectangle

from usdlr.core.types import RiskGroup, Stage
from usdlr.decision.numbers import count, percent, plural
from usdlr.decision.wording_page import UNKNOWN_STATUS, lost_sentence, missed_meaning
from usdlr.evaluation.cascade import MISSED_NSLN, MISSED_SLN
from usdlr.report.flow import COHORT, FEATURES, INGEST, TEST, FlowRow, flow_rows, lost_patients
from usdlr.report.inputs import StudyInputs
from usdlr.report.style import GROUP_COLOURS, INK, PALE, QUIET, RULE, VERMILLION, WIDTH_IN, Drawing, draw, heading

_EXCLUSION_ROW = 0.19
_FLOW_BOX = 0.46
_BOLD: dict[str, Any] = {"fontweight": "bold", "fontsize": 8.2}
_STEP_WORDS = {
    INGEST: "Left out, reading the files",
    COHORT: "Left out, choosing the cohort",
    FEATURES: "Left out, measuring",
    TEST: "Not tested",
}


def _canvas(figure: Figure, height: float) -> Axes:
    """Axes in inches, y upwards, so that a box is as large as its numbers say."""
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH_IN), ylim=(0, height))
    axes.set_axis_off()
    return axes


def _box(
    axes: Axes,
    x: float,
    y: float,
    width: float,
    height: float,
    lines: Sequence[tuple[str, dict[str, Any]]],
    edge: str = QUIET,
    face: str = "white",
) -> None:
    """A box whose lower left corner is (x, y), with one left-aligned text per line, in inches."""
    axes.add_patch(
        FancyBboxPatch(
            (x, y),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.04",
            edgecolor=edge,
            facecolor=face,
            linewidth=0.9,
            zorder=3,
        )
    )
    _texts(axes, x + 0.15, y, height, lines, "left")


def _texts(
    axes: Axes, x: float, y: float, height: float, lines: Sequence[tuple[str, dict[str, Any]]], align: str
) -> None:
    step = height / (len(lines) + 0.55)
    for position, (text, look) in enumerate(lines):
        axes.text(
            x, y + height - step * (position + 0.78), text, va="center", ha=align, zorder=5, **{"fontsize": 7.6, **look}
        )


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate(
        "",
        end,
        start,
        arrowprops={
            "arrowstyle": "-|>,head_length=0.35,head_width=0.16",
            "color": QUIET,
            "linewidth": 0.9,
            "shrinkA": 0,
            "shrinkB": 0,
        },
        zorder=2,
    )


def cohort_figure(inputs: StudyInputs) -> Drawing:
    """From the rows of the centres' exports, step by step, to the tested axillae with known status."""
    cohort, marks, flow = inputs.metrics["cohort"], inputs.marks, flow_rows(inputs)
    title = marks.title("Cohort and exclusions")
    lost = lost_sentence(lost_patients(inputs), str(cohort.get("where") or ""))
    caption = (
        f"n = {plural(cohort['axillae'], 'axilla', 'axillae')} of {plural(cohort['patients'], 'patient')} tested, of "
        f"{plural(flow[0].rows, 'row')} of the centres' exports, one row per image set; "
        f"{plural(len(inputs.exclusions), 'row')} not used.{lost}{UNKNOWN_STATUS}"
    )
    shown = [row for row in flow if row.step != TEST or row.left]
    gaps = [_gap(row) for row in shown[1:]]
    height = 0.42 + _FLOW_BOX * len(shown) + sum(gaps) + 2 * (0.38 + 0.62) + 0.10

    def paint(figure: Figure) -> None:
        heading(figure, title)
        axes = _canvas(figure, height)
        y = height - 0.42 - _FLOW_BOX
        _flow_box(axes, shown[0], y, cohort["centres"])
        for row, gap in zip(shown[1:], gaps, strict=True):
            _arrow(axes, (1.85, y), (1.85, y - gap))
            middle = y - gap / 2
            side = _side(row)
            lines = [(f"{_STEP_WORDS[row.step]}: {_lost(row)}", _BOLD)]
            _box(axes, 3.75, middle - side / 2, 3.3, side, lines + [(f"{count(n)}  {why}", {}) for why, n in row.left])
            _arrow(axes, (1.85, middle), (3.75, middle))
            y -= gap + _FLOW_BOX
            _flow_box(axes, row, y, cohort["centres"])
        _status_row(axes, cohort[Stage.SLN], "SLN", y)
        _status_row(axes, cohort[Stage.NSLN], "NSLN", y - 0.38 - 0.62)

    return draw("cohort", title, caption, (WIDTH_IN, height), paint)


def _side(row: FlowRow) -> float:
    """Height of the box of what a step left out, in inches."""
    return max(0.30, 0.32 + _EXCLUSION_ROW * len(row.left)) if row.left else 0.30


def _gap(row: FlowRow) -> float:
    return _side(row) + 0.14


def _lost(row: FlowRow) -> str:
    if not row.left:
        return "none"
    return plural(row.lost, "axilla", "axillae") if row.step == TEST else plural(row.lost, "row")


def _flow_box(axes: Axes, row: FlowRow, y: float, centres: Sequence[Any]) -> None:
    names = ", ".join(map(str, centres))
    rows = [] if row.rows is None else [plural(row.rows, "row")]
    held = [
        *([plural(row.axillae, "axilla", "axillae")] if row.axillae is not None else []),
        *([plural(row.patients, "patient")] if row.patients is not None else []),
    ]
    if row.step == "exports":
        lines = [(f"Exports of {plural(len(centres), 'centre')}: {rows[0]}", _BOLD), (_short(names, 44), {})]
    elif held:
        lines = [(f"{row.title}: {held[0]}", _BOLD), (", ".join([*held[1:], *rows]), {})]
    else:
        lines = [(f"{row.title}: {rows[0]}", _BOLD)]
    _box(axes, 0.35, y, 3.0, _FLOW_BOX, lines, face=PALE)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _status_row(axes: Axes, counts: dict[str, Any], stage: str, above: float) -> None:
    y, middle = above - 0.38 - 0.62, above - 0.19
    centres = [0.35 + 1.075 + 2.275 * position for position in range(3)]
    axes.plot([centres[0], centres[-1]], [middle, middle], color=QUIET, linewidth=0.9, zorder=2)
    origin = 1.85 if stage == "SLN" else centres[0]
    axes.plot([origin, origin], [above, middle], color=QUIET, linewidth=0.9, zorder=2)
    total = sum(int(counts[key]) for key in ("positive", "negative", "unknown"))
    for centre, key in zip(centres, ("positive", "negative", "unknown"), strict=True):
        share = f"{percent(counts[key] / total, 0)} of {count(total)}" if total else "none"
        _arrow(axes, (centre, middle), (centre, y + 0.62))
        _box(
            axes,
            centre - 1.075,
            y,
            2.15,
            0.62,
            [
                (f"{stage} {key}: {count(counts[key])}", {"fontweight": "bold", "fontsize": 8.2}),
                (share, {"color": QUIET}),
            ],
            face={"positive": "#FBEDE4", "negative": "white", "unknown": PALE}[key],
        )


def cascade_figure(inputs: StudyInputs) -> Drawing:
    """How many axillae each group of the cascade holds, and how many positives are missed in each."""
    cascade, marks = inputs.metrics["cascade"], inputs.marks
    groups = cascade["groups"]
    total = sum(int(groups[group]["n"]) for group in RiskGroup)
    title = marks.title(f"The cascade, n = {count(total)} axillae")
    caption = f"Out-of-fold decisions; bands are as wide as the {marks.adjective}groups are large. " + missed_meaning(
        known_nsln=inputs.known_nsln, adjective=marks.adjective
    )
    height = 4.30

    def paint(figure: Figure) -> None:
        heading(figure, title)
        axes = _canvas(figure, height)
        _cascade_panel(axes, groups, total, marks.adjective)

    return draw("cascade", title, caption, (WIDTH_IN, height), paint)


def _cascade_panel(axes: Axes, groups: dict[str, Any], total: int, adjective: str) -> None:
    bold = {"fontweight": "bold", "fontsize": 8.4}
    tops = {
        RiskGroup.LR_SLN: 3.02,
        RiskGroup.HR_SLN_LR_NSLN: 2.07,
        RiskGroup.HR_SLN_HR_NSLN: 1.12,
        RiskGroup.DEFER: 0.17,
    }
    box_height, left, right = 0.80, 4.30, 2.95
    sizes = {group: int(groups[group]["n"]) for group in RiskGroup}
    high = sizes[RiskGroup.HR_SLN_LR_NSLN] + sizes[RiskGroup.HR_SLN_HR_NSLN]
    unit = 0.78 / max(total, 1)  # inches of band width per axilla
    source = 2.0 + unit * total / 2
    middle = 2.0
    order = (RiskGroup.LR_SLN, RiskGroup.HR_SLN_LR_NSLN, RiskGroup.HR_SLN_HR_NSLN, RiskGroup.DEFER)
    inner = middle + unit * high / 2
    _band(axes, (1.45, source - unit * sizes[RiskGroup.LR_SLN]), (2.35, inner), unit * high, RULE)
    for group in order:
        width = unit * sizes[group]
        target = tops[group] + box_height / 2 + width / 2
        colour = GROUP_COLOURS[group]
        if group in (RiskGroup.HR_SLN_LR_NSLN, RiskGroup.HR_SLN_HR_NSLN):
            _band(axes, (3.55, inner), (left, target), width, colour)
            inner -= width
        else:
            # It turns early, to pass above or below the middle box.
            _band(axes, (1.45, source), (left, target), width, colour, turned=0.54)
        source -= width
    _box(axes, 0.15, 1.45, 1.30, 1.10, [("All axillae", bold), (f"n = {count(total)}", bold)], face=PALE)
    share = f"{percent(high / total)} of all" if total else "none"
    _box(
        axes,
        2.35,
        1.55,
        1.20,
        0.90,
        [("High risk, SLN", bold), (f"n = {count(high)}", bold), (share, {"color": QUIET})],
        face=PALE,
    )
    for group in order:
        positives, unknown = _positives(groups[group], group)
        lines = [(str(group), bold), *positives]
        beside = [(f"n = {count(sizes[group])}{_share(sizes[group], total)}", bold), *unknown]
        _box(axes, left, tops[group], right, box_height, lines, edge=GROUP_COLOURS[group])
        axes.add_patch(
            Rectangle((left, tops[group]), 0.07, box_height, color=GROUP_COLOURS[group], linewidth=0, zorder=4)
        )
        _texts(axes, left + right - 0.12, tops[group], box_height, beside, "right")
    axes.text(left, 3.87, f"{adjective}groups".capitalize(), fontsize=7.6, color=QUIET, va="bottom")
    for x, words in ((0.15, "Stage 1: SLN"), (2.35, "Stage 2: NSLN")):
        axes.text(x, 1.36 if x < 1 else 1.46, words, fontsize=7.6, color=QUIET, va="top", zorder=5)


def _share(n: int, total: int) -> str:
    return f" ({percent(n / total)})" if total else ""


_Lines = list[tuple[str, dict[str, Any]]]


def _positives(entry: dict[str, Any], group: RiskGroup) -> tuple[_Lines, _Lines]:
    """SLN and NSLN positives of a group, *missed* where the group would spare them, and how many are unknown."""
    missed = {Stage.SLN: group.value in MISSED_SLN, Stage.NSLN: group.value in MISSED_NSLN}
    lines: _Lines = []
    beside: _Lines = []
    for stage in Stage:
        n, unknown = int(entry[f"{stage}_positive"]), int(entry[f"{stage}_unknown"])
        look = {"color": VERMILLION, "fontweight": "bold"} if missed[stage] and n else {"color": INK}
        lines.append((f"{stage.upper()} positive{' missed' if missed[stage] else ''}: {count(n)}", look))
        beside.append((f"unknown: {count(unknown)}" if unknown else "", {"color": QUIET, "fontsize": 7.0}))
    return lines, beside


def _band(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], width: float, colour: str, turned: float = 1.0
) -> None:
    """A band of constant vertical width between two upper corners, in inches; nothing for an empty group.

    ``turned`` is the share of the way after which the band runs level.
    """
    if width <= 0:
        return
    way = np.linspace(0.0, 1.0, 61)
    x = start[0] + (end[0] - start[0]) * way
    t = np.minimum(way / turned, 1.0)
    top = start[1] + (end[1] - start[1]) * (3 * t**2 - 2 * t**3)
    outline = np.r_[np.c_[x, top], np.c_[x[::-1], top[::-1] - width]]
    axes.add_patch(
        Polygon(outline, closed=True, facecolor=colour, alpha=0.38, edgecolor=colour, linewidth=0.4, zorder=1)
    )
