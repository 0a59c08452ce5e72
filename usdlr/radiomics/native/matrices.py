"""Texture matrices of a region: one pass over its box for all of them.

Directions are the four of the plane at a distance of one pixel, neighbourhoods the eight pixels around. All matrices
hold only the grey levels that occur. Definitions are PyRadiomics' (doi 10.1158/0008-5472.CAN-17-0339).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usdlr.radiomics.native.discretise import Levels
from usdlr.radiomics.native.kernel import compiled

Doubles = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Index = npt.NDArray[np.int32]

# Right, down and left, down, down and right: with their opposites the eight neighbours.
DIRECTIONS = ((0, 1), (1, -1), (1, 0), (1, 1))
NEIGHBOURS = 8


@dataclass(frozen=True)
class Matrices:
    """Counts of a region; ``levels`` is the number of grey levels that occur.

    Parameters
    ----------
    values : float64 array, (levels,)
        The grey levels.
    counts : int64 array, (levels,)
        Pixels of each.
    highest : int
        The highest grey level.
    co_occurrence : float64 array, (4, levels, levels)
        Symmetric counts of neighbouring pixels per direction.
    runs : float64 array, (4, levels, longest)
        Runs by length, from 1, per direction; a direction in which no line holds two pixels is empty.
    dependence : float64 array, (levels, 9)
        Pixels by the number of neighbours with the same level, from 0.
    differences : float64 array, (levels,)
        Sum over the pixels of a level of the absolute difference from the mean of their neighbours in the region.
    zones : float64 array, (levels, sizes)
        Connected zones by the sizes that occur.
    sizes : float64 array, (sizes,)
        Those sizes in pixels, rising.
    """

    values: Doubles
    counts: Counts
    highest: int
    co_occurrence: Doubles
    runs: Doubles
    dependence: Doubles
    differences: Doubles
    zones: Doubles
    sizes: Doubles


@compiled
def _root(parent: Index, label: int) -> int:
    while parent[label] != label:
        parent[label] = parent[parent[label]]
        label = parent[label]
    return label


@compiled
def _pass(
    index: Index,
    values: Doubles,
    pairs: Counts,
    runs: Counts,
    dependence: Counts,
    differences: Doubles,
    owner: Index,
    size: Index,
) -> tuple[int, int]:
    """Fill all matrices; returns the length of the longest run and the number of zones.

    ``owner`` (level from 0) and ``size`` get one entry per zone.
    """
    rows, cols = index.shape
    # Length of the run that ends at a pixel, for the three downward directions, and the zone that it belongs to: of the
    # row above and of this one.
    above = np.zeros((4, cols), np.int32)
    here = np.zeros((4, cols), np.int32)
    parent = np.empty(owner.shape[0], np.int32)
    labels = 0
    longest = 1
    for r in range(1, rows - 1):
        up, row, down = index[r - 1], index[r], index[r + 1]
        right = 0
        for c in range(1, cols - 1):
            level = row[c]
            if level == 0:
                continue
            k = level - 1
            nw, n, ne, w = up[c - 1], up[c], up[c + 1], row[c - 1]
            e, sw, s, se = row[c + 1], down[c - 1], down[c], down[c + 1]
            if e:
                pairs[0, k, e - 1] += 1
            if sw:
                pairs[1, k, sw - 1] += 1
            if s:
                pairs[2, k, s - 1] += 1
            if se:
                pairs[3, k, se - 1] += 1
            same = (nw == level) + (n == level) + (ne == level) + (w == level)
            same += (e == level) + (sw == level) + (s == level) + (se == level)
            dependence[k, same] += 1
            number = (nw > 0) + (n > 0) + (ne > 0) + (w > 0) + (e > 0) + (sw > 0) + (s > 0) + (se > 0)
            if number:
                # The value of level 0, outside, is 0.
                total = values[nw] + values[n] + values[ne] + values[w]
                total += values[e] + values[sw] + values[s] + values[se]
                differences[k] += abs(values[level] - total / number)
            right = right + 1 if w == level else 1
            falling_left = above[0, c + 1] + 1 if ne == level else 1
            falling = above[1, c] + 1 if n == level else 1
            falling_right = above[2, c - 1] + 1 if nw == level else 1
            here[0, c], here[1, c], here[2, c] = falling_left, falling, falling_right
            # Adding nothing is quicker than a branch that nobody can foresee.
            runs[0, k, right] += e != level
            runs[1, k, falling_left] += sw != level
            runs[2, k, falling] += s != level
            runs[3, k, falling_right] += se != level
            longest = max(longest, right, falling_left, falling, falling_right)
            # Zones: whoever touches the pixel above touches it through that pixel.
            if n == level:
                label = above[3, c]
            elif ne == level:
                label = above[3, c + 1]
                if nw == level or w == level:
                    other = _root(parent, above[3, c - 1] if nw == level else here[3, c - 1])
                    mine = _root(parent, label)
                    parent[max(other, mine)] = min(other, mine)
            elif nw == level:
                label = above[3, c - 1]
            elif w == level:
                label = here[3, c - 1]
            else:
                label = labels
                parent[label], owner[label], size[label] = label, k, 0
                labels += 1
            size[label] += 1
            here[3, c] = label
        above, here = here, above
    zones = 0
    for label in range(labels):  # a root comes before its members
        root = _root(parent, label)
        if root == label:
            continue
        size[root] += size[label]
        size[label] = 0
    for label in range(labels):
        if size[label]:
            owner[zones], size[zones] = owner[label], size[label]
            zones += 1
    return longest, zones


@compiled
def _zone_table(owner: Index, size: Index, number: int, levels: int) -> tuple[Doubles, Doubles]:
    """Zones by level and size, and the sizes that occur."""
    largest = 0
    for i in range(number):
        largest = max(largest, size[i])
    column = np.zeros(largest + 1, np.int64)
    for i in range(number):
        column[size[i]] = 1
    different = 0
    for area in range(1, largest + 1):
        if column[area]:
            column[area] = different
            different += 1
    table = np.zeros((levels, different))
    sizes = np.empty(different)
    for i in range(number):
        table[owner[i], column[size[i]]] += 1
        sizes[column[size[i]]] = size[i]
    return table, sizes


def _no_line_of_two(index: Index, direction: int) -> bool:
    """Whether no line along a direction holds two pixels of the region, touching or not."""
    rows, cols = np.nonzero(index)
    step_r, step_c = DIRECTIONS[direction]
    line = rows * step_c - cols * step_r
    return bool(np.bincount(line - line.min()).max() < 2)


def matrices(levels: Levels) -> Matrices:
    """All matrices of a region.

    Parameters
    ----------
    levels : Levels
        The region in grey levels.
    """
    index, values = levels.index, levels.values
    n = len(values)
    pairs = np.zeros((4, n, n), np.int64)
    runs = np.zeros((4, n, max(index.shape)), np.int64)  # lengths from 0, which stays empty
    dependence = np.zeros((n, NEIGHBOURS + 1), np.int64)
    differences = np.zeros(n)
    total = int(levels.counts.sum())
    owner, size = np.empty(total, np.int32), np.empty(total, np.int32)
    longest, number = _pass(index, np.concatenate([[0.0], values]), pairs, runs, dependence, differences, owner, size)
    for direction in range(4):
        if not pairs[direction].any() and _no_line_of_two(index, direction):
            runs[direction] = 0  # single pixels say nothing about this direction
    zones, sizes = _zone_table(owner, size, number, n)
    return Matrices(
        values,
        levels.counts,
        levels.highest,
        (pairs + pairs.transpose(0, 2, 1)).astype(np.float64),
        runs[:, :, 1 : longest + 1].astype(np.float64),
        dependence.astype(np.float64),
        differences,
        zones,
        sizes,
    )
