"""``usdlr run``: every step in order, each done once, each checked against what it was made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from usdlr.core.errors import ConfigError
from usdlr.core.files import read_json, write_atomic
from usdlr.core.hashing import file_hash
from usdlr.core.journal import Journal, forget_other_start, timed
from usdlr.core.named_parts import nearest
from usdlr.core.pool import one_thread, run_all
from usdlr.core.progress import say
from usdlr.core.provenance import package_versions
from usdlr.core.types import Stage
from usdlr.experiment.baselines import BaselineJob, networks_read, run_baselines
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.dependence import BASELINES_FREE, settings_but
from usdlr.experiment.fit import FitJob, run_fit
from usdlr.experiment.layout import RAW, Layout
from usdlr.experiment.prepared_run import PreparedRun
from usdlr.experiment.truth import ceiling_lines, run_truth
from usdlr.experiment.write_results import write_results
from usdlr.inference.stage_files import weights_name
from usdlr.ingest.splits import BUNDLE_FOLD
from usdlr.models.heads import build_head
from usdlr.report import kept


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


class _Run(PreparedRun):
    """The steps from the first fit to the report."""

    def everything(self) -> Path:
        self.prepare()
        self._fits()
        self.baselines()
        self._results()
        for line in ceiling_lines(read_json(self.layout.metrics)):
            say(line)
        say(f"report: {self.layout.report}")
        return self.layout.report

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
            forget_other_start(job.folder, self._fit_key(job))
        for outcome in run_all(work or _timed_fit, waiting, jobs=self.config.jobs, label=label, on_outcome=finished):
            if outcome.failure is not None:
                raise outcome.failure
        return waiting

    def _fit_key(self, job: FitJob) -> list[Any]:
        config, layout = self.config, self.layout
        started = self.weights() if config.variants else self.inputs.get("weights")
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
            self.hash_of("cases.parquet"),
            self.hash_of("splits.csv"),
            self.hash_of("work/design.parquet"),
            *map(self.hash_of, networks),
        ]
        self.journal.step("baselines", key, [layout.baselines], work)
        self.external.score_baselines(key)

    def _results(self) -> None:
        layout = self.layout
        fits = [str(path.relative_to(layout.out)) for path in sorted(layout.out.glob(f"work/fits/*/*/{RAW}"))]
        key = [
            self.config.identity(),
            *map(self.hash_of, ["cases.parquet", "exclusions.csv", "work/baselines.parquet", *fits]),
            {role: file_hash(path) for role, path in run_truth(self.config.data).items()},
            self.external.state(),
            self.inputs.get("stability"),
            kept.SCHEMA,
        ]
        if self.journal.is_done("results", key):
            return
        provenance = self.provenance("run", layout.cases, layout.splits, layout.features)
        _, time_s = timed(lambda: write_results(self.config, layout, self.external, provenance))
        outputs = [layout.predictions, layout.decisions, layout.metrics, layout.report, layout.provenance]
        folders = (layout.bundle, layout.out / "figures", layout.out / kept.FOLDER)
        # Without the libraries for it the PDF is left out.
        beside = [layout.out / name for name in ("report.pdf", "model_card.md", "data_card.md")]
        outputs += [path for path in beside if path.is_file()]
        outputs += [layout.ceilings] if run_truth(self.config.data) else []
        outputs += self.external.results
        outputs += [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
        self.journal.mark_done("results", key, outputs, time_s)


def _starts_from_first(config: ExperimentConfig) -> bool:
    """Whether stage 2 starts from the networks of stage 1, or is another answer of theirs."""
    return config.fit.warm_start or build_head(config.model.head).joint


def _timed_fit(job: FitJob) -> tuple[float, float]:
    """Fit in a worker; returns when that began and ended."""
    return timed(lambda: run_fit(job))[1]
