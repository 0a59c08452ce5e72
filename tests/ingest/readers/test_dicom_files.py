"""The twelve public ultrasound files, against decoders that the readers do not use for them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import generate_frames
from pydicom.pixels.processing import apply_color_lut

from usdlr.ingest.readers.dicom_header import read_header
from usdlr.ingest.readers.reading import read_frame

SHAPES = {
    "JPGLosslessP14SV1_1s_1f_8b.dcm": (768, 1024),
    "OBXXXX1A.dcm": (600, 800, 3),
    "OBXXXX1A_2frame.dcm": (600, 800, 3),
    "OBXXXX1A_rle.dcm": (600, 800, 3),
    "US1_J2KR.dcm": (480, 640, 3),
    "US1_UNCR.dcm": (480, 640, 3),
    "color-pl.dcm": (120, 256, 3),
    "examples_palette.dcm": (350, 800, 3),
    "examples_rgb_color.dcm": (240, 320, 3),
    "examples_ybr_color.dcm": (240, 320, 3),
    "gdcm-US-ALOKA-16.dcm": (480, 640, 3),
    "gdcm-US-ALOKA-16_big.dcm": (480, 640, 3),
}
FRAMES = {"OBXXXX1A_2frame.dcm": 2, "examples_ybr_color.dcm": 30}


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "dicom_us_regions"


def _pixels(path: Path) -> np.ndarray:
    return read_frame(path, 1).pixels


def test_all_are_here(folder: Path) -> None:
    assert {path.name for path in folder.glob("*.dcm")} == set(SHAPES)


@pytest.mark.parametrize("name", SHAPES)
def test_shape_depth_and_frames(name: str, folder: Path) -> None:
    frame = read_frame(folder / name, 1)
    assert frame.pixels.shape == SHAPES[name]
    assert (frame.format, frame.bits, frame.pixels.dtype.name) == ("DICOM", 8, "uint8")
    assert frame.frames == FRAMES.get(name, 1)
    assert frame.lossy == (name == "examples_ybr_color.dcm")
    assert read_header(folder / name).frames == frame.frames


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("US1_J2KR.dcm", "US1_UNCR.dcm"),
        ("OBXXXX1A.dcm", "OBXXXX1A_rle.dcm"),
        ("OBXXXX1A.dcm", "OBXXXX1A_2frame.dcm"),
        ("gdcm-US-ALOKA-16.dcm", "gdcm-US-ALOKA-16_big.dcm"),
    ],
)
def test_twins_are_the_same_image(one: str, other: str, folder: Path) -> None:
    assert np.array_equal(_pixels(folder / one), _pixels(folder / other))


@pytest.mark.parametrize("name", ["OBXXXX1A.dcm", "examples_palette.dcm", "gdcm-US-ALOKA-16.dcm"])
def test_palettes_agree_with_pydicom(name: str, folder: Path) -> None:
    dataset = dcmread(folder / name)
    colours = apply_color_lut(dataset.pixel_array, dataset)
    assert colours.dtype == np.uint16
    assert np.array_equal(_pixels(folder / name), colours >> 8)


def test_lossless_jpeg_agrees_with_opencv_and_gdcm(folder: Path) -> None:
    dataset = dcmread(folder / "JPGLosslessP14SV1_1s_1f_8b.dcm")
    code = next(generate_frames(dataset.PixelData))
    stored = np.asarray(cv2.imdecode(np.frombuffer(code, np.uint8), cv2.IMREAD_UNCHANGED))
    dataset.pixel_array_options(decoding_plugin="gdcm")
    assert np.array_equal(stored, dataset.pixel_array)
    # Window 127/254 of the header: PS3.3 C.11.2.1.2.1 by hand.
    centre, width = float(dataset.WindowCenter), float(dataset.WindowWidth)
    wanted = np.clip((stored - (centre - 0.5)) / (width - 1) + 0.5, 0, 1) * 255
    assert np.abs(_pixels(folder / "JPGLosslessP14SV1_1s_1f_8b.dcm") - wanted).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("number", [1, 17, 30])
def test_baseline_jpeg_agrees_with_opencv(number: int, folder: Path) -> None:
    path = folder / "examples_ybr_color.dcm"
    code = list(generate_frames(dcmread(path).PixelData, number_of_frames=30))[number - 1]
    # Both take chroma as luma's neighbour; OpenCV rounds its conversion in fixed point.
    other = np.asarray(cv2.imdecode(np.frombuffer(code, np.uint8), cv2.IMREAD_COLOR))[..., ::-1]
    assert np.abs(read_frame(path, number).pixels.astype(int) - other).max() <= 1


def test_interleaved_and_planar_colours_agree_with_pydicom(folder: Path) -> None:
    for name in ("color-pl.dcm", "examples_rgb_color.dcm", "US1_UNCR.dcm"):
        assert np.array_equal(_pixels(folder / name), dcmread(folder / name).pixel_array)


def test_headers_hold_no_pixels_yet_know_there_are_some(folder: Path) -> None:
    header = read_header(folder / "gdcm-US-ALOKA-16_big.dcm")
    assert header.is_image
    assert header.modality == "US"
    assert header.sop_instance_uid == str(dcmread(folder / "gdcm-US-ALOKA-16_big.dcm").SOPInstanceUID)
