"""Image branches: any timm model, with one input channel, as a feature extractor."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import timm
from safetensors import SafetensorError
from timm.models import get_pretrained_cfg, load_state_dict
from torch import Tensor, nn

from usdlr.core.errors import ConfigError


def require_backbone(name: str, weights_file: str | None = None) -> None:
    """Refuse a backbone that cannot be built, before anything else is done.

    Raises
    ------
    ConfigError
        If timm has no such model, or the weights file does not exist.
    """
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models())
        hint = f"; similar: {', '.join(near)}" if near else ""
        raise ConfigError(f"found model.backbone = {name!r}, expected a timm model name{hint}")
    if weights_file is not None and not Path(weights_file).is_file():
        raise ConfigError(f"found no file {weights_file} for model.weights_file, expected backbone weights there")


def build_backbone(name: str, *, pretrained: bool = False, weights_file: str | None = None) -> nn.Module:
    """A timm model without its classifier, for one grey channel.

    Parameters
    ----------
    name : str
        timm model name.
    pretrained : bool
        Whether to fetch timm's published weights; the three-channel stem is summed to one channel.
    weights_file : str, optional
        Local weights instead.

    Returns
    -------
    nn.Module
        Maps (batch, 1, size, size) to (batch, ``num_features``).

    Raises
    ------
    ConfigError
        If timm has no such model, or the weights cannot be loaded.
    """
    require_backbone(name, weights_file)
    try:
        model: nn.Module = timm.create_model(
            name,
            pretrained=pretrained or weights_file is not None,
            pretrained_cfg_overlay=None if weights_file is None else _local(name, weights_file),
            in_chans=1,
            num_classes=0,
        )
    except (RuntimeError, OSError, ValueError, KeyError, SafetensorError, UnpicklingError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"found weights for {name} that cannot be loaded ({why}); give a local file of this "
            "model as model.weights_file, or start from random weights with model.pretrained = false"
        ) from error
    if weights_file is not None:
        vars(model)["pretrained_cfg"].pop("state_dict")  # a second copy of the weights
    return model


def _local(name: str, weights_file: str) -> dict[str, Any]:
    """What makes timm load a file to the last tensor: left to itself, it keeps random weights where names differ."""
    state = load_state_dict(weights_file, weights_only=True)
    published = get_pretrained_cfg(name)
    classifier: Any = published.classifier if published is not None else None
    layers = {classifier} if isinstance(classifier, str) else set(classifier or ())
    state = {key: value for key, value in state.items() if key.rpartition(".")[0] not in layers}
    return {"state_dict": state, "num_classes": 0, "label_offset": 0}


class ImageEncoder(nn.Module):
    """One image branch: backbone, projection, normalisation.

    Parameters
    ----------
    backbone : nn.Module
        From :func:`build_backbone`.
    embedding_dim : int
        Length of the embedding.
    dropout : float
        Dropout before the projection.
    """

    def __init__(self, backbone: nn.Module, embedding_dim: int, dropout: float) -> None:
        super().__init__()
        self.backbone = backbone
        # Some timm models widen between the last stage and the classifier; their output then has this size.
        width: Any = getattr(backbone, "head_hidden_size", None) or backbone.num_features
        self.project = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(int(width), embedding_dim), nn.LayerNorm(embedding_dim)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Map (batch, 1, size, size) to (batch, embedding_dim)."""
        embedding: Tensor = self.project(self.backbone(image))
        return embedding
