"""How an image branch is pre-trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from usdlr.core.errors import ConfigError
from usdlr.core.named_parts import split_part
from usdlr.models.pretraining import METHODS
from usdlr.tasks.pretrain.images import CROPS
from usdlr.tasks.settings import WANDB_MODES


@dataclass(frozen=True)
class ViewSettings:
    """How views of one image vary.

    A view is never turned upside down or stretched: depth has a direction, and taller than wide is a sign of
    malignancy.

    Parameters
    ----------
    smallest : float
        Shortest side of a view, as a share of the shorter side of what was cut from the image; the longest is all of
        it.
    flip : float
        Chance of a left-right flip.
    gain : float
        Largest change of the grey level, as a share of the whole range.
    contrast : float
        Largest relative change of contrast about the view's mean.
    gamma : float
        Largest relative change of the exponent of the grey curve.
    noise : float
        Largest standard deviation of multiplicative speckle-like noise.
    """

    smallest: float = 0.6
    flip: float = 0.5
    gain: float = 0.1
    contrast: float = 0.2
    gamma: float = 0.2
    noise: float = 0.0

    def __post_init__(self) -> None:
        if not 0.05 <= self.smallest <= 1:
            raise ConfigError(f"found views.smallest = {self.smallest}, expected a share from 0.05 to 1")
        for name in ("flip", "gain", "contrast", "gamma", "noise"):
            value = getattr(self, name)
            if not 0 <= value <= 1 or (name in ("contrast", "gamma") and value == 1):
                raise ConfigError(f"found views.{name} = {value}, expected a share of at least 0 and below 1")


@dataclass(frozen=True)
class PretrainSettings:
    """Pre-training settings.

    Parameters
    ----------
    backbone : str
        Any timm model name.
    pretrained : bool
        Whether to begin with timm's published weights; needs a network or a filled cache.
    weights_file : str or None
        Weights to begin with instead, e.g. those of an earlier pre-training.
    size_px : int
        Side of the square images that the backbone learns from.
    method : str or dict
        What is learned: a name of :data:`usdlr.models.pretraining.METHODS` (``masked``, ``contrastive``), or that
        name with its options.
    crop : str or dict
        What is cut from an image, in pixels relative to the picture; no millimetre is claimed. A name of
        :data:`usdlr.tasks.pretrain.images.CROPS` (``lesion``, ``field_of_view``), or that name with its options.
    views : ViewSettings
        How views vary.
    epochs : int
        Number of epochs; the weights of the last one are kept.
    warmup_epochs : int
        Epochs over which the learning rate rises; afterwards it falls along a cosine. A collapse is looked for after
        them.
    batch_size : int
        Images per step.
    learning_rate, weight_decay : float
        Of AdamW; biases and normalisation do not decay.
    watch : float
        Share of the patients that are only watched: their loss says whether what is learned carries over.
    accelerator : str
        Where to fit: ``cpu``, ``gpu`` or another name that Lightning knows. Part of the result.
    wandb : str
        ``offline`` (files only), ``online`` or ``disabled``; a CSV is always written.
    seed : int
        Seed of everything that is random.
    threads : int
        Threads of the fit; part of the result's last digits.
    """

    backbone: str = "mobilenetv4_conv_small"
    pretrained: bool = False
    weights_file: str | None = None
    size_px: int = 96
    method: str | dict[str, Any] = "masked"
    crop: str | dict[str, Any] = "lesion"
    views: ViewSettings = field(default_factory=ViewSettings)
    epochs: int = 100
    warmup_epochs: int = 5
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    watch: float = 0.1
    accelerator: str = "cpu"
    wandb: str = "offline"
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        for name, least in (("size_px", 32), ("epochs", 1), ("warmup_epochs", 0), ("batch_size", 2), ("threads", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"found {name} = {getattr(self, name)}, expected at least {least}")
        if self.warmup_epochs >= self.epochs:
            raise ConfigError(
                f"found warmup_epochs = {self.warmup_epochs} and epochs = {self.epochs}, expected fewer of the first"
            )
        if not self.learning_rate > 0 or not self.weight_decay >= 0:
            raise ConfigError(
                f"found learning_rate = {self.learning_rate} and weight_decay = {self.weight_decay}, expected a "
                "learning rate above 0 and a decay of at least 0"
            )
        if not 0 <= self.watch < 1:
            raise ConfigError(f"found watch = {self.watch}, expected a share of at least 0 and below 1")
        if self.wandb not in WANDB_MODES:
            raise ConfigError(f"found wandb = {self.wandb!r}, expected one of {', '.join(WANDB_MODES)}")
        if self.pretrained and self.weights_file is not None:
            raise ConfigError("found both pretrained and weights_file, expected one source of weights")
        split_part(self.method, "method", METHODS)
        split_part(self.crop, "crop", CROPS)

    def identity(self) -> dict[str, Any]:
        """What decides the result, as plain data without a path; the weights file's hash is among the inputs."""
        content = asdict(self)
        del content["weights_file"]
        return content
