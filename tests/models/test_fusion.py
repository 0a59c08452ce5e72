"""Every fusion through one suite, then what each of them promises."""

from __future__ import annotations

from math import log
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from usdlr.core.errors import ConfigError
from usdlr.core.named_parts import option_names, split_part
from usdlr.models.fusion import FUSIONS, Evidence, Fusion
from usdlr.models.fusion.attention import CrossAttentionFusion, QueryLayer
from usdlr.models.fusion.concat import ConcatFusion
from usdlr.models.fusion.film import FilmFusion
from usdlr.models.fusion.gated import GatedFusion
from usdlr.models.fusion.late import LateFusion
from usdlr.models.masking import masked_softmax

# Five is the length of no axis but that of the blocks.
DIM, BLOCKS, TARGETS = 8, 5, 2

PARTS: list[tuple[str, dict[str, Any]]] = [
    ("concat", {}),
    ("concat", {"hidden": 16, "dropout": 0.5}),
    ("gated", {}),
    ("cross_attention", {}),
    ("cross_attention", {"heads": 2, "layers": 2, "dropout": 0.3}),
    ("film", {}),
    ("film", {"evidence": "concat"}),
    ("late", {}),
    ("late", {"weights": "learned"}),
]
every_fusion = pytest.mark.parametrize(
    ("name", "options"), PARTS, ids=["-".join([name, *map(str, options.values())]) for name, options in PARTS]
)


def build(name: str, options: dict[str, Any], blocks: int = BLOCKS, targets: int = TARGETS) -> Fusion:
    """A fusion in which nothing holds by accident of an initial zero."""
    torch.manual_seed(0)
    built = FUSIONS[name](DIM, blocks, targets, **options)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return built.eval()


def inputs(rows: int = 9, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Embeddings, and which blocks are present: row 0 all, row 1 none, the others some."""
    torch.manual_seed(seed)
    present = torch.rand(rows, BLOCKS) > 0.4
    present[0], present[1], present[2:, 1] = True, False, True
    return torch.randn(rows, BLOCKS, DIM), present


def gradients(built: Fusion, embeddings: Tensor, present: Tensor) -> tuple[Evidence, list[Tensor]]:
    """Evidence, and gradients of its logits' squares: first of the embeddings, then of every parameter."""
    built.zero_grad()
    leaf = embeddings.clone().requires_grad_()
    torch.manual_seed(3)
    evidence: Evidence = built(leaf, present)
    evidence.logits.square().sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    assert leaf.grad is not None
    return evidence, [leaf.grad, *(p.grad for p in built.parameters() if p.grad is not None)]


def test_registry_names_every_fusion_and_reads_its_options() -> None:
    assert set(FUSIONS) == {"concat", "gated", "cross_attention", "film", "late"}
    assert {name: option_names(maker) for name, maker in FUSIONS.items()} == {
        "concat": ["hidden", "dropout"],
        "gated": [],
        "cross_attention": ["heads", "layers", "dropout"],
        "film": ["evidence"],
        "late": ["weights"],
    }
    with pytest.raises(ConfigError, match="did you mean 'heads'"):
        split_part({"cross_attention": {"head": 2}}, "model.fusion", FUSIONS)


@every_fusion
@pytest.mark.parametrize("training", [False, True])
def test_evidence_has_a_logit_per_target_and_weights_of_present_blocks(
    name: str, options: dict[str, Any], training: bool
) -> None:
    embeddings, present = inputs()
    built = build(name, options).train(training)
    evidence = built(embeddings, present)
    assert evidence.logits.shape == (9, TARGETS)
    assert evidence.logits.std(dim=0).min() > 0.01
    assert built.block_logits(embeddings).shape == (9, BLOCKS, TARGETS)
    assert (evidence.weights is None) == (name == "concat" or "concat" in options.values())
    if evidence.weights is not None:
        assert evidence.weights.shape == (9, BLOCKS)
        assert (evidence.weights[~present] == 0).all()
        assert (evidence.weights[present] > 0).all()
        torch.testing.assert_close(evidence.weights.sum(dim=1), present.any(dim=1).float())


@every_fusion
@pytest.mark.parametrize("planted", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("training", [False, True])
def test_what_stands_in_place_of_an_absent_block_changes_no_value_and_no_gradient(
    name: str, options: dict[str, Any], planted: float, training: bool
) -> None:
    embeddings, present = inputs()
    built = build(name, options).train(training)
    clean, clean_gradients = gradients(built, embeddings, present)
    dirty = embeddings.masked_fill(~present.unsqueeze(-1), planted)
    found, found_gradients = gradients(built, dirty, present)
    assert torch.equal(clean.logits, found.logits)
    if clean.weights is not None and found.weights is not None:
        assert torch.equal(clean.weights, found.weights)
    for one, other in zip(clean_gradients, found_gradients, strict=True):
        assert other.isfinite().all()
        assert torch.equal(one, other)
    assert (found_gradients[0][~present] == 0).all()
    assert (found_gradients[0][present] != 0).any(dim=-1).all()


@every_fusion
@pytest.mark.parametrize("training", [False, True])
def test_rows_without_any_block_share_one_finite_logit(name: str, options: dict[str, Any], training: bool) -> None:
    embeddings, present = inputs()
    present[3:6] = False
    embeddings[4] = float("nan")
    built = build(name, options).train(training)
    evidence, found = gradients(built, embeddings, present)
    none = evidence.logits[[1, 3, 4, 5]]
    assert none.isfinite().all()
    assert torch.equal(none, none[:1].expand(4, -1))
    assert all(gradient.isfinite().all() for gradient in found)
    # A batch of nothing else gives the same, and trains the base alone.
    alone, found = gradients(built, embeddings[3:5], present[3:5])
    assert torch.equal(alone.logits, none[:2])
    assert (found[0] == 0).all()
    moved = [key for key, p in built.named_parameters() if p.grad is not None and p.grad.any()]
    assert [key.split(".")[-1] for key in moved] == ["base"]


@every_fusion
def test_a_row_alone_gives_what_it_gives_in_a_batch(name: str, options: dict[str, Any]) -> None:
    embeddings, present = inputs(33)
    built = build(name, options)
    with torch.inference_mode():
        together = built(embeddings, present)
        for row in range(33):
            alone = built(embeddings[[row]], present[[row]])
            # In a probability: a logit far from zero has fewer digits behind the point.
            torch.testing.assert_close(alone.logits.sigmoid(), together.logits[[row]].sigmoid(), atol=1e-6, rtol=0)
            if together.weights is not None:
                torch.testing.assert_close(alone.weights, together.weights[[row]], atol=1e-6, rtol=0)


@every_fusion
def test_the_order_of_rows_and_the_repetition_change_nothing(name: str, options: dict[str, Any]) -> None:
    embeddings, present = inputs()
    built = build(name, options).train()
    torch.use_deterministic_algorithms(True)
    try:
        first, one = gradients(built, embeddings, present)
        second, other = gradients(built, embeddings, present)
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(first.logits, second.logits)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    built.eval()
    torch.testing.assert_close(built(embeddings.flip(0), present.flip(0)).logits.flip(0), built(embeddings, present)[0])


@every_fusion
@pytest.mark.parametrize("missing", [0, 2, BLOCKS - 1])
def test_training_without_a_block_leaves_what_belongs_to_it_alone(
    name: str, options: dict[str, Any], missing: int
) -> None:
    embeddings, present = inputs()
    present[2:] = True
    present[:, missing] = False
    built = build(name, options).train()
    encoders = nn.ModuleList(nn.Linear(DIM, DIM) for _ in range(BLOCKS))
    parameters = dict(built.named_parameters())
    before = {key: value.detach().clone() for key, value in (*parameters.items(), *encoders.named_parameters())}
    step = torch.optim.SGD([*built.parameters(), *encoders.parameters()], lr=0.1)
    for _ in range(3):
        encoded = torch.stack([encoder(embeddings[:, place]) for place, encoder in enumerate(encoders)], dim=1)
        own = built.block_logits(encoded)[present]
        loss = built(encoded, present).logits.square().sum() + own.square().sum()
        step.zero_grad()
        loss.backward()
        step.step()
    for place, encoder in enumerate(encoders):
        still = all(torch.equal(before[f"{place}.{key}"], value) for key, value in encoder.named_parameters())
        assert still == (place == missing)
    of_blocks = 0
    for key, value in parameters.items():
        # The stand-in for an absent block is the one thing that learns from the absence.
        if len(value) == BLOCKS and not key.endswith("absent"):
            assert torch.equal(value[missing], before[key][missing]), key
            assert not torch.equal(value[1], before[key][1]), key
            of_blocks += 1
        if key.startswith("film."):
            maps, old = value.chunk(BLOCKS - 1), before[key].chunk(BLOCKS - 1)
            table_missing = missing == BLOCKS - 1
            assert torch.equal(maps[missing % (BLOCKS - 1)], old[missing % (BLOCKS - 1)])
            assert torch.equal(maps[1], old[1]) == table_missing
    assert of_blocks >= 1


@every_fusion
def test_bfloat16_autocast_gives_the_same_to_its_precision(name: str, options: dict[str, Any]) -> None:
    embeddings, present = inputs()
    built = build(name, options)
    exact = built(embeddings, present)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = built(embeddings.bfloat16(), present)
        own = built.block_logits(embeddings.bfloat16())
    assert found.logits.dtype == own.dtype == torch.float32
    torch.testing.assert_close(found.logits, exact.logits, atol=0.05, rtol=0.05)
    found.logits.sum().backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in built.parameters())
    if found.weights is not None:
        assert found.weights.dtype == torch.float32
        torch.testing.assert_close(found.weights.sum(dim=1), present.any(dim=1).float())


@every_fusion
def test_compiles_as_one_graph(name: str, options: dict[str, Any]) -> None:
    embeddings, present = inputs()
    built = build(name, options)
    torch.compiler.reset()
    compiled = torch.compile(built, backend="eager", fullgraph=True)
    assert torch.equal(compiled(embeddings, present).logits, built(embeddings, present).logits)


@every_fusion
def test_a_saved_state_gives_the_same_again(name: str, options: dict[str, Any]) -> None:
    embeddings, present = inputs()
    built = build(name, options)
    torch.manual_seed(99)
    other = FUSIONS[name](DIM, BLOCKS, TARGETS, **options).eval()
    assert not torch.equal(other(embeddings, present).logits, built(embeddings, present).logits)
    other.load_state_dict(built.state_dict())
    assert torch.equal(other(embeddings, present).logits, built(embeddings, present).logits)


@every_fusion
def test_one_block_alone_is_enough(name: str, options: dict[str, Any]) -> None:
    if name == "film":
        with pytest.raises(ConfigError, match=r"found model\.fusion = film with 1 block"):
            build(name, options, blocks=1)
        return
    evidence = build(name, options, blocks=1)(torch.randn(3, 1, DIM), torch.ones(3, 1, dtype=torch.bool))
    assert evidence.logits.shape == (3, TARGETS)
    assert evidence.weights is None or torch.equal(evidence.weights, torch.ones(3, 1))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("concat", {"hidden": -1}, "hidden of concat = -1"),
        ("concat", {"hidden": "64"}, "hidden of concat = '64'"),
        ("concat", {"dropout": 1.0}, "dropout of concat = 1.0"),
        ("concat", {"dropout": None}, "dropout of concat = None"),
        ("cross_attention", {"heads": 3}, "heads of cross_attention = 3 with model.embedding_dim = 8"),
        ("cross_attention", {"heads": 0}, "heads of cross_attention = 0"),
        ("cross_attention", {"layers": 0}, "layers of cross_attention = 0"),
        ("cross_attention", {"layers": True}, "layers of cross_attention = True"),
        ("cross_attention", {"dropout": -0.1}, "dropout of cross_attention = -0.1"),
        ("film", {"evidence": "late"}, "evidence of film = 'late', expected one of gated, concat"),
        ("late", {"weights": "median"}, "weights of late = 'median', expected one of mean, learned"),
    ],
)
def test_impossible_options_are_refused_by_name(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FUSIONS[name](DIM, BLOCKS, TARGETS, **options)


def fit(built: Fusion, embeddings: Tensor, label: Tensor, steps: int = 200) -> float:
    """The final loss of full-batch training with all blocks present."""
    present = torch.ones(embeddings.shape[:2], dtype=torch.bool)
    step = torch.optim.Adam(built.parameters(), lr=0.02)
    for _ in range(steps):
        loss = F.binary_cross_entropy_with_logits(built(embeddings, present).logits[:, 0], label)
        step.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        step.step()
    return float(F.binary_cross_entropy_with_logits(built(embeddings, present).logits[:, 0].detach(), label))


def words(first: Tensor, second: Tensor) -> Tensor:
    """Embeddings of two blocks that each say one of two words."""
    torch.manual_seed(5)
    vocabulary = torch.randn(2, 2, DIM)
    return torch.stack([vocabulary[0, first], vocabulary[1, second]], dim=1)


FIRST, SECOND = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])


@every_fusion
def test_learns_what_blocks_say_each_for_itself(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    plain = {key: value for key, value in options.items() if key != "dropout"}
    loss = fit(FUSIONS[name](DIM, 2, 1, **plain), words(FIRST, SECOND), (FIRST & SECOND).float())
    assert loss < 0.15


@pytest.mark.parametrize("seed", [0, 1])
@every_fusion
def test_only_fusions_of_interacting_blocks_learn_exclusive_or(name: str, options: dict[str, Any], seed: int) -> None:
    torch.manual_seed(seed)
    plain = {key: value for key, value in options.items() if key != "dropout"}
    label = (FIRST ^ SECOND).float()
    loss = fit(FUSIONS[name](DIM, 2, 1, **plain), words(FIRST, SECOND), label)
    if name == "late":
        # The logits of (0, 0) and (1, 1) add up to those of (0, 1) and (1, 0): by convexity no sum of one term per
        # block has a mean loss below ln 2.
        assert log(2) - 1e-6 < loss < log(2) + 1e-3
    elif name == "gated":
        # Whether a logit is positive again hangs on a sum of one term per block: at least one of four stays wrong.
        assert log(2) / 4 < loss < 0.45
    else:
        assert loss < 0.05


def test_concat_reads_a_learned_vector_in_place_of_an_absent_block() -> None:
    built = build("concat", {})
    assert isinstance(built, ConcatFusion)
    embeddings, present = inputs()
    present[1, 0] = True
    filled = torch.where(present.unsqueeze(-1), embeddings, built.absent)
    found = built(embeddings, present).logits
    assert torch.equal(found, built(filled, torch.ones_like(present)).logits)
    found.square().sum().backward()
    assert built.absent.grad is not None
    assert torch.equal(built.absent.grad.any(dim=1), (~present).any(dim=0))


def test_weights_are_float32_whatever_the_scores_are() -> None:
    torch.manual_seed(0)
    present = torch.rand(6, 30) > 0.3
    weights = masked_softmax(torch.randn(6, 30).bfloat16(), present, dim=1)
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(6))


def test_gates_follow_scores_and_a_lone_gate_shows_the_block_itself() -> None:
    built = build("gated", {})
    assert isinstance(built, GatedFusion)
    embeddings, present = inputs()
    own = built.block_logits(embeddings) - built.base
    for place in range(BLOCKS):
        lone = torch.zeros_like(present)
        lone[:, place] = True
        expected = built.base + built.log_scale.exp() * own[:, place]
        torch.testing.assert_close(built(embeddings, lone).logits, expected)
    with torch.no_grad():
        built.block_bias.zero_()
        same = embeddings[:, :1].expand(-1, BLOCKS, -1)
        _, weights = built(same, present)
        torch.testing.assert_close(weights[2:], (present.float() / present.sum(dim=1, keepdim=True))[2:])
        built.block_bias[1] = log(3.0)
        _, weights = built(same[:1], present[:1])
        torch.testing.assert_close(weights, torch.tensor([[1.0, 3.0, 1.0, 1.0, 1.0]]) / 7)


def test_mean_of_late_is_the_mean_of_the_logits_of_present_blocks() -> None:
    built = build("late", {})
    embeddings, present = inputs()
    own = built.block_logits(embeddings)
    found = built(embeddings, present)
    for row in (0, *range(2, 9)):
        torch.testing.assert_close(found.logits[row], own[row, present[row]].mean(dim=0))
    assert sum(parameter.numel() for parameter in built.parameters()) == BLOCKS * TARGETS * DIM + TARGETS


def test_learned_weights_of_late_are_shared_out_among_present_blocks() -> None:
    built = LateFusion(DIM, 3, 1, weights="learned")
    embeddings = torch.randn(2, 3, DIM)
    present = torch.tensor([[True, True, True], [True, True, False]])
    equal = LateFusion(DIM, 3, 1)
    equal.load_state_dict(built.state_dict(), strict=False)
    assert torch.equal(built(embeddings, present).logits, equal(embeddings, present).logits)
    with torch.no_grad():
        built.block_scores.copy_(torch.tensor([1.0, 3.0, 4.0]).log())
    own = built.block_logits(embeddings)[..., 0]
    logits, weights = built(embeddings, present)
    torch.testing.assert_close(weights, torch.tensor([[0.125, 0.375, 0.5], [0.25, 0.75, 0.0]]))
    torch.testing.assert_close(logits[0, 0], own[0] @ torch.tensor([0.125, 0.375, 0.5]))
    torch.testing.assert_close(logits[1, 0], own[1] @ torch.tensor([0.25, 0.75, 0.0]))


def test_stacking_learns_to_trust_the_block_that_knows() -> None:
    torch.manual_seed(0)
    built = LateFusion(DIM, 2, 1, weights="learned")
    label = (torch.arange(200) % 2).float()
    embeddings = torch.zeros(200, 2, DIM)
    embeddings[:, 0, 0] = 2 * label - 1
    embeddings[:, 1, 0] = torch.randn(200)
    with torch.no_grad():
        built.head.zero_()
        built.head[:, :, 0] = 1.0
    built.head.requires_grad_(False)
    fit(built, embeddings, label)
    assert torch.softmax(built.block_scores, dim=0)[0] > 0.9


def test_film_starts_as_the_fusion_behind_it() -> None:
    embeddings, present = inputs()
    for evidence in ("gated", "concat"):
        torch.manual_seed(0)
        film = FilmFusion(DIM, BLOCKS, TARGETS, evidence=evidence)
        plain = FUSIONS[evidence](DIM, BLOCKS, TARGETS)
        plain.load_state_dict({key[6:]: value for key, value in film.state_dict().items() if key.startswith("inner.")})
        assert torch.equal(film(embeddings, present).logits, plain(embeddings, present).logits)
        assert torch.equal(film.block_logits(embeddings), plain.block_logits(embeddings))


def test_film_scales_and_shifts_images_by_the_table_where_there_is_one() -> None:
    torch.manual_seed(0)
    film = FilmFusion(DIM, 3, 1)
    with torch.no_grad():
        # What the table's first number says: twice the first block, three more on the second.
        maps = film.film.weight.view(2, 2, DIM, DIM)
        maps[0, 0, :, 0] = 1.0
        maps[1, 1, :, 0] = 3.0
        # What is said without a table must not be heard.
        film.film.bias.fill_(0.0)
    embeddings = torch.randn(2, 3, DIM)
    embeddings[:, 2, 0] = 1.0
    present = torch.tensor([[True, True, True], [True, True, False]])
    embeddings = torch.where(present.unsqueeze(-1), embeddings, 0.0)
    found = film.conditioned(embeddings, present)
    torch.testing.assert_close(found[0], torch.stack([2 * embeddings[0, 0], embeddings[0, 1] + 3, embeddings[0, 2]]))
    assert torch.equal(found[1], embeddings[1])
    with torch.no_grad():
        film.film.bias.fill_(7.0)
    assert torch.equal(film.conditioned(embeddings, present)[1], embeddings[1])


def test_attention_is_that_of_torch() -> None:
    torch.manual_seed(0)
    layer = QueryLayer(DIM, heads=2, dropout=0.0)
    # The other steps of a layer are silenced, so that only the attention is left.
    layer.query_norm = nn.Identity()  # type: ignore[assignment]  # a stand-in for the test
    layer.mlp = nn.Sequential()
    layer.mlp_norm.weight.data.zero_()
    truth = nn.MultiheadAttention(DIM, 2, batch_first=True)
    with torch.no_grad():
        truth.in_proj_weight.copy_(torch.cat([layer.query.weight, layer.key.weight, layer.value.weight]))
        truth.in_proj_bias.copy_(torch.cat([layer.query.bias, torch.randn(DIM), layer.value.bias]))
        truth.out_proj.weight.copy_(layer.out.weight)
        truth.out_proj.bias.copy_(layer.out.bias)
    embeddings, present = inputs()
    rows = present.any(dim=1)
    embeddings, present = embeddings[rows], present[rows]
    queries = torch.randn(len(embeddings), 3, DIM)
    expected, weights = truth(queries, embeddings, embeddings, key_padding_mask=~present, average_attn_weights=False)
    found, own = layer(queries, embeddings, present)
    torch.testing.assert_close(found - queries, expected)
    torch.testing.assert_close(own.transpose(1, 2), weights)


def test_weights_of_attention_are_means_over_targets_and_layers() -> None:
    built = build("cross_attention", {"heads": 2, "layers": 2})
    assert isinstance(built, CrossAttentionFusion)
    seen: list[Tensor] = []
    for layer in built.layers:
        layer.register_forward_hook(lambda module, given, out: seen.append(out[1]))
    _, weights = built(*inputs())
    assert [tuple(one.shape) for one in seen] == [(9, TARGETS, 2, BLOCKS)] * 2
    torch.testing.assert_close(weights, torch.cat(seen, dim=1).mean(dim=(1, 2)))
