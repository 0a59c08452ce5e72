"""Whether the estimates and the tables behind the figures agree; a page must not contradict itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from usdlr.core.types import ContractStatus, RiskGroup, Split, Stage
from usdlr.decision.numbers import events_text, finite
from usdlr.decision.wording_page import conflict_sentence
from usdlr.evaluation.cascade import cascade_rates
from usdlr.report.flow import flow_conflicts
from usdlr.report.inputs import StudyInputs

_RATES = (
    ("fnr_sln", "missed SLN-positive axillae"),
    ("fnr_nsln", "missed NSLN-positive axillae"),
    ("defer_rate", "deferred axillae"),
)


def conflicts(inputs: StudyInputs) -> tuple[str, ...]:
    """One sentence per disagreement, none where all agree.

    Compared are the number of axillae behind each stage's AUC and curve, the size of each risk group, and the missed
    and deferred axillae, counted again from the decisions and the labels; whether decisions claim the certificates that
    their folds have; and, where they were worked out, the axillae behind the weighted NSLN rate and the patients behind
    the survival curves.

    Raises
    ------
    InputError
        If decisions and labels do not hold the same axillae once each.
    """
    told, counted = inputs.metrics["cascade"], cascade_rates(inputs.decisions, inputs.labels)
    pairs: list[tuple[str, Any, Any]] = []
    for stage in Stage:
        n = finite(inputs.metrics["stages"][stage]["auc"].get("n")) or 0
        pairs.append((f"axillae behind the AUC of the {stage.upper()} stage", int(n), len(inputs.stage_rows(stage))))
    for group in RiskGroup:
        what = f"axillae in {inputs.marks.adjective}group {group}"
        pairs.append((what, int(told["groups"][group]["n"]), counted["groups"][group]["n"]))
    pairs += [(what, events_text(told[key]), events_text(counted[key])) for key, what in _RATES]
    pairs += [*_certificates(inputs), *_verification(told, counted), *_survival(inputs)]
    return flow_conflicts(inputs) + tuple(
        conflict_sentence(
            what,
            first,
            second,
            source="the predictions, decisions and labels give",
            adjective=inputs.marks.adjective,
        )
        for what, first, second in pairs
        if first != second
    )


def _certificates(inputs: StudyInputs) -> Iterator[tuple[str, int, int]]:
    """Axillae of folds with a certified contract, and axillae whose decision claims one."""
    if "contract" not in inputs.decisions.columns:
        return
    folds: Mapping[str, Mapping[str, Any]] = inputs.metrics["cascade"]["folds"]
    if any(entry.get("strata") for entry in folds.values()):
        return  # which stratum decided an axilla stands in no table but in its reason
    rows = inputs.predictions[
        (inputs.predictions["split"] == Split.TEST) & (inputs.predictions["stage"] == str(Stage.SLN))
    ]
    certified = [fold for fold, entry in folds.items() if entry["status"] == ContractStatus.CERTIFIED]
    claimed = inputs.decisions["contract"].astype(str) == ContractStatus.CERTIFIED
    what = "axillae decided under a certified contract"
    yield what, int(rows["fold"].astype(str).isin(certified).sum()), int(claimed.sum())


def _verification(told: Mapping[str, Any], counted: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
    found, share = told.get("verification"), counted["verified_share"]
    if found is not None:
        yield "SLN-positive axillae behind the weighted NSLN rate", int(found["sln_positive"]), int(share["n"])
        yield "those of them with known NSLN status", int(found["verified"]), int(share["events"])


def _survival(inputs: StudyInputs) -> Iterator[tuple[str, int, int]]:
    found = inputs.metrics.get("survival") or {}
    if "patients" in found:
        n = int(found["patients"]) + int(found["unknown"])
        yield "patients with known and unknown follow-up", n, int(inputs.decisions["patient_id"].nunique())
