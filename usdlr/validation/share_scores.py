"""Scores that may leave a centre: counts in bins of predicted risk, from which ROC, calibration and net benefit follow.

The grid is fixed, every 5 %; neighbouring bins are merged until each holds no patient of a class or enough of them, so
that no patient's score can be read off. Mean risks are rounded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from usdlr.decision.arrays import labels, scores

GRID = tuple(round(0.05 * step, 2) for step in range(21))
DIGITS = 3


def binned_scores(
    y: npt.ArrayLike, probability: npt.ArrayLike, patient: npt.ArrayLike, *, smallest: int
) -> dict[str, Any] | None:
    """Counts by bin of predicted risk; None where a class has too few patients.

    Parameters
    ----------
    y : (n,) array_like
        1 positive, 0 negative, NaN unknown.
    probability : (n,) array_like
        Of the positive class.
    patient : (n,) array_like
        Whose axilla it is.
    smallest : int
        Fewest patients of a class in a bin that has any.

    Returns
    -------
    dict or None
        ``edges`` (k + 1, from 0 to 1; a bin holds its lower edge), ``positive`` and ``negative`` (k counts of axillae)
        and ``predicted`` (k mean risks, null in an empty bin).

    Examples
    --------
    >>> found = binned_scores([0, 0, 1, 1], [0.1, 0.3, 0.6, 0.9], list("abcd"), smallest=2)
    >>> sum(found["positive"]), sum(found["negative"]), max(found["positive"]), found["edges"][:3]
    (2, 2, 2, [0.0, 0.05, 0.1])
    """
    truth, risk = labels(y, "y"), scores(probability, "probability", probability=True)
    known = ~np.isnan(truth)
    truth, risk, who = truth[known], risk[known], np.asarray(patient, dtype=object).astype(str)[known]
    if any(len(set(who[truth == kind].tolist())) < smallest for kind in (0, 1)):
        return None
    place = np.minimum(np.searchsorted(np.array(GRID), risk, side="right") - 1, len(GRID) - 2)
    starts = _merged(place, truth, who, smallest)
    edges = [GRID[start] for start in starts] + [1.0]
    member = np.searchsorted(np.array(starts), place, side="right") - 1
    counts = [np.bincount(member[truth == kind], minlength=len(starts)) for kind in (1, 0)]
    total = np.bincount(member, minlength=len(starts))
    mean = np.bincount(member, weights=risk, minlength=len(starts)) / np.maximum(total, 1)
    return {
        "edges": edges,
        "positive": counts[0].tolist(),
        "negative": counts[1].tolist(),
        "predicted": [round(float(value), DIGITS) if n else None for value, n in zip(mean, total, strict=True)],
    }


def without_edge(binned: dict[str, Any], place: int) -> dict[str, Any]:
    """The same scores without an inner edge: two neighbouring bins as one.

    Examples
    --------
    >>> two = {"edges": [0.0, 0.5, 1.0], "positive": [0, 6], "negative": [6, 0], "predicted": [0.2, 0.7]}
    >>> without_edge(two, 1)
    {'edges': [0.0, 1.0], 'positive': [6], 'negative': [6], 'predicted': [0.45]}
    """
    first, last = place - 1, place + 1
    total = [binned["positive"][at] + binned["negative"][at] for at in (first, place)]
    risk = sum(n * (binned["predicted"][at] or 0.0) for n, at in zip(total, (first, place), strict=True))
    one = {name: [binned[name][first] + binned[name][place]] for name in ("positive", "negative")}
    mean: dict[str, list[float | None]] = {"predicted": [round(risk / sum(total), DIGITS) if sum(total) else None]}
    joined = {name: [*binned[name][:first], *new, *binned[name][last:]] for name, new in {**one, **mean}.items()}
    return {"edges": [*binned["edges"][:place], *binned["edges"][last:]], **joined}


def _merged(
    place: npt.NDArray[np.integer[Any]], truth: npt.NDArray[np.float64], who: npt.NDArray[np.str_], smallest: int
) -> list[int]:
    """First cell of the grid of every bin."""
    starts = list(range(len(GRID) - 1))

    def too_small(first: int, last: int) -> bool:
        inside = (place >= first) & (place < last)
        return any(0 < len(set(who[inside & (truth == kind)].tolist())) < smallest for kind in (0, 1))

    at = 0
    while at < len(starts):
        last = starts[at + 1] if at + 1 < len(starts) else len(GRID) - 1
        if not too_small(starts[at], last):
            at += 1
        elif at + 1 < len(starts):
            del starts[at + 1]
        else:  # the last bin joins the one before, which was good and may only grow
            del starts[at]
            at -= 1
    return starts
