"""No name, id or date of a patient leaves the source: not in tables, images, cache, messages or logs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.ingest.identity import holders, identifying_words
from usdlr.cli.main import main


@pytest.fixture(scope="module")
def export(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The public DICOM files, one of them cut off, under names that hold a patient's."""
    folder = tmp_path_factory.mktemp("export")
    for number, path in enumerate(sorted((shared_data / "dicom_us_regions").glob("*.dcm"))):
        shutil.copyfile(path, folder / f"Citizen_Jan_{number:02d}.dcm")
    broken = folder / "Citizen_Jan_99.dcm"
    broken.write_bytes((folder / "Citizen_Jan_00.dcm").read_bytes()[:20_000])
    return folder


@pytest.fixture(scope="module")
def words(export: Path) -> set[str]:
    found = set().union(*(identifying_words(path) for path in export.glob("*.dcm")))
    assert {"Citizen^Jan", "20190124", "NAME^PATIENT^NAME", "20020524", "98279"} <= found
    return found | {"Citizen", "Jan_0"}


def test_the_search_would_find_a_leak(words: set[str], tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("patient_id\nNAME^PATIENT^NAME\n")
    (tmp_path / "Citizen.png").touch()
    assert holders(words, tmp_path) == ["Citizen.png: Citizen", "table.csv: NAME^PATIENT^NAME"]


@pytest.mark.parametrize("jobs", [1, 2])
def test_ingest_writes_no_identity(
    export: Path,
    words: set[str],
    jobs: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("USDLR_KEY_FILE", str(tmp_path / "secret" / "pseudonym.key"))
    out = tmp_path / "out"
    argv = ["ingest", str(export), "--centre", "dicom", "--out", str(out), "--jobs", str(jobs), "--preview", "4"]
    assert main(argv) == 0
    said = capfd.readouterr()
    assert (out / "preview" / "sheet_01.png").is_file()
    assert (out / ".cache").is_dir()
    assert holders(words, out) == []
    assert [word for word in words if word in said.out + said.err] == []
    # The cut-off file is a row with a reason, not a crash.
    assert "image_unreadable" in said.out


def test_an_export_without_a_usable_file_is_refused_without_names(
    export: Path, words: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("USDLR_KEY_FILE", str(tmp_path / "secret" / "pseudonym.key"))
    source = tmp_path / "source"
    source.mkdir()
    shutil.copyfile(export / "Citizen_Jan_99.dcm", source / "Citizen_Jan.dcm")
    assert main(["ingest", str(source), "--centre", "dicom", "--out", str(tmp_path / "out"), "--jobs", "1"]) == 2
    said = capfd.readouterr()
    assert [word for word in words if word in said.out + said.err] == []
    assert not (tmp_path / "out").exists()
