"""The colour bar that a scanner draws beside an elastography map."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
import numpy.typing as npt

from usdlr.imaging.image import BoolArray
from usdlr.imaging.palettes import Floats, Palette, to_ycc

Byte = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]

_MIN_CHROMA = 20.0
_MIN_LENGTH, _MIN_WIDTH, _MAX_WIDTH, _MIN_ASPECT = 48, 4, 80, 3.0
# Within a bar, colours across its width agree to compression noise; tissue under colour does not.
_MAX_ACROSS = 8.0
# Length of the way through colour space that a scale takes, in levels: a single-hued label does not.
_MIN_WAY = 200.0
# Two neighbouring pixels along a bar never differ as much as a bar and what is around it.
_EDGE = 24.0
# Two bars of one frame that differ by more are two scales.
_SAME = 12.0


class Orientation(StrEnum):
    """How a colour bar lies."""

    VERTICAL = "vertical"
    HORIZONTAL = "horizontal"


@dataclass(frozen=True)
class ColourBar:
    """A colour bar and what it says.

    Parameters
    ----------
    box : tuple of int
        ``(row, column, rows, columns)`` in pixels of the frame.
    orientation : Orientation
        Vertical or horizontal.
    palette : Palette
        Read from the low to the high end. By position: the top of a vertical bar and the right of a horizontal one
        count as high; a scanner that draws the high end at the bottom or at the left is told by a scale that descends.
    """

    box: Box
    orientation: Orientation
    palette: Palette

    def outside(self, shape: tuple[int, int], margin: int = 4) -> BoolArray:
        """True outside the bar and a margin of pixels around it, (rows, columns)."""
        keep = np.ones(shape, dtype=bool)
        row, col, rows, cols = self.box
        keep[max(row - margin, 0) : row + rows + margin, max(col - margin, 0) : col + cols + margin] = False
        return keep


def locate_colour_bar(rgb: Byte) -> ColourBar | None:
    """The colour bar of a frame, or ``None`` when there is none that is certain.

    A bar is an upright, evenly filled, narrow rectangle of colours that change along it and hardly across it, with a
    sharp border all around. Several bars with the same colours count as one; bars that disagree as none.

    Parameters
    ----------
    rgb : uint8 array, (rows, columns, 3)
        A whole frame or a pane of it: red, green, blue.

    Returns
    -------
    ColourBar or None
        ``None`` also for a bar whose end fades into its surroundings (a scale that starts black on black), since its
        length is then unknown; name the palette instead.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or min(rgb.shape[:2]) < 16:
        return None
    turned = np.ascontiguousarray(rgb[:, ::-1].transpose(1, 0, 2))  # a bar that lies flat, high end up
    found: list[ColourBar] = []
    for frame, orientation in ((rgb, Orientation.VERTICAL), (turned, Orientation.HORIZONTAL)):
        for box in _candidates(frame):
            palette = _read(frame, box)
            if palette is not None:
                back = box if orientation is Orientation.VERTICAL else _turned_back(box, rgb.shape[1])
                found.append(ColourBar(back, orientation, palette))
    if not found:
        return None
    longest = max(found, key=lambda bar: max(bar.box[2:]))
    return longest if all(longest.palette.mismatch(bar.palette) <= _SAME for bar in found) else None


def _turned_back(box: Box, width: int) -> Box:
    row, col, rows, cols = box
    return col, width - row - rows, cols, rows


def _candidates(frame: Byte) -> list[Box]:
    """Boxes of upright narrow coloured rectangles, exact to the pixel."""
    ycc = to_ycc(frame)
    coloured = (np.hypot(ycc[..., 1], ycc[..., 2]) > _MIN_CHROMA).astype(np.uint8)
    # Parts of a palette are pale: a bar may fall into pieces, which stand above each other.
    joined = cv2.morphologyEx(coloured, cv2.MORPH_CLOSE, np.ones((9, 1), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=4)
    boxes = []
    for left, top, width, height, area in stats[1:count].tolist():
        narrow = _MIN_WIDTH <= width <= _MAX_WIDTH and height >= max(_MIN_LENGTH, _MIN_ASPECT * width)
        if narrow and area >= 0.7 * width * height:
            box = _sharpen(frame, (top, left, height, width))
            if box is not None:
                boxes.append(box)
    return boxes


def _sharpen(frame: Byte, box: Box) -> Box | None:
    """The box to the pixel: from inside outwards, to the sharp edge; ``None`` where there is none.

    Compression spreads chroma two pixels beyond the bar; luma, and with it the whole colour, keeps the edge.
    """
    row, col, rows, cols = box
    margin = 6
    if row < 2 or col < 2 or row + rows > frame.shape[0] - 2 or col + cols > frame.shape[1] - 2:
        return None
    image = frame.astype(np.float32)
    middle_rows = slice(row + rows // 5, row + rows - rows // 5)
    inner_cols = slice(col + max(cols // 3, 1), col + max(cols - cols // 3, cols // 3 + 1))
    # Across: mean step between neighbouring columns along the middle of the bar.
    left0, right1 = max(col - margin, 0), min(col + cols + margin, frame.shape[1])
    across = np.linalg.norm(np.diff(image[middle_rows, left0:right1], axis=1), axis=2)
    across_steps = np.median(across, axis=0)
    left = _edge(across_steps, col - left0, first=True)
    right = _edge(across_steps, col + cols - left0 - 1, first=False)
    # Along: step of the mean colour over the inner columns.
    top0, bottom1 = max(row - margin, 0), min(row + rows + margin, frame.shape[0])
    line = image[top0:bottom1, inner_cols].mean(axis=1)
    along_steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    top = _edge(along_steps, row - top0, first=True)
    bottom = _edge(along_steps, row + rows - top0 - 1, first=False)
    if left is None or right is None or top is None or bottom is None:
        return None
    first_row, first_col = top0 + top + 1, left0 + left + 1
    height, width = top0 + bottom + 1 - first_row, left0 + right + 1 - first_col
    if width < _MIN_WIDTH or height < max(_MIN_LENGTH, _MIN_ASPECT * width):
        return None
    return first_row, first_col, height, width


def _edge(steps: Floats, near: int, *, first: bool) -> int | None:
    """Index of the sharpest step within four pixels of a border; ``None`` when it is no sharper than a bar's inside."""
    start, stop = max(near - 4, 0), min(near + 5, len(steps))
    if stop <= start:
        return None
    best = start + int(np.argmax(steps[start:stop]))
    inside = steps[best + 3 : best + 12] if first else steps[max(best - 11, 0) : max(best - 2, 0)]
    usual = float(np.median(inside)) if inside.size else 0.0
    return best if steps[best] >= max(_EDGE, 3 * usual) else None


def _read(frame: Byte, box: Box) -> Palette | None:
    """The palette of a box, from its bottom to its top; ``None`` when it is no scale."""
    row, col, rows, cols = box
    trim = min(2, (cols - 1) // 2 - 1) if cols >= 5 else 1
    inner = frame[row : row + rows, col + trim : col + cols - trim].astype(np.float32)
    if float(np.median(inner.std(axis=1).max(axis=1))) > _MAX_ACROSS:
        return None
    if float(np.quantile(inner.std(axis=1).max(axis=1), 0.9)) > 2 * _MAX_ACROSS:  # ticks or letters on the bar
        return None
    line = np.median(inner, axis=1)[::-1]
    # Compression mixes the outermost pixels with the surroundings: continue the colours from inside.
    edge = 3
    inside = np.arange(edge, rows - edge)
    places = np.arange(rows)
    blurred = cv2.blur(np.ascontiguousarray(line[inside]), (1, 3), borderType=cv2.BORDER_REPLICATE)
    smooth: Floats = np.asarray(blurred, dtype=np.float32)
    fitted = np.stack([_continued(places, inside, smooth[:, channel]) for channel in range(3)], axis=1)
    way = np.linalg.norm(np.diff(smooth[::4], axis=0), axis=1).sum()
    hues = to_ycc(smooth)
    spread = float(np.ptp(hues[:, 1]) + np.ptp(hues[:, 2]))
    if way < _MIN_WAY or spread < _MIN_WAY / 4:
        return None
    return Palette.from_bar(np.clip(fitted, 0, 255))


def _continued(places: npt.NDArray[np.intp], inside: npt.NDArray[np.intp], values: Floats) -> npt.NDArray[np.float64]:
    """Values inside, and straight lines through the outermost ten of them beyond."""
    out = np.interp(places, inside, values).astype(np.float64)
    for end, part in ((places < inside[0], slice(0, 10)), (places > inside[-1], slice(-10, None))):
        slope, level = np.polyfit(inside[part], values[part], 1)
        out[end] = slope * places[end] + level
    return out
