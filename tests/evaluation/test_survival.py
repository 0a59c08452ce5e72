"""Survival against a textbook's leukaemia data, statsmodels and simulated truth."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.metrics import roc_auc_score
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from usdlr.core.errors import ConfigError, DataError, InputError
from usdlr.evaluation.hazards import group_hazards, score_hazard
from usdlr.evaluation.survival import by_patient, kaplan_meier, log_rank, numbers_at_risk
from usdlr.evaluation.survival_auc import time_dependent_auc
from usdlr.evaluation.survival_summary import survival_metrics

Array = NDArray[np.float64]

LOW, MIDDLE, HIGH, DEFER = "LR-SLN", "HR-SLN/LR-NSLN", "HR-SLN/HR-NSLN", "DEFER"

# Freireich et al., Blood 21 (1963) 699: weeks of remission in acute leukaemia, 6-mercaptopurine (+ is censored) against
# placebo, 21 patients each; the standard example of Kleinbaum and Klein, Survival Analysis.
TREATED = "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+"
PLACEBO = "1 1 2 2 3 4 4 5 5 8 8 8 8 11 11 12 12 15 17 22 23"


def follow_up_table(**groups: str) -> pd.DataFrame:
    rows = [
        (group, float(time.rstrip("+")), float(not time.endswith("+")))
        for group, times in groups.items()
        for time in times.split()
    ]
    table = pd.DataFrame(rows, columns=["risk_group", "dfs_months", "dfs_event"])
    return table.assign(patient_id=[f"p{i:04d}" for i in range(len(table))], side="left")


def leukaemia() -> pd.DataFrame:
    return follow_up_table(**{LOW: TREATED, HIGH: PLACEBO})


def simulated(n: int, seed: int, *, hazard: float = 2.0, group: Any = (LOW, MIDDLE, HIGH)) -> pd.DataFrame:
    """Exponential times whose hazard is ``hazard`` times higher from group to group; uniform censoring."""
    random = np.random.default_rng(seed)
    which = random.integers(0, len(group), n)
    time, end = random.exponential(60 / hazard**which), random.uniform(10, 90, n)
    return pd.DataFrame(
        {
            "patient_id": [f"p{i:05d}" for i in range(n)],
            "side": "left",
            "risk_group": np.array(group)[which],
            "dfs_months": np.ceil(np.minimum(time, end)),
            "dfs_event": (time <= end).astype(float),
        }
    )


def test_kaplan_meier_is_that_of_the_textbook() -> None:
    treated, placebo = kaplan_meier(by_patient(leukaemia()))
    assert [treated.group, placebo.group] == [LOW, HIGH]
    published = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    errors = {6: 0.0764, 7: 0.0869, 10: 0.0963, 13: 0.1068, 16: 0.1141, 22: 0.1282, 23: 0.1346}
    for week, share in published.items():
        found = treated.at(week)
        assert found.value is not None
        assert found.low is not None
        assert found.value == pytest.approx(share, abs=5e-4)
        # The published Greenwood standard error, carried to the scale of log(-log S).
        half = norm.ppf(0.975) * errors[week] / (share * -np.log(share))
        assert found.low == pytest.approx(share ** np.exp(half), abs=2e-3)
        assert found.high == pytest.approx(share ** np.exp(-half), abs=2e-3)
    assert (treated.median.value, placebo.median.value) == (23.0, 8.0)
    assert (treated.median.low, treated.median.high) == (13.0, None)
    at = dict(zip(treated.months, treated.at_risk, strict=True))
    assert [at[week] for week in (6, 7, 10, 13, 16, 22, 23)] == [21, 17, 15, 12, 11, 7, 6]


def test_log_rank_and_hazard_ratio_are_those_of_the_textbook() -> None:
    follow_up = by_patient(leukaemia())
    test = log_rank(follow_up)
    assert test["statistic"] == pytest.approx(16.79, abs=0.005)  # Kleinbaum and Klein; R's survdiff gives 16.8
    assert (test["degrees"], test["n"], test["events"]) == (1, 42, 30)
    # R's coxph with Efron's ties (Venables and Ripley, data gehan): log ratio 1.57, standard error 0.412, ratio 4.82.
    ratio = group_hazards(follow_up).ratios[HIGH]
    assert ratio.value == pytest.approx(4.82, abs=0.005)
    assert ratio.low == pytest.approx(np.exp(1.572 - 1.96 * 0.412), abs=0.01)
    assert ratio.high == pytest.approx(np.exp(1.572 + 1.96 * 0.412), abs=0.05)
    assert group_hazards(follow_up).doubtful == []


def test_three_groups_are_those_of_statsmodels() -> None:
    table = simulated(400, 3)
    follow_up = by_patient(table)
    data = follow_up.table
    statistic, p_value = survdiff(data["dfs_months"], data["dfs_event"], data["risk_group"])
    assert log_rank(follow_up)["statistic"] == pytest.approx(statistic)
    assert log_rank(follow_up)["p_value"] == pytest.approx(p_value, abs=1e-12)
    dummies = np.column_stack([data["risk_group"] == name for name in (MIDDLE, HIGH)]).astype(float)
    fit = PHReg(data["dfs_months"], dummies, status=data["dfs_event"], ties="efron").fit()
    found = group_hazards(follow_up)
    for index, name in enumerate((MIDDLE, HIGH)):
        assert found.ratios[name].value == pytest.approx(np.exp(fit.params[index]), rel=1e-4)
        low, high = np.exp(fit.conf_int()[index])
        assert (found.ratios[name].low, found.ratios[name].high) == pytest.approx((low, high), rel=1e-3)
    for curve in kaplan_meier(follow_up):
        mine = data["risk_group"] == curve.group
        theirs = SurvfuncRight(data.loc[mine, "dfs_months"], data.loc[mine, "dfs_event"])
        at = np.searchsorted(curve.months, theirs.surv_times)
        assert curve.survival[at] == pytest.approx(theirs.surv_prob, abs=1e-9)
        assert curve.at_risk[at].tolist() == theirs.n_risk.tolist()


def test_a_score_has_its_hazard_per_standard_deviation() -> None:
    random = np.random.default_rng(5)
    score = random.normal(3, 2, 4000)
    time = random.exponential(np.exp(-0.3 * score))
    table = pd.DataFrame({"patient_id": [f"p{i:04d}" for i in range(4000)], "side": "left", "risk_group": LOW})
    table = table.assign(dfs_months=time, dfs_event=1.0, score=score)
    ratio = score_hazard(by_patient(table)).ratios["score"]
    assert ratio.value == pytest.approx(np.exp(0.3 * 2), rel=0.05)


def test_proportionality_is_doubted_where_hazards_cross() -> None:
    random = np.random.default_rng(2)
    n = 300
    early, late = random.weibull(0.5, n) * 20, random.weibull(3.0, n) * 25
    table = follow_up_table(**{LOW: "0 " * n, HIGH: "0 " * n}).assign(dfs_months=np.concatenate([early, late]))
    assert group_hazards(by_patient(table.assign(dfs_event=1.0))).doubtful == [HIGH]
    # Under proportional hazards it is rarely doubted.
    doubts = [group_hazards(by_patient(simulated(120, seed, group=(LOW, HIGH)))).doubtful for seed in range(12)]
    assert sum(map(bool, doubts)) <= 3


def test_the_worse_side_counts_and_patients_count_once() -> None:
    rows = [
        ("a", "left", LOW, 12, 1),
        ("a", "right", MIDDLE, 12, 1),
        ("b", "left", DEFER, 20, 0),
        ("b", "right", LOW, None, None),
        ("c", "left", HIGH, 30, 0),
        ("c", "right", DEFER, 30, 0),
        ("d", "left", LOW, None, None),
    ]
    table = pd.DataFrame(rows, columns=["patient_id", "side", "risk_group", "dfs_months", "dfs_event"])
    found = by_patient(table)
    assert dict(zip(found.table["patient_id"], found.table["risk_group"], strict=True)) == {
        "a": MIDDLE,
        "b": DEFER,
        "c": HIGH,
    }
    assert found.unknown == 1
    assert found.groups == [DEFER, MIDDLE, HIGH]
    assert list(numbers_at_risk(found, [0, 12, 13, 30]).loc[MIDDLE]) == [1, 1, 0, 0]
    # Both sides of everybody: nothing changes.
    once = leukaemia()
    both = pd.concat([once, once.assign(side="right")])
    assert log_rank(by_patient(both)) == log_rank(by_patient(once))
    assert group_hazards(by_patient(both)).as_dict() == group_hazards(by_patient(once)).as_dict()


def one_patient(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(patient_id="a", side=[str(index) for index in range(len(table))])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.drop(columns="dfs_event"), "dfs_event"),
        (lambda table: pd.concat([table, table]), "twice"),
        (lambda table: table.assign(risk_group="high"), "risk group 'high'"),
        (lambda table: table.assign(dfs_months=-1.0), "negative"),
        (lambda table: table.assign(dfs_event=2.0), "label dfs_event"),
        (one_patient, "sides tell different"),
    ],
)
def test_impossible_follow_up_is_refused(change: Callable[[pd.DataFrame], pd.DataFrame], words: str) -> None:
    with pytest.raises(InputError, match=words):
        by_patient(change(leukaemia()))


def test_groups_without_events_or_patients() -> None:
    follow_up = by_patient(follow_up_table(**{LOW: "5 9+ 8", MIDDLE: "6+ 7+", HIGH: "2 3 1"}))
    found = group_hazards(follow_up)
    assert found.ratios[MIDDLE].method == f"undefined: no event in {MIDDLE}"
    assert found.proportional[MIDDLE] is None
    # All events of one group come before those of the other: the ratio has no upper end.
    assert found.ratios[HIGH].value is None
    assert log_rank(follow_up)["p_value"] is not None
    nobody = by_patient(leukaemia().query("risk_group == 'LR-SLN'"))
    assert log_rank(nobody)["method"].startswith("undefined: fewer than two groups")
    assert group_hazards(nobody).ratios == {}
    unharmed = by_patient(leukaemia().assign(dfs_event=0.0))
    assert log_rank(unharmed)["method"] == "undefined: no event was observed"
    assert group_hazards(unharmed).ratios[HIGH].method.startswith("undefined: no event in the reference")
    curve = kaplan_meier(unharmed)[0]
    assert curve.survival.tolist() == [1.0] * len(curve.months)
    assert np.isfinite(curve.low).all()
    assert curve.median.value is None
    assert curve.at(100).value is None
    constant = score_hazard(by_patient(leukaemia().assign(score=1.0)))
    assert constant.ratios["score"].method == "undefined: the score is constant"
    with pytest.raises(DataError, match="no score"):
        score_hazard(unharmed)
    assert kaplan_meier(by_patient(leukaemia().iloc[:0])) == []


def test_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(ConfigError, match=r"usdlr\[survival\]"):
        log_rank(by_patient(leukaemia()))
    monkeypatch.undo()
    assert importlib.import_module("lifelines")


def test_auc_without_censoring_is_the_ordinary_one() -> None:
    random = np.random.default_rng(0)
    score = np.round(random.normal(size=500), 1)
    time = np.ceil(random.exponential(30 * np.exp(-score)))
    found = time_dependent_auc(time, np.ones(500), score, [6, 24, 60], replicates=100)
    for months, estimate in found.items():
        assert estimate.value == pytest.approx(roc_auc_score(time <= months, score), abs=1e-12)
        assert estimate.low is not None
        assert estimate.events == int((time <= months).sum())


def test_auc_of_seven_patients_by_hand() -> None:
    # Censored at 2 (one of six at risk) and at 4 (one of three: who has the event at 4 is at risk no longer). Chance of
    # being observed: 1 up to 2, 5/6 up to 4, then 5/9. Cases by 6: at 1, 3, 4 and 5, with weights 1, 6/5, 6/5 and 9/5,
    # together 26/5; the one control is at 7 and has the score 2. The cases at 1 and 5 score higher: 14/5.
    # Everybody twice changes neither chances nor the AUC, and gives cases enough.
    time, event, score = [1, 2, 3, 4, 4, 5, 7], [1, 0, 1, 1, 0, 1, 0], [3, 9, 0, 1, 9, 5, 2]
    found = time_dependent_auc(time * 2, event * 2, score * 2, [6], replicates=100)
    assert found[6].value == pytest.approx(14 / 26)


def test_median_is_reached_at_one_half() -> None:
    curve = kaplan_meier(by_patient(follow_up_table(**{LOW: "1 2 3 4"})))[0]
    assert curve.median.value == 2.0


def true_auc(time: float, beta: float) -> float:
    """Cumulative/dynamic AUC of a standard normal score whose hazard is exp(beta x), by integration."""

    def rate(x: Array) -> Array:
        return np.asarray(norm.pdf(x) * -np.expm1(-time * np.exp(beta * x)))

    grid = np.linspace(-8, 8, 4001)
    cases = rate(grid)
    density = norm.pdf(grid) - cases
    below = (np.cumsum(density) - density / 2) / density.sum()
    assert quad(lambda x: float(rate(np.array(x))), -8, 8)[0] == pytest.approx(cases.sum() * 0.004, rel=1e-6)
    return float(cases @ below / cases.sum())


def test_censoring_is_corrected() -> None:
    random, beta, n = np.random.default_rng(4), 1.2, 20_000
    score = random.normal(size=n)
    time, end = random.exponential(np.exp(-beta * score)), random.exponential(1.0, n)
    observed, event = np.minimum(time, end), (time <= end).astype(float)
    times = [0.2, 0.7, 1.5]
    found = time_dependent_auc(observed, event, score, times, replicates=100)
    for months in times:
        estimate = found[months]
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.value == pytest.approx(true_auc(months, beta), abs=0.012)
        assert estimate.low - 0.005 < true_auc(months, beta) < estimate.high + 0.005
    # Leaving the censored ones out without weights is wrong at the late time, so the correction is at work.
    known = (observed > 1.5) | (event == 1)
    plain = roc_auc_score(observed[known] <= 1.5, score[known])
    assert abs(plain - true_auc(1.5, beta)) > 0.015


def test_auc_intervals_cover() -> None:
    random, beta, hits = np.random.default_rng(8), 1.0, 0
    truth = true_auc(0.6, beta)
    for _ in range(100):
        score = random.normal(size=150)
        time, end = random.exponential(np.exp(-beta * score)), random.exponential(1.5, 150)
        estimate = time_dependent_auc(
            np.minimum(time, end), (time <= end).astype(float), score, [0.6], replicates=200, seed=1
        )[0.6]
        assert estimate.low is not None
        assert estimate.high is not None
        hits += estimate.low <= truth <= estimate.high
    assert hits >= 88


def test_auc_that_does_not_exist() -> None:
    none: Array = np.zeros(5)
    assert time_dependent_auc([1, 2, 3, 4, 5], none, none, [3])[3].value is None
    assert time_dependent_auc([1, 2, 3, 4, 5], none + 1, none, [9])[9].value is None
    assert time_dependent_auc([1, 2, 3, 4, 5], none + 1, none, [9])[9].method == (
        "undefined: nobody observed beyond 9 months"
    )
    assert time_dependent_auc([1, 2, 3, 4, 5], none, none, [3])[3].method.startswith("undefined: no event by 3 months")
    months = np.arange(1.0, 11.0)
    some = time_dependent_auc(months, np.ones(10), -months, [4, 5], replicates=100)
    assert (some[4].value, some[4].events) == (None, 4)
    assert some[4].method == "undefined: only 4 events by 4 months, expected at least 5"
    assert (some[5].value, some[5].events) == (1.0, 5)
    constant = time_dependent_auc(months, np.ones(10), np.zeros(10), [6])[6]
    assert (constant.value, constant.low) == (0.5, None)
    with pytest.raises(DataError, match="unknown event"):
        time_dependent_auc([1, 2], [1, np.nan], [0, 1], [1])
    assert time_dependent_auc([], [], [], [1])[1].n == 0


def test_plain_data_is_json() -> None:
    table = leukaemia().assign(score=np.arange(42.0))
    plain = json.loads(json.dumps(survival_metrics(table, months=(10.0, 20.0), replicates=100), allow_nan=False))
    assert (plain["patients"], plain["unknown"], plain["events"]) == (42, 0, 30)
    treated = plain["groups"][LOW]
    assert treated["at_risk"] == {"10": 15, "20": 8}
    assert treated["survival"]["10"]["value"] == pytest.approx(0.753, abs=5e-4)
    assert plain["log_rank"]["statistic"] == pytest.approx(16.79, abs=0.005)
    assert plain["hazards"]["ratios"][HIGH]["value"] == pytest.approx(4.82, abs=0.005)
    assert set(plain["score"]["auc"]) == {"10", "20"}
    assert "score" not in survival_metrics(leukaemia(), replicates=100)
