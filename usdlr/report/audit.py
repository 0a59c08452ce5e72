"""Whether the estimates and the tables behind the figures agree; a page must not contradict itself."""

from __future__ import annotations

from typing import Any

from usdlr.core.types import RiskGroup, Stage
from usdlr.evaluation.cascade import cascade_rates
from usdlr.report.inputs import StudyInputs
from usdlr.report.tables import events_text, finite

_RATES = (
    ("fnr_sln", "missed SLN-positive axillae"),
    ("fnr_nsln", "missed NSLN-positive axillae"),
    ("defer_rate", "deferred axillae"),
)


def conflicts(inputs: StudyInputs) -> tuple[str, ...]:
    """One sentence per disagreement, none where all agree.

    Compared are the number of axillae behind each stage's AUC and curve, the size of each risk group, and the missed
    and deferred axillae, counted again from the decisions and the labels.

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
    return tuple(
        f"Number of {what}: the estimates say {first}, the predictions, decisions and labels give {second}. "
        f"Do not rely on the {inputs.marks.adjective}numbers of this page before this is resolved."
        for what, first, second in pairs
        if first != second
    )
