"""Does a start without labels help a network? The same fits from random weights and from pre-trained ones.

    python experiments/benchmarks/pretraining.py --run RUN --config EXPERIMENT --out DIR [--folds 0 1 ...]
        [--pretrain configs/pretrain/masked.yaml] [--epochs 30] [--set KEY=VALUE ...]

RUN is the folder of a run of EXPERIMENT, finished or interrupted after its features: its cohort, crops and splits are
used as they are. For every fold a backbone is pre-trained on the training patients of that fold alone, without their
labels; then the first stage is fitted twice, with images only, from random weights and from the pre-trained ones,
all else equal. JSON lines tell the AUC of both on the fold's test patients and, at the end, the mean over the folds
and the pooled difference with a paired interval by patient. Interrupted, the same command continues.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from usdlr.cli.run import read_config
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.tables import CASES
from usdlr.core.types import Split, Stage
from usdlr.evaluation import weighted
from usdlr.evaluation.comparison import paired_difference
from usdlr.evaluation.metrics import auc
from usdlr.experiment.cohort import axilla_labels, stage_labels
from usdlr.experiment.layout import RAW, Layout

STARTS = ("random", "pretrained")


def main() -> None:
    """Fit, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--folds", nargs="*", default=None)
    parser.add_argument("--pretrain", type=Path, default=Path("configs/pretrain/masked.yaml"))
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    layout = Layout(options.run)
    cases = CASES.read(layout.cases)
    sources = yaml.safe_load(layout.config.read_text(encoding="utf-8"))["data"]
    arguments = [f"--{key}={value}" for key, value in (part.split("=", 1) for part in options.set)]
    arguments += [f"--data.root={sources['root']}", "--model.tabular=none", "--model.score=false"]
    arguments += [f"--data.external.{name}={folder}" for name, folder in (sources.get("external") or {}).items()]
    config, _ = read_config([str(options.config), *arguments, f"--out={options.out}"])
    labels = axilla_labels(cases, config.data)
    labels["y"] = stage_labels(labels, Stage.SLN)
    splits = layout.read_splits(cases["patient_id"].unique())
    tested = []
    for fold in options.folds or layout.test_folds():
        weights = pretrained(options, layout, str(fold)) / "backbone.safetensors"
        scores = {
            start: fitted(options, arguments, str(fold), start, weights if start == STARTS[1] else None)
            for start in STARTS
        }
        mine = splits[(splits["fold"] == str(fold)) & (splits["split"] == str(Split.TEST))]
        rows = labels[labels["patient_id"].isin(mine["patient_id"])].dropna(subset="y")
        for start, table in scores.items():
            rows = rows.merge(table[[*AXILLA_KEY, "logit"]].rename(columns={"logit": start}), on=AXILLA_KEY)
        tell({"fold": str(fold), "n": len(rows)} | {start: area(rows, start) for start in STARTS})
        tested.append(rows.assign(fold=str(fold)))
    together = pd.concat(tested, ignore_index=True)
    # Scores of different fits have different scales: within a fold they are ranked before they are pooled.
    ranks = together.groupby("fold")[list(STARTS)].rank(pct=True)
    found = paired_difference(
        weighted.auc,
        "AUC of ranks within folds",
        together["y"],
        ranks[STARTS[1]],
        ranks[STARTS[0]],
        together["patient_id"],
    )
    means = {
        start: round(float(np.mean([area(part, start) for _, part in together.groupby("fold")])), 4) for start in STARTS
    }
    tell({"folds": len(tested), "n": len(together), "mean": means, "pretrained minus random": found.as_dict()})


def pretrained(options: argparse.Namespace, layout: Layout, fold: str) -> Path:
    """The folder of the weights that were learned from the fold's training patients."""
    out: Path = options.out / f"fold_{fold}" / "weights"
    command = ["pretrain", str(options.pretrain), "--cases", str(layout.ingested / "cases.parquet"), "--out", str(out)]
    command += ["--splits", str(layout.splits), "--fold", fold, "--epochs", str(options.epochs), "--batch_size", "16"]
    usdlr([*command, "--jobs", "1", "--wandb", "disabled"])
    return out


def fitted(
    options: argparse.Namespace, arguments: list[str], fold: str, start: str, weights: Path | None
) -> pd.DataFrame:
    """Raw log-odds of every axilla by the first stage, from this start."""
    out: Path = options.out / f"fold_{fold}" / start
    command = ["fit", "--config", str(options.config), *arguments, "--fold", fold, "--stage", str(Stage.SLN)]
    command += ["--from", str(options.run), "--out", str(out)]
    usdlr([*command, *([f"--model.weights_file={weights}"] if weights else [])])
    return pd.read_parquet(Layout(out).stage(fold, Stage.SLN) / RAW)


def usdlr(arguments: list[str]) -> None:
    """One command, whose progress goes to standard error."""
    code = "import sys; from usdlr.cli.main import main; sys.exit(main(sys.argv[1:]))"
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=sys.stderr)


def area(rows: pd.DataFrame, start: str) -> float | None:
    """Area under the ROC curve."""
    found = auc(rows["y"], rows[start]).value
    return None if found is None else round(found, 4)


def tell(line: dict[str, Any]) -> None:
    """One line of JSON."""
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
