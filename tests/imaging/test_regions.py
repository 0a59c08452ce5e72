"""Regions by name on the image's grid, and the signed distance to the contour."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.regions import Region
from usdlr.core.types import ExclusionCode
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray, FloatArray
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.regions import distance_map, region_masks
from usdlr.imaging.rings import peritumoral_ring
from usdlr.imaging.store import read_mask

EVERY = ("intratumoral", "peritumoral", "combined", "context", "peritumoral-3mm", "combined-3mm", "peritumoral-8mm")
SPACINGS = [Spacing(0.1, 0.1), Spacing(0.05, 0.11), Spacing(0.12, 0.06)]


def named(*names: str) -> list[Region]:
    return [Region.named(name) for name in names]


def disc(side_mm: float, spacing: Spacing, centre_mm: tuple[float, float], radius_mm: float) -> LesionMask:
    rows = (np.arange(round(side_mm / spacing.row_mm)) + 0.5) * spacing.row_mm - centre_mm[0]
    cols = (np.arange(round(side_mm / spacing.col_mm)) + 0.5) * spacing.col_mm - centre_mm[1]
    return LesionMask(np.hypot(rows[:, None], cols[None, :]) <= radius_mm, spacing)


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
def test_areas_are_those_of_discs_and_annuli(spacing: Spacing) -> None:
    radius = 6.0
    found = region_masks(disc(40, spacing, (20, 20), radius), named(*EVERY), margin_mm=5.0, fov=None)
    assert tuple(found) == EVERY
    area = {name: region.sum() * spacing.pixel_area_mm2 for name, region in found.items()}

    def annulus(margin: float) -> float:
        return math.pi * ((radius + margin) ** 2 - radius**2)

    assert area["intratumoral"] == pytest.approx(math.pi * 36, rel=0.01)
    assert area["peritumoral"] == pytest.approx(annulus(5), rel=0.02)
    assert area["combined"] == pytest.approx(math.pi * 121, rel=0.02)
    assert area["peritumoral-3mm"] == pytest.approx(annulus(3), rel=0.03)
    assert area["combined-3mm"] == pytest.approx(math.pi * 81, rel=0.02)
    assert area["peritumoral-8mm"] == pytest.approx(annulus(8), rel=0.02)
    assert area["context"] == pytest.approx(1600, rel=0.01)


def test_the_field_of_view_cuts_rings_and_context_but_not_the_lesion() -> None:
    spacing = Spacing(0.1, 0.2)
    mask = disc(40, spacing, (20, 20), 6)
    fov = np.zeros(mask.shape, dtype=bool)
    fov[:, : round(20 / 0.2)] = True  # the left half
    found = region_masks(mask, named(*EVERY), margin_mm=5.0, fov=fov)
    area = {name: region.sum() * spacing.pixel_area_mm2 for name, region in found.items()}
    assert area["intratumoral"] == pytest.approx(math.pi * 36, rel=0.01)
    assert area["peritumoral"] == pytest.approx(math.pi * (121 - 36) / 2, rel=0.03)
    assert area["combined"] == pytest.approx(math.pi * (36 + (121 - 36) / 2), rel=0.03)
    assert area["context"] == pytest.approx(800, rel=0.01)
    np.testing.assert_array_equal(found["context"], fov)


@given(
    pixels=hnp.arrays(bool, (13, 17)),
    fov=st.none() | hnp.arrays(bool, (13, 17)),
    row_mm=st.floats(0.2, 2.0),
    col_mm=st.floats(0.2, 2.0),
    margin=st.floats(2.0, 9.0),
)
@settings(max_examples=60, deadline=None)
def test_combined_is_lesion_and_ring_and_a_wider_ring_holds_a_narrower(
    pixels: BoolArray, fov: BoolArray | None, row_mm: float, col_mm: float, margin: float
) -> None:
    try:
        mask = LesionMask(pixels, Spacing(row_mm, col_mm))
        found = region_masks(mask, named(*EVERY), margin_mm=margin, fov=fov)
    except CaseError:  # no lesion, or nothing of a ring is left
        assume(False)
    for ring, combined in (("peritumoral", "combined"), ("peritumoral-3mm", "combined-3mm")):
        np.testing.assert_array_equal(found[combined], found["intratumoral"] | found[ring])
        assert not (found["intratumoral"] & found[ring]).any()
        assert not (found[ring] & ~found["context"]).any()
    assert not (found["peritumoral-3mm"] & ~found["peritumoral-8mm"]).any()


def test_equal_margins_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[float] = []

    def counted(mask: LesionMask, margin_mm: float, fov: BoolArray | None) -> object:
        measured.append(margin_mm)
        return peritumoral_ring(mask, margin_mm, fov)

    monkeypatch.setattr("usdlr.imaging.regions.peritumoral_ring", counted)
    wanted = named("peritumoral", "combined", "peritumoral-3mm", "combined-3mm", "peritumoral-5mm", "combined-3.0mm")
    found = region_masks(disc(40, Spacing(0.2, 0.2), (20, 20), 6), wanted, margin_mm=5.0, fov=None)
    assert sorted(measured) == [3.0, 5.0]
    np.testing.assert_array_equal(found["combined-3mm"], found["combined-3.0mm"])


@pytest.mark.parametrize("name", ["peritumoral", "combined", "peritumoral-3mm", "combined-2.5mm"])
def test_a_margin_without_spacing_is_refused(name: str) -> None:
    mask = LesionMask(disc(20, Spacing(0.1, 0.1), (10, 10), 3).pixels, None)
    with pytest.raises(CaseError, match=r"expected millimetres per pixel for a .* mm ring") as caught:
        region_masks(mask, named("intratumoral", name), margin_mm=5.0, fov=None)
    assert caught.value.code is ExclusionCode.SPACING_MISSING
    assert set(region_masks(mask, named("intratumoral", "context"), margin_mm=5.0, fov=None)) == {
        "intratumoral",
        "context",
    }


def test_a_field_of_view_of_another_size_is_refused_whatever_is_asked_for() -> None:
    mask = disc(20, Spacing(0.1, 0.1), (10, 10), 3)
    for name in ("intratumoral", "context", "peritumoral"):
        with pytest.raises(CaseError, match="field of view of 200 x 199"):
            region_masks(mask, named(name), margin_mm=5.0, fov=np.ones((200, 199), dtype=bool))


def test_an_impossible_margin_is_refused_only_where_it_is_used() -> None:
    mask = disc(20, Spacing(0.1, 0.1), (10, 10), 3)
    with pytest.raises(ConfigError, match="margin of 0"):
        region_masks(mask, named("combined"), margin_mm=0.0, fov=None)
    assert region_masks(mask, named("combined-2mm"), margin_mm=0.0, fov=None)["combined-2mm"].any()


@pytest.mark.parametrize("pixel_mm", [0.05, 0.2, 0.5])
def test_the_distance_to_a_circle_is_known(pixel_mm: float) -> None:
    radius, size = 6.0, round(30 / pixel_mm)
    centre = (np.arange(size) + 0.5) * pixel_mm
    from_centre = np.hypot((centre - 14)[:, None], (centre - 15.3)[None, :])
    lesion = from_centre <= radius
    found = distance_map(lesion, pixel_mm)
    assert found.dtype == np.float32
    # The lesion is a staircase around the circle: its steps are up to 0.7 pixels from it.
    np.testing.assert_allclose(found, from_centre - radius, atol=0.75 * pixel_mm)
    np.testing.assert_array_equal(found < 0, lesion)
    assert abs(float((found - (from_centre - radius)).mean())) < 0.3 * pixel_mm
    assert np.abs(found).min() == pytest.approx(0.5 * pixel_mm)


def test_the_distance_to_straight_edges_is_exact() -> None:
    lesion = np.zeros((20, 30), dtype=bool)
    lesion[5:15, 10:14] = True
    found = distance_map(lesion, 0.25)
    # Along a row through the middle: 10 pixels left of the box, 4 inside, 16 right of it.
    wanted = [*(np.arange(10, 0, -1) - 0.5), -0.5, -1.5, -1.5, -0.5, *(np.arange(1, 17) - 0.5)]
    np.testing.assert_allclose(found[10], np.array(wanted) * 0.25)
    # Off a corner: 3 rows and 4 columns from the nearest lesion pixel's centre.
    assert found[2, 6] == pytest.approx((5 - 0.5) * 0.25)


@given(lesion=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12)), pixel_mm=st.floats(0.01, 5))
@settings(max_examples=60, deadline=None)
def test_a_distance_is_signed_finite_and_scales_with_the_pixel(lesion: BoolArray, pixel_mm: float) -> None:
    found = distance_map(lesion, pixel_mm)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found < 0, lesion)
    np.testing.assert_allclose(distance_map(~lesion, pixel_mm), -found)
    np.testing.assert_allclose(found, pixel_mm * distance_map(lesion, 1.0), rtol=1e-5)


@pytest.mark.parametrize("inside", [True, False])
def test_a_contour_out_of_sight_is_a_diagonal_away(inside: bool) -> None:
    found = distance_map(np.full((30, 40), inside), 0.5)
    np.testing.assert_allclose(found, -25.0 if inside else 25.0)


@pytest.mark.parametrize("pixel_mm", [0.0, -1.0, math.nan, math.inf])
def test_pixels_without_a_size_are_refused(pixel_mm: float) -> None:
    with pytest.raises(ValueError, match="expected a positive number"):
        distance_map(np.eye(4, dtype=bool), pixel_mm)


def maurer(mask: BoolArray, spacing: Spacing) -> FloatArray:
    """SimpleITK's signed distance in mm; the centres of the lesion's border pixels are at 0."""
    import SimpleITK

    itk: Any = SimpleITK  # its wrappers are not typed
    image = itk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing((spacing.col_mm, spacing.row_mm))
    return np.asarray(
        itk.GetArrayFromImage(itk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True))
    )


def test_a_readers_contour_has_the_distances_that_another_library_measures(shared_data: Path) -> None:
    path = min((shared_data / "bus_bra" / "Masks").glob("*.png"))
    mask = LesionMask(read_mask(path), Spacing(0.11, 0.07))
    found = region_masks(mask, named("peritumoral-3mm", "combined-3mm"), margin_mm=5.0, fov=None)
    assert mask.spacing is not None
    near = maurer(mask.pixels, mask.spacing) <= 3.0
    np.testing.assert_array_equal(found["combined-3mm"], near)
    np.testing.assert_array_equal(found["peritumoral-3mm"], near & ~mask.pixels)
    ours, theirs = distance_map(mask.pixels, 0.1), maurer(mask.pixels, Spacing(0.1, 0.1))
    outside = ~mask.pixels
    np.testing.assert_allclose(ours[outside], theirs[outside] - 0.05, atol=1e-4)
