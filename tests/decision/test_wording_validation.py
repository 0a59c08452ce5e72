"""Sentences of a validation, to the letter, and at the edges where they must claim nothing."""

from __future__ import annotations

from usdlr.core.types import Stage
from usdlr.decision.wording_validation import (
    Standing,
    centres_statement,
    hypothesis_sentence,
    lock_statement,
    range_sentence,
    seen_statement,
    size_sentence,
    target_statement,
    verdict_sentence,
    void_statement,
)
from usdlr.decision.wording_validation_page import flow_note, unknown_sentence, validation_limits


def test_broken_and_undetermined() -> None:
    broken = verdict_sentence(
        Stage.NSLN, Standing.BROKEN, alpha=0.1, misses=20, positives=60, low=0.2169, high=0.4669, known_nsln="among x"
    )
    assert broken == (
        "NSLN target of 10 % broken: 20 of 60 NSLN-positive axillae (among x) missed, 33.3 % (95 % interval 21.6 to "
        "46.7 %)."
    )
    open_ = verdict_sentence(
        Stage.SLN,
        Standing.UNDETERMINED,
        alpha=0.1,
        misses=7,
        positives=32,
        low=0.0928,
        high=0.3997,
        further_clean=100,
        further_same=2,
        towards=Standing.BROKEN,
    )
    assert open_ == (
        "SLN target of 10 % undetermined: 7 of 32 SLN-positive axillae missed, 21.9 % (95 % interval 9.2 to 40.0 %); "
        "the interval lies on both sides of the target. It would be held after 100 further positives without a miss, "
        "or broken after 2 at the observed rate."
    )
    assert "held:" not in open_
    assert "broken:" not in open_


def test_nothing_is_claimed_of_nobody() -> None:
    told = verdict_sentence(
        Stage.SLN, Standing.UNDETERMINED, alpha=0.1, misses=0, positives=0, low=None, high=None, further_clean=36
    )
    assert told == (
        "SLN target of 10 % undetermined: no SLN-positive axilla is known, so nothing can be said; at least 36 "
        "positives without a miss would be needed."
    )
    near = verdict_sentence(
        Stage.SLN, Standing.UNDETERMINED, alpha=0.1, misses=10, positives=100, low=0.049, high=0.1763
    )
    assert near.endswith("The rate is too near to the target to be told from it.")


def test_contract_is_void_unless_the_plan_says_otherwise() -> None:
    assert "is void for east: it speaks" in void_statement(["east"], [], certified=True)
    assert void_statement([], ["north"], certified=True).startswith("By the plan north took part")
    assert "no certified" in void_statement(["east"], [], certified=False)


def test_lock_claims_what_it_shows() -> None:
    assert "not that nobody had looked before" in lock_statement("abc", 0, apart=False)
    apart = lock_statement("abc", 2, apart=True, late=1)
    assert apart.endswith("there are 2 amendments, 1 of them after outcomes had been opened.")


def test_hypotheses_follow_their_interval() -> None:
    assert hypothesis_sentence("AUC", 0.71, 0.8, 0.7) == "AUC: shown to exceed 0.7 (95 % interval 0.71 to 0.80)."
    assert hypothesis_sentence("AUC", 0.5, 0.65, 0.7) == "AUC: lies below 0.7 (95 % interval 0.50 to 0.65)."
    assert hypothesis_sentence("AUC", None, None, 0.7) == "AUC: cannot be estimated, so it is not shown to exceed 0.7."
    assert "not shown to lie" in range_sentence("Slope", 0.7, 1.1, (0.8, 1.2))
    assert "shown to lie within" in range_sentence("Slope", 0.85, 1.1, (0.8, 1.2))
    assert "cannot be estimated" in range_sentence("Slope", None, None, (0.8, 1.2))


def test_counts_in_words() -> None:
    assert seen_statement(0) == ""
    assert seen_statement(1).startswith("1 patient was used to make the model: they were found")
    assert size_sentence(Stage.SLN, 300, 231, 0.1).startswith("SLN: 300 positives came, at least the 231")
    assert "no number of them" in size_sentence(Stage.SLN, 3, None, 0.1)
    assert "settled it all the same" in size_sentence(Stage.SLN, 40, 231, 0.1, settled=True)
    assert centres_statement("AUC", 1, (0.7, 0.6, 0.8)) == ""
    assert centres_statement("AUC", 3, None) == ""
    assert flow_note(0, 10) == "Every row of the sources was used."
    assert unknown_sentence(Stage.SLN, 0, 10) == ""
    assert unknown_sentence(Stage.NSLN, 2, 9, known_nsln="among x") == (
        "NSLN status is unknown for 2 of 9 SLN-positive axillae; figures of that stage hold among x."
    )


def test_limits_name_what_is_open() -> None:
    metrics = {
        "lock": {"apart": False, "locks": [{"after_outcomes": True}]},
        "centres": {"a": {}},
        "verdicts": {"sln": {"standing": "undetermined"}, "nsln": {"standing": "held"}},
        "cascade": {"verified_share": {"n": 10, "events": 8}},
        "cohort": {"excluded": 30, "image_sets": 70},
        "shift": None,
    }
    told = list(validation_limits(metrics))
    assert told[0].startswith("1 amendment of the plan came after outcomes had been opened")
    assert any(line.startswith("The SLN verdict is undetermined") for line in told)
    assert not any("NSLN verdict" in line for line in told)
    assert any("2 of 10 SLN-positive axillae" in line for line in told)
    assert any(line.startswith("30.0 % of the rows could not be used") for line in told)


def test_another_target_than_the_certificate_is_told() -> None:
    told = target_statement({"sln": 0.05, "nsln": 0.1}, {"sln": 0.1, "nsln": 0.1})
    assert "judge SLN 5 %; the thresholds were set for SLN 10 %" in told
    assert "NSLN" not in told
    assert target_statement({"sln": 0.1}, {"sln": 0.1}) == ""
