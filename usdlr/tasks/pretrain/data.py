"""Views of images: every draw is seeded by (seed, epoch, image, view), never by a worker's state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from usdlr.core.hashing import derive_seed
from usdlr.core.modalities import BMODE, MODALITIES
from usdlr.data.dataset import EpochSampler
from usdlr.imaging.image import BoolArray, FloatArray
from usdlr.models.pretraining import Patches, PretextBatch
from usdlr.tasks.pretrain.images import Canvas, resize
from usdlr.tasks.pretrain.settings import ViewSettings

# A view of which less is visible is drawn again, a few times.
LEAST_VISIBLE, TRIES = 0.5, 8


def draw_view(
    canvas: Canvas, size_px: int, settings: ViewSettings, rng: np.random.Generator
) -> tuple[FloatArray, BoolArray]:
    """One random view, (size, size), scaled like a network's input (about -2..2, 0 without value), and its validity."""
    rows, cols = canvas.grey.shape
    best: tuple[slice, slice] = (slice(0), slice(0))
    most = -1.0
    for _ in range(TRIES):
        side = max(1, round(min(rows, cols) * rng.uniform(settings.smallest, 1.0)))
        top, left = int(rng.integers(rows - side + 1)), int(rng.integers(cols - side + 1))
        window = slice(top, top + side), slice(left, left + side)
        visible = float(canvas.valid[window].mean())
        if visible > most:
            best, most = window, visible
        if most >= LEAST_VISIBLE:
            break
    grey, valid = resize(canvas.grey[best].astype(np.float32), canvas.valid[best], size_px, size_px)
    level, high = MODALITIES[BMODE].value_range
    unit = (grey - level) / (high - level)
    if rng.random() < settings.flip:
        unit, valid = unit[:, ::-1], valid[:, ::-1]
    gamma, contrast, gain, noise = (
        1 + rng.uniform(-settings.gamma, settings.gamma),
        1 + rng.uniform(-settings.contrast, settings.contrast),
        rng.uniform(-settings.gain, settings.gain),
        rng.uniform(0.0, settings.noise),
    )
    unit = np.clip(unit, 0.0, 1.0) ** gamma
    mean = float(unit[valid].mean()) if valid.any() else 0.5
    unit = (unit - mean) * contrast + mean + gain
    if noise > 0:
        unit = unit * (1 + noise * rng.standard_normal(unit.shape, dtype=np.float32))
    return _input(unit, valid), np.ascontiguousarray(valid)


def plain_view(canvas: Canvas, size_px: int) -> tuple[FloatArray, BoolArray]:
    """The canvas's central square as it is, in the form of :func:`draw_view`."""
    rows, cols = canvas.grey.shape
    side = min(rows, cols)
    top, left = (rows - side) // 2, (cols - side) // 2
    window = slice(top, top + side), slice(left, left + side)
    grey, valid = resize(canvas.grey[window].astype(np.float32), canvas.valid[window], size_px, size_px)
    low, high = MODALITIES[BMODE].value_range
    return _input((grey - low) / (high - low), valid), valid


def _input(unit: npt.NDArray[Any], valid: BoolArray) -> FloatArray:
    return np.where(valid, (np.clip(unit, 0.0, 1.0) - 0.5) * 4.0, 0.0).astype(np.float32)


def draw_hidden(size_px: int, patches: Patches | None, rng: np.random.Generator) -> BoolArray:
    """Which pixels are hidden, (size, size): the stated share of the patches, at least one, never all."""
    if patches is None:
        return np.zeros((size_px, size_px), dtype=bool)
    across = size_px // patches.side_px
    count = min(max(round(patches.ratio * across**2), 1), across**2 - 1)
    hidden = np.zeros(across**2, dtype=bool)
    hidden[rng.permutation(across**2)[:count]] = True
    grid = hidden.reshape(across, across)
    return np.asarray(grid.repeat(patches.side_px, axis=0).repeat(patches.side_px, axis=1))


@dataclass(frozen=True)
class ViewDataset(Dataset[dict[str, Tensor]]):
    """Views of canvases.

    Parameters
    ----------
    image_id : tuple of str
        One per canvas; a seed of its draws.
    canvases : tuple of Canvas
    size_px : int
        Side of a view.
    views : int
        Views per image.
    patches : Patches or None
        What is hidden in each.
    settings : ViewSettings or None
        How views vary; ``None`` gives the plain view every time, with the same patches hidden in every epoch.
    seed : int
    """

    image_id: tuple[str, ...]
    canvases: tuple[Canvas, ...]
    size_px: int
    views: int
    patches: Patches | None
    settings: ViewSettings | None
    seed: int

    def __len__(self) -> int:
        return len(self.canvases)

    def __getitem__(self, index: int | tuple[int, int]) -> dict[str, Tensor]:
        """The views of one image, (views, 1, size, size); ``index`` is a position, or (epoch, position)."""
        epoch, place = index if isinstance(index, tuple) else (0, index)
        drawn = []
        for view in range(self.views):
            rng = np.random.default_rng(derive_seed(self.seed, "view", epoch, self.image_id[place], view))
            canvas = self.canvases[place]
            image, valid = (
                plain_view(canvas, self.size_px)
                if self.settings is None
                else draw_view(canvas, self.size_px, self.settings, rng)
            )
            drawn.append((image, valid, draw_hidden(self.size_px, self.patches, rng)))
        return {
            name: torch.from_numpy(np.stack([parts[position] for parts in drawn])[:, None])
            for position, name in enumerate(("images", "valid", "hidden"))
        }


def collate_views(items: Iterable[Mapping[str, Tensor]]) -> PretextBatch:
    """Stack images into a batch, views first."""
    listed = list(items)
    names = ("images", "valid", "hidden")
    images, valid, hidden = (torch.stack([one[name] for one in listed], dim=1) for name in names)
    return PretextBatch(images=images, valid=valid, hidden=hidden)


def training_loader(dataset: ViewDataset, batch_size: int, seed: int) -> DataLoader[PretextBatch]:
    """Shuffled by (seed, epoch); the images of an incomplete last batch wait for another epoch's shuffle."""
    return DataLoader(
        dataset,  # type: ignore[arg-type]  # collate turns items into a batch
        batch_size=min(batch_size, len(dataset)),
        sampler=EpochSampler(len(dataset), seed),
        collate_fn=collate_views,
        drop_last=True,
        # A generator of its own: iterating must not advance the global random state.
        generator=torch.Generator().manual_seed(derive_seed(seed, "loader")),
    )


def watched_loader(dataset: ViewDataset, batch_size: int) -> DataLoader[PretextBatch]:
    """In order, every image once."""
    return DataLoader(
        dataset,  # type: ignore[arg-type]  # collate turns items into a batch
        batch_size=batch_size,
        collate_fn=collate_views,
        generator=torch.Generator().manual_seed(0),
    )


def watched_patients(patients: Sequence[str], share: float, seed: int) -> frozenset[str]:
    """The patients who are only watched: a share of all, the same for the same seed; at least one unless it is 0."""
    names = sorted(set(patients), key=lambda name: (derive_seed(seed, "watch", name), name))
    count = 0 if share == 0 else min(max(round(share * len(names)), 1), len(names) - 1)
    return frozenset(names[:count])
