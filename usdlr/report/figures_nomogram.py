"""A nomogram the way clinicians know it: aligned axes for points, every variable, total points and probability."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from textwrap import fill
from typing import Any, Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from usdlr.decision.numbers import Estimate
from usdlr.decision.wording_models import NO_FEATURE, baseline_area, not_the_model, several_images
from usdlr.decision.wording_page import BEYOND_LINES, DEVICE_CAPTION
from usdlr.report.style import INK, MODEL_COLOUR, QUIET, RULE, VERMILLION, WIDTH_IN, Drawing, draw, heading

BASELINE = "baseline, not the model that decides"
_SCORE = "radiomics_score"  # as of usdlr.baselines.signature
_LINE_IN = 0.52
_LABELS = 0.235  # of the width
_LABEL_CHARS = 22
_PROBABILITIES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
_APART = 0.045  # least distance of two labels, of the axis' length
# Numbers stand above the grid and the example's lines.
_PLATE: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


class Line(Protocol):
    """One variable; see ``usdlr.baselines.nomogram.Variable``."""

    @property
    def name(self) -> str: ...  # noqa: D102  # documented there
    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def unit(self) -> str: ...  # noqa: D102
    @property
    def low(self) -> float: ...  # noqa: D102
    @property
    def high(self) -> float: ...  # noqa: D102


class Read(Protocol):
    """A row's reading; see ``usdlr.baselines.nomogram.Reading``."""

    @property
    def points(self) -> dict[str, float]: ...  # noqa: D102
    @property
    def total(self) -> float: ...  # noqa: D102
    @property
    def probability(self) -> float: ...  # noqa: D102
    @property
    def extrapolated(self) -> tuple[str, ...]: ...  # noqa: D102


class NomogramLike(Protocol):
    """What is drawn: a baseline's nomogram, or the readout of a model."""

    @property
    def outcome(self) -> str: ...  # noqa: D102
    @property
    def variables(self) -> Sequence[Any]: ...  # noqa: D102
    @property
    def n(self) -> int: ...  # noqa: D102
    @property
    def events(self) -> int: ...  # noqa: D102
    @property
    def most_points(self) -> float: ...  # noqa: D102
    def points_of(self, variable: Any, value: float) -> float: ...  # noqa: D102
    def probability_at(self, total: float) -> float: ...  # noqa: D102
    def total_at(self, probability: float) -> float: ...  # noqa: D102
    def read(self, row: Mapping[str, Any], *, extrapolate: bool = ...) -> Read: ...  # noqa: D102


def nomogram_figure(
    nomogram: NomogramLike,
    *,
    name: str = "nomogram",
    cohort: str = "",
    example: Mapping[str, Any] | None = None,
    note: str = "",
) -> Drawing:
    """The nomogram, with the reading of one patient where an example is given.

    Parameters
    ----------
    nomogram : Nomogram
        Of :mod:`usdlr.baselines.nomogram`.
    name : str
        File stem.
    cohort : str
        Words for whose rows it was fitted on, e.g. ``"simulated"``; part of the title.
    example : mapping of str to number, optional
        A row inside the training range, drawn as marks and as a dotted line.
    note : str
        A further sentence of the caption.

    Returns
    -------
    Drawing
        Equal input gives equal bytes.

    Raises
    ------
    DataError
        If the example misses a variable or lies outside the training range.
    """
    title = f"Nomogram for {nomogram.outcome}" + (f" ({cohort})" if cohort else "")
    reading = None if example is None else nomogram.read(example)
    lines = len(nomogram.variables) + 3
    height = 0.75 + _LINE_IN * lines
    caption = (
        f"Logistic model of {nomogram.n} training rows, {nomogram.events} of them positive. Find each value on its "
        "line, read its points straight above, add them up, and read the probability straight below the total. "
        f"{BEYOND_LINES}"
    )
    if reading is not None:
        caption += f" Circles: an example with {reading.total:.0f} points, {100 * reading.probability:.0f} %."
    caption += f" {note}" if note else ""
    caption += f" {DEVICE_CAPTION}"

    def paint(figure: Figure) -> None:
        heading(figure, title)
        axes = figure.add_axes((_LABELS, 0.16 / height, 0.97 - _LABELS, 1 - 0.62 / height))
        axes.set(xlim=(0, 1), ylim=(lines - 0.45, -0.55))
        axes.set_axis_off()
        _paint(axes, nomogram, reading, example)

    return draw(name, title, caption, (WIDTH_IN, height), paint)


def baseline_note(
    nomogram: NomogramLike, *, title: str, auc: Estimate | None = None, axillae: int | None = None
) -> str:
    """What a reader must know of a nomogram that is a baseline's: whose it is, how well it ranks, what it lacks.

    Parameters
    ----------
    nomogram : Nomogram
        Of a baseline.
    title : str
        The baseline's name on the page.
    auc : mapping, optional
        Its out-of-fold AUC, as of :meth:`usdlr.evaluation.intervals.Estimate.as_dict`.
    axillae : int, optional
        Axillae that it was fitted on; fewer than its rows where an axilla has several image sets.

    Returns
    -------
    str
        For the ``note`` of :func:`nomogram_figure`.
    """
    told = [not_the_model(title)]
    if axillae is not None and axillae < nomogram.n:
        told.append(several_images(nomogram.n, axillae))
    if all(variable.name != _SCORE for variable in nomogram.variables):
        told.append(NO_FEATURE)
    if auc is not None:
        told.append(baseline_area(auc))
    return " ".join(line for line in told if line)


def _paint(axes: Axes, nomogram: NomogramLike, reading: Read | None, example: Mapping[str, Any] | None) -> None:
    variables = list(nomogram.variables)
    longest = max(
        100.0, *(nomogram.points_of(v, end) for v in variables for end in (v.low, v.high))
    )  # the point scale is as long as the longest line
    most = max(nomogram.most_points, 1e-9)

    def along(points: float) -> float:
        return points / longest

    def summed(total: float) -> float:
        return total / most

    ticks = [float(value) for value in range(0, 101, 10)]
    _axis(axes, 0, "Points", [(along(value), f"{value:g}") for value in ticks], (0.0, 1.0), strong=True)
    for value in ticks:
        axes.plot([along(value)] * 2, [0, len(variables) + 0.25], color=RULE, linewidth=0.4, zorder=0)
    for place, variable in enumerate(variables, start=1):
        unit = f" ({variable.unit})" if variable.unit else " (no unit)"
        ends = sorted(along(nomogram.points_of(variable, end)) for end in (variable.low, variable.high))
        marks = [
            (along(nomogram.points_of(variable, value)), f"{value:g}") for value in nice(variable.low, variable.high)
        ]
        if ends[1] - ends[0] < _APART:  # a line too short for numbers says only which ends it has
            marks = []
            axes.text(
                ends[1] + 0.012,
                place,
                f"{variable.low:.3g} to {variable.high:.3g}: hardly any points",
                va="center",
                fontsize=6.8,
                color=QUIET,
            )
        _axis(axes, place, variable.title + unit, marks, (ends[0], ends[1]))
    total = len(variables) + 1
    marks = [(summed(value), f"{value:g}") for value in nice(0.0, most)]
    _axis(axes, total, "Total points", marks, (0.0, 1.0), strong=True)
    low, high = nomogram.probability_at(0.0), nomogram.probability_at(nomogram.most_points)
    shown = [value for value in _PROBABILITIES if low <= value <= high]
    marks = [(summed(nomogram.total_at(value)), f"{100 * value:g}") for value in shown if low < high]
    _axis(axes, total + 1, "Probability of\n" + fill(f"{nomogram.outcome} (%)", _LABEL_CHARS), marks, (0.0, 1.0))
    if reading is not None and example is not None:
        _example(axes, reading, variables, (along, summed), total)


def _example(
    axes: Axes,
    reading: Read,
    variables: Sequence[Any],
    scales: tuple[Callable[[float], float], Callable[[float], float]],
    total: int,
) -> None:
    along, summed = scales
    for place, variable in enumerate(variables, start=1):
        at = along(reading.points[variable.name])
        axes.plot([at, at], [0, place], color=VERMILLION, linewidth=0.9, linestyle=(0, (1.5, 1.5)), zorder=2)
        _dot(axes, at, place)
    at = summed(reading.total)
    axes.plot([at, at], [total, total + 1], color=VERMILLION, linewidth=0.9, linestyle=(0, (1.5, 1.5)), zorder=2)
    _dot(axes, at, total)
    _dot(axes, at, total + 1)


def _dot(axes: Axes, x: float, y: float) -> None:
    axes.plot(
        [x], [y], marker="o", markersize=5.5, color=VERMILLION, markeredgecolor="white", linestyle="none", zorder=4,
        clip_on=False,
    )  # fmt: skip


def _axis(
    axes: Axes,
    place: int,
    label: str,
    marks: Sequence[tuple[float, str]],
    ends: tuple[float, float],
    *,
    strong: bool = False,
) -> None:
    colour = INK if strong else MODEL_COLOUR
    axes.plot(ends, [place, place], color=colour, linewidth=1.3, zorder=1, solid_capstyle="projecting", clip_on=False)
    axes.text(-0.03, place, label, ha="right", va="center", fontsize=8.0, fontweight="bold" if strong else "normal")
    taken: list[float] = []
    for x, text in marks:
        axes.plot([x, x], [place, place + 0.10], color=colour, linewidth=0.9, zorder=1, clip_on=False)
        if all(abs(x - other) >= _APART for other in taken):
            axes.text(
                x, place + 0.15, text.replace("-", "\u2212"), ha="center", va="top", fontsize=7.2, zorder=3, bbox=_PLATE
            )
            taken.append(x)


def nice(low: float, high: float, most: int = 9) -> list[float]:
    """Round numbers from ``low`` to ``high``, at most ``most`` of them.

    Examples
    --------
    >>> nice(4.2, 47.0)
    [5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0]
    >>> nice(-2.3, 1.1)
    [-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0]
    """
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for factor in _STEPS:
        step = factor * power
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            break
    return [round(place * step, 12) + 0.0 for place in range(first, last + 1)]
