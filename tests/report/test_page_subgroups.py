"""Forests of subgroups and their section: readable with many centres, and nothing drawn that is not known."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from usdlr.core.types import Stage
from usdlr.decision.wording_subgroups import CAVEAT
from usdlr.evaluation.subgroups import study_subgroups
from usdlr.report.document import Folded, PageTable, Prose, Section
from usdlr.report.figures_subgroups import MOST_LEVELS, draw_subgroups, subgroups_points
from usdlr.report.inputs import StudyInputs
from usdlr.report.page_subgroups import subgroups_section
from usdlr.report.style import Drawing

SVG = "{http://www.w3.org/2000/svg}"


def told(inputs: StudyInputs, **columns: Any) -> StudyInputs:
    """The study with its subgroups counted, after some columns of its axillae were changed."""
    axillae = inputs.axillae.assign(**columns)
    predicted = {stage: inputs.predictions[inputs.predictions["stage"] == str(stage)] for stage in Stage}
    found = study_subgroups(predicted, inputs.decisions, inputs.labels, axillae)
    return replace(inputs, metrics={**inputs.metrics, "subgroups": found}, axillae=axillae)


def bare(inputs: StudyInputs) -> StudyInputs:
    """The study before anybody counted."""
    return replace(inputs, metrics={key: part for key, part in inputs.metrics.items() if key != "subgroups"})


def drawn(inputs: StudyInputs, stage: Stage = Stage.SLN) -> Drawing:
    drawing = draw_subgroups(inputs, stage)
    assert drawing is not None
    return drawing


def texts(drawing: Drawing) -> list[str]:
    root = ElementTree.fromstring(drawing.file_text.encode())
    return ["".join(node.itertext()).replace("\u00a0", " ") for node in root.iter(f"{SVG}text")]


def height(drawing: Drawing) -> float:
    found = re.search(r'height="([\d.]+)pt"', drawing.svg)
    assert found is not None
    return float(found.group(1))


def section(inputs: StudyInputs) -> Section:
    figures = {drawing.name: drawing for stage in Stage if (drawing := draw_subgroups(inputs, stage)) is not None}
    found = subgroups_section(inputs, figures)
    assert found is not None
    return found


def tables(found: Section) -> list[PageTable]:
    folded = next(block for block in found.blocks if isinstance(block, Folded))
    return [block for block in folded.blocks if isinstance(block, PageTable)]


def prose(found: Section) -> str:
    return " ".join(line for block in found.blocks if isinstance(block, Prose) for line in block.lines)


@pytest.fixture(scope="module")
def plain(certified: StudyInputs) -> StudyInputs:
    return told(certified)


def test_every_level_is_printed_with_its_counts(plain: StudyInputs) -> None:
    drawing, shown = drawn(plain), texts(drawn(plain))
    assert drawing.name == "subgroups_sln"
    judged = plain.axillae.merge(plain.labels).dropna(subset=["sln"])
    for centre, part in judged.groupby("centre_id"):
        place = shown.index(str(centre))
        assert shown[place + 1 : place + 3] == [str(len(part)), f"{part['sln'].sum():.0f}"]
    assert shown.count("Age") == 1
    assert "≤ 20 mm" in shown
    assert sum(text.startswith("P = ") or text == "no test" for text in shown) == 12  # six variables, two panels
    every = plain.metrics["subgroups"]["sln"]["variables"]["all"]["levels"][0]
    assert f"n = {every['n']}" in drawing.caption.replace("\u00a0", " ")
    assert plain.known_nsln in drawn(plain, Stage.NSLN).caption


def test_the_pooled_rates_are_those_of_the_cascade(plain: StudyInputs) -> None:
    for stage in Stage:
        every = plain.metrics["subgroups"][stage]["variables"]["all"]["levels"][0]
        rate = plain.metrics["cascade"][f"fnr_{stage}"]
        assert (every["fnr"]["events"], every["fnr"]["n"]) == (rate["events"], rate["n"])
        assert every["auc"]["value"] == pytest.approx(plain.metrics["stages"][stage]["auc"]["value"])


def test_marks_and_bytes(uncertified: StudyInputs) -> None:
    inputs = told(uncertified)
    for stage in Stage:
        drawing = drawn(inputs, stage)
        assert drawing.title.endswith("(simulated, proxy endpoint, uncertified)")
        assert drawing.title in texts(drawing)
        assert drawing.svg == drawn(inputs, stage).svg
    found = section(inputs)
    assert found.title.endswith("(simulated, proxy endpoint, uncertified)")
    assert all(table.caption.endswith("uncertified)") for table in tables(found))
    assert "uncertified cascade" in prose(found)


def test_small_levels_are_marked(certified: StudyInputs) -> None:
    few = np.where(np.arange(len(certified.axillae)) < 8, "Island", "Coast")
    inputs = told(certified, centre_id=few)
    assert "Island*" in texts(drawn(inputs))
    assert "Coast" in texts(drawn(inputs))
    rows = {row[0]: row for row in tables(section(inputs))[0].rows}
    assert rows["Centre: Island*"][1] in ("7", "8")


def test_what_is_undefined_is_said_and_not_drawn(certified: StudyInputs) -> None:
    sizes = np.where(np.arange(len(certified.axillae)) < 2, 60.0, 10.0)
    shown = texts(drawn(told(certified, tumour_size_mm=sizes)))
    place = shown.index("> 50 mm*")
    assert "fewer than 3 axillae of known status" in shown[place : place + 4]
    without = certified.labels["sln"] == 0
    shown = texts(drawn(told(certified, device=np.where(without, "None found", "Others"))))
    assert "no positive axilla" in shown


def test_variables_that_divide_nobody_are_named(certified: StudyInputs) -> None:
    inputs = told(certified, centre_id="Coast", birads=None)
    shown = texts(drawn(inputs))
    assert "Coast throughout: nothing to compare" in shown
    assert "not known of any axilla" in shown
    text = prose(section(inputs))
    assert CAVEAT in text
    assert "breast density" in text


def test_twelve_centres_grow_the_figure_and_sixty_do_not(certified: StudyInputs) -> None:
    place = np.arange(len(certified.axillae))
    two, twelve, sixty = (
        drawn(told(certified, centre_id=[f"Centre {1 + one % number}" for one in place])) for number in (2, 12, 60)
    )
    assert height(twelve) == pytest.approx(height(two) + 72 * 10 * 0.19, abs=1)
    assert height(sixty) == pytest.approx(height(two) + 72 * (MOST_LEVELS - 2 + 1) * 0.19, abs=1)
    assert "and 45 smaller levels: see the table" in texts(sixty)
    names = [text.rstrip("*") for text in texts(twelve) if text.startswith("Centre ")]
    assert names == [f"Centre {number}" for number in range(1, 13)]


def test_the_table_holds_calibration_and_every_test(plain: StudyInputs) -> None:
    numbers, tests = tables(section(plain))[:2]
    assert "Calibration slope" in numbers.head[7]
    assert all(len(row) == len(numbers.head) for row in numbers.rows)
    found = plain.metrics["subgroups"]["sln"]
    assert len(numbers.rows) == sum(len(variable["levels"]) for variable in found["variables"].values())
    assert len(tests.rows) == 18
    assert f"all {found['comparisons']} tests" in tests.notes[0]
    for row in tests.rows:
        of_rates = row[0].endswith("False-negative rate")
        assert "%" not in row[2]
        assert row[2].endswith(" percentage points") == (of_rates and row[2] != "–")
    assert any("percentage points" in row[2] for row in tests.rows)


def test_alpha_is_named_above_every_row(plain: StudyInputs) -> None:
    root = ElementTree.fromstring(drawn(plain).file_text.encode())
    height_of = {}
    for node in root.iter(f"{SVG}text"):
        place = re.search(r"translate\([-\d.]+ ([-\d.]+)\)", node.get("transform", ""))
        y = float(place.group(1)) if place else float(node.get("y", "nan"))
        height_of["".join(node.itertext()).replace("\u00a0", " ")] = y
    assert height_of["alpha 10 %"] < height_of["All axillae"] - 5


def test_points_are_those_of_the_metrics(plain: StudyInputs) -> None:
    points = subgroups_points(plain)
    assert points is not None
    assert set(points["stage"]) == {"sln", "nsln"}
    row = points[(points["stage"] == "sln") & (points["variable"] == "all")].iloc[0]
    assert row["auc"] == plain.metrics["stages"]["sln"]["auc"]["value"]
    assert row["auc_low"] < row["auc"] < row["auc_high"]


def test_nothing_counted_nothing_shown(certified: StudyInputs) -> None:
    before = bare(certified)
    assert draw_subgroups(before, Stage.SLN) is None
    assert subgroups_section(before, {}) is None
    assert subgroups_points(before) is None
    predicted = {stage: certified.predictions[certified.predictions["stage"] == str(stage)] for stage in Stage}
    alone = study_subgroups(predicted, certified.decisions, certified.labels, pd.DataFrame())
    inputs = replace(certified, metrics={**certified.metrics, "subgroups": alone})
    assert draw_subgroups(inputs, Stage.SLN) is None
    assert "Nothing is known of these axillae" in prose(section(inputs))
    assert len(tables(section(inputs))) == 2


def test_three_patients(study: Callable[..., StudyInputs]) -> None:
    inputs = told(study(patients=3, pictures=False))
    assert any("not estimable" in note for note in tables(section(inputs))[0].notes)
    assert any("fewer than 3 axillae of known status" in text for text in texts(drawn(inputs)))
