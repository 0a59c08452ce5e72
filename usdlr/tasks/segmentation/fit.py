"""Fit one network that outlines lesions: deterministic, resumable at any epoch."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from usdlr.core.errors import ConfigError, DataError
from usdlr.core.hashing import derive_seed
from usdlr.core.leak import Rows, require_split
from usdlr.core.progress import Progress
from usdlr.core.types import Split
from usdlr.data.segmentation import Frame, OutlineDataset, outline_loader
from usdlr.models.segmentation import OutlinerSettings, SegmentationNetwork
from usdlr.tasks.callbacks import ReseedEveryStep
from usdlr.tasks.fit import quiet
from usdlr.tasks.loggers import build_loggers, close_loggers
from usdlr.tasks.segmentation.settings import OutlineFitSettings
from usdlr.tasks.segmentation.task import OutlineTask

FEWEST = 2
LAST = "last.ckpt"


def rising_average(decay: float) -> Callable[[Any, Any, Any], None]:
    """An exponential moving average that does not remember the random start: its decay rises to the stated one.

    After ``n`` steps it is ``(1 + n) / (10 + n)``, so that a short fit keeps what it has learned.

    Parameters
    ----------
    decay : float
        Once it has risen.

    Returns
    -------
    callable
        For :class:`torch.optim.swa_utils.AveragedModel`: averaged tensors, which change, current ones, steps so far.
    """

    def update(averaged: Any, current: Any, steps: Any) -> None:
        count = float(steps)
        plain = get_ema_multi_avg_fn(min(decay, (1 + count) / (10 + count)))  # type: ignore[no-untyped-call]  # torch publishes no types for it
        plain(averaged, current, steps)

    return update


def fit_outliner(
    frames: Sequence[Frame],
    rows: Rows,
    *,
    network: OutlinerSettings,
    settings: OutlineFitSettings,
    seed: int,
    folder: Path,
    name: str,
    threads: int = 1,
    callbacks: Sequence[Callback] = (),
) -> dict[str, Tensor]:
    """Fit one network and return its last, averaged weights.

    Parameters
    ----------
    frames : sequence of Frame
        What is learned from.
    rows : Rows
        Whose the frames are, one row each, all in ``train``.
    network : OutlinerSettings
        What to fit.
    settings : OutlineFitSettings
        How to fit.
    seed : int
        Seed of weights, shuffling, windows and dropout.
    folder : Path
        Holds checkpoints and logs. A checkpoint there is continued: the result equals that of an uninterrupted fit.
        Checkpoints are removed when the fit is done.
    name : str
        Name of the fit in logs and on the progress line.
    threads : int
        Threads of the fit; part of the result's last digits.
    callbacks : sequence of Callback
        Further callbacks.

    Returns
    -------
    dict of str to Tensor
        State of the :class:`~usdlr.models.segmentation.SegmentationNetwork`.

    Raises
    ------
    LeakError
        If a frame is not in the split ``train``.
    DataError
        If there are fewer than two frames, or none shows a lesion.
    ConfigError
        If the network cannot be built, or the loss is not a number.
    """
    require_split(rows, [Split.TRAIN], "network that outlines lesions")
    if len(rows) != len(frames):
        raise ValueError(f"{len(frames)} frames and {len(rows)} rows")
    if len(frames) < FEWEST or not any(frame.lesions.any() for frame in frames):
        raise DataError(
            f"found {len(frames)} images to learn {name} from, expected at least {FEWEST}, one of them with a lesion"
        )
    pl.seed_everything(derive_seed(seed, "weights"), workers=True, verbose=False)
    torch.set_num_threads(threads)
    dataset = OutlineDataset(frames, network.size_px, settings.windows, seed)
    loader = outline_loader(dataset, settings.batch_size, seed, settings.workers)
    task = OutlineTask(
        network=network.without_start().as_dict(),
        loss=asdict(settings.loss),
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        steps=settings.epochs * len(loader),
        warmup=settings.warmup,
    )
    if network != network.without_start():
        task.network.load_state_dict(SegmentationNetwork(network).state_dict())
    if settings.channels_last:
        task.network.to(memory_format=torch.channels_last)
    checkpoints = folder / "checkpoints"
    latest = ModelCheckpoint(
        dirpath=checkpoints, filename="last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    averaging: list[Callback] = []
    if settings.average:
        averaging.append(WeightAveraging(multi_avg_fn=rising_average(settings.average)))
    loggers = build_loggers(folder, name, settings.wandb)
    with quiet(), Progress(f"{name}: epochs", settings.epochs) as progress:
        trainer = pl.Trainer(
            max_epochs=settings.epochs,
            accelerator=settings.accelerator,
            devices=1,
            precision=settings.precision,  # type: ignore[arg-type]  # checked by OutlineFitSettings
            deterministic="warn",  # resizing on a GPU has no deterministic gradient
            gradient_clip_val=1.0,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            logger=loggers,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
            callbacks=[ReseedEveryStep(seed), *averaging, latest, _Watch(progress), *callbacks],
        )
        last = checkpoints / LAST
        try:
            trainer.fit(task, loader, ckpt_path=last if last.exists() else None, weights_only=True)
        except SystemExit as error:  # Lightning turns Ctrl-C into an exit; the caller decides what it means
            raise KeyboardInterrupt from error
        finally:  # also of an interrupted fit nothing about the machine stays behind
            close_loggers(loggers, folder)
    prefix = "network."
    state = torch.load(last, map_location="cpu", weights_only=True)["state_dict"]
    shutil.rmtree(checkpoints)
    return {
        key.removeprefix(prefix): value.contiguous().clone() for key, value in state.items() if key.startswith(prefix)
    }


class _Watch(Callback):
    """Counts finished epochs, those of an earlier sitting included, and gives up a fit that cannot be mended."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loss = float(trainer.callback_metrics["train_loss"])
        if loss != loss:
            raise ConfigError(
                f"found a loss that is not a number in epoch {trainer.current_epoch + 1}, expected one; lower "
                "fit.learning_rate, or fit with fit.precision = 32"
            )
        self.progress.advance(trainer.current_epoch + 1 - self.progress.done)
