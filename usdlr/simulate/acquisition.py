"""The scanner and the reader: speckle, elastography and contours from a phantom.

The B-mode image is fully developed speckle, as from complex Gaussian scatterers under a Gaussian pulse: the envelope
of a homogeneous region is Rayleigh distributed with a signal-to-noise ratio of sqrt(pi / (4 - pi)) = 1.91 [1]_.

References
----------
.. [1] Wagner, Smith, Sandrik, Lopez: Statistics of speckle in ultrasound B-scans. IEEE Trans Sonics Ultrason 30,
   156-163 (1983). https://doi.org/10.1109/T-SU.1983.31404
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.ndimage import binary_fill_holes, label

from usdlr.core.units import MM_PER_CM, Spacing
from usdlr.simulate.centres import Centre
from usdlr.simulate.noise import Map, blur_mm, ramp, smooth_noise
from usdlr.simulate.tissue import Phantom

Grey = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]

MAX_STIFFNESS_KPA = 300.0
ATTENUATION_DB_PER_CM_MHZ = 0.5  # one way
NOISE_DB = -74.0  # electronic noise relative to gland at the skin; time-gain compensation raises it with depth
GLAND_GREY = 0.48  # where gland lies in the dynamic range at 0 dB gain
PAD_PIXELS = 16
ELASTO_MARGIN_MM = 7.0
ELASTO_SMOOTHING_MM = 0.6


@dataclass(frozen=True)
class Resolution:
    """Standard deviations of the Gaussian pulse.

    Parameters
    ----------
    axial_mm : float
        Along depth, the same everywhere.
    lateral_mm : float
        Across, in the focus.
    focus_mm : float
        Depth of the focus.
    depth_of_field_mm : float
        Distance from the focus at which the lateral width has grown by the square root of two.
    """

    axial_mm: float
    lateral_mm: float
    focus_mm: float
    depth_of_field_mm: float

    @classmethod
    def of(cls, frequency_mhz: float) -> Resolution:
        """The resolution of a transducer: both widths shrink with the frequency."""
        return cls(0.95 / frequency_mhz, 1.75 / frequency_mhz, focus_mm=16.0, depth_of_field_mm=16.0)

    def lateral_at(self, depth_mm: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Lateral standard deviation in mm at each depth in mm."""
        return np.asarray(self.lateral_mm * np.hypot(1, (depth_mm - self.focus_mm) / self.depth_of_field_mm))


def envelope(
    power: Map, specular: Map | None, resolution: Resolution, spacing: Spacing, rng: np.random.Generator
) -> Map:
    """Echo amplitude before log compression.

    Parameters
    ----------
    power : ndarray, shape (rows, cols)
        Mean squared amplitude of the speckle, any linear unit.
    specular : ndarray, shape (rows, cols), or None
        Amplitude of coherent reflectors in the same unit's square root, added with one common phase.
    resolution : Resolution
        Width of the pulse.
    spacing : Spacing
        Millimetres per pixel.
    rng : Generator
        Source of the scatterers.

    Returns
    -------
    ndarray, shape (rows, cols)
        Where ``power`` is constant and ``specular`` zero: Rayleigh distributed with mean square ``power``.
    """
    rows, cols = power.shape
    edge = ((PAD_PIXELS, PAD_PIXELS), (PAD_PIXELS, PAD_PIXELS))
    amplitude = np.sqrt(np.pad(power, edge, mode="edge") / 2)
    parts = rng.standard_normal((2, *amplitude.shape), dtype=np.float32) * amplitude
    if specular is not None:
        parts[0] += np.pad(specular, edge, mode="edge")
    # Axial: one kernel. Lateral: a kernel per row, as a product in the frequency domain. Both have unit energy, so
    # that the mean power is what was asked for at every depth.
    sigma = resolution.axial_mm / spacing.row_mm
    reach = np.arange(-PAD_PIXELS, PAD_PIXELS + 1)
    axial = np.exp(-0.5 * (reach / sigma) ** 2)
    axial /= np.sqrt((axial**2).sum())
    real, imaginary = (cv2.sepFilter2D(part, -1, np.ones(1), axial, borderType=cv2.BORDER_REFLECT) for part in parts)
    field = real + np.complex64(1j) * imaginary
    length = scipy.fft.next_fast_len(field.shape[1])
    depth_mm = (np.arange(field.shape[0]) - PAD_PIXELS) * spacing.row_mm
    lateral = resolution.lateral_at(depth_mm) / spacing.col_mm
    frequency = scipy.fft.fftfreq(length)
    transfer = np.exp(-2 * (np.pi * frequency[None, :] * lateral[:, None]) ** 2)
    transfer *= 1 / np.sqrt((transfer**2).mean(axis=1, keepdims=True))
    spectrum = scipy.fft.fft(field, length, axis=1) * transfer.astype(np.float32)
    image = np.abs(scipy.fft.ifft(spectrum, axis=1))
    return np.asarray(image[PAD_PIXELS : PAD_PIXELS + rows, PAD_PIXELS : PAD_PIXELS + cols], dtype=np.float32)


def log_compress(amplitude: Map, dynamic_range_db: float, gain_db: float) -> Grey:
    """Grey levels of an envelope: 0 at the bottom of the dynamic range, 255 at its top.

    Parameters
    ----------
    amplitude : ndarray
        Envelope; unit amplitude lies at 48 % of the range when ``gain_db`` is 0.
    dynamic_range_db : float
        Range of levels between black and white.
    gain_db : float
        Added to every level.

    Examples
    --------
    >>> log_compress(np.array([[0.001, 1.0, 1000.0]], dtype=np.float32), 60.0, 0.0).tolist()
    [[0, 122, 255]]
    """
    level_db = 20 * np.log10(np.maximum(amplitude, 1e-6)) + gain_db
    return np.round(255 * np.clip(GLAND_GREY + level_db / dynamic_range_db, 0, 1)).astype(np.uint8)


def acquire_bmode(phantom: Phantom, centre: Centre, rng: np.random.Generator) -> Grey:
    """The B-mode image, shape (rows, cols), 0-255.

    Attenuation is compensated with an error that differs from examination to examination; electronic noise, which
    compensation amplifies, takes over where the echo is weakest.
    """
    rows, cols = phantom.echo_db.shape
    spacing = phantom.spacing
    depth_cm = np.arange(rows, dtype=np.float32)[:, None] * np.float32(spacing.row_mm / MM_PER_CM)
    loss_db = 2 * ATTENUATION_DB_PER_CM_MHZ * centre.frequency_mhz * depth_cm
    contact_db = -1.8 * np.abs(smooth_noise(rng, (1, cols), spacing, (1.0, 2.5))) * ramp(depth_cm, 0.0, 0.4)
    sliders = smooth_noise(rng, (rows, 1), spacing, (8.0, 1.0))  # the operator's hand on the compensation
    received_db = phantom.echo_db + phantom.shadow_db + contact_db - loss_db
    compensation_db = loss_db + 1.8 * sliders
    power = (10 ** (received_db / 10) + 10 ** (NOISE_DB / 10)) * 10 ** (compensation_db / 10)
    specular = phantom.specular * 10 ** ((phantom.shadow_db + contact_db + 1.8 * sliders) / 20)
    amplitude = np.zeros((rows, cols), dtype=np.float32)
    for _ in range(centre.looks):
        amplitude += envelope(
            power.astype(np.float32), specular.astype(np.float32), Resolution.of(centre.frequency_mhz), spacing, rng
        )
    gain_db = centre.gain_db + rng.normal(0, 1.5)
    return log_compress(amplitude / np.float32(centre.looks), centre.dynamic_range_db, gain_db)


def acquire_elastography(phantom: Phantom, centre: Centre, rng: np.random.Generator) -> Map:
    """The shear-wave elastography map in kPa, shape (rows, cols).

    Values from 0 to 300 within a box around the lesion; NaN outside it and where the scanner lost the wave, which
    happens most in shadow, in depth and in very stiff tissue.
    """
    spacing = phantom.spacing
    shape = (phantom.distance_mm.shape[0], phantom.distance_mm.shape[1])
    smooth = blur_mm(phantom.stiffness_kpa, ELASTO_SMOOTHING_MM, spacing)
    noise = 0.07 * smooth_noise(rng, shape, spacing, (0.5, 0.5)) + 0.08 * smooth_noise(rng, shape, spacing, (2.0, 2.0))
    measured = centre.elasto_scale * smooth * np.exp(noise + rng.normal(0, 0.05))
    depth_mm = np.arange(shape[0], dtype=np.float32)[:, None] * np.float32(spacing.row_mm)
    loss = -phantom.shadow_db / 8 + ramp(depth_mm, 20, 45) + ramp(smooth, 140, 300)
    lost = smooth_noise(rng, shape, spacing, (1.2, 1.2)) > 2.6 - 0.8 * loss
    inside = elastography_box(phantom.lesion, spacing)
    return np.asarray(np.where(inside & ~lost, np.clip(measured, 0, MAX_STIFFNESS_KPA), np.nan), dtype=np.float32)


def elastography_box(lesion: Flags, spacing: Spacing) -> Flags:
    """The rectangle in which stiffness is measured: the lesion and 7 mm around it, inside the image."""
    rows, cols = (np.flatnonzero(lesion.any(axis=axis)) for axis in (1, 0))
    down, across = round(ELASTO_MARGIN_MM / spacing.row_mm), round(ELASTO_MARGIN_MM / spacing.col_mm)
    box = np.zeros(lesion.shape, dtype=bool)
    box[max(rows[0] - down, 0) : rows[-1] + down + 1, max(cols[0] - across, 0) : cols[-1] + across + 1] = True
    return box


def draw_contour(phantom: Phantom, centre: Centre, rng: np.random.Generator) -> Flags:
    """The reader's mask: the true outline, off by the centre's bias and a smooth wavering in mm; one piece."""
    shape = (phantom.distance_mm.shape[0], phantom.distance_mm.shape[1])
    # A hand follows no spicule: the line is drawn on a distance that is smooth on the scale of a pen stroke.
    distance = blur_mm(phantom.distance_mm, 0.4, phantom.spacing)
    wavering = centre.contour_noise_mm * smooth_noise(rng, shape, phantom.spacing, (3.0, 3.0))
    # Even a small lesion under the most timid hand keeps its core.
    drawn = (distance <= centre.contour_bias_mm + wavering) | (distance <= 0.6 * distance.min())
    pieces, count = label(drawn)
    largest = drawn if count == 1 else pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    return np.asarray(binary_fill_holes(largest), dtype=bool)
