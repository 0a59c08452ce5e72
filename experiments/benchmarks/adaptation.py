"""What an adaptation does at the simulator's far-off centre, on untouched patients, for every way of adapting.

    python experiments/benchmarks/adaptation.py --bundle runs/mine/bundle --out runs/adaptation [--patients 420]

Simulates the centre ``overseas``, reads it with the bundle's own preparation, adapts in each way and prints one line of
JSON per way: the new contract's status, and before, after and their difference with 95 % intervals. The same command
again goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd

from usdlr.core import tables
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.files import read_json
from usdlr.core.types import Stage
from usdlr.inference.bundle import load_bundle
from usdlr.inference.predictor import Prepared, prepare_cases
from usdlr.ingest.pipeline import ingest
from usdlr.simulate.export import simulate
from usdlr.validation.adapt import RECORD, adapt
from usdlr.validation.adapt_settings import AdaptSettings

WAYS = {
    "thresholds alone": AdaptSettings(recalibrate="none"),
    "intercept": AdaptSettings(recalibrate="intercept"),
    "line": AdaptSettings(recalibrate="line"),
    "isotonic": AdaptSettings(recalibrate="isotonic"),
    "harmonised, line": AdaptSettings(harmonise=True),
    "fine-tuned, line": AdaptSettings(fine_tune=["sln"]),
    "harmonised, fine-tuned, line": AdaptSettings(harmonise=True, fine_tune=["sln"]),
}


def local(bundle: Path, out: Path, patients: int, seed: int, jobs: int) -> tuple[Prepared, pd.DataFrame]:
    """The centre's cases as the bundle reads them, and its outcomes."""
    export, folder = out / "export", out / "tables"
    if not (folder / "cases.parquet").is_file():
        simulate(export, patients=patients, seed=seed, centres=["overseas"], jobs=jobs)
        ingest(export, "simulated", folder, jobs=jobs)
    cases = tables.CASES.read(folder / "cases.parquet")
    cases = cases[~cases["neoadjuvant"].fillna(False).astype(bool)].reset_index(drop=True)
    preparation = load_bundle(bundle).preparation
    prepared = prepare_cases(preparation, cases, folder, jobs=jobs, ledger=out / "ledger")
    found = prepared.cases.groupby(AXILLA_KEY, sort=False)[["sln_positive", "nsln_positive"]].first().reset_index()
    found.columns = pd.Index([*AXILLA_KEY, *map(str, Stage)])
    numbers = {str(stage): found[str(stage)].astype("Float64").astype("float64") for stage in Stage}
    return prepared, found.assign(**numbers)


def line(name: str, record: dict[str, Any]) -> dict[str, Any]:
    """One way, as it is printed."""

    def ends(one: dict[str, Any]) -> list[float | None]:
        return [None if one[key] is None else round(one[key], 4) for key in ("value", "low", "high")]

    untouched, contract = record["untouched"], record["contract"]
    parts = ("before", "after", "difference")
    return {
        "way": name,
        "axillae": {key: part["axillae"] for key, part in record["parts"].items()},
        "contract": {key: contract[key] for key in ("status", "positives", "misses", "p_value")},
        "missing": {stage: need["missing"] for stage, need in record["needed"].items()},
        "sln": {
            key: {part: ends(untouched["stages"]["sln"][part][key]) for part in parts}
            for key in ("auc", "brier", "log_loss")
        },
        "cascade": {
            key: {part: ends(untouched["cascade"][part][key]) for part in parts}
            for key in ("fnr_sln", "fnr_nsln", "spared_sln")
        },
    }


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--patients", type=int, default=420)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    prepared, labels = local(options.bundle, options.out, options.patients, options.seed, options.jobs)
    for name, settings in WAYS.items():
        folder = options.out / name.replace(", ", "_").replace(" ", "_")
        if not (folder / RECORD).is_file():
            adapt(options.bundle, prepared, labels, settings, folder)
        print(json.dumps(line(name, read_json(folder / RECORD))), flush=True)


if __name__ == "__main__":
    main()
