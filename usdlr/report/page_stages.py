"""Tables of one stage on its own: how well it ranks, how it does at its thresholds, how well it is calibrated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from usdlr.core.types import Stage
from usdlr.decision import wording_models as words
from usdlr.decision.numbers import (
    EN_DASH,
    Estimate,
    count,
    estimate_text,
    events_text,
    methods_of,
    p_text,
    rate_text,
)
from usdlr.report.document import PageTable
from usdlr.report.inputs import StudyInputs
from usdlr.report.tables import CEILINGS

RATES = (
    ("sensitivity", "Sensitivity"),
    ("specificity", "Specificity"),
    ("ppv", "Positive predictive value"),
    ("npv", "Negative predictive value"),
)
# Key, label, value of a perfect model, digits.
CALIBRATION = (
    ("calibration_slope", "Calibration slope", "1", 2),
    ("calibration_intercept", "Calibration intercept", "0", 2),
    ("observed_expected", "Observed over expected positives", "1", 2),
    ("calibration_error", "Expected calibration error", "0", 3),
    ("ici", "Integrated calibration index (ICI)", "0", 3),
    ("e90", "Calibration error, 90th percentile (E90)", "0", 3),
    ("brier", "Brier score", "0", 3),
    ("scaled_brier", "Scaled Brier score", "1", 2),
    ("log_loss", "Log loss, nat", "0", 3),
)
RANKING = (
    ("auc_by_patient", "AUC, intervals over patients", 2),
    ("partial_auc", "Partial AUC at high sensitivity, standardised", 2),
    ("specificity_at_sensitivity", "Specificity at a sensitivity of 95 %", 2),
    ("average_precision", "Area under the precision-recall curve", 2),
)


def discrimination_table(inputs: StudyInputs, stage: Stage) -> PageTable:
    """Areas under the curve of the model and the baselines, and the model's lead over each."""
    model, baselines = inputs.metrics["stages"][stage], inputs.metrics["baselines"]
    rows = [
        (
            "Model",
            estimate_text(model["auc"]),
            estimate_text(model["auc_mean_over_folds"]),
            EN_DASH,
            EN_DASH,
            count(model["auc"].get("n")),
        )
    ]
    pooled, means, leads = [model["auc"]], [model["auc_mean_over_folds"]], []
    for name, entry in baselines.items():
        part = entry["stages"][stage]
        rows.append(
            (
                inputs.baseline_title(name),
                estimate_text(part["auc"]),
                estimate_text(part["auc_mean_over_folds"]),
                estimate_text(part["difference"]),
                p_text(part["p_value"].get("p_holm")),
                count(part["auc"].get("n")),
            )
        )
        pooled.append(part["auc"])
        means.append(part["auc_mean_over_folds"])
        leads.append(part["difference"])
    for label, best in inputs.ceilings(stage):
        auc, mean = best["auc"], best["auc_mean_over_folds"]
        rows.append((label, estimate_text(auc), estimate_text(mean), EN_DASH, EN_DASH, count(auc.get("n"))))
        pooled.append(auc)
        means.append(mean)
    return PageTable(
        inputs.marks.title(f"Discrimination, {stage.upper()} stage"),
        (
            "",
            "AUC, pooled over folds (95 % interval)",
            "AUC, mean over folds (95 % interval)",
            "Model minus baseline (95 % interval)",
            "p, adjusted",
            "n",
        ),
        tuple(rows),
        (
            words.areas_note(stage, known_nsln=inputs.known_nsln),
            *(
                f"{word}: {'; '.join(methods_of(part))}."
                for word, part in (("Pooled", pooled), ("Mean", means), ("Difference", leads))
                if part
            ),
            *_tests(part["stages"][stage]["p_value"] for part in baselines.values()),
            *_ceiling_notes(inputs, stage),
        ),
    )


def ranking_table(inputs: StudyInputs) -> PageTable:
    """What a ranking is worth where few positives may be missed, and its AUC with patients as the unit."""
    stages = inputs.metrics["stages"]
    return PageTable(
        inputs.marks.title("Ranking where few positives may be missed"),
        ("", "SLN stage (95 % interval)", "n", "NSLN stage (95 % interval)", "n"),
        _rows(stages, [(key, label, digits) for key, label, digits in RANKING]),
        (
            words.ranking_note(known_nsln=inputs.known_nsln),
            f"Intervals: {'; '.join(_resampling(stages))}.",
            f"{words.PARTIAL}{_prevalence(stages)}.",
        ),
    )


def _resampling(stages: Mapping[str, Any]) -> tuple[str, ...]:
    """How the intervals were made, without the name of each measure before it."""
    methods = methods_of(stages[stage][key] for stage in Stage for key, _, _ in RANKING)
    return tuple(dict.fromkeys(method[max(method.find("patient bootstrap"), 0) :] for method in methods))


def _prevalence(stages: Mapping[str, Any]) -> str:
    found = []
    for stage in Stage:
        sensitivity, n = stages[stage]["sensitivity"], stages[stage]["auc"].get("n")
        share = f"{int(sensitivity['n']) / int(n):.2f}" if n else EN_DASH
        found.append(f"{share} at the {stage.upper()} stage")
    return ", ".join(found)


def _tests(tests: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    methods = dict.fromkeys(str(test["method"]) for test in tests if test.get("value") is not None)
    told = words.tests_sentence(list(methods))
    return (told,) if told else ()


def _ceiling_notes(inputs: StudyInputs, stage: Stage) -> tuple[str, ...]:
    """What limit and oracle are, and how near the model comes; nothing for real patients."""
    notes = [f"{meaning}." for name, _, meaning in CEILINGS if name in inputs.metrics]
    share = inputs.share_of_limit(stage)
    if share is not None:
        notes.append(words.share_sentence(share))
    return tuple(notes)


def operating_table(inputs: StudyInputs) -> PageTable:
    """Sensitivity, specificity and predictive values at the thresholds that each axilla was decided with."""
    return _operating(inputs, lambda stage: inputs.metrics["stages"][stage], "Operating point of each stage on its own")


def patients_table(inputs: StudyInputs) -> PageTable | None:
    """The same rates with intervals over patients; nothing where no patient has two axillae."""
    cohort = inputs.metrics["cohort"]
    if int(cohort["patients"]) == int(cohort["axillae"]):
        return None
    title = "Operating point of each stage, both axillae of a patient together"
    return _operating(inputs, lambda stage: inputs.metrics["stages"][stage]["by_patient"], title)


def _operating(inputs: StudyInputs, rates_of: Callable[[Stage], Mapping[str, Estimate]], title: str) -> PageTable:
    rows, shown = [], []
    for key, label in RATES:
        cells = []
        for stage in Stage:
            entry = rates_of(stage)[key]
            shown.append(entry)
            cells += [rate_text(entry), events_text(entry)]
        rows.append((label, *cells))
    return PageTable(
        inputs.marks.title(title),
        ("", "SLN stage (95 % interval)", "Axillae", "NSLN stage (95 % interval)", "Axillae"),
        tuple(rows),
        (
            words.calls_note(
                "; ".join(methods_of(shown)), known_nsln=inputs.known_nsln, adjective=inputs.marks.adjective
            ),
        ),
    )


def calibration_table(inputs: StudyInputs) -> PageTable:
    """Slope, intercept, distances between predicted and observed risk, and proper scores, per stage."""
    stages = inputs.metrics["stages"]
    rows = _rows(stages, [(key, label, digits) for key, label, _, digits in CALIBRATION])
    return PageTable(
        inputs.marks.title("Calibration"),
        ("", "SLN stage (95 % interval)", "n", "NSLN stage (95 % interval)", "n", "Ideal"),
        tuple((*row, ideal) for row, (_, _, ideal, _) in zip(rows, CALIBRATION, strict=True)),
        _how(stages, [(key, label) for key, label, _, _ in CALIBRATION]),
    )


def _rows(stages: Mapping[str, Any], keys: Iterable[tuple[str, str, int]]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            label,
            *(
                cell
                for stage in Stage
                for cell in (estimate_text(stages[stage][key], digits), count(stages[stage][key].get("n")))
            ),
        )
        for key, label, digits in keys
    )


def _how(stages: Mapping[str, Any], keys: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """One sentence per way of estimating, naming the rows that were estimated so."""
    rows_of: dict[str, list[str]] = {}
    for key, label in keys:
        rows_of.setdefault("; ".join(methods_of(stages[stage][key] for stage in Stage)), []).append(label)
    return tuple(f"{', '.join(labels)}: {method}." for method, labels in rows_of.items() if method)
