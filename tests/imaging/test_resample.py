from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from usdlr.core.units import Spacing
from usdlr.imaging.resample import Box, Grid, cut, grid_around, resample_image, resample_mask

Float = npt.NDArray[np.float64]

RNG_SHAPES = [((40, 60), (20, 15)), ((37, 53), (11, 19)), ((30, 30), (30, 10)), ((64, 48), (63, 47))]


def overlap(old: int, new: int) -> Float:
    """Share of every old pixel in every new one, (new, old): area averaging written as a matrix."""
    edges_old, edges_new = np.linspace(0, 1, old + 1), np.linspace(0, 1, new + 1)
    low = np.maximum(edges_new[:-1, None], edges_old[None, :-1])
    high = np.minimum(edges_new[1:, None], edges_old[None, 1:])
    return np.asarray(np.clip(high - low, 0, None) * new)


def between(old: int, new: int) -> Float:
    """Linear interpolation at the new pixels' centres, constant beyond the outermost old centres, (new, old)."""
    places = (np.arange(new) + 0.5) * old / new - 0.5
    return np.stack([np.interp(places, np.arange(old), row) for row in np.eye(old)], axis=1)


def whole(shape: tuple[int, int], rows: int, cols: int, spacing: Spacing | None = None) -> Grid:
    return Grid.of(Box(0, 0, *shape), spacing or Spacing(0.1, 0.1), rows, cols)


def disc(shape: tuple[int, int], spacing: Spacing, radius_mm: float) -> npt.NDArray[np.bool_]:
    y = (np.arange(shape[0]) + 0.5 - shape[0] / 2) * spacing.row_mm
    x = (np.arange(shape[1]) + 0.5 - shape[1] / 2) * spacing.col_mm
    return np.asarray(np.hypot(y[:, None], x[None, :]) <= radius_mm)


def test_the_new_spacing_is_the_true_extent_over_the_new_size() -> None:
    grid = Grid.of(Box(5, -3, 60, 45), Spacing(0.08, 0.11), 96, 50)
    assert grid.spacing.row_mm * 96 == pytest.approx(60 * 0.08, rel=1e-15)
    assert grid.spacing.col_mm * 50 == pytest.approx(45 * 0.11, rel=1e-15)


@pytest.mark.parametrize(
    "spacing",
    [Spacing(0.05, 0.1), Spacing(0.1, 0.05), Spacing(0.06, 0.17), Spacing(0.2, 0.1), Spacing(0.05, 0.3)],
    ids=str,
)
@pytest.mark.parametrize("pixel_mm", [0.1, 0.15, 0.2])
def test_a_disc_keeps_its_millimetres(spacing: Spacing, pixel_mm: float) -> None:
    radius = 6.0
    shape = (round(20 / spacing.row_mm), round(22 / spacing.col_mm))
    roi = disc(shape, spacing, radius)
    grid = grid_around(roi, spacing, pixel_mm, pad_mm=1.0)
    mask = resample_mask(roi, grid)
    assert mask.shape == (grid.rows, grid.cols)
    # Square pixels of the wanted size, up to the rounding of the extent to whole pixels.
    assert grid.spacing.row_mm == pytest.approx(pixel_mm, rel=0.02)
    assert grid.spacing.col_mm == pytest.approx(pixel_mm, rel=0.02)
    assert mask.sum() * grid.spacing.pixel_area_mm2 == pytest.approx(math.pi * radius**2, rel=0.015)
    height = np.flatnonzero(mask.any(axis=1)).size * grid.spacing.row_mm
    width = np.flatnonzero(mask.any(axis=0)).size * grid.spacing.col_mm
    assert height == pytest.approx(2 * radius, abs=2 * max(pixel_mm, spacing.row_mm))
    assert width == pytest.approx(2 * radius, abs=2 * max(pixel_mm, spacing.col_mm))


@pytest.mark.parametrize(("old", "new"), RNG_SHAPES)
def test_shrinking_averages_over_the_area(old: tuple[int, int], new: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).uniform(0, 255, old).astype(np.float32)
    expected = overlap(old[0], new[0]) @ pixels.astype(np.float64) @ overlap(old[1], new[1]).T
    np.testing.assert_allclose(resample_image(pixels, whole(old, *new)), expected, atol=0.02)


def test_enlarging_interpolates_between_centres() -> None:
    pixels = np.random.default_rng(2).uniform(0, 255, (20, 30)).astype(np.float32)
    expected = between(20, 50) @ pixels.astype(np.float64) @ between(30, 45).T
    np.testing.assert_allclose(resample_image(pixels, whole((20, 30), 50, 45)), expected, atol=0.02)


@pytest.mark.parametrize("turned", [False, True])
def test_one_side_may_shrink_while_the_other_grows(turned: bool) -> None:
    # From pixels of 0.05 x 0.2 mm to 0.15 mm squares: three rows become one, and speckle must not alias.
    pixels = np.random.default_rng(3).uniform(0, 255, (60, 30)).astype(np.float32)
    expected = overlap(60, 20) @ pixels.astype(np.float64) @ between(30, 40).T
    if turned:
        pixels, expected = pixels.T.copy(), expected.T
    out = resample_image(pixels, whole((pixels.shape[0], pixels.shape[1]), *expected.shape))
    np.testing.assert_allclose(out, expected, atol=0.02)


def test_only_pixels_with_a_value_are_averaged() -> None:
    rng = np.random.default_rng(4)
    pixels = rng.uniform(5, 100, (48, 60)).astype(np.float32)
    pixels[rng.random(pixels.shape) < 0.4] = np.nan
    out = resample_image(pixels, whole((48, 60), 16, 15))
    blocks = pixels.reshape(16, 3, 15, 4).transpose(0, 2, 1, 3).reshape(16, 15, 12)
    share = np.isfinite(blocks).mean(axis=2)
    clear = np.abs(share - 0.5) > 1e-6  # exactly half may round either way
    np.testing.assert_array_equal(np.isfinite(out)[clear], (share > 0.5)[clear])
    known = clear & (share > 0.5)
    np.testing.assert_allclose(out[known], np.nanmean(blocks[known], axis=1), rtol=1e-5)


def test_an_edge_without_values_does_not_bleed() -> None:
    pixels = np.full((40, 40), 7.0, dtype=np.float32)
    pixels[:, 21:] = np.nan
    for size in (13, 40, 90):
        out = resample_image(pixels, whole((40, 40), size, size))
        np.testing.assert_allclose(out[np.isfinite(out)], 7.0, rtol=1e-6)
        assert np.isfinite(out).mean() == pytest.approx(21 / 40, abs=1 / size)


def test_beyond_the_image_there_is_no_value() -> None:
    pixels = np.ones((20, 20), dtype=np.float32)
    out = resample_image(pixels, Grid.of(Box(-10, 5, 40, 30), Spacing(0.1, 0.1), 20, 15))
    expected = np.zeros((20, 15), dtype=bool)
    expected[5:15, :8] = True  # rows -10..30 hold rows 0..20; columns 5..35 hold 5..20 (half of a new pixel counts)
    np.testing.assert_array_equal(np.isfinite(out), expected)
    assert not resample_mask(np.ones((20, 20), dtype=bool), Grid.of(Box(30, 30, 9, 9), Spacing(1, 1), 3, 3)).any()


def test_a_grid_of_the_same_size_changes_nothing() -> None:
    pixels = np.random.default_rng(5).normal(size=(12, 17)).astype(np.float32)
    np.testing.assert_array_equal(resample_image(pixels, whole((12, 17), 12, 17)), pixels)
    mask = pixels > 0
    np.testing.assert_array_equal(resample_mask(mask, whole((12, 17), 12, 17)), mask)


def test_a_mask_covers_at_least_half_of_a_new_pixel() -> None:
    rng = np.random.default_rng(6)
    pixels = rng.random((60, 40)) < 0.5
    share = pixels.reshape(20, 3, 8, 5).mean(axis=(1, 3))
    np.testing.assert_array_equal(resample_mask(pixels, whole((60, 40), 20, 8)), share >= 0.5)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box(1, 2, 2, 2), [[6, 7], [10, 11]]),
        (Box(-1, -1, 2, 3), [[-1, -1, -1], [-1, 0, 1]]),
        (Box(2, 3, 2, 2), [[11, -1], [-1, -1]]),
        (Box(5, 5, 1, 2), [[-1, -1]]),
    ],
)
def test_cutting_fills_what_lies_outside(box: Box, expected: list[list[int]]) -> None:
    assert cut(np.arange(12).reshape(3, 4), box, -1).tolist() == expected


def test_the_grid_around_a_region() -> None:
    roi = np.zeros((100, 200), dtype=bool)
    roi[40:60, 50:150] = True
    grid = grid_around(roi, Spacing(0.1, 0.05), 0.2, pad_mm=1.0)
    assert grid.box == Box(30, 30, 40, 140)
    assert (grid.rows, grid.cols) == (20, 35)
    assert grid.spacing.as_tuple() == pytest.approx((0.2, 0.2))


def test_the_margin_around_a_region_ends_at_the_border() -> None:
    roi = np.zeros((50, 50), dtype=bool)
    roi[2:10, 45:50] = True
    assert grid_around(roi, Spacing(0.1, 0.1), None, pad_mm=1.0) == Grid(Box(0, 35, 20, 15), 20, 15, Spacing(0.1, 0.1))


def test_a_region_below_one_pixel_keeps_one() -> None:
    roi = np.zeros((50, 50), dtype=bool)
    roi[20, 20] = True
    grid = grid_around(roi, Spacing(0.1, 0.1), 0.5, pad_mm=0.0)
    assert (grid.rows, grid.cols) == (1, 1)
    assert grid.spacing == Spacing(0.1, 0.1)


@pytest.mark.parametrize("spacing", [Spacing(0.083, 0.083), Spacing(0.113, 0.071), Spacing(0.04, 0.17)])
@pytest.mark.parametrize("value", [255.0, 128.0, 0.1, 179.98])
def test_a_plateau_stays_one(spacing: Spacing, value: float) -> None:
    """Cut into grey levels over its own range, rounding noise on a plateau would become a texture."""
    pixels = np.full((90, 110), value, dtype=np.float32)
    roi = np.zeros(pixels.shape, dtype=bool)
    roi[10:80, 10:100] = True
    found = resample_image(pixels, grid_around(roi, spacing, 0.1, pad_mm=0.5))
    assert np.unique(found).tolist() == [np.float32(value)]
