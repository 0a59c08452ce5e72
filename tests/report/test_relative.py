"""Pages about lesions whose millimetres nobody knows, and about patients of other sources."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from usdlr.decision.wording_study import relative_lengths
from usdlr.report.figures import draw_all
from usdlr.report.html import render
from usdlr.report.inputs import StudyInputs
from usdlr.report.page import study_page
from usdlr.report.page_external import external_tables
from usdlr.report.sentences import notices

With = Callable[[StudyInputs, dict[str, Any]], StudyInputs]


@pytest.fixture
def pictured(study: Callable[..., StudyInputs]) -> StudyInputs:
    return study(patients=120, pictures=True)


@pytest.fixture
def relative(pictured: StudyInputs, with_metrics: With) -> StudyInputs:
    metrics = copy.deepcopy(dict(pictured.metrics))
    metrics["cohort"] = {**metrics["cohort"], "relative_diameter": 20.0}
    inputs = with_metrics(pictured, metrics)
    return replace(inputs, gallery=[replace(case, unit="units") for case in inputs.gallery[:2]])


def test_a_page_without_millimetres_says_so(relative: StudyInputs, pictured: StudyInputs) -> None:
    said = [notice for notice in notices(relative, ()) if notice.kind == "relative"]
    assert [notice.text for notice in said] == [relative_lengths(20.0)]
    page = render(study_page(relative, draw_all(relative)))
    assert "No millimetres are known here" in page
    assert "10 units long, 0.5 of the lesion" in page
    assert "10 mm" not in page
    plain = render(study_page(pictured, draw_all(pictured)))
    assert "No millimetres" not in plain
    assert "10 mm long" in plain


def test_external_patients_have_tables_of_their_own(certified: StudyInputs, with_metrics: With) -> None:
    assert external_tables(certified) == ()
    metrics = copy.deepcopy(dict(certified.metrics))
    auc = {"value": 0.81, "low": 0.7, "high": 0.89, "n": 40, "method": "DeLong"}
    none = {"value": None, "low": None, "high": None, "n": 0, "method": "undefined: nobody is known"}
    name = next(iter(metrics["baselines"]))
    stage = {"auc": auc, "brier": auc, "calibration_slope": none}
    metrics["external"] = {
        "elsewhere": {
            "cohort": {"axillae": 41, "patients": 40, "simulated": False},
            "stages": {"sln": stage, "nsln": {**stage, "auc": none}},
            "baselines": {name: {"stages": {part: {"auc": auc, "difference": auc} for part in ("sln", "nsln")}}},
        }
    }
    inputs = with_metrics(certified, metrics)
    sln, nsln = external_tables(inputs)
    assert sln.rows[0][1] == "0.81 (0.70–0.89)"
    assert sln.rows[1][0] == inputs.baseline_title(name)
    assert "not estimable" in nsln.rows[0][1]
    assert "41 axillae of 40 patients" in sln.notes[0]
    page = render(study_page(inputs, draw_all(inputs)))
    assert "External source elsewhere" in page
    assert "contract is void" in page
