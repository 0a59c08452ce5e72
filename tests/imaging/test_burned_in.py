"""Drawn marks are found, tissue is left alone: rendered graphics, real tissue, a real caliper."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from PIL import Image

from tests.imaging.rendered import KINDS, Rendered, render
from usdlr.core.types import BurnedIn
from usdlr.imaging.burned_in import clean, find_burned_in, find_text, touched_fraction


def frames(count: int, *, marked: bool) -> list[Rendered]:
    return [
        render(KINDS[number % 3], np.random.default_rng(100 + number), ("frame", "inside")[number % 2], marked=marked)
        for number in range(count)
    ]


def near(mask: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0)


def test_drawn_marks_are_found() -> None:
    found, drawn, beside, area = 0, 0, 0, 0
    for frame in frames(16, marked=True):
        marks = find_burned_in(frame.pixels, frame.fov)
        found += int((marks & frame.marks & frame.fov).sum())
        drawn += int((frame.marks & frame.fov).sum())
        beside += int((marks & ~near(frame.marks)).sum())
        area += int(frame.fov.sum())
    assert found > 0.9 * drawn
    assert beside < 0.001 * area


def test_tissue_without_marks_is_left_alone() -> None:
    clean_frames = frames(9, marked=False)
    found = sum(int(find_burned_in(frame.pixels, frame.fov).sum()) for frame in clean_frames)
    assert found < 0.0002 * sum(int(frame.fov.sum()) for frame in clean_frames)


def test_bright_blobs_are_no_marks() -> None:
    rng = np.random.default_rng(2)
    tissue = np.clip(rng.rayleigh(45.0, (240, 240)), 0, 255)
    for _ in range(12):  # calcifications: saturated, round, blurred by the point spread
        row, col = rng.integers(20, 220, 2)
        tissue[row - 1 : row + 2, col - 1 : col + 2] = 900.0
    picture = np.clip(cv2.GaussianBlur(tissue, (0, 0), 1.3), 0, 255).astype(np.uint8)
    assert (picture == 255).sum() >= 12
    assert not find_burned_in(picture, None).any()


def test_real_tissue_is_left_alone(shared_data: Path) -> None:
    folder = shared_data / "breast_lesions_usg" / "BrEaST-Lesions_USG-images_and_masks"
    touched = []
    for path in sorted(folder.glob("case???.png"))[::5]:
        marks = find_burned_in(np.asarray(Image.open(path).convert("RGB")), None)
        touched.append(float(marks.mean()))
    assert len(touched) > 30
    assert np.mean(touched) < 0.0005
    assert np.mean(np.array(touched) > 0) < 0.1


def test_the_crosses_of_a_real_caliper_are_found(shared_data: Path) -> None:
    dataset = pydicom.dcmread(shared_data / "dicom_us_regions" / "JPGLosslessP14SV1_1s_1f_8b.dcm")
    marks = find_burned_in(dataset.pixel_array, None)
    for row, col in ((319, 629), (435, 689)):
        assert marks[row - 8 : row + 9, col - 8 : col + 9].sum() > 100
    # The tissue between them stays.
    assert marks[350:400, 560:620].sum() == 0


def test_a_colour_map_is_not_ink() -> None:
    picture = np.full((100, 120, 3), 80, np.uint8)
    picture[20:80, 20:100] = (200, 40, 20)
    assert not find_burned_in(picture, None).any()
    picture = np.full((100, 120, 3), 80, np.uint8)
    picture[50, 20:60] = (255, 255, 0)
    assert find_burned_in(picture, None)[50, 20:60].all()


def test_marks_outside_the_field_of_view_do_not_count() -> None:
    picture = np.full((100, 120, 3), 80, np.uint8)
    picture[50, 20:60] = (255, 255, 0)
    fov = np.zeros((100, 120), dtype=bool)
    fov[:, 40:] = True
    marks = find_burned_in(picture, fov)
    assert not marks[:, :40].any()
    assert touched_fraction(marks, fov) == pytest.approx(marks[:, 40:].sum() / 8000)
    assert touched_fraction(marks, np.zeros_like(fov)) == 0.0


@pytest.mark.parametrize("scale", [0.45, 0.6, 1.0])
def test_text_is_found_in_boxes(scale: float) -> None:
    picture = np.zeros((80, 360), np.uint8)
    cv2.putText(picture, "DOE JANE 1961", (10, 45), cv2.FONT_HERSHEY_SIMPLEX, scale, 220, 1, cv2.LINE_AA)
    boxes = find_text(picture, None)
    assert boxes[picture > 128].all()
    inside = np.zeros(picture.shape, dtype=bool)
    assert not find_text(picture, inside).any()
    assert not find_text(np.zeros_like(picture), None).any()


def test_only_inpainting_changes_pixels() -> None:
    rng = np.random.default_rng(1)
    grey = rng.integers(60, 100, (60, 60)).astype(np.uint8)
    drawn = grey.copy()
    drawn[30, 10:50] = 255
    marks = near(drawn == 255)
    for treatment in (BurnedIn.KEEP, BurnedIn.MASK):
        np.testing.assert_array_equal(clean(drawn, marks, treatment), drawn)
    filled = clean(drawn, marks, BurnedIn.INPAINT)
    assert filled.max() < 110
    np.testing.assert_array_equal(filled[~marks], drawn[~marks])


def test_names_written_over_real_tissue_are_found_and_tissue_is_spared(shared_data: Path) -> None:
    folder = shared_data / "breast_lesions_usg" / "BrEaST-Lesions_USG-images_and_masks"
    boxed, left = [], []
    for number, path in enumerate(sorted(folder.glob("case???.png"))[::15]):
        grey = np.asarray(Image.open(path).convert("L"))
        boxed.append(float(find_text(grey, None).mean()))
        ink = np.zeros_like(grey)
        cv2.putText(ink, "MUSTER ERIKA", (20, 60 + 10 * number), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 255, 1, cv2.LINE_AA)
        share = ink / 255.0
        written = (grey * (1 - share) + 230 * share).astype(np.uint8)
        left.append(1 - float((find_text(written, None) & (ink > 128)).sum() / (ink > 128).sum()))
    assert np.mean(boxed) < 0.002
    assert np.mean(left) < 0.05


def calipers(step: int = 6) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Smooth tissue, two crosses, and the dots of the line between them."""
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1, (200, 300)).astype(np.float32), (0, 0), 1.2)
    tissue = np.clip(60 + 18 * noise / noise.std(), 0, 150).astype(np.uint8)
    crosses, dots = np.zeros((2, 200, 300), dtype=bool)
    for column in (60, 240):
        crosses[95:106, column] = True
        crosses[100, column - 5 : column + 6] = True
    for column in range(72, 232, step):
        dots[100:102, column : column + 2] = True
    return tissue, crosses, dots


@pytest.mark.parametrize("colour", [(255, 255, 255), (255, 225, 60)])
def test_dots_between_calipers_go_with_the_crosses(colour: tuple[int, int, int]) -> None:
    tissue, crosses, dots = calipers()
    pixels = np.repeat(tissue[..., None], 3, axis=2)
    pixels[crosses | dots] = colour
    found = find_burned_in(pixels, None)
    assert found[crosses].all()
    assert found[dots].all()


def test_bright_specks_without_calipers_stay() -> None:
    tissue, _, dots = calipers(step=17)
    tissue[dots] = 255
    assert not find_burned_in(tissue, None).any()


def test_an_echo_as_bright_as_coloured_ink_is_no_ink() -> None:
    tissue, crosses, _ = calipers()
    luma = round(0.299 * 255 + 0.587 * 225 + 0.114 * 60)
    tissue[90:92] = luma + np.random.default_rng(1).integers(-2, 3, (2, 300))
    pixels = np.repeat(tissue[..., None], 3, axis=2)
    pixels[crosses] = (255, 225, 60)
    beyond = np.ones(tissue.shape, dtype=bool)
    beyond[93:108, 50:70] = beyond[93:108, 230:250] = False
    assert not (find_burned_in(pixels, None) & beyond).any()
