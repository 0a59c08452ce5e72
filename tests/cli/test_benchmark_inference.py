"""``usdlr benchmark inference`` measures the real way from DICOM files to a decision, a line of JSON per figure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from usdlr.cli.main import main

WORDS = ["benchmark", "inference", "--backbone", "test_resnet", "--size_px", "64", "--threads", "1"]


def test_figures_are_complete_and_add_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "figures.json"
    further = ["--repeat", "2", "--contours", "2", "--patients", "12", "--clock", "cpu", "--out", str(out)]
    assert main([*WORDS, *further]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert lines == json.loads(out.read_text())
    found = {line.pop("figure"): line for line in lines}
    assert list(found) == ["setting", "one_patient", "contours", "stream"]
    one = found["one_patient"]
    parts = sum(one[f"{name}_ms"] for name in ("read", "crop", "radiomics", "backbone", "rest"))
    assert parts == pytest.approx(one["total_ms"], abs=0.5)
    assert one["total_ms"] <= one["median_total_ms"]
    assert 0 < one["backbone_share"] < 1
    assert one["read_ms"] > 0
    assert one["backbone_ms"] > 0
    assert found["contours"]["contours_2_s"] > 0
    stream = found["stream"]
    assert stream["patients"] == 12
    assert stream["patients_per_s"] > 0
    assert stream["peak_rss_all_mib"] >= stream["peak_rss_tenth_mib"] > 0


def test_impossible_options_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for further, said in (
        (["--repeat", "0"], "--repeat 0"),
        (["--contours", "0"], "--contours 0"),
        (["--clock", "sun"], "--clock sun"),
    ):
        assert main([*WORDS, *further]) == 2
        assert said in capsys.readouterr().err
