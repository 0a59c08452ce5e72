"""Images of one axilla, in whatever order and number, with blocks that some of them lack."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from usdlr.core.errors import ConfigError
from usdlr.core.named_parts import option_names
from usdlr.models.pooling import POOLINGS, AttentionPooling, Pooled, Pooling

DIM, BLOCKS, IMAGES = 6, 3, 4

PARTS: list[tuple[str, dict[str, Any]]] = [
    ("mean", {}),
    ("max", {}),
    ("attention", {}),
    ("attention", {"hidden": 5, "dropout": 0.4}),
]
every_pooling = pytest.mark.parametrize(
    ("name", "options"), PARTS, ids=["-".join([name, *map(str, options.values())]) for name, options in PARTS]
)


def build(name: str, options: dict[str, Any]) -> Pooling:
    """A pooling in which nothing holds by accident of an initial zero."""
    torch.manual_seed(0)
    built = POOLINGS[name](DIM, BLOCKS, **options)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(torch.randn_like(parameter))
    return built.eval()


def inputs(rows: int = 7, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Embeddings, and which are present: row 0 all, row 1 none, row 2 a single image, the others some."""
    torch.manual_seed(seed)
    present = torch.rand(rows, IMAGES, BLOCKS) > 0.4
    present[0], present[1] = True, False
    present[2], present[2, 1] = False, True
    return torch.randn(rows, IMAGES, BLOCKS, DIM), present


def test_registry_names_every_pooling() -> None:
    assert {name: option_names(maker) for name, maker in POOLINGS.items()} == {
        "mean": [],
        "max": [],
        "attention": ["hidden", "dropout"],
    }


@every_pooling
@pytest.mark.parametrize("training", [False, True])
def test_weights_are_shares_of_the_images_that_have_the_block(
    name: str, options: dict[str, Any], training: bool
) -> None:
    embeddings, present = inputs()
    pooled: Pooled = build(name, options).train(training)(embeddings, present)
    assert pooled.embeddings.shape == (7, BLOCKS, DIM)
    assert pooled.weights.shape == (7, IMAGES, BLOCKS)
    assert torch.equal(pooled.present, present.any(dim=1))
    assert (pooled.weights[~present] == 0).all()
    assert (pooled.weights >= 0).all()
    torch.testing.assert_close(pooled.weights.sum(dim=1), pooled.present.float())
    assert (pooled.embeddings[~pooled.present] == 0).all()


@every_pooling
def test_the_order_of_images_does_not_matter(name: str, options: dict[str, Any]) -> None:
    embeddings, present = inputs()
    embeddings[0, 2] = embeddings[0, 1]  # two images that tie
    built = build(name, options)
    one = built(embeddings, present)
    for order in ([3, 2, 1, 0], [1, 2, 3, 0], [2, 1, 0, 3]):
        other = built(embeddings[:, order], present[:, order])
        torch.testing.assert_close(other.embeddings, one.embeddings)
        torch.testing.assert_close(other.weights, one.weights[:, order])


@every_pooling
@pytest.mark.parametrize("training", [False, True])
def test_one_image_gives_its_own_embedding(name: str, options: dict[str, Any], training: bool) -> None:
    embeddings, present = inputs()
    built = build(name, options).train(training)
    assert torch.equal(built(embeddings, present).embeddings[2], embeddings[2, 1])
    alone = built(embeddings[:, :1], torch.ones(7, 1, BLOCKS, dtype=torch.bool))
    assert torch.equal(alone.embeddings, embeddings[:, 0])
    assert torch.equal(alone.weights, torch.ones(7, 1, BLOCKS))


@every_pooling
@pytest.mark.parametrize("planted", [float("nan"), float("inf"), -1e30])
def test_what_stands_in_place_of_an_absent_block_changes_no_value_and_no_gradient(
    name: str, options: dict[str, Any], planted: float
) -> None:
    embeddings, present = inputs()
    built = build(name, options)

    def run(given: Tensor) -> list[Tensor]:
        built.zero_grad()
        leaf = given.clone().requires_grad_()
        pooled = built(leaf, present)
        pooled.embeddings.square().sum().backward()
        assert leaf.grad is not None
        learned = [parameter.grad for parameter in built.parameters() if parameter.grad is not None]
        return [pooled.embeddings, pooled.weights, leaf.grad, *learned]

    clean, dirty = run(embeddings), run(embeddings.masked_fill(~present.unsqueeze(-1), planted))
    for one, other in zip(clean, dirty, strict=True):
        assert other.isfinite().all()
        assert torch.equal(one, other)
    assert (dirty[2][~present] == 0).all()


@every_pooling
def test_neither_padding_nor_other_axillae_matter(name: str, options: dict[str, Any]) -> None:
    embeddings, present = inputs()
    built = build(name, options)
    together = built(embeddings, present)
    padded = built(
        torch.cat([embeddings, torch.full((7, 3, BLOCKS, DIM), float("nan"))], dim=1),
        torch.cat([present, torch.zeros(7, 3, BLOCKS, dtype=torch.bool)], dim=1),
    )
    torch.testing.assert_close(padded.embeddings, together.embeddings, atol=1e-6, rtol=0)
    torch.testing.assert_close(padded.weights[:, :IMAGES], together.weights, atol=1e-6, rtol=0)
    for row in range(7):
        alone = built(embeddings[[row]], present[[row]])
        torch.testing.assert_close(alone.embeddings, together.embeddings[[row]], atol=1e-6, rtol=0)


@every_pooling
def test_bfloat16_autocast_keeps_the_kind_of_the_embeddings(name: str, options: dict[str, Any]) -> None:
    embeddings, present = inputs()
    built = build(name, options)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = built(embeddings.bfloat16(), present)
    assert found.embeddings.dtype == torch.bfloat16
    assert found.weights.dtype == torch.float32
    torch.testing.assert_close(found.weights.sum(dim=1), found.present.float())
    exact = built(embeddings, present).embeddings
    torch.testing.assert_close(found.embeddings.float(), exact, atol=0.05, rtol=0.05)


@every_pooling
def test_compiles_as_one_graph(name: str, options: dict[str, Any]) -> None:
    embeddings, present = inputs()
    built = build(name, options)
    torch.compiler.reset()
    compiled = torch.compile(built, backend="eager", fullgraph=True)
    assert torch.equal(compiled(embeddings, present).embeddings, built(embeddings, present).embeddings)


@every_pooling
def test_four_hundred_images_of_one_axilla(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    pooled = build(name, options)(torch.randn(1, 400, BLOCKS, DIM), torch.ones(1, 400, BLOCKS, dtype=torch.bool))
    torch.testing.assert_close(pooled.weights.sum(dim=1), torch.ones(1, BLOCKS))
    assert pooled.embeddings.isfinite().all()


def test_mean_and_max_are_those_of_numpy() -> None:
    embeddings, present = inputs()
    holes = np.where(present.unsqueeze(-1).numpy(), embeddings.numpy(), np.nan)
    for name, truth in (("mean", np.nanmean), ("max", np.nanmax)):
        found = build(name, {})(embeddings, present).embeddings.numpy()
        for row, block in np.argwhere(present.any(dim=1).numpy()):
            np.testing.assert_allclose(found[row, block], truth(holes[row, :, block], axis=0), rtol=1e-6)


def test_weights_of_max_are_shares_of_dimensions_and_ties_share() -> None:
    embeddings = torch.tensor([[[5.0, 0.0, 1.0, 1.0]], [[2.0, 3.0, 1.0, 0.0]], [[9.0, 9.0, 9.0, 9.0]]]).unsqueeze(0)
    present = torch.tensor([[[True], [True], [False]]])
    pooled = POOLINGS["max"](4, 1)(embeddings, present)
    assert pooled.embeddings.tolist() == [[[5.0, 3.0, 1.0, 1.0]]]
    # First, second, one shared, first.
    assert pooled.weights.flatten().tolist() == [2.5 / 4, 1.5 / 4, 0.0]


def test_attention_starts_as_the_mean() -> None:
    embeddings, present = inputs()
    mean = POOLINGS["mean"](DIM, BLOCKS)(embeddings, present)
    start = AttentionPooling(DIM, BLOCKS)(embeddings, present)
    torch.testing.assert_close(start.embeddings, mean.embeddings)
    torch.testing.assert_close(start.weights, mean.weights)


@pytest.mark.parametrize("name", ["attention", "mean"])
def test_attention_finds_the_image_that_counts_in_each_block_by_its_own_mark(name: str) -> None:
    """One image of each axilla carries the answer; the mark on it is +2 in block 0 and -2 in block 1."""
    torch.manual_seed(0)
    rows, images = 64, 5
    key = torch.randint(images, (rows, 2))
    is_key = torch.nn.functional.one_hot(key, images).transpose(1, 2).bool()
    embeddings = torch.randn(rows, images, 2, DIM)
    mark = torch.tensor([2.0, -2.0])
    embeddings[..., 0] = torch.where(is_key, mark, -mark)
    answer = (embeddings[..., 1] * is_key).sum(dim=1)
    present = torch.ones(rows, images, 2, dtype=torch.bool)
    built = POOLINGS[name](DIM, 2)
    if name == "attention":
        step = torch.optim.Adam(built.parameters(), lr=0.03)
        for _ in range(150):
            loss = (built(embeddings, present).embeddings[..., 1] - answer).square().mean()
            step.zero_grad()
            loss.backward()
            step.step()
    pooled = built(embeddings, present)
    error = float((pooled.embeddings[..., 1] - answer).square().mean().detach())
    if name == "attention":
        assert error < 0.02
        assert pooled.weights[is_key].min() > 0.8
    else:
        assert error > 0.5


@pytest.mark.parametrize(("options", "message"), [({"hidden": -1}, "hidden"), ({"dropout": 1}, "dropout")])
def test_impossible_options_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"the option {message} of attention pooling"):
        AttentionPooling(DIM, BLOCKS, **options)
