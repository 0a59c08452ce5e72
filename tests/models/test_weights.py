"""Files that a backbone starts from: those of self-supervised training, and the branches of fitted stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from usdlr.core.errors import ConfigError
from usdlr.models.backbones import build_backbone
from usdlr.models.weights import save_backbone


def written(path: Path, name: str = "test_resnet", channels: int = 1) -> nn.Module:
    torch.manual_seed(7)
    backbone = build_backbone(name, in_channels=channels, size_px=64)
    for buffer in backbone.buffers():
        if buffer.is_floating_point():
            buffer.add_(0.25)  # running statistics count as weights
    save_backbone(path, backbone, name)
    return backbone


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "mobilenetv4_conv_small"])
def test_a_saved_backbone_comes_back_to_the_last_tensor(tmp_path: Path, name: str) -> None:
    saved = written(tmp_path / "start.safetensors", name).state_dict()
    built = build_backbone(name, size_px=64, weights_file=str(tmp_path / "start.safetensors")).state_dict()
    assert built.keys() == saved.keys()
    assert all(torch.equal(built[key], saved[key]) for key in saved)


def test_a_saved_backbone_serves_other_channels_and_sizes(tmp_path: Path) -> None:
    path = tmp_path / "start.safetensors"
    saved = written(path).eval()
    built = build_backbone("test_resnet", in_channels=4, extra_channels=1, size_px=96, weights_file=str(path)).eval()
    grey = torch.randn(2, 1, 96, 96)
    with torch.inference_mode():
        answer = built(torch.cat([grey.expand(-1, 3, -1, -1), torch.ones(2, 1, 96, 96)], dim=1))
        torch.testing.assert_close(answer, saved(grey), atol=1e-5, rtol=1e-4)
    written(path, "test_vit")
    vit = build_backbone("test_vit", size_px=96, weights_file=str(path)).eval()
    with torch.inference_mode():
        assert torch.isfinite(vit(grey)).all()


def test_a_saved_backbone_of_another_architecture_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "start.safetensors"
    written(path)
    for check in (build_backbone, lambda name, **more: build_backbone(name, size_px=64, **more)):
        with pytest.raises(ConfigError, match=r"weights for test_resnet in .*, expected weights for test_convnext"):
            check("test_convnext", weights_file=str(path))
    # A tag names other published weights of the same architecture.
    build_backbone("test_resnet.r160_in1k", weights_file=str(path))


def test_weights_for_other_further_channels_are_refused(tmp_path: Path) -> None:
    written(tmp_path / "two.safetensors", channels=3)
    state = load_file(tmp_path / "two.safetensors")
    state["conv1.0.weight"] = state["conv1.0.weight"][:, :2].contiguous()
    save_file(state, tmp_path / "two.safetensors")
    with pytest.raises(ConfigError, match=r"they are for 2 input channels, expected 3, 1 or 3"):
        build_backbone("test_resnet", in_channels=3, extra_channels=2, weights_file=str(tmp_path / "two.safetensors"))
    kept = build_backbone(
        "test_resnet", in_channels=2, extra_channels=1, weights_file=str(tmp_path / "two.safetensors")
    )
    assert torch.equal(kept.state_dict()["conv1.0.weight"], state["conv1.0.weight"])


def test_a_backbone_is_saved_as_safetensors_only(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a name ending in \.safetensors"):
        save_backbone(tmp_path / "start.pt", nn.Linear(2, 2), "test_resnet")


def stage(path: Path, branches: dict[str, int], name: str = "test_resnet") -> dict[str, dict[str, Tensor]]:
    """A fitted network's file, with a backbone from the given seed in each branch."""
    states: dict[str, dict[str, Tensor]] = {}
    for branch, seed in branches.items():
        torch.manual_seed(seed)
        states[branch] = build_backbone(name, size_px=64).state_dict()
    content: dict[str, Any] = {
        f"encoders.backbones.{branch}.{key}": value for branch, state in states.items() for key, value in state.items()
    }
    save_file({**content, "fusion.base": torch.zeros(2)}, path)
    return states


@pytest.mark.parametrize(
    ("branches", "blocks", "chosen"),
    [
        (["bmode_intratumoral", "bmode_peritumoral-2_5mm"], ["bmode.peritumoral-2.5mm"], "bmode_peritumoral-2_5mm"),
        (["bmode", "elasto"], ["elasto.intratumoral"], "elasto"),
        (["intratumoral", "peritumoral"], ["bmode.peritumoral"], "peritumoral"),
        (["all"], ["elasto.peritumoral"], "all"),
        (
            ["bmode_peritumoral", "bmode_intratumoral"],
            ["bmode.intratumoral", "bmode.peritumoral"],
            "bmode_intratumoral",
        ),
    ],
)
def test_a_fitted_stage_lends_the_branch_of_the_block(
    tmp_path: Path, branches: list[str], blocks: list[str], chosen: str
) -> None:
    path = tmp_path / "model.safetensors"
    states = stage(path, {branch: seed for seed, branch in enumerate(branches)})
    built = build_backbone("test_resnet", size_px=64, weights_file=str(path), blocks=blocks).state_dict()
    assert all(torch.equal(built[key], value) for key, value in states[chosen].items())


def test_a_fitted_stage_without_the_branch_is_refused_with_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    stage(path, {"bmode_intratumoral": 0, "bmode_context": 1})
    with pytest.raises(
        ConfigError,
        match=r"branches for bmode_context, bmode_intratumoral, expected one for elasto\.context",
    ):
        build_backbone("test_resnet", weights_file=str(path), blocks=["elasto.context"])
    with pytest.raises(ConfigError, match=r"found weights for test_convnext that cannot be loaded from .*model"):
        build_backbone("test_convnext", weights_file=str(path), blocks=["bmode.context"])
