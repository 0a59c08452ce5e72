from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.imaging.intensity import colourfulness, grey_of, is_tinted, to_8_bit


@pytest.mark.parametrize("bits", [1, 4, 8, 10, 12, 16])
def test_full_scale_maps_linearly_with_halves_to_even(bits: int) -> None:
    values = np.arange(2**bits, dtype=np.uint16)
    exact = [round(Fraction(255 * value, 2**bits - 1)) for value in range(2**bits)]  # Python rounds halves to even
    assert to_8_bit(values, bits).tolist() == exact


def test_eight_bits_stay_untouched_and_uncopied() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert to_8_bit(pixels, 8) is pixels


def test_values_beyond_the_stated_bits_count_as_full_scale() -> None:
    assert to_8_bit(np.array([4095, 5000], dtype=np.uint16), 12).tolist() == [255, 255]


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.bool_])
def test_numbers_without_a_full_scale_are_refused(dtype: type) -> None:
    with pytest.raises(CaseError, match="8- or 16-bit") as caught:
        to_8_bit(np.zeros((2, 2), dtype=dtype))
    assert caught.value.code is ExclusionCode.IMAGE_UNREADABLE


@pytest.mark.parametrize("bits", [0, 17])
def test_impossible_depths_are_a_defect_of_the_caller(bits: int) -> None:
    with pytest.raises(ValueError, match="bits"):
        to_8_bit(np.zeros((2, 2), np.uint8), bits)


def test_tint_is_the_largest_difference_between_colours() -> None:
    pixels = np.full((4, 4, 3), 80, np.uint8)
    assert not is_tinted(pixels)
    assert colourfulness(pixels) == 0
    pixels[2, 1] = (80, 83, 78)
    assert colourfulness(pixels) == 5
    assert is_tinted(pixels)
    assert not is_tinted(pixels, threshold=5)
    assert not is_tinted(pixels[..., 0])


def test_fully_transparent_pixels_have_no_tint() -> None:
    pixels = np.full((4, 4, 4), 255, np.uint8)
    pixels[0, 0] = (255, 0, 0, 0)
    assert not is_tinted(pixels)
    pixels[0, 0, 3] = 1
    assert is_tinted(pixels)


def test_grey_of_colour_is_pillow_luma_within_its_rounding() -> None:
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    grey, fov = grey_of(pixels)
    assert fov is None
    # Pillow computes the same BT.601 weights in fixed point and cuts off.
    assert np.abs(grey.astype(int) - np.asarray(Image.fromarray(pixels).convert("L"))).max() <= 1


def test_deep_colours_and_grey_agree() -> None:
    grey16 = np.array([[0, 257 * 7, 65535]], dtype=np.uint16)
    assert grey_of(grey16, 16)[0].tolist() == [[0, 7, 255]]
    assert grey_of(np.dstack([grey16] * 3), 16)[0].tolist() == [[0, 7, 255]]


def test_transparency_is_judged_before_it_is_rounded() -> None:
    pixels = np.zeros((1, 3, 4), np.uint16)
    pixels[..., :3] = 65535
    pixels[0, :, 3] = (0, 1, 65535)  # one of 65535 rounds to none of 255
    _, fov = grey_of(pixels, 16)
    assert fov is not None
    assert fov.tolist() == [[False, True, True]]


@pytest.mark.parametrize(("brightest", "refused"), [(4095, True), (8190, True), (8193, False), (0, False)])
def test_twelve_bits_in_a_sixteen_bit_file_are_refused(brightest: int, refused: bool) -> None:
    pixels = np.array([[0, brightest]], dtype=np.uint16)
    if refused:
        with pytest.raises(CaseError, match=f"brightest is {brightest}, expected values up to 65535"):
            grey_of(pixels, 16)
    else:
        grey_of(pixels, 16)


def test_tinted_share_of_the_public_images(shared_data: Path) -> None:
    folder = shared_data / "breast_lesions_usg" / "BrEaST-Lesions_USG-images_and_masks"
    paths = sorted(folder.glob("case0[0-2]?.png"))
    pictures = [np.asarray(Image.open(path)) for path in paths]
    tinted = [bool(np.ptp(image[..., :3], axis=2).any()) for image in pictures]
    assert [is_tinted(image) for image in pictures] == tinted
    assert 0.4 < np.mean(tinted) < 0.9  # 163 of all 256
