"""What examinations differ by, as changes of one B-mode image.

Every function takes an image as a share of its grey range (0 black, 1 white, NaN no value) and the millimetres per
pixel, and returns a new image with NaN in the same places. Grey is log-compressed echo amplitude: a factor of
amplitude is a summand, and 1 is ``DYNAMIC_RANGE_DB``. Results may leave 0..1; the caller clips once, as a screen does.
Rows run along depth.

References
----------
Szabo: Diagnostic ultrasound imaging: inside out, 2nd edition. Academic Press (2014), chapters 4, 10 and 12.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from albumentations.augmentations.pixel.functional import gamma_transform

from usdlr.imaging.image import FloatArray

DYNAMIC_RANGE_DB = 60.0  # between black and white; a usual setting, and files do not state theirs
MID_GREY = 0.4  # grey that a change of dynamic range leaves as it is: about that of gland
SLIDERS = 8  # of the time-gain compensation, from the top of the crop downwards
SLIDER_MM = 8.0  # depth from one slider to the next
ONSET_MM = 2.0  # depth over which a shadow grows to 1 - 1/e of its loss
EDGE_MM = 1.0  # width of a shadow's soft edges
REACH = 3.0  # standard deviations at which a kernel ends
SMALLEST_SIGMA = 0.1  # pixels; a kernel as narrow is one pixel


def gain(pixels: FloatArray, pixel_mm: float, *, db: float) -> FloatArray:
    """The image at another overall gain, ``db`` dB higher.

    Examples
    --------
    >>> round(float(gain(np.full((1, 1), 0.5, np.float32), 0.2, db=6.0)[0, 0]), 3)
    0.6
    """
    return pixels + np.float32(db / DYNAMIC_RANGE_DB)


def dynamic_range(pixels: FloatArray, pixel_mm: float, *, contrast: float) -> FloatArray:
    """The image at ``1 / contrast`` times the dynamic range; medium grey stays as it is.

    Examples
    --------
    >>> dynamic_range(np.array([[0.4, 0.8]], np.float32), 0.2, contrast=1.25)
    array([[0.4, 0.9]], dtype=float32)
    """
    changed: FloatArray = pixels * np.float32(contrast)
    changed += np.float32(MID_GREY * (1 - contrast))
    return changed


def gamma(pixels: FloatArray, pixel_mm: float, *, exponent: float) -> FloatArray:
    """The image under another grey map, which scanners offer on top of log compression; clipped to 0..1 before it."""
    return np.asarray(gamma_transform(np.clip(pixels, 0.0, 1.0), exponent), dtype=np.float32)


def tgc(pixels: FloatArray, pixel_mm: float, *, db: Sequence[float]) -> FloatArray:
    """The image with the sliders of its time-gain compensation moved.

    Parameters
    ----------
    pixels : float32 array, (rows, columns)
        Share of the grey range.
    pixel_mm : float
        Millimetres per pixel.
    db : sequence of float
        Change at each slider in dB, 8 mm apart from the first row downwards; smooth between them, constant below the
        last.
    """
    place = np.minimum(np.arange(len(pixels)) * (pixel_mm / SLIDER_MM), len(db) - 1)
    above = np.minimum(place.astype(np.intp), len(db) - 2)
    share = place - above
    share *= share * (3 - 2 * share)  # a curve without corners
    levels = np.asarray(db, dtype=np.float64)
    change = levels[above] * (1 - share) + levels[above + 1] * share
    return pixels + np.asarray(change / DYNAMIC_RANGE_DB, dtype=np.float32)[:, None]


def speckle(
    pixels: FloatArray, pixel_mm: float, *, db: float, axial_mm: float, lateral_mm: float, seed: int
) -> FloatArray:
    """The image with speckle added: noise that multiplies the amplitude, Gaussian in dB.

    Parameters
    ----------
    pixels : float32 array, (rows, columns)
        Share of the grey range.
    pixel_mm : float
        Millimetres per pixel.
    db : float
        Standard deviation; fully developed speckle alone has 5.57 dB.
    axial_mm, lateral_mm : float
        Standard deviations of the Gaussian pulse along depth and across.
    seed : int
        Of the noise.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    white = rng.standard_normal(pixels.shape, dtype=np.float32)
    # Kernels under which white noise keeps its power.
    down, across = (
        kernel / np.sqrt((kernel**2).sum()) for kernel in (_gaussian(mm / pixel_mm) for mm in (axial_mm, lateral_mm))
    )
    return pixels + _blurred(white, down, across * np.float32(db / DYNAMIC_RANGE_DB))


def shadow(
    pixels: FloatArray,
    pixel_mm: float,
    *,
    row: float,
    col: float,
    width_mm: float,
    spread_deg: float,
    db: float,
) -> FloatArray:
    """The image with an acoustic shadow: what lies under something that lets little sound through.

    Parameters
    ----------
    pixels : float32 array, (rows, columns)
        Share of the grey range.
    pixel_mm : float
        Millimetres per pixel.
    row, col : float
        Where the shadow begins, as shares of the image's height and width; above 0: at the top edge, in full.
    width_mm : float
        Its width where it begins.
    spread_deg : float
        Angle by which each side leaves the vertical.
    db : float
        Loss, reached a few millimetres below the beginning.
    """
    rows, cols = pixels.shape
    changed = pixels.copy()
    first = min(max(math.ceil(row * rows), 0), rows)
    below = (np.arange(first, rows, dtype=np.float32) - np.float32(row * rows)) * np.float32(pixel_mm)
    loss = np.float32(db / DYNAMIC_RANGE_DB) * (1 - np.exp(below * np.float32(-1 / ONSET_MM)))
    half = np.float32(width_mm / 2) + below * np.float32(math.tan(math.radians(spread_deg)))
    across = np.abs(np.arange(cols, dtype=np.float32) - np.float32(col * cols)) * np.float32(pixel_mm)
    inside = half[:, None] - across
    inside *= np.float32(1 / EDGE_MM)
    inside += np.float32(0.5)
    np.clip(inside, 0.0, 1.0, out=inside)
    inside *= loss[:, None]
    changed[first:] -= inside
    return changed


def depth(pixels: FloatArray, pixel_mm: float, *, factor: float) -> FloatArray:
    """The image as a scanner set to a greater depth gives it: recorded with pixels ``factor`` times as large.

    The scanner's setting changes its millimetres per pixel, and crops are cut in millimetres: a lesion keeps its size
    in the crop, only detail is lost. Averaging over a pixel of side f and interpolating linearly between such pixels
    spreads a point with a variance of f^2 / 12 + f^2 / 6 = f^2 / 4; the blur here adds what f has beyond 1, so that it
    vanishes as f comes down to 1. Pixels without a value take no part.
    """
    kernel = _gaussian(math.sqrt(max(factor**2 - 1, 0.0)) / 2)
    kernel /= kernel.sum()
    weight = np.isfinite(pixels)
    if weight.all():
        return _blurred(pixels, kernel, kernel)
    spread = _blurred(np.where(weight, pixels, np.float32(0)), kernel, kernel)
    with np.errstate(invalid="ignore", divide="ignore"):
        known = spread / _blurred(weight.astype(np.float32), kernel, kernel)
    return np.asarray(np.where(weight, known, np.nan), dtype=np.float32)


def _blurred(pixels: FloatArray, down: FloatArray, across: FloatArray) -> FloatArray:
    return np.asarray(cv2.sepFilter2D(pixels, -1, across, down), dtype=np.float32)


def _gaussian(sigma: float) -> FloatArray:
    """A Gaussian kernel of height 1; ``sigma`` in pixels."""
    sigma = max(sigma, SMALLEST_SIGMA)
    reach = math.ceil(REACH * sigma)
    return np.asarray(np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2), dtype=np.float32)
