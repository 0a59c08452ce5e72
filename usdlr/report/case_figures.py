"""The drawing of one axilla's page: the cascade as two steps, and what every block adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from usdlr.core.regions import block_words
from usdlr.core.types import Stage
from usdlr.decision.explanation import BlockShare, Explanation, StageExplanation
from usdlr.decision.wording import P_NSLN, P_SLN, percent
from usdlr.decision.wording_explanation import NOT_REACHED, interval_words, signed, threshold_words
from usdlr.report.figures_heatmap import LOWERS, RAISES
from usdlr.report.style import GRID, INK, PALE, QUIET, RULE, WIDTH_IN, Drawing, draw

_STEPS: Mapping[Stage, tuple[str, str]] = {
    Stage.SLN: ("Step 1", P_SLN),
    Stage.NSLN: ("Step 2", P_NSLN),
}
_OTHER_WORDS = {
    "radiomics": "radiomics and size",
    "clinical": "clinical values",
    "elasto": "elastography altogether",
    "bmode": "B-mode altogether",
}
_ROW_IN = 0.17


def share_words(name: str) -> str:
    """A block of an explanation in words.

    Examples
    --------
    >>> share_words("elasto.peritumoral"), share_words("radiomics")
    ('elastography, ring', 'radiomics and size')
    """
    return _OTHER_WORDS.get(name) or block_words(name)


def reached(explanation: Explanation, stage: Stage) -> bool:
    """Whether a stage's answer counted."""
    return stage is Stage.SLN or explanation.stage_reached is Stage.NSLN


def answer_figure(explanation: Explanation) -> Drawing:
    """The cascade as two steps, and below what every block adds to the stages that were reached.

    A step is a line from 0 to 100 % with probability, interval and threshold, or says *not reached*; a block's share is
    a signed bar.
    """
    stages = [found for found in explanation.stages if reached(explanation, found.stage)]
    rows = max(len(found.blocks) for found in stages)
    bars, steps = _ROW_IN * rows, 0.46
    height = 0.35 + bars + 0.56 + steps + 0.40

    def paint(figure: Figure) -> None:
        for place, found in enumerate(explanation.stages):
            low = (0.35 + bars + 0.56) / height
            axes = figure.add_axes((0.03 + 0.50 * place, low, 0.44, steps / height))
            _step(axes, found, there=reached(explanation, found.stage))
        wide = (0.80 - 0.04 * (len(stages) - 1)) / len(stages)
        limit = max([abs(one.adds) for found in stages for one in found.blocks if one.adds is not None] or [0.0])
        for place, found in enumerate(stages):
            axes = figure.add_axes((0.18 + place * (wide + 0.04), 0.35 / height, wide, bars / height))
            _bars(axes, found.blocks, max(limit, 0.1), names=place == 0)
            title = f"{_STEPS[found.stage][0]}: base {signed(found.base)}, sum {signed(found.logit)}"
            axes.set_title(title, pad=3.0)

    caption = (
        "Above: probability with its 90 % interval, which is about the estimate, and threshold (dashed). Below: exact "
        "Shapley shares of the calibrated log-odds; full bars raise the probability, hatched ones lower it."
    )
    return draw("answer", f"The cascade and its parts: {explanation.group}", caption, (WIDTH_IN, height), paint)


def _step(axes: Axes, found: StageExplanation, *, there: bool) -> None:
    title, label = _STEPS[found.stage]
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    ticks = np.linspace(0, 1, 6)
    axes.set_xticks(ticks, [f"{100 * tick:.0f} %" for tick in ticks])
    axes.set_title(f"{title}: {label}", color=INK if there else QUIET, pad=15.0)
    if not there:
        axes.set_facecolor(PALE)
        axes.text(0.5, 0.5, NOT_REACHED, ha="center", va="center", color=QUIET, fontsize=10, fontstyle="italic")
        return
    axes.add_patch(Rectangle((found.threshold, 0), 1 - found.threshold, 1, color=GRID, linewidth=0, zorder=0))
    axes.plot(
        [found.low, found.high], [0.5, 0.5], color=INK, linewidth=4.5, alpha=0.45, solid_capstyle="butt", zorder=3
    )
    axes.plot([found.probability], [0.5], marker="o", markersize=8, color=INK, zorder=4)
    axes.axvline(found.threshold, color=INK, linestyle=(0, (4, 2)), linewidth=1.2, zorder=2)
    words = f"{percent(found.probability)} ({interval_words(found)}), threshold {threshold_words(found)}"
    axes.text(0, 1.08, words, transform=axes.transAxes, ha="left", va="bottom", fontsize=7.4)


def _bars(axes: Axes, shares: Sequence[BlockShare], limit: float, *, names: bool) -> None:
    places = np.arange(len(shares))[::-1]
    axes.set_xlim(-1.45 * limit, 1.45 * limit)
    axes.set_ylim(-0.6, len(shares) - 0.4)
    axes.set_yticks(places, [share_words(one.name) for one in shares] if names else [""] * len(shares))
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=RULE, linewidth=0.8, zorder=1)
    axes.set_xlabel("log-odds (nat)", labelpad=0.5)
    for place, one in zip(places.tolist(), shares, strict=True):
        if one.adds is None:
            axes.text(
                0.03 * limit, place, "absent", ha="left", va="center", color=QUIET, fontsize=7, fontstyle="italic"
            )
            continue
        raises = one.adds >= 0
        axes.barh(
            place,
            one.adds,
            height=0.56,
            color=RAISES if raises else "white",
            edgecolor=RAISES if raises else LOWERS,
            hatch="" if raises else "/////",
            linewidth=0.9,
            zorder=2,
        )
        side = 1 if raises else -1
        axes.text(
            one.adds + side * 0.03 * limit,
            place,
            signed(one.adds),
            ha="left" if raises else "right",
            va="center",
            fontsize=7,
        )
