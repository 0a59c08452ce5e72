"""Fully developed speckle: scatterers under a pulse that widens off focus and loses its high frequencies with depth.

Every pixel holds a complex Gaussian scatterer, the sum of many in one pixel. The pulse is a Gaussian of standard
deviation ``axial_at`` along depth and ``lateral_at`` across; the envelope of a homogeneous region is therefore Rayleigh
distributed, with a signal-to-noise ratio of sqrt(pi / (4 - pi)) = 1.91 [1]_ and a standard deviation of
10 / ln 10 * pi / sqrt(6) = 5.57 dB.

With transmitted frequency f, relative bandwidth B and attenuation a, at depth z:

- A Gaussian pulse keeps its bandwidth and loses centre frequency in tissue whose attenuation grows in proportion to
  frequency [2]_: ``f(z) = f - 2 a z s^2`` with ``s = B f / sqrt(8 ln 2)``, the standard deviation of its amplitude
  spectrum, and ``a`` in nepers per length and frequency; 2 z is the way there and back.
- Along depth the full width at half maximum is ``2 ln 2 / pi * c / (B f(z))`` with the speed of sound c: the duration
  of a Gaussian pulse, ``4 ln 2 / (pi B f(z))``, times c / 2 for the way there and back. The receiving filter follows
  f(z) and keeps the relative bandwidth [3]_; with a fixed filter the axial width would not change.
- Across, the full width at half maximum in the focus is wavelength times f-number, ``N c / f(z)`` [3]_: the downshift
  widens the beam [4]_. Off focus it grows by ``sqrt(1 + ((z - focus) / depth of field)^2)``, as a Gaussian beam does.

References
----------
.. [1] Wagner, Smith, Sandrik, Lopez: Statistics of speckle in ultrasound B-scans. IEEE Trans Sonics Ultrason 30,
   156-163 (1983). https://doi.org/10.1109/T-SU.1983.31404
.. [2] Narayana, Ophir: Spectral shifts of ultrasonic propagation: a study of theoretical and experimental models.
   Ultrason Imaging 5, 22-29 (1983). https://doi.org/10.1177/016173468300500103
.. [3] Szabo: Diagnostic ultrasound imaging: inside out, 2nd edition. Academic Press (2014), chapters 6, 7 and 10.
.. [4] On beam widths under the downshift, theory and measurements: Ultrason Imaging 5 (1983).
   https://doi.org/10.1177/016173468300500204
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from usdlr.core.units import MM_PER_CM, Spacing
from usdlr.simulate.acquired import Grey
from usdlr.simulate.noise import Map

Depths = npt.NDArray[np.floating]
Profile = npt.NDArray[np.float64]

GLAND_GREY = 0.40  # where gland lies in the dynamic range at 0 dB gain: real images have a median grey of 64
SOUND_MM_PER_US = 1.54
NEPER_DB = 20 / math.log(10)
FWHM = math.sqrt(8 * math.log(2))  # full width at half maximum of a Gaussian of unit standard deviation
LOWEST_SHARE = 0.4  # of the transmitted frequency: below it no receiving filter follows
REACH = 4.0  # standard deviations at which a kernel ends
BLOCK_ROWS = 8  # rows that share one kernel; from one block to the next its widths change by 4 % at most
REFLECTOR_MM = 0.1  # pixel at which the amplitude of a reflector is stated


@dataclass(frozen=True)
class Resolution:
    """The pulse of a transducer: its centre frequency and its widths at every depth.

    Parameters
    ----------
    frequency_mhz : float
        Centre frequency at the skin.
    bandwidth : float
        Full width at half maximum of the two-way amplitude spectrum, as a share of the centre frequency.
    f_number : float
        Focal depth over aperture, transmission and reception together.
    focus_mm : float
        Depth of the focus.
    depth_of_field_mm : float
        Distance from the focus at which the lateral width has grown by the square root of two. Longer than a single
        transmitted beam's: scanners focus in several zones and on every depth in reception.
    attenuation_db : float
        One way, in dB per cm and MHz.
    """

    frequency_mhz: float
    bandwidth: float = 0.35
    f_number: float = 2.7
    focus_mm: float = 16.0
    depth_of_field_mm: float = 16.0
    attenuation_db: float = 0.5

    def frequency_at(self, depth_mm: Depths) -> Profile:
        """Centre frequency in MHz of the echo from each depth in mm."""
        nepers = self.attenuation_db / NEPER_DB / MM_PER_CM * np.asarray(depth_mm, dtype=np.float64)
        spectrum = self.bandwidth * self.frequency_mhz / FWHM
        return np.asarray(np.maximum(self.frequency_mhz - 2 * nepers * spectrum**2, LOWEST_SHARE * self.frequency_mhz))

    def loss_db(self, depth_mm: Depths) -> Profile:
        """Two-way attenuation in dB down to each depth in mm: the loss at f(z), summed over the way."""
        mean_frequency = (self.frequency_mhz + self.frequency_at(depth_mm)) / 2
        return np.asarray(2 * self.attenuation_db * mean_frequency * np.asarray(depth_mm) / MM_PER_CM)

    def axial_at(self, depth_mm: Depths) -> Profile:
        """Standard deviation along depth of the echo's amplitude, in mm, at each depth in mm."""
        width = 2 * math.log(2) / math.pi * SOUND_MM_PER_US / (self.bandwidth * self.frequency_at(depth_mm))
        return np.asarray(width / FWHM)

    def lateral_at(self, depth_mm: Depths) -> Profile:
        """Standard deviation across of the echo's amplitude, in mm, at each depth in mm."""
        in_focus = self.f_number * SOUND_MM_PER_US / self.frequency_at(depth_mm) / FWHM
        return np.asarray(in_focus * np.hypot(1, (np.asarray(depth_mm) - self.focus_mm) / self.depth_of_field_mm))


def envelope(
    power: Map,
    specular: Map | None,
    resolution: Resolution,
    spacing: Spacing,
    rng: np.random.Generator,
    looks: int = 1,
) -> Map:
    """Echo amplitude before log compression.

    Parameters
    ----------
    power : ndarray, shape (rows, cols)
        Mean squared amplitude of the speckle, any linear unit.
    specular : ndarray, shape (rows, cols), or None
        Amplitude of coherent reflectors in the same unit's square root, stated for pixels of 0.1 mm and added with one
        common phase: a reflector of a given width in mm is as bright on any grid.
    resolution : Resolution
        The pulse.
    spacing : Spacing
        Millimetres per pixel.
    rng : Generator
        Source of the scatterers.
    looks : int
        Independent envelopes that are averaged.

    Returns
    -------
    ndarray, shape (rows, cols)
        Where ``power`` is constant and ``specular`` zero, a single look is Rayleigh distributed with mean square
        ``power`` at every depth.
    """
    rows, cols = power.shape
    depth_mm = np.arange(rows) * spacing.row_mm
    axial = resolution.axial_at(depth_mm) / spacing.row_mm
    lateral = resolution.lateral_at(depth_mm) / spacing.col_mm
    down, across = math.ceil(REACH * axial.max()), math.ceil(REACH * lateral.max())
    # Real and imaginary parts of all looks lie side by side in one wide image, each with margins of its own.
    amplitude = _padded(np.sqrt(power / 2), down, across)
    width = amplitude.shape[1]
    parts = _normal(rng, (rows + 2 * down, 2 * looks, width))
    parts *= amplitude[:, None, :]
    if specular is not None:
        coherence = math.sqrt(spacing.pixel_area_mm2) / REFLECTOR_MM
        parts[:, ::2] += _padded(specular * np.float32(coherence), down, across)[:, None, :]
    wide = parts.reshape(len(parts), -1)
    field = np.empty((rows, 2 * looks, width), dtype=np.float32)
    for first in range(0, rows, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, rows)
        middle = (first + last) // 2
        block = cv2.sepFilter2D(
            wide[first : last + 2 * down], -1, _unit_energy(lateral[middle]), _unit_energy(axial[middle])
        )
        field[first:last] = block[down : down + last - first].reshape(last - first, 2 * looks, width)
    # Not cv2.magnitude, whose last bit depends on where in memory its arguments happen to lie.
    field *= field
    image = np.zeros((rows, cols), dtype=np.float32)
    inside = slice(across, across + cols)
    for look in range(looks):
        image += np.sqrt(field[:, 2 * look, inside] + field[:, 2 * look + 1, inside])
    image *= np.float32(1 / looks)
    return image


def log_compress(amplitude: Map, dynamic_range_db: float, gain_db: float) -> Grey:
    """Grey levels of an envelope: 0 at the bottom of the dynamic range, 255 at its top.

    Parameters
    ----------
    amplitude : ndarray
        Envelope; unit amplitude lies at 40 % of the range when ``gain_db`` is 0.
    dynamic_range_db : float
        Range of levels between black and white.
    gain_db : float
        Added to every level.

    Examples
    --------
    >>> log_compress(np.array([[0.001, 1.0, 1000.0]], dtype=np.float32), 60.0, 0.0).tolist()
    [[0, 102, 255]]
    """
    grey = np.log10(np.maximum(amplitude, np.float32(1e-6)))
    grey *= np.float32(255 * 20 / dynamic_range_db)
    grey += np.float32(255 * (GLAND_GREY + gain_db / dynamic_range_db))
    return np.asarray(np.rint(np.clip(grey, 0, 255, out=grey), out=grey).astype(np.uint8))


def _padded(values: Map, down: int, across: int) -> Map:
    """``values`` with their edges repeated."""
    padded = cv2.copyMakeBorder(values, down, down, across, across, cv2.BORDER_REPLICATE)
    return np.asarray(padded, dtype=np.float32)


def _unit_energy(sigma: float) -> Profile:
    """A Gaussian kernel under which white noise keeps its power."""
    reach = math.ceil(REACH * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(kernel / np.sqrt((kernel**2).sum()))


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Map:
    """Standard normal numbers on 65,536 levels, several times as fast as exact ones and Gaussian to four digits."""
    return np.asarray(_quantiles().take(rng.integers(0, 1 << 16, shape, dtype=np.uint16)))


@cache
def _quantiles() -> Map:
    quantiles = ndtri((np.arange(1 << 16) + 0.5) / (1 << 16))
    levels: Map = (quantiles / quantiles.std()).astype(np.float32)
    levels.setflags(write=False)
    return levels
