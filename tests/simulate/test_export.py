from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from usdlr.core.errors import CaseError, ConfigError, DataError
from usdlr.core.hashing import file_hash, table_hash
from usdlr.core.pool import Outcome, run_all
from usdlr.core.tables import CASES
from usdlr.core.types import ExclusionCode
from usdlr.simulate import CENTRES, Coefficients, draw_cohort, export, simulate

PATIENTS, SEED = 7, 12
COLUMNS = (
    "centre_id,patient_id,side,lesion_id,source_id,site,view,bmode_file,elasto_file,mask_file,row_mm,col_mm,"
    "vendor,device,elasto_kind,elasto_unit,tumour_size_mm,age_years,birads,cn_stage,neoadjuvant,"
    "days_us_to_surgery,grade_core_biopsy,sln_positive,nsln_positive,positive_nodes,removed_nodes,"
    "sln_positive_count,sln_removed_count,sln_reference,sln_deposit,axillary_surgery"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("cohort") / "a", patients=PATIENTS, seed=SEED)


@pytest.fixture(scope="module")
def manifest(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "manifest.csv", dtype="str", keep_default_na=False)


def hashes(folder: Path) -> dict[str, str]:
    files = [*folder.glob("images/*/*.png"), folder / "manifest.csv", folder / "cohort.json"]
    return {str(path.relative_to(folder)): file_hash(path) for path in files}


def test_two_processes_write_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    other = simulate(tmp_path / "b", patients=PATIENTS, seed=SEED, jobs=2)
    assert hashes(other) == hashes(folder)
    assert table_hash(pd.read_parquet(other / "truth.parquet")) == table_hash(pd.read_parquet(folder / "truth.parquet"))
    assert not list(other.rglob(".*"))


def test_manifest_has_the_agreed_columns_and_ids(manifest: pd.DataFrame) -> None:
    assert ",".join(manifest.columns) == COLUMNS
    expected = [*(f"north-{number:05d}" for number in range(1, 5)), *(f"south-{number:05d}" for number in range(1, 4))]
    assert manifest["patient_id"].tolist() == expected
    assert (manifest["source_id"] == manifest["patient_id"] + "-1").all()


def test_manifest_values_are_in_the_tables_domains(manifest: pd.DataFrame) -> None:
    for column in CASES.columns:
        if column.name not in manifest:
            continue
        found = set(manifest[column.name]) - {""}
        if column.choices:
            assert found <= set(column.choices), column.name
        if column.dtype == "boolean":
            assert found <= {"true", "false"}, column.name
        if column.dtype == "Int64":
            assert all(value.isdigit() for value in found), column.name
        if not column.nullable:
            assert "" not in set(manifest[column.name]), column.name
    assert manifest["row_mm"].str.fullmatch(r"0\.\d{6}").all()
    assert manifest["col_mm"].str.fullmatch(r"0\.\d{6}").all()


def test_images_are_what_the_manifest_says(folder: Path, manifest: pd.DataFrame) -> None:
    for row in manifest.itertuples():
        bmode = cv2.imread(str(folder / str(row.bmode_file)), cv2.IMREAD_UNCHANGED)
        mask = cv2.imread(str(folder / str(row.mask_file)), cv2.IMREAD_UNCHANGED)
        centre = CENTRES[str(row.centre_id)]
        assert bmode is not None
        assert mask is not None
        assert bmode.dtype == mask.dtype == np.uint8
        assert bmode.shape == mask.shape == (centre.rows, centre.cols)
        assert set(np.unique(mask)) == {0, 255}
        pixels = np.argwhere(mask) * [float(str(row.row_mm)), float(str(row.col_mm))]
        hull = pixels[cv2.convexHull(pixels.astype(np.float32), returnPoints=False).ravel()]
        longest = np.linalg.norm(hull[:, None] - hull[None], axis=2).max()
        assert float(str(row.tumour_size_mm)) == pytest.approx(longest, abs=0.3)
        if not row.elasto_file:
            assert (row.elasto_kind, row.elasto_unit) == ("", "")
            assert not list(folder.glob(f"images/*/{row.source_id}_swe.png"))
            continue
        swe = cv2.imread(str(folder / str(row.elasto_file)), cv2.IMREAD_UNCHANGED)
        assert swe is not None
        assert swe.dtype == np.uint16
        assert swe.shape == bmode.shape
        measured = swe[swe != 65535]
        assert measured.max() <= 30_000
        assert 0.05 < measured.size / swe.size < 1
        assert (row.elasto_kind, row.elasto_unit) == ("swe", "kPa")


def test_manifest_agrees_with_the_cohort(manifest: pd.DataFrame) -> None:
    drawn = draw_cohort(CENTRES["north"], 4, SEED)
    found = manifest.head(4)
    for name in ("sln_positive", "nsln_positive", "positive_nodes", "sln_deposit"):
        expected = ["" if pd.isna(v) else str(v).lower() for v in drawn[name].astype(object)]
        assert found[name].tolist() == expected
    assert (found["elasto_file"] != "").tolist() == drawn["has_elasto"].tolist()


def test_reader_size_is_near_the_true_size(folder: Path, manifest: pd.DataFrame) -> None:
    truth = pd.read_parquet(folder / "truth.parquet").set_index("patient_id")["size_mm"]
    difference = manifest.set_index("patient_id")["tumour_size_mm"].astype(float) - truth
    assert difference.abs().max() < 3.5


def test_cohort_file_tells_how_it_was_made(folder: Path) -> None:
    cohort = json.loads((folder / "cohort.json").read_text())
    assert {key: cohort[key] for key in cohort if key != "coefficients"} == {
        "generator": "usdlr simulate",
        "simulated": True,
        "schema": 1,
        "seed": SEED,
        "patients": PATIENTS,
        "centres": ["north", "south"],
        "elasto_scale_kpa": 0.01,
        "elasto_no_value": 65535,
    }
    assert Coefficients(**cohort["coefficients"]) == Coefficients()


def test_truth_has_provenance_and_probabilities(folder: Path) -> None:
    truth = pd.read_parquet(folder / "truth.parquet")
    assert {"patient_id", "side", "p_sln", "p_nsln", "rim_kpa", "halo_db"} <= set(truth.columns)
    assert ((truth[["p_sln", "p_nsln"]] > 0) & (truth[["p_sln", "p_nsln"]] < 1)).all(axis=None)
    provenance = json.loads((folder / "truth.provenance.json").read_text())
    assert provenance["content_hash"] == table_hash(truth)
    assert provenance["seed"] == SEED


def test_other_coefficients_change_the_outcome_and_not_the_images(folder: Path, tmp_path: Path) -> None:
    sure = simulate(tmp_path / "c", patients=2, seed=SEED, coefficients=Coefficients(sln_intercept=50.0))
    assert set(pd.read_csv(sure / "manifest.csv", dtype="str")["sln_positive"]) == {"true"}
    name = "images/north/north-00001-1_bmode.png"
    assert file_hash(sure / name) == file_hash(folder / name)


def test_a_rerun_mends_and_renders_nothing_twice(tmp_path: Path) -> None:
    out = simulate(tmp_path / "d", patients=3, seed=1)
    before = hashes(out)
    times = {path: path.stat().st_mtime_ns for path in out.glob("images/*/*.png")}
    lost, damaged = out / "images/north/north-00001-1_mask.png", out / "images/south/south-00001-1_bmode.png"
    lost.unlink()
    damaged.write_bytes(damaged.read_bytes()[:100])
    time.sleep(0.01)
    simulate(out, patients=3, seed=1)
    assert hashes(out) == before
    untouched = out / "images/north/north-00002-1_bmode.png"
    assert untouched.stat().st_mtime_ns == times[untouched]
    assert damaged.stat().st_mtime_ns > times[damaged]


def test_an_interrupted_cohort_is_recognised_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(function: Callable[[Any], Any], items: list[Any], **options: Any) -> list[Outcome[Any]]:
        run_all(function, items[:1], **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(export, "run_all", interrupted)
        with pytest.raises(KeyboardInterrupt):
            simulate(tmp_path / "e", patients=2, seed=1)
    assert not (tmp_path / "e/cohort.json").exists()
    assert (tmp_path / "e/images/north/north-00001-1_mask.png").exists()
    with pytest.raises(DataError, match=r"another simulated cohort in .* \(seed = 1\), expected seed = 2"):
        simulate(tmp_path / "e", patients=2, seed=2)
    simulate(tmp_path / "e", patients=2, seed=1)
    assert (tmp_path / "e/cohort.json").exists()


def test_failed_image_sets_leave_the_cohort_unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(function: object, items: list[object], **options: object) -> list[Outcome[float]]:
        return [Outcome(i, None, CaseError(ExclusionCode.WORKER_DIED, "died")) for i in range(len(items))]

    monkeypatch.setattr(export, "run_all", failing)
    with pytest.raises(DataError, match="2 of 2 image sets not rendered \\(first: north-00001-1\\)"):
        simulate(tmp_path / "f", patients=2, seed=1)
    assert not (tmp_path / "f/cohort.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": SEED + 1}, r"\(seed = 12\), expected seed = 13"),
        ({"patients": 8}, r"\(patients = 7\), expected patients = 8"),
        ({"centres": ["north"]}, r"expected centres = \['north'\]"),
        ({"coefficients": Coefficients(sln_rim=0.0)}, "coefficients = "),
    ],
)
def test_another_cohort_in_the_folder_is_refused(folder: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        simulate(folder, **{"patients": PATIENTS, "seed": SEED, **arguments})
    assert (folder / "cohort.json").exists()


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="not an empty folder"):
        simulate(tmp_path, patients=2, seed=1)
    with pytest.raises(DataError, match="not an empty folder"):
        simulate(tmp_path / "notes.txt", patients=2, seed=1)
    (tmp_path / "cohort.json").write_text("[1]")
    with pytest.raises(DataError, match="another simulated cohort"):
        simulate(tmp_path, patients=2, seed=1)


@pytest.mark.parametrize(
    ("patients", "centres", "message"),
    [
        (1, ["north", "south"], "1 patients for 2 centres"),
        (0, ["north"], "0 patients for 1 centres"),
        (2, ["west"], "unknown centre 'west', expected one of: north, south"),
    ],
)
def test_impossible_cohorts_are_refused(tmp_path: Path, patients: int, centres: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        simulate(tmp_path / "g", patients=patients, seed=1, centres=centres)
    assert not (tmp_path / "g").exists()
