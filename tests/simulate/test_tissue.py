from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from usdlr.core.units import Spacing
from usdlr.imaging.mask import LesionMask, measure
from usdlr.simulate.centres import CENTRES
from usdlr.simulate.cohort import LATENTS
from usdlr.simulate.noise import blur_mm, ramp, smooth_noise
from usdlr.simulate.tissue import Phantom, build_phantom, fill_outline, longest_diameter, signed_distance, star_outline

MIDDLE = {name: latent.middle for name, latent in LATENTS.items()}
GRIDS = [Spacing(0.1, 0.1), Spacing(0.11, 0.09)]


def phantom(seed: int = 0, spacing: Spacing = GRIDS[0], **latents: float) -> Phantom:
    return build_phantom({**MIDDLE, **latents}, (380, 460), spacing, np.random.default_rng(seed))


@pytest.mark.parametrize("spiculation", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("size", [5.0, 18.0, 45.0])
def test_outline_has_the_drawn_longest_diameter(size: float, spiculation: float) -> None:
    outline = star_outline(np.random.default_rng(3), size, 0.7, spiculation)
    assert pdist(outline).max() == pytest.approx(size, rel=1e-9)
    radius = np.hypot(*outline.T)
    assert radius.min() > 0.1 * size


def test_spiculation_roughens_the_outline() -> None:
    def roughness(spiculation: float) -> float:
        ratios = []
        for seed in range(20):
            points = star_outline(np.random.default_rng(seed), 20.0, 0.7, spiculation)
            steps = np.diff(points, axis=0, append=points[:1])
            area = 0.5 * abs(np.sum(points[:, 0] * steps[:, 1] - points[:, 1] * steps[:, 0]))
            ratios.append(np.hypot(*steps.T).sum() ** 2 / (4 * np.pi * area))
        return float(np.mean(ratios))

    # Perimeter squared over 4 pi area: 1 for a disc, 1.08 for an ellipse with axes 10 : 7.
    smooth, rough, wild = (roughness(spiculation) for spiculation in (0.0, 0.5, 1.0))
    assert smooth == pytest.approx(1.08, abs=0.03)
    assert rough > smooth + 0.05
    assert wild > rough + 0.05


def test_longest_diameter_of_too_few_points_is_zero() -> None:
    assert longest_diameter(np.array([[1.0, 2.0]])) == 0.0


@pytest.mark.parametrize("spacing", GRIDS)
@pytest.mark.parametrize("size", [6.0, 18.0, 27.0])
def test_lesion_on_the_grid_has_the_drawn_size(size: float, spacing: Spacing) -> None:
    for seed in range(4):
        lesion = phantom(seed, spacing, size_mm=size).lesion
        assert measure(LesionMask(lesion, spacing)).longest_diameter_mm == pytest.approx(size, abs=0.35)


def test_lesion_lies_inside_the_image_at_every_size() -> None:
    for centre in CENTRES.values():
        for seed, size in enumerate((5.0, 20.0, 33.0, 45.0)):
            spacing = centre.spacing_for(size)
            latents = {**MIDDLE, "size_mm": size, "aspect_ratio": 0.9}
            lesion = build_phantom(latents, (centre.rows, centre.cols), spacing, np.random.default_rng(seed)).lesion
            border = np.concatenate([lesion[0], lesion[-1], lesion[:, 0], lesion[:, -1]])
            assert not border.any()


@pytest.mark.parametrize("spacing", GRIDS)
def test_signed_distance_of_a_disc_is_radius_minus_r(spacing: Spacing) -> None:
    rows, cols = np.indices((240, 260))
    r = np.hypot((rows - 120) * spacing.row_mm, (cols - 130) * spacing.col_mm)
    error = signed_distance(r < 6.0, spacing) - (r - 6.0)
    assert np.abs(error).max() < 0.12


def test_fill_outline_is_in_millimetres_rows_first() -> None:
    corners = np.array([[2.0, 1.0], [2.0, 5.0], [6.0, 5.0], [6.0, 1.0]])
    mask = fill_outline(corners, (100, 100), Spacing(0.1, 0.2))
    rows, cols = np.nonzero(mask)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (20, 60, 5, 25)


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


@pytest.mark.parametrize("scale", [(0.3, 0.3), (1.0, 3.0)])
@pytest.mark.parametrize("spacing", GRIDS)
def test_smooth_noise_has_unit_variance_and_its_scale_in_mm(scale: tuple[float, float], spacing: Spacing) -> None:
    maps = np.stack([smooth_noise(np.random.default_rng(s), (500, 520), spacing, scale) for s in range(12)])
    assert maps.mean() == pytest.approx(0, abs=0.1)
    assert maps.var() == pytest.approx(1, rel=0.1)
    # White noise under a Gaussian of deviation s has the autocorrelation exp(-lag^2 / (4 s^2)).
    for axis, (pixel, s) in enumerate(zip(spacing.as_tuple(), scale, strict=True), start=1):
        lag = round(1.5 * s / pixel)
        near, far = (np.take(maps, np.arange(a, maps.shape[axis] - lag + a), axis) for a in (0, lag))
        assert (near * far).mean() == pytest.approx(np.exp(-((lag * pixel / s) ** 2) / 4), abs=0.1)


def test_blur_is_round_in_millimetres() -> None:
    point = np.zeros((201, 201))
    point[100, 100] = 1.0
    spacing = Spacing(0.1, 0.2)
    blurred = blur_mm(point, 0.8, spacing)
    rows, cols = np.indices(point.shape) - 100
    assert blurred.sum() == pytest.approx(1, rel=1e-4)
    assert np.sqrt((blurred * (rows * 0.1) ** 2).sum()) == pytest.approx(0.8, rel=0.03)
    assert np.sqrt((blurred * (cols * 0.2) ** 2).sum()) == pytest.approx(0.8, rel=0.03)


def test_ramp_is_antisymmetric_about_its_middle() -> None:
    x = np.linspace(-3, 3, 61)
    np.testing.assert_allclose(ramp(x, -1, 1) + ramp(-x, -1, 1), 1, atol=1e-6)
