"""One fit of the cascade as a Lightning module: one stage, or both from one network."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torchmetrics.classification import BinaryAUROC

from usdlr.data.batch import Batch
from usdlr.models.layers import parameter_groups
from usdlr.models.losses import build_loss
from usdlr.models.network import FusionNetwork, Output
from usdlr.models.settings import NetworkSettings


class NodeStatusTask(pl.LightningModule):
    """Learn a stage's log-odds from image blocks, radiomics and clinical variables.

    Every argument is plain data, so that a checkpoint loads with ``weights_only``.

    Parameters
    ----------
    network : dict
        :class:`NetworkSettings`.
    columns : list of str
        Names of the standardised columns.
    scored : list of str
        Blocks that come with a score.
    size_px : int
        Side of the crops in pixels.
    loss : str or dict
        A name of :data:`usdlr.models.losses.LOSSES`, or that name with its options.
    positives, negatives : list of int
        Training axillae by target.
    learning_rate : float
        Peak learning rate of AdamW.
    weight_decay : float
        Weight decay of AdamW.
    layer_decay : float
        Factor on the learning rate from each layer of a backbone to the one below.
    block_weight : float
        Weight of the loss of each present block's own logit.
    auxiliary_weight : float
        Weight of the auxiliary loss.
    max_epochs : int
        Length of the cosine schedule.
    """

    def __init__(
        self,
        network: dict[str, Any],
        columns: list[str],
        scored: list[str],
        size_px: int,
        loss: str | dict[str, Any],
        positives: list[int],
        negatives: list[int],
        learning_rate: float,
        weight_decay: float,
        layer_decay: float,
        block_weight: float,
        auxiliary_weight: float,
        max_epochs: int,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.configure_models()
        self.configure_losses()
        self.configure_metrics()

    def configure_models(self) -> None:
        """Build the network."""
        self.network = FusionNetwork(
            NetworkSettings(**self.hparams["network"]),
            self.hparams["columns"],
            self.hparams["size_px"],
            scored=self.hparams["scored"],
        )

    def configure_losses(self) -> None:
        """Build the loss of known labels."""
        self.criterion = build_loss(self.hparams["loss"], self.hparams["positives"], self.hparams["negatives"])

    def configure_metrics(self) -> None:
        """Area under the ROC curve of each target on tuning axillae."""
        targets = range(self.network.head.targets)
        self.tuning_auc = torch.nn.ModuleList([BinaryAUROC() for _ in targets])

    def start_from(self, label: Tensor) -> None:
        """Let the base logits start where one prediction for everybody loses least.

        Parameters
        ----------
        label : Tensor, (axillae, targets)
            Of the training axillae; not-a-number where unknown.
        """
        head, base = self.network.head, torch.zeros(self.network.head.width, dtype=torch.float64, requires_grad=True)
        search = torch.optim.LBFGS([base], max_iter=100, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            search.zero_grad()
            loss = head.loss(base.expand(len(label), -1), label.double(), self.criterion)
            loss.backward()  # type: ignore[no-untyped-call]  # torch publishes no types for it
            return loss

        search.step(closure)  # type: ignore[no-untyped-call]  # likewise
        head.zero_grad()
        with torch.no_grad():
            self.network.fusion.set_base(base.detach())

    def forward(self, batch: Batch) -> Output:
        """Predict a batch."""
        output: Output = self.network(
            batch["images"], batch["table"], batch["scores"], batch["present"], batch["place"]
        )
        return output

    def losses(self, output: Output, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Loss of the fused logits, of the own logits of the blocks that counted, and of the auxiliary quantities."""
        head, label = self.network.head, batch["label"]
        main = head.loss(output.logits, label, self.criterion)
        blocks = head.block_loss(output.block_logits, label, output.present, self.criterion)
        return main, blocks, self.network.auxiliary.loss(output.auxiliary, batch["auxiliary"])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One step."""
        main, blocks, auxiliary = self.losses(self(batch), batch)
        self.log("train_loss", main, on_step=False, on_epoch=True, batch_size=len(batch["label"]))
        weights = self.hparams
        return main + float(weights["block_weight"]) * blocks + float(weights["auxiliary_weight"]) * auxiliary

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Judge tuning axillae."""
        output = self(batch)
        main, _, _ = self.losses(output, batch)
        logits = self.network.head.stage_logits(output.logits)
        known = torch.isfinite(batch["label"])
        size = int(known.any(dim=1).sum())
        self.log("tuning_loss", main, on_step=False, on_epoch=True, batch_size=size, prog_bar=True)
        for target, metric in enumerate(self.tuning_auc):
            use = known[:, target]
            metric.update(logits[use, target].float().sigmoid(), batch["label"][use, target].int())  # type: ignore[operator]  # ModuleList is untyped
            name = "tuning_auc" if len(self.tuning_auc) == 1 else f"tuning_auc_{target}"
            self.log(name, metric, on_step=False, on_epoch=True, batch_size=size)  # type: ignore[arg-type]  # likewise

    def configure_optimizers(self) -> Any:
        """AdamW with a cosine schedule after one epoch of warm-up."""
        optimizer = torch.optim.AdamW(
            parameter_groups(
                self.network,
                learning_rate=float(self.hparams["learning_rate"]),
                weight_decay=float(self.hparams["weight_decay"]),
                layer_decay=float(self.hparams["layer_decay"]),
            )
        )
        epochs = int(self.hparams["max_epochs"])
        warm = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.2, total_iters=1)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=max(epochs - 1, 1))
        schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [warm, cosine], milestones=[1])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "epoch"}}
