"""Image branches: shared backbones, absent and single rows, feature maps, and a start from a fitted network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from usdlr.core.errors import ConfigError
from usdlr.models.backbones import build_backbone
from usdlr.models.encoders import ImageEncoders, require_encoders, sharing_groups
from usdlr.models.settings import NetworkSettings
from usdlr.models.weights import save_backbone

SIDE, DIM = 64, 6
BLOCKS = ("bmode.intratumoral", "bmode.peritumoral-2.5mm", "elasto.intratumoral", "elasto.peritumoral-2.5mm")


def settings(**change: Any) -> NetworkSettings:
    small: dict[str, Any] = {
        "backbone": "test_resnet",
        "embedding_dim": DIM,
        "dropout": 0.0,
        "rois": ["intratumoral", "peritumoral-2.5mm"],
    }
    return NetworkSettings(**{**small, **change})


def encoders(**change: Any) -> ImageEncoders:
    torch.manual_seed(0)
    return ImageEncoders(settings(**change), SIDE)


def images(*counts: int, channels: int = 1) -> dict[str, Tensor]:
    torch.manual_seed(4)
    return {block: torch.randn(n, channels, SIDE, SIDE) for block, n in zip(BLOCKS, counts, strict=False)}


@pytest.mark.parametrize(
    ("share", "groups"),
    [
        ("none", [[0], [1], [2], [3]]),
        ("rois", [[0, 1], [2, 3]]),
        ("modalities", [[0, 2], [1, 3]]),
        ("all", [[0, 1, 2, 3]]),
    ],
)
def test_branches_share_as_configured(share: str, groups: list[list[int]]) -> None:
    expected = [[BLOCKS[place] for place in group] for group in groups]
    assert [list(blocks) for blocks in sharing_groups(BLOCKS, share).values()] == expected
    built = encoders(share=share).eval()
    one = sum(parameter.numel() for parameter in build_backbone("test_resnet").parameters())
    assert sum(parameter.numel() for parameter in built.backbones.parameters()) == one * len(groups)
    assert len(built.projections) == 4
    # A block's image moves the backbone of its own group alone.
    built(BLOCKS[1], images(0, 2)[BLOCKS[1]]).square().sum().backward()
    moved = [
        list(blocks)
        for name, blocks in built.groups.items()
        if any(parameter.grad is not None for parameter in built.backbones[name].parameters())
    ]
    assert moved == [group for group in expected if BLOCKS[1] in group]


@pytest.mark.parametrize("share", ["none", "rois", "modalities", "all"])
def test_one_pass_over_all_blocks_gives_what_each_gives_alone(share: str) -> None:
    built = encoders(share=share).eval()
    given = images(3, 2, 0, 1)
    with torch.inference_mode():
        found = built.forward_all(given)
        assert list(found) == list(BLOCKS)
        assert [tuple(value.shape) for value in found.values()] == [(3, DIM), (2, DIM), (0, DIM), (1, DIM)]
        for block, image in given.items():
            torch.testing.assert_close(found[block], built(block, image), atol=1e-5, rtol=1e-4)
    # Normalised: mean 0 over the embedding.
    torch.testing.assert_close(found[BLOCKS[0]].mean(dim=1), torch.zeros(3), atol=1e-5, rtol=0)


def test_blocks_of_one_backbone_go_through_it_together() -> None:
    built = encoders(share="rois").train()
    passes: list[int] = []
    built.backbones["bmode"].register_forward_hook(lambda module, given, out: passes.append(len(given[0])))
    built.forward_all(images(3, 2, 2))
    assert passes == [5]


def test_a_block_that_is_not_asked_for_stays_out() -> None:
    built = encoders(share="all").eval()
    assert list(built.forward_all(images(2))) == [BLOCKS[0]]
    assert built.forward_all({}) == {}


@pytest.mark.parametrize("name", ["mobilenetv4_conv_small", "test_resnet", "mobilenetv3_small_050", "test_vit"])
def test_embeddings_have_the_asked_width_whatever_the_model(name: str) -> None:
    """Some models widen behind their last stage: their output is not ``num_features`` wide."""
    embedding = encoders(backbone=name, share="all").eval()(BLOCKS[0], torch.randn(2, 1, SIDE, SIDE))
    assert embedding.shape == (2, DIM)
    torch.testing.assert_close(embedding.mean(dim=1), torch.zeros(2), atol=1e-5, rtol=0)


def statistics(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in module.named_buffers()}


@pytest.mark.parametrize("name", ["test_resnet", "mobilenetv4_conv_small", "test_efficientnet"])
def test_a_single_row_in_training_runs_on_running_statistics(name: str) -> None:
    """One value per channel after the last stage: batch statistics would be refused by torch, or be noise."""
    built = encoders(backbone=name, share="none").train()
    image = torch.randn(1, 1, 32 if name == "test_resnet" else SIDE, 32 if name == "test_resnet" else SIDE)
    before = statistics(built)
    trained = built(BLOCKS[0], image)
    assert all(torch.equal(before[key], value) for key, value in statistics(built).items())
    assert all(module.training for module in built.modules())
    torch.testing.assert_close(trained, built.eval()(BLOCKS[0], image))
    trained.square().sum().backward()
    assert next(built.backbones.parameters()).grad is not None


def test_a_single_row_shares_statistics_with_the_rows_of_its_backbone() -> None:
    given = images(1, 4)
    together = encoders(share="rois").train()
    before = statistics(together)
    together.forward_all(given)
    assert any(not torch.equal(before[key], value) for key, value in statistics(together).items())
    apart = encoders(share="none").train()
    before = statistics(apart)
    apart.forward_all(given)
    moved = {key.split(".")[1] for key, value in statistics(apart).items() if not torch.equal(before[key], value)}
    assert moved == {"bmode_peritumoral-2_5mm"}


def test_a_single_row_without_batch_normalisation_trains_as_any_other() -> None:
    built = encoders(backbone="test_convnext", share="all").train()
    seen: list[bool] = []
    built.backbones["all"].register_forward_hook(lambda module, given, out: seen.append(module.training))
    built(BLOCKS[0], images(1)[BLOCKS[0]])
    assert seen == [True]


def test_frozen_branches_keep_their_weights_and_their_projections_learn() -> None:
    built = encoders(frozen=1.0, share="rois").train()
    before = {key: value.clone() for key, value in built.state_dict().items()}
    optimiser = torch.optim.AdamW([one for one in built.parameters() if one.requires_grad], lr=0.01)
    sum(value[:, 0].sum() for value in built.forward_all(images(3, 3, 3, 3)).values()).backward()  # type: ignore[union-attr]  # a sum of tensors
    optimiser.step()
    moved = {key.split(".")[0] for key, value in built.state_dict().items() if not torch.equal(before[key], value)}
    assert moved == {"projections"}


@pytest.mark.parametrize("change", [{"stem": "rgb"}, {"channels": ["mask", "distance"]}, {"stem": "frames"}])
def test_branches_take_the_channels_of_the_settings(change: dict[str, Any]) -> None:
    chosen = settings(**change)
    built = ImageEncoders(chosen, SIDE).eval()
    assert built(BLOCKS[0], torch.randn(2, chosen.in_channels, SIDE, SIDE)).shape == (2, DIM)
    with pytest.raises(RuntimeError, match="channels"):
        built(BLOCKS[0], torch.randn(2, 2, SIDE, SIDE))


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_feature_maps_of_a_block(name: str, rows: int) -> None:
    built = encoders(backbone=name, share="rois").train()
    before = statistics(built)
    maps = built.feature_maps(BLOCKS[1], images(0, rows)[BLOCKS[1]])
    side = {"test_resnet": 2, "test_vit": 4}[name]  # one value per 32 pixels, and per patch of 16
    assert maps.shape == (rows, {"test_resnet": 96, "test_vit": 64}[name], side, side)
    assert maps.requires_grad
    assert rows > 1 or all(torch.equal(before[key], value) for key, value in statistics(built).items())


def test_a_backbone_without_feature_maps_is_refused_by_name() -> None:
    built = encoders(backbone="levit_128s", share="all")
    with pytest.raises(ConfigError, match=r"found model.backbone = levit_128s, whose features have no place"):
        built.feature_maps(BLOCKS[0], images(1)[BLOCKS[0]])


def test_branches_start_from_the_branches_of_a_fitted_network(tmp_path: Path) -> None:
    """As a fitted stage is written: the whole network's state, image branches under ``encoders``."""
    fitted = encoders(share="none")
    path = tmp_path / "model.safetensors"
    save_file({f"encoders.{key}": value for key, value in fitted.state_dict().items()}, path)
    same = ImageEncoders(settings(share="none", weights_file=str(path)), SIDE)
    for name, backbone in same.backbones.items():
        expected = fitted.backbones[name].state_dict()
        assert all(torch.equal(value, expected[key]) for key, value in backbone.state_dict().items())
    shared = ImageEncoders(settings(share="rois", weights_file=str(path), modalities=["elasto"]), SIDE)
    expected = fitted.backbones["elasto_intratumoral"].state_dict()
    found = shared.backbones["elasto"].state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in found.items())
    with pytest.raises(ConfigError, match=r"expected one for bmode\.context"):
        require_encoders(settings(rois=["context"], weights_file=str(path)), SIDE)


def test_impossible_branches_are_refused_before_any_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"cannot take .*; set crop.size_px = 96"):
        require_encoders(settings(backbone="inception_v3"), 64)
    with pytest.raises(ConfigError, match="found no file"):
        require_encoders(settings(weights_file=str(tmp_path / "none.safetensors")), SIDE)
    save_backbone(tmp_path / "start.safetensors", build_backbone("test_convnext"), "test_convnext")
    with pytest.raises(ConfigError, match=r"found weights for test_convnext in .*, expected weights for test_resnet"):
        require_encoders(settings(weights_file=str(tmp_path / "start.safetensors")), SIDE)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match=r"cannot be loaded .*pretrained = false"):
        require_encoders(settings(pretrained=True), SIDE)
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    require_encoders(settings(), SIDE)
    torch.testing.assert_close(torch.rand(2), expected)
