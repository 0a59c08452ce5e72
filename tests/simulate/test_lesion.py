from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label

from usdlr.core.units import Spacing
from usdlr.simulate.latents import LATENTS
from usdlr.simulate.lesion import calcifications, capsule, edge_shadows, halo_profile, inside_share, spokes
from usdlr.simulate.noise import Map

MIDDLE = {name: latent.middle for name, latent in LATENTS.items()}
SPACING = Spacing(0.1, 0.08)
RADIUS_MM = 9.0


def disc() -> Map:
    """Distance to a disc of 2.54 cm² in the middle of an image of 40 x 36 mm."""
    rows, cols = np.indices((400, 450))
    r = np.hypot((rows - 200) * SPACING.row_mm, (cols - 225) * SPACING.col_mm)
    return np.asarray(r - RADIUS_MM, dtype=np.float32)


@pytest.mark.parametrize("density", [2.0, 8.0])
def test_calcifications_can_be_counted(density: float) -> None:
    area_cm2 = np.pi * (RADIUS_MM / 10) ** 2
    counts = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        specks, shadow = calcifications({**MIDDLE, "calcifications_per_cm2": density}, rng, disc(), SPACING)
        assert (specks[disc() > 0.4] == 0).all()
        assert shadow.max() <= 0
        counts.append(label(specks > 0.4)[1])
    # Some lie too close to be told apart.
    assert np.mean(counts) == pytest.approx(0.9 * density * area_cm2, rel=0.15)


def test_no_calcifications_below_zero_and_nothing_else_changes() -> None:
    states = []
    for density in (-2.0, 0.0, 12.0):
        rng = np.random.default_rng(0)
        specks, shadow = calcifications({**MIDDLE, "calcifications_per_cm2": density}, rng, disc(), SPACING)
        assert specks.any() == (density > 0)
        assert shadow.any() == (density > 0)
        states.append(rng.random())
    assert len(set(states)) == 1


def test_halo_has_unit_mean_next_to_the_lesion_and_is_patchy() -> None:
    distance = disc()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        halo, covered = halo_profile(MIDDLE, rng, distance, inside_share(MIDDLE, rng, distance, SPACING), SPACING)
        ring = halo[(distance > 0.6) & (distance < 1.2)]
        assert ring.mean() == pytest.approx(1, abs=1e-3)
        assert ring.std() > 0.15
        assert halo[distance > 3.2].max() == 0
        assert 0 <= covered.min() <= covered.max() <= 1


def test_margin_is_half_way_on_the_outline_and_softer_with_spicules() -> None:
    distance = disc()

    def width(spiculation: float) -> float:
        shares = [
            inside_share({**MIDDLE, "spiculation": spiculation}, np.random.default_rng(seed), distance, SPACING)
            for seed in range(6)
        ]
        on_line = np.mean([share[np.abs(distance) < 0.05].mean() for share in shares])
        assert on_line == pytest.approx(0.5, abs=0.05)
        assert all((share[distance < -2.2] == 1).all() and (share[distance > 2.2] == 0).all() for share in shares)
        return float(np.mean([((share > 0.1) & (share < 0.9)).mean() for share in shares]))

    assert width(1.0) > 1.3 * width(0.0)


def test_capsule_is_bright_above_and_below_a_smooth_lesion_only() -> None:
    smooth, rough = (capsule({**MIDDLE, "spiculation": value}, disc(), SPACING) for value in (0.0, 1.0))
    assert smooth[105:115, 225].max() > 0.5
    assert smooth[200].max() < 0.05
    assert rough.max() < 1e-6


def test_edge_shadows_fall_behind_both_flanks_of_smooth_lesions() -> None:
    angle = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    outline = np.array([20.0, 18.0]) + RADIUS_MM * np.column_stack([np.sin(angle), np.cos(angle)])
    loss = edge_shadows({**MIDDLE, "spiculation": 0.0}, outline, disc(), SPACING)
    left, right = (round((18.0 + side * RADIUS_MM) / SPACING.col_mm) for side in (-1, 1))
    assert loss[260, [left, right]].max() < -3
    assert loss[260, 225] > -0.1
    assert loss[150].min() == 0
    assert not edge_shadows({**MIDDLE, "spiculation": 0.6}, outline, disc(), SPACING).any()


def test_halo_is_weaker_where_the_shadow_lies_and_keeps_its_mean() -> None:
    distance = disc()
    ring = (distance > 0.6) & (distance < 1.2)
    behind = ring & (np.indices(distance.shape)[0] > 260)
    found = []
    for posterior in (0.0, -8.0):
        latents = {**MIDDLE, "posterior_db_per_cm": posterior}
        halos = []
        for seed in range(8):
            rng = np.random.default_rng(seed)
            inside = inside_share(latents, rng, distance, SPACING)
            halos.append(halo_profile(latents, rng, distance, inside, SPACING)[0])
        assert [halo[ring].mean() for halo in halos] == pytest.approx([1.0] * 8, abs=1e-3)
        found.append(np.mean([halo[behind].mean() for halo in halos]))
    assert found[1] < 0.75 * found[0]


def test_spokes_run_away_from_irregular_lesions_only() -> None:
    distance = disc()
    none, some, many = (
        spokes({**MIDDLE, "spiculation": value}, np.random.default_rng(1), distance, SPACING)
        for value in (0.0, 0.5, 1.0)
    )
    assert not none.any()
    assert many.std() == pytest.approx(2 * some.std(), rel=1e-3)
    assert not many[(distance < -0.2) | (distance > 3.8)].any()
    ring = many[(distance > 0.6) & (distance < 1.2)]
    assert abs(ring.mean()) < 0.15  # the halo's mean stays what the latent says
    assert 2.5 < ring.std() < 5
    # Long away from the lesion, thin across: beyond its right border, what lies 0.8 mm farther out agrees better than
    # what lies 0.8 mm beside.
    flank = many[150:250, 345]
    outward = np.corrcoef(flank, many[150:250, 355])[0, 1]
    beside = np.corrcoef(flank, many[158:258, 345])[0, 1]
    assert outward > beside + 0.2
