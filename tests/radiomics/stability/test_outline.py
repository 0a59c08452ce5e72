"""The outline of a digitised disc against the true circle: its place, its length, its displacements."""

from __future__ import annotations

import numpy as np
import pytest

from usdlr.core.errors import CaseError
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray
from usdlr.radiomics.stability.outline import find_outline, signed_distance, smooth_displacement

CENTRE = (6.02, 5.97)
SPACINGS = [Spacing(0.1, 0.1), Spacing(0.05, 0.15), Spacing(0.15, 0.05)]


def disc(spacing: Spacing, radius_mm: float) -> BoolArray:
    rows, cols = (np.arange(round(12 / mm)) * mm - c for mm, c in zip(spacing.as_tuple(), CENTRE, strict=True))
    return np.asarray(np.hypot(rows[:, None], cols[None]) <= radius_mm)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("radius", [2.0, 4.5])
def test_points_lie_on_the_circle_and_their_lengths_add_up_to_it(spacing: Spacing, radius: float) -> None:
    outline = find_outline(disc(spacing, radius), spacing)
    off = np.hypot(*(outline.points - CENTRE).T) - radius
    assert np.sqrt(np.mean(off**2)) < 0.2 * max(spacing.as_tuple())
    assert abs(np.mean(off)) < 0.1 * max(spacing.as_tuple())
    assert outline.length.sum() == pytest.approx(2 * np.pi * radius, rel=0.02)
    # Not only in all: a quarter about the vertical is as long as a quarter about the horizontal.
    row, col = np.abs(outline.points - CENTRE).T
    assert outline.length[row > col].sum() == pytest.approx(np.pi * radius, rel=0.03)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_distance_is_that_to_the_circle_up_to_its_reach(spacing: Spacing) -> None:
    inside = disc(spacing, 3.0)
    outline = find_outline(inside, spacing)
    found, nearest = signed_distance(inside, outline, spacing, 1.0)
    rows, cols = (
        np.arange(size) * mm - c for size, mm, c in zip(inside.shape, spacing.as_tuple(), CENTRE, strict=True)
    )
    truth = np.hypot(rows[:, None], cols[None]) - 3.0
    np.testing.assert_allclose(found, np.clip(truth, -1, 1), atol=0.6 * max(spacing.as_tuple()))
    np.testing.assert_array_equal(found < 0, inside)
    np.testing.assert_array_equal(nearest == len(outline.points), np.abs(found) == 1.0)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(("rms", "bound"), [(0.3, 0.9), (0.3, 0.45)])
def test_displacement_has_its_root_mean_square_along_the_line_and_keeps_its_bound(
    spacing: Spacing, rms: float, bound: float
) -> None:
    """Each degree of the circle counts the same, however many pixels it passes."""
    outline = find_outline(disc(spacing, 4.0), spacing)
    moved = smooth_displacement(outline, rms_mm=rms, max_mm=bound, length_mm=3.0, seed=2)
    angle = np.arctan2(*(outline.points - CENTRE).T)
    sectors = np.digitize(angle, np.linspace(-np.pi, np.pi, 73)[1:-1])
    by_angle = np.array([np.mean(moved[sectors == i] ** 2) for i in range(72)])
    assert np.sqrt(by_angle.mean()) == pytest.approx(rms, rel=0.03)
    assert np.abs(moved).max() <= bound
    again = smooth_displacement(outline, rms_mm=rms, max_mm=bound, length_mm=3.0, seed=2)
    np.testing.assert_array_equal(again, moved)
    other = smooth_displacement(outline, rms_mm=rms, max_mm=bound, length_mm=3.0, seed=3)
    assert abs(np.corrcoef(moved, other)[0, 1]) < 0.9


def test_an_outline_of_one_point_cannot_waver() -> None:
    inside = np.zeros((1, 9), dtype=bool)
    inside[0, :4] = True  # the lesion runs out of a one-row image at the left
    outline = find_outline(inside, Spacing(1.0, 1.0))
    assert len(outline.points) == 1
    with pytest.raises(CaseError, match="found an outline of 1 points, expected at least 3"):
        smooth_displacement(outline, rms_mm=0.3, max_mm=0.9, length_mm=3.0, seed=0)
