"""Fit one network on one fold: deterministic, resumable at any epoch."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.exceptions import (  # type: ignore[attr-defined]  # it passes on another package's
    MisconfigurationException,
)
from torch import Tensor

from usdlr.core.errors import ConfigError, DataError
from usdlr.core.hashing import derive_seed
from usdlr.data.datamodule import FoldDataModule
from usdlr.data.dataset import AxillaDataset
from usdlr.models.network import FusionNetwork
from usdlr.models.settings import NetworkSettings
from usdlr.tasks.callbacks import ReseedEveryStep, StopForGood
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
    ".*smaller than the logging interval.*",
    ".*module.s. in eval mode.*",
)


def fit_network(
    train: AxillaDataset,
    tuning: AxillaDataset,
    *,
    network: NetworkSettings,
    columns: list[str],
    scored: list[str],
    size_px: int,
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
    train, tuning : AxillaDataset
        Axillae with labels; tuning decides when to stop and which epoch wins.
    network : NetworkSettings
        What to fit.
    columns : list of str
        Names of the standardised columns.
    scored : list of str
        Radiomics and clinical blocks that come with a score.
    size_px : int
        Side of the crops in pixels.
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
    ConfigError
        If the network cannot be compiled here.
    """
    for part, dataset in (("training", train), ("tuning", tuning)):
        _require_usable(dataset, f"{part} axillae of {name}")
    pl.seed_everything(derive_seed(seed, "weights"), workers=True, verbose=False)
    task = NodeStatusTask(
        network=network.without_start().as_dict(),  # hyperparameters are logged: no path of this machine among them
        columns=columns,
        scored=scored,
        size_px=size_px,
        loss=settings.loss,
        positives=(train.data.label == 1).sum(axis=0).tolist(),
        negatives=(train.data.label == 0).sum(axis=0).tolist(),
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        layer_decay=settings.layer_decay,
        block_weight=settings.block_weight,
        auxiliary_weight=settings.auxiliary_weight,
        max_epochs=settings.epochs,
    )
    task.start_from(torch.from_numpy(np.asarray(train.data.label)))
    if start is None and network != network.without_start():
        start = FusionNetwork(network, columns, size_px, scored=scored).state_dict()
    if start is not None:
        branches = {key: value for key, value in start.items() if key.startswith(BRANCHES)}
        task.network.load_state_dict({**task.network.state_dict(), **branches})
    if settings.channels_last:
        task.network.to(memory_format=torch.channels_last)
    if settings.compile:
        task.network.compile()
    checkpoints = folder / "checkpoints"
    best = ModelCheckpoint(dirpath=checkpoints, filename="best", monitor=MONITOR, enable_version_counter=False)
    # Its own: the `save_last` of the best one is written with every new best alone, and forgets the epochs since.
    latest = ModelCheckpoint(dirpath=checkpoints, filename="last", enable_version_counter=False)
    averaging: list[Callback] = [EMAWeightAveraging(decay=settings.average)] if settings.average else []
    loggers = build_loggers(folder, name, settings.wandb)
    with quiet(), _known_device(settings):
        trainer = pl.Trainer(
            max_epochs=settings.epochs,
            accelerator=settings.accelerator,
            devices=settings.devices,
            strategy=_strategy(settings.devices),
            precision=settings.precision,  # type: ignore[arg-type]  # checked by FitSettings
            accumulate_grad_batches=settings.accumulate,
            deterministic=True,
            gradient_clip_val=1.0,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            logger=loggers,
            use_distributed_sampler=False,  # EpochSampler divides the axillae itself
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
            callbacks=[
                ReseedEveryStep(seed),
                *averaging,
                StopForGood(MONITOR, patience=settings.patience, check_finite=True),
                best,
                latest,  # after the best, whose state it holds
                *(callbacks or []),
            ],
        )
        last = checkpoints / "last.ckpt"
        try:
            trainer.fit(
                task,
                datamodule=FoldDataModule(train, tuning, settings.batch_size, seed, workers=settings.workers),
                ckpt_path=last if last.exists() else None,
                weights_only=True,
            )
        except SystemExit as error:  # Lightning turns Ctrl-C into an exit; the caller decides what it means
            raise KeyboardInterrupt from error
        except torch._dynamo.exc.TorchDynamoException as error:
            raise ConfigError(
                f"found fit.compile = true, and the network cannot be compiled here ({type(error).__name__}), expected "
                "a working C++ compiler; fit without it"
            ) from error
        finally:  # also of an interrupted fit nothing about the machine stays behind
            close_loggers(loggers, folder)
    state = torch.load(best.best_model_path, map_location="cpu", weights_only=True)["state_dict"]
    prefix = "network."
    weights = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    shutil.rmtree(checkpoints)
    return weights


def _require_usable(dataset: AxillaDataset, what: str) -> None:
    """Refuse axillae of one class, and tables with anything but numbers."""
    for target, label in enumerate(np.asarray(dataset.data.label).T):
        classes = set(label[np.isfinite(label)].tolist())
        if classes != {0.0, 1.0}:
            of = f" of target {target + 1}" if dataset.data.label.shape[1] > 1 else ""
            raise DataError(
                f"found only the label {', '.join(map(str, sorted(classes))) or 'unknown'}{of} in the {what}, "
                "expected positive and negative ones; use fewer folds or more patients"
            )
    used = np.concatenate(dataset.data.images)
    if not (np.isfinite(dataset.data.table[used]).all() and np.isfinite(dataset.data.scores[used]).all()):
        raise DataError(f"found a feature that is not a number in the {what}; extract again")


@contextmanager
def _known_device(settings: FitSettings) -> Iterator[None]:
    """Say in one line that this machine has no such device."""
    try:
        yield
    except MisconfigurationException as error:
        raise ConfigError(
            f"found fit.accelerator = {settings.accelerator!r} with fit.devices = {settings.devices}, which Lightning "
            f"refuses here ({str(error).splitlines()[0]}); name a device that this machine has, such as cpu"
        ) from error


def _strategy(devices: int) -> Any:
    # A block that no axilla of a step has leaves its parameters without a gradient. Processes are spawned: a fit may
    # itself run in a worker process.
    return "auto" if devices == 1 else DDPStrategy(start_method="spawn", find_unused_parameters=True)


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
