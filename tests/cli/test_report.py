"""``usdlr report``, as a user meets it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.report.conftest import make_inputs
from tests.report.finished import finished_run, with_everything
from usdlr.cli.main import main
from usdlr.core.files import read_json, write_json


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("report") / "run"
    finished_run(with_everything(make_inputs(patients=60)), run)
    return run


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def shown(folder: Path) -> dict[str, bytes]:
    """What somebody reads: page, PDF, cards and figures."""
    paths = [*folder.glob("report.*"), *folder.glob("*.md"), *(folder / "figures").iterdir()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main(["report", *map(str, words)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


def test_the_same_bytes_again_without_torch_or_images(finished: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from usdlr.cli.main import main; code = main(['report', sys.argv[1], '--out', sys.argv[2]]);"
        "bad = {'torch', 'timm', 'albumentations', 'cv2', 'pydicom', 'SimpleITK'} & set(sys.modules);"
        "sys.exit(code or ', '.join(bad) or 0)"
    )
    command = [sys.executable, "-c", code, str(finished), str(tmp_path / "new")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    before, after = shown(finished), shown(tmp_path / "new")
    assert before.keys() == after.keys()
    assert {"report.html", "report.pdf", "figures/roc.svg", "figures/heatmap_sln_1.png"} < after.keys()
    assert [name for name, content in before.items() if after[name] != content] == []
    assert str(tmp_path / "new" / "report.html") in done.stdout


def test_a_damaged_page_is_mended_in_its_place(copy: Path, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "report.html").write_text("damaged")
    shutil.rmtree(copy / "figures")
    assert main(["report", str(copy)]) == 0
    assert shown(copy) == shown(finished)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"report: {copy / 'report.html'}"
    assert "report.pdf" in printed[1]


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "found no run in" in refused(capsys, tmp_path)
    assert "found no run in" in refused(capsys, tmp_path / "nowhere")
    assert main(["report"]) == 2


@pytest.mark.parametrize("lost", ["provenance.json", "metrics.json", ".journal/results.json"])
def test_an_unfinished_run_is_refused(copy: Path, capsys: pytest.CaptureFixture[str], lost: str) -> None:
    (copy / lost).unlink()
    (copy / "report.html").unlink()
    line = refused(capsys, copy)
    assert "expected a finished run" in line
    assert f"usdlr run ... --out {copy}" in line
    assert not (copy / "report.html").exists()


def test_a_run_that_was_taken_up_again_is_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    step = copy / ".journal" / "fit-0-sln.json"
    write_json(step, read_json(step) | {"time_s": [200, 210]})
    line = refused(capsys, copy)
    assert "in progress: its step fit-0-sln ended after" in line


def test_a_changed_table_is_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (copy / "metrics.json").read_text(encoding="utf-8")
    (copy / "metrics.json").write_text(text.replace("0.8", "0.9", 1), encoding="utf-8")
    assert "metrics.json was changed after the report was written" in refused(capsys, copy)


def test_a_run_of_an_earlier_version_is_told_the_command(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(copy / "work" / "report")
    line = refused(capsys, copy)
    assert "earlier version" in line
    assert f"delete {copy / 'report.html'}" in line


def test_no_other_run_is_overwritten(finished: Path, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (copy / "report.html").read_bytes()
    assert "another run" in refused(capsys, finished, "--out", copy)
    assert (copy / "report.html").read_bytes() == before
    (copy / "file").write_text("")
    assert "expected a folder" in refused(capsys, finished, "--out", copy / "file")


def test_a_missing_library_leaves_the_pdf_out(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "reportlab", None)
    assert main(["report", str(copy), "--out", str(tmp_path / "new")]) == 0
    printed = capsys.readouterr()
    assert "report.pdf is left out: found no package reportlab" in printed.err
    assert "usdlr[report]" in printed.err
    assert (tmp_path / "new" / "report.html").is_file()
    assert not (tmp_path / "new" / "report.pdf").exists()


def test_the_report_of_a_real_run(run_folder: Path, tmp_path: Path) -> None:
    assert main(["report", str(run_folder), "--out", str(tmp_path / "new")]) == 0
    before, after = shown(run_folder), shown(tmp_path / "new")
    assert before.keys() == after.keys()
    assert [name for name, content in before.items() if after[name] != content] == []
