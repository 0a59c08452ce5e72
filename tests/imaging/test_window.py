"""Windows on an image: where things lie in them by geometry alone, and the way back."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK
from skimage.measure import regionprops

from usdlr.imaging.window import AROUND, Window, grey_share, look, paste, reach

Array = npt.NDArray[np.float64]
# warpAffine places a sample to 1/32 pixel, and rounds twice on the way.
STEP = 1 / 32


def ramp(shape: tuple[int, int], down: float, right: float) -> npt.NDArray[np.float32]:
    """Grey that grows by ``down`` a row and ``right`` a column, 100 at the outer corner of the first pixel."""
    rows, cols = np.indices(shape) + 0.5
    return np.asarray(100 + down * rows + right * cols, dtype=np.float32)


def places(window: Window, size: int) -> tuple[Array, Array]:
    """Row and column in the image of every pixel centre of a window, worked out backwards from its description."""
    down, right = (np.indices((size, size)) + 0.5 - size / 2) * window.side / size
    right = right / window.stretch * (-1 if window.flip else 1)
    turn = math.radians(window.angle_deg)
    across = math.cos(turn) * right + math.sin(turn) * down
    along = -math.sin(turn) * right + math.cos(turn) * down
    return window.row + along / window.aspect, window.col + across


WINDOWS = [
    Window(60, 80, 40),
    Window(60.3, 79.6, 41.7),
    Window(60, 80, 150),
    Window(60, 80, 90, aspect=1.7),
    Window(60, 80, 30, aspect=0.6, angle_deg=20),
    Window(55, 85, 50, angle_deg=-35, stretch=1.3, flip=True),
    Window(55, 85, 130, aspect=1.4, angle_deg=10, stretch=0.8, flip=True),
    Window(3, 157, 40),
]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("size", [32, 96])
def test_a_ramp_has_the_value_of_its_place(window: Window, size: int) -> None:
    shape = (120, 160)
    seen = look(ramp(shape, 0.7, -0.4), window, size)
    row, col = places(window, size)
    margin = max(window.side / size, 1.0) * 2  # beside the edge a sample is mixed with what is not there
    inside = (row > margin) & (row < shape[0] - margin) & (col > margin) & (col < shape[1] - margin)
    outside = (row < -margin) | (row > shape[0] + margin) | (col < -margin) | (col > shape[1] + margin)
    assert inside.mean() > 0.2
    blur = max(window.side / size, 1.0)  # a sample is placed on the averaged image, whose pixels are larger
    np.testing.assert_allclose(seen[inside], (100 + 0.7 * row - 0.4 * col)[inside], atol=(0.7 + 0.4) * 2 * STEP * blur)
    assert (seen[outside] == 0).all()


@pytest.mark.parametrize("window", [w for w in WINDOWS if w.side < 60], ids=str)
def test_equals_another_library_where_nothing_is_averaged(window: Window) -> None:
    pixels = cv2.GaussianBlur(np.random.default_rng(3).uniform(0, 255, (120, 160)).astype(np.float32), (0, 0), 3)
    size = 64
    seen = look(pixels, window, size)
    image = SimpleITK.GetImageFromArray(pixels)
    row, col = places(window, size)
    for i, j in np.random.default_rng(0).integers(0, size, (60, 2)):
        at = (float(col[i, j]) - 0.5, float(row[i, j]) - 0.5)
        if 0 <= at[0] <= 159 and 0 <= at[1] <= 119:
            expected = image.EvaluateAtContinuousIndex(at, SimpleITK.sitkLinear)  # type: ignore[no-untyped-call]
            assert seen[i, j] == pytest.approx(expected, abs=0.6)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_an_integer_shrink_is_the_mean_of_its_pixels(factor: int) -> None:
    pixels = np.random.default_rng(factor).uniform(0, 255, (32 * factor, 32 * factor)).astype(np.float32)
    seen = look(pixels, Window.whole((32 * factor, 32 * factor)), 32)
    np.testing.assert_allclose(seen, cv2.resize(pixels, (32, 32), interpolation=cv2.INTER_AREA), atol=1e-3)
    np.testing.assert_allclose(seen, pixels.reshape(32, factor, 32, factor).mean(axis=(1, 3)), atol=1e-3)


def test_truth_values_become_shares() -> None:
    mask = np.zeros((64, 64), dtype=bool)
    mask[:31, :] = True
    seen = look(mask, Window.whole((64, 64)), 32)
    np.testing.assert_allclose(seen[:, 5], [1.0] * 15 + [0.5] + [0.0] * 16, atol=1e-6)
    assert look(mask.astype(np.float64), Window.whole((64, 64)), 32).dtype == np.float32


@pytest.mark.parametrize(("size", "side"), [(64, 100.0), (64, 70.0), (96, 200.0), (96, 130.0)])
def test_a_disc_keeps_its_area_and_middle(size: int, side: float) -> None:
    rows, cols = np.indices((150, 220)) + 0.5
    disc = np.hypot(rows - 70, cols - 120) <= 22
    seen = look(disc, Window(65, 110, side), size)
    scale = size / side
    assert seen.sum() == pytest.approx(math.pi * (22 * scale) ** 2, rel=0.01)
    down, right = np.indices(seen.shape) + 0.5
    assert (seen * down).sum() / seen.sum() == pytest.approx(size / 2 + 5 * scale, abs=0.1)
    assert (seen * right).sum() / seen.sum() == pytest.approx(size / 2 + 10 * scale, abs=0.1)


@pytest.mark.parametrize("aspect", [0.5, 0.8, 1.5, 2.5])
def test_what_is_round_in_the_body_is_round_in_the_window(aspect: float) -> None:
    rows, cols = np.indices((round(200 / aspect), 200)) + 0.5
    disc = ((rows - 100 / aspect) * aspect) ** 2 + (cols - 100) ** 2 <= 60**2
    window = Window.whole((disc.shape[0], disc.shape[1]), aspect)
    seen = (look(disc, window, 100) > 0.5).astype(np.uint8)
    (found,) = regionprops(seen)  # type: ignore[no-untyped-call]  # scikit-image has no types
    assert found.axis_major_length == pytest.approx(60, rel=0.03)
    assert found.axis_minor_length == pytest.approx(60, rel=0.03)
    assert found.centroid == pytest.approx((49.5, 49.5), abs=0.6)


def test_turn_and_flip_go_where_they_say() -> None:
    pixels = np.zeros((41, 41), dtype=np.float32)
    pixels[20, 30] = 1.0  # to the right of the middle

    def place(window: Window) -> tuple[int, int]:
        row, col = np.unravel_index(int(look(pixels, window, 41).argmax()), (41, 41))
        return int(row), int(col)

    upright = Window.whole((41, 41))
    assert place(upright) == (20, 30)
    assert place(replace(upright, flip=True)) == (20, 10)
    assert place(replace(upright, angle_deg=90)) == (30, 20)
    assert place(replace(upright, angle_deg=-90)) == (10, 20)
    # The image is turned first and mirrored then.
    assert place(replace(upright, angle_deg=45, flip=True)) == (27, 13)
    assert place(replace(upright, stretch=1.5)) == (20, 35)
    tall = np.zeros((41, 41), dtype=np.float32)
    tall[30, 20] = 1.0
    assert int(look(tall, replace(upright, stretch=1.5), 41).argmax()) // 41 == 30


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("row", "col", "side"), [(40, 60, 80), (30, 50, 32), (10, 115, 64)])
def test_paste_brings_back_what_a_window_of_the_same_scale_saw(row: float, col: float, side: int, flip: bool) -> None:
    pixels = np.random.default_rng(5).uniform(0, 255, (80, 120)).astype(np.float32)
    window = Window(row, col, side, flip=flip)
    back = paste(look(pixels, window, side), window, (80, 120))
    inside = reach(window, (80, 120))
    np.testing.assert_allclose(back[inside], pixels[inside], atol=1e-3)
    assert (back[~inside] == 0).all()


@pytest.mark.parametrize(
    "window",
    [Window(40, 60, 50), Window(40, 60, 50, aspect=1.5), Window(40, 60, 40, 0.7, angle_deg=25, stretch=1.2, flip=True)],
    ids=str,
)
def test_paste_of_an_enlarged_window_brings_back_a_smooth_image(window: Window) -> None:
    pixels = ramp((80, 120), 0.9, 0.5)
    back = paste(look(pixels, window, 128), window, (80, 120))
    kept = paste(np.ones((128, 128), dtype=np.float32), window, (80, 120)) > 0.999
    kept[:2], kept[-2:], kept[:, :2], kept[:, -2:] = False, False, False, False
    assert kept.sum() > 500
    np.testing.assert_allclose(back[kept], pixels[kept], atol=1.4 * STEP * 2)


@pytest.mark.parametrize(
    "window",
    [
        Window(20, 30, 16),
        Window(20.5, 30.5, 17, aspect=2.0),
        Window(2, 58, 25, aspect=0.5, stretch=1.4),
        Window(200, 30, 5),
    ],
    ids=str,
)
def test_reach_is_the_pixels_whose_centre_maps_into_the_window(window: Window) -> None:
    size = 48
    matrix = window.matrix(size)
    found = reach(window, (40, 60))
    for row, col in np.ndindex(40, 60):
        x, y = matrix @ np.array([col, row, 1.0])
        margin = min(abs(value - edge) for value in (x, y) for edge in (-0.5, size - 0.5))
        if margin > 1e-9:
            assert found[row, col] == (-0.5 < x < size - 0.5 and -0.5 < y < size - 0.5)


def test_whole_and_around_hold_what_they_are_named_for() -> None:
    assert Window.whole((100, 200)) == Window(50, 100, 200.0)
    assert Window.whole((100, 200), 3.0) == Window(50, 100, 300.0, 3.0)
    assert reach(Window.whole((31, 17), 1.3), (31, 17)).all()
    assert Window.around((10, 20, 10, 5)) == Window(15, 22.5, 10 * AROUND)
    assert Window.around((10, 20, 10, 5), 0.25, wider=2.0) == Window(15, 22.5, 10.0, 0.25)
    # A box of less than a column is looked at as one column.
    assert Window.around((10, 20, 0.1, 0.1), wider=1.0).side == 1.0


@pytest.mark.parametrize("window", [Window.whole((1, 1)), Window(0.5, 0.5, 64), Window(0.5, 0.5, 64, 9.0, 30, 1.2)])
def test_one_pixel_is_an_image(window: Window) -> None:
    seen = look(np.full((1, 1), 7, dtype=np.uint8), window, 33)
    assert seen.shape == (33, 33)
    assert np.isfinite(seen).all()
    assert seen.max() <= 7.0
    assert seen[16, 16] == pytest.approx(7.0, abs=0.5) or window.side > 1
    assert paste(seen, window, (1, 1)).shape == (1, 1)
    assert reach(window, (1, 1)).tolist() == [[True]]


def test_grey_is_levels_and_black_where_nothing_is_known() -> None:
    pixels = np.array([[-3.0, 0.4, 254.6], [np.nan, 300.0, np.inf]], dtype=np.float32)
    assert grey_share(pixels).tolist() == [[0, 0, 255], [0, 255, 0]]
    valid = np.array([[True, True, False], [True, True, True]])
    found = grey_share(pixels, valid)
    assert found.tolist() == [[0, 0, 0], [0, 255, 0]]
    assert found.dtype == np.uint8
