"""Example cases as pictures: contour, ring and scale bar in millimetres, stiffness beside the B-mode image."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from usdlr.core.errors import DataError
from usdlr.core.units import Spacing
from usdlr.report.style import MEASURED_FONT, ORANGE, SKY

SCALE_BAR_MM = 10.0
PANEL_LONG_SIDE_PX = 560
COLOUR_MAP = "viridis"
CONTOUR_COLOUR = ORANGE
RING_COLOUR = SKY

_DPI = 144.0
_GAP_PX, _BAR_PX, _BAR_TEXT_PX = 16, 22, 112
_STIFFNESS_STEP_KPA = 50.0


@dataclass(frozen=True, eq=False)
class GalleryCase:
    """One axilla's image with what was predicted and what was found.

    Parameters
    ----------
    number : int
        Pseudonymous case number within the report; never a patient's own id.
    image : uint8 array, (rows, columns)
        B-mode grey levels.
    lesion : bool array, (rows, columns)
        The lesion.
    ring : bool array, (rows, columns)
        The peritumoral ring; all false where there is none.
    spacing : Spacing
        Millimetres per pixel, rows first.
    group : str
        The cascade's risk group.
    p_sln, p_nsln : float
        P(SLN positive | x) and P(NSLN positive | SLN positive, x).
    sln, nsln : bool or None
        Node status found; ``None``: unknown.
    stiffness : float array, (rows, columns), optional
        Young's modulus in kPa; NaN where the scanner gave no value.
    unit : str
        What the spacing counts: ``mm``, or ``units`` where lengths are relative to the lesion.

    Raises
    ------
    DataError
        If the arrays do not share one grid, or the image is not 8-bit.
    """

    number: int
    image: NDArray[np.uint8]
    lesion: NDArray[np.bool_]
    ring: NDArray[np.bool_]
    spacing: Spacing
    group: str
    p_sln: float
    p_nsln: float
    sln: bool | None
    nsln: bool | None
    stiffness: NDArray[np.floating[Any]] | None = None
    unit: str = "mm"

    def __post_init__(self) -> None:
        if self.image.ndim != 2 or self.image.dtype != np.uint8:
            raise DataError(
                f"gallery case {self.number}: found an image of shape {self.image.shape} and type {self.image.dtype}, "
                "expected 8-bit grey levels (rows, columns); convert it first"
            )
        for name, array in (("lesion", self.lesion), ("ring", self.ring), ("stiffness", self.stiffness)):
            if array is not None and array.shape != self.image.shape:
                raise DataError(
                    f"gallery case {self.number}: found a {name} array of shape {array.shape}, expected the image's "
                    f"{self.image.shape}; bring both onto one grid"
                )


def stiffness_scale_kpa(cases: Iterable[GalleryCase]) -> float:
    """Upper end of the colour bar that all cases share, in kPa: the largest stiffness, rounded up to 50 kPa."""
    highest = 0.0
    for case in cases:
        if case.stiffness is not None and np.isfinite(case.stiffness).any():
            highest = max(highest, float(np.nanmax(case.stiffness)))
    return max(_STIFFNESS_STEP_KPA, _STIFFNESS_STEP_KPA * math.ceil(highest / _STIFFNESS_STEP_KPA))


def panel_size_px(shape: tuple[int, ...], spacing: Spacing) -> tuple[int, int]:
    """Width and height of a picture in screen pixels, in the true proportions of the tissue.

    Examples
    --------
    >>> panel_size_px((100, 100), Spacing(0.1, 0.2))
    (560, 280)
    """
    height_mm, width_mm = shape[0] * spacing.row_mm, shape[1] * spacing.col_mm
    scale = PANEL_LONG_SIDE_PX / max(height_mm, width_mm)
    return max(1, round(width_mm * scale)), max(1, round(height_mm * scale))


def render_case(case: GalleryCase, highest_kpa: float = 300.0) -> bytes:
    """Picture of one case.

    The lesion's contour is a solid line, the outer edge of the ring a dashed one; where stiffness was measured, a
    second picture shows it in colour, opaque, so that its colours are those of the colour bar.

    Parameters
    ----------
    case : GalleryCase
        What to draw.
    highest_kpa : float
        Upper end of the stiffness colour bar.

    Returns
    -------
    bytes
        A PNG file; equal input gives equal bytes.
    """
    width, height = panel_size_px(case.image.shape, case.spacing)
    with_stiffness = case.stiffness is not None
    total = 2 * width + 2 * _GAP_PX + _BAR_PX + _BAR_TEXT_PX if with_stiffness else width
    with mpl.rc_context({"font.family": [MEASURED_FONT], "font.size": 11.0}):
        figure = Figure(figsize=(total / _DPI, height / _DPI), dpi=_DPI)
        axes = figure.add_axes((0.0, 0.0, width / total, 1.0))
        _bmode(axes, case)
        _scale_bar(axes, case)
        if case.stiffness is not None:
            beside = figure.add_axes(((width + _GAP_PX) / total, 0.0, width / total, 1.0))
            _bmode(beside, case)
            shown = beside.imshow(
                np.ma.masked_invalid(case.stiffness),
                cmap=COLOUR_MAP,
                vmin=0.0,
                vmax=highest_kpa,
                extent=_extent(case),
                interpolation="nearest",
                zorder=1.5,
            )
            bar = figure.add_axes(((2 * (width + _GAP_PX)) / total, 0.08, _BAR_PX / total, 0.84))
            figure.colorbar(shown, cax=bar, label="Stiffness (kPa)").locator = MaxNLocator(5, integer=True)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=_DPI, metadata={"Software": None})
    return stream.getvalue()


def _extent(case: GalleryCase) -> tuple[float, float, float, float]:
    rows, columns = case.image.shape
    return 0.0, columns * case.spacing.col_mm, rows * case.spacing.row_mm, 0.0


def _bmode(axes: Axes, case: GalleryCase) -> None:
    axes.set_axis_off()
    extent = _extent(case)
    axes.imshow(
        case.image, cmap="gray", vmin=0, vmax=255, extent=extent, aspect="auto", interpolation="bilinear", zorder=1
    )
    if case.ring.any():
        _outline(axes, case.ring | case.lesion, case, RING_COLOUR, "dashed")
    _outline(axes, case.lesion, case, CONTOUR_COLOUR, "solid")
    axes.set_xlim(extent[0], extent[1])
    axes.set_ylim(extent[2], extent[3])


def _outline(axes: Axes, region: NDArray[np.bool_], case: GalleryCase, colour: str, line: str) -> None:
    """The border of a region, through the middle between pixel centres; the padding closes it at the image's edge."""
    if not region.any():
        return
    padded = np.pad(region, 1).astype(float)
    x = (np.arange(padded.shape[1]) - 0.5) * case.spacing.col_mm
    y = (np.arange(padded.shape[0]) - 0.5) * case.spacing.row_mm
    drawn = axes.contour(x, y, padded, levels=[0.5], colors=[colour], linestyles=[line], linewidths=2.0, zorder=2)
    drawn.set_path_effects([withStroke(linewidth=3.6, foreground="black", alpha=0.55)])


def _scale_bar(axes: Axes, case: GalleryCase) -> None:
    _, width, height, _ = _extent(case)
    length = SCALE_BAR_MM if width > 1.2 * SCALE_BAR_MM else 1.0
    right, y = 0.965 * width, 0.955 * height
    halo = [withStroke(linewidth=4.6, foreground="black", alpha=0.7)]
    axes.plot(
        [right - length, right],
        [y, y],
        color="white",
        linewidth=2.6,
        solid_capstyle="butt",
        path_effects=halo,
        zorder=3,
    )
    # Ending with the bar: centred over a short one, the words would leave the picture.
    axes.text(
        right,
        y - 0.02 * height,
        f"{length:.0f} {case.unit}",
        color="white",
        ha="right",
        va="bottom",
        zorder=3,
        path_effects=[withStroke(linewidth=2.2, foreground="black", alpha=0.8)],
    )
