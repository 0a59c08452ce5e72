"""Further quantities that the B-mode branches learn to predict, so that few node labels are not all they learn from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from usdlr.core.ordinal import ranks
from usdlr.models.losses import mean_of_targets


def encode_birads(values: Iterable[Any]) -> npt.NDArray[np.float64]:
    """BI-RADS categories as ranks: 2 -> 0, 3 -> 1, 4a -> 2, 4b (and 4) -> 3, 4c -> 4, 5 -> 5.

    Parameters
    ----------
    values : iterable
        As in the column ``birads`` of the cases.

    Returns
    -------
    float64 array, (rows,)
        Not-a-number for null and for the categories 0, 1 and 6, which grade no finding; see
        :func:`usdlr.core.ordinal.ranks`.

    Raises
    ------
    DataError
        If a value is no BI-RADS category.

    Examples
    --------
    >>> encode_birads(["3", "4a", None, "6"])
    array([ 1.,  2., nan, nan])
    """
    return ranks("birads", values)


class AuxiliaryHeads(nn.Module):
    """Standardised quantities read from the B-mode blocks; B-mode alone, for elastography shows stiffness itself.

    Every block has a linear reading of its own and the prediction is their mean, so that each present block learns.

    Parameters
    ----------
    embedding_dim : int
        Length of the block embeddings.
    blocks : int
        Number of B-mode blocks.
    targets : sequence of str
        Names of the quantities, in the order of the labels; may be empty.
    """

    def __init__(self, embedding_dim: int, blocks: int, targets: Sequence[str]) -> None:
        super().__init__()
        self.targets = tuple(targets)
        self.weight = nn.Parameter(torch.randn(blocks, embedding_dim, len(self.targets)) / math.sqrt(embedding_dim))
        self.bias = nn.Parameter(torch.zeros(len(self.targets)))

    def forward(self, embeddings: Tensor, present: Tensor) -> Tensor:
        """Predict a batch.

        Parameters
        ----------
        embeddings : Tensor, (batch, blocks, embedding_dim)
            Of the B-mode blocks; anything where a block is absent.
        present : bool Tensor, (batch, blocks)

        Returns
        -------
        Tensor, (batch, targets)
            In standard deviations of the training axillae; not-a-number for an axilla without a present block.
        """
        seen = torch.where(present[..., None], embeddings, torch.zeros_like(embeddings))
        count = present.sum(dim=1, keepdim=True)
        mean = torch.einsum("bkd,kdt->bt", seen, self.weight) / count.clamp(min=1) + self.bias
        return torch.where(count > 0, mean, torch.full_like(mean, math.nan))

    def loss(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Smooth L1 over what is known: a misread map or a category that readers dispute pulls with bounded force.

        Parameters
        ----------
        predicted : Tensor, (batch, targets)
            From :meth:`forward`.
        truth : Tensor, (batch, targets)
            Standardised by the training axillae; not-a-number unknown.

        Returns
        -------
        Tensor, ()
            Mean over the known entries of each target, then over the targets that have any; 0 where nothing is known.
        """
        known = ~(torch.isnan(predicted) | torch.isnan(truth))
        predicted = predicted.to(torch.promote_types(predicted.dtype, torch.float32))
        zero = torch.zeros_like(predicted)
        # Replaced before the loss: the gradient of 0 x NaN would be NaN.
        errors = F.smooth_l1_loss(
            torch.where(known, predicted, zero), torch.where(known, truth.to(zero.dtype), zero), reduction="none"
        )
        return mean_of_targets(errors, known)
