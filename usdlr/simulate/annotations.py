"""What a scanner and its user write around and into a picture: words, calipers, depth rulers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from usdlr.core.types import Side
from usdlr.core.units import MM_PER_CM, Spacing
from usdlr.simulate.acquired import Flags
from usdlr.simulate.overlay import Colours

Colour = tuple[int, int, int]
Point = tuple[int, int]
Letters = np.ndarray[tuple[int, int], np.dtype[np.uint8]]

# A caliper's cross reaches this many pixels to each side of its centre.
CROSS_ARM = 5
# Pixels between the dots of a caliper's line.
DOT_STEP = 6
# Free millimetres between a lesion and words written into the tissue.
CLEARANCE_MM = 2.0
# Pixels between words and the border of the picture they are written into.
INSET = 8
# Pixels between the places that are tried.
TRY_STEP = 16
PLANES = {"radial": "RAD", "antiradial": "ARAD"}
SIDES = {Side.LEFT: "L", Side.RIGHT: "R"}
RULER_TICKS_PER_CM = 2
# Pixels between letters that are written into tissue, beyond the font's own.
TRACKING = 2


@dataclass(frozen=True)
class Calipers:
    """A distance that the operator measured.

    Parameters
    ----------
    start, end : tuple of int
        (row, col) of the pixels under the two crosses.
    distance_mm : float
        Between the centres of these pixels.
    """

    start: Point
    end: Point
    distance_mm: float

    @property
    def text(self) -> str:
        """What the screen says about it."""
        return f"D1 {self.distance_mm:.1f} mm"


def longest_diameter(contour: Flags, spacing: Spacing) -> Calipers:
    """Calipers on the two pixels of a contour that are farthest from each other in millimetres.

    Parameters
    ----------
    contour : bool array, (rows, cols)
        Not empty.
    spacing : Spacing
        Millimetres per pixel.

    Examples
    --------
    >>> contour = np.zeros((9, 9), dtype=bool)
    >>> contour[2, 1:8] = contour[1:8, 4] = True
    >>> longest_diameter(contour, Spacing(0.5, 0.1))
    Calipers(start=(1, 4), end=(7, 4), distance_mm=3.0)
    """
    found = np.flatnonzero(contour.any(axis=1))
    first = contour[found].argmax(axis=1)
    last = contour.shape[1] - 1 - contour[found][:, ::-1].argmax(axis=1)
    ends = np.concatenate([np.stack([found, first], axis=1), np.stack([found, last], axis=1)])
    hull = cv2.convexHull(ends.astype(np.int32)).reshape(-1, 2)
    hull = hull[np.lexsort((hull[:, 1], hull[:, 0]))]
    at = hull * np.array(spacing.as_tuple())
    apart = np.hypot(at[:, None, 0] - at[None, :, 0], at[:, None, 1] - at[None, :, 1])
    one, other = (int(index) for index in np.unravel_index(int(apart.argmax()), apart.shape))
    start, end = sorted([(int(hull[i, 0]), int(hull[i, 1])) for i in (one, other)])
    return Calipers(start, end, float(apart[one, other]))


def draw_calipers(canvas: Colours, calipers: Calipers, colour: Colour) -> None:
    """Draw two crosses and a dotted line between them, in place; what lies outside the canvas is cut off."""
    for row, col in (calipers.start, calipers.end):
        for step in range(-CROSS_ARM, CROSS_ARM + 1):
            _dot(canvas, row + step, col, 1, colour)
            _dot(canvas, row, col + step, 1, colour)
    down, across = (end - start for start, end in zip(calipers.start, calipers.end, strict=True))
    length = math.hypot(down, across)
    count = int(length // DOT_STEP)
    for number in range(1, count):
        share = number / count
        if min(share, 1 - share) * length > CROSS_ARM + 2:
            row, col = round(calipers.start[0] + share * down), round(calipers.start[1] + share * across)
            _dot(canvas, row, col, 2, colour)


def _dot(canvas: Colours, row: int, col: int, size: int, colour: Colour) -> None:
    canvas[max(row, 0) : max(row + size, 0), max(col, 0) : max(col + size, 0)] = colour


def annotation_text(side: Side, view: str, clock_hour: int) -> str:
    """Side, plane and hour of the clock, as they are written into a picture.

    Examples
    --------
    >>> annotation_text(Side.LEFT, "radial", 2)
    'L RAD 2h'
    """
    return " ".join(
        part for part in (SIDES.get(side, ""), PLANES.get(view, view[:4].upper()), f"{clock_hour}h") if part
    )


def place_words(
    shape: tuple[int, int], taken: Flags, spacing: Spacing, size: tuple[int, int], order: Sequence[float]
) -> Point | None:
    """Where words fit into a picture without touching the lesion: in a corner, or else as near to one as possible.

    Parameters
    ----------
    shape : tuple of int
        (rows, cols) of the picture.
    taken : bool array, (rows, cols)
        The lesion and whatever else must stay free, by :data:`CLEARANCE_MM`.
    spacing : Spacing
        Millimetres per pixel.
    size : tuple of int
        (rows, cols) of the words.
    order : sequence of float
        Four numbers; the corner with the smallest is tried first.

    Returns
    -------
    tuple of int or None
        (row, col) of the words' upper left pixel; ``None``: no place is free.
    """
    clear_rows, clear_cols = (math.ceil(CLEARANCE_MM / pixel) for pixel in spacing.as_tuple())
    kernel = np.ones((2 * clear_rows + 1, 2 * clear_cols + 1), np.uint8)
    blocked = np.zeros((shape[0] + 1, shape[1] + 1), dtype=np.int64)
    blocked[1:, 1:] = cv2.dilate(taken.astype(np.uint8), kernel).cumsum(axis=0).cumsum(axis=1)
    lowest, rightmost = shape[0] - size[0] - INSET, shape[1] - size[1] - INSET
    if lowest < INSET or rightmost < INSET:
        return None
    corners = list(itertools.product((INSET, lowest), (INSET, rightmost)))
    grid = list(itertools.product(range(INSET, lowest + 1, TRY_STEP), range(INSET, rightmost + 1, TRY_STEP)))
    for number in sorted(range(4), key=lambda index: order[index]):
        corner = corners[number]
        if _free(blocked, corner, size):
            return corner
    first = corners[min(range(4), key=lambda index: order[index])]
    free = [place for place in grid if _free(blocked, place, size)]
    return min(free, key=lambda place: math.hypot(place[0] - first[0], place[1] - first[1]), default=None)


def _free(blocked: np.ndarray[tuple[int, int], np.dtype[np.int64]], place: Point, size: tuple[int, int]) -> bool:
    (top, left), (bottom, right) = place, (place[0] + size[0], place[1] + size[1])
    inside = blocked[bottom, right] - blocked[top, right] - blocked[bottom, left] + blocked[top, left]
    return bool(inside == 0)


def text_size(text: str, font_px: int, *, burned_in: bool = False) -> tuple[int, int]:
    """Rows and columns that words take."""
    rows, cols = (_separate_letters if burned_in else _letters)(text, font_px).shape
    return rows, cols


def draw_text(
    canvas: Colours,
    text: str,
    at: Point,
    colour: Colour,
    font_px: int,
    *,
    anchor: str = "left",
    burned_in: bool = False,
) -> None:
    """Write words, in place; what lies outside the canvas is cut off.

    Parameters
    ----------
    canvas : uint8 array, (rows, cols, 3)
        What to write on.
    text : str
        The words.
    at : tuple of int
        (row, col) of the upper left pixel of the words' box; for another anchor, the column of the right end or of
        the middle.
    colour : tuple of int
        Red, green, blue.
    font_px : int
        Height of the letters.
    anchor : str
        ``left``, ``right`` or ``middle``.
    burned_in : bool
        Letters of one colour with a dark edge around, legible on tissue, instead of letters with smooth edges.
    """
    letters = (_separate_letters if burned_in else _letters)(text, font_px)
    rows, cols = letters.shape
    row, col = at[0], at[1] - {"left": 0, "right": cols, "middle": cols // 2}[anchor]
    top, left = max(-row, 0), max(-col, 0)
    part = canvas[max(row, 0) : max(row + rows, 0), max(col, 0) : max(col + cols, 0)]
    shown = letters[top : top + part.shape[0], left : left + part.shape[1], None]
    if burned_in:
        edge = cv2.dilate(np.ascontiguousarray(shown[..., 0]), np.ones((3, 3), np.uint8))[..., None] > 0
        part[:] = np.where(shown > 0, np.array(colour, np.uint8), np.where(edge, np.uint8(0), part))
        return
    alpha = shown.astype(np.float32) / 255
    part[:] = np.rint(alpha * np.array(colour, np.float32) + (1 - alpha) * part).astype(np.uint8)


@lru_cache(maxsize=512)
def _letters(text: str, font_px: int) -> Letters:
    """How much ink each pixel takes, 0 to 255, with a border of one pixel; all words of one size have one height."""
    font = _font(font_px)
    ascent, descent = font.getmetrics()
    image = Image.new("L", (math.ceil(font.getlength(text)) + 2, ascent + descent + 2))
    ImageDraw.Draw(image).text((1, 1), text, fill=255, font=font)
    letters = np.array(image, dtype=np.uint8)
    letters.setflags(write=False)
    return letters


@lru_cache(maxsize=512)
def _separate_letters(text: str, font_px: int) -> Letters:
    """The same without grey edges, and with room between the letters for their dark edges."""
    font = _font(font_px)
    ascent, descent = font.getmetrics()
    starts = np.cumsum([1] + [math.ceil(font.getlength(letter)) + TRACKING for letter in text])
    image = Image.new("L", (int(starts[-1]), ascent + descent + 2))
    draw = ImageDraw.Draw(image)
    draw.fontmode = "1"
    for letter, start in zip(text, starts, strict=False):
        draw.text((int(start), 1), letter, fill=255, font=font)
    letters = np.array(image, dtype=np.uint8)
    letters.setflags(write=False)
    return letters


@lru_cache(maxsize=16)
def _font(font_px: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(font_px)
    if not isinstance(font, ImageFont.FreeTypeFont):  # a Pillow without FreeType knows one size only
        raise TypeError("found a Pillow built without FreeType, expected an ordinary one; pip install pillow")
    return font


def draw_ruler(
    canvas: Colours,
    top: int,
    right: int,
    rows: int,
    row_mm: float,
    colour: Colour,
    font_px: int,
    *,
    numbers: bool = True,
) -> None:
    """Draw a depth ruler, in place: a tick every half centimetre, a longer one with its number every centimetre.

    Parameters
    ----------
    canvas : uint8 array, (rows, cols, 3)
        The screen.
    top : int
        Row of depth 0.
    right : int
        Column just right of the ticks.
    rows : int
        Rows of the picture beside the ruler.
    row_mm : float
        Millimetres between rows.
    colour : tuple of int
        Red, green, blue.
    font_px : int
        Height of the numbers.
    numbers : bool
        Whether to write them.
    """
    step = MM_PER_CM / RULER_TICKS_PER_CM / row_mm
    height = text_size("0", font_px)[0]
    for tick in range(int((rows - 1) // step) + 1):
        row = top + round(tick * step)
        whole = tick % RULER_TICKS_PER_CM == 0
        canvas[row, right - (7 if whole else 4) : right] = colour
        if whole and numbers:
            draw_text(
                canvas, str(tick // RULER_TICKS_PER_CM), (row - height // 2, right - 9), colour, font_px, anchor="right"
            )
