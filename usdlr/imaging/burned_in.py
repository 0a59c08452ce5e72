"""What a scanner or its user drew into the picture: calipers, letters, arrows, body marks."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from usdlr.core.types import BurnedIn
from usdlr.imaging.image import BoolArray

Byte = npt.NDArray[np.uint8]

# Channels that differ by more are ink: tissue is grey, or tinted by far less.
INK_SPREAD = 56
# A map over the tissue colours more than this share of a picture; ink never does.
MAX_INK = 0.03
# Ink is one level; compression moves it by less than this.
LEVEL_NOISE = 6
# Only bright ink is drawn over tissue.
DIMMEST_INK = 150
# Strokes are at most this many pixels wide.
WIDEST_STROKE = 4
# Ratio of sides below which, and share of its box above which, a component is a blob.
ROUND, SOLID = 1.6, 0.6
# How much darker than the ink the pixels beside a stroke are; an echo fades over several pixels.
STEP = 48
# Share of a stroke's neighbours that must be that much darker.
MIN_STEP_SHARE = 0.75
# Pixels of the smallest stroke, and its smallest longer side.
MIN_PIXELS, MIN_SIDE = 7, 5
# Strokes of one mark, and the dots of a line, are closer than this many pixels.
LINK = 11
# Longer side in pixels of the smallest mark.
MIN_MARK = 8
# Shape of the shortest upright stroke of a letter, strokes of the shortest word, rows of the tallest line of text.
LETTER_SHAPE, MIN_STROKES, TALLEST_LINE = np.ones((5, 1), np.uint8), 3, 60
# Letters of one line stand a letter's width apart.
NEXT_LETTER = np.ones((3, 17), np.uint8)
# How much darker than an upright stroke its sides are.
SIDE_STEP = 64
# Standard deviation in grey levels of a ground without echoes.
PLAIN_GROUND = 6.0
# Inpainting looks this far around.
INPAINT_RADIUS = 3


def find_burned_in(pixels: Byte, fov: BoolArray | None) -> BoolArray:
    """Pixels under graphics inside the field of view.

    Two kinds of ink are looked for: colour in an otherwise grey picture, and strokes of one bright grey level, a few
    pixels wide, that end from one pixel to the next. Echoes, calcifications among them, vary in level and fade over
    several pixels. Where colour covers more than 3 % of the picture it is a map, not ink, and is left alone.

    Parameters
    ----------
    pixels : uint8 array, (rows, columns) or (rows, columns, 3)
        Grey, or red, green, blue.
    fov : bool array, (rows, columns), or None
        Field of view; ``None``: the whole picture.

    Returns
    -------
    bool array, (rows, columns)
        True under ink and on the pixel around it, which carries its anti-aliased edge.
    """
    grey = pixels if pixels.ndim == 2 else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    coloured = _coloured(pixels) if pixels.ndim == 3 else np.zeros(grey.shape, dtype=bool)
    if coloured.mean() > MAX_INK:
        coloured[:] = False
    found = _grown(_grey_ink(grey, ~coloured) | coloured, 1)
    return found if fov is None else found & fov


def find_text(pixels: Byte, inside: BoolArray | None) -> BoolArray:
    """Boxes around everything that may be letters or digits; favours finding too much.

    Parameters
    ----------
    pixels : uint8 array, (rows, columns) or (rows, columns, 3)
        Grey, or red, green, blue.
    inside : bool array, (rows, columns), or None
        Where to look; ``None``: everywhere.

    Returns
    -------
    bool array, (rows, columns)
        True in upright boxes around lines of text.
    """
    grey = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    glyphs = _glyphs(np.asarray(grey, dtype=np.uint8))
    if pixels.ndim == 3:
        coloured = _coloured(pixels)
        if coloured.mean() <= MAX_INK:
            glyphs |= coloured
    if inside is not None:
        glyphs &= inside
    bright = np.asarray(grey, dtype=np.uint8)
    boxes = _words_among_echoes(bright, glyphs) | _words_on_plain_ground(bright, glyphs)
    return boxes if inside is None else boxes & inside


def _words_among_echoes(grey: Byte, glyphs: BoolArray) -> BoolArray:
    """Boxes around rows of upright strokes with sharp sides: echoes lie across the beam and fade."""
    sides = np.asarray(cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, np.ones((1, 6), np.uint8)))
    upright = cv2.morphologyEx((glyphs & (sides > SIDE_STEP)).astype(np.uint8), cv2.MORPH_OPEN, LETTER_SHAPE)
    runs, _, places, _ = cv2.connectedComponentsWithStats(upright, connectivity=8)
    rows = places[1:runs, cv2.CC_STAT_TOP] + places[1:runs, cv2.CC_STAT_HEIGHT] // 2
    columns = places[1:runs, cv2.CC_STAT_LEFT] + places[1:runs, cv2.CC_STAT_WIDTH] // 2
    boxes = np.zeros(glyphs.shape, dtype=bool)
    # Whole letters make a line where nothing bright touches them, their upright strokes alone where something does.
    for letters in (upright, glyphs.astype(np.uint8)):
        lines = cv2.morphologyEx(letters, cv2.MORPH_CLOSE, NEXT_LETTER)
        count, groups, stats, _ = cv2.connectedComponentsWithStats(lines, connectivity=8)
        strokes = np.bincount(np.asarray(groups, dtype=np.int32)[rows, columns], minlength=count)
        for number in range(1, count):
            left, top, width, height, _ = (int(value) for value in stats[number])
            if strokes[number] >= MIN_STROKES and height <= TALLEST_LINE:
                # Letters without an upright stroke begin and end many a word.
                aside = max(3, min(height, 12))
                boxes[max(top - 4, 0) : top + height + 4, max(left - aside, 0) : left + width + aside] = True
    return boxes


def _words_on_plain_ground(grey: Byte, glyphs: BoolArray) -> BoolArray:
    """Boxes around whatever is drawn where there are no echoes."""
    joined = cv2.morphologyEx(glyphs.astype(np.uint8), cv2.MORPH_CLOSE, NEXT_LETTER)
    count, _, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    inked = _grown(glyphs, 2)
    boxes = np.zeros(glyphs.shape, dtype=bool)
    for number in range(1, count):
        left, top, width, height, _ = (int(value) for value in stats[number])
        if not 5 <= height <= TALLEST_LINE or width < 5:
            continue
        part = slice(max(top - 2, 0), top + height + 2), slice(max(left - 2, 0), left + width + 2)
        ground = grey[part][~inked[part]]
        if ground.size >= 10 and float(ground.std()) < PLAIN_GROUND:
            boxes[max(top - 3, 0) : top + height + 3, max(left - 3, 0) : left + width + 3] = True
    return boxes


def clean(grey: Byte, marks: BoolArray, treatment: BurnedIn) -> Byte:
    """The image after its marks were treated.

    Parameters
    ----------
    grey : uint8 array, (rows, columns)
        The image.
    marks : bool array, (rows, columns)
        From :func:`find_burned_in`.
    treatment : BurnedIn
        ``inpaint`` fills the marks from around; ``keep`` and ``mask`` leave every pixel as it is.

    References
    ----------
    Telea 2004, doi 10.1080/10867651.2004.10487596.
    """
    if treatment is not BurnedIn.INPAINT or not marks.any():
        return grey
    return np.asarray(cv2.inpaint(grey, marks.astype(np.uint8), INPAINT_RADIUS, cv2.INPAINT_TELEA), dtype=np.uint8)


def touched_fraction(marks: BoolArray, fov: BoolArray | None) -> float:
    """Share of the field of view under marks, 0 to 1."""
    if fov is None:
        return float(marks.mean())
    return float((marks & fov).sum() / fov.sum()) if fov.any() else 0.0


def _coloured(pixels: Byte) -> BoolArray:
    red, green, blue = (pixels[..., channel] for channel in range(3))
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return np.asarray(spread > INK_SPREAD)


def _grown(mask: BoolArray, radius: int) -> BoolArray:
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)


def _thin(mask: BoolArray) -> BoolArray:
    """What an opening by a square wider than a stroke removes."""
    square = np.ones((WIDEST_STROKE + 1, WIDEST_STROKE + 1), np.uint8)
    return mask & ~np.asarray(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, square) > 0)


def _grey_ink(grey: Byte, plain: BoolArray) -> BoolArray:
    """Strokes of one bright level with sharp edges, where ``plain`` is true.

    The luma of coloured ink is no level of grey ink: as a spike of the histogram it would make ink of every echo that
    happens to be as bright.
    """
    found = np.zeros(grey.shape, dtype=bool)
    floor = cv2.erode(grey, np.ones((2 * WIDEST_STROKE + 1, 2 * WIDEST_STROKE + 1), np.uint8))
    levels = np.bincount(grey[plain], minlength=256)
    for level in _ink_levels(levels):
        body = np.abs(grey.astype(np.int16) - level) <= LEVEL_NOISE
        # Beside a stroke, within its width, is something darker.
        body = _thin(body & plain) & (floor < level - STEP)
        count, drawn, stats, _ = cv2.connectedComponentsWithStats(body.astype(np.uint8), connectivity=8)
        if count == 1:
            continue
        labels = np.asarray(drawn, dtype=np.int32)
        sharp = _share_below(grey, labels, count, level - STEP // 2, 1) & _share_below(
            grey, labels, count, level - STEP, 2
        )
        sharp[0] = False
        # Fasciae and other mirrors lie across the beam: what lies flat is ink only beside ink.
        height, width = stats[:, cv2.CC_STAT_HEIGHT], stats[:, cv2.CC_STAT_WIDTH]
        run = cv2.morphologyEx(body.astype(np.uint8), cv2.MORPH_OPEN, np.ones((MIN_SIDE, 1), np.uint8)) > 0
        upright = (2 * height >= width) | (np.bincount(labels[run], minlength=count)[:count] > 0)
        # A saturated calcification is round and solid; no stroke, cross or letter is. The dots of a caliper's line are
        # too, but smaller: linked to a certain mark they are ink, alone they are not.
        long, short = np.maximum(height, width), np.minimum(height, width)
        area = stats[:, cv2.CC_STAT_AREA]
        sharp &= ~((long < ROUND * short) & (area > SOLID * height * width) & (area >= MIN_PIXELS))
        certain = sharp & upright & (height >= MIN_SIDE) & (area >= MIN_PIXELS)
        found |= _linked(certain[labels], sharp[labels])
    return found


def _share_below(
    grey: Byte, labels: npt.NDArray[np.int32], count: int, level: int, reach: int
) -> npt.NDArray[np.bool_]:
    """Whether most pixels at a distance of ``reach`` from each component are darker than ``level``."""
    body = labels > 0
    ring = _grown(body, reach) & ~_grown(body, reach - 1) if reach > 1 else _grown(body, 1) & ~body
    size = 2 * reach + 1
    owner = np.asarray(cv2.dilate(labels.astype(np.float32), np.ones((size, size), np.uint8))).astype(np.int32)
    total = np.bincount(owner[ring], minlength=count)[:count]
    dark = np.bincount(owner[ring & (grey < level)], minlength=count)[:count]
    return np.asarray(dark >= MIN_STEP_SHARE * np.maximum(total, 1))


def _linked(certain: BoolArray, possible: BoolArray) -> BoolArray:
    """Possible strokes that hang together with certain ones, dots of a dotted line among them."""
    if not certain.any():
        return certain
    joined = cv2.dilate(possible.astype(np.uint8), np.ones((LINK, LINK), np.uint8))
    count, groups, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    # The dilation made each group wider by LINK - 1; a speck alone is no mark.
    sides = np.maximum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]) - (LINK - 1)
    marks = np.zeros(count, dtype=bool)
    marks[np.unique(groups[certain])] = True
    marks &= sides >= MIN_MARK
    return np.asarray(possible & marks[groups])


def _ink_levels(counts: npt.NDArray[np.intp]) -> list[int]:
    """Bright levels that stand out of the histogram: tissue has a smooth one, ink has a spike."""
    levels = []
    for level in range(DIMMEST_INK, 256):
        around = [counts[other] for other in range(level - 4, min(level + 5, 256)) if abs(other - level) > 1]
        if counts[level] >= 12 and counts[level] > 3 * (np.median(around) + 1):
            levels.append(level)
    return levels


def _glyphs(grey: Byte) -> BoolArray:
    """Thin bright strokes on something darker, of any level."""
    dark = cv2.erode(grey, np.ones((9, 9), np.uint8))
    strokes = np.asarray(cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, np.ones((7, 7), np.uint8)))
    return np.asarray((strokes > STEP) & (dark < grey.astype(np.int16) - STEP) & (grey > 90))
