"""Heat maps as pictures: the crop with contour and ring, and beside it what each image block adds where."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from usdlr.core.errors import DataError
from usdlr.core.regions import block_words
from usdlr.core.types import Stage
from usdlr.report.style import BLUE, MEASURED_FONT, ORANGE, SKY, VERMILLION

RAISES, LOWERS = VERMILLION, BLUE
PANEL_PX, GAP_PX = 288, 8
# A case none of whose maps moves the log-odds by this much in all (nat) stays the paler the less they move; 0.3 nat
# changes odds by a factor of 1.35.
LEAST_FULL = 0.3
# Full colour hides this much of the image underneath.
MOST_OPAQUE = 0.75
_DPI = 144.0
COLUMNS = ("case", "stage", "panel", "block", "adds", "inside", "full_colour", "probability", "found")


@dataclass(frozen=True, eq=False)
class HeatPanel:
    """One image block's map on the crop.

    Parameters
    ----------
    block : str
        Image block, ``{modality}.{region}``.
    values : float array, (size, size)
        Log-odds per mm²; above zero raises the risk. Zero outside the block's region.
    adds : float
        What the whole map adds to the log-odds.
    inside : float
        Share of the map's absolute values inside the region, 0 to 1.
    """

    block: str
    values: NDArray[np.floating[Any]]
    adds: float
    inside: float = 1.0


@dataclass(frozen=True, eq=False)
class HeatCase:
    """One image of an axilla with what each image block adds to one stage's log-odds.

    Parameters
    ----------
    number : int
        Pseudonymous number within the stage; never a patient's own id.
    stage : Stage
        Which question.
    crop : float array, (size, size)
        B-mode grey levels 0 to 255 of the crop that the network read; not-a-number where there is no image.
    lesion, ring : bool array, (size, size)
        The lesion and the peritumoral ring; the ring all false where there is none.
    panels : sequence of HeatPanel
        In the order in which they are drawn.
    probability : float
        Calibrated, of the stage's positive class.
    found : bool or None
        Node status found; ``None``: unknown.
    unit : str
        ``mm``, or ``units`` where lengths are relative to the lesion.
    area : float or None
        Of the whole crop in mm² (square units); ``None``: worked out from the panels, see :meth:`crop_area`.

    Raises
    ------
    DataError
        If the arrays do not share one grid.
    """

    number: int
    stage: Stage
    crop: NDArray[np.floating[Any]]
    lesion: NDArray[np.bool_]
    ring: NDArray[np.bool_]
    panels: Sequence[HeatPanel]
    probability: float
    found: bool | None
    unit: str = "mm"
    area: float | None = None

    def __post_init__(self) -> None:
        for name, array in (("lesion", self.lesion), ("ring", self.ring), *((p.block, p.values) for p in self.panels)):
            if array.shape != self.crop.shape:
                raise DataError(
                    f"heat map {self.name}: found {name} of shape {array.shape}, expected the crop's "
                    f"{self.crop.shape}; bring both onto one grid"
                )

    @property
    def name(self) -> str:
        """Stem of its file."""
        return f"heatmap_{self.stage}_{self.number}"

    def crop_area(self) -> float | None:
        """Area of the crop in mm² (square units): as stated, else from what the panels' densities add up to.

        The panel with the largest share inside its region tells it: what it adds inside, over the sum of its densities,
        is the area of a pixel; exactly so where nothing lies outside. ``None`` where no panel tells.
        """
        if self.area is not None:
            return self.area
        for panel in sorted(self.panels, key=lambda one: -one.inside):
            summed = float(np.sum(panel.values))
            pixel = panel.adds * panel.inside / summed if summed else 0.0
            if np.isfinite(pixel) and pixel > 0:
                return pixel * self.crop.size
        return None


def full_colour(case: HeatCase) -> float:
    """The log-odds per mm² of full colour, common to a case's panels.

    The 99th percentile of what is not zero: a single hot pixel would otherwise leave all others pale, and lesions of
    different size have no common scale. Where no map moves the log-odds by :data:`LEAST_FULL` (its absolute values
    summed), the scale is stretched by what is lacking: a map that adds next to nothing would otherwise be as colourful
    as one that decides.
    """
    joined = np.concatenate([np.abs(panel.values[panel.values != 0]) for panel in case.panels] or [np.zeros(0)])
    if not joined.size:
        return 1.0
    area, usual = case.crop_area(), float(np.percentile(joined, 99))
    if not area:
        return usual
    strongest = max(float(np.abs(panel.values).sum()) for panel in case.panels) * area / case.crop.size
    return usual * max(1.0, LEAST_FULL / strongest)


def panel_words(case: HeatCase) -> list[str]:
    """What every panel of the picture shows, from left to right.

    Examples
    --------
    >>> flat = np.zeros((2, 2))
    >>> none = np.zeros((2, 2), bool)
    >>> panel = HeatPanel("elasto.peritumoral-3mm@axilla", flat, -0.126)
    >>> panel_words(HeatCase(1, Stage.SLN, flat, none, none, [panel], 0.2, None))
    ['the crop', 'elastography, ring of 3 mm (lymph node) −0.13']
    """
    return ["the crop", *(f"{block_words(panel.block)} {_signed(panel.adds)}" for panel in case.panels)]


def render_heat(case: HeatCase) -> bytes:
    """Picture of one case, without a word in it: panels side by side, the crop first.

    The lesion's contour is a solid line, the outer edge of the ring a dashed one. Vermillion raises the log-odds, blue
    lowers them; the colour is the fuller, the more a square millimetre adds, see :func:`full_colour`.

    Parameters
    ----------
    case : HeatCase
        What to draw.

    Returns
    -------
    bytes
        A PNG file; equal input gives equal bytes.
    """
    count, full = 1 + len(case.panels), full_colour(case)
    width = count * PANEL_PX + (count - 1) * GAP_PX
    with mpl.rc_context({"font.family": [MEASURED_FONT]}):
        figure = Figure(figsize=(width / _DPI, PANEL_PX / _DPI), dpi=_DPI)
        for place in range(count):
            axes = figure.add_axes((place * (PANEL_PX + GAP_PX) / width, 0.0, PANEL_PX / width, 1.0))
            _panel(axes, case, None if place == 0 else case.panels[place - 1], full)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=_DPI, metadata={"Software": None})
    return stream.getvalue()


def heat_table(cases: Sequence[HeatCase]) -> pd.DataFrame:
    """The numbers behind the pictures, a row per panel; no patient.

    Returns
    -------
    DataFrame
        ``case stage panel block adds inside full_colour probability found``: ``adds`` is what the block's map adds to
        the log-odds, ``inside`` the share of it inside the region, ``full_colour`` the log-odds per mm² of full colour.
    """
    rows = [
        (
            case.number,
            str(case.stage),
            place,
            panel.block,
            panel.adds,
            panel.inside,
            full_colour(case),
            case.probability,
            pd.NA if case.found is None else int(case.found),
        )
        for case in cases
        for place, panel in enumerate(case.panels, start=2)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _panel(axes: Axes, case: HeatCase, panel: HeatPanel | None, full: float) -> None:
    axes.set_axis_off()
    rows, cols = case.crop.shape
    extent = (0.0, float(cols), float(rows), 0.0)
    grey = np.nan_to_num(case.crop, nan=0.0)
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, extent=extent, aspect="auto", interpolation="bilinear", zorder=1)
    if panel is not None:
        shown = overlay(panel.values, full)
        axes.imshow(shown, extent=extent, aspect="auto", interpolation="nearest", zorder=1.5)
    if case.ring.any():
        _outline(axes, case.ring | case.lesion, SKY, "dashed")
    _outline(axes, case.lesion, ORANGE, "solid")
    axes.set_xlim(0.0, cols)
    axes.set_ylim(rows, 0.0)


def overlay(values: NDArray[np.floating[Any]], full: float) -> NDArray[np.float64]:
    """Colours of a map, (rows, columns, red green blue alpha), each 0 to 1; zero is fully transparent."""
    strength = np.clip(np.abs(values) / full, 0.0, 1.0)
    colour = np.where((values > 0)[..., None], to_rgb(RAISES), to_rgb(LOWERS))
    return np.concatenate([colour, (MOST_OPAQUE * strength)[..., None]], axis=-1)


def _outline(axes: Axes, region: NDArray[np.bool_], colour: str, line: str) -> None:
    """The border of a region, between pixel centres; the padding closes it at the crop's edge."""
    if not region.any():
        return
    padded = np.pad(region, 1).astype(float)
    x, y = np.arange(padded.shape[1]) - 0.5, np.arange(padded.shape[0]) - 0.5
    drawn = axes.contour(x, y, padded, levels=[0.5], colors=[colour], linestyles=[line], linewidths=1.6, zorder=2)
    drawn.set_path_effects([withStroke(linewidth=2.8, foreground="black", alpha=0.55)])


def _signed(value: float) -> str:
    """Two significant digits: what hardly counts is said to hardly count, not to add nothing.

    Examples
    --------
    >>> _signed(0.000524), _signed(0.4), _signed(1.26), _signed(0.0)
    ('+0.00052', '+0.40', '+1.3', '0')
    """
    if not np.isfinite(value):
        return f"{value}"
    if value == 0:
        return "0"
    first = math.floor(math.log10(abs(float(f"{value:.1e}"))))
    return f"{value:+.{max(0, 1 - first)}f}".replace("-", "\N{MINUS SIGN}")
