from __future__ import annotations

import numpy as np
import pytest

from usdlr.core.units import Spacing
from usdlr.simulate.noise import blur_mm, facing, interface, ramp, smooth_noise

GRIDS = [Spacing(0.1, 0.1), Spacing(0.11, 0.09)]


@pytest.mark.parametrize("scale", [(0.16, 1.3), (0.3, 0.3), (1.0, 3.0)])
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


def test_smooth_noise_is_as_wild_at_the_edge_as_in_the_middle() -> None:
    maps = [smooth_noise(np.random.default_rng(s), (120, 140), GRIDS[1], (1.0, 1.3)) for s in range(400)]
    variance = np.var(maps, axis=0)
    assert variance[[0, -1]].mean() == pytest.approx(variance[40:80].mean(), rel=0.1)
    assert variance[:, [0, -1]].mean() == pytest.approx(variance[:, 50:90].mean(), rel=0.1)


@pytest.mark.parametrize("shape", [(1, 300), (300, 1), (3, 5)])
def test_smooth_noise_of_a_line_and_of_a_few_pixels(shape: tuple[int, int]) -> None:
    maps = np.stack([smooth_noise(np.random.default_rng(s), shape, GRIDS[0], (2.0, 2.5)) for s in range(300)])
    assert maps.shape[1:] == shape
    assert maps.var() == pytest.approx(1, rel=0.2)


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


def test_ramp_falls_when_its_ends_are_exchanged() -> None:
    assert ramp(np.array([0.0, 1.0, 3.0]), 2.0, 0.0).tolist() == [1.0, 0.5, 0.0]


def test_slope_and_facing_of_a_plane_are_its_own() -> None:
    spacing = Spacing(0.1, 0.2)
    rows, cols = np.indices((40, 50))
    # 3 per mm downwards, 4 per mm across: 25 in all, of which 9 face the transducer.
    plane = (3 * rows * 0.1 + 4 * cols * 0.2).astype(np.float32)
    slope_squared, square_on = facing(plane, spacing)
    np.testing.assert_allclose(slope_squared[1:-1, 1:-1], 25, rtol=1e-3)
    np.testing.assert_allclose(square_on[1:-1, 1:-1], 9 / 25, rtol=1e-3)


@pytest.mark.parametrize("steepness", [0.5, 5.0])
def test_interface_is_a_line_of_its_width_that_fades_along_the_beam(steepness: float) -> None:
    spacing = Spacing(0.05, 0.1)
    rows, cols = np.indices((200, 200))
    level, upright = (((axis * pixel) - 5.02) * steepness for axis, pixel in ((rows, 0.05), (cols, 0.1)))
    line = interface(level.astype(np.float32), spacing, 0.2)[:, 50]
    # The area under exp(-(x / w)^2) is w times the root of pi.
    assert line.sum() * 0.05 == pytest.approx(0.2 * np.sqrt(np.pi), rel=0.02)
    assert line.argmax() == 100
    assert interface(upright.astype(np.float32), spacing, 0.2).max() < 1e-6
