"""What is learned without labels: the loss counts what it should, and any architecture can learn."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from usdlr.core.errors import ConfigError
from usdlr.models.backbones import build_backbone
from usdlr.models.pretraining import METHODS, MaskedImages, PretextBatch, TwoViews, spread
from usdlr.models.pretraining.contrastive import vicreg_terms
from usdlr.models.pretraining.masked import blur_guess, masked_error, mean_guess
from usdlr.models.pretraining.method import embedding_width, feature_map, feature_shape

ARCHITECTURES = ("test_resnet", "test_efficientnet", "test_convnext", "test_vit", "test_vit2", "test_maxvit")


def backbone(name: str = "test_resnet") -> nn.Module:
    torch.manual_seed(0)
    return build_backbone(name, in_channels=1, size_px=64)


def batch(views: int, images: int, seed: int = 0) -> PretextBatch:
    """Noise; the left half of every view is hidden, the lowest row has no value."""
    generator = torch.Generator().manual_seed(seed)
    shape = (views, images, 1, 64, 64)
    valid, hidden = torch.ones(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)
    valid[..., -1, :] = False
    hidden[..., :32] = True
    return PretextBatch(images=torch.randn(shape, generator=generator) * valid, valid=valid, hidden=hidden)


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: one.grad for name, one in module.named_parameters() if one.grad is not None and one.grad.any()}


class TestMasked:
    def test_only_hidden_pixels_with_a_value_count(self) -> None:
        method = MaskedImages(backbone(), 64)
        # The painter is made to say 1 everywhere, whatever it sees.
        conv: Any = method.decoder[0]
        nn.init.zeros_(conv.weight)
        nn.init.ones_(conv.bias)
        given = batch(1, 3)
        given["images"].fill_(1.0)
        assert method(given).loss.item() == 0.0
        wrong = {name: value.clone() for name, value in given.items()}  # type: ignore[attr-defined]  # all are tensors
        wrong["images"][..., 32:] = 50.0  # shown
        wrong["images"][..., -1, :] = 50.0  # without value
        assert method(wrong).loss.item() == 0.0
        wrong["images"][0, 0, 0, 0, 0] = 50.0  # one hidden pixel of 3 * 63 * 32
        assert method(wrong).loss.item() == pytest.approx(49 / (3 * 63 * 32))

    def test_what_is_hidden_does_not_reach_the_backbone(self) -> None:
        method = MaskedImages(backbone(), 64).eval()
        one = batch(1, 2)
        other = batch(1, 2)
        other["images"][..., :32] = 77.0
        painted = [method.reconstruct(found["images"][0], found["hidden"][0])[0] for found in (one, other)]
        assert torch.equal(*painted)
        other["images"][..., 40] += 1.0
        assert not torch.equal(painted[0], method.reconstruct(other["images"][0], other["hidden"][0])[0])

    def test_no_hidden_pixel_is_no_loss(self) -> None:
        image = torch.ones(2, 1, 4, 4)
        assert float(masked_error(image * 3, image, torch.zeros_like(image, dtype=torch.bool))) == 0.0

    @pytest.mark.parametrize("name", ARCHITECTURES)
    def test_any_architecture_learns(self, name: str) -> None:
        method = MaskedImages(backbone(name), 64, patch_px=8)
        outcome = method(batch(1, 2))
        outcome.loss.backward()
        assert math.isfinite(outcome.loss.item())
        # The very first layer learns, and so does the grey level of the holes.
        assert next(iter(dict(method.backbone.named_parameters()))) in gradients(method.backbone)
        assert method.hidden_level.grad is not None
        assert method.reconstruct(batch(1, 2)["images"][0], batch(1, 2)["hidden"][0])[0].shape == (2, 1, 64, 64)

    def test_plain_guesses(self) -> None:
        image = torch.zeros(1, 1, 32, 32)
        image[..., 16:] = 4.0  # left half 0, right half 4
        seen = torch.ones_like(image, dtype=torch.bool)
        seen[..., 4:8, 4:8] = False  # a hole far inside the left half
        assert mean_guess(image, seen)[0, 0, 0, 0] == pytest.approx(4.0 * 512 / (1024 - 16))
        assert blur_guess(image, seen, 1.5)[0, 0, 4:8, 4:8].abs().max() == pytest.approx(0.0, abs=1e-6)
        nothing = torch.zeros_like(seen)
        assert torch.equal(blur_guess(image, nothing, 1.5), torch.zeros_like(image))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"patch_px": 24}, "divides it"),
            ({"patch_px": 64}, "divides it"),
            ({"patch_px": 0}, "at least 1"),
            ({"patch_px": 8.0}, "whole number"),
            ({"mask_ratio": 0.0}, "above 0"),
            ({"mask_ratio": 1.0}, "below 1"),
            ({"mask_ratio": "much"}, "a share"),
        ],
    )
    def test_impossible_patches_are_refused(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            MaskedImages(backbone(), 64, **options)


class TestTwoViews:
    def test_terms_of_known_projections(self) -> None:
        # Two coordinates of standard deviation 2 and 0.5 (over n - 1), uncorrelated; the other view is shifted by 3.
        first = torch.tensor([[2.0, 0.5], [-2.0, 0.5], [2.0, -0.5], [-2.0, -0.5]]) * math.sqrt(3 / 4)
        invariance, variance, covariance = vicreg_terms(first, first + 3.0)
        assert float(invariance) == pytest.approx(9.0)
        assert float(variance) == pytest.approx((1 - math.sqrt(0.25 + 1e-4)) / 2, abs=1e-6)
        assert float(covariance) == pytest.approx(0.0, abs=1e-6)
        # Twice the same coordinate, of variance 4: covariance 4, twice off the diagonal, over two, in both views.
        same = first[:, :1].repeat(1, 2)
        assert float(vicreg_terms(same, same)[2]) == pytest.approx(2 * (4.0**2 + 4.0**2) / 2, rel=1e-5)

    @pytest.mark.parametrize("name", ARCHITECTURES)
    def test_any_architecture_learns(self, name: str) -> None:
        method = TwoViews(backbone(name), 64, width=8)
        outcome = method(batch(2, 4))
        outcome.loss.backward()
        assert math.isfinite(outcome.loss.item())
        assert gradients(method.backbone)
        assert set(method.pictures(batch(2, 4))) == {"first view", "second view"}

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"width": 1}, "at least 2"),
            ({"variance": -1}, "at least 0"),
            ({"variance": "none"}, "a number"),
            ({"invariance": 0}, "above 0"),
            ({"collapse_below": 1.0}, "below 1"),
        ],
    )
    def test_impossible_options_are_refused(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            TwoViews(backbone(), 64, **options)


def test_spread_of_known_embeddings() -> None:
    assert float(spread(torch.ones(5, 7) * torch.arange(1, 6)[:, None])) == pytest.approx(0.0, abs=1e-3)
    # One-hot in every direction and its opposite: a coordinate is +-1 once in 2 n rows, so its deviation is 1/sqrt(n).
    corners = torch.cat([torch.eye(6), -torch.eye(6)])
    assert float(spread(corners * 9.0)) == pytest.approx(1.0)
    torch.manual_seed(0)
    assert float(spread(torch.randn(500, 64))) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_feature_map_lies_as_the_image_does(name: str) -> None:
    net = backbone(name).eval()
    channels, rows, cols = feature_shape(net, 64)
    assert embedding_width(net, 64) == net(torch.zeros(1, 1, 64, 64)).shape[1]
    blank, spot = torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)
    spot[..., :8, -8:] = 3.0  # upper right corner
    change = (feature_map(net, spot) - feature_map(net, blank)).abs().sum(dim=1)[0]
    assert change.shape == (rows, cols)
    assert feature_map(net, spot).shape == (1, channels, rows, cols)
    if min(rows, cols) > 2:  # attention and wide kernels see everything, but most of all what lies there
        assert divmod(int(change.argmax()), cols) == (0, cols - 1)


def test_trial_image_leaves_no_trace() -> None:
    net = backbone().train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    state = torch.random.get_rng_state()
    feature_shape(net, 64)
    embedding_width(net, 64)
    assert net.training
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_registry() -> None:
    assert dict(METHODS) == {"masked": MaskedImages, "contrastive": TwoViews}
