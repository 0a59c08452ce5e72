"""One sample per case: every modality and region cut on one square grid, before any augmentation."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.errors import CaseError, DataError
from usdlr.core.files import write_atomic
from usdlr.core.pool import run_all
from usdlr.core.regions import Region, split_block
from usdlr.core.types import ExclusionCode
from usdlr.imaging.crop import CropSettings, crop_lost_fraction, crop_side_mm, lesion_grid
from usdlr.imaging.image import BoolArray, FloatArray
from usdlr.imaging.regions import region_masks
from usdlr.imaging.resample import resample_image, resample_mask
from usdlr.imaging.store import CaseImages, read_case

# Raise it when the file's arrays change their names or meanings.
FORMAT = 2


@dataclass(frozen=True)
class Sample:
    """The crops of one case, all on one grid of square pixels.

    Parameters
    ----------
    images : mapping of str to float32 array, (size, size)
        By modality, in the modality's unit; NaN where there is no value. Absent modalities have no entry. A clip's
        neighbouring frames are ``bmode@-1`` and ``bmode@+1``, where the case has them.
    rois : mapping of str to bool array, (size, size)
        By region name, those that were asked for.
    lesion : bool array, (size, size)
        The lesion, whichever regions were asked for; never empty as cut.
    pixel_mm : float
        Side of a crop pixel in mm.
    lost_fraction : float
        Share of the lesion's area that lies outside the crop, 0 to 1.
    """

    images: Mapping[str, FloatArray]
    rois: Mapping[str, BoolArray]
    lesion: BoolArray
    pixel_mm: float
    lost_fraction: float = 0.0


def cut_sample(images: CaseImages, crop: CropSettings, regions: Sequence[Region], margin_mm: float) -> Sample:
    """Cut one case.

    Parameters
    ----------
    images : CaseImages
        The case's images on their own grid.
    crop : CropSettings
        How the square is chosen.
    regions : sequence of Region
        Regions of the network's image blocks.
    margin_mm : float
        Margin of the regions that state none of their own, in mm.

    Raises
    ------
    CaseError
        Without spacing, without anything of a ring, or when the lesion is too small for the crop's pixels.
    """
    grid = lesion_grid(images.mask, crop)
    masks = region_masks(images.mask, regions, margin_mm=margin_mm, fov=images.fov)
    lesion = resample_mask(images.mask.pixels, grid)
    if not lesion.any():
        raise CaseError(
            ExclusionCode.ROI_TOO_SMALL,
            f"found no pixel of the lesion left in a crop of {grid.spacing.row_mm:.2g} mm per pixel, expected some; "
            "cut a smaller square or more pixels",
        )
    return Sample(
        images={name: resample_image(image.pixels, grid) for name, image in {**images.images, **images.frames}.items()},
        rois={
            name: lesion if pixels is images.mask.pixels else resample_mask(pixels, grid)
            for name, pixels in masks.items()
        },
        lesion=lesion,
        pixel_mm=crop_side_mm(images.mask, crop) / crop.size_px,
        lost_fraction=crop_lost_fraction(images.mask, crop),
    )


def blocks_present(sample: Sample, blocks: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Which image blocks a sample has: the modality is there and has a value inside the region."""
    found = []
    for block in blocks:
        modality, region = split_block(block)
        pixels = sample.images.get(modality)
        found.append(pixels is not None and bool(np.isfinite(pixels[sample.rois[region]]).any()))
    return np.array(found, dtype=bool)


def _cut_row(
    row: dict[str, Any], root: Path, crop: CropSettings, regions: Sequence[Region], margin_mm: float
) -> Sample:
    return cut_sample(read_case(row, root), crop, regions, margin_mm)


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
        cls,
        cases: pd.DataFrame,
        root: Path,
        crop: CropSettings,
        regions: Sequence[Region],
        margin_mm: float,
        *,
        jobs: int,
    ) -> tuple[Self, dict[str, CaseError]]:
        """Cut every case as :func:`cut_sample` does.

        Returns
        -------
        tuple of SampleStore and dict of str to CaseError
            The samples, and by image id why a case could not be cut. Neither depends on ``jobs``.
        """
        rows = [{str(key): value for key, value in row.items()} for row in cases.to_dict("records")]
        work = partial(_cut_row, root=root, crop=crop, regions=tuple(regions), margin_mm=margin_mm)
        outcomes = run_all(work, rows, jobs=jobs, label="crops")
        good = [(str(row["image_id"]), o.result) for row, o in zip(rows, outcomes, strict=True) if o.result is not None]
        failed = {
            str(row["image_id"]): o.failure for row, o in zip(rows, outcomes, strict=True) if o.failure is not None
        }
        return cls(tuple(name for name, _ in good), tuple(sample for _, sample in good)), failed

    @property
    def lost_fraction(self) -> tuple[float, ...]:
        """Share of every lesion's area that lies outside its crop, in the samples' order."""
        return tuple(sample.lost_fraction for sample in self.samples)

    def save(self, path: Path) -> None:
        """Write one ``.npz`` of plain arrays: an array per modality and region, masks as single bits."""
        shapes = {
            pixels.shape
            for sample in self.samples
            for pixels in (sample.lesion, *sample.images.values(), *sample.rois.values())
        }
        if len(shapes) > 1:
            raise ValueError(f"found crops of {sorted(shapes)} pixels, expected one size")

        def write(target: Path) -> None:
            with zipfile.ZipFile(target, "w") as archive:
                _add(archive, "format", np.array(FORMAT))
                _add(archive, "image_id", np.array(self.image_id, dtype=np.str_))
                _add(archive, "shape", np.array(next(iter(shapes), (0, 0)), dtype=np.int64))
                _add(archive, "pixel_mm", np.array([sample.pixel_mm for sample in self.samples], dtype=np.float64))
                _add(archive, "lost_fraction", np.array(self.lost_fraction, dtype=np.float64))
                _add_rows(archive, "lesion", [np.packbits(sample.lesion) for sample in self.samples])
                for kind in ("images", "rois"):
                    parts: list[Mapping[str, npt.NDArray[Any]]] = [getattr(sample, kind) for sample in self.samples]
                    for name in dict.fromkeys(name for part in parts for name in part):
                        having = [position for position, part in enumerate(parts) if name in part]
                        rows = (parts[position][name] for position in having)
                        _add(archive, f"{kind}/{name}/of", np.array(having, dtype=np.int64))
                        _add_rows(
                            archive,
                            f"{kind}/{name}",
                            [
                                row.astype(np.float32, copy=False) if kind == "images" else np.packbits(row)
                                for row in rows
                            ],
                        )

        write_atomic(path, write)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote; nothing in the file is executed.

        Raises
        ------
        DataError
            If the file is missing, damaged or written by another version.
        """
        if not path.is_file():
            raise DataError(f"found no file {path}, expected the cohort's crops; run the same command again")
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls._of({name: arrays[name] for name in arrays.files})
        except (OSError, EOFError, LookupError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise DataError(
                f"found {path} damaged or written by another version ({type(error).__name__}), expected the cohort's "
                "crops; delete it and run the same command again"
            ) from error

    @classmethod
    def _of(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        if int(arrays["format"]) != FORMAT:
            raise ValueError("another format")
        names = tuple(str(name) for name in arrays["image_id"])
        rows, cols = (int(side) for side in arrays["shape"])

        def bits(packed: npt.NDArray[np.uint8]) -> BoolArray:
            return np.unpackbits(packed, axis=-1, count=rows * cols).reshape(len(packed), rows, cols).view(np.bool_)

        images: list[dict[str, FloatArray]] = [{} for _ in names]
        rois: list[dict[str, BoolArray]] = [{} for _ in names]
        for key in arrays:
            kind, _, name = key.partition("/")
            if not name or name.endswith("/of"):
                continue
            stack = arrays[key] if kind == "images" else bits(arrays[key])
            for position, pixels in zip(arrays[f"{key}/of"].tolist(), stack, strict=True):
                (images if kind == "images" else rois)[position][name] = pixels
        lesions = bits(arrays["lesion"])
        measures = zip(arrays["pixel_mm"].tolist(), arrays["lost_fraction"].tolist(), strict=True)
        samples = tuple(
            Sample(crops, masks, lesion, pixel_mm, lost)
            for crops, masks, lesion, (pixel_mm, lost) in zip(images, rois, lesions, measures, strict=True)
        )
        return cls(names, samples)

    def select(self, image_ids: Iterable[str]) -> Self:
        """The samples of the given images, in their order.

        Raises
        ------
        DataError
            If one of them has no sample.
        """
        position = {name: index for index, name in enumerate(self.image_id)}
        chosen = list(image_ids)
        absent = sum(name not in position for name in chosen)
        if absent:
            raise DataError(
                f"found {absent} of {len(chosen)} images without a crop, expected one for each; run the same command "
                "again"
            )
        return type(self)(tuple(chosen), tuple(self.samples[position[name]] for name in chosen))

    def without(self, modality: str) -> Self:
        """The same samples as if nobody had a modality, its neighbouring frames included."""
        kept = [
            {name: pixels for name, pixels in sample.images.items() if name.partition("@")[0] != modality}
            for sample in self.samples
        ]
        samples = (replace(sample, images=images) for sample, images in zip(self.samples, kept, strict=True))
        return type(self)(self.image_id, tuple(samples))

    def __len__(self) -> int:
        return len(self.samples)


def _add(archive: zipfile.ZipFile, name: str, array: npt.NDArray[Any]) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
        np.lib.format.write_array(stream, array, allow_pickle=False)


def _add_rows(archive: zipfile.ZipFile, name: str, rows: Sequence[npt.NDArray[Any]]) -> None:
    """An array of all rows, without a copy of the whole in memory."""
    first = rows[0] if rows else np.zeros(0, dtype=np.uint8)
    header = {
        "descr": np.lib.format.dtype_to_descr(first.dtype),
        "fortran_order": False,
        "shape": (len(rows), *first.shape),
    }
    with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for row in rows:
            stream.write(row.tobytes())
