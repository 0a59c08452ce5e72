"""Pre-train a backbone: deterministic, and an interrupted fit ends where an uninterrupted one does."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from usdlr.core.errors import DataError
from usdlr.core.hashing import derive_seed
from usdlr.core.leak import Rows, require_split
from usdlr.core.named_parts import split_part
from usdlr.core.progress import Progress
from usdlr.core.types import Split
from usdlr.imaging.image import FloatArray
from usdlr.models.backbones import build_backbone
from usdlr.models.pretraining import METHODS, Method
from usdlr.tasks.callbacks import ReseedEveryStep
from usdlr.tasks.fit import quiet
from usdlr.tasks.loggers import build_loggers, close_loggers
from usdlr.tasks.pretrain.data import ViewDataset, training_loader, watched_loader, watched_patients
from usdlr.tasks.pretrain.images import Canvas
from usdlr.tasks.pretrain.settings import PretrainSettings
from usdlr.tasks.pretrain.task import PretextTask

CHECKPOINTS = "checkpoints"
SHOWN = 6


@dataclass(frozen=True)
class Pretrained:
    """What a pre-training gives.

    Parameters
    ----------
    backbone : nn.Module
        The fitted backbone; its running statistics are those of whole views.
    history : DataFrame
        One row per epoch: ``epoch learning_rate train_loss watch_loss ...``.
    references : mapping of str to float
        Losses of plain guesses on the watched images.
    pictures : mapping of str to float32 array, (images, size, size)
        What there is to see, about -2..2, by title.
    watched : int
        Number of watched images.
    """

    backbone: nn.Module
    history: pd.DataFrame
    references: Mapping[str, float]
    pictures: Mapping[str, FloatArray]
    watched: int


def build_method(settings: PretrainSettings) -> Method:
    """The method with its backbone, before anything is read; the same seed gives the same weights.

    Raises
    ------
    ConfigError
        If backbone, size, weights or an option cannot be used.
    """
    pl.seed_everything(derive_seed(settings.seed, "weights"), workers=True, verbose=False)
    name, options = split_part(settings.method, "method", METHODS)
    backbone = build_backbone(
        settings.backbone,
        in_channels=1,
        size_px=settings.size_px,
        pretrained=settings.pretrained,
        weights_file=settings.weights_file,
    )
    return METHODS[name](backbone, settings.size_px, **options)


def divide(rows: Rows, settings: PretrainSettings) -> tuple[list[int], list[int]]:
    """Positions of the images that are learned from, and of those of patients who are only watched.

    Raises
    ------
    LeakError
        If a row is not in the split ``train``.
    DataError
        If fewer than two images are left to learn from.
    """
    require_split(rows, [Split.TRAIN], "pre-trained backbone")
    watched = watched_patients(rows.patient_id, settings.watch, settings.seed)
    learn = [place for place, patient in enumerate(rows.patient_id) if patient not in watched]
    if len(learn) < 2:
        raise DataError(
            f"found {len(learn)} images to learn from beside {len(rows) - len(learn)} that are watched, expected at "
            "least 2; use more cases, or watch = 0"
        )
    return learn, [place for place, patient in enumerate(rows.patient_id) if patient in watched]


def fit_method(
    method: Method,
    canvases: Sequence[Canvas],
    image_id: Sequence[str],
    rows: Rows,
    *,
    settings: PretrainSettings,
    folder: Path,
    callbacks: Sequence[Callback] = (),
) -> Pretrained:
    """Fit a method, or continue its fit.

    Parameters
    ----------
    method : Method
        From :func:`build_method`; changed in place.
    canvases : sequence of Canvas
        What is learned from.
    image_id : sequence of str
        One per canvas.
    rows : Rows
        Whose the canvases are.
    settings : PretrainSettings
        How to fit.
    folder : Path
        Holds checkpoints and logs. A checkpoint there is continued; call :func:`forget_checkpoints` when the result
        is safe.
    callbacks : sequence of Callback
        Further callbacks.

    Raises
    ------
    LeakError, DataError
        As :func:`divide`.
    ConfigError
        If the embeddings collapse or the loss is not a number.
    """
    learn, watch = divide(rows, settings)

    def views(places: Sequence[int], **rest: Any) -> ViewDataset:
        chosen = tuple(image_id[place] for place in places), tuple(canvases[place] for place in places)
        return ViewDataset(*chosen, settings.size_px, method.views, seed=settings.seed, **rest)

    train = views(learn, patches=method.patches, settings=settings.views)
    # A method of several views is watched on varied ones: of plain ones, all would be the same.
    variation = settings.views if method.views > 1 else None
    judged = views(watch or learn, patches=method.patches, settings=variation)
    loader = training_loader(train, settings.batch_size, settings.seed)
    task = PretextTask(
        method,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        epochs=settings.epochs,
        warmup_epochs=settings.warmup_epochs,
        steps_per_epoch=len(loader),
    )
    batch_size = min(settings.batch_size, len(judged))
    watching = watched_loader(judged, batch_size)
    _run(task, loader, watching if watch else None, settings, folder, callbacks)
    method.cpu().eval()
    with torch.no_grad():
        references = _references(method, watching) if watch else {}
        pictures = _pictures(method, judged)
        refresh_statistics(method.backbone, watched_loader(views(learn, patches=None, settings=None), batch_size=64))
    return Pretrained(method.backbone, pd.DataFrame(task.history), references, pictures, len(watch))


def _run(
    task: PretextTask, loader: Any, watching: Any, settings: PretrainSettings, folder: Path, extra: Sequence[Callback]
) -> None:
    torch.set_num_threads(settings.threads)
    checkpoints = folder / CHECKPOINTS
    start = newest_checkpoint(checkpoints)
    loggers = build_loggers(folder, "pretraining", settings.wandb)
    keep = ModelCheckpoint(
        dirpath=checkpoints,
        filename="{epoch}",
        save_top_k=1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    with quiet(), Progress("epochs", settings.epochs) as progress:
        warnings.filterwarnings("ignore", message=".*have no `val_dataloader`.*")  # watch = 0
        trainer = pl.Trainer(
            max_epochs=settings.epochs,
            accelerator=settings.accelerator,
            devices=1,
            deterministic=True,
            gradient_clip_val=1.0,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            logger=loggers,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
            callbacks=[ReseedEveryStep(settings.seed), keep, _Count(progress), *extra],
        )
        try:
            trainer.fit(task, loader, watching, ckpt_path=start, weights_only=True)
        except SystemExit as error:  # Lightning turns Ctrl-C into an exit; the caller decides what it means
            raise KeyboardInterrupt from error
        finally:  # also of an interrupted fit nothing about the machine stays behind
            close_loggers(loggers, folder)


class _Count(Callback):
    """Counts finished epochs, those of an earlier sitting included."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.progress.advance(trainer.current_epoch + 1 - self.progress.done)


def newest_checkpoint(folder: Path) -> Path | None:
    """The latest epoch's checkpoint that is whole; one that was cut off while it was written is removed."""
    found = sorted(folder.glob("epoch=*.ckpt"), key=lambda path: int(path.stem.partition("=")[2]), reverse=True)
    for path in found:
        try:
            torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, OSError, ValueError):
            path.unlink()
        else:
            return path
    return None


def forget_checkpoints(folder: Path) -> None:
    """Remove what only an unfinished fit needs."""
    for name in (CHECKPOINTS, "csv"):
        shutil.rmtree(folder / name, ignore_errors=True)


def refresh_statistics(backbone: nn.Module, loader: Any) -> None:
    """Replace the running statistics of batch normalisation by those of whole views.

    During the fit they are gathered from pictures with holes, and layers behind the last feature map may have seen
    none at all: a frozen backbone would answer whole pictures with the wrong scale.
    """
    layers = [module for module in backbone.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    if not layers:
        return
    momentum = [layer.momentum for layer in layers]
    backbone.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean over all batches
        layer.train()
    with torch.no_grad():
        for batch in loader:
            if batch["images"].shape[1] > 1:
                backbone(batch["images"][0])
    for layer, value in zip(layers, momentum, strict=True):
        layer.momentum = value
    backbone.eval()


def _references(method: Method, loader: Any) -> dict[str, float]:
    sums: dict[str, float] = {}
    images = 0
    for batch in loader:
        size = int(batch["images"].shape[1])
        for name, value in method.references(batch).items():
            sums[name] = sums.get(name, 0.0) + float(value) * size
        images += size
    return {name: total / images for name, total in sums.items()}


def _pictures(method: Method, dataset: ViewDataset) -> dict[str, FloatArray]:
    batch = next(iter(watched_loader(dataset, min(SHOWN, len(dataset)))))
    return {title: np.asarray(found, dtype=np.float32) for title, found in method.pictures(batch).items()}
