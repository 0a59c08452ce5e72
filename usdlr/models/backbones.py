"""Backbones: any timm model without its classifier, for grey images and further channels of any fitting size."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from timm.layers.std_conv import ScaledStdConv2d, ScaledStdConv2dSame, StdConv2d, StdConv2dSame
from timm.models import get_pretrained_cfg
from torch import Tensor, nn

from usdlr.core.errors import ConfigError
from usdlr.models.weights import UNREADABLE, Weights, first_line, read_weights, refused

IMAGE_CHANNELS = (1, 3)
LARGEST_OFFER = 512
# What timm models raise for a size or a number of channels that they cannot take.
UNFIT = (RuntimeError, AssertionError, ValueError, TypeError, IndexError, ZeroDivisionError, NotImplementedError)
# Their kernels are normalised over all input channels: even a channel of zeros changes what the others give.
STANDARDISED = (StdConv2d, StdConv2dSame, ScaledStdConv2d, ScaledStdConv2dSame)


class Fault(NamedTuple):
    """Why a model cannot take an image.

    Parameters
    ----------
    why : str
        For the message.
    step : int
        Pixels of which the size should be a multiple.
    """

    why: str
    step: int


def require_backbone(
    name: str, weights_file: str | None = None, size_px: int | None = None, in_channels: int = 1
) -> None:
    """Refuse a backbone that cannot work, before anything else is done.

    The model is run once on shapes alone (no memory, no arithmetic, no random numbers), so that this takes a fraction
    of a second for most models. Weights are not read; :func:`usdlr.models.encoders.require_encoders` does.

    Parameters
    ----------
    name : str
        timm model name.
    weights_file : str, optional
        Local weights.
    size_px : int, optional
        Side of the square input in pixels; not looked at if left out.
    in_channels : int
        Input channels.

    Raises
    ------
    ConfigError
        If timm has no such model, the weights file does not exist, or the model cannot take images of this size: the
        message names a size that works.
    """
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models())
        hint = f"; similar: {', '.join(near)}" if near else ""
        raise ConfigError(f"found model.backbone = {name!r}, expected a timm model name{hint}")
    if weights_file is not None and not Path(weights_file).is_file():
        raise ConfigError(f"found no file {weights_file} for model.weights_file, expected backbone weights there")
    if size_px is None:
        return
    fault = _fault(name, in_channels, size_px)
    if fault is None:
        return
    working = _working_size(name, in_channels, size_px, fault.step)
    offer = "choose another" if working is None else f"set crop.size_px = {working}, or choose another backbone"
    raise ConfigError(
        f"found model.backbone = {name} with crop.size_px = {size_px} and {in_channels} input channels, which it "
        f"cannot take ({fault.why}); {offer}"
    )


def build_backbone(
    name: str,
    *,
    in_channels: int = 1,
    extra_channels: int = 0,
    size_px: int | None = None,
    pretrained: bool = False,
    weights_file: str | None = None,
    blocks: Sequence[str] = (),
) -> nn.Module:
    """A timm model without its classifier.

    A stem of three channels is summed for a grey image, and a stem of one channel is split evenly over three equal
    ones: either way the answer to a grey image stays as it was. (Where the stem's kernels are standardised, as in
    NFNet, that holds only roughly.) Further channels of a network that starts from weights begin with kernels of
    zero, so that they change nothing at first; of a network without weights they begin as random as the others.

    Parameters
    ----------
    name : str
        timm model name.
    in_channels : int
        All input channels: those of the image (1, or the same image 3 times), then the further ones.
    extra_channels : int
        How many of ``in_channels`` are further ones: masks, distances.
    size_px : int, optional
        Side of the square input; models with positions for a fixed size (ViT, Swin) are built for it. Left out: the
        model's own.
    pretrained : bool
        Whether to fetch timm's published weights.
    weights_file : str, optional
        Local weights instead, of any kind that :func:`usdlr.models.weights.read_weights` knows.
    blocks : sequence of str
        The image blocks that the backbone will serve: choose the branch of a fitted stage's file.

    Returns
    -------
    nn.Module
        Maps (batch, in_channels, size, size) to (batch, :func:`backbone_width`).

    Raises
    ------
    ConfigError
        If timm has no such model, it cannot take the size, or the weights do not fit it to the last tensor.
    """
    image = in_channels - extra_channels
    if image not in IMAGE_CHANNELS or extra_channels < 0:
        raise ConfigError(
            f"found {in_channels} input channels with {extra_channels} beyond the image, expected 1 or 3 of the image"
        )
    require_backbone(name, weights_file, size_px, in_channels)
    if weights_file is None and not pretrained:
        return _create(name, in_channels, size_px)
    start, weights, stem = image, None, None
    if weights_file is not None:
        weights = read_weights(Path(weights_file), name, blocks)
        stem = weights.stem(name)
        if stem == in_channels and (weights.stage or stem not in IMAGE_CHANNELS):
            start = in_channels  # the same further channels
        elif stem in IMAGE_CHANNELS and stem != image:
            weights, stem = weights.with_stem(name, image), image
    overlay = None if weights is None else _overlay(name, weights, matches=stem == start)
    try:
        model = _create(name, start, size_px, pretrained=True, overlay=overlay)
    except UNREADABLE as error:
        why = first_line(error)
        if stem not in (None, start):
            why = f"they are for {stem} input channels, expected {in_channels}, 1 or 3"
        raise refused(name, why, weights_file) from error
    if weights is not None and _loads_loosely(name):
        missing = sorted(model.state_dict().keys() - weights.state.keys())
        if missing:
            raise refused(name, f"{missing[0]} is missing", weights_file)
    vars(model)["pretrained_cfg"].pop("state_dict", None)  # a second copy of the weights
    return model if start == in_channels else _widened(model, name, in_channels, size_px)


def backbone_width(backbone: nn.Module) -> int:
    """Length of what a backbone gives for one image."""
    # Some timm models widen between the last stage and the classifier; their output then has this size.
    width: Any = getattr(backbone, "head_hidden_size", None) or backbone.num_features
    return int(width)


def feature_maps(backbone: nn.Module, image: Tensor) -> Tensor | None:
    """A backbone's last maps, before they are averaged over the image.

    Parameters
    ----------
    backbone : nn.Module
        From :func:`build_backbone`.
    image : Tensor, (rows, channels, size, size)
        What it looks at.

    Returns
    -------
    Tensor, (rows, features, height, width), or None
        The map's pixels cover equal parts of the image, in its (row, column) order. Of a transformer: its patch
        tokens, laid out as the patches lie; class and register tokens are left out. ``None``: the backbone's features
        have no known place in the image.
    """
    network: Any = backbone
    features: Any = network.forward_features(image) if hasattr(network, "forward_features") else None
    if not isinstance(features, Tensor):
        return None
    if features.ndim == 4:
        last = str(getattr(network, "output_fmt", "")).endswith("NHWC")
        return features.permute(0, 3, 1, 2) if last else features
    grid = getattr(getattr(network, "patch_embed", None), "grid_size", None)
    if features.ndim != 3 or grid is None:
        return None
    tokens = features[:, int(getattr(network, "num_prefix_tokens", 0)) :]
    rows, cols = grid
    if tokens.shape[1] != rows * cols:
        return None
    return tokens.transpose(1, 2).reshape(len(tokens), -1, rows, cols)


def _create(
    name: str, in_channels: int, size_px: int | None, *, pretrained: bool = False, overlay: dict[str, Any] | None = None
) -> nn.Module:
    options: dict[str, Any] = {} if size_px is None or not _takes_size(name) else {"img_size": size_px}
    model: nn.Module = timm.create_model(
        name, pretrained=pretrained, pretrained_cfg_overlay=overlay, in_chans=in_channels, num_classes=0, **options
    )
    return model


def _overlay(name: str, weights: Weights, *, matches: bool) -> dict[str, Any]:
    """What makes timm load weights to the last tensor: left to itself, it keeps random weights where names differ."""
    overlay: dict[str, Any] = {"state_dict": weights.state, "num_classes": 0, "label_offset": 0, "custom_load": False}
    if matches:  # nothing is left to adapt
        size = getattr(get_pretrained_cfg(name), "input_size", (3, 224, 224))
        overlay["input_size"] = (weights.stem(name), *size[1:])
    return overlay


def _widened(narrow: nn.Module, name: str, in_channels: int, size_px: int | None) -> nn.Module:
    """The same backbone with further input channels, whose kernels are zero."""
    wide = _create(name, in_channels, size_px)
    state, modules = narrow.state_dict(), dict(wide.named_modules())
    for key, target in wide.state_dict().items():
        found = state[key]
        if found.shape == target.shape:
            continue
        stem = modules[key.rpartition(".")[0]]
        plain = isinstance(stem, nn.Conv2d) and stem.groups == 1 and not isinstance(stem, STANDARDISED)
        if not plain or stem.in_channels != in_channels:
            raise ConfigError(
                f"found model.channels with the weights of {name}, whose first layer cannot take further channels "
                "without changing what it learnt; leave model.channels empty, start from random weights, or choose "
                "another model.backbone"
            )
        state[key] = torch.cat([found, torch.zeros_like(target[:, found.shape[1] :])], dim=1)
    wide.load_state_dict(state)
    return wide


@lru_cache(maxsize=256)
def _loads_loosely(name: str) -> bool:
    """Whether timm lets a model of this family keep random weights where a file has none."""
    log = logging.getLogger("timm")
    level = log.level
    log.setLevel(logging.ERROR)  # it would report the stranger
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            stranger = {"state_dict": {"usdlr": torch.zeros(1)}, "num_classes": 0, "label_offset": 0}
            _create(name, 3, None, pretrained=True, overlay=stranger)
    except UNFIT + UNREADABLE:
        return False
    finally:
        log.setLevel(level)
    return True


@lru_cache(maxsize=256)
def _takes_size(name: str) -> bool:
    """Whether a model is built for a size."""
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            timm.create_model(name, num_classes=0, img_size=get_pretrained_cfg(name).input_size[-1])  # type: ignore[union-attr]  # every model that timm can build has one
    except TypeError as error:
        if "img_size" not in str(error):
            raise
        return False
    return True


@lru_cache(maxsize=256)
def _fault(name: str, in_channels: int, size_px: int) -> Fault | None:
    """Why a model cannot take images of a size; ``None``: it can."""
    # Shapes alone show it. The few models that need values to be built are run with values.
    for device in ("meta", "cpu"):
        try:
            with torch.device(device), torch.random.fork_rng(devices=[]), torch.no_grad():
                model = _create(name, in_channels, size_px).eval()
                step, stride = _step(model, name), _stride(model)
                if size_px % step:
                    return Fault(
                        f"it looks at patches of {step} pixels, {size_px % step} pixels would be left out", step
                    )
                if size_px < stride:
                    return Fault(f"its last layer has one value per {stride} pixels", stride)
                out: Tensor = model(torch.zeros(1, in_channels, size_px, size_px))
                width = backbone_width(model)
        except UNFIT as error:
            if device == "meta" and (isinstance(error, NotImplementedError) or "meta" in str(error)):
                continue
            return Fault(first_line(error), 32)
        if out.shape != (1, width):
            return Fault(f"it gives {tuple(out.shape)} for one image, expected (1, {width})", 32)
        return None
    raise AssertionError("values are known on the processor")


def _working_size(name: str, in_channels: int, size_px: int, step: int) -> int | None:
    """The nearest larger size that a model takes, or its published one."""
    steps = {step, 32} if step > 8 else {32}
    sizes = sorted({size for by in steps for size in range(-(-size_px // by) * by, LARGEST_OFFER + 1, by)})
    published = get_pretrained_cfg(name)
    sizes += [] if published is None else [int(published.input_size[-1])]
    return next((size for size in sizes if _fault(name, in_channels, size) is None), None)


def _step(model: nn.Module, name: str) -> int:
    """Pixels that the first layer reads at a time, where these do not overlap: a rest at the edge is left out."""
    published = get_pretrained_cfg(name)
    names = getattr(published, "first_conv", None) or ()
    for layer in (names,) if isinstance(names, str) else names:
        stem = dict(model.named_modules()).get(layer)
        if isinstance(stem, nn.Conv2d) and stem.kernel_size == stem.stride:
            return int(stem.stride[0])
    return 1


def _stride(model: nn.Module) -> int:
    """Input pixels per value of the last feature map; 1 where timm's table does not say."""
    info: Any = getattr(model, "feature_info", None)
    return int(info[-1]["reduction"]) if isinstance(info, list) and info else 1
