from __future__ import annotations

import numpy as np
import pytest

from usdlr.core.units import Spacing
from usdlr.simulate.layers import Anatomy, Layers

SPACING = Spacing(0.1, 0.1)
SHAPE = (400, 420)


def layers(seed: int, lesion_bottom_mm: float = 15.0) -> Layers:
    return Layers.draw(np.random.default_rng(seed), SHAPE, SPACING, lesion_bottom_mm=lesion_bottom_mm)


def test_muscle_lies_below_the_lesion_and_gland_below_the_skin() -> None:
    for seed in range(50):
        body = Anatomy.draw(np.random.default_rng(seed), 24.0)
        assert body.muscle_mm > 25.0
        assert body.skin_mm < body.gland_mm < body.muscle_mm < body.wall_mm


def test_patients_differ_in_density() -> None:
    shares = [float(layers(seed).gland[50:150].mean()) for seed in range(24)]
    assert min(shares) < 0.35
    assert max(shares) > 0.65


def test_skin_on_top_muscle_at_the_bottom() -> None:
    for seed in range(8):
        drawn = layers(seed)
        assert drawn.skin[2].mean() > 0.9
        assert drawn.skin[60:].max() == 0
        deep = drawn.level > drawn.anatomy.muscle_mm + 0.5
        assert deep.any() == (drawn.level.max() > drawn.anatomy.muscle_mm + 0.5)
        assert (drawn.muscle[deep] == 1).all()
        assert (drawn.gland[deep] == 0).all()


def test_gland_is_brighter_and_stiffer_than_fat() -> None:
    echo, stiffness = [], []
    for seed in range(12):
        drawn = layers(seed)
        level, _ = drawn.echo_and_reflectors(np.random.default_rng(seed))
        kpa = drawn.stiffness_kpa(np.random.default_rng(seed))
        breast = (drawn.skin == 0) & (drawn.muscle == 0) & (drawn.level < drawn.anatomy.wall_mm - 3)
        gland, fat = (breast & part for part in (drawn.gland > 0.98, drawn.gland < 0.02))
        if min(gland.sum(), fat.sum()) > 3000:
            echo.append((level[gland].mean(), level[fat].mean()))
            stiffness.append((kpa[gland].mean(), kpa[fat].mean()))
    assert len(echo) > 5
    # Gland is the reference level of every latent in dB.
    assert np.mean([pair[0] for pair in echo]) == pytest.approx(0, abs=1.0)
    assert np.mean([pair[1] for pair in echo]) == pytest.approx(-10.5, abs=2.0)
    assert np.mean([pair[0] for pair in stiffness]) == pytest.approx(28, rel=0.15)
    assert np.mean([pair[1] for pair in stiffness]) == pytest.approx(12, rel=0.15)


def test_reflectors_lie_across_the_beam() -> None:
    """A line across changes along depth: its gradient points down far more often than sideways."""
    for seed in range(4):
        _, lines = layers(seed).echo_and_reflectors(np.random.default_rng(seed))
        assert lines.min() >= 0
        down, across = np.gradient(lines.astype(np.float64))
        assert (down**2).sum() > 4 * (across**2).sum()


def test_behind_a_rib_there_is_hardly_an_echo() -> None:
    found = 0
    for seed in range(150):
        body = Anatomy.draw(np.random.default_rng(seed), 10.0)
        if body.rib_mm[1] == 0 or abs(body.rib_mm[0]) > 12 or body.wall_mm > 32:
            continue
        found += 1
        drawn = layers(seed, 10.0)
        echo, _ = drawn.echo_and_reflectors(np.random.default_rng(0))
        column = round(SHAPE[1] / 2 + body.rib_mm[0] / SPACING.col_mm)
        behind = drawn.level[:, column] > body.wall_mm + 2
        assert echo[behind, column].mean() < -18
    assert found >= 2


def test_a_bulge_moves_the_strata() -> None:
    pushed = np.zeros(SHAPE, np.float32)
    pushed[100:200] = 2.0
    flat, moved = (
        Layers.draw(np.random.default_rng(0), SHAPE, SPACING, lesion_bottom_mm=15.0, bulge_mm=bulge)
        for bulge in (0.0, pushed)
    )
    difference = moved.level - flat.level
    assert difference[150].mean() == pytest.approx(2.0, abs=0.2)
    assert np.abs(difference[300]).max() == 0


def test_some_pictures_end_above_the_muscle() -> None:
    shown = [bool(layers(seed, 12.0).muscle.any()) for seed in range(60)]
    assert 0.5 < np.mean(shown) < 0.95


def test_fasciae_are_broken_in_places() -> None:
    weak = []
    for seed in range(30):
        drawn = layers(seed)
        body = drawn.anatomy
        if body.muscle_mm > 34 or body.wall_mm < body.muscle_mm + 6:
            continue
        _, lines = drawn.echo_and_reflectors(np.random.default_rng(seed))
        fascia = np.where(np.abs(drawn.level - body.muscle_mm) < 0.2, lines, 0).max(axis=0)
        weak.append(float((fascia < 0.25 * np.median(fascia)).mean()))
    assert len(weak) > 5
    assert 0.08 < np.mean(weak) < 0.4


def test_the_skins_surface_is_repeated_below_it_in_some_patients() -> None:
    heights = []
    for seed in range(24):
        drawn = layers(seed)
        _, lines = drawn.echo_and_reflectors(np.random.default_rng(seed))
        apart, amplitude = drawn.anatomy.reverberation
        first = np.abs(drawn.level - drawn.anatomy.skin_mm - apart) < 0.06
        between = np.abs(drawn.level - drawn.anatomy.skin_mm - 1.5 * apart) < 0.06
        heights.append((amplitude, float(lines[first].mean() - lines[between].mean())))
    amplitude, height = np.array(heights).T
    assert 0.1 < np.mean(amplitude == 0) < 0.6
    assert np.corrcoef(amplitude, height)[0, 1] > 0.5
