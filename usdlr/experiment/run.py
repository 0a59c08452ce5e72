"""``usdlr run``: every step in order, each done once, each checked against what it was made from."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError, InputError
from usdlr.core.files import read_json, write_atomic, write_json, write_text
from usdlr.core.hashing import file_hash, files_state
from usdlr.core.journal import Journal
from usdlr.core.pool import run_all
from usdlr.core.progress import say
from usdlr.core.provenance import Provenance, package_versions
from usdlr.core.types import Split, Stage
from usdlr.data.samples import SampleStore
from usdlr.experiment.baselines import BaselineJob, networks_read, run_baselines
from usdlr.experiment.cohort import axilla_labels, cohort_splits, select_cohort
from usdlr.experiment.config import ExperimentConfig, flat
from usdlr.experiment.decide import decide_all
from usdlr.experiment.external_steps import ExternalSteps
from usdlr.experiment.fit import FitJob, run_fit
from usdlr.experiment.gallery import gallery_cases
from usdlr.experiment.layout import RAW, Layout
from usdlr.experiment.results import run_metrics
from usdlr.experiment.selections import chosen_features, fitted_nomograms
from usdlr.experiment.truth import ceiling_lines, run_ceilings, run_scenario, run_truth
from usdlr.inference.bundle import write_bundle
from usdlr.inference.predictor import exclusion_table, failure_reasons
from usdlr.inference.stage_files import weights_name
from usdlr.ingest.adapter import adapter_named, require_folder
from usdlr.ingest.duplicates import fingerprint_table
from usdlr.ingest.pipeline import ingest
from usdlr.ingest.split_schemes import fold_table_hash
from usdlr.ingest.splits import BUNDLE_FOLD
from usdlr.models.encoders import require_encoders
from usdlr.radiomics.design import design_table
from usdlr.radiomics.engines import build_engine
from usdlr.radiomics.extract import extract
from usdlr.report.inputs import StudyInputs
from usdlr.report.study import write_report

# One case may take this long, in a process of its own; then it becomes a row with a reason.
STALL_S = 1800.0


def run_experiment(config: ExperimentConfig, out: Path) -> Path:
    """Run an experiment, or continue one.

    Parameters
    ----------
    config : ExperimentConfig
        The resolved configuration.
    out : Path
        Folder of the run. A run of the same configuration there is continued where it stopped.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    ConfigError
        If the folder holds a run of another configuration, or the configuration cannot work.
    InputError
        If the data cannot be used; a folder that this call created is removed again when that shows before any
        long work.
    """
    return _Run(config, Layout(out), Journal(out, package_versions())).everything()


def compare_baselines(config: ExperimentConfig, out: Path) -> pd.DataFrame:
    """Out-of-fold scores of the baselines, without a network; :func:`run_experiment` goes on from there.

    Returns
    -------
    DataFrame
        ``patient_id side stage fold score name``, one row per tested axilla, stage and baseline.
    """
    run = _Run(config, Layout(out), Journal(out, package_versions()))
    run.prepare()
    run.baselines()
    return pd.read_parquet(run.layout.baselines)


@dataclass
class _Run:
    config: ExperimentConfig
    layout: Layout
    journal: Journal
    inputs: dict[str, str] = field(default_factory=dict)
    source_state: str = ""
    external: ExternalSteps = field(init=False)

    def __post_init__(self) -> None:
        self.external = ExternalSteps(self.config, self.layout, self.journal)

    def everything(self) -> Path:
        self.prepare()
        self._fits()
        self.baselines()
        self._results()
        for line in ceiling_lines(read_json(self.layout.metrics)):
            say(line)
        say(f"report: {self.layout.report}")
        return self.layout.report

    def prepare(self) -> None:
        """Every step before the first fit."""
        out = self.layout.out
        existed = out.is_dir()
        fresh = not out.exists() or (existed and not any(out.iterdir()))
        try:
            source = self._check_before_work()
            self._ingest(source)
            self._check_feasible()
        except InputError:
            if fresh and out.is_dir():
                for path in out.iterdir():  # the folder itself may be the user's, a link or a mount
                    if path.is_dir():
                        shutil.rmtree(path)
                    else:
                        path.unlink()
                if not existed:
                    out.rmdir()
            raise
        self._features()
        self._cohort()
        self.external.prepare(self._provenance)

    # Steps, in order. Each `key` holds everything that decides the step's output.

    def _check_before_work(self) -> Path:
        config, out = self.config, self.layout.out
        if config.data.root is None:
            raise ConfigError("found no data.root, expected the folder of the export; add --data.root FOLDER")
        adapter = adapter_named(config.data.centre)
        source = require_folder(Path(config.data.root))
        build_engine(config.engine, config.radiomics)
        require_encoders(config.model, config.crop.size_px)
        run_truth(config.data)
        rows = adapter.rows(source)  # the export's own errors come before anything is written
        self.source_state = files_state([path for row in rows for path in row.paths().values()])
        if out.exists() and not out.is_dir():
            raise ConfigError(f"found the file {out}, expected a folder for the run; choose another --out")
        if self.layout.config.exists():
            self._require_same_config()
        elif out.exists() and any(out.iterdir()):
            raise ConfigError(f"found other files in {out}, expected an empty folder or a run; choose another --out")
        self.inputs = {role: file_hash(path) for role, path in adapter.inputs(source).items()}
        self.inputs |= self.external.check()
        if config.model.weights_file is not None:
            self.inputs["weights"] = file_hash(Path(config.model.weights_file))
        if config.splits.table is not None:
            self.inputs["folds"] = fold_table_hash(Path(config.splits.table))
        write_text(self.layout.config, yaml.safe_dump(config.as_dict(), sort_keys=False, allow_unicode=True))
        return source

    def _require_same_config(self) -> None:
        before = yaml.safe_load(self.layout.config.read_text(encoding="utf-8"))
        then, now = flat(before), flat(self.config.as_dict())
        free = {"jobs", "data.root", *(f"data.external.{name}" for name in self.config.data.external)}
        changed = sorted(key for key in then.keys() | now.keys() if key not in free and then.get(key) != now.get(key))
        if changed:
            key = changed[0]
            raise ConfigError(
                f"found a run with {key} = {then.get(key)!r} in {self.layout.out}, asked for {now.get(key)!r} "
                f"({len(changed)} keys differ), expected the same configuration; choose another --out"
            )

    def _ingest(self, source: Path) -> None:
        config, folder = self.config, self.layout.ingested
        self.journal.step(
            "ingest",
            [config.data.centre, config.data.ingest.as_dict(), self.inputs, self.source_state],
            [folder / "cases.parquet", folder / "exclusions.csv"],
            lambda: ingest(source, config.data.centre, folder, jobs=config.jobs, settings=config.data.ingest),
        )
        self.external.ingest()

    def _candidates(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Cases with a known endpoint, with paths relative to the run's folder; and exclusions so far."""
        folder = self.layout.ingested
        cases = tables.CASES.read(folder / "cases.parquet")
        kept, excluded = select_cohort(cases, self.config.data)
        for name in [column for column in kept if str(column).endswith("_path")]:
            kept[name] = kept[name].map(lambda path: f"{folder.name}/{path}", na_action="ignore")
        before = tables.EXCLUSIONS.read(folder / "exclusions.csv")
        return tables.CASES.conform(kept), pd.concat([before, excluded], ignore_index=True)

    def _check_feasible(self) -> None:
        """Refuse labels, folds or shared pictures before hours are spent on features."""
        cases, _ = self._candidates()
        layout, jobs = self.layout, self.config.jobs

        def work() -> None:
            prints = fingerprint_table(cases, layout.out, jobs=jobs)
            write_atomic(layout.fingerprints, lambda target: prints.to_parquet(target, index=False))

        key = [list(cases["image_id"]), self._hash("ingest/cases.parquet")]
        self.journal.step("fingerprints", key, [layout.fingerprints], work)
        self._splits(cases)
        self.external.require_new(cases, pd.read_parquet(layout.fingerprints))

    def _splits(self, cases: pd.DataFrame) -> pd.DataFrame:
        config, prints = self.config, pd.read_parquet(self.layout.fingerprints)
        return cohort_splits(cases, config.data, config.splits, config.seed, prints, self.layout.out)

    def _features(self) -> None:
        config, layout = self.config, self.layout
        cases, _ = self._candidates()

        def work() -> None:
            table = extract(
                cases,
                layout.out,
                config.radiomics,
                engine=config.engine,
                jobs=config.jobs,
                ledger=layout.out / "work" / "features",
                stall_s=STALL_S if config.jobs > 1 else None,
            )
            tables.FEATURES.write(
                table, layout.features, self._provenance("features", layout.ingested / "cases.parquet")
            )

        key = [config.radiomics.as_dict(), config.engine, list(cases["image_id"]), self._hash("ingest/cases.parquet")]
        self.journal.step("features", key, [layout.features], work)

    def _cohort(self) -> None:
        config, layout = self.config, self.layout

        def work() -> None:
            cases, excluded = self._candidates()
            features = tables.FEATURES.read(layout.features)
            reasons = failure_reasons(features)
            rest = cases[~cases["image_id"].isin(list(reasons))]
            store, uncut = SampleStore.cut(
                rest, layout.out, config.crop, config.preparation.regions, config.radiomics.margin_mm, jobs=config.jobs
            )
            reasons |= {name: (str(error.code), error.sentence) for name, error in uncut.items()}
            excluded = pd.concat([excluded, exclusion_table(cases, reasons, "features")], ignore_index=True)
            cases = cases[~cases["image_id"].isin(list(reasons))].reset_index(drop=True)
            if cases.empty:
                code, sentence = next(iter(reasons.values()))
                raise DataError(f"found no usable case among {len(reasons)}; the first is {code}: {sentence}")
            provenance = self._provenance("cohort", layout.features, layout.ingested / "cases.parquet")
            tables.SPLITS.write(self._splits(cases), layout.splits, provenance)
            store.select(cases["image_id"]).save(layout.crops)
            design = design_table(features, cases, config.data.clinical)
            write_atomic(layout.design, lambda target: design.to_parquet(target))
            tables.EXCLUSIONS.write(excluded, layout.exclusions, provenance)
            tables.CASES.write(cases, layout.cases, provenance)

        read = [self._hash("features.parquet"), self._hash("ingest/cases.parquet"), self.inputs.get("folds")]
        outputs = [layout.cases, layout.exclusions, layout.splits, layout.crops, layout.design]
        self.journal.step("cohort", [config.identity(), *read], outputs, work)

    def _fits(self) -> None:
        config, layout = self.config, self.layout
        inputs = ["cases.parquet", "splits.csv", "work/crops.npz", "work/design.parquet"]
        folds = [*layout.test_folds(), BUNDLE_FOLD]
        for stage in Stage:  # stage 2 may start from stage 1 of its fold
            key = [config.identity(), self.inputs.get("weights"), *map(self._hash, inputs)]
            jobs = [FitJob(config, layout.out, fold, stage) for fold in folds]
            waiting = [job for job in jobs if not self.journal.is_done(job.step, key)]

            def finished(outcome: Any, waiting: list[FitJob] = waiting, key: list[Any] = key) -> None:
                if outcome.failure is None:
                    job = waiting[outcome.position]
                    self.journal.mark_done(job.step, key, job.outputs)

            for job in waiting:
                job.forget_other_start(key)
            label = f"fits of stage {stage}"
            for outcome in run_all(run_fit, waiting, jobs=config.jobs, label=label, on_outcome=finished):
                if outcome.failure is not None:
                    raise outcome.failure
            weights = [layout.stage(fold, stage) / weights_name(m) for fold in folds for m in range(config.networks)]
            inputs += [str(path.relative_to(layout.out)) for path in weights]

    def baselines(self) -> None:
        """Fit and score the plain models."""
        config, layout = self.config, self.layout

        def work() -> None:
            jobs = [BaselineJob(config, layout.out, fold) for fold in layout.test_folds()]
            outcomes = run_all(run_baselines, jobs, jobs=config.jobs, label="baselines")
            for outcome in outcomes:
                if outcome.failure is not None:
                    raise outcome.failure
            scores = pd.concat(
                [outcome.result for outcome in outcomes if outcome.result is not None], ignore_index=True
            )
            write_atomic(layout.baselines, lambda target: scores.to_parquet(target, index=False))

        key = [
            config.identity(),
            self._hash("cases.parquet"),
            self._hash("splits.csv"),
            self._hash("work/design.parquet"),
            *map(self._hash, networks_read(config, layout)),
        ]
        self.journal.step("baselines", key, [layout.baselines], work)
        self.external.score_baselines(key)

    def _results(self) -> None:
        layout = self.layout
        fits = [str(path.relative_to(layout.out)) for path in sorted(layout.out.glob(f"work/fits/*/*/{RAW}"))]
        key = [
            self.config.identity(),
            *map(self._hash, ["cases.parquet", "exclusions.csv", "work/baselines.parquet", *fits]),
            {role: file_hash(path) for role, path in run_truth(self.config.data).items()},
            self.external.state(),
        ]
        if self.journal.is_done("results", key):
            return
        self._write_results()
        outputs = [layout.predictions, layout.decisions, layout.metrics, layout.report, layout.provenance]
        folders = (layout.bundle, layout.out / "figures")
        outputs += [layout.ceilings] if run_truth(self.config.data) else []
        outputs += self.external.results
        outputs += [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
        self.journal.mark_done("results", key, outputs)

    def _write_results(self) -> None:
        config, layout = self.config, self.layout
        say("deciding, certifying, writing the report")
        cases = tables.CASES.read(layout.cases)
        labels = axilla_labels(cases, config.data)
        splits = layout.read_splits(cases["patient_id"].unique())
        decided = decide_all(config, layout, cases, labels, splits)
        ceilings = run_ceilings(config.data, layout, labels, splits)
        # Split by date, the earlier patients are never tested: nobody decides about them.
        labels = labels[labels["patient_id"].isin(splits.loc[splits["split"] == str(Split.TEST), "patient_id"])]
        provenance = self._provenance("run", layout.cases, layout.splits, layout.features)
        predictions = tables.PREDICTIONS.write(decided.predictions, layout.predictions, provenance)
        tested = decided.decisions.dropna(subset="risk_group")
        decisions = tables.DECISIONS.write(tested, layout.decisions, provenance)
        exclusions = tables.EXCLUSIONS.read(layout.exclusions)
        metrics = run_metrics(
            config,
            layout,
            cases=cases,
            labels=labels,
            exclusions=exclusions,
            predictions=predictions,
            decisions=decisions,
            contracts=decided.contracts,
            ceilings=ceilings,
            scenario=run_scenario(config.data),
        )
        write_bundle(
            layout.bundle,
            members={name: layout.member(name) for name in [BUNDLE_FOLD, *layout.test_folds()]},
            preparation=config.preparation,
            on_uncertified=config.on_uncertified,
            card={
                key: metrics[key] for key in ("experiment", "question", "simulated", "proxies", "endpoints", "cohort")
            },
        )
        predictions, metrics = self.external.judge(predictions, metrics, provenance)
        write_json(layout.metrics, metrics)
        gallery = gallery_cases(
            cases, layout.out, decisions, labels, margin_mm=config.radiomics.margin_mm, count=config.gallery
        )
        write_report(
            StudyInputs(
                metrics=read_json(layout.metrics),
                predictions=predictions,
                decisions=decisions,
                labels=labels,
                exclusions=exclusions,
                baselines=pd.read_parquet(layout.baselines),
                gallery=gallery,
                provenance=provenance.as_dict(),
                config_yaml=yaml.safe_dump(config.identity(), sort_keys=False, allow_unicode=True),
                selection=chosen_features(config, layout, cases),
                nomograms=fitted_nomograms(config, layout, cases),
            ),
            layout.out,
        )
        write_json(layout.provenance, provenance.as_dict())

    def _provenance(self, step: str, *inputs: Path) -> Provenance:
        hashes = {str(path.relative_to(self.layout.out)): file_hash(path) for path in inputs}
        return Provenance(f"usdlr run: {step}", hashes | self.inputs, self.config.identity(), self.config.seed)

    def _hash(self, relative: str) -> str:
        return file_hash(self.layout.out / relative)
