"""Smooth random maps and ramps, the material that tissue and readers are made of."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from usdlr.core.units import Spacing

Map = npt.NDArray[np.float32]

KNOT_SIGMA = 2.0  # knots of the coarse grid per standard deviation of the kernel
MARGIN = 4  # knots beyond the image


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
    steps = [max(scale / KNOT_SIGMA / pixel, 1.0) for scale, pixel in zip(scale_mm, spacing.as_tuple(), strict=True)]
    sigma = [scale / (step * pixel) for scale, step, pixel in zip(scale_mm, steps, spacing.as_tuple(), strict=True)]
    knots = [math.ceil(length / step) + 2 * MARGIN for length, step in zip(shape, steps, strict=True)]
    white = rng.standard_normal(knots, dtype=np.float32)
    coarse = blur(white, (sigma[0], sigma[1]))
    # The variance that a unit-sum kernel leaves is the sum of its squared weights.
    coarse = coarse * np.float32(1 / math.sqrt(_squared_sum(sigma[0]) * _squared_sum(sigma[1])))
    start = rng.uniform(1, 2, size=2)
    scale = np.array([[1 / steps[1], 0, start[1]], [0, 1 / steps[0], start[0]]])
    smooth = cv2.warpAffine(
        coarse, scale, (shape[1], shape[0]), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(smooth, dtype=np.float32)


def blur(values: npt.NDArray[np.floating], sigma: tuple[float, float]) -> Map:
    """``values`` under a Gaussian with standard deviations ``sigma`` in pixels, (rows, cols)."""
    return np.asarray(
        cv2.GaussianBlur(values.astype(np.float32), (0, 0), sigmaX=sigma[1], sigmaY=sigma[0]), dtype=np.float32
    )


def blur_mm(values: npt.NDArray[np.floating], sigma_mm: float, spacing: Spacing) -> Map:
    """``values`` under a Gaussian that is round in millimetres, with standard deviation ``sigma_mm``."""
    return blur(values, (sigma_mm / spacing.row_mm, sigma_mm / spacing.col_mm))


def _squared_sum(sigma: float) -> float:
    radius = math.ceil(5 * sigma)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return float((weights**2).sum() / weights.sum() ** 2)


def ramp(values: npt.NDArray[np.floating], low: float, high: float) -> Map:
    """0 below ``low``, 1 above ``high``, a smooth cubic in between.

    Examples
    --------
    >>> ramp(np.array([0.0, 0.5, 2.0]), 0.0, 1.0).tolist()
    [0.0, 0.5, 1.0]
    """
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), dtype=np.float32)
