from __future__ import annotations

import numpy as np
import pytest

from usdlr.imaging.colour_bar import locate_colour_bar
from usdlr.imaging.palettes import PALETTES
from usdlr.simulate.centres import CENTRES
from usdlr.simulate.overlay import as_colours, blend_overlay, colour_bar, draw_frame, grey_bar, value_box

NAN = np.float32(np.nan)


def grey(*rows: tuple[int, ...]) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.array(rows, dtype=np.uint8)


@pytest.mark.parametrize(
    ("value", "opacity", "expected"),
    [
        # blue_to_red: blue, cyan, yellow, red at 0, 1/3, 2/3 and 1.
        (0.0, 1.0, [0, 0, 255]),
        (100.0, 1.0, [0, 255, 255]),
        (200.0, 1.0, [255, 255, 0]),
        (300.0, 1.0, [255, 0, 0]),
        (999.0, 1.0, [255, 0, 0]),
        (300.0, 0.6, [193, 40, 40]),  # 0.6 * 255 + 0.4 * 100, 0.4 * 100
        (0.0, 0.25, [75, 75, 139]),
    ],
)
def test_a_colour_is_the_stated_share_of_the_palette_over_grey(
    value: float, opacity: float, expected: list[int]
) -> None:
    shown = blend_overlay(grey((100,)), np.array([[value]], np.float32), PALETTES["blue_to_red"], opacity, 300.0)
    assert np.abs(shown[0, 0].astype(int) - expected).max() <= 1


def test_where_there_is_no_value_the_grey_image_is_unaltered() -> None:
    picture = np.arange(256, dtype=np.uint8).reshape(16, 16)
    stiffness = np.full((16, 16), NAN)
    stiffness[4:8, 4:8] = 50
    shown = blend_overlay(picture, stiffness, PALETTES["jet"], 0.5, 300.0)
    untouched = np.isnan(stiffness)
    assert (shown[untouched] == picture[untouched][:, None]).all()
    assert (shown[~untouched].max(axis=1) - shown[~untouched].min(axis=1) > 60).all()


@pytest.mark.parametrize("name", sorted({centre.elastography.palette for centre in CENTRES.values()}))
def test_the_bar_is_found_where_it_was_drawn_and_says_its_palette(name: str) -> None:
    screen = np.zeros((300, 120, 3), dtype=np.uint8)
    screen[40:250, 60:74] = colour_bar(PALETTES[name], 210, 14)
    found = locate_colour_bar(screen)
    assert found is not None
    assert found.box == (40, 60, 210, 14)
    assert found.palette.mismatch(PALETTES[name]) < 1.5
    assert found.palette.mismatch(PALETTES[name].reversed()) > 50


def test_the_bar_ends_in_the_ends_of_the_scale() -> None:
    bar = colour_bar(PALETTES["jet"], 200, 3)
    assert bar.shape == (200, 3, 3)
    assert np.abs(bar[0, 0].astype(int) - (128, 0, 0)).max() <= 3
    assert np.abs(bar[-1, 0].astype(int) - (0, 0, 128)).max() <= 3


def test_the_grey_bar_runs_from_white_to_black_without_colour() -> None:
    bar = grey_bar(96, 10)
    assert bar[0].min() == 255
    assert bar[-1].max() == 0
    assert (np.diff(bar[:, 0, 0].astype(int)) < 0).all()
    assert (bar == bar[..., :1]).all()


def test_a_frame_lies_outside_its_box_and_is_left_out_where_there_is_no_room() -> None:
    canvas = as_colours(np.zeros((20, 30), np.uint8))
    draw_frame(canvas, (5, 6, 4, 7), level=200)
    lines = np.argwhere(canvas[..., 0] == 200)
    assert lines.min(axis=0).tolist() == [4, 5]
    assert lines.max(axis=0).tolist() == [9, 13]
    assert len(lines) == 2 * 9 + 2 * 6 - 4 + 0
    assert not canvas[5:9, 6:13].any()
    whole = as_colours(np.zeros((8, 9), np.uint8))
    draw_frame(whole, (0, 0, 8, 9))
    assert not whole.any()
    corner = as_colours(np.zeros((8, 9), np.uint8))
    draw_frame(corner, (0, 0, 3, 4), level=9)
    assert np.argwhere(corner[..., 0]).tolist() == [[0, 4], [1, 4], [2, 4], *[[3, col] for col in range(5)]]


def test_the_box_of_values() -> None:
    stiffness = np.full((9, 9), NAN)
    assert value_box(stiffness) is None
    stiffness[2, 3] = stiffness[6, 5] = 0
    assert value_box(stiffness) == (2, 3, 5, 3)
