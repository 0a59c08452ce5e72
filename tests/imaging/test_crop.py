from __future__ import annotations

import math

import numpy as np
import pytest

from usdlr.core.errors import CaseError, ConfigError
from usdlr.core.types import ExclusionCode
from usdlr.core.units import Spacing
from usdlr.imaging.crop import CropSettings, lesion_grid
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
