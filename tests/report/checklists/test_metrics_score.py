from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
import yaml

from usdlr.report.checklists.metrics_judge import Verdict
from usdlr.report.checklists.metrics_score import ITEMS, Condition, Score, score, score_block
from usdlr.report.inputs import StudyInputs

ANCHORS = {"cohort", "making", "discrimination", "calibration", "external", "limitations"}
CONFIG = {
    "engine": "native",
    "readout": "network",
    "radiomics": {"pixel_mm": 0.1, "bin_count": 32, "modalities": ["bmode"]},
    "selection": {"max_features": 4, "max_correlation": 0.9, "steps": None, "stability": False, "min_icc": 0.75},
    "crop": {"size_px": 96},
    "model": {"backbone": "resnet18", "tabular": "joint", "modalities": ["bmode"]},
    "data": {"clinical": ["tumour_size_mm"]},
}
# Kocak et al. 2024, table 1: the weights in the order of the items.
PUBLISHED = (
    *(0.0368, 0.0735, 0.0919, 0.0438, 0.0292, 0.0438, 0.0292, 0.0337, 0.0225, 0.0112),
    *(0.0622, 0.0311, 0.0415, 0.0200, 0.0200, 0.0300, 0.0200, 0.0599, 0.0300, 0.0352),
    *(0.0234, 0.0176, 0.0117, 0.0293, 0.0176, 0.0375, 0.0749, 0.0075, 0.0075, 0.0075),
)


def verdicts(found: Score) -> dict[int, Verdict]:
    return {item.number: finding.verdict for item, finding in zip(ITEMS, found.findings, strict=True)}


@pytest.fixture(scope="module")
def configured(certified: StudyInputs) -> StudyInputs:
    return replace(certified, config_yaml=yaml.safe_dump(CONFIG))


def test_numbers_and_weights_are_the_published_ones() -> None:
    assert [item.number for item in ITEMS] == list(range(1, 31))
    assert tuple(item.weight for item in ITEMS) == PUBLISHED
    assert sum(item.weight for item in ITEMS) == pytest.approx(1.0, abs=5e-5)


def test_the_categories_are_as_heavy_as_the_abstract_says() -> None:
    weights: dict[str, float] = {}
    for item in ITEMS:
        weights[item.category] = weights.get(item.category, 0.0) + item.weight
    heaviest = sorted(weights, key=lambda name: -round(weights[name], 4))
    assert heaviest == [
        "Study design",
        "Imaging data",
        "Image processing and features",
        "Metrics and comparison",
        "Testing",
        "Feature processing",
        "Preparation for modelling",
        "Segmentation",
        "Open science",
    ]


def test_conditional_items_are_those_of_the_table() -> None:
    needs = {item.number: item.needs for item in ITEMS if item.needs}
    assert set(needs) == {8, 9, 10, 12, 14, 15, 16, 17}
    assert needs[9] == (Condition.SEGMENTATION, Condition.AUTOMATED)
    assert needs[12] == (Condition.HAND_CRAFTED,)
    assert needs[17] == (Condition.END_TO_END,)


def test_the_totals_are_counted_by_hand(configured: StudyInputs) -> None:
    """Met, not met and open are written down here item by item, from what the study shows."""
    quality = {"mask_source": {"reader": 308}, "spacing_source": {"dicom_region": 308}}
    metrics = {**configured.metrics, "cohort": {**configured.metrics["cohort"], "quality": quality}}
    metrics.pop("subgroups", None)
    metrics.pop("balance", None)
    found = score(replace(configured, metrics=metrics), ANCHORS)
    by_number = verdicts(found)
    not_applicable, not_met = {9}, {14, 16, 17, 19, 27}
    opened = {1, 2, 5, 6, 7, 8, 10, 20, 28, 29, 30}
    met = set(range(1, 31)) - not_applicable - not_met - opened
    for expected, numbers in (
        (Verdict.NOT_APPLICABLE, not_applicable),
        (Verdict.NOT_MET, not_met),
        (Verdict.OPEN, opened),
        (Verdict.MET, met),
    ):
        assert {n for n, verdict in by_number.items() if verdict is expected} == numbers, expected
    weight = dict(enumerate(PUBLISHED, 1))
    part = {
        name: sum(weight[n] for n in numbers) for name, numbers in (("met", met), ("not", not_met), ("open", opened))
    }
    assert found.least == pytest.approx(part["met"] / (1.0 - 0.0225), abs=1e-4)
    assert found.most == pytest.approx((part["met"] + part["open"]) / (1.0 - 0.0225), abs=1e-4)
    assert found.judged == pytest.approx(part["met"] / (part["met"] + part["not"]))
    assert found.open_items == tuple(sorted(opened))
    assert f"At least {100 * found.least:.1f}" in score_block(configured, found).notes[0]


def test_silence_never_raises_the_score(certified: StudyInputs, configured: StudyInputs) -> None:
    """A configuration that tells nothing proves nothing."""
    bare = score(replace(certified, config_yaml="", provenance={}), ANCHORS)
    assert bare.least < score(configured, ANCHORS).least
    assert {11, 12, 13, 14, 15, 17, 18, 23} <= set(bare.open_items)


def test_without_its_section_nothing_is_met(configured: StudyInputs) -> None:
    for finding in score(configured, ANCHORS - {"discrimination"}).findings:
        assert finding.anchor != "discrimination"
    nowhere = score(configured, set())
    assert nowhere.least == 0
    assert Verdict.MET not in verdicts(nowhere).values()


def test_external_testing_needs_real_patients_of_another_source(configured: StudyInputs) -> None:
    assert verdicts(score(configured, ANCHORS))[27] is Verdict.NOT_MET
    part = {"cohort": {"axillae": 50, "patients": 50}}
    real = replace(configured, metrics={**configured.metrics, "external": {"Lake": part}})
    assert verdicts(score(real, ANCHORS))[27] is Verdict.MET
    made = {"cohort": {"axillae": 50, "patients": 50, "simulated": True}}
    simulated = replace(configured, metrics={**configured.metrics, "external": {"Lake": made}})
    assert verdicts(score(simulated, ANCHORS))[27] is Verdict.NOT_MET


def test_proxies_and_simulation_are_no_reference_standard(uncertified: StudyInputs) -> None:
    by_number = verdicts(score(uncertified, ANCHORS))
    assert by_number[2] is by_number[3] is by_number[4] is by_number[27] is Verdict.NOT_MET


def test_a_reference_that_is_missing_for_one_axilla_is_not_enough(configured: StudyInputs) -> None:
    known = configured.axillae["sln_reference"].copy()
    known.iloc[int(known.notna().to_numpy().argmax())] = None
    lacking = replace(configured, axillae=configured.axillae.assign(sln_reference=known))
    assert verdicts(score(configured, ANCHORS))[3] is Verdict.MET
    assert verdicts(score(lacking, ANCHORS))[3] is Verdict.OPEN


def test_a_patient_on_both_sides_is_found(configured: StudyInputs) -> None:
    twice = configured.predictions.copy()
    leaked = twice.iloc[[0]].assign(split="train", side="left" if twice["side"].iloc[0] == "right" else "right")
    predictions = pd.concat([twice, leaked], ignore_index=True)
    assert verdicts(score(replace(configured, predictions=predictions), ANCHORS))[18] is Verdict.NOT_MET


def test_two_kinds_of_image_want_a_comparison(configured: StudyInputs, certified: StudyInputs) -> None:
    both = {**CONFIG, "model": {"backbone": "resnet18", "tabular": "joint", "modalities": ["bmode", "elasto"]}}
    inputs = replace(certified, config_yaml=yaml.safe_dump(both))
    assert verdicts(score(inputs, ANCHORS))[23] is Verdict.NOT_MET
    alone = {"radiomics@bmode": certified.metrics["baselines"]["radiomics"]}
    compared = replace(inputs, metrics={**inputs.metrics, "baselines": {**inputs.metrics["baselines"], **alone}})
    assert verdicts(score(compared, ANCHORS))[23] is Verdict.MET
    assert verdicts(score(configured, ANCHORS))[23] is Verdict.MET


@pytest.mark.parametrize("text", ["", "<script>", "a: [1", "- 1\n- 2", "model: 3"])
def test_an_odd_configuration_is_survived(certified: StudyInputs, text: str) -> None:
    assert len(score(replace(certified, config_yaml=text), ANCHORS).findings) == 30


def test_conditions_that_fail_take_their_items_out(certified: StudyInputs) -> None:
    plain = {**CONFIG, "readout": {"signature": {}}, "model": {"backbone": "resnet18", "tabular": "none"}}
    metrics = {**certified.metrics, "baselines": {"size": certified.metrics["baselines"]["size"]}}
    inputs = replace(certified, config_yaml=yaml.safe_dump(plain), metrics=metrics)
    by_number = verdicts(score(inputs, ANCHORS))
    assert by_number[12] is by_number[17] is Verdict.NOT_APPLICABLE
