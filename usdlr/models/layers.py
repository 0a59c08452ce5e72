"""A backbone's layers from stem to head: which of them stay as they start, and how fast each of them learns."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from timm.models import group_parameters
from torch import nn

from usdlr.core.errors import ConfigError

NORMALISATION = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)


def layer_groups(backbone: nn.Module) -> list[list[str]]:
    """Names of a backbone's parameters, group by group from stem to head; every parameter is in exactly one.

    The groups are timm's own (one per residual, dense or transformer block); a model without them is cut at its
    immediate children.

    Parameters
    ----------
    backbone : nn.Module
        From :func:`usdlr.models.backbones.build_backbone`.

    Examples
    --------
    >>> layer_groups(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1, bias=False)))
    [['0.weight', '0.bias'], ['2.weight']]
    """
    matcher: Any = getattr(backbone, "group_matcher", None)
    if matcher is not None:
        found: dict[int, list[str]] = group_parameters(backbone, matcher(coarse=False))
        return [list(found[position]) for position in sorted(found) if found[position]]
    children: dict[str, list[str]] = {}
    for name, _ in backbone.named_parameters():
        children.setdefault(name.partition(".")[0], []).append(name)
    return list(children.values())


def freeze(backbone: nn.Module, share: float) -> None:
    """Keep the lowest layers of a backbone as they start.

    Their parameters lose their gradient, and the modules that hold nothing but such parameters stay in evaluation
    mode whatever ``train()`` says: running statistics do not move, and dropout inside them is off. What is frozen
    already stays so.

    Parameters
    ----------
    backbone : nn.Module
        From :func:`usdlr.models.backbones.build_backbone`; changed in place.
    share : float
        Share of the layer groups, from the stem upward, rounded to whole groups: 0 none, 1 all.

    Raises
    ------
    ConfigError
        If the share is outside 0 to 1.
    """
    if not 0 <= share <= 1:
        raise ConfigError(f"found model.frozen = {share}, expected a share from 0 to 1")
    groups = layer_groups(backbone)
    count = int(share * len(groups) + 0.5)
    parameters = dict(backbone.named_parameters())
    for name in (name for group in groups[:count] for name in group):
        parameters[name].requires_grad_(False)
    held = tuple(_frozen_modules(backbone, ""))
    if held:
        # On the instance, so that the state dict keeps its names; a partial of a function survives copy and pickle.
        vars(backbone)["train"] = partial(_train, backbone, held)
        backbone.train(backbone.training)


def _frozen_modules(module: nn.Module, name: str) -> Iterator[str]:
    """The outermost modules that have parameters, none of which learns."""
    gradients = [parameter.requires_grad for parameter in module.parameters()]
    if gradients and not any(gradients):
        yield name
    elif gradients:
        for child_name, child in module.named_children():
            yield from _frozen_modules(child, f"{name}.{child_name}" if name else child_name)


def _train(backbone: nn.Module, held: tuple[str, ...], mode: bool = True) -> nn.Module:
    """What ``train()`` does for a backbone with frozen modules."""
    type(backbone).train(backbone, mode)
    for name in held:
        nn.Module.train(backbone.get_submodule(name), False)
    return backbone


def parameter_groups(
    module: nn.Module, *, learning_rate: float, weight_decay: float, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Groups for an optimiser, in which every trainable parameter of a network is exactly once.

    Parameters
    ----------
    module : nn.Module
        A network with any number of timm backbones inside, or a backbone itself.
    learning_rate : float
        Of everything outside the backbones and of each backbone's last layer group.
    weight_decay : float
        Of weight matrices and kernels. Biases, normalisation layers, vectors, scalars and what a backbone itself
        lists (position embeddings and the like) are never decayed.
    layer_decay : float
        Factor from one layer group of a backbone to the next lower one; 1 changes nothing.

    Returns
    -------
    list of dict
        ``name`` (``layers-{depth}``, depth 0 at a backbone's top, or ``rest``; with ``.no_decay``), ``params``,
        ``lr``, ``weight_decay``; frozen parameters are left out.

    Raises
    ------
    ConfigError
        If the layer decay is not above 0 and at most 1.
    """
    if not 0 < layer_decay <= 1:
        raise ConfigError(f"found a layer decay of {layer_decay}, expected a factor above 0 and at most 1")
    depth, spared = _depths(module)
    groups: dict[str, dict[str, Any]] = {}
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        level = depth.get(id(parameter))
        decayed = parameter.ndim > 1 and id(parameter) not in spared and not name.endswith("bias")
        title = ("rest" if level is None else f"layers-{level}") + ("" if decayed else ".no_decay")
        group = groups.setdefault(
            title,
            {
                "name": title,
                "params": [],
                "lr": learning_rate * layer_decay ** (level or 0),
                "weight_decay": weight_decay if decayed else 0.0,
            },
        )
        group["params"].append(parameter)
    return list(groups.values())


def backbones_of(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost timm models inside a module, or the module itself."""
    if hasattr(module, "pretrained_cfg"):
        yield module
        return
    for child in module.children():
        yield from backbones_of(child)


def _depths(module: nn.Module) -> tuple[dict[int, int], set[int]]:
    """Depth from its backbone's top of every backbone parameter, and those of any kind that are never decayed."""
    depth: dict[int, int] = {}
    spared = {
        id(parameter)
        for owner in module.modules()
        if isinstance(owner, NORMALISATION)
        for parameter in owner.parameters(recurse=False)
    }
    for backbone in backbones_of(module):
        parameters = dict(backbone.named_parameters())
        for level, group in enumerate(reversed(layer_groups(backbone))):
            depth.update({id(parameters[name]): level for name in group})
        listed: Any = getattr(backbone, "no_weight_decay", set)
        spared |= {id(parameters[name]) for name in listed() if name in parameters}
    return depth, spared
