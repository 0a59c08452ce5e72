"""The datamodule of one fit: training and tuning rows of one fold and stage."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from usdlr.core.hashing import derive_seed
from usdlr.data.batch import Batch, collate
from usdlr.data.dataset import BlockDataset, EpochSampler


class FoldDataModule(pl.LightningDataModule):
    """Loaders over two datasets.

    Parameters
    ----------
    train : BlockDataset
        Augmented; shuffled by (seed, epoch).
    tuning : BlockDataset
        As it is; in order.
    batch_size : int
        Samples per step. A last training batch of one sample is joined to none and left out of its epoch, since
        batch normalisation has no statistics of one.
    seed : int
        Seed of the fit.
    """

    def __init__(self, train: BlockDataset, tuning: BlockDataset, batch_size: int, seed: int) -> None:
        super().__init__()
        self.train, self.tuning, self.batch_size, self.seed = train, tuning, batch_size, seed

    def train_dataloader(self) -> DataLoader[Batch]:
        """Training rows."""
        return DataLoader(
            self.train,  # type: ignore[arg-type]  # collate turns items into a Batch
            batch_size=self.batch_size,
            sampler=EpochSampler(len(self.train), self.seed),
            collate_fn=collate,
            drop_last=len(self.train) % self.batch_size == 1,
            # A generator of its own: iterating must not advance the global random state.
            generator=torch.Generator().manual_seed(derive_seed(self.seed, "loader")),
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        """Tuning rows."""
        return DataLoader(
            self.tuning,  # type: ignore[arg-type]  # collate turns items into a Batch
            batch_size=self.batch_size,
            collate_fn=collate,
            generator=torch.Generator().manual_seed(derive_seed(self.seed, "loader")),
        )
