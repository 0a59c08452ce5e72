"""``usdlr features --stability`` on a simulated cohort that was really ingested."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from usdlr.cli.main import main
from usdlr.core import tables
from usdlr.radiomics.stability.repeats import REPEATS, STABILITY


@pytest.fixture(scope="module")
def ingested(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ingested")
    assert main(["ingest", str(cohort), "--centre", "simulated", "--out", str(out)]) == 0
    return out / "cases.parquet"


def test_perturbed_outlines_readers_and_views(
    ingested: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = tables.CASES.read(ingested)
    contours = tables.CONTOURS.read(ingested.with_name("contours.csv"))
    read_twice = contours.groupby("image_id")["reader_id"].nunique()
    twice = cases[cases["image_id"].isin(read_twice.index[read_twice > 1])]
    busiest = twice["centre_id"].value_counts().index[0]
    assert (twice["centre_id"] == busiest).sum() >= 3  # the cohort holds what the test is about
    words = ["--sample", "3", "--jobs", "1", "--radiomics.classes", "[firstorder]", "--radiomics.pixel_mm", "0.3"]
    words += ["--radiomics.rois", "[intratumoral]", "--perturbations.draws", "1", "--perturbations.composed", "0"]
    out = tmp_path / "report"
    capsys.readouterr()
    assert main(["features", str(ingested), "--stability", "--out", str(out), *words]) == 0
    told = capsys.readouterr().out
    assert "perturbation: 3 cases, " in told
    repeats = REPEATS.read(out / "repeats_perturbation.parquet")
    steps = [0, (len(cases) - 1) // 2, len(cases) - 1]
    assert set(repeats["image_id"]) == set(cases["image_id"].iloc[steps])
    readers = REPEATS.read(out / f"repeats_reader_{busiest}.parquet")
    assert readers["rater"].nunique() >= 2
    assert set(readers["image_id"]) <= set(twice["image_id"])
    for path in out.glob("stability_*.parquet"):
        table = STABILITY.read(path)
        assert (table["icc21"].notna() | table["reason"].notna()).all()
        assert path.with_suffix(".svg").read_text(encoding="utf-8").startswith("<?xml")
        assert len(pd.read_csv(out / path.name.replace("stability_", "failures_").replace(".parquet", ".csv"))) == 0
    # An outline moved by less than a millimetre changes the mean intensity of a lesion little.
    stability = STABILITY.read(out / "stability_perturbation.parquet").set_index("feature")
    assert float(stability["icc21"]["bmode.intratumoral.original.firstorder.Mean"]) > 0.8


def test_reports_of_another_table_are_cleared_and_one_report_is_made_at_a_time(
    ingested: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    out.mkdir()
    for name in ("stability_reader_elsewhere.parquet", "failures_view.csv", "notes.txt"):
        (out / name).write_text("earlier", encoding="utf-8")
    words = ["--sample", "2", "--jobs", "1", "--stall-minutes", "0", "--radiomics.classes", "[firstorder]"]
    words += ["--radiomics.pixel_mm", "0.4", "--perturbations.draws", "0", "--perturbations.composed", "0"]
    assert main(["features", str(ingested), "--stability", "--out", str(out), *words]) == 0
    assert not (out / "stability_reader_elsewhere.parquet").exists()
    assert (out / "notes.txt").exists()
    capsys.readouterr()
    assert main(["features", str(ingested), "--stability", "--explain-binning", "--out", str(out)]) == 2
    assert "expected one report at a time" in capsys.readouterr().err


def test_a_file_is_no_folder_for_the_report(ingested: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["features", str(ingested), "--stability", "--out", "x.parquet"]) == 2
    assert "found --out x.parquet, expected a folder for the report" in capsys.readouterr().err
