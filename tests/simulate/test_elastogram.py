from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import spearmanr

from tests.simulate.flat import SHAPE, disc
from usdlr.core.units import Spacing
from usdlr.simulate.centres import CENTRES
from usdlr.simulate.elastogram import MAX_STIFFNESS_KPA, acquire_elastography, acquire_strain, elastography_box
from usdlr.simulate.noise import Map
from usdlr.simulate.tissue import Phantom

NORTH, SOUTH = CENTRES["north"], CENTRES["south"]
SPACINGS = [Spacing(0.1, 0.1), Spacing(0.12, 0.08)]


def shear_wave(phantom: Phantom, count: int) -> Map:
    return np.stack([acquire_elastography(phantom, NORTH, np.random.default_rng(seed)) for seed in range(count)])


def strain(phantom: Phantom, count: int = 1) -> Map:
    return np.stack([acquire_strain(phantom, NORTH, np.random.default_rng(seed)) for seed in range(count)])


def lost(**maps: float | npt.NDArray[np.floating]) -> float:
    """Share of the box in which the wave is lost."""
    flat = disc(5.0, Spacing(0.1, 0.1), **maps)
    box = elastography_box(flat.lesion, flat.spacing)
    return float(np.isnan(shear_wave(flat, 10)[:, *box]).mean())


@pytest.mark.parametrize("spacing", SPACINGS)
def test_the_box_holds_the_lesion_and_7_mm_around_it(spacing: Spacing) -> None:
    rows, cols = elastography_box(disc(3.0, spacing).lesion, spacing)
    assert (rows.stop - rows.start) * spacing.row_mm == pytest.approx(2 * (3.0 + 7.0), abs=2 * spacing.row_mm)
    assert (cols.stop - cols.start) * spacing.col_mm == pytest.approx(2 * (3.0 + 7.0), abs=2 * spacing.col_mm)
    assert (rows.start + rows.stop - 1) / 2 == 150
    assert (cols.start + cols.stop - 1) / 2 == 160


def test_the_box_ends_at_the_border_of_the_image() -> None:
    lesion = np.zeros((40, 50), dtype=bool)
    lesion[3:30, 45:] = True
    assert elastography_box(lesion, Spacing(0.1, 0.1)) == (slice(0, 40), slice(0, 50))


def test_shear_waves_read_stiffness_with_the_scanners_error() -> None:
    flat = disc(5.0, SOUTH.spacing, stiffness_kpa=80.0)
    halving = replace(SOUTH, elastography=replace(SOUTH.elastography, scale=0.5))
    maps = np.stack([acquire_elastography(flat, halving, np.random.default_rng(seed)) for seed in range(12)])
    assert maps.dtype == np.float32
    assert np.nanmedian(maps) == pytest.approx(40.0, rel=0.06)
    outside = np.ones(SHAPE, dtype=bool)
    outside[elastography_box(flat.lesion, flat.spacing)] = False
    assert np.isnan(maps[:, outside]).all()
    assert 0.001 < np.isnan(maps[:, ~outside]).mean() < 0.10
    assert 0.05 < np.nanstd(np.log(maps[0])) < 0.2


def test_shear_waves_show_the_lesion_where_it_is() -> None:
    phantom = disc(5.0, NORTH.spacing)
    stiffness = np.where(phantom.lesion, 120.0, 20.0).astype(np.float32)
    values = shear_wave(replace(phantom, stiffness_kpa=stiffness), 6)
    assert np.nanmedian(values[:, phantom.distance_mm < -1.5]) == pytest.approx(120.0, rel=0.1)
    ring = (phantom.distance_mm > 1.5) & (phantom.distance_mm < 5)
    assert np.nanmedian(values[:, ring]) == pytest.approx(20.0, rel=0.1)


def test_shear_wave_elastography_ends_at_300_kpa() -> None:
    values = shear_wave(disc(5.0, NORTH.spacing, stiffness_kpa=600.0), 1)
    assert np.nanmax(values) == MAX_STIFFNESS_KPA == 300.0
    assert np.nanmin(values) > 0


def test_waves_are_lost_in_shadow_in_depth_and_in_very_stiff_tissue() -> None:
    plain = lost(stiffness_kpa=50.0)
    assert plain < 0.03
    assert lost(stiffness_kpa=50.0, shadow_db=-12.0) > plain + 0.02
    assert lost(stiffness_kpa=280.0) > plain + 0.02
    # On a coarser grid the same pixels lie three times as deep: the box reaches from 23 to 67 mm.
    deep = disc(15.0, Spacing(0.3, 0.3), stiffness_kpa=50.0)
    missing = np.isnan(shear_wave(deep, 10)[:, *elastography_box(deep.lesion, deep.spacing)]).mean(axis=(0, 2))
    assert missing[-40:].mean() > missing[:20].mean() + 0.015


def test_strain_is_relative_stiffness_from_0_to_1_inside_the_box() -> None:
    flat = disc(4.0, NORTH.spacing, stiffness_kpa=30.0)
    values = strain(flat)[0]
    box = elastography_box(flat.lesion, flat.spacing)
    assert values.dtype == np.float32
    inside = np.zeros(SHAPE, dtype=bool)
    inside[box] = True
    np.testing.assert_array_equal(np.isnan(values), ~inside)
    assert values[box].min() >= 0
    assert values[box].max() <= 1
    # Homogeneous tissue lies in the middle, whatever its stiffness.
    assert values[box].mean() == pytest.approx(0.5, abs=0.03)


def test_strain_rises_with_stiffness() -> None:
    stiffness = np.repeat(np.array([8.0, 15.0, 25.0, 45.0, 80.0, 150.0, 250.0, 400.0]), 40)
    values = strain(disc(6.0, NORTH.spacing, stiffness_kpa=np.tile(stiffness, (SHAPE[0], 1))), 4)
    # Each strip without its borders, over which strain is fitted; the box leaves out the first and last.
    strips = [float(np.nanmean(values[:, 100:200, first + 10 : first + 30])) for first in range(40, 280, 40)]
    assert spearmanr(strips, range(len(strips))).statistic == 1.0
    assert strips[-1] - strips[0] > 0.4


@pytest.mark.parametrize("factor", [0.1, 3.0])
def test_strain_knows_no_kilopascal(factor: float) -> None:
    phantom = disc(5.0, NORTH.spacing)
    pattern = np.where(phantom.lesion, 90.0, 15.0) * np.exp(0.2 * np.sin(np.arange(SHAPE[1]) / 9))
    softer = replace(phantom, stiffness_kpa=pattern.astype(np.float32))
    stiffer = replace(phantom, stiffness_kpa=(factor * pattern).astype(np.float32))
    np.testing.assert_allclose(strain(stiffer), strain(softer), atol=1e-4)
    assert np.nanmedian(shear_wave(stiffer, 1)) != pytest.approx(np.nanmedian(shear_wave(softer, 1)), rel=0.5)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("lesion_kpa", [40.0, 100.0, 250.0])
def test_a_lesion_stiffer_than_fat_stands_out_in_strain(lesion_kpa: float, spacing: Spacing) -> None:
    phantom = disc(5.0, spacing)
    stiffness = np.where(phantom.lesion, lesion_kpa, 12.0).astype(np.float32)
    values = strain(replace(phantom, stiffness_kpa=stiffness), 4)
    ring = (phantom.distance_mm > 1.5) & (phantom.distance_mm < 5)
    assert values[:, phantom.distance_mm < -1.5].mean() > values[:, ring].mean() + 0.25


def test_deep_tissue_strains_less_and_so_looks_stiffer() -> None:
    values = strain(disc(10.0, Spacing(0.1, 0.1), stiffness_kpa=30.0), 8)
    assert np.nanmean(values[:, 250:280]) > np.nanmean(values[:, 10:40]) + 0.1


def test_strain_is_noisier_in_shadow() -> None:
    """Noise is what two examinations of one phantom do not share."""

    def noise(shadow_db: float) -> float:
        flat = disc(5.0, NORTH.spacing, stiffness_kpa=30.0, shadow_db=shadow_db)
        return float(strain(flat, 6)[:, 100:200, 100:220].std(axis=0).mean())

    assert noise(-30.0) > 1.2 * noise(0.0) > 0.01


def test_the_same_seed_gives_the_same_maps() -> None:
    flat = disc(5.0, NORTH.spacing, stiffness_kpa=30.0)
    for acquire in (acquire_elastography, acquire_strain):
        first, again, other = (acquire(flat, NORTH, np.random.default_rng(seed)) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, other, equal_nan=True)
