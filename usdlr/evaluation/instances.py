"""Objects found in an image against those a reader drew: who was found, what was invented, and how well outlined.

An object is a connected component (pixels that touch, corners included), or a label of its own. Objects whose short
axis is below a minimum are dropped from both sides before anything is counted. A reference object is found if at least
``covered`` of its area is covered by predicted objects taken together. A predicted object that touches no found
reference object is a false positive, unless it touches a dropped one: that is neither right nor wrong.

References
----------
The rule of 40 % coverage, the minimum of 4.5 mm (5 mm after rounding) and the removal of unmatched objects before Dice
and Hausdorff follow a published evaluation of lymph nodes in the head and neck (Diagnostics, 2026).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.ndimage import label

from usdlr.core.errors import ConfigError
from usdlr.core.units import Spacing
from usdlr.evaluation.overlap import BoolArray, Overlap, overlap, same_grid
from usdlr.imaging.components import Labels, short_axes

COVERED = 0.4
SMALLEST_MM = 4.5
OBJECT_COLUMNS = (
    "kind",
    "object",
    "short_axis_mm",
    "area_mm2",
    "covered",
    "outcome",
    "dice",
    "hausdorff_mm",
    "average_hausdorff_mm",
)
_TOUCHING = np.ones((3, 3), dtype=bool)

FOUND, MISSED, FALSE_POSITIVE, MATCHED, NEUTRAL = "found", "missed", "false_positive", "matched", "neutral"


@dataclass(frozen=True, eq=False)
class Matching:
    """The objects of one image.

    Parameters
    ----------
    objects : DataFrame
        One row per kept object: ``kind`` (``reference`` or ``predicted``), ``object`` (its number), ``short_axis_mm``,
        ``area_mm2``, ``covered`` (share of a reference object's area), ``outcome`` (reference: ``found`` or
        ``missed``; predicted: ``matched``, ``false_positive`` or ``neutral``), ``dice``, ``hausdorff_mm`` and
        ``average_hausdorff_mm`` of found reference objects against the predicted objects that touch them.
    overlap : Overlap
        Of the whole masks once missed reference objects, false positives and neutral ones are removed.
    dropped : int
        Reference objects below the minimum.
    """

    objects: pd.DataFrame
    overlap: Overlap
    dropped: int

    @property
    def counts(self) -> dict[str, int]:
        """``reference found predicted false_positives`` of this image."""
        outcome = self.objects["outcome"]
        kind = self.objects["kind"]
        return {
            "reference": int((kind == "reference").sum()),
            "found": int((outcome == FOUND).sum()),
            "predicted": int((kind == "predicted").sum()),
            "false_positives": int((outcome == FALSE_POSITIVE).sum()),
            "neutral": int((outcome == NEUTRAL).sum()),
        }


def match_objects(
    reference: npt.ArrayLike,
    predicted: npt.ArrayLike,
    spacing: Spacing,
    *,
    covered: float = COVERED,
    smallest_mm: float = SMALLEST_MM,
) -> Matching:
    """Match the objects of two masks of one image.

    Parameters
    ----------
    reference, predicted : (rows, columns) array_like
        A mask (bool), whose connected components are the objects, or a label image (integers, 0 outside) in which
        touching objects have numbers of their own.
    spacing : Spacing
        Of the image, rows first.
    covered : float
        Share of a reference object's area from which on it counts as found.
    smallest_mm : float
        Objects with a smaller short axis are dropped; 0 keeps all.

    Raises
    ------
    CaseError
        If the two do not lie on one grid.
    ConfigError
        If ``covered`` is no share above 0, or ``smallest_mm`` is negative.

    Examples
    --------
    >>> drawn = np.zeros((20, 20), dtype=bool)
    >>> drawn[2:10, 2:10] = True
    >>> match_objects(drawn, np.roll(drawn, 3, axis=0), Spacing(1.0, 1.0)).counts["found"]
    1
    """
    if not 0 < covered <= 1:
        raise ConfigError(f"found covered = {covered}, expected a share above 0 and at most 1; correct it")
    if not (np.isfinite(smallest_mm) and smallest_mm >= 0):
        raise ConfigError(f"found smallest_mm = {smallest_mm}, expected 0 mm or more; correct it")
    same_grid(reference, predicted)
    truth, guess = objects_of(reference), objects_of(predicted)
    truth_axes, guess_axes = short_axes(truth, spacing), short_axes(guess, spacing)
    small = np.isin(truth, [number for number, axis in truth_axes.items() if axis < smallest_mm])
    dropped = sum(axis < smallest_mm for axis in truth_axes.values())
    kept = np.where(small, 0, truth)
    guess = np.where(np.isin(guess, [number for number, axis in guess_axes.items() if axis < smallest_mm]), 0, guess)
    found, rows = _reference_rows(kept, guess, truth_axes, spacing, covered)
    touched, more = _predicted_rows(guess, np.isin(kept, found), small, guess_axes, spacing)
    table = pd.DataFrame([*rows, *more], columns=list(OBJECT_COLUMNS))
    return Matching(table, overlap(np.isin(kept, found), np.isin(guess, touched), spacing), dropped)


def objects_of(mask: npt.ArrayLike) -> Labels:
    """Numbered objects: connected components of a mask, or the given labels as they are.

    Examples
    --------
    >>> objects_of(np.array([[True, False], [False, True]])).max()
    np.int64(1)
    """
    array = np.asarray(mask)
    if array.dtype == np.bool_:
        numbered, _ = label(array, structure=_TOUCHING)
        return np.asarray(numbered, dtype=np.int64)
    if not np.issubdtype(array.dtype, np.integer) or (array < 0).any():
        raise ConfigError(
            f"found objects of type {array.dtype}, expected a bool mask or numbers 0, 1, 2 ... of objects"
        )
    return array.astype(np.int64)


def _reference_rows(
    kept: Labels, guess: Labels, axes: dict[int, float], spacing: Spacing, least: float
) -> tuple[list[int], list[tuple[object, ...]]]:
    found: list[int] = []
    rows: list[tuple[object, ...]] = []
    for number in np.unique(kept[kept > 0]).tolist():
        mine = kept == number
        share = float((guess[mine] > 0).mean())
        # A rounding error must not decide at the bound itself.
        hit = share >= least - 1e-12
        near: Overlap | None = None
        if hit:
            found.append(number)
            near = overlap(mine, np.isin(guess, np.unique(guess[mine & (guess > 0)])), spacing)
        area = float(mine.sum()) * spacing.pixel_area_mm2
        rows.append(
            (
                "reference",
                number,
                axes[number],
                area,
                share,
                FOUND if hit else MISSED,
                near.dice if near else None,
                near.hausdorff_mm if near else None,
                near.average_hausdorff_mm if near else None,
            )
        )
    return found, rows


def _predicted_rows(
    guess: Labels, found: BoolArray, small: BoolArray, axes: dict[int, float], spacing: Spacing
) -> tuple[list[int], list[tuple[object, ...]]]:
    matched: list[int] = []
    rows: list[tuple[object, ...]] = []
    for number in np.unique(guess[guess > 0]).tolist():
        mine = guess == number
        outcome = MATCHED if found[mine].any() else NEUTRAL if small[mine].any() else FALSE_POSITIVE
        if outcome == MATCHED:
            matched.append(number)
        area = float(mine.sum()) * spacing.pixel_area_mm2
        rows.append(("predicted", number, axes[number], area, None, outcome, None, None, None))
    return matched, rows
