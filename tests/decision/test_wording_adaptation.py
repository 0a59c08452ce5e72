"""Sentences about an adaptation say what the numbers allow, and no more."""

from __future__ import annotations

import pytest

from usdlr.decision.wording_adaptation import (
    ADAPTED,
    HARMONISED,
    change_word,
    fine_tuning_sentence,
    needed_sentence,
    recalibration_sentence,
)


def test_the_old_contract_is_said_to_be_void() -> None:
    assert "says nothing about it" in ADAPTED
    assert "Real differences" in HARMONISED


@pytest.mark.parametrize(
    ("low", "high", "smaller", "word"),
    [
        (-0.03, -0.01, True, "better"),
        (-0.03, -0.01, False, "worse"),
        (0.01, 0.03, False, "better"),
        (-0.03, 0.0, True, "no difference shown"),  # an interval that touches 0 settles nothing
        (0.0, 0.0, True, "unchanged"),
        (None, None, True, "no difference shown"),
    ],
)
def test_a_change_is_called_by_its_interval(low: float | None, high: float | None, smaller: bool, word: str) -> None:
    found = {"value": -0.02, "low": low, "high": high}
    assert change_word(found, smaller_is_better=smaller) == word


def test_a_stage_left_alone_says_why() -> None:
    said = recalibration_sentence("nsln", {"kind": "none", "positive": 3, "negative": 9, "why": "3 patients"})
    assert said == "NSLN stage: not recalibrated (3 patients)."
    assert "stretched" in recalibration_sentence("sln", {"kind": "line", "positive": 30, "negative": 40})
    assert "as the model gives them" in recalibration_sentence("sln", {"kind": "none", "positive": 3, "negative": 4})
    assert "drawn towards" in fine_tuning_sentence("sln", {"changed": True, "axillae": 80})


def test_need_is_silent_when_nothing_is_missing_and_honest_without_a_positive() -> None:
    need = {"have": 40, "required": 29, "missing": 0, "patients_expected": 0, "patients": 0, "assurance": 0.8}
    assert needed_sentence("sln", need) == ""
    none = {"have": 0, "required": 29, "missing": 29, "patients_expected": None, "patients": None, "assurance": 0.8}
    assert "nobody can say" in needed_sentence("nsln", none)
