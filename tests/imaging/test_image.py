from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.core.units import Spacing
from usdlr.imaging.image import UltrasoundImage, require_same_grid, require_spacing, to_grey

PIXELS = np.zeros((3, 5), dtype=np.float32)


def test_an_image_knows_its_shape() -> None:
    assert UltrasoundImage(PIXELS, Spacing(0.1, 0.2), "bmode").shape == (3, 5)


@pytest.mark.parametrize(
    ("pixels", "modality", "fov", "message"),
    [
        (np.zeros((2, 3, 3), np.float32), "bmode", None, r"shape \(2, 3, 3\), expected \(rows, columns\)"),
        (PIXELS, "ct", None, "modality 'ct', expected one of bmode, elasto"),
        (PIXELS, "bmode", np.ones((5, 3), dtype=bool), r"field of view of \(5, 3\) on an image of \(3, 5\)"),
    ],
)
def test_a_wrong_image_is_a_defect(pixels: np.ndarray, modality: str, fov: np.ndarray | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UltrasoundImage(pixels, None, modality, fov)


def test_no_spacing_is_never_a_silent_one() -> None:
    with pytest.raises(CaseError, match="found no spacing, expected millimetres per pixel for a ring") as caught:
        require_spacing(None, "a ring")
    assert caught.value.code is ExclusionCode.SPACING_MISSING
    assert require_spacing(Spacing(0.1, 0.2), "a ring") == Spacing(0.1, 0.2)


def test_both_sizes_are_named() -> None:
    require_same_grid((480, 640), (480, 640), "mask")
    with pytest.raises(CaseError, match="mask of 640 x 480 pixels on an image of 480 x 640") as caught:
        require_same_grid((480, 640), (640, 480), "mask")
    assert caught.value.code is ExclusionCode.MASK_SIZE_MISMATCH


def test_grey_stays_as_it_is() -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    grey, fov = to_grey(pixels)
    np.testing.assert_array_equal(grey, pixels)
    assert fov is None


@pytest.mark.parametrize(
    ("colour", "luma"),
    # ITU-R BT.601: Y = 0.299 R + 0.587 G + 0.114 B.
    [((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29), ((255, 255, 255), 255), ((120, 120, 120), 120)],
)
def test_colour_becomes_luma(colour: tuple[int, int, int], luma: int) -> None:
    grey, fov = to_grey(np.array([[colour]], dtype=np.uint8))
    assert grey.tolist() == [[luma]]
    assert grey.dtype == np.uint8
    assert fov is None


def test_luma_agrees_with_pillow() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    grey, _ = to_grey(pixels)
    pillow = np.asarray(Image.fromarray(pixels).convert("L"))
    # Pillow computes in fixed point: the last level may differ.
    assert np.abs(grey.astype(int) - pillow.astype(int)).max() <= 1


def test_what_is_transparent_lies_outside_the_field_of_view() -> None:
    pixels = np.full((1, 4, 4), 90, dtype=np.uint8)
    pixels[0, :, 3] = (255, 128, 1, 0)
    grey, fov = to_grey(pixels)
    assert grey.tolist() == [[90, 90, 90, 90]]
    assert fov is not None
    assert fov.tolist() == [[True, True, True, False]]


def test_without_a_transparent_pixel_the_whole_image_is_in_view() -> None:
    pixels = np.full((2, 2, 4), 90, dtype=np.uint8)
    pixels[0, 0, 3] = 1
    assert to_grey(pixels)[1] is None


@pytest.mark.parametrize("shape", [(4, 4, 1), (4, 4, 2), (4, 4, 5), (2, 4, 4, 3), (4,)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(CaseError, match="expected grey, RGB or RGBA") as caught:
        to_grey(np.zeros(shape, dtype=np.uint8))
    assert caught.value.code is ExclusionCode.IMAGE_UNREADABLE
