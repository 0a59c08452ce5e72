"""Whether two groups of patients differ in many numbers at once, when only aggregates of one of them are known.

Every patient's vector is mapped to random Fourier features, whose mean tells one distribution from another (maximum
mean discrepancy with a Gaussian kernel). Of the reference group only mean and covariance of these features are kept.

References
----------
Gretton et al., A kernel two-sample test, J Mach Learn Res 13 (2012) 723. Rahimi and Recht, Random features for
large-scale kernel machines, NeurIPS 2007. Hall, Chi squared approximations to the distribution of a sum of independent
random variables, Ann Probab 11 (1983) 1028, doi:10.1214/aop/1176993451 (null).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from usdlr.core.errors import DataError
from usdlr.decision.arrays import FloatArray

FEATURES = 200
FEWEST = 10
"""Patients on each side that a test needs."""
_PAIRS = 500
_ARRAYS = ("frequencies", "phases", "mean", "covariance", "patients")


@dataclass(frozen=True, eq=False)
class KernelSummary:
    """Random Fourier features of a group, without a row of it.

    Parameters
    ----------
    frequencies : (p, d) float64 array
        Drawn once, scaled by the median distance between two patients.
    phases : (d,) float64 array
        In radian.
    mean : (d,) float64 array
        Of the features.
    covariance : (d, d) float64 array
        Of the features between patients.
    patients : (1,) float64 array
        How many there are.
    """

    frequencies: FloatArray
    phases: FloatArray
    mean: FloatArray
    covariance: FloatArray
    patients: FloatArray

    @classmethod
    def of(cls, rows: FloatArray, *, features: int = FEATURES, seed: int = 0) -> Self:
        """From independent rows without gaps, (n, p), one per patient."""
        random = np.random.default_rng(seed)
        width = rows.shape[1]
        frequencies = random.standard_normal((width, features)) / _median_distance(rows, random)
        phases = random.uniform(0.0, 2 * np.pi, features)
        # Rounded to what the file keeps, so that a summary that was read back maps a patient to the same features.
        frequencies, phases = (one.astype(np.float32).astype(np.float64) for one in (frequencies, phases))
        mapped = _mapped(rows, frequencies, phases)
        mean, covariance = mapped.mean(axis=0), np.cov(mapped.T, ddof=1) if len(rows) > 1 else np.zeros((features,) * 2)
        return cls(frequencies, phases, mean, covariance, np.array([float(len(rows))]))

    def test(self, rows: FloatArray) -> tuple[float, float]:
        """Squared discrepancy between another group's rows, (m, p), and the reference, and its p-value.

        The p-value is that of a weighted sum of squares of normal variables, with the covariance of both groups
        pooled; not-a-number with fewer than ten patients on either side.
        """
        n, m = float(self.patients[0]), float(len(rows))
        if min(n, m) < FEWEST:
            return float("nan"), float("nan")
        mapped = _mapped(rows, self.frequencies, self.phases)
        gap = mapped.mean(axis=0) - self.mean
        within = ((n - 1) * self.covariance + (m - 1) * np.cov(mapped.T, ddof=1)) / (n + m - 2)
        weights = np.clip(np.linalg.eigvalsh(within * (1 / n + 1 / m)), 0.0, None)
        squared = float(gap @ gap)
        return squared, weighted_chi2(squared, weights)

    def to_arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        """For a file."""
        return {name: np.ascontiguousarray(getattr(self, name), dtype=np.float32) for name in _ARRAYS}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Restore what :meth:`to_arrays` gave.

        Raises
        ------
        DataError
            If an array is missing or of another shape.
        """
        try:
            parts = [np.asarray(arrays[name], dtype=np.float64) for name in _ARRAYS]
        except KeyError as error:
            raise DataError(
                f"found no array {error} of a kernel summary, expected it; export the bundle again"
            ) from error
        d = len(parts[1])
        if parts[0].shape[1:] != (d,) or parts[2].shape != (d,) or parts[3].shape != (d, d) or parts[4].shape != (1,):
            raise DataError("found a kernel summary of impossible shape; export the bundle again")
        return cls(*parts)


def weighted_chi2(value: float, weights: FloatArray) -> float:
    """Chance that a sum of ``weights`` times squared standard normals reaches ``value``; three moments are matched.

    Examples
    --------
    >>> round(weighted_chi2(5.991, np.ones(2)), 3)
    0.05
    """
    c1, c2, c3 = float(weights.sum()), 2 * float((weights**2).sum()), 8 * float((weights**3).sum())
    if c2 <= 0:
        return 1.0 if value <= c1 else 0.0
    freedom = 8 * c2**3 / c3**2
    return float(chi2.sf((value - c1) * np.sqrt(2 * freedom / c2) + freedom, freedom))


def _mapped(rows: FloatArray, frequencies: FloatArray, phases: FloatArray) -> FloatArray:
    if rows.ndim != 2 or rows.shape[1] != len(frequencies):
        raise DataError(
            f"found rows of shape {rows.shape}, expected {len(frequencies)} numbers each; use the same model"
        )
    return np.asarray(np.sqrt(2 / len(phases)) * np.cos(rows @ frequencies + phases), dtype=np.float64)


def _median_distance(rows: FloatArray, random: np.random.Generator) -> float:
    if len(rows) < 2:
        return 1.0
    first, second = random.integers(0, len(rows), (2, _PAIRS))
    apart = np.sqrt(((rows[first] - rows[second]) ** 2).sum(axis=1))
    apart = apart[apart > 0]
    return float(np.median(apart)) if len(apart) else 1.0
