from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import binomtest, norm

from usdlr.core.errors import BundleError, InputError, LeakError
from usdlr.core.leak import Rows
from usdlr.core.types import OnUncertified
from usdlr.decision.cascade import decide
from usdlr.decision.contract import Contract
from usdlr.decision.deferral import DeferralRule, Unsure, fit_deferral
from usdlr.decision.path import two_stages
from usdlr.decision.thresholds import ContractSettings, ThresholdPath, build_path, fit_contract
from usdlr.decision.wording import deferred_sentence

SETTINGS = ContractSettings()


def rows(n: int, split: str) -> Rows:
    return Rows.of([f"{split}{place}" for place in range(n)], [split] * n)


def reach(n: int, size: float, ood: Any = None) -> Unsure:
    both = {"sln": np.full(n, size), "nsln": np.full(n, size)}
    return Unsure(both, both, None if ood is None else np.asarray(ood, dtype=float))


def sample(n: int, random: np.random.Generator) -> tuple[np.ndarray, ...]:
    y_sln = (random.random(n) < 0.5).astype(float)
    y_nsln = np.where(y_sln == 1, (random.random(n) < 0.5).astype(float), 0.0)
    p_sln, p_nsln = (expit(random.normal(1.2 * (2 * y - 1))) for y in (y_sln, y_nsln))
    return p_sln, y_sln, p_nsln, y_nsln


def test_without_reach_the_rule_changes_no_bit_of_the_contract() -> None:
    random = np.random.default_rng(1)
    path = build_path(*sample(80, random), rows=rows(80, "tuning"), settings=SETTINGS)
    data = sample(400, random)
    plain = fit_contract(path, *data, rows=rows(400, "calibration"), settings=SETTINGS).contract
    ruled = fit_contract(
        path,
        *data,
        rows=rows(400, "calibration"),
        settings=SETTINGS,
        rule=DeferralRule(1.0),
        unsure=reach(400, 0.0),
    ).contract
    assert ruled.deferred == {"axillae": 400, "all": 0, "sln": 0, "nsln": 0}
    assert replace(ruled, deferral=None, deferred=None) == plain


def test_the_promise_holds_with_the_rule_in_force() -> None:
    # One stage decides; a deferred positive is no miss, so the true rate is that of the interval's upper end.
    broken, deferred, draws = 0, [], 300
    path = ThresholdPath(np.linspace(0, 1, 401), np.zeros(401))
    for seed in range(draws):
        random = np.random.default_rng(seed)
        x, size = random.normal(1.0, 1.0, 200), 0.4
        contract = fit_contract(
            path,
            expit(x),
            np.ones(200),
            expit(x),
            np.ones(200),
            rows=rows(200, "calibration"),
            settings=SETTINGS,
            rule=DeferralRule(1.0),
            unsure=reach(200, size),
        ).contract
        assert contract.certified
        assert contract.positives["sln"] == 200
        broken += norm.cdf(logit(contract.t_sln) - size - 1.0) > 0.10
        assert contract.deferred is not None
        deferred.append(contract.deferred["sln"])
    assert binomtest(broken, draws, 0.05, alternative="greater").pvalue > 0.001
    assert broken > 0  # it is close to the target, not far below it
    assert np.mean(deferred) > 5


def test_an_uncertain_stage_one_can_take_misses_back_and_the_walk_goes_on() -> None:
    # Ten positives that stage 2 releases are deferred by stage 1 once its threshold enters their interval.
    n = 100
    p_sln = np.concatenate([np.full(10, 0.30), np.full(90, 0.9)])
    p_nsln = np.concatenate([np.full(10, 0.10), np.full(90, 0.9)])
    ones = np.ones(n)
    none = {"sln": np.zeros(n), "nsln": np.zeros(n)}
    wide = none | {"sln": np.where(p_sln < 0.5, 0.5, 0.0)}
    loose = ContractSettings(alpha_sln=0.1, alpha_nsln=0.2)
    path = ThresholdPath(np.array([0.0, 0.0, 0.25]), np.array([0.0, 0.2, 0.2]))
    fitted = fit_contract(
        path,
        p_sln,
        ones,
        p_nsln,
        ones,
        rows=rows(n, "calibration"),
        settings=loose,
        rule=DeferralRule(1.0),
        unsure=Unsure(wide, wide),
    ).contract
    assert (fitted.t_sln, fitted.misses["nsln"]) == (0.25, 0)
    assert fitted.deferred == {"axillae": 100, "all": 10, "sln": 10, "nsln": 10}
    assert "10 of 100" in deferred_sentence(fitted)
    assert "not missed and not spared" in deferred_sentence(fitted)


def test_strange_and_unknown_scores_are_deferred_and_never_missed() -> None:
    n = 100
    p, ones = np.full(n, 0.1), np.ones(n)
    ood = np.where(np.arange(n) < 98, 9.0, 1.0)
    ood[0] = np.nan
    contract = fit_contract(
        ThresholdPath(np.array([0.0, 0.5]), np.zeros(2)),
        p,
        ones,
        p,
        ones,
        rows=rows(n, "calibration"),
        settings=SETTINGS,
        rule=DeferralRule(0.0, ood_above=5.0),
        unsure=reach(n, 0.0, ood),
    ).contract
    assert contract.certified
    assert contract.misses == {"sln": 2, "nsln": 2}
    assert contract.deferred == {"axillae": n, "all": 98, "sln": 98, "nsln": 98}


def test_the_rule_keeps_the_share_asked_for_and_defers_nobody_at_zero() -> None:
    random = np.random.default_rng(3)
    data, tuning = sample(300, random), rows(300, "tuning")
    path = build_path(*data, rows=tuning, settings=SETTINGS)
    stages, _ = two_stages(*data, rows=tuning)
    unsure = reach(300, 1.5, random.normal(size=300))
    rule = fit_deferral(path, stages, unsure, rows=tuning, alpha=[0.1, 0.1], at_most=0.1, ood_share=0.05)
    assert 0 < rule.width < 1
    widest = fit_deferral(path, stages, unsure, rows=tuning, alpha=[0.1, 0.1], at_most=1.0)
    assert widest.width == 1.0
    assert fit_deferral(path, stages, unsure, rows=tuning, alpha=[0.1, 0.1], at_most=0.0).width == 0.0
    assert rule.ood_above is not None
    assert unsure.ood is not None
    assert (unsure.ood > rule.ood_above).mean() <= 0.05
    assert DeferralRule.from_dict(rule.to_dict()) == rule
    assert "tuning" not in str(rule.to_dict())


@pytest.mark.parametrize("split", ["calibration", "test"])
def test_rules_from_other_rows_are_refused(split: str) -> None:
    data = sample(50, np.random.default_rng(0))
    path = build_path(*data, rows=rows(50, "tuning"), settings=SETTINGS)
    stages, _ = two_stages(*data, rows=rows(50, "tuning"))
    with pytest.raises(LeakError, match="deferral rule"):
        fit_deferral(path, stages, reach(50, 0.1), rows=rows(50, split), alpha=[0.1, 0.1])


def test_a_rule_that_has_seen_the_calibration_part_is_refused() -> None:
    data = sample(50, np.random.default_rng(0))
    seen = DeferralRule(1.0, None, frozenset({"calibration7"}))
    path = ThresholdPath(np.array([0.0, 0.1]), np.zeros(2))
    with pytest.raises(LeakError, match="1 of 50 patients both in the fit of the deferral rule"):
        fit_contract(path, *data, rows=rows(50, "calibration"), settings=SETTINGS, rule=seen, unsure=reach(50, 0.1))
    with pytest.raises(InputError, match="expected both"):
        fit_contract(path, *data, rows=rows(50, "calibration"), settings=SETTINGS, rule=DeferralRule(1.0))


def ruled(rule: DeferralRule) -> Contract:
    certified = fit_contract(
        ThresholdPath(np.array([0.0, 0.3]), np.array([0.0, 0.3])),
        np.full(60, 0.9),
        np.ones(60),
        np.full(60, 0.9),
        np.ones(60),
        rows=rows(60, "calibration"),
        settings=SETTINGS,
    ).contract
    return replace(certified, deferral=rule)


def test_decisions_defer_with_a_reason_of_their_own() -> None:
    scores = pd.DataFrame(
        {
            "patient_id": list("abcdef"),
            "side": "left",
            "p_sln": [0.1, 0.31, 0.9, 0.9, 0.1, 0.1],
            "p_nsln": [0.9, 0.9, 0.29, 0.9, 0.9, 0.9],
            "ood": [0.0, 0.0, 0.0, 0.0, 7.0, np.nan],
            **dict.fromkeys(Unsure.columns(), 0.2),
        }
    )
    decisions = decide(scores, ruled(DeferralRule(1.0, 5.0)), on_uncertified=OnUncertified.DEFER)
    assert decisions["risk_group"].tolist() == ["LR-SLN", "DEFER", "DEFER", "HR-SLN/HR-NSLN", "DEFER", "DEFER"]
    assert decisions["stage_reached"].tolist() == ["sln", "sln", "nsln", "nsln", "sln", "sln"]
    assert "P(SLN positive | x) is too uncertain" in decisions["reason"][1]
    assert "P(NSLN positive | SLN positive, x) is too uncertain" in decisions["reason"][2]
    assert decisions["reason"][4:].str.contains("unlike those that the model was made with").all()
    with pytest.raises(InputError, match="below_sln"):
        decide(scores.drop(columns="below_sln"), ruled(DeferralRule(1.0)), on_uncertified=OnUncertified.DEFER)
    with pytest.raises(InputError, match="ood"):
        decide(scores.drop(columns="ood"), ruled(DeferralRule(0.0, 5.0)), on_uncertified=OnUncertified.DEFER)


@pytest.mark.parametrize("wrong", [{"width": 2.0}, {"width": None}, {"ood_above": float("nan")}])
def test_damage_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="deferral rule"):
        DeferralRule.from_dict({"width": 0.5, "ood_above": None} | wrong)
    contract = ruled(DeferralRule(0.5))
    assert Contract.from_dict(contract.to_dict()) == contract


def test_an_impossible_reach_is_refused() -> None:
    with pytest.raises(InputError, match="negative reach"):
        reach(3, -0.1)
    with pytest.raises(InputError, match="both stages"):
        Unsure({"sln": np.zeros(2)}, {"sln": np.zeros(2)})
