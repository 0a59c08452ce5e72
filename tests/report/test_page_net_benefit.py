"""Decision curves on the page: no claim without an interval, none where too few were missed to tell."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from usdlr.core.types import Stage
from usdlr.decision.numbers import MINUS, NBSP
from usdlr.decision.wording_net_benefit import READING
from usdlr.evaluation.net_benefit import AVOIDED, study_decision_curves
from usdlr.report.document import Figure, PageTable, Prose, Section
from usdlr.report.figures_net_benefit import draw_net_benefit, net_benefit_points
from usdlr.report.inputs import StudyInputs
from usdlr.report.page_net_benefit import net_benefit_section
from usdlr.report.style import Drawing

SVG = "{http://www.w3.org/2000/svg}"


def told(inputs: StudyInputs, **options: Any) -> StudyInputs:
    predicted = {stage: inputs.predictions[inputs.predictions["stage"] == str(stage)] for stage in Stage}
    found = study_decision_curves(predicted, inputs.labels, replicates=200, **options)
    return replace(inputs, metrics={**inputs.metrics, "decision_curves": found})


def bare(inputs: StudyInputs) -> StudyInputs:
    """The study before anybody counted."""
    return replace(inputs, metrics={key: part for key, part in inputs.metrics.items() if key != "decision_curves"})


def drawn(inputs: StudyInputs) -> Drawing:
    drawing = draw_net_benefit(inputs)
    assert drawing is not None
    return drawing


def texts(drawing: Drawing) -> list[str]:
    root = ElementTree.fromstring(drawing.file_text.encode())
    return ["".join(node.itertext()).replace(NBSP, " ") for node in root.iter(f"{SVG}text")]


def section(inputs: StudyInputs) -> Section:
    found = net_benefit_section(inputs, {"net_benefit": drawn(inputs)})
    assert found is not None
    return found


def prose(found: Section) -> str:
    lines = [line for block in found.blocks if isinstance(block, Prose) for line in block.lines]
    return " ".join(lines).replace(NBSP, " ")


def tables(found: Section) -> list[PageTable]:
    return [block for block in found.blocks if isinstance(block, PageTable)]


def with_gain(inputs: StudyInputs, low: list[float], high: list[float], missed: list[int]) -> str:
    """What the section says of an SLN curve with three thresholds and a planted gain."""
    curve = copy.deepcopy(inputs.metrics["decision_curves"]["sln"])
    name = "model minus the better of both"
    for quantity in curve["quantities"].values():
        for end, numbers in quantity.items():
            quantity[end] = numbers[:3]
    curve["quantities"][name] |= {"low": low, "high": high}
    curve |= {"thresholds": [0.01, 0.02, 0.03], "missed": missed}
    curves = {**inputs.metrics["decision_curves"], "sln": curve}
    planted = replace(inputs, metrics={**inputs.metrics, "decision_curves": curves})
    found = net_benefit_section(planted, {})
    assert found is not None
    return next(line for line in prose(found).split("SLN stage: ")[1:])


@pytest.fixture(scope="module")
def plain(certified: StudyInputs) -> StudyInputs:
    return told(certified)


def test_the_figure_says_what_it_shows(plain: StudyInputs) -> None:
    drawing, shown = drawn(plain), texts(drawn(plain))
    assert drawing.name == "net_benefit"
    for words in (
        "Model",
        "Treat all",
        "Treat none",
        "Net benefit (positive axillae per axilla)",
        "Threshold of the bundle",
        "threshold 10.0 %",
    ):
        assert words in shown
    assert "99" in shown  # needless operations at 1 %
    assert "single threshold, not of the curve" in drawing.caption
    assert plain.known_nsln in drawing.caption
    assert drawing.svg == drawn(plain).svg


def test_the_bundles_threshold_is_named_in_the_legend(plain: StudyInputs) -> None:
    root = ElementTree.fromstring(drawn(plain).file_text.encode())
    legends = [node for node in root.iter(f"{SVG}g") if "legend" in node.get("id", "")]
    (said,) = ["".join(node.itertext()).replace(NBSP, " ") for node in legends]
    assert "Threshold of the bundle" in said
    assert sum(text.startswith("threshold ") for text in texts(drawn(plain))) == 2  # one in every panel


def test_marks(uncertified: StudyInputs) -> None:
    inputs = told(uncertified)
    assert drawn(inputs).title.endswith("(simulated, proxy endpoint, uncertified)")
    assert "Uncertified threshold of the bundle" in texts(drawn(inputs))
    assert any(text.startswith("uncertified threshold ") for text in texts(drawn(inputs)))
    found = section(inputs)
    assert all(
        part.endswith("(simulated, proxy endpoint, uncertified)") for part in (found.title, tables(found)[0].caption)
    )


def test_a_threshold_outside_the_range_is_not_drawn(certified: StudyInputs) -> None:
    assert "threshold 10.0 %" not in texts(drawn(told(certified, thresholds=[0.2, 0.3, 0.4])))


def test_the_section_reads_its_own_curves(plain: StudyInputs) -> None:
    found = section(plain)
    assert (found.anchor, found.word) == ("worth", "Net benefit")
    assert READING in prose(found)
    assert "fixed before any curve was drawn" in prose(found)
    assert "Baselines have no curve" in prose(found)
    assert any(isinstance(block, Figure) for block in found.blocks)
    curve = plain.metrics["decision_curves"]["sln"]
    row = next(row for row in tables(found)[0].rows if row[0].replace(NBSP, " ") == "20 %")
    place = curve["thresholds"].index(0.2)
    avoided = curve["quantities"][AVOIDED]
    assert row[1:4] == (str(curve["n"]), str(curve["missed"][place]), "4")
    assert row[-1].split(" ")[0].replace(MINUS, "-") == f"{avoided['value'][place]:.0f}"
    # By hand from counts: positives found less needless operations at one to four.
    rows = plain.stage_rows(Stage.SLN)
    called = rows["score"] >= 0.2
    worth = ((called & (rows["truth"] == 1)).sum() - 0.25 * (called & (rows["truth"] == 0)).sum()) / len(rows)
    assert row[4].split(" ")[0] == f"{worth:.3f}"


def test_too_few_missed_show_no_interval(plain: StudyInputs) -> None:
    curve = plain.metrics["decision_curves"]["sln"]
    first = tables(section(plain))[0].rows[0]
    assert curve["missed"][1] < 5
    assert first[6].endswith("(no interval: too few below)")
    assert first[7].endswith("(no interval: too few below)")


def test_claims_follow_the_intervals(plain: StudyInputs) -> None:
    many = [9, 9, 9]
    nothing = with_gain(plain, [-0.1, -0.1, 0.0], [0.1, 0.1, 0.1], many)
    assert nothing.startswith("at no threshold of the range does the 95 % interval show")
    assert "worth more than" in with_gain(plain, [0.01, -0.1, 0.01], [0.1, 0.1, 0.1], many)
    assert "thresholds of 1 % and 3 %" in with_gain(plain, [0.01, -0.1, 0.01], [0.1, 0.1, 0.1], many)
    assert "worth less than" in with_gain(plain, [-0.1, -0.1, -0.1], [0.1, -0.01, -0.01], many)
    assert "thresholds of 2 to 3 %" in with_gain(plain, [-0.1, -0.1, -0.1], [0.1, -0.01, -0.01], many)
    few = with_gain(plain, [0.01, 0.01, 0.01], [0.1, 0.1, 0.1], [0, 4, 5])
    assert "worth more than the better of operating on all and on none at thresholds of 3 %" in few
    assert few.startswith("at thresholds of 1 to 2 % fewer than 5 positive axillae")
    # No sentence speaks of other thresholds before some were named.
    other = with_gain(plain, [0.01, 0.01, -0.1], [0.1, 0.1, 0.1], [0, 4, 5])
    assert other.startswith("at thresholds of 1 to 2 % fewer than 5")
    assert "shown. At no other threshold of the range" in other
    absent: list[Any] = [None] * 3
    assert "no intervals" in with_gain(plain, absent, absent, many)


def test_no_curve_and_no_metrics(certified: StudyInputs) -> None:
    before = bare(certified)
    assert draw_net_benefit(before) is None
    assert net_benefit_section(before, {}) is None
    assert net_benefit_points(before) is None
    unknown = replace(certified, labels=certified.labels.assign(nsln=np.nan))
    inputs = told(unknown)
    assert any("no axillae" in text or "not estimable" in text for text in texts(drawn(inputs)))
    assert "NSLN stage: no curve" in prose(section(inputs))
    assert len(tables(section(inputs))) == 1
    points = net_benefit_points(inputs)
    assert points is not None
    assert set(points["stage"]) == {"sln"}
    assert len(points) == 250


def test_three_patients(study: Callable[..., StudyInputs]) -> None:
    inputs = told(study(patients=3, pictures=False))
    assert section(inputs).blocks
