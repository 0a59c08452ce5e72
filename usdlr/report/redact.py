"""Identifiers out of free text: exclusion sentences and configurations may quote a patient or a file."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

import pandas as pd

from usdlr.report.inputs import StudyInputs

PLACEHOLDER = "[…]"
_ANYWHERE_FROM = 4


def identifiers(inputs: StudyInputs) -> frozenset[str]:
    """Every patient id and source id that the report's tables hold."""
    tables = (inputs.predictions, inputs.decisions, inputs.labels, inputs.exclusions, inputs.baselines)
    columns: Iterable[pd.Series] = (
        table[name] for table in tables for name in ("patient_id", "source_id") if name in table.columns
    )
    return frozenset(str(value) for column in columns for value in column.dropna().unique() if str(value).strip())


def redact(text: str, names: Collection[str]) -> str:
    """``text`` with every identifier replaced.

    An identifier of four characters or more is replaced wherever it stands, inside file names too; a shorter one only
    where no letter or digit touches it, since it may be part of a word.

    Examples
    --------
    >>> redact("found no mask beside P0012_left.png", {"P0012"})
    'found no mask beside […]_left.png'
    >>> redact("patient 7: 17 mm", {"7"})
    'patient […]: 17 mm'
    """
    if not names:
        return text
    # Longest first: an id that begins with another one is replaced whole.
    parts = [
        re.escape(name) if len(name) >= _ANYWHERE_FROM else rf"(?<![^\W_]){re.escape(name)}(?![^\W_])"
        for name in sorted(names, key=lambda name: (-len(name), name))
    ]
    return re.sub("|".join(parts), PLACEHOLDER, text)


def redact_settings(text: str, names: Collection[str]) -> str:
    """As :func:`redact`, but bare short numbers stay: in a configuration they are settings, not patients.

    Examples
    --------
    >>> redact_settings("folds: 5 # P0012", {"5", "P0012"})
    'folds: 5 # […]'
    """
    return redact(text, [name for name in names if len(name) >= _ANYWHERE_FROM or not name.isdigit()])
