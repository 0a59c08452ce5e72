"""An examination as it stands on the scanner's screen.

A black surround with words, rulers and bars; one pane with the B-mode image, and a second one with the same image
under the colours of elastography where there is any. Both panes have one magnification.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from usdlr.core.types import ElastographyKind, Side
from usdlr.core.units import MM_PER_CM, Spacing
from usdlr.imaging.palettes import find_palette
from usdlr.simulate.acquired import Acquired, Flags
from usdlr.simulate.annotations import (
    Calipers,
    annotation_text,
    draw_calipers,
    draw_ruler,
    draw_text,
    longest_diameter,
    place_words,
    text_size,
)
from usdlr.simulate.centres import Centre, ElastographyStyle, PaneLayout, ScreenStyle
from usdlr.simulate.overlay import Colours, as_colours, blend_overlay, colour_bar, draw_frame, grey_bar, value_box

Box = tuple[int, int, int, int]

# Pixels: the strips above and below the panes, a ruler, a bar with its labels, between panes, the column of words.
HEADER, FOOTER, RULER, BAR_BLOCK, GAP, WORDS = 44, 40, 28, 64, 16, 150
BAR_WIDTH, BAR_LEFT = 14, 8
GREY_BAR = (96, 10)
# Rows of a colour bar, and its share of the pane's height: shorter ones are hard to read.
MIN_BAR, BAR_SHARE = 100, 0.55
DOTS = (90, 90, 90)


class Shows(StrEnum):
    """What a pane shows."""

    BMODE = "bmode"
    ELASTOGRAPHY = "elastography"


@dataclass(frozen=True)
class ScreenPane:
    """One calibrated picture on the screen.

    Parameters
    ----------
    box : tuple of int
        ``(row, col, rows, cols)`` in pixels of the screen.
    shows : Shows
        B-mode, or elastography over B-mode.
    spacing : Spacing
        Millimetres per pixel.
    """

    box: Box
    shows: Shows
    spacing: Spacing

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the pane."""
        row, col, rows, cols = self.box
        return slice(row, row + rows), slice(col, col + cols)


@dataclass(frozen=True)
class Screen:
    """What a scanner shows of one image set.

    Parameters
    ----------
    pixels : uint8 array, (rows, cols, 3)
        Red, green, blue.
    panes : tuple of ScreenPane
        The B-mode pane, and the elastography pane where there is one.
    bar : tuple of int or None
        ``(row, col, rows, cols)`` of the colour bar, its upper end at the top; ``None`` without elastography.
    marks : bool array, (rows, cols)
        Pixels of the panes that calipers, letters and their dark edges cover; for the truth alone.
    calipers : Calipers or None
        What the operator measured, in pixels of the B-mode pane.
    annotation : str or None
        What is written into the tissue.
    """

    pixels: Colours
    panes: tuple[ScreenPane, ...]
    bar: Box | None
    marks: Flags
    calipers: Calipers | None
    annotation: str | None

    def on_screen(self, picture: Flags) -> Flags:
        """A mask of the B-mode image on the whole screen's grid."""
        whole = np.zeros(self.marks.shape, dtype=bool)
        whole[self.panes[0].slices] = picture
        return whole


@dataclass(frozen=True)
class _Plan:
    """Where everything stands; boxes are (row, col, rows, cols)."""

    rows: int
    cols: int
    bmode: Box
    elasto: Box | None
    bar: Box | None
    words: tuple[int, int]
    grey_bar: tuple[int, int]
    readout: tuple[int, int]


def compose_screen(
    acquired: Acquired,
    centre: Centre,
    rng: np.random.Generator,
    *,
    side: Side,
    view: str,
    label: str = "",
    clock_hour: int | None = None,
) -> Screen:
    """The screen of one image set.

    The B-mode pane holds exactly ``acquired.bmode`` wherever nothing is burned in. No name and no date are written,
    only ``label``.

    Parameters
    ----------
    acquired : Acquired
        The pictures and contours.
    centre : Centre
        Scanner, colours and habits.
    rng : Generator
        Decides about calipers and annotation; a fixed number of draws is taken, whatever is drawn.
    side : Side
        Of the body.
    view : str
        Plane, e.g. ``radial``.
    label : str
        The patient's pseudonym, in the header; empty: none.
    clock_hour : int or None
        Where the lesion lies in the breast, 1 to 12; ``None``: drawn.
    """
    draws = rng.random(7)
    rows, cols = acquired.bmode.shape
    # An elastogram without a single value is a measurement that failed: the operator stores the B-mode image alone.
    frame = None if acquired.elastogram is None else value_box(acquired.elastogram)
    style = centre.screen
    plan = _plan(style, (rows, cols), None if frame is None else centre.elastography.layout)
    pixels = np.zeros((plan.rows, plan.cols, 3), dtype=np.uint8)
    bmode = ScreenPane(plan.bmode, Shows.BMODE, acquired.spacing)
    panes: tuple[ScreenPane, ...] = (bmode,)
    pixels[bmode.slices] = as_colours(acquired.bmode)
    if plan.elasto is not None and frame is not None:
        elasto = ScreenPane(plan.elasto, Shows.ELASTOGRAPHY, acquired.spacing)
        panes = (bmode, elasto)
        _draw_elastography(pixels, acquired, centre.elastography, elasto, frame)
    if plan.bar is not None:
        _draw_bar(pixels, plan.bar, centre, acquired.elasto_kind)
    _draw_surround(pixels, plan, centre, acquired.spacing, label)

    calipers = None
    contour = next(iter(acquired.contours.values()), acquired.lesion)
    if draws[0] < style.caliper_rate and contour.any():
        calipers = longest_diameter(contour, acquired.spacing)
    annotation = None
    if draws[1] < style.text_in_image_rate:
        hour = 1 + int(12 * draws[2]) if clock_hour is None else clock_hour
        annotation = annotation_text(side, view, hour)
    marks = np.zeros((plan.rows, plan.cols), dtype=bool)
    drawn, annotation = _burn_in(pixels[bmode.slices], acquired, style, calipers, annotation, draws[3:])
    marks[bmode.slices] = drawn
    if calipers is not None:
        draw_text(pixels, "+ " + calipers.text, plan.readout, style.ink, style.font_px)
    return Screen(pixels, panes, plan.bar, marks, calipers, annotation)


def _plan(style: ScreenStyle, image: tuple[int, int], layout: PaneLayout | None) -> _Plan:
    """The narrowest arrangement, in the middle of a screen of at least the style's size."""
    rows, cols = image
    count = {None: (1, 1), PaneLayout.BESIDE: (1, 2), PaneLayout.BELOW: (2, 1)}[layout]
    beside = layout is PaneLayout.BESIDE
    # Beside each other, panes leave no room for a column of words: those then stand below them.
    column = 0 if beside else WORDS
    below = 7 * (style.font_px + 4) + GAP if beside else 0
    bar_block = 0 if layout is None else BAR_BLOCK
    inner_cols = column + RULER + count[1] * cols + (count[1] - 1) * GAP + bar_block + GAP
    inner_rows = count[0] * rows + (count[0] - 1) * GAP + below
    height, width = max(style.rows, HEADER + inner_rows + FOOTER), max(style.cols, inner_cols)
    top = HEADER + min((height - HEADER - FOOTER - inner_rows) // 3, 48)
    left = (width - inner_cols) // 2 + column + RULER
    bmode = (top, left, rows, cols)
    elasto = {
        None: None,
        PaneLayout.BESIDE: (top, left + cols + GAP, rows, cols),
        PaneLayout.BELOW: (top + rows + GAP, left, rows, cols),
    }[layout]
    bar = None
    if elasto is not None:
        length = max(round(BAR_SHARE * rows), min(MIN_BAR, rows))
        bar = (elasto[0] + (rows - length) // 3, elasto[1] + cols + BAR_LEFT, length, BAR_WIDTH)
    bottom = top + count[0] * rows + (count[0] - 1) * GAP
    words = (bottom + GAP, left) if beside else (top, (width - inner_cols) // 2 + 10)
    greys = (bottom + GAP, left - 20) if beside else (top + rows - GREY_BAR[0], words[1] + 6)
    readout = (bottom + GAP, left + cols + GAP) if beside else (bottom + 8, left)
    return _Plan(height, width, bmode, elasto, bar, words, greys, readout)


def _draw_elastography(
    pixels: Colours, acquired: Acquired, style: ElastographyStyle, pane: ScreenPane, frame: Box
) -> None:
    assert acquired.elastogram is not None
    canvas = blend_overlay(
        acquired.bmode,
        acquired.elastogram,
        find_palette(style.palette),
        style.opacity,
        scale_end(style, acquired.elasto_kind),
    )
    draw_frame(canvas, frame)
    pixels[pane.slices] = canvas


def scale_end(style: ElastographyStyle, kind: ElastographyKind | None) -> float:
    """Value at the upper end of the colour bar: kPa, or 1 for the relative stiffness of strain elastography."""
    return 1.0 if kind is ElastographyKind.STRAIN else style.bar_kpa


def _draw_bar(pixels: Colours, bar: Box, centre: Centre, kind: ElastographyKind | None) -> None:
    row, col, rows, cols = bar
    style = centre.screen
    pixels[row : row + rows, col : col + cols] = colour_bar(find_palette(centre.elastography.palette), rows, cols)
    strain = kind is ElastographyKind.STRAIN
    high, low = ("stiff", "soft") if strain else (f"{centre.elastography.bar_kpa:g}", "0")
    height = text_size(high, style.font_px)[0]
    labels = col + cols + 8
    draw_text(pixels, high, (row - height // 3, labels), style.text, style.font_px)
    draw_text(pixels, low, (row + rows - 2 * height // 3, labels), style.text, style.font_px)
    if not strain:
        middle = f"{centre.elastography.bar_kpa / 2:g}"
        draw_text(pixels, middle, (row + rows // 2 - height // 2, labels), style.text, style.font_px)
        draw_text(pixels, "kPa", (row + rows + height // 2, col - 2), style.text, style.font_px)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        at = row + round(share * (rows - 1))
        pixels[at, col + cols + 3 : col + cols + 6] = style.text


def _draw_surround(pixels: Colours, plan: _Plan, centre: Centre, spacing: Spacing, label: str) -> None:
    style = centre.screen
    size, colour = style.font_px, style.text
    draw_text(pixels, f"{centre.vendor}  {centre.device}", (10, 14), colour, size + 3)
    draw_text(pixels, label, (12, plan.cols // 2), colour, size, anchor="middle")
    draw_text(pixels, f"{style.preset}   MI 1.1   TIS 0.2", (12, plan.cols - 14), colour, size, anchor="right")
    pixels[HEADER - 8, 8 : plan.cols - 8] = DOTS
    depth_cm = plan.bmode[2] * spacing.row_mm / MM_PER_CM
    lines = [
        f"{centre.frequency_mhz:.1f} MHz  DR {centre.dynamic_range_db:g}",
        f"D {depth_cm:.1f} cm  G {50 + 2 * centre.gain_db:g}",
        f"CI {centre.looks}" if centre.looks > 1 else "CI off",
    ]
    if plan.elasto is not None:
        lines.append(f"E  Op {100 * centre.elastography.opacity:.0f} %")
    step = text_size("X", size)[0] + 1
    for number, line in enumerate(lines):
        draw_text(pixels, line, (plan.words[0] + number * step, plan.words[1]), colour, size)
    rows, cols = GREY_BAR
    row, col = plan.grey_bar
    pixels[row : row + rows, col : col + cols] = grey_bar(rows, cols)
    draw_ruler(pixels, plan.bmode[0], plan.bmode[1] - 3, plan.bmode[2], spacing.row_mm, colour, size - 2)
    if plan.elasto is not None:
        draw_ruler(
            pixels,
            plan.elasto[0],
            plan.elasto[1] - 3,
            plan.elasto[2],
            spacing.row_mm,
            colour,
            size - 2,
            numbers=plan.elasto[1] == plan.bmode[1],
        )


def _burn_in(
    canvas: Colours,
    acquired: Acquired,
    style: ScreenStyle,
    calipers: Calipers | None,
    annotation: str | None,
    order: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> tuple[Flags, str | None]:
    """Draw into the B-mode pane; returns what is covered, and the annotation if it found a place."""
    before = canvas.copy()
    taken = acquired.lesion.copy()
    for contour in acquired.contours.values():
        taken |= contour
    if calipers is not None:
        draw_calipers(canvas, calipers, style.ink)
        taken |= (canvas != before).any(axis=2)
    if annotation is not None:
        size = text_size(annotation, style.font_px, burned_in=True)
        shape = (canvas.shape[0], canvas.shape[1])
        place = place_words(shape, taken, acquired.spacing, size, [float(value) for value in order])
        if place is None:
            annotation = None
        else:
            draw_text(canvas, annotation, place, style.ink, style.font_px, burned_in=True)
    return np.asarray((canvas != before).any(axis=2)), annotation
