"""One stage of one fold, from files to fitted files: what a worker process does."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pytorch_lightning.callbacks import Callback
from safetensors.torch import load, save
from torch import Tensor

from usdlr.core.files import read_json, write_atomic, write_bytes, write_json
from usdlr.core.hashing import derive_seed
from usdlr.core.leak import Rows, require_disjoint
from usdlr.core.modalities import MODALITIES
from usdlr.core.tables import CASES
from usdlr.core.types import Site, Split, Stage
from usdlr.data.augment import Augmenter
from usdlr.data.dataset import AxillaDataset, Axillae
from usdlr.data.samples import SampleStore
from usdlr.experiment.auxiliary import auxiliary_targets
from usdlr.experiment.cohort import axilla_labels, image_labels, stage_labels
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.layout import RAW, WITHOUT, Layout
from usdlr.experiment.ood_fit import keep_looks
from usdlr.experiment.readout import fit_signature_readout, kept_apart
from usdlr.experiment.table import fit_selector
from usdlr.inference.scores import BlockScores
from usdlr.inference.sites import is_tumour
from usdlr.inference.stage import (
    StageModel,
    axilla_data,
    input_form,
    network_columns,
    prepare_torch,
    scored_blocks,
)
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
from usdlr.inference.variants import Variant
from usdlr.inference.views import averaged_views
from usdlr.models.heads import build_head
from usdlr.tasks.fit import fit_network

# Whose axillae a stage was fitted on.
FITTED_ON = "fitted_on.json"
# A finished network of a stage whose other networks are still to be fitted: an interrupted fit goes on after it.
DONE = "done.safetensors"


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
        return Rows.of(self.cases["patient_id"].iloc[images], self.image_split[images], self.cases["side"].iloc[images])

    def scores(self, seed: int) -> tuple[BlockScores, npt.NDArray[np.float32]]:
        """Ridge scores fitted on training images, and those of every image, cross-fitted where they train."""
        owner = np.empty(len(self.cases), dtype=np.intp)
        for place, images in enumerate(self.axillae.images):
            owner[images] = place
        train = np.flatnonzero((self.image_split == str(Split.TRAIN)) & is_tumour(self.cases))
        labels, width = self.targets[owner], self.head.width
        fitted, own = BlockScores.fit(
            # Fitted once for the stage, where any network reads them.
            replace(self.config.model, score=any(variant.network.score for variant in self.config.ensemble)),
            self.design.iloc[train],
            labels[train],
            rows=self.rows(train),
            width=width,
            seed=seed,
            earlier=self.earlier(owner[train]),
        )
        every = fitted.score(self.design, width)
        every[train] = own
        return fitted, every

    def earlier(self, owner: npt.NDArray[np.intp]) -> npt.NDArray[np.float64] | None:
        """Stage 1's labels of the given axillae where stage 2 leans on stage 1; else none."""
        if self.job.stage is Stage.SLN or not self.config.fit.warm_start:
            return None
        return stage_labels(self.labels, Stage.SLN).to_numpy(np.float64)[owner]

    def chosen(self, split: Split) -> npt.NDArray[np.intp]:
        """Axillae of a split with any known label."""
        return np.flatnonzero(np.isfinite(self.targets).any(axis=1) & (self.axilla_split == str(split)))


def run_fit(job: FitJob, callbacks: Sequence[Callback] = ()) -> None:
    """Fit the selector on training rows, the networks on training and tuning rows, and predict every axilla."""
    config = job.config
    prepare_torch(config.threads)
    fit = _Fit(job)
    seen = _take_joint(job) if fit.head.joint and job.stage is Stage.NSLN else _fit_stage(fit, callbacks)
    if config.signature is not None:
        _fit_readout(fit)
    judged = fit.splits[
        (fit.splits["fold"] == job.fold) & ~fit.splits["split"].isin([str(Split.TRAIN), str(Split.TUNING)])
    ]
    require_disjoint(seen, set(judged["patient_id"]), f"stage {job.stage} of fold {job.fold}")
    write_json(job.folder / FITTED_ON, {"train_and_tuning": sorted(seen)})
    # Read back what was written: the run predicts with the very files that the bundle will hold.
    model = load_stage(job.folder, config.ensemble)
    raw, readings = model.answer(
        fit.cases,
        fit.store,
        fit.design,
        config.fit.batch_size,
        views=averaged_views(config.views),
    )
    keep_looks(job.folder, model, readings)
    write_atomic(job.folder / RAW, lambda target: raw.to_parquet(target, index=False))
    less = _without_optional(fit, model)
    write_atomic(job.folder / WITHOUT, lambda target: less.to_parquet(target, index=False))


def _without_optional(fit: _Fit, model: StageModel) -> pd.DataFrame:
    """What the tuning axillae would get without each modality that a patient may lack, and without lymph nodes."""
    config = fit.config
    chosen = fit.image_split == str(Split.TUNING)
    cases = fit.cases[chosen].reset_index(drop=True)
    parts = [pd.DataFrame({"patient_id": [], "side": [], "logit": [], "modality": []})]
    for name in (name for name in config.model.modalities if not MODALITIES[name].required):
        less = model.predict_without(
            name, cases, fit.store, fit.design, config.fit.batch_size, views=averaged_views(config.views)
        )
        parts.append(less.assign(modality=name))
    if str(Site.AXILLA) in config.model.sites:
        less = model.predict_without_nodes(
            cases, fit.store, fit.design, config.fit.batch_size, views=averaged_views(config.views)
        )
        parts.append(less.assign(modality=str(Site.AXILLA)))
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)


def _fit_readout(fit: _Fit) -> None:
    job, config = fit.job, fit.config
    readout = fit_signature_readout(
        config,
        load_stage(job.folder, config.ensemble),
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


def network_seed(config: ExperimentConfig, seed: int, place: int) -> int:
    """Seed of one network of a stage.

    Parameters
    ----------
    config : ExperimentConfig
        The experiment.
    seed : int
        The stage's, which is also that of its first network where there are no variants.
    place : int
        Which network, in the order of :mod:`usdlr.inference.variants`.
    """
    if not config.variants:
        return seed if place == 0 else derive_seed(seed, "member", place)
    fold, rest = divmod(place, len(config.ensemble) * config.fit.members)
    variant, member = divmod(rest, config.fit.members)
    return derive_seed(seed, "variant", variant, config.ensemble[variant].name, fold, member)


def _read_done(folder: Path) -> dict[str, Tensor] | None:
    """What an interrupted fit of several networks had finished."""
    path = folder / DONE
    return load(path.read_bytes()) if path.is_file() else None


def _fit_stage(fit: _Fit, callbacks: Sequence[Callback]) -> set[str]:
    """Fit and save selector, scores and networks; returns the patients that any of them has seen."""
    job, config = fit.job, fit.config
    label = image_labels(fit.cases, fit.labels, job.stage)
    rows = np.flatnonzero(np.isfinite(label) & (fit.image_split == str(Split.TRAIN)))
    selector = fit_selector(config, fit.design.iloc[rows], label[rows], rows=fit.rows(rows))
    train, tuning = fit.chosen(Split.TRAIN), fit.chosen(Split.TUNING)
    crops = config.preparation.crops
    stores = {variant.name: fit.store.crop(crops.index(variant.crop)) for variant in config.ensemble}
    auxiliary = {
        one.name: auxiliary_targets(one.network.auxiliary, fit.cases, stores[one.name], fit.axillae, train)
        for one in config.ensemble
    }
    seed = derive_seed(config.seed, job.fold, job.stage)
    scores, images_scores = fit.scores(seed)

    def dataset(variant: Variant, chosen: npt.NDArray[np.intp], augmenter: Augmenter | None) -> AxillaDataset:
        data = axilla_data(
            fit.axillae,
            stores[variant.name],
            fit.design,
            selector,
            images_scores,
            variant.network,
            label=fit.targets,
            auxiliary=auxiliary[variant.name],
            chosen=chosen,
        )
        most = None if augmenter is None else config.fit.most_images
        return AxillaDataset(data, input_form(variant.network), augmenter, most_images=most, seed=seed)

    variants = config.network_variants
    starts: list[Any] = [None] * len(variants)
    if job.stage is Stage.NSLN and config.fit.warm_start:
        before = load_stage(fit.layout.stage(job.fold, Stage.SLN), config.ensemble)
        starts = [network.state_dict() for network in before.networks]
    networks = []
    for member, (variant, start) in enumerate(zip(variants, starts, strict=True)):
        folder = job.folder if len(variants) == 1 else job.folder / f"member_{member}"
        weights = _read_done(folder)
        if weights is None:
            own = network_seed(config, seed, member)
            learned = train[fit.apart[train] != member // (len(config.ensemble) * config.fit.members)]
            words = [config.name, "fold", job.fold, str(job.stage), variant.name, f"member {member}" if member else ""]
            weights = fit_network(
                dataset(variant, learned, Augmenter(config.fit.augment, own)),
                dataset(variant, tuning, None),
                network=variant.network,
                columns=network_columns(selector),
                scored=list(scored_blocks(scores, variant.network)),
                size_px=variant.crop.size_px,
                settings=config.fit,
                seed=own,
                folder=folder,
                name=" ".join(word for word in words if word),
                start=start,
                callbacks=list(callbacks),
            )
            if len(variants) > 1:
                write_bytes(folder / DONE, save({name: value.contiguous() for name, value in weights.items()}))
        networks.append(weights)
    save_stage(job.folder, networks, selector, scores, target=0, variants=variants)
    for path in job.folder.glob(f"*/{DONE}"):
        path.unlink()
    learned_from = fit.axillae.keys["patient_id"].iloc[np.concatenate([train, tuning])].astype(str)
    return {*learned_from, *selector.fitted_patients_, *scores.fitted_patients}
