"""Callbacks that make an interrupted fit end where an uninterrupted one would."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping

from usdlr.core.hashing import derive_seed


class ReseedEveryStep(pl.Callback):
    """Set the random state (dropout, hidden blocks) from (seed, epoch, batch, device) before every training batch.

    Parameters
    ----------
    seed : int
        Seed of the fit.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Reseed."""
        place = (trainer.current_epoch, batch_idx, trainer.global_rank)
        torch.manual_seed(derive_seed(self.seed, "step", *place))


class StopForGood(EarlyStopping):
    """Early stopping that a resumed fit remembers: one that was killed after it had stopped trains no further epoch.

    Lightning restores how long the fit has waited, but asks again only after another epoch, which might be a better
    one.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop before the first epoch where the checkpoint had stopped."""
        if self.stopped_epoch > 0 or self.wait_count >= self.patience:
            trainer.should_stop = True
