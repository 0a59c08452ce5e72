"""Where millimetres come from: the lesion's region, the rest of the header, the table, or nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.ingest.frames import codes, read, resolve
from tests.ingest.us_dicom import COLOUR_FLOW, M_MODE, SECONDS, us_region, write_us
from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode, QualityFlag, SpacingSource
from usdlr.core.units import Spacing
from usdlr.imaging.mask import LesionMask, measure, require_plausible
from usdlr.ingest.readers.frame import SourceFrame
from usdlr.ingest.regions import Region
from usdlr.ingest.spacing import SpacingResult, panes, region_of, region_of_pane

Mask = npt.NDArray[np.bool_]
Box = tuple[int, int, int, int]
SHAPE = (120, 200)


def box_mask(row: int, col: int, rows: int, cols: int, shape: tuple[int, int] = SHAPE) -> Mask:
    mask = np.zeros(shape, dtype=bool)
    mask[row : row + rows, col : col + cols] = True
    return mask


def region(
    row: int,
    col: int,
    rows: int,
    cols: int,
    row_mm: float | None = 0.1,
    col_mm: float | None = None,
    data_type: int = 1,
    spatial_format: int = 1,
    clipped: bool = False,
) -> Region:
    spacing = None if row_mm is None else Spacing(row_mm, col_mm or row_mm)
    return Region(row, col, rows, cols, spacing, spatial_format, data_type, clipped)


def framed(*regions: Region, **rest: Any) -> SourceFrame:
    return SourceFrame(pixels=np.zeros(SHAPE, np.uint8), format=rest.pop("format", "DICOM"), regions=regions, **rest)


def refused(code: ExclusionCode, *parts: str, **rest: Any) -> None:
    with pytest.raises(CaseError) as caught:
        resolve(**rest)
    assert caught.value.code is code
    for part in ("found ", ", expected ", *parts):
        assert part in caught.value.sentence


# -- rows are rows -----------------------------------------------------------------------------------------------------


def test_rows_and_columns_are_not_swapped(tmp_path: Path) -> None:
    """An ellipse 24 mm wide and 9 mm high, drawn on pixels three times as high as wide."""
    row_mm, col_mm = 0.3, 0.1
    rows, cols = np.ogrid[:100, :400]
    inside = np.hypot((rows - 50.5) * row_mm / 4.5, (cols - 200.5) * col_mm / 12.0) <= 1
    items = [us_region(0, 0, 399, 99, delta_x=col_mm / 10, delta_y=row_mm / 10)]
    path = write_us(tmp_path / "a.dcm", np.where(inside, 200, 20).astype(np.uint8), items)
    frame, _ = read(path)
    lesion = frame.pixels > 100
    size = measure(LesionMask(lesion, resolve(frame, lesion).spacing))
    assert size.box_width_mm == pytest.approx(24.0, abs=2 * col_mm)
    assert size.box_height_mm == pytest.approx(9.0, abs=2 * row_mm)
    assert size.area_mm2 == pytest.approx(np.pi * 12.0 * 4.5, rel=0.01)
    assert size.longest_diameter_mm == pytest.approx(24.0, abs=0.2)
    require_plausible(size)


def test_pixel_spacing_is_rows_first(tmp_path: Path) -> None:
    frame, _ = read(write_us(tmp_path / "a.dcm", np.zeros(SHAPE, np.uint8), pixel_spacing=(0.3, 0.1)))
    result = resolve(frame)
    assert (result.spacing, result.source) == (Spacing(0.3, 0.1), SpacingSource.PIXEL_SPACING)


def test_four_panes_each_with_its_own_scale(tmp_path: Path) -> None:
    items = [  # written in another order than they are read in, and not quite in line
        us_region(100, 61, 199, 119, 0.04, 0.008),
        us_region(0, 2, 99, 59, 0.01, 0.005),
        us_region(0, 60, 99, 119, 0.03, 0.007, data_type=COLOUR_FLOW),
        us_region(100, 0, 199, 59, -0.02, -0.006),
    ]
    frame, _ = read(write_us(tmp_path / "a.dcm", np.zeros(SHAPE, np.uint8), items))
    found = panes(frame.regions)
    assert [(item.row, item.col) for item in found] == [(2, 0), (0, 100), (60, 0), (61, 100)]
    expected = [Spacing.from_cm(0.005, 0.01), Spacing.from_cm(0.006, 0.02)]
    expected += [Spacing.from_cm(0.007, 0.03), Spacing.from_cm(0.008, 0.04)]
    for item, spacing in zip(found, expected, strict=True):
        lesion = box_mask(item.row + 10, item.col + 10, 20, 30)
        assert resolve(frame, lesion).spacing == resolve(frame, pane=item.box).spacing == spacing
    refused(ExclusionCode.FRAME_UNSTATED, "4 calibrated panes", frame=frame)


def test_frames_with_their_own_scale(tmp_path: Path) -> None:
    own = [[us_region(0, 0, 199, 119, 0.01, 0.02)], [us_region(0, 0, 199, 119, 0.03, 0.04)]]
    path = write_us(tmp_path / "a.dcm", np.zeros((2, *SHAPE), np.uint8), frames=2, per_frame=own)
    assert [resolve(read(path, number)[0]).spacing for number in (1, 2)] == [
        Spacing.from_cm(0.02, 0.01),
        Spacing.from_cm(0.04, 0.03),
    ]


# -- the lesion's region -----------------------------------------------------------------------------------------------

LEFT, RIGHT = region(0, 0, 120, 100, 0.1), region(0, 100, 120, 100, 0.2)


def test_the_lesion_chooses_its_pane() -> None:
    frame = framed(LEFT, RIGHT)
    assert resolve(frame, box_mask(10, 10, 20, 20)).region == LEFT
    assert resolve(frame, box_mask(10, 150, 20, 20)).region == RIGHT
    # 5 % on the other side is a rounding, 10 % is not.
    assert resolve(frame, box_mask(10, 81, 20, 20)).region == LEFT
    refused(ExclusionCode.MASK_OUTSIDE_REGION, "90% of the contour", frame=frame, mask=box_mask(10, 82, 20, 20))


@pytest.mark.parametrize("mask", [box_mask(0, 0, 20, 20), box_mask(100, 100, 5, 5), box_mask(38, 50, 20, 20)])
def test_a_lesion_outside_every_calibrated_region_is_refused(mask: Mask) -> None:
    trace = region(90, 90, 30, 30, None, spatial_format=4, data_type=10)
    frame = framed(region(40, 40, 40, 40), trace, pixel_spacing=Spacing(0.1, 0.1))
    refused(ExclusionCode.MASK_OUTSIDE_REGION, "of the contour", frame=frame, mask=mask)
    refused(ExclusionCode.MASK_OUTSIDE_REGION, "of the contour", frame=frame, mask=mask, stated=(0.1, 0.1))


def test_a_trace_is_never_space(tmp_path: Path) -> None:
    items = [us_region(0, 0, 199, 119, 0.01, 0.01, spatial_format=M_MODE, units=(SECONDS, 3))]
    frame, _ = read(write_us(tmp_path / "a.dcm", np.zeros(SHAPE, np.uint8), items))
    for mask in (None, box_mask(10, 10, 20, 20)):
        assert resolve(frame, mask) == SpacingResult(None, SpacingSource.NONE)


def test_a_colour_box_is_part_of_its_tissue() -> None:
    tissue, colour = region(0, 0, 120, 150), region(30, 40, 50, 60, data_type=2)
    for order in ((tissue, colour), (colour, tissue)):
        assert panes(order) == (tissue,)
        assert resolve(framed(*order), box_mask(40, 50, 20, 20)).region == tissue
        assert resolve(framed(*order)).region == tissue
        assert region_of_pane(order, colour.box) == colour  # asked for by name


def test_one_box_stated_twice() -> None:
    assert panes((region(0, 0, 9, 9, data_type=2), region(0, 0, 9, 9))) == (region(0, 0, 9, 9),)
    assert panes((region(0, 0, 9, 9, 0.1), region(0, 0, 9, 9, 0.1005))) == (region(0, 0, 9, 9, 0.1),)
    with pytest.raises(CaseError) as caught:
        panes((region(0, 0, 9, 9, 0.1), region(0, 0, 9, 9, 0.102)))
    assert caught.value.code is ExclusionCode.SPACING_CONTRADICTORY


def test_an_inset_with_another_scale() -> None:
    whole, inset = region(0, 0, 120, 200, 0.1), region(0, 140, 60, 60, 0.05)
    frame = framed(whole, inset)
    assert panes(frame.regions) == (whole, inset)
    assert resolve(frame, box_mask(70, 20, 20, 20)).region == whole
    # Whose pixels are seen there, the header does not say.
    mask = box_mask(20, 150, 20, 20)
    refused(ExclusionCode.SPACING_CONTRADICTORY, "0.1 x 0.1", "0.05 x 0.05", "state the pane", frame=frame, mask=mask)
    assert resolve(frame, mask, inset.box).spacing == Spacing(0.05, 0.05)


def test_panes_are_read_like_a_page() -> None:
    tall, upper, lower = region(0, 0, 120, 90), region(1, 100, 50, 100), region(60, 100, 50, 100)
    assert panes((lower, upper, tall)) == (tall, upper, lower)
    first, second = region(10, 0, 100, 90), region(0, 100, 100, 90)
    assert panes((second, first)) == (first, second)
    assert panes(()) == ()
    assert (
        panes((region(0, 0, 9, 9, None), region(0, 0, 9, 9, data_type=13), region(0, 0, 9, 9, spatial_format=2))) == ()
    )


def test_no_region_of_a_lesion_without_calibration() -> None:
    assert region_of((region(0, 0, 120, 200, None),), box_mask(0, 0, 5, 5)) is None


@pytest.mark.parametrize(
    ("pane", "expected"),
    [
        ((0, 0, 120, 100), LEFT),
        ((10, 10, 50, 50), LEFT),
        ((0, 104, 120, 96), RIGHT),
        ((0, 0, 120, 104), LEFT),  # drawn a little too wide
    ],
)
def test_a_stated_pane_chooses_its_region(pane: Box, expected: Region) -> None:
    assert resolve(framed(LEFT, RIGHT), pane=pane).region == expected


def test_a_stated_pane_over_two_scales_needs_the_lesion() -> None:
    frame = framed(LEFT, RIGHT)
    refused(ExclusionCode.SPACING_CONTRADICTORY, "in the pane", frame=frame, pane=(0, 50, 120, 100))
    same = framed(LEFT, region(0, 100, 120, 100, 0.1))
    assert resolve(same, pane=(0, 0, 120, 200)).spacing == Spacing(0.1, 0.1)


def test_a_stated_pane_elsewhere_is_calibrated_by_the_table_only() -> None:
    frame = framed(region(0, 0, 120, 100, 0.1), pixel_spacing=Spacing(0.1, 0.1))
    pane = (0, 101, 120, 99)
    result = resolve(frame, box_mask(10, 150, 20, 20), pane)
    assert (result.spacing, result.source, codes(result)) == (
        None,
        SpacingSource.NONE,
        [QualityFlag.CALIBRATION_REFUSED],
    )
    stated = resolve(frame, box_mask(10, 150, 20, 20), pane, (0.3, 0.3))
    assert (stated.spacing, stated.source) == (Spacing(0.3, 0.3), SpacingSource.MANIFEST)
    refused(ExclusionCode.MASK_OUTSIDE_REGION, "0% of the contour", frame=frame, mask=box_mask(9, 9, 5, 5), pane=pane)


def test_contours_that_fit_no_image() -> None:
    refused(ExclusionCode.MASK_SIZE_MISMATCH, "10 x 10", frame=framed(LEFT), mask=np.ones((10, 10), dtype=bool))
    refused(ExclusionCode.MASK_EMPTY, "without a single pixel", frame=framed(LEFT), mask=np.zeros(SHAPE, dtype=bool))


# -- the order of sources ----------------------------------------------------------------------------------------------


def test_the_order_of_sources() -> None:
    own, imager, stated = Spacing(0.2, 0.21), Spacing(0.3, 0.31), (0.4, 0.41)
    result = resolve(framed(pixel_spacing=own, imager_pixel_spacing=imager))
    assert (result.spacing, result.source) == (own, SpacingSource.PIXEL_SPACING)
    assert codes(result) == [QualityFlag.SPACING_LOW_TRUST]
    assert "PixelSpacing, which no ultrasound region confirms" in result.notes[0].sentence
    result = resolve(framed(imager_pixel_spacing=imager))
    assert (result.spacing, result.source) == (imager, SpacingSource.IMAGER_PIXEL_SPACING)
    assert codes(result) == [QualityFlag.SPACING_LOW_TRUST]
    result = resolve(framed(), stated=stated)
    assert result == SpacingResult(Spacing(*stated), SpacingSource.MANIFEST)
    result = resolve(framed(), stated=stated, source=SpacingSource.NONE)
    assert result.source is SpacingSource.MANIFEST
    assert resolve(framed()) == SpacingResult(None, SpacingSource.NONE)


@pytest.mark.parametrize("factor", [(1.0, 1.0), (1.009, 0.991)])
def test_statements_that_agree(factor: tuple[float, float]) -> None:
    stated = (0.1 * factor[0], 0.1 * factor[1])
    result = resolve(framed(LEFT, pixel_spacing=Spacing(*stated)), stated=stated)
    assert (result.spacing, result.source, result.notes) == (LEFT.spacing, SpacingSource.DICOM_REGION, ())


@pytest.mark.parametrize("stated", [(0.102, 0.1), (0.1, 0.098), (0.01, 0.01), (1.0, 1.0)])
def test_a_table_that_contradicts_the_header_is_refused(stated: tuple[float, float]) -> None:
    parts = (f"{stated[0]:g} x {stated[1]:g} mm per pixel (rows x columns) in the table", "0.1 x 0.1 mm per pixel")
    for frame in (
        framed(LEFT),
        framed(pixel_spacing=Spacing(0.1, 0.1)),
        framed(imager_pixel_spacing=Spacing(0.1, 0.1)),
    ):
        refused(ExclusionCode.SPACING_CONTRADICTORY, *parts, frame=frame, stated=stated)


def test_swapped_rows_and_columns_in_a_table_are_refused() -> None:
    frame = framed(region(0, 0, 120, 200, 0.1, 0.2))
    assert resolve(frame, stated=(0.1, 0.2)).source is SpacingSource.DICOM_REGION
    refused(ExclusionCode.SPACING_CONTRADICTORY, frame=frame, stated=(0.2, 0.1))


def test_a_region_beats_a_pixel_spacing_that_disagrees() -> None:
    result = resolve(framed(LEFT, pixel_spacing=Spacing(0.3, 0.3)))
    assert (result.spacing, result.source) == (LEFT.spacing, SpacingSource.DICOM_REGION)
    assert codes(result) == [QualityFlag.SPACING_LOW_TRUST]
    assert "0.3 x 0.3 mm per pixel (rows x columns) in PixelSpacing; the region is used" in result.notes[0].sentence


def test_a_refused_region_voids_the_whole_header() -> None:
    frame = framed(LEFT, refused=("found ultrasound region 2 outside",), pixel_spacing=Spacing(0.1, 0.1))
    for mask in (None, box_mask(10, 10, 20, 20)):
        result = resolve(frame, mask)
        assert (result.spacing, result.source, result.region) == (None, SpacingSource.NONE, None)
        assert codes(result) == [QualityFlag.CALIBRATION_REFUSED]
        assert "found ultrasound region 2 outside; " in result.notes[0].sentence
        stated = resolve(frame, mask, stated=(0.5, 0.5))
        assert (stated.spacing, stated.source) == (Spacing(0.5, 0.5), SpacingSource.MANIFEST)
        assert codes(stated) == [QualityFlag.CALIBRATION_REFUSED]


def test_clipping_is_noted_for_the_region_that_is_used() -> None:
    clipped = region(0, 100, 120, 100, 0.2, clipped=True)
    assert codes(resolve(framed(LEFT, clipped), pane=clipped.box)) == [QualityFlag.REGION_CLIPPED]
    assert codes(resolve(framed(LEFT, clipped), pane=LEFT.box)) == []


@pytest.mark.parametrize("spacing", [Spacing(1.0, 1.0), Spacing(0.001, 0.001), Spacing(0.1, 3.0)])
def test_a_spacing_that_nobody_measured_is_not_used(spacing: Spacing) -> None:
    result = resolve(framed(pixel_spacing=spacing, imager_pixel_spacing=Spacing(0.2, 0.2)))
    assert (result.spacing, result.source) == (Spacing(0.2, 0.2), SpacingSource.IMAGER_PIXEL_SPACING)
    assert codes(result) == [QualityFlag.CALIBRATION_REFUSED, QualityFlag.SPACING_LOW_TRUST]
    alone = resolve(framed(pixel_spacing=spacing, format="NIfTI"), stated=(0.07, 0.07))
    assert (alone.spacing, alone.source) == (Spacing(0.07, 0.07), SpacingSource.MANIFEST)
    assert "in the NIfTI header" in alone.notes[0].sentence


def test_a_volume_files_own_millimetres_are_noted() -> None:
    result = resolve(framed(pixel_spacing=Spacing(0.1, 0.1), format="NRRD"))
    assert result.source is SpacingSource.PIXEL_SPACING
    assert "only in the NRRD header, which converters often invent" in result.notes[0].sentence


@pytest.mark.parametrize("stated", [(0.0, 0.1), (0.1, -0.1), (float("nan"), 0.1), (0.1, float("inf"))])
def test_a_stated_spacing_that_is_no_length(stated: tuple[float, float]) -> None:
    refused(ExclusionCode.SPACING_MISSING, frame=framed(), stated=stated)


def test_an_implausible_table() -> None:
    refused(ExclusionCode.SPACING_ABSURD, "10 x 10 mm per pixel", frame=framed(), stated=(10.0, 10.0))
    # With a lesion, its size tells more: it is checked where the contour is measured.
    lesion = box_mask(10, 10, 20, 20)
    result = resolve(framed(), lesion, stated=(10.0, 10.0))
    with pytest.raises(CaseError) as caught:
        require_plausible(measure(LesionMask(lesion, result.spacing)))
    assert caught.value.code is ExclusionCode.SPACING_ABSURD
