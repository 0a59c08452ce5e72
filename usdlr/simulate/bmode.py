"""The B-mode image of a phantom: attenuation, time-gain compensation, shadow, noise, speckle, compounding, gain."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from usdlr.core.units import MM_PER_CM, Spacing
from usdlr.simulate.acquired import Grey
from usdlr.simulate.centres import Centre
from usdlr.simulate.noise import Map, ramp, smooth_noise
from usdlr.simulate.speckle import Resolution, envelope, log_compress
from usdlr.simulate.tissue import Phantom

NOISE_DB = -74.0  # electronic noise relative to gland at the skin; time-gain compensation raises it with depth
CONTACT_DB = 1.35  # typical loss under skin that the gel couples unevenly
CONTACT_MM = 4.0  # depth from which that loss is complete: nearer, the coupled elements beside the patch see too
BAND_DB = (-3.0, 6.0)  # dark bands under air or hair, from examination to examination; below 0 there are none
BAND_MM = 0.85  # smoothness of the bands across: they come out 1 to 3 mm wide
BAND_STARTS = 0.8  # standard deviations beyond which a band begins: a fifth of the width lies in one
LIFTED_RATE = 0.12  # share of the examinations in which one end of the transducer has lost the skin
LIFTED_MM = (2.0, 9.0)  # width of that end
LIFTED_FREE_MM = 3.0  # between what is lost and the lesion, which the operator keeps in view
LIFTED_DB = (5.0, 14.0)  # what is lost there
FADING_RATE = 0.4  # share of the examinations in which tissue attenuates more than compensation makes up for
FADING_MM = (16.0, 34.0)  # depth from which that shows
FADING_DB_PER_CM = (2.0, 11.0)  # the highest leave little of the deepest centimetre
SLIDERS_DB = 1.8  # standard deviation of the operator's error in time-gain compensation
SLIDERS_MM = 8.0  # distance of the sliders
UNEVEN_DB = 0.04  # standard deviation of the attenuation from place to place, one way, in dB per cm and MHz
UNEVEN_MM = (5.0, 2.0)  # size of such places, along depth and across
GAIN_DB = 3.0  # standard deviation of the operator's overall gain, as between real examinations
NEPER = math.log(10) / 10  # dB of power to natural logarithm


def acquire_bmode(phantom: Phantom, centre: Centre, rng: np.random.Generator) -> Grey:
    """The B-mode image, shape (rows, cols), 0-255.

    Attenuation, which differs a little from place to place, is compensated with an error that differs from examination
    to examination; electronic noise, which compensation amplifies, takes over where the echo is weakest: deep, and in
    the shadow of the lesion.

    Parameters
    ----------
    phantom : Phantom
        What lies under the transducer.
    centre : Centre
        Sets frequency, number of looks, dynamic range and gain.
    rng : Generator
        Source of scatterers, noise and the operator's hand.

    Returns
    -------
    ndarray of uint8, shape (rows, cols)
        Without its speckle, grey = 255 (0.40 + (level in dB + gain) / dynamic range), the level relative to gland.
    """
    rows, cols = phantom.echo_db.shape
    spacing = phantom.spacing
    resolution = Resolution(centre.frequency_mhz)
    depth_mm = np.arange(rows, dtype=np.float32)[:, None] * np.float32(spacing.row_mm)
    loss_db = resolution.loss_db(depth_mm)
    contact = _contact(rng, cols, spacing)
    sliders_db = SLIDERS_DB * smooth_noise(rng, (rows, 1), spacing, (SLIDERS_MM, 1.0))  # the operator's hand
    # Compensation knows the mean attenuation; what single paths lose more or less shows as vertical shading.
    uneven_db = np.cumsum(smooth_noise(rng, (rows, cols), spacing, UNEVEN_MM), axis=0, dtype=np.float32)
    uneven_db *= np.float32(2 * UNEVEN_DB * centre.frequency_mhz * spacing.row_mm / MM_PER_CM)
    # What the way to the echo and back leaves of it, after compensation.
    way_db = phantom.shadow_db + uneven_db + (contact * ramp(depth_mm, 0.0, CONTACT_MM) + sliders_db)
    way_db += _fading(rng, depth_mm)
    way_db += _lifted(rng, np.asarray(phantom.lesion.any(axis=0)), spacing)
    noise = np.exp(NEPER * (NOISE_DB + loss_db + sliders_db)).astype(np.float32)
    power = _from_db(phantom.echo_db + way_db, NEPER) + noise
    specular = phantom.specular * _from_db(way_db, NEPER / 2)
    amplitude = envelope(power, specular, resolution, spacing, rng, centre.looks)
    return log_compress(amplitude, centre.dynamic_range_db, centre.gain_db + rng.normal(0, GAIN_DB))


def _contact(rng: np.random.Generator, cols: int, spacing: Spacing) -> Map:
    """Change in dB under each column, shape (1, cols): uneven gel, and dark bands that are strong, weak or missing."""
    uneven = np.float32(CONTACT_DB) * np.abs(smooth_noise(rng, (1, cols), spacing, (1.0, 2.5)))
    bands = np.maximum(smooth_noise(rng, (1, cols), spacing, (1.0, BAND_MM)) - np.float32(BAND_STARTS), 0)
    return np.asarray(-uneven - np.float32(max(rng.uniform(*BAND_DB), 0.0)) * bands, dtype=np.float32)


def _fading(rng: np.random.Generator, depth_mm: Map) -> Map:
    """Change in dB with depth, shape (rows, 1), beyond what time-gain compensation makes up for."""
    seen, start, slope = rng.random() < FADING_RATE, rng.uniform(*FADING_MM), rng.uniform(*FADING_DB_PER_CM)
    lost = np.maximum(depth_mm - np.float32(start), 0) * np.float32(slope / MM_PER_CM if seen else 0.0)
    return np.asarray(-lost, dtype=np.float32)


def _lifted(rng: np.random.Generator, lesion: npt.NDArray[np.bool_], spacing: Spacing) -> Map:
    """Change in dB under one end of the transducer that has lost the skin, shape (1, cols); never over the lesion."""
    seen, width = rng.random() < LIFTED_RATE, rng.uniform(*LIFTED_MM)
    loss, left = rng.uniform(*LIFTED_DB), rng.random() < 0.5
    cols = len(lesion)
    if not seen or not lesion.any():
        return np.zeros((1, cols), np.float32)
    from_end = np.arange(cols, dtype=np.float32) * np.float32(spacing.col_mm)
    hit = np.flatnonzero(lesion if left else lesion[::-1])[0] * spacing.col_mm
    width = min(width, max(float(hit) - LIFTED_FREE_MM, 0.1))
    lost = ramp(from_end, width, 0.4 * width) * np.float32(-loss)
    return np.asarray((lost if left else lost[::-1])[None, :], dtype=np.float32)


def _from_db(level_db: Map, scale: float) -> Map:
    return np.asarray(np.exp(level_db.astype(np.float32, copy=False) * np.float32(scale)), dtype=np.float32)
