"""Stiffness as a scanner shows it: colours over the grey image, and the bar that explains them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from usdlr.imaging.palettes import Palette
from usdlr.simulate.acquired import Grey, Map

Colours = npt.NDArray[np.uint8]

# Steps of the scale: finer than what eight bits per channel can show of any palette.
STEPS = 4096


def as_colours(grey: Grey) -> Colours:
    """A grey picture as red, green and blue, shape (rows, cols, 3)."""
    return np.repeat(grey[..., None], 3, axis=2)


def blend_overlay(grey: Grey, elastogram: Map, palette: Palette, opacity: float, high: float) -> Colours:
    """The grey picture with stiffness laid over it, shape (rows, cols, 3): red, green, blue.

    Parameters
    ----------
    grey : uint8 array, (rows, cols)
        B-mode image.
    elastogram : float32 array, (rows, cols)
        Stiffness from 0 to ``high``; NaN where there is no value: the grey shows through unaltered there.
    palette : Palette
        Place 0 stands for 0, place 1 for ``high``; values beyond take the end's colour.
    opacity : float
        Share of the colour, from 0 to 1.
    high : float
        Value at the upper end of the colour bar, in the elastogram's unit.

    Examples
    --------
    >>> from usdlr.imaging.palettes import PALETTES
    >>> grey = np.full((1, 2), 100, dtype=np.uint8)
    >>> blend_overlay(grey, np.array([[np.nan, 400.0]], np.float32), PALETTES["blue_to_red"], 0.5, 300.0).tolist()
    [[[100, 100, 100], [178, 50, 50]]]
    """
    shown = as_colours(grey)
    valid = np.isfinite(elastogram)
    places = np.clip(elastogram[valid] / np.float32(high), 0, 1)
    colours = palette.colours(STEPS)[np.rint(places * (STEPS - 1)).astype(np.intp)]
    under = grey[valid][:, None].astype(np.float32)
    shown[valid] = np.rint(np.float32(opacity) * colours + np.float32(1 - opacity) * under).astype(np.uint8)
    return shown


def colour_bar(palette: Palette, rows: int, cols: int) -> Colours:
    """An upright colour bar, shape (rows, cols, 3), the upper end of the scale at the top.

    Each pixel has the colour of its centre; the scale begins and ends at the bar's outer edges.
    """
    centres = palette.colours(2 * rows + 1)[1::2][::-1]
    return np.repeat(np.rint(centres).astype(np.uint8)[:, None], cols, axis=1)


def grey_bar(rows: int, cols: int) -> Colours:
    """An upright grey bar, shape (rows, cols, 3), white at the top."""
    levels = np.rint(np.linspace(255, 0, rows)).astype(np.uint8)
    return as_colours(np.repeat(levels[:, None], cols, axis=1))


def value_box(elastogram: Map) -> tuple[int, int, int, int] | None:
    """``(row, col, rows, cols)`` of the smallest box around everything that has a value; ``None``: nothing has."""
    valid = np.isfinite(elastogram)
    rows, cols = np.flatnonzero(valid.any(axis=1)), np.flatnonzero(valid.any(axis=0))
    if rows.size == 0:
        return None
    return int(rows[0]), int(cols[0]), int(rows[-1] - rows[0] + 1), int(cols[-1] - cols[0] + 1)


def draw_frame(canvas: Colours, box: tuple[int, int, int, int], level: int = 225) -> None:
    """Draw a grey line of one pixel around a box ``(row, col, rows, cols)``, outside it, in place.

    Where the box touches the canvas' border there is no room for the line, and none is drawn.
    """
    top, left, rows, cols = box[0] - 1, box[1] - 1, box[2] + 2, box[3] + 2
    height, width = canvas.shape[:2]
    down, across = slice(max(top, 0), top + rows), slice(max(left, 0), left + cols)
    for row in (top, top + rows - 1):
        if 0 <= row < height:
            canvas[row, across] = level
    for col in (left, left + cols - 1):
        if 0 <= col < width:
            canvas[down, col] = level
