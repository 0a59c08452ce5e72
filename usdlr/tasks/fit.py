"""Fit one stage on one fold: deterministic, resumable at any epoch."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import Tensor

from usdlr.core.errors import DataError
from usdlr.core.hashing import derive_seed
from usdlr.data.datamodule import FoldDataModule
from usdlr.data.dataset import BlockDataset
from usdlr.models.network import FusionNetwork
from usdlr.models.settings import NetworkSettings
from usdlr.tasks.callbacks import ReseedEveryStep
from usdlr.tasks.classification import NodeStatusTask
from usdlr.tasks.loggers import build_loggers, close_loggers
from usdlr.tasks.settings import FitSettings

MONITOR = "tuning_loss"
BRANCHES = "encoders."
QUIET = (
    ".*does not have many workers.*",
    ".*exists and is not empty.*",
    ".*Experiment logs directory.*",
    ".*`weights_only`.*",
    ".*lr_scheduler.step.*",
    ".*isinstance.treespec, LeafSpec.*",
)


def fit_stage(
    train: BlockDataset,
    tuning: BlockDataset,
    *,
    network: NetworkSettings,
    settings: FitSettings,
    seed: int,
    folder: Path,
    name: str,
    start: Mapping[str, Tensor] | None = None,
    callbacks: list[Callback] | None = None,
) -> dict[str, Tensor]:
    """Fit one network and return the weights of its best epoch.

    Parameters
    ----------
    train, tuning : BlockDataset
        Rows with labels; tuning decides when to stop and which epoch wins.
    network : NetworkSettings
        What to fit.
    settings : FitSettings
        How to fit.
    seed : int
        Seed of weights, shuffling, augmentation and dropout.
    folder : Path
        Holds checkpoints and logs. A checkpoint there is continued: the result equals that of an uninterrupted fit.
        Checkpoints are removed when the fit is done.
    name : str
        Name of the fit in the logs.
    start : mapping of str to Tensor, optional
        State of another fitted network whose image branches this one starts from.
    callbacks : list of Callback, optional
        Further callbacks.

    Returns
    -------
    dict of str to Tensor
        State of the :class:`~usdlr.models.network.FusionNetwork`.

    Raises
    ------
    DataError
        If either part lacks a class or the tabular columns are not finite.
    """
    for part, dataset in (("training", train), ("tuning", tuning)):
        classes = set(dataset.label[np.isfinite(dataset.label)].tolist())
        if classes != {0.0, 1.0}:
            raise DataError(
                f"found only the label {', '.join(map(str, sorted(classes))) or 'unknown'} in the {part} rows of "
                f"{name}, expected positive and negative ones; use fewer folds or more patients"
            )
        if not np.isfinite(dataset.table).all():
            raise DataError(f"found a feature that is not a number in the {part} rows of {name}; extract again")
    positives = float((train.label == 1).sum())
    negatives = float((train.label == 0).sum())
    pl.seed_everything(derive_seed(seed, "weights"), workers=True, verbose=False)
    task = NodeStatusTask(
        network=network.without_start().as_dict(),  # hyperparameters are logged: no path of this machine among them
        tabular_features=int(train.table.shape[1]),
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        auxiliary_weight=settings.auxiliary_weight,
        positive_weight=negatives / positives if settings.balance else 1.0,
        max_epochs=settings.epochs,
    )
    if start is None and network != network.without_start():
        start = FusionNetwork(network, int(train.table.shape[1])).state_dict()
    if start is not None:
        branches = {key: value for key, value in start.items() if key.startswith(BRANCHES)}
        task.network.load_state_dict({**task.network.state_dict(), **branches})
    checkpoints = folder / "checkpoints"
    best = ModelCheckpoint(
        dirpath=checkpoints, filename="best", monitor=MONITOR, save_last=True, enable_version_counter=False
    )
    loggers = build_loggers(folder, name, settings.wandb)
    with quiet():
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
            callbacks=[
                ReseedEveryStep(seed),
                EarlyStopping(MONITOR, patience=settings.patience, check_finite=True),
                best,
                *(callbacks or []),
            ],
        )
        last = checkpoints / "last.ckpt"
        try:
            trainer.fit(
                task,
                datamodule=FoldDataModule(train, tuning, settings.batch_size, seed),
                ckpt_path=last if last.exists() else None,
                weights_only=True,
            )
        except SystemExit as error:  # Lightning turns Ctrl-C into an exit; the caller decides what it means
            raise KeyboardInterrupt from error
        finally:  # also of an interrupted fit nothing about the machine stays behind
            close_loggers(loggers, folder)
    state = torch.load(best.best_model_path, map_location="cpu", weights_only=True)["state_dict"]
    prefix = "network."
    weights = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    shutil.rmtree(checkpoints)
    return weights


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what Lightning says about deliberate choices: no loader workers, short epochs, a resumed fit."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        for pattern in QUIET:
            warnings.filterwarnings("ignore", message=pattern)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
