"""Filtered images, once per image and inside one box around all of its regions, to PyRadiomics' bits.

A filter that looks at the whole image (a global maximum, a recursion) still does; only its result is cut to the box.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.core.units import Spacing
from usdlr.radiomics.naming import log_name, too_small_for_log
from usdlr.radiomics.native.laplacian import Box, laplacian_of_gaussian
from usdlr.radiomics.settings import RadiomicsSettings

Doubles = npt.NDArray[np.float64]

# PyRadiomics leaves out images of fewer pixels in either direction for the Laplacian of Gaussian.
_SMALLEST_FOR_LOG = 4


class FilteredImage:
    """An image and, on demand, its filtered versions inside a box.

    Parameters
    ----------
    pixels : float64 array, (rows, columns)
        The whole image, finite.
    spacing : Spacing
        Of the image.
    box : tuple of int
        First row, row after the last, first column, column after the last.
    settings : RadiomicsSettings
        Which filters.
    """

    def __init__(self, pixels: Doubles, spacing: Spacing, box: Box, settings: RadiomicsSettings) -> None:
        self.pixels = np.ascontiguousarray(pixels)
        self.spacing = spacing
        self.box = box
        self.settings = settings

    def versions(self) -> Iterator[tuple[str, str, npt.NDArray[Any]]]:
        """Image type, PyRadiomics' name of the version, and the version inside the box, in the settings' order.

        Raises
        ------
        CaseError
            If the image is too small for a filter.
        """
        for image_type in self.settings.image_types:
            for name, version in getattr(self, f"_{image_type.lower()}")():
                yield image_type, name, version

    @cached_property
    def _transposed(self) -> Doubles:
        return np.ascontiguousarray(self.pixels.T)

    @cached_property
    def _largest(self) -> np.float64:
        """Largest absolute value of the whole image."""
        return np.float64(max(abs(self.pixels.min()), abs(self.pixels.max())))

    def _cut(self, whole: npt.NDArray[Any]) -> npt.NDArray[Any]:
        top, bottom, left, right = self.box
        return np.array(whole[top:bottom, left:right])

    def _original(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        yield "original", self._cut(self.pixels)

    def _square(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        with np.errstate(divide="ignore", invalid="ignore"):
            yield "square", _finite((1 / np.sqrt(self._largest) * self._cut(self.pixels)) ** 2)

    def _squareroot(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        part = self._cut(self.pixels)
        up, down = part > 0, part < 0
        part[up] = np.sqrt(part[up] * self._largest)
        part[down] = -np.sqrt(-part[down] * self._largest)
        yield "squareroot", part

    def _logarithm(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        part = self._cut(self.pixels)
        up, down = part > 0, part < 0
        part[up] = np.log(part[up] + 1)
        part[down] = -np.log(-(part[down] - 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            yield "logarithm", _finite(part * (self._largest / np.log(np.array([self._largest]) + 1)[0]))

    def _exponential(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = np.log(self._largest) / self._largest
            yield "exponential", _finite(np.exp(rate * self._cut(self.pixels)))

    def _gradient(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        import SimpleITK

        rows, cols = self.pixels.shape
        top, bottom, left, right = self.box
        # One pixel more on each side: the filter looks no further.
        first_row, first_col = max(top - 1, 0), max(left - 1, 0)
        itk: Any = SimpleITK  # its own types are incomplete
        image = itk.GetImageFromArray(self.pixels[first_row : min(bottom + 1, rows), first_col : min(right + 1, cols)])
        image.SetSpacing((self.spacing.col_mm, self.spacing.row_mm))
        gradient = itk.GradientMagnitudeImageFilter()
        gradient.SetUseImageSpacing(self.settings.gradient_in_mm)
        found = itk.GetArrayFromImage(gradient.Execute(image))
        row, col = top - first_row, left - first_col
        yield "gradient", np.array(found[row : row + bottom - top, col : col + right - left])

    def _lbp2d(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        import warnings

        from skimage.feature import local_binary_pattern

        settings = self.settings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it advises against floating-point images; PyRadiomics gives it one
            # The whole image: positions between pixels are rounded by where they lie, and ties decide the pattern.
            pattern: Any = local_binary_pattern  # without types
            whole = pattern(self.pixels, P=settings.lbp_samples, R=settings.lbp_radius, method=settings.lbp_method)
        yield "lbp-2D", self._cut(whole)

    def _log(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        rows, cols = self.pixels.shape
        for sigma in self.settings.log_sigma_mm:
            needed = (np.ceil(sigma / self.spacing.row_mm) + 1, np.ceil(sigma / self.spacing.col_mm) + 1)
            if min(rows, cols) < _SMALLEST_FOR_LOG or rows < needed[0] or cols < needed[1]:
                raise too_small_for_log(self.pixels.shape, sigma)
            yield (
                log_name(sigma),
                laplacian_of_gaussian(self.pixels, self._transposed, sigma, self.spacing, self.box),
            )

    def _wavelet(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """Stationary wavelet transform with periodic continuation, on as much of the image as the box depends on."""
        import pywt

        wavelet = pywt.Wavelet(self.settings.wavelet)
        start, levels = self.settings.wavelet_start_level, self.settings.wavelet_level
        margin = (start + levels) * wavelet.dec_len
        rows, row = _periodic_window(self.pixels.shape[0], self.box[0], self.box[1], margin)
        cols, col = _periodic_window(self.pixels.shape[1], self.box[2], self.box[3], margin)
        height, width = self.box[1] - self.box[0], self.box[3] - self.box[2]
        data = self.pixels[np.ix_(rows, cols)]

        def part(whole: Doubles) -> Doubles:
            return np.array(whole[row : row + height, col : col + width])

        # Columns first, as PyRadiomics orders its axes: the letters of a name are column, then row.
        axes = (1, 0)
        for _ in range(start):
            data = pywt.swtn(data, wavelet, level=1, start_level=0, axes=axes)[0]["aa"]
        for level in range(1, levels + 1):
            found = pywt.swtn(data, wavelet, level=1, start_level=0, axes=axes)[0]
            data = found["aa"]
            prefix = "wavelet" if level == 1 else f"wavelet{level}"
            for name, whole in found.items():
                if name != "aa":
                    yield f"{prefix}-{name.replace('a', 'L').replace('d', 'H')}", part(whole)
        yield f"{'wavelet' if levels == 1 else f'wavelet{levels}'}-LL", part(data)


def _periodic_window(size: int, low: int, high: int, margin: int) -> tuple[npt.NDArray[np.intp], int]:
    """Positions, of even number, that a periodic filter needs for ``low`` to ``high``, and where ``low`` lies in them.

    PyRadiomics repeats the first line behind the last where their number is odd; so do these positions.
    """
    period = size + size % 2
    if high - low + 2 * margin + 1 >= period:
        chosen, place = np.arange(period), low
    else:
        last = high + margin + (high - low) % 2
        chosen, place = np.arange(low - margin, last) % period, margin
    return np.where(chosen == size, 0, chosen).astype(np.intp), place


def _finite(part: Doubles) -> Doubles:
    """The same, unless the image is blank and the filter divides by zero.

    Raises
    ------
    CaseError
        If there is a value that is not finite.
    """
    if not np.isfinite(part).all():
        raise CaseError(
            ExclusionCode.FEATURES_FAILED,
            "found a blank image, expected intensities that differ from 0 for the filters Square, Logarithm and "
            "Exponential; leave these image types out or check the image",
        )
    return part
