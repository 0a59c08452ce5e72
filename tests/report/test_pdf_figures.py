"""Where figures stand on paper: shrunk to end a page, or behind what still fits on it."""

from __future__ import annotations

import io
from typing import Any

import pytest

pytest.importorskip("reportlab")

from reportlab.lib.pagesizes import A4  # type: ignore[import-untyped]
from reportlab.platypus import CondPageBreak, Frame, PageTemplate, Paragraph, Spacer  # type: ignore[import-untyped]

from usdlr.report.pdf_blocks import Place
from usdlr.report.pdf_figures import LEAST_SCALE, Floating, Pages, Placeholder, Whole
from usdlr.report.pdf_text import height_of, paragraph

WIDTH, HEIGHT = 480.0, 700.0


def figure(down: float, seen: dict[str, int]) -> Floating:
    place = Place("figure", "Figure 1", 0, seen.__setitem__)
    return Floating(place, Placeholder("figure-1", 300.0, down, 1.0), paragraph("What it shows.", "legend"))


def pages(story: list[Any]) -> int:
    frame = Frame(50, 60, WIDTH, HEIGHT, leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0)
    template = Pages(io.BytesIO(), pagesize=A4, pageTemplates=[PageTemplate("page", [frame])], invariant=1)
    template.build(story)
    return int(template.page)


class Probe(Place):
    """A mark of no height that says on which page it landed."""


def table(seen: dict[str, int], height: float = 100.0) -> list[Any]:
    mark = Probe("table", "Table 1", 0, seen.__setitem__)
    return [CondPageBreak(height), Whole([mark, Spacer(1, height)]), Spacer(1, 9)]


def test_a_figure_shrinks_to_end_the_page() -> None:
    seen: dict[str, int] = {}
    shown = figure(300.0, seen)
    full, least = shown.needed(WIDTH), shown.needed(WIDTH, LEAST_SCALE)
    assert full - least == pytest.approx((1 - LEAST_SCALE) * 300.0)
    assert pages([Paragraph("text"), Spacer(1, HEIGHT - 20 - (full + least) / 2), shown]) == 1
    assert LEAST_SCALE < shown.painted.scale < 1
    assert seen == {"figure": 1}


def test_a_figure_is_never_shrunk_beyond_what_can_be_read() -> None:
    seen: dict[str, int] = {}
    shown = figure(300.0, seen)
    assert pages([Spacer(1, HEIGHT - 200), Paragraph("text"), shown]) == 2
    assert shown.painted.scale == 1.0
    assert seen == {"figure": 2}


def test_what_fits_passes_a_figure_that_does_not() -> None:
    seen: dict[str, int] = {}
    story = [Spacer(1, HEIGHT - 240), Paragraph("text"), Spacer(1, 9), figure(300.0, seen), Spacer(1, 9)]
    assert pages([*story, *table(seen)]) == 2
    assert seen == {"table": 1, "figure": 2}


def test_what_does_not_fit_stays_behind_the_figure() -> None:
    seen: dict[str, int] = {}
    story = [Spacer(1, HEIGHT - 240), Paragraph("text"), figure(300.0, seen), Spacer(1, 9)]
    pages([*story, *table(seen, 260.0)])
    assert list(seen) == ["figure", "table"]
    assert seen["figure"] == 2


def test_no_heading_and_no_other_figure_passes() -> None:
    seen: dict[str, int] = {}
    story = [Spacer(1, HEIGHT - 240), Paragraph("text"), figure(300.0, seen), Spacer(1, 9), CondPageBreak(20)]
    heading = Probe("heading", "Next section", 0, seen.__setitem__)
    pages([*story, heading, Paragraph("heading")])
    assert list(seen) == ["figure", "heading"]


def test_heights_know_parts_that_stay_together() -> None:
    assert height_of(Whole([Spacer(1, 40), Spacer(1, 60)]).parts, WIDTH) == pytest.approx(100.0)
