from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.pathway_rows import D, tables
from usdlr.decision.numbers import NBSP, outcome_text, per_thousand, share_text, thousand_interval
from usdlr.decision.wording_pathways import NO_CONTRACT
from usdlr.evaluation.cascade import predictive_values
from usdlr.evaluation.pathways import pathways
from usdlr.evaluation.threshold_shift import SHIFTS, threshold_shift
from usdlr.report.document import Document, Figure, Folded, Meanings, PageTable, Points, Prose, Section
from usdlr.report.figures_pathways import draw_pathways, pathways_points
from usdlr.report.figures_thresholds import draw_thresholds, thresholds_points
from usdlr.report.html import render
from usdlr.report.inputs import StudyInputs
from usdlr.report.page_pathways import pathways_section
from usdlr.report.style import Drawing

SVG = "{http://www.w3.org/2000/svg}"
DRAWN: dict[str, Callable[[StudyInputs], Drawing | None]] = {"pathways": draw_pathways, "thresholds": draw_thresholds}


def measured(inputs: StudyInputs, axillae: pd.DataFrame | None = None, **parts: Any) -> StudyInputs:
    """The study with the three paths of the section in its metrics."""
    decisions, labels, contract = inputs.decisions, inputs.labels, inputs.contract
    found = {
        "pathways": pathways(decisions, labels, inputs.axillae if axillae is None else axillae, contract=contract),
        "predictive": predictive_values(decisions, labels),
        "threshold_shift": threshold_shift(decisions, labels),
    }
    return with_parts(inputs, **(found | parts))


def with_parts(inputs: StudyInputs, **parts: Any) -> StudyInputs:
    return replace(inputs, metrics={**inputs.metrics, "cascade": {**inputs.metrics["cascade"], **parts}})


@pytest.fixture(scope="module")
def plain(certified: StudyInputs) -> StudyInputs:
    return measured(certified)


@pytest.fixture(scope="module")
def marked(uncertified: StudyInputs) -> StudyInputs:
    return measured(replace(uncertified, gallery=[]), pd.DataFrame())


@pytest.fixture(scope="module")
def by_hand(certified: StudyInputs) -> StudyInputs:
    """A study whose pathways are those of sixteen axillae that can be counted."""
    return with_parts(certified, pathways=pathways(*tables(), contract={"alpha": {"sln": 0.1, "nsln": 0.1}}))


def drawn(inputs: StudyInputs, name: str) -> Drawing:
    drawing = DRAWN[name](inputs)
    assert drawing is not None
    return drawing


def section(inputs: StudyInputs, *names: str) -> Section:
    found = pathways_section(inputs, {name: drawn(inputs, name) for name in names})
    assert found is not None
    return found


def texts(drawing: Drawing) -> list[str]:
    root = ElementTree.fromstring(drawing.file_text.encode())
    return ["".join(node.itertext()) for node in root.iter(f"{SVG}text")]


def table(part: Section, words: str) -> PageTable:
    folded = [inner for block in part.blocks if isinstance(block, Folded) for inner in block.blocks]
    (found,) = [b for b in (*part.blocks, *folded) if isinstance(b, PageTable) and words in b.caption]
    return found


def cells(found: PageTable) -> dict[str, tuple[str, ...]]:
    return {row[0]: tuple(cell.replace(NBSP, " ") for cell in row[1:]) for row in found.rows}


def prose(part: Section) -> str:
    lines = [line for block in part.blocks if isinstance(block, Prose | Points) for line in block.lines]
    return " ".join(lines).replace(NBSP, " ")


def without_interval(text: str) -> str:
    return text.partition(" (")[0]


def test_a_thousand_counted_by_hand(by_hand: StudyInputs) -> None:
    # 14 axillae of known status: 3/14 = 214, 4/14 = 286, 5/14 = 357, 6/14 = 429, 7/14 = 500, 10/14 = 714 of 1,000.
    found = cells(table(section(by_hand), "What becomes of 1,000"))
    assert {name: tuple(map(without_interval, row)) for name, row in found.items()} == {
        "No axillary surgery": ("–", "–", "214", "14"),
        "Sentinel biopsy alone": ("286", "500", "429", "14"),
        "Sentinel biopsy and dissection": ("714", "286", "357", "14"),
        "Z0011 rule not decidable": ("–", "214", "–", "14"),
        "Sentinel biopsies spared": ("–", "–", "214", "14"),
        "Dissections spared": ("–", "214 to 429", "357", "14"),
        "SLN-positive axillae left without surgery": ("–", "–", "143", "14"),
        "NSLN-positive axillae left undissected": ("–", "143 to 357", "143 to 286", "14"),
        "Dissections of NSLN-negative axillae": ("214 to 429", "143 to 357", "143 to 214", "14"),
    }


def test_rates_say_among_whom(by_hand: StudyInputs) -> None:
    part = section(by_hand)
    found = cells(table(part, "The same as rates"))
    assert found["Cascade: SLN-positive axillae left without surgery"][0] == "of SLN-positive axillae"
    assert {name: row[2:] for name, row in found.items() if "NSLN-" in name} == {
        "Z0011 rule: NSLN-positive axillae left undissected": ("2 of 3", "4"),
        "Cascade: NSLN-positive axillae left undissected": ("2 of 4", "3"),
        "Dissection if positive: dissections of NSLN-negative axillae": ("3 of 7", "3"),
        "Z0011 rule: dissections of NSLN-negative axillae": ("2 of 3", "4"),
        "Cascade: dissections of NSLN-negative axillae": ("2 of 4", "1"),
    }
    said = prose(part)
    assert "14 axillae with known SLN status of 12 patients (2 of unknown status left out)" in said
    assert "cannot be decided for 3 of 10 SLN-positive axillae" in said
    assert "number of positive sentinel nodes of 2, clinical nodal stage of 1, tumour size of 1" in said
    assert "NSLN status is unknown in 3 of 10 SLN-positive axillae" in said
    assert "2 of 10 missed, 20.0 %" in said
    assert "At most 71.4 SLN-positive (alpha 10 %) and 28.6 NSLN-positive" in said
    assert "irradiation, which is not in the tables" in said
    assert "both axillae of 2 patients are in" in " ".join(table(part, "What becomes of 1,000").notes)


def test_the_reader_is_told_what_is_measured_against_what(by_hand: StudyInputs) -> None:
    part = section(by_hand, *DRAWN)
    (meanings,) = [dict(block.pairs) for block in part.blocks if isinstance(block, Meanings)]
    assert list(meanings) == ["Dissection if positive", "Z0011 rule", "Cascade"]
    assert "guidelines no longer ask for it with one or two positive nodes" in meanings["Dissection if positive"]
    assert "DEFER: the usual pathway" in meanings["Cascade"]
    page = render(Document("Study report", "t", "q", "s", (), (), (), (part,), "f"))
    assert "current practice" not in (page + drawn(by_hand, "thresholds").caption).lower()
    assert any(text.endswith("Spared, against dissection if positive") for text in texts(drawn(by_hand, "pathways")))
    # 5, and 3 to 6, of 14 axillae.
    said = prose(part)
    assert re.search(r"cascade spares 214 \([^)]*\) the sentinel biopsy and 357 \([^)]*\) the dissection; ", said)
    assert re.search(r"the Z0011 rule spares 214 to 429 \([^)]*\) the dissection and none the biopsy", said)


def test_predictive_values_say_who_counts(plain: StudyInputs) -> None:
    found = table(section(plain), "Negative predictive values")
    assert found.head[3].startswith("NSLN negative, all axillae with known status")
    notes = " ".join(found.notes)
    assert "SLN-negative axillae, which count as NSLN negative because the sentinel status is taken as right" in notes
    assert (
        f"Last column: SLN-positive axillae alone, as far as their NSLN status is known ({plain.known_nsln})" in notes
    )
    # The first NSLN column counts the SLN-negative axillae too, the last one does not.
    every = cells(found)["All axillae, for comparison"]
    judged = plain.labels[plain.labels["sln"].notna()]
    known = judged[(judged["sln"] == 0) | judged["nsln"].notna()]
    assert every[2].endswith(f" of {len(known)}")
    assert every[4].endswith(f" of {int((known['sln'] == 1).sum())}")


def test_bars_and_points_show_the_counted_numbers(by_hand: StudyInputs) -> None:
    shown = texts(drawn(by_hand, "pathways"))
    for label in ("286", "714", "500", "214", "429", "357"):
        assert label in shown
    points = pathways_points(by_hand)
    assert points is not None
    chosen = points[(points["way"] == "cascade") & (points["quantity"] == "nsln_positive_undissected")]
    assert chosen.set_index("bound")["events"].to_dict() == {"least": 2, "most": 4, "share": 2}
    assert chosen.set_index("bound")["n"].to_dict() == {"least": 14, "most": 14, "share": 4}


def bars(drawing: Drawing) -> dict[float, float]:
    """Sum of the widths of the filled rectangles by their upper edge, in points."""
    rows: dict[float, float] = {}
    for path in re.findall(r'<g id="pathways-patch_\d+">\s*<path d="([^"]+)"', drawing.svg):
        corners = np.array(re.findall(r"[ML] (-?[\d.]+) (-?[\d.]+)", path), dtype=float)
        if len(corners) == 4:
            wide, tall = np.ptp(corners, axis=0)
            if 10 < tall < 30:
                rows[round(corners[:, 1].min(), 1)] = rows.get(round(corners[:, 1].min(), 1), 0.0) + wide
    return rows


def test_every_bar_is_as_long_as_all_axillae(by_hand: StudyInputs, plain: StudyInputs) -> None:
    for inputs in (by_hand, plain):
        widths = list(bars(drawn(inputs, "pathways")).values())
        assert len(widths) == 3
        assert widths == pytest.approx([widths[0]] * 3, abs=1e-3)


@pytest.mark.parametrize("name", list(DRAWN))
def test_titles_carry_the_marks_and_bytes_are_fixed(marked: StudyInputs, plain: StudyInputs, name: str) -> None:
    drawing = drawn(marked, name)
    assert drawing.title.endswith("(simulated, proxy endpoint, uncertified)")
    assert drawing.title in texts(drawing)
    assert "n = " in drawing.caption
    assert drawing == drawn(marked, name)
    assert not re.search("simulated|proxy|uncertified", drawn(plain, name).svg + drawn(plain, name).caption)
    ids = re.findall(r'\bid="([^"]+)"', drawing.svg)
    assert len(ids) == len(set(ids))
    assert all(one.startswith(f"{name}-") for one in ids)
    assert len(drawing.svg) < 200_000


def test_moved_thresholds_carry_no_contract(plain: StudyInputs) -> None:
    assert NO_CONTRACT in drawn(plain, "thresholds").caption
    found = table(section(plain), "Both thresholds moved")
    assert "no contract" in found.caption
    rows = cells(found)
    assert list(rows) == ["−1", "−0.5", "−0.2", "as set", "+0.2", "+0.5", "+1"]
    cascade = plain.metrics["cascade"]
    for place, key in ((1, "fnr_sln"), (2, "fnr_nsln")):
        assert rows["as set"][place].endswith(f"{cascade[key]['events']} of {cascade[key]['n']}")
    points = thresholds_points(plain)
    assert points is not None
    assert len(points) == 3 * 4 * len(SHIFTS)
    assert NO_CONTRACT in prose(section(plain))


def test_words_say_where_the_rate_passes_alpha(plain: StudyInputs) -> None:
    shift = copy.deepcopy(plain.metrics["cascade"]["threshold_shift"])
    curve = shift["moved"]["both"]["fnr_sln"]
    curve.update(value=[0.0] * 31, events=[0] * 31, low=[0.0] * 31, high=[0.2] * 31, n=40)
    curve["value"][SHIFTS.index(0.2)], curve["events"][SHIFTS.index(0.2)] = 0.1, 4  # at alpha is not past it
    assert "The observed SLN rate does not pass 10 % up to +1.5." in prose(
        section(with_parts(plain, threshold_shift=shift))
    )
    curve["value"][SHIFTS.index(0.3)], curve["events"][SHIFTS.index(0.3)] = 0.125, 5
    said = prose(section(with_parts(plain, threshold_shift=shift)))
    assert "The observed SLN rate first passes 10 % at +0.3: 12.5 % (0.0–20.0 %), 5 of 40, after 0.0 % as set." in said
    curve["value"][SHIFTS.index(0.0)] = 0.15
    assert "is above 10 % at the thresholds as set" in prose(section(with_parts(plain, threshold_shift=shift)))
    curve["n"] = 0
    assert "There is no SLN-positive axilla" in prose(section(with_parts(plain, threshold_shift=shift)))


def test_uncertified_numbers_promise_nothing(marked: StudyInputs) -> None:
    part = section(marked)
    assert "promises nothing of others" in prose(part)
    assert "Uncertified cascade, per 1,000 (95 % interval)" in table(part, "What becomes of 1,000").head
    for block in part.blocks:
        if isinstance(block, PageTable):
            assert block.caption.endswith("(simulated, proxy endpoint, uncertified)")
    # Nobody recorded an item of the Z0011 rule: all or none may be spared, and no rate is invented.
    found = cells(table(part, "What becomes of 1,000"))
    assert found["Dissections spared"][1].startswith("0 to ")
    assert cells(table(part, "The same as rates"))["Z0011 rule: dissections spared"][1].startswith("not estimable")


def test_predictive_values_name_their_groups(plain: StudyInputs) -> None:
    part = section(plain)
    found = table(part, "Negative predictive values")
    groups = plain.metrics["cascade"]["groups"]
    rows = cells(found)
    assert list(rows) == [
        "LR-SLN",
        "HR-SLN/LR-NSLN",
        "HR-SLN/HR-NSLN",
        "DEFER",
        "LR-SLN or HR-SLN/LR-NSLN (no dissection)",
        "HR-SLN, either NSLN group (biopsy)",
        "All axillae, for comparison",
    ]
    assert rows["LR-SLN"][0] == str(groups["LR-SLN"]["n"])
    assert rows["DEFER"] == ("0", "–", "–", "–", "–")
    total = sum(group["n"] for group in groups.values())
    assert cells(table(part, "The stage that answered"))["All"][2] == str(total)


def test_everything_deferred_and_nobody_known_still_make_a_page(plain: StudyInputs) -> None:
    deferred = replace(plain, decisions=plain.decisions.assign(risk_group=D))
    part = section(measured(deferred))
    found = cells(table(part, "What becomes of 1,000"))
    assert found["Sentinel biopsies spared"][2].startswith("0 (0–")  # nought by chance has an interval
    assert found["Sentinel biopsies spared"][0] == "–"
    nobody = replace(plain, labels=plain.labels.assign(sln=np.nan, nsln=np.nan))
    part = section(measured(nobody))
    assert "No axilla has a known SLN status" in prose(part)
    assert "no axilla with known SLN status" in texts(drawn(measured(nobody), "pathways"))


def test_nothing_is_drawn_or_said_without_its_numbers(plain: StudyInputs) -> None:
    ours = ("pathways", "predictive", "threshold_shift")
    cascade = {name: part for name, part in plain.metrics["cascade"].items() if name not in ours}
    bare = replace(plain, metrics={**plain.metrics, "cascade": cascade})
    assert draw_pathways(bare) is None
    assert draw_thresholds(bare) is None
    assert pathways_points(bare) is None
    assert thresholds_points(bare) is None
    assert pathways_section(bare, {}) is None
    only = with_parts(bare, predictive=plain.metrics["cascade"]["predictive"])
    part = pathways_section(only, {})
    assert part is not None
    assert not [block for block in part.blocks if isinstance(block, Figure)]


def test_the_section_is_rendered(plain: StudyInputs) -> None:
    part = section(plain, *DRAWN)
    assert (part.anchor, part.word, part.title) == ("pathways", "Per 1,000", "What becomes of 1,000 axillae")
    assert [block.drawing.name for block in part.blocks if isinstance(block, Figure)] == ["pathways", "thresholds"]
    page = render(Document("Study report", "t", "q", "s", (), (), (), (part,), "f"))
    assert "What becomes of 1,000 axillae" in page
    assert not [name for name in plain.labels["patient_id"] if name in page]


def test_ends_are_rounded_outward_and_nothing_is_rounded_away() -> None:
    # 7 of 32 with the published interval 0.093 to 0.400.
    rate = {"value": 7 / 32, "low": 0.09276, "high": 0.39972, "n": 32, "events": 7, "method": "exact"}
    assert share_text(rate) == "219 (92–400)"
    assert thousand_interval(0.07, 0.07) == "70–70"
    assert (per_thousand(1 / 5000), per_thousand(0.0), per_thousand(1.0)) == ("<1", "0", f"1{NBSP}000")
    assert outcome_text({"least": rate, "most": rate, "unknown": 0}) == "219 (92–400)"
    none = rate | {"value": None, "method": "undefined: nobody"}
    assert outcome_text({"least": none, "most": none, "unknown": 0}) == "not estimable (nobody)"
