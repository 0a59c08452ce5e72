"""What a stage's log-odds lose when a patch of an image is hidden from a branch: the plainest question to a network.

Patches are squares in millimetres, or in relative units where a bundle's lengths are relative, that overlap by half. A
hidden patch shows what a branch receives outside its region.
Occlusion needs no gradient and knows nothing of the network, so that it checks the maps that do: how far they agree, in
rank over the patches, is told beside them.

References
----------
Zeiler and Fergus, Visualizing and understanding convolutional networks, ECCV 2014, doi:10.1007/978-3-319-10590-1_53.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import spearmanr

from usdlr.core.errors import InputError
from usdlr.core.regions import split_block
from usdlr.decision.explanation import LEAST_PATCHES
from usdlr.inference.explain_probe import Probe, tiled
from usdlr.inference.heatmap_objective import stage_objective

PATCH_MM = 4.0
_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class Occlusion:
    """What hiding patches of one image from one branch does.

    Parameters
    ----------
    image : int
        Position of the image among the axilla's.
    block : str
        Image block.
    crop : int
        Which of the store's crops the patches lie on.
    boxes : int array, (patches, 4)
        First row, first column, one past the last row and column, in crop pixels.
    drop : float64 array, (patches,)
        Raw log-odds with the patch, less those without it; above zero: what is there raises them.
    """

    image: int
    block: str
    crop: int
    boxes: npt.NDArray[np.intp]
    drop: npt.NDArray[np.float64]

    def on_crop(self, region: npt.NDArray[np.bool_], pixel_mm: float) -> npt.NDArray[np.float32]:
        """The drop per mm² of region that was hidden, averaged over the patches that cover a pixel; zero elsewhere.

        Parameters
        ----------
        region : bool array, (size, size)
            The block's.
        pixel_mm : float
            Side of a crop pixel in mm.
        """
        total, count = np.zeros(region.shape), np.zeros(region.shape)
        for (top, left, bottom, right), drop in zip(self.boxes.tolist(), self.drop.tolist(), strict=True):
            hidden = int(region[top:bottom, left:right].sum())
            total[top:bottom, left:right] += drop / (hidden * pixel_mm**2)
            count[top:bottom, left:right] += 1
        mean = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
        return np.where(region, mean, 0.0).astype(np.float32)

    def agreement(self, values: npt.NDArray[np.floating]) -> float | None:
        """Spearman's rank correlation of the drops with what another map adds up to in the same patches.

        ``None`` below :data:`usdlr.decision.explanation.LEAST_PATCHES` patches, or where one of them is constant.
        """
        sums = [float(values[top:bottom, left:right].sum()) for top, left, bottom, right in self.boxes.tolist()]
        if len(sums) < LEAST_PATCHES or np.ptp(sums) == 0 or np.ptp(self.drop) == 0:
            return None
        return float(spearmanr(sums, self.drop).statistic)


def occlusion(probe: Probe, *, patch_mm: float = PATCH_MM) -> tuple[Occlusion, ...]:
    """Hide every patch of every image from every branch that reads it, one at a time.

    Parameters
    ----------
    probe : Probe
        The axilla.
    patch_mm : float
        Side of a patch in mm, or in the bundle's relative units where its lengths are relative to the lesion; rounded
        to crop pixels, at least one.

    Returns
    -------
    tuple of Occlusion
        One per image, image block that is there and crop. A branch that two networks read on the same crop is hidden
        from both at once.

    Raises
    ------
    InputError
        If the side is no positive length.
    """
    if not (np.isfinite(patch_mm) and patch_mm > 0):
        raise InputError(f"found patches of {patch_mm} mm, expected a side above 0 mm")
    objective, runs = stage_objective(probe.model), probe.first
    whole = [output for run, output in zip(probe.runs, probe.outputs(), strict=True) if run.view == 0]
    full = float(objective(whole)[0])
    out = []
    for image in range(len(probe.store)):
        for block in probe.settings.image_blocks:
            place = probe.blocks.index(block)
            for crop in sorted({run.crop for run in runs}):
                mine = [at for at, run in enumerate(runs) if run.crop == crop and run.batch["present"][image, place]]
                if not mine:
                    continue
                sample = probe.sample(image, crop)
                boxes = patches(sample.rois[split_block(block)[1]], max(round(patch_mm / sample.pixel_mm), 1))
                drops: list[float] = []
                for part in _parts(boxes):
                    outputs = [tiled(one, len(part)) for one in whole]
                    for at in mine:
                        pixels = runs[at].batch["images"][block][image].repeat(len(part), 1, 1, 1)
                        for row, (top, left, bottom, right) in enumerate(part.tolist()):
                            pixels[row, :, top:bottom, left:right] = 0.0
                        outputs[at] = probe.replaced(runs[at], image, block, pixels)
                    with torch.inference_mode():
                        drops += (full - objective(outputs).double().numpy()).tolist()
                out.append(Occlusion(image, block, crop, boxes, np.array(drops)))
    return tuple(out)


def patches(region: npt.NDArray[np.bool_], side: int) -> npt.NDArray[np.intp]:
    """Squares of ``side`` pixels, half a side apart, that hold at least a tenth of a patch of the region.

    Where none does, the region's box is the only one, so that a region smaller than a patch is hidden as a whole.

    Returns
    -------
    int array, (patches, 4)
        First row, first column, one past the last row and column.

    Examples
    --------
    >>> patches(np.ones((4, 4), dtype=bool), 4).tolist()[0]
    [0, 0, 4, 4]
    """
    rows, cols = region.shape
    step = max(side // 2, 1)
    found = [
        (top, left, min(top + side, rows), min(left + side, cols))
        for top in range(0, rows, step)
        for left in range(0, cols, step)
        if region[top : top + side, left : left + side].sum() >= max(0.1 * side**2, 1)
    ]
    if not found and region.any():
        inside = np.argwhere(region)
        (top, left), (bottom, right) = inside.min(axis=0), inside.max(axis=0) + 1
        found = [(int(top), int(left), int(bottom), int(right))]
    return np.array(found, dtype=np.intp).reshape(-1, 4)


def by_place(occlusions: tuple[Occlusion, ...]) -> Mapping[tuple[int, str, int], Occlusion]:
    """By position of the image, block and crop."""
    return {(one.image, one.block, one.crop): one for one in occlusions}


def _parts(boxes: npt.NDArray[np.intp]) -> Iterator[npt.NDArray[np.intp]]:
    for start in range(0, len(boxes), _AT_ONCE):
        yield boxes[start : start + _AT_ONCE]
