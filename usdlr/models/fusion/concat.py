"""Concatenation: one multi-layer perceptron over all embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from usdlr.models.fusion.base import Evidence, LinearEvidenceFusion
from usdlr.models.options import share, whole


class ConcatFusion(LinearEvidenceFusion):
    """Concatenate the embeddings and read them with one hidden layer.

    In place of an absent block stands a vector that is learned for it.

    Parameters
    ----------
    embedding_dim, blocks, targets : int
        As for :class:`~usdlr.models.fusion.base.Fusion`.
    hidden : int
        Hidden units; 0: as many as an embedding is long.
    dropout : float
        Dropout on the hidden units.
    """

    def __init__(self, embedding_dim: int, blocks: int, targets: int, *, hidden: int = 0, dropout: float = 0.0) -> None:
        super().__init__(embedding_dim, blocks, targets)
        units = whole("the option hidden of concat", hidden, 0) or embedding_dim
        self.absent = nn.Parameter(torch.zeros(blocks, embedding_dim))
        self.units = nn.Sequential(
            nn.Linear(blocks * embedding_dim, units),
            nn.GELU(),
            nn.Dropout(share("the option dropout of concat", dropout)),
        )
        self.read = nn.Parameter(torch.randn(targets, units) / units**0.5)

    def silence(self) -> None:
        """See :meth:`Fusion.silence`."""
        super().silence()
        nn.init.zeros_(self.read)

    def fuse(self, embeddings: Tensor, present: Tensor) -> Evidence:
        """Logits of the perceptron; it has no weights of blocks."""
        filled = torch.where(present.unsqueeze(-1), embeddings, self.absent.to(embeddings.dtype))
        return Evidence((self.units(filled.flatten(1)).unsqueeze(1) * self.read).sum(dim=-1), None)
