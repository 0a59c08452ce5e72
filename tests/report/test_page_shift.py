"""The part of a page about shift says what was compared, marks what was not tested, and draws what it tables."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from usdlr.core.types import Stage
from usdlr.decision.wording_shift import NOT_COMPARED
from usdlr.evaluation.reference import PatientRows, Reference
from usdlr.evaluation.shift import shift_report
from usdlr.report.document import Block, Figure, PageTable, Prose
from usdlr.report.page_shift import shift_blocks, shift_drawings
from usdlr.report.tables import Marks

MARKS = Marks(simulated=True, proxy=False, uncertified=False)
NAMES = [f"bmode.intratumoral.original.glcm.{name}" for name in ("Contrast", "Correlation", "Id", "Idm", "MCC")]


def rows(size: int, shift: float, seed: int) -> PatientRows:
    random = np.random.default_rng(seed)
    stages = [str(stage) for stage in Stage]
    return PatientRows(
        pd.DataFrame(random.lognormal(shift, 0.5, (size, len(NAMES))), columns=NAMES),
        pd.DataFrame({
            "age_years": random.normal(60, 9, size), "tumour_size_mm": random.lognormal(3 + shift, 0.3, size),
            "birads": random.choice(["4a", "4b", "5"], size), "device": "Scanner",
            "centre_id": "far" if shift else "made",
        }),
        random.standard_normal((size, 4)),
        pd.DataFrame(random.standard_normal((size, 2)) + shift, columns=stages),
        size,
    )  # fmt: skip


@pytest.fixture(scope="module")
def summary() -> Reference:
    made = rows(150, 0.0, 1)
    return Reference.of(made, made.take(np.arange(150) < 60), read=NAMES, endpoints={})


def texts(blocks: tuple[Block, ...]) -> str:
    found: list[str] = []
    for block in blocks:
        if isinstance(block, Prose):
            found += block.lines
        if isinstance(block, PageTable):
            found += [block.caption, *(cell for row in block.rows for cell in row), *block.notes]
        if hasattr(block, "blocks"):
            found.append(texts(block.blocks))
    return "\n".join(found).replace("\N{NO-BREAK SPACE}", " ")


def test_a_shifted_centre(summary: Reference) -> None:
    shift = shift_report(summary, rows(60, 0.9, 2))
    blocks = shift_blocks(shift, MARKS)
    said = texts(blocks)
    assert said.startswith("Shift alarm: the patients differ")
    assert "at most 5 % of centres" in said
    assert "60 patients here with 150 who fitted or tuned" in said
    assert "B-mode, inside the lesion: contrast between neighbouring pixels" in said
    assert "Tumour size (mm)" in said
    assert "upper estimate" in said
    drawings = [block.drawing for block in blocks if isinstance(block, Figure)]
    assert [drawing.name for drawing in drawings] == ["shift_differences", "shift_log_odds"]
    worst = next(block for block in blocks if isinstance(block, PageTable) and "differ most" in block.caption)
    # The table's first row is the figure's and the data's largest difference.
    largest = max(shift["features"], key=lambda one: abs(one["difference"]["value"]))
    assert worst.rows[0][3].startswith(f"{largest['difference']['value']:.2f} (")
    for block in blocks:
        if isinstance(block, PageTable):
            assert "simulated" in block.caption
            assert {len(row) for row in block.rows} == {len(block.head)}
    assert not re.search(r"\bnan\b|None|inf\b", said)
    again = shift_drawings(shift, MARKS)
    assert [again[one.name].svg for one in drawings] == [one.svg for one in drawings]


def test_no_alarm_is_no_proof(summary: Reference) -> None:
    shift: dict[str, Any] = shift_report(summary, rows(60, 0.0, 3))
    said = texts(shift_blocks(shift, MARKS))
    assert shift["alarm"] is False
    assert "No shift alarm" in said
    assert "no proof of likeness" in said


@pytest.mark.parametrize("size", [0, 1, 3])
def test_too_few_patients(summary: Reference, size: int) -> None:
    said = texts(shift_blocks(shift_report(summary, rows(size, 0.0, 3)), MARKS))
    assert "not assessed" in said or "No shift alarm" in said
    assert not re.search(r"\bnan\b|None|inf\b", said)


def test_a_bundle_without_a_summary() -> None:
    assert texts(shift_blocks(None, MARKS)) == NOT_COMPARED
