"""Late fusion: every block predicts alone, and the logits are averaged or stacked."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from usdlr.models.fusion.base import Evidence, LinearEvidenceFusion
from usdlr.models.masking import masked_softmax
from usdlr.models.options import word

WEIGHTS = ("mean", "learned")


class LateFusion(LinearEvidenceFusion):
    """Average the blocks' own logits over the blocks that are there.

    Blocks cannot act on each other: the logit is additive in them, whatever was learned.

    Parameters
    ----------
    embedding_dim, blocks, targets : int
        As for :class:`~usdlr.models.fusion.base.Fusion`.
    weights : str
        ``mean``: every present block counts the same. ``learned``: stacking, one non-negative weight per block, the
        same for every axilla and target, scaled to sum to one over the blocks of an axilla; they start equal.
    """

    block_scores: Tensor

    def __init__(self, embedding_dim: int, blocks: int, targets: int, *, weights: str = "mean") -> None:
        super().__init__(embedding_dim, blocks, targets)
        scores = torch.zeros(blocks)
        if word("the option weights of late", weights, WEIGHTS) == "learned":
            self.block_scores = nn.Parameter(scores)
        else:
            self.register_buffer("block_scores", scores, persistent=False)

    def fuse(self, embeddings: Tensor, present: Tensor) -> Evidence:
        """Weighted mean of the blocks' evidence."""
        weights = masked_softmax(self.block_scores.expand(present.shape), present, dim=1)
        return Evidence((weights.unsqueeze(-1) * self.evidence(embeddings)).sum(dim=1), weights)
