from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
import yaml

from usdlr.radiomics.selection.frequency import selection_frequencies
from usdlr.report.checklists import claim, tripod_ai
from usdlr.report.checklists.answers import FILL, Answer, Item, State, answers, settled
from usdlr.report.document import Document, Folded, LinkRow, Links, Prose, Section
from usdlr.report.html import render
from usdlr.report.inputs import StudyInputs
from usdlr.report.page_checklists import checklist_sections

ANCHORS = frozenset(
    {"contract", "misses", "cascade", "discrimination", "calibration", "cohort", "making", "limitations"}
)
TRIPOD = [
    *("1", "2", "3a", "3b", "3c", "4", "5a", "5b", "6a", "6b", "6c", "7", "8a", "8b", "8c", "9a", "9b", "9c"),
    *("10", "11", "12a", "12b", "12c", "12d", "12e", "12f", "12g", "13", "14", "15", "16", "17"),
    *("18a", "18b", "18c", "18d", "18e", "18f", "19", "20a", "20b", "20c", "21", "22", "23a", "23b", "24", "25", "26"),
    *("27a", "27b", "27c"),
]


def rows(inputs: StudyInputs, anchors: frozenset[str] = ANCHORS) -> dict[str, list[LinkRow]]:
    (section,) = checklist_sections(inputs, anchors)
    found = {}
    for block in section.blocks:
        if isinstance(block, Folded):
            (links,) = block.blocks
            assert isinstance(links, Links)
            found[block.title.split()[0]] = list(links.rows)
    return found


def answer(inputs: StudyInputs, checklist: str, number: str, anchors: frozenset[str] = ANCHORS) -> LinkRow:
    (row,) = [row for row in rows(inputs, anchors)[checklist] if row.number == number]
    return row


def spoken(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_numbers_are_the_published_ones() -> None:
    """Collins et al. 2024: 27 items, 52 with their sub-items; Tejani et al. 2024: 44."""
    assert [item.number for item in tripod_ai.ITEMS] == TRIPOD
    assert len(TRIPOD) == 52
    assert len({re.sub("[a-z]", "", number) for number in TRIPOD}) == 27
    assert [item.number for item in claim.ITEMS] == [str(number) for number in range(1, 45)]


def test_items_stand_where_the_update_of_claim_put_them() -> None:
    """Those that moved since 2020: image acquisition is 13, external testing 33, limitations 40, funding 44."""
    asks = {item.number: item.asks.lower() for item in claim.ITEMS}
    for number, word in {
        "11": "de-identification",
        "13": "acquired",
        "20": "disjoint",
        "21": "sample size",
        "32": "internal testing",
        "33": "external testing",
        "35": "included",
        "39": "failures",
        "40": "limitations",
        "44": "funding",
    }.items():
        assert word in asks[number], number


@pytest.mark.parametrize("which", ["certified", "uncertified"])
def test_every_link_leads_to_a_section_of_the_page(which: str, request: pytest.FixtureRequest) -> None:
    inputs = request.getfixturevalue(which)
    for anchors in (ANCHORS, ANCHORS - {"making"}, frozenset({"cohort"}), frozenset[str]()):
        for part in rows(inputs, anchors).values():
            assert {row.anchor for row in part} <= anchors | {""}


@pytest.mark.parametrize("gone", sorted(ANCHORS))
def test_a_missing_section_hands_its_items_to_the_author(certified: StudyInputs, gone: str) -> None:
    before, after = rows(certified), rows(certified, ANCHORS - {gone})
    changed = 0
    for name in ("TRIPOD+AI", "CLAIM"):
        for old, new in zip(before[name], after[name], strict=True):
            if old.anchor != gone:
                assert new == old
                continue
            changed += 1
            assert new.answer.startswith(FILL), new
    assert changed or gone in {"cascade", "calibration"}  # other sections tell what these do


def test_no_external_source_leaves_external_testing_to_the_author(certified: StudyInputs) -> None:
    for checklist, number in (("CLAIM", "33"),):
        row = answer(certified, checklist, number, ANCHORS | {"external"})
        assert row.answer.startswith(FILL)
        assert not row.anchor
    assert answer(certified, "METRICS", "#27").answer.startswith("Not met")
    assert answer(certified, "TRIPOD+AI", "20c").answer.startswith("Not applicable")


def test_an_external_source_answers_with_its_numbers(certified: StudyInputs) -> None:
    stages = {stage: dict(certified.metrics["stages"][stage]) for stage in ("sln", "nsln")}
    stages["sln"]["auc"] = {"value": 0.77, "low": 0.61, "high": 0.88, "n": 93, "method": "AUC"}
    lake = {"cohort": {"axillae": 97, "patients": 95}, "stages": stages, "baselines": {}}
    inputs = replace(certified, metrics={**certified.metrics, "external": {"Lake": lake}})
    row = answer(inputs, "CLAIM", "33", ANCHORS | {"external"})
    assert spoken(row.answer) == "Lake: AUC SLN 0.77 (0.61–0.88), n = 93."
    assert row.anchor == "external"
    assert "97 axillae of 95 patients" in spoken(answer(inputs, "TRIPOD+AI", "16", ANCHORS | {"external"}).answer)
    assert answer(inputs, "CLAIM", "33").answer.startswith(FILL)  # the page lacks the section


def test_answers_hold_the_numbers_of_the_metrics(certified: StudyInputs) -> None:
    metrics, told = certified.metrics, rows(certified)
    text = {row.number: spoken(row.answer) for row in told["TRIPOD+AI"]}
    cohort = metrics["cohort"]
    assert f"{cohort['image_sets']} image sets" in text["5a"]
    assert f"{cohort['axillae']} tested axillae of {cohort['patients']} patients" in text["5a"]
    assert f"{cohort['image_sets'] + 19} rows of the exports, left out 4 at ingest, 15 at cohort" in text["20a"]
    for stage in ("sln", "nsln"):
        auc = metrics["stages"][stage]["auc"]
        assert f"{auc['value']:.2f} ({auc['low']:.2f}–{auc['high']:.2f}), n = {auc['n']}" in text["23a"]
        assert f"{cohort[stage]['positive']} positive" in text["21"]
    rate = metrics["cascade"]["fnr_sln"]
    claim_38 = spoken(answer(certified, "CLAIM", "38").answer)
    assert f"{rate['events']} of {rate['n']}" in claim_38
    assert f"{100 * rate['value']:.1f} %" in claim_38
    size = spoken(answer(certified, "CLAIM", "21").answer)
    assert "88 positives in the calibration part, 29 needed" in size


def test_uncertified_studies_say_so_in_every_table(uncertified: StudyInputs) -> None:
    (section,) = checklist_sections(uncertified, ANCHORS)
    for block in section.blocks:
        if isinstance(block, Folded):
            (links,) = block.blocks
            assert isinstance(links, Links)
            assert links.caption.endswith("(simulated, proxy endpoint, uncertified)")
            for row in links.rows:
                for sentence in row.answer.split(". "):
                    if re.search(r"\bthresholds?\b|\bgroup LR|groups by the", sentence):
                        assert "uncertified" in sentence, row


def test_patients_of_other_sources_are_not_counted_among_the_folds(certified: StudyInputs) -> None:
    others = certified.predictions.head(30).assign(split="external", patient_id=[f"EXT{n}" for n in range(30)])
    inputs = replace(certified, predictions=pd.concat([certified.predictions, others], ignore_index=True))
    assert "of 260 patients of the cohort, none stands in two parts" in spoken(answer(inputs, "CLAIM", "20").answer)


def test_a_bare_yes_is_never_given(certified: StudyInputs) -> None:
    for items in (tripod_ai.ITEMS, claim.ITEMS):
        for item, given in zip(items, answers(items, certified, ANCHORS), strict=True):
            assert len(given.words) > 15, item.number
            if given.state is State.REPORTED:
                assert given.anchor in ANCHORS
                assert re.search(r"\d|[A-Z]{2}", given.text), given.text
            else:
                assert FILL in given.words or given.words.startswith("Not applicable"), item.number


def test_an_answer_without_a_section_is_not_wholly_answered() -> None:
    item = Item("1", "Part", "What it is", lambda inputs: Answer("a fact"))
    assert Answer("a fact").state is State.PARTLY
    assert Answer("a fact", "cohort").state is State.REPORTED
    assert Answer("a fact", "cohort", "more").state is State.PARTLY
    assert settled(Answer("a fact", "cohort"), (), item.asks).words == (
        f"{FILL}: what it is; this page has no section on it."
    )
    assert settled(Answer(), (), item.asks).state is State.AUTHOR


def test_a_question_keeps_its_mark_and_no_identifier_is_told(certified: StudyInputs) -> None:
    config = {"data": {"clinical": ["PAT0003"]}, "model": {"backbone": "net-PAT0004"}}
    inputs = replace(certified, config_yaml=yaml.safe_dump(config))
    text = " ".join(row.answer for part in rows(inputs).values() for row in part)
    assert "size alone?." not in text
    assert not re.search(r"PAT\d{4}", text)


def test_the_page_renders_with_its_links(certified: StudyInputs) -> None:
    (section,) = checklist_sections(certified, ANCHORS)
    sections = [Section(name, name, name, (Prose(("x",)),)) for name in sorted(ANCHORS)]
    page = render(Document("Study report", "t", "q", "s", (), (), (), (*sections, section), "f"))
    targets = set(re.findall(r'href="#([\w-]+)"', page))
    ids = set(re.findall(r'id="([\w-]+)"', page))
    assert targets <= ids
    assert page.count("<tr") >= 52 + 44 + 30


def test_only_images_count_as_unusable_images(certified: StudyInputs) -> None:
    """Nineteen rows are left out: four without a pixel size, fifteen for the patient."""
    text = spoken(answer(certified, "TRIPOD+AI", "27a").answer)
    assert "never guessed (4 rows here; 15 rows left out for other reasons)" in text


def test_weights_of_the_bundle_test_nobody(certified: StudyInputs) -> None:
    rows_of = certified.predictions
    bundle = rows_of.head(9).assign(fold="bundle", split="calibration", model_id="fedcba987654")
    inputs = replace(certified, predictions=pd.concat([rows_of, bundle], ignore_index=True))
    assert "(1 set of weights)" in spoken(answer(inputs, "TRIPOD+AI", "12g").answer)


def test_updating_tells_folds_from_the_bundle(certified: StudyInputs) -> None:
    for number in ("12f", "24"):
        text = answer(certified, "TRIPOD+AI", number).answer
        assert "no model of a fold was refitted" in text
        assert "bundle is one further fit, on patients who were tested in the folds too" in text
        assert "has no test patients of its own" in text


def test_a_stage_without_a_test_between_centres_is_named(certified: StudyInputs) -> None:
    level = {"level": "Coast", "small": False}
    test = {"auc": {"p_value": 0.3}, "fnr": {"p_value": None}}

    def centres(tests: dict[str, Any]) -> dict[str, Any]:
        return {"variables": {"centre_id": {"title": "Centre", "levels": [level, level], "tests": tests}}}

    both = {"sln": centres(test), "nsln": centres({"auc": {"p_value": None}})}
    anchors = ANCHORS | {"subgroups"}
    for number in ("12d", "23b"):
        inputs = replace(certified, metrics={**certified.metrics, "subgroups": both})
        text = spoken(answer(inputs, "TRIPOD+AI", number, anchors).answer)
        assert "SLN stage 2 centres large enough to compare, test of interaction of AUC; NSLN stage 2" in text
        assert "at the NSLN stage, of which there is no test" in text
        tested = {"sln": centres(test), "nsln": centres(test)}
        whole = replace(certified, metrics={**certified.metrics, "subgroups": tested})
        assert FILL not in answer(whole, "TRIPOD+AI", number, anchors).answer
    assert "by subgroup in the section Subgroups" in answer(inputs, "TRIPOD+AI", "23a", anchors).answer


@pytest.mark.parametrize(("epochs", "acts"), [(2, False), (4, False), (9, True)])
def test_early_stopping_that_could_not_act(certified: StudyInputs, epochs: int, acts: bool) -> None:
    inputs = replace(certified, config_yaml=yaml.safe_dump({"fit": {"epochs": epochs, "patience": 4}}))
    assert ("could not act" in answer(inputs, "CLAIM", "26").answer) is not acts


def test_the_most_frequent_features_alone_are_named(certified: StudyInputs) -> None:
    chosen = selection_frequencies({0: ["a.b", "a.c"], 1: ["a.b", "a.d"]}, 9)
    text = spoken(answer(replace(certified, selection={"folds-sln": chosen}), "TRIPOD+AI", "9b").answer)
    assert "Of the 3 features that folds chose for SLN, the most frequent alone are named" in text


def test_every_baseline_is_named_in_the_comparison(certified: StudyInputs) -> None:
    entry = certified.metrics["baselines"]["size"]
    many = {f"size_{at}": {**entry, "title": f"Rival {at}"} for at in range(5)}
    inputs = replace(certified, metrics={**certified.metrics, "baselines": many})
    text = answer(inputs, "METRICS", "#25").answer
    assert all(f"Rival {at}" in text for at in range(5))
