"""How much hangs on the exact thresholds: words and table of the cascade with all thresholds moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usdlr.core.types import Stage
from usdlr.decision.numbers import (
    EN_DASH,
    MINUS,
    count,
    counted_rate,
    methods,
    percent,
    share_text,
)
from usdlr.decision.wording_pathways import point, shift_note, steepness_sentence
from usdlr.report.document import PageTable
from usdlr.report.inputs import StudyInputs

_STEPS = (-1.0, -0.5, -0.2, 0.0, 0.2, 0.5, 1.0)


def shift_table(inputs: StudyInputs, shift: Mapping[str, Any]) -> PageTable:
    """Misses and spared surgery at some shifts of both thresholds."""
    curves, rows = shift["moved"]["both"], []
    for step in _STEPS:
        if step not in shift["shifts"]:
            continue
        place = shift["shifts"].index(step)
        at = {name: point(curve, place) for name, curve in curves.items()}
        limits = (shift["thresholds"][stage][place] for stage in Stage)
        name = "as set" if step == 0 else f"{'+' if step > 0 else MINUS}{abs(step):g}"
        rows.append(
            (
                name,
                " / ".join(EN_DASH if limit is None else percent(limit) for limit in limits),
                *(counted_rate(at[key]) for key in ("fnr_sln", "fnr_nsln")),
                *(share_text(at[key]) for key in ("biopsies_spared", "dissections_spared")),
            )
        )
    n = count(curves["biopsies_spared"]["n"])
    return PageTable(
        inputs.marks.title("Both thresholds moved after the fact: no contract"),
        (
            "Shift (log-odds)",
            "Threshold SLN / NSLN, median over axillae",
            "SLN positive missed (95 % interval)",
            f"NSLN positive missed, {inputs.known_nsln} (95 % interval)",
            f"Biopsies spared, per 1,000 (95 % interval), n = {n}",
            f"Dissections spared, per 1,000 (95 % interval), n = {n}",
        ),
        tuple(rows),
        (
            shift_note(
                int(shift["deferred"]),
                int(shift["axillae"]),
                methods(curves[name] | {"value": 0} for name in curves if curves[name]["n"]),
                adjective=inputs.marks.adjective,
            ),
        ),
    )


def steepness(inputs: StudyInputs, shift: Mapping[str, Any]) -> tuple[str, ...]:
    """How soon the observed rates pass alpha when both thresholds rise."""
    curves = {stage: shift["moved"]["both"][f"fnr_{stage}"] for stage in Stage}
    alpha, adjective = inputs.contract["alpha"], inputs.marks.adjective
    return (steepness_sentence(shift["shifts"], curves, alpha, adjective=adjective),)
