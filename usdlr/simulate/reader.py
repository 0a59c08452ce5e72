"""The reader: contours with a hand's own bias and wavering."""

from __future__ import annotations

import cv2
import numpy as np

from usdlr.simulate.acquired import Flags
from usdlr.simulate.centres import ReaderStyle
from usdlr.simulate.noise import blur_mm, smooth_noise
from usdlr.simulate.tissue import Phantom
from usdlr.simulate.window import window_around

PEN_MM = 0.4  # a hand follows nothing finer
WAVERING_MM = 3.0
CORE = 0.6  # share of the largest depth below the outline that even the most timid hand keeps
REACH = 5.0  # standard deviations of the wavering within which the line surely lies


def draw_contour(phantom: Phantom, reader: ReaderStyle, rng: np.random.Generator) -> Flags:
    """The reader's mask: the true outline, off by the reader's bias and a smooth wavering in mm.

    Parameters
    ----------
    phantom : Phantom
        Holds the true outline.
    reader : ReaderStyle
        Bias and wavering of the hand.
    rng : Generator
        Source of the wavering.

    Returns
    -------
    ndarray of bool, shape (rows, cols)
        One piece without holes.
    """
    spacing = phantom.spacing
    reach_mm = max(reader.bias_mm, 0.0) + REACH * reader.noise_mm + REACH * PEN_MM
    window = window_around(phantom.lesion, spacing, reach_mm)
    # A hand follows no spicule: the line is drawn on a distance that is smooth on the scale of a pen stroke.
    distance = blur_mm(phantom.distance_mm[window], PEN_MM, spacing)
    wavering = reader.noise_mm * smooth_noise(
        rng, (distance.shape[0], distance.shape[1]), spacing, (WAVERING_MM, WAVERING_MM)
    )
    # Even a small lesion under the most timid hand keeps its core.
    drawn = (distance <= reader.bias_mm + wavering) | (distance <= CORE * distance.min())
    mask = np.zeros(phantom.distance_mm.shape, dtype=bool)
    mask[window] = _one_piece(drawn)
    return mask


def _one_piece(drawn: Flags) -> Flags:
    """The largest piece of ``drawn``, its holes filled."""
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(drawn.view(np.uint8), connectivity=4)
    largest = pieces == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    outside = cv2.copyMakeBorder((~largest).view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    _, backgrounds = cv2.connectedComponents(outside, connectivity=4)
    return np.asarray(backgrounds[1:-1, 1:-1] != backgrounds[0, 0], dtype=bool)
