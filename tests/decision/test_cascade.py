from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from usdlr.core.errors import TableError
from usdlr.core.tables import DECISIONS
from usdlr.core.types import ContractStatus, OnUncertified
from usdlr.decision.cascade import decide
from usdlr.decision.contract import Contract

CERTIFIED = Contract(
    alpha={"sln": 0.1, "nsln": 0.1},
    delta=0.05,
    status=ContractStatus.CERTIFIED,
    required_positives={"sln": 29, "nsln": 29},
    t_sln=0.2,
    t_nsln=0.3,
    positives={"sln": 120, "nsln": 45},
    misses={"sln": 3, "nsln": 1},
    p_value=0.04,
)
UNCERTIFIED = replace(CERTIFIED, status=ContractStatus.NOT_CERTIFIABLE, p_value=None)


def scores() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient_id": ["d", "b", "c", "a", "a"],
            "side": ["left", "left", "left", "left", "right"],
            "p_sln": [0.19, 0.2, 0.9, 0.0, 0.5],
            "p_nsln": [0.9, 0.29, 0.3, 0.0, 0.1],
        }
    )


def test_groups_with_strict_thresholds() -> None:
    decisions = decide(scores(), CERTIFIED, on_uncertified=OnUncertified.DEFER)
    assert decisions["risk_group"].tolist() == [
        "LR-SLN",
        "HR-SLN/LR-NSLN",
        "HR-SLN/HR-NSLN",
        "LR-SLN",
        "HR-SLN/LR-NSLN",
    ]
    assert decisions["stage_reached"].tolist() == ["sln", "nsln", "nsln", "sln", "nsln"]
    assert decisions["patient_id"].tolist() == ["d", "b", "c", "a", "a"]
    assert decisions["p_sln"].tolist() == scores()["p_sln"].tolist()
    assert set(decisions["t_sln"]) == {0.2}
    assert set(decisions["contract"]) == {"certified"}
    pd.testing.assert_frame_equal(DECISIONS.conform(decisions), decisions)


def test_treat_all_releases_nobody() -> None:
    decisions = decide(scores(), replace(CERTIFIED, t_sln=0.0, t_nsln=0.0), on_uncertified=OnUncertified.DEFER)
    assert set(decisions["risk_group"]) == {"HR-SLN/HR-NSLN"}


def test_uncertified_defers_unless_told_otherwise() -> None:
    deferred = decide(scores(), UNCERTIFIED, on_uncertified=OnUncertified.DEFER)
    assert set(deferred["risk_group"]) == {"DEFER"}
    assert set(deferred["contract"]) == {"not_certifiable"}
    assert deferred["reason"].str.contains("uncertified").all()
    shown = decide(scores(), UNCERTIFIED, on_uncertified=OnUncertified.ZERO_MISS)
    certified = decide(scores(), CERTIFIED, on_uncertified=OnUncertified.DEFER)
    assert shown["risk_group"].tolist() == certified["risk_group"].tolist()
    assert shown["reason"].str.startswith("Uncertified:").all()


def test_unusable_scores_are_refused() -> None:
    with pytest.raises(TableError, match="p_nsln"):
        decide(scores().drop(columns="p_nsln"), CERTIFIED, on_uncertified=OnUncertified.DEFER)
    with pytest.raises(TableError, match="p_sln"):
        decide(scores().assign(p_sln=[0.1, float("nan"), 0.1, 0.1, 0.1]), CERTIFIED, on_uncertified=OnUncertified.DEFER)
    with pytest.raises(TableError, match="second time"):
        decide(pd.concat([scores(), scores()]), CERTIFIED, on_uncertified=OnUncertified.DEFER)


def test_no_rows_give_no_decisions() -> None:
    assert len(decide(scores().head(0), CERTIFIED, on_uncertified=OnUncertified.DEFER)) == 0
