"""What a network is made of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from usdlr.core.errors import ConfigError
from usdlr.core.modalities import BMODE, ELASTO, MODALITIES
from usdlr.core.types import Roi

# The block that reads radiomics features and clinical variables.
TABULAR_BLOCK = "radiomics"


@dataclass(frozen=True)
class NetworkSettings:
    """Network settings.

    Parameters
    ----------
    backbone : str
        Any timm model name.
    pretrained : bool
        Whether timm fetches its published weights; needs a network or a filled cache.
    weights_file : str or None
        Local weights for the backbone instead (safetensors, or a state dict that loads with ``weights_only``).
    modalities : list of str
        Modalities with image branches.
    rois : list of str
        Regions with image branches; every modality gets one branch per region.
    embedding_dim : int
        Length of each block's embedding.
    tabular_hidden : int
        Hidden units of the radiomics and size encoder.
    dropout : float
        Dropout on every embedding.
    block_dropout : float
        Chance that an image block is hidden in training, so that the network learns to do without it.
    """

    backbone: str = "mobilenetv4_conv_small"
    pretrained: bool = False
    weights_file: str | None = None
    modalities: list[str] = field(default_factory=lambda: [BMODE, ELASTO])
    rois: list[str] = field(default_factory=lambda: [str(Roi.INTRATUMORAL), str(Roi.PERITUMORAL)])
    embedding_dim: int = 64
    tabular_hidden: int = 32
    dropout: float = 0.3
    block_dropout: float = 0.1

    def __post_init__(self) -> None:
        for key, found, known in (
            ("modalities", self.modalities, tuple(MODALITIES)),
            ("rois", self.rois, tuple(map(str, Roi))),
        ):
            if not found or len(set(found)) != len(found) or not set(found) <= set(known):
                raise ConfigError(f"found model.{key} = {found}, expected different names out of {', '.join(known)}")
        for key, value in (("dropout", self.dropout), ("block_dropout", self.block_dropout)):
            if not 0 <= value < 1:
                raise ConfigError(f"found model.{key} = {value}, expected a share of at least 0 and below 1")
        if self.embedding_dim < 2 or self.tabular_hidden < 2:
            raise ConfigError(
                f"found model.embedding_dim = {self.embedding_dim} and model.tabular_hidden = {self.tabular_hidden}, "
                "expected at least 2 each"
            )
        if self.pretrained and self.weights_file is not None:
            raise ConfigError("found both model.pretrained and model.weights_file, expected one source of weights")

    @property
    def image_blocks(self) -> tuple[str, ...]:
        """``{modality}.{roi}`` of every image branch."""
        return tuple(f"{modality}.{roi}" for modality in self.modalities for roi in self.rois)

    @property
    def blocks(self) -> tuple[str, ...]:
        """Every input block, in the order of the network's outputs."""
        return (*self.image_blocks, TABULAR_BLOCK)

    def without_start(self) -> NetworkSettings:
        """The same network without a word of where its first weights came from: fitted weights replace them all."""
        return replace(self, pretrained=False, weights_file=None)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)
