"""One stage of one fold, from files to fitted files: what a worker process does."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.files import read_json, write_atomic, write_json
from usdlr.core.hashing import data_hash, derive_seed
from usdlr.core.leak import Rows, require_disjoint
from usdlr.core.modalities import MODALITIES
from usdlr.core.tables import CASES
from usdlr.core.types import Split, Stage
from usdlr.data.augment import Augmenter
from usdlr.data.dataset import AxillaDataset, Axillae
from usdlr.data.samples import SampleStore
from usdlr.experiment.auxiliary import auxiliary_targets
from usdlr.experiment.cohort import axilla_labels, image_labels, stage_labels
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.layout import RAW, WITHOUT, Layout
from usdlr.experiment.readout import fit_signature_readout, kept_apart
from usdlr.experiment.selections import make_selector
from usdlr.inference.scores import BlockScores
from usdlr.inference.stage import StageModel, axilla_data, input_form, network_columns, prepare_torch
from usdlr.inference.stage_files import (
    SCORES,
    SELECTOR,
    SIGNATURE,
    STAGE,
    load_stage,
    save_readout,
    save_stage,
    stage_files,
    weights_name,
)
from usdlr.inference.views import averaged_views
from usdlr.models.heads import build_head
from usdlr.tasks.fit import fit_network

# Whose axillae a stage was fitted on.
FITTED_ON = "fitted_on.json"


@dataclass(frozen=True)
class FitJob:
    """What a worker needs to know.

    Parameters
    ----------
    config : ExperimentConfig
        The experiment.
    out : Path
        Its folder.
    fold : str
        Name of the fold.
    stage : Stage
        Which question.
    """

    config: ExperimentConfig
    out: Path
    fold: str
    stage: Stage

    @property
    def folder(self) -> Path:
        """Where the stage's files go."""
        return Layout(self.out).stage(self.fold, self.stage)

    @property
    def outputs(self) -> list[Path]:
        """The finished files."""
        weights = [weights_name(member) for member in range(self.config.networks)]
        weights += [SIGNATURE] if self.config.signature else []
        return [self.folder / name for name in (*weights, SELECTOR, SCORES, STAGE, RAW, WITHOUT, FITTED_ON)]

    @property
    def step(self) -> str:
        """Its name in the run's journal."""
        return f"fit-{self.fold}-{self.stage}"

    def forget_other_start(self, key: Any) -> None:
        """Remove what a fit left that began with other patients: continuing would carry them across splits."""
        mark, now = self.folder / "started.json", data_hash([key, str(self.folder.resolve())])
        if not mark.exists() or read_json(mark) != now:
            shutil.rmtree(self.folder, ignore_errors=True)
            write_json(mark, now)


class _Fit:
    """The tables of one fit."""

    def __init__(self, job: FitJob) -> None:
        self.job, self.config, self.layout = job, job.config, Layout(job.out)
        self.cases = CASES.read(self.layout.cases)
        self.store = SampleStore.load(self.layout.crops).select(self.cases["image_id"])
        self.design = pd.read_parquet(self.layout.design).loc[list(self.cases["image_id"])]
        self.splits = self.layout.read_splits(self.cases["patient_id"].unique())
        fold = self.splits[self.splits["fold"] == job.fold].set_index("patient_id")["split"]
        self.image_split = fold.loc[list(self.cases["patient_id"])].to_numpy()
        self.axillae = Axillae.of(self.cases)
        self.axilla_split = fold.loc[list(self.axillae.keys["patient_id"])].to_numpy()
        self.labels = axilla_labels(self.cases, self.config.data)
        self.apart = kept_apart(self.config, job.fold, self.labels, self.axilla_split)
        self.head = build_head(self.config.model.head)

    @cached_property
    def targets(self) -> npt.NDArray[np.float64]:
        """Labels that the network learns, (axillae, targets): both stages' from a joint head, else this stage's."""
        stages = list(Stage) if self.head.joint else [self.job.stage]
        return np.stack([stage_labels(self.labels, stage).to_numpy(np.float64) for stage in stages], axis=1)

    def rows(self, images: npt.NDArray[np.intp]) -> Rows:
        """Whose images they are."""
        return Rows.of(self.cases["patient_id"].iloc[images], self.image_split[images])

    def scores(self, seed: int) -> tuple[BlockScores, npt.NDArray[np.float32]]:
        """Ridge scores fitted on training images, and those of every image, cross-fitted where they train."""
        owner = np.empty(len(self.cases), dtype=np.intp)
        for place, images in enumerate(self.axillae.images):
            owner[images] = place
        train = np.flatnonzero(self.image_split == str(Split.TRAIN))
        labels, width = self.targets[owner], self.head.width
        fitted, own = BlockScores.fit(
            self.config.model, self.design.iloc[train], labels[train], rows=self.rows(train), width=width, seed=seed
        )
        every = fitted.score(self.design, width)
        every[train] = own
        return fitted, every

    def chosen(self, split: Split) -> npt.NDArray[np.intp]:
        """Axillae of a split with any known label."""
        return np.flatnonzero(np.isfinite(self.targets).any(axis=1) & (self.axilla_split == str(split)))


def run_fit(job: FitJob) -> None:
    """Fit the selector on training rows, the networks on training and tuning rows, and predict every axilla."""
    config = job.config
    prepare_torch(config.threads)
    fit = _Fit(job)
    seen = _take_joint(job) if fit.head.joint and job.stage is Stage.NSLN else _fit_stage(fit)
    if config.signature is not None:
        _fit_readout(fit)
    judged = fit.splits[
        (fit.splits["fold"] == job.fold) & ~fit.splits["split"].isin([str(Split.TRAIN), str(Split.TUNING)])
    ]
    require_disjoint(seen, set(judged["patient_id"]), f"stage {job.stage} of fold {job.fold}")
    write_json(job.folder / FITTED_ON, {"train_and_tuning": sorted(seen)})
    # Read back what was written: the run predicts with the very files that the bundle will hold.
    model = load_stage(job.folder, config.model, config.crop.size_px)
    raw = model.predict_axillae(
        fit.cases,
        fit.store,
        fit.design,
        config.fit.batch_size,
        views=averaged_views(config.views),
    )
    write_atomic(job.folder / RAW, lambda target: raw.to_parquet(target, index=False))
    less = _without_optional(fit, model)
    write_atomic(job.folder / WITHOUT, lambda target: less.to_parquet(target, index=False))


def _without_optional(fit: _Fit, model: StageModel) -> pd.DataFrame:
    """What the tuning axillae would get without each modality that a patient may lack."""
    config = fit.config
    chosen = fit.image_split == str(Split.TUNING)
    cases = fit.cases[chosen].reset_index(drop=True)
    parts = [pd.DataFrame({"patient_id": [], "side": [], "logit": [], "modality": []})]
    for name in (name for name in config.model.modalities if not MODALITIES[name].required):
        less = model.predict_without(
            name, cases, fit.store, fit.design, config.fit.batch_size, views=averaged_views(config.views)
        )
        parts.append(less.assign(modality=name))
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)


def _fit_readout(fit: _Fit) -> None:
    job, config = fit.job, fit.config
    readout = fit_signature_readout(
        config,
        load_stage(job.folder, config.model, config.crop.size_px),
        job.fold,
        job.stage,
        cases=fit.cases,
        store=fit.store,
        design=fit.design,
        labels=fit.labels,
        apart=fit.apart,
    )
    save_readout(job.folder, readout)


def _take_joint(job: FitJob) -> set[str]:
    """Take the second target of the networks that answer both stages; returns the patients they have seen."""
    source = Layout(job.out).stage(job.fold, Stage.SLN)
    for path in stage_files(source):
        if path.name != STAGE:
            shutil.copyfile(path, job.folder / path.name)
    write_json(job.folder / STAGE, read_json(source / STAGE) | {"target": 1})
    return set(read_json(source / FITTED_ON)["train_and_tuning"])


def _fit_stage(fit: _Fit) -> set[str]:
    """Fit and save selector, scores and networks; returns the patients that any of them has seen."""
    job, config = fit.job, fit.config
    label = image_labels(fit.cases, fit.labels, job.stage)
    rows = np.flatnonzero(np.isfinite(label) & (fit.image_split == str(Split.TRAIN)))
    selector = make_selector(config)
    selector.fit(fit.design.iloc[rows], label[rows], rows=fit.rows(rows))
    train, tuning = fit.chosen(Split.TRAIN), fit.chosen(Split.TUNING)
    auxiliary = auxiliary_targets(config.model.auxiliary, fit.cases, fit.store, fit.axillae, train)
    seed = derive_seed(config.seed, job.fold, job.stage)
    scores, images_scores = fit.scores(seed)

    def dataset(chosen: npt.NDArray[np.intp], augmenter: Augmenter | None) -> AxillaDataset:
        data = axilla_data(
            fit.axillae,
            fit.store,
            fit.design,
            selector,
            images_scores,
            config.model,
            label=fit.targets,
            auxiliary=auxiliary,
            chosen=chosen,
        )
        most = None if augmenter is None else config.fit.most_images
        return AxillaDataset(data, input_form(config.model), augmenter, most_images=most, seed=seed)

    starts: list[Any] = [None] * config.networks
    if job.stage is Stage.NSLN and config.fit.warm_start:
        before = load_stage(fit.layout.stage(job.fold, Stage.SLN), config.model, config.crop.size_px)
        starts = [network.state_dict() for network in before.networks]
    networks = []
    for member, start in enumerate(starts):
        own = seed if member == 0 else derive_seed(seed, "member", member)
        learned = train[fit.apart[train] != member // config.fit.members]
        networks.append(
            fit_network(
                dataset(learned, Augmenter(config.fit.augment, own)),
                dataset(tuning, None),
                network=config.model,
                columns=network_columns(selector),
                scored=list(scores.blocks),
                size_px=config.crop.size_px,
                settings=config.fit,
                seed=own,
                folder=job.folder if config.networks == 1 else job.folder / f"member_{member}",
                name=f"{config.name} fold {job.fold} {job.stage}" + (f" member {member}" if member else ""),
                start=start,
            )
        )
    save_stage(job.folder, networks, selector, scores, target=0, backbone=config.model.backbone)
    learned_from = fit.axillae.keys["patient_id"].iloc[np.concatenate([train, tuning])].astype(str)
    return {*learned_from, *selector.fitted_patients_, *scores.fitted_patients}
