"""Image branches: timm models with one channel, and where their weights come from."""

from __future__ import annotations

import pickle
import time
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from usdlr.core.errors import ConfigError
from usdlr.models.backbones import ImageEncoder, build_backbone


@pytest.mark.parametrize(
    ("name", "meant"), [("resnet18x", "resnet18"), ("mobilenet4_conv_smal", "mobilenetv4_conv_small")]
)
def test_unknown_model_names_its_neighbours(name: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=rf"found model.backbone = '{name}', expected a timm model name") as caught:
        build_backbone(name)
    near = str(caught.value).partition("; similar: ")[2].split(", ")
    assert meant in near
    assert all(timm.is_model(one) for one in near)


def test_unknown_model_without_neighbours() -> None:
    with pytest.raises(ConfigError, match=r"expected a timm model name$"):
        build_backbone("0")


def test_weights_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.safetensors for model.weights_file, expected backbone weights there"):
        build_backbone("test_resnet", weights_file=str(tmp_path / "none.safetensors"))


def reference(channels: int) -> torch.nn.Module:
    torch.manual_seed(5)
    model: torch.nn.Module = timm.create_model("test_resnet", pretrained=False, in_chans=channels)
    return model


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("channels", [1, 3])
def test_local_weights_give_the_features_of_their_model(tmp_path: Path, channels: int, suffix: str) -> None:
    """A grey image in three equal channels is what a three-channel stem summed to one channel must reproduce."""
    saved = reference(channels).eval()
    path = tmp_path / f"weights.{suffix}"
    if suffix == "safetensors":
        save_file(saved.state_dict(), path)
    else:
        torch.save(saved.state_dict(), path)
    built = build_backbone("test_resnet", weights_file=str(path)).eval()
    grey = torch.randn(2, 1, 64, 64)
    with torch.inference_mode():
        pooled = saved.forward_head(saved.forward_features(grey.expand(-1, channels, -1, -1)), pre_logits=True)  # type: ignore[operator]
        torch.testing.assert_close(built(grey), pooled, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(build_backbone("test_resnet").eval()(grey), pooled, atol=1e-2)


@pytest.mark.parametrize("other", ["test_vit", "mobilenetv3_small_050", "incomplete"])
def test_weights_of_another_model_are_refused(tmp_path: Path, other: str) -> None:
    """Not loaded in part: a tensor that keeps its random weights would go unnoticed."""
    path = tmp_path / "other.safetensors"
    state = timm.create_model("test_resnet" if other == "incomplete" else other, pretrained=False).state_dict()
    if other == "incomplete":
        del state["layer2.0.conv1.weight"]
    save_file(state, path)
    with pytest.raises(ConfigError, match="found weights for test_resnet that cannot be loaded"):
        build_backbone("test_resnet", weights_file=str(path))


class Trap:
    """Runs when unpickled."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path(self.target),)  # type: ignore[return-value]  # what an attacker's pickle does


@pytest.mark.parametrize("name", ["damaged.safetensors", "damaged.pth", "trap.pth"])
def test_damaged_or_dangerous_weights_are_refused_and_never_run(tmp_path: Path, name: str) -> None:
    touched = tmp_path / "touched"
    content = b"not weights" if name.startswith("damaged") else pickle.dumps(Trap(str(touched)), protocol=2)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(
        ConfigError, match=r"cannot be loaded .*; give a local file of this model as model.weights_file"
    ):
        build_backbone("test_resnet", weights_file=str(tmp_path / name))
    assert not touched.exists()


def test_published_weights_without_a_network_fail_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    start = time.monotonic()
    with pytest.raises(ConfigError, match=r"found weights for test_resnet that cannot be loaded .*pretrained = false"):
        build_backbone("test_resnet", pretrained=True)
    assert time.monotonic() - start < 5


def test_published_weights_that_do_not_exist() -> None:
    with pytest.raises(ConfigError, match="cannot be loaded"):
        build_backbone("resnet18.no_such_tag", pretrained=True)


@pytest.mark.parametrize("name", ["mobilenetv4_conv_small", "test_resnet", "mobilenetv3_small_050"])
def test_embeddings_have_the_asked_width_whatever_the_model(name: str) -> None:
    """Some models widen behind their last stage: their output is not ``num_features`` wide."""
    encoder = ImageEncoder(build_backbone(name), embedding_dim=6, dropout=0.1).eval()
    embedding = encoder(torch.randn(2, 1, 64, 64))
    assert embedding.shape == (2, 6)
    # Normalised: mean 0 and variance 1 over the embedding.
    torch.testing.assert_close(embedding.mean(dim=1), torch.zeros(2), atol=1e-5, rtol=0)
