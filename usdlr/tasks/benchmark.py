"""How fast a fit is, beside a bare loop over the same model and batches, and how fast batches are prepared."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from usdlr.core.hashing import derive_seed
from usdlr.core.modalities import MODALITIES
from usdlr.core.regions import CONTEXT
from usdlr.core.types import Roi
from usdlr.data.augment import Augmenter
from usdlr.data.batch import Batch, InputForm, collate
from usdlr.data.datamodule import FoldDataModule
from usdlr.data.dataset import AxillaData, AxillaDataset
from usdlr.data.samples import Sample, SampleStore
from usdlr.models.heads import build_head
from usdlr.models.settings import NetworkSettings
from usdlr.tasks.classification import NodeStatusTask
from usdlr.tasks.fit import fit_network
from usdlr.tasks.settings import FitSettings

COLUMNS = [f"bmode.intratumoral.original.firstorder.F{number}" for number in range(40)]
TWICE = 2  # images of an axilla


@dataclass(frozen=True)
class Load:
    """What is measured.

    Parameters
    ----------
    network : NetworkSettings
        The model.
    fit : FitSettings
        Batch size, precision, augmentation, workers, device.
    size_px : int
        Side of the crops in pixels.
    axillae : int
        Axillae per epoch, of two images each. Their content is noise; speed does not depend on it.
    """

    network: NetworkSettings
    fit: FitSettings
    size_px: int
    axillae: int

    @property
    def images(self) -> int:
        """Image sets per epoch."""
        return self.axillae * TWICE

    def dataset(self, *, augment: bool = True) -> AxillaDataset:
        """Axillae of noise with a lesion in the middle and every modality."""
        rng = np.random.default_rng(0)
        side = self.size_px
        rows, cols = np.mgrid[:side, :side] - (side - 1) / 2
        distance = np.hypot(rows, cols)
        lesion, ring = distance < side / 4, (distance >= side / 4) & (distance < side / 3)
        masks = {
            str(Roi.INTRATUMORAL): lesion,
            str(Roi.PERITUMORAL): ring,
            str(Roi.COMBINED): lesion | ring,
            CONTEXT: np.ones_like(lesion),
        }
        rois = {name: masks.get(name, ring) for name in self.network.rois}

        def image(low: float, high: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
            return rng.uniform(low, high, (side, side)).astype(np.float32)

        samples = tuple(
            Sample({name: image(*MODALITIES[name].value_range) for name in self.network.modalities}, rois, lesion, 0.25)
            for _ in range(self.images)
        )
        store = SampleStore(tuple(f"image-{number}" for number in range(self.images)), samples)
        tables = self.network.table_blocks(COLUMNS)
        label = np.tile(np.arange(self.axillae)[:, None] % 2, (1, build_head(self.network.head).targets))
        data = AxillaData(
            store,
            rng.standard_normal((self.images, len(COLUMNS))).astype(np.float32),
            np.zeros((self.images, 0, build_head(self.network.head).width), np.float32),
            np.ones((self.images, len(tables)), dtype=bool),
            tuple(np.arange(row * TWICE, (row + 1) * TWICE) for row in range(self.axillae)),
            label.astype(np.float64),
        )
        form = InputForm(self.network.image_blocks, self.network.stem, tuple(self.network.channels))
        return AxillaDataset(data, form, Augmenter(self.fit.augment, 0) if augment else None)


def bare_loop(load: Load) -> float:
    """Image sets per second of a plain PyTorch loop over ready batches: the same model, optimiser and precision."""
    dataset = load.dataset(augment=False)
    size = load.fit.batch_size
    device = torch.device("cuda" if load.fit.accelerator in ("gpu", "cuda") else "cpu")
    batches = [
        _move(collate([dataset[row] for row in range(start, min(start + size, len(dataset)))]), device)
        for start in range(0, len(dataset), size)
    ]
    torch.manual_seed(derive_seed(0, "weights"))
    task = _task(load, dataset).to(device).train()
    if load.fit.channels_last:
        task.network.to(memory_format=torch.channels_last)
    if load.fit.compile:
        task.network.compile()
    optimizer = task.configure_optimizers()["optimizer"]
    parameters = [parameter for parameter in task.parameters() if parameter.requires_grad]

    def epoch() -> None:
        for batch in batches:
            optimizer.zero_grad()
            with _precision(load.fit.precision, device):
                main, blocks, _ = task.losses(task(batch), batch)
                loss: Any = main + load.fit.block_weight * blocks
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    epoch()  # the first one allocates, chooses algorithms and compiles
    return load.images / _timed(epoch)


def fitted(load: Load) -> float:
    """Image sets per second of a fit's second training epoch, with loader, augmentation, callbacks and logs."""
    watch = _Watch()
    with tempfile.TemporaryDirectory() as folder:
        fit_network(
            load.dataset(),
            replace(load, axillae=4).dataset(augment=False),
            network=load.network,
            columns=COLUMNS,
            scored=[],
            size_px=load.size_px,
            settings=replace(load.fit, epochs=2, patience=2, wandb="disabled"),
            seed=0,
            folder=Path(folder),
            name="benchmark",
            callbacks=[watch],
        )
    return load.images / watch.seconds[-1]


def loaded(load: Load) -> float:
    """Image sets per second that the loader gives when nobody uses them: its second epoch, workers started."""
    module = FoldDataModule(load.dataset(), load.dataset(), load.fit.batch_size, 0, workers=load.fit.workers)
    loader = module.train_dataloader()

    def epoch() -> None:
        for _ in loader:
            pass

    epoch()
    return load.images / _timed(epoch)


class _Watch(pl.Callback):
    """Seconds of every training epoch, from its first batch's call for data to its last step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.start = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.start = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx + 1 == trainer.num_training_batches:
            if pl_module.device.type == "cuda":
                torch.cuda.synchronize()
            self.seconds.append(time.perf_counter() - self.start)


def _task(load: Load, dataset: AxillaDataset) -> NodeStatusTask:
    label = dataset.data.label
    return NodeStatusTask(
        network=load.network.as_dict(),
        columns=COLUMNS,
        scored=[],
        size_px=load.size_px,
        loss=load.fit.loss,
        positives=(label == 1).sum(axis=0).tolist(),
        negatives=(label == 0).sum(axis=0).tolist(),
        learning_rate=load.fit.learning_rate,
        weight_decay=load.fit.weight_decay,
        layer_decay=load.fit.layer_decay,
        block_weight=load.fit.block_weight,
        auxiliary_weight=load.fit.auxiliary_weight,
        max_epochs=2,
    )


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _precision(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    if precision == "32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if precision.startswith("bf16") else torch.float16)


def _move(batch: Batch, device: torch.device) -> Batch:
    def to(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(device)
        return {name: to(part) for name, part in value.items()}

    moved: Batch = to(batch)
    return moved
