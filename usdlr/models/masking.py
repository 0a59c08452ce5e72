"""Sums and weights over what is there: what is absent must not count, whatever stands in its place."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def hide_absent(embeddings: Tensor, present: Tensor) -> Tensor:
    """Embeddings with zeros where nothing is present, so that no value or gradient comes from there.

    Parameters
    ----------
    embeddings : Tensor, (..., embedding_dim)
        Anything where ``present`` is false, NaN included.
    present : bool Tensor, (...)
        The shape of ``embeddings`` without its last axis.

    Examples
    --------
    >>> hide_absent(torch.tensor([[1.0], [torch.nan]]), torch.tensor([True, False]))
    tensor([[1.], [0.]])
    """
    # A product would keep NaN, in the value or in the gradient: 0 * NaN is NaN.
    return torch.where(present.unsqueeze(-1), embeddings, embeddings.new_zeros(()))


def masked_softmax(scores: Tensor, present: Tensor, dim: int) -> Tensor:
    """Weights that sum to one over what is present, in float32; all zero where nothing is.

    Parameters
    ----------
    scores : Tensor
        Finite.
    present : bool Tensor
        Broadcasts with ``scores``.
    dim : int
        The axis that the weights share.

    Examples
    --------
    >>> masked_softmax(torch.zeros(2, 2), torch.tensor([[True, False], [False, False]]), dim=1)
    tensor([[1., 0.],
            [0., 0.]])
    """
    scores = scores.float()
    # Minus infinity would make NaN of a row without anything present.
    weights = torch.softmax(scores.masked_fill(~present, torch.finfo(scores.dtype).min), dim=dim)
    return weights.masked_fill(~present, 0.0)


class GatedUnits(nn.Module):
    """Hidden units of gated attention: tanh of one linear map times the sigmoid of another.

    Parameters
    ----------
    embedding_dim : int
        Length of the embeddings.
    hidden : int
        Number of units.

    References
    ----------
    Ilse, Tomczak and Welling, Attention-based deep multiple instance learning, ICML 2018, arXiv 1802.04712, eq. 9.
    """

    def __init__(self, embedding_dim: int, hidden: int) -> None:
        super().__init__()
        self.tanh = nn.Linear(embedding_dim, hidden)
        self.sigmoid = nn.Linear(embedding_dim, hidden)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Map (..., embedding_dim) to (..., hidden)."""
        return torch.tanh(self.tanh(embeddings)) * torch.sigmoid(self.sigmoid(embeddings))
