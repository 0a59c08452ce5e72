"""``usdlr features`` as a user meets it: cache, stall guard, parameter files, the report on grey levels."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.radiomics.test_extract import Spy, cohort
from usdlr.cli import features as module
from usdlr.cli.main import main
from usdlr.core import tables
from usdlr.core.hashing import table_hash
from usdlr.core.provenance import Provenance

QUICK = ["--radiomics.classes", "['firstorder']", "--radiomics.margin_mm", "2", "--jobs", "1"]


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    path = tmp_path / "cases.parquet"
    tables.CASES.write(cohort(tmp_path, [3.0, 2.0, 0.2, 2.5], elasto={0}), path, Provenance("test", {}, {}))
    return path


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main(["features", *map(str, words)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_the_table_and_what_is_said_about_it(cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out" / "f.parquet"
    assert main(["features", str(cases), "--out", str(out), *QUICK]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"3 of 4 cases measured, 72 features: {out}",
        "  1 failed with roi_too_small: see the column reason",
    ]
    assert sorted(path.name for path in out.parent.iterdir()) == ["f.parquet", "f.provenance.json"]


def test_a_case_is_guarded_unless_told_otherwise(cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float | None] = []

    def spy(*args: object, stall_s: float | None, **rest: object) -> pd.DataFrame:
        seen.append(stall_s)
        return tables.FEATURES.empty()

    monkeypatch.setattr(module, "extract", spy)
    for words in ([], ["--stall-minutes", "0.5"], ["--stall-minutes", "0"]):
        assert main(["features", str(cases), "--out", str(tmp_path / "f.parquet"), *QUICK, *words]) == 0
    assert seen == [1800.0, 30.0, None]


def test_a_cache_serves_another_table(cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["features", str(cases), *QUICK, "--cache", str(tmp_path / "cache"), "--stall-minutes", "0"]
    assert main([*words, "--out", str(tmp_path / "a.parquet")]) == 0
    spy = Spy(monkeypatch)
    assert main([*words, "--out", str(tmp_path / "b.parquet")]) == 0
    assert spy.seen == ["case2"]
    one, other = (tables.FEATURES.read(tmp_path / name) for name in ("a.parquet", "b.parquet"))
    assert table_hash(one) == table_hash(other)


def test_a_parameter_file_of_pyradiomics(cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(
        "imageType: {Original: {}}\nfeatureClass: {firstorder: [Mean]}\nsetting: {binCount: 16, force2D: false}\n"
    )
    out = tmp_path / "f.parquet"
    words = [cases, "--out", out, "--jobs", "1", "--settings", path]
    assert main(["features", *map(str, words), "--radiomics.margin_mm", "2"]) == 0
    names = [name for name in tables.FEATURES.read(out).columns if "." in name]
    assert names[:2] == ["bmode.intratumoral.original.firstorder.Mean", "bmode.peritumoral.original.firstorder.Mean"]
    capsys.readouterr()
    line = refused(capsys, *words, "--radiomics.bin_count", "64")
    assert "found both --settings and options of --radiomics, expected one" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--jobs", "0"], "found jobs = 0, expected at least 1"),
        (["--stall-minutes", "-1"], "found stall_minutes = -1, expected at least 0"),
        (["--out", "f.csv"], "expected a name that ends in .parquet"),
        (["--engine", "mirp"], "found engine 'mirp'"),
        (["--settings", "/nowhere.yaml"], "nowhere.yaml"),
        (["--explain-binning", "--out", "f.parquet"], "expected a folder for the report"),
        (["--explain-binning", "--out", "nowhere"], "expected at least 5; name a larger table"),
    ],
)  # fmt: skip
def test_wrong_options_are_one_line(
    cases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    chosen = words if "--out" in words else ["--out", str(tmp_path / "f.parquet"), *words]
    assert message in refused(capsys, cases, *([] if "--settings" in words else QUICK), *chosen)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("radiomics.bin_count", "32.5", "a whole number or null"),
        ("radiomics.pixel_mm", "nan", "a finite number or null"),
        ("radiomics.normalize", "maybe", "true or false"),
        ("radiomics.rois", "3", "a list such as [a, b]"),
        ("jobs", "two", "a whole number"),
    ],
)
def test_a_value_of_the_wrong_kind_is_said_in_words(
    capsys: pytest.CaptureFixture[str], key: str, value: str, expected: str
) -> None:
    line = refused(capsys, "x.parquet", "--out", "f.parquet", f"--{key}", value)
    assert line.endswith(f"found a wrong value of '{key}' on the command line: {value}, expected {expected}")


def test_no_out_is_said(cases: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "found no --out, expected one" in refused(capsys, cases)


def test_the_report_on_grey_levels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cases.parquet"
    tables.CASES.write(cohort(tmp_path, [3.0, 2.0, 2.2, 2.5, 2.8, 0.2], elasto=set()), path, Provenance("t", {}, {}))
    out = tmp_path / "report"
    assert main(["features", str(path), "--explain-binning", "--out", str(out), *QUICK]) == 0
    assert sorted(file.name for file in out.iterdir()) == [
        "advice.txt", "binning.svg", "disturbances.csv", "failures.csv", "levels.csv", "neighbours.csv",
    ]  # fmt: skip
    text = (out / "advice.txt").read_text(encoding="utf-8")
    told = capsys.readouterr().out
    assert text in told
    assert "5 of 6 cases used; 1 cannot be measured with these settings" in told
    assert "what 5 cases say" in text
    assert (out / "binning.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert set(pd.read_csv(out / "levels.csv")["modality"]) == {"bmode"}
