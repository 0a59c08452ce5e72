"""Where a stage's networks looked: what every place of an image adds to its log-odds, in the crop and on the image.

The attribution is that of HiResCAM, activation times gradient, place by place, on a backbone's last feature maps: for
a network that averages its last maps and reads them linearly, this is exactly what each place adds to the logit, which
Grad-CAM's averaged gradients are not. The networks here do not stop at a linear layer: a normalised embedding, pooling
over images and a fusion follow, and behind a normalisation the plain product can add up to almost nothing whatever
the image shows. The gradient is therefore averaged along the straight path from the maps of an empty input (zero in
every channel: what a branch receives outside its region) to those of the image, for all images and blocks of an axilla
and all networks of the stage at once (integrated gradients). Behind a linear layer both are the same but for the empty
input's maps. The values of all images and blocks of an axilla add up to what its images as a whole change in the logit;
what does not influence it gets zero.

A map is **signed**: above zero raises the stage's log-odds, below zero lowers them. It is as coarse as the feature map
it comes from, and a place of that map has seen more of the image than its own cell.

References
----------
Draelos and Carin, Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks, 2020,
arXiv 2011.08891. Sundararajan, Taly and Yan, Axiomatic attribution for deep networks, ICML 2017, arXiv 1703.01365.
Sattarzadeh et al., Integrated Grad-CAM, ICASSP 2021, arXiv 2102.07805.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.regions import split_block
from usdlr.data.batch import collate
from usdlr.data.dataset import AxillaDataset, Axillae
from usdlr.data.samples import Sample, SampleStore
from usdlr.imaging.resample import Grid
from usdlr.inference.heatmap_objective import stage_objective
from usdlr.inference.heatmap_path import Cells, explain
from usdlr.inference.stage import StageModel, axilla_data, input_form

# A cell of which less than this share lies on the region's pixels is too far away for them to carry it all.
LEAST = 0.1


@dataclass(frozen=True, eq=False)
class HeatMap:
    """What one image adds to the stage's log-odds through one block, place by place.

    Parameters
    ----------
    axilla : int
        Position of its axilla in :class:`Heat`.
    image : int
        Position of its image among the cases.
    block : str
        Image block, as in ``contribution.{block}``.
    crop : int
        Which of the store's crops it lies on: networks of an ensemble may read different ones, and each crop has what
        its own networks add to the common logit. On the image they add up, see :func:`place_on_image`.
    values : float32 array, (size, size)
        On the crop's grid, in log-odds (nat) per mm²; above zero raises them. Zero outside the block's region, where
        the network was shown nothing: what a cell adds lies on the pixels of the region that it covers.
    total : float
        What all cells add together, in nat.
    inside : float
        Share of the cells' absolute values that is in ``values``, 0 to 1; the rest belongs to cells that hardly touch
        the region. With 1, ``values`` summed over the pixels' areas is ``total``.
    unplaced : float
        What class and register tokens of a transformer add beside, in nat: they have no place in the image.
    cell_px : tuple of float
        Rows and columns of the crop that one value of the feature map covers: the map is no finer than that.
    """

    axilla: int
    image: int
    block: str
    crop: int
    values: npt.NDArray[np.float32]
    total: float
    inside: float
    unplaced: float
    cell_px: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Heat:
    """The maps of a cohort, the axillae in the order of :meth:`usdlr.data.dataset.Axillae.of`; no ids.

    Parameters
    ----------
    maps : tuple of HeatMap
        One per image, image block that is there and crop; images in the order of the cases.
    change : float64 array, (axillae,)
        The stage's log-odds before calibration, less those if every image block that is there showed nothing. An
        axilla's maps, ``total + unplaced``, add up to it, but for some thousandths of a nat, or hundredths below a
        readout that clips.
    """

    maps: tuple[HeatMap, ...]
    change: npt.NDArray[np.float64]


def heat_maps(
    model: StageModel,
    cases: pd.DataFrame,
    store: SampleStore,
    design: pd.DataFrame,
    batch_size: int,
) -> Heat:
    """Where a stage's networks looked, added up over its networks as their logits are.

    Parameters
    ----------
    model : StageModel
        The stage; a signature readout counts as what it is, the sum of its networks' embeddings and block logits by
        its coefficients.
    cases, store, design, batch_size
        As :meth:`usdlr.inference.stage.StageModel.predict_axillae` takes them.

    Raises
    ------
    ConfigError
        If a backbone's features have no known place in the image.
    """
    axillae, chosen = Axillae.of(cases), store.select(cases["image_id"])
    networks = model.networks
    scores = model.scores.score(design.loc[list(cases["image_id"])], networks[0].head.width)
    datasets = []
    for place, network in enumerate(networks):
        crop = chosen.crop(model.crop_of(place))
        data = axilla_data(axillae, crop, design, model.selector, scores, network.settings)
        datasets.append(AxillaDataset(data, input_form(network.settings)))
    change = np.zeros(len(axillae))
    found: dict[tuple[int, str, int], _Sum] = {}
    for start in range(0, len(axillae), batch_size):
        rows = range(start, min(start + batch_size, len(axillae)))
        images = [int(image) for row in rows for image in axillae.images[row]]
        batches = [collate([dataset[row] for row in rows]) for dataset in datasets]
        part = explain(networks, batches, stage_objective(model))
        change[rows.start : rows.stop] = part.change
        for (place, row, block), cells in part.cells.items():
            key = images[row], block, model.crop_of(place)
            sample = chosen.crop(key[2]).samples[images[row]]
            found.setdefault(key, _Sum(sample, block)).add(cells)
    owner = {int(image): axilla for axilla, images in enumerate(axillae.images) for image in images}
    order = {block: place for place, block in enumerate(model.networks[0].settings.image_blocks)}
    maps = [
        found[image, block, crop].map(owner[image], image, block, crop)
        for image, block, crop in sorted(found, key=lambda key: (key[0], order[key[1]], key[2]))
    ]
    return Heat(tuple(maps), change)


def place_on_image(
    values: npt.NDArray[np.floating[Any]], grid: Grid, shape: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """A map on the original image's pixels, zero outside the crop.

    Parameters
    ----------
    values : float array, (grid.rows, grid.cols)
        On the crop's grid, e.g. :attr:`HeatMap.values`; their unit stays as it is.
    grid : Grid
        The crop's, from :func:`usdlr.imaging.crop.lesion_grid` with the image's mask and the network's crop.
    shape : tuple of int
        Rows and columns of the image.

    Returns
    -------
    float32 array, ``shape``

    Raises
    ------
    ValueError
        If the map does not lie on this grid.

    Examples
    --------
    >>> from usdlr.core.units import Spacing
    >>> from usdlr.imaging.resample import Box
    >>> grid = Grid.of(Box(row=1, col=-1, rows=2, cols=4), Spacing(0.1, 0.1), 2, 2)
    >>> place_on_image(np.array([[0.0, 4.0], [0.0, 4.0]]), grid, (4, 4))
    array([[0., 0., 0., 0.],
           [1., 3., 4., 0.],
           [1., 3., 4., 0.],
           [0., 0., 0., 0.]], dtype=float32)
    """
    if values.shape != (grid.rows, grid.cols):
        raise ValueError(f"found a map of {values.shape}, expected {(grid.rows, grid.cols)}; use its own crop's grid")
    box = grid.box
    patch: npt.NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    for rows, cols in ((box.rows, patch.shape[1]), (box.rows, box.cols)):  # one side may shrink while the other grows
        shrinks = rows <= patch.shape[0] and cols <= patch.shape[1]
        if patch.shape != (rows, cols):
            resized = cv2.resize(patch, (cols, rows), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
            patch = np.asarray(resized, dtype=np.float64)
    out = np.zeros(shape, dtype=np.float32)
    top, left = max(box.row, 0), max(box.col, 0)
    bottom, right = min(box.row + box.rows, shape[0]), min(box.col + box.cols, shape[1])
    if top < bottom and left < right:
        out[top:bottom, left:right] = patch[top - box.row : bottom - box.row, left - box.col : right - box.col]
    return out


class _Sum:
    """The maps of one image and block on one crop, added up over networks."""

    def __init__(self, sample: Sample, block: str) -> None:
        self.region, self.pixel_mm = sample.rois[split_block(block)[1]], sample.pixel_mm
        self.density = np.zeros(self.region.shape)
        self.total = self.unplaced = self.inside = self.whole = 0.0
        self.cell_px = (0.0, 0.0)

    def add(self, cells: Cells) -> None:
        """One more network."""
        density, share = spread(cells.adds, self.region)
        self.density += density
        self.total += float(cells.adds.sum())
        self.unplaced += cells.unplaced
        self.inside += float((np.abs(cells.adds) * share).sum())
        self.whole += float(np.abs(cells.adds).sum())
        size = [side / count for side, count in zip(self.region.shape, cells.adds.shape, strict=True)]
        self.cell_px = (max(self.cell_px[0], size[0]), max(self.cell_px[1], size[1]))

    def map(self, axilla: int, image: int, block: str, crop: int) -> HeatMap:
        """What they add together."""
        return HeatMap(
            axilla=axilla,
            image=image,
            block=block,
            crop=crop,
            values=(self.density / self.pixel_mm**2).astype(np.float32),
            total=self.total,
            inside=self.inside / self.whole if self.whole > 0 else 1.0,
            unplaced=self.unplaced,
            cell_px=self.cell_px,
        )


def spread(
    adds: npt.NDArray[np.float64], region: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The cells of a feature map on the pixels of a region, smoothly, and the share of each that found a place there.

    A cell's value lies on the pixels around its centre, weighed as by bilinear interpolation; where the region takes
    some of them away, the others carry it all, unless they are less than :data:`LEAST` of what the cell covers.

    Parameters
    ----------
    adds : float64 array, (height, width)
        By cell.
    region : bool array, (rows, columns)
        Where values may lie.

    Returns
    -------
    tuple of float64 array, (rows, columns), and float64 array, (height, width)
        Values per pixel, and shares from 0 to 1.

    Examples
    --------
    >>> density, share = spread(np.array([[1.0, 2.0]]), np.array([[True, True, False, False]]))
    >>> density.round(2).tolist(), share.tolist()
    ([[0.57, 2.43, 0.0, 0.0]], [[1.0, 1.0]])
    """
    down, across = (_weights(count, side) for count, side in zip(adds.shape, region.shape, strict=True))
    there = down.T @ region.astype(np.float64) @ across
    covers = down.sum(axis=0)[:, None] * across.sum(axis=0)
    share = np.minimum(there / (LEAST * covers), 1.0)
    carried = np.divide(adds * share, there, out=np.zeros_like(adds), where=there > 0)
    return np.where(region, down @ carried @ across.T, 0.0), share


def _weights(count: int, side: int) -> npt.NDArray[np.float64]:
    """How much of each of ``count`` cells every one of ``side`` pixels carries, (side, count)."""
    centre = np.clip((np.arange(side) + 0.5) * count / side - 0.5, 0, count - 1)
    return np.maximum(1.0 - np.abs(centre[:, None] - np.arange(count)), 0.0)
