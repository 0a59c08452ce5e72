"""Maximal correlation coefficient of co-occurrence matrices, for many matrices at once.

PyRadiomics takes the second largest eigenvalue of ``Q(i, j) = sum_k p(i, k) p(j, k) / (p(i) p(k) + eps)`` by a general
solver. Without ``eps``, Q is similar to the square of the symmetric ``A = p(i, j) / sqrt(p(i) p(j))``, whose
eigenvalues a symmetric solver finds several times faster and more exactly; what ``eps`` changes is then added to first
order. Where that is not exact enough (rare levels in huge regions, eigenvalues close together) the general solver runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from usdlr.radiomics.native.classes import EPSILON

Doubles = npt.NDArray[np.float64]

# Relative change by eps, and gap between eigenvalues, beyond which first order is not exact to 1e-9.
_LARGEST_CHANGE = 1e-5
_SMALLEST_GAP = 1e-3


def maximal_correlation(stacks: Sequence[Doubles]) -> list[float]:
    """``MCC`` of every region.

    Parameters
    ----------
    stacks : sequence of float64 array, (directions, levels, levels)
        Symmetric co-occurrence counts of each region, without empty directions; every level occurs in some pair or
        in none.

    Returns
    -------
    list of float
        Mean over the directions: 1 for a single level, not-a-number without a direction.
    """
    out = [float("nan")] * len(stacks)
    waiting: list[tuple[int, Doubles]] = []
    for place, stack in enumerate(stacks):
        if not len(stack):
            continue
        if stack.shape[1] < 2:
            out[place] = 1.0
            continue
        waiting.extend((place, matrix / matrix.sum()) for matrix in stack)
    found: dict[int, list[float]] = {place: [] for place, _ in waiting}
    for level_count in sorted({len(matrix) for _, matrix in waiting}):
        group = [(place, matrix) for place, matrix in waiting if len(matrix) == level_count]
        values = _second_eigenvalues(np.stack([matrix for _, matrix in group]))
        for (place, _), value in zip(group, values, strict=True):
            found[place].append(float(np.sqrt(value)) if value >= 0 else float("nan"))
    for place, roots in found.items():
        known = [root for root in roots if not np.isnan(root)]
        out[place] = float(np.mean(known)) if known else float("nan")
    return out


def _second_eigenvalues(p: Doubles) -> Doubles:
    """Second largest eigenvalue of Q for each of (matrices, levels, levels), all with the same number of levels."""
    d = p.sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.where(d > 0, 1 / np.sqrt(d), 0.0)
    mu, u = np.linalg.eigh(root[:, :, None] * p * root[:, None, :])
    rank = np.argsort(-np.abs(mu), axis=1, kind="stable")[:, :3]
    m = np.take_along_axis(mu, rank, axis=1)
    v = np.take_along_axis(u, rank[:, None, :], axis=2)
    # First order in eps: -eps mu sum_k u_k d_k^(-3/2) sum_i p_ki d_i^(-3/2) u_i
    w = v * (root**3)[:, :, None]
    change = -EPSILON * m * (w * (p @ w)).sum(axis=1)
    squares = -np.sort(-(m * m + change), axis=1)
    smallest = np.min(np.where(d > 0, d, np.inf), axis=1)
    exact = EPSILON / smallest**2 < _LARGEST_CHANGE
    raw = m * m
    if raw.shape[1] > 2:
        exact &= (raw[:, 1] - raw[:, 2] > _SMALLEST_GAP) | (np.abs(change).max(axis=1) < 1e-11)
    exact &= (raw[:, 0] - raw[:, 1] > _SMALLEST_GAP) | (np.abs(change).max(axis=1) < 1e-11)
    second = np.array(squares[:, 1])
    for k in np.flatnonzero(~exact):
        second[k] = _general(p[k], d[k])
    return second


def _general(p: Doubles, d: Doubles) -> float:
    """The second largest eigenvalue as PyRadiomics finds it."""
    quotient = p[:, None, :] * p[None, :, :] / (d[:, None, None] * d[None, None, :] + EPSILON)
    return float(np.sort(np.linalg.eigvals(quotient.sum(axis=2)).real)[-2])
