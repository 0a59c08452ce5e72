"""Pictures of outlines: the reader's and the software's on one image."""

from __future__ import annotations

import io
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from usdlr.core.units import Spacing
from usdlr.report.gallery import SCALE_BAR_MM, panel_size_px
from usdlr.report.style import MEASURED_FONT, ORANGE, SKY

_DPI = 144.0


@dataclass(frozen=True, eq=False)
class OutlinePicture:
    """One image with two outlines.

    Parameters
    ----------
    number : int
        Within the page; never a patient's own id.
    image : uint8 array, (rows, columns)
        Grey levels.
    reader, software : bool array, (rows, columns)
        Their lesions; either may be empty.
    spacing : Spacing or None
        In mm; ``None``: no bar is drawn.
    dice : float
        Of the two; not-a-number where the image has no lesion.
    score : float
        The software's; not-a-number where it found nothing.
    """

    number: int
    image: NDArray[np.uint8]
    reader: NDArray[np.bool_]
    software: NDArray[np.bool_]
    spacing: Spacing | None
    dice: float
    score: float


def render_outlines(case: OutlinePicture) -> bytes:
    """A PNG file: the reader's outline solid and orange, the software's dashed and blue, and a bar of 10 mm.

    Equal input gives equal bytes.
    """
    spacing = case.spacing or Spacing(1.0, 1.0)
    width, height = panel_size_px(case.image.shape, spacing)
    with mpl.rc_context({"font.family": [MEASURED_FONT], "font.size": 10.0}):
        figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        rows, columns = case.image.shape
        right, bottom = columns * spacing.col_mm, rows * spacing.row_mm
        axes.imshow(case.image, cmap="gray", vmin=0, vmax=255, extent=(0, right, bottom, 0), aspect="auto")
        _line(axes, case.reader, spacing, ORANGE, "solid")
        _line(axes, case.software, spacing, SKY, "dashed")
        axes.set_xlim(0, right)
        axes.set_ylim(bottom, 0)
        if case.spacing is not None:
            _bar(axes, right, bottom)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=_DPI, metadata={"Software": None})
    return stream.getvalue()


def _line(axes: Axes, mask: NDArray[np.bool_], spacing: Spacing, colour: str, dashes: str) -> None:
    if not mask.any():
        return
    padded = np.pad(mask, 1).astype(float)  # closes the line at the image's edge
    x = (np.arange(padded.shape[1]) - 0.5) * spacing.col_mm
    y = (np.arange(padded.shape[0]) - 0.5) * spacing.row_mm
    drawn = axes.contour(x, y, padded, levels=[0.5], colors=[colour], linestyles=[dashes], linewidths=1.8)
    drawn.set_path_effects([withStroke(linewidth=3.2, foreground="black", alpha=0.5)])


def _bar(axes: Axes, right: float, bottom: float) -> None:
    end, y = 0.965 * right, 0.955 * bottom
    halo = [withStroke(linewidth=4.4, foreground="black", alpha=0.7)]
    ends = [end - SCALE_BAR_MM, end]
    axes.plot(ends, [y, y], color="white", linewidth=2.4, solid_capstyle="butt", path_effects=halo)
    axes.text(end - SCALE_BAR_MM / 2, y - 0.02 * bottom, "10 mm", color="white", ha="center", va="bottom")
