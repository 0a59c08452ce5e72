from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import label
from scipy.stats import kstest

from usdlr.core.units import Spacing
from usdlr.simulate.acquisition import (
    MAX_STIFFNESS_KPA,
    Resolution,
    acquire_bmode,
    acquire_elastography,
    draw_contour,
    elastography_box,
    envelope,
    log_compress,
)
from usdlr.simulate.centres import CENTRES
from usdlr.simulate.noise import Map
from usdlr.simulate.tissue import Phantom, signed_distance

NORTH, SOUTH = CENTRES["north"], CENTRES["south"]
PULSE = Resolution.of(11.0)


def speckle(level: float = 1.0, spacing: Spacing = NORTH.spacing, count: int = 12, pulse: Resolution = PULSE) -> Map:
    power = np.full((380, 420), level, dtype=np.float32)
    return np.stack([envelope(power, None, pulse, spacing, np.random.default_rng(seed)) for seed in range(count)])


def disc(radius_mm: float, spacing: Spacing, **maps: float) -> Phantom:
    """A disc in the middle of a flat world."""
    rows, cols = np.indices((300, 320))
    r = np.hypot((rows - 150) * spacing.row_mm, (cols - 160) * spacing.col_mm)
    flat = {
        name: np.full(r.shape, maps.get(name, 0.0), np.float32)
        for name in ("echo_db", "specular", "shadow_db", "stiffness_kpa")
    }
    distance = signed_distance(r < radius_mm, spacing)
    return Phantom(spacing=spacing, outline_mm=np.zeros((0, 2)), distance_mm=distance, **flat)


def bmode_mean(seed: int, **maps: float) -> float:
    return float(acquire_bmode(disc(3.0, NORTH.spacing, **maps), NORTH, np.random.default_rng(seed)).mean())


@pytest.mark.parametrize("name", list(CENTRES))
def test_homogeneous_speckle_is_rayleigh(name: str) -> None:
    spacing, pulse = CENTRES[name].spacing, Resolution.of(CENTRES[name].frequency_mhz)
    # Four standard deviations apart, the intensities of a Gaussian pulse correlate by exp(-8).
    down = int(np.ceil(4 * pulse.axial_mm / spacing.row_mm))
    across = int(np.ceil(4 * float(pulse.lateral_at(np.array([38.0]))[0]) / spacing.col_mm))
    samples = speckle(2.5, spacing, 24, pulse)[:, ::down, ::across].ravel()
    assert samples.size > 10_000
    assert samples.mean() / samples.std() == pytest.approx(1.91, abs=0.03)
    assert kstest(samples, "rayleigh", args=(0, np.sqrt(2.5 / 2))).pvalue > 0.01


def test_speckle_has_the_same_mean_power_at_every_depth() -> None:
    power = (speckle(3.0, count=24) ** 2).mean(axis=(0, 2))
    bands = power[:380].reshape(10, 38).mean(axis=1)
    np.testing.assert_allclose(bands, 3.0, rtol=0.06)


@pytest.mark.parametrize("spacing", [Spacing(0.1, 0.1), Spacing(0.11, 0.09)])
def test_speckle_grain_follows_the_pulse_in_millimetres(spacing: Spacing) -> None:
    """Intensity under a Gaussian pulse of deviation s has the autocorrelation exp(-lag^2 / (2 s^2))."""
    intensity = speckle(1.0, spacing, 16) ** 2

    def correlation(block: Map, axis: int, lag: int) -> float:
        near, far = (np.take(block, np.arange(a, block.shape[axis] - lag + a), axis) for a in (0, lag))
        return float(np.corrcoef(near.ravel(), far.ravel())[0, 1])

    lag = 1
    expected = np.exp(-((lag * spacing.row_mm / PULSE.axial_mm) ** 2) / 2)
    assert correlation(intensity, 1, lag) == pytest.approx(expected, abs=0.04)
    for depth in (4.0, 16.0, 32.0):
        row, lag = int(depth / spacing.row_mm), 3
        block = intensity[:, row - 12 : row + 12]
        sigma = PULSE.lateral_mm * np.sqrt(1 + ((depth - 16.0) / 16.0) ** 2)
        assert correlation(block, 2, lag) == pytest.approx(np.exp(-((lag * spacing.col_mm / sigma) ** 2) / 2), abs=0.06)


def test_axial_resolution_is_finer_than_lateral() -> None:
    assert PULSE.axial_mm < PULSE.lateral_mm
    assert Resolution.of(14.0).lateral_mm < PULSE.lateral_mm


def test_a_reflector_stands_above_the_speckle() -> None:
    specular = np.zeros((380, 420), dtype=np.float32)
    specular[200] = 10.0
    image = envelope(np.ones((380, 420), np.float32), specular, PULSE, NORTH.spacing, np.random.default_rng(0))
    assert image[200].mean() > 5 * image[100:150].mean()


def test_log_compression_spreads_decibels_evenly() -> None:
    grey = log_compress(np.array([[0.1, 1.0, 10.0]], dtype=np.float32), 100.0, 0.0).astype(int)
    assert np.diff(grey[0]).tolist() == pytest.approx([51, 51], abs=1)  # 20 dB of 100 dB on 255 levels
    brighter = log_compress(np.array([[1.0]], dtype=np.float32), 100.0, 10.0).astype(int)
    assert brighter[0, 0] - grey[0, 1] == pytest.approx(25.5, abs=1)


def test_bmode_shows_echo_level_in_decibels() -> None:
    greys = [np.mean([bmode_mean(seed, echo_db=level) for seed in range(4)]) for level in (-6.0, 0.0)]
    assert greys[1] - greys[0] == pytest.approx(255 * 6 / NORTH.dynamic_range_db, rel=0.1)


def test_compounding_lowers_the_speckle() -> None:
    def spread(looks: int) -> float:
        image = acquire_bmode(disc(3.0, NORTH.spacing), replace(NORTH, looks=looks), np.random.default_rng(0))
        return float(image[150:190, 150:250].std())

    assert spread(4) < 0.7 * spread(1)


def test_shadow_darkens_what_lies_behind() -> None:
    assert bmode_mean(1, shadow_db=0.0) - bmode_mean(1, shadow_db=-10.0) > 20


def test_elastography_reads_stiffness_inside_its_box() -> None:
    spacing = SOUTH.spacing
    flat = disc(5.0, spacing, stiffness_kpa=80.0)
    halving = replace(SOUTH, elasto_scale=0.5)
    maps = np.stack([acquire_elastography(flat, halving, np.random.default_rng(seed)) for seed in range(12)])
    assert np.nanmedian(maps) == pytest.approx(40.0, rel=0.06)
    box = elastography_box(flat.lesion, spacing)
    assert np.isnan(maps[:, ~box]).all()
    lost = np.isnan(maps[:, box]).mean()
    assert 0.001 < lost < 0.10
    rows, cols = np.flatnonzero(box.any(axis=1)), np.flatnonzero(box.any(axis=0))
    assert len(rows) * spacing.row_mm == pytest.approx(2 * (5.0 + 7.0), abs=0.5)
    assert len(cols) * spacing.col_mm == pytest.approx(2 * (5.0 + 7.0), abs=0.5)


def test_elastography_ends_at_300_kpa_and_loses_shadowed_tissue() -> None:
    values = acquire_elastography(disc(5.0, NORTH.spacing, stiffness_kpa=600.0), NORTH, np.random.default_rng(0))
    assert np.nanmax(values) == MAX_STIFFNESS_KPA
    assert np.nanmin(values) > 0

    def lost(shadow_db: float) -> float:
        flat = disc(5.0, NORTH.spacing, stiffness_kpa=50.0, shadow_db=shadow_db)
        maps = [acquire_elastography(flat, NORTH, np.random.default_rng(seed)) for seed in range(6)]
        return float(np.isnan(maps).mean())

    assert lost(-12.0) > lost(0.0) + 0.02


@pytest.mark.parametrize("spacing", [Spacing(0.1, 0.1), Spacing(0.11, 0.09)])
@pytest.mark.parametrize("bias", [-0.8, 0.0, 0.8])
def test_reader_draws_the_outline_with_the_centres_bias(bias: float, spacing: Spacing) -> None:
    reader = replace(NORTH, contour_bias_mm=bias, contour_noise_mm=0.0)
    drawn = draw_contour(disc(6.0, spacing), reader, np.random.default_rng(0))
    assert np.sqrt(drawn.sum() * spacing.pixel_area_mm2 / np.pi) == pytest.approx(6.0 + bias, abs=0.1)


def test_contour_is_one_piece_without_holes_and_wavers() -> None:
    shaky = replace(NORTH, contour_bias_mm=-2.0, contour_noise_mm=2.0)
    for seed in range(8):
        drawn = draw_contour(disc(4.0, NORTH.spacing), shaky, np.random.default_rng(seed))
        assert drawn.any()
        assert label(drawn)[1] == 1
        assert label(~drawn)[1] == 1


def test_a_timid_reader_keeps_the_core_of_a_small_lesion() -> None:
    timid = replace(NORTH, contour_bias_mm=-5.0, contour_noise_mm=0.0)
    assert draw_contour(disc(2.5, NORTH.spacing), timid, np.random.default_rng(0)).sum() > 20
