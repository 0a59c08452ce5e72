"""Columns of the ``reliability`` table: how far each answer can be relied on, one row per axilla."""

from __future__ import annotations

from usdlr.core.columns import AXILLA, BOOLEAN, FLOAT, INTEGER, STRING, Column
from usdlr.core.types import MaskSource, RiskGroup, Stage

SHARE_PREFIX = "contour_share_"


def share_column(group: RiskGroup) -> str:
    """Column with the share of redrawn contours whose answer is ``group``.

    Examples
    --------
    >>> share_column(RiskGroup.HR_SLN_LR_NSLN)
    'contour_share_hr_sln_lr_nsln'
    """
    return SHARE_PREFIX + str(group).lower().replace("-", "_").replace("/", "_")


def _probability(name: str, meaning: str) -> Column:
    return Column(name, FLOAT, meaning, "1", nullable=True, low=0.0, high=1.0)


RELIABILITY: tuple[Column, ...] = (
    *AXILLA,
    Column("ood_score", FLOAT, "How unlike the training patients the axilla is; higher is stranger.", "1", True),
    Column("ood_limit", FLOAT, "The score above which the alarm is raised.", "1", True),
    Column("ood_alarm", BOOLEAN, "Whether the axilla is unlike the training patients; null: not checked.", "", True),
    _probability("ood_p", "Share of patients like the tuning patients whose score is as high, at least."),
    Column("ood_why", STRING, "What stands out after an alarm, or why nothing was checked.", "", True),
    *(
        _probability(f"conformal_{end}_{stage}", f"{word} end of the conformal interval of p_{stage}.")
        for stage in Stage
        for end, word in (("low", "Lower"), ("high", "Upper"))
    ),
    *(
        _probability(f"contour_{end}_{stage}", f"{word} of p_{stage} over redrawn contours.")
        for stage in Stage
        for end, word in (("low", "5 % quantile"), ("median", "Median"), ("high", "95 % quantile"))
    ),
    *(_probability(share_column(group), f"Share of redrawn contours whose answer is {group}.") for group in RiskGroup),
    Column(
        "mask_source",
        STRING,
        "Automatic where any contour that the answer rests on was drawn by software.",
        "",
        True,
        choices=tuple(map(str, MaskSource)),
    ),
    _probability("mask_confidence", "Lowest Dice with a reader's contour that is expected of those by software."),
    Column(
        "mask_error_mm", FLOAT, "Largest distance to a reader's contour that is expected of them.", "mm", True, low=0.0
    ),
    Column("contour_n", INTEGER, "Redrawn contours that could be predicted.", "1", nullable=True, low=0),
)
