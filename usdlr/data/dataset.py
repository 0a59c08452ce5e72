"""Dataset and sampler: the sampler says which sample in which epoch, so a sample never depends on a worker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, Sampler

from usdlr.core.hashing import derive_seed
from usdlr.data.augment import Augmenter
from usdlr.data.batch import item
from usdlr.data.samples import SampleStore

Index = tuple[int, int]


class BlockDataset(Dataset[dict[str, Any]]):
    """Samples with their table rows and labels.

    Parameters
    ----------
    store : SampleStore
        Crops.
    blocks : sequence of str
        Image blocks.
    table : float32 array, (samples, columns)
        Standardised columns.
    label : float array, (samples,)
        1 positive, 0 negative, not-a-number unknown.
    augmenter : Augmenter or None
        ``None`` gives every sample as it is.
    """

    def __init__(
        self,
        store: SampleStore,
        blocks: Sequence[str],
        table: npt.NDArray[np.float32],
        label: npt.NDArray[np.floating[Any]],
        augmenter: Augmenter | None = None,
    ) -> None:
        if not len(store) == len(table) == len(label):
            raise ValueError(f"{len(store)} samples, {len(table)} table rows and {len(label)} labels")
        self.store, self.blocks, self.table, self.label, self.augmenter = store, tuple(blocks), table, label, augmenter

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, index: int | Index) -> dict[str, Any]:
        """One item; ``index`` is a position, or (epoch, position) for an augmented sample."""
        epoch, row = index if isinstance(index, tuple) else (0, index)
        sample = self.store.samples[row]
        if self.augmenter is not None:
            sample = self.augmenter(sample, epoch, self.store.image_id[row])
        return item(sample, self.blocks, self.table[row], float(self.label[row]), row)


class EpochSampler(Sampler[Index]):
    """A shuffle that depends on (seed, epoch) alone, so that a resumed fit sees what an uninterrupted one would.

    Parameters
    ----------
    size : int
        Number of samples.
    seed : int
        Seed of the fit.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.epoch = size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Index]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "shuffle", self.epoch))
        for row in torch.randperm(self.size, generator=generator).tolist():
            yield self.epoch, int(row)
