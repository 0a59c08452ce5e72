"""Images of lymph nodes through a whole run: in blocks of their own, never among what is measured of the tumour."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.tiny import tiny_config
from usdlr.cli.main import main
from usdlr.core import tables
from usdlr.core.files import read_json
from usdlr.core.types import ExclusionCode, Stage
from usdlr.core.units import Spacing
from usdlr.experiment.run import run_experiment
from usdlr.imaging.mask import LesionMask, measure
from usdlr.imaging.store import read_mask, read_png, write_png
from usdlr.simulate.export import simulate
from usdlr.simulate.scenario import Logit
from usdlr.simulate.scenario_file import find_scenario

SCENARIO = Path(__file__).resolve().parents[2] / "configs" / "scenario" / "node_images.yaml"
PATIENTS = 70
NODE_BLOCKS = ["contribution.bmode.intratumoral@axilla", "contribution.elasto.peritumoral@axilla"]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort in which the first node is drawn far larger than any tumour, and one axilla has lost its tumour."""
    folder = tmp_path_factory.mktemp("nodes") / "cohort"
    stated = find_scenario(str(SCENARIO))
    frequent = replace(stated, name="frequent", sln=Logit(0.4, stated.sln.terms), nsln=Logit(-0.4, stated.nsln.terms))
    simulate(folder, patients=PATIENTS, seed=6, scenario=frequent, jobs=1)
    manifest = pd.read_csv(folder / "manifest.csv", dtype="str", keep_default_na=False)
    nodes = manifest[manifest["site"] == "axilla"]
    first, lost = nodes["patient_id"].unique()[:2]
    outline = folder / nodes["mask_file"].iloc[0]
    mask = np.zeros_like(read_png(outline, ExclusionCode.MASK_MISSING, ExclusionCode.MASK_UNREADABLE))
    mask[20:-20, 4:-4] = 255
    write_png(outline, mask)
    keep = ~((manifest["patient_id"] == lost) & (manifest["site"] == "tumour"))
    manifest[keep].to_csv(folder / "manifest.csv", index=False)
    for name in ("cohort.json", "truth.parquet", "truth_images.parquet"):
        (folder / name).unlink()
    (folder.parent / "who.txt").write_text(f"{nodes['centre_id'].iloc[0]}-{first} {nodes['centre_id'].iloc[0]}-{lost}")
    return folder


@pytest.fixture(scope="module")
def run(planted: Path) -> Path:
    out = planted.parent / "run"
    words = ["--data.sites", "[tumour, axilla]", "--fit.epochs", "1", "--baselines", "[size]", "--gallery", "2"]
    words += ["--selection.bootstraps", "0", "--model.auxiliary", "[stiffness]", "--data.centre", "manifest"]
    run_experiment(tiny_config(planted, *words), out)
    return out


def test_a_nodes_diameter_never_becomes_the_tumours_size(run: Path) -> None:
    first, _ = (run.parent / "who.txt").read_text().split()
    cases = tables.CASES.read(run / "cases.parquet")
    mine = cases[cases["patient_id"] == first]
    assert set(mine["site"]) == {"tumour", "axilla"}
    size: dict[str, list[float]] = {}
    for row in mine.to_dict("records"):
        mask = LesionMask(read_mask(run / row["mask_path"]), Spacing(row["row_mm"], row["col_mm"]))
        size.setdefault(row["site"], []).append(measure(mask).longest_diameter_mm)
    assert max(size["axilla"]) > 1.3 * max(size["tumour"])
    np.testing.assert_allclose(mine["tumour_size_mm"].unique(), [max(size["tumour"])], atol=0.05)


def test_nothing_is_measured_of_a_node(run: Path) -> None:
    cases = tables.CASES.read(run / "cases.parquet")
    nodes = set(cases["image_id"][cases["site"] == "axilla"])
    assert len(nodes) > PATIENTS / 2
    measured = tables.FEATURES.read(run / "features.parquet")
    assert not nodes & set(measured["image_id"])
    design = pd.read_parquet(run / "work" / "design.parquet")
    assert design.loc[sorted(nodes)].isna().all(axis=None)
    assert design.loc[sorted(set(cases["image_id"]) - nodes), "clinical.tumour_size_mm"].notna().all()


def test_an_axilla_without_its_tumour_is_left_out_and_counted(run: Path) -> None:
    _, lost = (run.parent / "who.txt").read_text().split()
    excluded = tables.EXCLUSIONS.read(run / "exclusions.csv")
    mine = excluded[excluded["patient_id"] == lost]
    assert len(mine) >= 1
    assert set(mine["code"]) == {"tumour_missing"}
    metrics = read_json(run / "metrics.json")
    orphaned = excluded[excluded["code"] == "tumour_missing"]
    assert metrics["cohort"]["exclusions"]["tumour_missing"] == len(orphaned)
    # A tumour that could not be measured leaves its nodes behind too.
    assert not set(orphaned["patient_id"]) & set(tables.CASES.read(run / "cases.parquet")["patient_id"])
    assert metrics["cohort"]["quality"]["site"]["axilla"] > PATIENTS / 2
    assert lost not in set(tables.DECISIONS.read(run / "decisions.parquet")["patient_id"])


def test_nodes_have_shares_of_their_own_and_may_be_missing(run: Path) -> None:
    cases = tables.CASES.read(run / "cases.parquet")
    found = tables.PREDICTIONS.read(run / "predictions.parquet")
    imaged = found["patient_id"].isin(set(cases["patient_id"][cases["site"] == "axilla"]))
    assert 0 < (~imaged).sum() < len(found) / 2
    share = found[NODE_BLOCKS[0]]
    assert (share.notna() == imaged).all()
    assert found["probability"].between(0, 1).all()
    parts = found[[name for name in found if str(name).startswith("contribution.")]].sum(axis=1)
    np.testing.assert_allclose(parts, found["logit"], atol=1e-9)
    for stage in Stage:
        missing = read_json(run / "bundle" / str(stage) / "interval.json")["missing"]
        assert "axilla" in missing


def test_the_bundle_predicts_the_same_from_files(run: Path, tmp_path: Path) -> None:
    """Whatever the order of the images, and with the axilla that has lost its tumour among them."""
    cases = tables.CASES.read(run / "ingest" / "cases.parquet")
    shuffled = cases.sample(frac=1, random_state=3).reset_index(drop=True)
    for name in [str(column) for column in shuffled if str(column).endswith("_path")]:
        shuffled[name] = shuffled[name].map(lambda path: str(run / "ingest" / path), na_action="ignore")
    from usdlr.core.provenance import Provenance

    fold = sorted((run / "bundle" / "folds").iterdir())[0].name
    before = tables.PREDICTIONS.read(run / "predictions.parquet").query("fold == @fold and split == 'test'")
    tables.CASES.write(shuffled, tmp_path / "cases.parquet", Provenance("test"))
    words = ["predict", "--bundle", str(run / "bundle"), "--cases", str(tmp_path / "cases.parquet"), "--member", fold]
    assert main([*words, "--out", str(tmp_path / "out"), "--jobs", "1"]) == 0
    after = tables.PREDICTIONS.read(tmp_path / "out" / "predictions.parquet")
    keys = ["patient_id", "side", "stage"]
    both = before.merge(after, on=keys, suffixes=("", "_again"), validate="one_to_one")
    assert len(both) == len(before) > 20
    np.testing.assert_allclose(both["probability"], both["probability_again"], atol=1e-6)
    np.testing.assert_allclose(both[NODE_BLOCKS], both[[f"{name}_again" for name in NODE_BLOCKS]], atol=1e-5)
    excluded = tables.EXCLUSIONS.read(tmp_path / "out" / "exclusions.csv")
    assert "tumour_missing" in set(excluded["code"])
