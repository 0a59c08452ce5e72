"""Losses of an outline: overlap, pixels, distance to the boundary, and whether there is a lesion at all.

References
----------
Dice loss: Milletari et al. 2016, doi:10.1109/3DV.2016.79. Boundary loss: Kervadec et al. 2021,
doi:10.1016/j.media.2020.101851.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from usdlr.core.errors import ConfigError
from usdlr.models.segmentation.network import MaskOutput

# A lesion below so many pixels of the window is too little to compute an overlap of.
SMALLEST_PX = 12.0


@dataclass(frozen=True)
class MaskLossSettings:
    """Weights of the parts.

    Parameters
    ----------
    dice : float
        Of 1 - Dice of each window that has a lesion.
    pixels : float
        Of the cross-entropy of every pixel.
    boundary : float
        Of the probability times the signed distance to the reader's boundary (a share of the window's side, negative
        inside), averaged over the window.
    presence : float
        Of the cross-entropy of whether there is a lesion.
    """

    dice: float = 1.0
    pixels: float = 1.0
    boundary: float = 0.5
    presence: float = 0.1

    def __post_init__(self) -> None:
        values = asdict(self)
        for name, value in values.items():
            if not 0 <= value < float("inf"):
                raise ConfigError(f"found loss.{name} = {value}, expected a weight of at least 0")
        if values["dice"] + values["pixels"] == 0:
            raise ConfigError("found loss.dice and loss.pixels = 0, expected one of them above 0")


def mask_loss(
    output: MaskOutput, target: Tensor, distance: Tensor, settings: MaskLossSettings
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of a batch, and its parts before weighting.

    Parameters
    ----------
    output : MaskOutput
        What the network says.
    target : Tensor, (batch, 1, size, size)
        Share of a pixel that is lesion, 0..1.
    distance : Tensor, (batch, 1, size, size)
        Signed distance to the boundary as a share of the window's side, negative inside; 0 everywhere without a lesion.
    settings : MaskLossSettings
        Weights of the parts.

    Returns
    -------
    loss : Tensor, ()
        The weighted sum.
    parts : dict of str to Tensor
        ``dice pixels boundary presence``.
    """
    probability = output.mask.sigmoid()
    area = target.sum(dim=(1, 2, 3))
    there = (area >= SMALLEST_PX).float()
    common = (probability * target).sum(dim=(1, 2, 3))
    overlap = 1 - (2 * common + 1) / (probability.sum(dim=(1, 2, 3)) + area + 1)
    parts = {
        "dice": (overlap * there).sum() / there.sum().clamp(min=1),
        "pixels": binary_cross_entropy_with_logits(output.mask, target),
        "boundary": (probability * distance).mean(),
        "presence": binary_cross_entropy_with_logits(output.presence, there),
    }
    weights = asdict(settings)
    total = sum((weights[name] * value for name, value in parts.items()), start=target.new_zeros(()))
    return total, parts
