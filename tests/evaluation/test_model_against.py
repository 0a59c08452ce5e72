"""Calls and risks of a model beside a baseline's, and needle-proven axillae apart: small tables counted by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from usdlr.evaluation.model_against import adjust_calls, calls_and_risks
from usdlr.evaluation.needle import needle_rates


def rows(n: int = 200, seed: int = 1) -> tuple[pd.Series, pd.DataFrame, pd.Series, pd.Series]:
    random = np.random.default_rng(seed)
    index = pd.MultiIndex.from_arrays([[f"p{i:03d}" for i in range(n)], ["left"] * n], names=["patient_id", "side"])
    y = pd.Series((random.random(n) < 0.4).astype(float), index=index)
    model = np.clip(0.3 * y + 0.35 + random.normal(0, 0.2, n), 0.01, 0.99)
    frame = pd.DataFrame({"probability": model, "fold": np.where(np.arange(n) % 2, "0", "1")}, index=index)
    baseline = pd.Series(np.clip(0.15 * y + 0.4 + random.normal(0, 0.2, n), 0.01, 0.99), index=index)
    return y, frame, pd.Series(0.5, index=index), baseline


def test_a_baseline_calls_as_many_axillae_of_every_fold() -> None:
    y, frame, threshold, baseline = rows()
    found = calls_and_risks(y, frame, threshold, baseline, replicates=200)
    ours = (frame["probability"] >= 0.5).to_numpy()
    theirs = np.zeros(len(y), dtype=bool)
    for fold in ("0", "1"):
        inside = np.flatnonzero(frame["fold"] == fold)
        best = inside[np.argsort(-baseline.to_numpy()[inside])][: int(ours[inside].sum())]
        theirs[best] = True
    positive = (y == 1).to_numpy()
    table = [
        [int((positive & ours & theirs).sum()), int((positive & ours & ~theirs).sum())],
        [int((positive & ~ours & theirs).sum()), int((positive & ~ours & ~theirs).sum())],
    ]
    told = found["sensitivity"]
    assert [told["both"], told["first_only"], told["second_only"], told["neither"]] == [*table[0], *table[1]]
    assert told["exact"]["value"] == pytest.approx(mcnemar(table, exact=True).pvalue)
    risk = frame["probability"] - baseline
    assert found["idi"]["total"]["value"] == pytest.approx(risk[positive].mean() - risk[~positive].mean())
    up = np.sign(risk)
    assert found["nri"]["total"]["value"] == pytest.approx(up[positive].mean() - up[~positive].mean())
    assert found["nri"]["caveats"]
    assert found["idi"]["caveats"]


def test_scores_that_are_no_risks_have_no_index_of_risks() -> None:
    y, frame, threshold, baseline = rows()
    found = calls_and_risks(y, frame, threshold, 10 * baseline, replicates=200)
    assert set(found) == {"sensitivity", "specificity"}
    same = calls_and_risks(y, frame, threshold, baseline, replicates=200)
    assert found["sensitivity"] == same["sensitivity"]  # only the order of the scores counts


def test_unknown_status_and_one_class_are_defined() -> None:
    y, frame, threshold, baseline = rows()
    some = y.where(np.arange(len(y)) % 3 != 0)
    assert calls_and_risks(some, frame, threshold, baseline, replicates=200)["sensitivity"]["difference"]["n"] == int(
        (some == 1).sum()
    )
    none = calls_and_risks(y * np.nan, frame, threshold, baseline, replicates=200)
    assert none["sensitivity"]["exact"]["value"] is None
    one = calls_and_risks(y * 0, frame, threshold, baseline, replicates=200)
    assert one["sensitivity"]["difference"]["value"] is None
    assert one["nri"]["total"]["value"] is None
    constant = calls_and_risks(y, frame, threshold, baseline * 0 + 0.5, replicates=200)
    assert constant["sensitivity"]["exact"]["value"] is not None


def test_exact_tests_are_corrected_for_one_another() -> None:
    tests = [{"exact": {"value": p}} for p in (0.01, 0.04, 0.03, None)]
    stages = {"sln": {"against": {"sensitivity": tests[0], "specificity": tests[1]}}}
    stages["nsln"] = {"against": {"sensitivity": tests[2], "specificity": tests[3]}}
    adjust_calls({"size": {"stages": stages}, "old": {"stages": {"sln": {}}}})
    holm = multipletests([0.01, 0.04, 0.03], method="holm")[1]
    assert [test["exact"]["p_holm"] for test in tests[:3]] == pytest.approx(holm)
    assert tests[3]["exact"]["p_holm"] is None


def decided(
    groups: list[str], sln: list[float], nsln: list[float], reference: list[object]
) -> tuple[pd.DataFrame, ...]:
    key = {"patient_id": [f"p{i}" for i in range(len(groups))], "side": "left"}
    return (
        pd.DataFrame({**key, "risk_group": groups}),
        pd.DataFrame({**key, "sln": sln, "nsln": nsln}),
        pd.DataFrame({**key, "sln_reference": reference}),
    )


def test_needle_proven_axillae_have_rates_of_their_own() -> None:
    low, high = "LR-SLN", "HR-SLN/HR-NSLN"
    parts = decided(
        [low, high, high, low, "DEFER", low],
        [1, 1, 1, 1, 1, 0],
        [np.nan, 1, 1, np.nan, np.nan, 0],
        ["needle", "needle", "slnb", "slnb", None, "needle"],
    )
    found = needle_rates(*parts)
    assert found is not None
    assert (found["positive"], found["needle"]) == (5, 2)
    needle, others = found["rates"]["needle"], found["rates"]["others"]
    assert (needle["fnr_sln"]["events"], needle["fnr_sln"]["n"]) == (1, 2)
    assert (others["fnr_sln"]["events"], others["fnr_sln"]["n"]) == (1, 3)
    assert (others["defer_rate"]["events"], others["defer_rate"]["n"]) == (1, 3)
    assert needle["fnr_nsln"]["n"] == 1
    assert needle["fnr_sln"]["high"] == pytest.approx(0.9874, abs=1e-4)  # Clopper-Pearson, 1 of 2


def test_nothing_is_told_apart_where_no_positive_was_proven_by_needle() -> None:
    parts = decided(["LR-SLN", "LR-SLN"], [1, 0], [np.nan, 0], ["slnb", "needle"])
    assert needle_rates(*parts) is None
    assert needle_rates(parts[0], parts[1], parts[2].drop(columns="sln_reference")) is None
