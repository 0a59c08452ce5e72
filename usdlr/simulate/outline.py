"""The outline of a lesion in millimetres, and the pixels inside it."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt
from scipy.spatial.distance import cdist, pdist

from usdlr.core.units import Spacing
from usdlr.imaging.mask import LesionMask, measure
from usdlr.simulate.acquired import Flags
from usdlr.simulate.noise import Map

Points = npt.NDArray[np.float64]

OUTLINE_POINTS = 720
# No spicule is thinner, nor its tip sharper, than what an ultrasound pulse could show.
SPICULE_MM = 0.4
TIP_MM = 0.25
SPICULES = 26  # on average on the most irregular lesion
SPICULE_HEIGHT, LONGEST_SPICULE = 0.105, 0.34  # mean and most, in radii of the most irregular lesion: few are long
SPICULE_WIDTH = (0.03, 0.08)  # radians
SPICULE_LEAN = 0.6  # most by which one flank is less steep than the mean of both, and the other steeper
INSET_PIXELS = 0.05


def longest_diameter(points_mm: Points) -> float:
    """Largest distance between any two of ``points_mm``, shape (points, 2), in mm.

    Examples
    --------
    >>> longest_diameter(np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]]))
    5.0
    """
    # Only corners of the convex hull can be farthest apart.
    hull = _hull(points_mm)
    return float(pdist(hull).max()) if len(hull) > 1 else 0.0


def _hull(points_mm: Points) -> Points:
    corners = np.asarray(cv2.convexHull(points_mm.astype(np.float32), returnPoints=False), dtype=np.intp)
    return points_mm[corners.ravel()]


def star_outline(rng: np.random.Generator, size_mm: float, aspect_ratio: float, spiculation: float) -> Points:
    """A closed star-shaped outline about the origin whose longest diameter is ``size_mm``.

    Parameters
    ----------
    rng : Generator
        Source of the shape.
    size_mm : float
        Longest diameter.
    aspect_ratio : float
        Height over width of the underlying ellipse.
    spiculation : float
        0: a smooth oval; 1: lobulated with many sharp spicules.

    Returns
    -------
    ndarray, shape (720, 2)
        (depth, lateral) in mm.
    """
    angle = np.linspace(0, 2 * np.pi, OUTLINE_POINTS, endpoint=False)
    tilt = rng.normal(0, 0.2)
    radius = 1 / np.hypot(np.cos(angle - tilt), np.sin(angle - tilt) / aspect_ratio)
    waves = np.arange(2, 10)
    amplitude = (0.025 + 0.11 * spiculation) * rng.normal(size=len(waves)) / waves**0.6
    phase = rng.uniform(0, 2 * np.pi, len(waves))
    radius = radius * np.exp(amplitude @ np.cos(waves[:, None] * angle + phase[:, None]))
    thinnest, tip = SPICULE_MM / (0.5 * size_mm), TIP_MM / (0.5 * size_mm)
    for _ in range(rng.poisson(SPICULES * spiculation)):
        off = (angle - rng.uniform(0, 2 * np.pi) + np.pi) % (2 * np.pi) - np.pi
        height = min(rng.exponential(SPICULE_HEIGHT), LONGEST_SPICULE) * spiculation
        width, lean = rng.uniform(*SPICULE_WIDTH), rng.uniform(-SPICULE_LEAN, SPICULE_LEAN)
        # A spicule that leans falls off more slowly on one side.
        flank = np.maximum(width * (1 + lean * np.sign(off)), thinnest)
        radius *= 1 + height * np.exp((tip - np.hypot(off, tip)) / flank)
    outline = radius[:, None] * np.column_stack([np.sin(angle), np.cos(angle)])
    return np.asarray(outline * size_mm / longest_diameter(outline))


def fill_outline(outline_mm: Points, shape: tuple[int, int], spacing: Spacing) -> Flags:
    """The pixels of a lesion with this outline, in one piece.

    A pixel belongs to the lesion if its centre lies inside the outline. Measured between corners of pixels, such a
    lesion would come out too long: a square reaches farther beyond its centre along a diagonal than along the grid.
    The outline is therefore drawn in by the difference, at most a fifth of a pixel. A tip so thin that no centre lies
    in it is drawn along its middle if the longest diameter ends there. The longest diameter of the pixels, corner to
    corner, then agrees with that of the outline within one pixel.

    Parameters
    ----------
    outline_mm : ndarray, shape (points, 2)
        Closed, star-shaped about the mean of its points; (depth, lateral) in mm from the centre of pixel (0, 0).
    shape : tuple of int
        (rows, cols) of the image.
    spacing : Spacing
        Millimetres per pixel.
    """
    filled = _largest_piece(_centres_inside(_drawn_in(outline_mm, spacing) / spacing.as_tuple(), shape))
    # A lesion that the image cuts off has no length to keep.
    whole = (outline_mm >= 0).all() and (outline_mm <= (np.array(shape) - 1) * spacing.as_tuple()).all()
    if filled.any() and whole:
        _draw_tips(filled, outline_mm, spacing)
    return filled


def _drawn_in(outline_mm: Points, spacing: Spacing) -> Points:
    """The outline moved along its inner normal by what pixels' corners reach beyond it."""
    along = np.roll(outline_mm, -1, axis=0) - np.roll(outline_mm, 1, axis=0)
    normal = np.column_stack([along[:, 1], -along[:, 0]])
    normal /= np.maximum(np.hypot(normal[:, 0], normal[:, 1]), 1e-12)[:, None]
    outward = np.sign((normal * (outline_mm - outline_mm.mean(axis=0))).sum())
    longer = max(spacing.as_tuple())
    reach = 0.5 * (np.abs(normal) @ np.array(spacing.as_tuple()) - longer) + INSET_PIXELS * longer
    return np.asarray(outline_mm - outward * reach[:, None] * normal)


def _centres_inside(corners: Points, shape: tuple[int, int]) -> Flags:
    """Pixels whose centre lies inside a polygon; ``corners`` in pixels, (row, column)."""
    following = np.roll(corners, -1, axis=0)
    upward = (corners[:, 0] > following[:, 0])[:, None]
    upper, lower = np.where(upward, following, corners), np.where(upward, corners, following)
    first, last = (np.clip(np.ceil(end[:, 0]), 0, shape[0]).astype(np.intp) for end in (upper, lower))
    crossed = last - first  # rows whose line of centres an edge crosses
    edge = np.repeat(np.arange(len(corners)), crossed)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(crossed) - crossed, crossed) + first[edge]
    share = (row - upper[edge, 0]) / (lower[edge, 0] - upper[edge, 0])
    column = upper[edge, 1] + share * (lower[edge, 1] - upper[edge, 1])
    column = np.clip(np.ceil(column), 0, shape[1]).astype(np.intp)
    # Inside lies what an odd number of edges has been crossed for, from the left.
    turns = np.bincount(row * (shape[1] + 1) + column, minlength=shape[0] * (shape[1] + 1)).astype(np.uint8)
    return (np.cumsum(turns.reshape(shape[0], -1), axis=1, dtype=np.uint8)[:, :-1] & 1).astype(bool)


def _largest_piece(mask: Flags) -> Flags:
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    if count <= 2:
        return mask
    return np.asarray(labels == 1 + int(boxes[1:, cv2.CC_STAT_AREA].argmax()), dtype=bool)


def _draw_tips(mask: Flags, outline_mm: Points, spacing: Spacing) -> None:
    """Set pixels from the body towards both ends of the longest diameter until its length is right; in place."""
    pixels = np.array(spacing.as_tuple())
    hull = _hull(outline_mm)
    apart = cdist(hull, hull)
    ends = hull[list(np.unravel_index(int(apart.argmax()), apart.shape))]
    longest, half = float(apart.max()), 0.5 * max(spacing.as_tuple())
    if measure(LesionMask(mask, spacing)).longest_diameter_mm >= longest - half:
        return
    middle = outline_mm.mean(axis=0)
    missing = []
    for end, other in zip(ends, ends[::-1], strict=True):
        steps = np.linspace(0, 1, 4 * math.ceil(np.abs((end - middle) / pixels).max()))
        path = np.unique(np.round((middle + steps[:, None] * (end - middle)) / pixels).astype(np.intp), axis=0)
        path = path[((path >= 0) & (path < mask.shape)).all(axis=1)]
        path = path[~mask[path[:, 0], path[:, 1]]]
        missing += [(float(np.hypot(*(place * pixels - other))), int(place[0]), int(place[1])) for place in path]
    for _, row, col in sorted(missing):
        mask[row, col] = True
        if measure(LesionMask(mask, spacing)).longest_diameter_mm >= longest - half:
            return


def signed_distance(mask: Flags, spacing: Spacing) -> Map:
    """Euclidean distance in mm to the border of ``mask``, negative inside, shape (rows, cols).

    Pixel centres next to the border, inside and outside, lie half a pixel from it, so that the distance is negative in
    the mask and nowhere else.
    """
    half = np.float32(0.5 * min(spacing.as_tuple()))
    signed = _distance(mask, spacing)
    signed -= half
    rows, cols = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if rows.size:
        # From inside, the nearest pixel outside is in the box around the mask or next to it.
        box = tuple(slice(max(hit[0] - 1, 0), hit[-1] + 2) for hit in (rows, cols))
        inside = mask[box]
        signed[box][inside] = half - _distance(~inside, spacing)[inside]
    return signed


def _distance(mask: Flags, spacing: Spacing) -> Map:
    """Distance in mm from each pixel to the nearest one in ``mask``."""
    nearest = distance_transform_edt(~mask, sampling=spacing.as_tuple(), return_distances=False, return_indices=True)
    down, across = (
        (np.arange(length, dtype=np.int32).reshape(flat) - nearest[axis]).astype(np.float32) * np.float32(pixel)
        for axis, (length, flat, pixel) in enumerate(
            zip(mask.shape, ((-1, 1), (1, -1)), spacing.as_tuple(), strict=True)
        )
    )
    down *= down
    across *= across
    down += across
    return np.asarray(np.sqrt(down, out=down), dtype=np.float32)
