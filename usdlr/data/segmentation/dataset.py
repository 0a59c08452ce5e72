"""Frames as batches of windows; the sampler says which frame in which epoch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from usdlr.core.hashing import derive_seed
from usdlr.data.dataset import EpochSampler
from usdlr.data.segmentation.draws import draw_example
from usdlr.data.segmentation.frames import Frame
from usdlr.data.segmentation.settings import DrawSettings


class OutlineDataset(Dataset[dict[str, Tensor]]):
    """Windows on frames.

    Parameters
    ----------
    frames : sequence of Frame
        What is learned from.
    size_px : int
        Side of a window.
    settings : DrawSettings
        How windows are drawn.
    seed : int
        Every window follows from it, the epoch and the image.
    """

    def __init__(self, frames: Sequence[Frame], size_px: int, settings: DrawSettings, seed: int) -> None:
        self.frames, self.size_px, self.settings, self.seed = list(frames), size_px, settings, seed

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int | tuple[int, int]) -> dict[str, Tensor]:
        """``image`` (1, size, size), ``prompts`` (3, size, size), ``target`` and ``distance`` (1, size, size)."""
        epoch, place = index if isinstance(index, tuple) else (0, index)
        drawn = draw_example(self.frames[place], self.size_px, self.settings, self.seed, epoch)
        return {
            "image": torch.from_numpy(drawn.image)[None],
            "prompts": torch.from_numpy(drawn.prompts),
            "target": torch.from_numpy(drawn.target)[None],
            "distance": torch.from_numpy(drawn.distance)[None],
        }


def outline_loader(
    dataset: OutlineDataset, batch_size: int, seed: int, workers: int = 0
) -> DataLoader[dict[str, Tensor]]:
    """Shuffled by (seed, epoch); the frames of an incomplete last batch wait for another epoch's shuffle.

    Parameters
    ----------
    dataset : OutlineDataset
        The windows.
    batch_size : int
        At most; a smaller dataset is one batch.
    seed : int
        Of the shuffle.
    workers : int
        Processes that prepare batches ahead; the batches do not depend on it.
    """
    return DataLoader(
        dataset,
        batch_size=min(batch_size, len(dataset)),
        sampler=EpochSampler(len(dataset), seed),
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        # A generator of its own: iterating must not advance the global random state.
        generator=torch.Generator().manual_seed(derive_seed(seed, "loader")),
    )
