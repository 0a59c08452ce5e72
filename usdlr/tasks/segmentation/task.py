"""Learning outlines as a Lightning module."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from usdlr.models.layers import parameter_groups
from usdlr.models.segmentation import MaskLossSettings, MaskOutput, OutlinerSettings, SegmentationNetwork, mask_loss


class OutlineTask(pl.LightningModule):
    """Learn the mask of a window, and whether it holds a lesion.

    Every argument is plain data, so that a checkpoint loads with ``weights_only``.

    Parameters
    ----------
    network : dict
        :class:`usdlr.models.segmentation.OutlinerSettings` without a start.
    loss : dict
        :class:`usdlr.models.segmentation.MaskLossSettings`.
    learning_rate, weight_decay : float
        Of AdamW.
    steps : int
        Steps of the whole fit.
    warmup : float
        Share of the steps over which the learning rate rises.
    """

    def __init__(
        self,
        network: dict[str, Any],
        loss: dict[str, float],
        learning_rate: float,
        weight_decay: float,
        steps: int,
        warmup: float,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.configure_models()
        self.configure_losses()

    def configure_models(self) -> None:
        """Build the network."""
        self.network = SegmentationNetwork(OutlinerSettings(**self.hparams["network"]))

    def configure_losses(self) -> None:
        """Read the weights of the loss's parts."""
        self.weights = MaskLossSettings(**self.hparams["loss"])

    def forward(self, batch: dict[str, Tensor]) -> MaskOutput:
        """Predict a batch of windows."""
        output: MaskOutput = self.network(batch["image"], batch["prompts"])
        return output

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """One step."""
        loss, parts = mask_loss(self(batch), batch["target"], batch["distance"], self.weights)
        size = len(batch["image"])
        for name, value in {"loss": loss, **parts}.items():
            self.log(f"train_{name}", value.detach(), on_step=False, on_epoch=True, batch_size=size)
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW; the rate rises linearly and falls along a cosine, step by step."""
        optimizer = torch.optim.AdamW(
            parameter_groups(
                self.network,
                learning_rate=float(self.hparams["learning_rate"]),
                weight_decay=float(self.hparams["weight_decay"]),
                layer_decay=1.0,
            )
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _factor(self, step: int) -> float:
        total = int(self.hparams["steps"])
        rise = max(round(float(self.hparams["warmup"]) * total), 1)
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * min((step - rise) / max(total - rise, 1), 1.0)))
