"""The published systems: every file is built, says where it follows its paper, and runs from end to end, made small.

The runs share one cohort; each takes ingested images and features from an earlier run of the same settings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from experiments.results import published
from tests.tiny import ROOT
from usdlr.cli.run import read_config
from usdlr.cli.sweep import builder
from usdlr.core import tables
from usdlr.core.files import read_json
from usdlr.core.types import Stage
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.sweep.engine import require_buildable
from usdlr.experiment.sweep.points import grid_points
from usdlr.experiment.sweep.settings import read_sweep
from usdlr.imaging.crop import POLICIES

FOLDER = ROOT / "experiments"
NAMES = published(FOLDER)
SWEEPS = sorted(path.parent.name for path in FOLDER.glob("*/sweep.yaml"))
# What each experiment is about: the settings without which it would be another one.
CORE: dict[str, dict[str, Any]] = {
    "dcfan2025": {
        "model.fusion": "cross_attention",
        "model.modalities": ["bmode", "elasto"],
        "model.tabular": "none",
        "data.where": {"elasto_state": ["measured"]},
    },
    "gao2021": {"model.head": "corn", "data.nsln.column": "burden_ge3", "data.clinical": ["tumour_size_mm"]},
    "guo2020": {"contract.alpha_sln": 0.05, "contract.alpha_nsln": 0.05, "data.nsln.column": "nsln_positive"},
    "lee2021": {
        "radiomics.margin_mm": 3.0,
        "crop.policy": "fixed",
        "model.rois": ["combined"],
        "model.tabular": "none",
    },
    "li2025_mil": {"model.pooling": "attention", "model.head": "multitask", "model.tabular": "none"},
    "park2024_crops": {"model.backbone": "densenet121", "fit.members": 1, "model.tabular": "none"},
    "radiomics_nomogram": {"radiomics.rois": ("intratumoral",), "data.sln.column": "n_positive"},
    "sun2020": {"radiomics.margin_mm": 5.0, "model.rois": ["combined"], "model.backbone": "densenet121"},
    "wu2020_hybrid": {"model.stem": "frames", "crop.size_px": 64, "model.fusion": "late"},
    "yang2024": {"data.sln.column": "n_positive", "data.nsln.column": "burden_ge3"},
    "zheng2020": {"model.backbone": "resnet50", "crop.size_px": 224, "data.nsln.column": "burden_ge3"},
    "zhou2020": {"model.backbone": "inception_v3", "crop.size_px": 299, "splits.by": "centre"},
    "zou2024_signature": {"readout": "signature", "model.backbone": "resnet50", "splits.by": "centre"},
}
# The paper's own baseline, where it compares with one or consists of one.
BASELINES = {
    "radiomics_nomogram": {"radiomics_signature", "radiomics_signature@bmode"},
    "sun2020": {f"radiomics_forest@bmode-{roi}" for roi in ("intratumoral", "peritumoral", "combined")},
    "yang2024": {"radiomics_forest@bmode"},
}
MARK = re.compile(r"\[[CRSM]\]")


def config_of(name: str, *words: str) -> ExperimentConfig:
    return read_config([str(FOLDER / name / "experiment.yaml"), *words, "--out", "unused"])[0]


def setting(config: ExperimentConfig, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def test_every_published_system_is_known() -> None:
    assert set(CORE) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_built_on_simulated_patients_with_its_own_settings(name: str) -> None:
    config = config_of(name)
    assert config.name == name
    assert config.data.centre == "simulated"
    assert {key: setting(config, key) for key in CORE[name]} == CORE[name]
    assert BASELINES.get(name, set()) <= set(config.baselines)
    # What a reader starts must work without a network, and must not choose by itself where it is computed.
    assert (config.model.pretrained, config.model.weights_file, config.fit.accelerator) == (False, None, "cpu")


@pytest.mark.parametrize("words", [(), ("--config", str(FOLDER / "park2024_crops" / "ci.yaml"))])
def test_one_ensemble_sees_both_crops_with_three_families(words: tuple[str, ...]) -> None:
    config = config_of("park2024_crops", *words)
    families = ("resnet", "densenet", "efficientnet")
    made = [(one.crop.policy, one.network.backbone) for one in config.ensemble]
    assert len(set(made)) == config.networks == 6
    assert {one.name for one in config.ensemble} == {f"{crop}-{name}" for crop in POLICIES for name in families}
    if not words:
        assert all(one.crop.policy in one.name for one in config.ensemble)
        assert all(one.name.split("-")[1] in one.network.backbone for one in config.ensemble)
    assert len(config.preparation.crops) == 2


def test_the_papers_own_ensemble_is_the_command_of_the_readme() -> None:
    text = (FOLDER / "park2024_crops" / "README.md").read_text(encoding="utf-8")
    command = re.search(r"`--variants '([^`]+)'`", text)
    assert command is not None
    config = config_of("park2024_crops", "--variants", command[1])
    made = [(one.crop.policy, one.network.backbone) for one in config.ensemble]
    assert made == [("adjustable", "densenet121"), ("fixed", "densenet121")]


@pytest.mark.parametrize("name", NAMES)
def test_its_readme_keeps_ours_apart_from_the_papers(name: str) -> None:
    text = (FOLDER / name / "README.md").read_text(encoding="utf-8")
    assert "Results on simulated patients are not a reproduction of the paper's figures." in text
    assert f"usdlr run experiments/{name}/experiment.yaml --data.root " in text
    assert "**Unlike the paper:**" in text
    before, ours = text.split("## Our result (simulated)")
    _, figures = before.split("## The paper's figures")
    rows = [line for line in figures.splitlines() if line.startswith("| ") and re.search(r"\d", line)]
    assert rows
    for line in rows:
        assert MARK.search(line.rsplit("|", 2)[1]), f"a figure without its mark: {line}"
    assert not MARK.search(ours)
    protocol = before.split("## Protocol")[1].split("**Like the paper:**")[0]
    for line in [line for line in protocol.splitlines() if line.startswith("| ")][1:]:
        source = line.rsplit("|", 2)[1]
        assert MARK.search(source) or re.search("assumed|not in the paper", source), f"a setting of no origin: {line}"


@pytest.mark.parametrize("name", SWEEPS)
def test_its_sweep_can_be_built_at_every_point(name: str) -> None:
    path = FOLDER / name / "sweep.yaml"
    sweep = read_sweep(path)
    build = builder(sweep, path, [])
    require_buildable(sweep, build)
    points = grid_points(sweep)
    assert len(points) >= 2
    for point in points:
        assert build(point.overrides).name == name


@pytest.fixture(scope="module")
def two_centres(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patients of a common and of the far centre, enough that stage 2 can be divided three times."""
    from usdlr.simulate.export import simulate

    folder = tmp_path_factory.mktemp("published") / "cohort"
    simulate(folder, patients=130, seed=11, centres=["south", "overseas"], jobs=1)
    return folder


@pytest.fixture(scope="module")
def finished() -> list[Path]:
    """Runs that a later one may take ingested images and features from."""
    return []


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_from_end_to_end(name: str, two_centres: Path, runs: Path, finished: list[Path]) -> None:
    # Imported here: torch and Lightning take seconds, and the tests above need neither.
    from usdlr.experiment.run import run_experiment
    from usdlr.experiment.sweep.share import start_from_others

    config = config_of(name, "--config", str(FOLDER / name / "ci.yaml"), "--data.root", str(two_centres))
    out = runs / name
    start_from_others(config.as_dict(), out, finished)
    run_experiment(config, out)
    finished.append(out)
    metrics = read_json(out / "metrics.json")
    predictions = tables.PREDICTIONS.read(out / "predictions.parquet")
    assert metrics["experiment"] == name
    assert metrics["simulated"] is True
    require_figures(metrics, predictions, truth(two_centres, config), config)
    require_blocks(predictions, config)
    require_contract(metrics, out, config)
    require_cohort(metrics, out, config)
    require_members(out, config)
    if config.splits.by == "centre":
        assert set(metrics["cascade"]["folds"]) == {"simulated-south", "simulated-overseas"}
        tested = predictions[predictions["split"] == "test"]
        assert all(map(str.startswith, tested["patient_id"], tested["fold"]))


def truth(cohort: Path, config: ExperimentConfig) -> pd.DataFrame:
    """Outcomes by axilla from the cohort's own manifest: what each endpoint's words mean, in pandas."""
    rows = pd.read_csv(cohort / "manifest.csv", dtype={"patient_id": "str"})
    rows["patient_id"] = rows["centre_id"] + "-" + rows["patient_id"]
    rows = rows[~rows["neoadjuvant"].astype(bool)].drop_duplicates(["patient_id", "side"]).set_index("patient_id")
    positive = rows["sln_positive"].astype(float)
    many = (rows["positive_nodes"] >= 3).astype(float)
    second = {
        "nsln_positive": rows["nsln_positive"].astype(float),
        # Fewer than three are known to be all only after dissection.
        "burden_ge3": many.where((rows["axillary_surgery"] == "alnd") | (many == 1)),
    }
    nsln = second[config.data.nsln.column].where(positive == 1)
    return pd.DataFrame({"sln": positive, "nsln": nsln})


def require_figures(
    metrics: Mapping[str, Any], predictions: pd.DataFrame, outcomes: pd.DataFrame, config: ExperimentConfig
) -> None:
    """Both stages have an AUC, and it is that of the written predictions for the manifest's outcomes."""
    for stage in map(str, Stage):
        assert metrics["endpoints"][stage]["column"] == config.data.endpoint(Stage(stage)).column
        test = predictions[(predictions["split"] == "test") & (predictions["stage"] == stage)].set_index("patient_id")
        known = outcomes[stage].reindex(test.index)
        assert known.notna().sum() == metrics["stages"][stage]["auc"]["n"]
        auc = roc_auc_score(known.dropna(), test.loc[known.notna(), "probability"])
        assert metrics["stages"][stage]["auc"]["value"] == pytest.approx(auc)
        assert metrics["stages"][stage]["share_of_limit"]["n"] == known.notna().sum()
        for baseline in config.baselines:
            assert 0 <= metrics["baselines"][baseline]["stages"][stage]["auc"]["value"] <= 1
    assert set(metrics["baselines"]) == set(config.baselines)


def require_blocks(predictions: pd.DataFrame, config: ExperimentConfig) -> None:
    """Every declared block has a contribution, no other image block has, and they add up to the log-odds."""
    shares = predictions.filter(like="contribution.")
    found = {str(column).removeprefix("contribution.") for column in shares}
    images = {block for block in found if block.split(".")[0] in ("bmode", "elasto")}
    assert images == set(config.model.image_blocks)
    assert shares[[f"contribution.{block}" for block in images if block.startswith("bmode")]].notna().all(axis=None)
    if config.signature is None:
        # What is left beside images and base: the table's blocks, by their first word.
        tables = {block.split(".")[0] for block in found - images - {"base"}}
        expected = {"joint": {"radiomics"}, "split": {"radiomics", "clinical"}, "clinical": {"clinical"}, "none": set()}
        assert tables == expected[config.model.tabular]
    np.testing.assert_allclose(shares.sum(axis=1), predictions["logit"], atol=1e-9)
    np.testing.assert_allclose(expit(predictions["logit"]), predictions["probability"], atol=1e-9)
    for column in [f"contribution.{block}" for block in images if block.startswith("elasto")]:
        share = shares[column].notna().mean()
        pairs = config.data.where.get("elasto_state") == ["measured"]
        assert share == 1 if pairs else 0 < share < 1, "some patients have elastography, and some have none"


def require_contract(metrics: Mapping[str, Any], out: Path, config: ExperimentConfig) -> None:
    """So few patients support no promise, and the page says so."""
    contract = metrics["cascade"]["contract"]
    assert contract["status"] == "not_certifiable"
    assert contract["alpha"] == {"sln": config.contract.alpha_sln, "nsln": config.contract.alpha_nsln}
    # 0.95^59 and 0.90^29 are the first powers below delta = 0.05.
    needed = {0.05: 59, 0.10: 29}[config.contract.alpha_nsln]
    assert contract["required_positives"] == {"sln": needed, "nsln": needed}
    assert "Uncertified: the false-negative promise could not be made" in (out / "report.html").read_text("utf-8")
    decisions = tables.DECISIONS.read(out / "decisions.parquet")
    assert set(decisions["contract"]) == {"not_certifiable"}


def require_cohort(metrics: Mapping[str, Any], out: Path, config: ExperimentConfig) -> None:
    """Nobody outside the conditions is in any table, and whoever is outside is counted."""
    cases = tables.CASES.read(out / "cases.parquet")
    counted = metrics["cohort"]["exclusions"].get("outside_cohort", 0)
    assert (counted > 0) == bool(config.data.where)
    for column, values in config.data.where.items():
        assert set(cases[column]) <= set(values)
        assert column in metrics["cohort"]["where"]
    every = tables.CASES.read(out / "ingest" / "cases.parquet")
    assert len(every) - len(cases) >= counted


def require_members(out: Path, config: ExperimentConfig) -> None:
    """As many networks per stage as asked for, different ones."""
    per_member = len(config.ensemble) * (config.signature.folds if config.signature is not None else 1)
    stage = out / "work" / "fits" / "bundle" / "sln"
    weights = [path.read_bytes() for path in sorted(stage.glob("network_*.safetensors"))]
    assert len(weights) == config.fit.members * per_member
    assert len(set(weights)) == len(weights)
