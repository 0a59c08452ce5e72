"""Which features are chosen how often, and how a penalised regression came to its choice."""

from __future__ import annotations

import re
from textwrap import shorten

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from usdlr.core.errors import ConfigError, DataError
from usdlr.radiomics.catalogue.features import describe
from usdlr.radiomics.selection.frequency import SelectionFrequency
from usdlr.radiomics.selection.penalty_path import PenaltyPath
from usdlr.report.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    QUIET,
    RULE,
    SKY,
    VERMILLION,
    WIDTH_IN,
    Drawing,
    draw,
    heading,
    panel_title,
)
from usdlr.report.tables import Marks

_ROW_IN = 0.34
_LABEL_CHARS = 62
_LINE_LOOKS = (
    (BLUE, "-"),
    (VERMILLION, (0, (5, 2))),
    (GREEN, (0, (1.5, 1.5))),
    (PURPLE, (0, (6, 2, 1.5, 2))),
    (ORANGE, (0, (3, 1, 1, 1, 1, 1))),
    (INK, (0, (8, 3))),
)
_NO_MARKS = Marks(simulated=False, proxy=False, uncertified=False)


def feature_words(column: str) -> tuple[str, str]:
    """What a column measures and where, in plain words; without its unit.

    Examples
    --------
    >>> feature_words("clinical.tumour_size_mm")
    ('tumour size (mm)', 'clinical')
    """
    head, _, rest = column.partition(".")
    if "." not in rest:
        return re.sub(r" (mm|years|months)$", r" (\1)", (rest or head).replace("_", " ")), head if rest else ""
    try:
        words = describe(column)
    except ConfigError:
        # A feature of another version or of a plug-in is still better named than left out.
        parts = column.split(".")
        return parts[-1], " ".join(parts[:-1])
    where, _, what = words.partition(": ")
    if len(where) > _LABEL_CHARS:
        # The filter's own name, in brackets, tells such columns apart in fewer letters than what it does.
        where = re.sub(r"^(.*, )[^(]*\(([^()]*)\)$", r"\1\2", where)
    return what.rsplit(" (", 1)[0], where


def frequency_figure(
    folds: SelectionFrequency | None,
    bootstraps: SelectionFrequency | None,
    *,
    top: int = 20,
    what: str = "",
    name: str = "selection_frequency",
    marks: Marks = _NO_MARKS,
) -> Drawing:
    """How often the most frequent features were chosen, over folds and over bootstraps apart.

    Parameters
    ----------
    folds, bootstraps : SelectionFrequency, optional
        At least one.
    top : int
        Features shown: those with the largest mean share.
    what : str
        Whose choice it is, for the title, e.g. a stage.
    name : str
        File stem.
    marks : Marks
        What the title must carry about the cohort.

    Raises
    ------
    DataError
        If neither is given, or no feature was chosen.
    """
    given = [
        (words, found, colour, hatch)
        for words, found, colour, hatch in (
            ("fold", folds, BLUE, ""),
            ("bootstrap", bootstraps, SKY, "////"),
        )
        if found is not None
    ]
    shares: dict[str, list[float]] = {}
    for _, found, _, _ in given:
        for feature in found.counts:
            shares.setdefault(feature, [one.shares.get(feature, 0.0) for _, one, _, _ in given])
    if not shares:
        raise DataError("found no chosen feature to draw, expected the frequencies of folds or bootstraps")
    order = sorted(shares, key=lambda feature: (-round(sum(shares[feature]), 9), feature))[:top]
    title = marks.title("How often each feature was chosen" + (f": {what}" if what else ""))
    caption = (
        f"The {len(order)} most frequent of {len(shares)} features that were chosen at least once, among "
        f"{given[0][1].candidates} candidates. " + " ".join(_told(words, found) for words, found, _, _ in given)
    )
    height = 0.95 + _ROW_IN * len(order)
    thick = 0.62 / len(given)

    def paint(figure: Figure) -> None:
        heading(figure, title)
        axes = figure.subplots()
        figure.subplots_adjust(left=0.50, right=0.97, bottom=0.42 / height, top=1 - 0.5 / height)
        for number, (words, found, colour, hatch) in enumerate(given):
            places = [row + (number - (len(given) - 1) / 2) * thick for row in range(len(order))]
            axes.barh(
                places,
                [100 * found.shares.get(feature, 0.0) for feature in order],
                height=thick * 0.92,
                color=colour,
                edgecolor="white",
                hatch=hatch,
                linewidth=0.0,
                label=f"{found.sets} {words}{'s' if found.sets != 1 else ''}",
            )
        axes.set(xlim=(0, 100), ylim=(len(order) - 0.45, -0.55), xlabel="Chosen in (%)")
        axes.set_yticks([])
        axes.spines["left"].set_color(RULE)
        axes.xaxis.grid(True, color=RULE, linewidth=0.5)
        axes.set_axisbelow(True)
        for row, feature in enumerate(order):
            _two_lines(axes, row, *feature_words(feature))
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.2)

    return draw(name, title, caption, (WIDTH_IN, height), paint)


def _told(words: str, found: SelectionFrequency) -> str:
    kind = (
        "training patients drawn again with replacement" if words == "bootstrap" else "the training part of each fold"
    )
    lost = f", {found.failed} more gave no choice" if found.failed else ""
    return f"{found.sets} {words}s ({kind}{lost}): {_stability_words(found)}"


def _stability_words(found: SelectionFrequency) -> str:
    index = found.stability
    if index.value is None:
        return "stability not defined for these sets."
    # A kept table of an earlier version may hold an interval of two sets, whose ends are equal whatever they hold.
    if found.sets < 3 or index.low is None or index.high is None:
        spread = f"no interval can be given from {found.sets} sets"
    else:
        spread = f"{100 * index.level:.0f} % interval {index.low:.2f} to {index.high:.2f}"
    return (
        f"stability {index.value:.2f} ({spread}; 1 always the same features, 0 as if drawn at random; Nogueira 2018)."
    )


def _two_lines(axes: Axes, row: int, what: str, where: str) -> None:
    """What a feature measures, and below it, quieter, where."""
    for words, shift, size, colour in ((what, 1.0, 7.4, INK), (where, -1.0, 6.2, QUIET)):
        axes.annotate(
            shorten(words, _LABEL_CHARS, placeholder=" …"),
            (0, row),
            (-6, 4.2 * shift),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=size,
            color=colour,
            annotation_clip=False,
        )


def path_figure(path: PenaltyPath, *, name: str = "penalty_path", marks: Marks = _NO_MARKS, named: int = 6) -> Drawing:
    """The path of a LASSO or elastic net: cross-validated deviance with the one-standard-error line, coefficients.

    Parameters
    ----------
    path : PenaltyPath
        As a fitted selector keeps it.
    name : str
        File stem.
    marks : Marks
        What the title must carry about the cohort.
    named : int
        Lines that are named, of the chosen model's largest coefficients; at most six look different.
    """
    kind = "LASSO" if path.l1_ratio == 1 else f"elastic net (L1 share {path.l1_ratio:g})"
    title = marks.title(f"Choice of the penalty, {kind}")
    size = path.sizes[path.chosen]
    caption = (
        f"a: mean deviance per row in {path.folds} folds of the training patients (each patient in one fold), with its "
        f"standard error. Dashed line: the smallest deviance plus one standard error ({path.limit:.3f}). Taken is "
        f"penalty {path.penalties[path.chosen]:.3g}, with {size} feature{'s' if size != 1 else ''}; the smallest "
        f"deviance, {path.deviance[path.best]:.3f}, has {path.sizes[path.best]}. b: coefficients of the fit on all "
        "training rows, per standard deviation of the feature; grey lines are not in the model taken."
    )
    lines = sum(line[path.chosen] != 0 for line in path.coefficients)
    legend_in = 0.12 + 0.165 * min(lines, named, len(_LINE_LOOKS))
    height = 5.1 + legend_in

    def paint(figure: Figure) -> None:
        heading(figure, title)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1.0, 1.25))
        figure.subplots_adjust(
            left=0.085, right=0.975, bottom=(0.45 + legend_in) / height, top=1 - 0.82 / height, hspace=0.22
        )
        _deviance_panel(upper, path)
        _coefficient_panel(lower, path, min(named, len(_LINE_LOOKS)))
        handles, labels = lower.get_legend_handles_labels()
        if handles:
            # Drawn last to first, so that the largest lies on top; read first to last.
            figure.legend(handles[::-1], labels[::-1], loc="lower left", bbox_to_anchor=(0.06, 0.0), ncols=1)

    return draw(name, title, caption, (WIDTH_IN, height), paint)


def _deviance_panel(axes: Axes, path: PenaltyPath) -> None:
    penalties, mean, error = (np.array(one) for one in (path.penalties, path.deviance, path.error))
    panel_title(axes, "a", "Cross-validated deviance")
    axes.fill_between(penalties, mean - error, mean + error, color=SKY, alpha=0.3, linewidth=0)
    axes.plot(penalties, mean, color=BLUE, marker="o", markersize=2.6)
    axes.axhline(path.limit, color=VERMILLION, linewidth=1.0, linestyle=(0, (5, 2)))
    axes.annotate(
        "smallest + 1 SE",
        (0, path.limit),
        (3, 3),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        ha="left",
        va="bottom",
        fontsize=6.8,
        color=VERMILLION,
    )
    axes.set(xscale="log", ylabel="Deviance per row")
    axes.set_xlim(float(penalties[0]) * 1.03, float(penalties[-1]) / 1.03)
    _verticals(axes, path, labelled=True)
    above = axes.secondary_xaxis("top")
    ticks = np.unique(np.linspace(0, len(penalties) - 1, 9).round().astype(int))
    above.set_xticks([float(penalties[place]) for place in ticks], [str(path.sizes[place]) for place in ticks])
    above.xaxis.set_minor_formatter(NullFormatter())
    above.tick_params(which="minor", length=0)
    above.spines["top"].set_visible(False)
    # The count of features belongs to the ticks; the panel's title stands above both.
    axes.set_title(axes.get_title("left") + ", number of features above", pad=20)


def _coefficient_panel(axes: Axes, path: PenaltyPath, named: int) -> None:
    panel_title(axes, "b", "Coefficients")
    axes.axhline(0, color=RULE, linewidth=0.7)
    lines = dict(zip(path.names, path.coefficients, strict=True))
    inside = [name for name in path.names if lines[name][path.chosen] != 0]
    inside.sort(key=lambda name: -round(abs(lines[name][path.chosen]), 9))
    for feature in path.names:
        if feature not in inside:
            axes.plot(path.penalties, lines[feature], color=RULE, linewidth=0.8, zorder=1)
    for place, feature in reversed(list(enumerate(inside))):
        what, where = feature_words(feature)
        if place < named:
            colour, dashes = _LINE_LOOKS[place]
            label = shorten(f"{what}; {where}" if where else what, 120, placeholder=" …")
            axes.plot(
                path.penalties, lines[feature], color=colour, linestyle=dashes, linewidth=1.6, zorder=4, label=label
            )
        else:
            axes.plot(path.penalties, lines[feature], color=QUIET, linewidth=0.9, zorder=2)
    axes.set(xlabel="Penalty (strong to weak)", ylabel="Coefficient per SD")
    axes.xaxis.set_major_locator(LogLocator(10, (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    _verticals(axes, path, labelled=False)


def _verticals(axes: Axes, path: PenaltyPath, *, labelled: bool) -> None:
    """Where the deviance is smallest, and what was taken."""
    same = path.best == path.chosen
    marks = (
        ((path.chosen, "taken", "-", "right"),)
        if same
        else (
            (path.chosen, "taken", "-", "right"),
            (path.best, "smallest", (0, (1.5, 1.5)), "left"),
        )
    )
    for place, words, dashes, side in marks:
        axes.axvline(path.penalties[place], color=INK, linewidth=0.9, linestyle=dashes, zorder=3)
        if labelled:
            axes.annotate(
                words,
                (path.penalties[place], 1),
                (-3 if side == "right" else 3, -2),
                xycoords=axes.get_xaxis_transform(),
                textcoords="offset points",
                ha=side,
                va="top",
                fontsize=7.0,
            )
