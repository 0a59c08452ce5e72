"""Shares of games whose Shapley values are published, and of random games by every order of the players."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import pytest
import torch
from torch import Tensor

from usdlr.core.errors import ConfigError
from usdlr.models.fusion import FUSIONS
from usdlr.models.shapley import MOST_BLOCKS, shapley_shares

Value = Callable[[Tensor], Tensor]


def table_game(table: Tensor, present: Tensor) -> Value:
    """A game of each row's own: the worth of every coalition, by its players' bits. It refuses absent players."""
    bits = 2 ** torch.arange(present.shape[1])

    def value(mask: Tensor) -> Tensor:
        assert mask.shape == present.shape
        assert mask.dtype == torch.bool
        assert not (mask & ~present).any()
        return table.gather(1, (mask * bits).sum(dim=1, keepdim=True)).squeeze(1)

    return value


def by_permutations(table: Tensor, present: Tensor) -> Tensor:
    """What each present player adds on arrival, averaged over every order in which those present can arrive."""
    shares = torch.zeros(present.shape, dtype=torch.float64)
    for row, here in enumerate(present):
        players = torch.nonzero(here).flatten().tolist()
        orders = list(permutations(players))
        for order in orders:
            coalition = 0
            for player in order:
                grown = coalition | 1 << player
                shares[row, player] += (table[row, grown] - table[row, coalition]).double() / len(orders)
                coalition = grown
    return shares


def test_glove_game() -> None:
    """One player has a left glove, two have right ones; a pair is worth 1: 2/3, 1/6, 1/6 (Shapley and Shubik)."""

    def pair(mask: Tensor) -> Tensor:
        return (mask[:, 0] & (mask[:, 1] | mask[:, 2])).double()

    present = torch.tensor([[True, True, True], [True, True, False], [True, False, False], [False, True, True]])
    shares, base = shapley_shares(pair, present)
    # With one right glove fewer the two others share; nobody can pair alone.
    expected = torch.tensor([[2 / 3, 1 / 6, 1 / 6], [0.5, 0.5, 0], [0, 0, 0], [0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(shares, expected)
    assert torch.equal(base, torch.zeros(4, dtype=torch.float64))


def test_airport_game() -> None:
    """Runways cost 1, 2 and 3; each part is shared by whoever needs it (Littlechild and Owen 1973)."""
    costs = torch.tensor([1.0, 2.0, 3.0])
    shares, _ = shapley_shares(lambda mask: (mask * costs).amax(dim=1), torch.ones(1, 3, dtype=torch.bool))
    torch.testing.assert_close(shares, torch.tensor([[1 / 3, 1 / 3 + 1 / 2, 1 / 3 + 1 / 2 + 1]]))


@pytest.mark.parametrize("blocks", [1, 2, 3, 5, 6])
def test_random_games_by_every_order(blocks: int) -> None:
    torch.manual_seed(blocks)
    present = torch.rand(6, blocks) > 0.3
    present[0], present[1] = True, False
    table = torch.randn(6, 2**blocks)
    shares, base = shapley_shares(table_game(table, present), present)
    torch.testing.assert_close(shares, by_permutations(table, present).float(), atol=1e-6, rtol=0)
    assert torch.equal(base, table[:, 0])
    assert (shares[~present] == 0).all()


def test_shares_and_base_add_up_to_the_value() -> None:
    torch.manual_seed(0)
    present = torch.rand(20, MOST_BLOCKS) > 0.5
    table = torch.randn(20, 2**MOST_BLOCKS, dtype=torch.float64)
    value = table_game(table, present)
    shares, base = shapley_shares(value, present)
    torch.testing.assert_close(base + shares.sum(dim=1), value(present), atol=1e-12, rtol=0)


def test_terms_of_a_sum_are_their_own_shares() -> None:
    torch.manual_seed(0)
    terms, present = torch.randn(8, 4), torch.rand(8, 4) > 0.4
    shares, base = shapley_shares(lambda mask: 0.7 + (mask * terms).sum(dim=1), present)
    torch.testing.assert_close(shares, torch.where(present, terms, 0.0))
    torch.testing.assert_close(base, torch.full((8,), 0.7))


def test_shares_of_a_fusion_need_no_gradient_and_ignore_what_is_absent() -> None:
    torch.manual_seed(0)
    fusion = FUSIONS["cross_attention"](8, 5, 1).eval()
    present = torch.rand(7, 5) > 0.4
    embeddings = torch.randn(7, 5, 8).masked_fill(~present.unsqueeze(-1), float("nan"))
    shares, base = shapley_shares(lambda mask: fusion(embeddings, mask).logits[:, 0], present)
    assert not shares.requires_grad
    assert not base.requires_grad
    logits = fusion(embeddings, present).logits[:, 0].detach()
    torch.testing.assert_close(base + shares.sum(dim=1), logits, atol=1e-6, rtol=0)


def test_the_number_of_evaluations_is_two_to_the_blocks() -> None:
    asked: list[Tensor] = []

    def value(mask: Tensor) -> Tensor:
        asked.append(mask)
        return mask.sum(dim=1).float()

    shapley_shares(value, torch.ones(2, 4, dtype=torch.bool))
    assert len(asked) == 16


def test_more_than_ten_blocks_are_refused() -> None:
    with pytest.raises(ConfigError, match="found 11 blocks, expected at most 10"):
        shapley_shares(lambda mask: mask.sum(dim=1).float(), torch.ones(1, 11, dtype=torch.bool))
