"""Sentences that state or interpret a result come from ``usdlr.decision`` alone; the report holds layout, methods."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import usdlr.report

REPORT = Path(usdlr.report.__file__).parent
WORDS = 8  # a literal with more words that ends a sentence is prose
# What may stay, by module, with the number of literals: how a figure was made and is to be read, what a picture shows
# to those who cannot see it, how features and stability were measured, what the checklists ask of the author. No entry
# may interpret a result. Raise a number only for such a text; a finding, a comparison or a promise belongs into
# `usdlr/decision/wording_<subject>.py`, with a test.
ALLOWED = {
    "cards.py": 1,  # what the author has to fill in
    "checklists/on_model.py": 1,  # how the model was made
    "figures_binning.py": 1,
    "figures_curves.py": 2,
    "figures_flow.py": 1,
    "figures_forest.py": 2,
    "figures_losses.py": 1,
    "figures_net_benefit.py": 1,
    "figures_nomogram.py": 1,
    "figures_pathways.py": 1,
    "figures_pretraining.py": 1,
    "figures_selection.py": 3,
    "figures_stability.py": 2,
    "figures_subgroups.py": 1,
    "figures_survival.py": 3,
    "figures_thresholds.py": 1,
    "page_gallery.py": 2,  # alternative texts of pictures
    "page_survival.py": 1,  # from how many patients on a share is given
    "pdf_pages.py": 1,  # about the fonts of the file
}
# Modules of a single axilla's report and of tests for shift: texts on methods, and prose of their own subjects.
OTHERS = ("case", "figures_shift", "page_shift", "figures_meta")
_END = re.compile(r"[\w)%}\]\"'] ?\.(\s|$)")


def prose(source: str) -> list[str]:
    """Long literals that end a sentence, without docstrings and without the messages of errors."""
    tree = ast.parse(source)
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise):
            skipped |= {id(one) for one in ast.walk(node)}
        elif isinstance(node, ast.JoinedStr):
            skipped |= {id(one) for one in node.values}
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            skipped.add(id(node.value))
    texts = [_text(node) for node in ast.walk(tree) if id(node) not in skipped]
    return [text for text in texts if len(text.split()) > WORDS and _END.search(text)]


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def modules() -> list[Path]:
    found = [path for path in sorted(REPORT.rglob("*.py")) if not path.stem.startswith(OTHERS)]
    assert len(found) > 50
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(REPORT)))
def test_a_module_of_the_report_holds_no_new_prose(path: Path) -> None:
    found = prose(path.read_text(encoding="utf-8"))
    most = ALLOWED.get(path.relative_to(REPORT).as_posix(), 0)
    assert len(found) <= most, (
        f"{path.name}: found {len(found)} sentences in literals, expected at most {most}; what states or interprets a "
        f"result belongs into usdlr/decision/wording_<subject>.py: {found}"
    )


def test_the_list_of_exceptions_holds_nothing_that_is_gone() -> None:
    counts = {name: len(prose((REPORT / name).read_text(encoding="utf-8"))) for name in ALLOWED}
    assert counts == ALLOWED


@pytest.mark.parametrize(
    "line",
    [
        'told = "The model is worth more than the better of operating on all and on none here."',
        'told = f"At the {stage} stage the model ranks better than {n} simpler ones do."',
        'lines = [("The false-negative rate is "\n         f"{rate}, and nobody need be operated on.")]',
    ],
)
def test_the_gate_bites(line: str) -> None:
    assert prose(line)


@pytest.mark.parametrize(
    "line",
    [
        '"""A docstring with more than eight words that ends in a full stop."""',
        'raise ValueError("found something else than what was expected here, give it again.")',
        'head = "Missed, of positive axillae with known status (95 % interval)"',
        'note = "Interval ends are rounded."',
    ],
)
def test_the_gate_lets_layout_and_errors_pass(line: str) -> None:
    assert not prose(line)
