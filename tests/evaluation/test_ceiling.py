"""Oracle, limit and the model's share of the limit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from usdlr.core.errors import InputError
from usdlr.core.types import Stage
from usdlr.evaluation.ceiling import CeilingScores, ceiling_estimates, share_of_limit, shares_of_limit

N = 300


def cohort(seed: int = 0) -> dict[str, Any]:
    """150 patients with two sides; the limit sees more of the risk than the model."""
    random = np.random.default_rng(seed)
    index = pd.MultiIndex.from_arrays(
        [np.repeat([f"p{i:03d}" for i in range(N // 2)], 2), ["left", "right"] * (N // 2)], names=["patient_id", "side"]
    )
    risk = random.normal(0, 1.5, N)
    y = pd.Series((random.random(N) < expit(risk)).astype(float), index=index)
    y.iloc[:9] = np.nan
    fold = np.repeat([str(i % 3) for i in range(N // 2)], 2)
    noisy = {name: expit(risk + random.normal(0, sd, N)) for name, sd in (("model", 2.0), ("limit", 0.7))}
    tested = {stage: pd.DataFrame({"fold": fold, "probability": noisy["model"]}, index=index) for stage in Stage}
    scores = pd.concat(
        [
            index.to_frame(index=False)
            .assign(stage=str(stage), fold=fold, score=noisy["limit"])
            .sample(frac=1, random_state=3)
            for stage in Stage
        ]
    )
    return {"tested": tested, "status": dict.fromkeys(Stage, y), "limit": CeilingScores(scores), "noisy": noisy, "y": y}


def test_estimates_are_scikit_learns_on_the_known_axillae() -> None:
    case = cohort()
    found = ceiling_estimates("limit", case["limit"], case["tested"], case["status"])["sln"]
    known, y, score = case["y"].notna().to_numpy(), case["y"].to_numpy(), case["noisy"]["limit"]
    assert found["auc"]["value"] == pytest.approx(roc_auc_score(y[known], score[known]), abs=1e-12)
    fold = case["tested"][Stage.SLN]["fold"].to_numpy()
    means = [roc_auc_score(y[known & (fold == k)], score[known & (fold == k)]) for k in "012"]
    assert found["auc_mean_over_folds"]["value"] == pytest.approx(np.mean(means), abs=1e-12)
    assert found["auc"]["n"] == N - 9
    assert found["auc"]["method"].startswith("pooled over folds: AUC, DeLong")


def test_share_is_the_ratio_of_the_leads_over_chance() -> None:
    case = cohort()
    share = shares_of_limit(case["limit"], case["tested"], case["status"])["sln"]
    known, y = case["y"].notna().to_numpy(), case["y"].to_numpy()
    ours, best = (roc_auc_score(y[known], case["noisy"][name][known]) for name in ("model", "limit"))
    assert share["value"] == pytest.approx((ours - 0.5) / (best - 0.5), abs=1e-12)
    assert 0 < share["low"] < share["value"] < share["high"] < 1.2
    assert "paired percentile bootstrap over 146 patients" in share["method"]


def test_share_of_the_limit_itself_is_one_whatever_is_drawn() -> None:
    case = cohort()
    patient = case["y"].index.get_level_values("patient_id")
    share = share_of_limit(case["y"], case["noisy"]["limit"], case["noisy"]["limit"], patient)
    assert (share.value, share.low, share.high) == (1.0, 1.0, 1.0)


def test_bootstrap_draws_patients_as_a_loop_over_scikit_learn_does() -> None:
    case = cohort(1)
    y = np.nan_to_num(case["y"].to_numpy())
    patient = case["y"].index.get_level_values("patient_id").to_numpy()
    model = np.round(case["noisy"]["model"], 1)  # ties
    share = share_of_limit(y, model, case["noisy"]["limit"], patient)
    random, ratios = np.random.default_rng(9), []
    rows = {name: np.flatnonzero(patient == name) for name in np.unique(patient)}
    for _ in range(400):
        drawn = np.concatenate([rows[name] for name in random.choice(list(rows), len(rows))])
        lead = [roc_auc_score(y[drawn], score[drawn]) - 0.5 for score in (model, case["noisy"]["limit"])]
        ratios.append(lead[0] / lead[1])
    low, high = np.quantile(ratios, [0.025, 0.975])
    assert share.low == pytest.approx(low, abs=0.04)
    assert share.high == pytest.approx(high, abs=0.04)


def test_both_sides_of_a_patient_are_drawn_together() -> None:
    case = cohort(2)
    y, model, limit = case["y"].fillna(0).to_numpy(), case["noisy"]["model"], case["noisy"]["limit"]
    alone = share_of_limit(y, model, limit, np.arange(N))
    # Each axilla twice, as one patient's two sides: as much is known as of the axillae alone, not twice as much.
    twice = share_of_limit(np.repeat(y, 2), np.repeat(model, 2), np.repeat(limit, 2), np.repeat(np.arange(N), 2))
    assert twice.value == pytest.approx(alone.value)
    widths = [np.subtract(*np.array([share.high, share.low], dtype=float)) for share in (twice, alone)]
    assert widths[0] == pytest.approx(widths[1], rel=0.05)


def test_limit_near_chance_is_not_divided_by() -> None:
    y = [0, 1, 0, 1] * 20
    flat = np.tile([0.3, 0.3, 0.7, 0.7], 20)
    share = share_of_limit(y, np.arange(80), flat, np.arange(80))
    assert share.value is None
    assert "too near to 0.5" in share.method


def test_weak_limit_has_a_share_without_an_interval() -> None:
    y = np.tile([0, 1], 30)
    limit = np.arange(60) + np.where(y == 1, 3.5, 0)  # AUC 0.57: in one resample of six it is no better than chance
    share = share_of_limit(y, np.arange(60) + np.where(y == 1, 2.5, 0), limit, np.arange(60))
    assert share.value is not None
    assert share.low is None
    assert "no better than chance" in share.method


def test_nothing_to_know_is_one_half_by_definition() -> None:
    case = cohort()
    scores = CeilingScores(case["limit"].predictions.assign(score=0.5), frozenset({"sln", "nsln"}))
    found = ceiling_estimates("oracle", scores, case["tested"], case["status"])
    for stage in ("sln", "nsln"):
        for estimate in found[stage].values():
            assert (estimate["value"], estimate["n"]) == (0.5, N - 9)
            assert "by definition" in estimate["method"]
    share = shares_of_limit(scores, case["tested"], case["status"])["nsln"]
    assert share["value"] is None
    assert "by definition" in share["method"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.iloc[1:], "expected the same ones"),
        (lambda table: table.assign(fold="7"), "other test folds"),
        (lambda table: table.assign(score=np.nan), "no finite numbers"),
    ],
)
def test_scores_of_other_axillae_or_folds_are_refused(change: Any, message: str) -> None:
    case = cohort()
    with pytest.raises(InputError, match=message):
        ceiling_estimates("limit", CeilingScores(change(case["limit"].predictions)), case["tested"], case["status"])
