from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
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
from usdlr.imaging.store import read_mask
from usdlr.ingest.pipeline import ingest
from usdlr.simulate import export
from usdlr.simulate.centres import CENTRES
from usdlr.simulate.cohort import draw_cohort
from usdlr.simulate.export import simulate
from usdlr.simulate.latents import LATENTS
from usdlr.simulate.plan import ExportFormat
from usdlr.simulate.scenario import SCENARIOS

PATIENTS, SEED = 7, 12
# Everything a centre may state and nothing that only the simulation knows.
COLUMNS = (
    "centre_id,patient_id,side,site,lesion_id,image_id,bmode_file,row_mm,col_mm,vendor,device,view,exam_day,"
    "mask_file,reader_id,mask_file_2,reader_id_2,elasto_file,elasto_layout,elasto_kind,elasto_unit,elasto_pane,"
    "elasto_palette,elasto_low,elasto_high,elasto_step,tumour_size_mm,age_years,birads,cn_stage,neoadjuvant,"
    "days_us_to_surgery,grade_core_biopsy,sln_positive,nsln_positive,positive_nodes,removed_nodes,"
    "sln_positive_count,sln_removed_count,sln_reference,sln_deposit,axillary_surgery,dfs_months,dfs_event"
)
# Often two views, two lesions, two readers and strain, so that a few patients show everything.
BUSY = replace(
    CENTRES["north"],
    second_view_rate=0.6,
    second_lesion_rate=0.6,
    second_reader_rate=0.6,
    elastography=replace(CENTRES["north"].elastography, missing_rate=0.35, strain_rate=0.4),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("cohort") / "a", patients=PATIENTS, seed=SEED)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve patients of a centre that does everything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CENTRES, "north", BUSY)
        return simulate(tmp_path_factory.mktemp("busy") / "a", patients=12, seed=2, centres=["north"])


@pytest.fixture(scope="module")
def manifest(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "manifest.csv", dtype="str", keep_default_na=False)


def hashes(folder: Path) -> dict[str, str]:
    files = [*folder.glob("images/*/*"), folder / "manifest.csv", folder / "cohort.json"]
    return {str(path.relative_to(folder)): file_hash(path) for path in files}


@pytest.mark.parametrize("export", list(ExportFormat))
def test_two_processes_write_the_same_bytes(export: ExportFormat, tmp_path: Path) -> None:
    one, two = (
        simulate(tmp_path / f"{jobs}", patients=4, seed=SEED, centres=["south", "overseas"], export=export, jobs=jobs)
        for jobs in (1, 2)
    )
    assert hashes(one) == hashes(two)
    assert len(list(one.glob("images/*/*.dcm"))) == (export == "dicom") * len(list(one.glob("images/*/*_mask.png")))
    for name in ("truth.parquet", "truth_images.parquet"):
        assert table_hash(pd.read_parquet(one / name)) == table_hash(pd.read_parquet(two / name))
    assert not (one / ".cohort-started.json").exists()


def test_manifest_has_the_agreed_columns_and_ids(folder: Path, manifest: pd.DataFrame) -> None:
    assert ",".join(manifest.columns) == COLUMNS
    assert manifest["patient_id"].drop_duplicates().tolist() == ["00001", "00002", "00003", "00004"]
    truth = pd.read_parquet(folder / "truth.parquet")["patient_id"]
    expected = [f"simulated-north-{n:05d}" for n in range(1, 5)] + [f"simulated-south-{n:05d}" for n in range(1, 4)]
    assert truth.tolist() == expected
    assert (manifest["image_id"].str.rsplit("-", n=1).str[0]).drop_duplicates().tolist() == expected


def test_every_row_of_every_table_says_that_it_is_simulated(folder: Path, tmp_path: Path) -> None:
    result = ingest(folder, "simulated", tmp_path / "tables")
    tables = {
        "manifest": pd.read_csv(folder / "manifest.csv"),
        "truth": pd.read_parquet(folder / "truth.parquet"),
        "truth_images": pd.read_parquet(folder / "truth_images.parquet"),
        "cases": result.cases,
        "contours": pd.read_csv(tmp_path / "tables/contours.csv"),
    }
    for name, table in tables.items():
        ids = [column for column in ("centre_id", "image_id", "patient_id") if column in table]
        assert len(table), name
        assert table[ids].astype(str).apply(lambda column: column.str.startswith("simulated-")).any(axis=1).all(), name


def test_views_lesions_and_readers(busy: Path, tmp_path: Path) -> None:
    truth = draw_cohort(BUSY, 12, 2).set_index("patient_id")
    images = pd.read_parquet(busy / "truth_images.parquet")
    assert len(images) == int(((1 + truth["has_second_view"]) * (1 + truth["has_second_lesion"])).sum())
    for patient, rows in images.groupby("patient_id"):
        person = truth.loc[str(patient)]
        assert set(rows["lesion_id"]) == ({"1", "2"} if person["has_second_lesion"] else {"1"})
        assert rows.groupby("lesion_id")["view"].nunique().eq(1 + person["has_second_view"]).all()
        assert rows.loc[rows["lesion_id"] == "1", "size_mm"].eq(person["size_mm"]).all()
        assert (rows.loc[rows["lesion_id"] == "2", "size_mm"] < person["size_mm"]).all()
    result = ingest(busy, "simulated", tmp_path / "tables")
    assert result.exclusions.empty
    cases = result.cases.assign(source_id=result.cases["image_id"].str[:-13])
    assert cases["source_id"].tolist() == images["source_id"].tolist()
    assert cases["lesion_id"].tolist() == images["lesion_id"].tolist()
    kinds = truth["is_strain"].map({True: "strain", False: "swe"}).where(truth["has_elasto"])
    assert cases["elasto_kind"].fillna("none").tolist() == kinds.loc[images["patient_id"]].fillna("none").tolist()
    assert set(cases["elasto_state"]) == {"measured", "strain_only", "missing"}
    contours = pd.read_csv(tmp_path / "tables/contours.csv", dtype="str")
    both = contours.groupby(contours["image_id"].str[:-13])["reader_id"].agg(list)
    twice = truth["has_second_reader"].loc[images["patient_id"]].to_numpy()
    assert [
        both[name] == (["n1", "n2"] if two else ["n1"]) for name, two in zip(images["source_id"], twice, strict=True)
    ]
    first, second = (
        contours[contours["reader_id"] == name].set_index("image_id")["mask_path"] for name in ("n1", "n2")
    )
    for image, path in second.items():
        one, two = (read_mask(tmp_path / "tables" / name) for name in (first[str(image)], path))
        overlap = (one & two).sum() / (one | two).sum()
        assert 0.1 < overlap < 1.0
    # The size of an axilla is its largest lesion's, over the views; the same in every row.
    assert cases.groupby("patient_id")["tumour_size_mm"].nunique().eq(1).all()


def test_pictures_of_one_lesion_differ_from_view_to_view(busy: Path) -> None:
    images = pd.read_parquet(busy / "truth_images.parquet")
    pair = next(rows for _, rows in images.groupby(["patient_id", "lesion_id"]) if len(rows) == 2)
    one, two = (
        cv2.imread(str(p), 0) for p in (next(busy.glob(f"images/*/{s[:25]}*_bmode.png")) for s in pair["source_id"])
    )
    assert one is not None
    assert two is not None
    rows = min(len(one), len(two))
    assert abs(np.corrcoef(one[:rows].ravel(), two[:rows].ravel())[0, 1]) < 0.9


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
        centre = CENTRES[str(row.centre_id).removeprefix("simulated-")]
        assert bmode is not None
        assert mask is not None
        assert bmode.dtype == mask.dtype == np.uint8
        assert bmode.shape == mask.shape
        assert bmode.shape[1] == centre.cols
        assert centre.shown_depth[0] * centre.rows - 1 < bmode.shape[0] <= centre.rows
        assert set(np.unique(mask)) == {0, 255}
        pixels = np.argwhere(mask) * [float(str(row.row_mm)), float(str(row.col_mm))]
        hull = pixels[cv2.convexHull(pixels.astype(np.float32), returnPoints=False).ravel()]
        longest = float(np.linalg.norm(hull[:, None] - hull[None], axis=2).max())
        size = float(str(row.tumour_size_mm))  # the axilla's: the largest over lesions and views
        alone = (manifest["patient_id"] + manifest["centre_id"]).eq(str(row.patient_id) + str(row.centre_id)).sum() == 1
        assert (abs(size - longest) < 0.3) if alone else (size > longest - 0.3)
        if not row.elasto_file:
            assert (row.elasto_kind, row.elasto_unit) == ("", "")
            assert not list(folder.glob(f"images/*/{row.image_id}_swe.png"))
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
    found = manifest[manifest["centre_id"] == "simulated-north"].drop_duplicates("patient_id").reset_index()
    for name in ("sln_positive", "nsln_positive", "positive_nodes", "sln_deposit"):
        expected = ["" if pd.isna(v) else str(v).lower() for v in drawn[name].astype(object)]
        assert found[name].tolist() == expected
    assert (found["elasto_file"] != "").tolist() == drawn["has_elasto"].tolist()


def test_reader_size_is_near_the_true_size(folder: Path, manifest: pd.DataFrame) -> None:
    truth = pd.read_parquet(folder / "truth.parquet").set_index("patient_id")["size_mm"]
    stated = manifest.drop_duplicates(["centre_id", "patient_id"])
    ids = stated["centre_id"] + "-" + stated["patient_id"]
    difference = stated["tumour_size_mm"].astype(float).to_numpy() - truth.loc[ids].to_numpy()
    assert np.abs(difference).max() < 3.5


def test_cohort_file_tells_how_it_was_made(folder: Path) -> None:
    cohort = json.loads((folder / "cohort.json").read_text())
    assert {key: cohort[key] for key in cohort if key not in ("scenario", "renderer", "truth")} == {
        "generator": "usdlr simulate",
        "simulated": True,
        "schema": 2,
        "seed": SEED,
        "patients": PATIENTS,
        "centres": ["north", "south"],
        "format": "png",
    }
    assert cohort["scenario"]["name"] == "default"
    assert cohort["truth"] == {name: file_hash(folder / name) for name in ("truth.parquet", "truth_images.parquet")}
    assert cohort["scenario"]["sln"]["terms"]["rim_kpa"] == 1.05


def test_truth_has_provenance_and_probabilities(folder: Path) -> None:
    truth = pd.read_parquet(folder / "truth.parquet")
    assert {"patient_id", "side", "p_sln", "p_nsln", "rim_kpa", "halo_db"} <= set(truth.columns)
    assert ((truth[["p_sln", "p_nsln"]] > 0) & (truth[["p_sln", "p_nsln"]] < 1)).all(axis=None)
    images = pd.read_parquet(folder / "truth_images.parquet")
    assert {f"measured.{name}" for name in LATENTS} <= set(images.columns)
    assert set(images["patient_id"]) == set(truth["patient_id"])
    for name, table in (("truth", truth), ("truth_images", images)):
        provenance = json.loads((folder / f"{name}.provenance.json").read_text())
        assert provenance["content_hash"] == table_hash(table)
        assert provenance["seed"] == SEED


def test_no_column_of_the_truth_reaches_the_manifest_or_the_cases(folder: Path, tmp_path: Path) -> None:
    """A label or a latent among the inputs would make every figure worthless."""
    hidden = {*LATENTS, "p_sln", "p_nsln", "sln_true", "nsln_true", "aggressiveness", "dfs_true_months"}
    result = ingest(folder, "simulated", tmp_path / "tables")
    for table in (pd.read_csv(folder / "manifest.csv"), result.cases):
        assert not hidden & {str(name).removeprefix("measured.") for name in table.columns}


def test_another_scenario_changes_the_outcome_and_not_the_images(folder: Path, tmp_path: Path) -> None:
    default = SCENARIOS["default"]
    certain = replace(default, name="certain", sln=replace(default.sln, intercept=50.0))
    sure = simulate(tmp_path / "c", patients=2, seed=SEED, scenario=certain)
    assert set(pd.read_csv(sure / "manifest.csv", dtype="str")["sln_positive"]) == {"true"}
    name = "images/north/simulated-north-00001-a_bmode.png"
    assert file_hash(sure / name) == file_hash(folder / name)


@pytest.mark.parametrize(
    "record", ["{", "[]", '{"cells": {}}', '{"cells": 3, "size_mm": 1, "measured": {}, "hashes": {"x": "y"}}']
)
def test_a_damaged_record_is_rendered_again(tmp_path: Path, record: str) -> None:
    out = simulate(tmp_path / "r", patients=1, seed=1, centres=["north"])
    before = hashes(out)
    path = out / ".rendered/north/simulated-north-00001-a.json"
    whole = path.read_text()
    path.write_text(record)
    simulate(out, patients=1, seed=1, centres=["north"])
    assert hashes(out) == before
    assert path.read_text() == whole


def test_a_rerun_mends_and_renders_nothing_twice(tmp_path: Path) -> None:
    out = simulate(tmp_path / "d", patients=3, seed=1)
    before = hashes(out)
    times = {path: path.stat().st_mtime_ns for path in out.glob("images/*/*.png")}
    lost, damaged = (
        out / "images/north/simulated-north-00001-a_mask.png",
        out / "images/south/simulated-south-00001-a_bmode.png",
    )
    lost.unlink()
    damaged.write_bytes(damaged.read_bytes()[:100])
    time.sleep(0.01)
    simulate(out, patients=3, seed=1)
    assert hashes(out) == before
    untouched = out / "images/north/simulated-north-00002-a_bmode.png"
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
    assert (tmp_path / "e/images/north/simulated-north-00001-a_mask.png").exists()
    with pytest.raises(DataError, match=r"another simulated cohort in .* \(seed = 1\), expected seed = 2"):
        simulate(tmp_path / "e", patients=2, seed=2)
    simulate(tmp_path / "e", patients=2, seed=1)
    assert (tmp_path / "e/cohort.json").exists()


def test_failed_image_sets_leave_the_cohort_unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(function: object, items: list[object], **options: object) -> list[Outcome[Any]]:
        return [Outcome(i, None, CaseError(ExclusionCode.WORKER_DIED, "died")) for i in range(len(items))]

    monkeypatch.setattr(export, "run_all", failing)
    with pytest.raises(DataError, match=r"3 of 3 image sets not rendered \(first: simulated-north-00001-a: .*died"):
        simulate(tmp_path / "f", patients=2, seed=1)
    assert not (tmp_path / "f/cohort.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": SEED + 1}, r"\(seed = 12\), expected seed = 13"),
        ({"patients": 8}, r"\(patients = 7\), expected patients = 8"),
        ({"centres": ["north"]}, r"expected centres = \['north'\]"),
        ({"scenario": SCENARIOS["rare"]}, r"scenario = default\), expected scenario = rare"),
        ({"scenario": replace(SCENARIOS["default"], centre_effect=0.0)}, "another scenario of the name default"),
        ({"export": ExportFormat.DICOM}, r"format = png\), expected format = dicom"),
    ],
)
def test_another_cohort_in_the_folder_is_refused(folder: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        simulate(folder, **{"patients": PATIENTS, "seed": SEED, **arguments})
    assert (folder / "cohort.json").exists()


def test_another_renderer_does_not_go_on_where_the_old_one_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half the images of one version and half of another would be a cohort of nothing."""
    out = simulate(tmp_path / "h", patients=1, seed=1, centres=["north"])
    monkeypatch.setitem(CENTRES, "north", replace(CENTRES["north"], gain_db=20.0))
    with pytest.raises(DataError, match=r"another simulated cohort in .*\(renderer = .*choose another folder"):
        simulate(out, patients=1, seed=1, centres=["north"])


def test_what_a_screen_cannot_show_is_not_measured_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The colour bar overseas ends at 180 kPa; its patients are made stiff here."""
    stiff = replace(CENTRES["overseas"], case_mix={"stiffness_kpa": 2.0})
    monkeypatch.setitem(CENTRES, "overseas", stiff)
    measured = []
    for kind in (ExportFormat.PNG, ExportFormat.DICOM):
        out = simulate(tmp_path / kind, patients=6, seed=2, centres=["overseas"], export=kind)
        measured.append(pd.read_parquet(out / "truth_images.parquet")["measured.stiffness_kpa"])
    png, dicom = measured
    assert png.max() > 180
    assert dicom.max() < 190  # what lies beneath is estimated from the values that are left


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="not an empty folder"):
        simulate(tmp_path, patients=2, seed=1)
    with pytest.raises(DataError, match=r"found the file .*notes\.txt, expected a folder"):
        simulate(tmp_path / "notes.txt", patients=2, seed=1)
    (tmp_path / "cohort.json").write_text("[1]")
    with pytest.raises(DataError, match="another simulated cohort"):
        simulate(tmp_path, patients=2, seed=1)


@pytest.mark.parametrize(
    ("patients", "centres", "message"),
    [
        (1, ["north", "south"], "1 patients for 2 centres"),
        (0, ["north"], "0 patients for 1 centres"),
        (2, ["wst"], "unknown centre 'wst', expected one of: north, south, west"),
    ],
)
def test_impossible_cohorts_are_refused(tmp_path: Path, patients: int, centres: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        simulate(tmp_path / "g", patients=patients, seed=1, centres=centres)
    assert not (tmp_path / "g").exists()
