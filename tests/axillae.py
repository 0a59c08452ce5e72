"""Axillae with crops and tables, made of numbers: what datasets are tested with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from usdlr.data.dataset import AxillaData
from usdlr.data.samples import Sample, SampleStore
from usdlr.models.settings import NetworkSettings

# One branch, one radiomics and clinical block, and its score.
NETWORK = NetworkSettings(
    backbone="test_resnet", modalities=["bmode"], rois=["intratumoral"], embedding_dim=8, tabular_hidden=4
)
COLUMNS = ["bmode.intratumoral.original.glcm.Contrast", "clinical.age_years", "clinical.tumour_size_mm"]
SCORED = ["radiomics"]


def random_sample(seed: int, side: int = 32, *, elasto: bool = True, frames: bool = False) -> Sample:
    """Speckle everywhere, a square lesion in the middle half, and no stiffness in the upper rows."""
    rng = np.random.default_rng(seed)
    lesion = np.zeros((side, side), bool)
    lesion[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = True
    names = ["bmode", *(["bmode@-1", "bmode@+1"] if frames else [])]
    images = {name: rng.uniform(0, 255, (side, side)).astype(np.float32) for name in names}
    if elasto:
        images["elasto"] = rng.uniform(0, 300, (side, side)).astype(np.float32)
        images["elasto"][: side // 3] = np.nan
    return Sample(images, {"intratumoral": lesion, "peritumoral": ~lesion}, lesion, pixel_mm=0.5)


def bright_sample(brightness: float, rng: np.random.Generator, side: int = 64) -> Sample:
    """A B-mode crop of so much brightness: 0 dark, 1 bright."""
    lesion = np.zeros((side, side), dtype=bool)
    lesion[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = True
    pixels = 60 + 90 * brightness + 20 * rng.standard_normal((side, side))
    return Sample({"bmode": pixels.astype(np.float32)}, {"intratumoral": lesion}, lesion, pixel_mm=0.5)


def bright_axillae(
    size: int, seed: int, *, images: Sequence[int] = (1, 2), targets: int = 1, name: str = "image", side: int = 64
) -> AxillaData:
    """Axillae of one and two images in turn; bright lesions are positive, and the table and its score are noise.

    With two targets, every other positive axilla is brighter still, and positive again.
    """
    rng = np.random.default_rng(seed)
    bright = np.arange(size) % 2
    counts = [images[(row // 2) % len(images)] for row in range(size)]
    owner = np.repeat(np.arange(size), counts)
    again = bright * (np.arange(size) // 2 % 2)
    brightness = bright + 0.8 * again if targets == 2 else bright
    samples = tuple(bright_sample(float(brightness[row]), rng, side) for row in owner)
    store = SampleStore(tuple(f"{name}{seed}-{position}" for position in range(len(owner))), samples)
    label: npt.NDArray[np.float64] = np.repeat(bright[:, None], targets, axis=1).astype(np.float64)
    if targets == 2:
        label[:, 1] = np.where(bright == 1, again, np.nan)
    return AxillaData(
        store,
        rng.standard_normal((len(owner), len(COLUMNS))).astype(np.float32),
        (0.3 * rng.standard_normal((len(owner), 1, targets))).astype(np.float32),
        np.ones((len(owner), 1), dtype=bool),
        tuple(np.flatnonzero(owner == row) for row in range(size)),
        label,
    )
