"""Gated fusion: per-patient weights over the blocks that are there, and a logit that is a sum over blocks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Fused(NamedTuple):
    """What fusion gives for a batch.

    Parameters
    ----------
    logit : Tensor, (batch,)
        ``base`` plus the sum of ``contributions``; positive class: node positive.
    contributions : Tensor, (batch, blocks)
        Additive share of each block; 0 for an absent block.
    gates : Tensor, (batch, blocks)
        Weights that sum to one over the present blocks.
    block_logits : Tensor, (batch, blocks)
        The logit that each block gives on its own.
    base : Tensor, ()
        The logit without any block.
    present : bool Tensor, (batch, blocks)
        Blocks that counted: those that are there and, in training, not hidden.
    """

    logit: Tensor
    contributions: Tensor
    gates: Tensor
    block_logits: Tensor
    base: Tensor
    present: Tensor


class GatedFusion(nn.Module):
    """Weigh block embeddings by gated attention (Ilse 2018, arXiv 1802.04712) and add up their evidence.

    One linear head reads every block, so that the logit splits exactly into one share per block.

    Parameters
    ----------
    embedding_dim : int
        Length of the block embeddings.
    blocks : int
        Number of blocks; each has a bias of its own in the gate.
    """

    def __init__(self, embedding_dim: int, blocks: int) -> None:
        super().__init__()
        hidden = max(embedding_dim // 2, 2)
        self.tanh = nn.Linear(embedding_dim, hidden)
        self.sigmoid = nn.Linear(embedding_dim, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)
        self.block_bias = nn.Parameter(torch.zeros(blocks))
        self.head = nn.Parameter(torch.randn(blocks, embedding_dim) / embedding_dim**0.5)
        self.base = nn.Parameter(torch.zeros(()))
        # A weighted mean of block logits is shrunk towards each of them; independent evidence adds up instead.
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, embeddings: Tensor, present: Tensor) -> Fused:
        """Fuse a batch.

        Parameters
        ----------
        embeddings : Tensor, (batch, blocks, embedding_dim)
            Anything finite where a block is absent.
        present : bool Tensor, (batch, blocks)
            At least one block of every row.
        """
        score = self.score(torch.tanh(self.tanh(embeddings)) * torch.sigmoid(self.sigmoid(embeddings))).squeeze(-1)
        gates = torch.softmax((score + self.block_bias).masked_fill(~present, float("-inf")), dim=1)
        evidence = (embeddings * self.head).sum(dim=-1)
        contributions = (gates * evidence * self.log_scale.exp()).masked_fill(~present, 0.0)
        return Fused(
            logit=self.base + contributions.sum(dim=1),
            contributions=contributions,
            gates=gates,
            block_logits=self.base + evidence,
            base=self.base,
            present=present,
        )
