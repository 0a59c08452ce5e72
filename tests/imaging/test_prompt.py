"""A reader's box and strokes: drawn where they were put, and refused where they cannot be meant."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from usdlr.core.errors import ConfigError
from usdlr.imaging.prompt import BRUSH_PX, BRUSH_SHARE, Prompt
from usdlr.imaging.window import Window

WHOLE = Window.whole((100, 100))


def extent(drawn: npt.NDArray[Any]) -> tuple[int, int, int, int]:
    """First and last row and column, counted as outer corners."""
    rows, cols = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1


@pytest.mark.parametrize(
    ("window", "size", "expected"),
    [
        (WHOLE, 100, (10, 40, 20, 60)),
        (WHOLE, 200, (20, 80, 40, 120)),
        (Window(50, 50, 50), 100, (-30, 30, -10, 70)),  # cut off at the upper left
        (Window(50, 50, 200, aspect=2.0), 100, (10, 40, 35, 55)),
        (Window(50, 50, 100, flip=True), 100, (10, 40, 40, 80)),
        (Window(50, 50, 100, angle_deg=90), 100, (20, 60, 60, 90)),
    ],
)
def test_a_box_lies_where_it_was_drawn(window: Window, size: int, expected: tuple[int, int, int, int]) -> None:
    maps = Prompt(box=(10, 20, 30, 40)).maps(window, size)
    assert maps.shape == (3, size, size)
    assert maps.dtype == np.float32
    assert set(np.unique(maps)) == {0.0, 1.0}
    assert not maps[1:].any()
    # The drawn outline takes part of a pixel on each side.
    assert extent(maps[0]) == pytest.approx([min(max(one, 0), size) for one in expected], abs=1)
    top, bottom, left, right = extent(maps[0])
    assert maps[0].sum() == (bottom - top) * (right - left)


def test_a_box_outside_the_window_leaves_no_trace() -> None:
    assert not Prompt(box=(0, 0, 5, 5)).maps(Window(80, 80, 20), 64).any()


def test_a_click_is_a_disc_and_a_stroke_a_band_with_round_ends() -> None:
    prompt = Prompt(inside=(((30.5, 60.5),),), outside=(((70.5, 20.5), (70.5, 80.5)),))
    box, inside, outside = prompt.maps(WHOLE, 100)
    assert not box.any()
    rows, cols = np.indices((100, 100))
    away = np.hypot(rows - 30, cols - 60)
    assert inside[away <= BRUSH_PX - 0.5].all()
    assert not inside[away > BRUSH_PX + 0.75].any()
    along = np.hypot(rows - 70, np.clip(cols, 20, 80) - cols)
    assert outside[along <= BRUSH_PX - 0.5].all()
    assert not outside[along > BRUSH_PX + 1.5].any()  # a thick line is a pixel wider than its ends


def test_strokes_follow_the_window_but_keep_their_width() -> None:
    prompt = Prompt(inside=(((40.0, 45.0),), ((60.0, 50.0),)))
    maps = prompt.maps(Window(50, 50, 25, aspect=0.5), 100)
    down, right = np.nonzero(maps[1])
    # Rows are half as high: 10 rows are 5 columns, and a column is 4 pixels of the window.
    upper, lower = down < 50, down >= 50
    assert (down[upper].mean(), right[upper].mean()) == pytest.approx((50 - 20 - 0.5, 50 - 20 - 0.5), abs=0.6)
    assert (down[lower].mean(), right[lower].mean()) == pytest.approx((50 + 20 - 0.5, 50 - 0.5), abs=0.6)
    assert upper.sum() == pytest.approx(math.pi * BRUSH_PX**2, rel=0.1)


def test_outside_wins_where_both_cross() -> None:
    shape = (500, 400)
    prompt = Prompt(inside=(((250.5, 100.5), (250.5, 300.5)),), outside=(((150.5, 200.5), (350.5, 200.5)),))
    inside, outside = prompt.decided(shape)
    assert inside.shape == outside.shape == shape
    assert not (inside & outside).any()
    assert outside[250, 200]
    assert not inside[250, 200]
    assert inside[250, [110, 180, 220, 290]].all()
    assert outside[[160, 340], 200].all()
    half = round(BRUSH_SHARE * 500)
    thick = np.flatnonzero(inside[:, 120])
    assert (thick[0], thick[-1]) == pytest.approx((250 - half, 250 + half), abs=1)
    # A line across another leaves a gap of its own width.
    assert np.flatnonzero(~inside[250, 110:290]).size == thick.size


def test_a_small_image_has_a_brush_of_one_pixel() -> None:
    inside, outside = Prompt(inside=(((5.5, 5.5),),)).decided((12, 12))
    assert inside[5, 5]
    assert inside.sum() <= 9
    assert not outside.any()


def test_a_box_decides_no_pixel() -> None:
    inside, outside = Prompt(box=(2, 2, 5, 5)).decided((20, 20))
    assert not inside.any()
    assert not outside.any()


def test_a_stroke_without_a_point_says_nothing() -> None:
    prompt = Prompt(box=(10, 20, 30, 40), inside=((),), outside=((), ((5.0, 5.0),)))
    prompt.require_on((100, 100))
    maps = prompt.maps(WHOLE, 100)
    assert not maps[1].any()
    assert maps[2].any()
    inside, outside = prompt.decided((100, 100))
    assert not inside.any()
    assert outside.any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "without a box and without a point inside, expected one of them; add it"),
        ({"outside": (((1.0, 1.0),),)}, "without a box and without a point inside"),
        ({"inside": ((),)}, "without a box and without a point inside"),
        ({"box": (0, 0, math.nan, 5)}, "a number that is not finite, expected pixels of the image"),
        ({"box": (math.inf, 0, 5, 5)}, "not finite"),
        ({"inside": (((1.0, math.nan),),)}, "not finite"),
        ({"box": (0, 0, 5, 5), "outside": (((1.0, -math.inf),),)}, "not finite"),
        ({"box": (0, 0, 0.5, 5)}, "a box of 0.5 x 5 pixels, expected at least 1 x 1; draw it larger"),
        ({"box": (0, 0, 5, -3)}, "a box of 5 x -3 pixels"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Prompt(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"box": (50, 0, 5, 5)}, "a box beside the image of 50 x 80 pixels, expected it on the image"),
        ({"box": (0, 80, 5, 5)}, "a box beside the image"),
        ({"box": (-5, 0, 5, 5)}, "a box beside the image"),
        ({"box": (0, -9, 5, 5)}, "a box beside the image"),
        ({"inside": (((50.5, 3.0),),)}, "a point at row 50.5, column 3, expected it on the image of 50 x 80"),
        ({"inside": (((5.0, 3.0), (5.0, 81.0)),)}, "a point at row 5, column 81"),
        ({"box": (0, 0, 5, 5), "outside": (((-1.0, 3.0),),)}, "a point at row -1, column 3"),
    ],
)
def test_what_misses_the_image_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Prompt(**given).require_on((50, 80))


@pytest.mark.parametrize("given", [{"box": (-4, 79, 5, 9)}, {"inside": (((0.0, 0.0), (50.0, 80.0)),)}])
def test_what_touches_the_image_is_taken(given: dict[str, Any]) -> None:
    Prompt(**given).require_on((50, 80))
