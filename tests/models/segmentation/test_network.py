"""The network that outlines: every decoder, what it refuses, and what its encoder starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from usdlr.core.errors import ConfigError
from usdlr.models.backbones import build_backbone
from usdlr.models.segmentation import PROMPTS, OutlinerSettings, SegmentationNetwork
from usdlr.models.segmentation.decoders import DECODERS
from usdlr.models.segmentation.network import CENTRE, SCALE, load_encoder
from usdlr.models.weights import save_backbone

UNET: dict[str, Any] = {"unet": {"channels": [32, 24, 16, 8]}}
# A small encoder, options and a side that go together, for every decoder.
FITTING: dict[str, tuple[str, dict[str, Any], int]] = {
    "unet": ("test_resnet", {"channels": [32, 32, 16, 16], "attention": True}, 64),
    "unetplusplus": ("test_resnet", {"channels": [32, 24, 16, 8]}, 64),
    "manet": ("test_resnet", {"channels": [32, 24, 16, 8], "pab_channels": 8}, 64),
    "segformer": ("resnet10t", {"channels": 16}, 64),
    "upernet": ("resnet10t", {"channels": 16}, 64),
    "dpt": ("test_vit", {"fusion": 16, "intermediate": [16, 16, 16, 16]}, 64),
}


def network(encoder: str = "test_resnet", decoder: Any = UNET, size_px: int = 64, **more: Any) -> SegmentationNetwork:
    torch.manual_seed(3)
    return SegmentationNetwork(OutlinerSettings(encoder, decoder, size_px, **more))


def test_every_decoder_is_tried() -> None:
    assert FITTING.keys() == DECODERS.keys()


@pytest.mark.parametrize("decoder", FITTING)
def test_a_mask_of_the_windows_size_and_one_answer_each(decoder: str) -> None:
    encoder, options, size = FITTING[decoder]
    built = network(encoder, {decoder: options}, size)
    output = built(torch.rand(2, 1, size, size), torch.zeros(2, len(PROMPTS), size, size))
    assert output.mask.shape == (2, 1, size, size)
    assert output.presence.shape == (2,)
    assert output.mask.dtype == output.presence.dtype == torch.float32
    (output.mask.mean() + output.presence.mean()).backward()
    # Nearly all weights learn from one of the two answers; libraries build a few that nothing asks.
    idle = [name for name, weight in built.named_parameters() if weight.grad is None]
    assert len(idle) < 0.2 * len(list(built.parameters()))


@pytest.mark.parametrize("decoder", FITTING)
def test_a_window_does_not_depend_on_those_beside_it(decoder: str) -> None:
    encoder, options, size = FITTING[decoder]
    built = network(encoder, {decoder: options}, size).eval()
    images, prompts = torch.rand(3, 1, size, size), (torch.rand(3, 3, size, size) > 0.9).float()
    with torch.inference_mode():
        together = built(images, prompts)
        alone = built(images[1:2], prompts[1:2])
    torch.testing.assert_close(together.mask[1:2], alone.mask, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together.presence[1:2], alone.presence, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("channel", range(len(PROMPTS)))
def test_a_prompt_is_seen(channel: int) -> None:
    built = network().eval()
    images, prompts = torch.rand(1, 1, 64, 64), torch.zeros(1, 3, 64, 64)
    pointed = prompts.clone()
    pointed[:, channel, 20:30, 20:30] = 1
    with torch.inference_mode():
        assert not torch.equal(built(images, prompts).mask, built(images, pointed).mask)


def test_grey_is_centred_and_prompts_are_not() -> None:
    built = network().eval()
    seen: list[torch.Tensor] = []
    built.body.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.inference_mode():
        built(torch.full((1, 1, 64, 64), CENTRE + SCALE), torch.ones(1, 3, 64, 64))
    assert seen[0].shape == (1, 4, 64, 64)
    torch.testing.assert_close(seen[0], torch.ones(1, 4, 64, 64))


def test_trying_out_leaves_no_trace() -> None:
    built = network()
    assert all(part.training for part in built.modules())
    counted = [value for name, value in built.state_dict().items() if name.endswith("num_batches_tracked")]
    assert counted
    assert not any(counted)


@pytest.mark.parametrize(
    ("encoder", "expected"),
    [("resnet1O", r"did you mean 'resnet10\w*'"), ("resnet18x", "did you mean 'resnet18'"), ("zzzzzz", "model name$")],
)
def test_an_unknown_encoder_names_the_nearest(encoder: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=rf"network.encoder = '{encoder}', expected a timm model name.*") as caught:
        network(encoder)
    if expected == "model name$":
        assert str(caught.value).endswith("expected a timm model name")
    else:
        assert "; did you mean 'resnet" in str(caught.value)


@pytest.mark.parametrize(
    ("encoder", "decoder", "size"),
    [
        ("test_vit", "unet", 64),
        ("resnet10t", "dpt", 64),
        ("test_vit", "manet", 64),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(encoder: str, decoder: str, size: int) -> None:
    with pytest.raises(
        ConfigError,
        match=rf"^found network.encoder = {encoder} with network.decoder = {decoder} at {size} pixels, which",
    ) as caught:
        network(encoder, decoder, size)
    assert "\n" not in str(caught.value)
    assert "resnet18" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"decoder": "unett"}, r"network.decoder = 'unett', expected one of .*; did you mean 'unet'"),
        ({"decoder": {"unet": {"chanels": [8]}}}, r"the option 'chanels' of network.decoder = unet.*'channels'"),
        ({"decoder": {"unet": {}, "dpt": {}}}, "expected a name, or one name"),
        ({"size_px": 100}, "network.size_px = 100, expected a multiple of 32 from 32 upward"),
        ({"size_px": 0}, "network.size_px = 0"),
        ({"size_px": -32}, "network.size_px = -32"),
        ({"dropout": 1.0}, "network.dropout = 1.0, expected a share below 1"),
        ({"dropout": -0.1}, "network.dropout = -0.1"),
        ({"pretrained": True, "weights_file": "x"}, "both network.pretrained and network.weights_file"),
    ],
)
def test_impossible_settings_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        OutlinerSettings(**given)


def test_settings_without_a_start_are_the_same_network() -> None:
    settings = OutlinerSettings("test_resnet", UNET, 64, weights_file="x.safetensors", dropout=0.2)
    bare = settings.without_start()
    assert bare == OutlinerSettings("test_resnet", UNET, 64, dropout=0.2)
    assert OutlinerSettings(**bare.as_dict()) == bare
    assert not OutlinerSettings(pretrained=True).without_start().pretrained


class TestStart:
    """What the encoder starts from."""

    @staticmethod
    def saved(path: Path, name: str = "test_resnet", channels: int = 3) -> nn.Module:
        torch.manual_seed(11)
        backbone = build_backbone(name, in_channels=channels, size_px=64)
        for buffer in backbone.buffers():
            if buffer.is_floating_point():
                buffer.add_(0.25)
        save_backbone(path, backbone, name)
        return backbone

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("name", ["test_resnet", "resnet10t"])
    def test_every_tensor_of_the_encoder_comes_from_the_file(self, name: str, channels: int, tmp_path: Path) -> None:
        path = tmp_path / "start.safetensors"
        given = self.saved(path, name, channels).state_dict()
        decoder = UNET if name == "test_resnet" else "unet"
        built = network(name, decoder, weights_file=str(path)).body.encoder.model.state_dict()
        (stem,) = [key for key, value in built.items() if value.ndim == 4 and value.shape[1] == 1 + len(PROMPTS)]
        torch.testing.assert_close(built[stem][:, 0], given[stem].sum(dim=1))
        assert not built[stem][:, 1:].any()
        rest = [key for key in built if key != stem]
        assert rest
        for key in rest:
            assert torch.equal(built[key], given[key]), key

    def test_a_grey_image_is_seen_as_the_published_model_sees_it(self, tmp_path: Path) -> None:
        path = tmp_path / "start.safetensors"
        backbone = self.saved(path).eval()
        encoder = network(decoder="unet", weights_file=str(path)).body.encoder.model.eval()  # down to the last map
        grey = torch.randn(2, 1, 64, 64)
        with torch.inference_mode():
            deepest = encoder(torch.cat([grey, torch.ones(2, 3, 64, 64)], dim=1))[-1]
            expected = backbone.forward_features(grey.expand(-1, 3, -1, -1))  # type: ignore[operator]  # timm's own
        torch.testing.assert_close(deepest, expected, atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize("size", [64, 160])
    def test_a_transformer_starts_too(self, size: int, tmp_path: Path) -> None:
        path = tmp_path / "vit.safetensors"
        encoder, options, _ = FITTING["dpt"]
        torch.manual_seed(11)
        backbone = build_backbone(encoder, in_channels=1, size_px=size)
        save_backbone(path, backbone, encoder)
        given = backbone.state_dict()
        own = network(encoder, {"dpt": options}, 64, weights_file=str(path)).body.encoder.model.eval()
        built = own.state_dict()
        assert torch.equal(built["blocks.0.attn.qkv.weight"], given["blocks.0.attn.qkv.weight"])
        assert torch.equal(built["patch_embed.proj.weight"][:, :1], given["patch_embed.proj.weight"])
        assert not built["patch_embed.proj.weight"][:, 1:].any()
        # Its positions are those of its own size: what it says of an image of that size is what the saved one says.
        grey = torch.randn(2, 1, 160, 160)
        expected = build_backbone(encoder, in_channels=1, size_px=160, weights_file=str(path)).eval()
        with torch.inference_mode():
            answer = own.forward_features(torch.cat([grey, torch.zeros(2, 3, 160, 160)], dim=1))
            torch.testing.assert_close(answer, expected.forward_features(grey), atol=1e-4, rtol=1e-4)  # type: ignore[operator]

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"no file .*none\.safetensors for network\.weights_file, expected"):
            network(weights_file=str(tmp_path / "none.safetensors"))

    def test_a_missing_parameter(self, tmp_path: Path) -> None:
        path = tmp_path / "start.safetensors"
        self.saved(path)
        state = load_file(path)
        gone = next(key for key in state if key.startswith("layer3") and key.endswith("weight"))
        del state[gone]
        save_file(state, path)
        with pytest.raises(ConfigError, match=r"cannot be loaded from .*start.*\(.* is missing\)"):
            network(weights_file=str(path))

    def test_a_parameter_of_another_shape(self, tmp_path: Path) -> None:
        path = tmp_path / "start.safetensors"
        self.saved(path)
        state = load_file(path)
        key = next(key for key in state if key.startswith("layer3") and state[key].ndim == 4)
        state[key] = state[key][:-1].contiguous()
        save_file(state, path)
        with pytest.raises(ConfigError, match=r"has the shape \(\d+, .*\), not \(\d+,"):
            network(weights_file=str(path))

    @pytest.mark.parametrize("other", ["test_convnext", "resnet10t"])
    def test_another_architecture(self, other: str, tmp_path: Path) -> None:
        path = tmp_path / "start.safetensors"
        self.saved(path, other, 1)
        with pytest.raises(ConfigError, match=rf"weights for {other} in .*, expected weights for test_resnet"):
            network(weights_file=str(path))
        # Without the note of whose it is, its tensors give it away.
        save_file(load_file(path), path)
        with pytest.raises(ConfigError, match="found weights for test_resnet that cannot be loaded"):
            network(weights_file=str(path))

    @pytest.mark.parametrize("content", [b"", b"nonsense", b"\x80\x04cposix\nsystem\n"])
    @pytest.mark.parametrize("suffix", ["safetensors", "pt"])
    def test_a_damaged_file(self, content: bytes, suffix: str, tmp_path: Path) -> None:
        path = tmp_path / f"start.{suffix}"
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="found weights for test_resnet that cannot be loaded") as caught:
            network(weights_file=str(path))
        assert "\n" not in str(caught.value)

    def test_two_parameters_of_one_name(self, tmp_path: Path) -> None:
        path = tmp_path / "start.safetensors"
        self.saved(path)
        twins = nn.Module()
        twins.a_b, twins.a = nn.Linear(1, 1), nn.Module()
        twins.a.b = nn.Linear(1, 1)
        with pytest.raises(ConfigError, match="two of its parameters have one name"):
            load_encoder(twins, "test_resnet", path)
