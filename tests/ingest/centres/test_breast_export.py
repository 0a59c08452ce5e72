"""A small export in BrEaST's official layout, with lesions of known size, and every fault that an export can have."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest
from PIL import Image

from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError, TableError
from usdlr.core.files import read_json
from usdlr.imaging.store import read_case
from usdlr.ingest.pipeline import Ingested, ingest
from usdlr.ingest.settings import IngestSettings

IMAGES = "BrEaST-Lesions_USG-images_and_masks"
WORKBOOK = "BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx"
PIXEL_CM = 0.01
RADIUS_MM = 4.0
SHAPE = (140, 160)

Record = dict[str, Any]


def record(case: int, **changes: Any) -> Record:
    return {
        "CaseID": case,
        "Image_filename": f"case{case:03d}.png",
        "Mask_tumor_filename": f"case{case:03d}_tumor.png",
        "Mask_other_filename": None,
        "Pixel_size": PIXEL_CM,
        "Age": 40 + case,
        "BIRADS": "4b",
        "Verification": "confirmed by biopsy",
        "Classification": "benign",
        **changes,
    }


def lesion(shape: tuple[int, int] = SHAPE, radius_mm: float = RADIUS_MM) -> Any:
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(rows - shape[0] / 2 + 0.5, cols - shape[1] / 2 + 0.5) * PIXEL_CM * 10 <= radius_mm


def save_images(folder: Path, case: int) -> None:
    rng = np.random.default_rng(case)
    mask = lesion()
    image = np.empty((*SHAPE, 4), dtype=np.uint8)
    image[..., :3] = np.where(mask, 30, 90)[..., None] + rng.integers(0, 40, (*SHAPE, 1))
    image[..., 3] = 255
    Image.fromarray(image).save(folder / f"case{case:03d}.png")
    drawn = np.zeros((*SHAPE, 4), dtype=np.uint8)
    drawn[mask] = 255
    drawn[..., 3] = 255
    Image.fromarray(drawn).save(folder / f"case{case:03d}_tumor.png")


def save_workbook(folder: Path, records: list[Record], name: str = WORKBOOK) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(list(records[0]))
    for item in records:
        sheet.append(list(item.values()))
    book.save(folder / name)


def export(folder: Path, *records: Record) -> Path:
    """An export of these rows, with an image and a mask for each."""
    (folder / IMAGES).mkdir(parents=True)
    for item in records:
        save_images(folder / IMAGES, item["CaseID"])
    save_workbook(folder, list(records))
    return folder


def read(source: Path, out: Path) -> Ingested:
    return ingest(source, "breast_lesions_usg", out)


def test_what_the_export_says_arrives(tmp_path: Path) -> None:
    source = export(
        tmp_path / "source",
        record(1),
        record(2, Classification="malignant", BIRADS=5, Age="not available"),
        record(3, Classification="malignant", BIRADS="4c"),
        record(4, Classification="normal", BIRADS=1, Mask_tumor_filename=None),
    )
    result = read(source, tmp_path / "out")
    cases = result.cases
    assert [image_id[:7] for image_id in cases["image_id"]] == ["case001", "case002", "case003"]
    assert cases["patient_id"].tolist() == [f"breast_lesions_usg-case00{i}" for i in (1, 2, 3)]
    # 0.01 cm are 0.1 mm: a disc of 4 mm radius measures 8 mm.
    assert cases["row_mm"].tolist() == cases["col_mm"].tolist() == [0.1] * 3
    assert cases["tumour_size_mm"].tolist() == pytest.approx([2 * RADIUS_MM] * 3, abs=0.15)
    assert cases["spacing_source"].unique().tolist() == ["manifest"]
    assert cases["birads"].tolist() == ["4b", "5", "4c"]
    assert cases["age_years"].tolist()[::2] == [41, 43]
    assert math.isnan(cases["age_years"][1])
    assert cases["proxy_malignant"].tolist() == [False, True, True]
    assert cases["proxy_birads5"].tolist() == [False, True, False]
    assert cases["sln_positive"].isna().all()
    assert result.exclusions[["source_id", "code"]].to_numpy().tolist() == [["case004", "no_lesion"]]

    pd.testing.assert_frame_equal(tables.CASES.read(tmp_path / "out" / "cases.parquet"), cases)
    pd.testing.assert_frame_equal(tables.EXCLUSIONS.read(tmp_path / "out" / "exclusions.csv"), result.exclusions)
    images = read_case({str(name): value for name, value in cases.iloc[0].items()}, tmp_path / "out")
    np.testing.assert_array_equal(images.mask.pixels, lesion())
    original = np.asarray(Image.open(source / IMAGES / "case001.png"))
    np.testing.assert_array_equal(images.images["bmode"].pixels, original[..., 0])  # grey stays the same grey


def test_the_provenance_names_the_workbook_but_not_the_machine(tmp_path: Path) -> None:
    read(export(tmp_path / "source", record(1)), tmp_path / "out")
    beside = read_json(tmp_path / "out" / "cases.provenance.json")
    assert beside["command"] == "usdlr ingest"
    assert beside["config"] == {"centre": "breast_lesions_usg", "settings": IngestSettings().as_dict()}
    assert set(beside["inputs"]) == {"workbook", "images"}
    assert str(tmp_path) not in str(beside)


def test_a_column_without_letters_is_still_a_category(tmp_path: Path) -> None:
    # Read as numbers, 5 beside an empty cell would become 5.0, and nobody would be BI-RADS 5.
    source = export(
        tmp_path / "source",
        record(1, Classification="malignant", BIRADS=5),
        record(2, BIRADS=None),
        record(3, BIRADS=2),
    )
    cases = read(source, tmp_path / "out").cases
    assert cases["birads"].fillna("").tolist() == ["5", "", "2"]
    assert cases["proxy_birads5"].tolist() == [True, False, False]


def test_without_spacing_a_case_has_no_millimetres(tmp_path: Path) -> None:
    source = export(tmp_path / "source", record(1, Pixel_size=None), record(2), record(3, Pixel_size="unknown"))
    cases = read(source, tmp_path / "out").cases
    assert cases["spacing_source"].tolist() == ["none", "manifest", "none"]
    assert cases["row_mm"].isna().tolist() == cases["tumour_size_mm"].isna().tolist() == [True, False, True]


def test_no_spacing_at_all(tmp_path: Path) -> None:
    source = export(tmp_path / "source", record(1, Pixel_size=None), record(2, Pixel_size=None))
    assert read(source, tmp_path / "out").cases["tumour_size_mm"].isna().all()


def test_sixteen_bits_are_read(tmp_path: Path) -> None:
    source = export(tmp_path / "source", record(1))
    grey = np.array(Image.open(source / IMAGES / "case001.png"))[..., 0]
    Image.fromarray(grey.astype(np.uint16) * 257).save(source / IMAGES / "case001.png")
    row = read(source, tmp_path / "out").cases.iloc[0]
    images = read_case({str(name): value for name, value in row.items()}, tmp_path / "out")
    np.testing.assert_array_equal(images.images["bmode"].pixels, grey)


def test_outlines_of_other_findings_become_neither_cases_nor_contours(tmp_path: Path) -> None:
    others = "case001_other1.png&case001_other2.png"
    source = export(tmp_path / "source", record(1, Mask_other_filename=others), record(2))
    for name in ("case001_other1.png", "case001_other2.png"):
        Image.fromarray(np.full(SHAPE, 255, np.uint8)).save(source / IMAGES / name)
    result = read(source, tmp_path / "out")
    assert len(result.cases) == len(result.contours) == 2
    assert ["other_findings" in str(flags).split() for flags in result.cases["quality_flags"]] == [True, False]


def test_a_workbook_that_is_open_in_excel_is_read(tmp_path: Path) -> None:
    source = export(tmp_path / "source", record(1))
    (source / f"~${WORKBOOK}").write_bytes(b"\x05nobody")
    assert len(read(source, tmp_path / "out").cases) == 1


def test_transparency_becomes_the_field_of_view(tmp_path: Path) -> None:
    source = export(tmp_path / "source", record(1))
    path = source / IMAGES / "case001.png"
    pixels = np.array(Image.open(path))
    pixels[:, :20, 3] = 0
    Image.fromarray(pixels).save(path)
    row = read(source, tmp_path / "out").cases.iloc[0]
    images = read_case({str(name): value for name, value in row.items()}, tmp_path / "out")
    assert images.fov is not None
    np.testing.assert_array_equal(images.fov.sum(axis=0) == 0, np.arange(SHAPE[1]) < 20)


def overwrite(source: Path, name: str, content: bytes) -> None:
    (source / IMAGES / name).write_bytes(content)


def cut(source: Path, name: str) -> None:
    path = source / IMAGES / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def resave_mask(source: Path, mask: Any) -> None:
    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).save(source / IMAGES / "case002_tumor.png")


FAULTS: dict[str, tuple[Record, Callable[[Path], object], str, str]] = {
    "image is gone": ({}, lambda s: (s / IMAGES / "case002.png").unlink(), "image_missing", "case002.png"),
    "image is garbage": (
        {},
        lambda s: overwrite(s, "case002.png", b"\x00\x01garbage"),
        "image_unreadable",
        "unknown format",
    ),
    "image is empty": ({}, lambda s: overwrite(s, "case002.png", b""), "image_unreadable", "unknown format"),
    "image is text": ({}, lambda s: overwrite(s, "case002.png", b"see e-mail"), "image_unreadable", "unknown format"),
    "image is cut off": ({}, lambda s: cut(s, "case002.png"), "image_unreadable", "case002.png"),
    "mask is cut off": ({}, lambda s: cut(s, "case002_tumor.png"), "mask_unreadable", "case002_tumor.png"),
    "no image named": ({"Image_filename": None}, lambda s: None, "image_missing", "expected"),
    "mask is gone": ({}, lambda s: (s / IMAGES / "case002_tumor.png").unlink(), "mask_missing", "case002_tumor.png"),
    "no mask named": ({"Mask_tumor_filename": None}, lambda s: None, "mask_missing", "no tumour mask in the workbook"),
    "mask is garbage": ({}, lambda s: overwrite(s, "case002_tumor.png", b"garbage"), "mask_unreadable", "expected"),
    "mask of another size": (
        {},
        lambda s: resave_mask(s, lesion((140, 161))),
        "mask_size_mismatch",
        "mask of 140 x 161 pixels on an image of 140 x 160",
    ),
    "mask is turned": ({}, lambda s: resave_mask(s, lesion((160, 140))), "mask_size_mismatch", "160 x 140"),
    "mask is empty": ({}, lambda s: resave_mask(s, np.zeros(SHAPE, bool)), "mask_empty", "no contour"),
    "spacing is zero": ({"Pixel_size": 0}, lambda s: None, "spacing_missing", "row_mm = 0.0"),
    "spacing is negative": ({"Pixel_size": -0.01}, lambda s: None, "spacing_missing", "row_mm = -0.1"),
    "spacing 100 times too large": ({"Pixel_size": 1.0}, lambda s: None, "spacing_absurd", "lesion 800.00 mm long"),
    "spacing 100 times too small": ({"Pixel_size": 1e-4}, lambda s: None, "spacing_absurd", "lesion 0.08 mm long"),
    "normal breast": ({"Classification": "normal"}, lambda s: None, "no_lesion", "normal breast"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_case_becomes_an_exclusion_and_the_rest_goes_on(tmp_path: Path, fault: str) -> None:
    changes, damage, code, words = FAULTS[fault]
    source = export(tmp_path / "source", record(1), record(2, **changes), record(3))
    damage(source)
    result = read(source, tmp_path / "out")
    assert [image_id[:7] for image_id in result.cases["image_id"]] == ["case001", "case003"]
    excluded = result.exclusions.iloc[0]
    assert len(result.exclusions) == 1
    assert (excluded["source_id"], excluded["code"], excluded["step"]) == ("case002", code, "ingest")
    assert excluded["patient_id"] == "breast_lesions_usg-case002"
    assert words in excluded["sentence"]
    assert "found" in excluded["sentence"]
    assert str(tmp_path) not in excluded["sentence"]
    # Nothing of the bad case lies in the folder.
    assert not list((tmp_path / "out").rglob("*case002*"))


@pytest.mark.parametrize("fault", FAULTS)
def test_when_no_case_is_left_the_reason_is_named_and_nothing_written(tmp_path: Path, fault: str) -> None:
    changes, damage, code, words = FAULTS[fault]
    source = export(tmp_path / "source", record(2, **changes))
    damage(source)
    with pytest.raises(DataError, match=rf"no usable case among 1 rows .*1 x {code}, first in row 1: ") as caught:
        read(source, tmp_path / "out")
    assert words in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_the_commonest_reason_is_named(tmp_path: Path) -> None:
    source = export(
        tmp_path / "source",
        record(1, Pixel_size=0),
        *(record(case, Classification="normal", Mask_tumor_filename=None) for case in (2, 3, 4)),
    )
    with pytest.raises(DataError, match=r"no usable case among 4 rows .*3 x no_lesion, first in row 2: found a normal"):
        read(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def without_folder(source: Path) -> None:
    for path in source.iterdir():
        path.rename(source.parent / path.name)
    source.rmdir()


def two_workbooks(source: Path) -> None:
    save_workbook(source, [record(1)], "BrEaST-clinical-data-copy.xlsx")


def rewrite(*records: Record) -> Callable[[Path], None]:
    return lambda source: save_workbook(source, list(records))


def without(*columns: str) -> Record:
    return {name: value for name, value in record(1).items() if name not in columns}


REFUSALS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (without_folder, "found no folder at .*expected the folder of the export"),
    "no workbook": (lambda s: (s / WORKBOOK).unlink(), "found 0 workbooks .*expected one"),
    "two workbooks": (two_workbooks, "found 2 workbooks .*expected one"),
    "workbook is garbage": (lambda s: (s / WORKBOOK).write_bytes(b"garbage"), "is not a readable Excel workbook"),
    "workbook is empty": (lambda s: (s / WORKBOOK).write_bytes(b""), "is not a readable Excel workbook"),
    "workbook is cut": (
        lambda s: (s / WORKBOOK).write_bytes((s / WORKBOOK).read_bytes()[:2000]),
        "is not a readable Excel workbook",
    ),
    "a column is missing": (rewrite(without("Pixel_size")), "found no column Pixel_size in .*expected CaseID"),
    "two columns are missing": (rewrite(without("Age", "BIRADS")), "found no column Age, BIRADS"),
    "an id twice": (rewrite(record(1), record(2), record(1)), "the id 'case001' in rows 1 and 3"),
    "an id is a word": (rewrite(record(1), record(2, CaseID="two")), "CaseID with other values than whole numbers"),
    "an id is empty": (rewrite(record(1), record(2, CaseID=None)), "CaseID with other values than whole numbers"),
    "an unknown class": (
        rewrite(record(1), record(2, Classification="Benign?")),
        "Classification = Benign.*expected benign, malignant, normal",
    ),
    "no class": (rewrite(record(1), record(2, Classification=None)), "Classification = nan"),
}


@pytest.mark.parametrize("fault", REFUSALS)
def test_an_export_that_cannot_be_read_is_refused_as_a_whole(tmp_path: Path, fault: str) -> None:
    damage, message = REFUSALS[fault]
    source = export(tmp_path / "source", record(1), record(2))
    damage(source)
    with pytest.raises(DataError, match=message):
        read(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    source = export(tmp_path / "source", record(1))
    book = openpyxl.load_workbook(source / WORKBOOK)
    sheet = book.active
    assert sheet is not None
    sheet.delete_rows(2)
    book.save(source / WORKBOOK)
    with pytest.raises(DataError, match="export without rows"):
        read(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"BIRADS": "7"}, "export row 1: found birads = '7', expected 0 | 1 | 2"),
        ({"Age": 400}, "export row 1: found age_years = 400.0, expected a number of at least 0 of at most 120"),
    ],
)
def test_a_value_outside_its_vocabulary_is_refused_before_anything_is_written(
    tmp_path: Path, changes: Record, message: str
) -> None:
    source = export(tmp_path / "source", record(1), record(2, **changes))
    with pytest.raises(TableError) as caught:
        read(source, tmp_path / "out")
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_an_unknown_centre_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean breast_lesions_usg"):
        ingest(tmp_path, "breast_lesion_usg", tmp_path / "out")


def test_without_openpyxl_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_openpyxl(*_: object, **__: object) -> None:
        raise ImportError("Missing optional dependency 'openpyxl'")

    source = export(tmp_path / "source", record(1))
    monkeypatch.setattr("usdlr.ingest.centres.breast_lesions_usg.pd.read_excel", no_openpyxl)
    with pytest.raises(DataError, match=r"pip install usdlr\[excel\]"):
        read(source, tmp_path / "out")


def test_other_bytes_under_the_same_id_get_another_image_id(tmp_path: Path) -> None:
    source = export(tmp_path / "source", record(1))
    first = read(source, tmp_path / "one").cases["image_id"].item()
    assert read(source, tmp_path / "two").cases["image_id"].item() == first
    resized = lesion(radius_mm=3.0)
    Image.fromarray(np.where(resized, 255, 0).astype(np.uint8)).save(source / IMAGES / "case001_tumor.png")
    assert read(source, tmp_path / "three").cases["image_id"].item() != first
