"""Forest plots over centres: every centre's estimate, the pooled one, and where a further centre would lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from usdlr.decision.numbers import EN_DASH, Estimate, count, finite, number, percent
from usdlr.report.style import (
    INK,
    MODEL_COLOUR,
    ORANGE,
    QUIET,
    RULE,
    VERMILLION,
    WIDTH_IN,
    Drawing,
    draw,
    heading,
    panel_title,
)

_ROW_IN = 0.27
_LONGEST = 30


@dataclass(frozen=True)
class ForestRow:
    """One centre, or all of them.

    Parameters
    ----------
    label : str
        Its name.
    estimate : mapping
        ``value low high``, and ``n`` and, of a rate, ``events``.
    """

    label: str
    estimate: Estimate


@dataclass(frozen=True)
class Forest:
    """One panel.

    Parameters
    ----------
    title : str
        What is pooled, e.g. ``"SLN stage"``.
    axis : str
        Axis label with its unit.
    rows : sequence of ForestRow
        The centres.
    fixed, random, prediction : mapping or None
        ``value low high`` of the pooled estimates; ``None`` or empty ends where there are none.
    reference : float or None
        A line to compare with: a target, or chance.
    reference_words : str
        What that line is.
    rate : bool
        Whether values are shares, shown in per cent.
    """

    title: str
    axis: str
    rows: Sequence[ForestRow]
    fixed: Estimate | None = None
    random: Estimate | None = None
    prediction: Estimate | None = None
    reference: float | None = None
    reference_words: str = ""
    rate: bool = False


def forest_figure(name: str, title: str, caption: str, panels: Sequence[Forest]) -> Drawing:
    """Panels of a forest plot side by side, sharing the names of the centres.

    Parameters
    ----------
    name : str
        File stem.
    title, caption : str
        As of :class:`usdlr.report.style.Drawing`.
    panels : sequence of Forest
        One or two, of the same centres.
    """
    most = len(panels[0].rows)
    height = 1.45 + _ROW_IN * (most + 3)

    def paint(figure: Figure) -> None:
        heading(figure, title)
        wide = len(panels) > 1
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        figure.subplots_adjust(
            left=0.19, right=0.845 if wide else 0.80, bottom=0.62 / height, top=1 - 0.66 / height, wspace=0.72
        )
        for place, (panel, forest) in enumerate(zip(axes, panels, strict=True)):
            if wide:
                panel_title(panel, "abcd"[place], forest.title)
            _panel(panel, forest, labelled=place == 0)

    return draw(name, title, caption, (WIDTH_IN, height), paint)


def _panel(axes: Axes, forest: Forest, *, labelled: bool) -> None:
    scale = 100.0 if forest.rate else 1.0
    pooled = [
        ("All, fixed effect", forest.fixed, QUIET),
        ("All, random effects", forest.random, VERMILLION),
        ("A further centre", forest.prediction, ORANGE),
    ]
    total = len(forest.rows) + len(pooled)
    axes.set(ylim=(total - 0.4, -0.6), xlabel=forest.axis)
    _limits(axes, forest, scale)
    axes.axhline(len(forest.rows) - 0.5, color=QUIET, linewidth=0.7)
    if forest.reference is not None:
        axes.axvline(scale * forest.reference, color=QUIET, linewidth=1.0, linestyle=(0, (1, 1.6)), zorder=1)
        axes.annotate(
            forest.reference_words,
            (scale * forest.reference, 1),
            (0, 2),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=6.8,
            color=QUIET,
        )
    for place, row in enumerate(forest.rows):
        _interval(axes, place, row.estimate, scale, MODEL_COLOUR)
        _beside(axes, place, _text(row.estimate, forest.rate))
    for place, (_, estimate, colour) in enumerate(pooled, start=len(forest.rows)):
        if place == total - 1:
            _prediction(axes, place, estimate, scale)
        else:
            _diamond(axes, place, estimate, scale, colour)
        _beside(axes, place, _pooled_text(estimate, forest.rate, value=place < total - 1))
    labels = [*(_short(row.label) for row in forest.rows), *(words for words, _, _ in pooled)]
    axes.set_yticks(range(total), labels if labelled else [""] * total)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _limits(axes: Axes, forest: Forest, scale: float) -> None:
    """From the centres and pooled intervals; the prediction interval may leave the panel, which an arrow shows."""
    ends = [finite(row.estimate.get(key)) for row in forest.rows for key in ("low", "value", "high")]
    ends += [finite(part.get(key)) for part in (forest.fixed, forest.random) if part for key in ("value",)]
    known = [end for end in ends if end is not None]
    if forest.reference is not None:
        known.append(forest.reference)
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    room = 0.06 * (high - low or 1.0)
    low, high = low - room, high + room
    if forest.rate:
        low, high = max(0.0, low), min(1.0, high)
    axes.set_xlim(scale * low, scale * high)


def _interval(axes: Axes, place: int, estimate: Estimate, scale: float, colour: str) -> None:
    value, low, high = (finite(estimate.get(key)) for key in ("value", "low", "high"))
    axes.axhline(place, color=RULE, linewidth=0.5, zorder=0)
    if value is None:
        return
    if low is not None and high is not None:
        axes.hlines(place, scale * low, scale * high, color=colour, linewidth=2.0, zorder=2)
    axes.plot(
        [scale * value],
        [place],
        marker="s",
        markersize=5.5,
        color=colour,
        markeredgecolor="white",
        markeredgewidth=0.7,
        linestyle="none",
        zorder=3,
        clip_on=False,
    )


def _diamond(axes: Axes, place: int, estimate: Estimate | None, scale: float, colour: str) -> None:
    ends = _ends(estimate)
    if ends is None:
        return
    value, low, high = (scale * end for end in ends)
    outline = [(low, place), (value, place - 0.26), (high, place), (value, place + 0.26)]
    axes.add_patch(Polygon(outline, closed=True, facecolor=colour, edgecolor=INK, linewidth=0.6, zorder=3))


def _prediction(axes: Axes, place: int, estimate: Estimate | None, scale: float) -> None:
    ends = _ends(estimate)
    if ends is None:
        return
    _, low, high = (scale * end for end in ends)
    left, right = axes.get_xlim()
    axes.hlines(place, max(low, left), min(high, right), color=ORANGE, linewidth=3.2, zorder=2)
    for end, edge, marker in ((low, left, "<"), (high, right, ">")):
        beyond = end < left if marker == "<" else end > right
        if beyond:
            axes.plot([edge], [place], marker=marker, color=ORANGE, markersize=7, clip_on=False, zorder=3)


def _ends(estimate: Estimate | None) -> tuple[float, float, float] | None:
    if estimate is None:
        return None
    value, low, high = (finite(estimate.get(key)) for key in ("value", "low", "high"))
    return None if value is None or low is None or high is None else (value, low, high)


def _beside(axes: Axes, place: int, text: str) -> None:
    axes.text(1.03, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=7.2)


def _text(estimate: Estimate, rate: bool) -> str:
    value = finite(estimate.get("value"))
    if value is None:
        return "not estimable"
    if rate:
        return f"{count(estimate.get('events'))} of {count(estimate.get('n'))}, {percent(value)}"
    return _numbers(estimate, value)


def _pooled_text(estimate: Estimate | None, rate: bool, *, value: bool) -> str:
    ends = _ends(estimate)
    if ends is None:
        return "not estimable"
    low, high = (f"{100 * end:.1f}" if rate else number(end) for end in ends[1:])
    joint = " to " if "\u2212" in low + high else EN_DASH
    span = f"{low}{joint}{high}{' %' if rate else ''}"
    return f"{percent(ends[0]) if rate else number(ends[0])} ({span})" if value else span


def _numbers(estimate: Estimate, value: float) -> str:
    low, high = finite(estimate.get("low")), finite(estimate.get("high"))
    if low is None or high is None:
        return number(value)
    ends = number(low), number(high)
    joint = " to " if "\u2212" in "".join(ends) else EN_DASH
    return f"{number(value)} ({joint.join(ends)})"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
