"""``usdlr embed``: a table that can be trusted, and one line for every mistake."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from usdlr.cli.main import main
from usdlr.core import tables
from usdlr.core.hashing import file_hash
from usdlr.inference.bundle import load_bundle
from usdlr.inference.embeddings import embeddings_table


def words(run: Path, out: Path, *more: str) -> list[str]:
    return ["embed", "--bundle", str(run / "bundle"), "--cases", str(run / "cases.parquet"), "--out", str(out), *more]


def test_embeds_a_cohort_with_the_predictions_ids(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "embeddings.parquet"
    assert main([*words(run_folder, out, "--member", "1", "--stage", "nsln"), "--jobs", "1"]) == 0
    said = capsys.readouterr().out
    assert "not a medical device" in said
    found = embeddings_table("axilla").read(out)
    predictions = tables.PREDICTIONS.read(run_folder / "predictions.parquet")
    own = predictions.query("fold == '1' and stage == 'nsln'").reset_index(drop=True)
    ids = ["patient_id", "side", "stage", "fold", "split", "model_id"]
    pd.testing.assert_frame_equal(found[ids], own[ids])
    absent = found.filter(like="embedding.elasto.intratumoral.").isna().all(axis=1)
    np.testing.assert_array_equal(absent, own["contribution.elasto.intratumoral"].isna())
    taught = int(own["split"].isin(["train", "tuning"]).sum())
    assert f"{taught} of {len(own)} rows are of patients who taught these networks" in said
    beside = json.loads((tmp_path / "embeddings.provenance.json").read_text())
    bundle = load_bundle(run_folder / "bundle", member="1")
    assert beside["config"] == {"bundle": bundle.bundle_id, "member": "1", "stage": "nsln", "by": "axilla"}
    assert beside["inputs"]["cases.parquet"] == file_hash(run_folder / "cases.parquet")
    assert (tmp_path / "embeddings.exclusions.csv").is_file()
    assert bundle.member.name == "1"


def test_embeds_every_image_alone(run_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "images.parquet"
    assert main([*words(run_folder, out, "--by", "image"), "--jobs", "1"]) == 0
    found, cases = embeddings_table("image").read(out), tables.CASES.read(run_folder / "cases.parquet")
    assert list(found["image_id"]) == list(cases["image_id"])
    assert set(found["stage"]) == {"sln"}
    assert set(found["fold"]) == {"bundle"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--stage", "nsn"), "found --stage nsn, expected sln or nsln; did you mean 'nsln'?"),
        (("--by", "patient"), "found by = 'patient', expected axilla or image"),
        (("--out", "table.csv"), "expected a name that ends in .parquet"),
        (("--member", "9"), "found no member '9'"),
    ],
)
def test_mistakes_are_one_line(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], message: str
) -> None:
    assert main([*words(run_folder, tmp_path / "out.parquet"), *more]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
