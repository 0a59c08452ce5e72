"""Smooth random maps, ramps and thin lines, the material that tissue and readers are made of."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from usdlr.core.units import Spacing

Map = npt.NDArray[np.float32]

KNOT_SIGMA = 3.0  # knots of the coarse grid per standard deviation of the kernel: lines between them look smooth
REACH = 2.5  # the kernel ends after so many standard deviations; the smoothed grid reaches as far beyond the image


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], spacing: Spacing, scale_mm: tuple[float, float]
) -> Map:
    """Smooth Gaussian noise with mean 0 and variance 1.

    White noise on a coarse grid, smoothed and interpolated: the cost depends on the image, not on the scale.

    Parameters
    ----------
    rng : Generator
        Source of the noise.
    shape : tuple of int
        (rows, cols).
    spacing : Spacing
        Millimetres per pixel.
    scale_mm : tuple of float
        Standard deviation of the smoothing kernel in mm, (rows, cols).

    Returns
    -------
    ndarray, shape (rows, cols)
    """
    # Whole pixels per knot along an axis that has more than one pixel; one pixel at least.
    steps = [
        max(int(scale / KNOT_SIGMA / pixel), 1) if length > 1 else 1
        for scale, pixel, length in zip(scale_mm, spacing.as_tuple(), shape, strict=True)
    ]
    sigma = [scale / (step * pixel) for scale, step, pixel in zip(scale_mm, steps, spacing.as_tuple(), strict=True)]
    kernels = [_kernel(value) for value in sigma]
    margins = [len(kernel) // 2 for kernel in kernels]
    inner = [-(-length // step) + 1 for length, step in zip(shape, steps, strict=True)]
    white = rng.standard_normal([a + 2 * b for a, b in zip(inner, margins, strict=True)], dtype=np.float32)
    coarse = cv2.sepFilter2D(white, -1, kernels[1], kernels[0])
    coarse = coarse[margins[0] : margins[0] + inner[0], margins[1] : margins[1] + inner[1]]
    if steps != [1, 1]:
        coarse = cv2.resize(coarse, (inner[1] * steps[1], inner[0] * steps[0]), interpolation=cv2.INTER_LINEAR)
    # Half a knot at the edge is no interpolation but repetition: it stays outside.
    top, left = (step // 2 for step in steps)
    return np.asarray(coarse[top : top + shape[0], left : left + shape[1]], dtype=np.float32)


def _kernel(sigma: float) -> npt.NDArray[np.float32]:
    """Gaussian weights of unit energy: what they leave of white noise has variance 1."""
    radius = math.ceil(REACH * sigma)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(weights / math.sqrt((weights**2).sum()), dtype=np.float32)


def blur(values: npt.NDArray[np.floating], sigma: tuple[float, float]) -> Map:
    """``values`` under a Gaussian with standard deviations ``sigma`` in pixels, (rows, cols)."""
    return np.asarray(
        cv2.GaussianBlur(values.astype(np.float32, copy=False), (0, 0), sigmaX=sigma[1], sigmaY=sigma[0]),
        dtype=np.float32,
    )


def blur_mm(values: npt.NDArray[np.floating], sigma_mm: float, spacing: Spacing) -> Map:
    """``values`` under a Gaussian that is round in millimetres, with standard deviation ``sigma_mm``."""
    return blur(values, (sigma_mm / spacing.row_mm, sigma_mm / spacing.col_mm))


def ramp(values: npt.NDArray[np.floating], low: float, high: float) -> Map:
    """0 below ``low``, 1 above ``high``, a smooth cubic in between.

    Examples
    --------
    >>> ramp(np.array([0.0, 0.5, 2.0]), 0.0, 1.0).tolist()
    [0.0, 0.5, 1.0]
    """
    scale = 1.0 / (high - low)
    share = (values * np.float32(scale) - np.float32(low * scale)).astype(np.float32, copy=False)
    np.maximum(share, np.float32(0), out=share)
    np.minimum(share, np.float32(1), out=share)
    smooth = share * np.float32(-2)
    smooth += np.float32(3)
    smooth *= share
    smooth *= share
    return smooth


def facing(field: Map, spacing: Spacing) -> tuple[Map, Map]:
    """Where the level lines of a map lie and how squarely they face the transducer.

    Parameters
    ----------
    field : ndarray, shape (rows, cols)
        Any smooth map.
    spacing : Spacing
        Millimetres per pixel.

    Returns
    -------
    slope_squared : ndarray, shape (rows, cols)
        Squared gradient per mm²; never zero.
    facing : ndarray, shape (rows, cols)
        Squared cosine of the angle between the gradient and the beam, from 0 to 1.
    """
    across = np.asarray(cv2.Sobel(field, cv2.CV_32F, 1, 0, ksize=1, scale=0.5 / spacing.col_mm), dtype=np.float32)
    down = np.asarray(cv2.Sobel(field, cv2.CV_32F, 0, 1, ksize=1, scale=0.5 / spacing.row_mm), dtype=np.float32)
    down *= down
    across *= across
    across += down
    across += np.float32(1e-9)
    down /= across
    return across, down


def interface(field: Map, spacing: Spacing, width_mm: float) -> Map:
    """Thin lines where a map crosses zero, bright where they face the transducer and gone where they run along it.

    Parameters
    ----------
    field : ndarray, shape (rows, cols)
        Any smooth map.
    spacing : Spacing
        Millimetres per pixel.
    width_mm : float
        Distance from the line at which it has faded to 1/e.
    """
    slope_squared, square_on = facing(field, spacing)
    line = field * field
    line /= slope_squared
    line *= np.float32(-1 / width_mm**2)
    np.exp(line, out=line)
    line *= square_on
    line *= square_on
    return line
