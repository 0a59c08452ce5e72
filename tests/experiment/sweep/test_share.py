"""Shared steps: done once, and never where a setting that decides them differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.experiment.sweep.made import made_config
from usdlr.core.files import write_text
from usdlr.core.journal import Journal
from usdlr.experiment.sweep.share import start_from_others
from usdlr.imaging.store import write_png

STEPS = {
    "ingest": ["ingest/cases.parquet", "ingest/exclusions.csv"],
    "fingerprints": ["work/fingerprints.parquet"],
    "features": ["features.parquet"],
    "cohort": ["cases.parquet", "exclusions.csv", "splits.csv", "work/crops.npz", "work/design.parquet"],
    "baselines": ["work/baselines.parquet"],
    "fit-0-sln": ["work/fits/0/sln/network_0.safetensors"],
}
FEATURES = ["ingest", "fingerprints", "features"]
COHORT = [*FEATURES, "cohort"]
PLAIN = [*COHORT, "baselines"]


def settings(*overrides: str) -> dict[str, Any]:
    """A resolved configuration as plain data."""
    return made_config(*overrides).as_dict()


def finished(folder: Path, config: dict[str, Any], steps: int = len(STEPS)) -> Path:
    """A run whose first steps are done, with the journal's own records."""
    import yaml

    journal = Journal(folder, "versions")
    write_text(folder / "config.yaml", yaml.safe_dump(config))
    write_text(folder / "ingest" / "images" / "a.png", "picture")
    for table in ("features", "cases", "exclusions", "splits"):
        write_text(folder / f"{table}.provenance.json", "{}")
    for name, outputs in list(STEPS.items())[:steps]:
        for output in outputs:
            write_text(folder / output, f"{name} of {folder.name}")
        journal.mark_done(name, name, [folder / output for output in outputs])
    return folder


@pytest.mark.parametrize(
    ("override", "shared"),
    [
        ("--model.dropout=0.4", PLAIN),
        ("--model.backbone=test_vit", PLAIN),
        ("--model.fusion=late", PLAIN),
        ("--fit.epochs=3", PLAIN),
        ("--selection.max_features=3", PLAIN),
        ("--fit.loss=bce", PLAIN),
        ("--views=2", PLAIN),
        ("--baselines=[size]", COHORT),
        ("--seed=5", FEATURES),
        ("--crop.size_px=128", FEATURES),
        ("--crop.policy=fixed", FEATURES),
        ("--model.rois=[intratumoral]", FEATURES),
        ("--splits.folds=4", FEATURES),
        ("--data.clinical=[tumour_size_mm]", FEATURES),
        ("--radiomics.margin_mm=3.0", ["ingest", "fingerprints"]),
        ("--engine=pyradiomics", ["ingest", "fingerprints"]),
        ("--data.sln.column=x", ["ingest"]),
        ("--data.ingest.repair_masks=false", []),
        ("--data.centre=manifest", []),
    ],
)
def test_the_steps_whose_settings_agree(override: str, shared: list[str], tmp_path: Path) -> None:
    other, target = finished(tmp_path / "other", settings()), tmp_path / "target"
    source = start_from_others(settings(override), target, [other])
    if not shared:
        assert source is None
        assert not target.exists()
        return
    journal = Journal(target, "versions")
    assert source == other
    assert [name for name in STEPS if journal.is_done(name, name)] == shared
    assert (target / "ingest" / "images" / "a.png").samefile(other / "ingest" / "images" / "a.png")
    assert (target / "cases.parquet").exists() == ("cohort" in shared)
    assert not (target / "work" / "fits").exists()
    assert not list(tmp_path.glob(".*"))


def test_the_journal_decides_about_other_versions(tmp_path: Path) -> None:
    target = tmp_path / "target"
    start_from_others(settings(), target, [finished(tmp_path / "other", settings())])
    assert not Journal(target, "newer versions").is_done("ingest", "ingest")
    assert not Journal(target, "versions").is_done("ingest", "another source")


def test_the_run_with_most_in_common_gives(tmp_path: Path) -> None:
    others = [
        finished(tmp_path / "a", settings("--radiomics.margin_mm=3.0")),
        finished(tmp_path / "b", settings("--model.dropout=0.4")),
        finished(tmp_path / "c", settings(), steps=1),
        tmp_path / "nowhere",
    ]
    assert start_from_others(settings(), tmp_path / "target", others) == tmp_path / "b"


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    other = finished(tmp_path / "other", settings())
    (tmp_path / "target").mkdir()
    assert start_from_others(settings(), tmp_path / "target", [other]) is None
    (other / "features.parquet").unlink()
    assert start_from_others(settings(), tmp_path / "new", [other]) == other
    assert not (tmp_path / "new" / "features.provenance.json").exists()


def test_writing_in_one_run_never_changes_the_other(tmp_path: Path) -> None:
    import numpy as np

    other = finished(tmp_path / "other", settings())
    write_png(other / "ingest" / "images" / "b.png", np.zeros((4, 4), np.uint8))
    before = (other / "ingest" / "images" / "b.png").read_bytes()
    start_from_others(settings(), tmp_path / "target", [other])
    write_png(tmp_path / "target" / "ingest" / "images" / "b.png", np.ones((4, 4), np.uint8))
    write_text(tmp_path / "target" / "features.parquet", "again")
    assert (other / "ingest" / "images" / "b.png").read_bytes() == before
    assert (other / "features.parquet").read_text() == "features of other"
