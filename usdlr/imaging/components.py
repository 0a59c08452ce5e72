"""From a map of probabilities to lesions: connected parts, without holes, large enough, each with a score."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_fill_holes, find_objects, label

from usdlr.core.errors import ConfigError
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray, FloatArray
from usdlr.imaging.mask import LesionMask, hull_corners

Labels = npt.NDArray[np.int64]
_TOUCHING = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class LesionRules:
    """What counts as a lesion.

    Parameters
    ----------
    threshold : float
        A pixel belongs to a lesion from this probability on.
    smallest_mm : float
        Lesions whose short axis is smaller are dropped, in mm; where the image is calibrated.
    smallest_share : float
        The same elsewhere: as a share of the image's longer side.
    least_score : float
        Lesions of a smaller score are dropped.
    most : int
        At most so many lesions in an image, those of the highest scores.
    """

    threshold: float = 0.5
    smallest_mm: float = 2.0
    smallest_share: float = 0.02
    least_score: float = 0.5
    most: int = 4

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1 or not 0 <= self.least_score < 1:
            raise ConfigError(
                f"found lesions.threshold = {self.threshold} and least_score = {self.least_score}, expected "
                "probabilities below 1"
            )
        if not (0 <= self.smallest_mm < 100 and 0 <= self.smallest_share < 0.5):
            raise ConfigError(
                f"found lesions.smallest_mm = {self.smallest_mm} and smallest_share = {self.smallest_share}, expected "
                "0 to 100 mm and a share below one half"
            )
        if self.most < 1:
            raise ConfigError(f"found lesions.most = {self.most}, expected at least 1")

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Lesion:
    """One lesion.

    Parameters
    ----------
    number : int
        Its number in the label image; 1 has the highest score.
    score : float
        Mean probability inside it, 0..1.
    box : tuple of int
        ``(row, column, rows, columns)``.
    short_axis : float
        In mm where the image is calibrated, else as a share of the image's longer side.
    area_px : int
        Pixels.
    """

    number: int
    score: float
    box: tuple[int, int, int, int]
    short_axis: float
    area_px: int


def find_lesions(
    probability: FloatArray, rules: LesionRules, spacing: Spacing | None, *, presence: float = 1.0
) -> tuple[Labels, list[Lesion]]:
    """Lesions in a map of probabilities.

    Parameters
    ----------
    probability : float32 array, (rows, columns)
        That a pixel is lesion.
    rules : LesionRules
        What counts as one.
    spacing : Spacing or None
        Of the image; ``None``: sizes are shares of its longer side.
    presence : float
        Probability that any lesion is in the image; every score is multiplied by it.

    Returns
    -------
    labels : int64 array, (rows, columns)
        0 outside, 1.. inside lesions without holes.
    lesions : list of Lesion
        By falling score.

    Examples
    --------
    >>> probability = np.zeros((20, 20), dtype=np.float32)
    >>> probability[5:12, 5:12] = 0.9
    >>> probability[8, 8] = 0.0
    >>> labels, lesions = find_lesions(probability, LesionRules(smallest_share=0.1), None)
    >>> int((labels == 1).sum()), lesions[0].short_axis
    (49, 0.35)
    """
    numbered, _ = label(binary_fill_holes(probability >= rules.threshold), structure=_TOUCHING)
    unit = Spacing(1 / max(probability.shape), 1 / max(probability.shape)) if spacing is None else spacing
    least = rules.smallest_share if spacing is None else rules.smallest_mm
    found = []
    axes = short_axes(np.asarray(numbered, dtype=np.int64), unit)
    for number, box in enumerate(find_objects(numbered), start=1):
        inside = numbered[box] == number
        score = float(probability[box][inside].mean()) * presence
        if axes[number] < least or score < rules.least_score:
            continue
        place = (box[0].start, box[1].start, box[0].stop - box[0].start, box[1].stop - box[1].start)
        found.append((score, number, place, axes[number], int(inside.sum())))
    found.sort(key=lambda one: (-one[0], one[1]))
    labels = np.zeros(probability.shape, dtype=np.int64)
    lesions = []
    for new, (score, number, place, axis, area) in enumerate(found[: rules.most], start=1):
        labels[numbered == number] = new
        lesions.append(Lesion(new, score, place, axis, area))
    return labels, lesions


def short_axes(objects: Labels, spacing: Spacing) -> dict[int, float]:
    """Short axis of every object in mm: the smallest distance of two parallel lines that hold its pixels' corners.

    Examples
    --------
    >>> objects = np.zeros((9, 9), dtype=np.int64)
    >>> objects[2:4, 1:7] = 1
    >>> short_axes(objects, Spacing(1.0, 0.5))
    {1: 2.0}
    """
    out = {}
    for number, box in enumerate(find_objects(objects), start=1):
        if box is not None:
            out[number] = _narrowest(objects[box] == number, spacing)
    return out


def _narrowest(pixels: BoolArray, spacing: Spacing) -> float:
    hull = hull_corners(LesionMask(pixels, spacing))
    sides = np.roll(hull, -1, axis=0) - hull
    # The narrowest strip around a polygon always lies along one of its sides.
    normals = np.column_stack([-sides[:, 1], sides[:, 0]]) / np.linalg.norm(sides, axis=1)[:, None]
    across = normals @ hull.T
    return round(float((across.max(axis=1) - across.min(axis=1)).min()), 9)
