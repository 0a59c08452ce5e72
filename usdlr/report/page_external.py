"""Tables about patients of other sources, judged by the finished bundle."""

from __future__ import annotations

from usdlr.core.types import Stage
from usdlr.decision.numbers import EN_DASH, count, estimate_text, finite, method_text
from usdlr.decision.wording_models import VOID_ELSEWHERE, external_note
from usdlr.report.document import PageTable
from usdlr.report.inputs import StudyInputs


def external_tables(inputs: StudyInputs) -> tuple[PageTable, ...]:
    """One table per source and stage; none where every patient is of the development cohort."""
    return tuple(_table(inputs, name, stage) for name in inputs.metrics.get("external", {}) for stage in Stage)


def _table(inputs: StudyInputs, name: str, stage: Stage) -> PageTable:
    part = inputs.metrics["external"][name]
    model, cohort = part["stages"][stage], part["cohort"]
    rows = [
        (
            "Model (bundle)",
            estimate_text(model["auc"]),
            EN_DASH,
            count(model["auc"].get("n")),
            estimate_text(model["brier"], 3),
            estimate_text(model["calibration_slope"]),
        )
    ]
    shown = [model["auc"]]
    for baseline, entry in part["baselines"].items():
        own = entry["stages"][stage]
        cells = (estimate_text(own["auc"]), estimate_text(own["difference"]), count(own["auc"].get("n")))
        rows.append((inputs.baseline_title(baseline), *cells, EN_DASH, EN_DASH))
        shown += [own["auc"], own["difference"]]
    methods = dict.fromkeys(method_text(entry) for entry in shown if finite(entry.get("value")) is not None)
    simulated = " (simulated)" if cohort.get("simulated") else ""
    return PageTable(
        inputs.marks.title(f"External source {name}{simulated}: discrimination at the {stage.upper()} stage"),
        ("", "AUC (95 % interval)", "Model minus baseline", "n", "Brier score", "Calibration slope"),
        tuple(rows),
        (
            external_note(stage, int(cohort["axillae"]), int(cohort["patients"]), known_nsln=inputs.known_nsln),
            f"AUC and differences: {'; '.join(methods)}" if methods else "No estimate has a value",
            VOID_ELSEWHERE,
        ),
    )
