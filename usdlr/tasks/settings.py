"""How one stage is fitted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from usdlr.core.errors import ConfigError
from usdlr.core.named_parts import split_part
from usdlr.data.augment import AugmentSettings
from usdlr.models.losses import LOSSES

WANDB_MODES = ("offline", "online", "disabled")
PRECISIONS = ("32", "bf16-mixed", "16-mixed")


@dataclass(frozen=True)
class FitSettings:
    """Fit settings.

    Parameters
    ----------
    epochs : int
        Largest number of epochs.
    patience : int
        Epochs without a better tuning loss before the fit stops.
    batch_size : int
        Axillae per step and device.
    accumulate : int
        Steps whose gradients are added up before the weights move.
    most_images : int
        Images of one axilla in a training step, drawn anew in every epoch where it has more; predictions read all.
    learning_rate, weight_decay : float
        Of AdamW; biases and normalisation layers do not decay.
    layer_decay : float
        Factor on the learning rate from each layer of a backbone to the one below; 1 for the same rate everywhere.
    loss : str or dict
        A name of :data:`usdlr.models.losses.LOSSES`, or that name with its options.
    block_weight : float
        Weight of the loss that each present block's own logit gets, so that no block stays untrained behind a
        stronger one.
    auxiliary_weight : float
        Weight of the loss of ``model.auxiliary``.
    members : int
        Networks per stage that differ in their seed; a prediction is the mean of their logits.
    average : float
        Decay of an exponential moving average of the weights, which then is what is judged and kept; 0 for none. It
        reaches back about 1 / (1 - decay) steps: a fit needs several times as many.
    warm_start : bool
        Whether stage 2 starts from stage 1 of the same fold: its image branches from the fitted ones, and its ridge
        score from weights drawn towards those of stage 1's instead of towards zero. Stage 2 has the fewest patients
        and asks about the same tumours; stage 1 has seen training and tuning patients only.
    augment : AugmentSettings
        Training augmentation.
    accelerator : str
        Where to fit: ``cpu``, ``gpu`` or another name that Lightning knows. Part of the result: another kind of
        processor gives other weights. Predictions are always made on the CPU.
    devices : int
        Devices that share every step's axillae (distributed data parallel).
    precision : str
        ``32``, ``bf16-mixed`` or ``16-mixed``.
    compile : bool
        Whether ``torch.compile`` translates the network; needs a C++ compiler on a CPU.
    channels_last : bool
        Whether image tensors lie in memory channel by channel; faster on some GPUs.
    workers : int
        Processes per fit that prepare batches ahead; the result does not depend on it.
    wandb : str
        ``offline`` (files only), ``online`` (curves and numbers of the fit; no patient's picture) or ``disabled``; a
        CSV log is always written.
    """

    epochs: int = 20
    patience: int = 6
    batch_size: int = 16
    accumulate: int = 1
    most_images: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    layer_decay: float = 1.0
    loss: str | dict[str, Any] = "balanced"
    block_weight: float = 0.3
    auxiliary_weight: float = 0.2
    members: int = 1
    average: float = 0.0
    warm_start: bool = True
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    accelerator: str = "cpu"
    devices: int = 1
    precision: str = "32"
    compile: bool = False
    channels_last: bool = False
    workers: int = 0
    wandb: str = "offline"

    def __post_init__(self) -> None:
        for name, least in (
            ("epochs", 1),
            ("patience", 1),
            ("accumulate", 1),
            ("most_images", 1),
            ("members", 1),
            ("devices", 1),
            ("workers", 0),
        ):
            if getattr(self, name) < least:
                raise ConfigError(f"found fit.{name} = {getattr(self, name)}, expected at least {least}")
        if self.batch_size < 2:
            raise ConfigError(f"found fit.batch_size = {self.batch_size}, expected at least 2 for batch normalisation")
        if not self.learning_rate > 0:
            raise ConfigError(f"found fit.learning_rate = {self.learning_rate}, expected a number above 0")
        for name in ("weight_decay", "block_weight", "auxiliary_weight"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"found fit.{name} = {getattr(self, name)}, expected at least 0")
        if not 0 < self.layer_decay <= 1:
            raise ConfigError(f"found fit.layer_decay = {self.layer_decay}, expected a factor above 0 up to 1")
        if not 0 <= self.average < 1:
            raise ConfigError(f"found fit.average = {self.average}, expected a decay of at least 0 and below 1")
        for name, words in (("wandb", WANDB_MODES), ("precision", PRECISIONS)):
            if getattr(self, name) not in words:
                raise ConfigError(f"found fit.{name} = {getattr(self, name)!r}, expected one of {', '.join(words)}")
        if self.precision == "16-mixed" and self.accelerator == "cpu":
            raise ConfigError("found fit.precision = 16-mixed on a CPU, which has no such arithmetic; use bf16-mixed")
        split_part(self.loss, "fit.loss", LOSSES)
