"""Cross-attention: a learned query per target asks the blocks that are there."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from usdlr.core.errors import ConfigError
from usdlr.models.fusion.base import Evidence, LinearEvidenceFusion
from usdlr.models.masking import masked_softmax
from usdlr.models.options import share, whole


class QueryLayer(nn.Module):
    """Queries look at the blocks, then pass a small perceptron; both steps add to what they were.

    Parameters
    ----------
    embedding_dim : int
        Length of queries and blocks.
    heads : int
        Number of attention heads; divides ``embedding_dim``.
    dropout : float
        Dropout on what either step adds.
    """

    def __init__(self, embedding_dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query_norm = nn.LayerNorm(embedding_dim)
        self.query = nn.Linear(embedding_dim, embedding_dim)
        # A bias on the keys adds the same to every block's score and cancels.
        self.key = nn.Linear(embedding_dim, embedding_dim, bias=False)
        self.value = nn.Linear(embedding_dim, embedding_dim)
        self.out = nn.Linear(embedding_dim, embedding_dim)
        self.mlp_norm = nn.LayerNorm(embedding_dim)
        self.mlp = nn.Sequential(
            nn.Linear(embedding_dim, 2 * embedding_dim), nn.GELU(), nn.Linear(2 * embedding_dim, embedding_dim)
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, queries: Tensor, tokens: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """New queries, (batch, queries, embedding_dim), and weights, (batch, queries, heads, blocks).

        Parameters
        ----------
        queries : Tensor, (batch, queries, embedding_dim)
        tokens : Tensor, (batch, blocks, embedding_dim)
        present : bool Tensor, (batch, blocks)
        """
        asked = self._split(self.query(self.query_norm(queries)))
        keys, values = self._split(self.key(tokens)), self._split(self.value(tokens))
        # Sums of products, not matrix products: few blocks, and a row's numbers do not hang on its batch.
        scores = (asked.unsqueeze(2).float() * keys.unsqueeze(1).float()).sum(dim=-1) / asked.shape[-1] ** 0.5
        weights = masked_softmax(scores, present[:, None, :, None], dim=2)
        mixed = (weights.unsqueeze(-1) * values.unsqueeze(1)).sum(dim=2).flatten(2)
        queries = queries + self.drop(self.out(mixed))
        queries = queries + self.drop(self.mlp(self.mlp_norm(queries)))
        return queries, weights.transpose(2, 3)

    def _split(self, vectors: Tensor) -> Tensor:
        """(batch, n, embedding_dim) as (batch, n, heads, embedding_dim / heads)."""
        return vectors.reshape(*vectors.shape[:-1], self.heads, vectors.shape[-1] // self.heads)


class CrossAttentionFusion(LinearEvidenceFusion):
    """A learned query per target attends over the blocks, in one layer or several.

    Every layer looks at the blocks themselves, never at mixtures of them, so that its weights stay weights of blocks;
    blocks act on each other through the queries. An axilla's weights are means over heads, layers and targets.

    Parameters
    ----------
    embedding_dim, blocks, targets : int
        As for :class:`~usdlr.models.fusion.base.Fusion`.
    heads : int
        Attention heads; divide ``embedding_dim``.
    layers : int
        Rounds of looking at the blocks.
    dropout : float
        Dropout on what every step adds to a query.

    References
    ----------
    Vaswani et al., Attention is all you need, NeurIPS 2017, arXiv 1706.03762; Carion et al., End-to-end object
    detection with transformers, ECCV 2020, arXiv 2005.12872 (learned queries that attend to a fixed set of tokens).
    """

    def __init__(
        self,
        embedding_dim: int,
        blocks: int,
        targets: int,
        *,
        heads: int = 4,
        layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(embedding_dim, blocks, targets)
        whole("the option heads of cross_attention", heads, 1)
        whole("the option layers of cross_attention", layers, 1)
        share("the option dropout of cross_attention", dropout)
        if embedding_dim % heads:
            raise ConfigError(
                f"found the option heads of cross_attention = {heads} with model.embedding_dim = {embedding_dim}, "
                "expected heads that divide the embedding's length"
            )
        self.queries = nn.Parameter(torch.randn(targets, embedding_dim))
        self.place = nn.Parameter(0.02 * torch.randn(blocks, embedding_dim))
        self.layers = nn.ModuleList(QueryLayer(embedding_dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(embedding_dim)
        self.read = nn.Parameter(torch.randn(targets, embedding_dim) / embedding_dim**0.5)

    def silence(self) -> None:
        """See :meth:`Fusion.silence`."""
        super().silence()
        nn.init.zeros_(self.read)

    def fuse(self, embeddings: Tensor, present: Tensor) -> Evidence:
        """Read the queries after the last layer."""
        tokens = embeddings + self.place
        queries = self.queries.expand(embeddings.shape[0], -1, -1)
        looked = []
        for layer in self.layers:
            queries, weights = layer(queries, tokens, present)
            looked.append(weights.mean(dim=(1, 2)))
        logits = (self.norm(queries) * self.read).sum(dim=-1)
        return Evidence(logits, torch.stack(looked).mean(dim=0))
