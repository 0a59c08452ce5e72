"""How good an outline of a given score has been on patients whom the networks had not learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.isotonic import IsotonicRegression

from usdlr.core.errors import BundleError, DataError

Floats = npt.NDArray[np.float64]
# Fewer lesions than this cannot say how quality follows the score: the mean is all that is known.
FEWEST = 20


@dataclass(frozen=True)
class Expected:
    """What follows from a score, by steps between known points.

    Parameters
    ----------
    score : tuple of float
        Rising scores, 0..1.
    dice : tuple of float
        Expected Dice with a reader's outline at each, never falling.
    error_share : tuple of float
        Expected mean distance to a reader's boundary at each, as a share of the lesion's equivalent diameter, never
        rising.
    lesions : int
        How many lesions that comes from.
    """

    score: tuple[float, ...]
    dice: tuple[float, ...]
    error_share: tuple[float, ...]
    lesions: int

    @classmethod
    def fit(cls, score: npt.ArrayLike, dice: npt.ArrayLike, error_share: npt.ArrayLike) -> Expected:
        """Learn it from lesions outlined out of fold.

        Parameters
        ----------
        score : (lesions,) array_like
            Of the outline.
        dice : (lesions,) array_like
            With the reader's.
        error_share : (lesions,) array_like
            Mean distance of the two boundaries as a share of the equivalent diameter; not-a-number where nothing of
            the lesion was found.

        Raises
        ------
        DataError
            If there is no lesion, or none was found.

        References
        ----------
        Isotonic regression: Barlow et al., Statistical inference under order restrictions, Wiley 1972.
        """
        score, dice, error = (np.asarray(values, dtype=np.float64) for values in (score, dice, error_share))
        known = np.isfinite(error)
        if not len(score) or not known.any():
            raise DataError("found no lesion with an outline, expected some to learn the confidence from; fit longer")
        if known.sum() < FEWEST:
            return cls((0.0,), (float(dice.mean()),), (float(error[known].mean()),), len(score))
        points = np.linspace(float(score.min()), float(score.max()), 21)
        rising = IsotonicRegression(out_of_bounds="clip").fit(score, dice).predict(points)
        falling = IsotonicRegression(increasing=False, out_of_bounds="clip").fit(score[known], error[known])
        return cls(
            tuple(round(float(value), 6) for value in points),
            tuple(round(float(value), 6) for value in rising),
            tuple(round(float(value), 6) for value in falling.predict(points)),
            len(score),
        )

    def of(self, score: float) -> tuple[float, float]:
        """Expected Dice and expected boundary distance (a share of the equivalent diameter) of an outline.

        Examples
        --------
        >>> Expected((0.5, 1.0), (0.7, 0.9), (0.1, 0.05), 40).of(0.75)
        (0.8, 0.075)
        """
        dice, error = (float(np.interp(score, self.score, values)) for values in (self.dice, self.error_share))
        return round(dice, 12), round(error, 12)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "score": list(self.score),
            "dice": list(self.dice),
            "error_share": list(self.error_share),
            "lesions": self.lesions,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Expected:
        """What :meth:`as_dict` wrote.

        Raises
        ------
        BundleError
            If it is not of one length, not finite, or falls where it must rise.
        """
        try:
            lists = [tuple(float(value) for value in stored[name]) for name in ("score", "dice", "error_share")]
            lesions = int(stored["lesions"])
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"found a damaged table of expected quality ({error}); copy the bundle again") from error
        score, dice, share = lists
        sound = len(score) == len(dice) == len(share) > 0 and bool(np.isfinite(lists).all())
        if not sound or list(score) != sorted(score) or not all(0 <= value <= 1 for value in dice):
            raise BundleError(
                "found a damaged table of expected quality, expected rising scores; copy the bundle again"
            )
        return cls(score, dice, share, lesions)
