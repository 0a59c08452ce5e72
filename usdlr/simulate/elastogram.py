"""The elastogram of a phantom: shear-wave elastography in kPa, strain elastography in relative stiffness."""

from __future__ import annotations

import math

import numpy as np

from usdlr.core.units import Spacing
from usdlr.simulate.acquired import Flags
from usdlr.simulate.centres import Centre
from usdlr.simulate.noise import Map, blur_mm, ramp, smooth_noise
from usdlr.simulate.speckle import Depths, Profile, Resolution
from usdlr.simulate.tissue import Phantom
from usdlr.simulate.window import window_around

MAX_STIFFNESS_KPA = 300.0
ELASTO_MARGIN_MM = 7.0
ELASTO_SMOOTHING_MM = 0.6
STRAIN_SMOOTHING_MM = 0.7  # length over which the strain is fitted
STRAIN_CONTRAST = 1.5  # exponent of the display
PENETRATION_DB = (25.0, 65.0)  # two-way attenuation over which tracking of the echoes fails


def acquire_elastography(phantom: Phantom, centre: Centre, rng: np.random.Generator) -> Map:
    """The shear-wave elastography map in kPa, shape (rows, cols).

    Values from 0 to 300 within a box around the lesion; NaN outside it and where the scanner lost the wave, which
    happens most in shadow, in depth and in very stiff tissue.

    Parameters
    ----------
    phantom : Phantom
        What lies under the transducer.
    centre : Centre
        Its ``elastography.scale`` is the factor by which the scanner misreads.
    rng : Generator
        Source of noise and of lost places.
    """
    spacing = phantom.spacing
    box = elastography_box(phantom.lesion, spacing)
    smooth = blur_mm(phantom.stiffness_kpa[box], ELASTO_SMOOTHING_MM, spacing)
    shape = (smooth.shape[0], smooth.shape[1])
    noise = 0.07 * smooth_noise(rng, shape, spacing, (0.5, 0.5)) + 0.08 * smooth_noise(rng, shape, spacing, (2.0, 2.0))
    measured = smooth * np.exp(noise + np.float32(math.log(centre.elastography.scale) + rng.normal(0, 0.05)))
    loss = -phantom.shadow_db[box] / 8 + ramp(_depth_mm(phantom)[box[0]], 20, 45) + ramp(smooth, 140, 300)
    measured[smooth_noise(rng, shape, spacing, (1.2, 1.2)) > 2.6 - 0.8 * loss] = np.nan
    elastogram = np.full(phantom.distance_mm.shape, np.nan, dtype=np.float32)
    elastogram[box] = np.clip(measured, 0, MAX_STIFFNESS_KPA)
    return elastogram


def acquire_strain(phantom: Phantom, centre: Centre, rng: np.random.Generator) -> Map:
    """The strain elastography map: relative stiffness from 0 (soft) to 1 (stiff), shape (rows, cols), float32.

    The transducer presses on the skin and the axial strain is the local stress over Young's modulus, ``e = s(z) / E``:
    stress is taken as uniform across [1]_ and decays with depth as under a strip of the transducer's width 2 a,
    ``s(z) = 2/pi (atan(a / z) + a z / (a^2 + z^2))`` [2]_. How hard the hand pressed is unknown, so scanners show the
    strain relative to its mean over the box; here ``1 / (1 + (e / mean)^1.5)``, which is 0.5 at the mean strain and
    rises with stiffness. Multiplying every stiffness by one factor changes nothing: no kPa can be read from the map.
    Deep tissue, which strains less, looks stiffer than it is.

    Parameters
    ----------
    phantom : Phantom
        What lies under the transducer; stiffness is positive.
    centre : Centre
        The frequency limits how deep echoes can be tracked.
    rng : Generator
        Source of the decorrelation noise, which grows with attenuation and in shadow.

    Returns
    -------
    ndarray of float32, shape (rows, cols)
        NaN outside the box around the lesion.

    References
    ----------
    .. [1] Doyley, Parker: Elastography: general principles and clinical applications. Ultrasound Clin 9, 1-11 (2014).
       https://pmc.ncbi.nlm.nih.gov/articles/PMC3896304
    .. [2] Johnson: Contact mechanics. Cambridge University Press (1985), section 2.5, uniform normal pressure on a
       strip.
    """
    spacing = phantom.spacing
    box = elastography_box(phantom.lesion, spacing)
    depth_mm = _depth_mm(phantom)[box[0]]
    stress = _stress(depth_mm, phantom.distance_mm.shape[1] * spacing.col_mm / 2).astype(np.float32)
    strain = blur_mm(stress / phantom.stiffness_kpa[box], STRAIN_SMOOTHING_MM, spacing)
    strain /= strain.mean()
    shape = (strain.shape[0], strain.shape[1])
    lost_db = Resolution(centre.frequency_mhz).loss_db(depth_mm).astype(np.float32) - phantom.shadow_db[box]
    uncertainty = 0.06 + 0.25 * ramp(lost_db, *PENETRATION_DB)
    fine, coarse = smooth_noise(rng, shape, spacing, (0.5, 0.8)), smooth_noise(rng, shape, spacing, (2.0, 3.0))
    measured = np.maximum(strain * (1 + 0.12 * coarse) + uncertainty * fine, 0)
    elastogram = np.full(phantom.distance_mm.shape, np.nan, dtype=np.float32)
    elastogram[box] = 1 / (1 + measured**STRAIN_CONTRAST)
    return elastogram


def elastography_box(lesion: Flags, spacing: Spacing) -> tuple[slice, slice]:
    """Rows and columns in which stiffness is measured: the lesion and 7 mm around it, inside the image."""
    return window_around(lesion, spacing, ELASTO_MARGIN_MM)


def _depth_mm(phantom: Phantom) -> Map:
    """Depth of every row, shape (rows, 1)."""
    return np.arange(len(phantom.distance_mm), dtype=np.float32)[:, None] * np.float32(phantom.spacing.row_mm)


def _stress(depth_mm: Depths, half_width_mm: float) -> Profile:
    """Stress below the middle of a pressed strip, relative to the pressure on the skin."""
    product = half_width_mm * depth_mm / (half_width_mm**2 + depth_mm**2)
    return np.asarray(2 / math.pi * (np.arctan2(half_width_mm, depth_mm) + product))
