from __future__ import annotations

import json

import dcurves
import numpy as np
import pandas as pd
import pytest

from tests.evaluation.cohorts import doubled, random_cohort
from usdlr.core.errors import ConfigError
from usdlr.core.types import Stage
from usdlr.decision import wording_net_benefit
from usdlr.evaluation import net_benefit

LIMITS = [round(0.05 * step, 2) for step in range(1, 20)]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("prevalence", [None, 0.15])
def test_curves_are_those_of_dcurves(ties: bool, prevalence: float | None) -> None:
    made = random_cohort(200, 4, ties=ties)
    ours = net_benefit.decision_curve(
        made.y, made.score, made.patient, thresholds=LIMITS, prevalence=prevalence, replicates=100
    )
    table = pd.DataFrame({"y": made.y.astype(int), "score": made.score})
    theirs = dcurves.dca(table, "y", ["score"], thresholds=LIMITS, prevalence=prevalence, nper=1000)
    for mine, name in [("model", "score"), ("treat all", "all"), ("treat none", "none")]:
        expected = theirs[theirs["model"] == name].sort_values("threshold")["net_benefit"].to_numpy()
        assert ours.of(mine)["value"].to_numpy() == pytest.approx(expected, abs=1e-12), name
    avoided = theirs[theirs["model"] == "score"].sort_values("threshold")["net_intervention_avoided"].to_numpy()
    assert ours.of(net_benefit.AVOIDED)["value"].to_numpy() == pytest.approx(avoided, abs=1e-9)
    assert ours.prevalence == pytest.approx(made.y.mean() if prevalence is None else prevalence)


def test_gains_are_differences_and_intervals_hold_the_values() -> None:
    made = random_cohort(300, 5)
    found = net_benefit.decision_curve(made.y, made.score, made.patient, thresholds=LIMITS)
    model, everybody = found.of("model"), found.of("treat all")
    assert (found.of("model minus treat all")["value"]).to_numpy() == pytest.approx(
        (model["value"] - everybody["value"]).to_numpy()
    )
    best = np.maximum(everybody["value"], 0)
    assert found.of("model minus the better of both")["value"].to_numpy() == pytest.approx(
        (model["value"] - best).to_numpy()
    )
    assert (model["low"] <= model["value"]).all()
    assert (model["value"] <= model["high"]).all()
    assert (found.of("treat none")[["value", "low", "high"]] == 0).all().all()
    assert "patient bootstrap, 2000 replicates" in found.method
    # Paired in every replicate: where almost all are treated, the gain over treating all is known better.
    widths = [(curve["high"] - curve["low"]).to_numpy()[1] for curve in (found.of("model minus treat all"), model)]
    assert widths[0] < 0.5 * widths[1]


def test_interval_of_treating_all_is_that_of_the_prevalence() -> None:
    made = random_cohort(400, 6, bilateral=0.0)
    found = net_benefit.decision_curve(made.y, made.score, made.patient, thresholds=[0.2])
    share, n = made.y.mean(), len(made.y)
    half = 1.96 * np.sqrt(share * (1 - share) / n) * 1.25
    row = found.of("treat all").loc[0.2]
    assert row["high"] - row["low"] == pytest.approx(2 * half, rel=0.08)
    fixed = net_benefit.decision_curve(made.y, made.score, made.patient, thresholds=[0.2], prevalence=0.3)
    known = fixed.of("treat all").loc[0.2]
    assert (known["low"], known["high"]) == pytest.approx((known["value"], known["value"]))
    assert "prevalence of 30 %" in fixed.method


def test_rows_given_twice_change_nothing() -> None:
    made = random_cohort(120, 7)
    columns = [made.y, made.score, made.patient]
    one = net_benefit.decision_curve(*columns, thresholds=LIMITS, replicates=300)
    two = net_benefit.decision_curve(*[doubled(column) for column in columns], thresholds=LIMITS, replicates=300)
    pd.testing.assert_frame_equal(one.table, two.table)
    assert two.n == 2 * one.n


def test_a_risk_at_the_threshold_is_treated() -> None:
    found = net_benefit.decision_curve([1, 0, 0, 0], [0.5, 0.1, 0.1, 0.1], list("abcd"), thresholds=[0.5])
    assert found.of("model")["value"].tolist() == [0.25]
    # Nobody needless is treated: of 1,000 axillae all 750 negative ones avoid it.
    assert found.of(net_benefit.AVOIDED)["value"].tolist() == [750]


def test_degenerate_input() -> None:
    for y in ([1, 1, 1], [0, 0, 0], [np.nan] * 3):
        none = net_benefit.decision_curve(y, [0.1, 0.2, 0.3], list("abc"))
        assert none.table.empty
        assert none.method.startswith("undefined")
        assert list(none.table.columns) == net_benefit.COLUMNS
    two = net_benefit.decision_curve([1, 0, 1], [0.1, 0.2, 0.3], ["a", "a", "b"], thresholds=[0.5])
    assert two.table["low"].isna().all()
    assert "2 of at least 3 patients" in two.method
    constant = net_benefit.decision_curve([1, 0, 1], [0.4, 0.4, 0.4], list("abc"), thresholds=[0.3, 0.5])
    assert constant.of("model")["value"].tolist() == pytest.approx([2 / 3 - 1 / 3 * 3 / 7, 0.0])
    for limits in ([0.0], [1.0], [0.5, 0.4], []):
        with pytest.raises(ConfigError, match="thresholds"):
            net_benefit.decision_curve([1, 0, 1], [0.1, 0.2, 0.3], list("abc"), thresholds=limits)
    with pytest.raises(ConfigError, match="prevalence of 1"):
        net_benefit.decision_curve([1, 0, 1], [0.1, 0.2, 0.3], list("abc"), prevalence=1.0)


def study_tables(n: int, seed: int = 11) -> tuple[dict[Stage, pd.DataFrame], pd.DataFrame]:
    """Two stages: every other patient with both sides, a fifth of the SLN-positive axillae never dissected."""
    made = random_cohort(n, seed, bilateral=0.5)
    random = np.random.default_rng(seed)
    side = np.where(pd.Series(made.patient).duplicated(), "right", "left")
    key = pd.DataFrame({"patient_id": made.patient, "side": side})
    burden = made.other + random.normal(0, 0.2, len(key))
    nsln = np.where(made.y == 1, (burden > 0.5).astype(float), 0.0)
    nsln[(made.y == 1) & (random.random(len(key)) < 0.2)] = np.nan
    predicted = {Stage.SLN: key.assign(probability=made.score), Stage.NSLN: key.assign(probability=made.other)}
    return predicted, key.assign(sln=made.y, nsln=nsln)


def test_a_studys_curves_are_those_of_its_judged_axillae() -> None:
    predicted, labels = study_tables(250)
    found = json.loads(
        json.dumps(net_benefit.study_decision_curves(predicted, labels, replicates=100), allow_nan=False)
    )
    for stage, judged in (("sln", labels["sln"].notna()), ("nsln", (labels["sln"] == 1) & labels["nsln"].notna())):
        table = pd.DataFrame(
            {"y": labels.loc[judged, stage].astype(int), "risk": predicted[Stage(stage)].loc[judged, "probability"]}
        )
        curve = found[stage]
        assert (curve["n"], curve["positives"]) == (len(table), table["y"].sum())
        assert curve["prevalence"] == pytest.approx(table["y"].mean())
        assert curve["thresholds"] == pytest.approx(np.arange(1, 51) / 100)
        theirs = dcurves.dca(table, "y", ["risk"], thresholds=curve["thresholds"])
        for mine, name in (("model", "risk"), ("treat all", "all")):
            expected = theirs[theirs["model"] == name].sort_values("threshold")["net_benefit"].to_numpy()
            assert curve["quantities"][mine]["value"] == pytest.approx(expected, abs=1e-12)
        below = [int(((table["risk"] < at) & (table["y"] == 1)).sum()) for at in curve["thresholds"]]
        assert curve["missed"] == below
        assert f"{labels.loc[judged, 'patient_id'].nunique()} patients" in curve["method"]
        assert curve["range"] == wording_net_benefit.WHY_ACTED_ON
    assert set(found["sln"]["quantities"]) == set(net_benefit.KEPT)


def test_curves_of_a_study_that_hardly_is_one() -> None:
    predicted, labels = study_tables(3)
    json.dumps(net_benefit.study_decision_curves(predicted, labels, replicates=100), allow_nan=False)
    for change in ({"sln": np.nan, "nsln": np.nan}, {"sln": 0.0, "nsln": 0.0}, {"sln": 1.0, "nsln": np.nan}):
        found = net_benefit.study_decision_curves(predicted, labels.assign(**change), thresholds=[0.1], replicates=100)
        for curve in found.values():
            assert curve["method"].startswith("undefined")
            assert (curve["quantities"], curve["thresholds"], curve["missed"], curve["prevalence"]) == (
                {},
                [],
                [],
                None,
            )
            assert curve["range"] == ""


def test_intervals_of_a_gain_without_a_miss_promise_too_much() -> None:
    """Why so few misses are marked: hardly an interval at so low a threshold reaches down to the true gain."""
    random = np.random.default_rng(5)

    def drawn(n: int) -> tuple[np.ndarray, np.ndarray]:
        risk = random.normal(-0.8, 1.6, n)
        y = (random.random(n) < 1 / (1 + np.exp(-risk))).astype(float)
        return y, 1 / (1 + np.exp(-risk - random.normal(0, 0.5, n)))

    y, risk = drawn(1_000_000)
    limit, high = 0.03, risk >= 0.03
    odds = limit / (1 - limit)
    truth = (high & (y == 1)).mean() - odds * (high & (y == 0)).mean() - (y.mean() - odds * (1 - y.mean()))
    above, marked = 0, 0
    for _ in range(60):
        y, risk = drawn(250)
        found = net_benefit.decision_curve(y, risk, np.arange(250).astype(str), thresholds=[limit], replicates=100)
        above += bool(found.of(net_benefit.OVER_ALL)["low"].iloc[0] > truth)
        marked += found.missed[0] < net_benefit.FEWEST_MISSED
    assert above > 15
    assert marked == 60
