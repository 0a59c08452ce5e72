from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ingest.annotations.circles import RADIUS, SHAPE, circle, disc, square
from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.ingest.annotations.contour import Candidate
from usdlr.ingest.annotations.raster import MAX_POINTS, fill_ellipse, fill_polygon, place, rectangle


def test_a_square_on_pixel_corners_is_exactly_its_pixels() -> None:
    drawn = fill_polygon(rectangle(40, 20, 90, 50), SHAPE)
    assert drawn.area == 1500
    np.testing.assert_array_equal(drawn.pixels, square())


def test_the_area_of_a_circle_is_without_bias_where_opencv_adds_half_a_pixel_all_around() -> None:
    ours, theirs = [], []
    for shift in np.random.default_rng(0).random((40, 2)):
        points = circle() + shift
        ours.append(fill_polygon(points, SHAPE).pixels.sum() / (math.pi * RADIUS**2) - 1)
        painted = np.zeros(SHAPE, np.uint8)
        cv2.fillPoly(painted, [np.rint(points - 0.5).astype(np.int32)], 1)
        theirs.append(painted.sum() / (math.pi * RADIUS**2) - 1)
    assert abs(np.mean(ours)) < 0.001
    assert np.max(np.abs(ours)) < 0.005
    # (r + 1/2)² / r² - 1
    assert np.mean(theirs) == pytest.approx((RADIUS + 0.5) ** 2 / RADIUS**2 - 1, abs=0.005)


def test_a_fine_polygon_of_a_circle_is_the_disc() -> None:
    assert (fill_polygon(circle(20_000), SHAPE).pixels != disc()).sum() <= 1
    x, y = circle().mean(axis=0)
    np.testing.assert_array_equal(fill_ellipse((x, y), (RADIUS, RADIUS), 0.7, SHAPE).pixels, disc())


def test_a_turned_ellipse_is_the_set_of_points_near_its_foci() -> None:
    a, b, angle = 40.0, 15.0, 0.6
    centre = np.array([80.0, 60.0])
    drawn = fill_ellipse((80.0, 60.0), (a, b), angle, SHAPE)
    focus = math.sqrt(a * a - b * b) * np.array([math.cos(angle), math.sin(angle)])
    rows, cols = np.indices(SHAPE)
    centres = np.stack([cols + 0.5, rows + 0.5], axis=-1)
    far = np.linalg.norm(centres - centre - focus, axis=-1) + np.linalg.norm(centres - centre + focus, axis=-1)
    assert (drawn.pixels != (far <= 2 * a)).sum() <= 2
    # Clockwise on the screen: it goes down to the right.
    assert drawn.pixels[60 + 15, 80 + 22]
    assert not drawn.pixels[60 - 15, 80 + 22]


def test_polygons_that_share_an_edge_share_no_pixel_and_leave_none_out() -> None:
    rng = np.random.default_rng(4)
    for _ in range(50):
        (x0, y0), (x1, y1) = rng.integers(5, 100, (2, 2)) / 2
        left = np.array([[0.0, 0.0], [x0, 0.0], [x0, y0], [x1, y1], [x1, 120.0], [0.0, 120.0]])
        right = np.array([[160.0, 120.0], [x1, 120.0], [x1, y1], [x0, y0], [x0, 0.0], [160.0, 0.0]])
        one, other = fill_polygon(left, SHAPE).pixels, fill_polygon(right, SHAPE).pixels
        assert (one ^ other).all()


def test_a_polygon_that_crosses_itself_follows_the_even_odd_rule() -> None:
    bow = np.array([[10.0, 10.0], [50.0, 50.0], [50.0, 10.0], [10.0, 50.0]])
    pixels = fill_polygon(bow, SHAPE).pixels
    assert pixels.sum() == pytest.approx(2 * 0.5 * 40 * 20, abs=45)
    twice = np.concatenate([rectangle(10, 10, 50, 50), rectangle(20, 20, 30, 30)])
    assert not fill_polygon(twice, SHAPE).pixels[25, 25]


def test_orientation_start_and_a_repeated_last_point_do_not_matter() -> None:
    points = circle(37)
    expected = fill_polygon(points, SHAPE).pixels
    for other in (points[::-1], np.roll(points, 5, axis=0), np.concatenate([points, points[:1]])):
        np.testing.assert_array_equal(fill_polygon(other, SHAPE).pixels, expected)


def test_what_lies_outside_is_cut_off_and_counted() -> None:
    drawn = fill_polygon(rectangle(-10, 20, 30, 50), SHAPE)
    assert (drawn.area, int(drawn.pixels.sum())) == (1200, 900)
    np.testing.assert_array_equal(drawn.pixels, square(20, 0, 30, 30))


def test_a_contour_may_reach_a_little_outside_but_no_more() -> None:
    def candidate(left: float) -> Candidate:
        return Candidate((lambda shape: fill_polygon(rectangle(left, 20, left + 40, 50), shape),))

    assert candidate(-2).draw(SHAPE).outside == pytest.approx(0.05)
    for left in (-3, -40):
        with pytest.raises(CaseError, match="120 x 160") as caught:
            candidate(left).draw(SHAPE)
        assert caught.value.code is ExclusionCode.MASK_SIZE_MISMATCH


def test_an_outline_between_pixel_centres_is_empty() -> None:
    with pytest.raises(CaseError) as caught:
        Candidate((lambda shape: fill_polygon(rectangle(5.6, 5.6, 6.4, 6.4), shape),)).draw(SHAPE)
    assert caught.value.code is ExclusionCode.MASK_EMPTY


@pytest.mark.parametrize(
    "points",
    [
        np.empty((0, 2)),
        np.array([[1.0, 1.0], [5.0, 5.0]]),
        np.array([[1.0, 1.0], [5.0, np.nan], [9.0, 1.0]]),
        np.array([[1.0, 1.0], [5.0, np.inf], [9.0, 1.0]]),
        np.array([[1.0, 1.0], [1e300, 5.0], [9.0, 1.0]]),
        np.array([[1.0, 1.0], [5.0, -121.0], [9.0, 1.0]]),
        np.zeros((MAX_POINTS + 1, 2)),
        # a zigzag from top to bottom, 100,000 times
        np.tile([[1.0, 0.0], [2.0, 119.0]], (100_000, 1)),
    ],
)
def test_absurd_polygons_are_refused(points: np.ndarray) -> None:
    with pytest.raises(CaseError) as caught:
        fill_polygon(points, SHAPE)
    assert caught.value.code is ExclusionCode.MASK_UNREADABLE


@pytest.mark.parametrize(
    ("centre", "radii", "angle"),
    [
        ((np.nan, 5.0), (3.0, 3.0), 0.0),
        ((5.0, 5.0), (0.0, 3.0), 0.0),
        ((5.0, 5.0), (3.0, -3.0), 0.0),
        ((5.0, 5.0), (1e-200, 3.0), 0.0),
        ((5.0, 5.0), (3.0, 1e200), 0.0),
        ((5.0, 5.0), (3.0, 3.0), np.inf),
    ],
)
def test_absurd_ellipses_are_refused(centre: tuple[float, float], radii: tuple[float, float], angle: float) -> None:
    with pytest.raises(CaseError) as caught:
        fill_ellipse(centre, radii, angle, SHAPE)
    assert caught.value.code is ExclusionCode.MASK_UNREADABLE


def test_a_small_mask_is_placed_where_it_belongs() -> None:
    drawn = place(np.ones((3, 4), dtype=np.bool_), -1, 158, SHAPE)
    assert drawn.area == 12
    np.testing.assert_array_equal(np.argwhere(drawn.pixels), [[0, 158], [0, 159], [1, 158], [1, 159]])


def _inside(points: np.ndarray, x: float, y: float) -> bool:
    """Winding-free test of one point: rays to the right, by exact fractions."""
    from fractions import Fraction

    crossings = 0
    for (ax, ay), (bx, by) in zip(points.tolist(), np.roll(points, -1, axis=0).tolist(), strict=True):
        a, b = (Fraction(ax), Fraction(ay)), (Fraction(bx), Fraction(by))
        if (a[1] <= y) != (b[1] <= y):
            at = a[0] + (Fraction(y) - a[1]) * (b[0] - a[0]) / (b[1] - a[1])
            crossings += at > x
    return crossings % 2 == 1


@given(st.lists(st.tuples(st.integers(-20, 100), st.integers(-20, 100)), min_size=3, max_size=9), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_every_pixel_agrees_with_exact_arithmetic(corners: list[tuple[int, int]], scale: int) -> None:
    points = np.array(corners, dtype=np.float64) / (4 * scale)
    shape = (25, 26)
    pixels = fill_polygon(points, shape).pixels
    for row in range(0, 25, 2):
        for col in range(0, 26, 3):
            assert pixels[row, col] == _inside(points, col + 0.5, row + 0.5)
