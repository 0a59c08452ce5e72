"""Small holes and islands of a contour are repaired by a recorded rule.

They are slips of the pen or of a file conversion, and move texture and diameters: one stray pixel far away can double
a lesion's longest diameter. What is not small stays: a large second component is a second focus, and a large hole was
drawn on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from usdlr.core.errors import ConfigError
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray


@dataclass(frozen=True)
class RepairSettings:
    """What counts as small.

    A hole or island is small when it is at most ``*_share`` of the lesion's largest component *and* at most ``*_mm2``
    (``*_pixels`` where the spacing is unknown). A speck of at most ``speck_pixels`` is small in any case, unless the
    lesion is less than ten times as large.

    Parameters
    ----------
    hole_share, island_share : float
        Share of the area of the lesion's largest component.
    hole_mm2, island_mm2 : float
        Area in mm². A focus of 1 mm² has a diameter of 1.1 mm, less than ultrasound tells from speckle.
    hole_pixels, island_pixels : int
        Area in pixels, for images without spacing: about the same at 0.1 mm per pixel.
    speck_pixels : int
        Area in pixels.
    """

    hole_share: float = 0.02
    hole_mm2: float = 2.0
    hole_pixels: int = 200
    island_share: float = 0.01
    island_mm2: float = 1.0
    island_pixels: int = 100
    speck_pixels: int = 3

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            # Written so that not-a-number fails.
            if not 0 <= value < np.inf or (name.endswith("_share") and value >= 0.5):
                expected = "a share from 0 to 0.5" if name.endswith("_share") else "0 or more"
                raise ConfigError(f"found repair.{name} = {value}, expected {expected}; correct it")


DEFAULT = RepairSettings()
# A speck has to be this much smaller than the lesion.
SPECK_FACTOR = 10


@dataclass(frozen=True)
class Repaired:
    """A contour after repair, and what was done.

    Parameters
    ----------
    pixels : bool array, (rows, columns)
        The contour.
    holes_filled, islands_removed : int
        How many.
    changed_fraction : float
        Pixels that changed, as a share of the area before.
    """

    pixels: BoolArray
    holes_filled: int
    islands_removed: int
    changed_fraction: float


def repair(mask: BoolArray, spacing: Spacing | None, settings: RepairSettings = DEFAULT) -> Repaired:
    """The contour with small holes filled, then small islands removed.

    Lesion pixels that touch at a corner belong together; background pixels need a common side, so that a closed line of
    pixels encloses a hole. What reaches the image's edge is no hole. The largest component is never removed.

    Parameters
    ----------
    mask : bool array, (rows, columns)
        True inside the lesion; an empty mask comes back empty.
    spacing : Spacing or None
        Millimetres per pixel.
    settings : RepairSettings
        What counts as small.

    Examples
    --------
    >>> mask = np.zeros((40, 40), dtype=bool)
    >>> mask[5:25, 5:25] = True
    >>> mask[10, 10], mask[35, 35] = False, True
    >>> done = repair(mask, None)
    >>> done.holes_filled, done.islands_removed, int(done.pixels.sum())
    (1, 1, 400)
    """
    pixels = mask.astype(np.bool_)
    before = int(np.count_nonzero(pixels))
    if before == 0:
        return Repaired(pixels, 0, 0, 0.0)
    components, areas = _components(pixels, connectivity=8)
    lesion = int(areas.max())
    background, gaps = _components(~pixels, connectivity=4)
    edge = np.concatenate([background[0], background[-1], background[:, 0], background[:, -1]])
    limit = _limit(lesion, settings.hole_share, settings.hole_mm2, settings.hole_pixels, spacing, settings)
    small = gaps <= limit
    small[edge[edge > 0] - 1] = False
    holes = int(small.sum())
    if holes:
        pixels |= _chosen(background, small)
        # A filled hole may join what was apart.
        components, areas = _components(pixels, connectivity=8)
        lesion = int(areas.max())
    limit = _limit(lesion, settings.island_share, settings.island_mm2, settings.island_pixels, spacing, settings)
    small = areas <= limit
    islands = int(small.sum())
    if islands:
        pixels &= ~_chosen(components, small)
    changed = int(np.count_nonzero(pixels != mask))
    return Repaired(pixels, holes, islands, changed / before)


def _components(pixels: BoolArray, connectivity: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Labels from 1, 0 where there is nothing, and the area of each label."""
    count, labels = cv2.connectedComponents(pixels.astype(np.uint8), connectivity=connectivity, ltype=cv2.CV_32S)
    return np.asarray(labels, np.int32), np.bincount(np.ravel(labels), minlength=count)[1:].astype(np.int64)


def _limit(
    lesion: int, share: float, mm2: float, pixels: int, spacing: Spacing | None, settings: RepairSettings
) -> float:
    """Largest area in pixels that counts as small; always less than the lesion's own."""
    most = pixels if spacing is None else mm2 / spacing.pixel_area_mm2
    return max(min(share * lesion, most), min(settings.speck_pixels, lesion / SPECK_FACTOR))


def _chosen(labels: npt.NDArray[np.int32], chosen: BoolArray) -> BoolArray:
    return np.asarray(np.concatenate([[False], chosen])[labels])
