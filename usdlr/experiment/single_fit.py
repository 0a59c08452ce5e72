"""``usdlr fit``: one stage of one fold, with its course written down and how it does on tuning axillae."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from usdlr.core import tables
from usdlr.core.errors import ConfigError, DataError
from usdlr.core.files import write_text
from usdlr.core.journal import timed
from usdlr.core.pool import one_thread
from usdlr.core.types import Split, Stage
from usdlr.evaluation.metrics import auc
from usdlr.experiment.cohort import axilla_labels, stage_labels
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.course import training_course
from usdlr.experiment.fit import FitJob, run_fit
from usdlr.experiment.layout import RAW, Layout
from usdlr.experiment.run import run_one_fit
from usdlr.experiment.sweep.share import start_from_others, steps_in_common
from usdlr.tasks.loggers import ShowEpochs

COURSE = "metrics.csv"


@dataclass(frozen=True)
class FittedStage:
    """A stage that was fitted, and how it does on the axillae that stopped its fit.

    Parameters
    ----------
    folder : Path
        The stage's files.
    course : Path
        A row per network and epoch.
    epochs : int
        Epochs of its networks, added up.
    n, positives : int
        Tuning axillae with known status, and the positive ones among them.
    area, low, high : float or None
        Area under the ROC curve of the stage's log-odds with a 95 % interval; ``None`` where it is not estimable.
    loss : float
        Mean cross-entropy of the stage's log-odds before calibration, in nat; under a weighted loss they are shifted
        on purpose.
    """

    folder: Path
    course: Path
    epochs: int
    n: int
    positives: int
    area: float | None
    low: float | None
    high: float | None
    loss: float

    @property
    def sentence(self) -> str:
        """How it does, in one line."""
        area = "AUC not estimable" if self.area is None else f"AUC {self.area:.3f} ({self.low:.3f} to {self.high:.3f})"
        return (
            f"tuning: {area}, cross-entropy {self.loss:.3f} before calibration, {self.n} axillae, "
            f"{self.positives} positive; {self.epochs} epochs"
        )


def taken_over(config: ExperimentConfig, out: Path, prepared: Path) -> str:
    """What a fit of this configuration takes over from a run, in one line for readers.

    Parameters
    ----------
    config : ExperimentConfig
        The resolved configuration.
    out : Path
        Folder of the fit's run.
    prepared : Path
        The run.
    """
    if out.resolve() == prepared.resolve():
        return f"joining the run {prepared}"
    if out.is_dir() and any(out.iterdir()):
        return f"going on in {out}; nothing further is taken over from {prepared}"
    steps = steps_in_common(config.as_dict(), prepared)
    if not steps:
        return f"nothing can be taken over from {prepared}: other data, or its first step is not finished"
    return f"from {prepared}: {', '.join(steps)}"


def fit_stage(
    config: ExperimentConfig, out: Path, fold: str, stage: Stage, *, prepared: Path | None = None
) -> FittedStage:
    """Fit one stage of one fold.

    What stands before it (cases, features, crops, splits) is done as ``usdlr run`` does it, in the same folder: the
    run of the same configuration there goes on from this fit. An interrupted fit continues.

    Parameters
    ----------
    config : ExperimentConfig
        The resolved configuration.
    out : Path
        Folder of the run.
    fold : str
        Name of the fold, ``bundle`` for the model that would ship.
    stage : Stage
        Which question.
    prepared : Path, optional
        A run, finished or only prepared, whose steps are taken over where the configurations agree in what decides
        them; it stays as it is.

    Raises
    ------
    ConfigError
        If ``prepared`` is no run, or there is no such fold; or as :func:`usdlr.experiment.run.run_experiment`.
    """
    if prepared is not None:
        _take_over(config, out, prepared)
    with one_thread():
        folder = run_one_fit(config, out, fold, stage, _shown)
    course = _written_course(folder)
    return _judged(config, Layout(out), folder, fold, stage, epochs=len(course))


def _shown(job: FitJob) -> tuple[float, float]:
    took = timed(lambda: run_fit(job, [ShowEpochs()]))[1]
    _written_course(job.folder)
    return took


def _written_course(folder: Path) -> pd.DataFrame:
    course = training_course(folder)
    write_text(folder / COURSE, course.to_csv(index=False, lineterminator="\n"))
    return course


def _take_over(config: ExperimentConfig, out: Path, prepared: Path) -> None:
    if not Layout(prepared).config.is_file():
        raise ConfigError(
            f"found no {Layout(prepared).config.name} in {prepared}, expected the folder of a run; name one with "
            "--from, or leave it out"
        )
    if out.resolve() == prepared.resolve():
        return  # the fit joins the run itself
    if out.is_dir() and not any(out.iterdir()):
        out.rmdir()  # a folder appears whole or not at all
    if not out.exists():
        start_from_others(config.as_dict(), out, [prepared])


def _judged(
    config: ExperimentConfig, layout: Layout, folder: Path, fold: str, stage: Stage, *, epochs: int
) -> FittedStage:
    cases = tables.CASES.read(layout.cases)
    labels = axilla_labels(cases, config.data)
    splits = layout.read_splits(cases["patient_id"].unique())
    split = splits[splits["fold"] == fold].set_index("patient_id")["split"]
    raw = labels[["patient_id", "side"]].merge(
        pd.read_parquet(folder / RAW), on=["patient_id", "side"], validate="one_to_one"
    )
    truth = stage_labels(labels, stage).to_numpy(np.float64)
    tuning = (split.loc[list(labels["patient_id"])].to_numpy() == str(Split.TUNING)) & np.isfinite(truth)
    if not tuning.any():
        raise DataError(f"found no tuning axilla of known status in fold {fold}, expected some; use more patients")
    known, logit = truth[tuning], raw["logit"].to_numpy(np.float64)[tuning]
    area = auc(known, logit)
    probability = np.clip(expit(logit), 1e-12, 1 - 1e-12)
    loss = -np.mean(known * np.log(probability) + (1 - known) * np.log(1 - probability))
    return FittedStage(
        folder=folder,
        course=folder / COURSE,
        epochs=epochs,
        n=int(tuning.sum()),
        positives=int(known.sum()),
        area=area.value,
        low=area.low,
        high=area.high,
        loss=float(loss),
    )
