"""What tumour size alone says: one logistic curve per stage, the simplest thing that a model must beat."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from usdlr.core.errors import DataError

FEWEST = 5
"""Axillae of each outcome with a known size, below which no curve is fitted."""


@dataclass(frozen=True)
class SizeCurve:
    """The probability of an outcome by tumour size, ``1 / (1 + exp(-(intercept + slope * log(1 + size_mm))))``.

    Parameters
    ----------
    intercept, slope : float
        Of the log-odds, per unit of the natural logarithm of 1 + size in millimetres.
    axillae, positives : int
        That it was fitted on.
    low_mm, high_mm : float
        Smallest and largest size among them.
    """

    intercept: float
    slope: float
    axillae: int
    positives: int
    low_mm: float
    high_mm: float

    def __post_init__(self) -> None:
        numbers = (self.intercept, self.slope, self.low_mm, self.high_mm)
        if not all(map(math.isfinite, numbers)) or not 0 < self.positives < self.axillae:
            raise DataError(f"found {self}, expected finite numbers and both outcomes; make the bundle again")

    def probability(self, size_mm: float) -> float:
        """The probability at one size.

        Parameters
        ----------
        size_mm : float
            Of the largest lesion, in millimetres, above 0.

        Examples
        --------
        >>> round(SizeCurve(-4.0, 1.0, 100, 40, 5.0, 60.0).probability(math.e**4 - 1), 6)
        0.5
        """
        return float(expit(self.intercept + self.slope * math.log1p(size_mm)))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> SizeCurve:
        """What :meth:`as_dict` gave.

        Raises
        ------
        DataError
            If a number is missing or none.
        """
        try:
            return cls(
                float(found["intercept"]),
                float(found["slope"]),
                int(found["axillae"]),
                int(found["positives"]),
                float(found["low_mm"]),
                float(found["high_mm"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"found a damaged curve of tumour size ({error!r}); make the bundle again") from error


def fit_size_curve(size_mm: npt.ArrayLike, label: npt.ArrayLike) -> SizeCurve | None:
    """Fit a curve as the baseline ``size`` does, whose AUC the report states.

    Parameters
    ----------
    size_mm : array-like of float, (axillae,)
        Of the largest lesion, in millimetres; not-a-number where it is unknown.
    label : array-like of float, (axillae,)
        1 positive, 0 negative, not-a-number unknown.

    Returns
    -------
    SizeCurve or None
        ``None`` where fewer than :data:`FEWEST` axillae of either outcome have a known size.

    Raises
    ------
    DataError
        If the two differ in length.

    Examples
    --------
    >>> curve = fit_size_curve([8, 10, 12, 14, 16, 20, 25, 30, 35, 40], [0, 0, 0, 1, 0, 0, 1, 1, 1, 1])
    >>> curve.positives, curve.probability(40.0) > curve.probability(8.0)
    (5, True)
    >>> fit_size_curve([8, 10], [0, 1]) is None
    True
    """
    sizes, labels = np.asarray(size_mm, dtype=np.float64), np.asarray(label, dtype=np.float64)
    if sizes.shape != labels.shape or sizes.ndim != 1:
        raise DataError(f"found {sizes.shape} sizes and {labels.shape} outcomes, expected one of each per axilla")
    known = np.isfinite(sizes) & np.isfinite(labels)
    sizes, labels = sizes[known], labels[known]
    if min((labels == 1).sum(), (labels == 0).sum()) < FEWEST:
        return None
    found = LogisticRegression().fit(np.log1p(sizes)[:, np.newaxis], labels)
    return SizeCurve(
        float(found.intercept_[0]),
        float(found.coef_[0, 0]),
        len(labels),
        int(labels.sum()),
        float(sizes.min()),
        float(sizes.max()),
    )
