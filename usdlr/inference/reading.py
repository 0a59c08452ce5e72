"""What one network reads from a cohort, before anything is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

EMBEDDING = "embedding."


class Reading(NamedTuple):
    """What one network gives for a cohort.

    Parameters
    ----------
    shares : float64 array, (axillae, blocks + 1)
        Exact Shapley shares of the blocks in the stage's logit, not-a-number where a block is absent, and the base.
    embeddings : float32 array, (axillae, blocks, embedding_dim)
        Pooled over an axilla's images; not-a-number where a block is absent.
    block_logits : float64 array, (axillae, blocks)
        The stage's logit by each block alone; not-a-number where it is absent.
    """

    shares: npt.NDArray[np.float64]
    embeddings: npt.NDArray[np.float32]
    block_logits: npt.NDArray[np.float64]


def embedding_columns(block: str, places: int) -> list[str]:
    """Names of a block's embedding, one network after the other.

    Examples
    --------
    >>> embedding_columns("bmode.peritumoral", 4)[1:3]
    ['embedding.bmode.peritumoral.001', 'embedding.bmode.peritumoral.002']
    """
    return [f"{EMBEDDING}{block}.{place:03d}" for place in range(places)]


def embedding_frame(readings: Sequence[Reading], blocks: Sequence[str]) -> pd.DataFrame:
    """The embeddings of several networks side by side.

    Networks that differ in their seed or make have no axis in common: their embeddings are never averaged. Those of
    different variants may differ in length.

    Parameters
    ----------
    readings : sequence of Reading
        One per network.
    blocks : sequence of str
        The networks' blocks.

    Returns
    -------
    DataFrame, (axillae, blocks x the networks' embedding_dim, summed)
        ``embedding.{block}.{place}``: of each block the first network's, places 000 to its embedding_dim - 1, then the
        second's, and so on; null where the block is absent.
    """
    joined = np.concatenate([reading.embeddings for reading in readings], axis=2)  # axillae, blocks, places
    names = [name for block in blocks for name in embedding_columns(block, joined.shape[2])]
    return pd.DataFrame(joined.reshape(len(joined), -1).astype(np.float64), columns=names)
