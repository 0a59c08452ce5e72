"""Literal sentences on main results, models side by side and the contract, with the edges where nothing may be said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from usdlr.core.types import ContractStatus, Stage
from usdlr.decision import contract_words, wording_study
from usdlr.decision import wording_models as models
from usdlr.decision.contract import Contract
from usdlr.decision.numbers import MINUS, NBSP
from usdlr.decision.strata import StratumRule

AMONG = "among dissected axillae"
CONTRACT = Contract(
    alpha={"sln": 0.1, "nsln": 0.1},
    delta=0.05,
    status=ContractStatus.CERTIFIED,
    required_positives={"sln": 29, "nsln": 29},
    t_sln=0.2,
    t_nsln=0.3,
    positives={"sln": 120, "nsln": 65},
    misses={"sln": 3, "nsln": 0},
    p_value=0.04,
)
SHORT = replace(CONTRACT, status=ContractStatus.NOT_CERTIFIABLE, p_value=None)


def rate(
    value: float | None, low: float | None, high: float | None, n: int, events: int | None = None, how: str = "m"
) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": n, "events": events, "method": how}


def plain(text: str) -> str:
    return text.replace(NBSP, " ").replace(MINUS, "-").replace("\u2013", "-")


UNDEFINED = rate(None, None, None, 0, 0, "undefined: no axillae in the denominator")


@pytest.mark.parametrize(
    ("found", "end"),
    [
        (
            rate(0.02, 0.005, 0.05, 100, 2),
            "2 of 100 missed, 2.0 % (95 % interval 0.5 to 5.0 %); the interval lies within the target of 10 %.",
        ),
        (
            rate(0.05, 0.01, 0.12, 100, 5),
            "5 of 100 missed, 5.0 % (95 % interval 1.0 to 12.0 %); this does not settle whether the rate is within "
            "10 %.",
        ),
        (
            rate(0.3, 0.2, 0.4, 100, 30),
            "30 of 100 missed, 30.0 % (95 % interval 20.0 to 40.0 %); the target of 10 % is broken.",
        ),
        (UNDEFINED, "not estimable (no axillae in the denominator)."),
    ],
)
def test_a_false_negative_rate_says_what_its_interval_allows(found: dict[str, Any], end: str) -> None:
    said = wording_study.false_negative_sentence(
        found, Stage.NSLN, alpha=0.1, known_nsln=AMONG, adjective="uncertified "
    )
    assert plain(said) == f"False-negative rate of the uncertified cascade, NSLN-positive axillae {AMONG}: {end}"
    first = wording_study.false_negative_sentence(found, Stage.SLN, alpha=0.1, known_nsln=AMONG, adjective="")
    assert plain(first) == f"False-negative rate of the cascade, SLN-positive axillae: {end}"


def test_groups_and_areas() -> None:
    said = wording_study.groups_sentence(1200, 30, rate(0.01, 0.005, 0.0172, 1200, 12), adjective="")
    assert plain(said) == (
        "Of 1 200 axillae, 30 fell into the group LR-SLN, low risk of a positive sentinel node; 12 of 1 200 were "
        "deferred "
        "to the usual pathway, 1.0 % (0.5-1.8 %)."
    )
    auc = {
        Stage.SLN: rate(0.814, 0.741, 0.868, 212, how="DeLong"),
        Stage.NSLN: rate(None, None, None, 9, how="undefined: all 9 axillae are positive"),
    }
    assert plain(wording_study.areas_sentence(auc, known_nsln=AMONG)) == (
        "Area under the ROC curve (DeLong): SLN stage 0.81 (95 % interval 0.74-0.87, n = 212); NSLN stage, judged "
        "among "
        "dissected axillae with a positive sentinel node, not estimable (all 9 axillae are positive)."
    )


@pytest.mark.parametrize(
    ("share", "end"),
    [
        (rate(0.86, 0.71, 0.98, 90), "the model goes 0.86 (0.71-0.98) of the way from chance to that limit."),
        (
            rate(0.2, -0.1, 0.6, 90),
            "the model is not shown to leave chance behind: its share of the way from chance to that limit is 0.20 "
            "(-0.10 to 0.60).",
        ),
        (
            rate(0.4, -3.0, 2.1, 90),
            "these axillae do not tell how near the model comes to that limit: the interval of its share, -3.00 to "
            "2.10, holds both nothing and all of it.",
        ),
        (
            rate(0.4, None, None, 90),
            "these axillae do not tell how near the model comes to that limit: its share has no interval.",
        ),
        (
            rate(None, None, None, 90, how="undefined: the limit is 0.505"),
            "the model's share of it is not estimable (the limit is 0.505).",
        ),
    ],
)
def test_the_share_of_the_limit_is_not_told_where_its_interval_is_useless(share: dict[str, Any], end: str) -> None:
    said = wording_study.limit_sentence(Stage.SLN, rate(0.88, 0.84, 0.91, 90), rate(0.93, 0.9, 0.96, 90), share)
    assert plain(said) == (
        "At the SLN stage of these simulated patients, a model of the true form on what can be measured on the same "
        f"images reaches an area of 0.88 (0.84-0.91) (the limit), the truth itself 0.93 (0.90-0.96); {end}"
    )
    assert wording_study.limit_sentence(Stage.SLN, UNDEFINED, rate(0.9, 0.8, 1.0, 9), share) == ""


def test_verified_and_references() -> None:
    share = rate(0.5, 0.4, 0.6, 100, 50, "Clopper-Pearson")
    assert plain(wording_study.verified_sentence(share, known_nsln=AMONG, proxy=False)) == (
        "NSLN status is known only after axillary dissection, here in 50 of 100 SLN-positive axillae: verified share "
        "50.0 % (40.0-60.0 %), 95 % interval (Clopper-Pearson). The NSLN rate is stated among dissected axillae and "
        "need "
        "not hold for the others."
    )
    assert "dissection" not in wording_study.verified_sentence(share, known_nsln="among axillae", proxy=True)
    assert "not estimable" in wording_study.verified_sentence(UNDEFINED, known_nsln=AMONG, proxy=False)
    assert plain(wording_study.references_sentence(0.1, 0.05)) == (
        "For orientation: sentinel lymph node biopsy itself misses about 10 % of positive axillae and axillary "
        "dissection "
        "about 5 %."
    )


def test_needle_proven_axillae_are_told_apart() -> None:
    counts = {"needle": 4, "positive": 81}
    assert plain(wording_study.needle_sentence(counts, rate(0.0, 0.0, 0.6024, 4, 0), adjective="uncertified ")) == (
        "4 axillae of 81 SLN-positive ones were proven positive by needle before any surgery and count as positive in "
        "every rate. By the uncertified cascade, 0 of 4 missed, 0.0 % (95 % interval 0.0 to 60.3 %). The others stand "
        "apart in the table."
    )
    one = wording_study.needle_sentence({"needle": 1, "positive": 3}, UNDEFINED, adjective="")
    assert plain(one) == (
        "1 axilla of 3 SLN-positive ones was proven positive by needle before any surgery and counts as positive in "
        "every "
        "rate."
    )


def test_a_needle_proves_what_ultrasound_shows() -> None:
    assert wording_study.needle_note("exact").endswith("not those that surgery alone finds. Rates: exact.")


def test_isolated_tumour_cells() -> None:
    assert plain(wording_study.tumour_cells_sentence(positive=False, n=3)) == (
        "Isolated tumour cells (3 tested axillae) count as negative, micrometastases as positive, where the tables "
        "state "
        "the deposit."
    )
    assert wording_study.tumour_cells_sentence(positive=True, n=None).startswith(
        "Isolated tumour cells count as positive,"
    )


def test_notices_and_foot() -> None:
    assert wording_study.uncertified_notice("Uncertified: few.") == (
        "Uncertified: few. Every group, threshold and rate on this page is uncertified and may not be used to spare "
        "anybody surgery."
    )
    assert wording_study.uncertified_title(marginal=True) == (
        "Uncertified: a marginal promise only, without a stated confidence"
    )
    assert (
        wording_study.uncertified_title(marginal=False) == "Uncertified: the false-negative promise could not be made"
    )
    assert (
        wording_study.cohort_behind(40, "A, B", simulated=True) == "All numbers rest on 40 simulated axillae from A, B."
    )
    assert wording_study.scenario_sentence(None) == ""
    assert wording_study.scenario_sentence({"name": "rare", "meaning": "few"}) == " Scenario rare: few."
    assert wording_study.relative_lengths(20.0).endswith(
        "Margins and crops grow with the lesion, and no tumour size was used."
    )


def test_what_was_asked_of_a_contract() -> None:
    assert plain(contract_words.asked_sentence(CONTRACT)) == (
        "Asked for: at most 10 % of SLN-positive and at most 10 % of NSLN-positive axillae missed (alpha), with a "
        "chance of "
        "at most 5 % that this statement is wrong (delta), joint over both endpoints. It is tested with exact binomial "
        "p-values on calibration patients who were used for nothing else."
    )
    marginal = replace(CONTRACT, kind="marginal", status=ContractStatus.MARGINAL, p_value=None)
    said = contract_words.asked_sentence(marginal)
    assert "It states no confidence, and what one sample gives may miss more." in said
    assert "chance of at most" not in said


def test_folds_promise_no_more_than_they_keep() -> None:
    told = contract_words.folds_sentence(CONTRACT, [CONTRACT, SHORT, CONTRACT], adjective="partly uncertified ")
    assert told.endswith(
        "with the partly uncertified thresholds of that fold's calibration patients. 2 of 3 folds' contracts were "
        "certified."
    )
    by = StratumRule("tumour_size", (20.0,))
    strata = replace(CONTRACT, strata=by, by_stratum={"up to 20 mm": CONTRACT, "over 20 mm": SHORT})
    assert contract_words.folds_sentence(strata, [strata, strata], adjective="").endswith(
        "2 of 4 strata of the folds were certified."
    )
    assert contract_words.lacking_folds_sentence(0, 5) == ""
    assert contract_words.lacking_folds_sentence(2, 5) == (
        "2 of 5 folds could not certify their thresholds: the decisions of these folds, and with them the rates "
        "below, rest "
        "partly on uncertified thresholds."
    )
    assert contract_words.strata_decide_sentence().endswith("gets no answer (DEFER).")
    assert "void until it is established anew there" in contract_words.EXCHANGEABLE
    assert contract_words.COUNTED == (
        "Counted are patients: one with two positive axillae counts once, and as missed if either is."
    )


def test_models_side_by_side() -> None:
    assert models.areas_note(Stage.NSLN, known_nsln=AMONG).startswith(
        "Judged on SLN-positive axillae, among dissected axillae. n:"
    )
    assert models.areas_note(Stage.SLN, known_nsln=AMONG).startswith("n: axillae with known status.")
    assert models.tests_sentence([]) == ""
    assert models.tests_sentence(["swap"]) == (
        "p: swap; adjusted after Holm for all baselines at both stages. The test asks whether the two could be "
        "exchanged, "
        "not how much they differ."
    )
    assert plain(models.share_sentence(rate(0.86, 0.71, 0.98, 9, how="bootstrap"))) == (
        "The model's share of the way from chance (0.5) to the limit: 0.86 (0.71-0.98); bootstrap."
    )
    assert "not estimable" in models.share_sentence(UNDEFINED)
    assert models.external_note(Stage.SLN, 40, 38, known_nsln=AMONG) == (
        "40 axillae of 38 patients, none of whom was used to fit, select, calibrate or set a threshold; the bundle was "
        "applied once. Baselines were fitted on the training patients of the bundle. "
    )
    assert models.VOID_ELSEWHERE == (
        "The false-negative contract is void for these patients until it is established anew among them."
    )
    assert models.compared_note(8) == (
        "P: McNemar's exact test for whole patients, after Holm's correction for all 8 of them. A difference whose "
        "interval "
        "holds 0 shows neither that the model is better nor that both are alike."
    )
    assert plain(models.against_note("bootstrap")) == ("Bootstrap. -: not estimable, or scores that are no risks.")
    assert "no baseline has a false-negative contract" in models.calls_rule(adjective="")
    assert "part of every difference here may be calibration alone" in models.RISKS_RULE
    assert models.baseline_area(UNDEFINED) == ""
    assert plain(models.baseline_area(rate(0.7, 0.6, 0.8, 50))) == (
        "Out of fold, fitted anew in every fold, the baseline reaches an AUC of 0.70 (0.60-0.80), n = 50."
    )
    assert models.several_images(120, 80).startswith("The 120 rows are image sets of 80 axillae")
    assert models.calls_note("exact", known_nsln=AMONG, adjective="uncertified ").endswith(
        "among dissected axillae. Rates: exact."
    )
    assert models.ranking_note(known_nsln=AMONG).endswith("SLN-positive axillae, among dissected axillae.")
