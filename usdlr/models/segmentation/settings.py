"""What a network that outlines lesions is made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from usdlr.core.errors import ConfigError
from usdlr.core.named_parts import split_part
from usdlr.models.segmentation.decoders import DECODERS


@dataclass(frozen=True)
class OutlinerSettings:
    """Network settings.

    Parameters
    ----------
    encoder : str
        Any timm model that gives feature maps; for the decoder ``dpt`` a vision transformer.
    decoder : str or dict
        A name of :data:`usdlr.models.segmentation.decoders.DECODERS` (``unet unetplusplus manet segformer upernet
        dpt``), or that name with its options.
    size_px : int
        Side of the square window that the network sees, in pixels.
    pretrained : bool
        Whether timm fetches the encoder's published weights; needs a network or a filled cache.
    weights_file : str or None
        Local weights for the encoder instead: timm's own file, or what ``usdlr pretrain`` wrote.
    dropout : float
        Dropout before the answer whether a lesion is there.
    """

    encoder: str = "resnet18"
    decoder: str | dict[str, Any] = "unet"
    size_px: int = 192
    pretrained: bool = False
    weights_file: str | None = None
    dropout: float = 0.1

    def __post_init__(self) -> None:
        split_part(self.decoder, "network.decoder", DECODERS)
        if self.size_px < 32 or self.size_px % 32:
            raise ConfigError(f"found network.size_px = {self.size_px}, expected a multiple of 32 from 32 upward")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"found network.dropout = {self.dropout}, expected a share below 1")
        if self.pretrained and self.weights_file is not None:
            raise ConfigError("found both network.pretrained and network.weights_file, expected one source of weights")

    def without_start(self) -> OutlinerSettings:
        """The same network, whatever it started from: what a bundle needs to build it again."""
        return replace(self, pretrained=False, weights_file=None)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)
