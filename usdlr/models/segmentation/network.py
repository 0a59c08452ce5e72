"""One network for outlines with and without a prompt."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import timm
import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn

from usdlr.core.errors import ConfigError
from usdlr.core.named_parts import build_part, nearest
from usdlr.models.backbones import UNFIT
from usdlr.models.segmentation.decoders import DECODERS
from usdlr.models.segmentation.settings import OutlinerSettings
from usdlr.models.weights import classifier_layers, first_line, read_weights, refused

# Further input channels, 0 or 1: inside a reader's box; on strokes inside the lesion; on strokes outside it.
PROMPTS = ("box", "inside", "outside")
# Grey as a share of its range, centred: typical B-mode has a mean and a standard deviation of about a quarter.
CENTRE, SCALE = 0.25, 0.25


class MaskOutput(NamedTuple):
    """What the network says of a window.

    Parameters
    ----------
    mask : Tensor, (batch, 1, size, size)
        Log-odds that a pixel is lesion.
    presence : Tensor, (batch,)
        Log-odds that any lesion is in the window.
    """

    mask: Tensor
    presence: Tensor


class SegmentationNetwork(nn.Module):
    """Encoder of timm, decoder of segmentation-models-pytorch, and an answer whether there is a lesion at all.

    Parameters
    ----------
    settings : OutlinerSettings
        What it is made of.

    Raises
    ------
    ConfigError
        If the encoder is unknown, cannot serve the decoder at this size, or the weights do not fit.
    """

    def __init__(self, settings: OutlinerSettings) -> None:
        super().__init__()
        self.settings = settings
        if not timm.is_model(settings.encoder):
            raise ConfigError(
                f"found network.encoder = {settings.encoder!r}, expected a timm model name"
                f"{nearest(settings.encoder, timm.list_models())}"
            )
        common = {
            "encoder_weights": "imagenet" if settings.pretrained else None,
            "in_channels": 1 + len(PROMPTS),
            "aux_params": {"classes": 1, "dropout": settings.dropout or None},
        }
        try:
            self.body = build_part(settings.decoder, "network.decoder", DECODERS, settings.encoder, common)
            self._try_out(settings.size_px)
        except UNFIT as error:
            raise ConfigError(
                f"found network.encoder = {settings.encoder} with network.decoder = {settings.decoder} at "
                f"{settings.size_px} pixels, which do not go together ({first_line(error)}); a U-Net wants an encoder "
                "of maps such as resnet18, dpt a vision transformer such as vit_tiny_patch16_224"
            ) from error
        if settings.weights_file is not None:
            load_encoder(self.body.encoder.model, settings.encoder, Path(settings.weights_file))

    def forward(self, images: Tensor, prompts: Tensor) -> MaskOutput:
        """Log-odds of the mask and of a lesion's presence.

        Parameters
        ----------
        images : Tensor, (batch, 1, size, size)
            Grey as a share of its range, 0..1; 0 where there is no image.
        prompts : Tensor, (batch, 3, size, size)
            0 or 1, see :data:`PROMPTS`; all 0 without a prompt.
        """
        mask, presence = self.body(torch.cat([(images - CENTRE) / SCALE, prompts], dim=1))
        return MaskOutput(mask.float(), presence.float()[:, 0])

    @torch.no_grad()
    def _try_out(self, size_px: int) -> None:
        """Fail now rather than in the first step: not every encoder has the maps that a decoder asks for."""
        training = self.body.training
        self.body.eval()
        found = self.body(torch.zeros(1, 1 + len(PROMPTS), size_px, size_px))[0]
        self.body.train(training)
        if tuple(found.shape) != (1, 1, size_px, size_px):
            raise ValueError(f"the mask has the shape {tuple(found.shape)}")


def load_encoder(encoder: nn.Module, name: str, path: Path) -> None:
    """Start an encoder from a local file; the prompts' input channels start at zero.

    Parameters
    ----------
    encoder : nn.Module
        timm's feature extractor; changed in place. It may name a layer with ``_`` where the file has ``.``.
    name : str
        timm model name.
    path : Path
        Weights of timm, or what ``usdlr pretrain`` wrote.

    Raises
    ------
    ConfigError
        If the file is damaged, of another model, or lacks a parameter.
    """
    if not path.is_file():
        raise ConfigError(f"found no file {path} for network.weights_file, expected encoder weights there")
    given = read_weights(path, name)
    by_name = {_plain(key): value for key, value in given.with_stem(name, 1).state.items()}
    target = encoder.state_dict()
    if max(Counter(map(_plain, target)).values()) > 1:
        raise refused(name, "two of its parameters have one name", path)
    state: dict[str, Tensor] = {}
    classifiers = classifier_layers(name)
    for key, own in target.items():
        value = by_name.get(_plain(key))
        if value is None and key.rpartition(".")[0] in classifiers:  # a transformer keeps one, which nobody asks
            value = own
        if value is None:
            raise refused(name, f"{key} is missing", path)
        if value.shape != own.shape and value.ndim == 4 and value.shape[1] == 1:  # the stem: the image comes first
            value = torch.cat([value, value.new_zeros(value.shape[0], own.shape[1] - 1, *value.shape[2:])], dim=1)
        if value.shape != own.shape and key == "pos_embed" and value.ndim == own.ndim == 3:
            value = _at_size(value, encoder, own)
        if value.shape != own.shape:
            raise refused(name, f"{key} has the shape {tuple(value.shape)}, not {tuple(own.shape)}", path)
        state[key] = value
    encoder.load_state_dict(state)


def _at_size(places: Tensor, encoder: nn.Module, own: Tensor) -> Tensor:
    """A transformer's positions, (1, tokens, features), for images of the size that it was built for."""
    grid: tuple[int, int] = encoder.patch_embed.grid_size  # type: ignore[union-attr,assignment]  # timm's own
    resampled: Tensor = resample_abs_pos_embed(
        places, new_size=list(grid), num_prefix_tokens=own.shape[1] - grid[0] * grid[1]
    )
    return resampled


def _plain(key: str) -> str:
    return key.replace(".", "_")
