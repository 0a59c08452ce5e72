"""A normal law in many dimensions from few rows: a mean, a few directions and one variance for all others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.covariance import ledoit_wolf_shrinkage

from usdlr.core.errors import BundleError
from usdlr.decision.arrays import FloatArray

MOST_DIRECTIONS = 64
MAIN_DIRECTIONS = 5
_ARRAYS = ("mean", "directions", "variances", "rest")


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Mean and shrunken covariance.

    The covariance is shrunken towards a multiple of the identity by the intensity of Ledoit and Wolf; its 64 largest
    directions are kept, and all others share one variance, as in probabilistic principal components.

    Parameters
    ----------
    mean : (p,) float64 array
        Of the rows.
    directions : (k, p) float64 array
        Orthonormal rows.
    variances : (k,) float64 array
        Along them, after shrinking.
    rest : (1,) float64 array
        Variance along every other direction.

    References
    ----------
    Ledoit and Wolf, J Multivar Anal 88 (2004) 365, doi:10.1016/S0047-259X(03)00096-4. Tipping and Bishop, J R Stat Soc
    B 61 (1999) 611, doi:10.1111/1467-9868.00196.
    """

    mean: FloatArray
    directions: FloatArray
    variances: FloatArray
    rest: FloatArray

    @classmethod
    def fit(cls, rows: FloatArray) -> Self:
        """From rows without gaps, (n, p), n at least 2.

        What is kept is rounded to single precision, so that a law read from a file is the one that was fitted.
        """
        mean = np.asarray(rows.mean(axis=0), dtype=np.float64)
        centred = rows - mean
        n, p = rows.shape
        shrink = float(ledoit_wolf_shrinkage(centred, assume_centered=True)) if p > 1 else 0.0
        _, singular, directions = np.linalg.svd(centred, full_matrices=False)
        own = singular**2 / n
        total = float(own.sum())
        kept = min(MOST_DIRECTIONS, len(own), p)
        level = total / p
        left = max(total - float(own[:kept].sum()), 0.0) / (p - kept) if p > kept else 0.0
        # Rows that are all alike have no spread to measure a distance in.
        floor = max(1e-6 * level, 1e-12)
        variances = np.maximum((1 - shrink) * own[:kept] + shrink * level, floor)
        rest = np.array([max((1 - shrink) * left + shrink * level, floor)])
        parts = (mean, directions[:kept], variances, rest)
        return cls(*(one.astype(np.float32).astype(np.float64) for one in parts))

    def distances(self, rows: FloatArray) -> FloatArray:
        """Squared Mahalanobis distances over the number of dimensions, (n, 2): about 1 for rows of the same kind.

        The first along the five main directions alone, the second along all: what moves everything together, such as
        another unit, is lost among hundreds of dimensions, and what breaks with how they hang together lies outside
        the main ones.
        """
        centred = rows - self.mean
        along = centred @ self.directions.T
        across = np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0.0)
        scaled = along**2 / self.variances
        main = scaled[:, :MAIN_DIRECTIONS]
        whole = (scaled.sum(axis=1) + across / self.rest[0]) / len(self.mean)
        return np.stack([main.sum(axis=1) / max(main.shape[1], 1), whole], axis=1)

    def to_arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        """For a file."""
        return {name: np.ascontiguousarray(getattr(self, name), dtype=np.float32) for name in _ARRAYS}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Restore what :meth:`to_arrays` gave.

        Raises
        ------
        BundleError
            If an array is missing, of another shape, or no law.
        """
        try:
            mean, directions, variances, rest = (np.asarray(arrays[name], dtype=np.float64) for name in _ARRAYS)
        except (KeyError, ValueError, TypeError) as error:
            raise BundleError(f"found a damaged normal law ({error!r}); export the bundle again") from error
        whole = all(np.isfinite(one).all() for one in (mean, directions, variances, rest))
        fits = mean.ndim == 1 and directions.shape == (len(variances), len(mean)) and rest.shape == (1,)
        if not (whole and fits and (variances > 0).all() and (rest > 0).all()):
            raise BundleError("found a normal law of impossible shape or spread; export the bundle again")
        return cls(mean, directions, variances, rest)
