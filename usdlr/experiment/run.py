"""``usdlr run``: every step in order, each done once, each checked against what it was made from."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError, InputError
from usdlr.core.files import read_json, write_atomic, write_text
from usdlr.core.hashing import file_hash, files_state
from usdlr.core.journal import Journal, timed
from usdlr.core.named_parts import nearest
from usdlr.core.pool import one_thread, run_all
from usdlr.core.progress import say
from usdlr.core.provenance import Provenance, package_versions
from usdlr.core.types import Stage
from usdlr.data.samples import SampleStore
from usdlr.experiment.baselines import BaselineJob, networks_read, run_baselines
from usdlr.experiment.cohort import axilla_labels, cohort_splits, select_cohort
from usdlr.experiment.config import ExperimentConfig, flat
from usdlr.experiment.dependence import BASELINES_FREE, COHORT_FREE, settings_but
from usdlr.experiment.external_steps import ExternalSteps
from usdlr.experiment.fit import FitJob, run_fit
from usdlr.experiment.layout import RAW, Layout
from usdlr.experiment.needs import require_learnable
from usdlr.experiment.truth import ceiling_lines, run_truth
from usdlr.experiment.write_results import write_results
from usdlr.inference.predictor import exclusion_table, failure_reasons
from usdlr.inference.sites import design_of, orphans, tumours
from usdlr.inference.stage_files import weights_name
from usdlr.ingest.adapter import adapter_named, require_folder
from usdlr.ingest.duplicates import fingerprint_table
from usdlr.ingest.pipeline import ingest
from usdlr.ingest.split_schemes import fold_table_hash
from usdlr.ingest.splits import BUNDLE_FOLD
from usdlr.models.encoders import require_encoders
from usdlr.models.heads import build_head
from usdlr.radiomics.design import unmeasured
from usdlr.radiomics.engines import build_engine
from usdlr.radiomics.extract import extract
from usdlr.radiomics.stability.repeats import read_repeats

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
    with one_thread():
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


def run_one_fit(config: ExperimentConfig, out: Path, fold: str, stage: Stage, work: Callable[[FitJob], Any]) -> Path:
    """Prepare a run as :func:`run_experiment` does, and fit one stage of one fold, which a run there then need not.

    Stage 2 that starts from stage 1, or is another answer of its networks, has that fitted first.

    Parameters
    ----------
    config, out
        As for :func:`run_experiment`.
    fold : str
        Name of the fold.
    stage : Stage
        Which question.
    work : callable
        What fits one job, in this process.

    Returns
    -------
    Path
        Folder of the stage's files.

    Raises
    ------
    ConfigError
        If there is no such fold; or as :func:`run_experiment`.
    """
    run = _Run(config, Layout(out), Journal(out, package_versions()))
    run.prepare()
    folds = [*run.layout.test_folds(), BUNDLE_FOLD]
    if fold not in folds:
        raise ConfigError(f"found the fold {fold!r}, expected one of {', '.join(folds)}{nearest(fold, folds)}")
    first = stage is Stage.NSLN and _starts_from_first(config)
    for one in [Stage.SLN, stage] if first else [stage]:
        if not run.fit([FitJob(config, out, fold, one)], f"fit of stage {one}", work):
            say(f"stage {one} of fold {fold} is fitted already")
    return run.layout.stage(fold, stage)


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
        # Exclusions since the first look may have left too few; a cohort made for other learners does not know these.
        cases = tables.CASES.read(self.layout.cases)
        splits = self.layout.read_splits(cases["patient_id"].unique())
        require_learnable(splits, axilla_labels(cases, self.config.data), self.config)
        self.external.prepare(self._provenance)

    # Steps, in order. Each `key` holds everything that decides the step's output.

    def _check_before_work(self) -> Path:
        config, out = self.config, self.layout.out
        if config.data.root is None:
            raise ConfigError("found no data.root, expected the folder of the export; add --data.root FOLDER")
        adapter = adapter_named(config.data.centre)
        source = require_folder(Path(config.data.root))
        build_engine(config.engine, config.radiomics)
        for variant in config.ensemble:
            require_encoders(variant.network, variant.crop.size_px)
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
        self.inputs |= self._weights()
        if config.splits.table is not None:
            self.inputs["folds"] = fold_table_hash(Path(config.splits.table))
        if config.selection.stability is not None:
            table = Path(config.selection.stability)
            read_repeats(table, config.radiomics.as_dict(), config.engine)
            self.inputs["stability"] = file_hash(table)
        write_text(self.layout.config, yaml.safe_dump(config.as_dict(), sort_keys=False, allow_unicode=True))
        return source

    def _weights(self) -> dict[str, str]:
        """Hashes of the files that networks start from, by role."""
        return {
            f"weights.{one.name}" if one.name else "weights": file_hash(Path(one.network.weights_file))
            for one in self.config.ensemble
            if one.network.weights_file is not None
        }

    def _require_same_config(self) -> None:
        before = yaml.safe_load(self.layout.config.read_text(encoding="utf-8"))
        then, now = flat(before), flat(self.config.as_dict())
        free = {"jobs", "data.root", *(f"data.external.{name}" for name in self.config.data.external)}
        moved = "selection.stability"  # its content is among the inputs
        free |= {moved} if then.get(moved) and now.get(moved) else set()
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
        splits = cohort_splits(cases, config.data, config.splits, config.seed, prints, self.layout.out)
        require_learnable(splits, axilla_labels(cases, config.data), config)
        return splits

    def _features(self) -> None:
        config, layout = self.config, self.layout
        cases = tumours(self._candidates()[0])  # of a lymph node, nothing is measured

        def work() -> None:
            table = unmeasured(cases)
            if config.reads_radiomics:
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
        key += [] if config.reads_radiomics else ["not measured"]
        self.journal.step("features", key, [layout.features], work)

    def _cohort(self) -> None:
        config, layout = self.config, self.layout

        def work() -> None:
            cases, excluded = self._candidates()
            features = tables.FEATURES.read(layout.features)
            reasons = failure_reasons(features)
            rest = cases[~cases["image_id"].isin(list(reasons))]
            crop, *further = config.preparation.crops
            store, uncut = SampleStore.cut(
                rest,
                layout.out,
                crop,
                config.preparation.regions,
                config.radiomics.margin_mm,
                jobs=config.jobs,
                further=further,
            )
            reasons |= {name: (str(error.code), error.sentence) for name, error in uncut.items()}
            reasons |= orphans(cases[~cases["image_id"].isin(list(reasons))])
            excluded = pd.concat([excluded, exclusion_table(cases, reasons, "features")], ignore_index=True)
            cases = cases[~cases["image_id"].isin(list(reasons))].reset_index(drop=True)
            if cases.empty:
                code, sentence = next(iter(reasons.values()))
                raise DataError(f"found no usable case among {len(reasons)}; the first is {code}: {sentence}")
            origin = self._provenance("cohort", layout.features, layout.ingested / "cases.parquet")
            provenance = replace(origin, config=self._cohort_settings)
            tables.SPLITS.write(self._splits(cases), layout.splits, provenance)
            store.select(cases["image_id"]).save(layout.crops)
            design = design_of(features, cases, config.data.clinical)
            write_atomic(layout.design, lambda target: design.to_parquet(target))
            tables.EXCLUSIONS.write(excluded, layout.exclusions, provenance)
            tables.CASES.write(cases, layout.cases, provenance)

        read = [self._hash("features.parquet"), self._hash("ingest/cases.parquet"), self.inputs.get("folds")]
        outputs = [layout.cases, layout.exclusions, layout.splits, layout.crops, layout.design]
        self.journal.step("cohort", [self._cohort_settings, *read], outputs, work)

    @property
    def _cohort_settings(self) -> dict[str, Any]:
        return settings_but(self.config.identity(), COHORT_FREE)

    def _fits(self) -> None:
        folds = [*self.layout.test_folds(), BUNDLE_FOLD]
        for stage in Stage:  # stage 2 may start from stage 1 of its fold
            self.fit([FitJob(self.config, self.layout.out, fold, stage) for fold in folds], f"fits of stage {stage}")

    def fit(self, jobs: Sequence[FitJob], label: str, work: Callable[[FitJob], Any] | None = None) -> list[FitJob]:
        """Fit what is not fitted yet, all of one stage; returns what that was."""
        waiting = [job for job in jobs if not self.journal.is_done(job.step, self._fit_key(job))]

        def finished(outcome: Any) -> None:
            if outcome.failure is None:
                job = waiting[outcome.position]
                self.journal.mark_done(job.step, self._fit_key(job), job.outputs, outcome.result)

        for job in waiting:
            job.forget_other_start(self._fit_key(job))
        for outcome in run_all(work or _timed_fit, waiting, jobs=self.config.jobs, label=label, on_outcome=finished):
            if outcome.failure is not None:
                raise outcome.failure
        return waiting

    def _fit_key(self, job: FitJob) -> list[Any]:
        config, layout = self.config, self.layout
        started = self._weights() if config.variants else self.inputs.get("weights")
        inputs = [layout.cases, layout.splits, layout.crops, layout.design]
        if job.stage is Stage.NSLN and _starts_from_first(config):
            first = layout.stage(job.fold, Stage.SLN)
            inputs += [first / weights_name(member) for member in range(config.networks)]
        return [config.identity(), started, self.inputs.get("stability"), *map(file_hash, inputs)]

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

        networks = networks_read(config, layout)
        key = [
            config.identity() if networks else settings_but(config.identity(), BASELINES_FREE),
            self._hash("cases.parquet"),
            self._hash("splits.csv"),
            self._hash("work/design.parquet"),
            *map(self._hash, networks),
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
            self.inputs.get("stability"),
        ]
        if self.journal.is_done("results", key):
            return
        provenance = self._provenance("run", layout.cases, layout.splits, layout.features)
        _, time_s = timed(lambda: write_results(self.config, layout, self.external, provenance))
        outputs = [layout.predictions, layout.decisions, layout.metrics, layout.report, layout.provenance]
        folders = (layout.bundle, layout.out / "figures")
        outputs += [layout.ceilings] if run_truth(self.config.data) else []
        outputs += self.external.results
        outputs += [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
        self.journal.mark_done("results", key, outputs, time_s)

    def _provenance(self, step: str, *inputs: Path) -> Provenance:
        hashes = {str(path.relative_to(self.layout.out)): file_hash(path) for path in inputs}
        return Provenance(f"usdlr run: {step}", hashes | self.inputs, self.config.identity(), self.config.seed)

    def _hash(self, relative: str) -> str:
        return file_hash(self.layout.out / relative)


def _starts_from_first(config: ExperimentConfig) -> bool:
    """Whether stage 2 starts from the networks of stage 1, or is another answer of theirs."""
    return config.fit.warm_start or build_head(config.model.head).joint


def _timed_fit(job: FitJob) -> tuple[float, float]:
    """Fit in a worker; returns when that began and ended."""
    return timed(lambda: run_fit(job))[1]
