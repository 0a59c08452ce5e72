"""A scan sector as four edges, found together: mirrored sides, top and bottom around one apex."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from usdlr.imaging.fov_evidence import Byte, ruler_end
from usdlr.imaging.fov_fit import Edge, Float, fit_arc, fit_line, outline
from usdlr.imaging.image import BoolArray

# An edge that fewer points of the outline agree on is not one.
MIN_SUPPORT = 0.25
# Sides steeper than this from the vertical belong to no scanner.
STEEPEST = 2.2
SLANTED = 0.06
# An edge this close to the image's border is the border.
SNAP = 0.012
# Support of a slanted side whose mirror image is certain, and how far the two slopes may differ.
MIN_PARTNER = 0.12
PAIRED = 0.12
# Support of an edge that needs no second opinion, and of a bottom below which the echoes fade rather than end.
SURE = 0.6
FADING = 0.4
# A faded sector may reach this much deeper than its last echo.
FURTHER = 1.5
# Distance of the centre of a curved top from where the sides meet, relative to its radius.
CONCENTRIC = 0.35
# Support of the only edge of an image, which must not be slanted: a shadow looks like that.
LONE = 0.75
# Echoes that fade this close to the image's lower border: the sector ends there.
NEAR_END = 0.06


@dataclass(frozen=True)
class Sector:
    """The edges that bound a sector.

    Parameters
    ----------
    left, right, top, bottom : Edge or None
        ``None``: the image's border.
    """

    left: Edge | None = None
    right: Edge | None = None
    top: Edge | None = None
    bottom: Edge | None = None

    def edges(self) -> list[Edge]:
        """Edges other than the image's border."""
        return [edge for edge in (self.left, self.right, self.top, self.bottom) if edge is not None]

    def sure(self) -> bool:
        """Whether both sides are beyond doubt."""
        return all(side is not None and side.support >= SURE for side in (self.left, self.right))

    def pixels(self, shape: tuple[int, int]) -> BoolArray:
        """True for the pixels, of an image of this shape, whose centre lies between the edges."""
        rows, cols = np.arange(shape[0]) + 0.5, np.arange(shape[1]) + 0.5
        inside = np.ones(shape, dtype=bool)
        if self.left is not None:
            inside &= cols[None] > self.left.position(rows)[:, None]
        if self.right is not None:
            inside &= cols[None] < self.right.position(rows)[:, None]
        if self.top is not None:
            inside &= rows[:, None] > self.top.position(cols)[None]
        if self.bottom is not None:
            inside &= rows[:, None] < self.bottom.position(cols)[None]
        return inside


def fit_sector(evidence: BoolArray, grey: Byte, others: BoolArray) -> Sector:
    """Fit the edges of a sector.

    Parameters
    ----------
    evidence : bool array, (rows, columns)
        Where echoes are certain.
    grey : uint8 array, (rows, columns)
        The frame.
    others : bool array, (rows, columns)
        Whatever else is drawn; its depth ruler tells where a sector that fades into black ends.

    Returns
    -------
    Sector
        An edge that the evidence does not support is the image's border: rather too much than tissue lost.
    """
    rows, cols = evidence.shape
    tolerance = max(1.5, 0.004 * min(rows, cols))
    outlines = outline(evidence)
    left, right = _sides(outlines[0], outlines[1], cols, tolerance)
    top = _end(outlines[2], rows, 1, tolerance, (left, right))
    bottom = _end(outlines[3], rows, -1, tolerance, (left, right))
    if left is not None or right is not None:
        ruler = None if bottom is not None and bottom.support >= SURE else ruler_end(grey, others)
        if bottom is not None and ruler is not None:
            lowest = float(np.max(bottom.position(np.arange(cols) + 0.5)))
            bottom = None if ruler > lowest + 2 * tolerance else bottom
        elif bottom is not None and bottom.support < FADING:
            bottom = None
        if bottom is None:
            bottom = _faded(evidence, ruler, left, right, top)
    else:
        # A picture cropped to its width: what fades above or below is no edge.
        top, bottom = (edge if edge is not None and edge.support >= LONE else None for edge in (top, bottom))
    found = [edge for edge in (left, right, top, bottom) if edge is not None]
    if len(found) == 1 and (found[0].support < LONE or abs(found[0].slope) > SLANTED):
        return Sector()
    return Sector(left, right, top, bottom)


def _sides(left: Float, right: Float, size: int, tolerance: float) -> tuple[Edge | None, Edge | None]:
    """Left and right edge. Slanted sides come as a mirrored pair, unless the image's border cuts one of them off."""
    steep = (-STEEPEST, SLANTED / 2), (-SLANTED / 2, STEEPEST)
    sides: list[Edge | None] = [
        _side(points, size, inward, tolerance, slopes, MIN_SUPPORT)
        for points, inward, slopes in ((left, 1, steep[0]), (right, -1, steep[1]))
    ]
    slanted = [side.support if side is not None and abs(side.slope) > SLANTED else 0.0 for side in sides]
    lead = int(np.argmax(slanted))
    leader, follower = sides[lead], sides[1 - lead]
    if leader is None or slanted[lead] == 0.0:
        return sides[0], sides[1]
    mirrored = -leader.slope
    if follower is None or abs(follower.slope - mirrored) > PAIRED:
        points, inward = ((left, 1), (right, -1))[1 - lead]
        slopes = mirrored - PAIRED / 2, mirrored + PAIRED / 2
        partner = _side(points, size, inward, tolerance, slopes, MIN_PARTNER)
        if partner is not None:
            sides[1 - lead] = partner
        elif follower is None and float(((points <= 1.5) | (points >= size - 1.5)).mean()) < 0.5:
            sides[lead] = None
    return sides[0], sides[1]


def _side(
    points: Float, size: int, inward: int, tolerance: float, slopes: tuple[float, float], support: float
) -> Edge | None:
    at = np.arange(len(points), dtype=np.float64) + 0.5
    known = np.isfinite(points)
    free = known & (points > 1.5) & (points < size - 1.5)
    edge = fit_line(at[free], points[free], inward, tolerance, slopes)
    if edge is None or edge.support * free.sum() < support * known.sum():
        return None
    border = 0.0 if inward > 0 else float(size)
    ends = edge.position(np.array(edge.span))
    if float(np.abs(ends - border).max()) <= max(2.0, SNAP * size):
        return None
    return edge


def _end(
    points: Float, size: int, inward: int, tolerance: float, sides: tuple[Edge | None, Edge | None]
) -> Edge | None:
    at = np.arange(len(points), dtype=np.float64) + 0.5
    known = np.isfinite(points)
    for side in sides:
        if side is not None and abs(side.slope) > SLANTED:
            # Columns whose outermost echo lies on a slanted side say nothing about top or bottom.
            off = np.abs(side.position(np.where(known, points, 0.0)) - at)
            known &= off > 2 * tolerance * max(1.0, abs(side.slope))
    free = known & (points > 1.5) & (points < size - 1.5)
    if free.sum() < max(12.0, 0.2 * known.sum()):
        return None
    line = fit_line(at[free], points[free], inward, tolerance, (-0.02, 0.02))
    arc, apex = None, _apex(sides[0], sides[1])
    if apex is not None:
        arc = fit_arc(at[free], points[free], inward, tolerance, (0.05 * size, 6.0 * size), apex)
        # The arc of a probe is centred where its sides meet; that of a cyst at the upper border is not.
        if arc is not None and inward > 0:
            aside = np.hypot(arc.coefficients[0] - apex[0], arc.coefficients[1] - apex[1])
            arc = arc if aside < CONCENTRIC * arc.coefficients[2] else None
    edge = arc if arc is not None and (line is None or arc.support > 1.1 * line.support) else line
    if edge is None or edge.support < MIN_SUPPORT:
        return None
    border = 0.0 if inward > 0 else float(size)
    if edge.straight and abs(edge.coefficients[0] - border) <= max(2.0, SNAP * size):
        return None
    return edge


def _apex(left: Edge | None, right: Edge | None) -> tuple[float, float] | None:
    """``(column, row)`` where slanted sides would meet."""
    if left is None or right is None or right.slope - left.slope < SLANTED:
        return None
    row = (right.coefficients[0] - left.coefficients[0]) / (left.slope - right.slope)
    return left.coefficients[0] + left.slope * row, row


def _faded(
    evidence: BoolArray, ruler: float | None, left: Edge | None, right: Edge | None, top: Edge | None
) -> Edge | None:
    """The bottom of a sector whose depth fades into black: where its ruler ends, or where its last echoes are."""
    rows, cols = evidence.shape
    hits = np.argwhere(evidence)
    apex = _apex(left, right)
    if apex is None or left is None or right is None:
        lowest = max(float(hits[:, 0].max()) + 1, ruler or 0.0)
        return None if rows - lowest <= NEAR_END * rows else Edge((lowest, 0.0), 0.0, (0.0, float(cols)))
    # A sector lies within its image; cropped to its bounding box, it touches the border on three sides.
    heights = apex[0] / max(-left.slope, 1e-6), (cols - apex[0]) / max(right.slope, 1e-6)
    reach = [height * float(np.hypot(1.0, side.slope)) for height, side in zip(heights, (left, right), strict=True)]
    arc = top is not None and not top.straight
    distance = np.hypot(hits[:, 1] + 0.5 - apex[0], hits[:, 0] + 0.5 - apex[1]) if arc else hits[:, 0] + 1 - apex[1]
    depth, largest = float(np.percentile(distance, 99.9)), min(rows - apex[1], *reach)
    start = float(distance.min())
    if ruler is not None:
        depth = max(depth, ruler - apex[1])
    elif depth < largest <= start + FURTHER * (depth - start):
        depth = largest
    curved = Edge((*apex, depth), 0.0, (0.0, float(cols)))
    if arc:
        return curved
    # A flat top goes with either bottom. Cropped to its bounding box, the sides leave the image at its lower corners,
    # or above them; else echoes in the corners beside the arc tell.
    flat = Edge((apex[1] + depth, 0.0), 0.0, (0.0, float(cols)))
    if ruler is None and depth == rows - apex[1]:
        return flat if min(heights) >= 0.98 * depth else curved
    outer = Sector(left, right, top, curved).pixels((rows, cols))
    band = outer & ~Sector(left, right, top, curved.moved(-0.06 * depth)).pixels((rows, cols))
    corners = Sector(left, right, top, flat).pixels((rows, cols)) & ~outer
    last = float(evidence[band].mean()) if band.any() else 0.0
    return curved if last > 0.05 and corners.any() and float(evidence[corners].mean()) < 0.03 * last else flat
