"""Augmentation: replayable, the same geometry for everything in a case, and true to what the pixels mean."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from usdlr.core.errors import ConfigError
from usdlr.data.augment import Augmenter, AugmentSettings
from usdlr.data.samples import Sample

SIDE = 96
STILL = {"flip": 0.0, "rotate_deg": 0.0, "scale": 0.0, "shift": 0.0, "intensity": 0.0}


def augmenter(seed: int = 0, **change: float) -> Augmenter:
    return Augmenter(AugmentSettings(**{**STILL, **change}), seed)


def blob(row: float, col: float) -> npt.NDArray[np.float32]:
    """A Gaussian spot, 0 to 1."""
    rows, cols = np.ogrid[:SIDE, :SIDE]
    return np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / (2 * 3.0**2)).astype(np.float32)


def spots(*centres: tuple[float, float]) -> Sample:
    """The same spots in B-mode, stiffness and the lesion mask."""
    light = np.sum([blob(*centre) for centre in centres], axis=0)
    return Sample(
        {"bmode": (250 * light).astype(np.float32), "elasto": (290 * light).astype(np.float32)},
        {"intratumoral": light > 0.5, "peritumoral": (light > 0.1) & (light <= 0.5)},
    )


def centre(weights: npt.NDArray[Any]) -> tuple[float, float]:
    weights = np.nan_to_num(weights.astype(float))
    rows, cols = np.mgrid[:SIDE, :SIDE]
    return float((rows * weights).sum() / weights.sum()), float((cols * weights).sum() / weights.sum())


def textured() -> Sample:
    rng = np.random.default_rng(0)
    return Sample(
        {
            "bmode": rng.uniform(20, 230, (SIDE, SIDE)).astype(np.float32),
            "elasto": rng.uniform(5, 200, (SIDE, SIDE)).astype(np.float32),
        },
        {"intratumoral": blob(48, 48) > 0.3},
    )


def same(one: Sample, other: Sample) -> bool:
    return all(np.array_equal(one.images[n], other.images[n], equal_nan=True) for n in one.images) and all(
        np.array_equal(one.rois[n], other.rois[n]) for n in one.rois
    )


def test_seed_epoch_and_image_decide_everything() -> None:
    sample = textured()
    before = {name: pixels.copy() for name, pixels in sample.images.items()}
    one, other = Augmenter(AugmentSettings(), 5), Augmenter(AugmentSettings(), 5)
    first = one(sample, 3, "a")
    for epoch in range(3):  # what was drawn in between does not matter
        other(sample, epoch, "z")
    assert same(first, other(sample, 3, "a"))
    assert same(first, one(sample, 3, "a"))
    assert not same(first, one(sample, 4, "a"))
    assert not same(first, one(sample, 3, "b"))
    assert not same(first, Augmenter(AugmentSettings(), 6)(sample, 3, "a"))
    for name, pixels in before.items():
        np.testing.assert_array_equal(sample.images[name], pixels)


def test_zero_strengths_change_nothing() -> None:
    sample = textured()
    sample.images["elasto"][:10] = np.nan
    found = augmenter()(sample, 1, "a")
    for name, pixels in sample.images.items():
        np.testing.assert_allclose(found.images[name], pixels, rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(found.rois["intratumoral"], sample.rois["intratumoral"])


def test_a_spot_moves_alike_in_both_modalities_and_the_masks() -> None:
    sample = spots((30, 40))
    strong = Augmenter(AugmentSettings(flip=0.5, rotate_deg=25, scale=0.2, shift=0.1, intensity=0), 0)
    distances = []
    for i in range(40):
        found = strong(sample, i, "a")
        where = centre(found.images["bmode"])
        assert centre(found.images["elasto"]) == pytest.approx(where, abs=0.1)
        assert centre(found.rois["intratumoral"]) == pytest.approx(where, abs=0.4)
        assert centre(found.rois["peritumoral"]) == pytest.approx(where, abs=0.5)
        assert not (found.rois["intratumoral"] & found.rois["peritumoral"]).any()
        distances.append(math.dist(where, (30, 40)))
    assert np.median(distances) > 3


def test_flips_left_to_right_in_half_of_the_draws_and_never_upside_down() -> None:
    turning = augmenter(flip=0.5, rotate_deg=12)
    places = np.array([centre(turning(spots((20, 25)), i, "a").images["bmode"]) for i in range(150)])
    assert 0.4 < (places[:, 1] > SIDE / 2).mean() < 0.6
    # Depth has a direction: what lies near the skin stays there.
    assert places[:, 0].max() < 28


def test_zoom_and_rotation_stay_within_their_limits_and_keep_proportions() -> None:
    """Taller than wide is a sign of malignancy: no zoom may act along one axis only."""
    upright, level = spots((28, 48), (68, 48)), spots((48, 28), (48, 68))
    zooming = augmenter(rotate_deg=10, scale=0.15)
    zooms, angles = [], []
    for i in range(60):
        lengths = []
        for sample in (upright, level):
            pixels = zooming(sample, i, "a").images["bmode"]
            half = SIDE // 2
            first, second = pixels.copy(), pixels.copy()
            if sample is upright:
                first[half:], second[:half] = 0, 0
            else:
                first[:, half:], second[:, :half] = 0, 0
            (r0, c0), (r1, c1) = centre(first), centre(second)
            lengths.append(math.hypot(r1 - r0, c1 - c0) / 40)
            if sample is level:
                angles.append(math.degrees(math.atan2(r1 - r0, c1 - c0)))
        assert lengths[0] == pytest.approx(lengths[1], abs=0.01)
        zooms.append(lengths[0])
    assert 0.84 < min(zooms) < 0.92 < 1.08 < max(zooms) < 1.16
    assert -10.5 < min(angles) < -5 < 5 < max(angles) < 10.5


def test_draws_of_different_kinds_are_independent() -> None:
    """Flip and rotation must not hang on one random number: each of the four combinations occurs."""
    seen = set()
    for i in range(120):
        row, col = centre(augmenter(flip=0.5, rotate_deg=30)(spots((48, 20)), i, "a").images["bmode"])
        seen.add((col > 48, abs(row - 48) < 0.05))
    assert len(seen) == 4


def test_brightness_and_gamma_are_independent() -> None:
    """Gamma alone raises every grey level to one power; such draws occur beside those that change brightness."""
    grey = np.repeat(np.array([76.5, 153.0], np.float32), 16)  # 0.3 and 0.6 of the range
    sample = Sample({"bmode": np.tile(grey, (32, 1))}, {"intratumoral": np.ones((32, 32), bool)})
    gamma, other, means = 0, 0, []
    for i in range(200):
        found = augmenter(intensity=1.0)(sample, i, "a").images["bmode"] / 255
        means.append(found.mean() * 255)
        if found.std(axis=0).max() > 1e-4:
            continue  # speckle
        dark, bright = math.log(found[0, 0]) / math.log(0.3), math.log(found[0, -1]) / math.log(0.6)
        if abs(dark - 1) > 0.01:
            gamma += abs(dark - bright) < 1e-3
            other += abs(dark - bright) > 1e-2
    assert gamma > 5
    assert other > 20
    assert min(means) < 100 < 130 < max(means)


def test_holes_in_stiffness_stay_holes_and_do_not_bleed() -> None:
    elasto = np.full((SIDE, SIDE), 40, np.float32)
    elasto[40:60, 30:50] = np.nan
    sample = Sample(
        {"bmode": np.full((SIDE, SIDE), 90, np.float32), "elasto": elasto}, {"intratumoral": np.isnan(elasto)}
    )
    for i in range(20):
        found = augmenter(flip=0.5, rotate_deg=20, scale=0.1, shift=0.05)(sample, i, "a")
        stiffness = found.images["elasto"]
        np.testing.assert_allclose(stiffness[np.isfinite(stiffness)], 40, rtol=1e-4)
        brightness = found.images["bmode"]
        np.testing.assert_allclose(brightness[np.isfinite(brightness)], 90, rtol=1e-4)
        hole = np.isnan(stiffness) & np.isfinite(brightness)
        assert 400 * 0.8 < hole.sum() < 400 * 1.25


def test_what_is_turned_in_from_outside_has_no_value() -> None:
    sample = textured()
    sample.rois["intratumoral"][:] = True
    counts = []
    for i in range(10):
        found = augmenter(shift=0.2, rotate_deg=15)(sample, i, "a")
        gaps = [np.isnan(found.images[name]) for name in ("bmode", "elasto")]
        np.testing.assert_array_equal(gaps[0], gaps[1])
        # The region goes where the pixels go.
        assert (found.rois["intratumoral"] ^ ~gaps[0]).mean() < 0.03
        counts.append(gaps[0].sum())
    assert max(counts) > 500


def test_stiffness_changes_by_one_factor() -> None:
    sample = textured()
    factors = []
    for i in range(30):
        ratio = augmenter(intensity=1.0)(sample, i, "a").images["elasto"] / sample.images["elasto"]
        np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-4)
        factors.append(float(ratio.mean()))
    assert 0.9 <= min(factors) < 0.97 < 1.03 < max(factors) <= 1.1


def test_absent_modality_stays_absent() -> None:
    sample = Sample({"bmode": textured().images["bmode"]}, textured().rois)
    assert set(Augmenter(AugmentSettings(), 0)(sample, 0, "a").images) == {"bmode"}


def test_values_stay_in_their_range_at_the_largest_strength() -> None:
    strong = Augmenter(AugmentSettings(intensity=4.0), 0)
    for i in range(20):
        found = strong(textured(), i, "a")
        assert 0 <= np.nanmin(found.images["bmode"]) <= np.nanmax(found.images["bmode"]) <= 255.01
        assert 0 <= np.nanmin(found.images["elasto"]) <= np.nanmax(found.images["elasto"]) <= 300.01


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"flip": -0.1}, r"augment.flip = -0.1, expected at least 0"),
        ({"rotate_deg": float("nan")}, r"augment.rotate_deg = nan"),
        ({"flip": 1.2}, "expected shares"),
        ({"scale": 1.0}, "expected shares"),
        ({"shift": 2.0}, "expected shares"),
        ({"intensity": 4.5}, r"augment.intensity = 4.5, expected at most 4"),
    ],
)
def test_settings_refuse(change: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        AugmentSettings(**change)
