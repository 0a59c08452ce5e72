"""One sample per case: every modality and region cut on one square grid, before any augmentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.errors import CaseError, DataError
from usdlr.core.files import write_atomic
from usdlr.core.pool import run_all
from usdlr.core.types import Roi
from usdlr.imaging.crop import CropSettings, lesion_grid
from usdlr.imaging.image import BoolArray, FloatArray
from usdlr.imaging.resample import resample_image, resample_mask
from usdlr.imaging.rings import peritumoral_ring, regions
from usdlr.imaging.store import CaseImages, read_case


@dataclass(frozen=True)
class Sample:
    """The crops of one case.

    Parameters
    ----------
    images : mapping of str to float32 array, (size, size)
        By modality, in the modality's unit; NaN where there is no value. Absent modalities have no entry.
    rois : mapping of str to bool array, (size, size)
        By region.
    """

    images: Mapping[str, FloatArray]
    rois: Mapping[str, BoolArray]


def cut_sample(images: CaseImages, crop: CropSettings, margin_mm: float) -> Sample:
    """Cut one case.

    Raises
    ------
    CaseError
        Without spacing or ring.
    """
    grid = lesion_grid(images.mask, crop)
    ring = peritumoral_ring(images.mask, margin_mm, images.fov)
    return Sample(
        images={name: resample_image(image.pixels, grid) for name, image in images.images.items()},
        rois={str(name): resample_mask(pixels, grid) for name, pixels in regions(images.mask, ring).items()},
    )


def _cut_row(row: dict[str, Any], root: Path, crop: CropSettings, margin_mm: float) -> Sample:
    return cut_sample(read_case(row, root), crop, margin_mm)


@dataclass(frozen=True)
class SampleStore:
    """The samples of a cohort, in memory.

    Parameters
    ----------
    image_id : tuple of str
        One per sample.
    samples : tuple of Sample
        In the same order.
    """

    image_id: tuple[str, ...]
    samples: tuple[Sample, ...]

    @classmethod
    def cut(
        cls, cases: pd.DataFrame, root: Path, crop: CropSettings, margin_mm: float, *, jobs: int
    ) -> tuple[Self, dict[str, CaseError]]:
        """Cut every case; returns the store and the reason for each case that could not be cut."""
        rows = [{str(key): value for key, value in row.items()} for row in cases.to_dict("records")]
        outcomes = run_all(partial(_cut_row, root=root, crop=crop, margin_mm=margin_mm), rows, jobs=jobs, label="crops")
        good = [(str(row["image_id"]), o.result) for row, o in zip(rows, outcomes, strict=True) if o.result is not None]
        failed = {
            str(row["image_id"]): o.failure for row, o in zip(rows, outcomes, strict=True) if o.failure is not None
        }
        return cls(tuple(name for name, _ in good), tuple(sample for _, sample in good)), failed

    def save(self, path: Path) -> None:
        """Write one ``.npz`` of plain arrays."""
        arrays: dict[str, npt.NDArray[Any]] = {"image_id": np.array(self.image_id, dtype=np.str_)}
        for position, sample in enumerate(self.samples):
            arrays |= {f"{position}/image/{name}": pixels for name, pixels in sample.images.items()}
            arrays |= {f"{position}/roi/{name}": pixels for name, pixels in sample.rois.items()}

        def write(target: Path) -> None:
            with target.open("wb") as stream:
                np.savez(stream, allow_pickle=False, **arrays)

        write_atomic(path, write)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote."""
        if not path.is_file():
            raise DataError(f"found no file {path}, expected the cohort's crops; run the same command again")
        with np.load(path, allow_pickle=False) as arrays:
            names = tuple(str(name) for name in arrays["image_id"])
            parts: list[tuple[dict[str, FloatArray], dict[str, BoolArray]]] = [({}, {}) for _ in names]
            for key in arrays.files:
                if key == "image_id":
                    continue
                position, kind, name = key.split("/")
                parts[int(position)][kind == "roi"][name] = arrays[key]
        return cls(names, tuple(Sample(images, rois) for images, rois in parts))

    def select(self, image_ids: Iterable[str]) -> Self:
        """The samples of the given images, in their order."""
        position = {name: index for index, name in enumerate(self.image_id)}
        chosen = list(image_ids)
        return type(self)(tuple(chosen), tuple(self.samples[position[name]] for name in chosen))

    def __len__(self) -> int:
        return len(self.samples)


def split_block(block: str) -> tuple[str, Roi]:
    """Modality and region of an image block.

    Examples
    --------
    >>> split_block("bmode.peritumoral")
    ('bmode', <Roi.PERITUMORAL: 'peritumoral'>)
    """
    modality, roi = block.split(".")
    return modality, Roi(roi)


def blocks_present(sample: Sample, blocks: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which image blocks a sample has: the modality is there and has a value inside the region."""
    found = []
    for block in blocks:
        modality, roi = split_block(block)
        pixels = sample.images.get(modality)
        found.append(pixels is not None and bool(np.isfinite(pixels[sample.rois[str(roi)]]).any()))
    return np.array(found, dtype=bool)
