"""Grey levels of a region, exactly as PyRadiomics cuts them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.core.errors import CaseError
from usdlr.core.types import ExclusionCode
from usdlr.radiomics.native.kernel import compiled
from usdlr.radiomics.settings import MAX_BIN_COUNT

# More levels than this are a bin width in the wrong unit: matrices grow with their square.
MAX_LEVELS = MAX_BIN_COUNT
MAX_EDGES = 1_000_000


@dataclass(frozen=True)
class Levels:
    """A region in grey levels.

    Parameters
    ----------
    index : int array, (rows + 2, columns + 2)
        Position of every pixel's level in ``values`` plus one, 0 outside the region and in the border of one pixel.
    values : float64 array, (levels,)
        The levels that occur, in rising order; PyRadiomics counts levels from 1.
    counts : int array, (levels,)
        Number of pixels of each.
    """

    index: npt.NDArray[np.int32]
    values: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]

    @property
    def highest(self) -> int:
        """PyRadiomics' number of grey levels: the highest that occurs."""
        return int(self.values[-1])


def bin_edges(values: npt.NDArray[Any], *, count: int | None, width: float | None) -> npt.NDArray[Any]:
    """Edges of the grey levels, in the type of ``values``.

    Parameters
    ----------
    values : float array, (pixels,)
        Intensities inside the region.
    count : int or None
        Number of levels between the smallest and the largest value; used when ``width`` is ``None``.
    width : float or None
        Width of a level; the edges are its multiples.

    Raises
    ------
    CaseError
        If the width cuts the region into more levels than any matrix can hold, or no level can be told from the next.

    Examples
    --------
    >>> bin_edges(np.array([54.0, 166.0]), count=None, width=25)
    array([ 50.,  75., 100., 125., 150., 175., 200.])
    """
    if width is None:
        assert count is not None
        try:
            edges = np.histogram_bin_edges(values, count)
        except ValueError as error:  # a range of rounding noise
            raise CaseError(
                ExclusionCode.FEATURES_FAILED,
                f"found intensities from {values.min()} to {values.max()} in the ROI, which {count} grey levels cannot "
                f"part ({error}); check the image",
            ) from error
        edges[-1] += 1  # the largest value belongs to the last level
        return edges
    low, high = values.min(), values.max()
    if (float(high) - float(low)) / width > MAX_EDGES:
        raise too_many_levels(int((float(high) - float(low)) / width), width)
    found = np.arange(low - (low % width), high + 2 * width, width)
    return np.asarray([found[0] - 0.5, found[0] + 0.5]) if len(found) == 1 else found


def too_many_levels(found: int, width: float | None) -> CaseError:
    """The reason why a region is not measured."""
    return CaseError(
        ExclusionCode.FEATURES_FAILED,
        f"found {found} grey levels in the ROI with radiomics.bin_width = {width}, expected at most {MAX_LEVELS}; "
        "give the width in the image's unit, or use radiomics.bin_count",
    )


@compiled
def _digitise(
    box: Any,
    inside: npt.NDArray[np.bool_],
    edges: Any,
    low: float,
    scale: float,
    out: npt.NDArray[np.int32],
    counts: npt.NDArray[np.int64],
) -> None:
    """Number of edges at or below every pixel inside, written into ``out`` within its border, and how often."""
    rows, cols = box.shape
    last = edges.shape[0]
    for r in range(rows):
        for c in range(cols):
            if not inside[r, c]:
                continue
            value = box[r, c]
            # A guess by the average width, put right by comparison with the edges themselves.
            k = min(max(int((value - low) * scale), 0), last - 1)
            while k < last and edges[k] <= value:
                k += 1
            while k > 0 and edges[k - 1] > value:
                k -= 1
            out[r + 1, c + 1] = k
            counts[k] += 1


@compiled
def _compact(index: npt.NDArray[np.int32], place: npt.NDArray[np.int32]) -> None:
    rows, cols = index.shape
    for r in range(rows):
        for c in range(cols):
            index[r, c] = place[index[r, c]]


def discretise(
    box: npt.NDArray[Any], inside: npt.NDArray[np.bool_], *, count: int | None, width: float | None
) -> Levels:
    """Grey levels of a region.

    Parameters
    ----------
    box : float array, (rows, columns)
        Image around the region.
    inside : bool array, (rows, columns)
        The region, at least one pixel.
    count, width : int or None, float or None
        See :func:`bin_edges`.

    Raises
    ------
    CaseError
        If there are more levels than :data:`MAX_LEVELS`.
    """
    edges = bin_edges(box[inside], count=count, width=width)
    index = np.zeros((box.shape[0] + 2, box.shape[1] + 2), np.int32)
    span = float(edges[-2]) - float(edges[0])
    scale = (len(edges) - 2) / span if span > 0 else 0.0
    counts = np.zeros(len(edges) + 1, np.int64)
    _digitise(box, inside, edges, float(edges[0]), scale, index, counts)
    found = _levels(index, counts)
    if len(found.values) > MAX_LEVELS:
        raise too_many_levels(len(found.values), width)
    return found


def levels_of(index: npt.NDArray[np.int32]) -> Levels:
    """Grey levels that are given, as on a digital phantom.

    Parameters
    ----------
    index : int32 array, (rows + 2, columns + 2)
        Grey level of every pixel from 1, 0 outside the region and in the border of one pixel; overwritten.
    """
    counts = np.bincount(index.ravel())
    counts[0] = 0
    return _levels(index, counts)


def _levels(index: npt.NDArray[np.int32], counts: npt.NDArray[np.int64]) -> Levels:
    present = np.flatnonzero(counts)
    if present[-1] > len(present):
        place = np.zeros(len(counts), np.int32)
        place[present] = np.arange(1, len(present) + 1)
        _compact(index, place)
    return Levels(index, present.astype(np.float64), counts[present])
