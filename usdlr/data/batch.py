"""What a network receives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from usdlr.core.modalities import MODALITIES
from usdlr.core.regions import block_site, split_block
from usdlr.data.samples import Sample
from usdlr.imaging.regions import distance_map
from usdlr.models.settings import STEMS

# The signed distance to the contour, in mm, that becomes 1; further out it stays there.
DISTANCE_MM = 10.0


class Batch(TypedDict):
    """One batch of axillae with all their images.

    Keys
    ----
    images : dict of str to Tensor, (images, channels, size, size)
        By image block, zero outside the region and where there is no value.
    table : Tensor, (images, columns)
        Standardised radiomics and clinical columns; none for a network of images alone.
    scores : Tensor, (images, scored blocks, width)
        Log-odds that a plain model gives by each scored radiomics or clinical block alone.
    present : bool Tensor, (images, blocks)
        Image blocks in their order, then the radiomics and clinical blocks.
    place : int64 Tensor, (axillae, most images)
        Which images belong to each axilla; -1 where it has fewer.
    label : Tensor, (axillae, targets)
        1 positive, 0 negative, not-a-number unknown.
    auxiliary : Tensor, (axillae, auxiliary targets)
        Standardised; not-a-number unknown.
    row : int64 Tensor, (axillae,)
        Position in the dataset.
    """

    images: dict[str, Tensor]
    table: Tensor
    scores: Tensor
    present: Tensor
    place: Tensor
    label: Tensor
    auxiliary: Tensor
    row: Tensor


@dataclass(frozen=True)
class InputForm:
    """Which channels an image branch receives.

    Parameters
    ----------
    blocks : tuple of str
        Image blocks, ``{modality}.{region}``.
    stem : str
        ``grey``, ``rgb`` or ``frames``, as :class:`usdlr.models.settings.NetworkSettings` says.
    channels : tuple of str
        Further channels: ``mask``, ``distance``.
    """

    blocks: tuple[str, ...]
    stem: str = "grey"
    channels: tuple[str, ...] = ()

    def of_sample(self, sample: Sample) -> list[npt.NDArray[np.float32]]:
        """The further channels, each (size, size), which are the same for every block."""
        return [sample.lesion.astype(np.float32) if one == "mask" else _distance(sample) for one in self.channels]

    def pixels(
        self, sample: Sample, block: str, further: Sequence[npt.NDArray[np.float32]] | None = None
    ) -> npt.NDArray[np.float32]:
        """One block's input, (channels, size, size): scaled to about -2..2 inside the region, 0 elsewhere.

        A block of another site than the sample's is 0 everywhere: it is absent. Where several blocks of a sample are
        asked for, ``further`` is :meth:`of_sample` of it, so that it is made once.
        """
        modality, name = split_block(block)
        region = sample.rois[name]
        if block_site(block) is not sample.site:
            return np.zeros((STEMS[self.stem] + len(self.channels), *region.shape), dtype=np.float32)
        if self.stem == "frames":
            middle = _scaled(sample, modality, modality, region)
            near = [f"{modality}@-1", f"{modality}@+1"]
            sides = [_scaled(sample, frame, modality, region) if frame in sample.images else middle for frame in near]
            layers = [sides[0], middle, sides[1]]
        else:
            layers = [_scaled(sample, modality, modality, region)] * (3 if self.stem == "rgb" else 1)
        return np.stack([*layers, *(self.of_sample(sample) if further is None else further)])


def _scaled(sample: Sample, image: str, modality: str, region: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    pixels = sample.images.get(image)
    if pixels is None:
        return np.zeros(region.shape, dtype=np.float32)
    low, high = MODALITIES[modality].value_range
    scaled = (np.clip((pixels - low) / (high - low), 0.0, 1.0) - 0.5) * 4.0
    return np.where(region & np.isfinite(pixels), scaled, 0.0).astype(np.float32)


def _distance(sample: Sample) -> npt.NDArray[np.float32]:
    scaled = np.clip(distance_map(sample.lesion, sample.pixel_mm) / DISTANCE_MM, -1.0, 1.0)
    return np.asarray(scaled, dtype=np.float32)


def item(
    samples: Sequence[Sample],
    form: InputForm,
    table: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    present: npt.NDArray[np.bool_],
    *,
    label: npt.NDArray[np.floating[Any]],
    auxiliary: npt.NDArray[np.floating[Any]],
    row: int,
) -> dict[str, Any]:
    """One axilla as tensors: its images' inputs, (images, ...), its labels, (targets,), and its position."""
    further = [form.of_sample(sample) for sample in samples]
    return {
        "images": {
            block: torch.from_numpy(
                np.stack([form.pixels(sample, block, one) for sample, one in zip(samples, further, strict=True)])
            )
            for block in form.blocks
        },
        "table": torch.from_numpy(table),
        "scores": torch.from_numpy(scores),
        "present": torch.from_numpy(present),
        "label": torch.tensor(label, dtype=torch.float32),
        "auxiliary": torch.tensor(auxiliary, dtype=torch.float32),
        "row": torch.tensor(row, dtype=torch.int64),
    }


def collate(items: Sequence[Mapping[str, Any]]) -> Batch:
    """Put the axillae of a batch together, one image after the other."""
    counts = [len(one["table"]) for one in items]
    place = torch.full((len(items), max(counts)), -1, dtype=torch.int64)
    start = 0
    for position, count in enumerate(counts):
        place[position, :count] = torch.arange(start, start + count)
        start += count
    return Batch(
        images={block: torch.cat([one["images"][block] for one in items]) for block in items[0]["images"]},
        table=torch.cat([one["table"] for one in items]),
        scores=torch.cat([one["scores"] for one in items]),
        present=torch.cat([one["present"] for one in items]),
        place=place,
        label=torch.stack([one["label"] for one in items]),
        auxiliary=torch.stack([one["auxiliary"] for one in items]),
        row=torch.stack([one["row"] for one in items]),
    )
