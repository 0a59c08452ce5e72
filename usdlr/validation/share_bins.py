"""What binned scores add to shared counts: an attacker reads both, and the model's thresholds stand beside them.

A bin wholly below the threshold of its stage holds only axillae that were called negative or deferred, one wholly above
it only such as were called positive or deferred. So each cell of :mod:`usdlr.validation.share_cells` is split by where
its scores lie, below, about and above both thresholds. Bins of one such zone say no more than their sum: within a zone
nothing ties a group to a bin.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog

from usdlr.core.types import RiskGroup, Stage
from usdlr.validation.share_cells import AGGREGATES, CELLS, FOUND

_BELOW, _ABOUT, _ABOVE = range(3)
_LOW = {Stage.SLN: (RiskGroup.LR_SLN,), Stage.NSLN: (RiskGroup.HR_SLN_LR_NSLN,)}
_HIGH = {
    Stage.SLN: (RiskGroup.HR_SLN_LR_NSLN, RiskGroup.HR_SLN_HR_NSLN),
    Stage.NSLN: (RiskGroup.HR_SLN_HR_NSLN,),
}
# Negative and positive, as far as known.
_CLASSES = {Stage.SLN: (FOUND[1:2], FOUND[2:]), Stage.NSLN: (FOUND[3:4], FOUND[4:])}

Floats = npt.NDArray[np.float64]


def tells(
    counts: Mapping[str, int | None],
    scores: Mapping[Stage, Mapping[str, Any] | None],
    thresholds: Mapping[Stage, float],
    secret: Sequence[Floats],
    smallest: int,
) -> bool:
    """Whether counts and bins together leave one of the secrets in a range narrower than ``smallest``.

    Parameters
    ----------
    counts : mapping of str to int or None
        Of :func:`usdlr.validation.share_cells.cascade_counts`.
    scores : mapping of Stage to mapping or None
        Of :func:`usdlr.validation.share_scores.binned_scores`.
    thresholds : mapping of Stage to float
        Of the model.
    secret : sequence of (cells,) float64 array
        Sums over cells that must stay open, see :attr:`usdlr.validation.share_cells.Counts.secret`.
    smallest : int
        Width that every range must have.

    Returns
    -------
    bool
        True also where axillae lie on the wrong side of a threshold, so that nothing can be worked out.
    """
    stages = [stage for stage in Stage if scores[stage] is not None]
    if not stages or not len(secret):
        return False
    parts = [
        (place, zones)
        for place, (group, found) in enumerate(CELLS)
        for zones in itertools.product(*(_zones(stage, group, found) for stage in stages))
    ]
    cell = np.array([place for place, _ in parts])
    rows = [AGGREGATES[name].astype(np.float64)[cell] for name, value in counts.items() if value is not None]
    values = [float(value) for value in counts.values() if value is not None]
    for where, stage in enumerate(stages):
        binned = scores[stage]
        assert binned is not None
        side = [_side(low, high, thresholds[stage]) for low, high in itertools.pairwise(binned["edges"])]
        for kind, found in zip(("negative", "positive"), _CLASSES[stage], strict=True):
            for zone in (_BELOW, _ABOUT, _ABOVE):
                rows.append(np.array([float(CELLS[p][1] in found and z[where] == zone) for p, z in parts]))
                values.append(float(sum(n for n, at in zip(binned[kind], side, strict=True) if at == zone)))
    return any(_narrow(one[cell], np.stack(rows), np.array(values), smallest) for one in secret)


def _side(low: float, high: float, threshold: float) -> int:
    """A bin holds its lower edge, and a score at the threshold is called positive."""
    return _BELOW if high <= threshold else _ABOVE if low >= threshold else _ABOUT


def _zones(stage: Stage, group: str, found: str) -> tuple[int | None, ...]:
    """Where the scores of a cell may lie; ``None``: in no bin."""
    if not any(found in kind for kind in _CLASSES[stage]):
        return (None,)
    if group in _LOW[stage]:
        return (_BELOW, _ABOUT)
    return (_ABOUT, _ABOVE) if group in _HIGH[stage] else (_BELOW, _ABOUT, _ABOVE)


def _narrow(row: Floats, equations: Floats, values: Floats, smallest: int) -> bool:
    ends: list[float] = []
    for sign in (1.0, -1.0):
        found = linprog(sign * row, A_eq=equations, b_eq=values, bounds=(0, None), method="highs")
        if found.status == 3:  # without end
            return False
        if found.status != 0:
            return True
        ends.append(sign * float(found.fun or 0.0))
    return bool(np.floor(ends[1] + 1e-6) - np.ceil(ends[0] - 1e-6) < smallest)
