from __future__ import annotations

import math
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode, MaskSource
from usdlr.core.units import Spacing
from usdlr.imaging.mask import LesionMask, LesionSize, measure, require_plausible

Float = npt.NDArray[np.float64]

SPACINGS = (Spacing(0.05, 0.05), Spacing(0.1, 0.05), Spacing(0.05, 0.1))
ANGLES = (0.0, 20.0, 45.0, 77.0, 90.0, 135.0)


def turned_coordinates(spacing: Spacing, side_mm: float, angle: float) -> tuple[Float, Float]:
    """Coordinates of pixel centres along a shape's own axes: ``angle`` degrees from the rows' direction."""
    y = (np.arange(math.ceil(side_mm / spacing.row_mm)) + 0.5) * spacing.row_mm - side_mm / 2
    x = (np.arange(math.ceil(side_mm / spacing.col_mm)) + 0.5) * spacing.col_mm - side_mm / 2
    turn = math.radians(angle)
    along = y[:, None] * math.cos(turn) + x[None, :] * math.sin(turn)
    across = -y[:, None] * math.sin(turn) + x[None, :] * math.cos(turn)
    return along, across


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
@pytest.mark.parametrize("angle", ANGLES)
def test_a_turned_ellipse(spacing: Spacing, angle: float) -> None:
    along, across = turned_coordinates(spacing, 34, angle)
    a, b = 14.0, 6.0
    size = measure(LesionMask((along / a) ** 2 + (across / b) ** 2 <= 1, spacing))
    turn = math.radians(angle)
    pixel = max(spacing.as_tuple())
    assert size.longest_diameter_mm == pytest.approx(2 * a, abs=1.5 * pixel)
    assert size.area_mm2 == pytest.approx(math.pi * a * b, rel=0.005)
    # Half-width of a turned ellipse's bounding box: sqrt(a² cos² + b² sin²).
    height = 2 * math.hypot(a * math.cos(turn), b * math.sin(turn))
    width = 2 * math.hypot(a * math.sin(turn), b * math.cos(turn))
    assert size.box_height_mm == pytest.approx(height, abs=1.5 * pixel)
    assert size.box_width_mm == pytest.approx(width, abs=1.5 * pixel)
    assert size.longest_side_mm == max(size.box_height_mm, size.box_width_mm)


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
@pytest.mark.parametrize("angle", ANGLES)
def test_a_turned_rectangle(spacing: Spacing, angle: float) -> None:
    along, across = turned_coordinates(spacing, 40, angle)
    size = measure(LesionMask((np.abs(along) <= 12) & (np.abs(across) <= 5), spacing))
    assert size.longest_diameter_mm == pytest.approx(math.hypot(24, 10), abs=2 * max(spacing.as_tuple()))
    assert size.area_mm2 == pytest.approx(24 * 10, rel=0.02)


def test_an_upright_rectangle_is_exact() -> None:
    pixels = np.zeros((40, 60), dtype=bool)
    pixels[5:35, 10:26] = True
    size = measure(LesionMask(pixels, Spacing(0.2, 0.5)))
    assert size.box_height_mm == pytest.approx(30 * 0.2)
    assert size.box_width_mm == pytest.approx(16 * 0.5)
    assert size.longest_diameter_mm == pytest.approx(math.hypot(6, 8))
    assert size.area_mm2 == pytest.approx(6 * 8)


def test_one_pixel_measures_its_diagonal() -> None:
    pixels = np.zeros((5, 5), dtype=bool)
    pixels[2, 3] = True
    assert measure(LesionMask(pixels, Spacing(0.3, 0.4))).longest_diameter_mm == pytest.approx(0.5)


def test_a_lesion_that_rounds_to_a_line_still_has_a_length() -> None:
    pixels = np.zeros((3, 30), dtype=bool)
    pixels[1, 5:25] = True
    assert measure(LesionMask(pixels, Spacing(1e-17, 0.5))).longest_diameter_mm == pytest.approx(10)


@pytest.mark.parametrize("seed", range(8))
def test_the_longest_diameter_against_every_pair_of_corners(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.random((9, 12)) < 0.15
    pixels[4, 4] = True
    spacing = Spacing(*rng.uniform(0.05, 0.5, 2))
    corners = [
        ((row + i) * spacing.row_mm, (col + j) * spacing.col_mm)
        for row, col in np.argwhere(pixels)
        for i, j in product((0, 1), repeat=2)
    ]
    longest = max(math.dist(one, other) for one in corners for other in corners)
    assert measure(LesionMask(pixels, spacing)).longest_diameter_mm == pytest.approx(longest)


def test_the_bounding_box_holds_every_pixel() -> None:
    pixels = np.zeros((30, 40), dtype=bool)
    pixels[[3, 20, 11], [17, 8, 33]] = True
    assert LesionMask(pixels, None).bounding_box() == (3, 8, 18, 26)
    assert LesionMask(np.ones((4, 7), dtype=bool), None).bounding_box() == (0, 0, 4, 7)


def test_a_mask_is_a_readers_unless_stated() -> None:
    assert LesionMask(np.ones((2, 2), dtype=bool), None).source is MaskSource.READER
    assert LesionMask(np.ones((2, 3), dtype=bool), None).shape == (2, 3)


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(CaseError, match="without a single pixel") as caught:
        LesionMask(np.zeros((4, 4), dtype=bool), Spacing(0.1, 0.1))
    assert caught.value.code is ExclusionCode.MASK_EMPTY


def test_a_mask_has_two_axes() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 2, 3\)"):
        LesionMask(np.ones((2, 2, 3), dtype=bool), None)


def test_without_spacing_nothing_is_measured() -> None:
    with pytest.raises(CaseError, match="millimetres per pixel for the lesion's size") as caught:
        measure(LesionMask(np.ones((4, 4), dtype=bool), None))
    assert caught.value.code is ExclusionCode.SPACING_MISSING


@pytest.mark.parametrize("millimetres", [1.0, 3.1, 56.9, 150.0])
def test_lesions_of_a_possible_size(millimetres: float) -> None:
    require_plausible(LesionSize(millimetres, 0.5, millimetres, 1.0))


@pytest.mark.parametrize(("millimetres", "shown"), [(0.9, "0.90"), (151.0, "151.00"), (0.0, "0.00"), (1330.0, "1330")])
def test_an_impossible_size_betrays_the_unit(millimetres: float, shown: str) -> None:
    for size in (LesionSize(millimetres, 0.1, 5.0, 1.0), LesionSize(0.1, millimetres, 5.0, 1.0)):
        if size.longest_side_mm != millimetres:
            continue
        with pytest.raises(CaseError, match=f"lesion {shown}.*expected 1 to 150 mm; check the unit") as caught:
            require_plausible(size)
        assert caught.value.code is ExclusionCode.SPACING_ABSURD
