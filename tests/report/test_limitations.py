from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml
from scipy.stats import nbinom

from usdlr.decision.wording import SIMULATED
from usdlr.decision.wording_limitations import NOTHING_FOUND
from usdlr.report.document import Points
from usdlr.report.inputs import StudyInputs
from usdlr.report.limitations import limitations, limitations_section

Change = Callable[[dict[str, Any]], None]


def told(inputs: StudyInputs) -> str:
    return " \n".join(limitations(inputs)).replace("\u00a0", " ")


def changed(inputs: StudyInputs, change: Change) -> StudyInputs:
    metrics = copy.deepcopy(dict(inputs.metrics))
    change(metrics)
    return replace(inputs, metrics=metrics)


def flawless(inputs: StudyInputs) -> StudyInputs:
    """A study in which none of the rules finds anything."""

    def change(metrics: dict[str, Any]) -> None:
        for stage in ("sln", "nsln"):
            metrics["cascade"][f"fnr_{stage}"] |= {"low": 0.0, "high": 0.09}
            metrics["stages"][stage]["auc"] |= {"low": 0.9}
            metrics["stages"][stage]["calibration_slope"] |= {"low": 0.9, "high": 1.1}
            for entry in metrics["baselines"].values():
                entry["stages"][stage]["difference"] |= {"low": 0.01}
                entry["stages"][stage]["p_value"] = {"value": 0.01, "p_holm": 0.02}
        metrics["cascade"]["verified_share"] |= {"events": metrics["cascade"]["verified_share"]["n"]}
        metrics["cohort"] |= {"excluded": 0, "exclusions": {}}
        metrics["external"] = {"Lake": {"cohort": {"axillae": 90, "patients": 90}, "stages": {}, "baselines": {}}}
        metrics.pop("subgroups", None)

    axillae = inputs.axillae.assign(elastography=True, tumour_size_mm=20.0)
    return replace(changed(inputs, change), exclusions=inputs.exclusions.head(0), axillae=axillae)


def test_only_what_holds_is_told(certified: StudyInputs) -> None:
    assert limitations(flawless(certified)) == ()
    section = limitations_section(flawless(certified))
    assert section.anchor == "limitations"
    assert section.blocks[1] == Points((NOTHING_FOUND,))


def unlike(p_holm: float | None) -> dict[str, Any]:
    levels = [
        {"level": ">20 to 50 mm", "n": 56, "positives": 28, "missed": 2, "fnr": {"value": 2 / 28}},
        {"level": "<=20 mm", "n": 89, "positives": 20, "missed": 12, "fnr": {"value": 0.6}},
        {"level": ">50 mm", "n": 2, "positives": 1, "missed": 1, "fnr": {"value": 1.0}},
    ]
    test = {"levels": ["<=20 mm", ">20 to 50 mm"], "p_value": 0.0002, "p_holm": p_holm}
    return {"sln": {"variables": {"size": {"title": "Tumour size", "levels": levels, "tests": {"fnr": test}}}}}


FAULTS: dict[str, tuple[Change, str]] = {
    "simulated": (lambda metrics: metrics.update(simulated=True), SIMULATED),
    "one centre": (lambda metrics: metrics["cohort"].update(centres=["Coast"]), "patients of one centre (Coast)"),
    "no external source": (lambda metrics: metrics.pop("external"), "No patients of another source were judged"),
    "external simulated": (
        lambda metrics: metrics["external"]["Lake"]["cohort"].update(simulated=True),
        "All external sources (Lake) are simulated",
    ),
    "wide interval": (
        lambda metrics: metrics["cascade"]["fnr_sln"].update(low=0.02, high=0.1381, events=5, n=81),
        "5 of 81 missed, 6.2 % (95 % interval 2.0 to 13.9 %); this does not settle whether the rate is within 10 %",
    ),
    "broken": (
        lambda metrics: metrics["cascade"]["fnr_nsln"].update(low=0.12, high=0.5, events=6, n=20),
        "6 of 20 missed, 30.0 % (95 % interval 12.0 to 50.0 %); the target of 10 % is broken",
    ),
    "not dissected": (
        lambda metrics: metrics["cascade"]["verified_share"].update(events=60, n=80),
        "NSLN status is unknown in 20 of 80 SLN-positive axillae (25.0 %)",
    ),
    "chance": (
        lambda metrics: metrics["stages"]["nsln"]["auc"].update(value=0.58, low=0.44, high=0.71, n=70),
        "the NSLN stage the model is not shown to rank better than chance: AUC 0.58 (0.44–0.71), n = 70",
    ),
    "too extreme": (
        lambda metrics: metrics["stages"]["sln"]["calibration_slope"].update(value=0.5, low=0.3, high=0.7),
        "Risks predicted at the SLN stage are too extreme: calibration slope 0.50 (0.30–0.70)",
    ),
    "too moderate": (
        lambda metrics: metrics["stages"]["sln"]["calibration_slope"].update(value=1.6, low=1.2, high=2.0),
        "too moderate: calibration slope 1.60 (1.20–2.00)",
    ),
    "no lead": (
        lambda metrics: metrics["baselines"]["size"]["stages"]["sln"]["difference"].update(
            value=0.02, low=-0.03, high=0.07
        ),
        "not shown to rank better than simpler ones; difference of the AUC to Tumour size alone 0.02 (−0.03 to 0.07)",
    ),
    "lead of the interval alone": (
        lambda metrics: metrics["baselines"]["size"]["stages"]["sln"].update(
            difference={"value": 0.07, "low": 0.001, "high": 0.14}, p_value={"value": 0.04, "p_holm": 0.34}
        ),
        "difference of the AUC to Tumour size alone 0.07 (0.00–0.14), P = 0.34 after Holm's correction.",
    ),
    "subgroups unlike": (
        lambda metrics: metrics.update(subgroups=unlike(0.003)),
        "The false-negative rate of the cascade at the SLN stage is not the same by tumour size: 60.0 % (12 of 20) at "
        "≤ 20 mm against 7.1 % (2 of 28) at > 20 to 50 mm; P = 0.003 after Holm's correction.",
    ),
    "deferred": (
        lambda metrics: metrics["cascade"]["defer_rate"].update(value=0.1, low=0.07, high=0.15, events=26, n=260),
        "26 of 260 axillae got no answer (DEFER): 10.0 % (7.0–15.0 %)",
    ),
    "spacing": (
        lambda metrics: metrics["cohort"].update(quality={"spacing_source": {"manifest": 40, "dicom_region": 268}}),
        "by image sets: dicom region (268), manifest (40)",
    ),
    "contours": (
        lambda metrics: metrics["cohort"].update(quality={"mask_source": {"reader": 308}}),
        "outlined once for every image set, by one kind of source (reader (308))",
    ),
    "relative": (lambda metrics: metrics["cohort"].update(relative_diameter=20.0), "No millimetres are known here"),
    "uncertified fold": (
        lambda metrics: metrics["cascade"]["folds"]["2"].update(status="not_certifiable"),
        "The thresholds of 1 of 5 folds are uncertified",
    ),
    "subgroup": (
        lambda metrics: metrics.update(
            subgroups={
                "sln": {
                    "variables": {
                        "device": {
                            "title": "Scanner",
                            "levels": [
                                {"level": "Borea 3", "n": 12, "positives": 3, "small": True},
                                {"level": "Aurora 7", "n": 202, "positives": 60, "small": False},
                            ],
                        }
                    }
                }
            }
        ),
        "1 subgroup with too few axillae of either status to judge: Scanner Borea 3 (n = 12, 3 positive).",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_told_with_its_figure_and_nothing_else(certified: StudyInputs, name: str) -> None:
    change, words = FAULTS[name]
    found = limitations(changed(flawless(certified), change))
    assert len(found) == 1, found
    assert words in found[0].replace("\u00a0", " ")


def test_undefined_numbers_are_limitations(certified: StudyInputs) -> None:
    nothing = {"value": None, "low": None, "high": None, "n": 9, "method": "undefined: all 9 axillae are positive"}

    def change(metrics: dict[str, Any]) -> None:
        metrics["stages"]["nsln"]["auc"] = dict(nothing)
        metrics["stages"]["nsln"]["calibration_slope"] = dict(nothing)
        metrics["cascade"]["fnr_nsln"] = {**nothing, "n": 0, "events": 0}

    found = limitations(changed(flawless(certified), change))
    assert len(found) == 3
    assert all("not estimable" in sentence for sentence in found)


def test_the_gravest_comes_first(uncertified: StudyInputs) -> None:
    found = limitations(uncertified)
    assert found[0] == SIMULATED
    assert found[1].startswith("SLN stage: proxy endpoint")
    assert found[3].startswith("Uncertified: the calibration patients hold 88 SLN-positive and 12 NSLN-positive")
    assert "may be spared surgery by this model" in found[3]
    places = [told(uncertified).index(words) for words in ("cascade, SLN", "another source", "NSLN status is unknown")]
    assert places == sorted(places)


def test_how_many_axillae_would_certify(uncertified: StudyInputs) -> None:
    """29 positives at the frequency found here, 20 % of patients kept for calibration, 80 % of the time."""
    inputs = replace(uncertified, config_yaml="splits: {calibration: 0.2}\n")
    cohort, cascade = inputs.metrics["cohort"], inputs.metrics["cascade"]
    sln, nsln = cohort["sln"], cohort["nsln"]
    share = sln["positive"] / (sln["positive"] + sln["negative"])
    share *= nsln["positive"] / (nsln["positive"] + nsln["negative"])
    share *= cascade["verified_share"]["value"] * 0.2
    axillae = 29 + int(nbinom.ppf(0.8, 29, share))
    text = told(inputs).replace(" ", "")
    assert f"{axillae}axillaewouldbringsomanywithachanceof80%" in text
    assert "12inthecalibrationpart,atleast29needed" in text
    assert "would bring" not in told(uncertified)  # the configuration there does not tell the share


def with_predictors(inputs: StudyInputs, n: int) -> StudyInputs:
    config = {"model": {"tabular": "joint"}, "selection": {"max_features": n, "steps": None}, "data": {"clinical": []}}
    return replace(inputs, config_yaml=yaml.safe_dump(config))


def test_too_many_predictors_for_the_patients(certified: StudyInputs) -> None:
    """With one predictor the precision of the overall risk decides: (1.96 / 0.05)^2 p (1 - p) with p = 81 / 251."""
    inputs = flawless(certified)
    cohort = inputs.metrics["cohort"]["sln"]
    assert (cohort["positive"], cohort["negative"]) == (81, 170)
    text = told(with_predictors(inputs, 1))
    assert "with the 1 predictor that its tabular part may keep, Riley's criteria (overall risk) ask for 336" in text
    assert "there are 251 with 81 positives in all, of whom each fold trains on a part" in text
    many = told(with_predictors(inputs, 40))
    assert "with the 40 predictors that its tabular part may keep, Riley's criteria (shrinkage of coefficients)" in many

    def enlarge(metrics: dict[str, Any]) -> None:
        for stage in ("sln", "nsln"):
            metrics["cohort"][stage] |= {"positive": 8100, "negative": 17000}

    assert limitations(with_predictors(changed(inputs, enlarge), 40)) == ()


def test_pretrained_weights_and_missing_values(certified: StudyInputs) -> None:
    inputs = flawless(certified)
    started = replace(inputs, config_yaml="model: {pretrained: true, backbone: resnet18}\n")
    assert "The networks (resnet18) started from published weights" in told(started)
    named = {**inputs.provenance, "inputs": {"weights": "ab" * 32}}
    assert "weights of a file (SHA-256 abababababab…)" in told(replace(inputs, provenance=named))
    sizes = inputs.axillae["tumour_size_mm"].where(inputs.axillae.index >= 7)
    lacking = replace(inputs, axillae=inputs.axillae.assign(tumour_size_mm=sizes))
    assert limitations(lacking)[0].replace("\u00a0", " ") == (
        "Values are missing in the 260 tested axillae: tumour size (7)."
    )
    maps = inputs.axillae.assign(elastography=inputs.axillae.index >= 26)
    assert "26 of 260 tested axillae (10.0 %) have no measured stiffness" in told(replace(inputs, axillae=maps))
    alone = replace(inputs, axillae=maps, config_yaml="model: {modalities: [bmode]}\n")
    assert limitations(alone) == ()  # nobody asked for it


def test_who_was_left_out_is_counted_by_step(certified: StudyInputs) -> None:
    text = told(certified)
    assert "19 of 327 rows of the exports (5.8 %) were left out: 4 when reading the files " in text
    assert "15 when choosing the cohort (treated before axillary surgery 9, node status unknown 6)" in text
    assert "could not be used" not in text
    assert "Patients treated before axillary surgery were left out (9 rows)" in text


def test_without_axillae_nothing_breaks(certified: StudyInputs) -> None:
    assert "stiffness" not in told(replace(certified, axillae=certified.axillae.head(0)[[]]))


@pytest.mark.parametrize("p_holm", [0.05, 0.4, None])
def test_groups_that_are_not_shown_to_differ_are_no_limitation(certified: StudyInputs, p_holm: float | None) -> None:
    assert limitations(changed(flawless(certified), lambda metrics: metrics.update(subgroups=unlike(p_holm)))) == ()


def test_groups_that_differ_stand_before_the_size_of_the_sample(uncertified: StudyInputs) -> None:
    inputs = replace(uncertified, config_yaml="splits: {calibration: 0.2}\n")
    text = told(changed(inputs, lambda metrics: metrics.update(subgroups=unlike(0.003))))
    order = ["Nobody may be spared", "12 of 20", "are too few for the contract"]
    assert "of the uncertified cascade at the SLN stage is not the same" in text
    assert [text.index(words) for words in order] == sorted(text.index(words) for words in order)


def test_an_area_that_differs_is_told_with_its_groups(certified: StudyInputs) -> None:
    def change(metrics: dict[str, Any]) -> None:
        area = {"low": 0.6, "high": 0.9, "method": "AUC"}
        levels = [
            {"level": str(at), "n": 40, "positives": 20, "auc": {**area, "value": 0.6 + at / 20}} for at in range(5)
        ]
        test = {"levels": [str(at) for at in range(5)], "p_holm": 0.0004}
        metrics["subgroups"] = {
            "nsln": {"variables": {"birads": {"title": "BI-RADS", "levels": levels, "tests": {"auc": test}}}}
        }

    (found,) = limitations(changed(flawless(certified), change))
    assert "The AUC at the NSLN stage (among dissected axillae) is not the same by BI-RADS: from 0.80" in found
    assert "at 4 to 0.60" in found.replace("\u00a0", " ")
    assert "among 5 groups; P < 0.001 after" in found.replace("\u00a0", " ")


def test_a_centre_that_is_a_scanner_cannot_be_told_from_it(certified: StudyInputs) -> None:
    inputs = flawless(certified)
    assert limitations(inputs) == ()  # one scanner stands in both centres
    device = inputs.axillae["centre_id"].map({"Coast": "Aurora 7", "Harbour": "Borea 3"})
    (found,) = limitations(replace(inputs, axillae=inputs.axillae.assign(device=device)))
    assert found.startswith("Centre and scanner divide the 260 axillae")
    (both,) = limitations(replace(inputs, axillae=inputs.axillae.assign(device=device, vendor=device)))
    assert both.startswith("Centre, scanner and maker divide")
    alone = inputs.axillae.assign(centre_id="Coast", device="Aurora 7")
    assert limitations(replace(inputs, axillae=alone)) == ()


def test_images_that_hardly_move_the_log_odds(certified: StudyInputs) -> None:
    inputs = flawless(certified)
    logit = inputs.predictions["logit"]

    def with_share(share: float) -> StudyInputs:
        blocks = {"contribution.bmode.intratumoral": share * logit, "contribution.radiomics": (1 - share) * logit}
        return replace(inputs, predictions=inputs.predictions.assign(**blocks))

    assert limitations(with_share(0.06)) == ()
    found = limitations(with_share(0.04))
    assert [line.split(" stage")[0] for line in found] == ["At the SLN", "At the NSLN"]
    assert "4.0 % of that of the log-odds" in found[0].replace("\u00a0", " ")
    # Two blocks that undo each other move nothing, however large each is.
    undone = {"contribution.bmode.intratumoral": logit, "contribution.elasto.intratumoral": -logit}
    assert len(limitations(replace(inputs, predictions=inputs.predictions.assign(**undone)))) == 2
