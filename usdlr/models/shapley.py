"""Exact Shapley shares: how much each block of an axilla adds to its logit."""

from __future__ import annotations

from collections.abc import Callable
from math import comb

import torch
from torch import Tensor

from usdlr.core.errors import ConfigError

# The value is asked for every subset of the blocks: 1024 times for ten.
MOST_BLOCKS = 10


def shapley_shares(value: Callable[[Tensor], Tensor], present: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of the present blocks in a value that any subset of them has.

    Parameters
    ----------
    value : callable
        Maps which blocks to use, (axillae, blocks), to (axillae,). Asked only for subsets of ``present``, rows
        without any block included; it must read a row's blocks alone and give the same whenever asked.
    present : bool Tensor, (axillae, blocks)
        At most ten blocks.

    Returns
    -------
    tuple of Tensor
        Shares, (axillae, blocks), 0 for absent blocks, and the value without any block, (axillae,). Both add up to
        ``value(present)``.

    Raises
    ------
    ConfigError
        For more than ten blocks.

    References
    ----------
    Shapley, A value for n-person games, 1953, doi 10.1515/9781400881970-018.

    Examples
    --------
    >>> effects = torch.tensor([1.0, 2.0])
    >>> shapley_shares(lambda use: 3.0 + (use * effects).sum(dim=1), torch.tensor([[True, True], [False, True]]))
    (tensor([[1., 2.],
            [0., 2.]]), tensor([3., 3.]))
    """
    # A block that is absent for a row adds nothing to any subset there: its share is 0 and the others' are those of
    # the game without it. One table of subsets therefore serves rows with different blocks.
    with torch.no_grad():
        subsets, signed = (part.to(present.device) for part in subset_table(present.shape[1]))
        found = torch.stack([value(present & subset) for subset in subsets], dim=1)
        shares = (found.double() @ signed).masked_fill(~present, 0.0)
    return shares.to(found.dtype), found[:, 0]


def subset_table(blocks: int) -> tuple[Tensor, Tensor]:
    """Every subset of the blocks, and how much its value counts in each block's share.

    Returns
    -------
    tuple of Tensor
        Which blocks a subset has, bool, (subsets, blocks), the empty one first; weights, float64, the same shape: the
        values of the subsets times these are the shares.

    Raises
    ------
    ConfigError
        For more than ten blocks.
    """
    if blocks > MOST_BLOCKS:
        raise ConfigError(f"found {blocks} blocks, expected at most {MOST_BLOCKS} for exact Shapley shares")
    subsets = (torch.arange(2**blocks).unsqueeze(1) >> torch.arange(blocks) & 1).bool()
    # A share weighs values(with the block) - values(without it) by 1 / (blocks * C(blocks - 1, others)).
    sizes = subsets.sum(dim=1, keepdim=True)
    others = torch.where(subsets, sizes - 1, sizes)
    weights = torch.tensor([1 / (blocks * comb(blocks - 1, count)) for count in range(blocks)], dtype=torch.float64)
    return subsets, torch.where(subsets, weights[others], -weights[others])
