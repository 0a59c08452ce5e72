"""Images that a source's own table says show no lesion: real ones, and those that are not there."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from usdlr.core.errors import CaseError
from usdlr.core.tables import CASES, EXCLUSIONS
from usdlr.core.types import ExclusionCode
from usdlr.data.segmentation import read_frames
from usdlr.imaging.store import read_mask
from usdlr.ingest.lesion_free import lesion_free
from usdlr.ingest.settings import IngestSettings

CENTRE = "breast_lesions_usg"
FOLDER = "BrEaST-Lesions_USG-images_and_masks"


@pytest.fixture(scope="module")
def normal(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A copy of the source without its cases, and the names of its images of normal breasts, from its own table."""
    source = shared_data / CENTRE
    copy = tmp_path_factory.mktemp("breast") / CENTRE
    (workbook,) = source.glob("*.xlsx")
    table = pd.read_excel(workbook)
    table = table[table["Classification"] == "normal"]
    names = table["Image_filename"].tolist()
    (copy / FOLDER).mkdir(parents=True)
    (copy / workbook.name).symlink_to(workbook)
    for name in names:
        (copy / FOLDER / name).symlink_to(source / FOLDER / name)
    return copy, names


def test_four_normal_breasts_come_out(normal: tuple[Path, list[str]], tmp_path: Path) -> None:
    source, names = normal
    found, failed = lesion_free(source, CENTRE, tmp_path, settings=IngestSettings())
    assert failed.empty
    CASES.conform(found)
    assert len(found) == len(names) == 4
    assert sorted(image_id[:7] for image_id in found["image_id"]) == sorted(Path(name).stem for name in names)
    assert found["mask_path"].isna().all()
    assert found["mask_source"].isna().all()
    assert found["row_mm"].between(0.043, 0.139).all()
    for row in found.to_dict("records"):
        image = np.asarray(cv2.imread(str(tmp_path / str(row["bmode_path"])), cv2.IMREAD_UNCHANGED))
        original = np.asarray(
            cv2.imread(str(source / FOLDER / f"{str(row['image_id'])[:7]}.png"), cv2.IMREAD_UNCHANGED)
        )
        assert image.dtype == np.uint8
        assert image.ndim == 2
        assert image.shape == original.shape[:2]
        # A field of view is stored where a part of the image is none: transparent, in this source.
        seen = original[..., 3] == 255
        stored = row["fov_path"]
        assert pd.isna(stored) == bool(seen.all())
        if not pd.isna(stored):
            np.testing.assert_array_equal(read_mask(tmp_path / str(stored)), seen)
        assert image[seen].mean() > 20


def test_they_are_frames_without_a_lesion(normal: tuple[Path, list[str]], tmp_path: Path) -> None:
    found, _ = lesion_free(normal[0], CENTRE, tmp_path, settings=IngestSettings())
    frames, failures = read_frames(found, tmp_path, outlined=False)
    assert not failures
    assert len(frames) == 4
    assert not any(frame.lesions.any() for frame in frames)
    assert all(frame.spacing is not None for frame in frames)
    # Who wants outlines is told that there are none.
    frames, failures = read_frames(found, tmp_path)
    assert not frames
    assert len(failures) == 4
    assert all(isinstance(error, CaseError) for error in failures.values())


def copied(source: Path, folder: Path) -> Path:
    """The source's table alone."""
    (folder / CENTRE / FOLDER).mkdir(parents=True)
    (workbook,) = source.glob("*.xlsx")
    (folder / CENTRE / workbook.name).symlink_to(workbook.resolve())
    return folder / CENTRE


def test_a_file_that_is_not_there_is_no_row(normal: tuple[Path, list[str]], tmp_path: Path) -> None:
    source, names = normal
    copy = copied(source, tmp_path)
    (copy / FOLDER / names[1]).symlink_to((source / FOLDER / names[1]).resolve())
    found, failed = lesion_free(copy, CENTRE, tmp_path / "out", settings=IngestSettings())
    assert [image_id[:7] for image_id in found["image_id"]] == [Path(names[1]).stem]
    (copy / FOLDER / names[1]).unlink()
    empty, none = lesion_free(copy, CENTRE, tmp_path / "none", settings=IngestSettings())
    assert empty.empty
    assert failed.empty
    assert none.empty
    assert set(CASES.conform(empty).columns) <= set(found.columns)


def test_a_file_that_cannot_be_read_is_an_exclusion(normal: tuple[Path, list[str]], tmp_path: Path) -> None:
    source, names = normal
    copy = copied(source, tmp_path)
    (copy / FOLDER / names[0]).symlink_to((source / FOLDER / names[0]).resolve())
    (copy / FOLDER / names[2]).write_bytes(b"no picture")
    found, failed = lesion_free(copy, CENTRE, tmp_path / "out", settings=IngestSettings())
    assert [image_id[:7] for image_id in found["image_id"]] == [Path(names[0]).stem]
    (excluded,) = EXCLUSIONS.conform(failed).to_dict("records")
    assert excluded["source_id"] == Path(names[2]).stem
    assert excluded["code"] == str(ExclusionCode.IMAGE_UNREADABLE)
    assert str(excluded["sentence"]).startswith("found ")
