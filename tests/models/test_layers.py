"""Layers from stem to head: what is frozen stays as it is, and every parameter learns at the rate of its layer."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from usdlr.core.errors import ConfigError
from usdlr.models.backbones import build_backbone
from usdlr.models.layers import backbones_of, freeze, layer_groups, parameter_groups

NAMES = ["test_resnet", "test_efficientnet", "test_convnext", "test_vit", "mobilenetv4_conv_small"]
ON_SHAPES = ["resnet18", "densenet121", "inception_v3", "inception_resnet_v2", "swin_tiny_patch4_window7_224"]


def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    return build_backbone(name, size_px=64)


def step(module: nn.Module, groups: Any = None) -> None:
    """A training step with large gradients and images far from the running statistics."""
    optimiser = torch.optim.AdamW(
        [parameter for parameter in module.parameters() if parameter.requires_grad] if groups is None else groups,
        lr=0.01,
    )
    module.train()
    torch.manual_seed(1)
    module(3 + 5 * torch.randn(4, 1, 64, 64)).square().sum().backward()
    optimiser.step()


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in module.state_dict().items()}


@pytest.mark.parametrize("name", [*NAMES, *ON_SHAPES])
def test_groups_hold_every_parameter_once_from_stem_to_head(name: str) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name)
    groups = layer_groups(backbone)
    names = [one for group in groups for one in group]
    assert sorted(names) == sorted(key for key, _ in backbone.named_parameters())
    assert len(names) == len(set(names))
    assert all(groups)
    # timm's own name of the layer that reads the image.
    assert any(one.startswith(str(backbone.pretrained_cfg["first_conv"])) for one in groups[0])  # type: ignore[index]  # timm's table


def test_resnet_is_cut_at_its_residual_blocks() -> None:
    with torch.device("meta"):
        groups = layer_groups(build_backbone("resnet18"))
    assert len(groups) == 1 + 8
    assert groups[0] == ["conv1.weight", "bn1.weight", "bn1.bias"]
    assert {one.rpartition(".conv")[0] for one in groups[-1] if ".conv" in one} == {"layer4.1"}


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("name", NAMES)
def test_frozen_layers_do_not_move_and_the_others_do(name: str, share: float) -> None:
    backbone = nn.Sequential(built(name), nn.LazyLinear(1))
    freeze(backbone[0], share)
    groups = layer_groups(backbone[0])
    frozen = {key for key, parameter in backbone[0].named_parameters() if not parameter.requires_grad}
    count = next(n for n in range(len(groups) + 1) if {one for group in groups[:n] for one in group} == frozen)
    assert count / len(groups) == pytest.approx(share, abs=0.5 / len(groups) + 1e-9)
    before = snapshot(backbone[0])
    step(backbone)
    moved = {key for key, value in backbone[0].state_dict().items() if not torch.equal(before[key], value)}
    assert not moved & frozen
    # The statistics of a layer move with its weights or not at all.
    layers = {key.rpartition(".")[0] for key in frozen}
    statistics = {key for key in before if ".running_" in key}
    assert moved & statistics == {key for key in statistics if key.rpartition(".")[0] not in layers}
    for group in groups[count:]:
        assert moved & set(group)


def test_a_wholly_frozen_backbone_answers_in_training_as_at_inference() -> None:
    backbone = built("test_efficientnet")
    freeze(backbone, 1.0)
    image = torch.randn(2, 1, 64, 64)
    expected = backbone.eval()(image)
    assert not backbone.train().training
    torch.testing.assert_close(backbone(image), expected)
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


@pytest.mark.parametrize("way", ["copy", "pickle"])
def test_a_copy_of_a_frozen_backbone_stays_frozen(way: str) -> None:
    backbone = built("test_resnet")
    freeze(backbone, 0.5)
    twin = copy.deepcopy(backbone) if way == "copy" else pickle.loads(pickle.dumps(backbone))
    backbone.eval()
    assert twin.train() is twin
    assert not backbone.training
    stem = next(module for module in twin.modules() if isinstance(module, nn.BatchNorm2d))
    last = [module for module in twin.modules() if isinstance(module, nn.BatchNorm2d)][-1]
    assert (stem.training, last.training) == (False, True)
    assert not any("train" in key for key in twin.state_dict())


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_zero_to_one_is_refused(share: float) -> None:
    with pytest.raises(ConfigError, match=r"expected a share from 0 to 1"):
        freeze(nn.Linear(2, 2), share)


class Network(nn.Module):
    """Two backbones, one of them used twice, and a rest."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.ModuleDict({"a": built("test_resnet"), "b": built("test_vit")})
        self.again = self.first["a"]
        self.project = nn.Linear(4, 3)
        self.norm = nn.LayerNorm([3, 3])  # two-dimensional weights, still a normalisation layer
        self.scale = nn.Parameter(torch.zeros(()))
        self.table = nn.Parameter(torch.zeros(2, 3))


@pytest.mark.parametrize("frozen", [0.0, 0.5, 1.0])
def test_every_trainable_parameter_is_in_exactly_one_group(frozen: float) -> None:
    network = Network()
    freeze(network.first["a"], frozen)
    groups = parameter_groups(network, learning_rate=0.1, weight_decay=0.01, layer_decay=0.5)
    found = [id(parameter) for group in groups for parameter in group["params"]]
    expected = [id(parameter) for parameter in network.parameters() if parameter.requires_grad]
    assert sorted(found) == sorted(expected)
    names = [group["name"] for group in groups]
    assert len(names) == len(set(names))
    torch.optim.AdamW(groups)  # refuses a parameter that is in two groups


def test_rates_fall_from_a_backbones_top_to_its_stem() -> None:
    network = Network()
    groups = parameter_groups(network, learning_rate=0.1, weight_decay=0.01, layer_decay=0.5)
    rate = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    resnet: Any = network.first["a"]
    # test_resnet: a stem, then four residual blocks.
    parts = [resnet.conv1[0], resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4]
    found = [{rate[id(parameter)] for parameter in part.parameters()} for part in parts]
    assert found == [{0.1 * 0.5**depth} for depth in (4, 3, 2, 1, 0)]
    vit: Any = network.first["b"]
    assert rate[id(vit.pos_embed)] == min(rate[id(parameter)] for parameter in vit.parameters())
    assert rate[id(vit.norm.weight)] == 0.1
    rest = [*network.project.parameters(), *network.norm.parameters(), network.scale, network.table]
    assert {rate[id(parameter)] for parameter in rest} == {0.1}


def test_only_matrices_and_kernels_decay() -> None:
    network = Network()
    groups = parameter_groups(network, learning_rate=0.1, weight_decay=0.01)
    decay = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    vit: Any = network.first["b"]
    resnet: Any = network.first["a"]
    decayed = [network.project.weight, network.table, resnet.conv1[0].weight, vit.blocks[0].attn.qkv.weight]
    spared = [network.project.bias, network.norm.weight, network.norm.bias, network.scale, resnet.bn1.weight]
    spared += [vit.pos_embed, vit.cls_token, vit.blocks[0].norm1.weight, vit.blocks[0].attn.qkv.bias]
    assert {decay[id(parameter)] for parameter in decayed} == {0.01}
    assert {decay[id(parameter)] for parameter in spared} == {0.0}
    assert {group["lr"] for group in groups} == {0.1}


def test_a_step_moves_the_top_more_than_the_stem() -> None:
    """Adam's first step is the learning rate wherever there is a gradient."""
    backbone = built("test_resnet")
    before = snapshot(backbone)
    step(backbone, parameter_groups(backbone, learning_rate=0.01, weight_decay=0.0, layer_decay=0.1))
    after = backbone.state_dict()
    groups = layer_groups(backbone)
    moves = [max(float((after[key] - before[key]).abs().max()) for key in group) for group in groups]
    assert moves == pytest.approx([0.01 * 0.1**depth for depth in range(len(groups) - 1, -1, -1)], rel=0.02)


@pytest.mark.parametrize("decay", [0.0, -1.0, 1.5, float("nan")])
def test_a_layer_decay_that_is_no_factor_is_refused(decay: float) -> None:
    with pytest.raises(ConfigError, match="expected a factor above 0 and at most 1"):
        parameter_groups(nn.Linear(2, 2), learning_rate=0.1, weight_decay=0.0, layer_decay=decay)


def test_a_backbone_inside_a_backbone_belongs_to_the_outer_one() -> None:
    network = Network()
    assert list(backbones_of(network)) == [network.first["a"], network.first["b"], network.again]
    assert list(backbones_of(network.first["a"])) == [network.first["a"]]
