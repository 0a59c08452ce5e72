"""Gated fusion: per-axilla weights over the blocks that are there, and logits that add up over blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from usdlr.models.fusion.base import Evidence, LinearEvidenceFusion
from usdlr.models.masking import GatedUnits, masked_softmax


class GatedFusion(LinearEvidenceFusion):
    """Weigh the blocks by gated attention and add up their evidence.

    The weights are those of gated attention over the blocks, with a bias for each; all targets share them.
    Of what blocks say only together it learns a part: a block can turn another one down, but the sign of what two
    blocks give hangs on a sum of one term per block, so that it never learns an exclusive or.

    Parameters
    ----------
    embedding_dim, blocks, targets : int
        As for :class:`~usdlr.models.fusion.base.Fusion`.

    References
    ----------
    Ilse, Tomczak and Welling, Attention-based deep multiple instance learning, ICML 2018, arXiv 1802.04712.
    """

    def __init__(self, embedding_dim: int, blocks: int, targets: int) -> None:
        super().__init__(embedding_dim, blocks, targets)
        hidden = max(embedding_dim // 2, 2)
        self.units = GatedUnits(embedding_dim, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)
        self.block_bias = nn.Parameter(torch.zeros(blocks))
        # A weighted mean of block logits is shrunk towards each of them; independent evidence adds up instead.
        self.log_scale = nn.Parameter(torch.zeros(targets))

    def fuse(self, embeddings: Tensor, present: Tensor) -> Evidence:
        """Scaled weighted mean of the blocks' evidence."""
        scores = self.score(self.units(embeddings)).squeeze(-1) + self.block_bias
        gates = masked_softmax(scores, present, dim=1)
        mean = (gates.unsqueeze(-1) * self.evidence(embeddings)).sum(dim=1)
        return Evidence(mean * self.log_scale.exp(), gates)
