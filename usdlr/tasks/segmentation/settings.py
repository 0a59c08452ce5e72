"""How a network that outlines lesions is fitted."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from usdlr.core.errors import ConfigError
from usdlr.data.segmentation.settings import DrawSettings
from usdlr.models.segmentation.losses import MaskLossSettings
from usdlr.tasks.settings import PRECISIONS, WANDB_MODES


@dataclass(frozen=True)
class OutlineFitSettings:
    """Fit settings.

    The schedule is fixed and its last weights are kept: no image decides when to stop.

    Parameters
    ----------
    epochs : int
        Passes over the images.
    warmup : float
        Share of the steps over which the learning rate rises; afterwards it falls along a cosine to nothing.
    batch_size : int
        Windows per step.
    learning_rate, weight_decay : float
        Of AdamW; biases and normalisation layers do not decay.
    average : float
        Decay of an exponential moving average of the weights, which is what is kept; 0 for none.
    loss : MaskLossSettings
        Weights of the loss's parts.
    windows : DrawSettings
        How windows are drawn from the images.
    accelerator : str
        Where to fit: ``cpu``, ``gpu`` or another name that Lightning knows. Part of the result.
    precision : str
        ``32``, ``bf16-mixed`` or ``16-mixed``.
    channels_last : bool
        Whether image tensors lie in memory channel by channel; faster for most encoders.
    workers : int
        Processes that prepare batches ahead; the result does not depend on it.
    wandb : str
        ``offline`` (files only), ``online`` (curves and numbers; no patient's picture) or ``disabled``; a CSV log is
        always written.
    """

    epochs: int = 80
    warmup: float = 0.1
    batch_size: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    average: float = 0.995
    loss: MaskLossSettings = field(default_factory=MaskLossSettings)
    windows: DrawSettings = field(default_factory=DrawSettings)
    accelerator: str = "cpu"
    precision: str = "32"
    channels_last: bool = True
    workers: int = 0
    wandb: str = "disabled"

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2), ("workers", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"found fit.{name} = {getattr(self, name)}, expected at least {least}")
        if not self.learning_rate > 0 or not self.weight_decay >= 0:
            raise ConfigError(
                f"found fit.learning_rate = {self.learning_rate} and fit.weight_decay = {self.weight_decay}, expected "
                "a learning rate above 0 and a decay of at least 0"
            )
        if not 0 <= self.warmup < 1 or not 0 <= self.average < 1:
            raise ConfigError(
                f"found fit.warmup = {self.warmup} and fit.average = {self.average}, expected shares below 1"
            )
        for name, words in (("wandb", WANDB_MODES), ("precision", PRECISIONS)):
            if getattr(self, name) not in words:
                raise ConfigError(f"found fit.{name} = {getattr(self, name)!r}, expected one of {', '.join(words)}")
        if self.precision == "16-mixed" and self.accelerator == "cpu":
            raise ConfigError("found fit.precision = 16-mixed on a CPU, which has no such arithmetic; use bf16-mixed")

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)
