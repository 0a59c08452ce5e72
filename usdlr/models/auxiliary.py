"""Further quantities that the B-mode branches learn to predict, so that few node labels are not all they learn from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from usdlr.core.errors import DataError
from usdlr.models.losses import mean_of_targets

# Category 4 without a letter spans 4a to 4c and takes the middle. Categories 0 (incomplete), 1 (nothing found) and
# 6 (known cancer) do not grade what the picture shows.
BIRADS_RANKS: Final[dict[str, float]] = {"2": 0.0, "3": 1.0, "4a": 2.0, "4b": 3.0, "4": 3.0, "4c": 4.0, "5": 5.0}
BIRADS_UNGRADED: Final = ("0", "1", "6")


def encode_birads(values: Iterable[Any]) -> npt.NDArray[np.float64]:
    """BI-RADS categories as ranks: 2 -> 0, 3 -> 1, 4a -> 2, 4b (and 4) -> 3, 4c -> 4, 5 -> 5.

    The chances of cancer that the atlas gives to the categories (3: up to 2 %, 4a: up to 10 %, 4b: up to 50 %, 4c: up
    to 95 %, 5: above) lie about 2 nat of log-odds apart, so that a rank is near enough to an interval scale for a
    regression.

    Parameters
    ----------
    values : iterable
        As in the column ``birads`` of the cases.

    Returns
    -------
    float64 array, (rows,)
        Not-a-number for null and for the categories 0, 1 and 6, which grade no finding.

    Raises
    ------
    DataError
        If a value is no BI-RADS category.

    References
    ----------
    D'Orsi et al., ACR BI-RADS Atlas, 5th edition, American College of Radiology 2013.

    Examples
    --------
    >>> encode_birads(["3", "4a", None, "6"])
    array([ 1.,  2., nan, nan])
    """
    ranks = []
    for row, value in enumerate(values):
        category = None if pd.isna(value) else value
        if not (category is None or category in BIRADS_RANKS or category in BIRADS_UNGRADED):
            raise DataError(
                f"found birads = {value!r} in row {row}, expected one of "
                f"{', '.join(sorted([*BIRADS_UNGRADED, *BIRADS_RANKS]))} or null; correct the table"
            )
        ranks.append(BIRADS_RANKS.get(str(category), math.nan))
    return np.array(ranks, dtype=np.float64)


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
