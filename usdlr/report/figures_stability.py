"""How stable features are, by class and image type: medians, spreads, intervals, and the bound that decides."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from usdlr.core.columns import FEATURE_PATTERN
from usdlr.core.errors import DataError
from usdlr.report.style import BLUE, INK, QUIET, RULE, SKY, VERMILLION, WIDTH_IN, Drawing, draw, heading, note

DEFAULT_BOUND = 0.75
# Classes and image types in the order of the field's papers; what is not named follows in the order of the table.
CLASSES = {
    "shape2D": "Shape",
    "firstorder": "First order",
    "glcm": "GLCM",
    "glrlm": "GLRLM",
    "glszm": "GLSZM",
    "gldm": "GLDM",
    "ngtdm": "NGTDM",
}
IMAGE_TYPES = {
    "original": "original",
    "wavelet": "wavelet",
    "log": "LoG",
    "square": "square",
    "squareroot": "square root",
    "logarithm": "logarithm",
    "exponential": "exponential",
    "gradient": "gradient",
    "lbp": "LBP",
}
SOURCES = {"perturbation": "perturbed outlines", "reader": "readers", "view": "two views"}
FORMS = {"icc21": "ICC(2,1), absolute agreement", "icc31": "ICC(3,1), consistency"}

_ROW_IN = 0.17
_GAP = 0.6  # rows between two classes
_HEAD_IN, _FOOT_IN = 0.95, 0.62


@dataclass(frozen=True)
class _Group:
    """The features of one class on one image type; ``place`` is the row that it is drawn on."""

    label: str
    place: float
    value: npt.NDArray[np.float64]
    low: float
    high: float
    total: int


def stability_figure(
    stability: pd.DataFrame, *, judge: str = "icc21", bound: float = DEFAULT_BOUND, name: str = "stability"
) -> Drawing:
    """Intraclass correlations of all features of one ``stability`` table, one line per class and image type.

    Parameters
    ----------
    stability : DataFrame
        Rows of one source: feature, source, the correlation and the ends of its interval, numbers of cases.
    judge : str
        ``icc21`` or ``icc31``.
    bound : float
        Smallest correlation of a feature that is kept.
    name : str
        File stem.

    Raises
    ------
    DataError
        If the table holds several sources, or nothing that is a feature.
    """
    sources = list(dict.fromkeys(map(str, stability["source"])))
    if len(sources) != 1 or judge not in FORMS:
        raise DataError(f"found {judge} of the sources {sources}, expected {' or '.join(FORMS)} of one source")
    parts = stability["feature"].str.extract(r"^[^.]+\.[^.]+\.([^.]+)\.([^.]+)\.[^.]+$")
    if not stability["feature"].map(lambda feature: re.match(FEATURE_PATTERN, feature) is not None).all():
        raise DataError("found a row that is no feature, expected {modality}.{roi}.{image_type}.{class}.{feature}")
    rows = stability.assign(image_type=parts[0].map(_family), kind=parts[1])
    blocks, height_rows = _blocks(rows, judge)
    judged = rows[judge].dropna()
    kept = int((judged.round(9) >= bound).sum())
    title = f"Stability of {len(rows)} features over {SOURCES.get(sources[0], sources[0])}"
    caption = (
        f"{FORMS[judge]}, of each feature over {SOURCES.get(sources[0], sources[0])}; "
        f"{_range(rows['n_cases'])} cases, each measured {_range(rows['n_raters'])} times. "
        "Dot: median of the class's features; thick bar: their middle half; thin line: 5th to 95th percentile; small "
        "ticks: medians of the lower and upper ends of the features' 95 % intervals. Values below 0 are drawn at 0. "
        f"Dashed line: the bound of {bound:g}, which {kept} of {len(rows)} features reach; at the right, how many of "
        f"each class."
    )
    if len(judged) < len(rows):
        caption += f" {len(rows) - len(judged)} have no estimate and count as not reaching it."
    height = _HEAD_IN + _FOOT_IN + _ROW_IN * max(height_rows, 3.0)

    def paint(figure: Figure) -> None:
        heading(figure, title)
        axes = figure.subplots()
        figure.subplots_adjust(left=0.245, right=0.86, bottom=_FOOT_IN / height, top=1 - _HEAD_IN / height)
        if not blocks:
            note(axes, "no feature")
            return
        _panel(axes, blocks, height_rows, bound, FORMS[judge])

    return draw(name, title, caption, (WIDTH_IN, height), paint)


def _family(image_type: str) -> str:
    """The filter that an image comes from: sub-bands and widths of one filter are drawn together."""
    return re.split(r"-", image_type, maxsplit=1)[0].lower().removesuffix("2d")


def _ordered(found: pd.Series, known: dict[str, str]) -> list[str]:
    there = list(dict.fromkeys(map(str, found)))
    return [*(key for key in known if key in there), *(key for key in there if key not in known)]


def _blocks(rows: pd.DataFrame, judge: str) -> tuple[dict[str, list[_Group]], float]:
    blocks: dict[str, list[_Group]] = {}
    place = 0.0
    for kind in _ordered(rows["kind"], CLASSES):
        mine = rows[rows["kind"] == kind]
        groups = []
        for image_type in _ordered(mine["image_type"], IMAGE_TYPES):
            part = mine[mine["image_type"] == image_type]
            low, high = (_median(part[f"{judge}_{end}"].to_numpy(np.float64)) for end in ("low", "high"))
            value = part[judge].to_numpy(np.float64)
            label = IMAGE_TYPES.get(image_type, image_type)
            groups.append(_Group(label, place, value[np.isfinite(value)], low, high, len(part)))
            place += 1
        blocks[CLASSES.get(kind, kind)] = groups
        place += _GAP
    return blocks, place - _GAP


def _median(values: npt.NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")


def _panel(axes: Axes, blocks: dict[str, list[_Group]], rows: float, bound: float, form: str) -> None:
    axes.set(xlim=(0, 1), ylim=(rows - 0.4, -0.7), xlabel=f"{form} (1: no difference between repeats)")
    axes.axvline(bound, color=VERMILLION, linewidth=1.2, linestyle=(0, (5, 2)), zorder=1)
    axes.annotate(
        f"bound {bound:g}",
        (bound, 1),
        (0, 3),
        xycoords=axes.get_xaxis_transform(),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=7.0,
    )
    beside = axes.get_yaxis_transform()
    axes.text(1.03, -0.95, "reach bound", transform=beside, va="bottom", fontsize=7.0, color=QUIET)
    for title, groups in blocks.items():
        first, last = groups[0].place, groups[-1].place
        axes.text(-0.3, (first + last) / 2, title, transform=beside, va="center", ha="left", fontweight="bold")
        if first > 0:
            axes.plot([-0.3, 1.12], [first - 0.5 - _GAP / 2] * 2, transform=beside, color=RULE, lw=0.6, clip_on=False)
        for group in groups:
            axes.text(-0.02, group.place, group.label, transform=beside, va="center", ha="right", fontsize=7.2)
            reach = int((np.round(group.value, 9) >= bound).sum())
            axes.text(1.03, group.place, f"{reach} of {group.total}", transform=beside, va="center", fontsize=7.2)
            _group(axes, group)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    handles = [
        Line2D([], [], marker="o", color=INK, markersize=4.5, linestyle="none", label="median"),
        Line2D([], [], color=BLUE, linewidth=4.5, label="middle half"),
        Line2D([], [], color=SKY, linewidth=1.4, label="5–95 %"),
        Line2D([], [], marker="|", color=INK, markersize=9, linestyle="none", label="median ends of 95 % intervals"),
    ]
    axes.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0 + 0.22 / (_ROW_IN * max(rows, 3.0))),
        ncols=4,
        borderaxespad=0.0,
        handlelength=1.4,
        columnspacing=1.2,
    )


def _group(axes: Axes, group: _Group) -> None:
    axes.axhline(group.place, color=RULE, linewidth=0.4, zorder=0)
    if len(group.value) == 0:
        axes.text(0.01, group.place, "no estimate", va="center", fontsize=6.8, color=QUIET)
        return
    ends = np.clip(np.percentile(group.value, [5, 25, 50, 75, 95]), 0.0, 1.0)
    axes.hlines(group.place, ends[0], ends[4], color=SKY, linewidth=1.4, zorder=2)
    axes.hlines(group.place, ends[1], ends[3], color=BLUE, linewidth=4.5, zorder=3)
    limits = np.clip([group.low, group.high], 0.0, 1.0)
    axes.plot(limits, [group.place] * 2, marker="|", markersize=9, color=INK, linestyle="none", zorder=4)
    axes.plot(
        [ends[2]],
        [group.place],
        marker="o",
        markersize=4.5,
        color=INK,
        markeredgecolor="white",
        markeredgewidth=0.6,
        linestyle="none",
        zorder=5,
        clip_on=False,
    )


def _range(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low}" if low == high else f"{low} to {high}"
