"""How columns of numbers are distributed, kept as quantiles and counts: enough to compare with, too little to copy.

Of every column, quantiles at equal steps are kept and how many patients lie between them; the outermost steps are
open, so that no patient's own value stands in the table, and no step holds fewer than five patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from usdlr.core.errors import DataError
from usdlr.decision.arrays import FloatArray

FEWEST = 5
"""Patients that a step holds at least."""
MOST_STEPS = 20
FARTHEST = 25.0
"""A normal score is not told beyond it: what lies so far out is out by any measure."""


@dataclass(frozen=True, eq=False)
class Marginals:
    """Distributions of several columns.

    Parameters
    ----------
    columns : tuple of str
        Names.
    known, missing : (p,) int64 array
        Patients with and without a value.
    mean, sd : (p,) float64 array
        In the column's unit; not-a-number with fewer than five values.
    edges : (p, steps - 1) float64 array
        Rising ends of all steps but the last; a value at an end belongs to the lower step. Not-a-number beyond the
        last of a column.
    counts : (p, steps) int64 array
        Patients between them; 0 beyond the last of a column. A column with fewer than ten values has one step.
    """

    columns: tuple[str, ...]
    known: npt.NDArray[np.int64]
    missing: npt.NDArray[np.int64]
    mean: FloatArray
    sd: FloatArray
    edges: FloatArray
    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, values: npt.ArrayLike, columns: Sequence[str], *, most_steps: int = MOST_STEPS) -> Self:
        """Count independent rows.

        Parameters
        ----------
        values : (n, p) array_like
            A row per patient; not-a-number where unknown, as is an infinite value.
        columns : sequence of str
            Names of the p columns.
        most_steps : int
            Steps of a column with many values.
        """
        table = finite(values)
        if table.ndim != 2 or table.shape[1] != len(columns):
            raise DataError(f"found a table of shape {table.shape} for {len(columns)} columns, expected one value each")
        known = np.isfinite(table).sum(axis=0).astype(np.int64)
        width = max(1, most_steps)
        edges, counts = np.full((len(columns), width - 1), np.nan), np.zeros((len(columns), width), dtype=np.int64)
        mean, sd = np.full(len(columns), np.nan), np.full(len(columns), np.nan)
        for place in range(len(columns)):
            own = table[np.isfinite(table[:, place]), place]
            ends, inside = _steps(own, width)
            edges[place, : len(ends)], counts[place, : len(inside)] = ends, inside
            if len(own) >= FEWEST:
                mean[place], sd[place] = own.mean(), own.std(ddof=1)
        return cls(tuple(map(str, columns)), known, (len(table) - known).astype(np.int64), mean, sd, edges, counts)

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """Steps of every column, (p,); 1: nothing is known but the number of values, or all are alike."""
        return np.asarray(1 + np.isfinite(self.edges).sum(axis=1), dtype=np.int64)

    @property
    def varies(self) -> npt.NDArray[np.bool_]:
        """Whose values differ, (p,)."""
        return np.asarray(self.steps > 1)

    def take(self, names: Sequence[str]) -> Marginals:
        """The columns of the given names, in their order."""
        at = {name: place for place, name in enumerate(self.columns)}
        chosen = np.array([at[name] for name in names], dtype=np.intp)
        return Marginals(
            tuple(names),
            known=self.known[chosen],
            missing=self.missing[chosen],
            mean=self.mean[chosen],
            sd=self.sd[chosen],
            edges=self.edges[chosen],
            counts=self.counts[chosen],
        )

    def scores(self, values: npt.ArrayLike) -> FloatArray:
        """Normal scores: where each value lies, in standard deviations of a normal law, (n, p).

        Between the quantiles they are interpolated; beyond the outermost ones they go on along the line through the
        outer quarter of the quantiles, up to ±25. Where all quantiles are above zero, lines are drawn over the
        logarithm: a tenth of the usual value is then as far out as ten times it. Not-a-number where the value is, or
        the column does not vary.

        Examples
        --------
        >>> import numpy as np
        >>> law = Marginals.of(np.arange(1000.0)[:, None], ["a"])
        >>> law.scores([[499.5], [949.05]]).round(2).ravel().tolist()
        [0.0, 1.64]
        """
        table = finite(values)
        out = np.full(table.shape, np.nan)
        total = self.counts.sum(axis=1)
        for place in np.flatnonzero(self.varies):
            steps = int(self.steps[place])
            ends = self.edges[place, : steps - 1]
            levels = np.asarray(ndtri(np.cumsum(self.counts[place, : steps - 1]) / total[place]), dtype=np.float64)
            spread, x = float(self.sd[place]), table[:, place]
            if ends[0] > 0:
                with np.errstate(divide="ignore"):
                    x = np.log(np.maximum(x, 0.0))
                ends, spread = np.log(ends), spread / max(abs(float(self.mean[place])), 1e-300)
            out[:, place] = _along(x, ends, levels, spread)
        return np.asarray(np.clip(out, -FARTHEST, FARTHEST), dtype=np.float64)

    def values(self, scores: FloatArray) -> FloatArray:
        """What :meth:`scores` would give these scores for, (n, p): a draw of a normal law becomes one of the column."""
        out = np.full(scores.shape, np.nan)
        total = self.counts.sum(axis=1)
        for place in np.flatnonzero(self.varies):
            steps = int(self.steps[place])
            ends = self.edges[place, : steps - 1]
            levels = np.asarray(ndtri(np.cumsum(self.counts[place, : steps - 1]) / total[place]), dtype=np.float64)
            spread, positive = float(self.sd[place]), bool(ends[0] > 0)
            if positive:
                ends, spread = np.log(ends), spread / max(abs(float(self.mean[place])), 1e-300)
            found = _along(scores[:, place], levels, ends, 1.0 / spread if spread > 0 else 1.0)
            out[:, place] = np.exp(found) if positive else found
        return out

    def place(self, values: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Counts of other rows in the same steps, (p, steps)."""
        table = finite(values)
        out = np.zeros_like(self.counts)
        for column in range(len(self)):
            own = table[np.isfinite(table[:, column]), column]
            steps = int(self.steps[column])
            inside = np.searchsorted(self.edges[column, : steps - 1], own, side="left")
            out[column, :steps] = np.bincount(inside, minlength=steps)
        return out

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Everything but the names; 0 stands where there is no number, which the counts tell."""
        numbers = {name: np.nan_to_num(getattr(self, name), nan=0.0) for name in ("mean", "sd", "edges")}
        return {"known": self.known, "missing": self.missing, "counts": self.counts, **numbers}

    @classmethod
    def from_arrays(cls, columns: Sequence[str], arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Restore what :meth:`to_arrays` gave.

        Raises
        ------
        DataError
            If an array is missing or of another shape.
        """
        try:
            parts = {name: np.asarray(arrays[name]) for name in ("known", "missing", "mean", "sd", "edges", "counts")}
        except KeyError as error:
            raise DataError(f"found no array {error} of the quantiles, expected it; export the bundle again") from error
        p = len(columns)
        wrong = [name for name, one in parts.items() if one.shape[:1] != (p,)]
        if wrong or parts["edges"].shape[1:] != (parts["counts"].shape[1] - 1,):
            raise DataError(f"found quantiles of another shape than that of {p} columns; export the bundle again")
        whole = {name: parts[name].astype(np.int64) for name in ("known", "missing", "counts")}
        numbers = {name: parts[name].astype(np.float64) for name in ("mean", "sd", "edges")}
        for name in ("mean", "sd"):
            numbers[name][whole["known"] < FEWEST] = np.nan
        # Every step of a column holds somebody.
        numbers["edges"][whole["counts"][:, 1:] == 0] = np.nan
        return cls(
            tuple(columns),
            known=whole["known"],
            missing=whole["missing"],
            mean=numbers["mean"],
            sd=numbers["sd"],
            edges=numbers["edges"],
            counts=whole["counts"],
        )


def finite(values: npt.ArrayLike) -> FloatArray:
    """A table of numbers, not-a-number where a value is infinite."""
    table = np.array(values, dtype=np.float64)
    table[~np.isfinite(table)] = np.nan
    return table


def _steps(own: FloatArray, most: int) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Ends of all steps but the last, and counts; every step holds at least five values."""
    wanted = min(most, len(own) // FEWEST)
    if wanted < 2 or own.min() == own.max():
        return np.zeros(0), np.array([len(own)])
    # The middle between two neighbours, so that no end is anybody's value unless it is shared.
    ends = np.unique(np.quantile(own, np.arange(1, wanted) / wanted, method="midpoint"))
    ends = ends[ends < own.max()]
    while len(ends):
        counts = np.bincount(np.searchsorted(ends, own, side="left"), minlength=len(ends) + 1)
        small = np.flatnonzero(counts < FEWEST)
        if not len(small):
            return ends, counts.astype(np.int64)
        ends = np.delete(ends, min(int(small[0]), len(ends) - 1))
    return np.zeros(0), np.array([len(own)])


def _along(x: FloatArray, at: FloatArray, levels: FloatArray, least: float) -> FloatArray:
    """Interpolate, and go on straight beyond both ends along a line through the outer quarter of the points.

    ``least`` is the distance along ``x`` that one step of ``levels`` takes where the outer points coincide.
    """
    out = np.interp(x, at, levels)
    reach = max(1, round(len(at) / 4))
    for end, inner in ((0, min(reach, len(at) - 1)), (len(at) - 1, max(len(at) - 1 - reach, 0))):
        run = at[inner] - at[end]
        slope = (levels[inner] - levels[end]) / run if run else 1.0 / least if least > 0 else 1.0
        beyond = x < at[0] if end == 0 else x > at[-1]
        out[beyond] = levels[end] + slope * (x[beyond] - at[end])
    out[np.isnan(x)] = np.nan
    return np.asarray(out, dtype=np.float64)
