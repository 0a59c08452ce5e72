"""The fused logit, its parts, and blocks that are not there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from usdlr.core.errors import ConfigError
from usdlr.models.fusion import GatedFusion
from usdlr.models.network import FusionNetwork
from usdlr.models.settings import TABULAR_BLOCK, NetworkSettings
from usdlr.models.tabular import TabularEncoder

SIDE, COLUMNS = 64, 5


def settings(**change: Any) -> NetworkSettings:
    small: dict[str, Any] = {"backbone": "test_resnet", "embedding_dim": 8, "tabular_hidden": 4, "block_dropout": 0.0}
    return NetworkSettings(**{**small, **change})


def network(**change: Any) -> FusionNetwork:
    torch.manual_seed(0)
    built = FusionNetwork(settings(**change), COLUMNS)
    # Nothing may hold by accident of an initial zero.
    with torch.no_grad():
        built.fusion.base.fill_(0.3)
        built.fusion.log_scale.fill_(0.4)
        built.fusion.block_bias.copy_(torch.randn(len(built.settings.blocks)))
    return built


def inputs(
    count: int, seed: int = 0, blocks: tuple[str, ...] | None = None
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Images, table, and which blocks are present: some of every kind are missing."""
    torch.manual_seed(seed)
    names = settings().image_blocks if blocks is None else blocks
    images = {name: torch.randn(count, 1, SIDE, SIDE) for name in names}
    present = torch.rand(count, len(names) + 1) > 0.4
    present[:, -1] = True
    return images, torch.randn(count, COLUMNS), present


@pytest.fixture
def trained() -> FusionNetwork:
    """A network whose batch statistics have seen data."""
    built = network()
    images, table, present = inputs(12)
    for _ in range(3):
        built(images, table, torch.ones_like(present))
    return built.eval()


def test_blocks_are_every_modality_and_region_then_the_table() -> None:
    assert settings().blocks == (
        "bmode.intratumoral",
        "bmode.peritumoral",
        "elasto.intratumoral",
        "elasto.peritumoral",
        TABULAR_BLOCK,
    )


@pytest.mark.parametrize("training", [False, True])
def test_contributions_and_base_add_up_to_the_logit(trained: FusionNetwork, training: bool) -> None:
    images, table, present = inputs(9, seed=1)
    fused = trained.train(training)(images, table, present)
    torch.testing.assert_close(fused.base + fused.contributions.sum(dim=1), fused.logit)
    assert fused.logit.shape == (9,)
    assert fused.contributions.shape == fused.gates.shape == fused.block_logits.shape == (9, 5)
    assert fused.logit.std() > 0.01


def test_gates_are_shares_of_the_present_blocks(trained: FusionNetwork) -> None:
    images, table, present = inputs(9, seed=1)
    fused = trained(images, table, present)
    torch.testing.assert_close(fused.gates.sum(dim=1), torch.ones(9))
    assert (fused.gates[~present] == 0).all()
    assert (fused.gates[present] > 0).all()
    assert (fused.contributions[~present] == 0).all()
    assert torch.equal(fused.present, present)


def test_without_images_the_table_decides_alone(trained: FusionNetwork) -> None:
    images, table, present = inputs(4)
    present[:, :-1] = False
    fused = trained(images, table, present)
    assert torch.equal(fused.gates[:, -1], torch.ones(4))
    # With one block and its gate at one, the logit is base + scale * evidence.
    evidence = fused.block_logits[:, -1] - fused.base
    torch.testing.assert_close(fused.logit, fused.base + torch.tensor(0.4).exp() * evidence)


def test_pixels_of_an_absent_block_do_not_matter(trained: FusionNetwork) -> None:
    images, table, present = inputs(9, seed=2)
    clean = trained(images, table, present)
    for position, block in enumerate(trained.settings.image_blocks):
        images[block][~present[:, position]] = float("nan")
    for one, other in zip(clean, trained(images, table, present), strict=True):
        assert torch.equal(one, other)


def test_a_batch_gives_what_its_items_give(trained: FusionNetwork) -> None:
    images, table, present = inputs(9, seed=3)
    with torch.inference_mode():
        together = trained(images, table, present)
        for row in range(9):
            one = slice(row, row + 1)
            alone = trained({name: pixels[one] for name, pixels in images.items()}, table[one], present[one])
            torch.testing.assert_close(alone.logit, together.logit[one], atol=1e-6, rtol=0)
            torch.testing.assert_close(alone.contributions, together.contributions[one], atol=1e-6, rtol=0)


def statistics(built: FusionNetwork, block: str) -> dict[str, Tensor]:
    encoder = built.encoders[block.replace(".", "_")]
    return {name: value.clone() for name, value in encoder.named_buffers() if "running" in name or "tracked" in name}


def test_batch_statistics_see_present_rows_only() -> None:
    """With absent rows full of garbage, the statistics are those of a batch without these rows."""
    images, table, present = inputs(8, seed=4, blocks=("bmode.intratumoral",))
    present[:, 0] = torch.tensor([1, 0, 1, 1, 0, 1, 0, 1], dtype=torch.bool)
    images["bmode.intratumoral"][~present[:, 0]] = 1e6
    mixed, pure = (network(modalities=["bmode"], rois=["intratumoral"]).train() for _ in range(2))
    mixed(images, table, present)
    keep = present[:, 0]
    pure({"bmode.intratumoral": images["bmode.intratumoral"][keep]}, table[keep], present[keep])
    found = statistics(mixed, "bmode.intratumoral")
    assert found
    for name, value in statistics(pure, "bmode.intratumoral").items():
        torch.testing.assert_close(found[name], value)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_rows_for_statistics_leave_the_block_out_of_training(count: int) -> None:
    built = network().train()
    images, table, present = inputs(6)
    present[:] = True
    present[count:, 2] = False
    before = statistics(built, "elasto.intratumoral")
    fused = built(images, table, present)
    assert not fused.present[:, 2].any()
    assert fused.present[:, [0, 1, 3, 4]].all()
    assert (fused.gates[:, 2] == 0).all()
    for name, value in statistics(built, "elasto.intratumoral").items():
        assert torch.equal(value, before[name])
    # Judging one row is no problem: nothing is estimated then.
    assert torch.equal(built.eval()(images, table, present).present, present)


def test_blocks_are_hidden_in_training_only_and_the_table_never() -> None:
    built = network(block_dropout=0.5)
    images, table, present = inputs(200)
    small = {name: pixels[:, :, :32, :32] for name, pixels in images.items()}
    present[:] = True
    torch.manual_seed(0)
    fused = built.train()(small, table, present)
    assert fused.present[:, -1].all()
    assert (fused.gates[:, -1] > 0).all()
    shares = fused.present[:, :-1].float().mean(dim=0)
    assert ((shares > 0.38) & (shares < 0.62)).all()
    assert built.eval()(small, table, present).present.all()
    present[:, 1] = False
    assert not built.train()(small, table, present).present[:, 1].any()


def test_gradients_reach_every_parameter() -> None:
    built = network(dropout=0.0).train()
    for module in built.modules():
        if isinstance(module, nn.BatchNorm2d):  # residual branches start at zero, and nothing flows through them
            nn.init.ones_(module.weight)
    images, table, present = inputs(8)
    fused = built(images, table, torch.ones_like(present))
    loss: Any = nn.functional.binary_cross_entropy_with_logits(fused.logit, torch.tensor([0.0, 1.0] * 4))
    loss.backward()
    for name, parameter in built.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_absent_blocks_get_no_gradient() -> None:
    built = network(dropout=0.0).train()
    images, table, present = inputs(8)
    present[:] = True
    present[:, 3] = False
    built(images, table, present).logit.sum().backward()
    assert all(parameter.grad is None for parameter in built.encoders["elasto_peritumoral"].parameters())
    assert built.fusion.head.grad is not None
    assert (built.fusion.head.grad[3] == 0).all()
    assert torch.isfinite(built.fusion.head.grad).all()


def test_fusion_by_hand() -> None:
    """Equal scores share the gate equally; the logit is then base + scale * mean evidence of the present blocks."""
    fusion = GatedFusion(2, 3)
    with torch.no_grad():
        fusion.score.weight.zero_()
        fusion.head.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [5.0, 5.0]]))
        fusion.base.fill_(-1.0)
        fusion.log_scale.fill_(torch.log(torch.tensor(3.0)).item())
    embeddings = torch.tensor([[[4.0, 9.0], [9.0, 5.0], [7.0, 7.0]]])
    fused = fusion(embeddings, torch.tensor([[True, True, False]]))
    assert fused.gates.tolist() == [[0.5, 0.5, 0.0]]
    assert fused.block_logits.tolist() == [[3.0, 9.0, 69.0]]
    torch.testing.assert_close(fused.contributions, torch.tensor([[6.0, 15.0, 0.0]]))
    torch.testing.assert_close(fused.logit, torch.tensor([20.0]))


def test_gate_bias_prefers_a_block() -> None:
    fusion = GatedFusion(2, 2)
    with torch.no_grad():
        fusion.score.weight.zero_()
        fusion.block_bias.copy_(torch.log(torch.tensor([3.0, 1.0])))
    gates = fusion(torch.randn(4, 2, 2), torch.ones(4, 2, dtype=torch.bool)).gates
    torch.testing.assert_close(gates, torch.tensor([[0.75, 0.25]]).expand(4, 2))


def test_tabular_encoder_has_a_linear_path() -> None:
    encoder = TabularEncoder(3, 4, 6, dropout=0.5).eval()
    with torch.no_grad():
        for parameter in encoder.mlp.parameters():
            parameter.zero_()
    table = torch.randn(7, 3)
    expected = nn.functional.layer_norm(table @ encoder.linear.weight.T + encoder.linear.bias, (6,))
    torch.testing.assert_close(encoder(table), expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"modalities": []}, r"model.modalities = \[\], expected different names out of bmode, elasto"),
        ({"modalities": ["bmode", "bmode"]}, "expected different names"),
        ({"modalities": ["mri"]}, "expected different names"),
        ({"rois": ["liver"]}, r"model.rois = \['liver'\]"),
        ({"dropout": 1.0}, r"model.dropout = 1.0, expected a share"),
        ({"block_dropout": -0.1}, r"model.block_dropout = -0.1"),
        ({"embedding_dim": 1}, r"model.embedding_dim = 1"),
        ({"tabular_hidden": 0}, r"model.tabular_hidden = 0"),
        ({"pretrained": True, "weights_file": "x"}, "expected one source of weights"),
    ],
)
def test_settings_refuse(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        NetworkSettings(**change)


def test_settings_are_plain_data_and_come_back() -> None:
    chosen = settings(rois=["combined"], modalities=["elasto"])
    assert NetworkSettings(**chosen.as_dict()) == chosen
    assert chosen.image_blocks == ("elasto.combined",)
