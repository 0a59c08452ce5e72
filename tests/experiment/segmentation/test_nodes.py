"""Outlines of lymph nodes: networks of their own, learned from images of the axilla alone, used for those alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import ROOT
from usdlr.cli.main import main
from usdlr.core import tables
from usdlr.core.files import read_json
from usdlr.core.types import MaskSource, Site
from usdlr.inference.member import image_key
from usdlr.inference.segmentation import load_segmenter
from usdlr.inference.segmentation.cases import outline_cases
from usdlr.ingest.pipeline import ingest
from usdlr.ingest.settings import IngestSettings
from usdlr.simulate.export import simulate
from usdlr.simulate.scenario_file import find_scenario

CONFIG = ROOT / "experiments" / "lee2021" / "outlines.yaml"
OVERLAY = ROOT / "experiments" / "segmentation_busbra" / "outlines_ci.yaml"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight simulated patients with images of tumour and nodes."""
    folder = tmp_path_factory.mktemp("nodes") / "cohort"
    scenario = find_scenario(str(ROOT / "configs" / "scenario" / "node_images.yaml"))
    simulate(folder, patients=8, seed=4, jobs=1, scenario=scenario)
    return folder


@pytest.fixture(scope="module")
def run(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    words = [str(CONFIG), "--config", str(OVERLAY), "--data.root", str(cohort), "--out", str(out)]
    assert main(["fit_segmenter", *words, "--data.site", "axilla", "--fit.epochs", "30"]) == 0
    return out


def test_nodes_alone_are_learned(run: Path, cohort: Path, tmp_path: Path) -> None:
    ingest(cohort, "simulated", tmp_path / "all", jobs=1, settings=IngestSettings())
    everything = tables.CASES.read(tmp_path / "all" / "cases.parquet")
    used, lost = tables.CASES.read(run / "ingest" / "cases.parquet"), tables.EXCLUSIONS.read(run / "exclusions.csv")
    assert set(everything["site"]) == {"tumour", "axilla"}
    assert set(used["site"]) == {"axilla"}
    assert set(used["image_id"]) | set(lost["source_id"]) == set(everything["image_id"]), "nobody is dropped in silence"
    assert lost["sentence"].str.contains("expected the axilla, whose outlines are learned here").all()
    assert read_json(run / "metrics.json")["sources"]["development"]["closer"]["dice"]["n"] == len(used)
    segmenter = load_segmenter(run / "bundle")
    assert segmenter.site is Site.AXILLA
    assert segmenter.learned == {image_key(str(name)) for name in used["image_id"]}


def test_nodes_alone_are_outlined(run: Path, cohort: Path, tmp_path: Path) -> None:
    ingest(cohort, "simulated", tmp_path / "tables", jobs=1, settings=IngestSettings())
    cases = tables.CASES.read(tmp_path / "tables" / "cases.parquet")
    found = outline_cases(load_segmenter(run / "bundle"), cases, tmp_path / "tables", tmp_path / "out", instead=True)
    source = found.cases.groupby("site")["mask_source"].unique()
    assert list(source["tumour"]) == [str(MaskSource.READER)]
    drawn = found.cases[found.cases["mask_source"] == str(MaskSource.AUTOMATIC)]
    assert set(drawn["site"]) <= {"axilla"}
    lost = set(found.exclusions["source_id"])
    assert set(cases.loc[cases["site"] == "axilla", "image_id"]) == lost | set(
        drawn.loc[~drawn["image_id"].str.contains("-lesion"), "image_id"]
    )
    assert found.learned == (cases["site"] == "axilla").sum()


def test_a_source_without_nodes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    simulate(tmp_path / "tumours", patients=4, seed=4, jobs=1)
    words = [str(CONFIG), "--config", str(OVERLAY), "--data.root", str(tmp_path / "tumours")]
    assert main(["fit_segmenter", *words, "--data.site", "axilla", "--out", str(tmp_path / "run")]) == 2
    assert "found no image of the axilla among" in capsys.readouterr().err
    assert main(["fit_segmenter", *words, "--data.site", "breast", "--out", str(tmp_path / "other")]) == 2
    assert "expected tumour or axilla" in capsys.readouterr().err
