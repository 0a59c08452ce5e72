"""Redrawn contours lie as far apart as is stated: known of a disc are mean displacement and Dice coefficient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray
from usdlr.imaging.mask import LesionMask
from usdlr.radiomics.stability.redraw import ReaderDisagreement, Redrawing

RADIUS_MM, DRAWS, SECTORS = 8.0, 300, 24


def disc(spacing: Spacing, radius_mm: float = RADIUS_MM, margin_mm: float = 6.0) -> LesionMask:
    half = radius_mm + margin_mm
    rows, cols = (np.arange(-half, half + mm / 2, mm) for mm in spacing.as_tuple())
    return LesionMask(np.hypot(rows[:, None], cols[None]) <= radius_mm, spacing)


def radii(pixels: BoolArray, spacing: Spacing) -> np.ndarray:
    """Radius in mm by direction, from the area of every sector around the middle of the array."""
    rows, cols = (np.arange(n) - (n - 1) / 2 for n in pixels.shape)
    angle = np.arctan2(rows[:, None] * spacing.row_mm, cols[None] * spacing.col_mm)
    sector = np.minimum(((angle + np.pi) / (2 * np.pi) * SECTORS).astype(int), SECTORS - 1)
    area = np.bincount(sector[pixels], minlength=SECTORS) * spacing.pixel_area_mm2
    return np.asarray(np.sqrt(area * SECTORS / np.pi))


@pytest.mark.parametrize("spacing", [Spacing(0.1, 0.1), Spacing(0.1, 0.2)])
@pytest.mark.parametrize("shares", [(1 / 3, 1 / 3), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
def test_displacement_and_dice_of_a_disc(spacing: Spacing, shares: tuple[float, float]) -> None:
    stated = 0.5
    mask = disc(spacing)
    redrawing = Redrawing(mask, ReaderDisagreement(stated, growth_share=shares[0], shift_share=shares[1]))
    still = radii(mask.pixels, spacing)
    moved, dice = [], []
    for number in range(DRAWS):
        drawn = redrawing.draw("disc", number).pixels
        moved.append(np.abs(radii(drawn, spacing) - still))
        dice.append(2 * (drawn & mask.pixels).sum() / (drawn.sum() + mask.pixels.sum()))
    of_draw = np.mean(moved, axis=1)
    error = of_draw.std(ddof=1) / np.sqrt(DRAWS)
    # A sector's mean hides what wavers within it; pixels are 0.1 mm and more.
    assert abs(of_draw.mean() - stated) < 4 * error + 0.03
    assert np.mean(dice) == pytest.approx(1 - stated / RADIUS_MM, abs=4 * np.std(dice) / np.sqrt(DRAWS) + 0.005)


def test_growth_alone_gives_discs_and_a_shift_alone_keeps_the_area() -> None:
    mask = disc(Spacing(0.1, 0.1))
    area = mask.pixels.sum()
    grown = Redrawing(mask, ReaderDisagreement(1.0, growth_share=1.0, shift_share=0.0)).draw("a", 3).pixels
    still = radii(mask.pixels, Spacing(0.1, 0.1))
    assert np.ptp(radii(grown, Spacing(0.1, 0.1)) - still) < 0.15
    assert grown.sum() != area
    shifted = Redrawing(mask, ReaderDisagreement(1.0, growth_share=0.0, shift_share=1.0)).draw("a", 3).pixels
    assert shifted.sum() == pytest.approx(area, rel=0.01)
    assert (shifted != mask.pixels).any()


def test_draws_repeat_and_differ_by_image_and_number() -> None:
    redrawing = Redrawing(disc(Spacing(0.2, 0.2)), ReaderDisagreement())
    first = redrawing.draw("a", 0).pixels
    assert np.array_equal(first, redrawing.draw("a", 0).pixels)
    for image, number in (("a", 1), ("b", 0)):
        assert not np.array_equal(first, redrawing.draw(image, number).pixels)
    other = Redrawing(disc(Spacing(0.2, 0.2)), ReaderDisagreement(seed=1))
    assert not np.array_equal(first, other.draw("a", 0).pixels)


def test_nothing_is_drawn_outside_the_field_of_view() -> None:
    mask = disc(Spacing(0.2, 0.2))
    fov = mask.pixels.copy()
    for number in range(10):
        assert not (Redrawing(mask, ReaderDisagreement(), fov).draw("a", number).pixels & ~fov).any()


def test_a_lesion_that_vanishes_is_refused_with_its_size() -> None:
    tiny = disc(Spacing(0.2, 0.2), radius_mm=0.5)
    redrawing = Redrawing(tiny, ReaderDisagreement(2.0, growth_share=1.0, shift_share=0.0))
    with pytest.raises(CaseError, match=r"nothing left of a lesion of 0\.\d+ mm²"):
        [redrawing.draw("a", number) for number in range(20)]
    with pytest.raises(CaseError, match="spacing"):
        Redrawing(LesionMask(tiny.pixels, None), ReaderDisagreement())
    with pytest.raises(CaseError, match="fills the image"):
        Redrawing(LesionMask(np.ones((9, 9), dtype=bool), Spacing(1.0, 1.0)), ReaderDisagreement())


@pytest.mark.parametrize("wrong", [{"mean_abs_mm": 0.0}, {"length_mm": float("nan")}, {"growth_share": 0.8}])
def test_impossible_disagreement_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ReaderDisagreement(**wrong)
