"""What becomes of 1,000 axillae under each way of deciding about surgery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from usdlr.core.types import Stage
from usdlr.decision.numbers import PER, Estimate, finite, methods, outcome_text, per_thousand
from usdlr.decision.wording_pathways import CAPTION_ASSUMED, caption_unknown, population_text
from usdlr.evaluation.pathways import Fate, Nodes, Way
from usdlr.report.inputs import StudyInputs
from usdlr.report.pathway_words import AMONG, FATES, OUTCOMES, SHOWN, way_name
from usdlr.report.style import (
    GRID,
    INK,
    MODEL_COLOUR,
    QUIET,
    RULE,
    SKY,
    VERMILLION,
    WIDTH_IN,
    Drawing,
    draw,
    heading,
    note,
    panel_title,
)

_PALE, _DEEP = "#E3F0F9", "#0B3C5D"  # with SKY between them: three steps of one hue, apart in grey too
_FACES: Mapping[Fate, str] = {
    Fate.NO_SURGERY: _PALE,
    Fate.BIOPSY: SKY,
    Fate.DISSECTION: _DEEP,
    Fate.UNDECIDED: "white",
}
_LETTERS: Mapping[Fate, str] = {
    Fate.NO_SURGERY: INK,
    Fate.BIOPSY: INK,
    Fate.DISSECTION: "white",
    Fate.UNDECIDED: INK,
}
_MARKERS: Mapping[Way, tuple[str, str]] = {
    Way.CURRENT: ("s", INK),
    Way.Z0011: ("^", QUIET),
    Way.CASCADE: ("o", MODEL_COLOUR),
}
_LEFT, _PERHAPS, _VAIN = "left", "perhaps", "vain"
# From left to right within a bar: what belongs to whom, and how it is marked beside its fate.
_SEGMENTS: tuple[tuple[Fate, tuple[Nodes, ...], str], ...] = (
    (Fate.NO_SURGERY, (Nodes.SLN_NEGATIVE,), ""),
    (Fate.NO_SURGERY, (Nodes.NSLN_NEGATIVE, Nodes.NSLN_POSITIVE, Nodes.NSLN_UNKNOWN), _LEFT),
    (Fate.BIOPSY, (Nodes.NSLN_POSITIVE,), _LEFT),
    (Fate.BIOPSY, (Nodes.NSLN_UNKNOWN,), _PERHAPS),
    (Fate.BIOPSY, (Nodes.SLN_NEGATIVE, Nodes.NSLN_NEGATIVE), ""),
    (Fate.DISSECTION, (Nodes.NSLN_POSITIVE, Nodes.NSLN_UNKNOWN), ""),
    (Fate.DISSECTION, (Nodes.NSLN_NEGATIVE,), _VAIN),
    (Fate.UNDECIDED, tuple(Nodes), ""),
)
_PANELS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("b", "Spared, against dissection if positive", ("biopsies_spared", "dissections_spared")),
    (
        "c",
        "Left in place, or operated on in vain",
        ("sln_positive_without_surgery", "nsln_positive_undissected", "nsln_negative_dissected"),
    ),
)
_NARROWEST = 45  # of 1,000: a number needs so much room inside its bar
_LINE_IN, _BARS_IN, _HEAD_IN, _FOOT_IN, _LEGEND_IN = 0.19, 1.05, 0.34, 0.46, 0.50


def draw_pathways(inputs: StudyInputs) -> Drawing | None:
    """Bars of what is done to 1,000 axillae under each way, and what that spares and costs, with intervals."""
    found = inputs.metrics["cascade"].get("pathways")
    if found is None:
        return None
    title = inputs.marks.title("What becomes of 1,000 axillae")
    lines = [sum(1 + len(SHOWN[name]) for name in names) for *_, names in _PANELS]
    height = 0.38 + _HEAD_IN + _BARS_IN + _FOOT_IN + _LEGEND_IN + sum(_HEAD_IN + _LINE_IN * n + _FOOT_IN for n in lines)

    def paint(figure: Figure) -> None:
        heading(figure, title)
        top = height - 0.38 - _HEAD_IN
        bars = _axes(figure, (0.17, 0.805), top, _BARS_IN, height)
        panel_title(bars, "a", "What is done")
        if not found["axillae"]["sln_known"]:
            note(bars, "no axilla with known SLN status")
            return
        _bars(bars, found, inputs.marks.adjective)
        top -= _BARS_IN + _FOOT_IN
        _legend(figure, top / height, found)
        top -= _LEGEND_IN
        for (letter, words, names), many in zip(_PANELS, lines, strict=True):
            top -= _HEAD_IN
            axes = _axes(figure, (0.335, 0.435), top, _LINE_IN * many, height)
            panel_title(axes, letter, words)
            _outcomes(axes, inputs, found, names)
            top -= _LINE_IN * many + _FOOT_IN

    return draw("pathways", title, _caption(inputs, found), (WIDTH_IN, height), paint)


def pathways_points(inputs: StudyInputs) -> pd.DataFrame | None:
    """The numbers behind the figure: shares of the axillae of known SLN status.

    Returns
    -------
    DataFrame or None
        One row per way, quantity and bound: ``way quantity bound value low high events n unknown method``; bounds are
        ``least`` and ``most`` (none and all of the axillae of unknown status counted) and, ``among`` others, ``share``.
    """
    found = inputs.metrics["cascade"].get("pathways")
    if found is None:
        return None
    rows = []
    for way, entry in found["ways"].items():
        whole = {"way": way, "among": AMONG["biopsies_spared"]}
        rows += [
            {**whole, "quantity": fate, "bound": "least", "unknown": 0, **one} for fate, one in entry["fates"].items()
        ]
        for name in OUTCOMES:
            for bound in ("least", "most", "share"):
                among = {"among": AMONG[name]} if bound == "share" else {}
                rows.append(
                    {
                        **whole,
                        **among,
                        "quantity": name,
                        "bound": bound,
                        "unknown": entry[name]["unknown"],
                        **entry[name][bound],
                    }
                )
    columns = ["way", "quantity", "bound", "among", "value", "low", "high", "events", "n", "unknown", "method"]
    return pd.DataFrame(rows)[columns]


def _caption(inputs: StudyInputs, found: Mapping[str, Any]) -> str:
    held, rule = found["axillae"], found["z0011"]
    outcomes = [
        found["ways"][way][name][key] for name, ways in SHOWN.items() for way in ways for key in ("least", "most")
    ]
    tolerated = " Triangles pointing down: the most that alpha tolerates." if "tolerated" in found else ""
    return (
        f"Per 1,000 axillae, n = {population_text(held)}; out-of-fold decisions. Lines: 95 % intervals "
        f"({methods(outcomes)}).{caption_unknown(held, rule)}{tolerated} NSLN status {inputs.known_nsln}. "
        f"{CAPTION_ASSUMED}"
    )


def _axes(figure: Figure, place: tuple[float, float], top: float, tall: float, height: float) -> Axes:
    """Axes whose upper edge is ``top`` inches above the figure's lower edge."""
    return figure.add_axes((place[0], (top - tall) / height, place[1], tall / height))


def _bars(axes: Axes, found: Mapping[str, Any], adjective: str) -> None:
    total = found["axillae"]["sln_known"]
    for row, way in enumerate(Way):
        cells, start = found["ways"][way]["cells"], 0.0
        for fate, states, mark in _SEGMENTS:
            wide = PER * sum(cells[fate][state] for state in states) / total
            if wide:  # the edge of an empty bar would show
                axes.barh(row, wide, left=start, height=0.68, **_look(fate, mark))
            start += wide
        start = 0.0
        for fate in Fate:
            wide = PER * sum(cells[fate].values()) / total
            if wide >= _NARROWEST:
                box = {"boxstyle": "round,pad=0.16", "facecolor": _FACES[fate], "edgecolor": "none"}
                axes.text(
                    start + wide / 2,
                    row,
                    per_thousand(wide / PER),
                    ha="center",
                    va="center",
                    color=_LETTERS[fate],
                    fontsize=7.6,
                    fontweight="bold",
                    bbox=box,
                )
            start += wide
    axes.set(xlim=(0, PER), ylim=(len(Way) - 0.5, -0.5), xlabel="Axillae with known SLN status (per 1,000)")
    axes.set_yticks(range(len(Way)), [way_name(way, adjective).replace(" ", "\n", 1) for way in Way])
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _look(fate: Fate, mark: str) -> dict[str, Any]:
    if mark == _LEFT:
        return {"facecolor": VERMILLION, "edgecolor": INK, "linewidth": 0.6}
    if mark == _PERHAPS:
        return {"facecolor": "white", "edgecolor": VERMILLION, "linewidth": 0.6, "hatch": "xxxxx"}
    if mark == _VAIN:
        return {"facecolor": _DEEP, "edgecolor": "white", "linewidth": 0.6, "hatch": "////"}
    if fate is Fate.UNDECIDED:
        return {"facecolor": "white", "edgecolor": QUIET, "linewidth": 0.6, "hatch": "|||"}
    return {"facecolor": _FACES[fate], "edgecolor": "white", "linewidth": 0.6}


def _legend(figure: Figure, top: float, found: Mapping[str, Any]) -> None:
    entries = [(FATES[fate], fate, "") for fate in (Fate.NO_SURGERY, Fate.BIOPSY, Fate.DISSECTION)]
    entries += [
        ("Positive node left in place", Fate.BIOPSY, _LEFT),
        ("NSLN unknown, not dissected", Fate.BIOPSY, _PERHAPS),
        ("Dissected, NSLN negative", Fate.DISSECTION, _VAIN),
    ]
    if found["z0011"]["undecided"]:
        entries.append((FATES[Fate.UNDECIDED], Fate.UNDECIDED, ""))
    handles = [Patch(label=label, **_look(fate, mark)) for label, fate, mark in entries]
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.16, top + 0.004),
        ncols=3,
        columnspacing=1.4,
        handlelength=1.8,
        borderaxespad=0.0,
        labelspacing=0.35,
    )


def _outcomes(axes: Axes, inputs: StudyInputs, found: Mapping[str, Any], names: Sequence[str]) -> None:
    row, ends = 0, [1.0]
    tolerated = found.get("tolerated", {})
    alpha = {
        "sln_positive_without_surgery": tolerated.get(Stage.SLN),
        "nsln_positive_undissected": tolerated.get(Stage.NSLN),
    }
    for name in names:
        axes.text(
            -0.745,
            row,
            OUTCOMES[name],
            transform=axes.get_yaxis_transform(),
            va="center",
            fontweight="bold",
            fontsize=7.6,
        )
        row += 1
        for way in SHOWN[name]:
            outcome = found["ways"][way][name]
            ends += _dot(axes, row, outcome, way)
            if way is Way.CASCADE and finite(alpha.get(name)) is not None:
                mark = PER * float(alpha[name] or 0.0)
                axes.plot(
                    [mark], [row - 0.42], marker="v", markersize=5.0, color=VERMILLION, linestyle="none", clip_on=False
                )
                ends.append(mark)
            right = axes.get_yaxis_transform()
            axes.text(
                -0.02,
                row,
                way_name(way, inputs.marks.adjective),
                transform=right,
                va="center",
                ha="right",
                fontsize=7.4,
            )
            axes.text(1.03, row, outcome_text(outcome), transform=right, va="center", fontsize=7.4)
            row += 1
    axes.set(xlim=(0, min(PER, 1.05 * max(ends))), ylim=(row - 0.5, -0.5), xlabel="Axillae (per 1,000)")
    axes.set_yticks([])
    axes.grid(axis="x", color=GRID, linewidth=0.7, zorder=0)
    axes.set_axisbelow(True)
    axes.spines["left"].set_color(RULE)


def _dot(axes: Axes, row: int, outcome: Mapping[str, Any], way: Way) -> list[float]:
    """A marker for none, an open one for all of the unknown, and the interval around both."""
    least: Estimate = outcome["least"]
    most: Estimate = outcome["most"]
    marker, colour = _MARKERS[way]
    first, last = finite(least.get("value")), finite(most.get("value"))
    low, high = finite(least.get("low")), finite(most.get("high"))
    if first is None or last is None:
        return []
    if low is not None and high is not None:
        axes.hlines(row, PER * low, PER * high, color=colour, linewidth=1.3, zorder=2)
        axes.vlines([PER * low, PER * high], row - 0.2, row + 0.2, color=colour, linewidth=1.2, zorder=2)
    look: dict[str, Any] = {"marker": marker, "markersize": 5.6, "linestyle": "none", "color": colour, "clip_on": False}
    if outcome["unknown"]:
        axes.hlines(row, PER * first, PER * last, color=colour, linewidth=3.4, alpha=0.35, zorder=2)
        axes.plot([PER * last], [row], markerfacecolor="white", markeredgewidth=1.1, zorder=3, **look)
    axes.plot([PER * first], [row], markeredgecolor="white", markeredgewidth=0.6, zorder=4, **look)
    return [PER * (high if high is not None else last)]
