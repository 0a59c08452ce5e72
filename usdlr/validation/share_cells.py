"""Counts of a cascade that may leave a centre: small ones are withheld, and so is whatever would give them away.

Every count that is shared is a sum over cells: what was decided (four risk groups) by what was found (SLN unknown, SLN
negative, and SLN positive with NSLN unknown, negative or positive). A count of one to four patients is withheld. That
alone protects nothing: total minus the rest gives it back. So the counts that are left are read as an attacker would,
as equations over cells of whole patients, and the range that they leave to every small cell and every withheld count is
worked out by linear programming. While one is narrower than the smallest shared count, a further count is withheld.
A count of zero is shared.

References
----------
Hundepool et al., Statistical Disclosure Control, Wiley 2012, doi:10.1002/9781118348239, ch. 4 (secondary suppression,
sliding protection).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import linprog

from usdlr.core.errors import ConfigError
from usdlr.core.types import RiskGroup
from usdlr.evaluation.alignment import by_axilla, label_table, same_axillae
from usdlr.evaluation.cascade import MISSED_NSLN, MISSED_SLN

SMALLEST = 5
FOUND = ("unknown", "negative", "positive_unknown", "positive_negative", "positive_positive")
_SLN_POSITIVE = FOUND[2:]
_GROUPS = tuple(map(str, RiskGroup))
CELLS = tuple((group, found) for group in _GROUPS for found in FOUND)

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def _of(groups: frozenset[str] | None = None, found: tuple[str, ...] = FOUND) -> Bools:
    chosen = frozenset(_GROUPS) if groups is None else groups
    return np.array([group in chosen and what in found for group, what in CELLS], dtype=np.bool_)


_KNOWN_NSLN = FOUND[3:]
# The first are the last to be withheld.
AGGREGATES: Mapping[str, Bools] = {
    "axillae": _of(),
    "sln_positive": _of(found=_SLN_POSITIVE),
    "nsln_positive": _of(found=FOUND[4:]),
    "missed_sln": _of(MISSED_SLN, _SLN_POSITIVE),
    "missed_nsln": _of(MISSED_NSLN, FOUND[4:]),
    "nsln_known": _of(found=_KNOWN_NSLN),
    "sln_negative": _of(found=(FOUND[1],)),
    "spared_sln_negative": _of(MISSED_SLN, (FOUND[1],)),
    "deferred": _of(frozenset({RiskGroup.DEFER.value})),
    **{f"group_{place}": _of(frozenset({group})) for place, group in enumerate(_GROUPS[:-1])},
}
# Numerator and denominator of every rate that is pooled.
RATES: Mapping[str, tuple[str, str]] = {
    "fnr_sln": ("missed_sln", "sln_positive"),
    "fnr_nsln": ("missed_nsln", "nsln_positive"),
    "spared_negative": ("spared_sln_negative", "sln_negative"),
    "defer_rate": ("deferred", "axillae"),
    "verified_share": ("nsln_known", "sln_positive"),
    "prevalence": ("sln_positive", "axillae"),
}


@dataclass(frozen=True)
class Counts:
    """What may be shared.

    Parameters
    ----------
    shared : dict of str to int or None
        By name of :data:`AGGREGATES`; ``None``: withheld.
    ranges : dict of str to (int, int)
        Of the withheld ones, what the shared ones leave open; nothing that a reader could not work out.
    effective : dict of str to float
        Independent axillae that every count is worth where patients have two, rounded down so that it tells no small
        number of patients, see :func:`worth`.
    secret : tuple of (cells,) float64 array
        Sums over cells that must stay open; never shared.
    """

    shared: dict[str, int | None]
    ranges: dict[str, tuple[int, int]]
    effective: dict[str, float] = field(default_factory=dict)
    secret: tuple[Floats, ...] = ()


def cascade_counts(decisions: pd.DataFrame, labels: pd.DataFrame, *, smallest: int = SMALLEST) -> Counts:
    """Counts of a centre's cascade with small ones withheld.

    Parameters
    ----------
    decisions : DataFrame
        ``patient_id side risk_group``.
    labels : DataFrame
        ``patient_id side sln nsln`` of the same axillae: 1 positive, 0 negative, NaN unknown.
    smallest : int
        The fewest patients that a count above 0 may stand for; 1 withholds nothing.

    Raises
    ------
    ConfigError
        If ``smallest`` is below 1.
    InputError
        If the tables do not hold the same axillae once each.
    """
    if smallest < 1:
        raise ConfigError(f"found smallest = {smallest}, expected 1 or more; 5 is usual")
    decided, truth = by_axilla(decisions, ("risk_group",), "decisions"), label_table(labels)
    same_axillae(decided, truth, "decisions", "labels")
    found = np.select(
        [truth["sln"].isna(), truth["sln"] == 0, truth["nsln"].isna(), truth["nsln"] == 0],
        list(FOUND[:4]),
        default=FOUND[4],
    )
    cell = pd.MultiIndex.from_arrays([decided["risk_group"].astype(str), found])
    place = pd.MultiIndex.from_tuples(CELLS).get_indexer(cell)
    who = truth.index.get_level_values("patient_id").to_numpy(dtype=object)
    content = np.bincount(place, minlength=len(CELLS)).astype(np.float64)
    few = np.array([0 < len(set(who[place == one].tolist())) < smallest for one in range(len(CELLS))], dtype=np.bool_)
    small = {name: 0 < len(set(who[mask[place]].tolist())) < smallest for name, mask in AGGREGATES.items()}
    effective = {}
    for name, mask in AGGREGATES.items():
        each = pd.Series(who[mask[place]]).value_counts()
        pairs = int((each * (each - 1) // 2).sum())
        effective[name] = worth(int(each.sum()), pairs, smallest)
    return replace(withheld(content, few, small, smallest), effective=effective)


def worth(axillae: int, pairs: int, smallest: int) -> float:
    """Independent axillae that some are worth, both of a patient taken as wholly alike; never more than they are.

    The number of patients with two is rounded up, to a multiple of ``smallest`` or to all: it is a count of patients.

    Parameters
    ----------
    axillae : int
        How many.
    pairs : int
        Of these, patients with two.
    smallest : int
        Fewest patients that a number above 0 may stand for.

    Examples
    --------
    >>> worth(40, 20, 5), worth(40, 0, 5), worth(40, 3, 5) == worth(40, 5, 5)
    (20.0, 40.0, True)
    """
    if not pairs:
        return float(axillae)
    up = -(-pairs // smallest) * smallest
    # The last step joins the one before where it is short.
    many = up if up + smallest <= axillae / 2 else axillae / 2
    return axillae**2 / (axillae + 2 * many)


def withheld(content: Floats, few: Bools, small: Mapping[str, bool], smallest: int) -> Counts:
    """Withhold small counts, and further ones until no small cell or count is left in a narrow range.

    Parameters
    ----------
    content : (cells,) float64 array
        Axillae in every cell.
    few : (cells,) bool array
        Cells that stand for one patient or more, and fewer than ``smallest``.
    small : mapping of str to bool
        The same of every aggregate.
    smallest : int
        Width that every range must have.
    """
    shared = {name: float(mask @ content) for name, mask in AGGREGATES.items() if not small[name]}
    # What must stay open: small cells, and every aggregate that is not shared.
    cells = [_unit(int(place)) for place in np.flatnonzero(few)]
    while True:
        hidden = [AGGREGATES[name].astype(np.float64) for name in AGGREGATES if name not in shared and small[name]]
        narrow = next((row for row in (*cells, *hidden) if _width(row, shared) < smallest), None)
        if narrow is None:
            break
        # The one whose loss opens most; of equals the least important. What is still narrow comes next.
        gains = {
            name: _width(narrow, {key: value for key, value in shared.items() if key != name})
            for name in reversed(list(shared))
        }
        del shared[max(gains, key=lambda name: gains[name])]
    counts = {name: int(shared[name]) if name in shared else None for name in AGGREGATES}
    ranges = {name: _range(AGGREGATES[name].astype(np.float64), shared) for name in AGGREGATES if name not in shared}
    return Counts(
        counts,
        {name: (low, high) for name, (low, high) in ranges.items() if high is not None},
        secret=(*cells, *hidden),
    )


def bounds(name: str, shared: Mapping[str, int | None]) -> tuple[int, int | None]:
    """What shared counts leave open of one of :data:`AGGREGATES`; no upper end where nothing bounds it."""
    return _range(AGGREGATES[name].astype(np.float64), {key: float(v) for key, v in shared.items() if v is not None})


def _unit(place: int) -> Floats:
    row = np.zeros(len(CELLS))
    row[place] = 1.0
    return row


def _width(row: Floats, shared: Mapping[str, float]) -> float:
    low, high = _range(row, shared)
    return np.inf if high is None else high - low


def _range(row: Floats, shared: Mapping[str, float]) -> tuple[int, int | None]:
    """Smallest and largest value of a sum over cells that the shared counts allow."""
    if not shared:
        return 0, None
    equations = np.stack([AGGREGATES[name] for name in shared]).astype(np.float64)
    values = np.array(list(shared.values()))
    ends: list[float | None] = []
    for sign in (1.0, -1.0):
        found = linprog(sign * row, A_eq=equations, b_eq=values, bounds=(0, None), method="highs")
        if found.status == 3:  # without end
            ends.append(None)
            continue
        if found.status != 0:
            raise ValueError(f"counts that contradict each other: {found.message}")
        ends.append(sign * float(found.fun or 0.0))
    # Whole numbers lie inside; rounding must not open or close a range.
    first, last = ends
    low = int(np.ceil((first or 0.0) - 1e-6))
    return low, None if last is None else int(np.floor(last + 1e-6))
