"""A cohort written by hand in the documented format: ``cohort.json``, ``manifest.csv`` and images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from usdlr.core.errors import DataError
from usdlr.core.files import write_json
from usdlr.imaging.store import mask_to_png, read_case, stiffness_to_png, write_png
from usdlr.ingest.pipeline import Ingested, ingest

SHAPE = (100, 80)
Record = dict[str, Any]


def record(number: int, **changes: Any) -> Record:
    return {
        "centre_id": "north",
        "patient_id": f"{number}",
        "side": "left",
        "lesion_id": "1",
        "image_id": f"north-{number}-1",
        "site": "tumour",
        "bmode_file": f"images/{number}_bmode.png",
        "elasto_file": f"images/{number}_swe.png",
        "mask_file": f"images/{number}_mask.png",
        "row_mm": "0.1",
        "col_mm": "0.2",
        "vendor": "Acme",
        "device": "A1",
        "elasto_layout": "map",
        "elasto_kind": "swe",
        "elasto_unit": "kPa",
        "elasto_step": "0.01",
        "tumour_size_mm": "",
        "age_years": "55.5",
        "neoadjuvant": "false",
        "sln_positive": "true",
        "nsln_positive": "false",
        "positive_nodes": "2",
        "sln_deposit": "macro",
        "axillary_surgery": "alnd",
        **changes,
    }


def lesion(height: int = 40) -> Any:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[30 : 30 + height, 30:50] = True
    return mask


def cohort(folder: Path, *records: Record, height: int = 40) -> Path:
    for number in range(1, 6):
        rng = np.random.default_rng(number)
        write_png(folder / f"images/{number}_bmode.png", rng.integers(0, 256, SHAPE, dtype=np.uint8))
        write_png(folder / f"images/{number}_swe.png", stiffness_to_png(np.full(SHAPE, 20.0 * number)))
        write_png(folder / f"images/{number}_mask.png", mask_to_png(lesion(height)))
    pd.DataFrame(list(records)).to_csv(folder / "manifest.csv", index=False)
    write_json(folder / "cohort.json", {"schema": 2, "simulated": True, "format": "png"})
    return folder


def read(source: Path, out: Path) -> Ingested:
    return ingest(source, "simulated", out)


def test_a_whole_row(tmp_path: Path) -> None:
    result = read(cohort(tmp_path / "c", record(1)), tmp_path / "out")
    row = result.cases.iloc[0]
    assert result.exclusions.empty
    assert row["image_id"].startswith("north-1-1-")
    assert (row["row_mm"], row["col_mm"], row["spacing_source"]) == (0.1, 0.2, "manifest")
    assert (row["vendor"], row["elasto_kind"], row["elasto_unit"], row["side"]) == ("Acme", "swe", "kPa", "left")
    assert row["tumour_size_mm"] == pytest.approx(np.hypot(40 * 0.1, 20 * 0.2))
    assert (row["sln_positive"], row["nsln_positive"], row["positive_nodes"]) == (True, False, 2)
    assert row["neoadjuvant"] == False  # noqa: E712 - not null
    images = read_case({str(name): value for name, value in row.items()}, tmp_path / "out")
    np.testing.assert_allclose(images.images["elasto"].pixels, 20.0)


def test_a_stated_size_is_kept(tmp_path: Path) -> None:
    result = read(cohort(tmp_path / "c", record(1, tumour_size_mm="17.25")), tmp_path / "out")
    assert result.cases["tumour_size_mm"].item() == 17.25


def test_missing_elastography_is_a_state_of_the_case(tmp_path: Path) -> None:
    source = cohort(tmp_path / "c", record(1), record(2, elasto_file="", elasto_kind="", elasto_unit=""))
    cases = read(source, tmp_path / "out").cases
    assert cases["elasto_path"].isna().tolist() == [False, True]
    assert cases["elasto_kind"].isna().tolist() == [False, True]
    images = read_case({str(name): value for name, value in cases.iloc[1].items()}, tmp_path / "out")
    assert set(images.images) == {"bmode"}


def test_kind_and_unit_are_void_without_elastography(tmp_path: Path) -> None:
    source = cohort(tmp_path / "c", record(1, elasto_file="", elasto_kind="swe", elasto_unit="kPa"))
    assert read(source, tmp_path / "out").cases[["elasto_kind", "elasto_unit"]].isna().all(axis=None)


def test_a_cohort_without_elastography_or_outcomes(tmp_path: Path) -> None:
    few = ("centre_id", "patient_id", "side", "lesion_id", "image_id", "site", "bmode_file", "mask_file")
    least = {name: record(1)[name] for name in (*few, "row_mm", "col_mm")}
    row = read(cohort(tmp_path / "c", least), tmp_path / "out").cases.iloc[0]
    assert pd.isna(row["elasto_path"])
    assert pd.isna(row["sln_positive"])


def test_an_unknown_side_is_a_side(tmp_path: Path) -> None:
    source = cohort(tmp_path / "c", record(1, side="unknown"), record(2, side="right"))
    assert read(source, tmp_path / "out").cases["side"].tolist() == ["unknown", "right"]


def test_endpoint_rules_are_applied(tmp_path: Path) -> None:
    source = cohort(
        tmp_path / "c",
        record(1, axillary_surgery="slnb"),
        record(2, sln_deposit="itc", sln_positive=""),
        record(3, neoadjuvant="true"),
        record(4, sln_positive="", nsln_positive="", sln_deposit="", axillary_surgery=""),
        record(5, sln_positive="false"),
    )
    result = read(source, tmp_path / "out")
    stages = result.cases[["sln_positive", "nsln_positive"]].astype(object)
    assert stages.where(stages.notna(), None).to_numpy().tolist() == [
        [True, None],  # no dissection
        [False, False],  # isolated tumour cells
        [None, None],  # neoadjuvant treatment
        [None, None],  # not stated
    ]
    assert result.exclusions[["source_id", "code"]].to_numpy().tolist() == [["north-5-1", "endpoint_missing"]]


def test_the_largest_lesion_of_an_axilla_is_its_size(tmp_path: Path) -> None:
    source = cohort(
        tmp_path / "c",
        record(1, tumour_size_mm="12"),
        record(2, patient_id="1", lesion_id="2", tumour_size_mm="21"),
        record(3, patient_id="1", side="right", tumour_size_mm="8"),
        record(4, tumour_size_mm="30"),
        record(5, patient_id="1", site="axilla", tumour_size_mm="40"),  # a node, not the tumour
    )
    cases = read(source, tmp_path / "out").cases
    assert cases["tumour_size_mm"].tolist() == [21, 21, 8, 30, 21]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"bmode_file": ""}, "image_missing"),
        ({"bmode_file": "images/none.png"}, "image_missing"),
        ({"mask_file": ""}, "mask_missing"),
        ({"mask_file": "images/none.png"}, "mask_missing"),
    ],
)
def test_a_bad_row_becomes_an_exclusion(tmp_path: Path, changes: Record, code: str) -> None:
    result = read(cohort(tmp_path / "c", record(1), record(2, **changes), record(3)), tmp_path / "out")
    assert len(result.cases) == 2
    assert result.exclusions[["source_id", "code"]].to_numpy().tolist() == [["north-2-1", code]]


@pytest.mark.parametrize(
    "changes",
    [
        {"elasto_file": "images/none.png"},
        {"elasto_file": "images/2_bmode.png"},  # an 8-bit picture of a map
    ],
)
def test_an_unusable_stiffness_map_is_a_state_of_the_case(tmp_path: Path, changes: Record) -> None:
    result = read(cohort(tmp_path / "c", record(1), record(2, **changes)), tmp_path / "out")
    assert result.exclusions.empty
    assert result.cases["elasto_state"].tolist() == ["measured", "unusable"]
    assert result.cases["elasto_path"].isna().tolist() == [False, True]
    assert result.notes["code"].tolist() == ["elastography_unusable"]


def test_a_stiffness_map_of_another_size_is_not_used(tmp_path: Path) -> None:
    source = cohort(tmp_path / "c", record(1), record(2))
    write_png(source / "images/2_swe.png", np.zeros((SHAPE[0], SHAPE[1] - 1), dtype=np.uint16))
    result = read(source, tmp_path / "out")
    assert result.cases["elasto_state"].tolist() == ["measured", "unusable"]
    assert result.notes["code"].tolist() == ["elastography_unusable"]


def test_nothing_but_tissue_is_simulated(tmp_path: Path) -> None:
    row = read(cohort(tmp_path / "c", record(1)), tmp_path / "out").cases.iloc[0]
    assert pd.isna(row["fov_path"])
    assert row["burned_in_fraction"] == 0


def test_screens_are_searched_like_a_scanners(tmp_path: Path) -> None:
    """A cohort of DICOM screens is not called bare: what is drawn on tissue is looked for."""
    source = cohort(tmp_path / "c", record(1))
    speckle = np.random.default_rng(1).normal(90, 12, SHAPE).clip(1, 150).astype(np.uint8)
    speckle[8:15, 8:70:7] = 255
    speckle[11, 8:70] = 255
    write_png(source / "images/1_bmode.png", speckle)
    assert read(source, tmp_path / "png").cases["burned_in_fraction"].item() == 0
    write_json(source / "cohort.json", {"schema": 2, "simulated": True, "format": "dicom"})
    assert read(source, tmp_path / "png").cases["burned_in_fraction"].item() > 0


def test_no_spacing_is_none(tmp_path: Path) -> None:
    row = read(cohort(tmp_path / "c", record(1, col_mm="", row_mm="")), tmp_path / "out").cases.iloc[0]
    assert row["spacing_source"] == "none"
    assert row[["row_mm", "col_mm"]].isna().all()


def drop(column: str) -> Callable[[Path], None]:
    def change(source: Path) -> None:
        table = pd.read_csv(source / "manifest.csv", dtype="str")
        table.drop(columns=column).to_csv(source / "manifest.csv", index=False)

    return change


def state(column: str, value: str) -> Callable[[Path], None]:
    def change(source: Path) -> None:
        cohort(source, record(1), record(2, **{column: value}))

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda s: (s / "cohort.json").unlink(), "found no cohort.json .*expected a finished simulated cohort"),
        (lambda s: write_json(s / "cohort.json", {"schema": 1}), "cohort of schema 1, expected 2"),
        (lambda s: write_json(s / "cohort.json", {}), "cohort of schema None, expected 2"),
        (lambda s: write_json(s / "cohort.json", [1]), "cohort of schema None, expected 2"),
        (lambda s: (s / "cohort.json").write_text("{"), "not valid JSON"),
        (lambda s: (s / "manifest.csv").unlink(), r"found no manifest\.csv in the export's folder"),
        (lambda s: (s / "manifest.csv").write_bytes(b""), "found no documented column"),
        (lambda s: (s / "manifest.csv").write_bytes(b"\xff\xfe\x00"), "not a text file, expected CSV"),
        (drop("row_mm"), "row 2, row_mm: found nothing, expected a value beside col_mm"),
        (state("row_mm", "-0.1"), "row 3, row_mm: found '-0.1', expected a number of at least 0.001"),
        (state("side", "breast"), "row 3, side: found 'breast', expected left | right"),
        (state("site", "breast"), r"row 3, site: found 'breast', expected tumour \| axilla"),
        (state("patient_id", ""), "row 3, patient_id: found nothing, expected a value"),
        (state("image_id", "../../outside"), "row 3, image_id: found a value that cannot be used"),
        (state("image_id", "north-1-1"), "row 3, image_id: found the image_id and lesion_id of row 2"),
        (state("sln_deposit", "large"), r"row 3, sln_deposit: found 'large', expected none \| itc \| micro \| macro"),
        (state("positive_nodes", "2.5"), "row 3, positive_nodes: found '2.5', expected a whole number"),
        (state("elasto_unit", "bar"), r"row 3, elasto_unit: found 'bar', expected kPa \| m/s \| relative"),
    ],
)
def test_a_cohort_that_cannot_be_read_is_refused(
    tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    source = cohort(tmp_path / "c", record(1), record(2))
    damage(source)
    with pytest.raises(DataError, match=message):
        read(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_patient_may_be_called_na(tmp_path: Path) -> None:
    source = cohort(tmp_path / "c", record(1, patient_id="NA"), record(2, patient_id="null"))
    assert read(source, tmp_path / "out").cases["patient_id"].tolist() == ["north-NA", "north-null"]


def test_the_truth_is_never_read(tmp_path: Path) -> None:
    source = cohort(tmp_path / "c", record(1))
    first = read(source, tmp_path / "one").cases
    for name in ("truth", "truth_images"):
        (source / f"{name}.parquet").write_bytes(b"not even a table")
    pd.testing.assert_frame_equal(read(source, tmp_path / "two").cases, first)
