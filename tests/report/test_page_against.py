"""What stands beside the main rates: models by calls and risks, needle-proven axillae, tumour cells, strata."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from usdlr.core.types import Stage
from usdlr.decision.numbers import NBSP
from usdlr.report.inputs import StudyInputs
from usdlr.report.page_against import against_table
from usdlr.report.page_tables import cohort_table, contract_table, needle_table
from usdlr.report.sentences import contract_statement, needle_lines, uncertified_folds


def test_the_model_stands_beside_every_baseline(certified: StudyInputs) -> None:
    for stage in Stage:
        table = against_table(certified, stage)
        assert table is not None
        assert [row[0] for row in table.rows] == ["Tumour size alone", "Radiomics alone"]
        told = certified.metrics["baselines"]["size"]["stages"][stage]["against"]["sensitivity"]
        assert table.rows[0][2] == f"{told['first_only']} / {told['second_only']}"
        notes = " ".join(table.notes)
        assert "no baseline has a false-negative contract" in notes
        assert "shows neither that the model is better nor that both are alike" in notes
        # Scores in millimetres are no risks: no index of risks, and none of its caveats.
        assert "NRI" not in " ".join(table.head)
        assert "overconfidence" not in notes


def test_risks_bring_their_caveats(certified: StudyInputs) -> None:
    estimate = {"value": 0.2, "low": -0.1, "high": 0.5, "n": 90, "method": "bootstrap"}
    risk = {"total": estimate, "positives": estimate, "negatives": estimate, "caveats": ["Read it with care."]}
    metrics = {**certified.metrics, "baselines": {**certified.metrics["baselines"]}}
    entry = metrics["baselines"]["size"]
    stages = {
        stage: {**part, "against": {**part["against"], "nri": risk, "idi": {**risk, "caveats": ["And this one."]}}}
        for stage, part in entry["stages"].items()
    }
    metrics["baselines"]["size"] = {**entry, "stages": stages}
    table = against_table(replace(certified, metrics=metrics), Stage.SLN)
    assert table is not None
    assert table.rows[0][-2:] == ("0.20 (\u22120.10 to 0.50)", "0.20 (\u22120.10 to 0.50)")
    assert table.rows[1][-2:] == ("\u2013", "\u2013")
    assert "Read it with care. And this one." in " ".join(table.notes)


def test_metrics_of_an_earlier_version_have_no_such_table(certified: StudyInputs) -> None:
    baselines = {
        name: {
            **entry,
            "stages": {s: {k: v for k, v in part.items() if k != "against"} for s, part in entry["stages"].items()},
        }
        for name, entry in certified.metrics["baselines"].items()
    }
    assert against_table(replace(certified, metrics={**certified.metrics, "baselines": baselines}), Stage.SLN) is None


def test_needle_proven_axillae_are_reported_apart(certified: StudyInputs) -> None:
    joined = certified.axillae.merge(certified.labels, on=["patient_id", "side"])
    n = int(((joined["sln_reference"] == "needle") & (joined["sln"] == 1)).sum())
    assert n > 0
    (line,) = needle_lines(certified)
    assert line.replace(NBSP, " ").startswith(
        f"{n} axillae of {int((joined['sln'] == 1).sum())} SLN-positive ones were"
    )
    table = needle_table(certified)
    assert table is not None
    assert table.rows[0][1].replace(NBSP, " ").endswith(f"of {n}")
    without = {**certified.metrics["cascade"]}
    without.pop("needle")
    bare = replace(certified, metrics={**certified.metrics, "cascade": without})
    assert needle_lines(bare) == ()
    assert needle_table(bare) is None


@pytest.mark.parametrize(("positive", "word"), [(True, "positive"), (False, "negative")])
def test_how_tumour_cells_count_is_printed(certified: StudyInputs, positive: bool, word: str) -> None:
    told = replace(
        certified,
        metrics={**certified.metrics, "cohort": {**certified.metrics["cohort"], "itc_positive": positive}},
        axillae=certified.axillae.assign(sln_deposit=["itc"] * 3 + ["macro"] * (len(certified.axillae) - 3)),
    )
    notes = " ".join(cohort_table(told).notes).replace(NBSP, " ")
    assert f"Isolated tumour cells (3 tested axillae) count as {word}" in notes
    assert "tumour cells" not in " ".join(cohort_table(certified).notes)


def test_proxies_have_no_tumour_cells(study: Callable[..., StudyInputs]) -> None:
    inputs = study(patients=60, proxy=True, pictures=False)
    cohort = {**inputs.metrics["cohort"], "itc_positive": False}
    assert "tumour cells" not in " ".join(
        cohort_table(replace(inputs, metrics={**inputs.metrics, "cohort": cohort})).notes
    )


def stratified(contract: dict[str, Any], *statuses: str) -> dict[str, Any]:
    parts = {
        name: {**contract, "status": status, "p_value": 0.01 if status == "certified" else None}
        for name, status in zip(("up to 20 mm", "over 20 mm"), statuses, strict=True)
    }
    return {**contract, "strata": {"by": "tumour_size", "edges_mm": [20.0], "joint": True}, "by_stratum": parts}


def test_strata_that_decide_are_shown_and_marked(certified: StudyInputs) -> None:
    cascade = certified.metrics["cascade"]
    folds = {name: stratified(one, "certified", "certified") for name, one in cascade["folds"].items()}
    whole = stratified(cascade["contract"], "certified", "certified")

    def inputs(**changed: dict[str, Any]) -> StudyInputs:
        own = {**cascade, "contract": whole, "folds": folds | changed}
        return replace(certified, metrics={**certified.metrics, "cascade": own})

    rows = [row[0] for row in contract_table(inputs()).rows]
    assert rows[:3] == ["Bundle, all together", "Bundle, up to 20 mm", "Bundle, over 20 mm"]
    assert inputs().marks.words == ()
    said = " ".join(contract_statement(inputs()))
    assert "and so does every fold" in said
    assert "10 of 10 strata of the folds were certified." in said
    one = inputs(**{"0": stratified(cascade["folds"]["0"], "certified", "not_certifiable")})
    assert one.marks.words == ("partly uncertified",)
    assert uncertified_folds(one).startswith("1 of 5 folds could not certify their thresholds")
