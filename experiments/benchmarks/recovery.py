"""How much of what can be known does fusion find, and in the right blocks? Simulated cohorts with known truth.

    python experiments/benchmarks/recovery.py --out DIR [--scenario NAME|FILE ...] [--patients 1500] [--seeds 2]
        [--set KEY=VALUE ...] [--without-map]

For every seed one cohort of three centres is simulated and measured: images, features and crops. What the images show
depends on the tumours alone, never on the nodes, so a scenario only gives these axillae other nodes: the same draw of
the same patients under its own coefficients. Given the nodes of the first scenario, the cohort must come out as it was
ingested, or the benchmark stops. A scenario with images of lymph nodes has a cohort of its own, and
the B-mode images of both sites are read.

For every scenario and seed both stages are fitted on one fixed split (the last examined 30 % are the test patients).
JSON lines tell, for both stages on the test axillae: the AUC of fusion, of every single block (the others hidden), of
fusion with each block removed (a modality's region loses its image block and its radiomics), of a ridge regression on
the same table and on each block of it alone, and of the limit; fusion's share of the limit,
(AUC - 0.5) / (limit - 0.5); and how the logit is divided among the blocks: the standard deviation of a block's
contribution over the axillae, as a share of all. Blocks are removed by hiding them from one network that was trained
with hidden blocks, not by training anew. With `--without-map` a second network learns without elastography, beside
fusion whose patients lose their map. Then, over the seeds, means and paired differences with 95 % intervals; the best
single block is the one with the highest mean, whether fusion reads it or a ridge regression.

`--set` takes any key of the experiment, e.g. `--set fit.epochs=20 model.backbone=resnet18`. Interrupted, the same
command continues. Axillae whose nodes are unknown in the first scenario stay out of all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t
from sklearn.metrics import roc_auc_score

from usdlr.baselines.blocks import CLINICAL_BLOCK
from usdlr.baselines.pipelines import baseline_named
from usdlr.cli.run import read_config
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.files import read_json, write_json
from usdlr.core.hashing import data_hash, file_hash
from usdlr.core.modalities import BMODE, ELASTO, MODALITIES
from usdlr.core.pool import run_all
from usdlr.core.provenance import Provenance
from usdlr.core.regions import block_site
from usdlr.core.tables import CASES, SPLITS
from usdlr.core.types import Roi, Site, Split, Stage
from usdlr.data.samples import SampleStore
from usdlr.evaluation.ceiling import LIMIT
from usdlr.experiment.baselines import BaselineJob, run_baselines
from usdlr.experiment.cohort import axilla_labels, cohort_splits, stage_labels
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.fit import FitJob, run_fit
from usdlr.experiment.layout import Layout
from usdlr.experiment.run import compare_baselines
from usdlr.experiment.truth import ceiling_scores, read_truth
from usdlr.inference.stage import StageModel
from usdlr.inference.stage_files import load_stage
from usdlr.simulate.centres import find_centres
from usdlr.simulate.export import (
    COHORT_FILE,
    PATIENT_COLUMNS,
    TRUTH_FILE,
    TRUTH_IMAGES_FILE,
    simulate,
    truth_columns,
)
from usdlr.simulate.plan import ExportFormat, plan_cohort
from usdlr.simulate.scenario import SCENARIOS, Scenario
from usdlr.simulate.scenario_file import find_scenario

DEMO = Path(__file__).resolve().parents[1] / "demo" / "experiment.yaml"
SETTINGS = {
    "splits.by": "date",
    "splits.test_share": "0.3",
    "splits.tuning": "0.2",
    "splits.calibration": "0.2",
    "model.tabular": "split",
    "model.block_dropout": "0.2",
    "fit.epochs": "8",
    "fit.wandb": "disabled",
    "selection.bootstraps": "0",
    "gallery": "0",
}
RIDGE = "radiomics_ridge"
SINGLE = [f"{name}.{roi}" for name in MODALITIES for roi in (Roi.INTRATUMORAL, Roi.PERITUMORAL)]
ALONE = {block: f"{RIDGE}@{block}" for block in (*SINGLE, CLINICAL_BLOCK)}
# Where nodes are imaged: B-mode alone, since a prediction is divided exactly among so many blocks only.
NODES = {"data.sites": f"[{Site.TUMOUR}, {Site.AXILLA}]", "model.modalities": f"[{BMODE}]"}
WHOLES = ("images", "radiomics and clinical")  # what is more than one block
CENTRES = ["north", "south", "west"]
FIRST = "default"  # the scenario whose cohorts are simulated
ROUND = 4


@dataclass(frozen=True)
class Task:
    """One scenario of one seed."""

    scenario: Scenario
    seed: int
    out: Path
    config: ExperimentConfig
    patients: int
    without_map: bool

    @property
    def first(self) -> Scenario:
        """The scenario whose cohort is simulated."""
        return self.scenario if self.scenario.nodes.imaged else SCENARIOS[FIRST]

    @property
    def cohort(self) -> Path:
        """The seed's cohort, of the first scenario."""
        return cohort_folder(self.out, self.seed, self.scenario)

    @property
    def prepared(self) -> Path:
        """The seed's run, up to the first fit."""
        return self.cohort.with_name(f"prepared_{self.first.name}")

    @property
    def folder(self) -> Path:
        """Where the scenario's fits go."""
        return self.cohort.with_name(self.scenario.name)

    @property
    def asked(self) -> str:
        """What the result depends on."""
        scenario = self.scenario.as_dict()
        return data_hash([self.config.identity(), self.patients, self.without_map, scenario, self.seed])


def cohort_folder(out: Path, seed: int, scenario: Scenario) -> Path:
    """Where the images of a scenario and seed are."""
    first = scenario.name if scenario.nodes.imaged else FIRST
    return out / f"seed_{seed:02d}" / f"cohort_{first}"


def relabel(task: Task) -> None:
    """Lay out the scenario's run beside the prepared one: the same images, other nodes, splits drawn anew."""
    before, after = Layout(task.prepared), Layout(task.folder)
    mark = task.folder / "asked.json"
    if mark.exists() and read_json(mark) != task.asked:  # networks of another question
        shutil.rmtree(task.folder)
    task.folder.mkdir(parents=True, exist_ok=True)
    write_json(mark, task.asked)
    cases = CASES.read(before.cases)
    first, _ = with_nodes(cases, task.first, task)
    pd.testing.assert_frame_equal(first, cases)
    cases, truth = with_nodes(cases, task.scenario, task)
    after.crops.parent.mkdir(parents=True, exist_ok=True)
    for old, new in ((before.crops, after.crops), (before.design, after.design), (before.features, after.features)):
        if not new.exists():
            os.link(old, new)
    prints = pd.read_parquet(before.fingerprints)
    splits = cohort_splits(cases, task.config.data, task.config.splits, task.seed, prints, task.prepared)
    provenance = Provenance(f"benchmark: nodes of {task.scenario.name}", {}, task.config.identity(), task.seed)
    SPLITS.write(splits, after.splits, provenance)
    CASES.write(cases, after.cases, provenance)
    # What the limit is computed from: the scenario's form and true probabilities, and latents as the images show them.
    root = task.folder / "truth"
    root.mkdir(exist_ok=True)
    truth[truth_columns(task.scenario)].to_parquet(root / TRUTH_FILE, index=False)
    pd.read_parquet(task.cohort / TRUTH_IMAGES_FILE).to_parquet(root / TRUTH_IMAGES_FILE, index=False)
    files = {name: file_hash(root / name) for name in (TRUTH_FILE, TRUTH_IMAGES_FILE)}
    state = read_json(task.cohort / COHORT_FILE) | {"scenario": task.scenario.as_dict(), "truth": files}
    write_json(root / COHORT_FILE, state)


def with_nodes(cases: pd.DataFrame, scenario: Scenario, task: Task) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same cases with a scenario's nodes, and the truth behind them."""
    plan = plan_cohort(task.out, find_centres(CENTRES), task.patients, task.seed, scenario, ExportFormat.PNG)
    drawn = plan.patients.set_index("patient_id").loc[list(cases["patient_id"])].reset_index()
    columns = {name: drawn[name].to_numpy() for name in PATIENT_COLUMNS if name in cases}
    return CASES.conform(cases.assign(**columns)), plan.patients


def removable(blocks: Iterable[str]) -> dict[str, set[str]]:
    """What is removed together: a region of a modality with its radiomics, the clinical variables, images of nodes."""
    groups: dict[str, set[str]] = {}
    for block in blocks:
        node = block_site(block) is not Site.TUMOUR
        groups.setdefault("node images" if node else block.removeprefix("radiomics."), set()).add(block)
    return groups


class Judge:
    """The test axillae of a fitted run.

    Parameters
    ----------
    config : ExperimentConfig
        Its configuration.
    layout : Layout
        Its folder.
    """

    def __init__(self, config: ExperimentConfig, layout: Layout) -> None:
        self.config, self.layout = config, layout
        cases = CASES.read(layout.cases)
        self.labels = axilla_labels(cases, config.data)
        self.splits = layout.read_splits(cases["patient_id"].unique())
        (self.fold,) = layout.test_folds()
        fold = self.splits[self.splits["fold"] == self.fold]
        tested = set(fold.loc[fold["split"] == str(Split.TEST), "patient_id"])
        self.cases = cases[cases["patient_id"].isin(tested)].reset_index(drop=True)
        self.store = SampleStore.load(layout.crops).select(self.cases["image_id"])
        self.design = pd.read_parquet(layout.design)

    def model(self, stage: Stage) -> StageModel:
        """A fitted stage."""
        return load_stage(self.layout.stage(self.fold, stage), self.config.ensemble)

    def auc(self, stage: Stage, scores: pd.DataFrame, column: str) -> float:
        """Area under the curve of the axillae of a table whose status is known."""
        known = self.labels[AXILLA_KEY].assign(y=stage_labels(self.labels, stage).to_numpy(np.float64)).dropna()
        rows = known.merge(scores, on=AXILLA_KEY, validate="one_to_one")
        return float(roc_auc_score(rows["y"], rows[column]))

    def predict(self, model: StageModel, hidden: Iterable[str] = ()) -> pd.DataFrame:
        """Raw log-odds with some blocks hidden."""
        size = self.config.fit.batch_size
        return model.predict_axillae(self.cases, self.store, self.design, size, hidden=sorted(hidden))

    def without_map(self, model: StageModel) -> pd.DataFrame:
        """Raw log-odds of the axillae that have a map, as if they had none."""
        return model.predict_without(ELASTO, self.cases, self.store, self.design, self.config.fit.batch_size)


def fit_both(config: ExperimentConfig, layout: Layout) -> None:
    """Fit both stages of the only fold, in this process."""
    (fold,) = layout.test_folds()
    for stage in Stage:
        job = FitJob(config, layout.out, fold, stage)
        if not all(path.exists() for path in job.outputs):
            run_fit(job)


def run_task(task: Task) -> dict[str, float]:
    """Fit and judge one scenario of one seed."""
    config, layout = task.config, Layout(task.folder)
    relabel(task)
    fit_both(config, layout)
    judge = Judge(config, layout)
    truth = read_truth(task.folder / "truth", judge.labels)
    limits = ceiling_scores(truth, judge.labels, judge.splits)[LIMIT]
    ridge = run_baselines(BaselineJob(config, layout.out, judge.fold))
    found: dict[str, float] = {}
    for stage in Stage:
        model, name = judge.model(stage), str(stage)
        blocks, whole = set(model.networks[0].blocks), judge.predict(model)
        found[f"{name}.fusion"] = judge.auc(stage, whole, "logit")
        groups = removable(model.networks[0].blocks)
        shares = {group: whole[[f"contribution.{block}" for block in names]] for group, names in groups.items()}
        spread = {group: float(np.nansum(part.to_numpy(), axis=1).std()) for group, part in shares.items()}
        for group, names in groups.items():
            found[f"{name}.without {group}"] = judge.auc(stage, judge.predict(model, names), "logit")
            found[f"{name}.only {group}"] = judge.auc(stage, judge.predict(model, blocks - names), "logit")
            found[f"{name}.contribution of {group}"] = spread[group] / sum(spread.values())
        plain = {block for block in blocks if block.startswith("radiomics.")} | {"clinical"}
        found[f"{name}.only images"] = judge.auc(stage, judge.predict(model, plain), "logit")
        found[f"{name}.only radiomics and clinical"] = judge.auc(stage, judge.predict(model, blocks - plain), "logit")
        mine = ridge[ridge["stage"] == name]
        found[f"{name}.ridge"] = judge.auc(stage, mine[mine["name"] == RIDGE], "score")
        for block, baseline in ALONE.items():
            of_block = mine[mine["name"] == baseline_named(baseline).name]
            if len(of_block):
                found[f"{name}.ridge of {block} alone"] = judge.auc(stage, of_block, "score")
        chance = name in limits.chance
        scores = limits.predictions[limits.predictions["stage"] == name]
        limit = 0.5 if chance else judge.auc(stage, scores, "score")
        found[f"{name}.limit"] = limit
        found[f"{name}.share of the limit"] = np.nan if chance else (found[f"{name}.fusion"] - 0.5) / (limit - 0.5)
        less = judge.without_map(model)
        found[f"{name}.with a map, fusion"] = judge.auc(stage, less[AXILLA_KEY].merge(whole, on=AXILLA_KEY), "logit")
        found[f"{name}.with a map, taken away"] = judge.auc(stage, less, "logit")
    if task.without_map:
        found |= elasto_free(task, judge)
    write_json(task.folder / "auc.json", {"asked": task.asked, "auc": found})
    return found


def elasto_free(task: Task, judge: Judge) -> dict[str, float]:
    """A network that never saw elastography, on the axillae whose map was taken away above."""
    config = replace(task.config, model=replace(task.config.model, modalities=[BMODE]))
    layout, found = Layout(task.folder / "without_map"), {}
    layout.crops.parent.mkdir(parents=True, exist_ok=True)
    for old, new in (
        (judge.layout.crops, layout.crops),
        (judge.layout.cases, layout.cases),
        (judge.layout.splits, layout.splits),
    ):
        if not new.exists():
            os.link(old, new)
    for path in judge.layout.out.glob("*.provenance.json"):
        if not (layout.out / path.name).exists():
            os.link(path, layout.out / path.name)
    design = judge.design[[name for name in judge.design if not str(name).startswith((f"{ELASTO}.", "strain."))]]
    design.to_parquet(layout.design)
    fit_both(config, layout)
    other = Judge(config, layout)
    for stage in Stage:
        has = judge.without_map(judge.model(stage))[AXILLA_KEY]
        raw = other.predict(other.model(stage)).merge(has, on=AXILLA_KEY)
        found[f"{stage}.with a map, never learned"] = other.auc(stage, raw, "logit")
    return found


def prepare(task: Task, jobs: int) -> None:
    """Simulate and measure a seed's cohort, up to the first fit."""
    simulate(
        task.cohort,
        patients=task.patients,
        seed=task.seed,
        scenario=task.first,
        centres=CENTRES,
        jobs=jobs,
    )
    compare_baselines(replace(task.config, jobs=jobs), task.prepared)


def known_result(task: Task) -> dict[str, float] | None:
    """What an earlier call found, if it was asked the same."""
    path = task.folder / "auc.json"
    content = read_json(path) if path.is_file() else None
    if not isinstance(content, dict) or content.get("asked") != task.asked:
        return None
    return {name: np.nan if value is None else float(value) for name, value in content["auc"].items()}


def interval(values: list[float]) -> dict[str, float | None]:
    """Mean with its 95 % interval over the seeds; none from a single one."""
    mean = float(np.mean(values))
    if len(values) < 2 or not np.isfinite(mean):
        return {"mean": round(mean, ROUND) if np.isfinite(mean) else None, "low": None, "high": None}
    half = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
    return {"mean": round(mean, ROUND), "low": round(mean - half, ROUND), "high": round(mean + half, ROUND)}


def summarise(scenario: str, every: list[dict[str, float]]) -> None:
    """Print means, and differences to fusion on the same patients."""
    for name in every[0]:
        line: dict[str, Any] = {"scenario": scenario, "name": name, "seeds": len(every)}
        line |= interval([found[name] for found in every])
        stage, _, what = name.partition(".")
        if what.startswith(("without ", "only ", "ridge")):
            line["fusion minus this"] = interval([found[f"{stage}.fusion"] - found[name] for found in every])
        if what == "with a map, never learned":
            line["taken away minus this"] = interval(
                [found[f"{stage}.with a map, taken away"] - found[name] for found in every]
            )
        print(json.dumps(line), flush=True)
    for stage in Stage:
        single = [
            name
            for name in every[0]
            if name.startswith((f"{stage}.only ", f"{stage}.ridge of ")) and not name.endswith(WHOLES)
        ]
        best = max(single, key=lambda name: np.mean([found[name] for found in every]))
        gain = interval([found[f"{stage}.fusion"] - found[best] for found in every])
        words = {"scenario": scenario, "name": f"{stage}.best single block", "which": best.partition(".")[2]}
        print(json.dumps(words | {"fusion minus this": gain}), flush=True)


def main() -> int:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenario", nargs="+", default=[FIRST], metavar="NAME|FILE", help=", ".join(SCENARIOS))
    parser.add_argument("--patients", type=int, default=1500)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--jobs", type=int, default=2, help="fits side by side")
    parser.add_argument("--without-map", action="store_true", help="also a network that never saw elastography")
    options = parser.parse_args()
    settings = SETTINGS | dict(pair.split("=", 1) for pair in options.set)
    tasks = []
    scenarios = [find_scenario(name) for name in options.scenario]
    for scenario in scenarios:
        for seed in range(1, options.seeds + 1):
            cohort = cohort_folder(options.out, seed, scenario)
            own = settings | (NODES if scenario.nodes.imaged else {})
            own |= {"baselines": f"[{', '.join([RIDGE, *([] if scenario.nodes.imaged else ALONE.values())])}]"}
            words = [word for key, value in own.items() for word in (f"--{key}", value)]
            words += ["--data.root", str(cohort), "--seed", str(seed), "--out", str(options.out)]
            config, _ = read_config([str(DEMO), *words])
            tasks.append(Task(scenario, seed, options.out, config, options.patients, options.without_map))
    waiting = [task for task in tasks if known_result(task) is None]
    for task in {task.cohort: task for task in waiting}.values():
        prepare(task, options.jobs)
    for outcome in run_all(run_task, waiting, jobs=options.jobs, label="scenarios and seeds"):
        if outcome.failure is not None:
            raise outcome.failure
    for scenario in scenarios:
        every = [found for task in tasks if task.scenario == scenario and (found := known_result(task)) is not None]
        for seed, found in enumerate(every, start=1):
            rounded = {name: round(value, ROUND) for name, value in found.items()}
            print(json.dumps({"scenario": scenario.name, "seed": seed} | rounded), flush=True)
        summarise(scenario.name, every)
    return 0


if __name__ == "__main__":
    sys.exit(main())
