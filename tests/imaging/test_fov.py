"""The scan sector is found on rendered frames of known outline and never cuts a lesion of a public image."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from tests.imaging.rendered import KINDS, Rendered, render
from usdlr.imaging.fov import FovShape, detect_fov

Bool = npt.NDArray[np.bool_]
LAYOUTS = ("frame", "frame", "tight", "frame")


def overlap(found: Bool, truth: Bool) -> float:
    return float((found & truth).sum() / (found | truth).sum())


def drawn(number: int) -> Rendered:
    """Frame ``number``: every kind in every layout, half of them compressed, half with graphics inside."""
    kind, layout, jpeg = KINDS[number % 3], LAYOUTS[(number // 3) % 4], (None, 80)[(number // 2) % 2]
    # Under a flat top either bottom is possible, and where compression has wiped out the last echoes nothing tells.
    fade = False if kind == "trapezoid" and jpeg else None
    return render(kind, np.random.default_rng(40_000 + number), layout, jpeg=jpeg, marked=number % 2 == 0, fade=fade)


def test_rendered_sectors_are_found() -> None:
    overlaps: dict[str, list[float]] = defaultdict(list)
    for number in range(66):
        frame = drawn(number)
        found = detect_fov(frame.pixels)
        assert found.certain or frame.fov.all(), number
        overlaps[frame.kind].append(overlap(found.pixels, frame.fov))
    for kind in KINDS:
        assert min(overlaps[kind]) >= 0.97, (kind, overlaps[kind])
        assert np.mean(overlaps[kind]) >= 0.99, (kind, overlaps[kind])


@pytest.mark.parametrize(("kind", "shape"), list(zip(KINDS, FovShape, strict=False)))
def test_the_shape_is_named(kind: str, shape: FovShape) -> None:
    frame = render(kind, np.random.default_rng(3), background=0, fade=False)
    found = detect_fov(frame.pixels)
    assert shape == found.shape == (FovShape.TRAPEZOID if kind == "trapezoid" else FovShape(kind))
    assert found.coverage == pytest.approx(found.pixels.mean())


@pytest.mark.parametrize("kind", ["linear", "curved"])
@pytest.mark.parametrize("jpeg", [None, 80])
def test_a_depth_as_black_as_the_screen_stays_inside(kind: str, jpeg: int | None) -> None:
    # Without a single echo down there, only the depth ruler tells where the sector ends.
    for seed in range(3):
        frame = render(kind, np.random.default_rng(seed), background=0, jpeg=jpeg, fade=True, silent=True)
        found = detect_fov(frame.pixels)
        assert overlap(found.pixels, frame.fov) >= 0.95
        assert (found.pixels & frame.fov).sum() >= 0.97 * frame.fov.sum()


def test_nothing_of_a_picture_that_is_all_tissue_is_lost() -> None:
    for seed in range(12):
        frame = render(
            KINDS[seed % 3], np.random.default_rng(seed), "inside", jpeg=(None, 80)[seed % 2], silent=seed > 5
        )
        found = detect_fov(frame.pixels)
        assert found.pixels[frame.fov].mean() >= 0.99, seed


def test_a_cyst_at_the_border_stays_inside() -> None:
    rng = np.random.default_rng(1)
    tissue = np.clip(cv2.GaussianBlur(rng.normal(110, 60, (200, 150)), (0, 0), 1.2) * 1.2, 5, 255).astype(np.uint8)
    rows, cols = np.indices(tissue.shape)
    tissue[(rows / 60) ** 2 + ((cols - 70) / 50) ** 2 < 1] = 0
    assert detect_fov(tissue).pixels.all()


def test_only_the_box_is_looked_at() -> None:
    first = render("curved", np.random.default_rng(5), "tight", background=0, fade=False)
    second = render("linear", np.random.default_rng(6), background=0)
    rows = max(first.fov.shape[0], second.fov.shape[0])
    screen = np.zeros((rows, first.fov.shape[1] + second.fov.shape[1]), np.uint8)
    for frame, col in ((first, 0), (second, first.fov.shape[1])):
        grey = frame.pixels if frame.pixels.ndim == 2 else frame.pixels[..., 0]
        screen[: grey.shape[0], col : col + grey.shape[1]] = grey
    found = detect_fov(screen, (0, 0, *first.fov.shape))
    assert not found.pixels[:, first.fov.shape[1] :].any()
    assert overlap(found.pixels[: first.fov.shape[0], : first.fov.shape[1]], first.fov) >= 0.97


def test_the_answer_is_everything_when_in_doubt() -> None:
    for pixels in (np.zeros((200, 300), np.uint8), np.full((20, 20, 3), 90, np.uint8)):
        found = detect_fov(pixels)
        assert found.pixels.all()
        assert not found.certain
        assert found.shape is FovShape.UNKNOWN


def test_same_pixels_same_answer_grey_or_colour_small_or_large() -> None:
    frame = render("trapezoid", np.random.default_rng(8), background=12, fade=False)
    grey = np.ascontiguousarray(frame.pixels if frame.pixels.ndim == 2 else frame.pixels[..., 1])
    once, again = detect_fov(grey), detect_fov(np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(once.pixels, again.pixels)
    large = np.asarray(grey.repeat(3, axis=0).repeat(3, axis=1), dtype=np.uint8)
    truth = frame.fov.repeat(3, axis=0).repeat(3, axis=1)
    assert overlap(detect_fov(large).pixels, truth) >= 0.97


@pytest.mark.parametrize("box", [(0, 0, 0, 10), (-1, 0, 50, 50), (60, 60, 50, 50)])
def test_a_box_outside_the_image_is_refused(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="expected it inside 100 x 100"):
        detect_fov(np.zeros((100, 100), np.uint8), box)


def test_other_arrays_are_refused() -> None:
    for pixels in (np.zeros((9, 9), np.uint16), np.zeros((9, 9, 4), np.uint8), np.zeros(9, np.uint8)):
        with pytest.raises(ValueError, match="expected 8-bit grey"):
            detect_fov(pixels)  # type: ignore[arg-type]  # wrong on purpose


def held(image: Path, mask: Path) -> float:
    pixels = cv2.imread(str(image), cv2.IMREAD_COLOR)
    lesion = cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    assert lesion is not None
    inside = (lesion if lesion.ndim == 2 else lesion[..., :3].max(axis=2)) > 0
    found = detect_fov(np.ascontiguousarray(pixels[..., ::-1], dtype=np.uint8))
    return float(found.pixels[inside].mean())


def test_no_lesion_of_breast_is_cut(shared_data: Path) -> None:
    folder = shared_data / "breast_lesions_usg" / "BrEaST-Lesions_USG-images_and_masks"
    masks = sorted(folder.glob("case???_tumor.png"))
    assert len(masks) == 210
    assert [mask.name for mask in masks if held(folder / f"{mask.name[:7]}.png", mask) < 0.999] == []


def test_no_lesion_of_bus_bra_is_cut(shared_data: Path) -> None:
    images = sorted((shared_data / "bus_bra" / "Images").glob("bus_*.png"))[::3]
    assert len(images) > 200
    masks = [shared_data / "bus_bra" / "Masks" / path.name.replace("bus_", "mask_") for path in images]
    assert [path.name for path, mask in zip(images, masks, strict=True) if held(path, mask) < 0.999] == []


def test_a_trapezoid_of_breast_loses_its_black_corners(shared_data: Path) -> None:
    path = shared_data / "breast_lesions_usg" / "BrEaST-Lesions_USG-images_and_masks" / "case175.png"
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert pixels is not None
    found = detect_fov(np.asarray(pixels, dtype=np.uint8))
    assert found.shape is FovShape.TRAPEZOID
    # Around the sector everything is exactly black, and within it nothing as large as the kernel.
    black = (pixels == 0).all(axis=2).astype(np.uint8)
    black = np.asarray(cv2.morphologyEx(black, cv2.MORPH_OPEN, np.ones((15, 15), np.uint8)), dtype=np.uint8)
    assert overlap(found.pixels, black == 0) > 0.97
