from __future__ import annotations

import pytest

from usdlr.report.inputs import StudyInputs
from usdlr.report.redact import PLACEHOLDER, identifiers, redact, redact_settings


def test_ids_of_every_table_are_known(certified: StudyInputs) -> None:
    names = identifiers(certified)
    assert {"PAT0000", "PAT0259", "PAT9000", "PAT9000_L.dcm"} <= names


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("PAT10 and PAT1", {"PAT1", "PAT10"}, "[…] and […]"),
        ("file xPAT0001y.png", {"PAT0001"}, "file x[…]y.png"),
        ("a+b (c)", {"a+b", "(c)"}, "[…] […]"),
        ("7 of 17 rows", {"7"}, "[…] of 17 rows"),
        ("id_7_left", {"7"}, "id_[…]_left"),
        ("nothing", set(), "nothing"),
    ],
)
def test_redaction(text: str, names: set[str], expected: str) -> None:
    assert redact(text, names) == expected


def test_settings_keep_their_short_numbers() -> None:
    assert (
        redact_settings("folds: 5\npath: P77/1234567", {"5", "P77", "1234567"})
        == f"folds: 5\npath: {PLACEHOLDER}/{PLACEHOLDER}"
    )
