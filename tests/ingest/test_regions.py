"""Ultrasound regions: twelve public files, files written here, and headers that hold anything at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import config, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from tests.ingest.us_dicom import (
    CM,
    COLOUR_BAR,
    COLOUR_FLOW,
    ECG,
    GRAPHICS,
    GREY_BAR,
    LOSSLESS,
    M_MODE,
    SECONDS,
    SPECTRAL,
    TWO_D,
    WAVEFORM,
    us_header,
    us_region,
    write_us,
)
from usdlr.core.units import Spacing
from usdlr.ingest.regions import RegionReading, parse_regions

SHAPE = (120, 200)
KEYWORDS = tuple(element.keyword for element in us_region(0, 0, 1, 1, reference=(0, 0)))


# -- the public files --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Truth:
    """Boxes are (row, column, rows, columns); millimetres belong to the calibrated ones, in the same order."""

    boxes: tuple[tuple[int, int, int, int], ...] = ()
    mm: tuple[float | None, ...] = ()
    clipped: tuple[bool, ...] = field(default=())
    refused: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


ALOKA = Truth(
    boxes=((24, 32, 392, 304), (24, 336, 392, 304), (40, 32, 64, 32)),
    mm=(0.382653, 0.382653, None),
    clipped=(False, False, False),
    ignored=("region 3 of spatial format 0 (none)",),
)
OBSTETRIC = Truth(
    boxes=((60, 120, 459, 680), (522, 176, 55, 568)),
    mm=(0.262288, None),
    clipped=(True, False),
    ignored=("region 2 of spatial format 4 (waveform)",),
)
UNCALIBRATED = Truth()
FILES: dict[str, Truth] = {
    "JPGLosslessP14SV1_1s_1f_8b.dcm": Truth(boxes=((38, 14, 721, 997),), mm=(0.254767,), clipped=(False,)),
    "OBXXXX1A.dcm": OBSTETRIC,
    "OBXXXX1A_2frame.dcm": OBSTETRIC,
    "OBXXXX1A_rle.dcm": OBSTETRIC,
    "US1_J2KR.dcm": UNCALIBRATED,
    "US1_UNCR.dcm": UNCALIBRATED,
    "color-pl.dcm": UNCALIBRATED,
    "examples_palette.dcm": Truth(
        refused=("region 1 at x 120 to 800, y 60 to 518 outside", "region 2 at x 176 to 743, y 522 to 576 outside")
    ),
    "examples_rgb_color.dcm": UNCALIBRATED,
    "examples_ybr_color.dcm": Truth(refused=("region 1 at x 84 to 595, y 31 to 414 outside the image of 240 x 320",)),
    "gdcm-US-ALOKA-16.dcm": ALOKA,
    "gdcm-US-ALOKA-16_big.dcm": ALOKA,
}


def test_every_public_file_is_in_the_table(shared_data: Path) -> None:
    assert {path.name for path in (shared_data / "dicom_us_regions").glob("*.dcm")} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_public_files(name: str, shared_data: Path) -> None:
    dataset = dcmread(shared_data / "dicom_us_regions" / name, stop_before_pixels=True)
    truth = FILES[name]
    for frame in range(1, int(dataset.get("NumberOfFrames") or 1) + 1):
        reading = parse_regions(dataset, (dataset.Rows, dataset.Columns), frame)
        assert tuple(region.box for region in reading.regions) == truth.boxes
        assert tuple(region.clipped for region in reading.regions) == truth.clipped
        for region, mm in zip(reading.regions, truth.mm, strict=True):
            if mm is None:
                assert region.spacing is None
            else:
                assert region.spacing is not None
                assert region.spacing.as_tuple() == pytest.approx((mm, mm), abs=5e-7)
        for said, expected in ((reading.refused, truth.refused), (reading.ignored, truth.ignored)):
            assert len(said) == len(expected)
            assert all(part in sentence for part, sentence in zip(expected, said, strict=True))


def test_reference_pixels_of_public_files(shared_data: Path) -> None:
    dataset = dcmread(shared_data / "dicom_us_regions" / "gdcm-US-ALOKA-16.dcm", stop_before_pixels=True)
    left, right, bar = parse_regions(dataset, (480, 640)).regions
    # (154, 21) from each pane's own corner: the same place on both transducer faces.
    assert (left.reference_row, left.reference_col) == (24 + 21, 32 + 154)
    assert (right.reference_row, right.reference_col) == (24 + 21, 336 + 154)
    assert (bar.reference_row, bar.reference_col) == (None, None)


# -- files written here ------------------------------------------------------------------------------------------------


def read(path: Path, frame: int = 1) -> RegionReading:
    dataset = dcmread(path, stop_before_pixels=True)
    return parse_regions(dataset, (dataset.Rows, dataset.Columns), frame)


@pytest.mark.parametrize(
    ("delta_x", "delta_y"),
    [(0.01, 0.01), (0.02, 0.005), (0.005, 0.02), (-0.013, 0.0078125), (0.013, -0.0078125), (-1 / 3, -1 / 7)],
)
def test_deltas_come_back_exactly_and_not_swapped(tmp_path: Path, delta_x: float, delta_y: float) -> None:
    if abs(delta_x) > 0.2:
        delta_x, delta_y = delta_x / 10, delta_y / 10
    path = write_us(tmp_path / "a.dcm", np.zeros(SHAPE, np.uint8), [us_region(3, 5, 150, 99, delta_x, delta_y)])
    (region,) = read(path).regions
    assert region.spacing == Spacing(row_mm=10 * abs(delta_y), col_mm=10 * abs(delta_x))
    assert region.box == (5, 3, 95, 148)
    assert not region.clipped


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_every_transfer_syntax(tmp_path: Path, syntax: str) -> None:
    item = us_region(3, 5, 150, 99, 0.02, 0.011, reference=(-7, -300))
    (region,) = read(write_us(tmp_path / "a.dcm", np.zeros(SHAPE, np.uint8), [item], transfer_syntax=syntax)).regions
    assert region.spacing == Spacing.from_cm(0.011, 0.02)
    assert (region.reference_row, region.reference_col) == (-295.0, -4.0)


def test_four_regions_of_different_meaning(tmp_path: Path) -> None:
    items = [
        us_region(0, 0, 99, 59, 0.01, 0.02),
        us_region(100, 0, 199, 59, 0.03, 0.04, data_type=COLOUR_FLOW),
        us_region(0, 60, 99, 119, 0.004, 0.02, spatial_format=M_MODE, units=(SECONDS, CM)),
        us_region(100, 60, 199, 119, 0.004, 1.5, spatial_format=SPECTRAL, data_type=3, units=(SECONDS, 7)),
    ]
    reading = read(write_us(tmp_path / "a.dcm", np.zeros(SHAPE, np.uint8), items))
    assert [region.spacing for region in reading.regions] == [
        Spacing.from_cm(0.02, 0.01),
        Spacing.from_cm(0.04, 0.03),
        None,
        None,
    ]
    assert [(region.spatial_format, region.data_type) for region in reading.regions] == [(1, 1), (1, 2), (2, 1), (3, 3)]
    assert reading.refused == ()
    assert [sentence[:26] for sentence in reading.ignored] == [
        "found ultrasound region 3 ",
        "found ultrasound region 4 ",
    ]
    assert "M-mode" in reading.ignored[0]
    assert "spectral" in reading.ignored[1]


@pytest.mark.parametrize(
    "item",
    [
        us_region(0, 0, 9, 9, 0.01, 0.01, spatial_format=M_MODE),
        us_region(0, 0, 9, 9, 0.01, 0.01, spatial_format=WAVEFORM, data_type=ECG),
        us_region(0, 0, 9, 9, 0.01, 0.01, spatial_format=GRAPHICS),
        us_region(0, 0, 9, 9, 0.01, 0.01, spatial_format=0),
        us_region(0, 0, 9, 9, 0.01, 0.01, spatial_format=77),
        us_region(0, 0, 9, 9, 0.01, 0.01, data_type=COLOUR_BAR),
        us_region(0, 0, 9, 9, 0.01, 0.01, data_type=GREY_BAR),
        us_region(0, 0, 9, 9, 0.01, 0.01, data_type=0),
        us_region(0, 0, 9, 9, 0.01, 0.01, units=(0, 0)),
        us_region(0, 0, 9, 9, 0.01, 0.01, units=(SECONDS, CM)),
        us_region(0, 0, 9, 9, 0.01, 0.01, units=(CM, SECONDS)),
        us_region(0, 0, 9, 9, 0.01, 0.01, units=(8, 8)),
        us_region(0, 0, 9, 9, float("nan"), 0.0, spatial_format=SPECTRAL, data_type=3, units=(SECONDS, 7)),
    ],
)
def test_only_two_dimensional_centimetres_are_space(item: Dataset) -> None:
    reading = parse_regions(us_header(item), SHAPE)
    assert [region.spacing for region in reading.regions] == [None]
    assert reading.refused == ()
    assert len(reading.ignored) == 1


@pytest.mark.parametrize("flags", [0, 1, 2, 3, 4, 0b11000, 2**32 - 1])
def test_flags_do_not_change_distances(flags: int) -> None:
    (region,) = parse_regions(us_header(us_region(0, 0, 9, 9, 0.01, 0.02, flags=flags)), SHAPE).regions
    assert region.spacing == Spacing.from_cm(0.02, 0.01)


def test_per_frame_calibration(tmp_path: Path) -> None:
    stack = np.zeros((3, *SHAPE), np.uint8)
    own = [[us_region(0, 0, 99, 99, 0.01, 0.02)], [us_region(5, 6, 99, 99, 0.03, 0.04)], []]
    whole = us_region(0, 0, 199, 119, 0.05, 0.06)
    path = write_us(tmp_path / "a.dcm", stack, [whole], frames=3, per_frame=own)
    found = [read(path, frame).regions[0] for frame in (1, 2, 3)]
    assert [region.spacing for region in found] == [
        Spacing.from_cm(0.02, 0.01),
        Spacing.from_cm(0.04, 0.03),
        Spacing.from_cm(0.06, 0.05),  # a frame without its own has the image's
    ]
    assert [region.box[:2] for region in found] == [(0, 0), (6, 5), (0, 0)]


def test_shared_and_nested_groups() -> None:
    macro, shared = Dataset(), Dataset()
    macro.SequenceOfUltrasoundRegions = Sequence([us_region(0, 0, 9, 9, 0.01, 0.02)])
    shared.USImageDescriptionSequence = Sequence([macro])
    dataset = us_header(us_region(0, 0, 9, 9, 0.07, 0.07))
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence([Dataset(), Dataset()])
    (region,) = parse_regions(dataset, SHAPE, 2).regions
    assert region.spacing == Spacing.from_cm(0.02, 0.01)


@pytest.mark.parametrize(
    ("bounds", "box"),
    [
        ((10, 20, 200, 90), (20, 10, 71, 190)),
        ((10, 20, 90, 120), (20, 10, 100, 81)),
        ((0, 0, 200, 120), (0, 0, *SHAPE)),
    ],
)
def test_one_pixel_past_the_end_is_clipped(bounds: tuple[int, int, int, int], box: tuple[int, int, int, int]) -> None:
    reading = parse_regions(us_header(us_region(*bounds)), SHAPE)
    assert [(region.box, region.clipped) for region in reading.regions] == [(box, True)]


@pytest.mark.parametrize(
    "bounds", [(10, 20, 201, 90), (10, 20, 90, 121), (200, 20, 200, 90), (10, 120, 90, 120), (0, 0, 2**32 - 1, 9)]
)
@pytest.mark.parametrize("spatial_format", [TWO_D, WAVEFORM])
def test_further_outside_is_refused_with_everything_else(
    bounds: tuple[int, int, int, int], spatial_format: int
) -> None:
    inside = us_region(0, 0, 50, 50)
    reading = parse_regions(us_header(inside, us_region(*bounds, spatial_format=spatial_format)), SHAPE)
    assert reading.regions == ()
    assert len(reading.refused) == 1
    assert "found ultrasound region 2 at x" in reading.refused[0]
    assert "120 x 200 pixels (rows x columns), expected it inside" in reading.refused[0]


# -- anything at all ---------------------------------------------------------------------------------------------------

JUNK = st.one_of(
    st.none(),
    st.text(max_size=5),
    st.binary(max_size=9),
    st.integers(),
    st.sampled_from([10**400, -(2**40), 2**32, True]),
    st.floats(),
    st.decimals(),
    st.lists(st.integers(), max_size=3),
    st.lists(st.text(max_size=3), max_size=3),
)
VRS = st.sampled_from(["UL", "US", "SL", "FD", "LO", "UN", "DS", "IS", "PN", "OB"])


def element(tag: int, vr: str, value: Any) -> DataElement | None:
    try:
        return DataElement(tag, vr, value, validation_mode=config.IGNORE)
    except Exception:  # not even pydicom holds it
        return None


@st.composite
def junk_items(draw: st.DrawFn, depth: int = 2) -> Dataset:
    bounds = draw(st.tuples(*[st.integers(0, 130)] * 4))
    item = us_region(bounds[0], bounds[1], bounds[2], bounds[3], draw(st.floats()), draw(st.floats()))
    for keyword in draw(st.lists(st.sampled_from((*KEYWORDS, "SequenceOfUltrasoundRegions")), max_size=4)):
        tag = tag_for_keyword(keyword)
        assert tag is not None
        if depth and draw(st.booleans()):
            item[tag] = DataElement(tag, "SQ", Sequence(draw(st.lists(junk_items(depth - 1), max_size=2))))
        elif (made := element(tag, draw(VRS), draw(JUNK))) is not None:
            item[tag] = made
    return item


@settings(max_examples=150, deadline=None)
@given(
    items=st.lists(junk_items(), max_size=3),
    groups=st.lists(junk_items(), max_size=2),
    shape=st.tuples(st.integers(0, 150), st.integers(0, 150)),
    frame=st.integers(-1, 5),
)
def test_junk_never_raises(items: list[Dataset], groups: list[Dataset], shape: tuple[int, int], frame: int) -> None:
    dataset = us_header(*items)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(groups)
    reading = parse_regions(dataset, shape, frame)
    for region in reading.regions:
        assert 0 <= region.row < region.row + region.rows <= shape[0]
        assert 0 <= region.col < region.col + region.cols <= shape[1]
        if region.spacing is not None:
            assert all(0.005 <= value <= 2 for value in region.spacing.as_tuple())
    assert not (reading.regions and reading.refused)


@settings(max_examples=60, deadline=None)
@given(junk=st.one_of(JUNK, st.dictionaries(st.text(max_size=3), JUNK)))
def test_what_is_no_dataset_never_raises(junk: Any) -> None:
    reading = parse_regions(junk, SHAPE)
    assert reading.regions == ()


def test_the_helper_writes_what_the_standard_says(tmp_path: Path) -> None:
    """The files of these tests are read back by pydicom alone."""
    path = write_us(
        tmp_path / "a.dcm",
        np.arange(24, dtype=np.uint8).reshape(4, 6),
        [us_region(1, 2, 3, 3, -0.01, 0.02)],
        pixel_spacing=(0.2, 0.1),
        imager_pixel_spacing=(0.4, 0.3),
        Manufacturer="Other",
    )
    dataset = dcmread(path)
    assert dataset.pixel_array.tolist() == np.arange(24).reshape(4, 6).tolist()
    assert [float(value) for value in dataset.PixelSpacing] == [0.2, 0.1]
    assert [float(value) for value in dataset.ImagerPixelSpacing] == [0.4, 0.3]
    assert dataset.Manufacturer == "Other"
    item = dataset[Tag(0x0018, 0x6011)].value[0]
    assert (item[0x0018602C].value, item[0x0018602E].value) == (-0.01, 0.02)
    assert [item[0x00186018 + 2 * step].value for step in range(4)] == [1, 2, 3, 3]
