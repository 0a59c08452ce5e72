from __future__ import annotations

import math

import numpy as np
import pytest

from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.types import ExclusionCode
from usdlr.core.units import Spacing
from usdlr.imaging.crop import CropSettings, crop_lost_fraction, crop_side_mm, lesion_grid
from usdlr.imaging.mask import LesionMask
from usdlr.imaging.resample import resample_image, resample_mask


def ellipse(
    shape: tuple[int, int], spacing: Spacing, centre_mm: tuple[float, float], axes_mm: tuple[float, float]
) -> LesionMask:
    y = (np.arange(shape[0]) + 0.5) * spacing.row_mm - centre_mm[0]
    x = (np.arange(shape[1]) + 0.5) * spacing.col_mm - centre_mm[1]
    return LesionMask((y[:, None] / axes_mm[0]) ** 2 + (x[None, :] / axes_mm[1]) ** 2 <= 1, spacing)


SPACINGS = [Spacing(0.1, 0.1), Spacing(0.05, 0.1), Spacing(0.1, 0.05), Spacing(0.07, 0.16)]


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
@pytest.mark.parametrize("size_px", [64, 96, 224])
def test_a_lesion_keeps_its_millimetres_in_the_crop(spacing: Spacing, size_px: int) -> None:
    mask = ellipse((round(40 / spacing.row_mm), round(40 / spacing.col_mm)), spacing, (20, 20), (4, 8))
    grid = lesion_grid(mask, CropSettings(size_px=size_px, context_mm=6.0))
    inside = resample_mask(mask.pixels, grid)
    assert inside.shape == (size_px, size_px)
    # The square is 16 mm of lesion and 6 mm on either side, to the nearest pixel.
    assert grid.spacing.row_mm * size_px == pytest.approx(28, abs=2 * spacing.row_mm)
    assert grid.spacing.col_mm * size_px == pytest.approx(28, abs=2 * spacing.col_mm)
    assert grid.spacing.row_mm * size_px == pytest.approx(grid.box.rows * spacing.row_mm, rel=1e-12)
    assert grid.spacing.col_mm * size_px == pytest.approx(grid.box.cols * spacing.col_mm, rel=1e-12)
    assert inside.sum() * grid.spacing.pixel_area_mm2 == pytest.approx(math.pi * 4 * 8, rel=0.02)
    height = np.flatnonzero(inside.any(axis=1)).size * grid.spacing.row_mm
    width = np.flatnonzero(inside.any(axis=0)).size * grid.spacing.col_mm
    assert height == pytest.approx(8, abs=2 * grid.spacing.row_mm)
    assert width == pytest.approx(16, abs=2 * grid.spacing.col_mm)


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
def test_the_lesion_lies_in_the_middle(spacing: Spacing) -> None:
    mask = ellipse((round(40 / spacing.row_mm), round(40 / spacing.col_mm)), spacing, (17.3, 22.9), (4, 5))
    grid = lesion_grid(mask, CropSettings(size_px=96, context_mm=3.0))
    inside = resample_mask(mask.pixels, grid)
    for hits in (inside.any(axis=1), inside.any(axis=0)):
        first, last = np.flatnonzero(hits)[[0, -1]]
        assert abs((first + last) / 2 - 47.5) <= 1.5


def test_beyond_the_image_the_crop_has_no_value() -> None:
    spacing = Spacing(0.1, 0.2)
    mask = ellipse((200, 100), spacing, (3, 17), (2, 2))
    grid = lesion_grid(mask, CropSettings(size_px=100, context_mm=6.0))
    out = resample_image(np.full((200, 100), 50, dtype=np.float32), grid)
    # The crop spans -5 to 11 mm of the rows and 9 to 25 mm of the columns; the image ends at 0 and 20 mm.
    known = np.isfinite(out)
    assert known.any(axis=1).sum() * grid.spacing.row_mm == pytest.approx(11, abs=0.3)
    assert known.any(axis=0).sum() * grid.spacing.col_mm == pytest.approx(11, abs=0.3)
    assert known[-1, 0]
    assert not known[0].any()
    assert not known[:, -1].any()
    np.testing.assert_allclose(out[known], 50)


def test_a_crop_without_spacing_is_refused() -> None:
    with pytest.raises(CaseError, match="a crop with context in mm") as caught:
        lesion_grid(LesionMask(np.ones((9, 9), dtype=bool), None), CropSettings())
    assert caught.value.code is ExclusionCode.SPACING_MISSING


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size_px": 31}, "crop.size_px = 31, expected at least 32"),
        ({"context_mm": -0.1}, "crop.context_mm = -0.1, expected at least 0"),
        ({"context_mm": math.nan}, "crop.context_mm = nan"),
        ({"context_mm": math.inf}, "crop.context_mm = inf, expected at least 0 mm and at most 1000 mm"),
        ({"side_mm": 0.0}, "crop.side_mm = 0.0, expected more than 0 mm"),
        ({"side_mm": -40.0}, "crop.side_mm = -40.0, expected more than 0 mm"),
        ({"side_mm": math.nan}, "crop.side_mm = nan"),
        ({"side_mm": 4e4, "policy": "fixed"}, "crop.side_mm = 40000.0, expected .* at most 1000 mm"),
        ({"policy": "fixd"}, "crop.policy = 'fixd', expected one of adjustable, fixed; did you mean 'fixed'"),
        ({"policy": None}, "crop.policy = None, expected one of adjustable, fixed"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CropSettings(**settings)  # type: ignore[arg-type]  # the wrong values are the point


def test_no_context_cuts_at_the_lesion() -> None:
    pixels = np.zeros((90, 90), dtype=bool)
    pixels[20:60, 30:50] = True
    grid = lesion_grid(LesionMask(pixels, Spacing(0.1, 0.1)), CropSettings(size_px=40, context_mm=0.0))
    assert (grid.box.row, grid.box.col, grid.box.rows, grid.box.cols) == (20, 20, 40, 40)
    assert resample_mask(pixels, grid).sum() == 40 * 20


# A portable, two with anisotropic pixels, and a fine one.
SCANNERS = [Spacing(0.0731, 0.0731), Spacing(0.05, 0.12), Spacing(0.154, 0.077), Spacing(0.031, 0.031)]


def test_a_fixed_crop_has_one_scale_on_every_scanner_and_for_every_lesion() -> None:
    settings = CropSettings(size_px=96, policy="fixed", side_mm=40.0)
    areas = []
    for spacing in SCANNERS:
        for radius in (2.0, 9.0, 30.0):
            mask = ellipse((round(70 / spacing.row_mm), round(70 / spacing.col_mm)), spacing, (34, 36), (radius,) * 2)
            grid = lesion_grid(mask, settings)
            assert crop_side_mm(mask, settings) == 40.0
            # A box has whole pixels: it is off by at most half an image pixel in 40 mm.
            assert grid.spacing.row_mm == pytest.approx(40 / 96, abs=0.5 * spacing.row_mm / 96 * 1.001)
            assert grid.spacing.col_mm == pytest.approx(40 / 96, abs=0.5 * spacing.col_mm / 96 * 1.001)
            if radius == 9.0:
                areas.append(int(resample_mask(mask.pixels, grid).sum()))
    # The same disc has the same size in pixels, whoever imaged it.
    assert np.array(areas) * (40 / 96) ** 2 == pytest.approx(math.pi * 81, rel=0.01)


def test_an_adjustable_crop_shows_a_large_lesion_as_large_as_a_small_one() -> None:
    settings = CropSettings(size_px=128, context_mm=0.0)
    small, large = (
        resample_mask(mask.pixels, lesion_grid(mask, settings)).mean()
        for mask in (ellipse((600, 600), Spacing(0.1, 0.1), (30, 30), (r, r)) for r in (3.0, 25.0))
    )
    assert small == pytest.approx(math.pi / 4, rel=0.02)
    assert large == pytest.approx(math.pi / 4, rel=0.02)


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
def test_what_a_fixed_crop_cuts_off_a_large_lesion_is_told(spacing: Spacing) -> None:
    shape = (round(80 / spacing.row_mm), round(80 / spacing.col_mm))
    pixels = np.zeros(shape, dtype=bool)
    pixels[round(10 / spacing.row_mm) : round(70 / spacing.row_mm), round(30 / spacing.col_mm) :][
        :, : round(20 / spacing.col_mm)
    ] = True
    mask = LesionMask(pixels, spacing)
    # 60 mm tall and 20 mm wide: a square of 40 mm loses 20 of 60 mm, one of 10 mm keeps 100 of 1200 mm2.
    for side, lost in ((40.0, 1 / 3), (10.0, 11 / 12), (60.5, 0.0)):
        settings = CropSettings(policy="fixed", side_mm=side)
        assert crop_lost_fraction(mask, settings) == pytest.approx(lost, abs=0.005)
        grid = lesion_grid(mask, settings)
        seen = resample_mask(pixels, grid).sum() * grid.spacing.pixel_area_mm2
        assert seen == pytest.approx(1200 * (1 - lost), rel=0.06)
    assert crop_lost_fraction(mask, CropSettings(context_mm=0.0)) == 0.0


def test_a_fixed_crop_reaches_beyond_the_image_without_losing_lesion() -> None:
    mask = ellipse((300, 300), Spacing(0.1, 0.1), (4, 26), (3, 3))
    settings = CropSettings(policy="fixed", side_mm=40.0)
    assert crop_lost_fraction(mask, settings) == 0.0
    box = lesion_grid(mask, settings).box
    # The lesion's box spans 1 to 7 mm of the rows and 23 to 29 mm of the columns: centres at 4 and 26 mm.
    assert (box.row, box.col, box.rows, box.cols) == (-160, 60, 400, 400)


def test_a_fixed_crop_without_spacing_is_refused() -> None:
    mask = LesionMask(np.ones((9, 9), dtype=bool), None)
    for function in (lesion_grid, crop_side_mm, crop_lost_fraction):
        with pytest.raises(CaseError, match="a crop of 25 mm") as caught:
            function(mask, CropSettings(policy="fixed", side_mm=25.0))
        assert caught.value.code is ExclusionCode.SPACING_MISSING


def test_a_square_smaller_than_a_pixel_is_that_pixel() -> None:
    grid = lesion_grid(LesionMask(np.ones((5, 7), dtype=bool), Spacing(0.3, 0.3)), CropSettings(32, 0, "fixed", 0.01))
    assert (grid.box.row, grid.box.col, grid.box.rows, grid.box.cols) == (2, 3, 1, 1)


def test_settings_come_back_from_plain_data() -> None:
    settings = CropSettings(64, 3.0, "fixed", 25.0)
    assert settings.as_dict() == {"size_px": 64, "context_mm": 3.0, "policy": "fixed", "side_mm": 25.0}
    assert CropSettings(**settings.as_dict()) == settings
    # What configurations written before there was a choice mean.
    assert CropSettings(size_px=96, context_mm=6.0).policy == "adjustable"
