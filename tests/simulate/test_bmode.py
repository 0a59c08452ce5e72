from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import norm

from tests.simulate.flat import SHAPE, disc
from usdlr.core.units import Spacing
from usdlr.simulate.bmode import acquire_bmode
from usdlr.simulate.centres import CENTRES, Centre

NORTH = CENTRES["north"]
# Uneven gel: the mean size of a normal deviate, in units of 1.35 dB. Bands: a strength from -3 to 6 dB, its mean where
# below zero counts as zero being 6^2 / 2 / 9, times the mean excess of a normal deviate over 0.8.
CONTACT_MEAN_DB = 1.35 * np.sqrt(2 / np.pi) + 6**2 / 18 * (norm.pdf(0.8) - 0.8 * norm.sf(0.8))


def bmode(seed: int, centre: Centre = NORTH, **maps: float | npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    image = acquire_bmode(disc(3.0, centre.spacing, **maps), centre, np.random.default_rng(seed))
    return image.astype(np.float64)


def mean(count: int, centre: Centre = NORTH, **maps: float | npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Mean over examinations."""
    return np.asarray(np.mean([bmode(seed, centre, **maps) for seed in range(count)], axis=0))


@pytest.mark.parametrize("name", list(CENTRES))
def test_the_image_is_8_bit_grey_on_the_phantoms_grid(name: str) -> None:
    image = acquire_bmode(disc(3.0, CENTRES[name].spacing), CENTRES[name], np.random.default_rng(0))
    assert image.shape == SHAPE
    assert image.dtype == np.uint8
    assert 10 < image.mean() < 245
    assert image.std() > 5


def test_bmode_shows_echo_level_in_decibels() -> None:
    greys = [mean(4, echo_db=level).mean() for level in (-6.0, 0.0)]
    assert greys[1] - greys[0] == pytest.approx(255 * 6 / NORTH.dynamic_range_db, rel=0.1)


def test_gland_lies_at_its_grey() -> None:
    """Single-look speckle has its mean level 2.51 dB below its power; uneven gel takes 1.1, bands 0.24 dB."""
    single = replace(NORTH, looks=1, dynamic_range_db=80.0)
    expected = 255 * (0.40 + (-2.51 - CONTACT_MEAN_DB) / 80)
    assert mean(40, single)[:150].mean() == pytest.approx(expected, abs=4)


def test_gain_moves_every_grey() -> None:
    louder = replace(NORTH, gain_db=NORTH.gain_db + 6)
    difference = bmode(3, louder, echo_db=-5.0) - bmode(3, echo_db=-5.0)
    assert np.median(difference) == pytest.approx(255 * 6 / NORTH.dynamic_range_db, abs=1)


def test_attenuation_is_compensated_at_every_frequency() -> None:
    for frequency in (7.5, 11.0):
        depth = mean(24, replace(NORTH, frequency_mhz=frequency)).mean(axis=1)
        bands = depth[40:280].reshape(6, 40).mean(axis=1)
        # The operator's error leaves 1.4 grey levels in the mean of 24 examinations.
        assert np.ptp(bands) < 6


def test_compensation_differs_from_examination_to_examination() -> None:
    profiles = np.array([bmode(seed).mean(axis=1) for seed in range(12)])
    profiles -= profiles.mean(axis=1, keepdims=True)
    assert 2 < cv2.GaussianBlur(profiles, (0, 0), sigmaX=10, sigmaY=0.01)[:, 40:260].std() < 12


def test_noise_takes_over_in_depth_where_there_is_no_echo() -> None:
    wide = replace(NORTH, dynamic_range_db=160.0)
    dark = mean(12, wide, echo_db=-200.0)
    bands = [float(dark[first : first + 60].mean()) for first in range(0, 300, 60)]
    assert bands[0] < 10
    # Two-way attenuation of some 10.5 dB/cm, two bands of 6 mm each, on 160 dB.
    assert bands[4] - bands[2] == pytest.approx(1.2 * 10.5 * 255 / 160, abs=5)
    # Compensation at a lower frequency amplifies less.
    assert mean(12, replace(wide, frequency_mhz=6.0), echo_db=-200.0)[-60:].mean() < bands[4] - 12


def test_compounding_lowers_the_speckle() -> None:
    def spread(looks: int) -> float:
        return float(bmode(0, replace(NORTH, looks=looks))[150:190, 150:250].std())

    assert spread(4) < 0.7 * spread(1)


def test_shadow_darkens_and_enhancement_brightens_what_lies_behind() -> None:
    behind = np.zeros(SHAPE)
    behind[150:, 120:200] = 1

    def step(level_db: float) -> float:
        image = mean(12, shadow_db=level_db * behind)
        return float(image[160:250, 130:190].mean() - image[160:250, 20:100].mean())

    assert step(-8.0) == pytest.approx(-255 * 8 / NORTH.dynamic_range_db, abs=4)
    assert step(6.0) == pytest.approx(255 * 6 / NORTH.dynamic_range_db, abs=4)


def test_lost_contact_darkens_what_lies_deeper_than_4_mm() -> None:
    rows = mean(32).mean(axis=1)
    expected = CONTACT_MEAN_DB * 255 / NORTH.dynamic_range_db
    assert rows[:4].mean() - rows[42:80].mean() == pytest.approx(expected, abs=2.5)


def test_paths_through_tissue_lose_unevenly_the_more_the_deeper() -> None:
    level_db = 68 / 255 * np.array([bmode(seed) for seed in range(24)])
    # The columns' departure from their row's mean; contact is the same from 4 mm down.
    shading = level_db - level_db.mean(axis=2, keepdims=True)
    shallow, deep = (shading[:, first : first + 40].mean(axis=1) for first in (50, 250))
    growth = cv2.GaussianBlur(deep - shallow, (0, 0), sigmaX=10, sigmaY=0.01)
    assert 0.8 < growth.std() < 2.5


def test_the_same_seed_gives_the_same_image() -> None:
    # Kept alive, so that each image is computed elsewhere in memory.
    images = [acquire_bmode(disc(3.0, NORTH.spacing), NORTH, np.random.default_rng(7)) for _ in range(6)]
    assert all(np.array_equal(images[0], image) for image in images[1:])
    assert not np.array_equal(bmode(7), bmode(8))


def test_gain_differs_between_examinations_by_3_db() -> None:
    medians = [np.median(bmode(seed)[60:150]) for seed in range(60)]
    spread_db = np.std(medians) * NORTH.dynamic_range_db / 255
    # Compensation by depth adds 1.8 dB, less over a band of 9 mm.
    assert 2.4 < spread_db < 4.4


def test_dark_bands_run_down_in_most_examinations_and_are_missing_in_some() -> None:
    deepest = []
    for seed in range(60):
        columns = bmode(seed)[60:150].mean(axis=0) * NORTH.dynamic_range_db / 255
        smooth = cv2.GaussianBlur(columns[None, :], (0, 0), 4)[0, 40:-40]  # the ends may have lost the skin
        deepest.append(float(np.median(smooth) - smooth.min()))
    assert np.quantile(deepest, 0.1) < 2.5
    assert 4 < np.quantile(deepest, 0.9) < 12


def test_some_examinations_fade_in_depth() -> None:
    spacing = Spacing(0.2, 0.2)
    drops = []
    for seed in range(40):
        image = acquire_bmode(disc(3.0, spacing), NORTH, np.random.default_rng(seed)).astype(np.float64)
        drops.append((image[50:75].mean() - image[240:265].mean()) * NORTH.dynamic_range_db / 255)
    # The operator's compensation errs by 1.8 dB at either depth.
    assert 0.15 < np.mean(np.array(drops) > 6) < 0.6


def test_a_lifted_end_of_the_transducer_leaves_the_lesion_alone() -> None:
    wide, lifted = disc(9.0, NORTH.spacing), []  # from 7 to 25 mm across of 32
    for seed in range(120):
        image = acquire_bmode(wide, NORTH, np.random.default_rng(seed)).astype(np.float64)
        columns = image[60:150].mean(axis=0) * NORTH.dynamic_range_db / 255
        for side in (columns, columns[::-1]):
            if side[:8].mean() - np.median(columns[100:220]) < -7:
                lifted.append(float(side[45:65].mean() - side[-65:-45].mean()))
    assert 3 <= len(lifted) <= 24
    # Nothing is lost within 3 mm of the lesion: both sides differ by dark bands and uneven gel alone.
    assert abs(np.mean(lifted)) < 1.2
