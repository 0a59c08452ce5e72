"""The radiomics and size branch."""

from __future__ import annotations

from torch import Tensor, nn


class TabularEncoder(nn.Module):
    """A linear path beside a small multi-layer perceptron.

    The linear path lets a few hundred patients support at least what a logistic model would find.

    Parameters
    ----------
    features : int
        Number of standardised input columns.
    hidden : int
        Hidden units.
    embedding_dim : int
        Length of the embedding.
    dropout : float
        Dropout on inputs and hidden units.
    """

    def __init__(self, features: int, hidden: int, embedding_dim: int, dropout: float) -> None:
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.linear = nn.Linear(features, embedding_dim)
        self.mlp = nn.Sequential(
            nn.Linear(features, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, embedding_dim)
        )
        self.norm = nn.LayerNorm(embedding_dim)

    def forward(self, table: Tensor) -> Tensor:
        """Map (batch, features) to (batch, embedding_dim)."""
        table = self.drop(table)
        embedding: Tensor = self.norm(self.linear(table) + self.mlp(table))
        return embedding
