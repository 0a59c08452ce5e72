"""Sentences of explanations: the numbers they print, and that none says more than was computed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from usdlr.core.types import Stage
from usdlr.decision import wording_explanation as words
from usdlr.decision.explanation import (
    ABSENCE,
    BY_STRATUM,
    CLINICAL_VALUE,
    NO_THRESHOLD,
    SIZE,
    UNKNOWN,
    Agreement,
    BlockShare,
    Change,
    Neighbour,
    StageExplanation,
)

LOW = StageExplanation(
    Stage.SLN, 0.0899, 0.0389, 0.1943, -2.31, -0.79, 0.1231, (BlockShare("bmode.intratumoral", 0.3),)
)
HIGH = replace(LOW, stage=Stage.NSLN, probability=0.59, low=0.38, high=0.772, threshold=0.33)
NAMES = {"tumour_size_mm": "tumour size (mm)", "age_years": "age (years)", "radiomics": "radiomics and size"}
SIZED = Change(SIZE, "tumour_size_mm", 10.16, 15.6, True, 0.1235, 2.0, 100.0, 0.1)


def test_step() -> None:
    assert words.step_sentence(LOW, reached=True) == (
        "P(SLN positive | x) 9.0 % (90 % interval 3.8 to 19.5 %) is below its threshold of 12.3 %."
    )
    assert "is at or above its threshold of 33.0 %" in words.step_sentence(HIGH, reached=True)
    assert words.step_sentence(HIGH, reached=False) == "P(NSLN positive | SLN positive, x): not reached."


@pytest.mark.parametrize(("low", "high"), [(0.12349, 0.12351), (0.0, 1.0), (0.0001, 0.9999)])
def test_intervals_are_rounded_outward(low: float, high: float) -> None:
    told = words.interval_words(replace(LOW, low=low, high=high)).removeprefix("90 % interval ").removesuffix(" %")
    first, last = (float(part) / 100 for part in told.split(" to "))
    assert first <= low
    assert last >= high


@pytest.mark.parametrize(("p", "t"), [(0.12310, 0.12314), (0.4996, 0.5004), (0.3, 0.3)])
def test_a_threshold_never_looks_like_the_probability_beside_it(p: float, t: float) -> None:
    told = words.threshold_words(replace(LOW, probability=p, threshold=t))
    assert (told == f"{100 * p:.1f} %") == (p == t)


def test_what_carries_the_answer() -> None:
    lowered = replace(LOW, blocks=(BlockShare("radiomics", -1.82), BlockShare("bmode.intratumoral", 0.3)))
    assert lowered.leading == "radiomics"
    assert "(−1.82 of −1.52 in log-odds" in words.leading_sentence(lowered, "radiomics and size")
    raised = replace(LOW, logit=-0.2)
    assert raised.leading == "bmode.intratumoral"
    assert LOW.leading is None  # the only share points the other way
    assert words.leading_sentence(LOW, None).startswith("No block moves the answer")
    by_source = replace(raised, sources=(BlockShare("clinical", 0.4), BlockShare("bmode.intratumoral", 0.2)))
    assert by_source.leading == "clinical"
    assert replace(LOW, blocks=(BlockShare("elasto.intratumoral", None),)).leading is None


def test_changes_speak_of_the_model() -> None:
    assert words.change_sentence(SIZED, LOW, NAMES["tumour_size_mm"]) == (
        "With a stated tumour size of 15.6 mm instead of 10.2 mm, P(SLN positive | x) would be 12.35 %, at or above "
        "its threshold."
    )
    for forbidden in ("patient would", "if the tumour grew", "risk would", "because of"):
        assert forbidden not in words.change_sentence(SIZED, LOW, NAMES["tumour_size_mm"])
    assert "about the model, not about the patient" in words.ABOUT_THE_MODEL


def test_nothing_within_the_range_is_said_with_the_range() -> None:
    none = Change(CLINICAL_VALUE, "age_years", 60.0, None, False, None, 18.0, 100.0, 1.0)
    stage = replace(HIGH, changes=(Change(SIZE, "tumour_size_mm", 9.0, low=2.0, high=100.0, step=0.5), none))
    assert words.changes_lines(stage, NAMES) == [
        "No stated tumour size from 2 to 100 mm (steps of 0.5 mm) and no age from 18 to 100 years (steps of 1 years) "
        "takes P(NSLN positive | SLN positive, x) across its threshold."
    ]


def test_absences_in_one_sentence() -> None:
    gone = Change(ABSENCE, "radiomics", crosses=True, probability=0.282)
    kept = Change(ABSENCE, "bmode.intratumoral", probability=0.09)
    lines = words.changes_lines(replace(LOW, changes=(gone, kept)), NAMES)
    assert lines == [
        "Without radiomics and size, P(SLN positive | x) would be 28.2 %, at or above its threshold.",
        "The absence of no other block takes P(SLN positive | x) across its threshold.",
    ]
    assert words.changes_lines(replace(LOW, changes=(gone,)), NAMES) == lines[:1]
    assert words.changes_lines(replace(LOW, changes=()), NAMES) == []


@pytest.mark.parametrize("why", [BY_STRATUM, NO_THRESHOLD, UNKNOWN])
def test_what_was_not_searched_is_said(why: str) -> None:
    (line,) = words.changes_lines(replace(LOW, changes=(Change(SIZE, "tumour_size_mm", unsearched=why),)), NAMES)
    assert line.startswith("Tumour size (mm): not searched, because ")


def test_maps_that_occlusion_does_not_bear_out_are_said_to_be_so() -> None:
    weak = Agreement(0, "bmode.intratumoral", "signed map", -0.4, 30)
    strong = replace(weak, rank_correlation=0.8)
    assert "do not rely on them" in words.agreement_sentence([weak, strong])
    assert "−0.40 to 0.80" in words.agreement_sentence([weak, strong])
    assert words.agreement_sentence([strong]) == "Signed map and occlusion rank patches alike by 0.80 (Spearman)."
    assert words.agreement_sentence([replace(weak, rank_correlation=None)]) == ""


def test_neighbours_are_no_estimate() -> None:
    near = [
        Neighbour(0.5, True, True),
        Neighbour(0.6, True, None),
        Neighbour(0.7, False, False),
        Neighbour(0.8, None, None),
    ]
    told = words.neighbours_sentence(near)
    assert "2 of 3 with known status were SLN positive, 1 of 1 of those" in told
    assert "no estimate" in told
    assert "%" not in told
    assert words.neighbours_sentence([]) == ""


@pytest.mark.parametrize(("value", "told"), [(0.0, "0.00"), (-0.004, "0.00"), (0.005001, "+0.01"), (-1.0, "−1.00")])
def test_signed(value: float, told: str) -> None:
    assert words.signed(value) == told
