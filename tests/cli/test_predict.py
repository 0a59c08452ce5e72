"""``usdlr predict`` on another machine state, and from a raw export."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from usdlr.cli.main import main
from usdlr.core import tables
from usdlr.core.hashing import file_hash
from usdlr.simulate.export import simulate

ALONE = """
import socket, sys

def blocked(*args, **options):
    raise OSError("no network here")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = blocked
from usdlr.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("member", ["1"])
def test_a_member_gives_the_runs_numbers_elsewhere(run_folder: Path, tmp_path: Path, member: str) -> None:
    """Read-only bundle, another working folder, nobody's home, no network."""
    bundle, out = run_folder / "bundle", tmp_path / "out"
    files = [path for path in bundle.rglob("*") if path.is_file()]
    before = {path: file_hash(path) for path in files}
    modes = {path: path.stat().st_mode for path in [bundle, *bundle.rglob("*")]}
    for path, mode in modes.items():
        path.chmod(mode & 0o555)
    home = tmp_path / "home"
    home.mkdir()
    words = ["predict", "--bundle", str(bundle), "--cases", str(run_folder / "cases.parquet"), "--out", str(out)]
    try:
        done = subprocess.run(
            [sys.executable, "-c", ALONE, *words, "--member", member, "--on_uncertified", "zero_miss", "--jobs", "1"],
            cwd=tmp_path,
            env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert done.returncode == 0, done.stderr
    assert {path: file_hash(path) for path in bundle.rglob("*") if path.is_file()} == before
    key = ["patient_id", "side", "stage"]
    run = tables.PREDICTIONS.read(run_folder / "predictions.parquet")
    tested = run[(run["fold"] == member) & (run["split"] == "test")].set_index(key)["probability"].sort_index()
    again = tables.PREDICTIONS.read(out / "predictions.parquet").set_index(key)["probability"]
    assert len(tested)
    np.testing.assert_allclose(again.loc[tested.index].to_numpy(), tested.to_numpy(), rtol=0, atol=1e-6)


def test_a_raw_export_is_ingested_first(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    simulate(tmp_path / "export", patients=4, seed=9, centres=["north"])
    table = pd.read_csv(tmp_path / "export" / "manifest.csv", dtype=str, keep_default_na=False)
    (tmp_path / "export" / table["mask_file"].iloc[0]).unlink()
    words = ["predict", "--bundle", str(run_folder / "bundle"), "--out", str(tmp_path / "out"), "--jobs", "1"]
    words += ["--source", str(tmp_path / "export"), "--centre", "simulated", "--contours", "2"]
    assert main(words) == 0
    capsys.readouterr()
    excluded = tables.EXCLUSIONS.read(tmp_path / "out" / "exclusions.csv")
    assert list(excluded["step"]) == ["ingest"]
    assert list(excluded["source_id"]) == [table["image_id"].iloc[0]]
    reliability = tables.RELIABILITY.read(tmp_path / "out" / "reliability.parquet")
    decisions = tables.DECISIONS.read(tmp_path / "out" / "decisions.parquet")
    pd.testing.assert_frame_equal(reliability[["patient_id", "side"]], decisions[["patient_id", "side"]])
    assert (reliability["contour_n"] <= 2).all()
    assert not (tmp_path / "out" / ".chunks").exists()
