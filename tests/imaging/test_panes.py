from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.imaging.render_overlay import Byte, bilinear_noise, draw, jpeg, scene, speckle
from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.core.units import Spacing
from usdlr.imaging.image import to_grey
from usdlr.imaging.overlay import recover
from usdlr.imaging.palettes import PALETTES
from usdlr.imaging.panes import Pane, align, align_panes, check_alignment, require_aligned
from usdlr.imaging.stiffness import StiffnessMap

Float = npt.NDArray[np.float64]


def tissue(rows_mm: Float, cols_mm: Float) -> Float:
    """Stiffness of a body, in kPa, at places in millimetres."""
    return np.asarray(60 + 25 * np.sin(rows_mm / 3.1)[:, None] + 20 * np.cos(cols_mm / 4.3)[None, :])


def centres(count: int, spacing: float, start: float = 0.0) -> Float:
    return np.asarray(start + (np.arange(count) + 0.5) * spacing)


def stiffness(values: npt.NDArray[np.floating]) -> StiffnessMap:
    return StiffnessMap(values.astype(np.float32), "kPa", 0.9, 0.05, 0.5)


@pytest.mark.parametrize(
    "moving", [Spacing(0.1, 0.1), Spacing(0.07, 0.13), Spacing(0.2, 0.25), Spacing(0.04, 0.03)], ids=str
)
def test_the_same_corner_in_millimetres(moving: Spacing) -> None:
    fixed = Spacing(0.1, 0.1)
    fixed_box = (40, 20, 200, 240)
    shape = (round(20 / moving.row_mm), round(24 / moving.col_mm))
    values = tissue(centres(shape[0], moving.row_mm), centres(shape[1], moving.col_mm))
    found = align(stiffness(values), (40, 300, *shape), moving, fixed_box, fixed)
    truth = tissue(centres(200, 0.1), centres(240, 0.1))
    assert found.values.shape == (200, 240)
    inner = (slice(4, -4), slice(4, -4))
    assert np.isfinite(found.values[inner]).all()
    np.testing.assert_allclose(found.values[inner], truth[inner], atol=0.25)
    assert (found.valid_fraction, found.saturated_fraction, found.opacity) == (0.9, 0.05, 0.5)


def test_reference_points_show_the_same_tissue() -> None:
    # The map's pane starts 3 mm deeper and 2 mm further right than the B-mode pane: references, not corners, say so.
    fixed, moving = Spacing(0.1, 0.12), Spacing(0.08, 0.06)
    values = tissue(centres(150, 0.08, 3.0), centres(200, 0.06, 2.0))
    found = align(
        stiffness(values),
        (50, 400, 150, 200),
        moving,
        (10, 20, 220, 180),
        fixed,
        # The pixel whose centre is at 3 + 50.5 * 0.08 mm = 7.04 mm and 2 + 30.5 * 0.06 mm = 3.83 mm, in both panes.
        map_reference=(50 + 50, 400 + 30),
        fixed_reference=(10 + 7.04 / 0.1 - 0.5, 20 + 3.83 / 0.12 - 0.5),
    )
    rows, cols = centres(220, 0.1), centres(180, 0.12)
    truth = tissue(rows, cols)
    covered = ((rows > 3.1) & (rows < 14.9))[:, None] & ((cols > 2.1) & (cols < 13.9))[None, :]
    np.testing.assert_allclose(found.values[covered], truth[covered], atol=0.1)
    outside = ((rows < 2.9) | (rows > 15.1))[:, None] | ((cols < 1.9) | (cols > 14.1))[None, :]
    assert np.isnan(found.values[outside]).all()


def test_equal_panes_are_copied() -> None:
    values = np.random.default_rng(1).uniform(1, 200, (60, 80)).astype(np.float32)
    values[10:20, 30:50] = np.nan
    found = align(stiffness(values), (0, 100, 60, 80), Spacing(0.1, 0.2), (0, 0, 60, 80), Spacing(0.1, 0.2))
    np.testing.assert_array_equal(found.values, values)
    bare = align(stiffness(values), (0, 100, 60, 80), None, (0, 0, 60, 80), None)
    np.testing.assert_array_equal(bare.values, values)


@pytest.mark.parametrize("moving_mm", [0.05, 0.1, 0.23])
def test_holes_keep_their_area_and_do_not_bleed(moving_mm: float) -> None:
    shape = (round(24 / moving_mm), round(30 / moving_mm))
    values = np.full(shape, 7.0)
    rows, cols = centres(shape[0], moving_mm), centres(shape[1], moving_mm)
    hole = np.hypot(rows[:, None] - 11, cols[None, :] - 14) < 5
    values[hole] = np.nan
    moving = Spacing(moving_mm, moving_mm)
    found = align(stiffness(values), (0, 400, *shape), moving, (0, 0, 240, 300), Spacing(0.1, 0.1))
    np.testing.assert_allclose(found.values[np.isfinite(found.values)], 7.0, rtol=1e-5)
    area = np.isnan(found.values[5:-5, 5:-5]).sum() * 0.01
    assert area == pytest.approx(np.pi * 25, rel=0.03)


def test_what_has_no_common_calibration_is_refused() -> None:
    values = stiffness(np.ones((50, 60)))
    cases = [
        ((0, 100, 50, 60), Spacing(0.1, 0.1), (0, 0, 50, 60), None, "common calibration"),
        ((0, 100, 50, 60), None, (0, 0, 40, 60), None, "50 x 60"),
        ((0, 100, 40, 60), None, (0, 0, 40, 60), None, "same size"),
    ]
    for map_box, map_spacing, fixed_box, fixed_spacing, message in cases:
        with pytest.raises(CaseError, match=message) as caught:
            align(values, map_box, map_spacing, fixed_box, fixed_spacing)
        assert caught.value.code is ExclusionCode.ELASTOGRAPHY_UNREADABLE
    with pytest.raises(CaseError, match="outside"):
        align(
            values,
            (0, 100, 50, 60),
            Spacing(0.1, 0.1),
            (0, 0, 50, 60),
            Spacing(0.1, 0.1),
            map_reference=(0, 100),
            fixed_reference=(400, 0),
        )


@pytest.mark.parametrize("opacity", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize(("down", "right"), [(0, 0), (3, -2), (-13, 9), (40, 30)])
def test_a_planted_displacement_is_measured(opacity: float, down: int, right: int) -> None:
    spacing = Spacing(0.08, 0.11)
    item = scene(3)
    moved = np.roll(draw(item, list(PALETTES["blue_to_red"].points), opacity), (down, right), (0, 1))
    shift = check_alignment(jpeg(item.grey), to_grey(jpeg(moved))[0], spacing)
    assert shift.sure
    assert shift.row_mm == pytest.approx(down * 0.08, abs=0.04)
    assert shift.col_mm == pytest.approx(right * 0.11, abs=0.055)
    if shift.distance_mm > 1.0:
        with pytest.raises(CaseError, match="displaced") as caught:
            require_aligned(shift)
        assert f"{down * 0.08:+.1f}" in caught.value.sentence
        assert "calibrated 0" in caught.value.sentence
    else:
        require_aligned(shift)


def test_the_map_box_alone_is_enough() -> None:
    item = scene(3)
    moved = jpeg(np.roll(draw(item, list(PALETTES["jet"].points), 0.5), (5, 4), (0, 1)))
    luma = to_grey(moved)[0].astype(np.float32)
    row, col, rows, cols = item.box
    only = np.full_like(luma, np.nan)
    only[row + 10 : row + rows, col + 10 : col + cols] = luma[row + 10 : row + rows, col + 10 : col + cols]
    shift = check_alignment(item.grey, only, Spacing(0.1, 0.1))
    assert shift.sure
    assert shift.row_mm == pytest.approx(0.5, abs=0.05)
    assert shift.col_mm == pytest.approx(0.4, abs=0.05)


def test_other_tissue_is_no_evidence() -> None:
    item = scene(3)
    other: Byte = speckle(np.random.default_rng(99), item.grey.shape)
    shift = check_alignment(item.grey, other, Spacing(0.1, 0.1))
    assert not shift.sure
    require_aligned(shift)
    for nothing in (np.full(item.grey.shape, np.nan), np.full(item.grey.shape, 30.0)):
        assert check_alignment(item.grey, nothing, Spacing(0.1, 0.1)).score == 0.0
    narrow = np.full(item.grey.shape, np.nan)
    narrow[50:60, 50:60] = 1.0
    assert check_alignment(item.grey, narrow, Spacing(0.1, 0.1)).score == 0.0
    with pytest.raises(ValueError, match="one grid"):
        check_alignment(item.grey, other[:50], Spacing(0.1, 0.1))


def test_a_smaller_pane_from_the_frame_to_the_b_mode_grid() -> None:
    # B-mode at 0.08 mm, the map's pane at 0.1 mm, both of the same tissue: colours out, then onto the B-mode grid.
    fixed, moving = Spacing(0.08, 0.08), Spacing(0.1, 0.1)
    fixed_box, map_box = (0, 0, 360, 400), (0, 420, 288, 320)
    grey = speckle(np.random.default_rng(8), (360, 400))
    place = 0.4 + 0.15 * bilinear_noise(np.random.default_rng(9), (360, 400), 60)
    small = np.asarray(cv2.resize(grey, (320, 288), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    place_small: Float = np.asarray(cv2.resize(place, (320, 288), interpolation=cv2.INTER_AREA), dtype=np.float64)
    item = scene(1, grey=small)
    item = type(item)(small, place_small, item.signal, item.box)
    pane = jpeg(draw(item, list(PALETTES["jet"].points), 0.5))

    alignment = align_panes(Pane(map_box, moving), Pane(fixed_box, fixed))
    shift = check_alignment(grey, alignment.apply(to_grey(pane)[0]), fixed)
    assert shift.sure
    assert shift.distance_mm < 0.1
    back = align_panes(Pane(fixed_box, fixed), Pane(map_box, moving))
    twin = np.rint(back.apply(grey)).astype(np.uint8)
    found = align(recover(pane, PALETTES["jet"], (0, 180), unit="kPa", twin=twin), map_box, moving, fixed_box, fixed)
    both = np.isfinite(found.values)
    assert both.mean() > 0.4
    assert np.median(np.abs(found.values - 180 * place)[both]) <= 0.01 * 180
