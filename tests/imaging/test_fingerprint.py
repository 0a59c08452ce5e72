"""Fingerprints: equal for copies of real images, different for everything else that looks alike."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from usdlr.imaging.fingerprint import (
    NEAR_BITS,
    SAME_PICTURE,
    detail,
    hamming,
    likeness,
    mirrored,
    perceptual_hash,
    pixel_hash,
)
from usdlr.simulate.bmode import acquire_bmode
from usdlr.simulate.centres import CENTRES
from usdlr.simulate.latents import LATENTS
from usdlr.simulate.tissue import build_phantom

Grey = npt.NDArray[np.uint8]
EVERY = 39  # of 765 images: 20 spread over all devices


@pytest.fixture(scope="module")
def pictures(shared_data: Path) -> list[Grey]:
    files = sorted((shared_data / "bus_bra" / "Images").glob("*.png"))[::EVERY]
    return [np.asarray(Image.open(file).convert("L")) for file in files]


def is_copy(first: Grey, second: Grey) -> bool:
    """What the search does with two pictures."""
    one, other = perceptual_hash(first), perceptual_hash(second)
    flipped = hamming(mirrored(one), other) < hamming(one, other)
    if min(hamming(one, other), hamming(mirrored(one), other)) > NEAR_BITS:
        return False
    turned = detail(second)[:, ::-1].copy() if flipped else detail(second)
    return likeness(detail(first), turned) >= SAME_PICTURE


# The copies are made with Pillow, which the fingerprints do not use.


def jpeg(grey: Grey, quality: int) -> Grey:
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def resized(grey: Grey, factor: float) -> Grey:
    size = (round(grey.shape[1] * factor), round(grey.shape[0] * factor))
    return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.LANCZOS))


def bordered(grey: Grey) -> Grey:
    return np.asarray(ImageOps.expand(Image.fromarray(grey), border=(61, 37, 20, 30), fill=0))


def brighter(grey: Grey, factor: float) -> Grey:
    return np.asarray(ImageEnhance.Brightness(Image.fromarray(grey)).enhance(factor))


def with_marks(grey: Grey) -> Grey:
    image = Image.fromarray(grey)
    pen = ImageDraw.Draw(image)
    rows, cols = grey.shape
    for row, col in ((0.4, 0.3), (0.4, 0.7), (0.3, 0.5), (0.6, 0.5)):
        x, y = col * cols, row * rows
        pen.line([x - 6, y, x + 6, y], fill=255, width=2)
        pen.line([x, y - 6, x, y + 6], fill=255, width=2)
    pen.text((0.1 * cols, 0.9 * rows), "LEFT BREAST UPPER OUTER 2.1 CM", fill=255)
    return np.asarray(image)


COPIES: dict[str, Callable[[Grey], Grey]] = {
    "jpeg 95": lambda grey: jpeg(grey, 95),
    "jpeg 75": lambda grey: jpeg(grey, 75),
    "jpeg 70": lambda grey: jpeg(grey, 70),
    "brighter by 10 %": lambda grey: brighter(grey, 1.1),
    "darker by 30 %": lambda grey: brighter(grey, 0.7),
    "less contrast": lambda grey: np.asarray(ImageEnhance.Contrast(Image.fromarray(grey)).enhance(0.8)),
    "half size": lambda grey: resized(grey, 0.5),
    "0.7 times": lambda grey: resized(grey, 0.7),
    "double size": lambda grey: resized(grey, 2.0),
    "black border": bordered,
    "calipers and text": with_marks,
    "mirrored": lambda grey: np.asarray(ImageOps.mirror(Image.fromarray(grey))),
    "all at once": lambda grey: jpeg(resized(bordered(brighter(grey, 1.1)), 0.7), 75),
}


@pytest.mark.parametrize("change", list(COPIES))
def test_copies_of_real_images_are_recognised(pictures: list[Grey], change: str) -> None:
    missed = [number for number, grey in enumerate(pictures) if not is_copy(grey, COPIES[change](grey))]
    assert not missed


def test_other_patients_are_not_copies(pictures: list[Grey]) -> None:
    prints = [perceptual_hash(grey) for grey in pictures]
    bits = [min(hamming(a, b), hamming(mirrored(a), b)) for n, a in enumerate(prints) for b in prints[:n]]
    assert min(bits) > NEAR_BITS
    # Even where the hashes would let them pass, the speckle tells them apart.
    assert max(likeness(detail(pictures[n - 1]), detail(pictures[n])) for n in range(1, len(pictures))) < 0.2


def test_two_views_of_one_lesion_are_not_copies(shared_data: Path) -> None:
    folder = shared_data / "bus_bra" / "Images"
    pairs = [(left, left.with_name(left.name.replace("-l", "-r"))) for left in sorted(folder.glob("*-l.png"))]
    both = [pair for pair in pairs if pair[1].is_file()][::10]
    assert len(both) > 20
    for left, right in both:
        views = [detail(np.asarray(Image.open(path).convert("L"))) for path in (left, right)]
        assert likeness(*views) < SAME_PICTURE - 0.3


@pytest.mark.parametrize("centre", ["north", "south"])
def test_the_same_anatomy_with_independent_speckle_is_not_a_copy(centre: str) -> None:
    scanner = CENTRES[centre]
    latents = {name: latent.middle for name, latent in LATENTS.items()}
    for seed in range(3):
        phantom = build_phantom(
            latents, (scanner.rows, scanner.cols), scanner.spacing_for(18.0), np.random.default_rng(seed)
        )
        first, second = (acquire_bmode(phantom, scanner, np.random.default_rng([seed, n])) for n in (1, 2))
        assert hamming(perceptual_hash(first), perceptual_hash(second)) <= NEAR_BITS  # they do look alike
        assert not is_copy(first, second)
        assert is_copy(first, jpeg(first, 75))


def test_equal_pixels_in_another_file_format_are_equal(pictures: list[Grey], tmp_path: Path) -> None:
    for number, grey in enumerate(pictures[:5]):
        for suffix in ("png", "bmp", "tif"):
            path = tmp_path / f"{number}.{suffix}"
            Image.fromarray(grey).save(path)
            decoded = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            assert pixel_hash(np.asarray(decoded, dtype=np.uint8)) == pixel_hash(grey)


@settings(deadline=None, max_examples=20)
@given(rows=st.integers(1, 40), cols=st.integers(1, 40), seed=st.integers(0, 2**31))
def test_any_change_of_pixels_or_shape_changes_the_pixel_hash(rows: int, cols: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    grey = rng.integers(0, 256, (rows, cols)).astype(np.uint8)
    changed = grey.copy()
    changed[rng.integers(rows), rng.integers(cols)] ^= 1
    assert pixel_hash(changed) != pixel_hash(grey)
    assert pixel_hash(np.asfortranarray(grey)) == pixel_hash(grey)
    if rows != cols:
        assert pixel_hash(grey.reshape(cols, rows)) != pixel_hash(grey)
    # Nothing that can be decoded is too small for a fingerprint.
    assert 0 <= perceptual_hash(grey) < 2**256
    assert -1.001 <= likeness(detail(grey), detail(changed)) <= 1.001


def test_mirroring_is_known_without_a_second_hash(pictures: list[Grey]) -> None:
    for grey in pictures:
        assert hamming(mirrored(perceptual_hash(grey)), perceptual_hash(grey[:, ::-1].copy())) <= 2
        assert hamming(mirrored(perceptual_hash(grey)), perceptual_hash(grey)) > NEAR_BITS


@pytest.mark.parametrize("level", [0, 255])
def test_a_picture_without_texture_is_like_no_other(level: int) -> None:
    flat = np.full((50, 60), level, dtype=np.uint8)
    assert perceptual_hash(flat) == mirrored(perceptual_hash(flat)) == 0
    assert likeness(detail(flat), detail(flat)) == 0.0


def test_what_lies_outside_the_field_of_view_does_not_count(pictures: list[Grey]) -> None:
    grey = pictures[0]
    fov = np.zeros((grey.shape[0] + 60, grey.shape[1] + 80), dtype=bool)
    fov[40:-20, 30:-50] = True
    frames = []
    for text in ("NAME OF THE HOSPITAL", "12.5 MHz  MI 0.9  ****"):
        frame = np.zeros(fov.shape, dtype=np.uint8)
        frame[fov] = grey.ravel()
        cv2.putText(frame, text, (5, 25), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2)
        frames.append(frame)
    first, second = (perceptual_hash(frame, fov) for frame in frames)
    assert first == second
    assert hamming(first, perceptual_hash(grey)) <= 10


def test_colour_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 8-bit grey"):
        pixel_hash(np.zeros((4, 4, 3), dtype=np.uint8))
