"""Literal sentences on limitations, subgroups and survival, and that none is told where it does not hold."""

from __future__ import annotations

from typing import Any

import pytest

from usdlr.core.types import Stage
from usdlr.decision import wording_limitations as limits
from usdlr.decision import wording_subgroups as groups
from usdlr.decision import wording_survival as survival
from usdlr.decision.numbers import MINUS, NBSP

AMONG = "among dissected axillae"


def rate(
    value: float | None, low: float | None, high: float | None, n: int, events: int | None = None, how: str = "m"
) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": n, "events": events, "method": how}


def plain(text: str) -> str:
    return text.replace(NBSP, " ").replace(MINUS, "-").replace("\u2013", "-")


UNDEFINED = rate(None, None, None, 3, 0, "undefined: too few")


def test_a_ranking_is_doubted_unless_its_interval_lies_above_chance() -> None:
    assert limits.chance_sentence(Stage.SLN, rate(0.7, 0.51, 0.8, 90)) == ""
    assert plain(limits.chance_sentence(Stage.SLN, rate(0.6, 0.5, 0.7, 90))) == (
        "At the SLN stage the model is not shown to rank better than chance: AUC 0.60 (0.50-0.70), n = 90."
    )
    assert limits.chance_sentence(Stage.NSLN, UNDEFINED) == "The AUC of the NSLN stage is not estimable (too few)."
    assert plain(limits.chance_sentence(Stage.SLN, rate(0.9, None, None, 3))) == (
        "Whether the model ranks better than chance at the SLN stage is not known: its AUC 0.90 (interval not "
        "estimable) has "
        "no interval."
    )


def test_a_lead_is_doubted_by_interval_or_by_the_corrected_p_value() -> None:
    clear, open_ = rate(0.1, 0.02, 0.18, 90), rate(0.1, -0.02, 0.2, 90)
    assert limits.lead_sentence(Stage.SLN, []) == ""
    assert limits.lead_sentence(Stage.SLN, [("Size", clear, 0.01)]) == ""
    assert plain(limits.lead_sentence(Stage.SLN, [("Size", clear, 0.2), ("Forest", open_, None)])) == (
        "At the SLN stage the model is not shown to rank better than simpler ones; difference of the AUC to Size 0.10 "
        "(0.02-0.18), P = 0.20 after Holm's correction; Forest 0.10 (-0.02 to 0.20)."
    )
    assert limits.lead_sentence(Stage.SLN, [("Size", UNDEFINED, None)]) == ""


def test_a_slope_is_wrong_only_where_its_interval_leaves_out_one() -> None:
    assert limits.calibration_sentence(Stage.SLN, rate(0.8, 0.6, 1.01, 90)) == ""
    assert limits.calibration_sentence(Stage.SLN, rate(0.8, None, None, 90)) == ""
    assert plain(limits.calibration_sentence(Stage.SLN, rate(0.5, 0.3, 0.7, 90))) == (
        "Risks predicted at the SLN stage are too extreme: calibration slope 0.50 (0.30-0.70), n = 90, where 1 is "
        "right."
    )
    assert "too moderate" in limits.calibration_sentence(Stage.SLN, rate(1.5, 1.2, 1.9, 90))
    assert limits.calibration_sentence(Stage.NSLN, UNDEFINED) == (
        "The calibration slope of the NSLN stage is not estimable (too few)."
    )


def test_what_is_unknown_and_who_was_left_out() -> None:
    assert limits.unverified_sentence(rate(1.0, 0.9, 1.0, 40, 40), known_nsln=AMONG, proxy=False) == ""
    assert limits.unverified_sentence(rate(None, None, None, 0, 0), known_nsln=AMONG, proxy=False) == ""
    assert plain(limits.unverified_sentence(rate(0.75, 0.6, 0.9, 40, 30), known_nsln=AMONG, proxy=False)) == (
        "NSLN status is unknown in 10 of 40 SLN-positive axillae (25.0 %): their axilla was not dissected, or the "
        "result is "
        "not known. Every NSLN figure is stated among dissected axillae and need not hold for the others."
    )
    steps = [("ingest", 4, [("no lesion contour", 4)]), ("cohort", 6, [("node status unknown", 6)])]
    assert plain(limits.exclusions_sentence(100, 10, steps)) == (
        "10 of 100 rows of the exports (10.0 %) were left out: 4 when reading the files (no lesion contour 4), 6 when "
        "choosing the cohort (node status unknown 6). Who is left need not be like who was left out."
    )
    assert limits.neoadjuvant_sentence(0) == ""
    assert plain(limits.neoadjuvant_sentence(1)) == (
        "Patients treated before axillary surgery were left out (1 row): nothing here holds for them."
    )
    assert plain(limits.untested_sentence(7, "never tested", 50)) == (
        "7 axillae of the cohort were never tested; every rate is counted on the other 50."
    )
    assert limits.deferred_limitation(rate(0.0, 0.0, 0.1, 40, 0)) == ""
    assert plain(limits.deferred_limitation(rate(0.1, 0.02, 0.24, 40, 4))) == (
        "4 of 40 axillae got no answer (DEFER): 10.0 % (2.0-24.0 %)."
    )
    assert limits.no_stiffness_sentence(0, 9) == ""
    assert plain(limits.no_stiffness_sentence(3, 9)) == "3 of 9 tested axillae (33.3 %) have no measured stiffness."
    assert limits.missing_sentence(9, [("age", 0)]) == ""
    assert limits.missing_sentence(9, [("age", 0), ("tumour size", 2)]) == (
        "Values are missing in the 9 tested axillae: tumour size (2)."
    )


def test_where_the_numbers_come_from() -> None:
    assert limits.no_external_sentence(["A", "B"], uncertified=False) == (
        "No patients of another source were judged: every number is about the 2 centres of the cohort (A, B) and "
        "need not "
        "hold elsewhere, where the contract is void until it is established anew."
    )
    assert limits.no_external_sentence(["A"], uncertified=True) == (
        "No patients of another source were judged: every number is about one centre (A) and need not hold elsewhere."
    )
    assert limits.simulated_sources(["west"]) == "All external sources (west) are simulated."
    assert limits.one_centre_sentence("A") == "The model was made with patients of one centre (A)."
    assert limits.spacing_sentence("dicom (3), stated (2)").endswith("by image sets: dicom (3), stated (2).")
    assert "was not measured" in limits.contours_sentence("reader (3)", several=False)
    assert limits.contours_sentence("reader (3), automatic (1)", several=True).startswith(
        "Lesions were outlined once for every image set, by different kinds of source"
    )
    assert limits.published_weights_sentence("resnet18").endswith("outside this study that nobody here has checked.")
    assert limits.file_weights_sentence("abc").endswith("(SHA-256 abc…) that this study did not make.")


def test_the_contract_and_what_it_lacks() -> None:
    assert limits.contract_limitation("Uncertified: few.") == (
        "Uncertified: few. Nobody may be spared surgery by this model."
    )
    said = limits.recruits_sentence(Stage.NSLN, 11, 29, share=0.25, axillae=640, assurance=0.8)
    assert plain(said) == (
        "NSLN positives are too few for the contract: 11 in the calibration part, at least 29 needed. Were they as "
        "frequent "
        "as here, and 25.0 % of all patients kept for calibration, 640 axillae would bring so many with a chance of "
        "80 %, and "
        "would certify only without a single miss."
    )
    assert limits.no_rate_sentence(Stage.NSLN, UNDEFINED) == (
        "The false-negative rate of the NSLN endpoint is not estimable (too few)."
    )
    assert plain(limits.folds_limitation(2, 5)) == (
        "The thresholds of 2 of 5 folds are uncertified: the false-negative rates of this page rest partly on them."
    )
    assert limits.proxy_limitation(Stage.SLN, "malignant.") == (
        "SLN stage: proxy endpoint instead of sentinel lymph node (SLN) status: malignant. It says nothing about "
        "lymph nodes."
    )
    said = limits.unstable_sentence(
        Stage.SLN, parameters=20, criterion="shrinkage", needed=(900, 300), held=(200, 60), exact=False
    )
    assert plain(said) == (
        "Too few axillae for a stable model at the SLN stage: with the 20 predictors that its tabular part may keep, "
        "Riley's "
        "criteria (shrinkage) ask for 900 with 300 positives; there are 200 with 60 positives in all, of whom each "
        "fold trains "
        "on a part."
    )


def test_images_that_hardly_count() -> None:
    assert limits.images_sentence(Stage.SLN, 0.5, 1.0, 90, maps=True) == ""
    assert limits.images_sentence(Stage.SLN, 0.0, 0.0, 90, maps=True) == ""
    assert limits.images_sentence(Stage.SLN, float("nan"), 1.0, 1, maps=True) == ""
    assert plain(limits.images_sentence(Stage.SLN, 0.02, 1.0, 90, maps=True)) == (
        "At the SLN stage the images hardly count in this model: what all image blocks add together has a standard "
        "deviation "
        "of 0.02 among 90 tested axillae, 2.0 % of that of the log-odds (1). Heat maps of what they add show little."
    )


def level(name: str, fnr: float, missed: int, positives: int, n: int) -> dict[str, Any]:
    return {
        "level": name,
        "n": n,
        "positives": positives,
        "missed": missed,
        "fnr": rate(fnr, 0.0, 1.0, positives, missed),
    }


@pytest.mark.parametrize("p_holm", [None, 0.05, 0.9])
def test_groups_that_are_not_shown_to_differ_are_not_said_to(p_holm: float | None) -> None:
    found = {"title": "Centre", "levels": [], "tests": {"fnr": {"levels": ["A"], "p_holm": p_holm}}}
    assert groups.unlike_sentence(Stage.SLN, "fnr", found, known_nsln=AMONG, adjective="") == ""
    assert (
        groups.unlike_sentence(Stage.SLN, "auc", {"title": "Centre", "levels": []}, known_nsln=AMONG, adjective="")
        == ""
    )


def test_groups_that_differ_are_named_with_their_numbers() -> None:
    found = {
        "title": "Centre",
        "levels": [level("A", 0.1, 2, 20, 50), level("B", 0.4, 8, 20, 50), level("C", 1.0, 1, 1, 2)],
        "tests": {"fnr": {"levels": ["A", "B"], "p_holm": 0.0321}},
    }
    said = groups.unlike_sentence(Stage.NSLN, "fnr", found, known_nsln=AMONG, adjective="uncertified ")
    assert plain(said) == (
        "The false-negative rate of the uncertified cascade at the NSLN stage (among dissected axillae) is not the "
        "same by "
        "centre: 40.0 % (8 of 20) at B against 10.0 % (2 of 20) at A; P = 0.032 after Holm's correction. The number "
        "for all "
        "axillae does not hold in each of these groups."
    )


def test_subgroup_notes() -> None:
    assert groups.small_sentence(Stage.SLN, []) == ""
    many = [("Centre", level(str(k), 0.0, 0, 2, 4)) for k in range(8)]
    said = plain(groups.small_sentence(Stage.SLN, many))
    assert said.startswith(
        "At the SLN stage, 8 subgroups with too few axillae of either status to judge: Centre 0 (n = 4, 2 positive);"
    )
    assert said.endswith("Centre 5 (n = 4, 2 positive) and 2 more.")
    assert groups.division_sentence([], 0) == ""
    assert groups.division_sentence(["scanner", "maker"], 40) == (
        "Centre, scanner and maker divide the 40 axillae of which they are known in the same way: what is said of a "
        "centre "
        "cannot be told from what is said of its scanner and maker."
    )
    assert groups.absent_sentence([]) == ""
    assert groups.absent_sentence(["density", "age_years"]) == (
        "Not looked at, for want of a column: breast density, age years. How the model does there is not known."
    )
    assert "nothing is promised for a group unless the contract names it." in groups.why_sentence(
        adjective="", strata=False
    )
    assert "thresholds made for the strata of the contract" in groups.why_sentence(adjective="", strata=True)
    assert groups.tests_note(18).startswith("Holm's correction allows for all 18 tests of both stages.")
    assert groups.levels_note(10, "*", Stage.SLN, known_nsln=AMONG) == (
        "* Fewer than 10 positive or 10 negative axillae. Missed, spared: by the cascade's answer; DEFER is neither."
    )
    assert "some differ by chance" in groups.CAVEAT
    assert groups.OVERLAP == "Intervals that overlap do not show that groups are alike."


def test_survival_says_nothing_causal() -> None:
    assert survival.not_worked_out("no event") == (
        "Follow-up is in the tables, but survival was not worked out: no event."
    )
    said = survival.follow_up_sentence(90, 7, 3, rate(61.24, 55.0, None, 90), adjective="uncertified ")
    assert plain(said) == (
        "90 patients with known follow-up, 7 events (return of disease or death). Median follow-up: 61.2 months "
        "(55.0 to "
        "beyond follow-up) (reverse Kaplan-Meier). The follow-up of 3 further tested patients is not known; they are "
        "in no "
        "figure here, which is harmless only if that has nothing to do with how they fared. Time belongs to a "
        "patient: both "
        "sides count once, in the uncertified risk group of the worse one, and a deferred side stands between low "
        "and high "
        "risk."
    )
    none = survival.follow_up_sentence(1, 0, 0, rate(None, None, None, 1, how="undefined: one patient"), adjective="")
    assert "Median follow-up: not estimable (one patient)." in none
    assert "nothing causal follows" in survival.nothing_causal(adjective="")
    assert "nothing causal follows" in survival.caption_causal(adjective="")
    assert (
        survival.log_rank_sentence({"p_value": None, "method": "undefined: no event"}, "")
        == "No log-rank test: no event."
    )
    assert survival.log_rank_sentence({"p_value": 0.3, "method": "two groups"}, "uncertified ") == (
        "Log-rank p = 0.300 between the uncertified groups (two groups)."
    )
    assert survival.doubtful_sentence({}, adjective="") == ""
    assert survival.doubtful_sentence({"LR-SLN": 0.012}, adjective="") == (
        " The hazard ratio of the group LR-SLN changes over time (test of scaled Schoenfeld residuals: p = 0.012): "
        "one number "
        "does not describe it."
    )
    assert survival.score_note("P(SLN)", "Cox") == (
        "P(SLN): the higher value of both sides, made for lymph nodes and not for survival. Cox."
    )
    assert survival.months_text(rate(10.0, None, None, 3)) == "10.0 months (interval not estimable)"
