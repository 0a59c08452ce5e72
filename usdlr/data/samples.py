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
from usdlr.core.regions import Region, block_site, split_block
from usdlr.core.types import ExclusionCode, Site
from usdlr.imaging.crop import CropSettings, crop_lost_fraction, crop_side_mm, lesion_grid
from usdlr.imaging.image import BoolArray, FloatArray
from usdlr.imaging.regions import region_masks
from usdlr.imaging.resample import resample_image, resample_mask
from usdlr.imaging.store import CaseImages, read_case

# Raise it when the file's arrays change their names or meanings.
FORMAT = 3


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
    site : Site
        What the lesion is: the tumour, or a lymph node of the axilla.
    """

    images: Mapping[str, FloatArray]
    rois: Mapping[str, BoolArray]
    lesion: BoolArray
    pixel_mm: float
    lost_fraction: float = 0.0
    site: Site = Site.TUMOUR


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
    """Which image blocks a sample has: of its own site, where the modality has a value inside the region."""
    found = []
    for block in blocks:
        modality, region = split_block(block)
        pixels = sample.images.get(modality)
        there = pixels is not None and bool(np.isfinite(pixels[sample.rois[region]]).any())
        found.append(there and block_site(block) is sample.site)
    return np.array(found, dtype=bool)


def cut_crops(
    images: CaseImages, site: Site, crops: Sequence[CropSettings], regions: Sequence[Region], margin_mm: float
) -> tuple[Sample, ...]:
    """One case in every crop; parameters and errors as for :func:`cut_sample`, ``site`` says what the image shows."""
    return tuple(replace(cut_sample(images, crop, regions, margin_mm), site=site) for crop in crops)


def _cut_row(
    row: dict[str, Any], root: Path, crops: Sequence[CropSettings], regions: Sequence[Region], margin_mm: float
) -> tuple[Sample, ...]:
    return cut_crops(read_case(row, root), Site(row["site"]), crops, regions, margin_mm)


@dataclass(frozen=True)
class SampleStore:
    """The samples of a cohort, in memory.

    Parameters
    ----------
    image_id : tuple of str
        One per sample.
    samples : tuple of Sample
        In the same order.
    further : tuple of tuple of Sample
        The same images in further crops, for networks that read another one; every crop has every image.
    """

    image_id: tuple[str, ...]
    samples: tuple[Sample, ...]
    further: tuple[tuple[Sample, ...], ...] = ()

    def __post_init__(self) -> None:
        if any(len(samples) != len(self.image_id) for samples in self.crops):
            raise ValueError(f"{[len(samples) for samples in self.crops]} samples of {len(self.image_id)} images")

    @property
    def crops(self) -> tuple[tuple[Sample, ...], ...]:
        """The samples in every crop."""
        return (self.samples, *self.further)

    def crop(self, place: int) -> Self:
        """The same images in one of their crops, counted from 0."""
        return type(self)(self.image_id, self.crops[place])

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
        further: Sequence[CropSettings] = (),
    ) -> tuple[Self, dict[str, CaseError]]:
        """Cut every case as :func:`cut_sample` does, once for ``crop`` and once for each of the ``further`` ones.

        A case that cannot be cut in one of the crops is in none of them, with the reason of the first that failed:
        networks whose predictions are averaged must have seen, and must judge, the same images.

        Returns
        -------
        tuple of SampleStore and dict of str to CaseError
            The samples, and by image id why a case could not be cut. Neither depends on ``jobs``.
        """
        rows = [{str(key): value for key, value in row.items()} for row in cases.to_dict("records")]
        work = partial(_cut_row, root=root, crops=(crop, *further), regions=tuple(regions), margin_mm=margin_mm)
        outcomes = run_all(work, rows, jobs=jobs, label="crops")
        good = [(str(row["image_id"]), o.result) for row, o in zip(rows, outcomes, strict=True) if o.result is not None]
        failed = {
            str(row["image_id"]): o.failure for row, o in zip(rows, outcomes, strict=True) if o.failure is not None
        }
        crops = tuple(zip(*(samples for _, samples in good), strict=True)) or ((),) * (1 + len(further))
        return cls(tuple(name for name, _ in good), crops[0], crops[1:]), failed

    @property
    def lost_fraction(self) -> tuple[float, ...]:
        """Share of every lesion's area that lies outside its crop, the most of its crops, in the samples' order."""
        return tuple(max(sample.lost_fraction for sample in samples) for samples in zip(*self.crops, strict=True))

    def save(self, path: Path) -> None:
        """Write one ``.npz`` of plain arrays: an array per crop, modality and region, masks as single bits."""
        shapes = [_shape(samples) for samples in self.crops]

        def write(target: Path) -> None:
            with zipfile.ZipFile(target, "w") as archive:
                _add(archive, "format", np.array(FORMAT))
                _add(archive, "image_id", np.array(self.image_id, dtype=np.str_))
                for place, (samples, shape) in enumerate(zip(self.crops, shapes, strict=True)):
                    _add_crop(archive, _prefix(place), samples, shape)

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
        crops = [_crop_of(arrays, len(names))]
        while any(name.startswith(_prefix(len(crops))) for name in arrays):
            start = _prefix(len(crops))
            own = {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
            crops.append(_crop_of(own, len(names)))
        return cls(names, crops[0], tuple(crops[1:]))

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
        first, *further = (tuple(samples[position[name]] for name in chosen) for samples in self.crops)
        return type(self)(tuple(chosen), first, tuple(further))

    def without(self, modality: str) -> Self:
        """The same samples as if nobody had a modality, its neighbouring frames included."""

        def rest(sample: Sample) -> Sample:
            kept = {name: pixels for name, pixels in sample.images.items() if name.partition("@")[0] != modality}
            return replace(sample, images=kept)

        first, *further = (tuple(map(rest, samples)) for samples in self.crops)
        return type(self)(self.image_id, first, tuple(further))

    def __len__(self) -> int:
        return len(self.samples)


def _prefix(place: int) -> str:
    """First words of the names of a crop's arrays in a file."""
    return f"crop{place}/" if place else ""


def _shape(samples: Sequence[Sample]) -> tuple[int, ...]:
    shapes = {
        pixels.shape for sample in samples for pixels in (sample.lesion, *sample.images.values(), *sample.rois.values())
    }
    if len(shapes) > 1:
        raise ValueError(f"found crops of {sorted(shapes)} pixels, expected one size")
    return next(iter(shapes), (0, 0))


def _add_crop(archive: zipfile.ZipFile, start: str, samples: Sequence[Sample], shape: tuple[int, ...]) -> None:
    _add(archive, f"{start}shape", np.array(shape, dtype=np.int64))
    _add(archive, f"{start}pixel_mm", np.array([sample.pixel_mm for sample in samples], dtype=np.float64))
    _add(archive, f"{start}lost_fraction", np.array([sample.lost_fraction for sample in samples], dtype=np.float64))
    _add(archive, f"{start}site", np.array([str(sample.site) for sample in samples], dtype=np.str_))
    _add_rows(archive, f"{start}lesion", [np.packbits(sample.lesion) for sample in samples])
    for kind in ("images", "rois"):
        parts: list[Mapping[str, npt.NDArray[Any]]] = [getattr(sample, kind) for sample in samples]
        for name in dict.fromkeys(name for part in parts for name in part):
            having = [position for position, part in enumerate(parts) if name in part]
            rows = (parts[position][name] for position in having)
            _add(archive, f"{start}{kind}/{name}/of", np.array(having, dtype=np.int64))
            _add_rows(
                archive,
                f"{start}{kind}/{name}",
                [row.astype(np.float32, copy=False) if kind == "images" else np.packbits(row) for row in rows],
            )


def _crop_of(arrays: Mapping[str, npt.NDArray[Any]], images: int) -> tuple[Sample, ...]:
    """The samples of the crop whose arrays these are; names of another crop's arrays mean nothing."""
    rows, cols = (int(side) for side in arrays["shape"])

    def bits(packed: npt.NDArray[np.uint8]) -> BoolArray:
        return np.unpackbits(packed, axis=-1, count=rows * cols).reshape(len(packed), rows, cols).view(np.bool_)

    pixels: list[dict[str, FloatArray]] = [{} for _ in range(images)]
    rois: list[dict[str, BoolArray]] = [{} for _ in range(images)]
    for key in arrays:
        kind, _, name = key.partition("/")
        if kind not in ("images", "rois") or name.endswith("/of"):
            continue
        stack = arrays[key] if kind == "images" else bits(arrays[key])
        for position, one in zip(arrays[f"{key}/of"].tolist(), stack, strict=True):
            (pixels if kind == "images" else rois)[position][name] = one
    lesions = bits(arrays["lesion"])
    sites = [Site(word) for word in arrays["site"].tolist()]
    measures = zip(arrays["pixel_mm"].tolist(), arrays["lost_fraction"].tolist(), sites, strict=True)
    return tuple(
        Sample(crops, masks, lesion, pixel_mm, lost, site)
        for crops, masks, lesion, (pixel_mm, lost, site) in zip(pixels, rois, lesions, measures, strict=True)
    )


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
