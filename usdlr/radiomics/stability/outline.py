"""The outline of a lesion to a fraction of a pixel, its distance from every pixel, and smooth displacements of it.

The outline lies where the mask, slightly smoothed, passes one half between a pixel inside and its neighbour
outside. On digitised discs a dilation or erosion by this distance is right to about a tenth of a pixel in the radius;
distances between pixel centres are a quarter of a pixel off, since they follow the steps of the staircase.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.optimize import brentq
from scipy.spatial import cKDTree

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.core.units import Spacing
from usdlr.imaging.image import BoolArray

Floats = npt.NDArray[np.float64]

SMOOTH_PX = 1.5  # takes the steps out of a digitised outline, and moves one of r pixels inward by only 1.1/r pixels
# The outline stays strictly between a pixel inside and one outside: nothing but a perturbation changes a mask.
SHARE = (0.05, 0.95)
WAVES = 64  # random plane waves whose sum is close to a Gaussian field


@dataclass(frozen=True, eq=False)
class Outline:
    """An outline.

    Parameters
    ----------
    points : float array, (points, 2)
        Where it passes between two pixel centres, (row, column) in mm from the first pixel's centre.
    length : float array, (points,)
        Length of outline that each point stands for, in mm.
    """

    points: Floats
    length: Floats


def find_outline(inside: BoolArray, spacing: Spacing) -> Outline:
    """The outline of a mask; the border of the array is none.

    Parameters
    ----------
    inside : bool array, (rows, columns)
        The mask; any number of pieces and holes.
    spacing : Spacing
        Its pixels.

    Raises
    ------
    CaseError
        If every pixel is inside.
    """
    step = np.array(spacing.as_tuple())
    smooth = gaussian_filter(inside.astype(np.float64), SMOOTH_PX, mode="nearest")
    # One pixel more on each side, so that a side of one pixel has a slope too.
    padded = np.pad(smooth, 1, mode="edge")
    slopes = [np.asarray(np.gradient(padded, mm, axis=axis)) for axis, mm in enumerate(step)]
    points, normals = [], []
    for axis in (0, 1):
        low = (slice(None, -1), slice(None)) if axis == 0 else (slice(None), slice(None, -1))
        high = (slice(1, None), slice(None)) if axis == 0 else (slice(None), slice(1, None))
        place = np.nonzero(inside[low] != inside[high])
        before, after = smooth[low][place], smooth[high][place]
        drop = before - after
        share = np.divide(before - 0.5, drop, out=np.full(len(drop), 0.5), where=np.abs(drop) > 1e-9)
        found = np.stack(place, axis=1).astype(np.float64)
        found[:, axis] += np.clip(share, *SHARE)
        points.append(found * step)
        normals.append(np.stack([slope[1:-1, 1:-1][place] for slope in slopes], axis=1))
    outline, normal = np.concatenate(points), np.abs(np.concatenate(normals))
    if len(outline) == 0:
        raise CaseError(
            ExclusionCode.ROI_TOO_SMALL,
            "found a mask that fills the image, expected an outline to perturb; use another image of the lesion",
        )
    size = np.linalg.norm(normal, axis=1, keepdims=True)
    normal = np.where(size > 1e-9, normal / np.maximum(size, 1e-9), np.sqrt(0.5))
    # A line across columns is met once per column, a line down rows once per row, one between them by both.
    return Outline(outline, 1.0 / (normal[:, 0] / step[1] + normal[:, 1] / step[0]))


def signed_distance(
    inside: BoolArray, outline: Outline, spacing: Spacing, reach: float
) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Signed distance in mm to the outline, negative inside, and the outline's nearest point, each (rows, columns).

    Parameters
    ----------
    inside : bool array, (rows, columns)
        The mask.
    outline : Outline
        Its outline.
    spacing : Spacing
        Its pixels.
    reach : float
        Beyond this distance in mm a pixel has this distance, and the number of points as its nearest.
    """
    rows, cols = (np.arange(size) * mm for size, mm in zip(inside.shape, spacing.as_tuple(), strict=True))
    centres = np.stack(np.broadcast_arrays(rows[:, None], cols[None]), axis=-1)
    found, nearest = cKDTree(outline.points).query(centres, distance_upper_bound=reach)
    found = np.minimum(found, reach)
    return np.where(inside, -found, found), np.asarray(nearest, dtype=np.intp)


def wavering(outline: Outline, *, length_mm: float, random: np.random.Generator) -> Floats:
    """A smooth random field along an outline, (points,), of mean 0 and variance 1 over draws at every point.

    Parameters
    ----------
    outline : Outline
        The outline.
    length_mm : float
        Values at two points this far apart have the correlation exp(-1/2).
    random : Generator
        Where the draw comes from.

    References
    ----------
    Plane waves with Gaussian wave vectors sum to a field with a Gaussian correlation: Rahimi and Recht, Advances in
    Neural Information Processing Systems 20 (2007) 1177.
    """
    waves = random.normal(0.0, 1.0 / length_mm, size=(2, WAVES))
    phase = random.uniform(0, 2 * np.pi, WAVES)
    # About the outline's own centre, so that cropping the image changes nothing.
    weight = outline.length / outline.length.sum()
    centred = outline.points - weight @ outline.points
    return np.asarray(np.cos(centred @ waves + phase).sum(axis=1) * np.sqrt(2 / WAVES), dtype=np.float64)


def smooth_displacement(outline: Outline, *, rms_mm: float, max_mm: float, length_mm: float, seed: int) -> Floats:
    """Random outward displacement at every point of an outline, in mm, (points,).

    Parameters
    ----------
    outline : Outline
        The outline.
    rms_mm : float
        Root mean square along the outline, met exactly; the mean is about 0.
    max_mm : float
        Bound, never exceeded; at least half as much again as ``rms_mm``.
    length_mm : float
        Displacements at two points this far apart have the correlation exp(-1/2).
    seed : int
        The same seed gives the same displacement at the same place, whatever the grid.

    Raises
    ------
    CaseError
        If the outline has fewer than 3 points.
    """
    field = wavering(outline, length_mm=length_mm, random=np.random.default_rng(seed))
    weight = outline.length / outline.length.sum()
    field = field - weight @ field
    spread = float(np.sqrt(weight @ field**2))
    if len(field) < 3 or spread < 1e-9:
        raise CaseError(
            ExclusionCode.ROI_TOO_SMALL,
            f"found an outline of {len(field)} points, expected at least 3 that can be displaced differently; "
            "use another image of the lesion",
        )
    field = field / spread

    def excess(log_scale: float) -> float:
        limited = max_mm * np.tanh(np.exp(log_scale) * field / max_mm)
        return float(np.sqrt(weight @ limited**2)) - rms_mm

    # Peaks are bent down to the bound, and the whole is scaled until its root mean square is the stated one.
    scale = np.exp(brentq(excess, np.log(rms_mm) - 1e-6, np.log(rms_mm) + 20.0))
    return np.asarray(max_mm * np.tanh(scale * field / max_mm), dtype=np.float64)
