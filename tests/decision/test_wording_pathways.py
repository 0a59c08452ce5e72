"""Literal sentences on ways of deciding, thresholds, net benefit, cards and checklists, with their edges."""

from __future__ import annotations

from typing import Any

import pytest

from usdlr.core.types import Stage
from usdlr.decision import wording_cards as cards
from usdlr.decision import wording_checklists as lists
from usdlr.decision import wording_net_benefit as worth
from usdlr.decision import wording_page as page
from usdlr.decision import wording_pathways as ways
from usdlr.decision.numbers import MINUS, NBSP

AMONG = "among dissected axillae"
COUNTS = {
    "sln_known": 200,
    "patients": 190,
    "sln_unknown": 0,
    "sln_positive": 80,
    "nsln_unknown": 8,
    "patients_with_two": 10,
}


def rate(
    value: float | None, low: float | None, high: float | None, n: int, events: int | None = None, how: str = "m"
) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": n, "events": events, "method": how}


def plain(text: str) -> str:
    return text.replace(NBSP, " ").replace(MINUS, "-").replace("\u2013", "-")


def outcome(least: float, most: float, unknown: int) -> dict[str, Any]:
    return {
        "least": rate(least, least / 2, least * 2, 200),
        "most": rate(most, most / 2, most * 2, 200),
        "unknown": unknown,
    }


def test_ways_are_told_per_thousand_with_what_is_unknown() -> None:
    cascade = {"biopsies_spared": outcome(0.13, 0.13, 0), "dissections_spared": outcome(0.04, 0.05, 3)}
    rule = {"dissections_spared": outcome(0.0002, 0.0002, 0)}
    assert plain(ways.ways_sentence(COUNTS, cascade, rule, adjective="uncertified ")) == (
        "Three ways of deciding are laid side by side for the same 200 axillae with known SLN status of 190 "
        "patients. Of "
        "1,000 such axillae the uncertified cascade spares 130 (65-260) the sentinel biopsy and 40 to 50 (20-100) the "
        "dissection; the Z0011 rule spares <1 (0-1) the dissection and none the biopsy (95 % intervals in brackets)."
    )
    missed = {Stage.SLN: rate(0.0, 0.0, 0.045, 80, 0), Stage.NSLN: rate(0.1, 0.02, 0.27, 30, 3)}
    assert ways.left_sentence(missed, {"sln": 0.1, "nsln": 0.1}, known_nsln=AMONG) == (
        "SLN-positive axillae left without surgery: 0 of 80 missed, 0.0 % (95 % interval 0.0 to 4.5 %); the interval "
        "lies "
        "within the target of 10 %. NSLN-positive axillae left undissected (among dissected axillae): 3 of 30 "
        "missed, 10.0 % "
        "(95 % interval 2.0 to 27.0 %); this does not settle whether the rate is within 10 %."
    )
    none = {Stage.SLN: rate(None, None, None, 0, 0), Stage.NSLN: rate(None, None, None, 0, 0)}
    assert ways.left_sentence(none, {"sln": 0.1, "nsln": 0.1}, known_nsln=AMONG).count("No rate can be given") == 2


def test_assumptions_are_told_only_where_they_apply() -> None:
    assert plain(ways.biopsy_sentence(0.1)).endswith("In truth a biopsy misses about 10 % of positive axillae.")
    assert ways.undecided_sentence({"undecided": 0}) == ""
    rule = {"undecided": 3, "sln_positive": 80, "lacking": {"cn_stage": 2, "tumour_size_mm": 0}}
    assert ways.undecided_sentence(rule) == (
        "The Z0011 rule cannot be decided for 3 of 80 SLN-positive axillae; unknown: clinical nodal stage of 2."
    )
    assert ways.unknown_sentence({"nsln_unknown": 0}) == ""
    assert ways.unknown_sentence(COUNTS) == "NSLN status is unknown in 8 of 80 SLN-positive axillae."
    assert ways.needle_counted(0) == ""
    assert ways.needle_counted(4) == "4 axillae were proven by needle and are counted as if biopsied."
    assert ways.tolerated_sentence({"sln": None, "nsln": None}, {"sln": 0.1, "nsln": 0.1}) == ""
    assert plain(ways.tolerated_sentence({"sln": 0.04, "nsln": 0.015}, {"sln": 0.1, "nsln": 0.1})) == (
        "At most 40.0 SLN-positive (alpha 10 %) and 15.0 NSLN-positive (alpha 10 %) axillae in 1,000 may be missed "
        "without "
        "breaking alpha; NSLN positives as far as known."
    )
    assert ways.caption_unknown({"nsln_unknown": 0}, {"undecided": 0, "sln_positive": 8}) == ""
    assert "they stand apart." in ways.caption_unknown(COUNTS, rule)
    assert ways.UNCERTIFIED_WAYS.endswith("promises nothing of others.")
    assert "none of the ways says what becomes of the patients" in ways.NO_OUTCOME
    assert "applied as if everybody had both, and spares too many where not" in ways.IRRADIATION
    assert ways.NOBODY_KNOWN == "No axilla has a known SLN status: the ways cannot be compared."
    assert "DEFER: the usual pathway" in ways.CASCADE_RULE
    assert "never guessed" in ways.Z0011_RULE
    assert "no longer ask for it" in ways.CURRENT_RULE


def test_notes_of_the_tables() -> None:
    notes = ways.table_notes(COUNTS, "exact", known_nsln=AMONG)
    assert notes[2] == (
        "Intervals: exact. Exact ones, because misses are few and a bootstrap gives none where nothing was missed; "
        "both "
        "axillae of 10 patients are in, which widens them."
    )
    assert "widens" not in ways.table_notes({**COUNTS, "patients_with_two": 0}, "exact", known_nsln=AMONG)[2]
    assert "need not hold for the others" in ways.rates_note("exact", known_nsln=AMONG)
    first, second = ways.predictive_notes("exact", known_nsln=AMONG, adjective="")
    assert "hold at this cohort's share of positive axillae" in first
    assert "flatters this share" in second


def curve(values: list[float], n: int = 40) -> dict[str, Any]:
    events = [round(value * n) for value in values]
    return {"value": values, "low": [0.0] * 3, "high": [0.5] * 3, "events": events, "n": n, "method": "exact"}


@pytest.mark.parametrize(
    ("sln", "told"),
    [
        (
            curve([0.0, 0.05, 0.2]),
            "The observed SLN rate first passes 10 % at +1: 20.0 % (0.0-50.0 %), 8 of 40, after 5.0 % as set.",
        ),
        (curve([0.0, 0.05, 0.1]), "The observed SLN rate does not pass 10 % up to +1."),
        (curve([0.0, 0.15, 0.2]), "The observed SLN rate is above 10 % at the thresholds as set."),
        (curve([0.0, 0.0, 0.0], 0), "There is no SLN-positive axilla with known status."),
    ],
)
def test_how_much_hangs_on_the_thresholds(sln: dict[str, Any], told: str) -> None:
    curves = {Stage.SLN: sln, Stage.NSLN: curve([0.0, 0.0, 0.0], 0)}
    said = plain(ways.steepness_sentence([-1.0, 0.0, 1.0], curves, {"sln": 0.1, "nsln": 0.1}, adjective=""))
    assert told in said
    assert said.endswith("Thresholds that are moved after the outcome is known carry no contract.")
    assert "carry no contract" in ways.shift_note(3, 40, "exact", adjective="")


AT = [0.05, 0.1, 0.2]


def gain(low: list[float | None], high: list[float | None], missed: list[int]) -> str:
    return plain(worth.gain_sentence(Stage.SLN, AT, {"low": low, "high": high}, missed, method="bootstrap", fewest=5))


def test_a_gain_is_told_only_where_the_interval_leaves_out_zero() -> None:
    best = "the better of operating on all and on none"
    assert gain([None] * 3, [None] * 3, [9, 9, 9]) == (
        "SLN stage: the curve has no intervals (bootstrap), so it shows no benefit."
    )
    assert gain([-0.1, 0.0, -0.1], [0.1, 0.1, 0.0], [9, 9, 9]) == (
        f"SLN stage: at no threshold of the range does the 95 % interval show that the model is worth more, or less, "
        f"than {best}."
    )
    assert gain([-0.1, 0.01, 0.02], [0.1, 0.1, 0.1], [9, 9, 9]) == (
        "SLN stage: by the 95 % interval of each single threshold, the model is worth more than "
        f"{best} at thresholds of 10 to 20 %."
    )
    # Few misses make an interval too narrow towards a gain: nothing is claimed there, but a loss is.
    assert gain([0.01, 0.01, -0.2], [0.1, 0.1, -0.1], [1, 2, 9]) == (
        "SLN stage: at thresholds of 5 to 10 % fewer than 5 positive axillae lie below the threshold, and no gain "
        "can be "
        f"shown. By the 95 % interval of each single threshold, the model is worth less than {best} at thresholds of "
        f"20 %."
    )
    assert gain([0.01, 0.01, 0.01], [0.1, 0.1, 0.1], [1, 2, 3]).endswith(f"or less, than {best}.")
    assert worth.no_curve_sentence(Stage.NSLN, rate(None, None, None, 0, how="undefined: one class")) == (
        "NSLN stage: no curve, not estimable (one class)."
    )


def test_how_net_benefit_is_read() -> None:
    assert worth.too_narrow(5).endswith("too narrow to be used: the bootstrap draws no miss that was not seen.")
    assert worth.weighing_sentence(5).startswith(
        "Net benefit weighs positive axillae found against needless operations"
    )
    assert "not for the curve" in worth.READING
    assert "says nothing about acting on risks" in worth.NO_CURVE_OF_SCORES
    assert worth.operations_note(Stage.SLN, known_nsln=AMONG).startswith("Operation: sentinel biopsy. Avoided, net:")
    assert "SLN-positive axillae, among dissected axillae." in worth.operations_note(Stage.NSLN, known_nsln=AMONG)
    assert worth.curve_note("bootstrap", 5).startswith("Bootstrap. Each interval")


def test_cards_promise_nothing_beyond_the_cohort() -> None:
    told = list(
        cards.out_of_scope(centres="A, B", where="cN0", simulated=True, proxies=True, uncertified=True, relative=False)
    )
    assert told == [
        "Not for diagnosis or treatment of anybody.",
        "Not for any statement about real patients: those behind it are simulated.",
        "Not for any statement about lymph nodes: proxies stand in for their status.",
        "Not for sparing anybody surgery, in a study either: its false-negative rates are uncertified.",
        "Not for patients of other centres or scanners than those of A, B, until it is tested there: no promise "
        "reaches them.",
        "Not for patients treated before axillary surgery: node status after such treatment counts as unknown here.",
        "Not for others than patients with cN0.",
        "Not for images whose pixel size in millimetres is not known.",
        "Not for images without an outlined lesion.",
    ]
    least = list(
        cards.out_of_scope(centres="A", where="", simulated=False, proxies=False, uncertified=False, relative=True)
    )
    assert len(least) == 4
    misuse = list(cards.misuse_of_data(simulated=False, proxies=False, treated=False))
    assert misuse == [
        "Finding out who a patient is.",
        "Rates of positive nodes in a population: patients came through the doors of these centres, not by lot.",
        "Testing the models that were made with these patients once more: each of them has been seen.",
    ]
    assert len(list(cards.misuse_of_data(simulated=True, proxies=True, treated=True))) == 6
    assert plain(cards.trained_on(Stage.SLN, 1, 0)) == (
        "SLN stage of the bundle: 1 axilla of known status to train on, 0 positive."
    )
    assert cards.rare_sentence("A") == "The patients behind it are those of A. Who is rare among them is judged worst."
    assert cards.INTENDED.endswith("not to replace it.")
    assert "whoever uses the model answers for them" in cards.WEIGHED


def test_checklists_claim_what_was_found() -> None:
    auc = {Stage.SLN: rate(0.8, 0.7, 0.9, 90), Stage.NSLN: rate(None, None, None, 0, how="")}
    assert plain(lists.areas_claim(auc)) == (
        "AUC SLN 0.80 (0.70-0.90), n = 90; AUC NSLN not estimable (no axillae with known status)"
    )
    misses = {Stage.SLN: rate(0.05, 0.01, 0.2, 40, 2), Stage.NSLN: rate(0.1, 0.0, 0.5, 10, 1)}
    assert plain(lists.misses_claim(misses, known_nsln=AMONG)) == (
        "false-negative rate SLN 5.0 % (1.0-20.0 %), 2 of 40; false-negative rate NSLN 10.0 % (0.0-50.0 %), 1 of 10, "
        "among "
        "dissected axillae"
    )
    assert lists.counts_claim({Stage.SLN: (40, 10), Stage.NSLN: (9, 0)}) == (
        "SLN: 40 axillae of known status, 10 positive; NSLN: 9 axillae of known status with a positive sentinel "
        "node, 0 positive"
    )
    assert plain(lists.internal_claim(40)) == "Every number is counted on 40 axillae out of fold"
    assert (
        plain(lists.external_claim([("west", True, auc[Stage.SLN])]))
        == "west (simulated): AUC SLN 0.80 (0.70-0.90), n = 90"
    )
    assert lists.failures_claim(2, 3, adjective="uncertified ").startswith(
        "Missed: 2 SLN-positive axillae in the uncertified group"
    )
    assert lists.limits_claim(0) == ""
    assert lists.robust_claim(adjective="").endswith("when the thresholds are moved")
    lines = lists.score_lines(least=0.2, most=0.9, judged=None, weight=0.0, applicable=1.0, open_items=[])
    assert lines[1:] == ("Nothing could be judged by the software.", "Open items, 0: none.")
    assert plain(lines[0]).startswith(
        "At least 20.0 % of the weight that applies is met, with every open item counted as not met;"
    )


def test_how_a_page_is_read() -> None:
    assert page.conflict_sentence("axillae", 3, 4, source="the table gives", adjective="") == (
        "Number of axillae: the estimates say 3, the table gives 4. Do not rely on the numbers of this page before "
        "this is "
        "resolved."
    )
    assert "the bar is 10 mm long." in page.gallery_sentence(relative_diameter=None)
    assert "0.5 of the lesion's equivalent diameter" in page.gallery_sentence(relative_diameter=20.0)
    assert "thresholds on calibration patients alone" in page.making_sentence(5, adjective="")
    assert page.missed_meaning(known_nsln=AMONG, adjective="").endswith(
        "NSLN status among dissected axillae; deferred axillae follow the usual pathway and are not missed."
    )
    assert page.lost_sentence(0, "") == " "
    assert (
        plain(page.lost_sentence(2, "cN0")) == " 2 patients of the exports had no usable row. Only patients with cN0. "
    )
    assert "patients by group" not in page.balance_counts(40, 40, [("A", 40)])
    assert "(40 axillae; patients by group: A 20, B 19)" in page.balance_counts(40, 39, [("A", 20), ("B", 19)])
    assert "no test" in page.difference_sentence(2, [])
    assert page.difference_sentence(3, ["C"]).endswith("which are named. Not compared: C.")
    assert plain(page.rows_title(4)) == "Rows of the centres' exports that were not used, n = 4"
    assert page.checklist_line("CLAIM", 44, {"reported": 40, "author": 4}) == "CLAIM, 44 items: 40 reported, 4 author."
    assert "none is given unless certified" in page.thresholds_note(adjective="")
    assert "no single choice should be read as a finding" in page.SELECTION
    assert "not what causes a metastasis" in page.HEAT
    assert "no test patient is in this figure" in page.LOSSES
