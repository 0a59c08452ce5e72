"""One stage of one fold, from files to fitted files: what a worker process does."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from usdlr.core.files import read_json, write_atomic, write_json
from usdlr.core.hashing import data_hash, derive_seed
from usdlr.core.leak import Rows, require_disjoint
from usdlr.core.tables import CASES
from usdlr.core.types import Split, Stage
from usdlr.data.augment import Augmenter
from usdlr.data.dataset import BlockDataset
from usdlr.data.samples import SampleStore
from usdlr.experiment.cohort import axilla_labels, image_labels
from usdlr.experiment.config import ExperimentConfig
from usdlr.experiment.layout import Layout
from usdlr.experiment.selections import make_selector
from usdlr.inference.stage import load_stage, prepare_torch, save_stage
from usdlr.tasks.fit import fit_stage


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
        names = ("model.safetensors", "selector.json", "images.parquet", "fitted_on.json")
        return [self.folder / name for name in names]

    @property
    def step(self) -> str:
        """Its name in the run's journal."""
        return f"fit-{self.fold}-{self.stage}"

    def forget_other_start(self, key: Any) -> None:
        """Remove checkpoints of a fit that began with other patients: continuing would carry them across splits."""
        mark, now = self.folder / "started.json", data_hash([key, str(self.folder.resolve())])
        if not mark.exists() or read_json(mark) != now:
            shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
            write_json(mark, now)


def run_fit(job: FitJob) -> None:
    """Fit the selector on training rows, the network on training and tuning rows, and predict every image set."""
    config, layout = job.config, Layout(job.out)
    prepare_torch(config.threads)
    cases = CASES.read(layout.cases)
    store = SampleStore.load(layout.crops).select(cases["image_id"])
    design = pd.read_parquet(layout.design).loc[list(cases["image_id"])]
    splits = layout.read_splits(cases["patient_id"].unique())
    fold = splits[splits["fold"] == job.fold].set_index("patient_id")["split"]
    split = fold.loc[list(cases["patient_id"])].to_numpy()
    label = image_labels(cases, axilla_labels(cases, config.data), job.stage)
    known = np.isfinite(label)
    train, tuning = (np.flatnonzero(known & (split == str(part))) for part in (Split.TRAIN, Split.TUNING))

    selector = make_selector(config)
    rows = Rows.of(cases["patient_id"].iloc[train], split[train])
    selector.fit(design.iloc[train], label[train], rows=rows)
    seed = derive_seed(config.seed, job.fold, job.stage)
    image_ids = cases["image_id"].to_numpy()

    def part(positions: np.ndarray[tuple[int], np.dtype[np.intp]], augmenter: Augmenter | None) -> BlockDataset:
        return BlockDataset(
            store.select(image_ids[positions]),
            config.model.image_blocks,
            selector.transform(design.iloc[positions]),
            label[positions],
            augmenter,
        )

    start = None
    if job.stage is Stage.NSLN and config.fit.warm_start:
        start = load_stage(layout.stage(job.fold, Stage.SLN), config.model).network.state_dict()
    weights = fit_stage(
        part(train, Augmenter(config.fit.augment, seed)),
        part(tuning, None),
        network=config.model,
        settings=config.fit,
        seed=seed,
        folder=job.folder,
        name=f"{config.name} fold {job.fold} {job.stage}",
        start=start,
    )
    save_stage(job.folder, weights, selector)
    seen = sorted({*rows.patients, *map(str, cases["patient_id"].iloc[tuning])})
    judged = splits[(splits["fold"] == job.fold) & ~splits["split"].isin([str(Split.TRAIN), str(Split.TUNING)])]
    require_disjoint(seen, set(judged["patient_id"]), f"stage {job.stage} of fold {job.fold}")
    write_json(job.folder / "fitted_on.json", {"train_and_tuning": seen})
    # Read back what was written: the run predicts with the very files that the bundle will hold.
    model = load_stage(job.folder, config.model)
    images = model.predict_images(store, design, config.fit.batch_size)
    write_atomic(job.folder / "images.parquet", lambda target: images.to_parquet(target, index=False))
