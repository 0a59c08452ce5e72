"""What isotonic regression says of a score that is added to the data, for every place where it may be added."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from usdlr.decision.arrays import FloatArray

IntArray = npt.NDArray[np.int64]


def multiprobabilities(rows: FloatArray, positive: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Isotonic risk at each distinct score after one more row is added there, a negative and a positive one.

    The isotonic regression is the slope of the lower hull of the cumulative diagram (rows, positives). A row more at a
    score moves all later points by (1, 0) or (1, 1): the slope there is that of the common lower tangent of the hull
    before and the moved hull after it. All tangents are found side by side, in whole numbers.

    Parameters
    ----------
    rows : (k,) float64 array
        Rows of every distinct score, in increasing order of the scores; whole numbers from 1 upward.
    positive : (k,) float64 array
        How many of them are positive.

    Returns
    -------
    p0, p1 : (k,) float64 array
        Never falling; ``p0`` is below 1 and ``p1`` above 0.

    Examples
    --------
    >>> [values.round(3).tolist() for values in multiprobabilities(np.array([1.0, 1.0]), np.array([0.0, 1.0]))]
    [[0.0, 0.5], [0.5, 1.0]]
    """
    across = np.concatenate([[0], np.cumsum(np.rint(rows).astype(np.int64))])
    up = np.concatenate([[0], np.cumsum(np.rint(positive).astype(np.int64))])
    before, after = _hull_before(across, up), _hull_after(across, up)
    return _tangents(across, up, before, after, 0), _tangents(across, up, before, after, 1)


def _hull_before(x: IntArray, y: IntArray) -> IntArray:
    """For every point, the vertex before it on the lower hull of the points up to it; the first is its own."""
    found = [0]
    hull = [0]
    px, py = x.tolist(), y.tolist()
    for new in range(1, len(px)):
        # A vertex that does not lie below the line from the one before it to the new point is none.
        while len(hull) > 1:
            a, b = hull[-2], hull[-1]
            if (py[b] - py[a]) * (px[new] - px[a]) < (py[new] - py[a]) * (px[b] - px[a]):
                break
            hull.pop()
        found.append(hull[-1])
        hull.append(new)
    return np.array(found, dtype=np.int64)


def _hull_after(x: IntArray, y: IntArray) -> IntArray:
    """For every point, the vertex after it on the lower hull of the points from it on; the last is its own."""
    # Seen from behind: turned by half a circle the order is reversed and a lower hull becomes an upper one, mirrored
    # instead it stays a lower one.
    mirrored = _hull_before(x[-1] - x[::-1], y[::-1])
    return len(x) - 1 - mirrored[::-1]


def _tangents(x: IntArray, y: IntArray, before: IntArray, after: IntArray, label: int) -> FloatArray:
    """Slope of the tangent from the points before a score to those from it on, moved by (1, ``label``)."""
    left, right = np.arange(len(x) - 1), np.arange(1, len(x))
    moving = np.ones(len(left), dtype=bool)
    while moving.any():
        place = np.flatnonzero(moving)
        a, b = left[place], right[place]
        run, rise = x[b] + 1 - x[a], y[b] + label - y[a]
        further, earlier = after[b], before[a]
        # Steeper on the left than the tangent, or flatter on the right: the vertex next to it lies below the line.
        down_left = (y[a] - y[earlier]) * run > rise * (x[a] - x[earlier])
        down_right = (y[further] - y[b]) * run < rise * (x[further] - x[b])
        left[place] = np.where(down_left, earlier, a)
        right[place] = np.where(down_right, further, b)
        moving[place] = down_left | down_right
    return (y[right] + label - y[left]) / (x[right] + 1 - x[left])
