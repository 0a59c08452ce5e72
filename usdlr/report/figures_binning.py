"""The bin-sensitivity figure: levels in use, steadiness of features, and what gain does to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from usdlr.core.modalities import MODALITIES
from usdlr.report.style import (
    BLUE,
    GREEN,
    GRID,
    INK,
    ORANGE,
    PURPLE,
    RULE,
    VERMILLION,
    WIDTH_IN,
    Drawing,
    Series,
    draw,
    heading,
    panel_title,
)

CLASS_SERIES: dict[str, Series] = {
    "firstorder": Series(INK, (0, (8, 3)), "P"),
    "glcm": Series(BLUE, "solid", "o"),
    "gldm": Series(GREEN, (0, (1.5, 1.5)), "^"),
    "glrlm": Series(VERMILLION, (0, (5, 2)), "s"),
    "glszm": Series(PURPLE, (0, (6, 2, 1.5, 2)), "D"),
    "ngtdm": Series(ORANGE, (0, (3, 1, 1, 1, 1, 1)), "v"),
}
MODE_COLOURS = {"count": BLUE, "width": VERMILLION}
MODE_MARKERS = {"count": "o", "width": "s"}
# Changes below this share of a per cent are drawn at it: a logarithmic axis has no zero.
LEAST_PERCENT = 0.01


def binning_figure(
    levels: pd.DataFrame, neighbours: pd.DataFrame, disturbances: pd.DataFrame, cases: int, units: dict[str, str]
) -> Drawing:
    """One row of three panels per modality.

    Parameters
    ----------
    levels : DataFrame
        ``modality, roi, mode, setting, levels_median, levels_low, levels_high``.
    neighbours : DataFrame
        ``modality, roi, class, feature, mode, setting, against, rank_correlation``.
    disturbances : DataFrame
        ``modality, roi, class, feature, mode, setting, disturbance, relative_change, rank_correlation``.
    cases : int
        Size of the sample.
    units : dict of str to str
        Unit of a width, by modality.
    """
    modalities = [str(name) for name in dict.fromkeys(levels["modality"])]
    title = "Grey levels and what they do to texture features"
    changes = ", ".join(dict.fromkeys(disturbances["disturbance"]))
    caption = (
        f"{cases} cases, all regions. Left: number of grey levels that occur in a region, median with the range over "
        "cases, under a fixed count of levels and under a fixed width. Middle: Spearman's correlation over cases "
        "between a count and its double, median over the features of a class. Right: how far features move under a "
        f"disturbance of the image ({changes}), by class: median over cases, regions and features, with the 10th and "
        f"90th percentile; changes below {LEAST_PERCENT:g} % are drawn there."
    )

    def paint(figure: Figure) -> None:
        heading(figure, title)
        grid = figure.subplots(len(modalities), 3, squeeze=False)
        height = float(figure.get_size_inches()[1])
        figure.subplots_adjust(
            left=0.07, right=0.985, bottom=0.52 / height, top=1 - 0.62 / height, wspace=0.34, hspace=0.52
        )
        for i, (row, modality) in enumerate(zip(grid, modalities, strict=True)):
            name = MODALITIES[modality].title[:1].upper() + MODALITIES[modality].title[1:]
            letters = "abcdefghi"[3 * i : 3 * i + 3]
            _levels_panel(row[0], letters[0], name, _of(levels, modality), units[modality])
            _neighbours_panel(row[1], letters[1], name, _of(neighbours, modality), legend=i == 0)
            _disturbances_panel(row[2], letters[2], name, _of(disturbances, modality), units[modality])

    return draw("binning", title, caption, (WIDTH_IN, 0.7 + 2.75 * len(modalities)), paint)


def _of(table: pd.DataFrame, modality: str) -> pd.DataFrame:
    return table[table["modality"] == modality]


def _levels_panel(axes: Axes, letter: str, name: str, table: pd.DataFrame, unit: str) -> None:
    panel_title(axes, letter, f"{name}: levels in use")
    ticks: list[str] = []
    for mode in ("count", "width"):
        rows = table[table["mode"] == mode]
        settings = sorted(set(rows["setting"]), reverse=mode == "width")
        middle = [rows.loc[rows["setting"] == s, "levels_median"].median() for s in settings]
        low = [rows.loc[rows["setting"] == s, "levels_low"].min() for s in settings]
        high = [rows.loc[rows["setting"] == s, "levels_high"].max() for s in settings]
        places = len(ticks) + np.arange(len(settings)) + (0 if mode == "count" else 0.6)
        axes.vlines(places, low, high, color=MODE_COLOURS[mode], linewidth=2.2, alpha=0.35)
        axes.plot(places, middle, linestyle="none", marker=MODE_MARKERS[mode], markersize=4.2, color=MODE_COLOURS[mode])
        axes.text(
            float(places.mean()), 1.0, "count" if mode == "count" else f"width ({unit})", ha="center", va="top",
            transform=axes.get_xaxis_transform(), color=MODE_COLOURS[mode], fontsize=7.2,
        )  # fmt: skip
        ticks += [f"{setting:g}" for setting in settings]
    half = len(ticks) // 2
    axes.set_xticks([*range(half), *(np.arange(half, len(ticks)) + 0.6)], ticks)
    axes.tick_params(axis="x", labelsize=6.8)
    axes.set_yscale("log", base=2)
    _plain(
        axes, "y", (1, 2, 4, 8, 16, 32, 64, 128, 256), 0.8 * table["levels_low"].min(), table["levels_high"].max() * 1.6
    )
    axes.set_ylabel("Grey levels")
    axes.set_xlabel("Setting")


def _neighbours_panel(axes: Axes, letter: str, name: str, table: pd.DataFrame, *, legend: bool) -> None:
    panel_title(axes, letter, f"{name}: count doubled")
    table = table[table["mode"] == "count"]
    pairs = list(dict.fromkeys(zip(table["setting"], table["against"], strict=True)))
    for cls, look in CLASS_SERIES.items():
        rows = table[table["class"] == cls]
        if rows.empty:
            continue
        medians = [rows.loc[rows["setting"] == first, "rank_correlation"].median() for first, _ in pairs]
        axes.plot(
            range(len(pairs)), medians, color=look.colour, linestyle=look.dashes, marker=look.marker, markersize=3.6,
            linewidth=1.2, label=cls,
        )  # fmt: skip
    axes.set_xticks(range(len(pairs)), [f"{first:g}→{second:g}" for first, second in pairs])
    axes.tick_params(axis="x", labelsize=6.8)
    low = min(0.9, float(np.nanmin([line.get_ydata() for line in axes.lines])) - 0.02) if axes.lines else 0.9
    axes.set_ylim(low, 1.005)
    axes.grid(axis="y", color=GRID)
    axes.set_ylabel("Rank correlation over cases")
    axes.set_xlabel("Number of levels")
    if legend:
        axes.legend(loc="lower right", ncols=2, handlelength=2.4, columnspacing=1.0)


def _disturbances_panel(axes: Axes, letter: str, name: str, table: pd.DataFrame, unit: str) -> None:
    panel_title(axes, letter, f"{name}: gain, offset")
    classes = [cls for cls in CLASS_SERIES if (table["class"] == cls).any()]
    for mode, shift in (("count", -0.16), ("width", 0.16)):
        rows = table[table["mode"] == mode]
        setting = rows["setting"].iloc[0]
        label = f"{setting:g} levels" if mode == "count" else f"width {setting:g} {unit}"
        places, spread = np.arange(len(classes)) + shift, []
        for cls in classes:
            moved = 100 * rows.loc[rows["class"] == cls, "relative_change"].dropna()
            spread.append(_quantiles(moved))
        low, middle, high = (np.maximum(np.array(column), LEAST_PERCENT) for column in zip(*spread, strict=True))
        axes.hlines(places, low, high, color=MODE_COLOURS[mode], linewidth=2.2, alpha=0.35)
        axes.plot(
            middle, places, linestyle="none", marker=MODE_MARKERS[mode], markersize=4.4, color=MODE_COLOURS[mode],
            label=label,
        )  # fmt: skip
    axes.set_yticks(range(len(classes)), classes)
    axes.set_ylim(len(classes) + 0.7, -0.6)  # room for the legend below the last class
    axes.set_xscale("log")
    _plain(axes, "x", (0.01, 0.1, 1, 10, 100), LEAST_PERCENT * 0.8, 300)
    axes.grid(axis="x", color=GRID)
    axes.axvline(1, color=RULE, linewidth=0.8)
    axes.set_xlabel("Change of a feature (%)")
    axes.legend(loc="lower left", handlelength=1.0, borderaxespad=0.2)


def _quantiles(values: pd.Series) -> Sequence[float]:
    return [float(values.quantile(q)) for q in (0.1, 0.5, 0.9)] if len(values) else [float("nan")] * 3


def _plain(axes: Axes, which: str, ticks: Sequence[float], low: float, high: float) -> None:
    """Ticks as numbers, without the powers that a logarithmic axis writes."""
    chosen = [tick for tick in ticks if low <= tick <= high]
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_ticks(chosen, [f"{tick:g}" for tick in chosen])
    axis.set_ticks([], minor=True)
    (axes.set_ylim if which == "y" else axes.set_xlim)(low, high)
