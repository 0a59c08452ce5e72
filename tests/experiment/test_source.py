"""A run on outlines by software: every tumour's, of patients whom the software does not know, and said in every row."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from tests.discs import NETWORK, RULES
from tests.tiny import tiny_config
from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError, LeakError
from usdlr.core.files import read_json
from usdlr.core.types import MaskSource
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.run import compare_baselines
from usdlr.experiment.source import READERS, ingest_source
from usdlr.imaging.store import read_mask
from usdlr.inference.segmentation import load_segmenter, write_segmenter
from usdlr.simulate.export import simulate


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few") / "cohort"
    simulate(folder, patients=4, seed=8, jobs=1)
    return folder


def _config(root: Path, bundle: Path, *more: str) -> ExperimentConfig:
    return tiny_config(root, "--data.segmenter", str(bundle), *more)


def test_every_tumour_is_the_softwares(few: Path, disc_bundle: Path, tmp_path: Path) -> None:
    ingest_source(_config(few, disc_bundle), few, "simulated", tmp_path / "ingest")
    found = tables.CASES.read(tmp_path / "ingest" / "cases.parquet")
    readers = tables.CASES.read(tmp_path / f"ingest{READERS}" / "cases.parquet")
    lost = tables.EXCLUSIONS.read(tmp_path / "ingest" / "exclusions.csv")
    assert set(found["mask_source"]) == {str(MaskSource.AUTOMATIC)}
    assert set(found["segmenter_id"]) == {load_segmenter(disc_bundle).segmenter_id}
    assert set(readers["mask_source"]) == {str(MaskSource.READER)}
    # Nobody is dropped in silence: each image has an outline or a reason.
    assert set(readers["image_id"]) <= set(found["image_id"]) | set(lost["source_id"])
    outlined = found.set_index("image_id")
    for row in readers.itertuples():
        if row.image_id in outlined.index:
            new = read_mask(tmp_path / "ingest" / str(outlined.at[row.image_id, "mask_path"]))
            assert not np.array_equal(new, read_mask(tmp_path / f"ingest{READERS}" / str(row.mask_path)))
    # What readers drew is there too, with its files.
    drawn = tables.CONTOURS.read(tmp_path / "ingest" / "contours.csv")
    assert len(drawn)
    assert all((tmp_path / "ingest" / str(name)).is_file() for name in drawn["mask_path"])
    outcomes = ["sln_positive", "nsln_positive"]
    pd.testing.assert_frame_equal(
        found.groupby("patient_id")[outcomes].first(),
        readers[readers["patient_id"].isin(found["patient_id"])].groupby("patient_id")[outcomes].first(),
    )


def test_software_that_finds_nothing_stops_the_run(few: Path, disc_bundle: Path, tmp_path: Path) -> None:
    members = {path.stem: load_file(path) for path in sorted((disc_bundle / "members").iterdir())}
    rules = replace(RULES, smallest_mm=90.0)
    write_segmenter(tmp_path / "blind", members=members, network=NETWORK, rules=rules, expected=None, card={})
    with pytest.raises(DataError, match="in any of 7 image sets, expected one in most; of most is said"):
        ingest_source(_config(few, tmp_path / "blind"), few, "simulated", tmp_path / "ingest")


def _knowing(bundle: Path, target: Path, image_id: str) -> Path:
    """The bundle, had its networks learned from an image."""
    members = {path.stem: load_file(path) for path in sorted((bundle / "members").iterdir())}
    write_segmenter(
        target, members=members, network=NETWORK, rules=RULES, expected=None, card={}, learned=[image_id, "other"]
    )
    return target


def test_software_that_knows_a_patient_is_refused(few: Path, disc_bundle: Path, tmp_path: Path) -> None:
    ingest_source(tiny_config(few), few, "simulated", tmp_path / "plain")
    cases = tables.CASES.read(tmp_path / "plain" / "cases.parquet")
    bundle = _knowing(disc_bundle, tmp_path / "knowing", str(cases["image_id"].iloc[-1]))
    assert str(cases["image_id"].iloc[-1]) not in (bundle / "segmenter.json").read_text(encoding="utf-8")
    with pytest.raises(LeakError, match=r"found 1 of 4 patients among those from whom data\.segmenter"):
        ingest_source(_config(few, bundle), few, "simulated", tmp_path / "ingest")


def test_the_bundles_content_decides_and_not_its_path(few: Path, disc_bundle: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(disc_bundle, tmp_path / "moved"))
    here, there = _config(few, disc_bundle), _config(few, moved)
    assert here.identity() == there.identity() != tiny_config(few).identity()
    assert "segmenter" not in tiny_config(few).identity()["data"]


def test_a_wrong_bundle_is_refused_before_any_work(few: Path, run_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(DataError, match="usdlr fit_segmenter"):
        compare_baselines(_config(few, run_folder / "bundle"), out)
    assert not out.exists()


def test_a_run_on_outlines_by_software(cohort: Path, disc_bundle: Path, tmp_path: Path) -> None:
    """Measured, divided, cropped and scored like any other; another run's folder is not continued."""
    out = tmp_path / "run"
    config = replace(_config(cohort, disc_bundle), baselines=["size"])
    scores = compare_baselines(config, out)
    cases = tables.CASES.read(out / "cases.parquet")
    assert set(cases["mask_source"]) == {str(MaskSource.AUTOMATIC)}
    assert set(scores["patient_id"]) <= set(cases["patient_id"])
    assert scores["score"].notna().all()
    told = read_json(out / "cases.provenance.json")
    assert told["inputs"]["segmenter"] == load_segmenter(disc_bundle).segmenter_id
    with pytest.raises(ConfigError, match=r"data\.segmenter"):
        compare_baselines(replace(tiny_config(cohort), baselines=["size"]), out)
