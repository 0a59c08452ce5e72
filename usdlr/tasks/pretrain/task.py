"""Pre-training as a Lightning module."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from usdlr.core.errors import ConfigError
from usdlr.models.pretraining import Method, PretextBatch


class PretextTask(pl.LightningModule):
    """Fit a method of pre-training, and keep a record of every epoch.

    Parameters
    ----------
    method : Method
        What is learned; its ``backbone`` is what remains.
    learning_rate : float
        Peak learning rate of AdamW.
    weight_decay : float
        Weight decay of AdamW, on weights of two and more dimensions.
    epochs, warmup_epochs : int
        Length of the schedule and of its rise.
    steps_per_epoch : int
        Steps of one epoch.
    """

    def __init__(
        self,
        method: Method,
        *,
        learning_rate: float,
        weight_decay: float,
        epochs: int,
        warmup_epochs: int,
        steps_per_epoch: int,
    ) -> None:
        super().__init__()
        self.method = method
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.epochs, self.warmup_epochs, self.steps_per_epoch = epochs, warmup_epochs, steps_per_epoch
        # Part of every checkpoint, so that a continued fit knows the epochs before.
        self.history: list[dict[str, float]] = []
        self._sums: dict[str, Tensor] = {}
        self._images: dict[str, int] = {}

    def on_train_epoch_start(self) -> None:
        """Begin to count."""
        self._sums, self._images = {}, {}

    def training_step(self, batch: PretextBatch, batch_idx: int) -> Tensor:
        """One step."""
        return self._step(batch, "train")

    def validation_step(self, batch: PretextBatch, batch_idx: int) -> None:
        """Judge watched images; nothing is spread out in a batch of one."""
        if batch["images"].shape[1] > 1:
            self._step(batch, "watch")

    def _step(self, batch: PretextBatch, part: str) -> Tensor:
        outcome = self.method(batch)
        size = int(batch["images"].shape[1])
        for name, value in {"loss": outcome.loss, **outcome.measures}.items():
            key = f"{part}_{name}"
            self._sums[key] = self._sums.get(key, torch.zeros((), device=self.device)) + value.detach() * size
            self._images[key] = self._images.get(key, 0) + size
        loss: Tensor = outcome.loss
        return loss

    def on_train_epoch_end(self) -> None:
        """Record the epoch, and give up a fit that cannot be mended.

        Runs before the epoch's checkpoint is written: the same command meets the same end.

        Raises
        ------
        ConfigError
            If the loss is not a number, or the encoder has collapsed.
        """
        means = {key: float(total) / self._images[key] for key, total in self._sums.items()}
        epoch = self.current_epoch + 1
        self._refuse(epoch, means)
        self.history.append({"epoch": float(epoch), "learning_rate": self._rate(), **means})
        self.log_dict(means, on_step=False, on_epoch=True)

    def _refuse(self, epoch: int, means: dict[str, float]) -> None:
        if not math.isfinite(means["train_loss"]):
            raise ConfigError(
                f"found a loss that is not a number in epoch {epoch}, expected one; lower learning_rate (now "
                f"{self.learning_rate:g})"
            )
        for name in self.method.alive:
            found, least = means[f"train_{name}"], self.method.collapse_below
            if epoch > self.warmup_epochs and found < least:
                raise ConfigError(
                    f"found different images alike after epoch {epoch} ({name} = {found:.2g}, 0 when all are the "
                    f"same), expected at least {least:g}: the encoder has collapsed; {self.method.collapse_advice}, "
                    "and choose another --out"
                )

    def _rate(self) -> float:
        optimizer: Any = self.optimizers()
        return float(optimizer.param_groups[0]["lr"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the record."""
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Find the record."""
        self.history = list(checkpoint["history"])

    def configure_optimizers(self) -> Any:
        """AdamW; the rate rises linearly and falls along a cosine, step by step."""
        parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
        groups = [
            {"params": [one for one in parameters if one.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=self.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _factor(self, step: int) -> float:
        rise, total = self.warmup_epochs * self.steps_per_epoch, self.epochs * self.steps_per_epoch
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * min((step - rise) / max(total - rise, 1), 1.0)))
