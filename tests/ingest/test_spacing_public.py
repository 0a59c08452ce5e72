"""Millimetres of twelve public files, checked against what the scanners drew into the pictures."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.pixels.processing import apply_color_lut
from scipy import ndimage

from tests.ingest.frames import codes, read, resolve
from usdlr.core.types import QualityFlag, SpacingSource
from usdlr.core.units import Spacing
from usdlr.ingest.spacing import panes

Box = tuple[int, int, int, int]

ALOKA = {(24, 32, 392, 304): 0.382653, (24, 336, 392, 304): 0.382653}
OBSTETRIC = {(60, 120, 459, 680): 0.262288}
REFUSED, NOTHING = "refused", "nothing"
FILES: dict[str, dict[Box, float] | str] = {
    "JPGLosslessP14SV1_1s_1f_8b.dcm": {(38, 14, 721, 997): 0.254767},
    "OBXXXX1A.dcm": OBSTETRIC,
    "OBXXXX1A_2frame.dcm": OBSTETRIC,
    "OBXXXX1A_rle.dcm": OBSTETRIC,
    "US1_J2KR.dcm": NOTHING,
    "US1_UNCR.dcm": NOTHING,
    "color-pl.dcm": NOTHING,
    "examples_palette.dcm": REFUSED,
    "examples_rgb_color.dcm": NOTHING,
    "examples_ybr_color.dcm": REFUSED,
    "gdcm-US-ALOKA-16.dcm": ALOKA,
    "gdcm-US-ALOKA-16_big.dcm": ALOKA,
}


@pytest.mark.parametrize("name", FILES)
def test_public_files(name: str, shared_data: Path) -> None:
    frame, _ = read(shared_data / "dicom_us_regions" / name)
    truth = FILES[name]
    if isinstance(truth, str):
        result = resolve(frame)
        assert (result.spacing, result.source, result.region) == (None, SpacingSource.NONE, None)
        assert codes(result) == ([QualityFlag.CALIBRATION_REFUSED] if truth == REFUSED else [])
        # Only a statement of the source's own can calibrate it.
        stated = resolve(frame, stated=(0.2, 0.2))
        assert (stated.spacing, stated.source) == (Spacing(0.2, 0.2), SpacingSource.MANIFEST)
        return
    assert [found.box for found in panes(frame.regions)] == list(truth)
    for box, mm in truth.items():
        row, col, rows, cols = box
        lesion = np.zeros(frame.shape, dtype=bool)
        lesion[row + rows // 3 : row + rows // 2, col + cols // 3 : col + cols // 2] = True
        for result in (resolve(frame, lesion), resolve(frame, pane=box), resolve(frame, lesion, box)):
            assert result.spacing is not None
            assert result.spacing.as_tuple() == pytest.approx((mm, mm), abs=5e-7)
            assert result.source is SpacingSource.DICOM_REGION
            assert result.region is not None
            assert result.region.box == box
            assert codes(result) == ([QualityFlag.REGION_CLIPPED] if name.startswith("OBXXXX1A") else [])


def caliper(pixels: npt.NDArray[np.uint8]) -> list[tuple[float, float]]:
    """Centres of crosses whose four arms are white bars of 5 x 3 pixels."""
    labels, _ = ndimage.label(pixels == 255)
    bars: dict[tuple[int, int], list[tuple[float, float]]] = {(5, 3): [], (3, 5): []}
    for number, (rows, cols) in enumerate(ndimage.find_objects(labels), start=1):
        size = (rows.stop - rows.start, cols.stop - cols.start)
        if size in bars and (labels[rows, cols] == number).all():
            bars[size].append(((rows.start + rows.stop - 1) / 2, (cols.start + cols.stop - 1) / 2))
    upright, flat = bars[5, 3], set(bars[3, 5])
    return [
        ((top + low) / 2, col)
        for top, col in upright
        for low, other in upright
        if other == col and low - top == 10 and {((top + low) / 2, col - 5), ((top + low) / 2, col + 5)} <= flat
    ]


def test_the_burned_in_caliper_measures_what_is_printed_beside_it(shared_data: Path) -> None:
    frame, _ = read(shared_data / "dicom_us_regions" / "JPGLosslessP14SV1_1s_1f_8b.dcm")
    ends = np.array(caliper(frame.pixels))
    assert ends.tolist() == [[319.0, 629.0], [435.0, 689.0]]
    spacing = resolve(frame).spacing
    assert spacing is not None
    length = float(np.hypot(*((ends[1] - ends[0]) * spacing.as_tuple())))
    assert length == pytest.approx(33.3, abs=0.5)  # "3.3 cm"


def test_the_caliper_of_another_maker(shared_data: Path) -> None:
    """Two plus signs, ten pixels long and two thick, beside "Cist Mag 1.06 cm"."""
    frame, dataset = read(shared_data / "dicom_us_regions" / "OBXXXX1A.dcm")
    white = (apply_color_lut(dataset.pixel_array, dataset) >> 8).min(axis=-1) > 200
    plus = np.zeros((10, 10), dtype=bool)
    plus[4:6] = plus[:, 4:6] = True
    # The footprint's centre is its pixel (5, 5), half a pixel beside the middle, at both ends alike; the white end of
    # the grey bar holds plus signs too, among more white.
    hits = np.argwhere(ndimage.binary_erosion(white, plus))
    legend, *ends = [(row, col) for row, col in hits if white[row - 5 : row + 5, col - 5 : col + 5].sum() < 45]
    assert legend[0] < 100 < ends[0][0]
    assert len(ends) == 2
    spacing = resolve(frame).spacing
    assert spacing is not None
    assert float(np.hypot(*(np.subtract(ends[1], ends[0]) * spacing.as_tuple()))) == pytest.approx(10.6, abs=0.1)


def test_the_depth_scale_beside_the_sector_has_steps_of_one_centimetre(shared_data: Path) -> None:
    frame, _ = read(shared_data / "dicom_us_regions" / "JPGLosslessP14SV1_1s_1f_8b.dcm")
    spacing = resolve(frame).spacing
    assert spacing is not None
    labels, _ = ndimage.label(frame.pixels >= 200)
    ticks = [
        ndimage.center_of_mass(labels == number)
        for number, (rows, cols) in enumerate(ndimage.find_objects(labels), start=1)
        if (rows.stop - rows.start, cols.stop - cols.start) == (3, 4) and (frame.pixels[rows, cols] == 224).sum() == 8
    ]
    assert len(ticks) == 15
    steps = [float(np.hypot(*(np.subtract(b, a) * spacing.as_tuple()))) for a, b in pairwise(sorted(ticks))]
    assert np.mean(steps) == pytest.approx(10.0, abs=0.05)
    assert max(abs(step - 10.0) for step in steps) < 0.4  # a pixel's rounding
