"""Exports of each kind through the whole of ingest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from usdlr.core.errors import DataError
from usdlr.core.files import read_json
from usdlr.ingest.pipeline import Ingested, ingest

Pixels = npt.NDArray[Any]

# Images at hand: a few of each scanner, the misstated ones, and rows whose image is not there.
BUS_BRA = (
    "bus_0007-l",
    "bus_0007-r",
    "bus_0014-s",
    "bus_0845-s",
    "bus_0856-l",
    "bus_0857-r",
    "bus_0912-l",
    "bus_0990-l",
    "bus_0001-l",
)


@pytest.fixture(autouse=True)
def own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test touches the user's key of pseudonyms."""
    monkeypatch.setenv("USDLR_KEY_FILE", str(tmp_path / "secret" / "pseudonym.key"))


@pytest.fixture(scope="module")
def bus_bra(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    source = tmp_path_factory.mktemp("bus_bra")
    official = shared_data / "bus_bra"
    header, *lines = (official / "bus_data.csv").read_text().splitlines()
    kept = [line for line in lines if line.split(",")[0] in BUS_BRA]
    (source / "bus_data.csv").write_text("\n".join([header, *kept]) + "\n")
    for folder, old in (("Images", "bus"), ("Masks", "mask")):
        (source / folder).mkdir()
        for name in BUS_BRA:
            path = official / folder / f"{name.replace('bus', old, 1)}.png"
            if path.is_file():
                shutil.copy(path, source / folder)
    return ingest(source, "bus_bra", source / "out")


def test_bus_bra_wrong_sizes_are_noted_and_the_image_counts(bus_bra: Ingested) -> None:
    notes = bus_bra.notes[bus_bra.notes["code"] == "size_misstated"]
    assert sorted(image_id[:10] for image_id in notes["image_id"]) == [
        "bus_0856-l",
        "bus_0857-r",
        "bus_0912-l",
        "bus_0990-l",
    ]
    sentence = notes["sentence"][notes["image_id"].str.startswith("bus_0856-l")].item()
    assert "found an image of 353 x 387 pixels" in sentence
    assert "states 405 x 387" in sentence


def test_bus_bra_has_no_millimetres_and_keeps_patients_together(bus_bra: Ingested) -> None:
    cases = bus_bra.cases
    assert len(cases) == 8
    assert set(cases["spacing_source"]) == {"none"}
    assert cases[["row_mm", "col_mm", "tumour_size_mm"]].isna().all(axis=None)
    views = cases[cases["patient_id"] == "bus_bra-0007"]
    assert views["view"].tolist() == ["left", "right"]
    assert set(cases["side"]) == {"unknown"}


def test_bus_bra_rows_without_image_are_exclusions(bus_bra: Ingested) -> None:
    assert bus_bra.exclusions[["source_id", "code"]].to_numpy().tolist() == [["bus_0001-l", "image_missing"]]


def disc(row: int, col: int) -> Pixels:
    rows, cols = np.ogrid[:120, :150]
    return np.asarray(np.hypot(rows - row, cols - col) <= 15)


def picture(seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 255, (120, 150), dtype=np.uint8)


def save(path: Path, pixels: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels if pixels.dtype == np.uint8 else np.where(pixels, 255, 0).astype(np.uint8)).save(path)


def busi(root: Path) -> Path:
    masks = {"": disc(40, 40), "_1": disc(80, 100)}
    for number, label in enumerate(("benign", "malignant", "normal"), start=1):
        save(root / label / f"{label} (1).png", picture(number))
        save(root / label / f"{label} (1)_mask.png", masks[""] if label != "normal" else np.zeros((120, 150), bool))
    save(root / "benign" / "benign (1)_mask_1.png", masks["_1"])
    return root


def test_busi_lesions_of_one_picture(tmp_path: Path) -> None:
    result = ingest(busi(tmp_path / "s"), "busi", tmp_path / "out")
    found = result.cases[["patient_id", "lesion_id", "proxy_malignant", "spacing_source"]].to_numpy().tolist()
    assert found == [
        ["busi-benign-1", "1", False, "none"],
        ["busi-benign-1", "2", False, "none"],
        ["busi-malignant-1", "1", True, "none"],
    ]
    assert result.exclusions[["source_id", "code"]].to_numpy().tolist() == [["normal-1", "no_lesion"]]


def test_busi_one_picture_under_two_labels_is_nobodys(tmp_path: Path) -> None:
    root = busi(tmp_path / "s")
    save(root / "malignant" / "malignant (2).png", picture(1))  # benign (1) again
    save(root / "malignant" / "malignant (2)_mask.png", disc(40, 40))
    result = ingest(root, "busi", tmp_path / "out")
    assert result.cases["patient_id"].tolist() == ["busi-malignant-1"]
    assert sorted(result.exclusions["code"]) == ["duplicate_contradictory"] * 3 + ["no_lesion"]


def test_a_manifest_of_files_that_are_not_there(tmp_path: Path) -> None:
    source = tmp_path / "s"
    save(source / "us" / "1.png", picture(1))
    save(source / "roi" / "1.png", disc(40, 40))
    (source / "manifest.csv").write_text(
        "centre_id;patient_id;bmode_file;mask_file;row_mm;col_mm;sln_positive\n"
        "north;p1;us\\1.png;roi\\1.png;0,1;0,1;false\n"
        "north;p2;us\\2.png;roi\\2.png;0,1;0,1;true\n"
    )
    result = ingest(source, "manifest", tmp_path / "out")
    row = result.cases.iloc[0]
    assert (row["centre_id"], row["patient_id"], row["spacing_source"]) == ("north", "north-p1", "manifest")
    assert row["tumour_size_mm"] == pytest.approx(3.0, abs=0.2)  # 31 pixels of 0.1 mm
    assert row["nsln_positive"] == False  # noqa: E712 - structurally negative, not null
    assert result.exclusions["code"].tolist() == ["image_missing"]
    assert set(read_json(tmp_path / "out" / "cases.provenance.json")["inputs"]) == {"manifest", "images"}


def test_a_wrong_manifest_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "manifest.csv").write_text(
        "centre_id,patient_id,bmode_file,mask_file,side\nn,p,a,b,up\nn,q,c,,no\n"
    )
    with pytest.raises(DataError, match=r"found 2 problems in manifest.csv(.|\n)*row 2, side(.|\n)*row 3, side"):
        ingest(tmp_path / "s", "manifest", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_public_dicom_files(shared_data: Path, tmp_path: Path) -> None:
    """Facts measured on the files, see the card; frames of the long clip are left out for speed."""
    source = tmp_path / "s"
    shutil.copytree(shared_data / "dicom_us_regions", source, ignore=shutil.ignore_patterns("examples_ybr*"))
    result = ingest(source, "dicom", tmp_path / "out")
    cases = result.cases
    assert len(cases) == 14
    assert result.exclusions["code"].tolist() == ["image_unreadable"] * 2
    assert cases["mask_path"].isna().all()
    spacing = cases["row_mm"].round(6).value_counts(dropna=False).to_dict()
    # Four panes; the caliper image; three copies and two frames with a clipped region; the rest has no calibration.
    assert {key: count for key, count in spacing.items() if key == key} == {0.382653: 4, 0.254767: 1, 0.262288: 4}
    assert (cases["row_mm"].isna() == (cases["spacing_source"] == "none")).all()
    shapes = {
        Image.open(tmp_path / "out" / path).size
        for path in cases.loc[cases["row_mm"].round(6) == 0.382653, "bmode_path"]
    }
    assert shapes == {(304, 392)}
    assert "calibration_refused" in set(result.notes["code"])
