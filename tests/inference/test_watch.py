"""A watched folder: each study once, none while it is being written, a damaged one does not stop the others."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from usdlr.cli.main import main
from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.types import OnUncertified
from usdlr.inference.bundle import Bundle, load_bundle
from usdlr.inference.stream import StreamSettings
from usdlr.inference.watch import Watch
from usdlr.simulate.export import simulate


@pytest.fixture(scope="module")
def bundle(run_folder: Path) -> Bundle:
    return load_bundle(run_folder / "bundle")


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two exports of other patients."""
    out = tmp_path_factory.mktemp("studies")
    for name, centre in (("first", "north"), ("second", "south")):
        simulate(out / name, patients=1, seed=3, centres=[centre])
    return out


def watch(bundle: Bundle, folder: Path, tmp_path: Path) -> Watch:
    return Watch(folder, "simulated", tmp_path / "out", bundle, StreamSettings())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "incoming"
    found.mkdir()
    return found


def test_a_study_is_read_when_it_stands_still_and_never_again(
    bundle: Bundle, studies: Path, folder: Path, tmp_path: Path
) -> None:
    watching = watch(bundle, folder, tmp_path)
    assert watching.poll() == 0
    shutil.copytree(studies / "first", folder / "Doe, Jane")
    (folder / "Doe, Jane" / "still_coming.tmp").write_bytes(b"1")
    assert watching.poll() == 0  # seen for the first time
    (folder / "Doe, Jane" / "still_coming.tmp").write_bytes(b"12")
    assert watching.poll() == 0  # it grew
    assert watching.poll() == 1
    one = watching.everything()
    assert len(one.decisions) == 1
    assert watching.poll() == 0
    # A restart remembers; a copy under another name is the same study.
    again = watch(bundle, folder, tmp_path)
    shutil.copytree(folder / "Doe, Jane", folder / "copy")
    assert [again.poll() for _ in range(3)] == [0, 0, 0]
    pd.testing.assert_frame_equal(again.everything().predictions, one.predictions)
    shutil.copytree(studies / "second", folder / "next")
    assert [again.poll(), again.poll()] == [0, 1]
    assert len(again.everything().decisions) == 2
    written = [str(path) for path in (tmp_path / "out").rglob("*")]
    assert not [path for path in written if "Jane" in path]


def test_damaged_and_repeated_studies_become_exclusions(
    bundle: Bundle, studies: Path, folder: Path, tmp_path: Path
) -> None:
    (folder / "a Doe").mkdir()
    (folder / "a Doe" / "manifest.csv").write_text("nothing of use\n")
    shutil.copytree(studies / "first", folder / "b")
    shutil.copytree(studies / "first", folder / "c")
    (folder / "c" / "one_more.txt").write_text("so that it is another study of the same patient")
    (folder / "empty").mkdir()
    (folder / "loose.txt").write_text("no study")
    watching = watch(bundle, folder, tmp_path)
    assert [watching.poll() for _ in range(3)] == [0, 3, 0]
    found = watching.everything()
    assert len(found.decisions) == 1
    assert sorted(set(found.exclusions["code"])) == ["already_predicted", "study_refused"]
    refused = found.exclusions[found.exclusions["code"] == "study_refused"]["sentence"].iloc[0]
    assert "Doe" not in refused
    assert str(folder) not in refused
    with pytest.raises(DataError, match="no folder at"):
        watch(bundle, folder / "absent", tmp_path)


def test_the_command_watches_and_ends_cleanly(
    run_folder: Path,
    studies: Path,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(studies / "first", folder / "first")
    out = tmp_path / "out"
    words = ["predict", "--bundle", str(run_folder / "bundle"), "--watch", str(folder), "--centre", "simulated"]
    words += ["--out", str(out), "--poll_s", "0.05", "--jobs", "1"]
    assert main([*words, "--polls", "2"]) == 0
    assert len(tables.DECISIONS.read(out / "decisions.parquet")) == 1
    assert "not a medical device" in capsys.readouterr().out
    looks: list[int] = []

    def interrupted(self: Watch) -> int:
        looks.append(1)
        if len(looks) > 2:
            raise KeyboardInterrupt
        return 0

    monkeypatch.setattr(Watch, "poll", interrupted)
    assert main(words) == 130
    assert len(tables.DECISIONS.read(out / "decisions.parquet")) == 1
    for name in ("predictions.parquet", "reliability.parquet", "exclusions.csv"):
        assert (out / name).is_file()
    assert not list(out.rglob("*.tmp"))
    assert os.environ.get("HOME") is not None


def test_options_that_do_not_go_together(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["predict", "--bundle", str(run_folder / "bundle"), "--out", str(tmp_path)]
    for further, said in (
        ([], "one of --cases, --source and --watch"),
        (["--cases", "a", "--source", "b"], "--cases and --source"),
        (["--source", str(tmp_path)], "without --centre"),
        (["--watch", str(tmp_path), "--centre", "x", "--poll_s", "0"], "--poll_s 0"),
        (["--cases", "a", "--contours", "-1"], "contours = -1"),
    ):
        assert main([*words, *further]) == 2
        assert said in capsys.readouterr().err


def test_answers_of_two_kinds_share_no_folder(run_folder: Path, bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    watch(bundle, folder, tmp_path)
    watch(bundle, folder, tmp_path)  # a restart
    out = tmp_path / "out"
    other = load_bundle(run_folder / "bundle", member="0")
    with pytest.raises(ConfigError, match="member = bundle, expected 0"):
        Watch(folder, "simulated", out, other, StreamSettings())
    with pytest.raises(ConfigError, match="contours = 0"):
        Watch(folder, "simulated", out, bundle, StreamSettings(contours=3))
    answer = next(one for one in OnUncertified if one != bundle.on_uncertified)
    with pytest.raises(ConfigError, match="on_uncertified"):
        Watch(folder, "simulated", out, bundle, StreamSettings(), on_uncertified=answer)
    with pytest.raises(ConfigError, match="centre"):
        Watch(folder, "manifest", out, bundle, StreamSettings())


def test_a_centre_that_nobody_reads_is_no_study_s_fault(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="simulatd"):
        Watch(folder, "simulatd", tmp_path / "out", bundle, StreamSettings())
    assert not (tmp_path / "out" / ".watch").exists()
