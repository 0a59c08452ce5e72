"""How the images of one axilla become one embedding per block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from usdlr.models.masking import GatedUnits, hide_absent, masked_softmax
from usdlr.models.options import share, whole


class Pooled(NamedTuple):
    """One embedding per axilla and block.

    Parameters
    ----------
    embeddings : Tensor, (axillae, blocks, embedding_dim)
        Zero where no image of the axilla has the block.
    present : bool Tensor, (axillae, blocks)
        Whether any image of the axilla has the block.
    weights : Tensor, (axillae, images, blocks)
        Sum to one over the images that have the block, 0 elsewhere, float32.
    """

    embeddings: Tensor
    present: Tensor
    weights: Tensor


class Pooling(nn.Module, ABC):
    """One embedding per block from any number of images, in whatever order.

    Parameters
    ----------
    embedding_dim : int
        Length of the embeddings.
    blocks : int
        Number of blocks.

    Notes
    -----
    Subclasses take their options as keyword-only parameters: those are what a configuration may set.
    """

    def __init__(self, embedding_dim: int, blocks: int) -> None:
        super().__init__()
        self.embedding_dim = whole("embedding_dim", embedding_dim, 1)
        self.blocks = whole("blocks", blocks, 1)

    @abstractmethod
    def pool(self, embeddings: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled embeddings and weights; the embeddings of absent blocks are zero here."""

    def forward(self, embeddings: Tensor, present: Tensor) -> Pooled:
        """Pool a batch.

        Parameters
        ----------
        embeddings : Tensor, (axillae, images, blocks, embedding_dim)
            Anything where a block is absent, NaN included: neither value nor gradient comes from there.
        present : bool Tensor, (axillae, images, blocks)
            False everywhere for an image that only fills up the batch.
        """
        pooled, weights = self.pool(hide_absent(embeddings, present), present)
        return Pooled(pooled.to(embeddings.dtype), present.any(dim=1), weights)


class MeanPooling(Pooling):
    """The mean over the images that have the block.

    Parameters
    ----------
    embedding_dim, blocks : int
        As for :class:`Pooling`.
    """

    def pool(self, embeddings: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Equal weights."""
        weights = present.float() / present.sum(dim=1, keepdim=True).clamp(min=1)
        return _weighted(embeddings, weights), weights


class MaxPooling(Pooling):
    """The largest value of every dimension over the images that have the block.

    An image's weight is the share of the dimensions that it decided; images that tie share a dimension.

    Parameters
    ----------
    embedding_dim, blocks : int
        As for :class:`Pooling`.
    """

    def pool(self, embeddings: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Largest values, and the shares of the images in them."""
        there = present.unsqueeze(-1)
        largest = embeddings.masked_fill(~there, float("-inf")).amax(dim=1)
        largest = hide_absent(largest, present.any(dim=1))
        with torch.no_grad():
            decides = ((embeddings == largest.unsqueeze(1)) & there).float()
            weights = (decides / decides.sum(dim=1, keepdim=True).clamp(min=1)).mean(dim=-1)
        return largest, weights


class AttentionPooling(Pooling):
    """Gated attention over the images, each block with weights of its own.

    All blocks share the hidden units, and every block reads them with its own vector: a bias per block would cancel
    in the softmax over images. The read-out starts at zero, so that attention starts as the mean.

    Parameters
    ----------
    embedding_dim, blocks : int
        As for :class:`Pooling`.
    hidden : int
        Hidden units of the scorer; 0: half the embedding's length.
    dropout : float
        Dropout on the hidden units.

    References
    ----------
    Ilse, Tomczak and Welling, Attention-based deep multiple instance learning, ICML 2018, arXiv 1802.04712.
    """

    def __init__(self, embedding_dim: int, blocks: int, *, hidden: int = 0, dropout: float = 0.0) -> None:
        super().__init__(embedding_dim, blocks)
        units = whole("the option hidden of attention pooling", hidden, 0) or max(embedding_dim // 2, 2)
        self.units = GatedUnits(embedding_dim, units)
        self.drop = nn.Dropout(share("the option dropout of attention pooling", dropout))
        self.read = nn.Parameter(torch.zeros(blocks, units))

    def pool(self, embeddings: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted means."""
        scores = (self.drop(self.units(embeddings)) * self.read).sum(dim=-1)
        weights = masked_softmax(scores, present, dim=1)
        return _weighted(embeddings, weights), weights


def _weighted(embeddings: Tensor, weights: Tensor) -> Tensor:
    return (weights.unsqueeze(-1) * embeddings).sum(dim=1)


# By the name that a configuration uses.
POOLINGS: dict[str, type[Pooling]] = {"mean": MeanPooling, "max": MaxPooling, "attention": AttentionPooling}
