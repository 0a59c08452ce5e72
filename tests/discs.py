"""Pictures whose lesions are known exactly: dark discs on speckle, and a small network that has learned them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from usdlr.core.leak import Rows
from usdlr.core.units import Spacing
from usdlr.data.augment.settings import AugmentSettings
from usdlr.data.segmentation import DrawSettings, Frame
from usdlr.imaging.components import LesionRules
from usdlr.inference.segmentation import Expected, Picture, load_segmenter, write_segmenter
from usdlr.inference.segmentation.segmenter import Segmenter
from usdlr.models.segmentation import OutlinerSettings
from usdlr.tasks.segmentation.fit import fit_outliner
from usdlr.tasks.segmentation.settings import OutlineFitSettings

# Row and column of the middle, and the radius, in pixels.
Disc = tuple[float, float, float]
NETWORK = OutlinerSettings(
    encoder="test_resnet", decoder={"unet": {"channels": [32, 24, 16, 8]}}, size_px=64, dropout=0.0
)
FIT = OutlineFitSettings(
    epochs=60,
    learning_rate=4e-3,
    average=0.9,
    windows=DrawSettings(echo=AugmentSettings(intensity=0.3), marks=0.0, bend=0.0),
)
RULES = LesionRules(smallest_share=0.02, smallest_mm=1.0)


def disc_mask(shape: tuple[int, int], disc: Disc, aspect: float = 1.0) -> npt.NDArray[np.bool_]:
    """Pixels whose centre lies in a disc; ``aspect`` is the height of a pixel divided by its width."""
    rows, cols = np.indices(shape) + 0.5
    return np.asarray(((rows - disc[0]) * aspect) ** 2 + (cols - disc[1]) ** 2 <= disc[2] ** 2)


def disc_grey(shape: tuple[int, int], discs: Sequence[Disc], seed: int) -> npt.NDArray[np.uint8]:
    """Bright speckle with dark discs."""
    rng = np.random.default_rng(seed)
    level = np.full(shape, 130.0)
    for disc in discs:
        level[disc_mask(shape, disc)] = 35.0
    return np.clip(level + rng.normal(0, 14, shape), 1, 255).astype(np.uint8)


def disc_frame(number: int, shape: tuple[int, int] = (96, 120)) -> Frame:
    """A picture with a disc drawn by chance; every sixth has none."""
    rng = np.random.default_rng([number, 77])
    radius = float(rng.uniform(4, 30))
    disc = (float(rng.uniform(2, shape[0] - 2)), float(rng.uniform(2, shape[1] - 2)), radius)
    discs = [] if number % 6 == 5 else [disc]
    lesions = np.zeros(shape, dtype=np.uint8)
    for one in discs:
        lesions[disc_mask(shape, one)] = 1
    return Frame(f"disc{number}", f"p{number}", disc_grey(shape, discs, number), lesions, None, 1.0, (number,))


def fit_discs(folder: Path) -> Path:
    """Fit two small networks on discs and write their bundle; returns its folder."""
    members = {}
    for member in ("0", "1"):
        frames = [disc_frame(number) for number in range(24 * int(member), 24 * int(member) + 24)]
        rows = Rows.of([frame.patient_id for frame in frames], ["train"] * len(frames))
        members[member] = fit_outliner(
            frames, rows, network=NETWORK, settings=FIT, seed=int(member), folder=folder / member, name=member
        )
    expected = Expected((0.5, 1.0), (0.7, 0.95), (0.2, 0.04), 48)
    write_segmenter(
        folder / "bundle", members=members, network=NETWORK, rules=RULES, expected=expected, card={"name": "discs"}
    )
    return folder / "bundle"


def picture(discs: Sequence[Disc], shape: tuple[int, int] = (96, 120), *, mm: float | None = None) -> Picture:
    """A picture of discs; ``mm`` is the side of its pixels."""
    return Picture(disc_grey(shape, discs, 4321), None if mm is None else Spacing(mm, mm))


def segmenter_of(bundle: Path) -> Segmenter:
    """The bundle's networks."""
    return load_segmenter(bundle)
