from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from usdlr.core.errors import BundleError, ConfigError, InputError
from usdlr.core.leak import Rows
from usdlr.core.types import OnUncertified
from usdlr.decision.cascade import decide
from usdlr.decision.contract import Contract
from usdlr.decision.strata import StratumRule
from usdlr.decision.stratified import fit_strata
from usdlr.decision.thresholds import ContractSettings, ThresholdPath, fit_contract
from usdlr.decision.wording import strata_sentences
from usdlr.evaluation.levels import Variable, levels

PATH = ThresholdPath(np.linspace(0, 1, 101), np.zeros(101))
STRICT = ContractSettings(alpha_sln=0.05, alpha_nsln=0.05, strata="centre")


def stratified(counts: dict[str | None, int], *, joint: bool = True, settings: ContractSettings = STRICT) -> Contract:
    """Only positives, with scores from 0.5 upward, evenly in every stratum."""
    stratum = [name for name, n in counts.items() for _ in range(n)]
    p = np.concatenate([0.5 + np.arange(n) / (2 * max(n, 1)) for n in counts.values()])
    ones = np.ones(len(p))
    rows = Rows.of([f"c{place}" for place in range(len(p))], ["calibration"] * len(p))
    by = StratumRule("centre", (), joint)
    return fit_strata(PATH, p, ones, p, ones, stratum=stratum, by=by, rows=rows, settings=settings).contract


def test_each_stratum_stands_by_itself_and_few_positives_are_told_what_they_need() -> None:
    contract = stratified({"east": 100, "west": 40}, joint=False)
    assert contract.by_stratum["east"].certified
    assert not contract.by_stratum["west"].certified
    assert contract.by_stratum["west"].required_positives == {"sln": 59, "nsln": 59}
    assert contract.by_stratum["east"].delta == 0.05
    said = strata_sentences(contract)
    assert said[0].startswith("1 of 2 strata by centre are certified, each with the confidence it states by itself")
    assert said[1].startswith("east: Certified with 95 % confidence")
    assert said[2].startswith("west: Uncertified")
    assert "at least 59 and 59 are needed" in said[2]


def test_joint_delta_is_shared_among_those_that_stand_a_chance() -> None:
    # Zero misses of 72 give 0.95 ** 72 = 0.0249 <= 0.05 / 2; of 71, 0.0262.
    both = stratified({"east": 200, "west": 72})
    assert {part.delta for part in both.by_stratum.values()} == {0.025}
    assert both.by_stratum["west"].certified
    one = stratified({"east": 200, "west": 71})
    assert one.by_stratum["east"].delta == 0.05  # nothing is lost on a stratum without a chance
    assert not one.by_stratum["west"].certified
    assert one.by_stratum["west"].required_positives == {"sln": 72, "nsln": 72}
    assert strata_sentences(both)[0].endswith("with 95 % confidence for all of them jointly.")
    assert "97.5 %" in strata_sentences(both)[1]
    assert strata_sentences(stratified({"east": 10}))[0] == "0 of 1 strata by centre are certified."


def test_the_joint_promise_holds_in_simulation() -> None:
    broken, draws = 0, 150
    for seed in range(draws):
        p = np.random.default_rng(seed).random(400)
        rows = Rows.of([f"c{place}" for place in range(400)], ["calibration"] * 400)
        contract = fit_strata(
            ThresholdPath(np.linspace(0, 1, 1001), np.zeros(1001)),
            p,
            np.ones(400),
            p,
            np.ones(400),
            stratum=[str(place % 4) for place in range(400)],
            by=StratumRule("centre"),
            rows=rows,
            settings=ContractSettings(alpha_sln=0.2, alpha_nsln=0.2, strata="centre"),
        ).contract
        broken += any(part.certified and part.t_sln > 0.2 for part in contract.by_stratum.values())
    assert 0 < broken <= 0.05 * draws + 2.5 * np.sqrt(0.05 * 0.95 * draws)


def test_unknown_strata_count_for_none_and_are_deferred() -> None:
    contract = stratified({"east": 100, None: 30})
    assert set(contract.by_stratum) == {"east"}
    assert contract.positives["sln"] == 130
    scores = pd.DataFrame(
        {"patient_id": list("abcd"), "side": "left", "p_sln": [0.01, 0.01, 0.01, 0.99], "p_nsln": 0.99}
    )
    decisions = decide(
        scores, contract, on_uncertified=OnUncertified.ZERO_MISS, strata=["east", None, "north", "east"], note="Note. "
    )
    assert decisions["risk_group"].tolist() == ["LR-SLN", "DEFER", "DEFER", "HR-SLN/HR-NSLN"]
    assert decisions["contract"].tolist() == ["certified", "not_certifiable", "not_certifiable", "certified"]
    assert decisions["reason"][1].startswith("Note. No answer (DEFER): the target was set for each group")
    assert decisions["reason"][0].endswith("Decided by the contract of its own stratum (centre: east).")
    assert "Decided by" not in decisions["reason"][1]
    assert decisions["t_sln"][0] == contract.by_stratum["east"].t_sln
    assert set(
        decide(scores, contract.void(), on_uncertified=OnUncertified.DEFER, strata=["east"] * 4)["contract"]
    ) == {"not_certifiable"}
    with pytest.raises(InputError, match="2 strata for 4 rows"):
        decide(scores, contract, on_uncertified=OnUncertified.DEFER, strata=["east", "east"])


def test_an_uncertified_stratum_is_deferred_beside_a_certified_one() -> None:
    contract = stratified({"east": 100, "west": 5})
    scores = pd.DataFrame({"patient_id": ["a", "b"], "side": "left", "p_sln": 0.01, "p_nsln": 0.9})
    decisions = decide(scores, contract, on_uncertified=OnUncertified.DEFER, strata=["east", "west"])
    assert decisions["risk_group"].tolist() == ["LR-SLN", "DEFER"]
    assert "uncertified" in decisions["reason"][1]


def test_all_together_is_the_plain_contract_and_everything_comes_back() -> None:
    contract = stratified({"east": 100, "west": 80})
    p = np.concatenate([0.5 + np.arange(n) / (2 * n) for n in (100, 80)])
    rows = Rows.of([f"c{place}" for place in range(180)], ["calibration"] * 180)
    plain = fit_contract(PATH, p, np.ones(180), p, np.ones(180), rows=rows, settings=STRICT).contract
    assert (contract.t_sln, contract.p_value, contract.status) == (plain.t_sln, plain.p_value, plain.status)
    assert Contract.from_dict(contract.to_dict()) == contract
    with pytest.raises(BundleError, match="strata"):
        Contract.from_dict(contract.to_dict() | {"strata": {"by": "moon", "edges_mm": [], "joint": True}})


def test_labels_of_every_kind() -> None:
    sizes = StratumRule("tumour_size", (20.0, 50.0))
    # T1 reaches to 20 mm and T2 to 50 mm, both ends included (UICC/AJCC).
    assert sizes.labels(pd.Series([20.0, None, 20.1, 50.0, 60.0], dtype="Float64")) == [
        "up to 20 mm",
        None,
        "over 20 to 50 mm",
        "over 20 to 50 mm",
        "over 50 mm",
    ]
    size = Variable("tumour_size_mm", "Tumour size", (20.0, 50.0), "mm")
    values = pd.Series([0.1, 19.9, 20.0, 20.1, 49.9, 50.0, 50.1])
    level = levels(values, size)[0]
    assert pd.crosstab(level, pd.Series(sizes.labels(values))).gt(0).sum().tolist() == [1, 1, 1]
    assert StratumRule("elastography").labels([True, False, None]) == [
        "with elastography",
        "without elastography",
        None,
    ]
    assert StratumRule("centre").labels(["A", float("nan")]) == ["A", None]
    assert StratumRule("tumour_size").labels([3.0]) == ["any size"]
    with pytest.raises(InputError, match="tumour size"):
        sizes.labels([-1.0])


def test_strata_cut_at_the_other_side_are_refused() -> None:
    contract = stratified({"up to 20 mm": 100, "over 20 to 50 mm": 80})
    by = StratumRule("tumour_size", (20.0, 50.0))
    plain = replace(contract, strata=by).to_dict()
    assert set(Contract.from_dict(plain).by_stratum) == {"up to 20 mm", "over 20 to 50 mm"}
    plain["by_stratum"] = {"below 20 mm": plain["by_stratum"]["up to 20 mm"]}
    with pytest.raises(BundleError, match="belongs to the smaller stratum; certify anew"):
        Contract.from_dict(plain)


def test_marginal_strata_are_told_without_a_certificate() -> None:
    marginal = ContractSettings(alpha_sln=0.05, alpha_nsln=0.05, strata="centre", kind="marginal")
    contract = stratified({"east": 100, "west": 5}, settings=marginal)
    heading, *parts = strata_sentences(contract)
    assert heading == (
        "1 of 2 strata by centre keep the marginal target, each on average over calibration samples, without a stated "
        "confidence."
    )
    assert parts[0].startswith("east: Marginal, without a stated confidence")
    assert "at least 19 and 19 are needed" in parts[1]
    assert not re.search(r"\bcertified\b", " ".join([heading, *parts]), re.IGNORECASE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"strata": "moon"},
        {"strata_delta": "each"},
        {"strata_edges_mm": [50.0, 20.0]},
        {"strata_edges_mm": [0.0]},
        {"kind": "sure"},
        {"defer_near": 1},
        {"defer_at_most": 2.0},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ContractSettings(**wrong)
