"""Sixteen axillae of fourteen patients that can be counted by hand, under each way of deciding about surgery."""

from __future__ import annotations

from typing import Any

import pandas as pd

NAN = float("nan")
L, N, H, D = "LR-SLN", "HR-SLN/LR-NSLN", "HR-SLN/HR-NSLN", "DEFER"
# Patient, group, sln, nsln, positive sentinel nodes, cN, mm; what Z0011 says of the positive ones
ROWS: list[tuple[str, str, float, float, int | None, str | None, float, str]] = [
    ("p00", L, 0, 0, 0, "cN0", 20, ""),
    ("p00", L, 1, 1, 1, "cN0", 20, "spare"),
    ("p01", L, 1, NAN, 2, "cN0", 50, "spare"),  # both limits belong to the rule
    ("p02", L, NAN, NAN, None, "cN0", 20, ""),
    ("p03", N, 0, NAN, 0, "cN0", 20, ""),
    ("p04", N, 1, 0, 3, "cN0", 20, "dissect"),
    ("p05", N, 1, 1, 1, "cN1", 20, "dissect"),
    ("p06", N, 1, NAN, 1, "cN0", 50.1, "dissect"),
    ("p07", H, 0, 0, 0, "cN0", NAN, ""),
    ("p08", H, 1, 1, None, "cN0", 20, "open"),
    ("p09", H, 1, 0, None, "cN0", 60, "dissect"),  # too large, whatever the count
    ("p10", H, 1, 0, 1, "cNX", NAN, "open"),
    ("p11", D, 0, 0, 0, None, NAN, ""),
    ("p11", D, 1, 1, 1, "cN0", 10, "spare"),
    ("p12", D, 1, NAN, 0, "cN0", 10, "open"),  # no positive sentinel node beside a positive axilla: not counted
    ("p13", D, NAN, NAN, None, None, NAN, ""),
]


def tables(rows: list[Any] | None = None) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Decisions, labels and axillae, each in an order of its own."""
    rows = ROWS if rows is None else rows
    patient = [row[0] for row in rows]
    side = ["right" if patient[:place].count(name) else "left" for place, name in enumerate(patient)]
    keys = {"patient_id": patient, "side": side}
    decisions = pd.DataFrame({**keys, "risk_group": [row[1] for row in rows]})
    labels = pd.DataFrame({**keys, "sln": [row[2] for row in rows], "nsln": [row[3] for row in rows]})
    axillae = pd.DataFrame(
        {
            **keys,
            "sln_positive_count": pd.array([row[4] for row in rows], dtype="Int64"),
            "cn_stage": pd.Series([row[5] for row in rows], dtype=object),
            "tumour_size_mm": [row[6] for row in rows],
        }
    )
    return decisions, labels.sample(frac=1, random_state=0), axillae.sample(frac=1, random_state=1)
