"""How one stage is fitted."""

from __future__ import annotations

from dataclasses import dataclass, field

from usdlr.core.errors import ConfigError
from usdlr.data.augment import AugmentSettings

WANDB_MODES = ("offline", "online", "disabled")


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
        Samples per step.
    learning_rate, weight_decay : float
        Of AdamW.
    auxiliary_weight : float
        Weight of the blocks' own losses.
    balance : bool
        Whether positive rows weigh as much as negative ones in all.
    warm_start : bool
        Whether the image branches of stage 2 start from those of stage 1 of the same fold. Stage 2 has the fewest
        patients and asks about the same tumours; stage 1 has seen training and tuning patients only.
    augment : AugmentSettings
        Training augmentation.
    accelerator : str
        Where to fit: ``cpu``, ``gpu`` or another name that Lightning knows. Part of the result: another kind of
        processor gives other weights. Predictions are always made on the CPU.
    wandb : str
        ``offline`` (files only), ``online`` or ``disabled``; a CSV log is always written.
    """

    epochs: int = 20
    patience: int = 6
    batch_size: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    auxiliary_weight: float = 0.3
    balance: bool = True
    warm_start: bool = True
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    accelerator: str = "cpu"
    wandb: str = "offline"

    def __post_init__(self) -> None:
        for name in ("epochs", "patience"):
            if getattr(self, name) < 1:
                raise ConfigError(f"found fit.{name} = {getattr(self, name)}, expected at least 1")
        if self.batch_size < 2:
            raise ConfigError(f"found fit.batch_size = {self.batch_size}, expected at least 2 for batch normalisation")
        if not self.learning_rate > 0 or not self.weight_decay >= 0 or not self.auxiliary_weight >= 0:
            raise ConfigError("found a negative fit.learning_rate, weight_decay or auxiliary_weight, expected none")
        if self.wandb not in WANDB_MODES:
            raise ConfigError(f"found fit.wandb = {self.wandb!r}, expected one of {', '.join(WANDB_MODES)}")
