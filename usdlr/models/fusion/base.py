"""What every fusion keeps: absent blocks do not count, and an axilla without any block gets the base logit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from usdlr.models.masking import hide_absent
from usdlr.models.options import whole


class Evidence(NamedTuple):
    """What fusion gives for a batch.

    Parameters
    ----------
    logits : Tensor, (axillae, targets)
        The fused logits, float32.
    weights : Tensor, (axillae, blocks), or None
        Weights of the blocks of each axilla that sum to one over its present blocks and are 0 elsewhere, float32;
        None where the fusion has no such weights.
    """

    logits: Tensor
    weights: Tensor | None


class Fusion(nn.Module, ABC):
    """One logit per target from the embeddings of an axilla's blocks.

    Parameters
    ----------
    embedding_dim : int
        Length of the block embeddings.
    blocks : int
        Number of blocks; the tabular block is the last.
    targets : int
        Number of logits.

    Notes
    -----
    Subclasses take their options as keyword-only parameters: those are what a configuration may set.
    """

    def __init__(self, embedding_dim: int, blocks: int, targets: int) -> None:
        super().__init__()
        self.embedding_dim = whole("embedding_dim", embedding_dim, 1)
        self.blocks = whole("blocks", blocks, 1)
        self.targets = whole("targets", targets, 1)

    @abstractmethod
    def forward(self, embeddings: Tensor, present: Tensor) -> Evidence:
        """Fuse a batch.

        Parameters
        ----------
        embeddings : Tensor, (axillae, blocks, embedding_dim)
            Anything where a block is absent, NaN included: neither value nor gradient comes from there.
        present : bool Tensor, (axillae, blocks)
            A row without any block gets the base logits, the same for every such row.
        """

    @abstractmethod
    def block_logits(self, embeddings: Tensor) -> Tensor:
        """Every block's own logits, (axillae, blocks, targets); they mean nothing where a block is absent."""

    @abstractmethod
    def set_base(self, logits: Tensor) -> None:
        """Set the base logits, (targets,)."""

    @abstractmethod
    def silence(self) -> None:
        """Let every logit be the base logit, whatever the embeddings are: where learning on top of scores starts."""


class LinearEvidenceFusion(Fusion):
    """A fusion with one linear head per block and target, and one base logit per target.

    Parameters
    ----------
    embedding_dim, blocks, targets : int
        As for :class:`Fusion`.
    """

    def __init__(self, embedding_dim: int, blocks: int, targets: int) -> None:
        super().__init__(embedding_dim, blocks, targets)
        self.head = nn.Parameter(torch.randn(blocks, targets, embedding_dim) / embedding_dim**0.5)
        self.base = nn.Parameter(torch.zeros(targets))

    @abstractmethod
    def fuse(self, embeddings: Tensor, present: Tensor) -> Evidence:
        """Logits above the base, and weights; the embeddings of absent blocks are zero here.

        What it gives for a row without any block must be finite; it does not count.
        """

    def forward(self, embeddings: Tensor, present: Tensor) -> Evidence:
        """Fuse a batch; see :meth:`Fusion.forward`."""
        logits, weights = self.fuse(hide_absent(embeddings, present), present)
        above = torch.where(present.any(dim=1, keepdim=True), logits, torch.zeros_like(logits))
        return Evidence(self.base + above, weights)

    def set_base(self, logits: Tensor) -> None:
        """See :meth:`Fusion.set_base`."""
        with torch.no_grad():
            self.base.copy_(logits)

    def silence(self) -> None:
        """See :meth:`Fusion.silence`."""
        nn.init.zeros_(self.head)

    def evidence(self, embeddings: Tensor) -> Tensor:
        """Every block's own logits above the base, (axillae, blocks, targets)."""
        # A sum of products keeps float32 under autocast, where a matrix product would not.
        return (embeddings.unsqueeze(-2) * self.head).sum(dim=-1)

    def block_logits(self, embeddings: Tensor) -> Tensor:
        """Every block's own logits, (axillae, blocks, targets); they mean nothing where a block is absent."""
        return self.base + self.evidence(embeddings)
