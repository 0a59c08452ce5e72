"""Forest plots: what stands where, and what is not drawn when it cannot be estimated."""

from __future__ import annotations

import re

from usdlr.report.figures_meta import Forest, ForestRow, forest_figure

NOTHING = {"value": None, "low": None, "high": None}


def rows(*values: float) -> list[ForestRow]:
    return [
        ForestRow(f"centre {place}", {"value": value, "low": value - 0.05, "high": value + 0.05, "n": 40, "events": 4})
        for place, value in enumerate(values)
    ]


def texts(svg: str) -> list[str]:
    return re.findall(r">([^<>\n]+)</text>", svg)


def test_every_centre_and_the_pooled_estimates_stand_in_it() -> None:
    pooled = {"value": 0.75, "low": 0.7, "high": 0.8}
    forest = Forest(
        "SLN stage", "AUC (0 to 1)", rows(0.7, 0.8), pooled, pooled, {"value": 0.75, "low": 0.5, "high": 0.9}
    )
    drawn = texts(forest_figure("forest", "AUC by centre", "", [forest]).svg)
    assert {"centre 0", "centre 1", "All, fixed effect", "All, random effects", "A further centre"} <= set(drawn)
    assert drawn.count("0.75 (0.70–0.80)") == 2
    assert "0.50–0.90" in drawn


def test_rates_show_their_counts_and_the_target() -> None:
    forest = Forest(
        "SLN stage",
        "Missed (%)",
        rows(0.1),
        NOTHING,
        NOTHING,
        NOTHING,
        reference=0.1,
        reference_words="target",
        rate=True,
    )
    drawn = texts(forest_figure("forest", "Rates", "", [forest, forest]).svg)
    assert any(text.replace("\u00a0", " ") == "4 of 40, 10.0 %" for text in drawn)
    assert "target" in drawn
    assert drawn.count("not estimable") == 6, "three pooled lines in both panels"


def test_a_centre_without_an_estimate_keeps_its_line() -> None:
    forest = Forest("NSLN stage", "Slope", [*rows(1.0), ForestRow("empty", NOTHING | {"n": 0})], None, None, None)
    drawn = texts(forest_figure("forest", "Slope", "", [forest]).svg)
    assert "empty" in drawn
    assert drawn.count("not estimable") == 4


def test_equal_input_gives_equal_bytes() -> None:
    forest = Forest("SLN stage", "AUC", rows(0.7, 0.8, 0.9))
    assert forest_figure("f", "t", "c", [forest]).svg == forest_figure("f", "t", "c", [forest]).svg
