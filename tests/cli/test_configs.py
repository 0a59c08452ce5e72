"""Every YAML in configs/ and experiments/ is built."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.tiny import DEMO, ROOT
from usdlr.cli.fit_segmenter import read_config as read_outlines
from usdlr.cli.pretrain import read_request
from usdlr.cli.run import read_config
from usdlr.models.pretraining import METHODS
from usdlr.models.segmentation import SegmentationNetwork
from usdlr.radiomics.settings import PRESETS, RadiomicsSettings, preset
from usdlr.simulate.scenario_file import find_scenario
from usdlr.tasks.pretrain.fit import build_method

PARTS = {"model": "model", "radiomics": "radiomics", "trainer": "fit", "cascade": "contract"}
EXPERIMENTS = sorted((ROOT / "experiments").glob("*/experiment.yaml"))
OVERLAYS = sorted((ROOT / "experiments").glob("*/ci.yaml"))
SCENARIOS = sorted((ROOT / "configs" / "scenario").glob("*.yaml"))  # for usdlr simulate, not for an experiment
PRETRAININGS = sorted((ROOT / "configs" / "pretrain").glob("*.yaml"))  # for usdlr pretrain
# For usdlr sweep: built in test_sweep.py, and those of an experiment in tests/experiments/test_published.py.
SWEEPS = sorted([*(ROOT / "configs" / "sweep").glob("*.yaml"), *(ROOT / "experiments").glob("*/sweep.yaml")])
FEATURE_TABLES = sorted((ROOT / "experiments").glob("*/table.yaml"))  # for usdlr fit_table: test_feature_table.py
OUTLINES = sorted((ROOT / "experiments").glob("*/outlines*.yaml"))  # for usdlr fit_segmenter
COMPONENTS = sorted(set((ROOT / "configs").glob("*/*.yaml")) - {*SCENARIOS, *PRETRAININGS, *SWEEPS})


def test_there_is_something_to_build() -> None:
    assert len(EXPERIMENTS) >= 2
    assert len(COMPONENTS) >= 4
    every = set((ROOT / "experiments").rglob("*.yaml")) | set((ROOT / "configs").rglob("*.yaml"))
    assert every == {
        *EXPERIMENTS,
        *OVERLAYS,
        *COMPONENTS,
        *SCENARIOS,
        *PRETRAININGS,
        *SWEEPS,
        *FEATURE_TABLES,
        *OUTLINES,
    }
    for path in EXPERIMENTS:
        assert (path.parent / "README.md").is_file()


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.parent.name)
def test_experiment(path: Path) -> None:
    config, out = read_config([str(path), "--out", "x"])
    assert config.name == path.parent.name
    assert out == Path("x")


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: path.parent.name)
def test_overlay(path: Path) -> None:
    config, _ = read_config([str(path.with_name("experiment.yaml")), "--config", str(path), "--out", "x"])
    assert config.model.backbone == "test_resnet"


@pytest.mark.parametrize("path", OUTLINES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_outlines(path: Path) -> None:
    base = path.with_name("outlines.yaml")
    config, out = read_outlines([str(base), "--config", str(path), "--out", "x"])
    assert config.name == path.parent.name
    assert out == Path("x")
    SegmentationNetwork(config.network)
    assert (path.parent / "README.md").is_file()


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_component(path: Path) -> None:
    key = PARTS[path.parent.name]
    config, _ = read_config([str(DEMO), f"--{key}", str(path), "--out", "x"])
    assert getattr(config, key) is not None


@pytest.mark.parametrize("path", PRETRAININGS, ids=lambda path: path.stem)
def test_pretraining(path: Path) -> None:
    request = read_request([str(path), "--cases", "cases.parquet", "--out", "x"])
    method = build_method(request.settings)
    assert isinstance(method, METHODS[path.stem])
    assert (request.cases, request.out) == (["cases.parquet"], "x")


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    assert find_scenario(str(path)).name == path.stem


def test_component_named_inside_a_file_is_found_beside_it(tmp_path: Path) -> None:
    (tmp_path / "part.yaml").write_text("backbone: resnet18\n")
    (tmp_path / "experiment.yaml").write_text("name: x\nquestion: y\ndata: {centre: simulated}\nmodel: part.yaml\n")
    config, _ = read_config([str(tmp_path / "experiment.yaml"), "--out", "x"])
    assert config.model.backbone == "resnet18"


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_and_its_file_say_the_same(name: str) -> None:
    settings = yaml.safe_load((ROOT / "configs" / "radiomics" / f"{name}.yaml").read_text(encoding="utf-8"))
    assert RadiomicsSettings(**settings) == preset(name)
