"""Axillae whose answer rests on a contour by software: what is known of it stands beside the answer."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from usdlr.core import tables
from usdlr.core.columns import AXILLA_KEY
from usdlr.core.types import MaskSource, Stage
from usdlr.decision.wording_outlines import over_redrawn, rests_on_software, split_reason

COLUMNS = ("mask_source", "mask_confidence", "mask_error_mm")


def contour_sources(cases: pd.DataFrame) -> pd.DataFrame:
    """Who drew the contours of every axilla, and how good those by software are expected to be.

    Parameters
    ----------
    cases : DataFrame
        The image sets that an answer rests on.

    Returns
    -------
    DataFrame
        ``patient_id side mask_source mask_confidence mask_error_mm``, one row per axilla: ``automatic`` where any
        contour is software's, with the lowest confidence and the largest distance of those that are.
    """
    drawn = cases[[*AXILLA_KEY, *COLUMNS]].assign(by=cases["mask_source"] == str(MaskSource.AUTOMATIC))
    whole = drawn.groupby(AXILLA_KEY, sort=False)["by"].any()
    of_software = drawn[drawn["by"]].groupby(AXILLA_KEY, sort=False)
    out = pd.DataFrame({"mask_source": whole.map({True: str(MaskSource.AUTOMATIC), False: str(MaskSource.READER)})})
    out["mask_confidence"] = of_software["mask_confidence"].min()
    out["mask_error_mm"] = of_software["mask_error_mm"].max()
    return out.reset_index()


def with_sources(reliability: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """The ``reliability`` table with who drew the contours."""
    known = reliability.drop(columns=[name for name in COLUMNS if name in reliability])
    return tables.RELIABILITY.conform(
        known.merge(contour_sources(cases), on=AXILLA_KEY, how="left", validate="one_to_one")
    )


def with_reasons(decisions: pd.DataFrame, reliability: pd.DataFrame) -> pd.DataFrame:
    """The ``decisions`` table, whose reasons say where an answer rests on a contour by software."""
    told = decisions[AXILLA_KEY].merge(reliability[[*AXILLA_KEY, *COLUMNS]], on=AXILLA_KEY, validate="one_to_one")
    automatic = (told["mask_source"] == str(MaskSource.AUTOMATIC)).to_numpy()
    if not automatic.any():
        return decisions
    sentences = [
        f"{reason} {rests_on_software(confidence, error)}" if by else reason
        for reason, by, confidence, error in zip(
            decisions["reason"], automatic, told["mask_confidence"], told["mask_error_mm"], strict=True
        )
    ]
    return tables.DECISIONS.conform(decisions.assign(reason=sentences))


def with_ranges(
    decisions: pd.DataFrame, reliability: pd.DataFrame, moved_mm: Mapping[tuple[str, str], float]
) -> pd.DataFrame:
    """The ``decisions`` table, whose reasons say what redrawing a contour by software changes.

    Parameters
    ----------
    decisions : DataFrame
        With the reasons of :func:`with_reasons`.
    reliability : DataFrame
        With the quantiles over redrawn contours.
    moved_mm : mapping
        By how many mm on average the contours by software were redrawn, by patient and side.
    """
    told = {(str(row["patient_id"]), str(row["side"])): row for row in reliability.to_dict("records")}
    reasons = []
    for row in decisions.to_dict("records"):
        key = (str(row["patient_id"]), str(row["side"]))
        if key not in moved_mm:
            reasons.append(row["reason"])
            continue
        stage = Stage(row["stage_reached"])
        known = told[key]
        low, high = (float(known[f"contour_{end}_{stage}"]) for end in ("low", "high"))
        added = over_redrawn(stage, low, high, n=int(known["contour_n"]), mean_abs_mm=moved_mm[key])
        reasons.append(f"{row['reason']} {added}")
    return tables.DECISIONS.conform(decisions.assign(reason=reasons))


def reason_of_contours(reason: str, cases: pd.DataFrame) -> str:
    """A decision's reason after a reader took contours over: it speaks of those by software that remain.

    Parameters
    ----------
    reason : str
        As it was predicted.
    cases : DataFrame
        The image sets of one axilla, with who drew the contours that count now.
    """
    own, told = split_reason(reason)
    if not told or not (cases["mask_source"] == str(MaskSource.AUTOMATIC)).any():
        return own
    row = contour_sources(cases).iloc[0]
    return f"{own} {rests_on_software(float(row['mask_confidence']), float(row['mask_error_mm']))}"
