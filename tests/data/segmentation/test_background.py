"""Tissue beside a lesion: nothing of the lesion is on it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from usdlr.core.units import Spacing
from usdlr.data.segmentation import Frame
from usdlr.data.segmentation.background import AWAY, LEAST, background_of
from usdlr.imaging.store import read_mask

SHAPE = (100, 160)
LESION = 255


def frame(*boxes: tuple[int, int, int, int], shape: tuple[int, int] = SHAPE) -> Frame:
    """Lesions that are boxes of (row, column, rows, columns), and white; elsewhere every pixel tells its row."""
    lesions = np.zeros(shape, dtype=np.uint8)
    for number, (row, col, rows, cols) in enumerate(boxes, start=1):
        lesions[row : row + rows, col : col + cols] = number
    grey = np.broadcast_to(np.arange(1, shape[0] + 1, dtype=np.uint8)[:, None], shape)
    return Frame("a", "p", np.where(lesions > 0, LESION, grey).astype(np.uint8), lesions, Spacing(0.1, 0.2), 0.5, (3,))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((60, 70, 30, 20), (55, 160)),  # above
        ((5, 70, 25, 20), (65, 160)),  # below
        ((10, 120, 80, 20), (100, 115)),  # to the left
        ((10, 20, 80, 20), (100, 115)),  # to the right
    ],
)
def test_the_largest_strip_is_taken(box: tuple[int, int, int, int], expected: tuple[int, int]) -> None:
    found = background_of(frame(box))
    assert found is not None
    assert found.shape == found.grey.shape == found.lesions.shape == expected
    assert round(AWAY * 100) == 5
    assert not (found.grey == LESION).any()
    assert not found.lesions.any()
    assert (found.image_id, found.patient_id, found.rows) == ("a#background", "p", (3,))
    assert (found.spacing, found.aspect) == (Spacing(0.1, 0.2), 0.5)
    assert found.grey[0, 0] == (36 if box[0] == 5 else 1)


def test_it_stays_away_from_every_lesion() -> None:
    found = background_of(frame((5, 10, 20, 20), (20, 60, 20, 40)))
    assert found is not None
    assert found.shape == (55, 160)
    assert not (found.grey == LESION).any()


def test_without_room_there_is_none() -> None:
    assert background_of(frame((25, 30, 50, 100))) is None
    assert background_of(frame((0, 0, 100, 160))) is None
    assert background_of(frame((0, 0, 5, 5), (95, 155, 5, 5))) is None
    # A strip just wide enough: LEAST of 100 rows, and what lies between.
    least, away = round(LEAST * 100), round(AWAY * 100)
    assert background_of(frame((least + away, 0, 100 - least - away, 160))) is not None
    assert background_of(frame((least + away - 1, 0, 101 - least - away, 160))) is None


def test_what_shows_nothing_is_no_picture() -> None:
    made = frame((60, 0, 30, 160))
    grey = made.grey.copy()
    grey[:55] = 0
    assert background_of(Frame("a", "p", grey, made.lesions, None, 1.0, (0,))) is None


def test_a_picture_without_a_lesion_is_its_own_background() -> None:
    bare = frame()
    assert background_of(bare) is bare


def test_real_lesions_leave_no_trace(shared_data: Path) -> None:
    root = shared_data / "bus_bra"
    found = 0
    images = sorted((root / "Images").glob("*.png"))[:60]
    for path in images:
        grey = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
        mask = read_mask(root / "Masks" / path.name.replace("bus", "mask"))
        planted = np.where(mask, LESION, np.minimum(grey, LESION - 1)).astype(np.uint8)
        made = Frame(path.stem, "p", planted, mask.astype(np.uint8), None, 1.0, (0,))
        beside = background_of(made)
        if beside is None:
            continue
        found += 1
        assert not (beside.grey == LESION).any()
        assert min(beside.shape) >= LEAST * min(made.shape)
        assert beside.grey.size < made.grey.size
        assert beside.grey.any()
    assert found > len(images) / 3
