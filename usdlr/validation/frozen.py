"""Sections of the study page where one frozen bundle answers instead of the models of folds."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

from usdlr.report.document import Prose
from usdlr.report.style import Drawing

# What a study says of its folds, and what is true of a frozen bundle. The longer phrases stand first.
WORDS: tuple[tuple[str, str], ...] = (
    ("Out-of-fold predictions, pooled over folds", "Predictions of the frozen bundle"),
    ("out-of-fold predictions", "predictions of the frozen bundle"),
    ("Out-of-fold predictions", "Predictions of the frozen bundle"),
    ("Out-of-fold decisions", "Decisions by the frozen thresholds"),
    ("out-of-fold decisions", "decisions by the frozen thresholds"),
    (
        "thresholds that each axilla was decided with; since every fold has its own, the circle need not lie on the "
        "pooled curve.",
        "thresholds of the bundle.",
    ),
    ("Broken lines: baselines on the same axillae. ", ""),  # none travels with a bundle
    ("threshold of the axilla's own test fold", "threshold of the bundle"),
    ("Every fold's ", "The bundle's "),
    ("every fold's ", "the bundle's "),
    ("All folds' ", "The bundle's "),
    ("all folds' ", "the bundle's "),
    (", out-of-fold", ""),
    ("out-of-fold", "by the frozen bundle"),
)


# A paragraph that explains why baselines have no curve.
NO_BASELINE = "Baselines have no curve here"


def frozen_words(text: str) -> str:
    """A sentence of the study page, said of a frozen bundle.

    Examples
    --------
    >>> frozen_words("Out-of-fold predictions; n = 3. Counts of axillae, out-of-fold.")
    'Predictions of the frozen bundle; n = 3. Counts of axillae.'
    """
    for study, frozen in WORDS:
        text = text.replace(study, frozen)
    return text


def frozen(block: Any) -> Any:
    """A block, or a section, with every text of it said of a frozen bundle; figures keep their drawing."""
    if isinstance(block, str):
        return frozen_words(block)
    if isinstance(block, Prose):
        return Prose(tuple(frozen_words(line) for line in block.lines if not line.startswith(NO_BASELINE)))
    if isinstance(block, tuple):
        return tuple(frozen(part) for part in block)
    if isinstance(block, Drawing):
        return replace(block, caption=frozen_words(block.caption))
    if is_dataclass(block) and not isinstance(block, type):
        return replace(block, **{one.name: frozen(getattr(block, one.name)) for one in fields(block) if one.init})
    return block
