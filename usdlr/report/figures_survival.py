"""Disease-free survival by risk group: curves with their bands, who is still observed, hazard ratios."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter

from usdlr.core.types import RiskGroup
from usdlr.decision.numbers import (
    EN_DASH,
    count,
    estimate_text,
    finite,
    interval,
    methods_of,
    number,
    plural,
)
from usdlr.decision.wording_survival import FEWEST_THIN, caption_causal, log_rank_sentence, log_rank_text
from usdlr.report.inputs import StudyInputs
from usdlr.report.style import GROUP_COLOURS, INK, QUIET, RULE, WIDTH_IN, Drawing, draw, heading, note, panel_title

GROUP_DASHES: Mapping[str, Any] = {
    RiskGroup.LR_SLN: "-",
    RiskGroup.HR_SLN_LR_NSLN: (0, (6, 2)),
    RiskGroup.HR_SLN_HR_NSLN: (0, (6, 1.5, 1.5, 1.5)),
    RiskGroup.DEFER: (0, (1.5, 1.5)),
}
_HEIGHT_IN, _ROW_IN = 3.55, 0.17
_REASON_WIDTH = 38
# The line at 1 must not run through the words.
_ON_WHITE: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
_RATIO_TICKS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)


def survival_found(inputs: StudyInputs) -> Mapping[str, Any] | None:
    """What was worked out about survival; None where nothing was, or where it was and could not be."""
    found: Mapping[str, Any] | None = inputs.metrics.get("survival")
    return found if found is not None and found.get("curves", {}).get("groups") else None


def draw_survival(inputs: StudyInputs) -> Drawing | None:
    """Kaplan-Meier curves of the risk groups with numbers at risk, and hazard ratios; None without follow-up."""
    found = survival_found(inputs)
    if found is None:
        return None
    title = inputs.marks.title("Disease-free survival by risk group")
    curves = found["curves"]
    height = _HEIGHT_IN + _ROW_IN * len(curves["groups"])

    def paint(figure: Figure) -> None:
        heading(figure, title)
        top, bottom = 1 - 0.63 / height, (0.62 + _ROW_IN * (len(curves["groups"]) + 1)) / height
        left = figure.add_axes((0.155, bottom, 0.485, top - bottom))
        right = figure.add_axes((0.70, bottom, 0.285, top - bottom))
        panel_title(left, "a", f"Free of disease, n = {plural(found['patients'], 'patient')}")
        _curves(left, curves, found["log_rank"])
        _at_risk(left, curves)
        panel_title(right, "b", "Hazard ratios")
        _ratios(right, found["hazards"])

    return draw("survival", title, _caption(inputs, found), (WIDTH_IN, height), paint)


def survival_points(inputs: StudyInputs) -> pd.DataFrame | None:
    """The curves' steps: ``risk_group months survival low high at_risk``, shares from 0 to 1; None without follow-up.

    ``at_risk`` counts the patients under observation just before each step. Long curves are thinned to what the figure
    shows.
    """
    found = survival_found(inputs)
    if found is None:
        return None
    columns = ("months", "survival", "low", "high", "at_risk")
    parts = [
        pd.DataFrame({"risk_group": group, **{name: curve[name] for name in columns}})
        for group, curve in found["curves"]["groups"].items()
    ]
    return pd.concat(parts, ignore_index=True)


def _caption(inputs: StudyInputs, found: Mapping[str, Any]) -> str:
    few = any(curve["few_from"] is not None for curve in found["curves"]["groups"].values())
    ratios = methods_of(found["hazards"]["ratios"].values())
    methods = "; ".join(ratios)
    adjective = inputs.marks.adjective
    return (
        f"Kaplan-Meier curves by {adjective}risk group, {plural(found['patients'], 'patient')} with "
        f"{plural(found['events'], 'event')}: return of disease or death; each patient once, in the {adjective}group "
        "of the worse side. Months from surgery. Shaded: pointwise 95 % band (log-log scale, Greenwood's variance). "
        "Small upright marks: end of observation without an event."
        + (f" Thin from where fewer than {FEWEST_THIN} patients are under observation." if few else "")
        + f" Underneath: patients under observation. {log_rank_sentence(found['log_rank'], adjective)} "
        + (
            f"Hazard ratios to the {adjective}group {found['hazards']['reference']} with 95 % intervals on a log "
            f"scale: {methods}. "
            if ratios
            else ""
        )
        + caption_causal(adjective=adjective)
    )


def _curves(axes: Axes, curves: Mapping[str, Any], test: Mapping[str, Any]) -> None:
    ends = [curve["end"] for curve in curves["groups"].values()]
    longest = max([*ends, curves["ticks"][-1] if curves["ticks"] else 0.0, 1.0])
    for group, curve in curves["groups"].items():
        colour, dashes = GROUP_COLOURS[group], GROUP_DASHES[group]
        months = np.append(curve["months"], curve["end"])
        share = {key: 100 * np.append(curve[key], curve[key][-1]) for key in ("survival", "low", "high")}
        axes.fill_between(
            months, share["low"], share["high"], step="post", color=colour, alpha=0.16, linewidth=0, zorder=1
        )
        few = curve["few_from"]
        for thin, part in _parts(months, share["survival"], few):
            axes.plot(
                *part,
                drawstyle="steps-post",
                color=colour,
                linestyle=dashes,
                linewidth=0.8 if thin else 1.9,
                zorder=3,
                label=None if thin else f"{group}, n = {count(curve['n'])}",
            )
        left = curve["censored"]
        axes.plot(
            left["months"],
            100 * np.asarray(left["survival"], dtype=np.float64),
            linestyle="none",
            marker="|",
            markersize=4.2,
            markeredgewidth=0.6,
            color=colour,
            zorder=4,
        )
    axes.set(xlim=(0, longest), ylim=(0, 101.5), ylabel="Free of disease (% of patients)", xlabel="Months from surgery")
    axes.set_xticks(curves["ticks"], [f"{tick:g}" for tick in curves["ticks"]])
    axes.grid(axis="y", color=RULE, linewidth=0.4, zorder=0)
    handles, labels = axes.get_legend_handles_labels()
    legend = axes.legend(
        handles,
        labels,
        loc="lower left",
        handlelength=3.6,
        borderaxespad=0.4,
        labelspacing=0.35,
        alignment="left",
        title=log_rank_text(test),
        title_fontsize=7.2,
    )
    legend.set_zorder(5)


def _parts(months: Any, share: Any, few_from: float | None) -> list[tuple[bool, tuple[Any, Any]]]:
    """A curve up to where few are left, and beyond; both hold the point where they meet."""
    if few_from is None:
        return [(False, (months, share))]
    at = float(share[max(0, int(np.searchsorted(months, few_from, side="right")) - 1)])
    early, late = months <= few_from, months >= few_from
    first = np.append(months[early], few_from), np.append(share[early], at)
    second = np.insert(months[late], 0, few_from), np.insert(share[late], 0, at)
    return [(False, first), (True, second)]


def _at_risk(axes: Axes, curves: Mapping[str, Any]) -> None:
    """The table under the axis: one row per group, its numbers under the ticks."""
    below = axes.get_xaxis_transform()
    inches = float(axes.get_position().height * axes.figure.get_figure().get_size_inches()[1])  # type: ignore[union-attr]  # axes stand in a figure
    row = _ROW_IN / inches
    start = -0.47 / inches
    axes.text(-0.05, start, "At risk", transform=axes.transAxes, ha="right", va="center", fontsize=7.2, color=QUIET)
    for position, (group, curve) in enumerate(curves["groups"].items(), start=1):
        height = start - position * row
        axes.text(-0.05, height, group, transform=axes.transAxes, ha="right", va="center", fontsize=7.2, color=INK)
        for tick, n in zip(curves["ticks"], curve["at_risk_at_ticks"], strict=True):
            axes.text(
                tick,
                height,
                count(n),
                transform=below,
                ha="center",
                va="center",
                fontsize=7.2,
                color=INK,
            )


def _ratios(axes: Axes, hazards: Mapping[str, Any]) -> None:
    ratios = dict(hazards["ratios"])
    known = {name: ratio for name, ratio in ratios.items() if finite(ratio.get("value")) is not None}
    if not ratios:
        note(axes, "nothing to compare")
        return
    ends = [finite(ratio.get(key)) for ratio in known.values() for key in ("low", "value", "high")]
    low = min([0.5, *(end for end in ends if end is not None and end > 0)])
    high = max([2.0, *(end for end in ends if end is not None)])
    axes.set_xscale("log")
    axes.set(xlim=(low / 1.25, high * 1.25), ylim=(len(ratios) - 0.35, -0.75))
    axes.set_xlabel(f"Hazard ratio to {hazards['reference']}")
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in _RATIO_TICKS if low / 1.25 <= tick <= high * 1.25]))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
    axes.xaxis.set_major_formatter("{x:g}")
    axes.axvline(1.0, color=QUIET, linewidth=0.8, linestyle=(0, (1, 2)))
    for position, (name, ratio) in enumerate(ratios.items()):
        value = finite(ratio.get("value"))
        said = estimate_text(ratio) if value is not None else ""
        for place, side, words in ((0.0, "left", name), (1.0, "right", said)):
            axes.text(
                place,
                position - 0.28,
                words,
                transform=axes.get_yaxis_transform(),
                va="center",
                ha=side,
                fontsize=7.4,
                bbox=_ON_WHITE,
            )
        if value is None:
            why = fill(f"not estimable: {str(ratio.get('method', '')).removeprefix('undefined: ')}", _REASON_WIDTH)
            axes.text(
                0.0,
                position - 0.14,
                why,
                transform=axes.get_yaxis_transform(),
                va="top",
                fontsize=6.6,
                color=QUIET,
                bbox=_ON_WHITE,
            )
            continue
        ends = [finite(ratio.get("low")), finite(ratio.get("high"))]
        if ends[0] is not None and ends[1] is not None:
            axes.hlines(position, ends[0], ends[1], color=GROUP_COLOURS[name], linewidth=2.0, zorder=2)
        axes.plot(
            [value], [position], marker="o", markersize=6.0, color=GROUP_COLOURS[name], linestyle="none", zorder=3
        )
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def ratio_text(ratio: Mapping[str, Any]) -> str:
    """A hazard ratio with its interval, or a dash."""
    value = finite(ratio.get("value"))
    return EN_DASH if value is None else f"{number(value)} ({interval(ratio.get('low'), ratio.get('high'))})"
