"""Laplacian of Gaussian by recursive filters: SimpleITK's values to the bit, inside a box alone.

SimpleITK filters whole images. Here the recursion runs over whole lines too, but only what lies in the box is stored
and filtered again, and neighbouring lines go side by side through the processor's vector units. ITK rounds to float32
after every pass; so does this, in the same order, which makes the results equal bit by bit. Where they are not (another
processor's SimpleITK may fuse multiplication and addition), the first call notices and SimpleITK itself is used.

References
----------
.. [1] Deriche, "Recursively implementing the Gaussian and its derivatives", INRIA research report 1893, 1993.
.. [2] Farnebäck and Westin, "Improving Deriche-style recursive Gaussian filters", J Math Imaging Vis 26, 2006,
   doi 10.1007/s10851-006-8464-z.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from math import cos, exp, sin
from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.core.units import Spacing
from usdlr.radiomics.native.kernel import compiled

Box = tuple[int, int, int, int]
Doubles = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

# Deriche's fourth-order fit, as in [2]: amplitudes of the Gaussian and of its second derivative, frequencies, decays.
_A = {0: (1.3530, -0.3531), 2: (-1.3563, 0.3446)}
_B = {0: (1.8151, 0.0902), 2: (5.2318, -2.2355)}
_W = (0.6681, 2.0787)
_L = (-1.3932, -1.3732)


@dataclass(frozen=True)
class _Coefficients:
    """A fourth-order recursion in both directions, with the constant continuation of the image at its ends."""

    causal: Doubles
    anticausal: Doubles
    feedback: Doubles
    causal_end: Doubles
    anticausal_end: Doubles


@compiled
def _recurse(
    lines: Doubles, n: Doubles, m: Doubles, d: Doubles, bn: Doubles, bm: Doubles, low: int, high: int, out: Singles
) -> None:
    """Filter along the first axis, all columns side by side, and store the rows from ``low`` to ``high``."""
    length, width = lines.shape
    y1, y2, y3, y4, new = np.empty(width), np.empty(width), np.empty(width), np.empty(width), np.empty(width)
    forward = np.empty((high - low, width))
    n0, n1, n2, n3 = n
    m1, m2, m3, m4 = m
    d1, d2, d3, d4 = d
    first, last = lines[0], lines[length - 1]
    for i in range(high):
        a, b, c, e = lines[i], lines[max(i - 1, 0)], lines[max(i - 2, 0)], lines[max(i - 3, 0)]
        for j in range(width):
            new[j] = ((a[j] * n0 + b[j] * n1) + c[j] * n2) + e[j] * n3
        if i < 4:
            for j in range(width):
                end = float(first[j])
                f1 = y1[j] * d1 if i > 0 else end * bn[0]
                f2 = y2[j] * d2 if i > 1 else end * bn[1]
                f3 = y3[j] * d3 if i > 2 else end * bn[2]
                new[j] -= ((f1 + f2) + f3) + end * bn[3]
        else:
            for j in range(width):
                new[j] -= ((y1[j] * d1 + y2[j] * d2) + y3[j] * d3) + y4[j] * d4
        if i >= low:
            forward[i - low] = new
        y1, y2, y3, y4, new = new, y1, y2, y3, y4
    for i in range(length - 1, low - 1, -1):
        a, b = lines[min(i + 1, length - 1)], lines[min(i + 2, length - 1)]
        c, e = lines[min(i + 3, length - 1)], lines[min(i + 4, length - 1)]
        for j in range(width):
            new[j] = ((a[j] * m1 + b[j] * m2) + c[j] * m3) + e[j] * m4
        k = length - 1 - i
        if k < 4:
            for j in range(width):
                end = float(last[j])
                f1 = y1[j] * d1 if k > 0 else end * bm[0]
                f2 = y2[j] * d2 if k > 1 else end * bm[1]
                f3 = y3[j] * d3 if k > 2 else end * bm[2]
                new[j] -= ((f1 + f2) + f3) + end * bm[3]
        else:
            for j in range(width):
                new[j] -= ((y1[j] * d1 + y2[j] * d2) + y3[j] * d3) + y4[j] * d4
        if i < high:
            target, before = out[i - low], forward[i - low]
            for j in range(width):
                target[j] = before[j] + new[j]
        y1, y2, y3, y4, new = new, y1, y2, y3, y4


def _terms(order: int, sigma_px: float) -> tuple[list[float], float, float, float]:
    """Coefficients of the causal part, and their sum, first and second moment."""
    (a1, a2), (b1, b2) = _A[order], _B[order]
    s1, s2 = sin(_W[0] / sigma_px), sin(_W[1] / sigma_px)
    c1, c2 = cos(_W[0] / sigma_px), cos(_W[1] / sigma_px)
    e1, e2 = exp(_L[0] / sigma_px), exp(_L[1] / sigma_px)
    n0 = a1 + a2
    n1 = e2 * (b2 * s2 - (a2 + 2 * a1) * c2) + e1 * (b1 * s1 - (a1 + 2 * a2) * c1)
    n2 = (a1 + a2) * c2 * c1 - (b1 * c2 * s1 + b2 * c1 * s2)
    n2 *= 2 * e1 * e2
    n2 += a2 * e1 * e1 + a1 * e2 * e2
    n3 = e2 * e1 * e1 * (b2 * s2 - a2 * c2) + e1 * e2 * e2 * (b1 * s1 - a1 * c1)
    return [n0, n1, n2, n3], n0 + n1 + n2 + n3, n1 + 2 * n2 + 3 * n3, n1 + 4 * n2 + 9 * n3


@lru_cache(maxsize=256)
def _coefficients(sigma: float, spacing: float, order: int) -> _Coefficients:
    """Smoothing (``order`` 0) or second derivative (2), normalised across scales, for one direction."""
    sigma_px = sigma / spacing
    c1, c2 = cos(_W[0] / sigma_px), cos(_W[1] / sigma_px)
    e1, e2 = exp(_L[0] / sigma_px), exp(_L[1] / sigma_px)
    d4 = e1 * e1 * e2 * e2
    d3 = -2 * c1 * e1 * e2 * e2
    d3 += -2 * c2 * e2 * e1 * e1
    d2 = 4 * c2 * c1 * e1 * e2
    d2 += e1 * e1 + e2 * e2
    d1 = -2 * (e2 * c2 + e1 * c1)
    sum_d, first_d, second_d = 1.0 + d1 + d2 + d3 + d4, d1 + 2 * d2 + 3 * d3 + 4 * d4, d1 + 4 * d2 + 9 * d3 + 16 * d4
    n, sum_n, _, _ = _terms(0, sigma_px)
    if order == 0:
        factor = 1.0 / (2 * sum_n / sum_d - n[0])
    else:
        curved, sum_c, first_c, second_c = _terms(2, sigma_px)
        _, _, first_n, second_n = _terms(0, sigma_px)
        beta = -(2 * sum_c - sum_d * curved[0]) / (2 * sum_n - sum_d * n[0])
        n = [c + beta * plain for c, plain in zip(curved, n, strict=True)]
        sum_n, first_n, second_n = sum_c + beta * sum_n, first_c + beta * first_n, second_c + beta * second_n
        alpha = second_n * sum_d * sum_d - second_d * sum_n * sum_d
        alpha = alpha - 2 * first_n * first_d * sum_d + 2 * first_d * first_d * sum_n
        alpha /= sum_d * sum_d * sum_d
        factor = sigma * sigma / alpha
    n = [value * factor for value in n]
    d = [d1, d2, d3, d4]
    m = [n[1] - d1 * n[0], n[2] - d2 * n[0], n[3] - d3 * n[0], -d4 * n[0]]
    total_n, total_m = n[0] + n[1] + n[2] + n[3], m[0] + m[1] + m[2] + m[3]
    return _Coefficients(
        np.array(n),
        np.array(m),
        np.array(d),
        np.array([value * total_n / sum_d for value in d]),
        np.array([value * total_m / sum_d for value in d]),
    )


def _filter(lines: Doubles, coefficients: _Coefficients, low: int, high: int) -> Singles:
    out = np.empty((high - low, lines.shape[1]), np.float32)
    c = coefficients
    _recurse(lines, c.causal, c.anticausal, c.feedback, c.causal_end, c.anticausal_end, low, high, out)
    return out


def recursive_log(pixels: Doubles, transposed: Doubles, sigma_mm: float, spacing: Spacing, box: Box) -> Singles:
    """The Laplacian of Gaussian inside a box.

    Parameters
    ----------
    pixels : float64 array, (rows, columns), contiguous
        The whole image; beyond its edge it continues with the values at the edge.
    transposed : float64 array, (columns, rows), contiguous
        The same, so that both directions run over contiguous lines.
    sigma_mm : float
        Standard deviation of the Gaussian in mm.
    spacing : Spacing
        Of the image.
    box : tuple of int
        First row, row after the last, first column, column after the last.

    Returns
    -------
    float32 array, (box rows, box columns)
        Normalised across scales (times sigma squared), in the image's unit.
    """
    top, bottom, left, right = box
    row_mm, col_mm = spacing.row_mm, spacing.col_mm
    along_columns = _filter(transposed, _coefficients(sigma_mm, col_mm, 2), left, right)
    horizontal = _filter(
        np.ascontiguousarray(along_columns.T, np.float64), _coefficients(sigma_mm, row_mm, 0), top, bottom
    )
    along_rows = _filter(pixels, _coefficients(sigma_mm, row_mm, 2), top, bottom)
    vertical = _filter(
        np.ascontiguousarray(along_rows.T, np.float64), _coefficients(sigma_mm, col_mm, 0), left, right
    ).T
    # ITK scales every direction by a double and adds into a float32 image, columns first.
    total = (horizontal * np.float64(1.0 / (col_mm * col_mm))).astype(np.float32)
    return (total + vertical * np.float64(1.0 / (row_mm * row_mm))).astype(np.float32)


def itk_log(pixels: Doubles, sigma_mm: float, spacing: Spacing) -> Singles:
    """SimpleITK's Laplacian of Gaussian of the whole image, float32 (rows, columns)."""
    import SimpleITK

    itk: Any = SimpleITK  # its own types are incomplete
    image = itk.GetImageFromArray(pixels)
    image.SetSpacing((spacing.col_mm, spacing.row_mm))
    log = itk.LaplacianRecursiveGaussianImageFilter()
    log.SetNormalizeAcrossScale(True)
    log.SetSigma(sigma_mm)
    return np.asarray(itk.GetArrayFromImage(log.Execute(image)), dtype=np.float32)


@cache
def equals_itk() -> bool:
    """Whether the recursion gives SimpleITK's bits on this machine, tried on a small image of noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48)).astype(np.float64)
    for sigma, spacing in ((0.31, Spacing(0.08, 0.11)), (1.7, Spacing(0.1, 0.1))):
        own = recursive_log(pixels, np.ascontiguousarray(pixels.T), sigma, spacing, (0, 40, 0, 48))
        if not np.array_equal(own, itk_log(pixels, sigma, spacing)):
            return False
    return True


def laplacian_of_gaussian(pixels: Doubles, transposed: Doubles, sigma_mm: float, spacing: Spacing, box: Box) -> Singles:
    """SimpleITK's Laplacian of Gaussian inside a box, by the quickest way that gives its bits.

    Parameters and result as for :func:`recursive_log`.
    """
    if equals_itk():
        return recursive_log(pixels, transposed, sigma_mm, spacing, box)
    top, bottom, left, right = box
    return itk_log(pixels, sigma_mm, spacing)[top:bottom, left:right]
