"""The native engine against the values that older PyRadiomics releases recorded of their own test images.

Recorded by versions 1.3 to 2.1 in ``pyradiomics_baseline``. Where two dimensions apply: shape in the plane (one slice),
textures within slices (``force2D``: the matrices of all slices added up, grey levels cut once for the whole region) and
first order, which knows no neighbours. The columns of the lung images are left out: the images are not in the folder.
"""

from __future__ import annotations

import ast
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK
from radiomics import imageoperations

from usdlr.core.units import Spacing
from usdlr.radiomics.engines import NATIVE, PYRADIOMICS, build_engine
from usdlr.radiomics.settings import IMAGE_TYPES, RadiomicsSettings

Pixels = npt.NDArray[np.float64]
Region = npt.NDArray[np.bool_]

VOLUMES = ("brain1", "brain2", "breast1")
TEXTURES = {"glcm": 24, "glrlm": 16, "glszm": 16, "gldm": 14, "ngtdm": 5}
PREPARED = ("", "_normalization", "_resampling", "_resegmentation")
# Some columns are recorded to twelve digits; PyRadiomics' own tests allow 3 %.
RELATIVE = 1e-10
# What PyRadiomics adds voxelArrayShift for.
SHIFTED = ("Energy", "RootMeanSquared", "TotalEnergy")


@dataclass(frozen=True)
class Column:
    """One column of a baseline file: settings, slices of the mask and values by PyRadiomics' names."""

    settings: dict[str, Any]
    box: tuple[int, ...]
    values: dict[str, float]


@cache
def columns(file: Path) -> dict[str, Column]:
    """All columns of a baseline file by their names."""
    with file.open(encoding="utf-8", newline="") as stream:
        rows = {row[0]: row[1:] for row in csv.reader(stream)}
    out = {}
    boxes = rows.get("diagnostics_Mask-corrected_BoundingBox", rows["diagnostics_Mask-original_BoundingBox"])
    for place, name in enumerate(rows["featureName"]):
        out[name] = Column(
            ast.literal_eval(rows["diagnostics_Configuration_Settings"][place]),
            ast.literal_eval(boxes[place]),
            {key: float(row[place]) for key, row in rows.items() if key.startswith("original_")},
        )
    return out


@dataclass(frozen=True)
class Volume:
    """Image and mask, (slices, rows, columns), and the millimetres from slice to slice and within one."""

    pixels: Pixels
    inside: Region
    slice_mm: float
    spacing: Spacing

    def side_by_side(self) -> tuple[Pixels, Region]:
        """All slices in one image, an empty row between them: nothing touches across, and all counts add up."""
        gap = ((0, 0), (0, 1), (0, 0))
        shape = (-1, self.pixels.shape[2])
        return np.pad(self.pixels, gap).reshape(shape), np.pad(self.inside, gap).reshape(shape)


def read(folder: Path, name: str, settings: dict[str, Any] | None = None) -> Volume:
    """A volume as PyRadiomics prepares it for its feature classes: normalised, resampled, re-segmented."""
    chosen = settings or {}
    image: Any
    mask: Any
    image, mask = (SimpleITK.ReadImage(str(folder / f"{name}_{part}.nrrd")) for part in ("image", "label"))
    if chosen.get("normalize"):
        image = imageoperations.normalizeImage(image, **chosen)
    if chosen.get("resampledPixelSpacing"):
        image, mask = imageoperations.resampleImage(image, mask, **chosen)
    if chosen.get("resegmentRange"):
        mask = imageoperations.resegmentMask(image, mask, **chosen)
    columns_mm, rows_mm, slice_mm = image.GetSpacing()
    pixels = SimpleITK.GetArrayFromImage(image).astype(np.float64)
    return Volume(pixels, SimpleITK.GetArrayFromImage(mask) > 0, slice_mm, Spacing(rows_mm, columns_mm))


def measure(cls: str, pixels: Pixels, inside: Region, spacing: Spacing, settings: dict[str, Any]) -> dict[str, float]:
    """Features of one class with the recorded bin width, under PyRadiomics' names."""
    engine = build_engine(
        NATIVE,
        RadiomicsSettings(
            classes=(cls,), image_types=("Original",), bin_count=None, min_pixels=2,
            bin_width=float(settings.get("binWidth", 25)),
        ),
    )  # fmt: skip
    doubles: Any = pixels  # images are singles elsewhere; a normalised volume is not to be rounded here
    found = engine.measure(doubles, {"roi": inside}, spacing, shape=["roi"])["roi"]
    return {name.replace(".", "_"): value for name, value in found.items()}


def beyond(found: dict[str, float], recorded: dict[str, float]) -> list[str]:
    """The values that differ, in words; both must hold the same names."""
    assert set(found) == set(recorded)
    return [
        f"{name}: found {found[name]}, recorded {value}"
        for name, value in recorded.items()
        if not abs(found[name] - value) <= RELATIVE * abs(value)
    ]


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "pyradiomics_baseline"


@pytest.mark.parametrize("cls", TEXTURES)
@pytest.mark.parametrize("name", VOLUMES)
def test_textures_within_slices(folder: Path, name: str, cls: str) -> None:
    column = columns(folder / "baseline" / f"baseline_{cls}.csv")[f"{name}_2d"]
    assert column.settings["force2D"] is True
    assert column.settings["force2Ddimension"] == 0
    assert len(column.values) == TEXTURES[cls]
    volume = read(folder, name)
    pixels, inside = volume.side_by_side()
    assert not beyond(measure(cls, pixels, inside, volume.spacing, column.settings), column.values)


@pytest.mark.parametrize("prepared", PREPARED)
@pytest.mark.parametrize("name", VOLUMES)
def test_first_order(folder: Path, name: str, prepared: str) -> None:
    column = columns(folder / "baseline" / "baseline_firstorder.csv")[f"{name}{prepared}"]
    assert len(column.values) == 18
    volume = read(folder, name, column.settings)
    pixels, inside = volume.side_by_side()
    found = measure("firstorder", pixels, inside, volume.spacing, column.settings)
    shifted = measure(
        "firstorder", pixels + column.settings.get("voxelArrayShift", 0), inside, volume.spacing, column.settings
    )
    found |= {f"original_firstorder_{one}": shifted[f"original_firstorder_{one}"] for one in SHIFTED}
    found["original_firstorder_TotalEnergy"] *= volume.slice_mm  # by volume, where an image has an area
    assert not beyond(found, column.values)


@pytest.mark.parametrize("name", VOLUMES)
def test_shape_of_a_slice(folder: Path, name: str) -> None:
    column = columns(folder / "baseline" / "baseline_shape2D.csv")[f"{name}_shape2D"]
    assert len(column.values) == 9
    volume = read(folder, name)
    left, top, place, width, height, slices = column.box
    inside = volume.inside[place]
    assert slices == 1
    assert np.argwhere(inside).min(axis=0).tolist() == [top, left]
    assert np.argwhere(inside).max(axis=0).tolist() == [top + height - 1, left + width - 1]
    found = measure("shape2D", volume.pixels[place], inside, volume.spacing, column.settings)
    assert not beyond(found, column.values)


def test_only_the_lung_is_left_out(folder: Path) -> None:
    """Every column in which two dimensions apply has been compared above, or its image is not there."""
    compared = {f"{name}_{end}" for name in VOLUMES for end in ("2d", "shape2D")}
    compared |= {f"{name}{prepared}" for name in VOLUMES for prepared in PREPARED}
    left = [
        name
        for file in (folder / "baseline").glob("*.csv")
        for name in columns(file)
        if (file.stem == "baseline_firstorder" or name.casefold().endswith("2d")) and name not in compared
    ]
    assert len(left) == 2 * (len(PREPARED) + len(TEXTURES) + 1)
    assert all(name.startswith("lung") for name in left)
    assert not list(folder.glob("lung*"))


def test_a_pixel_more_is_seen(folder: Path) -> None:
    """The comparison is not blind: a pixel beside the region changes nearly every value."""
    volume = read(folder, "brain2")
    pixels, inside = volume.side_by_side()
    row, column = np.argwhere(inside)[0]
    inside[row, column - 1] = True
    for cls, number in TEXTURES.items():
        recorded = columns(folder / "baseline" / f"baseline_{cls}.csv")["brain2_2d"]
        assert (
            len(beyond(measure(cls, pixels, inside, volume.spacing, recorded.settings), recorded.values)) > number / 2
        )


def slices(folder: Path, *, largest: bool) -> Iterator[tuple[str, Pixels, Region, Spacing]]:
    """Every slice with a region, or the one with the largest of each volume."""
    for name in VOLUMES:
        volume = read(folder, name)
        sizes = volume.inside.sum(axis=(1, 2))
        for place in [sizes.argmax()] if largest else np.flatnonzero(sizes):
            yield f"{name} {place}", volume.pixels[place], volume.inside[place], volume.spacing


@pytest.mark.parametrize("bins", [{"bin_count": 32}, {"bin_count": None, "bin_width": 25.0}], ids=["count", "width"])
@pytest.mark.parametrize(
    ("image_types", "largest", "expected"),
    [(("Original",), False, 13 * (9 + 93)), (IMAGE_TYPES, True, 3 * (9 + 93 * 14))],
    ids=["every slice", "every image type"],
)
def test_a_slice_as_an_image_equals_pyradiomics_of_today(
    folder: Path, image_types: tuple[str, ...], largest: bool, expected: int, bins: dict[str, Any]
) -> None:
    """PyRadiomics 3.0.1, called on a 2-D image."""
    settings = RadiomicsSettings(image_types=image_types, min_pixels=2, **bins)
    native, reference = (build_engine(name, settings) for name in (NATIVE, PYRADIOMICS))
    number = 0
    out = []
    for title, pixels, inside, spacing in slices(folder, largest=largest):
        found, truth = (
            engine.measure(pixels.astype(np.float32), {"roi": inside}, spacing, shape=["roi"])["roi"]
            for engine in (native, reference)
        )
        assert list(found) == list(truth)
        for name, value in truth.items():
            number += 1
            same = np.isnan(value) and np.isnan(found[name])
            if not same and not abs(found[name] - value) <= max(1e-8 * abs(value), 1e-12):
                out.append(f"{title} {name}: found {found[name]}, PyRadiomics {value}")
    assert number == expected
    assert not out
