"""Pictures and their lesions: rows of one picture are one frame, and what cannot be read is told by position."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from tests.discs import disc_grey, disc_mask
from usdlr.core.errors import ConfigError
from usdlr.core.types import ExclusionCode
from usdlr.core.units import Spacing
from usdlr.data.segmentation import Frame, frames_of, read_frames
from usdlr.imaging.store import mask_to_png, write_png

SHAPE = (60, 80)
UPPER, LOWER = (15.0, 20.0, 9.0), (42.0, 55.0, 12.0)


def row(
    root: Path, name: str, disc: tuple[float, float, float] | None, seed: int = 0, **changed: Any
) -> dict[str, Any]:
    """A row of ``cases`` with its files; the picture follows from the seed and always shows both discs."""
    write_png(root / f"{name}.png", disc_grey(SHAPE, [UPPER, LOWER], seed))
    mask = None
    if disc is not None:
        mask = f"{name}_mask.png"
        write_png(root / mask, mask_to_png(disc_mask(SHAPE, disc)))
    return {
        "image_id": name,
        "patient_id": "p",
        "bmode_path": f"{name}.png",
        "fov_path": None,
        "mask_path": mask,
        "mask_source": "reader",
        "row_mm": np.nan,
        "col_mm": np.nan,
        **changed,
    }


def read(root: Path, rows: Sequence[dict[str, Any]], **options: Any) -> Any:
    return read_frames(pd.DataFrame(list(rows)), root, **options)


def test_a_picture_with_two_rows_is_one_frame_with_two_lesions(tmp_path: Path) -> None:
    rows = [row(tmp_path, "a", UPPER), row(tmp_path, "b", UPPER, seed=1), row(tmp_path, "c", LOWER)]
    frames, failures = read(tmp_path, rows)
    assert not failures
    assert [(one.image_id, one.rows) for one in frames] == [("a", (0, 2)), ("b", (1,))]
    np.testing.assert_array_equal(frames[0].lesions == 1, disc_mask(SHAPE, UPPER))
    np.testing.assert_array_equal(frames[0].lesions == 2, disc_mask(SHAPE, LOWER))
    np.testing.assert_array_equal(frames[0].grey, disc_grey(SHAPE, [UPPER, LOWER], 0))
    assert frames[1].lesions.max() == 1


def test_the_same_picture_of_two_patients_is_two_frames(tmp_path: Path) -> None:
    rows = [row(tmp_path, "a", UPPER), row(tmp_path, "b", LOWER, patient_id="q")]
    assert [one.rows for one in read(tmp_path, rows)[0]] == [(0,), (1,)]


def test_what_overlaps_belongs_to_the_later_row() -> None:
    grey = disc_grey(SHAPE, [], 0)
    made = []
    for place, disc in enumerate([(30.0, 30.0, 12.0), (30.0, 40.0, 12.0), (10.0, 70.0, 4.0)]):
        lesions = disc_mask(SHAPE, disc).astype(np.uint8)
        made.append(Frame(f"i{place}", "p", grey, lesions, None, 1.0, (place,)))
    (joined,) = frames_of(made)
    assert np.unique(joined.lesions).tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(joined.lesions > 0, np.logical_or.reduce([one.lesions > 0 for one in made]))
    np.testing.assert_array_equal(joined.lesions == 2, made[1].lesions > 0)
    assert made[0].lesions.max() == 1  # what was given is left alone


def test_pictures_of_another_shape_and_the_same_bytes_differ() -> None:
    flat = np.full((4, 6), 7, dtype=np.uint8)
    nothing = np.zeros_like(flat)
    one = Frame("a", "p", flat, nothing, None, 1.0, (0,))
    other = Frame("b", "p", flat.reshape(6, 4), nothing.reshape(6, 4), None, 1.0, (1,))
    assert len(frames_of([one, other])) == 2


def test_scale_and_field_of_view_come_along(tmp_path: Path) -> None:
    seen = np.zeros(SHAPE, dtype=bool)
    seen[:, 10:70] = True
    write_png(tmp_path / "fov.png", mask_to_png(seen))
    rows = [row(tmp_path, "a", UPPER, fov_path="fov.png", row_mm=0.1, col_mm=0.2), row(tmp_path, "b", UPPER, seed=2)]
    (calibrated, bare), _ = read(tmp_path, rows)
    assert (calibrated.spacing, calibrated.aspect) == (Spacing(0.1, 0.2), 0.5)
    assert (bare.spacing, bare.aspect) == (None, 1.0)
    assert not calibrated.grey[~seen].any()
    np.testing.assert_array_equal(calibrated.grey[seen], disc_grey(SHAPE, [UPPER, LOWER], 0)[seen])
    assert calibrated.shape == SHAPE


def test_outlines_of_software_are_refused_to_learn_from(tmp_path: Path) -> None:
    rows = [row(tmp_path, "a", UPPER), row(tmp_path, "b", UPPER, seed=1, mask_source="automatic")]
    with pytest.raises(ConfigError, match="found 1 outlines drawn by software among 2, expected readers' alone; leave"):
        read(tmp_path, rows)
    frames, failures = read(tmp_path, rows, outlined=False)
    assert (len(frames), failures) == (2, {})
    assert not any(one.lesions.any() for one in frames)


def test_what_cannot_be_read_is_told_by_position(tmp_path: Path) -> None:
    other = np.zeros((10, 10), dtype=bool)
    write_png(tmp_path / "small.png", mask_to_png(other))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    cv2.imwrite(str(tmp_path / "colour.png"), np.zeros((*SHAPE, 3), dtype=np.uint8))
    rows = [
        row(tmp_path, "a", UPPER, bmode_path="gone.png"),
        row(tmp_path, "b", UPPER),
        row(tmp_path, "c", UPPER, bmode_path="broken.png"),
        row(tmp_path, "d", UPPER, mask_path="gone.png"),
        row(tmp_path, "e", None),
        row(tmp_path, "f", UPPER, mask_path="small.png"),
        row(tmp_path, "g", UPPER, fov_path="gone.png"),
        row(tmp_path, "h", UPPER, fov_path="small.png"),
        row(tmp_path, "i", UPPER, bmode_path="colour.png"),
        row(tmp_path, "j", LOWER),
    ]
    frames, failures = read(tmp_path, rows)
    assert [one.rows for one in frames] == [(1, 9)]
    assert sorted(failures) == [0, 2, 3, 4, 5, 6, 7, 8]
    assert failures[0].code is ExclusionCode.IMAGE_MISSING
    assert failures[2].code is ExclusionCode.IMAGE_UNREADABLE
    assert failures[3].code is failures[4].code is ExclusionCode.MASK_MISSING
    assert failures[8].code is ExclusionCode.IMAGE_UNREADABLE
    assert all("found" in str(error) and "expected" in str(error) for error in failures.values())
    # Who needs no outline asks for none.
    frames, failures = read(tmp_path, rows, outlined=False)
    assert sorted(failures) == [0, 2, 6, 7, 8]
    assert sum(len(one.rows) for one in frames) == 5


def test_real_pictures_come_as_they_are(shared_data: Path) -> None:
    root = shared_data / "bus_bra"
    table = pd.read_csv(root / "bus_data.csv")
    names = [name for name in table["ID"] if (root / "Images" / f"{name}.png").is_file()][:12]
    rows = [
        {
            "image_id": name,
            "patient_id": name[:8],
            "bmode_path": f"Images/{name}.png",
            "fov_path": None,
            "mask_path": f"Masks/{name.replace('bus', 'mask')}.png",
            "mask_source": "reader",
            "row_mm": np.nan,
            "col_mm": np.nan,
        }
        for name in names
    ]
    frames, failures = read(root, rows)
    assert not failures
    assert [one.image_id for one in frames] == names
    boxes = table.set_index("ID").loc[names, "BBOX"]
    for one in frames:
        np.testing.assert_array_equal(one.grey, cv2.imread(str(root / "Images" / f"{one.image_id}.png"), 0))
        down, right = np.nonzero(one.lesions)
        left, top, width, height = (int(value) for value in boxes[one.image_id].strip("[]").split(","))
        assert (right.min(), down.min()) == pytest.approx((left, top), abs=1)
        assert (np.ptp(right), np.ptp(down)) == pytest.approx((width, height), abs=2)
