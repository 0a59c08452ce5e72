"""The gallery shows misses first and every group."""

from __future__ import annotations

import numpy as np
import pandas as pd

from usdlr.report.example_cases import choose


def test_misses_first_then_every_group() -> None:
    groups = ["LR-SLN"] * 10 + ["HR-SLN/LR-NSLN"] * 10 + ["HR-SLN/HR-NSLN"] * 10
    decisions = pd.DataFrame(
        {
            "patient_id": [f"p{i}" for i in range(30)],
            "side": "left",
            "risk_group": groups,
            "p_sln": np.linspace(0.01, 0.9, 30),
        }
    )
    labels = decisions[["patient_id", "side"]].assign(sln=0.0, nsln=np.nan)
    labels.loc[4, "sln"] = 1.0  # a positive called LR-SLN
    labels.loc[15, ["sln", "nsln"]] = 1.0  # a non-sentinel positive called LR-NSLN
    labels.loc[25, "sln"] = 1.0  # a positive that was found
    chosen = choose(decisions, labels, 9)
    assert chosen[:2] == [4, 15]
    assert len(chosen) == len(set(chosen)) == 9
    assert {groups[i] for i in chosen} == set(groups)
    assert 25 not in chosen[:2]


def test_small_cohorts_and_empty_galleries() -> None:
    decisions = pd.DataFrame({"patient_id": ["a"], "side": ["left"], "risk_group": ["DEFER"], "p_sln": [0.5]})
    labels = decisions[["patient_id", "side"]].assign(sln=1.0, nsln=np.nan)
    assert choose(decisions, labels, 12) == [0]
    assert choose(decisions, labels, 0) == []
