from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import kstest

from usdlr.core.units import Spacing
from usdlr.simulate.centres import CENTRES
from usdlr.simulate.noise import Map
from usdlr.simulate.speckle import Resolution, envelope, log_compress

NORTH = CENTRES["north"]
SHAPE = (380, 420)
FREQUENCIES = (7.5, 11.0, 15.0)
DEPTHS_MM = (5.0, 16.0, 30.0)


@cache
def speckle(frequency: float, spacing: Spacing, count: int, shape: tuple[int, int] = SHAPE, level: float = 1.0) -> Map:
    """Independent envelopes of a homogeneous region, shape (count, rows, cols)."""
    power = np.full(shape, level, dtype=np.float32)
    resolution = Resolution(frequency)
    return np.stack([envelope(power, None, resolution, spacing, np.random.default_rng(seed)) for seed in range(count)])


def independent(name: str, level: float = 1.0) -> npt.NDArray[np.float64]:
    """Single-look samples of one centre's scanner, so far apart that their intensities correlate by exp(-8)."""
    centre = CENTRES[name]
    image = speckle(centre.frequency_mhz, centre.spacing, 40, SHAPE, level)
    deepest = np.array([SHAPE[0] * centre.spacing.row_mm])
    resolution = Resolution(centre.frequency_mhz)
    down = int(np.ceil(4 * resolution.axial_at(deepest)[0] / centre.spacing.row_mm))
    across = int(np.ceil(4 * resolution.lateral_at(deepest)[0] / centre.spacing.col_mm))
    samples = image[:, ::down, ::across].ravel().astype(np.float64)
    assert samples.size > 10_000
    return samples


@pytest.mark.parametrize("name", list(CENTRES))
def test_homogeneous_speckle_is_rayleigh_with_a_signal_to_noise_ratio_of_191(name: str) -> None:
    samples = independent(name, 2.5)
    assert samples.mean() / samples.std() == pytest.approx(1.91, abs=0.03)
    assert kstest(samples, "rayleigh", args=(0, np.sqrt(2.5 / 2))).pvalue > 0.01


def test_speckle_spreads_by_557_decibels_and_so_do_its_greys() -> None:
    samples = independent("west")
    assert (20 * np.log10(samples)).std() == pytest.approx(5.57, abs=0.08)
    # 80 dB leave 38 dB below the mean, less than which one echo in 7,000 has.
    greys = log_compress(samples.astype(np.float32), 80.0, 0.0)
    assert greys.std() == pytest.approx(5.57 * 255 / 80, abs=0.3)


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_speckle_has_the_same_mean_power_at_every_depth(frequency: float) -> None:
    power = (speckle(frequency, NORTH.spacing, 40, SHAPE, 3.0) ** 2).mean(axis=(0, 2))
    np.testing.assert_allclose(power.reshape(10, 38).mean(axis=1), 3.0, rtol=0.05)
    np.testing.assert_allclose(power.mean(), 3.0, rtol=0.015)


def echo_frequency(frequency: float, depth_mm: float) -> float:
    """Centre of a spectrum with 35 % bandwidth at half amplitude, after 0.5 dB/cm/MHz down to a depth and back."""
    axis = np.linspace(0, 3 * frequency, 20_001)
    spectrum = 0.5 ** (((axis - frequency) / (0.35 * frequency / 2)) ** 2)
    received = spectrum * 10 ** (-2 * 0.5 * axis * (depth_mm / 10) / 20)
    return float((axis * received).sum() / received.sum())


@pytest.mark.parametrize("frequency", FREQUENCIES)
@pytest.mark.parametrize("depth_mm", DEPTHS_MM)
def test_attenuation_lowers_the_centre_frequency(frequency: float, depth_mm: float) -> None:
    expected = echo_frequency(frequency, depth_mm)
    assert expected < frequency
    assert Resolution(frequency).frequency_at(np.array([depth_mm]))[0] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("frequency", FREQUENCIES)
def test_loss_is_what_attenuation_takes_from_the_pulse(frequency: float) -> None:
    axis = np.linspace(0, 3 * frequency, 20_001)
    spectrum = 0.5 ** (((axis - frequency) / (0.35 * frequency / 2)) ** 2)
    received = spectrum * 10 ** (-2 * 0.5 * axis * 2.0 / 20)
    # The peak of the pulse is the area under its amplitude spectrum.
    expected = 20 * np.log10(spectrum.sum() / received.sum())
    assert Resolution(frequency).loss_db(np.array([20.0]))[0] == pytest.approx(expected, rel=1e-3)


def pulse_fwhm_mm(frequency: float) -> float:
    """Axial width of a pulse of that frequency and 35 % bandwidth: half of the echo's envelope, found by transform."""
    step = 0.001  # microseconds
    axis = np.fft.fftfreq(1 << 16, step)
    analytic = np.fft.ifft(0.5 ** (((axis - frequency) / (0.35 * frequency / 2)) ** 2))
    strength = np.abs(analytic) / np.abs(analytic).max()
    # Distances are half the way there and back.
    return float((strength > 0.5).sum() * step * 1.54 / 2)


def measured_fwhm_mm(frequency: float, depth_mm: float, axis: int) -> float:
    """Width of the pulse that the grain shows.

    The intensity under a Gaussian pulse of deviation s has the autocorrelation exp(-lag^2 / (2 s^2)).
    """
    spacing = Spacing(0.04, 0.08)
    image = speckle(frequency, spacing, 16, (850, 420)) ** 2
    row = int(depth_mm / spacing.row_mm)
    block = image[:, row - 30 : row + 30]
    step = (spacing.row_mm, spacing.col_mm)[axis]
    best, width = 1.0, 0.0
    for lag in range(1, 16):
        length = block.shape[axis + 1] - lag
        near, far = (np.take(block, np.arange(start, start + length), axis + 1).ravel() for start in (0, lag))
        correlation = float(np.corrcoef(near, far)[0, 1])
        # Where the curve is steepest it tells the width best.
        if abs(correlation - 0.6) < best:
            best, width = abs(correlation - 0.6), lag * step / np.sqrt(-2 * np.log(correlation))
    return float(width * 2.3548)


@pytest.mark.parametrize("frequency", FREQUENCIES)
@pytest.mark.parametrize("depth_mm", DEPTHS_MM)
def test_grain_follows_frequency_and_depth_in_millimetres(frequency: float, depth_mm: float) -> None:
    received = echo_frequency(frequency, depth_mm)
    lateral = 2.7 * 1.54 / received * np.sqrt(1 + ((depth_mm - 16) / 16) ** 2)
    assert measured_fwhm_mm(frequency, depth_mm, 1) == pytest.approx(lateral, rel=0.06)
    assert measured_fwhm_mm(frequency, depth_mm, 0) == pytest.approx(pulse_fwhm_mm(received), rel=0.06)


@pytest.mark.parametrize("spacing", [Spacing(0.1, 0.1), Spacing(0.11, 0.09)])
def test_grain_is_the_same_on_every_grid(spacing: Spacing) -> None:
    image = speckle(9.0, spacing, 24) ** 2
    row, lag = int(16 / spacing.row_mm), 3
    block = image[:, row - 12 : row + 12]
    correlation = np.corrcoef(block[:, :, lag:].ravel(), block[:, :, :-lag].ravel())[0, 1]
    sigma = 2.7 * 1.54 / echo_frequency(9.0, 16.0) / 2.3548
    assert correlation == pytest.approx(np.exp(-((lag * spacing.col_mm / sigma) ** 2) / 2), abs=0.04)


def test_looks_are_independent() -> None:
    power = np.ones(SHAPE, dtype=np.float32)
    image = envelope(power, None, Resolution(11.0), NORTH.spacing, np.random.default_rng(0), looks=4)
    assert image.mean() / image.std() == pytest.approx(2 * 1.91, rel=0.03)
    assert image.mean() == pytest.approx(np.sqrt(np.pi) / 2, rel=0.02)


@pytest.mark.parametrize("spacing", [Spacing(0.05, 0.05), Spacing(0.1, 0.1), Spacing(0.08, 0.12)])
def test_a_reflector_is_as_bright_on_every_grid(spacing: Spacing) -> None:
    rows = round(30 / spacing.row_mm)
    depth = np.arange(rows)[:, None] * spacing.row_mm
    sheet_mm = 0.25 / np.sqrt(2)  # standard deviation of the sheet's profile
    specular = np.repeat(10 * np.exp(-(((depth - 15) / 0.25) ** 2)), 200, axis=1).astype(np.float32)
    image = envelope(np.ones_like(specular), specular, Resolution(11.0), spacing, np.random.default_rng(0))
    received = echo_frequency(11.0, 15.0)
    axial, lateral = pulse_fwhm_mm(received) / 2.3548, 2.7 * 1.54 / received / 2.3548
    # A pulse of unit energy on pixels of 0.1 mm, convolved with the sheet.
    expected = 10 * np.sqrt(4 * np.pi * axial * lateral) / 0.1 * sheet_mm / np.hypot(sheet_mm, axial)
    assert image[round(15 / spacing.row_mm)].mean() == pytest.approx(expected, rel=0.03)


def test_the_same_seed_gives_the_same_speckle_and_another_seed_another() -> None:
    power = np.ones((40, 50), dtype=np.float32)
    # Kept alive, so that every image is computed elsewhere in memory: alignment is not to matter.
    images = [envelope(power, None, Resolution(11.0), NORTH.spacing, np.random.default_rng(1), 2) for _ in range(16)]
    assert all(np.array_equal(images[0], image) for image in images[1:])
    other = envelope(power, None, Resolution(11.0), NORTH.spacing, np.random.default_rng(2), 2)
    assert not np.array_equal(images[0], other)


def test_log_compression_spreads_decibels_evenly() -> None:
    grey = log_compress(np.array([[0.1, 1.0, 10.0]], dtype=np.float32), 100.0, 0.0).astype(int)
    assert np.diff(grey[0]).tolist() == pytest.approx([51, 51], abs=1)  # 20 dB of 100 dB on 255 levels
    brighter = log_compress(np.array([[1.0]], dtype=np.float32), 100.0, 10.0).astype(int)
    assert brighter[0, 0] - grey[0, 1] == pytest.approx(25.5, abs=1)
    assert log_compress(np.array([[0.0, 1e6]], dtype=np.float32), 60.0, 0.0).tolist() == [[0, 255]]
