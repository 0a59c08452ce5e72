"""The datamodule of one fit: training and tuning axillae of one fold and stage."""

from __future__ import annotations

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from usdlr.core.hashing import derive_seed
from usdlr.data.batch import Batch, collate
from usdlr.data.dataset import AxillaDataset, EpochSampler


class FoldDataModule(pl.LightningDataModule):
    """Loaders over two datasets.

    Parameters
    ----------
    train : AxillaDataset
        Augmented; shuffled by (seed, epoch).
    tuning : AxillaDataset
        As it is; in order.
    batch_size : int
        Axillae per step and device. A last training batch of one axilla is left out of its epoch: its one image may
        have no batch statistics.
    seed : int
        Seed of the fit.
    workers : int
        Processes that prepare batches ahead; the batches do not depend on it.
    """

    def __init__(
        self, train: AxillaDataset, tuning: AxillaDataset, batch_size: int, seed: int, *, workers: int = 0
    ) -> None:
        super().__init__()
        self.train, self.tuning, self.batch_size, self.seed, self.workers = train, tuning, batch_size, seed, workers

    def train_dataloader(self) -> DataLoader[Batch]:
        """Training axillae."""
        trainer = self.trainer
        rank, devices = (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
        sampler = EpochSampler(len(self.train), self.seed, rank=rank, devices=devices)
        return self._loader(self.train, sampler, drop_last=len(sampler) % self.batch_size == 1)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Tuning axillae; every device judges them all, so that all decide alike when to stop."""
        return self._loader(self.tuning, None, drop_last=False)

    def _loader(self, dataset: AxillaDataset, sampler: EpochSampler | None, *, drop_last: bool) -> DataLoader[Batch]:
        return DataLoader(
            dataset,  # type: ignore[arg-type]  # collate turns items into a Batch
            batch_size=self.batch_size,
            sampler=sampler,
            collate_fn=collate,
            drop_last=drop_last,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=torch.cuda.is_available(),
            # A generator of its own: iterating must not advance the global random state.
            generator=torch.Generator().manual_seed(derive_seed(self.seed, "loader")),
        )
