from __future__ import annotations

from typing import ClassVar

import cv2
import numpy as np
import pytest

from usdlr.core.units import Spacing
from usdlr.imaging.mask import LesionMask, measure
from usdlr.simulate import tissue
from usdlr.simulate.centres import CENTRES
from usdlr.simulate.latents import LATENTS
from usdlr.simulate.tissue import Phantom, build_phantom

MIDDLE = {name: latent.middle for name, latent in LATENTS.items()}
GRIDS = [Spacing(0.1, 0.1), Spacing(0.11, 0.09)]


def phantom(seed: int = 0, spacing: Spacing = GRIDS[0], **latents: float) -> Phantom:
    return build_phantom({**MIDDLE, **latents}, (380, 460), spacing, np.random.default_rng(seed))


def test_lesion_lies_inside_the_image_at_every_size() -> None:
    for centre in CENTRES.values():
        for seed, size in enumerate((5.0, 20.0, 33.0, 45.0)):
            spacing = centre.spacing_for(size)
            latents = {**MIDDLE, "size_mm": size, "aspect_ratio": 0.9}
            lesion = build_phantom(latents, (centre.rows, centre.cols), spacing, np.random.default_rng(seed)).lesion
            border = np.concatenate([lesion[0], lesion[-1], lesion[:, 0], lesion[:, -1]])
            assert not border.any()


def test_rim_adds_its_stiffness_outside_the_lesion_only() -> None:
    means = []
    for seed in range(12):  # the rim is patchy: one lesion's mean strays by a tenth
        soft, stiff = (phantom(seed, rim_kpa=value) for value in (10.0, 60.0))
        added, distance = stiff.stiffness_kpa - soft.stiffness_kpa, stiff.distance_mm
        means.append(added[(distance > 0.5) & (distance < 2.5)].mean())
        assert np.abs(added[(distance < -0.5) | (distance > 3.6)]).max() == 0
    assert np.mean(means) == pytest.approx(50, rel=0.08)


def test_lesion_has_its_stiffness() -> None:
    values = [float(np.median(p.stiffness_kpa[p.distance_mm < -0.5])) for p in (phantom(s) for s in range(8))]
    assert np.mean(values) == pytest.approx(MIDDLE["stiffness_kpa"], rel=0.08)


def test_halo_adds_echo_outside_the_lesion_only() -> None:
    weak, strong = (phantom(2, halo_db=value) for value in (2.0, 8.0))
    added = strong.echo_db - weak.echo_db
    distance = strong.distance_mm
    assert added[(distance > 0.6) & (distance < 1.2)].mean() == pytest.approx(6, rel=0.2)
    assert np.abs(added[(distance < -1.5) | (distance > 3.2)]).max() < 1e-4


def test_heterogeneity_is_the_echo_spread_inside() -> None:
    for drawn in (1.5, 5.0):
        lesions = [phantom(seed, heterogeneity_db=drawn) for seed in range(8)]
        spreads = [lesion.echo_db[lesion.distance_mm < -2.5].std() for lesion in lesions]
        assert np.mean(spreads) == pytest.approx(drawn, rel=0.15)


def test_shadow_grows_with_the_path_through_the_lesion() -> None:
    p = phantom(4, posterior_db_per_cm=-8.0, spiculation=0.0)
    column = int(np.mean(np.nonzero(p.lesion)[1]))
    path_cm = p.lesion[:, column].sum() * p.spacing.row_mm / 10
    assert p.shadow_db[-1, column] == pytest.approx(-8.0 * path_cm, rel=0.05)
    assert p.shadow_db[0].max() == 0
    assert (phantom(4, posterior_db_per_cm=5.0).shadow_db >= 0).all()


@pytest.mark.parametrize("spacing", GRIDS)
def test_lesion_is_where_and_as_long_as_its_outline(spacing: Spacing) -> None:
    for seed, size in enumerate((6.0, 18.0, 27.0)):
        p = phantom(seed, spacing, size_mm=size)
        longest = measure(LesionMask(p.lesion, spacing)).longest_diameter_mm
        assert longest == pytest.approx(size, abs=max(spacing.as_tuple()))
        rows, cols = np.nonzero(p.lesion)
        assert p.outline_mm.min(axis=0) == pytest.approx(
            [rows.min() * spacing.row_mm, cols.min() * spacing.col_mm], abs=0.3
        )
        assert p.outline_mm.max(axis=0) == pytest.approx(
            [rows.max() * spacing.row_mm, cols.max() * spacing.col_mm], abs=0.3
        )


def test_echogenicity_is_the_mean_level_inside() -> None:
    for drawn in (-18.0, -8.0):
        lesions = [phantom(seed, echogenicity_db=drawn) for seed in range(8)]
        levels = [lesion.echo_db[lesion.distance_mm < -1.5].mean() for lesion in lesions]
        assert np.mean(levels) == pytest.approx(drawn, abs=0.7)


def test_calcifications_shine_inside_the_lesion_and_change_nothing_else() -> None:
    without, many = (phantom(3, calcifications_per_cm2=value) for value in (0.0, 20.0))
    bright = many.specular - without.specular > 0.3
    assert bright.any()
    assert many.lesion[bright].mean() > 0.95
    np.testing.assert_array_equal(many.stiffness_kpa, without.stiffness_kpa)
    np.testing.assert_array_equal(many.distance_mm, without.distance_mm)


def test_same_seed_same_phantom_and_other_view_same_size() -> None:
    first, again, view = phantom(5), phantom(5), phantom(6)
    for name in ("echo_db", "specular", "shadow_db", "stiffness_kpa", "distance_mm"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert getattr(first, name).dtype == np.float32
        assert getattr(first, name).shape == (380, 460)
        assert np.isfinite(getattr(first, name)).all()
        assert not np.array_equal(getattr(first, name), getattr(view, name))
    lengths = [measure(LesionMask(p.lesion, p.spacing)).longest_diameter_mm for p in (first, view)]
    assert lengths[0] == pytest.approx(lengths[1], abs=0.2)


def test_number_of_threads_changes_nothing() -> None:
    before = cv2.getNumThreads()
    try:
        phantoms = []
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            phantoms.append(phantom(7))
    finally:
        cv2.setNumThreads(before)
    for name in ("echo_db", "specular", "shadow_db", "stiffness_kpa", "distance_mm"):
        np.testing.assert_array_equal(getattr(phantoms[0], name), getattr(phantoms[1], name))


def test_only_latents_are_read() -> None:
    class Watched(dict[str, float]):
        asked: ClassVar[set[str]] = set()

        def __getitem__(self, key: str) -> float:
            self.asked.add(key)
            return super().__getitem__(key)

    build_phantom(Watched({**MIDDLE, "sln_true": 1.0}), (300, 300), GRIDS[0], np.random.default_rng(0))
    assert Watched.asked == set(LATENTS)


@pytest.mark.parametrize("size", [5.0, 45.0])
def test_extreme_lesions_on_a_small_image(size: float) -> None:
    for seed in range(4):
        p = build_phantom(
            {**MIDDLE, "size_mm": size, "spiculation": 1.0}, (300, 340), Spacing(0.1, 0.1), np.random.default_rng(seed)
        )
        assert np.isfinite(p.echo_db).all()
        assert p.lesion.any()


def test_lesions_lie_in_the_middle_and_at_the_sides() -> None:
    middles = []
    for seed in range(40):
        p = phantom(seed, size_mm=10.0)
        middles.append(float(np.nonzero(p.lesion)[1].mean() / p.lesion.shape[1]))
    assert abs(np.mean(middles) - 0.5) < 0.1
    assert 0.12 < np.std(middles) < 0.3


def test_fluid_lies_beside_some_lesions_and_never_near_one(monkeypatch: pytest.MonkeyPatch) -> None:
    dark, usual = 0, tissue.FLUID_RATE
    for seed in range(36):
        monkeypatch.setattr(tissue, "FLUID_RATE", 0.0)
        without = phantom(seed, size_mm=8.0)
        monkeypatch.setattr(tissue, "FLUID_RATE", usual)
        p = phantom(seed, size_mm=8.0)
        changed = np.abs(p.echo_db - without.echo_db) > 1e-4
        if changed.any():
            dark += 1
            assert p.distance_mm[changed].min() > 3.0
            assert p.echo_db[changed].min() < -16
            assert changed.sum() * 0.01 < 60  # mm²
        np.testing.assert_array_equal(p.stiffness_kpa, without.stiffness_kpa)
    assert 2 <= dark <= 14
