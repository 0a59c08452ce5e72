"""What the ridge of the limit's regression does with few training patients: the reason for its strength.

    python experiments/benchmarks/limit_penalty.py --cohort SIMULATED_COHORT [--repeats 150]

Takes what is measured on the images of a simulated cohort, redraws the sentinel nodes of every scenario from its true
probabilities, fits the limit's regression with next to no penalty and with the ridge on 25 to 300 of the patients, and
prints, as JSON lines, both AUCs on the patients that no fit saw, and their paired difference with its standard error.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from usdlr.experiment.truth import LARGEST, RIDGE, LimitDesign
from usdlr.simulate.export import MEASURED_PREFIX, TRUTH_IMAGES_FILE
from usdlr.simulate.latents import LATENTS
from usdlr.simulate.scenario import SCENARIOS, Logit

SIZES = (25, 50, 100, 300)  # training patients
NEXT_TO_NONE = 1e4


def compare(logit: Logit, truth: pd.DataFrame, measured: pd.DataFrame, size: int, repeats: int) -> list[list[float]]:
    """AUC without and with the ridge, one pair per redrawn outcome."""
    probability, pairs = logit.probability(truth), []
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        y = (rng.random(len(truth)) < probability).astype(int)
        order = rng.permutation(len(truth))
        train, test = order[:size], order[max(SIZES) :]
        if len(set(y[train])) < 2:
            continue
        columns = LimitDesign(logit).fit(measured.iloc[train]).columns(measured)
        fits = [
            LogisticRegression(C=strength, max_iter=1000).fit(columns[train], y[train])
            for strength in (NEXT_TO_NONE, RIDGE)
        ]
        pairs.append([float(roc_auc_score(y[test], fit.decision_function(columns[test]))) for fit in fits])
    return pairs


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=150)
    options = parser.parse_args()
    images = pd.read_parquet(options.cohort / TRUTH_IMAGES_FILE)
    groups = images[images["lesion_id"] == LARGEST].groupby("patient_id")
    measured = groups[[MEASURED_PREFIX + name for name in LATENTS]].mean()
    measured.columns = pd.Index(list(LATENTS))
    truth = groups[list(LATENTS)].first()
    if len(truth) < 2 * max(SIZES):
        parser.error(f"found {len(truth)} patients, expected at least {2 * max(SIZES)}; simulate a larger cohort")
    for name, scenario in SCENARIOS.items():
        for size in SIZES if scenario.sln.terms else ():
            pairs = np.array(compare(scenario.sln, truth, measured, size, options.repeats))
            gain = pairs[:, 1] - pairs[:, 0]
            found = {
                "auc_without": pairs[:, 0].mean(),
                "auc_with": pairs[:, 1].mean(),
                "gain": gain.mean(),
                "standard_error": gain.std(ddof=1) / np.sqrt(len(gain)),
            }
            rounded = {key: round(float(value), 4) for key, value in found.items()}
            print(json.dumps({"scenario": name, "training_patients": size, "repeats": len(gain)} | rounded))


if __name__ == "__main__":
    main()
