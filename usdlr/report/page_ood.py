"""The section about axillae that are unlike those that the model was made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usdlr.decision.numbers import EN_DASH, count, finite, method_text, number, percent
from usdlr.decision.wording_ood import study_lines
from usdlr.report.document import Block, PageTable, Prose, Section
from usdlr.report.inputs import StudyInputs


def ood_section(inputs: StudyInputs) -> Section | None:
    """False alarms among test axillae, and alarms of every external source; None where nobody looked."""
    found: Mapping[str, Any] = inputs.metrics.get("ood") or {}
    if not found:
        return None
    test, external = found["test"], inputs.metrics.get("external", {})
    rows = [("Test axillae of the folds", _events(test), _share(test), "")]
    for fold, one in sorted(found["folds"].items()):
        limit = EN_DASH if one["limit"] is None else number(one["limit"], 2)
        rows.append((f"Fold {fold}", f"{count(one['alarms'])} of {count(one['n'])}", "", limit))
    shown = [test]
    for name, part in external.items():
        if own := part.get("ood"):
            rows.append((f"External source {name}", _events(own), _share(own), ""))
            shown.append(own)
    methods = dict.fromkeys(method_text(one) for one in shown if finite(one.get("value")) is not None)
    table = PageTable(
        inputs.marks.title("Alarms: axillae unlike the training patients"),
        ("", "Alarms", "Share (95 % interval)", "Limit of the score (SD)"),
        tuple(rows),
        tuple(f"{method}." for method in methods),
    )
    blocks: tuple[Block, ...] = (Prose(study_lines(float(found["rate"]))), table)
    return Section("unlike", "Unlike the training patients", "Axillae unlike the training patients", blocks)


def _events(estimate: Mapping[str, Any]) -> str:
    if finite(estimate.get("value")) is None:
        return "not checked"
    return f"{count(estimate.get('events'))} of {count(estimate.get('n'))}"


def _share(estimate: Mapping[str, Any]) -> str:
    if finite(estimate.get("value")) is None:
        return EN_DASH
    return f"{percent(estimate['value'])} ({percent(estimate['low'])} to {percent(estimate['high'])})"
