from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.types import ExclusionCode, Roi
from usdlr.core.units import Spacing
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.rings import DEFAULT_MARGIN_MM, peritumoral_ring, regions

Bool = npt.NDArray[np.bool_]

RADII = (3.0, 5.0, 10.0, 20.0)
SPACINGS = (
    Spacing(0.05, 0.05),
    Spacing(0.1, 0.1),
    Spacing(0.15, 0.15),
    Spacing(0.2, 0.2),
    Spacing(0.05, 0.1),
    Spacing(0.1, 0.05),
    Spacing(0.1, 0.2),
    Spacing(0.2, 0.1),
)


def tolerance(spacing: Spacing) -> float:
    return 0.01 if max(spacing.as_tuple()) <= 0.1 else 0.02


def disc(shape: tuple[int, int], spacing: Spacing, centre_mm: tuple[float, float], radius_mm: float) -> Bool:
    """Pixels whose centre lies in the disc; the image's corner is at 0 mm, pixel centres are half a pixel in."""
    rows = (np.arange(shape[0]) + 0.5) * spacing.row_mm - centre_mm[0]
    cols = (np.arange(shape[1]) + 0.5) * spacing.col_mm - centre_mm[1]
    return np.asarray(np.hypot(rows[:, None], cols[None, :]) <= radius_mm)


def shape_for(spacing: Spacing, height_mm: float, width_mm: float) -> tuple[int, int]:
    return math.ceil(height_mm / spacing.row_mm), math.ceil(width_mm / spacing.col_mm)


def annulus(radius_mm: float, margin_mm: float) -> float:
    return math.pi * ((radius_mm + margin_mm) ** 2 - radius_mm**2)


def disc_below(radius: float, height: float) -> float:
    """Area of the part of a disc on the near side of a line ``height`` away from its centre (circular segment)."""
    if height >= radius:
        return math.pi * radius**2
    return radius**2 * (math.pi - math.acos(height / radius)) + height * math.sqrt(radius**2 - height**2)


def area(pixels: Bool, spacing: Spacing) -> float:
    return float(pixels.sum()) * spacing.row_mm * spacing.col_mm


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
@pytest.mark.parametrize("radius", RADII)
def test_area_of_the_ring_around_a_disc(radius: float, spacing: Spacing) -> None:
    side = 2 * (radius + 5) + 1
    rng = np.random.default_rng(round(radius))
    for _ in range(3 if radius <= 5 else 1):
        shift = rng.uniform(-0.5, 0.5, 2) * spacing.as_tuple()  # sub-pixel centres
        mask = disc(shape_for(spacing, side, side), spacing, (side / 2 + shift[0], side / 2 + shift[1]), radius)
        ring = peritumoral_ring(LesionMask(mask, spacing))
        assert area(ring.pixels, spacing) == pytest.approx(annulus(radius, 5), rel=tolerance(spacing))
        assert ring.lost_fraction == 0
        assert ring.margin_mm == DEFAULT_MARGIN_MM == 5
        assert not (ring.pixels & mask).any()


@pytest.mark.parametrize("margin", [1.0, 2.5, 7.0, 10.0])
@pytest.mark.parametrize("spacing", [Spacing(0.05, 0.05), Spacing(0.05, 0.1), Spacing(0.1, 0.05)], ids=str)
def test_other_margins(margin: float, spacing: Spacing) -> None:
    side = 2 * (6 + margin) + 1
    mask = LesionMask(disc(shape_for(spacing, side, side), spacing, (side / 2, side / 2), 6.0), spacing)
    ring = peritumoral_ring(mask, margin)
    # The error is a fixed part of a pixel at the outer edge: it weighs more in a thin ring.
    allowed = max(0.01, 0.5 * max(spacing.as_tuple()) / margin)
    assert area(ring.pixels, spacing) == pytest.approx(annulus(6, margin), rel=allowed)


def test_a_wider_ring_holds_the_narrower_one() -> None:
    spacing = Spacing(0.2, 0.1)
    mask = LesionMask(disc((200, 400), spacing, (20.1, 19.7), 6.0), spacing)
    narrow, wide = (peritumoral_ring(mask, margin).pixels for margin in (2.0, 5.0))
    assert (narrow & ~wide).sum() == 0
    assert wide.sum() > narrow.sum()


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
@pytest.mark.parametrize(("radius", "height"), [(5.0, 7.0), (10.0, 10.0), (4.0, 0.0), (10.0, 13.0)])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_straight_field_of_view_edge_cuts_circular_segments(
    spacing: Spacing, radius: float, height: float, axis: int
) -> None:
    side = 2 * (radius + 5) + 1
    shape = shape_for(spacing, side, side)
    mask = disc(shape, spacing, (side / 2, side / 2), radius)
    # The edge lies between two pixels; its true place decides the analytic area.
    first_outside = round((side / 2 + height) / spacing.as_tuple()[axis])
    height = first_outside * spacing.as_tuple()[axis] - side / 2
    fov = np.ones(shape, dtype=bool)
    fov[(slice(first_outside, None), slice(None)) if axis == 0 else (slice(None), slice(first_outside, None))] = False

    ring = peritumoral_ring(LesionMask(mask, spacing), fov=fov)

    kept = disc_below(radius + 5, height) - disc_below(radius, height)
    assert area(ring.pixels, spacing) == pytest.approx(kept, rel=tolerance(spacing))
    assert ring.lost_fraction == pytest.approx(1 - kept / annulus(radius, 5), abs=tolerance(spacing))
    assert not (ring.pixels & ~fov).any()


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
@pytest.mark.parametrize(("radius", "height"), [(5.0, 6.0), (10.0, 11.0), (4.0, 8.5)])
@pytest.mark.parametrize("border", ["top", "left", "bottom", "right"])
def test_the_image_border_cuts_circular_segments(spacing: Spacing, radius: float, height: float, border: str) -> None:
    side = 2 * (radius + 5) + 1
    whole = shape_for(spacing, side, side)
    axis = 0 if border in ("top", "bottom") else 1
    kept_pixels = round((side / 2 + height) / spacing.as_tuple()[axis])
    height = kept_pixels * spacing.as_tuple()[axis] - side / 2
    mask = disc(whole, spacing, (side / 2, side / 2), radius)
    # Cut at the far end, and mirrored for the near end: the disc is symmetric.
    mask = mask[:kept_pixels] if axis == 0 else mask[:, :kept_pixels]
    if border in ("top", "left"):
        mask = np.flip(mask, axis)

    ring = peritumoral_ring(LesionMask(mask, spacing))

    kept = disc_below(radius + 5, height) - math.pi * radius**2
    assert area(ring.pixels, spacing) == pytest.approx(kept, rel=tolerance(spacing))
    assert ring.lost_fraction == pytest.approx(1 - kept / annulus(radius, 5), abs=tolerance(spacing))
    assert ring.pixels.shape == mask.shape


def test_field_of_view_and_border_together() -> None:
    spacing = Spacing(0.1, 0.1)
    side, radius, height = 21.0, 5.0, 6.0
    mask = disc((210, 210), spacing, (10.5, 10.5), radius)[: round((10.5 + height) / 0.1)]
    fov = np.ones(mask.shape, dtype=bool)
    fov[: round((10.5 - height) / 0.1)] = False
    ring = peritumoral_ring(LesionMask(mask, spacing), fov=fov)
    kept = 2 * disc_below(10, height) - math.pi * 10**2 - math.pi * radius**2  # both caps cut off
    assert side == mask.shape[1] * spacing.col_mm
    assert area(ring.pixels, spacing) == pytest.approx(kept, rel=0.01)
    assert ring.lost_fraction == pytest.approx(1 - kept / annulus(radius, 5), abs=0.01)


@pytest.mark.parametrize(
    ("spacing", "up", "across"), [(Spacing(0.5, 1.0), 10, 5), (Spacing(1.0, 0.5), 5, 10), (Spacing(0.25, 0.5), 20, 10)]
)
def test_rows_and_columns_are_not_confused(spacing: Spacing, up: int, across: int) -> None:
    pixels = np.zeros((61, 61), dtype=bool)
    pixels[30, 30] = True
    ring = peritumoral_ring(LesionMask(pixels, spacing), 5.0).pixels
    rows, cols = np.flatnonzero(ring.any(axis=1)), np.flatnonzero(ring.any(axis=0))
    # Exactly 5 mm away still belongs to the ring.
    assert (rows[0], rows[-1]) == (30 - up, 30 + up)
    assert (cols[0], cols[-1]) == (30 - across, 30 + across)


def test_turning_the_image_turns_the_ring() -> None:
    rng = np.random.default_rng(3)
    pixels = np.zeros((70, 50), dtype=bool)
    pixels[25:45, 20:32] = rng.random((20, 12)) < 0.6
    fov = rng.random((70, 50)) < 0.8
    ring = peritumoral_ring(LesionMask(pixels, Spacing(0.2, 0.35)), 4.0, fov)
    turned = peritumoral_ring(LesionMask(pixels.T.copy(), Spacing(0.35, 0.2)), 4.0, fov.T.copy())
    np.testing.assert_array_equal(turned.pixels, ring.pixels.T)
    assert turned.lost_fraction == ring.lost_fraction


@pytest.mark.parametrize("seed", range(12))
def test_against_every_pair_of_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(8, 25)), int(rng.integers(8, 25)))
    spacing = Spacing(*rng.uniform(0.1, 0.4, 2))
    margin = float(rng.uniform(0.2, 2.5))
    pixels = rng.random(shape) < 0.05
    pixels[shape[0] // 2, shape[1] // 3] = True
    fov = rng.random(shape) < 0.9
    ring = peritumoral_ring(LesionMask(pixels, spacing), margin, fov)

    # The definition itself, on an image that is large enough to hold the whole ring.
    pad = math.ceil(margin / 0.1)
    wide = np.pad(pixels, pad)
    places = np.argwhere(np.ones_like(wide)) * np.array(spacing.as_tuple())
    lesion = np.argwhere(wide) * np.array(spacing.as_tuple())
    nearest = np.sqrt(((places[:, None, :] - lesion[None, :, :]) ** 2).sum(axis=2)).min(axis=1).reshape(wide.shape)
    full = ~wide & (nearest <= margin)
    expected = full[pad : pad + shape[0], pad : pad + shape[1]] & fov
    np.testing.assert_array_equal(ring.pixels, expected)
    assert ring.lost_fraction == pytest.approx(1 - expected.sum() / full.sum())


def test_regions_of_one_image() -> None:
    spacing = Spacing(0.2, 0.2)
    mask = LesionMask(disc((100, 100), spacing, (10, 10), 4.0), spacing)
    ring = peritumoral_ring(mask, 3.0)
    parts = regions(mask, ring)
    assert set(parts) == set(Roi)
    np.testing.assert_array_equal(parts[Roi.INTRATUMORAL], mask.pixels)
    assert parts[Roi.COMBINED].sum() == parts[Roi.INTRATUMORAL].sum() + parts[Roi.PERITUMORAL].sum()
    assert area(parts[Roi.COMBINED], spacing) == pytest.approx(math.pi * 7**2, rel=0.02)


def test_a_ring_without_spacing_is_refused() -> None:
    with pytest.raises(CaseError, match="millimetres per pixel for a 5 mm ring") as caught:
        peritumoral_ring(LesionMask(np.ones((3, 3), dtype=bool), None))
    assert caught.value.code is ExclusionCode.SPACING_MISSING


@pytest.mark.parametrize("margin", [0.0, -1.0, math.nan, math.inf])
def test_a_margin_must_be_a_positive_number(margin: float) -> None:
    with pytest.raises(ConfigError, match="expected a positive number"):
        peritumoral_ring(LesionMask(np.ones((3, 3), dtype=bool), Spacing(0.1, 0.1)), margin)


def test_a_lesion_that_fills_the_image_has_no_ring() -> None:
    with pytest.raises(CaseError, match="no pixel of the 5 mm ring") as caught:
        peritumoral_ring(LesionMask(np.ones((30, 30), dtype=bool), Spacing(0.1, 0.1)))
    assert caught.value.code is ExclusionCode.ROI_TOO_SMALL


def test_a_margin_below_half_a_pixel_has_no_ring() -> None:
    pixels = np.zeros((9, 9), dtype=bool)
    pixels[4, 4] = True
    with pytest.raises(CaseError, match=r"no pixel of the 0\.2 mm ring"):
        peritumoral_ring(LesionMask(pixels, Spacing(0.5, 0.5)), 0.2)


def test_a_field_of_view_of_another_size_is_refused() -> None:
    mask = LesionMask(np.eye(9, dtype=bool), Spacing(0.1, 0.1))
    with pytest.raises(CaseError, match="field of view of 9 x 8 pixels on an image of 9 x 9"):
        peritumoral_ring(mask, fov=np.ones((9, 8), dtype=bool))


def test_a_field_of_view_that_leaves_nothing_is_refused() -> None:
    mask = LesionMask(np.eye(9, dtype=bool), Spacing(0.1, 0.1))
    with pytest.raises(CaseError, match="inside the field of view"):
        peritumoral_ring(mask, fov=np.eye(9, dtype=bool))
