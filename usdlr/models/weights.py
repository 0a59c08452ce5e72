"""Where a backbone's first weights come from: files of timm, of self-supervised training and of fitted stages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from timm.models import get_pretrained_cfg, load_state_dict
from torch import Tensor, nn

from usdlr.core.errors import ConfigError
from usdlr.core.files import write_bytes
from usdlr.core.regions import block_site, site_block, split_block

UNREADABLE = (RuntimeError, OSError, ValueError, KeyError, EOFError, SafetensorError, UnpicklingError)
# A fitted network's image branches, as `ImageEncoders` names them.
STAGE_KEY = re.compile(r"^(?:.*\.)?encoders\.backbones\.(?P<branch>[^.]+)\.(?P<key>.+)$")
BACKBONE = "backbone"


@dataclass(frozen=True)
class Weights:
    """What a file holds for one backbone.

    Parameters
    ----------
    state : dict of str to Tensor
        By the backbone's own parameter names, without a classifier.
    stage : bool
        Whether they are a fitted stage's: its input channels are then taken to mean what the network's do. Those of
        other files are of the image alone if there are 1 or 3.
    """

    state: dict[str, Tensor]
    stage: bool

    def stem(self, name: str) -> int | None:
        """Input channels of the first convolution; ``None`` where timm's table does not name it or it is no 2-D one."""
        for key in _stem_keys(name):
            if key in self.state and self.state[key].ndim == 4:
                return int(self.state[key].shape[1])
        return None

    def with_stem(self, name: str, channels: int) -> Weights:
        """The same for an image of 1 or 3 equal channels: the answer to a grey image does not change."""
        state = dict(self.state)
        for key in _stem_keys(name):
            if key in state and state[key].ndim == 4:
                kernel = state[key].float()
                grey = kernel.sum(dim=1, keepdim=True)
                state[key] = grey if channels == 1 else grey.expand(-1, channels, -1, -1) / channels
        return Weights(state, self.stage)


def save_backbone(path: Path, backbone: nn.Module, name: str) -> None:
    """Write a backbone's weights so that ``model.weights_file`` can start from them.

    Parameters
    ----------
    path : Path
        A ``.safetensors`` file; an older one is replaced.
    backbone : nn.Module
        From :func:`usdlr.models.backbones.build_backbone`.
    name : str
        Its timm model name.

    Raises
    ------
    ConfigError
        If the path does not end in ``.safetensors``.
    """
    if path.suffix != ".safetensors":
        raise ConfigError(f"found {path.name} as a file for backbone weights, expected a name ending in .safetensors")
    state = {key: value.detach().cpu().clone().contiguous() for key, value in backbone.state_dict().items()}
    write_bytes(path, save(state, metadata=named(name)))


def named(backbone: str) -> dict[str, str]:
    """What a weights file says of itself: the timm name of its backbone.

    One entry alone: safetensors writes several in an order that changes from call to call, and the same weights must
    give the same bytes.
    """
    return {BACKBONE: backbone}


def read_weights(path: Path, name: str, blocks: Sequence[str] = ()) -> Weights:
    """Read what a file holds for a backbone. Nothing in the file is executed.

    Parameters
    ----------
    path : Path
        Weights of timm (safetensors, or a state dict that loads with ``weights_only``), a file of
        :func:`save_backbone`, or the weights of a fitted stage.
    name : str
        timm model name of the backbone.
    blocks : sequence of str
        The image blocks that the backbone will serve: choose the branch of a fitted stage. Where several branches
        would do, the first block's counts.

    Raises
    ------
    ConfigError
        If the file is damaged, belongs to another model, or is a stage without a branch for the blocks.
    """
    try:
        meta = _metadata(path)
        state: dict[str, Tensor] = load_state_dict(str(path), weights_only=True)
    except UNREADABLE as error:
        raise refused(name, first_line(error), path) from error
    stated = meta.get(BACKBONE)
    if stated is not None and _architecture(stated) != _architecture(name):
        raise ConfigError(
            f"found weights for {stated} in {path}, expected weights for {name}; set model.backbone = {stated}, "
            "or give another file as model.weights_file"
        )
    branches: dict[str, dict[str, Tensor]] = {}
    for full, value in state.items():
        found = STAGE_KEY.match(full)
        if found is not None:
            branches.setdefault(found["branch"], {})[found["key"]] = value
    if branches:
        return Weights(branches[_branch(branches, blocks, path)], stage=True)
    classifiers = classifier_layers(name)
    return Weights(
        {key: value for key, value in state.items() if key.rpartition(".")[0] not in classifiers}, stage=False
    )


def classifier_layers(name: str) -> set[str]:
    """Layers of a timm model that tell its published classes apart; none where its table names none."""
    return set(_names(_published(name, "classifier")))


def branch_name(text: str) -> str:
    """A block, modality or region as a module name, which must not hold dots.

    Examples
    --------
    >>> branch_name("bmode.peritumoral-2.5mm")
    'bmode_peritumoral-2_5mm'
    """
    return text.replace(".", "_")


def refused(name: str, why: str, path: Path | str | None = None) -> ConfigError:
    """The error for weights that do not load."""
    place = "" if path is None else f" from {path}"
    return ConfigError(
        f"found weights for {name} that cannot be loaded{place} ({why}); give a local file of this model as "
        "model.weights_file, or start from random weights with model.pretrained = false"
    )


def first_line(error: BaseException) -> str:
    """What an error says, in one line: of a list of mismatches, its title and the first of them."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    line = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return line if len(line) <= 300 else line[:297] + "..."


def _branch(branches: Iterable[str], blocks: Sequence[str], path: Path) -> str:
    """The branch of a fitted stage that serves a block: its own, its modality's, its region's, or the only one.

    A lymph node's branch may start from the tumour's where the stage has none of nodes.
    """
    names = sorted(branches)
    for block in blocks:
        modality, region = split_block(block)
        own = [site_block(name, block_site(block)) for name in (modality, region)]
        for candidate in (block, *own, f"{modality}.{region}", modality, region, "all"):
            if branch_name(candidate) in names:
                return branch_name(candidate)
    raise ConfigError(
        f"found a fitted stage in {path} with image branches for {', '.join(names)}, expected one for "
        f"{' or '.join(blocks) or 'a named image block'}; choose model.modalities, model.rois and model.share to match"
    )


def _metadata(path: Path) -> dict[str, str]:
    """A safetensors file's metadata; nothing for other files."""
    if path.suffix != ".safetensors":
        return {}
    with safe_open(str(path), framework="pt") as file:
        return dict(file.metadata() or {})


def _architecture(name: str) -> str:
    """A timm model name without the tag of its published weights."""
    return name.partition(".")[0]


def _published(name: str, key: str) -> Any:
    """An entry of timm's table about a model; ``None`` where there is none."""
    return getattr(get_pretrained_cfg(name), key, None)


def _names(entry: Any) -> tuple[str, ...]:
    return (entry,) if isinstance(entry, str) else tuple(entry or ())


def _stem_keys(name: str) -> list[str]:
    return [f"{layer}.weight" for layer in _names(_published(name, "first_conv"))]
