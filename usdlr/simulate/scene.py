"""A B-mode image as a measurer sees it: echo levels in dB on square cells, and where the lesion lies among them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from usdlr.core.units import MM_PER_CM, Spacing
from usdlr.simulate.acquired import Flags, Grey
from usdlr.simulate.bmode import CONTACT_MM
from usdlr.simulate.centres import Centre
from usdlr.simulate.noise import Map
from usdlr.simulate.speckle import GLAND_GREY

CELL_MM = 0.2
FEWEST_CELLS = 20  # below that a region says nothing
BEYOND_MM = 3.2  # from here on outside the outline there is no rim
SHALLOW_MM = 3.0  # the skin and what repeats it lie above
BAND_REACH_MM = (0.7, 3.0)  # what a column is compared with
BAND_MOST_DB = 6.0  # larger differences of a cell are tissue


@dataclass(frozen=True)
class Scene:
    """One image on square cells.

    Parameters
    ----------
    level : ndarray, shape (rows, cols)
        Mean echo level in dB at the stated gain.
    smooth : ndarray, shape (rows, cols)
        The same without thin reflectors: a median over 1 mm.
    distance : ndarray, shape (rows, cols)
        Millimetres to the outline, negative inside.
    path : ndarray, shape (rows, cols)
        Centimetres of lesion on the way from the transducer to the cell.
    depth : ndarray, shape (rows, 1)
        Millimetres.
    """

    level: Map
    smooth: Map
    distance: Map
    path: Map
    depth: Map

    @property
    def lesion(self) -> Flags:
        """Cells of the lesion."""
        return self.distance < 0

    @property
    def below(self) -> Flags:
        """Cells behind the lesion."""
        return (self.path > 0) & ~self.lesion

    @property
    def background(self) -> Flags:
        """Cells of undisturbed tissue."""
        return (self.distance > BEYOND_MM) & (self.depth > SHALLOW_MM) & ~self.below


def scene_of(bmode: Grey, lesion: Flags, spacing: Spacing, centre: Centre) -> Scene:
    """The scene of a B-mode image, arrays of shape (rows, cols), with the lesion's true pixels."""
    scale = np.float32(centre.dynamic_range_db / 255)
    offset = np.float32(GLAND_GREY * centre.dynamic_range_db + centre.gain_db)
    level = cells(bmode, spacing) * scale - offset
    # The lesion's shape as a share of each cell; a lesion thinner than a cell keeps its fullest one.
    share = cells(lesion, spacing)
    inside = (share >= min(0.5, float(share.max()))).astype(np.uint8)
    within = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outside = cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return Scene(
        level=level,
        smooth=np.asarray(cv2.medianBlur(level, 5), dtype=np.float32),
        distance=np.where(inside > 0, 0.5 - within, outside - 0.5).astype(np.float32) * np.float32(CELL_MM),
        path=np.cumsum(inside, axis=0, dtype=np.float32) * np.float32(CELL_MM / MM_PER_CM),
        depth=(np.arange(len(level), dtype=np.float32)[:, None] + np.float32(0.5)) * np.float32(CELL_MM),
    )


def without_bands(scene: Scene) -> Scene:
    """The scene without the dark and bright bands that poor contact of the transducer draws from top to bottom.

    Each cell is compared with its neighbours on both sides, lesion with lesion and tissue with tissue: what a whole
    column has in common is no tissue.
    """
    away = (scene.distance > 0.5) & (scene.depth > CONTACT_MM)
    found, seen = np.zeros(scene.level.shape[1]), np.zeros(scene.level.shape[1])
    for part in (scene.distance < -0.5, away & ~scene.below, away & scene.below):
        if int(part.sum()) >= FEWEST_CELLS:
            above = np.clip(scene.smooth - beside(scene.smooth, part, BAND_REACH_MM), -BAND_MOST_DB, BAND_MOST_DB)
            found += np.where(part, above, 0).sum(axis=0)
            seen += part.sum(axis=0)
    band = cv2.GaussianBlur((found / np.maximum(seen, 1)).astype(np.float32)[None], (0, 0), 1.0)
    change = band * np.clip(scene.depth / np.float32(CONTACT_MM), 0, 1)
    return replace(scene, level=scene.level - change, smooth=scene.smooth - change)


def cells(pixels: npt.NDArray[np.generic], spacing: Spacing) -> Map:
    """Means of pixels over square cells of 0.2 mm; cells at the lower and right border may reach past the image."""
    rows, cols = pixels.shape
    shape = max(round(cols * spacing.col_mm / CELL_MM), 1), max(round(rows * spacing.row_mm / CELL_MM), 1)
    return np.asarray(cv2.resize(pixels.astype(np.float32), shape, interpolation=cv2.INTER_AREA), dtype=np.float32)


def beside(values: Map, known: Flags, reach_mm: tuple[float, float]) -> Map:
    """Each cell's expectation from the ``known`` cells near it, weighted by Gaussians of ``reach_mm``, rows first."""
    half = values.shape[1] // 2 + 1, values.shape[0] // 2 + 1
    sigma_row, sigma_col = (reach / (2 * CELL_MM) for reach in reach_mm)
    weights = known.astype(np.float32)
    sums = []
    for layer in (np.where(known, values, 0).astype(np.float32), weights):
        coarse = cv2.resize(layer, half, interpolation=cv2.INTER_AREA)
        sums.append(cv2.GaussianBlur(coarse, (0, 0), sigmaX=sigma_col, sigmaY=sigma_row))
    middle = float(np.median(values[known])) if known.any() else 0.0
    # Where nothing is near, the overall median.
    mean = (sums[0] + np.float32(1e-4 * middle)) / (sums[1] + np.float32(1e-4))
    return np.asarray(cv2.resize(mean, values.shape[::-1], interpolation=cv2.INTER_LINEAR), dtype=np.float32)
