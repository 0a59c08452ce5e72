"""How much hangs on the exact thresholds: the cascade's misses and what it spares, were they a little lower or higher.

Every axilla keeps its own fold's thresholds; all of them move by the same amount on the log-odds scale, so that a
threshold near 0 moves as much, in proportion, as one in the middle. A threshold of 0 stays 0 and spares nobody. Who
was deferred stays deferred. Thresholds that are moved after the outcome is known carry no contract: this shows how
steep the ground is around the thresholds that were set, and is no menu to choose others from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.errors import ConfigError, InputError
from usdlr.core.types import RiskGroup, Stage
from usdlr.decision.arrays import FloatArray, scores
from usdlr.evaluation.alignment import AXILLA, by_axilla, label_table, same_axillae
from usdlr.evaluation.cascade import risk_groups
from usdlr.evaluation.clustered_rate import BoolArray, effective_number, exact_ends, interval_method
from usdlr.evaluation.resampling import Patients, patients

SHIFTS: tuple[float, ...] = tuple(round(0.1 * step, 1) for step in range(-15, 16))
BOTH = "both"
MOVED: Mapping[str, tuple[Stage, ...]] = {
    BOTH: tuple(Stage),
    str(Stage.SLN): (Stage.SLN,),
    str(Stage.NSLN): (Stage.NSLN,),
}
"""Whose thresholds move."""
CURVES: tuple[str, ...] = ("fnr_sln", "fnr_nsln", "biopsies_spared", "dissections_spared")


def threshold_shift(
    decisions: pd.DataFrame, labels: pd.DataFrame, *, shifts: Sequence[float] = SHIFTS
) -> dict[str, Any]:
    """Misses and spared surgery of the cascade against a common shift of its thresholds.

    Parameters
    ----------
    decisions : DataFrame
        The ``decisions`` table; each axilla with the thresholds that it was decided with.
    labels : DataFrame
        ``patient_id side sln nsln`` of the same axillae: 1 positive, 0 negative, NaN unknown.
    shifts : sequence of float
        Rising, in natural log-odds, with 0 among them; a positive one spares more.

    Returns
    -------
    dict
        ``shifts``; ``axillae`` and, of them, ``deferred``; ``thresholds``: by stage the median threshold over axillae
        that were not deferred, at every shift; ``moved``: for each of :data:`MOVED` the curves

        - ``fnr_sln`` and ``fnr_nsln``: as :func:`usdlr.evaluation.cascade.cascade_rates` counts them, and equal to its
          rates and intervals at shift 0;
        - ``biopsies_spared`` and ``dissections_spared``: of the axillae of known SLN status, those without axillary
          surgery, and those SLN positive that are not dissected, as of :func:`usdlr.evaluation.pathways.pathways`.

        A curve has lists ``value low high events``, one entry per shift, and ``n`` and ``method``.

    Raises
    ------
    ConfigError
        If the shifts do not rise or do not hold 0.
    InputError
        If the tables do not hold the same axillae once each, or a risk group is none, or does not follow from its
        probabilities and thresholds.

    Examples
    --------
    >>> key = {"patient_id": ["a", "b"], "side": ["left"] * 2}
    >>> row = {"risk_group": "HR-SLN/HR-NSLN", "p_sln": 0.5, "t_sln": 0.2, "p_nsln": [0.2, 0.6], "t_nsln": 0.1}
    >>> truth = pd.DataFrame({**key, "sln": [1, 1], "nsln": [1, 1]})
    >>> threshold_shift(pd.DataFrame({**key, **row}), truth, shifts=[0, 1])["moved"]["both"]["fnr_nsln"]["value"]
    [0.0, 0.5]
    """
    moves = _shifts(shifts)
    columns = ("risk_group", *(f"{kind}_{stage}" for stage in Stage for kind in ("p", "t")))
    decided, truth = by_axilla(decisions, columns, "decisions"), label_table(labels)
    same_axillae(decided, truth, "decisions", "labels")
    group = risk_groups(decided)
    open_ = group != RiskGroup.DEFER
    below = {stage: _below(decided, stage, moves) & open_ for stage in Stage}
    _same_groups(group, {stage: rows[moves == 0][0] for stage, rows in below.items()})
    who = patients(truth.index.get_level_values(AXILLA[0]).to_numpy())
    sln_known, sln_positive = truth["sln"].notna().to_numpy(), (truth["sln"] == 1).to_numpy()
    nsln_positive = (truth["nsln"] == 1).to_numpy()
    moved = {}
    for name, stages in MOVED.items():
        as_set = np.flatnonzero(moves == 0)
        first, second = (rows if stage in stages else rows[as_set] for stage, rows in below.items())
        spared = first | second
        moved[name] = {
            "fnr_sln": _curve(first, sln_positive, len(moves), None),
            "fnr_nsln": _curve(spared, nsln_positive, len(moves), None),
            "biopsies_spared": _curve(first, sln_known, len(moves), who),
            "dissections_spared": _curve(spared & sln_positive, sln_known, len(moves), who),
        }
    return {
        "shifts": [float(step) for step in moves],
        "axillae": len(decided),
        "deferred": int((~open_).sum()),
        "thresholds": {str(stage): _median(decided.loc[open_, f"t_{stage}"], moves) for stage in Stage},
        "moved": moved,
    }


def _shifts(shifts: Sequence[float]) -> FloatArray:
    moves = scores(list(shifts), "shifts")
    if not len(moves) or (np.diff(moves) <= 0).any() or 0 not in moves:
        raise ConfigError(f"found shifts {list(shifts)[:5]}, expected rising log-odds with 0 among them; add it")
    return moves


def _shifted(threshold: FloatArray, shift: float) -> FloatArray:
    """Thresholds moved by a shift; the ends 0 and 1 stay where they are."""
    if shift == 0:
        return threshold  # to the last bit: scores may lie exactly on it
    factor = float(np.exp(shift))
    return np.asarray(factor * threshold / (1 - threshold + factor * threshold), dtype=np.float64)


def _below(decided: pd.DataFrame, stage: Stage, moves: FloatArray) -> BoolArray:
    """Whether every axilla lies below its threshold, (shifts, n)."""
    p, t = (scores(decided[f"{kind}_{stage}"], f"{kind}_{stage}", probability=True) for kind in ("p", "t"))
    return np.array([p < _shifted(t, float(step)) for step in moves])


def _same_groups(group: npt.NDArray[np.str_], below: Mapping[Stage, BoolArray]) -> None:
    again = np.select(
        [group == RiskGroup.DEFER, below[Stage.SLN], below[Stage.NSLN]],
        [RiskGroup.DEFER, RiskGroup.LR_SLN, RiskGroup.HR_SLN_LR_NSLN],
        RiskGroup.HR_SLN_HR_NSLN,
    )
    wrong = int((again != group).sum())
    if wrong:
        raise InputError(
            f"found {wrong} of {len(group)} decisions whose risk group does not follow from their probabilities and "
            "thresholds, expected none; decide again"
        )


def _curve(hit: BoolArray, among: BoolArray, steps: int, who: Patients | None) -> dict[str, Any]:
    """A rate at every shift; ``hit`` has one row per shift, or one for all of them."""
    n = int(among.sum())
    events = np.broadcast_to((hit & among).sum(axis=1), steps)
    if n == 0:
        nothing = [None] * steps
        why = "undefined: no axillae in the denominator"
        return {"value": nothing, "low": nothing, "high": nothing, "events": [0] * steps, "n": 0, "method": why}
    effective = float(n) if who is None else effective_number(among, who)
    low, high = exact_ends(events, n, effective)
    return {
        "value": (events / n).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
        "events": events.tolist(),
        "n": n,
        "method": interval_method(n, effective),
    }


def _median(thresholds: pd.Series, moves: FloatArray) -> list[float | None]:
    if thresholds.empty:
        return [None] * len(moves)
    # A shift keeps the order of thresholds, so the shifted middle one is the middle one of the shifted.
    middle = np.array([np.quantile(thresholds.to_numpy(dtype=np.float64), 0.5, method="lower")])
    return [float(_shifted(middle, float(step))[0]) for step in moves]
