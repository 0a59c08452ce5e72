"""``usdlr benchmark``: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.radiomics.test_extract import cohort
from usdlr.cli.main import main
from usdlr.core import tables
from usdlr.core.files import read_json
from usdlr.core.provenance import Provenance

SMALL = ["--images", "1", "--rows", "64", "--cols", "72", "--pixels", "300,500", "--repeat", "1", "--quick", "true"]


def test_both_engines_are_timed_and_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", "radiomics", *SMALL, "--out", str(tmp_path / "b.json")]) == 0
    text = capsys.readouterr().out
    for words in (
        "one thread per process",
        "regions of 300 to 500 pixels",
        "939 features",
        "times as fast as pyradiomics",
        "one patient (2 images x 2 regions)",
        "3729 features",
        "nyxus",
        "largest relative difference",
    ):
        assert words in text
    found = read_json(tmp_path / "b.json")
    assert found["deviation"]["compared"] == 3729
    assert found["deviation"]["within"] >= 0.999
    assert found["regions"]["native"]["features"] == found["regions"]["pyradiomics"]["features"] == 939


def test_real_cases_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cases.parquet"
    tables.CASES.write(cohort(tmp_path, [2.0, 2.0], elasto={1}), path, Provenance("test", {}, {}))
    words = ["benchmark", "radiomics", "--repeat", "1", "--quick", "true", "--engines", "native", "--cases", str(path)]
    assert main(words) == 0
    assert "images: 1 examinations" in capsys.readouterr().out  # the one with elastography
    assert main([*words, "--modalities", "bmode"]) == 0
    assert "images: 2 examinations" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cooking"], "found the benchmark 'cooking', expected one of radiomics, training, loading"),
        (["radiomics", "--pixels", "many"], "found --pixels 'many', expected two numbers"),
        (["radiomics", "--modalities", "doppler"], "found the modality 'doppler'"),
        (["radiomics", "--engines", "mirp"], "found engine 'mirp'"),
        (["radiomics", "--memory", "-1"], "found --memory -1, expected at least 0"),
        (["radiomics", "--pixels", "4096,10"], "expected at least 300 pixels each"),
        (["radiomics", "--rows", "100", "--cols", "100", "--pixels", "5000,5000"], "expected at most 6000 together"),
        (["radiomics", "--rows", "100", "--cols", "100", "--pixels", "300,300"], "add --quick true"),
        (["radiomics", "--repeat", "0"], "found --repeat 0, expected at least 1"),
        (["radiomics", "--cases", "/nowhere/cases.parquet"], "nowhere"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_one_line(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["benchmark", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_an_installed_peer_is_timed_and_one_that_fails_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Nyxus:
        def __init__(self, features: list[str], n_feature_calc_threads: int) -> None:
            assert (features, n_feature_calc_threads) == (["*ALL*"], 1)

        def featurize(self, image: Any, label: Any, **names: list[str]) -> pd.DataFrame:
            assert image.shape == label.shape == (64, 72)
            assert set(np.unique(label)) == {0, 1}
            return pd.DataFrame({"label": ["l"], "MEAN": [1.0], "AREA": [2]})

    def no_image(path: str) -> None:
        raise OSError(f"cannot read {Path(path).name}")

    nyxus, pictologics = ModuleType("nyxus"), ModuleType("pictologics")
    nyxus.Nyxus = Nyxus  # type: ignore[attr-defined]  # a stand-in module
    pictologics.load_image = no_image  # type: ignore[attr-defined]  # a stand-in module
    for module in (nyxus, pictologics):
        module.__spec__ = __spec__
        monkeypatch.setitem(sys.modules, module.__name__, module)
    assert main(["benchmark", "radiomics", *SMALL, "--engines", "native"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["nyxus", "2", "features"] in [[*line[:1], *line[-2:]] for line in lines]
    assert "pictologics installed, but failed: OSError: cannot read image.nii.gz" in [" ".join(line) for line in lines]
    assert "fastrad not installed" in [" ".join(line) for line in lines]


FIT = ["--model.backbone", "test_resnet", "--model.embedding_dim", "8", "--fit.batch_size", "4", "--size_px", "64"]


@pytest.mark.parametrize(("name", "other"), [("training", "fit"), ("loading", "loader")])
def test_a_fit_and_its_loader_are_timed_beside_a_bare_loop(
    name: str, other: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "b.json"
    assert main(["benchmark", name, *FIT, "--axillae", "8", "--repeat", "2", "--out", str(path)]) == 0
    text = capsys.readouterr().out
    assert "test_resnet at 64 px, 4 branches, batches of 4 axillae" in text
    assert f"{other} to bare loop: " in text
    found = read_json(path)
    assert set(found["speeds"]) == {"bare loop", other}
    for ratio, mine, bare in zip(found["ratios"], found["speeds"][other], found["speeds"]["bare loop"], strict=True):
        assert ratio == pytest.approx(mine / bare)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["trainin"], "did you mean 'training'"),
        ([], "expected one of radiomics, training, loading"),
        (["training", "--axillae", "2"], "expected at least 4"),
        (["training", "--model.backbone", "resnet19"], "expected a timm model name"),
    ],
)
def test_what_cannot_be_timed_is_refused(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["benchmark", *words]) == 2
    assert sentence in capsys.readouterr().err
