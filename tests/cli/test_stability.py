"""``usdlr features --stability`` on a simulated cohort that was really ingested."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from tests.tiny import tiny_config
from usdlr.cli.main import main
from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.leak import Rows
from usdlr.experiment.selections import training_icc
from usdlr.radiomics.settings import RadiomicsSettings
from usdlr.radiomics.stability.repeats import REPEATS, STABILITY, Source, agreement_table


@pytest.fixture(scope="module")
def ingested(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ingested")
    assert main(["ingest", str(cohort), "--centre", "simulated", "--out", str(out)]) == 0
    return out / "cases.parquet"


def test_perturbed_outlines_readers_and_views(
    ingested: Path, cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
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
    _feeds_an_experiment(out, stability["icc21"], cohort)


def _feeds_an_experiment(out: Path, icc: pd.Series, cohort: Path) -> None:
    """An experiment with the same features takes the table; its own training cases alone judge."""
    words = ["--radiomics.classes", "[firstorder]", "--radiomics.rois", "[intratumoral]", "--radiomics.pixel_mm", "0.3"]
    words += ["--radiomics.min_pixels", str(RadiomicsSettings().min_pixels), "--baselines", "[size]"]
    words += [
        "--radiomics.image_types",
        "[Original]",
        "--selection.stability",
        str(out / "repeats_perturbation.parquet"),
    ]
    config = tiny_config(cohort, *words)
    repeats = REPEATS.read(out / "repeats_perturbation.parquet")
    cases = list(dict.fromkeys(repeats["image_id"]))
    design = pd.DataFrame(dict.fromkeys(icc.index, 0.0), index=cases)
    found = training_icc(config, design, Rows.of(cases, ["train"] * 3))
    assert found is not None
    assert found == pytest.approx(icc.dropna().to_dict(), abs=1e-8)
    fewer = training_icc(config, design.iloc[:2], Rows.of(cases[:2], ["train"] * 2))
    alone = agreement_table(repeats[repeats["image_id"].isin(cases[:2])], Source.PERTURBATION).set_index("feature")
    assert fewer == pytest.approx(alone["icc21"].dropna().to_dict(), abs=1e-8)
    assert fewer != found
    with pytest.raises(DataError, match="found repeated measurements of 1 of 1 training cases"):
        training_icc(config, design.iloc[:1], Rows.of(cases[:1], ["train"]))
    with pytest.raises(ConfigError, match=r"made with radiomics.pixel_mm = 0.3, expected 0.25 .* \(1 keys differ\)"):
        training_icc(
            replace(config, radiomics=replace(config.radiomics, pixel_mm=0.25)), design, Rows.of(cases, ["train"] * 3)
        )
    with pytest.raises(ConfigError, match="made with engine = 'native', expected 'pyradiomics'"):
        training_icc(replace(config, engine="pyradiomics"), design, Rows.of(cases, ["train"] * 3))
    single = tiny_config(cohort, *words[:-1], str(out / "stability_perturbation.parquet"))
    with pytest.raises(DataError, match=r"found a table of stability .*, expected one of repeats"):
        training_icc(single, design, Rows.of(cases, ["train"] * 3))
    identity = config.identity()["selection"]
    assert identity["stability"] is True
    assert str(out) not in str(config.identity())


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
