from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from usdlr.core.errors import ConfigError
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray
from usdlr.imaging.repair import RepairSettings, repair


def lesion() -> BoolArray:
    """100 x 100 = 10,000 pixels in an image of 200 x 200."""
    mask = np.zeros((200, 200), dtype=np.bool_)
    mask[40:140, 40:140] = True
    return mask


def test_a_sound_contour_comes_back_untouched() -> None:
    mask = lesion()
    done = repair(mask, Spacing(0.1, 0.1))
    np.testing.assert_array_equal(done.pixels, mask)
    assert (done.holes_filled, done.islands_removed, done.changed_fraction) == (0, 0, 0)
    assert done.pixels is not mask


def test_small_holes_and_islands_are_repaired_and_counted() -> None:
    mask = lesion()
    mask[60:70, 60:70] = False  # 100 pixels, 1 mm²
    mask[100, 100] = False
    mask[150:155, 150:160] = True  # 50 pixels
    mask[0, 0] = True
    before = int(mask.sum())
    done = repair(mask, Spacing(0.1, 0.1))
    np.testing.assert_array_equal(done.pixels, lesion())
    assert (done.holes_filled, done.islands_removed) == (2, 2)
    assert done.changed_fraction == pytest.approx((100 + 1 + 50 + 1) / before)


def test_a_second_lesion_and_a_drawn_hole_stay() -> None:
    mask = lesion()
    mask[150:165, 150:165] = True  # 225 pixels: 2.25 % of the lesion
    mask[60:80, 60:80] = False  # 400 pixels: 4 %
    done = repair(mask, None)
    np.testing.assert_array_equal(done.pixels, mask)


def test_millimetres_count_where_they_are_known() -> None:
    mask = lesion()
    mask[150:160, 150:159] = True  # 90 pixels, 0.9 % of the lesion
    assert repair(mask, Spacing(0.1, 0.1)).islands_removed == 1  # 0.9 mm²
    assert repair(mask, Spacing(0.1, 0.2)).islands_removed == 0  # 1.8 mm²
    assert repair(mask, None).islands_removed == 1  # 90 of 100 pixels
    mask[150:160, 150:162] = True  # 120 pixels, 1.2 %
    assert repair(mask, Spacing(0.01, 0.01)).islands_removed == 0  # the share decides


def test_what_reaches_the_edge_is_no_hole() -> None:
    mask = np.ones((50, 50), dtype=np.bool_)
    mask[0, 10] = mask[20, 49] = mask[30, 30] = False
    done = repair(mask, None)
    assert done.holes_filled == 1
    assert done.pixels.sum() == 2500 - 2


def test_background_that_touches_at_a_corner_only_is_apart() -> None:
    mask = lesion()
    mask[60, 60] = mask[61, 61] = False
    mask[40, 40] = mask[41, 41] = False  # the first is outside the outline, the second a hole
    done = repair(mask, None)
    assert done.holes_filled == 3
    assert done.pixels.sum() == 10_000 - 1


def test_a_diagonal_line_encloses_a_hole_and_holds_together() -> None:
    mask = np.zeros((60, 60), dtype=np.bool_)
    mask[10:50, 10:50] = True
    mask[20:23, 20:23] = False
    mask[21, 21] = True  # an island inside the hole
    mask[50, 50] = True  # touches the lesion's corner
    done = repair(mask, None)
    assert (done.holes_filled, done.islands_removed) == (1, 0)
    assert done.pixels[20:23, 20:23].all()
    assert done.pixels[50, 50]


def test_a_stray_pixel_beside_a_tiny_lesion_goes_but_of_two_equal_ones_none() -> None:
    mask = np.zeros((30, 30), dtype=np.bool_)
    mask[5:10, 5:10] = True
    mask[25, 25] = True
    assert repair(mask, Spacing(0.1, 0.1)).pixels.sum() == 25
    mask[:] = False
    mask[3, 3] = mask[20, 20] = True
    assert repair(mask, None).pixels.sum() == 2


def test_an_empty_mask_comes_back_empty() -> None:
    done = repair(np.zeros((5, 5), dtype=np.bool_), None)
    assert not done.pixels.any()
    assert done.changed_fraction == 0


def test_settings_of_zero_switch_it_off() -> None:
    mask = lesion()
    mask[60, 60], mask[0, 0] = False, True
    off = RepairSettings(hole_share=0, island_share=0, speck_pixels=0)
    np.testing.assert_array_equal(repair(mask, None, off).pixels, mask)


@pytest.mark.parametrize(
    "wrong", [{"hole_share": 0.6}, {"island_share": -0.1}, {"hole_mm2": float("nan")}, {"speck_pixels": -1}]
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        RepairSettings(**wrong)


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=25)), st.booleans())
@settings(max_examples=150, deadline=None)
def test_what_repair_promises(mask: BoolArray, known: bool) -> None:
    spacing = Spacing(0.3, 0.2) if known else None
    original = mask.copy()
    done = repair(mask, spacing)
    np.testing.assert_array_equal(mask, original)
    # The largest component, by scipy's count, survives whole.
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if count:
        areas = np.bincount(labels.ravel())[1:]
        best = [number for number in range(1, count + 1) if areas[number - 1] == areas.max()]
        assert all(done.pixels[labels == number].all() for number in best)
        assert done.changed_fraction == pytest.approx((done.pixels != mask).sum() / mask.sum())
    removed = ndimage.label(mask & ~done.pixels, structure=np.ones((3, 3)))[1]
    assert removed == done.islands_removed
    if not (done.holes_filled or done.islands_removed):
        np.testing.assert_array_equal(done.pixels, mask)
