"""The network's logit, its parts, images that belong together, and blocks that are not there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from usdlr.core.errors import ConfigError
from usdlr.models.fusion import FUSIONS
from usdlr.models.heads import HEADS
from usdlr.models.losses import build_loss
from usdlr.models.network import FusionNetwork, Output
from usdlr.models.pooling import POOLINGS
from usdlr.models.settings import NetworkSettings
from usdlr.models.tabular import TabularEncoder

SIDE = 64
COLUMNS = [
    "bmode.intratumoral.original.firstorder.Mean",
    "bmode.intratumoral.original.glcm.Contrast",
    "bmode.peritumoral.original.glcm.Contrast",
    "elasto.intratumoral.original.firstorder.Mean",
    "clinical.tumour_size_mm",
    "present.elasto",
]
SPLIT = (
    "radiomics.bmode.intratumoral",
    "radiomics.bmode.peritumoral",
    "radiomics.elasto.intratumoral",
    "clinical",
)
LONE = torch.tensor([[0]])


class Inputs(NamedTuple):
    """Arguments of the network, in its order."""

    images: dict[str, Tensor]
    table: Tensor
    scores: Tensor
    present: Tensor
    place: Tensor


def settings(**change: Any) -> NetworkSettings:
    small: dict[str, Any] = {"backbone": "test_resnet", "embedding_dim": 8, "tabular_hidden": 4, "block_dropout": 0.0}
    return NetworkSettings(**{**small, **change})


def network(scored: Sequence[str] | None = None, **change: Any) -> FusionNetwork:
    """A network in evaluation mode; every radiomics and clinical block has a score unless told otherwise."""
    torch.manual_seed(0)
    chosen = settings(**change)
    names = list(chosen.table_blocks(COLUMNS)) if scored is None else scored
    built = FusionNetwork(chosen, COLUMNS, SIDE, scored=names)
    with torch.no_grad():  # nothing may hold by accident of an initial zero
        for part in (built.fusion, built.pooling):
            for parameter in part.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return built.eval()


def layout(counts: Sequence[int]) -> Tensor:
    """Images one after the other, padded with -1."""
    place, start = torch.full((len(counts), max(counts)), -1), 0
    for row, count in enumerate(counts):
        place[row, :count] = torch.arange(start, start + count)
        start += count
    return place


def inputs(built: FusionNetwork, counts: Sequence[int], seed: int = 1, side: int = SIDE) -> Inputs:
    """Axillae of so many images; some blocks of some images are missing, the last one never."""
    torch.manual_seed(seed)
    images = sum(counts)
    channels = built.settings.in_channels
    pixels = {name: torch.randn(images, channels, side, side) for name in built.settings.image_blocks}
    present = torch.rand(images, len(built.blocks)) > 0.4
    present[:, -1] = True
    scores = torch.randn(images, len(built.scored), built.head.width)
    return Inputs(pixels, torch.randn(images, len(COLUMNS)), scores, present, layout(counts))


def rows(given: Inputs, chosen: Sequence[int], place: Tensor) -> Inputs:
    """Some images alone, in another order or under other axillae."""
    index = list(chosen)
    pixels = {name: block[index] for name, block in given.images.items()}
    return Inputs(pixels, given.table[index], given.scores[index], given.present[index], place)


def assert_same(one: Output, other: Output, *, atol: float) -> None:
    """Everything but the layout of the images."""
    for name in ("logits", "direct", "weights", "embeddings"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), atol=atol, rtol=0)
    assert torch.equal(one.present, other.present)
    there = one.present
    torch.testing.assert_close(one.block_logits[there], other.block_logits[there], atol=atol, rtol=0)


def test_blocks_are_every_modality_and_region_then_the_table() -> None:
    images = ("bmode.intratumoral", "bmode.peritumoral", "elasto.intratumoral", "elasto.peritumoral")
    assert network().blocks == (*images, "radiomics")
    assert network(tabular="split").blocks == (*images, *SPLIT)


def test_output_has_the_documented_shapes() -> None:
    built = network(head="multitask", auxiliary=["birads", "stiffness"])
    output = built(*inputs(built, [3, 1, 2]))
    assert output.logits.shape == (3, 2)
    assert output.block_logits.shape == output.direct.shape == (3, 5, 2)
    assert output.weights.shape == output.present.shape == (3, 5)
    assert output.embeddings.shape == (3, 5, 8)
    assert output.image_weights.shape == (3, 3, 5)
    assert output.auxiliary.shape == (3, 2)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_batch_gives_what_its_items_give_whatever_the_padding(pooling: str) -> None:
    built = network(pooling=pooling)
    given = inputs(built, [3, 1, 2, 5])
    with torch.inference_mode():
        together = built(*given)
        assert together.logits.std() > 0.01
        for axilla, place in enumerate(given.place):
            own = place[place >= 0].tolist()
            for padding in (0, 3):
                lone = torch.tensor([[*range(len(own)), *[-1] * padding]])
                alone = built(*rows(given, own, lone))
                one = Output._make(None if part is None else part[axilla : axilla + 1] for part in together)
                assert_same(alone, one, atol=1e-6)
                assert (alone.image_weights[:, len(own) :] == 0).all()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_order_of_images_does_not_matter(pooling: str) -> None:
    built = network(pooling=pooling)
    given = inputs(built, [3, 1, 2])
    with torch.inference_mode():
        straight = built(*given)
        # Shuffled within the axilla, shuffled in the batch, and both.
        assert_same(
            built(*given._replace(place=torch.tensor([[2, 0, 1], [3, -1, -1], [5, 4, -1]]))), straight, atol=1e-6
        )
        mixed = rows(given, [5, 2, 0, 4, 3, 1], torch.tensor([[2, 5, 1], [4, -1, -1], [3, 0, -1]]))
        assert_same(built(*mixed), straight, atol=1e-6)


def test_an_image_given_twice_counts_as_once_for_the_mean() -> None:
    built = network()
    given = inputs(built, [2])
    with torch.inference_mode():
        assert_same(built(*rows(given, [0, 1, 0, 1], layout([4]))), built(*given), atol=1e-6)


def test_images_are_pooled_block_by_block() -> None:
    """An image that lacks a block takes no part in it: the block's embedding is that of the other image."""
    built = network()
    given = inputs(built, [2])
    given.present[:] = True
    given.present[1, 0] = False
    both, first = built(*given), built(*rows(given, [0], LONE))
    assert torch.equal(both.image_weights[0, :, 0], torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(both.embeddings[:, 0], first.embeddings[:, 0])
    assert (both.embeddings[:, 1] - first.embeddings[:, 1]).abs().max() > 1e-3


@pytest.mark.parametrize("garbage", [float("nan"), 1e30])
@pytest.mark.parametrize("training", [False, True])
def test_what_stands_in_place_of_an_absent_block_changes_nothing(garbage: float, training: bool) -> None:
    built = network(tabular="split", dropout=0.0).train(training)
    given = inputs(built, [3, 1, 2])
    given.present[0:3, -3] = False  # a radiomics block that the whole axilla lacks, and one that an image lacks
    given.present[4, -2] = False
    clean = built(*given)
    assert not given.present[:, :-1].all(dim=0).any(), "every block but the last is absent somewhere"
    for position, block in enumerate(built.blocks):
        absent = ~given.present[:, position]
        if block in given.images:
            given.images[block][absent] = garbage
        else:
            columns = torch.tensor(built.tables[block])
            given.table[absent.nonzero(), columns] = garbage
            given.scores[absent, built.scored.index(position)] = garbage
    dirty = built(*given)
    for one, other in zip(clean, dirty, strict=True):
        assert torch.equal(one, other)
    (dirty.logits.sum() + dirty.block_logits[dirty.present].sum()).backward()
    for name, parameter in built.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("fusion", ["gated", "concat"])
def test_shares_and_the_rest_add_up_to_the_stage_logit(fusion: str, head: str) -> None:
    built = network(tabular="split", fusion=fusion, head=head)
    output = built(*inputs(built, [3, 1, 2, 1]))
    stage = built.head.stage_logits(output.logits)
    for target in range(built.head.targets):
        shares, rest = built.shares(output, target)
        assert shares.shape == (4, 8)
        torch.testing.assert_close(rest + shares.sum(dim=1), stage[:, target])
        assert (shares[~output.present] == 0).all()
        assert (shares[output.present] != 0).all()
        # The rest belongs to no axilla: it is the same for all of them.
        assert rest.max() == rest.min()


def test_shares_of_a_late_fusion_of_two_blocks_by_hand() -> None:
    """v(none) = base, v(one) = its logit, v(both) = the mean: a share is the mean of what a block adds either way."""
    built = network(modalities=["bmode"], rois=["intratumoral"], fusion="late", scored=[])
    output = built(*inputs(built, [1]))
    shares, rest = built.shares(output._replace(present=torch.tensor([[True, True]])), 0)
    base = built.fusion.base
    one, other = (output.block_logits[0, :, 0] - base).tolist()
    torch.testing.assert_close(rest, base)
    expected = [(one + (one + other) / 2 - other) / 2, (other + (one + other) / 2 - one) / 2]
    torch.testing.assert_close(shares, torch.tensor([expected]))


def test_without_images_the_table_decides_alone() -> None:
    built = network()
    given = inputs(built, [1, 2])
    given.present[:, :-1] = False
    output = built(*given)
    assert torch.equal(output.weights[:, -1], torch.ones(2))
    shares, rest = built.shares(output, 0)
    torch.testing.assert_close(rest + shares[:, -1], output.logits[:, 0])
    other = given._replace(images={name: torch.randn_like(pixels) for name, pixels in given.images.items()})
    assert torch.equal(built(*other).logits, output.logits)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("fusion", [name for name in FUSIONS if name != "film"])
def test_images_alone(fusion: str, head: str) -> None:
    """No table, no score; an axilla without an image block gets the base, and teaches it without a trace elsewhere."""
    built = network(tabular="none", score=False, fusion=fusion, head=head, modalities=["bmode"], dropout=0.0).train()
    assert built.blocks == ("bmode.intratumoral", "bmode.peritumoral")
    given = inputs(built, [2, 1, 3, 1])._replace(table=torch.zeros(7, 0))
    assert given.scores.shape == (7, 0, built.head.width)
    given.present[2:] = False
    output = built(*given)
    logits = output.logits
    assert torch.equal(logits[1:], logits[1:2].expand(3, -1))
    assert (logits[0] - logits[1]).abs().max() > 1e-3
    for target in range(built.head.targets):
        shares, rest = built.shares(output, target)
        torch.testing.assert_close(rest[1:], built.head.stage_logits(logits)[1:, target])
        assert (shares[1:] == 0).all()
    nobody = given._replace(present=torch.zeros_like(given.present))
    built(*nobody).logits.sum().backward()  # a batch that shows nothing
    for name, parameter in built.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name
        if name.startswith("encoders."):
            assert parameter.grad is None or not parameter.grad.any(), name


def silenced(scored: Sequence[str] | None = None, **change: Any) -> FusionNetwork:
    """Scores alone: the fusion says zero."""
    built = network(scored, **change)
    with torch.no_grad():
        for parameter in built.fusion.parameters():
            parameter.zero_()
    return built


@pytest.mark.parametrize("fusion", ["gated", "late", "concat", "film", "cross_attention"])
@pytest.mark.parametrize("head", ["binary", "corn"])
def test_a_scored_network_starts_at_its_scores_and_learns_from_there(fusion: str, head: str) -> None:
    torch.manual_seed(0)
    settings = NetworkSettings(backbone="test_resnet", fusion=fusion, head=head, dropout=0.0, embedding_dim=8)
    built = FusionNetwork(settings, COLUMNS, SIDE, scored=["radiomics"])
    built.fusion.set_base(torch.full((built.head.width,), 0.25))
    given = inputs(built, [3, 1, 2])
    output = built.eval()(*given)
    torch.testing.assert_close(output.logits, 0.25 + output.direct.sum(dim=1))
    shares, rest = built.shares(output, 0)
    torch.testing.assert_close(shares, output.direct[..., 0])
    assert (rest == 0.25).all()
    output.logits.square().sum().backward()
    moved = [p.grad for name, p in built.fusion.named_parameters() if name.split(".")[-1] in ("head", "read")]
    assert max(float(gradient.abs().max()) for gradient in moved if gradient is not None) > 0
    alone = FusionNetwork(settings, COLUMNS, SIDE).eval()
    assert (alone(*inputs(alone, [3, 1, 2])).logits != 0).all()


@pytest.mark.parametrize("fusion", ["gated", "late", "concat", "film"])
def test_behind_a_silent_fusion_the_logit_is_the_mean_of_the_scores(fusion: str) -> None:
    built = silenced(fusion=fusion)
    given = inputs(built, [3, 1, 2])
    given = given._replace(scores=torch.tensor([1.0, 2.0, 6.0, -4.0, 0.5, 1.5]).reshape(6, 1, 1))
    output = built(*given)
    torch.testing.assert_close(output.logits, torch.tensor([[3.0], [-4.0], [1.0]]))
    torch.testing.assert_close(output.direct[:, -1], output.logits)
    assert (output.direct[:, :-1] == 0).all()
    torch.testing.assert_close(output.block_logits, output.direct)


def test_scores_of_several_blocks_add_up_and_absent_ones_add_nothing() -> None:
    built = silenced(tabular="split")
    given = inputs(built, [2])
    given.present[:] = True
    given.present[:, 5], given.present[0, 6] = False, False  # one block of the axilla, another one of an image
    scores = torch.tensor([[[1.0], [100.0], [100.0], [4.0]], [[3.0], [100.0], [8.0], [4.0]]])
    output = built(*given._replace(scores=scores))
    torch.testing.assert_close(output.direct[0, 4:, 0], torch.tensor([2.0, 0.0, 8.0, 4.0]))
    torch.testing.assert_close(output.logits, torch.tensor([[14.0]]))
    shares, rest = built.shares(output, 0)
    torch.testing.assert_close(shares[0, 4:], output.direct[0, 4:, 0])
    assert rest == 0


def test_a_score_reaches_the_targets_of_its_own() -> None:
    built = silenced(head="multitask")
    given = inputs(built, [1])
    output = built(*given._replace(scores=torch.tensor([[[2.0, -3.0]]])))
    torch.testing.assert_close(output.logits, torch.tensor([[2.0, -3.0]]))


def test_the_score_of_a_block_without_a_chosen_column_is_not_read() -> None:
    given_order = ["radiomics.elasto.peritumoral", "clinical", "radiomics.bmode.intratumoral"]
    built = silenced(given_order, tabular="split")
    given = inputs(built, [1])
    given.present[:] = True
    output = built(*given._replace(scores=torch.tensor([[[100.0], [4.0], [2.0]]])))
    torch.testing.assert_close(output.direct[0, :, 0], torch.tensor([0.0, 0, 0, 0, 2, 0, 0, 4]))


def test_a_network_may_read_no_score() -> None:
    built = network(scored=[])
    output = built(*inputs(built, [3, 1]))
    assert (output.direct == 0).all()
    assert built.score_scale.numel() == 0


def statistics(built: FusionNetwork, group: str) -> dict[str, Tensor]:
    named = built.encoders.backbones[group].named_buffers()
    found = {name: value.clone() for name, value in named if "running" in name or "tracked" in name}
    assert found
    return found


def test_batch_statistics_see_present_rows_only() -> None:
    """With absent rows full of garbage, the statistics are those of a batch without these rows."""
    mixed, pure = (network(modalities=["bmode"], rois=["intratumoral"]).train() for _ in range(2))
    given = inputs(mixed, [3, 1, 4], seed=4)
    given.present[:, 0] = torch.tensor([1, 0, 1, 1, 0, 1, 0, 1], dtype=torch.bool)
    given.images["bmode.intratumoral"][~given.present[:, 0]] = 1e6
    mixed(*given)
    kept = given.present[:, 0].nonzero().flatten().tolist()
    pure(*rows(given, kept, layout([1] * len(kept))))
    found = statistics(mixed, "bmode_intratumoral")
    for name, value in statistics(pure, "bmode_intratumoral").items():
        torch.testing.assert_close(found[name], value)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_rows_for_statistics_leave_them_alone(count: int) -> None:
    """A single row still counts, judged by the running statistics as at inference."""
    built = network(dropout=0.0).train()
    given = inputs(built, [2, 1, 3])
    given.present[:] = True
    given.present[count:, 2] = False
    before = statistics(built, "elasto_intratumoral")
    output = built(*given)
    assert output.present[:, 2].tolist() == [count == 1, False, False]
    for name, value in statistics(built, "elasto_intratumoral").items():
        assert torch.equal(value, before[name])
    torch.testing.assert_close(output.embeddings[:, 2], built.eval()(*given).embeddings[:, 2])


def test_blocks_are_hidden_in_training_only_for_a_whole_axilla_and_never_the_last_one() -> None:
    built = network(block_dropout=0.5, modalities=["bmode"])
    given = inputs(built, [2] * 300, side=32)
    given.present[:] = True
    given.present[2 * 250 :, :-1] = False  # fifty axillae have the table alone
    torch.manual_seed(0)
    output = built.train()(*given)
    assert output.present.any(dim=1).all()
    assert output.present[250:].tolist() == [[False, False, True]] * 50
    # All three are drawn hidden in one of eight axillae, which then keep them: 1/2 + 1/8 of them have a block.
    shares = output.present[:250].float().mean(dim=0)
    assert ((shares > 0.54) & (shares < 0.71)).all()
    # Hidden is hidden in both images: what is left is shared equally.
    expected = output.present.float()[:, None, :].expand(-1, 2, -1) / 2
    torch.testing.assert_close(output.image_weights, expected)
    assert torch.equal(built.eval()(*given).present, given.present[::2])


def test_a_hidden_block_keeps_its_score_to_itself() -> None:
    built = silenced(block_dropout=0.9, modalities=["bmode"], rois=["intratumoral"]).train()
    given = inputs(built, [1] * 40, side=32)
    given.present[:] = True
    output = built(*given._replace(scores=torch.ones(40, 1, 1)))
    hidden = ~output.present[:, -1]
    assert 0 < hidden.sum() < 40
    assert torch.equal(output.logits[:, 0], (~hidden).float())


def test_gradients_reach_every_parameter() -> None:
    built = network(dropout=0.0, head="multitask", pooling="attention", auxiliary=["birads"]).train()
    for module in built.modules():
        if isinstance(module, nn.BatchNorm2d):  # residual branches start at zero, and nothing flows through them
            nn.init.ones_(module.weight)
    given = inputs(built, [2, 1, 3, 2])
    given.present[:] = True
    output = built(*given)
    label = torch.tensor([[1.0, 0.0], [0.0, float("nan")], [1.0, 1.0], [0.0, float("nan")]])
    loss = built.head.loss(output.logits, label, build_loss("bce", [1, 1], [1, 1]))
    (loss + output.auxiliary.sum()).backward()
    for name, parameter in built.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_absent_blocks_get_no_gradient() -> None:
    built = network(dropout=0.0).train()
    given = inputs(built, [2, 1, 3])
    given.present[:] = True
    given.present[:, 3] = False
    built(*given).logits.sum().backward()
    parts = (built.encoders.backbones["elasto_peritumoral"], built.encoders.projections["elasto_peritumoral"])
    assert all(parameter.grad is None for part in parts for parameter in part.parameters())
    head = dict(built.named_parameters())["fusion.head"].grad
    assert head is not None
    assert (head[3] == 0).all()
    assert torch.isfinite(head).all()


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion_pooling_and_head_goes_together(fusion: str, pooling: str, head: str) -> None:
    built = network(fusion=fusion, pooling=pooling, head=head, modalities=["bmode"], auxiliary=["birads"]).train()
    given = inputs(built, [2, 1, 3], side=32)
    output = built(*given)
    label = torch.tensor([[1.0, 0.0], [0.0, float("nan")], [1.0, 1.0]])[:, : built.head.targets]
    criterion = build_loss("bce", [1] * built.head.targets, [1] * built.head.targets)
    axilla, block = output.present.nonzero(as_tuple=True)
    loss = built.head.loss(output.logits, label, criterion)
    loss = loss + built.head.loss(output.block_logits[axilla, block], label[axilla], criterion)
    total: Any = loss + built.auxiliary.loss(output.auxiliary, torch.ones(3, 1))
    total.backward()
    gradients = {name: parameter.grad for name, parameter in built.named_parameters()}
    assert all(grad is None or torch.isfinite(grad).all() for grad in gradients.values())
    for part in ("encoders.", "tabular.", "fusion.", "score_scale", "auxiliary."):
        assert any(
            grad is not None and grad.abs().sum() > 0 for name, grad in gradients.items() if name.startswith(part)
        )


@pytest.mark.parametrize(("share", "backbones"), [("none", 4), ("rois", 2), ("modalities", 2), ("all", 1)])
def test_branches_share_backbones_and_keep_projections_of_their_own(share: str, backbones: int) -> None:
    built = network(share=share)
    assert len(built.encoders.backbones) == backbones
    assert len(built.encoders.projections) == 4
    assert torch.isfinite(built(*inputs(built, [2, 1])).logits).all()


@pytest.mark.parametrize(
    ("stem", "channels", "count"),
    [
        ("grey", [], 1),
        ("rgb", [], 3),
        ("frames", [], 3),
        ("grey", ["mask"], 2),
        ("grey", ["mask", "distance"], 3),
        ("rgb", ["distance"], 4),
        ("frames", ["distance", "mask"], 5),
    ],
)
def test_stems_and_channels_give_the_number_of_input_channels(stem: str, channels: list[str], count: int) -> None:
    built = network(stem=stem, channels=channels, modalities=["bmode"])
    first = next(module for module in built.encoders.modules() if isinstance(module, nn.Conv2d))
    assert first.in_channels == count
    given = inputs(built, [2, 1])
    assert given.images["bmode.intratumoral"].shape[1] == count
    plain = built(*given)
    assert torch.isfinite(plain.logits).all()
    given.images["bmode.intratumoral"][:, -1] += 1.0  # every channel is looked at
    given.present[:] = True
    assert not torch.equal(built(*given).embeddings[:, 0], plain.embeddings[:, 0])
    wrong = {name: torch.randn(3, count + 1, SIDE, SIDE) for name in given.images}
    with pytest.raises(RuntimeError, match="channels"):
        built(*given._replace(images=wrong))


def test_auxiliary_quantities_are_read_from_bmode_alone() -> None:
    built = network(auxiliary=["birads"])
    given = inputs(built, [2, 1])
    given.present[:] = True
    given.present[2, :2] = False  # the second axilla has no B-mode block
    output = built(*given)
    assert torch.isfinite(output.auxiliary[0]).all()
    assert torch.isnan(output.auxiliary[1]).all()
    other = dict(given.images) | {name: torch.randn(3, 1, SIDE, SIDE) for name in given.images if "elasto" in name}
    assert torch.equal(built(*given._replace(images=other)).auxiliary[0], output.auxiliary[0])


def test_the_same_seed_gives_the_same_network() -> None:
    one, other = network().state_dict(), network().state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_backbone_that_cannot_take_the_size_is_refused_when_the_network_is_built() -> None:
    with pytest.raises(ConfigError, match=r"crop.size_px = 100.*set crop.size_px"):
        FusionNetwork(settings(backbone="test_vit"), COLUMNS, 100)


def test_tabular_encoder_has_a_linear_path() -> None:
    encoder = TabularEncoder(3, 4, 6, dropout=0.5).eval()
    with torch.no_grad():
        for parameter in encoder.mlp.parameters():
            parameter.zero_()
    table = torch.randn(7, 3)
    expected = nn.functional.layer_norm(table @ encoder.linear.weight.T + encoder.linear.bias, (6,))
    torch.testing.assert_close(encoder(table), expected)
