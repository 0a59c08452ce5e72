"""One stage of the cascade as a Lightning module."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.classification import BinaryAUROC

from usdlr.data.batch import Batch
from usdlr.models.fusion import Fused
from usdlr.models.network import FusionNetwork
from usdlr.models.settings import NetworkSettings


class NodeStatusTask(pl.LightningModule):
    """Learn P(positive) of one stage from image blocks, radiomics and size.

    Parameters
    ----------
    network : dict
        :class:`NetworkSettings` as plain data, so that a checkpoint loads with ``weights_only``.
    tabular_features : int
        Number of standardised columns.
    learning_rate : float
        Peak learning rate of AdamW.
    weight_decay : float
        Weight decay of AdamW.
    auxiliary_weight : float
        Weight of the loss that each present block's own logit gets, so that no block stays untrained behind a
        stronger one.
    positive_weight : float
        Weight of positive rows in the loss.
    max_epochs : int
        Length of the cosine schedule.
    """

    def __init__(
        self,
        network: dict[str, Any],
        tabular_features: int,
        learning_rate: float,
        weight_decay: float,
        auxiliary_weight: float,
        positive_weight: float,
        max_epochs: int,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.configure_models()
        self.configure_losses()
        self.configure_metrics()

    def configure_models(self) -> None:
        """Build the network."""
        self.network = FusionNetwork(NetworkSettings(**self.hparams["network"]), self.hparams["tabular_features"])

    def configure_losses(self) -> None:
        """Weighted binary cross-entropy."""
        self.register_buffer("positive_weight", torch.tensor(float(self.hparams["positive_weight"])), persistent=False)

    def configure_metrics(self) -> None:
        """Area under the ROC curve on tuning rows."""
        self.tuning_auc = BinaryAUROC()

    def forward(self, batch: Batch) -> Fused:
        """Predict a batch."""
        fused: Fused = self.network(batch["images"], batch["table"], batch["present"])
        return fused

    def loss(self, fused: Fused, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss of the fused logit, and of the own logits of the blocks that counted; means over rows with a label.

        Both are zero for a batch without any label.
        """
        known = torch.isfinite(batch["label"])
        label = torch.where(known, batch["label"], 0.0)
        weight: Any = self.positive_weight
        main = F.binary_cross_entropy_with_logits(fused.logit, label, reduction="none", pos_weight=weight)
        per_block = F.binary_cross_entropy_with_logits(
            fused.block_logits, label[:, None].expand_as(fused.block_logits), reduction="none", pos_weight=weight
        )
        use = fused.present & known[:, None]
        return _mean(main[known]), _mean(per_block[use])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step."""
        main, per_block = self.loss(self(batch), batch)
        self.log("train_loss", main, on_step=False, on_epoch=True, batch_size=len(batch["label"]))
        return main + float(self.hparams["auxiliary_weight"]) * per_block

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Judge tuning rows."""
        fused = self(batch)
        main, _ = self.loss(fused, batch)
        known = torch.isfinite(batch["label"])
        self.tuning_auc.update(fused.logit[known].sigmoid(), batch["label"][known].int())
        size = int(known.sum())
        self.log("tuning_loss", main, on_step=False, on_epoch=True, batch_size=size, prog_bar=True)
        self.log("tuning_auc", self.tuning_auc, on_step=False, on_epoch=True, batch_size=size)

    def configure_optimizers(self) -> Any:
        """AdamW with a cosine schedule after one epoch of warm-up."""
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self.hparams["learning_rate"], weight_decay=self.hparams["weight_decay"]
        )
        epochs = int(self.hparams["max_epochs"])
        warm = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.2, total_iters=1)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=max(epochs - 1, 1))
        schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [warm, cosine], milestones=[1])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "epoch"}}


def _mean(losses: Tensor) -> Tensor:
    return losses.sum() / max(losses.numel(), 1)
