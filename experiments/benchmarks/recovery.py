"""How much of what can be known does fusion find, and in the right blocks? Simulated cohorts with known truth.

    python experiments/benchmarks/recovery.py --out DIR [--scenario NAME ...] [--patients 1500] [--seeds 2]
        [--set KEY=VALUE ...] [--keep]

For every scenario and seed: simulates a cohort, runs the experiment on one fixed split (the last examined 30 % are the
test patients), and prints as JSON lines, for both stages on the test axillae: the AUC of fusion, of every single block
(the others hidden), of fusion with each block removed (a modality's region loses its image block and its radiomics),
of the ridge score of the same table, and of the limit; and fusion's share of the limit, (AUC - 0.5) / (limit - 0.5).
Blocks are removed by hiding them from one network that was trained with hidden blocks, not by training anew. Then, over
the seeds, means and paired differences with 95 % intervals.

`--set` takes any key of the experiment, e.g. `--set fit.epochs=20 model.backbone=resnet18`. Interrupted, the same
command continues.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t
from sklearn.metrics import roc_auc_score

from usdlr.cli.run import read_config
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.files import read_json, write_json
from usdlr.core.hashing import data_hash
from usdlr.core.tables import CASES
from usdlr.core.types import Split, Stage
from usdlr.data.samples import SampleStore
from usdlr.experiment.cohort import axilla_labels, stage_labels
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.layout import Layout
from usdlr.experiment.run import run_experiment
from usdlr.inference.stage import StageModel
from usdlr.inference.stage_files import load_stage
from usdlr.simulate.export import simulate
from usdlr.simulate.scenario import SCENARIOS

DEMO = Path(__file__).resolve().parents[1] / "demo" / "experiment.yaml"
SETTINGS = {
    "splits.by": "date",
    "splits.test_share": "0.3",
    "splits.tuning": "0.2",
    "splits.calibration": "0.2",
    "model.tabular": "split",
    "baselines": "[size, radiomics_ridge]",
    "fit.wandb": "disabled",
    "selection.bootstraps": "0",
    "gallery": "0",
}
CENTRES = ["north", "south", "west"]


def removable(blocks: Iterable[str]) -> dict[str, set[str]]:
    """What is removed together: a region of a modality with its radiomics, and the clinical variables."""
    groups: dict[str, set[str]] = {}
    for block in blocks:
        groups.setdefault(block.removeprefix("radiomics."), set()).add(block)
    return groups


def judge(config: ExperimentConfig, out: Path) -> dict[str, float]:
    """AUCs on the test axillae, by ``stage.what``."""
    layout = Layout(out)
    cases = CASES.read(layout.cases)
    labels = axilla_labels(cases, config.data)
    design = pd.read_parquet(layout.design)
    fold = layout.test_folds()[0]
    splits = layout.read_splits(cases["patient_id"].unique()).query("fold == @fold")
    tested = set(splits.loc[splits["split"] == str(Split.TEST), "patient_id"])
    cases = cases[cases["patient_id"].isin(tested)].reset_index(drop=True)
    store = SampleStore.load(layout.crops).select(cases["image_id"])
    metrics, baselines = read_json(layout.metrics), pd.read_parquet(layout.baselines)
    found: dict[str, float] = {}
    for stage in Stage:
        known = labels[AXILLA_KEY].assign(y=stage_labels(labels, stage).to_numpy(np.float64)).dropna(subset="y")
        model = load_stage(layout.stage(fold, stage), config.model, config.crop.size_px)

        def auc(scores: pd.DataFrame, column: str, known: pd.DataFrame = known) -> float:
            rows = known.merge(scores, on=AXILLA_KEY, validate="one_to_one")
            return float(roc_auc_score(rows["y"], rows[column]))

        def hiding(blocks: set[str], model: StageModel = model, known: pd.DataFrame = known) -> float:
            raw = model.predict_axillae(cases, store, design, config.fit.batch_size, hidden=sorted(blocks))
            return auc(raw, "logit", known)

        blocks = set(model.networks[0].blocks)
        found[f"{stage}.fusion"] = hiding(set())
        for name, group in removable(model.networks[0].blocks).items():
            found[f"{stage}.without {name}"] = hiding(group)
            found[f"{stage}.only {name}"] = hiding(blocks - group)
        radiomics = {block for block in blocks if block.startswith("radiomics.")} | {"clinical"}
        found[f"{stage}.only images"] = hiding(radiomics)
        found[f"{stage}.only radiomics and clinical"] = hiding(blocks - radiomics)
        ridge = baselines[(baselines["name"] == "radiomics_ridge") & (baselines["stage"] == str(stage))]
        found[f"{stage}.ridge"] = auc(ridge, "score")
        less = model.predict_without("elasto", cases, store, design, config.fit.batch_size)
        has = known.merge(less[AXILLA_KEY], on=AXILLA_KEY)
        found[f"{stage}.fusion, with a map"] = auc(
            model.predict_axillae(cases, store, design, config.fit.batch_size), "logit", has
        )
        found[f"{stage}.fusion, its map taken away"] = auc(less, "logit", has)
        limit = metrics["limit"]["stages"][str(stage)]["auc"]["value"]
        found[f"{stage}.limit"] = limit
        found[f"{stage}.share of the limit"] = (found[f"{stage}.fusion"] - 0.5) / (limit - 0.5)
    return found


def one(folder: Path, scenario: str, seed: int, options: argparse.Namespace) -> dict[str, float]:
    """Simulate, run and judge one cohort."""
    cohort, out = folder / "cohort", folder / "run"
    simulate(
        cohort,
        patients=options.patients,
        seed=seed,
        scenario=SCENARIOS[scenario],
        centres=CENTRES,
        jobs=options.jobs,
    )
    settings = SETTINGS | dict(pair.split("=", 1) for pair in options.set)
    words = [word for key, value in settings.items() for word in (f"--{key}", value)]
    words += ["--data.root", str(cohort), "--seed", str(seed), "--jobs", str(options.jobs)]
    config, _ = read_config([str(DEMO), *words, "--out", str(out)])
    run_experiment(config, out)
    found = judge(config, out)
    write_json(folder / "auc.json", {"asked": asked(options), "auc": found})
    if not options.keep:
        shutil.rmtree(cohort)
        shutil.rmtree(out)
    return found


def asked(options: argparse.Namespace) -> str:
    """What a result depends on."""
    return data_hash([options.patients, sorted(options.set), DEMO.read_text(encoding="utf-8"), SETTINGS])


def known_result(path: Path, options: argparse.Namespace) -> dict[str, float] | None:
    """What an earlier call found, if it was asked the same."""
    content = read_json(path) if path.is_file() else None
    if not isinstance(content, dict) or content.get("asked") != asked(options):
        return None
    return {name: np.nan if value is None else float(value) for name, value in content["auc"].items()}


def interval(values: list[float]) -> dict[str, float | None]:
    """Mean with its 95 % interval over the seeds; none from a single one."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return {"mean": round(mean, 4), "low": None, "high": None}
    half = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return {"mean": round(mean, 4), "low": round(mean - half, 4), "high": round(mean + half, 4)}


def summarise(scenario: str, every: list[dict[str, float]]) -> None:
    """Print means, and differences to fusion on the same patients."""
    for name in every[0]:
        values = [found[name] for found in every]
        line: dict[str, Any] = {"scenario": scenario, "name": name, "seeds": len(values)} | interval(values)
        stage, _, what = name.partition(".")
        if what not in ("fusion", "limit", "share of the limit") and not what.startswith("fusion,"):
            minus = [found[f"{stage}.fusion"] - found[name] for found in every]
            line["fusion minus this"] = interval(minus)
        print(json.dumps(line), flush=True)


def main() -> int:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenario", nargs="+", choices=list(SCENARIOS), default=["default"])
    parser.add_argument("--patients", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", action="store_true", help="keep cohorts and runs")
    options = parser.parse_args()
    for scenario in options.scenario:
        every = []
        for seed in range(1, options.seeds + 1):
            folder = options.out / scenario / f"seed_{seed:02d}"
            found = known_result(folder / "auc.json", options) or one(folder, scenario, seed, options)
            rounded = {name: round(value, 4) for name, value in found.items()}
            print(json.dumps({"scenario": scenario, "seed": seed} | rounded), flush=True)
            every.append(found)
        summarise(scenario, every)
    return 0


if __name__ == "__main__":
    sys.exit(main())
