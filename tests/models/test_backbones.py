"""Backbones: timm models for grey images and further channels, sizes they can take, and their first weights."""

from __future__ import annotations

import pickle
import time
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from usdlr.core.errors import ConfigError
from usdlr.models import backbones
from usdlr.models.backbones import backbone_width, build_backbone, feature_maps, require_backbone

# One small model of every family that a configuration is likely to name, and a size that it takes.
FAMILIES = {
    "resnet18": 64,
    "densenet121": 64,
    "efficientnet_b0": 64,
    "inception_v3": 96,
    "inception_resnet_v2": 96,
    "convnext_atto": 64,
    "vit_tiny_patch16_224": 96,
    "swin_tiny_patch4_window7_224": 96,
    "mobilenetv3_small_050": 64,
    "mobilenetv4_conv_small": 64,
}
TINY = timm.list_models("test_*")


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_gives_one_vector_per_image(name: str) -> None:
    """On shapes alone; the width that projections are built for is the width of what comes out."""
    size = FAMILIES[name]
    with torch.device("meta"):
        backbone = build_backbone(name, size_px=size).eval()
        assert backbone(torch.zeros(2, 1, size, size)).shape == (2, backbone_width(backbone))


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "mobilenetv4_conv_small", *TINY])
def test_every_cheap_family_learns_from_a_step(name: str) -> None:
    torch.manual_seed(0)
    backbone = build_backbone(name, in_channels=5, extra_channels=2, size_px=64)
    embedding = backbone(torch.randn(3, 5, 64, 64))
    assert embedding.shape == (3, backbone_width(backbone))
    embedding.square().mean().backward()
    assert any(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in backbone.parameters())
    assert not torch.allclose(embedding[0], embedding[1], atol=1e-7)


@pytest.mark.parametrize(
    ("name", "size", "why", "offer"),
    [
        ("inception_v3", 64, "Kernel size can't be greater than actual input size", 96),
        ("inception_resnet_v2", 64, "Kernel size can't be greater than actual input size", 96),
        ("vit_tiny_patch16_224", 100, "patches of 16 pixels, 4 pixels would be left out", 112),
        ("swin_tiny_patch4_window7_224", 98, "patches of 4 pixels, 2 pixels would be left out", 128),
        ("convnext_atto", 98, "patches of 4 pixels, 2 pixels would be left out", 128),
        ("resnet18", 24, "its last layer has one value per 32 pixels", 32),
        ("efficientformer_l1", 96, "broadcast", 224),
    ],
)
def test_a_size_that_a_model_cannot_take_is_refused_with_one_that_works(
    name: str, size: int, why: str, offer: int
) -> None:
    with pytest.raises(ConfigError) as caught:
        require_backbone(name, None, size)
    message = str(caught.value)
    assert f"model.backbone = {name} with crop.size_px = {size}" in message
    assert why in message
    assert message.endswith(f"; set crop.size_px = {offer}, or choose another backbone")
    require_backbone(name, None, offer)
    with pytest.raises(ConfigError, match="cannot take"):
        build_backbone(name, size_px=size)


def test_a_vit_sees_every_pixel_of_a_size_that_is_not_its_own() -> None:
    torch.manual_seed(0)
    backbone = build_backbone("vit_tiny_patch16_224", size_px=96).eval()
    image = torch.zeros(1, 1, 96, 96)
    corner = image.clone()
    corner[..., -1, -1] = 5.0
    with torch.inference_mode():
        assert not torch.allclose(backbone(image), backbone(corner), atol=1e-4)


@pytest.mark.parametrize("by_values", [False, True])
def test_checking_a_size_leaves_random_numbers_alone(by_values: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a model that cannot be built on shapes alone."""
    create, devices = backbones._create, []

    def create_with_values(*given: Any, **options: Any) -> nn.Module:
        devices.append(torch.get_default_device().type)
        if by_values and devices[-1] == "meta":
            raise NotImplementedError("this model reads its own weights while it is built")
        return create(*given, **options)

    monkeypatch.setattr(backbones, "_create", create_with_values)
    backbones._fault.cache_clear()
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    require_backbone("test_byobnet", None, 64)
    with pytest.raises(ConfigError, match="patches of 16 pixels"):
        require_backbone("test_vit", None, 72)
    torch.testing.assert_close(torch.rand(4), expected)
    assert ("cpu" in devices) == by_values
    backbones._fault.cache_clear()


@pytest.mark.parametrize(("channels", "extra"), [(2, 0), (4, 0), (1, 1), (3, 1), (1, -2)])
def test_channels_that_are_neither_one_nor_three_of_an_image_are_refused(channels: int, extra: int) -> None:
    with pytest.raises(ConfigError, match="expected 1 or 3 of the image"):
        build_backbone("test_resnet", in_channels=channels, extra_channels=extra)


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


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit"])
@pytest.mark.parametrize("published", [1, 3])
def test_a_grey_image_is_answered_alike_through_either_stem(tmp_path: Path, name: str, published: int) -> None:
    """The same weights behind one grey channel, three equal ones, and either with further channels of anything."""
    torch.manual_seed(1)
    saved = timm.create_model(name, in_chans=published, num_classes=0, **taking_size(name)).eval()
    save_file(saved.state_dict(), tmp_path / "weights.safetensors")
    grey, further = torch.randn(2, 1, 64, 64), 50 * torch.randn(2, 2, 64, 64)
    with torch.inference_mode():
        expected = saved(grey.expand(-1, published, -1, -1))
        for image in (1, 3):
            for extra in (0, 2):
                built = build_backbone(
                    name,
                    in_channels=image + extra,
                    extra_channels=extra,
                    size_px=64,
                    weights_file=str(tmp_path / "weights.safetensors"),
                ).eval()
                answer = built(torch.cat([grey.expand(-1, image, -1, -1), further[:, :extra]], dim=1))
                torch.testing.assert_close(answer, expected, atol=2e-4, rtol=1e-3)


def taking_size(name: str) -> dict[str, Any]:
    return {"img_size": 64} if "vit" in name else {}


def test_further_channels_learn_although_they_start_at_zero(tmp_path: Path) -> None:
    save_file(reference(3).state_dict(), tmp_path / "weights.safetensors")
    built = build_backbone(
        "test_resnet", in_channels=2, extra_channels=1, weights_file=str(tmp_path / "weights.safetensors")
    )
    built(torch.randn(4, 2, 64, 64)).square().sum().backward()
    stem = next(built.parameters())
    assert stem.shape[1] == 2
    assert stem[:, 1].abs().max() == 0
    assert stem.grad is not None
    assert stem.grad[:, 1].abs().max() > 0


def test_a_stem_with_standardised_kernels_takes_no_further_channels_beside_weights(tmp_path: Path) -> None:
    """Even a channel of zeros would change what the others give."""
    save_file(timm.create_model("test_nfnet").state_dict(), tmp_path / "weights.safetensors")
    build_backbone("test_nfnet", weights_file=str(tmp_path / "weights.safetensors"))
    with pytest.raises(ConfigError, match=r"weights of test_nfnet, whose first layer cannot take further channels"):
        build_backbone(
            "test_nfnet", in_channels=2, extra_channels=1, weights_file=str(tmp_path / "weights.safetensors")
        )


def shapes_of(name: str) -> dict[str, Tensor]:
    """Weights of zero, without the time that random ones take."""
    with torch.device("meta"):
        state = timm.create_model(name, num_classes=0).state_dict()
    return {key: torch.zeros(value.shape, dtype=value.dtype) for key, value in state.items()}


def test_a_family_that_timm_loads_loosely_is_still_loaded_to_the_last_tensor(tmp_path: Path) -> None:
    """Left to itself, timm takes an Inception v3 file with holes and keeps random weights there."""
    state = shapes_of("inception_v3")
    del state["Mixed_7c.branch_pool.conv.weight"]
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(ConfigError, match=r"Mixed_7c\.branch_pool\.conv\.weight is missing"):
        build_backbone("inception_v3", in_channels=3, weights_file=str(tmp_path / "weights.safetensors"))


@pytest.mark.parametrize(
    ("name", "size", "shape"),
    [
        ("test_resnet", 64, (96, 2, 2)),
        ("densenet121", 64, (1024, 2, 2)),
        ("vit_tiny_patch16_224", 96, (192, 6, 6)),
        ("swin_tiny_patch4_window7_224", 96, (768, 3, 3)),
        ("convnext_atto", 96, (320, 3, 3)),
    ],
)
def test_feature_maps_are_features_rows_columns(name: str, size: int, shape: tuple[int, int, int]) -> None:
    with torch.device("meta"):
        maps = feature_maps(build_backbone(name, size_px=size).eval(), torch.zeros(2, 1, size, size))
    assert maps is not None
    assert maps.shape == (2, *shape)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "swin_tiny_patch4_window7_224"])
def test_a_feature_map_shows_where_the_image_changed(name: str) -> None:
    """A change in the bottom left corner moves the map most there: rows are rows and columns are columns."""
    torch.manual_seed(2)
    backbone = build_backbone(name, size_px=128).eval()
    image = 0.1 * torch.randn(1, 1, 128, 128)
    changed = image.clone()
    changed[..., 112:, :16] += 3.0
    with torch.inference_mode():
        before, after = feature_maps(backbone, image), feature_maps(backbone, changed)
    assert before is not None
    assert after is not None
    move = (after - before).square().sum(dim=1)[0]
    row, col = divmod(int(move.argmax()), move.shape[1])
    assert (row, col) == (move.shape[0] - 1, 0)
