from __future__ import annotations

import re
from dataclasses import replace

import pytest

from usdlr.core.errors import InputError
from usdlr.core.types import ContractStatus, RiskGroup, Stage
from usdlr.decision import wording
from usdlr.decision.contract import Contract
from usdlr.decision.deferral import DeferralRule
from usdlr.decision.strata import StratumRule

CERTIFIED = Contract(
    alpha={"sln": 0.1, "nsln": 0.05},
    delta=0.05,
    status=ContractStatus.CERTIFIED,
    required_positives={"sln": 29, "nsln": 59},
    t_sln=0.2,
    t_nsln=0.3,
    positives={"sln": 120, "nsln": 65},
    misses={"sln": 3, "nsln": 0},
    p_value=0.04,
)
SHORT = replace(
    CERTIFIED,
    status=ContractStatus.NOT_CERTIFIABLE,
    positives={"sln": 30, "nsln": 12},
    misses={"sln": 0, "nsln": 0},
    p_value=None,
)


def test_a_certified_contract_states_target_confidence_counts_and_caveat() -> None:
    sentence = wording.contract_sentence(CERTIFIED)
    for part in (
        "Certified with 95 % confidence",
        "at most 10 % of SLN-positive",
        "at most 5 % of NSLN-positive",
        "among dissected",
        "exchangeable with the calibration patients",
        "3 of 120",
        "0 of 65",
    ):
        assert part in sentence
    assert "uncertified" not in sentence.lower()
    assert sentence.count(". ") == 0


def test_an_uncertified_contract_says_what_is_missing() -> None:
    sentence = wording.contract_sentence(SHORT)
    for part in (
        "Uncertified",
        "hold 30 SLN-positive and 12 NSLN-positive",
        "at least 29 and 59 are needed",
        "promise nothing",
    ):
        assert part in sentence
    enough = wording.contract_sentence(replace(SHORT, positives={"sln": 60, "nsln": 60}))
    assert enough.startswith("Uncertified")
    assert "enough in number" in enough
    assert "needed" not in enough


@pytest.mark.parametrize("group", list(RiskGroup))
def test_every_group_has_a_short_sentence_for_research_only(group: RiskGroup) -> None:
    sentence = wording.decision_reason(group, ContractStatus.CERTIFIED)
    assert "Research use only." in sentence
    assert len(sentence) < 240
    assert "uncertified" in wording.decision_reason(group, ContractStatus.NOT_CERTIFIABLE).lower()
    assert (wording.P_NSLN in sentence) == ("NSLN" in group.value)


def test_the_conditional_probability_is_labelled_as_such() -> None:
    assert wording.P_NSLN == "P(NSLN positive | SLN positive, x)"
    assert "not a medical device" in wording.NOT_A_MEDICAL_DEVICE


@pytest.mark.parametrize(
    ("events", "n", "low", "high", "alpha", "verdict"),
    [
        (0, 100, 0.0, 0.0362, 0.1, "lies within the target of 10 %"),
        (30, 100, 0.2124, 0.3998, 0.1, "target of 10 % is broken"),
        (7, 32, 0.0928, 0.3997, 0.1, "does not settle"),
        (1, 100, 0.0003, 0.1, 0.1, "lies within the target"),
        (20, 100, 0.1, 0.3, 0.1, "does not settle"),
    ],
)
def test_a_rate_claims_no_more_than_its_interval(
    events: int, n: int, low: float, high: float, alpha: float, verdict: str
) -> None:
    assert verdict in wording.rate_sentence(events, n, low, high, alpha=alpha)


def test_rounding_never_narrows_an_interval_or_hides_an_event() -> None:
    sentence = wording.rate_sentence(1, 3000, 0.00001, 0.00186)
    assert "below 0.1 %" in sentence
    assert "interval 0.0 to 0.2 %" in sentence
    assert "above 99.9 %" in wording.rate_sentence(2999, 3000, 0.998, 0.99999)
    assert re.search(r"interval 7\.0 to 14\.0 %", wording.rate_sentence(10, 100, 0.07, 0.14))


def test_no_cases_give_no_rate() -> None:
    assert wording.rate_sentence(0, 0, None, None) == "No rate can be given: 0 of 0 missed."


def test_proxy_and_cohort() -> None:
    assert "non-sentinel" in wording.proxy_notice(Stage.NSLN, "malignant against benign")
    one = {"centres": ["A"], "patients": 1, "axillae": 1, "image_sets": 1, "excluded": 0}
    assert wording.cohort_line(one) == "Cohort: 1 patient, 1 axilla, 1 image set from 1 centre (A); 0 excluded rows."
    with pytest.raises(InputError, match="patients"):
        wording.cohort_line({"centres": []})


@pytest.mark.parametrize("cause", list(wording.DeferCause))
def test_every_cause_of_a_deferral_has_a_sentence_that_names_the_usual_pathway(cause: wording.DeferCause) -> None:
    sentence = wording.deferral_reason(cause)
    assert sentence.startswith("No answer (DEFER): ")
    assert sentence.endswith("so the patient follows the usual pathway. Research use only.")
    assert "low risk" not in sentence
    assert len(sentence) < 240


def test_a_contract_without_rule_or_strata_says_nothing_of_them() -> None:
    assert wording.deferred_sentence(CERTIFIED) == ""
    assert wording.strata_sentences(CERTIFIED) == []


def test_a_marginal_answer_never_reads_like_a_certified_one() -> None:
    for group in (RiskGroup.LR_SLN, RiskGroup.HR_SLN_LR_NSLN, RiskGroup.HR_SLN_HR_NSLN):
        reason = wording.decision_reason(group, ContractStatus.NOT_CERTIFIABLE, marginal=True)
        assert reason.startswith("Marginal target only, uncertified: ")


MARGINAL = replace(
    CERTIFIED,
    kind="marginal",
    status=ContractStatus.MARGINAL,
    p_value=None,
    deferral=DeferralRule(0.5),
    deferred={"axillae": 400, "all": 30, "sln": 6, "nsln": 3, "sln_positive": 122, "nsln_positive": 65},
    strata=StratumRule("centre"),
    several={"sln": 2, "nsln": 0},
)
PARTS = {
    "east": replace(MARGINAL, strata=None, deferral=None, deferred=None),
    "west": replace(MARGINAL, strata=None, deferral=None, deferred=None, status=ContractStatus.NOT_CERTIFIABLE),
}


@pytest.mark.parametrize("status", [ContractStatus.MARGINAL, ContractStatus.NOT_CERTIFIABLE])
def test_no_sentence_of_a_marginal_contract_calls_it_certified(status: ContractStatus) -> None:
    contract = replace(MARGINAL, status=status, by_stratum=PARTS)
    said = [*wording.contract_lines(contract), wording.standing(status), wording.standing_mark(status, [status])]
    said += [wording.decision_reason(group, status) for group in RiskGroup]
    said += [wording.decision_reason(group, ContractStatus.CERTIFIED, marginal=True) for group in RiskGroup]
    said += [wording.contract_sentence(contract.void())]
    assert not [one for one in said if re.search(r"\bcertified\b", one, re.IGNORECASE)]
    assert len([one for one in said if "arginal" in one]) >= 5


def test_the_lines_of_a_contract_are_promise_deferral_and_strata() -> None:
    lines = wording.contract_lines(replace(MARGINAL, by_stratum=PARTS), known_nsln="among axillae with known status")
    assert [line[:24] for line in lines] == [
        "Marginal, without a stat",
        "Deferred of the calibrat",
        "1 of 2 strata by centre ",
        "east: Marginal, without ",
        "west: Uncertified: the c",
    ]
    assert all("dissected" not in line for line in lines)
    assert "6 SLN-positive and 3 NSLN-positive axillae (of 122 and 65)" in lines[1]
    older = {key: value for key, value in (MARGINAL.deferred or {}).items() if not key.endswith("positive")}
    assert "(of 120 and 65)" in wording.deferred_sentence(replace(MARGINAL, deferred=older))
    assert wording.contract_lines(CERTIFIED) == [wording.contract_sentence(CERTIFIED)]


@pytest.mark.parametrize("contract", [CERTIFIED, SHORT, MARGINAL], ids=lambda one: str(one.status))
def test_patients_with_two_positive_axillae_are_told_where_there_are_any(contract: Contract) -> None:
    clause = "2 (SLN) and 0 (NSLN) patients with two positive axillae count once, and as missed if either is"
    assert clause in wording.contract_sentence(replace(contract, several={"sln": 2, "nsln": 0}))
    assert "count once" not in wording.contract_sentence(replace(contract, several={}))


@pytest.mark.parametrize(
    ("bundle", "folds", "mark"),
    [
        ("certified", [], ""),
        ("certified", ["certified"] * 5, ""),
        ("certified", ["certified", "not_certifiable"], "partly uncertified"),
        ("certified", ["not_certifiable"] * 5, "uncertified"),
        ("certified", ["marginal", "certified"], "partly uncertified"),
        ("not_certifiable", ["certified"] * 5, "uncertified"),
        ("marginal", ["marginal"] * 5, "marginal, uncertified"),
        ("marginal", ["marginal", "not_certifiable"], "uncertified"),
        ("not_certifiable", ["marginal"], "uncertified"),
    ],
)
def test_the_mark_of_titles_is_that_of_the_weakest_contract(bundle: str, folds: list[str], mark: str) -> None:
    assert wording.standing_mark(bundle, folds) == mark
    if mark:
        assert "uncertified" in mark


def test_every_exported_word_exists() -> None:
    assert sorted(set(wording.__all__)) == sorted(wording.__all__)
    assert all(hasattr(wording, name) for name in wording.__all__)
