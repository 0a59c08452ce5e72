"""What becomes of the axillae under each way of deciding: dissection if positive, the Z0011 rule, the cascade.

Every way starts from the same axillae, those of known SLN status, and gives each one fate. What is spared is spared
against dissection if positive, in which everybody has a sentinel biopsy and every positive axilla is dissected.

- *Dissection if positive* (key ``current_practice``): sentinel biopsy, then dissection if it is positive. The classical
  pathway; since Z0011, IBCSG 23-01 and AMAROS it is no longer what guidelines ask for with one or two positive nodes.
- *Z0011*: the same, but no dissection of a clinically node-negative (cN0) axilla with a tumour of at most 50 mm and one
  or two positive sentinel nodes. Breast conservation with whole-breast irradiation is part of the rule
  and not part of the tables. Where one item forbids sparing, the others need not be known; where none forbids and one
  is unknown, the axilla is *undecided* and counted apart.
- *Cascade*: LR-SLN has no axillary surgery; HR-SLN/LR-NSLN a sentinel biopsy and no dissection, also if it is positive;
  HR-SLN/HR-NSLN a sentinel biopsy, then dissection if it is positive; DEFER the usual pathway, counted as dissection
  if positive.

Assumed everywhere: the biopsy finds the status that the tables state, and everybody follows the way. An axilla proven
by needle is counted as if biopsied.

References
----------
Giuliano et al., Effect of axillary dissection vs no axillary dissection on 10-year overall survival: the ACOSOG Z0011
(Alliance) randomized clinical trial, JAMA 318 (2017) 918, doi:10.1001/jama.2017.11470. Galimberti et al. (IBCSG 23-01),
Lancet Oncol 14 (2013) 297, doi:10.1016/S1470-2045(13)70035-4. Donker et al. (AMAROS), Lancet Oncol 15 (2014) 1303,
doi:10.1016/S1470-2045(14)70460-7.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from usdlr.core.errors import InputError
from usdlr.core.types import RiskGroup, Stage
from usdlr.decision.arrays import FloatArray
from usdlr.evaluation.alignment import AXILLA, by_axilla, label_table, same_axillae
from usdlr.evaluation.cascade import risk_groups
from usdlr.evaluation.clustered_rate import BoolArray, clustered_rate
from usdlr.evaluation.intervals import Estimate
from usdlr.evaluation.resampling import Patients, patients

MOST_SENTINEL_NODES = 2
LARGEST_MM = 50.0
"""The end of T2."""
NODE_NEGATIVE = "cN0"
KNOWN_STAGES = (NODE_NEGATIVE, "cN1", "cN2", "cN3")

TextArray = npt.NDArray[np.str_]


class Way(StrEnum):
    """How surgery is decided on."""

    CURRENT = "current_practice"
    Z0011 = "z0011"
    CASCADE = "cascade"


class Fate(StrEnum):
    """What is done to an axilla."""

    NO_SURGERY = "no_surgery"
    BIOPSY = "biopsy_only"
    DISSECTION = "biopsy_and_dissection"
    UNDECIDED = "undecided"


class Nodes(StrEnum):
    """What is known of an axilla's nodes."""

    SLN_NEGATIVE = "sln_negative"
    NSLN_NEGATIVE = "sln_positive_nsln_negative"
    NSLN_POSITIVE = "sln_positive_nsln_positive"
    NSLN_UNKNOWN = "sln_positive_nsln_unknown"


BY_RULE = "none by the rule itself"
"""How an outcome was found that a way excludes: it is no finding and has no interval to speak of."""

OUTCOMES: tuple[str, ...] = (
    "biopsies_spared",
    "dissections_spared",
    "sln_positive_without_surgery",
    "nsln_positive_undissected",
    "nsln_negative_dissected",
)

NEVER: Mapping[Way, Mapping[str, tuple[str, ...]]] = {
    Way.CURRENT: {"fates": (Fate.NO_SURGERY, Fate.UNDECIDED), "outcomes": OUTCOMES[:4]},
    Way.Z0011: {"fates": (Fate.NO_SURGERY,), "outcomes": ("biopsies_spared", "sln_positive_without_surgery")},
    Way.CASCADE: {"fates": (Fate.UNDECIDED,), "outcomes": ()},
}
"""What a way excludes by its rule."""


def pathways(
    decisions: pd.DataFrame,
    labels: pd.DataFrame,
    axillae: pd.DataFrame | None = None,
    *,
    contract: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What each way of deciding does to the same axillae, as shares of them; times 1,000 is "per 1,000 axillae".

    Parameters
    ----------
    decisions : DataFrame
        The ``decisions`` table.
    labels : DataFrame
        ``patient_id side sln nsln`` of the same axillae: 1 positive, 0 negative, NaN unknown. ``nsln`` is read where
        ``sln`` is 1 only.
    axillae : DataFrame, optional
        ``patient_id side`` and, as far as known, ``sln_positive_count cn_stage tumour_size_mm sln_reference``. Every
        tested axilla has a row, unless the table is empty. What is absent or null is unknown.
    contract : mapping, optional
        The contract, as plain data; of its ``alpha`` follow the missed axillae that it tolerates.

    Returns
    -------
    dict
        ``axillae``: counts. ``z0011``: what the rule found among SLN-positive axillae, and which items the undecided
        ones lack (an axilla may lack several). ``ways``: for each :class:`Way`

        - ``cells``: counts by :class:`Fate` and :class:`Nodes`; they add up to ``axillae.sln_known``;
        - ``fates``: share of the axillae of known SLN status with each fate;
        - each of :data:`OUTCOMES`: ``least`` and ``most``, shares of the axillae of known SLN status if none and if
          all of the ``unknown`` axillae count; and ``share``, the rate among those whom it is about and whose status
          is known: of all axillae, of SLN-positive ones whose way is decided, of SLN-positive ones, of NSLN-positive
          ones whose way is decided, and of the dissected ones; ``left_out`` counts the axillae that may belong among
          these and of which that is not known. What a way's own rule excludes is 0 from 0 to 0, with
          the method :data:`BY_RULE`.

        ``tolerated``, with a contract: of the same axillae, the SLN- and the NSLN-positive share that may be missed
        without breaking ``alpha``; NSLN positives as far as known.

    Raises
    ------
    InputError
        If the tables do not hold the same axillae once each, a label or an item is none of its values, or a tested
        axilla has no row in a table of axillae that has some.

    Examples
    --------
    >>> key = {"patient_id": ["a", "b", "c", "d"], "side": ["left"] * 4}
    >>> decided = pd.DataFrame({**key, "risk_group": ["LR-SLN", "HR-SLN/LR-NSLN", "HR-SLN/HR-NSLN", "DEFER"]})
    >>> found = pathways(decided, pd.DataFrame({**key, "sln": [0, 1, 0, 1], "nsln": [0, 1, 0, None]}))
    >>> found["ways"]["cascade"]["nsln_positive_undissected"]["least"]["value"]
    0.25
    """
    decided, truth = by_axilla(decisions, ("risk_group",), "decisions"), label_table(labels)
    same_axillae(decided, truth, "decisions", "labels")
    items = _items(axillae, truth)
    known = truth["sln"].notna().to_numpy()
    nodes = nodes_of(truth)[known]
    group = risk_groups(decided)[known]
    items = items[known]
    who = patients(truth.index.get_level_values(AXILLA[0]).to_numpy()[known])
    positive = nodes != Nodes.SLN_NEGATIVE
    allowed, lacking = _z0011(items, positive)
    fates = {
        Way.CURRENT: np.where(positive, Fate.DISSECTION, Fate.BIOPSY),
        Way.Z0011: np.select(
            [~positive | (allowed == 1), np.isnan(allowed)], [Fate.BIOPSY, Fate.UNDECIDED], Fate.DISSECTION
        ),
        Way.CASCADE: np.select(
            [group == RiskGroup.LR_SLN, (group == RiskGroup.HR_SLN_LR_NSLN) | ~positive],
            [Fate.NO_SURGERY, Fate.BIOPSY],
            Fate.DISSECTION,
        ),
    }
    spared, undecided = int((positive & (allowed == 1)).sum()), int((positive & np.isnan(allowed)).sum())
    reference = items["sln_reference"]
    found: dict[str, Any] = {
        "axillae": {
            "n": len(truth),
            "sln_known": len(nodes),
            "sln_unknown": int((~known).sum()),
            "patients": who.count,
            "patients_with_two": int((who.rows() > 1).sum()),
            "sln_positive": int(positive.sum()),
            "nsln_unknown": int((nodes == Nodes.NSLN_UNKNOWN).sum()),
            "needle_proven": int((reference == "needle").sum()) if reference.notna().any() else None,
        },
        "z0011": {
            "sln_positive": int(positive.sum()),
            "spared": spared,
            "dissected": int(positive.sum()) - spared - undecided,
            "undecided": undecided,
            "lacking": lacking,
        },
        "ways": {str(way): _outcomes(way, np.asarray(fate, dtype=str), nodes, who) for way, fate in fates.items()},
    }
    if contract is not None:
        found["tolerated"] = _tolerated(contract["alpha"], nodes)
    return found


def nodes_of(truth: pd.DataFrame) -> TextArray:
    """What is known of every axilla's nodes, (n,); meaningless where the SLN status is unknown."""
    sln, nsln = truth["sln"].to_numpy(), truth["nsln"].to_numpy()
    return np.select(
        [sln == 0, nsln == 1, nsln == 0],
        [Nodes.SLN_NEGATIVE, Nodes.NSLN_POSITIVE, Nodes.NSLN_NEGATIVE],
        Nodes.NSLN_UNKNOWN,
    ).astype(str)


def _items(axillae: pd.DataFrame | None, truth: pd.DataFrame) -> pd.DataFrame:
    """What the Z0011 rule reads, in the order of ``truth``; unknown where the table does not say."""
    numbers, words = ("sln_positive_count", "tumour_size_mm"), ("cn_stage", "sln_reference")
    table = pd.DataFrame(index=truth.index) if axillae is None or axillae.empty else axillae
    if axillae is not None and not axillae.empty:
        given = [name for name in (*numbers, *words) if name in axillae]
        keyed = by_axilla(axillae, given, "axillae")
        absent = len(truth.index.difference(keyed.index))
        if absent:
            raise InputError(
                f"found no row of {absent} of {len(truth)} tested axillae in the table of axillae, expected one each; "
                "make it from the same cases, or pass an empty one"
            )
        table = keyed.reindex(truth.index)
    out = pd.DataFrame(index=truth.index)
    for name in numbers:
        out[name] = _numbers(table[name], name) if name in table else np.nan
    for name in words:
        column = table[name] if name in table else pd.Series(None, index=truth.index, dtype=object)
        out[name] = column.astype(object).where(column.notna(), None)
    return out


def _numbers(column: pd.Series, name: str) -> FloatArray:
    try:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise InputError(f"found {name} holds something that is not a number ({error}); correct the table") from error
    if (values < 0).any() or np.isinf(values).any():
        raise InputError(f"found {name} = {values[(values < 0) | np.isinf(values)][0]}, expected 0 or more; correct it")
    return np.asarray(values, dtype=np.float64)


def _z0011(items: pd.DataFrame, positive: BoolArray) -> tuple[FloatArray, dict[str, int]]:
    """Whether the rule spares dissection (1, 0, NaN undecided), and how many undecided axillae lack which item."""
    count, size = items["sln_positive_count"].to_numpy(), items["tumour_size_mm"].to_numpy()
    stage = items["cn_stage"]
    fulfilled = {
        # A positive axilla without a positive sentinel node was proven otherwise: the nodes were never counted.
        "sln_positive_count": np.where(count >= 1, count <= MOST_SENTINEL_NODES, np.nan),
        "cn_stage": np.where(stage.isin(KNOWN_STAGES), stage.eq(NODE_NEGATIVE), np.nan),
        "tumour_size_mm": np.where(np.isnan(size), np.nan, size <= LARGEST_MM),
    }
    every = np.array(list(fulfilled.values()))
    # One item that forbids decides; otherwise one that is unknown leaves it open.
    allowed = np.where((every == 0).any(axis=0), 0.0, np.where(np.isnan(every).any(axis=0), np.nan, 1.0))
    open_ = positive & np.isnan(allowed)
    return allowed, {name: int((open_ & np.isnan(values)).sum()) for name, values in fulfilled.items()}


def _outcomes(way: Way, fate: TextArray, nodes: TextArray, who: Patients) -> dict[str, Any]:
    everyone = np.ones(len(fate), dtype=bool)
    positive, negative = nodes != Nodes.SLN_NEGATIVE, nodes == Nodes.NSLN_NEGATIVE
    involved, unknown = nodes == Nodes.NSLN_POSITIVE, nodes == Nodes.NSLN_UNKNOWN
    undecided, dissected = fate == Fate.UNDECIDED, fate == Fate.DISSECTION
    untouched = fate == Fate.NO_SURGERY
    spared = positive & ~dissected & ~undecided

    def share(of: BoolArray, among: BoolArray = everyone) -> dict[str, Any]:
        return clustered_rate(of, among, who).as_dict()

    def outcome(sure: BoolArray, perhaps: BoolArray, among: BoolArray, left_out: BoolArray) -> dict[str, Any]:
        return {
            "least": share(sure),
            "most": share(sure | perhaps),
            "unknown": int(perhaps.sum()),
            "share": share(sure, among),
            "left_out": int(left_out.sum()),
        }

    nobody = ~everyone
    found = {
        "cells": {
            str(one): {str(state): int(((fate == one) & (nodes == state)).sum()) for state in Nodes} for one in Fate
        },
        "fates": {str(one): share(fate == one) for one in Fate},
        "biopsies_spared": outcome(untouched, nobody, everyone, nobody),
        "dissections_spared": outcome(spared, undecided, positive & ~undecided, undecided),
        "sln_positive_without_surgery": outcome(positive & untouched, nobody, positive, nobody),
        "nsln_positive_undissected": outcome(
            involved & spared,
            (unknown & ~dissected) | (involved & undecided),
            involved & ~undecided,
            # Any axilla of unknown status may be NSLN positive, also a dissected one, which cannot be missed.
            unknown | (involved & undecided),
        ),
        "nsln_negative_dissected": outcome(
            negative & dissected,
            (unknown & (dissected | undecided)) | (negative & undecided),
            dissected & ~unknown,
            (unknown & dissected) | undecided,
        ),
    }
    for fate_left_out in NEVER[way]["fates"]:
        found["fates"][fate_left_out] = _by_rule(found["fates"][fate_left_out])
    for name in NEVER[way]["outcomes"]:
        found[name] |= {key: _by_rule(found[name][key]) for key in ("least", "most", "share")}
    return found


def _by_rule(estimate: dict[str, Any]) -> dict[str, Any]:
    if estimate["value"] is None:
        return estimate
    return Estimate(0.0, 0.0, 0.0, estimate["n"], BY_RULE, 0).as_dict()


def _tolerated(alpha: Mapping[str, float], nodes: TextArray) -> dict[str, float | None]:
    n = len(nodes)
    held = {
        Stage.SLN: int((nodes != Nodes.SLN_NEGATIVE).sum()),
        Stage.NSLN: int((nodes == Nodes.NSLN_POSITIVE).sum()),
    }
    return {str(stage): float(alpha[stage]) * held[stage] / n if n else None for stage in Stage}
