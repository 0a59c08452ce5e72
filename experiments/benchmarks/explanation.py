"""Does an explanation name the block that decides? Simulated cohorts in which only one source tells anything.

    python experiments/benchmarks/explanation.py --out DIR [--scenario size_only elastography_only peritumoral_only]
        [--patients 400] [--seeds 1] [--set KEY=VALUE ...]

Cohorts, splits and fits are those of recovery.py beside it, whose settings they take: radiomics in a block of each
region. One network per stage is fitted; its raw log-odds of the test patients (the last examined 30 %) are divided
exactly among the sources: every region of a modality with its radiomics, and the clinical variables.

Fixed beforehand. *Confident* are the quarter of the test axillae whose log-odds lie farthest from the base value. The
block *named* is the source with the largest share in the direction in which the answer departs from the base. It is
*right* if it is among those on which the scenario's nodes depend:

    size_only            the clinical variables, tumour size among them
    elastography_only    elastography, lesion or ring
    peritumoral_only     the ring, B-mode or elastography

JSON lines tell, by scenario, seed and stage and then over all seeds: the confident axillae, how many are named right,
their share with Wilson's 95 % interval, which sources were named, the same for all test axillae, the AUC of the
network, and the largest distance of the shares' sum from the log-odds that the network gives directly.
Interrupted, the same command continues.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

# The benchmark beside this one: run as a script, its folder is searched first.
from recovery import SETTINGS, Judge, Task, cohort_folder, fit_both, prepare, relabel

from usdlr.cli.run import read_config
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.types import Stage
from usdlr.evaluation.intervals import wilson
from usdlr.experiment.layout import Layout
from usdlr.inference.explain_blocks import block_shares, source_blocks
from usdlr.inference.explain_probe import Probe
from usdlr.simulate.scenario_file import find_scenario

DEMO = Path(__file__).resolve().parents[1] / "demo" / "experiment.yaml"
RIGHT = {
    "size_only": {"clinical"},
    "elastography_only": {"elasto.intratumoral", "elasto.peritumoral"},
    "peritumoral_only": {"bmode.peritumoral", "elasto.peritumoral"},
}
SMALL = {
    "crop.size_px": "64",
    "model.backbone": "test_resnet",
    "model.embedding_dim": "16",
    "fit.epochs": "8",
    "baselines": "[size]",
    "jobs": "1",
}
CONFIDENT = 0.25


@dataclass(frozen=True, eq=False)
class Named:
    """The test axillae of one stage.

    Parameters
    ----------
    distance : float64 array, (axillae,)
        Raw log-odds less the base value.
    named : list of str
        The source that carries each.
    error : float
        Largest distance of the shares' sum from the log-odds.
    auc : float
        Of the stage.
    """

    distance: npt.NDArray[np.float64]
    named: list[str]
    error: float
    auc: float

    @property
    def confident(self) -> npt.NDArray[np.bool_]:
        """The quarter farthest from the base value."""
        count = max(round(CONFIDENT * len(self.distance)), 1)
        chosen = np.zeros(len(self.distance), dtype=bool)
        chosen[np.argsort(-np.abs(self.distance), kind="stable")[:count]] = True
        return chosen


def judged(task: Task, stage: Stage) -> Named:
    """What is named for every test axilla of a fitted scenario."""
    judge = Judge(task.config, Layout(task.folder))
    model = judge.model(stage)
    direct = judge.predict(model)
    sets = source_blocks(model.networks[0].blocks)
    distance, named, errors = [], [], []
    for (patient, side), logit in zip(
        direct[AXILLA_KEY].itertuples(index=False, name=None), direct["logit"], strict=True
    ):
        rows = judge.cases[(judge.cases["patient_id"] == patient) & (judge.cases["side"] == side)]
        shares, base = block_shares(Probe(model, rows, judge.store, judge.design), sets)
        total = sum(one for one in shares.values() if one is not None)
        errors.append(abs(base + total - logit))
        direction = 1.0 if total >= 0 else -1.0
        there = {name: direction * one for name, one in shares.items() if one is not None}
        distance.append(total)
        named.append(max(there, key=lambda name: there[name]))
    return Named(np.array(distance), named, max(errors), judge.auc(stage, direct, "logit"))


def line(found: Sequence[Named], right: set[str], words: dict[str, object]) -> dict[str, object]:
    """One line of results."""
    out = dict(words)
    for title, of in (("confident", True), ("all", False)):
        names = [
            name
            for one in found
            for name, sure in zip(one.named, one.confident.tolist(), strict=True)
            if sure or not of
        ]
        hits = sum(name in right for name in names)
        interval = wilson(hits, len(names))
        out[title] = {
            "n": len(names),
            "right": hits,
            "share": round(hits / len(names), 4),
            "low": round(interval[0], 4),
            "high": round(interval[1], 4),
            "named": dict(Counter(names).most_common()),
        }
    out["auc"] = [round(one.auc, 4) for one in found]
    out["largest error of the sum"] = max(one.error for one in found)
    return out


def main() -> int:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenario", nargs="+", default=list(RIGHT), choices=list(RIGHT))
    parser.add_argument("--patients", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    settings = SETTINGS | SMALL | dict(pair.split("=", 1) for pair in options.set)
    for name in options.scenario:
        every: dict[Stage, list[Named]] = {stage: [] for stage in Stage}
        for seed in range(1, options.seeds + 1):
            scenario = find_scenario(name)
            cohort = cohort_folder(options.out, seed, scenario)
            words = [word for key, value in settings.items() for word in (f"--{key}", value)]
            words += ["--data.root", str(cohort), "--seed", str(seed), "--out", str(options.out)]
            config, _ = read_config([str(DEMO), *words])
            task = Task(scenario, seed, options.out, config, options.patients, False)
            prepare(task, jobs=1)
            relabel(task)
            fit_both(config, Layout(task.folder))
            for stage in Stage:
                every[stage].append(judged(task, stage))
                told = {"scenario": name, "seed": seed, "stage": str(stage)}
                print(json.dumps(line(every[stage][-1:], RIGHT[name], told)), flush=True)
        if options.seeds > 1:
            for stage in Stage:
                told = {"scenario": name, "seeds": options.seeds, "stage": str(stage)}
                print(json.dumps(line(every[stage], RIGHT[name], told)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
