"""Do the baselines stay at an AUC of 0.5 where nothing can be known? A leak detector for the whole pipeline.

    python experiments/benchmarks/no_signal.py --out DIR [--seeds 20] [--patients 150] [--baselines NAME ...] [--jobs 2]

For every seed: simulates a cohort of the scenario ``no_signal``, ingests it, extracts its features, makes the folds and
fits every baseline of the experiment, all as ``usdlr run`` does. Prints, as JSON lines, the AUC averaged over the folds
for each seed, stage and baseline; then its mean over the seeds, its standard error and the distance from 0.5 in
standard errors. The pooled out-of-fold AUC is not used: where nothing is known it lies below 0.5, since a fold with
more positives has lower scores for being left out.

Interrupted, the same command continues. Exits with 1 unless every mean is within 2.5 standard errors of 0.5.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from usdlr.baselines.pipelines import BASELINES
from usdlr.cli.run import read_config
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.files import read_json, write_json
from usdlr.core.hashing import file_hash
from usdlr.core.tables import CASES
from usdlr.core.types import Stage
from usdlr.experiment.cohort import axilla_labels, stage_labels
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.layout import Layout
from usdlr.experiment.run import compare_baselines
from usdlr.simulate.export import simulate
from usdlr.simulate.scenario import SCENARIOS

DEMO = Path(__file__).resolve().parents[1] / "demo" / "experiment.yaml"
BOUND = 2.5  # standard errors


def fold_aucs(scores: pd.DataFrame, cases: pd.DataFrame, config: ExperimentConfig) -> dict[str, float]:
    """AUC averaged over the folds that hold both classes, by ``stage.baseline``."""
    labels = axilla_labels(cases, config.data)
    found = {}
    for stage in Stage:
        known = labels[AXILLA_KEY].assign(y=stage_labels(labels, stage).to_numpy(np.float64)).dropna(subset="y")
        rows = scores[scores["stage"] == str(stage)].merge(known, on=AXILLA_KEY, validate="many_to_one")
        for name, part in rows.groupby("name"):
            folds = [fold for _, fold in part.groupby("fold") if fold["y"].nunique() == 2]
            aucs = [roc_auc_score(fold["y"], fold["score"]) for fold in folds]
            found[f"{stage}.{name}"] = float(np.mean(aucs)) if aucs else np.nan
    return found


def one_seed(folder: Path, seed: int, options: argparse.Namespace) -> dict[str, float]:
    """Simulate, run and score one cohort; the images are removed again."""
    cohort, run = folder / "cohort", folder / "run"
    simulate(cohort, patients=options.patients, seed=seed, scenario=SCENARIOS["no_signal"], jobs=options.jobs)
    named = "[" + ", ".join(options.baselines) + "]"
    words = [str(options.experiment), "--baselines", named, "--data.root", str(cohort)]
    words += ["--seed", str(seed), "--jobs", str(options.jobs)]
    config, _ = read_config([*words, "--out", str(run)])
    scores = compare_baselines(config, run)
    found = fold_aucs(scores, CASES.read(Layout(run).cases), config)
    write_json(folder / "auc.json", {"asked": asked(options), "auc": found})
    shutil.rmtree(cohort)
    shutil.rmtree(run)
    return found


def asked(options: argparse.Namespace) -> dict[str, Any]:
    """What a seed's result depends on."""
    return {"patients": options.patients, "baselines": options.baselines, "experiment": file_hash(options.experiment)}


def known(path: Path, options: argparse.Namespace) -> dict[str, float] | None:
    """What an earlier call found for a seed, if it was asked the same."""
    content = read_json(path) if path.is_file() else None
    if not isinstance(content, dict) or content.get("asked") != asked(options):
        return None
    return {name: np.nan if value is None else float(value) for name, value in content["auc"].items()}


def main() -> int:
    """Parse the command line, run, print; 1 if something leaks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--patients", type=int, default=150)
    parser.add_argument("--experiment", type=Path, default=DEMO)
    parser.add_argument("--baselines", nargs="+", choices=list(BASELINES), default=list(BASELINES))
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error("found fewer than 2 seeds, expected at least 2 for a standard error")
    every: dict[str, list[float]] = {}
    for seed in range(1, options.seeds + 1):
        folder = options.out / f"seed_{seed:02d}"
        found = known(folder / "auc.json", options) or one_seed(folder, seed, options)
        print(json.dumps({"seed": seed} | {name: round(value, 4) for name, value in found.items()}), flush=True)
        for name, value in found.items():
            every.setdefault(name, []).append(value)
    leaks = False
    for name, values in every.items():
        mean, error = float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))
        distance = (mean - 0.5) / error
        leaks |= not abs(distance) <= BOUND  # a distance that is no number proves nothing
        summary = {"mean": mean, "standard_error": error, "distance": distance}
        print(json.dumps({"name": name, "seeds": len(values)} | {key: round(x, 4) for key, x in summary.items()}))
    return int(leaks)


if __name__ == "__main__":
    sys.exit(main())
