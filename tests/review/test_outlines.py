"""Outlines and masks: OpenCV and matplotlib draw the same pixels, and nothing hostile becomes a contour."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
from matplotlib.path import Path as Line
from scipy import ndimage

from usdlr.core.errors import CaseError, DataError
from usdlr.core.types import ExclusionCode, MaskSource
from usdlr.core.units import Spacing
from usdlr.imaging.mask import LesionMask, measure
from usdlr.review.outlines import (
    MOST_OUTLINES,
    MOST_POINTS,
    Outlines,
    calipers,
    checked_outlines,
    drawn_mask,
    length_mm,
    mask_of,
    outlines_of,
)

SQUARE = [(1.0, 1.0), (1.0, 5.0), (5.0, 5.0), (5.0, 1.0)]


def _disc(shape: tuple[int, int], centre: tuple[float, float], radii: tuple[float, float]) -> np.ndarray[Any, Any]:
    down, across = np.mgrid[: shape[0], : shape[1]]
    return np.asarray(((down - centre[0]) / radii[0]) ** 2 + ((across - centre[1]) / radii[1]) ** 2 <= 1)


@pytest.mark.parametrize("seed", range(25))
def test_a_masks_outlines_fill_it_as_opencv_does(seed: int) -> None:
    noise = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(noise.normal(size=(40, 50)), noise.uniform(0.3, 4))
    mask = smooth > np.quantile(smooth, noise.uniform(0.3, 0.98))
    lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros(mask.shape, np.uint8), lines, -1, 1, -1)
    assert np.array_equal(mask_of(outlines_of(mask), mask.shape), filled > 0)


def test_a_simple_shape_comes_back_to_the_pixel_also_at_the_border() -> None:
    for mask in (_disc((60, 80), (30, 40), (17, 22)), _disc((60, 80), (3, 78), (9, 15)), np.ones((4, 3), bool)):
        assert np.array_equal(mask_of(outlines_of(mask), mask.shape), mask)


def test_a_hole_is_filled_and_two_parts_are_two_outlines_the_largest_first() -> None:
    mask = _disc((60, 90), (30, 60), (20, 20)) & ~_disc((60, 90), (30, 60), (5, 5))
    mask |= _disc((60, 90), (30, 15), (8, 8))
    found = outlines_of(mask)
    assert len(found) == 2
    assert max(col for _, col in found[1]) < 30
    assert np.array_equal(mask_of(found, mask.shape), ndimage.binary_fill_holes(mask))


@pytest.mark.parametrize("seed", range(10))
def test_points_between_pixels_enclose_the_centres_that_matplotlib_finds_inside(seed: int) -> None:
    noise = np.random.default_rng(seed)
    angles = np.sort(noise.uniform(0, 2 * np.pi, 24))
    radii = noise.uniform(6, 20, 24)
    points = np.column_stack([25 + radii * np.sin(angles), 30 + radii * np.cos(angles)])
    down, across = np.mgrid[:50, :60]
    inside = Line(points).contains_points(np.column_stack([down.ravel(), across.ravel()])).reshape(50, 60)
    assert np.array_equal(mask_of([points.tolist()], (50, 60)), inside)


def test_a_line_that_crosses_itself_encloses_all_of_its_parts() -> None:
    eight = [(2.0, 2.0), (12.0, 20.0), (2.0, 20.0), (12.0, 2.0)]
    found = mask_of([eight], (15, 24))
    assert found[7, 3]
    assert found[7, 19]
    twice = [*SQUARE, *SQUARE[:3]]  # drawn past its start: the part drawn twice is no hole
    assert np.array_equal(mask_of([twice], (8, 8)), mask_of([SQUARE], (8, 8)))
    overlapping = mask_of([SQUARE, [(3.0, 3.0), (3.0, 7.0), (7.0, 7.0), (7.0, 3.0)]], (9, 9))
    assert overlapping[4, 4]


def test_what_lies_beyond_the_image_is_cut_off() -> None:
    found = mask_of([[(-50.0, -50.0), (-50.0, 3.0), (4.0, 3.0), (4.0, -50.0)]], (10, 10))
    expected = np.zeros((10, 10), bool)
    expected[:5, :4] = True
    assert np.array_equal(found, expected)
    assert mask_of([[(-1e6, -1e6), (-1e6, 1e6), (1e6, 1e6), (1e6, -1e6)]], (10, 10)).all()


@pytest.mark.parametrize(
    "raw",
    [
        [],
        "outline",
        {"a": 1},
        5,
        [[]],
        [SQUARE[:2]],
        [[(1, 1)] * 5],
        [[(math.nan, 1), (2, 2), (3, 1)]],
        [[(math.inf, 1), (2, 2), (3, 1)]],
        [[(1e9, 1), (2, 2), (3, 1)]],
        [[(10**400, 1), (2, 2), (3, 1)]],
        [[("1", 1), (2, 2), (3, 1)]],
        [[(True, 1), (2, 2), (3, 1)]],
        [[(1, 1, 1), (2, 2), (3, 1)]],
        [["ab", "cd", "ef"]],
        [[None, (2, 2), (3, 1)]],
        [SQUARE] * (MOST_OUTLINES + 1),
        [[(float(k), 1.0) for k in range(MOST_POINTS + 1)]],
        [[(float(k % 9), float(k)) for k in range(MOST_POINTS // 2 + 1)]] * 2,
    ],
)
def test_what_is_no_contour_is_refused_with_what_to_do(raw: Any) -> None:
    with pytest.raises(DataError, match=r"found .*expected .*"):
        checked_outlines(raw)


def test_an_outline_without_a_pixel_or_of_no_lesions_size_is_refused() -> None:
    beside: Outlines = (((20.0, 20.0), (20.0, 25.0), (25.0, 22.0)),)
    with pytest.raises(CaseError, match="encloses no pixel") as empty:
        drawn_mask(beside, (10, 10), Spacing(0.1, 0.1))
    assert empty.value.code is ExclusionCode.MASK_EMPTY
    with pytest.raises(CaseError, match=r"0\.50 mm long") as small:
        drawn_mask((tuple(SQUARE),), (10, 10), Spacing(0.1, 0.1))
    assert small.value.code is ExclusionCode.SPACING_ABSURD
    assert drawn_mask((tuple(SQUARE),), (10, 10), Spacing(0.1, 0.1), in_mm=False).pixels.sum() == 25
    assert drawn_mask((tuple(SQUARE),), (10, 10), Spacing(1.0, 1.0)).source is MaskSource.READER


def test_calipers_measure_in_millimetres_not_in_pixels() -> None:
    # 60 rows of 0.05 mm and 30 columns of 0.2 mm: in pixels it is higher than wide, in mm wider than high.
    spacing = Spacing(0.05, 0.2)
    pixels = np.zeros((100, 60), dtype=bool)
    pixels[20:80, 10:40] = True
    mask = LesionMask(pixels, spacing)
    longest, across = calipers(mask)
    assert length_mm(longest, spacing) == pytest.approx(math.hypot(60 * 0.05, 30 * 0.2))
    assert length_mm(longest, spacing) == pytest.approx(measure(mask).longest_diameter_mm, rel=1e-12)
    # Of a box w by h, the extent at a right angle to the diagonal is 2wh / diagonal.
    assert length_mm(across, spacing) == pytest.approx(2 * 3.0 * 6.0 / math.hypot(3.0, 6.0))
    along = np.array([(longest[1][k] - longest[0][k]) * (0.05, 0.2)[k] for k in (0, 1)])
    aside = np.array([(across[1][k] - across[0][k]) * (0.05, 0.2)[k] for k in (0, 1)])
    assert along @ aside == pytest.approx(0.0, abs=1e-9)


def test_calipers_of_a_tilted_ellipse_are_its_axes() -> None:
    spacing = Spacing(0.1, 0.1)
    down, across = np.mgrid[:300, :300] - 149.5
    turned = np.radians(30)
    along = np.cos(turned) * across + np.sin(turned) * down
    aside = -np.sin(turned) * across + np.cos(turned) * down
    mask = LesionMask((along / 120) ** 2 + (aside / 60) ** 2 <= 1, spacing)
    longest, other = calipers(mask)
    assert length_mm(longest, spacing) == pytest.approx(24.0, abs=0.2)
    assert length_mm(other, spacing) == pytest.approx(12.0, abs=0.25)
    middle = [(a + b) / 2 for a, b in zip(*other, strict=True)]
    assert middle == pytest.approx([149.5, 149.5], abs=2.5)
