"""Figures of shift: how far columns lie from the training patients, and what the model answers here and there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from usdlr.core.errors import ConfigError
from usdlr.core.types import Stage
from usdlr.decision.numbers import finite, plural
from usdlr.evaluation.balance import DESCRIBED
from usdlr.radiomics.catalogue.features import describe
from usdlr.report.style import (
    GRID,
    INK,
    MODEL_COLOUR,
    QUIET,
    RULE,
    VERMILLION,
    WIDTH_IN,
    Drawing,
    draw,
    heading,
    note,
    panel_title,
)
from usdlr.report.tables import Marks

MOST = 15
SMALL = 0.1
_ROW_IN = 0.2
_LONGEST = 80
_TITLES = {one.name: f"{one.title} ({one.unit})" if one.unit else one.title for one in DESCRIBED}


def column_words(column: str) -> str:
    """A column in plain words.

    Examples
    --------
    >>> column_words("age_years"), column_words("bmode.intratumoral.original.firstorder.Mean")
    ('Age (years)', 'B-mode, inside the lesion: mean brightness (grey value)')
    """
    if column in _TITLES:
        return _TITLES[column]
    try:
        return describe(column)
    except ConfigError:
        return column


def farthest(entries: Sequence[Mapping[str, Any]], most: int = MOST) -> list[Mapping[str, Any]]:
    """The columns that differ most, the largest standardised difference first; those without one are left out."""
    known = [one for one in entries if finite(one["difference"]["value"]) is not None]
    return sorted(known, key=lambda one: -abs(float(one["difference"]["value"])))[:most]


def difference_figure(shift: Mapping[str, Any], marks: Marks) -> Drawing | None:
    """Standardised differences of the case mix and of the radiomics columns that differ most; None without any."""
    case = farthest(shift["case_mix"]["numbers"])
    images = farthest(shift["features"])
    rows = [*case, *images]
    if not rows:
        return None
    title = marks.title("Standardised difference, patients here minus training patients")
    tested = sum(finite(one["p"]) is not None for one in shift["features"])
    caption = (
        f"Mean here minus mean of the training patients, in units of their spread, with 95 % intervals; "
        f"{plural(shift['patients'], 'patient')} here, {shift['reference']['patients']} there. Above: clinical "
        "columns. "
        f"Below: the {len(images)} of {plural(len(shift['features']), 'radiomics column')} that differ most, which "
        "chance "
        f"makes larger than one picked beforehand. Filled: differs after Holm's correction for {tested} tests (P at "
        "most "
        "0.05). Shaded: up to 0.1, by convention small."
    )
    height = 0.95 + _ROW_IN * len(rows) + (0.12 if case and images else 0.0)
    ends = [abs(float(one["difference"][end])) for one in rows for end in ("low", "high")]
    reach = max(0.5, *ends) * 1.06

    def paint(figure: Figure) -> None:
        heading(figure, title)
        axes = figure.subplots(1, 1)
        figure.subplots_adjust(left=0.56, right=0.97, bottom=0.42 / height, top=1 - 0.4 / height)
        axes.axvspan(-SMALL, SMALL, color=GRID, zorder=0)
        axes.axvline(0.0, color=QUIET, linewidth=0.8, zorder=1)
        places = np.arange(len(rows)) + np.where(np.arange(len(rows)) >= len(case), 0.6 if case else 0.0, 0.0)
        for place, one in zip(places, rows, strict=True):
            gap = one["difference"]
            axes.plot([gap["low"], gap["high"]], [place, place], color=MODEL_COLOUR, linewidth=1.2, zorder=2)
            sure = finite(one["holm"]) is not None and one["holm"] <= 0.05
            face = MODEL_COLOUR if sure else "white"
            axes.plot([gap["value"]], [place], "o", color=MODEL_COLOUR, markerfacecolor=face, markersize=4.2, zorder=3)
        axes.set(xlim=(-reach, reach), ylim=(places[-1] + 0.7, -0.7), xlabel="Standardised difference (SD)")
        axes.set_yticks(places, [shorten(column_words(str(one["column"])), _LONGEST, placeholder=" …") for one in rows])
        axes.tick_params(axis="y", length=0, labelsize=6.8)
        axes.spines["left"].set_visible(False)

    return draw("shift_differences", title, caption, (WIDTH_IN, height), paint)


def log_odds_figure(shift: Mapping[str, Any], marks: Marks) -> Drawing | None:
    """Patients by predicted log-odds, here and among tuning patients; None where nothing was counted."""
    found = {stage: shift["log_odds"].get(str(stage)) for stage in Stage}
    if not any(one and len(one["reference"]) > 1 for one in found.values()):
        return None
    title = marks.title("Predicted log-odds, patients here and tuning patients")
    caption = (
        "Share of patients between the ends shown, which divide the tuning patients into equal parts as far as values "
        f"differ; {plural(shift['patients'], 'patient')} here, {shift['reference']['held']} there. Both axillae of a "
        "patient are averaged. NSLN stage: log-odds given a positive sentinel node, of every patient."
    )

    def paint(figure: Figure) -> None:
        heading(figure, title)
        axes = figure.subplots(1, 2)
        figure.subplots_adjust(left=0.085, right=0.985, bottom=0.24, top=0.76, wspace=0.22)
        for letter, panel, (stage, one) in zip("ab", axes, found.items(), strict=True):
            panel_title(panel, letter, f"{str(stage).upper()} stage")
            _bars(panel, one)

    return draw("shift_log_odds", title, caption, (WIDTH_IN, 2.9), paint)


def _bars(axes: Axes, one: Mapping[str, Any] | None) -> None:
    if not one or len(one["reference"]) < 2 or not sum(one["here"]):
        note(axes, "Too few patients to divide.")
        return
    edges = [float(edge) for edge in one["edges"]]
    shares = [np.array(one[name], dtype=float) / max(sum(one[name]), 1) * 100 for name in ("reference", "here")]
    at = np.arange(len(shares[0]))
    axes.bar(at - 0.2, shares[0], 0.38, color=RULE, edgecolor=QUIET, linewidth=0.5, label="Tuning patients")
    axes.bar(at + 0.2, shares[1], 0.38, color=VERMILLION, edgecolor=INK, linewidth=0.5, hatch="///", label="Here")
    axes.set_xticks(np.arange(len(edges)) + 0.5, [f"{edge:.1f}".replace("-", "\N{MINUS SIGN}") for edge in edges])
    axes.set(xlabel="Log-odds (nat)", ylabel="Patients (%)", xlim=(-0.6, len(at) - 0.4))
    axes.legend(loc="upper left", bbox_to_anchor=(0.0, 1.02), ncols=2, handlelength=1.2, borderaxespad=0.0)
    axes.set_ylim(0, float(max(share.max() for share in shares)) * 1.22)
