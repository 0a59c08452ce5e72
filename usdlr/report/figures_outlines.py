"""Figures of outlines by software: Dice, strata of size, diameters, found against false, score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from usdlr.decision import wording_outlines as words
from usdlr.decision.numbers import number, p_words
from usdlr.report.style import BLUE, INK, ORANGE, QUIET, VERMILLION, WIDTH_IN, Drawing, draw, heading, panel_title

BINS = np.linspace(0, 1, 21)
_QUALITIES = (("dice", "Dice"), ("average_hausdorff_mm", "Average Hausdorff distance (mm)"))


def dice_figure(source: str, images: pd.DataFrame, target: float | None = None) -> Drawing | None:
    """Images by their Dice, with the mean and the target where there is one; None without an image of a lesion."""
    values = images.loc[images["lesions"] > 0, "dice"].to_numpy(dtype=np.float64)
    if not len(values):
        return None
    title = f"Dice of every image, {source} (n = {len(values)})"
    caption = words.HISTOGRAM_CAPTION
    if target is not None:
        caption = f"{caption} {words.TARGET_CAPTION.format(target=number(target))}"

    def paint(figure: Figure) -> None:
        heading(figure, title)
        axes = figure.add_axes((0.09, 0.17, 0.88, 0.68))
        axes.hist(values, bins=list(BINS), color=BLUE, edgecolor="white", linewidth=0.5)
        axes.axvline(float(values.mean()), color=VERMILLION, linewidth=1.6)
        if target is not None:
            axes.axvline(target, color=INK, linewidth=1.2, linestyle="--")
        axes.set(xlabel="Dice with the reader's outline", ylabel="Images", xlim=(0, 1))

    return draw(f"dice_{source}", title, caption, (WIDTH_IN, 2.6), paint)


def strata_figure(source: str, objects: pd.DataFrame, metrics: Mapping[str, Any]) -> Drawing | None:
    """Dice and average Hausdorff distance of found lesions by short axis; None without millimetres."""
    rows = metrics.get("strata")
    found = objects[(objects["kind"] == "reference") & (objects["outcome"] == "found")]
    found = found.dropna(subset=["short_axis_mm"])
    if not rows or found.empty:
        return None
    size = np.floor(found["short_axis_mm"].to_numpy(dtype=np.float64) + 0.5)
    names = [str(row["stratum"]) for row in rows]
    inside = [_within(name, size) for name in names]
    title = f"Quality by short axis, {source}"
    tests = metrics.get("strata_tests") or {}
    told = "; ".join(
        f"{label}: Kruskal-Wallis {p_words(tests[name]['p_value'])}"
        for name, label in _QUALITIES
        if tests.get(name, {}).get("p_value") is not None
    )

    def paint(figure: Figure) -> None:
        heading(figure, title)
        panels = figure.subplots(1, 2)
        figure.subplots_adjust(left=0.08, right=0.985, bottom=0.2, top=0.8, wspace=0.25)
        for letter, axes, (name, label) in zip("ab", panels, _QUALITIES, strict=True):
            panel_title(axes, letter, label)
            values = [found.loc[hit, name].to_numpy(dtype=np.float64) for hit in inside]
            axes.boxplot(
                values, medianprops={"color": VERMILLION}, boxprops={"color": INK}, flierprops={"markersize": 2.5}
            )
            ticks = [f"{name}\nn = {len(one)}" for name, one in zip(names, values, strict=True)]
            axes.set_xticks(range(1, len(names) + 1), ticks)
            axes.tick_params(colors=QUIET, labelcolor=INK)

    return draw(f"strata_{source}", title, words.STRATA_CAPTION.format(tests=told), (WIDTH_IN, 3.0), paint)


def diameter_figure(source: str, images: pd.DataFrame, metrics: Mapping[str, Any]) -> Drawing | None:
    """Bland and Altman's plot of the longest diameter; None without millimetres."""
    sized = images.dropna(subset=["reader_mm", "software_mm"])
    agreement = metrics.get("diameters")
    if sized.empty or not agreement or agreement["bias"]["value"] is None:
        return None
    reader, software = (sized[name].to_numpy(dtype=np.float64) for name in ("reader_mm", "software_mm"))
    title = f"Longest diameter, software against reader, {source} (n = {len(sized)})"
    ends = [agreement[name]["value"] for name in ("bias", "lower", "upper")]
    numbers = words.agreement_words(ends[0], ends[1], ends[2], agreement["icc_absolute"]["value"])

    def paint(figure: Figure) -> None:
        heading(figure, title)
        axes = figure.add_axes((0.09, 0.17, 0.88, 0.68))
        axes.scatter((reader + software) / 2, software - reader, s=9, color=BLUE, alpha=0.6, linewidths=0)
        for value, line in zip(ends, ("-", "--", "--"), strict=True):
            axes.axhline(value, color=VERMILLION, linestyle=line, linewidth=1.2)
        # Both limits stay clear of the frame, also where no difference lies beyond them.
        axes.margins(y=0.08)
        axes.update_datalim([(float(reader.mean()), value) for value in ends])
        axes.autoscale_view()
        axes.set(xlabel="Mean of both (mm)", ylabel="Software minus reader (mm)")

    return draw(
        f"diameters_{source}", title, words.BLAND_ALTMAN_CAPTION.format(numbers=numbers), (WIDTH_IN, 2.9), paint
    )


def froc_figure(source: str, curve: pd.DataFrame, least_score: float) -> Drawing | None:
    """Lesions found against false ones per image."""
    if curve.empty:
        return None
    title = f"Lesions found against lesions invented, {source}"

    def paint(figure: Figure) -> None:
        heading(figure, title)
        axes = figure.add_axes((0.09, 0.18, 0.88, 0.66))
        axes.step(curve["false_per_image"], curve["recall"], where="post", color=BLUE)
        at = curve[curve["score"] >= least_score]
        if len(at):
            axes.plot(at["false_per_image"].iloc[-1], at["recall"].iloc[-1], "o", color=ORANGE, markeredgecolor=INK)
        axes.set(xlabel="Lesions outlined where there is none, per image", ylabel="Lesions found", ylim=(0, 1.02))
        axes.set_xlim(left=0)

    return draw(f"froc_{source}", title, words.FROC_CAPTION, (WIDTH_IN, 2.7), paint)


def confidence_figure(source: str, images: pd.DataFrame, metrics: Mapping[str, Any]) -> Drawing | None:
    """Dice against the score; None where no score tells anything."""
    known = images[(images["lesions"] > 0)].dropna(subset=["score", "dice"])
    confidence = metrics.get("confidence")
    if known.empty or not confidence:
        return None
    title = f"What the score says of the outline, {source} (n = {len(known)})"
    numbers = words.confidence_words(confidence["spearman"], confidence["thirds"])

    def paint(figure: Figure) -> None:
        heading(figure, title)
        axes: Axes = figure.add_axes((0.09, 0.18, 0.88, 0.66))
        axes.scatter(known["score"], known["dice"], s=9, color=BLUE, alpha=0.6, linewidths=0)
        axes.set(xlabel="Score of the outline", ylabel="Dice with the reader's", ylim=(-0.02, 1.02))

    return draw(f"score_{source}", title, words.CONFIDENCE_CAPTION.format(numbers=numbers), (WIDTH_IN, 2.7), paint)


def _within(stratum: str, size: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which sizes are in a stratum, by its name: ``5-9 mm`` or ``>=15 mm``."""
    text = stratum.removesuffix(" mm")
    if text.startswith(">="):
        return np.asarray(size >= float(text[2:]))
    low, high = map(float, text.split("-"))
    return np.asarray((size >= low) & (size <= high))
