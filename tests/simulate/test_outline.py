from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.ndimage import label
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from usdlr.core.units import Spacing
from usdlr.imaging.mask import LesionMask, measure
from usdlr.simulate.outline import Points, fill_outline, longest_diameter, signed_distance, star_outline

GRIDS = [Spacing(0.1, 0.1), Spacing(0.11, 0.09), Spacing(0.15, 0.15)]


def placed(seed: int, size_mm: float, spiculation: float, spacing: Spacing) -> tuple[Points, tuple[int, int]]:
    """An outline anywhere on the grid, and the shape of an image that holds it."""
    rng = np.random.default_rng(seed)
    outline = star_outline(rng, size_mm, rng.uniform(0.45, 1.1), spiculation)
    outline = outline - outline.min(axis=0) + 1.5 + rng.random(2)
    rows, cols = np.ceil(outline.max(axis=0) / spacing.as_tuple()).astype(int) + 5
    return outline, (int(rows), int(cols))


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
def test_every_lesion_on_the_grid_has_the_drawn_size_within_a_pixel(spacing: Spacing) -> None:
    errors = []
    for seed in range(200):
        size = 5.0 + 40.0 * ((seed * 0.618) % 1.0)
        outline, shape = placed(seed, size, (seed % 5) / 4, spacing)
        mask = fill_outline(outline, shape, spacing)
        assert label(mask, np.ones((3, 3)))[1] == 1
        errors.append(measure(LesionMask(mask, spacing)).longest_diameter_mm - size)
    assert np.abs(errors).max() <= max(spacing.as_tuple())
    assert abs(np.mean(errors)) < 0.5 * max(spacing.as_tuple())


@pytest.mark.parametrize("spacing", GRIDS)
def test_a_lesion_on_the_grid_covers_what_its_outline_encloses(spacing: Spacing) -> None:
    for seed in range(20):
        outline, shape = placed(seed, 18.0, (seed % 5) / 4, spacing)
        scale = np.array(spacing.as_tuple())
        area = cv2.contourArea((outline / scale).astype(np.float32)) * spacing.pixel_area_mm2
        perimeter = np.hypot(*np.diff(outline, axis=0, append=outline[:1]).T).sum()
        covered = fill_outline(outline, shape, spacing).sum() * spacing.pixel_area_mm2
        # Off by less than a quarter of a pixel along the whole outline.
        assert covered == pytest.approx(area, abs=0.25 * max(scale) * perimeter)


def test_a_spicule_thinner_than_a_pixel_keeps_its_length() -> None:
    spacing = Spacing(0.2, 0.2)
    angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    away = np.abs((angle - 0.4 + np.pi) % (2 * np.pi) - np.pi)
    radius = 4.0 + 3.0 * np.clip(1 - away / 0.02, 0, None)
    outline = 10 + radius[:, None] * np.column_stack([np.sin(angle), np.cos(angle)])
    mask = fill_outline(outline, (100, 100), spacing)
    assert label(mask, np.ones((3, 3)))[1] == 1
    length = measure(LesionMask(mask, spacing)).longest_diameter_mm
    assert length == pytest.approx(pdist(outline).max(), abs=0.2)


def test_fill_outline_is_in_millimetres_rows_first() -> None:
    corners = np.array([[1.95, 0.9], [1.95, 5.1], [6.05, 5.1], [6.05, 0.9]])
    mask = fill_outline(corners, (100, 100), Spacing(0.1, 0.2))
    rows, cols = np.nonzero(mask)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (20, 60, 5, 25)
    assert mask.sum() == 41 * 21


def test_an_outline_may_reach_beyond_the_image() -> None:
    outline, _ = placed(1, 20.0, 0.5, GRIDS[0])
    whole = fill_outline(outline + 5, (400, 400), GRIDS[0])
    cut = fill_outline(outline + 5, (120, 400), GRIDS[0])
    assert whole[:120].any()
    np.testing.assert_array_equal(cut, whole[:120])
    assert not fill_outline(outline - 60, (50, 50), GRIDS[0]).any()


@pytest.mark.parametrize("spacing", GRIDS)
def test_signed_distance_of_a_disc_is_radius_minus_r(spacing: Spacing) -> None:
    rows, cols = np.indices((240, 260))
    r = np.hypot((rows - 120) * spacing.row_mm, (cols - 130) * spacing.col_mm)
    error = signed_distance(r < 6.0, spacing) - (r - 6.0)
    assert np.abs(error).max() < 1.2 * max(spacing.as_tuple())


@pytest.mark.parametrize("spacing", [*GRIDS, Spacing(0.05, 0.2)])
def test_signed_distance_is_negative_in_the_mask_and_nowhere_else(spacing: Spacing) -> None:
    outline, shape = placed(7, 8.0, 1.0, spacing)
    mask = fill_outline(outline, shape, spacing)
    distance = signed_distance(mask, spacing)
    np.testing.assert_array_equal(distance < 0, mask)
    # Against nearest neighbours among the pixels themselves.
    half = 0.5 * min(spacing.as_tuple())
    for side, sign in ((mask, 1), (~mask, -1)):
        places, others = (np.argwhere(part) * spacing.as_tuple() for part in (~side, side))
        nearest = cKDTree(others).query(places)[0]
        np.testing.assert_allclose(distance[~side], sign * (nearest - half), atol=1e-4)
