"""Straight and circular edges of a scan sector, fitted to where its evidence ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.imaging.image import BoolArray

Float = npt.NDArray[np.float64]

# Points of the outline that the candidates go through; all points vote.
PAIR_POINTS = 48
TRIPLE_POINTS = 22
# A point beyond an edge speaks against it more than a point short of it: tissue may be black, background is not tissue.
BEYOND_COSTS = 1.0


@dataclass(frozen=True)
class Edge:
    """One edge as a function ``position(at)``: column over row for the sides, row over column for top and bottom.

    Parameters
    ----------
    coefficients : tuple of float
        Straight: ``(offset, slope)``. Circular: ``(centre_at, centre_position, radius)``; the arc is the part with the
        larger position.
    support : float
        Share of the outline's points that lie on it.
    span : tuple of float
        First and last coordinate of the points on it.
    """

    coefficients: tuple[float, ...]
    support: float
    span: tuple[float, float]

    @property
    def straight(self) -> bool:
        """Whether it is a line."""
        return len(self.coefficients) == 2

    @property
    def slope(self) -> float:
        """Change of position per step; 0 for an arc."""
        return self.coefficients[1] if self.straight else 0.0

    def position(self, at: npt.NDArray[Any]) -> Float:
        """Where the edge is at each coordinate; minus infinity beside an arc."""
        return _position(self.coefficients, at.astype(np.float64))

    def moved(self, by: float) -> Edge:
        """The same edge, shifted towards larger positions (an arc keeps its centre)."""
        if self.straight:
            return Edge((self.coefficients[0] + by, self.coefficients[1]), self.support, self.span)
        centre_at, centre, radius = self.coefficients
        return Edge((centre_at, centre, radius + by), self.support, self.span)


def _position(coefficients: tuple[float, ...], at: Float) -> Float:
    if len(coefficients) == 2:
        return np.asarray(coefficients[0] + coefficients[1] * at)
    centre_at, centre, radius = coefficients
    inner = radius**2 - (at - centre_at) ** 2
    return np.asarray(np.where(inner >= 0, centre + np.sqrt(np.maximum(inner, 0)), -np.inf))


def fit_line(at: Float, position: Float, inward: int, tolerance: float, slopes: tuple[float, float]) -> Edge | None:
    """The outermost straight edge that most points of an outline agree on.

    Parameters
    ----------
    at, position : array, (points,)
        Coordinate along the edge, and where the evidence ends there.
    inward : int
        +1 when the sector lies at larger positions, -1 when at smaller.
    tolerance : float
        Pixels that a point may lie off.
    slopes : tuple of float
        Smallest and largest slope.

    Returns
    -------
    Edge or None
        ``None`` when there are too few points.
    """
    if len(at) < 8:
        return None
    first, second = _pairs(np.unique(np.linspace(0, len(at) - 1, PAIR_POINTS).astype(int)))
    run = at[second] - at[first]
    usable = np.abs(run) > 0.05 * np.ptp(at)
    slope = np.where(usable, (position[second] - position[first]) / np.where(usable, run, 1.0), np.inf)
    usable &= (slope >= slopes[0]) & (slope <= slopes[1])
    if not usable.any():
        return None
    slope = slope[usable]
    offset = position[first[usable]] - slope * at[first[usable]]
    return _best(at, position, np.column_stack([offset, slope]), inward, tolerance)


def fit_arc(
    at: Float,
    position: Float,
    inward: int,
    tolerance: float,
    radii: tuple[float, float],
    centre: tuple[float, float] | None = None,
) -> Edge | None:
    """The outermost circular edge, bulging towards larger positions, that most points agree on.

    Parameters
    ----------
    radii : tuple of float
        Smallest and largest radius in pixels.
    centre : tuple of float or None
        ``(at, position)`` of a centre that is likely, where the sides would meet.
    """
    if len(at) < 12:
        return None
    candidates = _circles(at, position, radii)
    if centre is not None:
        radius = np.hypot(at - centre[0], position - centre[1])[:: max(1, len(at) // 100)]
        likely = np.column_stack([np.full_like(radius, centre[0]), np.full_like(radius, centre[1]), radius])
        candidates = np.concatenate([likely, candidates])
    return _best(at, position, candidates, inward, tolerance) if len(candidates) else None


def _circles(at: Float, position: Float, radii: tuple[float, float]) -> Float:
    """Centre (at, position) and radius of circles through three points each."""
    chosen = np.unique(np.linspace(0, len(at) - 1, TRIPLE_POINTS).astype(int))
    a, b, c = _triples(chosen)
    x = np.stack([at[a], at[b], at[c]])
    y = np.stack([position[a], position[b], position[c]])
    # Perpendicular bisectors of the two chords meet in the centre.
    dx1, dy1, dx2, dy2 = x[1] - x[0], y[1] - y[0], x[2] - x[0], y[2] - y[0]
    determinant = 2 * (dx1 * dy2 - dy1 * dx2)
    usable = np.abs(determinant) > 1e-6
    safe = np.where(usable, determinant, 1.0)
    s1, s2 = dx1**2 + dy1**2, dx2**2 + dy2**2
    centre_at = x[0] + (dy2 * s1 - dy1 * s2) / safe
    centre = y[0] + (dx1 * s2 - dx2 * s1) / safe
    radius = np.hypot(x[0] - centre_at, y[0] - centre)
    usable &= (radius >= radii[0]) & (radius <= radii[1]) & (centre < y.min(axis=0))
    usable &= (centre_at > at.min() - np.ptp(at)) & (centre_at < at.max() + np.ptp(at))
    return np.asarray(np.column_stack([centre_at, centre, radius])[usable])


def _best(at: Float, position: Float, candidates: Float, inward: int, tolerance: float) -> Edge:
    thin = slice(None, None, max(1, len(at) // 200))
    few_at, few_position = at[thin][None], position[thin][None]
    if candidates.shape[1] == 2:
        model = candidates[:, :1] + candidates[:, 1:] * few_at
    else:
        inner = candidates[:, 2:] ** 2 - (few_at - candidates[:, :1]) ** 2
        model = np.where(inner >= 0, candidates[:, 1:2] + np.sqrt(np.maximum(inner, 0)), -1e9)
    off = (few_position - model) * inward
    score = (np.abs(off) <= tolerance).sum(axis=1) - BEYOND_COSTS * (off < -tolerance).sum(axis=1)
    coefficients = tuple(float(value) for value in candidates[int(np.argmax(score))])
    for _ in range(2):
        near = np.abs(position - _position(coefficients, at)) <= tolerance
        if near.sum() < 8:
            break
        coefficients = _least_squares(at[near], position[near], coefficients)
    near = np.abs(position - _position(coefficients, at)) <= tolerance
    span = (float(at[near].min()), float(at[near].max())) if near.any() else (0.0, 0.0)
    return Edge(coefficients, float(near.mean()), span)


def _least_squares(at: Float, position: Float, coefficients: tuple[float, ...]) -> tuple[float, ...]:
    if len(coefficients) == 2:
        design = np.column_stack([np.ones_like(at), at])
        offset, slope = np.linalg.lstsq(design, position, rcond=None)[0]
        return float(offset), float(slope)
    # Gauss-Newton on the distance from the circle; coordinates stay near the start, so that one step is enough.
    centre_at, centre, radius = coefficients
    dx, dy = at - centre_at, position - centre
    distance = np.maximum(np.hypot(dx, dy), 1e-6)
    design = np.column_stack([dx / distance, dy / distance, np.ones_like(at)])
    step = np.linalg.lstsq(design, distance - radius, rcond=1e-3)[0]
    return float(centre_at + step[0]), float(centre + step[1]), float(radius + step[2])


def _pairs(chosen: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    i, j = np.triu_indices(len(chosen), 1)
    return chosen[i], chosen[j]


def _triples(chosen: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.intp], ...]:
    i, j, k = np.meshgrid(*[np.arange(len(chosen))] * 3, indexing="ij")
    # Points close together say nothing about a circle.
    apart = max(1, len(chosen) // 6)
    keep = (j - i >= apart) & (k - j >= apart)
    return chosen[i[keep]], chosen[j[keep]], chosen[k[keep]]


def outline(evidence: BoolArray) -> tuple[Float, Float, Float, Float]:
    """First and last column of every row, first and last row of every column, as edges between pixels; NaN: empty."""
    result = []
    for table in (evidence, evidence.T):
        some = table.any(axis=1)
        first = np.where(some, table.argmax(axis=1), np.nan).astype(np.float64)
        last = np.where(some, table.shape[1] - table[:, ::-1].argmax(axis=1), np.nan).astype(np.float64)
        result += [first, last]
    return result[0], result[1], result[2], result[3]
