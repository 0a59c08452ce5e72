from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pandas as pd
import pytest

from usdlr.report.figures_flow import cohort_figure
from usdlr.report.flow import flow_conflicts, flow_rows, lost_patients
from usdlr.report.inputs import StudyInputs


def shown(inputs: StudyInputs) -> str:
    root = ElementTree.fromstring(cohort_figure(inputs).file_text.encode())
    texts = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    return " | ".join(texts).replace("\u00a0", " ")


@pytest.fixture(scope="module")
def by_date(certified: StudyInputs) -> StudyInputs:
    """Forty earlier patients whom the folds train on and nobody tests."""
    earlier = certified.predictions.head(40).copy()
    earlier["patient_id"] = "OLD" + earlier["patient_id"].astype(str)
    earlier = earlier.assign(split="train", fold="later")
    predictions = pd.concat([certified.predictions, earlier], ignore_index=True)
    return replace(certified, predictions=predictions, config_yaml="splits: {by: date}\n")


def test_every_step_adds_up(certified: StudyInputs) -> None:
    """308 image sets of the cohort; 4 left out at ingest, 9 and 6 at the choice of the cohort: 327 rows."""
    exports, ingest, cohort, features, test = flow_rows(certified)
    assert [row.rows for row in (exports, ingest, cohort, features, test)] == [327, 323, 308, 308, None]
    assert ingest.left == (("pixel size in millimetres unknown", 4),)
    assert cohort.left == (("treated before axillary surgery", 9), ("node status unknown", 6))
    assert features.left == test.left == ()
    assert (features.axillae, features.patients) == (test.axillae, test.patients) == (260, 260)
    assert lost_patients(certified) == 19


def test_axillae_that_nobody_tests_are_told(by_date: StudyInputs) -> None:
    *_, features, test = flow_rows(by_date)
    assert (features.axillae, features.patients) == (300, 300)
    assert (test.axillae, test.patients) == (260, 260)
    assert test.left == (("examined earlier, never tested (split by date)", 40),)
    assert "Not tested: 40 axillae" in shown(by_date)
    assert "Tested: 260 axillae" in shown(by_date)


def test_patients_of_other_sources_are_no_part_of_it(certified: StudyInputs) -> None:
    others = certified.predictions.head(30).copy()
    others["patient_id"] = "EXT" + others["patient_id"].astype(str)
    predictions = pd.concat([certified.predictions, others.assign(split="external")], ignore_index=True)
    assert flow_rows(replace(certified, predictions=predictions)) == flow_rows(certified)


def test_both_sides_of_a_patient_are_two_axillae(by_date: StudyInputs) -> None:
    old = by_date.predictions["patient_id"].astype(str).str.startswith("OLD")
    other = by_date.predictions[old].assign(side=lambda rows: rows["side"].map({"left": "right", "right": "left"}))
    predictions = pd.concat([by_date.predictions, other], ignore_index=True)
    *_, features, _ = flow_rows(replace(by_date, predictions=predictions))
    assert (features.axillae, features.patients) == (340, 300)


def test_the_figure_tells_every_step(certified: StudyInputs) -> None:
    text = shown(certified)
    for words in (
        "Exports of 2 centres: 327 rows",
        "Left out, reading the files: 4 rows",
        "Read: 323 rows",
        "Left out, choosing the cohort: 15 rows",
        "9  treated before axillary surgery",
        "In the cohort: 308 rows",
        "Left out, measuring: none",
        "Measured: 260 axillae",
        "260 patients, 308 rows",
    ):
        assert words in text, words
    assert "Not tested" not in text
    numbers = [int(n) for n in re.findall(r"SLN (?:positive|negative|unknown): (\d+)", text)]
    assert sum(numbers[:3]) == 260
    assert "19 patients of the exports had no usable row" in cohort_figure(certified).caption.replace("\u00a0", " ")


def test_a_planted_disagreement_is_told(certified: StudyInputs) -> None:
    assert flow_conflicts(certified) == ()
    fewer = replace(certified, exclusions=certified.exclusions.iloc[1:])
    told = " ".join(flow_conflicts(fewer))
    assert "rows left out: the estimates say 19, the table of exclusions gives 18" in told
    assert "treated before axillary surgery: the estimates say 9, the table of exclusions gives 8" in told
    odd = certified.exclusions.copy()
    odd["step"] = ["lunch", *odd["step"].astype(str)[1:]]
    assert "none of ingest, cohort and features" in " ".join(flow_conflicts(replace(certified, exclusions=odd)))
