"""The model beside each baseline by calls and by risks, as a table of the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usdlr.core.types import Stage
from usdlr.decision import wording_models as words
from usdlr.decision.numbers import EN_DASH, Estimate, count, estimate_text, finite, methods_of, number, p_text
from usdlr.report.document import PageTable
from usdlr.report.inputs import StudyInputs

_CALLS = (("sensitivity", "Sensitivity"), ("specificity", "Specificity"))
_RISKS = (("nri", "Continuous NRI"), ("idi", "IDI"))


def against_table(inputs: StudyInputs, stage: Stage) -> PageTable | None:
    """McNemar's test, net reclassification and discrimination improvement against every baseline of a stage.

    Parameters
    ----------
    inputs : StudyInputs
        With ``against`` in the baselines' stages, as of :func:`usdlr.evaluation.model_against.calls_and_risks`.
    stage : Stage
        Which stage.

    Returns
    -------
    PageTable or None
        None where nobody compared them so.
    """
    found = {
        str(name): against
        for name, entry in inputs.metrics["baselines"].items()
        if (against := entry["stages"][stage].get("against")) is not None
    }
    if not found:
        return None
    risks = any("nri" in against for against in found.values())
    shown: list[Estimate] = []
    rows = []
    for name, against in found.items():
        cells: list[str] = []
        for key, _ in _CALLS:
            test = against[key]
            shown.append(test["difference"])
            cells += [_short(test["difference"]), _differ(test), p_text(test["exact"].get("p_holm"))]
        for key, _ in _RISKS if risks else ():
            total = against[key]["total"] if key in against else {}
            shown += [total] if total else []
            cells.append(_short(total))
        rows.append((inputs.baseline_title(name), *cells))
    caveats = dict.fromkeys(line for one in found.values() for key, _ in _RISKS for line in _caveats(one, key))
    return PageTable(
        inputs.marks.title(f"The model against each baseline by calls and risks, {stage.upper()} stage"),
        (
            "",
            *(
                head
                for _, label in _CALLS
                for head in (f"{label}, difference (95 % interval)", "Right by one alone (model / baseline)", "P")
            ),
            *(f"{label} (95 % interval)" for _, label in _RISKS if risks),
        ),
        tuple(rows),
        (
            f"{words.judged(stage, known_nsln=inputs.known_nsln)}{words.calls_rule(adjective=inputs.marks.adjective)}",
            words.compared_note(_comparisons(inputs)),
            *((f"{words.RISKS_RULE} {' '.join(caveats)}",) if risks else ()),
            words.against_note("; ".join(methods_of(shown)) or "No estimate has a value"),
        ),
    )


def _short(estimate: Estimate) -> str:
    if finite(estimate.get("value")) is None:
        return EN_DASH
    if finite(estimate.get("low")) is None:
        return f"{number(float(estimate['value']))} (no interval)"
    return estimate_text(estimate)


def _differ(test: Mapping[str, Any]) -> str:
    return f"{count(test['first_only'])} / {count(test['second_only'])}"


def _caveats(against: Mapping[str, Any], key: str) -> list[str]:
    return [str(line) for line in against[key]["caveats"]] if key in against else []


def _comparisons(inputs: StudyInputs) -> int:
    """Tests of calls, over all baselines and both stages, that have a p-value."""
    return sum(
        finite(stage["against"][key]["exact"].get("value")) is not None
        for entry in inputs.metrics["baselines"].values()
        for stage in entry["stages"].values()
        if "against" in stage
        for key, _ in _CALLS
    )
