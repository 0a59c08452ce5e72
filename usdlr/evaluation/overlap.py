"""How well one outline agrees with another: overlap, and distances in millimetres.

Two kinds of distance are in use and must not be mixed. Those of whole masks (Hausdorff, average Hausdorff) count every
pixel, those inside the other mask with 0, as SimpleITK does. Those of boundaries (95 % Hausdorff, boundary error) count
boundary pixels only: mask pixels with an edge neighbour outside the mask. Distances lie between pixel centres.

References
----------
Taha and Hanbury, Metrics for evaluating 3D medical image segmentation, BMC Med Imaging 15 (2015) 29,
doi:10.1186/s12880-015-0068-x. Dice, Ecology 26 (1945) 297, doi:10.2307/1932409.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_erosion, distance_transform_edt

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.core.units import Spacing
from usdlr.decision.arrays import FloatArray

BoolArray = npt.NDArray[np.bool_]
PERCENTILE = 95.0


@dataclass(frozen=True)
class Overlap:
    """Agreement of a predicted mask with a reference mask.

    Parameters
    ----------
    dice, iou : float or None
        0 to 1; None where both masks are empty, for then there is nothing to agree on.
    hausdorff_mm, average_hausdorff_mm : float or None
        Of whole masks: the largest distance, and the mean of both directions' means. None where a mask is empty.
    hausdorff95_mm : float or None
        Of boundaries: the larger of both directions' 95th percentiles.
    boundary_error_mm : float or None
        Of boundaries: mean distance over the pixels of both (average symmetric surface distance).
    reference_mm2, predicted_mm2 : float
        Areas.
    """

    dice: float | None
    iou: float | None
    hausdorff_mm: float | None
    average_hausdorff_mm: float | None
    hausdorff95_mm: float | None
    boundary_error_mm: float | None
    reference_mm2: float
    predicted_mm2: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def overlap(reference: npt.ArrayLike, predicted: npt.ArrayLike, spacing: Spacing) -> Overlap:
    """Compare two masks of one image.

    Parameters
    ----------
    reference, predicted : (rows, columns) array_like
        True, or not 0, inside.
    spacing : Spacing
        Of the image, rows first.

    Raises
    ------
    CaseError
        If the masks have different shapes, or one has not two axes.

    Examples
    --------
    >>> mask = np.zeros((4, 8), dtype=bool)
    >>> mask[1:3, 1:3] = True
    >>> found = overlap(mask, np.roll(mask, 2, axis=1), Spacing(1.0, 0.5))
    >>> found.dice, found.hausdorff_mm
    (0.0, 1.0)
    """
    truth, guess = same_grid(reference, predicted)
    area = spacing.pixel_area_mm2
    n_truth, n_guess = int(truth.sum()), int(guess.sum())
    common, either = int((truth & guess).sum()), int((truth | guess).sum())
    dice = 2 * common / (n_truth + n_guess) if either else None
    iou = common / either if either else None
    if not (n_truth and n_guess):
        return Overlap(dice, iou, None, None, None, None, n_truth * area, n_guess * area)
    truth, guess = _cropped(truth, guess)
    whole = [_to(guess, spacing)[truth], _to(truth, spacing)[guess]]
    edge_truth, edge_guess = boundary(truth), boundary(guess)
    edges = [_to(edge_guess, spacing)[edge_truth], _to(edge_truth, spacing)[edge_guess]]
    return Overlap(
        dice=dice,
        iou=iou,
        hausdorff_mm=float(max(way.max() for way in whole)),
        average_hausdorff_mm=float(np.mean([way.mean() for way in whole])),
        hausdorff95_mm=float(max(np.percentile(way, PERCENTILE) for way in edges)),
        boundary_error_mm=float(np.concatenate(edges).mean()),
        reference_mm2=n_truth * area,
        predicted_mm2=n_guess * area,
    )


def boundary(mask: BoolArray) -> BoolArray:
    """Mask pixels with an edge neighbour outside the mask; beyond the image is outside.

    Examples
    --------
    >>> int(boundary(np.ones((4, 5), dtype=bool)).sum())
    14
    """
    return np.asarray(mask & ~binary_erosion(mask, border_value=0), dtype=np.bool_)


def same_grid(reference: npt.ArrayLike, predicted: npt.ArrayLike) -> tuple[BoolArray, BoolArray]:
    """Both masks as bool arrays of one shape.

    Raises
    ------
    CaseError
        If they do not lie on one grid.
    """
    truth, guess = np.asarray(reference) != 0, np.asarray(predicted) != 0
    if truth.ndim != 2 or truth.shape != guess.shape:
        raise CaseError(
            ExclusionCode.MASK_SIZE_MISMATCH,
            f"found a reference mask of shape {truth.shape} and a predicted one of shape {guess.shape}, expected one "
            "(rows, columns) for both; resample the prediction to the image's grid",
        )
    return truth, guess


def _cropped(truth: BoolArray, guess: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Both masks within their common bounding box and a rim of one pixel: distances within it stay what they were."""
    either = truth | guess
    rows, cols = np.flatnonzero(either.any(axis=1)), np.flatnonzero(either.any(axis=0))
    box = (slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1))
    return np.pad(truth[box], 1), np.pad(guess[box], 1)


def _to(mask: BoolArray, spacing: Spacing) -> FloatArray:
    """Distance of every pixel's centre to the nearest pixel of ``mask``, in mm."""
    return np.asarray(distance_transform_edt(~mask, sampling=spacing.as_tuple()), dtype=np.float64)
