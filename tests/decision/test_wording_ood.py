"""No sentence about strangers or shift claims more than was measured."""

from __future__ import annotations

import pytest

from usdlr.core.errors import ConfigError
from usdlr.decision.settings import ContractSettings
from usdlr.decision.wording_ood import far_words, flag_words, strangers_line, study_lines, unchecked_words
from usdlr.decision.wording_shift import domain_line, shift_lines


def test_a_flag_names_at_most_three_parts_and_its_rate() -> None:
    parts = [f"part {number}" for number in range(5)]
    told = flag_words(parts, [far_words("mean brightness (grey value)", 212.34, 20.0, 96.0)], 0.025)
    assert "part 2 and 2 more." in told
    assert "part 3" not in told
    assert "mean brightness (grey value) 212, usually 20 to 96" in told
    assert "at most 2.5 %" in told
    assert "may not hold" in told
    assert flag_words([], [], 0.05).startswith("Not checked")


def test_what_was_not_checked_is_said() -> None:
    assert "12 tuning patients are too few" in unchecked_words(12, 19, 0.05)
    assert "Export it again" in unchecked_words()
    assert strangers_line(0, 10, 0.05) == ""
    assert strangers_line(2, 10, 0.05).startswith("2 of 10 axillae")


def test_absence_of_an_alarm_promises_nothing() -> None:
    assert "may still be misjudged" in study_lines(0.05)[1]
    counts = {"patients": 220, "held": 73}
    quiet = {"alarm": False, "rate": 0.05, "p_value": 0.4, "kinds": {}, "patients": 80, "reference": counts}
    lines = shift_lines(quiet)
    assert "no proof of likeness" in lines[0]
    assert "only outcomes do" in lines[1]
    assert shift_lines({**quiet, "alarm": None, "p_value": None})[0].startswith("Shift not assessed")
    two = {"case_mix": {"alarm": True}, "missing": {"alarm": True}, "answers": {"alarm": False}}
    told = shift_lines({**quiet, "alarm": True, "p_value": 0.0001, "kinds": two})[0]
    assert "nodal stage) and what is missing (P < 0.001)" in told


def test_a_classifier_against_a_made_up_sample_is_an_upper_estimate() -> None:
    known = {"value": 0.9, "low": 0.85, "high": 0.95, "method": "a sample drawn from the reference"}
    assert "upper estimate" in domain_line(known)
    assert "upper estimate" not in domain_line({**known, "method": "training patients' own features"})
    assert domain_line({"value": None}).startswith("No classifier")


@pytest.mark.parametrize("share", [0, 1, 1.5, -0.1, True, "much"])
def test_an_impossible_share_is_refused(share: object) -> None:
    with pytest.raises(ConfigError, match="ood_share"):
        ContractSettings(ood_share=share)  # type: ignore[arg-type]
