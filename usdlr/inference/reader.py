"""What runs a network on a batch: torch itself, or another runtime that was held against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from usdlr.data.batch import Batch
from usdlr.inference.reading import Reading
from usdlr.models.network import FusionNetwork


class Reader(Protocol):
    """Runs one network of a stage."""

    def __call__(self, batch: Batch, keep: Tensor) -> Reading:
        """What the network reads of a batch of axillae.

        Parameters
        ----------
        batch : Batch
            As :func:`usdlr.data.batch.collate` lays it out.
        keep : bool Tensor, (blocks,)
            Blocks that are not treated as absent.
        """


@dataclass(frozen=True)
class TorchReader:
    """A network as it was fitted.

    Parameters
    ----------
    network : FusionNetwork
        In evaluation mode.
    target : int
        Which of the head's targets answers the stage.
    """

    network: FusionNetwork
    target: int

    def __call__(self, batch: Batch, keep: Tensor) -> Reading:
        """As :meth:`Reader.__call__`."""
        network = self.network
        with torch.inference_mode():
            present = batch["present"] & keep
            output = network(batch["images"], batch["table"], batch["scores"], present, batch["place"])
            share, base = network.shares(output, self.target)
            alone = network.head.stage_logits(output.block_logits)[..., self.target]
        return masked(*(part.numpy() for part in (share, base, output.embeddings, alone, output.present)))


def masked(
    shares: npt.NDArray[np.floating[Any]],
    base: npt.NDArray[np.floating[Any]],
    embeddings: npt.NDArray[np.float32],
    alone: npt.NDArray[np.floating[Any]],
    there: npt.NDArray[np.bool_],
) -> Reading:
    """A reading with not-a-number where a block is absent.

    Parameters
    ----------
    shares, alone : float array, (axillae, blocks)
        Shapley shares, and the logit by each block alone; anything where a block is absent.
    base : float array, (axillae,)
        The logit without any block.
    embeddings : float32 array, (axillae, blocks, embedding_dim)
        Anything where a block is absent.
    there : bool array, (axillae, blocks)
        Blocks that are there.
    """
    return Reading(
        np.concatenate([np.where(there, shares, np.nan), base[:, None]], axis=1).astype(np.float64),
        np.where(there[..., None], embeddings, np.float32(np.nan)),
        np.where(there, alone, np.nan).astype(np.float64),
    )


def joined(parts: Sequence[Reading]) -> Reading:
    """Readings of several batches as one."""
    return Reading(*(np.concatenate(each) for each in zip(*parts, strict=True)))
