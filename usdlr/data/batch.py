"""What a network receives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from usdlr.core.modalities import MODALITIES
from usdlr.data.samples import Sample, blocks_present, split_block


class Batch(TypedDict):
    """One batch.

    Keys
    ----
    images : dict of str to Tensor, (batch, 1, size, size)
        By image block, zero outside the region and where there is no value.
    table : Tensor, (batch, columns)
        Standardised radiomics and clinical columns.
    present : bool Tensor, (batch, blocks)
        Image blocks in their order, then the tabular block, which is always there.
    label : Tensor, (batch,)
        1 positive, 0 negative, not-a-number unknown.
    row : int64 Tensor, (batch,)
        Position in the dataset.
    """

    images: dict[str, Tensor]
    table: Tensor
    present: Tensor
    label: Tensor
    row: Tensor


def block_pixels(sample: Sample, block: str) -> npt.NDArray[np.float32]:
    """One block's input, (size, size): the modality scaled to about -2..2 inside the region, 0 elsewhere."""
    modality, roi = split_block(block)
    pixels = sample.images.get(modality)
    region = sample.rois[str(roi)]
    if pixels is None:
        return np.zeros(region.shape, dtype=np.float32)
    low, high = MODALITIES[modality].value_range
    scaled = (np.clip((pixels - low) / (high - low), 0.0, 1.0) - 0.5) * 4.0
    return np.where(region & np.isfinite(pixels), scaled, 0.0).astype(np.float32)


def item(
    sample: Sample, blocks: Sequence[str], table: npt.NDArray[np.float32], label: float, row: int
) -> dict[str, Any]:
    """One sample as tensors, in the shape of :class:`Batch` without the batch axis."""
    present = np.append(blocks_present(sample, blocks), True)
    return {
        "images": {block: torch.from_numpy(block_pixels(sample, block)[None]) for block in blocks},
        "table": torch.from_numpy(table),
        "present": torch.from_numpy(present),
        "label": torch.tensor(label, dtype=torch.float32),
        "row": torch.tensor(row, dtype=torch.int64),
    }


def collate(items: Sequence[Mapping[str, Any]]) -> Batch:
    """Stack items into a batch."""
    blocks = items[0]["images"].keys()
    return Batch(
        images={block: torch.stack([one["images"][block] for one in items]) for block in blocks},
        table=torch.stack([one["table"] for one in items]),
        present=torch.stack([one["present"] for one in items]),
        label=torch.stack([one["label"] for one in items]),
        row=torch.stack([one["row"] for one in items]),
    )
