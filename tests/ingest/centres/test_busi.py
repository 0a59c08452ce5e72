"""BUSI in its official layout, with invented pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usdlr.core.errors import DataError
from usdlr.core.types import ExclusionCode, SpacingSource
from usdlr.ingest.adapter import require_usable_ids
from usdlr.ingest.centres.busi import Busi
from usdlr.ingest.source import SourceRow

NAMES = (
    "benign (1).png",
    "benign (1)_mask.png",
    "benign (2).png",
    "benign (2)_mask.png",
    "benign (2)_mask_1.png",
    "benign (2)_mask_2.png",
    "benign (10).png",
    "benign (10)_mask.png",
    "malignant (1).png",
    "malignant (1)_mask.png",
    "normal (1).png",
    "normal (1)_mask.png",
)


def export(folder: Path, *names: str, root: str = "Dataset_BUSI_with_GT") -> Path:
    for label in ("benign", "malignant", "normal"):
        (folder / root / label).mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.fromarray(np.zeros((8, 9), np.uint8)).save(folder / root / name.split(" ")[0] / name)
    return folder


def by_id(rows: list[SourceRow]) -> dict[str, SourceRow]:
    require_usable_ids(rows)
    return {row.source_id: row for row in rows}


@pytest.mark.parametrize("root", ["Dataset_BUSI_with_GT", "."])
def test_one_row_for_each_lesion(tmp_path: Path, root: str) -> None:
    rows = by_id(Busi().rows(export(tmp_path, *NAMES, root=root)))
    assert list(rows) == [
        "benign-1",
        "benign-2",
        "benign-2-lesion2",
        "benign-2-lesion3",
        "benign-10",
        "malignant-1",
        "normal-1",
    ]
    several = [row for row in rows.values() if row.patient_id == "busi-benign-2"]
    assert [row.lesion_id for row in several] == ["1", "2", "3"]
    assert {row.files["bmode"].name for row in several} == {"benign (2).png"}
    assert [[mask.path.name for mask in row.masks] for row in several] == [
        ["benign (2)_mask.png"],
        ["benign (2)_mask_1.png"],
        ["benign (2)_mask_2.png"],
    ]
    assert all(path.is_file() for row in rows.values() for path in row.paths().values())


def test_every_image_is_a_patient_with_a_label_and_without_spacing(tmp_path: Path) -> None:
    rows = by_id(Busi().rows(export(tmp_path, *NAMES)))
    assert {row.patient_id for row in rows.values()} == {
        "busi-benign-1",
        "busi-benign-2",
        "busi-benign-10",
        "busi-malignant-1",
        "busi-normal-1",
    }
    assert [name for name, row in rows.items() if row.values["proxy_malignant"]] == ["malignant-1"]
    assert {(row.spacing_mm, row.spacing_source) for row in rows.values()} == {(None, SpacingSource.NONE)}


def test_a_normal_breast_holds_no_lesion(tmp_path: Path) -> None:
    row = by_id(Busi().rows(export(tmp_path, *NAMES)))["normal-1"]
    assert row.refusal is not None
    assert row.refusal.code is ExclusionCode.NO_LESION
    assert not row.masks


def test_an_image_without_mask_and_a_mask_without_image_are_rows(tmp_path: Path) -> None:
    rows = by_id(Busi().rows(export(tmp_path, "benign (1).png", "benign (3)_mask.png")))
    assert list(rows) == ["benign-1", "benign-3"]
    refusal = rows["benign-1"].refusal
    assert refusal is not None
    assert refusal.code is ExclusionCode.MASK_MISSING
    assert not rows["benign-3"].files["bmode"].is_file()  # ingest says so


def test_what_viewers_leave_behind_is_no_picture(tmp_path: Path) -> None:
    source = export(tmp_path, *NAMES)
    before = list(by_id(Busi().rows(source)))
    for name in (".DS_Store", "Thumbs.db", "._benign (1).png"):
        (source / "Dataset_BUSI_with_GT" / "benign" / name).write_bytes(b"x")
    assert list(by_id(Busi().rows(source))) == before


@pytest.mark.parametrize("name", ["benign (1) copy.png", "benign 4.png", "benign (0).png"])
def test_a_picture_of_another_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="found a picture in the folder benign under an unknown name"):
        Busi().rows(export(tmp_path, *NAMES, name))


def test_a_picture_in_the_wrong_folder_is_refused(tmp_path: Path) -> None:
    source = export(tmp_path, *NAMES)
    root = source / "Dataset_BUSI_with_GT"
    (root / "benign" / "benign (1).png").rename(root / "malignant" / "benign (1).png")
    with pytest.raises(DataError, match="found a picture in the folder malignant under an unknown name"):
        Busi().rows(source)


def test_another_layout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "benign").mkdir()
    with pytest.raises(DataError, match=r"found no folder malignant, normal, expected benign, malignant, normal"):
        Busi().rows(tmp_path)
